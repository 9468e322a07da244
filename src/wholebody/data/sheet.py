"""Contact sheets of labelled pictures: `wholebody data view`.

The person's left is orange, the right blue, and points without a side are white. Visible points are filled, hidden ones
hollow. Reads folders of synthetic shards and annotation files of COCO-WholeBody's layout.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from wholebody.arrays import AnyFloats, Image
from wholebody.choices import SheetPart
from wholebody.data.coco import read_labels
from wholebody.data.labels import picture_path
from wholebody.errors import WholebodyError
from wholebody.images import read_image, write_image
from wholebody.schema import COCO_WHOLEBODY

LEFT, RIGHT, MIDDLE = (0, 140, 255), (255, 120, 0), (255, 255, 255)

IGNORED = (128, 128, 128)
# Positions are cut off here, because OpenCV refuses those of more than 32 bits; points as far away are not drawn.
FAR = 1 << 20
# If there is a confidence instead of a flag, this value counts as visible.
_SURE = 0.3


@dataclass(frozen=True, eq=False)
class LabelledPicture:
    """A picture and its N people.

    Attributes:
        image: (H, W, 3) uint8 BGR.
        keypoints: (N, 133, 2) pixels. visible: (N, 133) 0 unlabelled, 1 hidden, 2 visible; or a confidence below 1.
        boxes: (N, 4) xyxy. others: (M, 4) boxes of ignored regions, drawn grey.
    """

    image: Image
    keypoints: AnyFloats
    visible: AnyFloats
    boxes: AnyFloats
    others: AnyFloats


def sides() -> npt.NDArray[np.int64]:
    """(133,) 1 for points of the person's left, -1 for the right, 0 for those without a side."""
    schema = COCO_WHOLEBODY
    rows = np.arange(len(schema))
    # Face points are only numbered. In a pair the first is the right one, except on the lower lip, which is numbered
    # from left to right.
    side = np.where(rows < schema.flip, -1, 1)
    lower_lip = schema.parts["face"].start + np.array([55, 56, 58, 59, 65, 67])
    side[lower_lip] *= -1
    for row, name in enumerate(schema.names):
        if name.startswith(("left_", "right_")):
            side[row] = 1 if name.startswith("left_") else -1
    return np.where(rows == schema.flip, 0, side)


def view(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    images: str | os.PathLike[str] | None = None,
    count: int = 24,
    points: bool = True,
    part: SheetPart = "whole",
    seed: int = 0,
    tile: int = 320,
) -> int:
    """Write a sheet of `count` random labelled pictures, chosen by `seed`, from shards or an annotation file.

    Args:
        images: the folder of an annotation file's pictures.
        part: zoom in on one person's face, hands or feet instead; people without a visible one are left out.
        tile: pixels of the side of each picture on the sheet.

    Returns:
        the number of pictures on the sheet.

    Raises:
        WholebodyError: the labels or a picture cannot be read, nothing is left to show, or the sheet cannot be written.
    """
    found = _Shards(source) if Path(source).is_dir() else _Annotations(source, images)
    rng = np.random.default_rng(seed)
    tiles = []
    for index in rng.permutation(len(found)):
        labelled = found[int(index)]
        if part == "whole":
            tiles.append(draw(labelled, tile, points))
        else:
            tiles += [draw(piece, tile, points) for piece in _zoomed(labelled, part)][:1]
        if len(tiles) == count:
            break
    if not tiles:
        raise WholebodyError(f"{source}: nothing to show{'' if part == 'whole' else f', no {part} are visible'}.")
    write_image(output, sheet(tiles))
    return len(tiles)


def sheet(tiles: Sequence[Image], gap: int = 4) -> Image:
    """Arrange square tiles of one size in rows, about as wide as high."""
    side = tiles[0].shape[0]
    across = int(np.ceil(np.sqrt(len(tiles) * 1.4)))
    down = -(-len(tiles) // across)
    page = np.full((down * (side + gap) + gap, across * (side + gap) + gap, 3), 32, np.uint8)
    for i, picture in enumerate(tiles):
        top, left = gap + i // across * (side + gap), gap + i % across * (side + gap)
        page[top : top + side, left : left + side] = picture
    return page


def whole_pixels(points: AnyFloats) -> npt.NDArray[np.int64]:
    """Positions as OpenCV takes them: rounded, and at most `FAR` away."""
    return np.clip(np.rint(points), -FAR, FAR).astype(np.int64)


def draw(labelled: LabelledPicture, side: int, points: bool = True) -> Image:
    """A picture fitted into a square with its boxes and points."""
    height, width = labelled.image.shape[:2]
    zoom = side / max(height, width)
    how = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
    shown = cv2.resize(labelled.image, (max(1, round(width * zoom)), max(1, round(height * zoom))), interpolation=how)
    canvas = np.full((side, side, 3), 64, np.uint8)
    canvas[: shown.shape[0], : shown.shape[1]] = shown[:side, :side]
    if not points:
        return canvas
    for boxes, color in ((labelled.others, IGNORED), (labelled.boxes, (80, 220, 80))):
        for x0, y0, x1, y1 in whole_pixels((np.asarray(boxes) + 0.5) * zoom).tolist():
            cv2.rectangle(canvas, (x0, y0), (x1, y1), color, 1)
    side_of = sides()
    for person, flags in zip(labelled.keypoints, labelled.visible, strict=True):
        at = whole_pixels(((person + 0.5) * zoom - 0.5) * 16)
        extent = np.ptp(person[flags > 0], axis=0).max() * zoom if (flags > 0).any() else 0
        large, small = (3, 2) if extent > 150 else (2, 1)
        for k in np.flatnonzero(flags > 0).tolist():
            color = (MIDDLE, LEFT, RIGHT)[side_of[k]]
            radius = (large if k < 23 else small) * 16
            seen = flags[k] >= 2 or _SURE < flags[k] < 1
            place = (int(at[k, 0]), int(at[k, 1]))
            if max(abs(place[0]), abs(place[1])) >= FAR:
                continue
            cv2.circle(canvas, place, radius, color, cv2.FILLED if seen else 1, cv2.LINE_AA, 4)
    return canvas


_PARTS = {"face": ("face",), "hands": ("left_hand", "right_hand"), "feet": ("feet",)}


def _zoomed(labelled: LabelledPicture, part: SheetPart) -> list[LabelledPicture]:
    """A window around one part of each person for whom most of it is visible."""
    found = []
    for person, flags in zip(labelled.keypoints, labelled.visible, strict=True):
        groups = [np.arange(len(flags))[COCO_WHOLEBODY.parts[name]] for name in _PARTS[part]]
        groups = [
            rows for rows in groups if ((flags[rows] >= 2) | ((flags[rows] > _SURE) & (flags[rows] < 1))).mean() > 0.5
        ]
        if not groups:
            continue
        points = person[np.concatenate(groups)]
        low, high = points.min(axis=0), points.max(axis=0)
        reach = max(0.75 * float((high - low).max()), 6.0)
        middle = (low + high) / 2
        limit = np.array(labelled.image.shape[1::-1])
        start = np.clip(np.floor(middle - reach), 0, limit - 2).astype(int)
        end = np.clip(np.ceil(middle + reach), start + 2, limit).astype(int)
        piece = labelled.image[start[1] : end[1], start[0] : end[0]]
        none = np.zeros((0, 4))
        found.append(LabelledPicture(piece, (person - start)[None], flags[None], none, none))
    return found


class _Shards:
    """The pictures of a folder of shards."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        from wholebody.data.shards import read_shards

        self.shards = read_shards(folder)

    def __len__(self) -> int:
        return len(self.shards)

    def __getitem__(self, index: int) -> LabelledPicture:
        record = self.shards.records[index]
        people = record.get("people", (record,))
        points = np.array([person["keypoints"] for person in people], np.float64).reshape(-1, len(COCO_WHOLEBODY), 3)
        boxes = np.array([person["box"] for person in people], np.float64).reshape(-1, 4)
        others = np.array([thing["box"] for thing in record.get("clutter", ())], np.float64).reshape(-1, 4)
        return LabelledPicture(self.shards.image(index), points[..., :2], points[..., 2], boxes, others)


class _Annotations:
    """The pictures of an annotation file that show labelled people."""

    def __init__(self, path: str | os.PathLike[str], images: str | os.PathLike[str] | None) -> None:
        if images is None:
            raise WholebodyError(f"{path}: where are its pictures? Name their folder with --images.")
        self.labels, self.folder = read_labels(path, strict=False), images
        self.numbers = np.unique(self.labels.image_ids[~self.labels.iscrowd])

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> LabelledPicture:
        rows = np.flatnonzero(self.labels.image_ids == self.numbers[index])
        crowd = self.labels.iscrowd[rows]
        picture = self.labels.images[int(self.numbers[index])]
        kept, boxes = rows[~crowd], self.labels.boxes
        image = read_image(picture_path(self.folder, picture.file_name))
        return LabelledPicture(
            image, self.labels.keypoints[kept], self.labels.visible[kept], boxes[kept], boxes[rows[crowd]]
        )
