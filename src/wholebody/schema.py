"""Keypoint sets. A row number identifies a keypoint, and everything about the set is in one object.

COCO_WHOLEBODY  133 points: 17 body, 6 feet, 68 face, 2 x 21 hands (the bundled networks)
COCO_BODY       17 points: the body of COCO_WHOLEBODY alone (many other networks)
HALPE_26        26 points: COCO's body, head, neck, middle hip and feet (RTMPose's networks for sports)
HAND_21         21 points of one hand, in the order of COCO_WHOLEBODY's hands
FACE_106        106 points of one face (LaPa)
OPENPOSE        130 points: 18 body, 70 face, 2 x 21 hands (what ControlNet and ComfyUI expect)
OPENPOSE_25     137 points: the same with OpenPose's BODY_25, which has feet and a mid-hip

"left" is always the person's own left.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from types import MappingProxyType

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Edge:
    """A bone between rows `a` and `b`, drawn in `color` (R, G, B)."""

    a: int
    b: int
    color: tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Schema:
    """A keypoint set of K points.

    Attributes:
        name: the name in messages and files.
        names: K keypoint names.
        flip: (K,) int, the row of each point's mirror image.
        sigmas: (K,) float, the per-point constants of OKS (Jin et al. 2020). NaN if not published.
        parts: part name -> rows, as slices that together cover 0..K.
        edges: the skeleton to draw.
    """

    name: str
    names: tuple[str, ...]
    flip: npt.NDArray[np.int64]
    sigmas: npt.NDArray[np.float64]
    parts: Mapping[str, slice]
    edges: tuple[Edge, ...]

    def __post_init__(self) -> None:
        k = len(self.names)
        if self.flip.shape != (k,) or self.sigmas.shape != (k,):
            raise ValueError(f"schema {self.name}: flip and sigmas need {k} rows")
        if not np.array_equal(self.flip[self.flip], np.arange(k)):
            raise ValueError(f"schema {self.name}: flip is not its own inverse")

    def __len__(self) -> int:
        return len(self.names)

    @property
    def body(self) -> slice:
        """Rows of the body; all rows for schemas of only a hand or a face."""
        return self.parts.get("body", slice(0, len(self)))

    @property
    def edges_from_one(self) -> tuple[tuple[int, int], ...]:
        """`edges` as pairs of 1-based numbers, the format of skeletons in COCO's annotation files and supervision."""
        return tuple((edge.a + 1, edge.b + 1) for edge in self.edges)

    def __repr__(self) -> str:
        return f"Schema({self.name!r}, {len(self)} keypoints)"

    def __deepcopy__(self, memo: dict[int, object]) -> "Schema":
        return self

    def __reduce__(self) -> str | tuple[object, ...]:
        # Schemas are constants compared by identity, so a worker process must get the same object back. A user's own
        # schema is not registered there, and is pickled by content.
        if any(schema is self for schema in SCHEMAS[:_OWN]):
            return (schema_named, (self.name,))
        return (Schema, (self.name, self.names, self.flip, self.sigmas, dict(self.parts), self.edges))


_BLUE, _GREEN, _ORANGE, _PINK, _SKY, _RED = (
    (51, 153, 255),
    (0, 255, 0),
    (255, 128, 0),
    (255, 153, 255),
    (102, 178, 255),
    (255, 51, 51),
)
_FINGERS = ("thumb", "forefinger", "middle_finger", "ring_finger", "pinky_finger")
_HAND = ("hand_root", *(f"{finger}{joint}" for finger in _FINGERS for joint in (1, 2, 3, 4)))
# Root to fingertip, finger by finger.
HAND_EDGES: tuple[tuple[int, int], ...] = tuple(
    edge for finger in range(5) for edge in pairwise((0, *range(1 + 4 * finger, 5 + 4 * finger)))
)

_BODY_NAMES = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
    "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip",
    "left_knee", "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip
_FOOT_NAMES = ("left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe", "right_heel")

# The mirror image of the 68 face points cannot be derived from their names: the jaw, the brows and the nose wings are
# reversed, the eyes and the lips each within their own loop.
_FACE_FLIP = (
    *range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1),
    45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
    *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), *range(67, 64, -1),
)  # fmt: skip

_BODY_SIGMAS = (
    .026, .025, .025, .035, .035, .079, .079, .072, .072, .062, .062, .107, .107, .087, .087, .089, .089,
)  # fmt: skip
_FOOT_SIGMAS = (0.068, 0.066, 0.066, 0.092, 0.094, 0.094)
_FACE_SIGMAS = (
    .042, .043, .044, .043, .040, .035, .031, .025, .020, .023, .029, .032, .037, .038, .043, .041, .045, .013,
    .012, .011, .011, .012, .012, .011, .011, .013, .015, .009, .007, .007, .007, .012, .009, .008, .016, .010,
    .017, .011, .009, .011, .009, .007, .013, .008, .011, .012, .010, .034, .008, .008, .009, .008, .008, .007,
    .010, .008, .009, .009, .009, .007, .007, .008, .011, .008, .008, .008, .010, .008,
)  # fmt: skip
_HAND_SIGMAS = (
    .029, .022, .035, .037, .047, .026, .025, .024, .035, .018, .024, .022, .026, .017, .021, .021, .032, .020,
    .019, .022, .031,
)  # fmt: skip

# (a, b, colour): green is the person's left, orange the right, blue the middle.
_BODY_EDGES = (
    (15, 13, _GREEN), (13, 11, _GREEN), (16, 14, _ORANGE), (14, 12, _ORANGE), (11, 12, _BLUE), (5, 11, _BLUE),
    (6, 12, _BLUE), (5, 6, _BLUE), (5, 7, _GREEN), (6, 8, _ORANGE), (7, 9, _GREEN), (8, 10, _ORANGE), (1, 2, _BLUE),
    (0, 1, _BLUE), (0, 2, _BLUE), (1, 3, _BLUE), (2, 4, _BLUE), (3, 5, _BLUE), (4, 6, _BLUE),
    (15, 17, _GREEN), (15, 18, _GREEN), (15, 19, _GREEN), (16, 20, _ORANGE), (16, 21, _ORANGE), (16, 22, _ORANGE),
)  # fmt: skip
_FINGER_COLORS = (_ORANGE, _PINK, _SKY, _RED, _GREEN)


def _hand_edges(root: int) -> tuple[Edge, ...]:
    return tuple(Edge(root + a, root + b, _FINGER_COLORS[i // 4]) for i, (a, b) in enumerate(HAND_EDGES))


def _sided(flip_names: tuple[str, ...]) -> list[int]:
    """Rows of the mirror images, from names with left and right (L and R in OpenPose)."""
    swap = {"left": "right", "right": "left", "L": "R", "R": "L"}

    def mirrored(name: str) -> str:
        for side, other in swap.items():
            if name.startswith(side + "_"):
                return other + name[len(side) :]
        return name

    return [flip_names.index(mirrored(name)) for name in flip_names]


COCO_WHOLEBODY = Schema(
    name="coco_wholebody",
    names=(
        *_BODY_NAMES,
        *_FOOT_NAMES,
        *(f"face-{i}" for i in range(68)),
        *(f"left_{name}" for name in _HAND),
        *(f"right_{name}" for name in _HAND),
    ),
    flip=np.array(
        [*_sided((*_BODY_NAMES, *_FOOT_NAMES)), *(23 + i for i in _FACE_FLIP), *range(112, 133), *range(91, 112)]
    ),
    sigmas=np.array([*_BODY_SIGMAS, *_FOOT_SIGMAS, *_FACE_SIGMAS, *_HAND_SIGMAS, *_HAND_SIGMAS]),
    parts=MappingProxyType(
        {
            "body": slice(0, 17),
            "feet": slice(17, 23),
            "face": slice(23, 91),
            "left_hand": slice(91, 112),
            "right_hand": slice(112, 133),
        }
    ),
    edges=(*(Edge(*edge) for edge in _BODY_EDGES), *_hand_edges(91), *_hand_edges(112)),
)
COCO_BODY = Schema(
    name="coco_body",
    names=COCO_WHOLEBODY.names[:17],
    flip=COCO_WHOLEBODY.flip[:17],
    sigmas=COCO_WHOLEBODY.sigmas[:17],
    parts=MappingProxyType({"body": slice(0, 17)}),
    edges=tuple(edge for edge in COCO_WHOLEBODY.edges if max(edge.a, edge.b) < 17),
)

# (a, b, colour) of Halpe's body, by mmpose.
_HALPE_EDGES = (
    (15, 13, _GREEN), (13, 11, _GREEN), (11, 19, _GREEN), (16, 14, _ORANGE), (14, 12, _ORANGE), (12, 19, _ORANGE),
    (17, 18, _BLUE), (18, 19, _BLUE), (18, 5, _GREEN), (5, 7, _GREEN), (7, 9, _GREEN), (18, 6, _ORANGE),
    (6, 8, _ORANGE), (8, 10, _ORANGE), (1, 2, _BLUE), (0, 1, _BLUE), (0, 2, _BLUE), (1, 3, _BLUE), (2, 4, _BLUE),
    (3, 5, _BLUE), (4, 6, _BLUE), (15, 20, _GREEN), (15, 22, _GREEN), (15, 24, _GREEN), (16, 21, _ORANGE),
    (16, 23, _ORANGE), (16, 25, _ORANGE),
)  # fmt: skip
_HALPE_NAMES = (
    *_BODY_NAMES, "head", "neck", "mid_hip",
    *(f"{side}_{point}" for point in ("big_toe", "small_toe", "heel") for side in ("left", "right")),
)  # fmt: skip
HALPE_26 = Schema(
    name="halpe_26",
    names=_HALPE_NAMES,
    flip=np.array(_sided(_HALPE_NAMES)),
    sigmas=np.array([*_BODY_SIGMAS, 0.026, 0.026, 0.066, *[0.079] * 6]),
    parts=MappingProxyType({"body": slice(0, 20), "feet": slice(20, 26)}),
    edges=tuple(Edge(*edge) for edge in _HALPE_EDGES),
)
# A mirrored hand is the other hand, point by point.
HAND_21 = Schema(
    name="hand_21",
    names=_HAND,
    flip=np.arange(21),
    sigmas=np.array(_HAND_SIGMAS),
    parts=MappingProxyType({"hand": slice(0, 21)}),
    edges=_hand_edges(0),
)
# The jaw, the brows, the bridge and the wings of the nose, the eyes, their pupils, the lips; each row's mirror image.
_LAPA_FLIP = (
    *range(32, -1, -1), *range(46, 41, -1), *range(50, 46, -1), *range(37, 32, -1), *range(41, 37, -1), *range(51, 55),
    *range(65, 54, -1), *range(79, 74, -1), 82, 81, 80, 83, *range(70, 65, -1), 73, 72, 71, 74,
    *range(90, 83, -1), *range(95, 90, -1), *range(100, 95, -1), *range(103, 100, -1), 105, 104,
)  # fmt: skip
# Lines along them, from and to, and whether they close.
_LAPA_LINES = (
    (0, 32, False), (33, 37, False), (42, 46, False), (51, 54, False), (55, 65, False), (66, 73, True), (75, 82, True),
    (84, 95, True), (96, 103, True),
)  # fmt: skip
FACE_106 = Schema(
    name="face_106",
    names=tuple(f"lapa-{i}" for i in range(106)),
    flip=np.array(_LAPA_FLIP),
    sigmas=np.full(106, np.nan),
    parts=MappingProxyType({"face": slice(0, 106)}),
    edges=tuple(
        Edge(a, b, _SKY)
        for start, end, closed in _LAPA_LINES
        for a, b in (*pairwise(range(start, end + 1)), *([(end, start)] if closed else []))
    ),
)

# OpenPose's own colours: limb i and joint i share the i-th.
OPENPOSE_COLORS: tuple[tuple[int, int, int], ...] = (
    (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0), (0, 255, 0),
    (0, 255, 85), (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255), (0, 0, 255), (85, 0, 255),
    (170, 0, 255), (255, 0, 255), (255, 0, 170), (255, 0, 85),
)  # fmt: skip
_LIMBS_18 = (
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13),
    (1, 0), (0, 14), (14, 16), (0, 15), (15, 17),
)  # fmt: skip
_OPENPOSE_18 = (
    "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
    "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle",
    "right_eye", "left_eye", "right_ear", "left_ear",
)  # fmt: skip
_OPENPOSE_25 = (
    "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
    "mid_hip", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle",
    "right_eye", "left_eye", "right_ear", "left_ear",
    "left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe", "right_heel",
)  # fmt: skip
_LIMBS_25 = (
    *_LIMBS_18[:6], (1, 8), (8, 9), (9, 10), (10, 11), (8, 12), (12, 13), (13, 14), (1, 0), (0, 15), (15, 17),
    (0, 16), (16, 18), (14, 19), (19, 20), (14, 21), (11, 22), (22, 23), (11, 24),
)  # fmt: skip


def _openpose(name: str, body: tuple[str, ...], limbs: tuple[tuple[int, int], ...]) -> Schema:
    n = len(body)
    face = (*(f"face-{i}" for i in range(68)), "face_right_eye", "face_left_eye")
    flip = [*_sided(body), *(n + i for i in _FACE_FLIP), n + 69, n + 68]
    flip += [*range(n + 91, n + 112), *range(n + 70, n + 91)]
    names = (*body, *face, *(f"left_{hand}" for hand in _HAND), *(f"right_{hand}" for hand in _HAND))
    parts = {"body": (0, 0), "face": (n, 0), "left_hand": (n + 70, 0), "right_hand": (n + 91, 0)}
    bounds = [start for start, _ in parts.values()] + [n + 112]
    edges = tuple(Edge(a, b, OPENPOSE_COLORS[i % 18]) for i, (a, b) in enumerate(limbs))
    return Schema(
        name=name,
        names=names,
        flip=np.array(flip),
        sigmas=np.full(len(names), np.nan),
        parts=MappingProxyType({part: slice(*ends) for part, ends in zip(parts, pairwise(bounds), strict=True)}),
        edges=(*edges, *_hand_edges(n + 70), *_hand_edges(n + 91)),
    )


OPENPOSE = _openpose("openpose", _OPENPOSE_18, _LIMBS_18)
OPENPOSE_25 = _openpose("openpose_25", _OPENPOSE_25, _LIMBS_25)
# The schemas that files and recipes refer to by name. Append your own: `SCHEMAS.append(Schema("horse", ...))`.
SCHEMAS = [COCO_WHOLEBODY, COCO_BODY, OPENPOSE, OPENPOSE_25, HALPE_26, HAND_21, FACE_106]
_OWN = len(SCHEMAS)
# The default schemas for networks whose files only have a number of keypoints.
_BY_NUMBER = {len(schema): schema for schema in (COCO_WHOLEBODY, COCO_BODY, HALPE_26, HAND_21, FACE_106)}


def schema_named(name: str) -> Schema:
    """The schema of that name; ValueError lists the known ones."""
    for schema in SCHEMAS:
        if schema.name == name:
            return schema
    raise ValueError(f"no schema {str(name)[:40]!r}; known: {', '.join(schema.name for schema in SCHEMAS)}")


def schema_with(keypoints: int) -> Schema | None:
    """The default schema for a number of keypoints; None if there is none."""
    return _BY_NUMBER.get(keypoints)


@cache
def conversion(source: Schema, target: Schema) -> tuple[tuple[int, ...], ...]:
    """For each row of `target`, the rows of `source` of which it is the mean.

    Points with the same name correspond; OpenPose's neck and mid-hip are the means of the two shoulders and hips, and
    its face has the two eyes of the body as points 68 and 69.

    Raises:
        ValueError: a point of `target` cannot be computed from `source`.
    """
    made_of = {
        "neck": ("left_shoulder", "right_shoulder"),
        "mid_hip": ("left_hip", "right_hip"),
        "face_right_eye": ("right_eye",),
        "face_left_eye": ("left_eye",),
    }
    row = {name: i for i, name in enumerate(source.names)}
    rows = []
    for name in target.names:
        parents = (name,) if name in row else made_of.get(name, ())
        if not parents or any(parent not in row for parent in parents):
            raise ValueError(f"{source.name} has no {name}, so it cannot become {target.name}")
        rows.append(tuple(row[parent] for parent in parents))
    return tuple(rows)
