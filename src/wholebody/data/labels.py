"""`Labels`: the labelled people of a data set as arrays, usually in the schema COCO_WHOLEBODY."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from wholebody.arrays import Doubles, Ints, PathLike, Rows
from wholebody.schema import COCO_WHOLEBODY, Schema

# JSON field -> part of the schema.
POINT_FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "keypoints": "body",
        "foot_kpts": "feet",
        "face_kpts": "face",
        "lefthand_kpts": "left_hand",
        "righthand_kpts": "right_hand",
    }
)

# The columns of `Labels.valid`, and the fields they come from.
VALID_FIELDS = ("foot_valid", "face_valid", "lefthand_valid", "righthand_valid")

VALID_PARTS = ("feet", "face", "left_hand", "right_hand")

# Our row of each of Halpe's 136 points, -1 for head, neck and hip. Source: "Keypoints format" in the README of
# Fang-Haoshu/Halpe-FullBody. Feet alternate left and right; faces and hands are ordered as ours.
HALPE_136 = np.array([*range(17), -1, -1, -1, 17, 20, 18, 21, 19, 22, *range(23, 91), *range(91, 133)])

# How `keypoints` is laid out, by its number of points.
KNOWN = {17: np.arange(17), 133: np.arange(133), 136: HALPE_136}


class PictureFile(NamedTuple):
    """A labelled picture: its path relative to the folder of pictures, and its size, 0 if not given."""

    file_name: str
    width: int = 0
    height: int = 0


class Problem(NamedTuple):
    """Why a row cannot be read: `record` is "annotation 12", "image 7" or "annotations[4]" (counted from 0)."""

    record: str
    field: str
    what: str

    def __str__(self) -> str:
        return f"{self.record}: {self.field} {self.what}".replace("  ", " ")


@dataclass(frozen=True, eq=False)
class Labels:
    """M labelled people in many pictures; row m of every array is the same person.

    Attributes:
        ids: (M,) int64 annotation ids.
        image_ids: (M,) int64, keys of `images`.
        keypoints: (M, K, 2) float64, pixels of the picture.
        visible: (M, K) float32 as in the file: 0 unlabelled, 1 occluded, 2 visible, or a confidence.
        boxes: (M, 4) float64 x0, y0, x1, y1.
        areas: (M,) float64 square pixels, as in the file, or else of the box.
        iscrowd: (M,) bool, whether it is a box around a crowd.
        valid: (M, 4) bool, whether feet, face, left hand, right hand (VALID_PARTS) could be labelled; if the file does
            not say, whether they have a labelled point.
        images: image id -> picture, also those without people.
        dropped: the rows of the file that could not be read.
        schema: which K = 133 points they are, or another schema's.
        outlined: whether the file has areas of outlines. CrowdPose and others only have boxes, and OKS uses a fraction
            of their area (`evaluate.report.COVERED`).

    Raises:
        ValueError: shapes do not agree.
    """

    ids: Ints
    image_ids: Ints
    keypoints: Doubles
    visible: npt.NDArray[np.float32]
    boxes: Doubles
    areas: Doubles
    iscrowd: npt.NDArray[np.bool_]
    valid: npt.NDArray[np.bool_]
    images: Mapping[int, PictureFile]
    dropped: tuple[Problem, ...] = field(default=())
    schema: Schema = COCO_WHOLEBODY
    outlined: bool = True

    def __post_init__(self) -> None:
        m, k = len(self.ids), len(self.schema)
        shapes = ((m,), (m,), (m, k, 2), (m, k), (m, 4), (m,), (m,), (m, 4))
        for name, shape in zip(_ARRAYS, shapes, strict=True):
            if getattr(self, name).shape != shape:
                raise ValueError(f"Labels.{name} has shape {getattr(self, name).shape}, expected {shape}")

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: Rows) -> "Labels":
        """Some of the people, by slice, list or mask; all pictures stay."""
        return replace(self, **{name: getattr(self, name)[rows] for name in _ARRAYS})

    @staticmethod
    def empty(schema: Schema = COCO_WHOLEBODY) -> "Labels":
        """Zero people in zero pictures."""
        k = len(schema)
        numbers, points = np.zeros(0, np.int64), np.zeros((0, k), np.float32)
        nobody = np.zeros(0, bool)
        return Labels(
            ids=numbers,
            image_ids=numbers,
            keypoints=np.zeros((0, k, 2)),
            visible=points,
            boxes=np.zeros((0, 4)),
            areas=np.zeros(0),
            iscrowd=nobody,
            valid=np.zeros((0, 4), bool),
            images={},
            schema=schema,
        )

    @staticmethod
    def concatenate(parts: Sequence["Labels"]) -> "Labels":
        """The people and pictures of several files, each renumbered from 1.

        Raises:
            ValueError: their schemas differ.
        """
        if not parts:
            return Labels.empty()
        schema = parts[0].schema
        if any(part.schema is not schema for part in parts):
            raise ValueError(f"labels of several schemas: {', '.join(sorted({part.schema.name for part in parts}))}")
        images: dict[int, PictureFile] = {}
        image_ids = []
        for part in parts:
            old = np.array(sorted(part.images), dtype=np.int64)
            image_ids.append(np.searchsorted(old, part.image_ids) + len(images) + 1)
            first = len(images) + 1
            images.update({first + n: part.images[int(image)] for n, image in enumerate(old)})
        arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _ARRAYS}
        arrays["ids"] = np.arange(1, len(arrays["ids"]) + 1)
        arrays["image_ids"] = np.concatenate(image_ids)
        dropped = sum((part.dropped for part in parts), ())
        outlined = any(part.outlined for part in parts if len(part)) or not len(arrays["ids"])
        return Labels(**arrays, images=images, dropped=dropped, schema=schema, outlined=outlined)


_ARRAYS = tuple(entry.name for entry in fields(Labels))[:8]


def parts_labelled(visible: npt.NDArray[np.floating], schema: Schema = COCO_WHOLEBODY) -> npt.NDArray[np.bool_]:
    """Which of VALID_PARTS have a labelled keypoint: visibilities (M, K) -> (M, 4), False for parts `schema` lacks."""
    parts = [schema.parts.get(part, slice(0, 0)) for part in VALID_PARTS]
    return np.stack([(visible[:, part] > 0).any(axis=1) for part in parts], axis=1)


def picture_path(folder: PathLike, file_name: str) -> Path:
    """The path of an annotation file's picture: below `folder`, also with a leading slash (UBody) or as .jpg for .png.

    If no such file exists, the path is returned as the annotation file states it.
    """
    path = Path(folder) / file_name.lstrip("/")
    if path.exists():
        return path
    for suffix in (".jpg", ".png"):
        if (other := path.with_suffix(suffix)).exists():
            return other
    return path
