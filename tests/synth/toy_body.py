"""A body of boxes, one a bone, with the bones and keypoints of a real one: what the generator needs, in no file."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from wholebody.schema import COCO_WHOLEBODY
from wholebody.synth.body import PHENOTYPES, Body
from wholebody.synth.people import PersonGenerator

# Name, parent, head (x, y, z) of the left side and the middle; "*" has a mirrored twin.
_FINGERS = [
    (
        f"finger{finger}-{joint}.*",
        f"finger{finger}-{joint - 1}.*" if joint > 1 else "wrist.*",
        (0.42 + 0.012 * finger, -0.18 - 0.03 * joint, 0.24 - 0.012 * joint),
    )
    for finger in range(1, 6)
    for joint in (1, 2, 3)
]
_BONES = [
    ("root", None, (0, 0, 0.07)),
    ("pelvis.*", "root", (0.02, 0, 0.07)),
    ("upperleg01.*", "pelvis.*", (0.1, 0, 0.05)),
    ("lowerleg01.*", "upperleg01.*", (0.15, -0.02, -0.37)),
    ("foot.*", "lowerleg01.*", (0.2, 0, -0.74)),
    ("toe1-1.*", "foot.*", (0.19, -0.13, -0.8)),
    ("spine03", "root", (0, 0, 0.18)),
    ("spine01", "spine03", (0, 0, 0.43)),
    ("clavicle.*", "spine01", (0.03, -0.05, 0.52)),
    ("upperarm01.*", "clavicle.*", (0.17, -0.01, 0.52)),
    ("lowerarm01.*", "upperarm01.*", (0.31, -0.01, 0.35)),
    ("wrist.*", "lowerarm01.*", (0.43, -0.17, 0.245)),
    *_FINGERS,
    ("neck01", "spine01", (0, 0, 0.59)),
    ("head", "neck01", (0, -0.02, 0.7)),
    ("eye.*", "head", (0.03, -0.11, 0.73)),
]


def _expand() -> tuple[list[str], list[int], list[tuple[float, float, float]]]:
    names: list[str] = []
    parents: list[int] = []
    heads: list[tuple[float, float, float]] = []
    for name, parent, (x, y, z) in _BONES:
        for side, sign in (("L", 1), ("R", -1)) if "*" in name else (("", 1),):
            names.append(name.replace("*", side))
            parents.append(-1 if parent is None else names.index(parent.replace("*", side)))
            heads.append((sign * x, y, z))
    return names, parents, heads


_CUBE = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float32)
_CUBE_FACES = np.array(
    [
        [0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1],
        [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3],
    ]
)  # fmt: skip


def _face_points() -> np.ndarray:
    """(68, 3) symmetric under COCO_WHOLEBODY.flip: pairs mirror each other, lone points lie in the middle."""
    flip = COCO_WHOLEBODY.flip[23:91] - 23
    points = np.zeros((68, 3), np.float32)
    for i, j in enumerate(flip):
        x = 0.0 if i == j else (0.01 + 0.001 * min(i, j)) * (-1 if i < j else 1)
        # The jaw runs from the middle of the head's sides to its front.
        y = -0.12 + 0.0125 * abs(8 - i) if i < 17 else -0.15
        points[i] = x, y, 0.63 + 0.0015 * min(i, j)
    return points


@cache
def toy_body() -> Body:
    names, parents, heads = _expand()
    vertices, faces, owners = [], [], []
    for bone, head in enumerate(heads):
        radius = {"head": 0.1, "root": 0.12, "spine03": 0.12, "spine01": 0.13}.get(names[bone], 0.05)
        radius = 0.008 if names[bone].startswith(("finger", "eye", "toe")) else radius
        faces.append(_CUBE_FACES + 8 * bone)
        vertices.append(np.array(head) + radius * _CUBE)
        owners += [bone] * 8
    first = 8 * len(heads)
    vertices.append(_face_points())
    owners += [names.index("head")] * 68
    mesh = np.concatenate(vertices).astype(np.float32)
    body_faces = np.concatenate(faces)
    # Garments hang on copies of the cubes.
    tights = body_faces + len(mesh)
    mesh = np.concatenate([mesh, mesh[:first]])
    owners += owners[:first]

    hand = ["wrist", *(f"finger{f}-{j}" for f in range(1, 6) for j in (1, 2, 3, 3))]
    of_bone = {5: "upperarm01", 7: "lowerarm01", 9: "wrist", 11: "upperleg01", 13: "lowerleg01", 15: "foot"}
    rows = {i + k: f"{bone}.{side}" for i, bone in of_bone.items() for k, side in enumerate("LR")}
    rows |= {17 + i: f"{bone}.L" for i, bone in enumerate(("toe1-1", "toe1-1", "foot"))}
    rows |= {20 + i: f"{bone}.R" for i, bone in enumerate(("toe1-1", "toe1-1", "foot"))}
    rows |= {start + i: f"{bone}.{side}" for start, side in ((91, "L"), (112, "R")) for i, bone in enumerate(hand)}
    rows |= {1: "eye.L", 2: "eye.R", 3: "eye.L", 4: "eye.R"}
    point_bones = np.array([names.index(rows[i]) if i in rows else -1 for i in range(133)], np.int32)
    from_vertex = [0, *range(23, 91)]
    count, corners = len(mesh), len(("african", "asian", "caucasian")) + sum(n for _, n in PHENOTYPES.values())
    mask = np.zeros((2, corners), np.float32)
    mask[0, 3], mask[1, 4] = 1, 1  # male, female
    basis = np.zeros((2, count, 3), np.float32)
    basis[0], basis[1] = 0.05 * mesh, -0.05 * mesh
    bone_heads = np.array(heads, np.float32)
    return Body(
        template=mesh,
        heads=bone_heads,
        basis=basis,
        heads_basis=np.stack([0.05 * bone_heads, -0.05 * bone_heads]),
        corners=mask,
        projection=np.eye(2, dtype=np.float32),
        bones=tuple(names),
        parents=np.array(parents, np.int32),
        skin_bones=np.array(owners, np.int32)[:, None],
        skin_weights=np.ones((count, 1), np.float32),
        shapes=("jawOpen", "nose-wide"),
        shape_starts=np.array([0, 1, 2], np.int32),
        shape_rows=np.array([first + 57, first + 33], np.int32),
        shape_deltas=np.array([[0, 0, -0.02], [0, -0.01, 0]], np.float32),
        shape_heads=np.zeros((2, len(names), 3), np.float32),
        parts=("body", "tights"),
        faces=np.concatenate([body_faces, tights]).astype(np.int32),
        uvs=np.zeros((2 * len(body_faces), 3, 2), np.float32),
        face_parts=np.repeat([0, 1], len(body_faces)).astype(np.int32),
        point_rows=np.array(from_vertex, np.int32),
        point_vertices=np.array([first + 30, *range(first, first + 68)], np.int32),
        point_weights=np.ones(69, np.float32),
        point_bones=point_bones,
        tolerances=np.full(133, 0.06, np.float32),
    )


@dataclass(frozen=True)
class Toys:
    """A factory that worker processes can import."""

    size: int = 96

    def __call__(self) -> PersonGenerator:
        return PersonGenerator(toy_body(), size=self.size)
