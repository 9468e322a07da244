"""Pictures for a detector: zero to twelve people of all sizes, and objects that look like people.

`SceneGenerator(people)(seed, index)` is a pure function of its two numbers. Eight consecutive pictures choose from the
same twelve people, with new positions, rotations and lighting each time. A picture's label has "clutter", the other
objects, and "people". For each person it has the box around the visible part, 133 points with flags, the fraction of
the body inside the picture, and the fraction of that which is not occluded.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from wholebody.arrays import Doubles, Floats
from wholebody.data.shards import LabelledJpeg
from wholebody.synth import rotations
from wholebody.synth.clutter import image_of, make_thing, sheet
from wholebody.synth.people import Person, PersonGenerator, make_person, occluders, photograph, sample_light
from wholebody.synth.render import SUPERSAMPLING, Camera, Mesh, Render, join, render, visibility
from wholebody.synth.textures import fabric

TOGETHER, CAST = 8, 12
# How many people a picture shows: nobody, one, two ...
CROWD = np.array([0.2, 0.22, 0.15, 0.1, 0.07, 0.06, 0.05, 0.04, 0.03, 0.025, 0.02, 0.02, 0.015])
# Below these shares and this side in pixels, nobody could say for sure that there is a person.
LEAST_SEEN, LEAST_INSIDE, LEAST_SIDE = 0.2, 0.04, 7
_SHADOWS = 768


@dataclass(frozen=True, eq=False)
class SceneGenerator:
    """The generator.

    Attributes:
        people: body and assets.
        size: pixels of the longer side. quality: JPEG quality of the stored picture.
    """

    people: PersonGenerator
    size: int = 640
    quality: int = 90

    def __call__(self, seed: int, index: int) -> LabelledJpeg:
        """Picture number `index` of the set `seed`."""
        rng = np.random.default_rng([seed, index, 2])
        papers = self.people.assets.wallpapers
        count = int(rng.choice(len(CROWD), p=CROWD / CROWD.sum()))
        cast = [self._person(seed, index // TOGETHER, int(k)) for k in rng.choice(CAST, size=count, replace=False)]
        things = [make_thing(rng, self.people.body, papers) for _ in range(_how_many_things(rng, count))]
        if rng.random() < (0.15 if count else 0.35):
            model = self._person(seed, index // TOGETHER, int(rng.integers(CAST)))
            things.append(image_of(rng, model.mesh))

        camera = sample_camera(rng, self.size)
        placed = place(rng, camera, [*(person.mesh for person in cast), *(thing.mesh for thing in things)])
        meshes = [moved(mesh, *spot, owner=i) for i, (mesh, spot) in enumerate(placed)]
        light = sample_light(rng)
        ground = [_ground(rng, meshes, papers)] if meshes and rng.random() < 0.5 else []
        frame = render(join([*meshes, *ground]), camera, light, _SHADOWS) if meshes else _empty(camera)
        covered, cover = occluders(rng, camera.size, self.people.assets) if rng.random() < 0.12 else (None, None)
        image = photograph(rng, frame, covered, cover, self.people.assets)

        owner = frame.owner if covered is None else np.where(covered, -1, frame.owner)
        boxes = owner_boxes(owner, len(meshes))
        people = []
        for i, person in enumerate(cast):
            if not np.isfinite(boxes[i]).all():
                continue  # behind everything, or beside the picture
            near = seen_from(camera, *placed[i][1])
            points = person.keypoints_from(near.eye)
            flags = visibility(points, person.tolerances, near, frame.depth, covered)
            at = near.project(points)[:, :2].astype(np.float64).round(2)
            inside, seen = shares(meshes[i].vertices[::16], camera, owner, i)
            people.append(
                {
                    "box": boxes[i].round(2).tolist(),
                    "keypoints": [[float(x), float(y), int(v)] for (x, y), v in zip(at, flags, strict=True)],
                    "inside": round(inside, 3),
                    "seen": round(seen, 3),
                    "sampled": person.record,
                }
            )
        clutter = [
            {"kind": thing.kind, "box": box.round(2).tolist(), "doubtful": thing.doubtful}
            for thing, box in zip(things, boxes[count:], strict=True)
            if np.isfinite(box).all()
        ]
        record = {
            "seed": seed,
            "index": index,
            "width": camera.size[0],
            "height": camera.size[1],
            "people": people,
            "clutter": clutter,
            "sampled": {
                "focal": round(camera.focal, 1),
                "ground": bool(ground),
                "occluded": covered is not None,
            },
        }
        jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, self.quality])[1].tobytes()
        return LabelledJpeg(jpeg, record)

    @lru_cache(maxsize=2 * CAST)  # noqa: B019 - one generator lives as long as its process
    def _person(self, seed: int, group: int, number: int) -> Person:
        rng = np.random.default_rng([seed, group, number, 3])
        made = self.people
        return make_person(rng, made.body, made.assets, bvh=made.bvh, bvh_share=made.bvh_share, held_out=made.held_out)


def detector_row(record: Mapping[str, Any]) -> tuple[list[list[float]], list[list[float]]]:
    """The boxes and the regions to ignore (xyxy) that a detector should learn from the label of a scene or a crop.

    Boxes are clipped to the picture. People of whom too little is visible, and images of people (statues, cut-outs),
    become regions to ignore. A crop that shows people besides the labelled one, or only a hand, is ignored as a whole.
    """
    limit = [record["width"], record["height"]] * 2

    def clipped(box: Sequence[float]) -> list[float]:
        # A label's first pixel is centred on 0; here its border is.
        return [round(min(max(v + 0.5, 0), most), 2) for v, most in zip(box, limit, strict=True)]

    if "people" not in record:
        sampled = record["sampled"]
        if sampled["others"] or sampled["framing"] == "hand":
            return [], [[0.0, 0.0, *map(float, limit[:2])]]
        return [clipped(record["box"])], []
    boxes: list[list[float]] = []
    ignore = [clipped(thing["box"]) for thing in record["clutter"] if thing["doubtful"]]
    for person in record["people"]:
        box = clipped(person["box"])
        sure = person["seen"] >= LEAST_SEEN and person["inside"] >= LEAST_INSIDE
        sure &= min(box[2] - box[0], box[3] - box[1]) >= LEAST_SIDE
        (boxes if sure else ignore).append(box)
    return boxes, ignore


def _how_many_things(rng: np.random.Generator, people: int) -> int:
    if people:
        return int(rng.integers(1, 4)) if rng.random() < 0.35 else 0
    return int(rng.integers(1, 8)) if rng.random() < 0.7 else 0


# --- geometry ------------------------------------------------------------


def sample_camera(rng: np.random.Generator, size: int) -> Camera:
    """A camera at (0, 0, height): any aspect ratio, wide-angle to telephoto, hand-held or looking down from above."""
    aspect = float(np.exp(rng.uniform(np.log(0.56), np.log(1.78))))
    w, h = (size, max(64, round(size / aspect))) if aspect >= 1 else (max(64, round(size * aspect)), size)
    view = np.deg2rad(np.exp(rng.uniform(np.log(22), np.log(85))))
    focal = 0.5 * size / np.tan(view / 2)
    high = rng.random() < 0.22
    height = rng.uniform(2.5, 8) if high else float(np.clip(rng.normal(1.45, 0.35), 0.3, 2.3))
    pitch = rng.uniform(8, 50) if high else rng.normal(2, 6)
    rotation = rotations.turn((1, 0, 0), -float(pitch))
    forward = rotation @ np.array([0, 1.0, 0])
    up = rotations.turn(forward, float(rng.normal(0, 3))) @ (rotation @ np.array([0, 0, 1.0]))
    matrix = np.stack([np.cross(forward, up), -up, forward])
    matrix = np.column_stack([matrix, -matrix @ np.array([0, 0, height])]).astype(np.float32)
    return Camera(matrix, float(focal), ((w - 1) / 2, (h - 1) / 2), (w, h))


Spot = tuple[Doubles, Doubles]


def place(rng: np.random.Generator, camera: Camera, meshes: Sequence[Mesh]) -> list[tuple[Mesh, Spot]]:
    """A rotation (3, 3) and a translation (3,) for each mesh, so that it is visible and does not intersect another.

    In some pictures all meshes have similar sizes, in others very different ones. Two in three stand on the floor
    z = 0, the others at any height. Some stand close to the previous one.
    """
    width, height = camera.size
    least, most = np.log(0.045 * max(camera.size)), np.log(1.3 * height)
    alike = rng.uniform(least, most) if rng.random() < 0.65 else None
    spread = rng.uniform(0.1, 0.7)
    eye = -camera.matrix[:, :3].T.astype(float) @ camera.matrix[:, 3].astype(float)
    right, down, forward = camera.matrix[:, :3].astype(float)
    taken: list[Doubles] = []
    placed = []
    for mesh in meshes:
        low, high = mesh.vertices.min(axis=0).astype(float), mesh.vertices.max(axis=0).astype(float)
        extent, middle = float(max((high - low).max(), 0.3)), (low + high) / 2
        yaw = rng.normal(0, 45) if rng.random() < 0.6 else rng.uniform(-180, 180)
        turn = rotations.turn((0, 0, 1), float(yaw))
        for _ in range(12):
            pixels = np.exp(
                rng.uniform(least, most) if alike is None else np.clip(rng.normal(alike, spread), least, most)
            )
            depth = camera.focal * extent / pixels
            x = (rng.uniform(-0.02, 1.02) * width - camera.center[0]) / camera.focal
            if taken and rng.random() < 0.3:
                # Beside the one before: people come in groups.
                aside = np.array([rng.choice([-1, 1]) * rng.uniform(0.35, 0.9), rng.uniform(-0.7, 0.7), 0])
                spot = taken[-1] + aside
                shift = spot - [*(turn @ middle)[:2], 0]
            else:
                y = (-eye[2] / depth - forward[2] - x * right[2]) / down[2]
                row = y * camera.focal + camera.center[1]
                standing = rng.random() < 0.66 and -0.1 * height < row < height + 0.8 * pixels
                if not standing:
                    y = (rng.uniform(0.08, 0.92) * height - camera.center[1]) / camera.focal
                spot = eye + depth * (forward + x * right + y * down)
                shift = spot - turn @ (np.array([middle[0], middle[1], low[2]]) if standing else middle)
            # Nobody's arm reaches behind the camera.
            too_near = 0.2 + 0.5 * float(np.linalg.norm(high - low)) - forward @ (turn @ middle + shift - eye)
            shift = shift + max(0.0, too_near) * forward
            base = turn @ middle + shift
            apart = [base - other for other in taken]
            if all(np.linalg.norm(gap[:2]) > 0.3 * extent or abs(gap[2]) > extent for gap in apart):
                break
        taken.append(base)
        placed.append((mesh, (turn, shift)))
    return placed


def moved(mesh: Mesh, turn: Doubles, shift: Doubles, owner: int) -> Mesh:
    """The mesh rotated, then translated. Faces of its first owner now belong to `owner`."""
    turn, shift = turn.astype(np.float32), shift.astype(np.float32)
    return replace(
        mesh,
        vertices=(mesh.vertices @ turn.T + shift).astype(np.float32),
        normals=(mesh.normals @ turn.T).astype(np.float32),
        owners=np.where(mesh.owners == 0, owner, mesh.owners).astype(np.int32),
    )


def seen_from(camera: Camera, turn: Doubles, shift: Doubles) -> Camera:
    """The camera in the coordinates of an object that was rotated and translated; it sees that object unchanged."""
    rotation, offset = camera.matrix[:, :3].astype(float), camera.matrix[:, 3].astype(float)
    matrix = np.column_stack([rotation @ turn, rotation @ shift + offset])
    return replace(camera, matrix=matrix.astype(np.float32))


def _ground(rng: np.random.Generator, meshes: Sequence[Mesh], papers: Sequence[npt.NDArray[np.uint8]]) -> Mesh:
    """A piece of floor under everything, for shadows; it has no owner."""
    corners = np.array([[mesh.vertices[:, :2].min(axis=0), mesh.vertices[:, :2].max(axis=0)] for mesh in meshes])
    margin = rng.uniform(0.5, 4)
    low, high = corners[:, 0].min(axis=0) - margin, corners[:, 1].max(axis=0) + margin
    steps = 30  # what reaches behind the camera is left out by whole squares
    x, y = np.meshgrid(np.linspace(low[0], high[0], steps), np.linspace(low[1], high[1], steps))
    floor = sheet(np.stack([x, y, np.zeros_like(x)], -1), fabric(rng, papers)[1], float((high - low).max()) / 2)
    return replace(floor, owners=np.full(len(floor.faces), _NOBODY, np.int32))


_NOBODY = 1 << 20


def _empty(camera: Camera) -> Render:
    width, height = camera.size
    large = height * SUPERSAMPLING, width * SUPERSAMPLING
    return Render(
        np.zeros((height, width, 4), np.float32), np.full(large, np.inf, np.float32), np.full(large, -1, np.int32)
    )


# --- what is seen ------------------------------------------------------------


def owner_boxes(owner: npt.NDArray[np.int32], count: int) -> Doubles:
    """(count, 4) x0, y0, x1, y1 in pixels around the visible part of each owner in (2h, 2w); NaN if there is none."""
    boxes = np.full((count, 4), np.nan)
    for i in range(count):
        mine = owner == i
        rows, columns = np.flatnonzero(mine.any(axis=1)), np.flatnonzero(mine.any(axis=0))
        if len(rows):
            boxes[i] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return boxes / SUPERSAMPLING - 0.5


def shares(vertices: Floats, camera: Camera, owner: npt.NDArray[np.int32], row: int) -> tuple[float, float]:
    """The fraction of a person's vertices inside the picture, and the fraction of those that nobody else covers.

    Args:
        owner: (2h, 2w) the owner visible in each sample. row: the person's number there.
    """
    projected = camera.project(vertices)
    at = np.floor((projected[:, :2] + 0.5) * SUPERSAMPLING).astype(int)
    height, width = owner.shape
    inside = (at >= 0).all(axis=1) & (at[:, 0] < width) & (at[:, 1] < height) & (projected[:, 2] > 0)
    if not inside.any():
        return 0.0, 0.0
    return float(inside.mean()), float((owner[at[inside, 1], at[inside, 0]] == row).mean())
