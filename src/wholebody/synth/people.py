"""Pictures of one labelled person: identity, pose, clothes, camera, occluders and image degradation.

`PersonGenerator(body)(seed, index)` is a pure function of its two numbers. Three consecutive indices show the same
person, because creating a person takes as long as rendering a picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from wholebody.arrays import Floats, Image, Ints32
from wholebody.data.shards import LabelledJpeg
from wholebody.synth import face, jaw, posture, props, rotations
from wholebody.synth.body import (
    Body,
    bone_transforms,
    keypoints_of,
    rest_shape,
    transform,
    vertex_normals,
    vertex_transforms,
)
from wholebody.synth.layers import Assets
from wholebody.synth.looks import dress
from wholebody.synth.material import shape_held_out
from wholebody.synth.render import SUPERSAMPLING, Camera, Light, Mesh, Render, assemble, join, render, visibility

VIEWS = 3

# Framing of a picture, with its share of all pictures.
FRAMINGS = {"full": 0.47, "knees": 0.12, "upper": 0.17, "head": 0.07, "hand": 0.06, "random": 0.11}


@dataclass(frozen=True, eq=False)
class Person:
    """A posed and dressed person in world coordinates, standing on z = 0 near the origin.

    Attributes:
        keypoints: (K, 3) on the body, independent of the viewpoint; labels use `keypoints_from` the camera's position.
        tolerances: (K,) the distance in metres by which a visible keypoint may lie behind the surface.
        jaw: (17, S, 3) paths of the jaw points over the cheeks, and the normals there.
        regions: the vertices that each framing must show, by name. size: the body's height in units of 1.7 m.
    """

    mesh: Mesh
    keypoints: Floats
    tolerances: Floats
    jaw: tuple[Floats, Floats]
    regions: dict[str, Floats]
    size: float
    record: dict[str, Any]

    def keypoints_from(self, eye: npt.ArrayLike) -> Floats:
        """(K, 3) keypoints as an annotator would place them from the viewpoint `eye` (3,), in the person's frame.

        They equal `keypoints`, except for the far jaw, which is on the visible contour.
        """
        keypoints = self.keypoints.copy()
        keypoints[jaw.FIRST : jaw.FIRST + jaw.COUNT] = jaw.slide(*self.jaw, eye)
        return keypoints


@dataclass(frozen=True, eq=False)
class PersonGenerator:
    """The generator.

    Attributes:
        body: the body file in memory.
        assets: optional clothes, skins and background pictures.
        size: pixels of the longer side of a picture.
        quality: JPEG quality of the stored picture; the sampled camera's own JPEG comes before it.
        views: pictures of the same person.
        held_out: show only body shapes reserved for held-out sets; otherwise only the others; see `material`.
        bvh: poses from motion files (`bvh.read_bvh`), used for the share `bvh_share` of the people.
    """

    body: Body
    assets: Assets = field(default_factory=Assets)
    size: int = 320
    quality: int = 92
    views: int = VIEWS
    held_out: bool = False
    bvh: tuple[posture.Posture, ...] = ()
    bvh_share: float = 0.3

    def __call__(self, seed: int, index: int) -> LabelledJpeg:
        """Picture number `index` of the set `seed`."""
        rng = np.random.default_rng([seed, index, 1])
        person = self._person(seed, index // self.views)
        for attempt in range(6):
            sample = self._picture(rng, person, seed, index, strict=attempt < 5)
            if sample is not None:
                return sample
        raise AssertionError("the last attempt accepts everything")

    @lru_cache(maxsize=3)  # noqa: B019 - one generator lives as long as its process
    def _person(self, seed: int, group: int) -> Person:
        rng = np.random.default_rng([seed, group, 0])
        return make_person(rng, self.body, self.assets, bvh=self.bvh, bvh_share=self.bvh_share, held_out=self.held_out)

    def _picture(
        self, rng: np.random.Generator, person: Person, seed: int, index: int, strict: bool
    ) -> LabelledJpeg | None:
        framing = str(rng.choice(list(FRAMINGS), p=np.array(list(FRAMINGS.values())) / sum(FRAMINGS.values())))
        camera, view = aim(rng, person, framing, self.size)
        meshes = [person.mesh]
        others = 0
        if rng.random() < 0.28 and framing != "hand":
            # The people of the pictures before: already made, and seen from another side.
            others = 1 + int(rng.random() < 0.25)
            for back in range(1, others + 1):
                group = index // self.views
                other = self._person(seed, group - back if group >= back else group + back)
                meshes.append(_beside(rng, other.mesh, camera, person.size))
        light = sample_light(rng)
        frame = render(join(meshes), camera, light)
        covered, cover = occluders(rng, camera.size, self.assets) if rng.random() < 0.22 else (None, None)

        mine = frame.owner == 0
        if covered is not None:
            mine &= ~covered
        keypoints_3d = person.keypoints_from(camera.eye)
        flags = visibility(keypoints_3d, person.tolerances, camera, frame.depth, covered)
        rows, columns = np.flatnonzero(mine.any(axis=1)), np.flatnonzero(mine.any(axis=0))
        total = camera.size[0] * camera.size[1] * SUPERSAMPLING**2
        enough = {"head": 20, "hand": 12}.get(framing, 8)
        if strict and (mine.sum() < 0.03 * total or (flags == 2).sum() < enough):
            return None
        box = np.zeros(4)
        if len(rows):
            edges = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]) / SUPERSAMPLING - 0.5
            extent = np.tile(edges[2:] - edges[:2], 2)
            limit = np.tile(np.array(camera.size), 2) - 0.5
            box = np.clip(edges + rng.normal(0, 0.02, 4) * extent, -0.5, limit)
        image = photograph(rng, frame, covered, cover, self.assets)
        points = camera.project(keypoints_3d)[:, :2].astype(np.float64).round(2)
        keypoints = [[float(x), float(y), int(v)] for (x, y), v in zip(points, flags, strict=True)]
        record = {
            "seed": seed,
            "index": index,
            "width": camera.size[0],
            "height": camera.size[1],
            "box": [round(float(v), 2) for v in box],
            "keypoints": keypoints,
            "sampled": {**person.record, **view, "framing": framing, "others": others, "occluded": covered is not None},
        }
        jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, self.quality])[1].tobytes()
        return LabelledJpeg(jpeg, record)


def make_person(
    rng: np.random.Generator,
    body: Body,
    assets: Assets,
    *,
    bvh: Sequence[posture.Posture] = (),
    bvh_share: float = 0.3,
    held_out: bool = False,
) -> Person:
    """A new person: shape, expression, gaze, pose (some from `bvh`, if given), clothes, objects."""
    phenotype = sample_phenotype(rng)
    while shape_held_out(phenotype) != held_out:
        phenotype = sample_phenotype(rng)
    expression, changes = face.sample_expression(rng, body)
    for name, weight in face.sample_gaze(rng).items():
        if name in body.shape_row:
            changes[name] = max(changes.get(name, 0.0), weight)
    for name, weight in face_changes(rng, body).items():
        changes[name] = weight
    rest, heads = rest_shape(body, phenotype, changes)
    plan = props.sample_plan(rng)
    grips = tuple(props.GRIPS.get(kind, "") for kind in plan.held)
    given = bvh[int(rng.integers(len(bvh)))] if bvh and rng.random() < bvh_share else None
    pose = posture.sample_pose(rng, body, rest, heads, grips=(grips[0], grips[1]), given=given)
    transforms = bone_transforms(body.parents, heads, pose.rotations)
    matrices = vertex_transforms(transforms, body.skin_bones, body.skin_weights)
    posed = transform(matrices, rest)
    skin = body.skin
    # Stand on the floor, over the origin.
    low, high = posed[skin].min(axis=0), posed[skin].max(axis=0)
    shift = -np.array([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]], np.float32)
    transforms[:, :, 3] += shift
    matrices[:, :, 3] += shift
    posed = posed + shift
    size = float(np.ptp(rest[skin, 2])) / 1.7
    layers, kinds = dress(rng, body, rest, phenotype, assets, plan.hat)
    layers += props.skin_layers(rng, plan, body, rest, size)
    mesh = assemble(layers, rest, matrices)
    around, extra = props.things(
        rng, plan, body, rest, heads, transforms, posed, keypoints_of(body, rest, heads), pose.kinds["stance"], size
    )
    if around is not None:
        mesh = join([mesh, around])
    posed_heads = np.einsum("bij,bj->bi", transforms[:, :, :3], heads) + transforms[:, :, 3]
    record = {
        "phenotype": {name: round(float(value), 3) for name, value in phenotype.items()},
        "expression": expression,
        **pose.kinds,
        **kinds,
        **extra,
    }
    regions = {name: posed[rows] for name, rows in _region_rows(body).items()}
    keypoints = keypoints_of(body, posed, posed_heads.astype(np.float32))
    tolerances = body.tolerances * np.float32(size)
    if "mask" in plan.worn:
        tolerances[props.MASKED] = 0.003 * size
    return Person(mesh, keypoints, tolerances, _jaw(body, posed), regions, size, record)


def _jaw(body: Body, posed: Floats) -> tuple[Floats, Floats]:
    """Paths of the jaw points over the posed skin, and the normals there: (17, S, 3) each."""
    vertices, weights = jaw.jaw_paths(body)
    normals = vertex_normals(posed, body.faces[body.part("body")])
    paths, facing = ((weights[..., None] * values[vertices]).sum(axis=2) for values in (posed, normals))
    return paths, facing


_ARMS = ("clavicle", "shoulder", "upperarm", "lowerarm", "wrist", "finger", "metacarpal")
_TRUNK = ("spine", "neck", "head", "root", "pelvis")
_HAND = ("lowerarm02", "wrist", "finger", "metacarpal")
_REGIONS: dict[str, tuple[tuple[str, ...], str]] = {
    "full": (("",), ""),
    "knees": ((*_TRUNK, *_ARMS, "upperleg"), ""),
    "upper": (("spine", "neck", "head", *_ARMS), ""),
    "head": (("head", "neck"), ""),
    "left": (_HAND, ".L"),
    "right": (_HAND, ".R"),
}


@lru_cache(maxsize=1)
def _region_rows(body: Body) -> dict[str, Ints32]:
    """The rows of the vertices that each framing must show, by name."""
    skin = body.skin
    main = body.main_bone[skin]
    rows = {}
    for name, (prefixes, side) in _REGIONS.items():
        bones = [i for i, bone in enumerate(body.bones) if bone.startswith(prefixes) and bone.endswith(side)]
        found = skin[np.isin(main, bones)]
        # A quarter of a fine mesh is enough to frame it.
        rows[name] = (found if len(found) else skin)[:: 4 if len(skin) > 4000 else 1]
    return rows


def sample_phenotype(rng: np.random.Generator) -> dict[str, float]:
    """Samples all ages, builds and origins; adults most often."""
    origins = rng.dirichlet([0.5, 0.5, 0.5])
    age = rng.uniform(0.55, 0.85) if rng.random() < 0.6 else rng.uniform(0.08, 1.0)
    gender = rng.uniform(0, 0.2) if rng.random() < 0.5 else rng.uniform(0.8, 1)
    return {
        "gender": float(gender),
        "age": float(age),
        "muscle": float(np.clip(rng.normal(0.5, 0.22), 0, 1)),
        "weight": float(np.clip(rng.normal(0.5, 0.22), 0, 1)),
        "height": float(np.clip(rng.normal(0.5, 0.2), 0, 1)),
        "proportions": float(rng.uniform(0.1, 0.9)),
        "cupsize": float(rng.uniform(0.2, 0.8)),
        "firmness": float(rng.uniform(0.2, 0.9)),
        "african": float(origins[0]),
        "asian": float(origins[1]),
        "caucasian": float(origins[2]),
    }


def face_changes(rng: np.random.Generator, body: Body) -> dict[str, float]:
    """Random local changes of head and face, the same on both sides."""
    names = [name for name in body.shapes if "-" in name and not name.startswith("r-")]
    if not names:
        return {}
    changes = {}
    for name in rng.choice(names, size=min(14, len(names)), replace=False):
        weight = float(abs(rng.normal(0, 0.4)))
        for side in (str(name), "r-" + str(name)[2:] if str(name).startswith("l-") else str(name)):
            if side in body.shape_row:
                changes[side] = min(weight, 1.0)
    return changes


# --- camera ------------------------------------------------------------


def aim(rng: np.random.Generator, person: Person, framing: str, size: int) -> tuple[Camera, dict[str, float]]:
    """A camera that frames the person: direction, distance, roll, then the crop of its picture."""
    hand = str(rng.choice(["left", "right"]))
    region = person.regions[{"hand": hand, "random": "full"}.get(framing, framing)]
    target = (region.min(axis=0) + region.max(axis=0)) / 2
    extent = float(np.linalg.norm(np.ptp(region, axis=0)))
    choice = rng.random()
    yaw = rng.normal(0, 35) if choice < 0.6 else rng.uniform(-180, 180)
    lying = person.record.get("stance") in ("lie", "free", "swim")
    pitch = float(np.clip(rng.normal(8, 13), -30, 60)) if not lying else float(rng.uniform(-5, 75))
    roll = rng.normal(0, 4) if not lying else rng.uniform(-180, 180) * (rng.random() < 0.5)
    if rng.random() < 0.12:  # from the floor, from a balcony
        pitch = float(rng.uniform(-40, 80))
    if rng.random() < 0.08:  # a tilted or a turned camera
        roll = float(rng.normal(0, 25) if rng.random() < 0.8 else rng.choice([-90, 90]) + rng.normal(0, 4))
    # From a phone's wide lens at arm's length to a tele lens; the window then decides the focal length.
    nearest = 0.8 if framing in ("full", "random", "knees") else 1.05
    distance = extent * float(np.exp(rng.uniform(np.log(nearest), np.log(7.0))))
    rotation = rotations.turn((0, 0, 1), yaw) @ rotations.turn((1, 0, 0), -pitch)
    forward = rotation @ np.array([0, 1.0, 0])
    up = rotations.turn(forward, roll) @ (rotation @ np.array([0, 0, 1.0]))
    right = np.cross(forward, up)
    matrix = np.stack([right, -up, forward])
    eye = target - distance * forward
    matrix = np.column_stack([matrix, -matrix @ eye]).astype(np.float32)

    unit = Camera(matrix, 1.0, (0.0, 0.0), (1, 1))
    flat = unit.project(region)
    flat = flat[flat[:, 2] > 0.05][:, :2] if (flat[:, 2] > 0.05).sum() > 10 else flat[:, :2]
    low, high = flat.min(axis=0).astype(float), flat.max(axis=0).astype(float)
    span = float((high - low).max())
    context = rng.uniform(1.15, 1.7)
    center = (low + high) / 2 + rng.normal(0, 0.03, 2) * span
    half = np.full(2, span * context / 2)
    # A standing person needs less room at the sides than above.
    narrow = np.maximum((high - low) / 2 * 1.6, 0.72 * half)
    half = np.minimum(half, narrow)
    window = np.concatenate([center - half, center + half])
    if framing in ("knees", "upper") and rng.random() < 0.8:
        # The photo ends here; the person does not.
        window[3] = high[1] - rng.uniform(0, 0.05) * span
    elif rng.random() < (0.5 if framing == "random" else 0.12):
        for _ in range(1 + (framing == "random") * int(rng.integers(0, 2))):
            edge = int(rng.integers(4))
            inward = rng.uniform(0.02, 0.45 if framing == "random" else 0.2) * (high - low)[edge % 2]
            window[edge] = low[edge] + inward if edge < 2 else high[edge - 2] - inward
    focal = size / float((window[2:] - window[:2]).max())
    w, h = (max(48, round(float(v) * focal)) for v in window[2:] - window[:2])
    camera = replace(
        unit, focal=focal, center=(float(-window[0] * focal) - 0.5, float(-window[1] * focal) - 0.5), size=(w, h)
    )
    view = {"yaw": yaw, "pitch": pitch, "roll": roll, "distance": distance, "focal": focal}
    return camera, {name: round(float(value), 2) for name, value in view.items()}


def _beside(rng: np.random.Generator, mesh: Mesh, camera: Camera, size: float) -> Mesh:
    """Another person's mesh, moved to one side of the camera's view, in front of or behind the first, and turned."""
    rotation = rotations.turn((0, 0, 1), rng.uniform(-180, 180)).astype(np.float32)
    right, forward = camera.matrix[0, :3].copy(), camera.matrix[2, :3].copy()
    right[2] = forward[2] = 0
    right, forward = right / (np.linalg.norm(right) + 1e-6), forward / (np.linalg.norm(forward) + 1e-6)
    aside = rng.choice([-1, 1]) * rng.uniform(0.0, 0.75)
    away = rng.choice([-1, 1], p=[0.4, 0.6]) * rng.uniform(0.25, 1.0)
    shift = (size * (aside * right + away * forward)).astype(np.float32)
    return replace(
        mesh,
        vertices=mesh.vertices @ rotation.T + shift,
        normals=mesh.normals @ rotation.T,
        owners=np.where(mesh.owners == props.NO_ONE, mesh.owners, 1).astype(np.int32),
    )


def sample_light(rng: np.random.Generator) -> Light:
    """Daylight, shade or lamps: direction, strength and warmth; one in eight is coloured, as on a stage."""
    azimuth, height = rng.uniform(-np.pi, np.pi), rng.uniform(0.15, 1.4)
    direction = np.array([np.cos(azimuth) * np.cos(height), np.sin(azimuth) * np.cos(height), np.sin(height)])
    strength = rng.uniform(0.15, 1.2)
    warm = rng.normal(0, 0.09)
    tint = np.array([1 - warm, 1.0, 1 + warm])
    sky = rng.uniform(0.4, 0.9) * np.array([1 + warm * 0.5, 1.0, 1 - warm * 0.5])
    if rng.random() < 0.12:
        tint = rng.dirichlet([1.2, 1.2, 1.2]) * 3
        sky = sky * (0.5 + 0.5 * rng.dirichlet([3, 3, 3]) * 3)
    return Light(
        direction.astype(np.float32),
        (strength * tint).astype(np.float32),
        sky.astype(np.float32),
        (sky * rng.uniform(0.4, 0.9)).astype(np.float32),
    )


# --- the picture ------------------------------------------------------------


def background(rng: np.random.Generator, size: tuple[int, int], assets: Assets) -> Image:
    """(h, w, 3) BGR: part of a wallpaper, a gradient, noise or blocks, more or less out of focus."""
    w, h = size
    choice = rng.random()
    if assets.wallpapers and choice < 0.55:
        paper = assets.wallpapers[int(rng.integers(len(assets.wallpapers)))]
        scale = max(w / paper.shape[1], h / paper.shape[0])
        part = min(1.0, rng.uniform(0.4, 1.0))
        cw, ch = max(2, int(w / scale * part)), max(2, int(h / scale * part))
        x, y = int(rng.integers(paper.shape[1] - cw + 1)), int(rng.integers(paper.shape[0] - ch + 1))
        image = cv2.resize(paper[y : y + ch, x : x + cw], size, interpolation=cv2.INTER_LINEAR)
        image = image[:, ::-1] if rng.random() < 0.5 else image
    else:
        corners = rng.uniform(20, 240, (2, 2, 1)) + rng.normal(0, 22, (2, 2, 3))
        image = cv2.resize(np.clip(corners, 0, 255).astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
        if choice > 0.65:
            cells = int(rng.integers(3, 40))
            noise = rng.normal(0, rng.uniform(5, 45), (cells, cells, 3)).astype(np.float32)
            image = image + cv2.resize(noise, size, interpolation=cv2.INTER_CUBIC)
        if choice > 0.75:
            image = np.ascontiguousarray(image)
            for _ in range(int(rng.integers(3, 30))):
                a = rng.uniform(-0.1, 1.0, 2) * size
                b = a + rng.uniform(0.03, 0.5, 2) * size
                color = tuple(rng.uniform(10, 245) + rng.normal(0, 30, 3))
                if rng.random() < 0.7:
                    cv2.rectangle(image, tuple(a.astype(int)), tuple(b.astype(int)), color, -1)
                else:
                    cv2.line(image, tuple(a.astype(int)), tuple(b.astype(int)), color, int(rng.integers(1, 12)))
    out: Image = np.ascontiguousarray(np.clip(image, 0, 255).astype(np.uint8))
    if rng.random() < 0.6:
        out = cv2.GaussianBlur(out, (0, 0), float(rng.uniform(0.5, 5))).astype(np.uint8)
    return out


def occluders(rng: np.random.Generator, size: tuple[int, int], assets: Assets) -> tuple[npt.NDArray[np.bool_], Image]:
    """Objects in front of everything: their mask (2h, 2w) and their picture (h, w, 3)."""
    w, h = size
    mask = np.zeros((h * SUPERSAMPLING, w * SUPERSAMPLING), np.uint8)
    for _ in range(int(rng.integers(1, 4))):
        kind = rng.random()
        center = rng.uniform(0.1, 0.9, 2) * (w, h) * SUPERSAMPLING
        if kind < 0.35:
            extent = rng.uniform(0.08, 0.4, 2) * (w, h) * SUPERSAMPLING
            box = cv2.boxPoints((tuple(center), tuple(extent), float(rng.choice([0, rng.uniform(0, 90)]))))
            cv2.fillPoly(mask, [np.round(box).astype(np.int32)], 1)
        elif kind < 0.6:
            axes = rng.uniform(0.04, 0.2, 2) * min(w, h) * SUPERSAMPLING
            cv2.ellipse(mask, (tuple(center), tuple(2 * axes), float(rng.uniform(0, 180))), 1, -1)
        elif kind < 0.8:
            # A table or a wall along the lower border.
            top = int(rng.uniform(0.55, 0.92) * h * SUPERSAMPLING)
            tilt = int(rng.normal(0, 0.03) * h * SUPERSAMPLING)
            end = h * SUPERSAMPLING
            cv2.fillPoly(
                mask, [np.array([[0, top], [w * SUPERSAMPLING, top + tilt], [w * SUPERSAMPLING, end], [0, end]])], 1
            )
        else:
            ends = rng.uniform(0, 1, (2, 2)) * (w, h) * SUPERSAMPLING
            if rng.random() < 0.5:
                ends[1, 0], ends[:, 1] = ends[0, 0], (0, h * SUPERSAMPLING)
            thick = int(rng.uniform(0.02, 0.09) * min(w, h) * SUPERSAMPLING) + 1
            cv2.line(mask, tuple(ends[0].astype(int)), tuple(ends[1].astype(int)), 1, thick)
    picture = background(rng, size, assets)
    if rng.random() < 0.5:
        picture = (0.3 * picture + 0.7 * rng.uniform(10, 240, 3)).astype(np.uint8)
    return mask > 0, picture


@lru_cache(maxsize=1)
def _grain() -> Floats:
    return np.random.default_rng(7).normal(0, 1, (768, 768, 3)).astype(np.float32)


def _motion(length: float, angle: float) -> Floats:
    """A motion blur kernel: a line of `length` pixels."""
    side = 2 * int(np.ceil(length / 2)) + 1
    kernel = np.zeros((side, side), np.float32)
    reach = np.array([np.cos(angle), np.sin(angle)]) * length / 2
    middle = np.full(2, side // 2)
    a, b = np.round((middle - reach) * 16).astype(int), np.round((middle + reach) * 16).astype(int)
    cv2.line(kernel, (int(a[0]), int(a[1])), (int(b[0]), int(b[1])), 1.0, 1, cv2.LINE_8, 4)
    return np.asarray(kernel / kernel.sum(), np.float32)


def _defocus(radius: float) -> Floats:
    """A defocus kernel: a disc with a soft edge."""
    reach = int(np.ceil(radius))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    kernel = np.clip(radius + 0.5 - np.hypot(x, y), 0, 1).astype(np.float32)
    return np.asarray(kernel / kernel.sum(), np.float32)


def photograph(
    rng: np.random.Generator, frame: Render, covered: npt.NDArray[np.bool_] | None, cover: Image | None, assets: Assets
) -> Image:
    """Composite the render onto a background and degrade it like a camera -> (h, w, 3) uint8 BGR."""
    h, w = frame.color.shape[:2]
    scene = background(rng, (w, h), assets).astype(np.float32) / 255
    image = frame.color[..., :3] + (1 - frame.color[..., 3:]) * scene * scene
    if covered is not None and cover is not None:
        alpha = cv2.resize(covered.astype(np.float32), (w, h), interpolation=cv2.INTER_AREA)[..., None]
        image = image * (1 - alpha) + alpha * (cover.astype(np.float32) / 255) ** 2
    exposure = float(np.exp(rng.normal(0, 0.3)))
    if rng.random() < 0.14:  # burnt out or nearly dark
        exposure *= float(np.exp(rng.choice([rng.uniform(0.6, 1.4), -rng.uniform(0.7, 1.8)])))
    balance = np.exp(rng.normal(0, 0.05, 3)).astype(np.float32)
    image = np.sqrt(np.clip(image * (exposure * balance), 0, 1)) * 255
    contrast = float(np.clip(rng.normal(1, 0.1), 0.7, 1.3))
    image = (image - 128) * contrast + 128 + rng.normal(0, 6)
    if rng.random() < 0.3:
        image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.4, 1.6)))
    elif rng.random() < 0.2:
        image = np.asarray(cv2.filter2D(image, -1, _defocus(float(rng.uniform(1, 4)))))
    if rng.random() < 0.12:
        image = np.asarray(cv2.filter2D(image, -1, _motion(rng.uniform(2, 14), rng.uniform(0, np.pi))))
    if rng.random() < 0.2:
        part = float(np.exp(rng.uniform(np.log(0.18), np.log(0.8))))
        small = cv2.resize(image, None, fx=part, fy=part, interpolation=cv2.INTER_AREA)
        method = cv2.INTER_LINEAR if rng.random() < 0.6 else cv2.INTER_CUBIC
        image = np.asarray(cv2.resize(small, (w, h), interpolation=method))
    if rng.random() < 0.7:
        grain = _grain()
        x, y = (int(rng.integers(max(len(grain) - side, 0) + 1)) for side in (w, h))
        patch = grain[y : y + h, x : x + w]
        if patch.shape[:2] == (h, w):
            image = image + float(rng.exponential(3.5)) * patch
    if rng.random() < 0.04:
        image = image.mean(axis=2, keepdims=True).repeat(3, axis=2)
    out: Image = np.clip(image, 0, 255).astype(np.uint8)
    if rng.random() < 0.4:
        data = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(20, 88))])[1]
        out = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    return out
