"""People packed for a graphics card: cut out once with a wide margin, then cropped and changed there, batch by batch.

    write_packed("work/packed/00.npz", [pack(person, chance) for person in people])
    people = PackedPeople.read(["work/packed/00.npz"], torch.device("cuda"))
    batch = people.draw(512)

A person takes a few kilobytes in a file and a third of a megabyte on the card, so tens of thousands fit. The changes
are like those of `wholebody.train.data.augment`, for a whole batch at once (`augment_batch`). One is added: the photo
may end beside or within the person, who is then cropped as a detector would do it, and what is outside is known to be
(`NOWHERE`). A crop that reaches beyond the margin is black there.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from wholebody.errors import WholebodyError
from wholebody.files import replacing
from wholebody.geometry import PADDING, Crop, center_scale, crop_matrix
from wholebody.reading import load_arrays, reading
from wholebody.schema import COCO_WHOLEBODY
from wholebody.train.data.augment import cut
from wholebody.train.data.augment_batch import (
    FAR,
    MILD,
    Look,
    chosen,
    cutout,
    half_body,
    other_look,
    portrait,
    truncated,
    turned,
)
from wholebody.train.data.people import NOWHERE, LabelledPerson
from wholebody.train.lesson import Batch

# (w, h) of a network's crop, and of a packed picture, with the crop in its middle, pixel for pixel.
CROP, WIDE = (192, 256), (288, 384)
# A picture has fewer pixels if the photo has no more; and the least height.
_LEAST, _QUALITY = 96, 72
# Weight of a point that is known to be outside of the crop, and from how many pixels outside.
_ABSENT, _BESIDE = 0.3, 6
_TRUNK = [5, 6, 11, 12]
# Which side of the photo is cut off (left, top, right, bottom), and at most how much of the person.
_SIDES, _MOST = (0.3, 0.1, 0.3, 0.3), (0.5, 0.2, 0.5, 0.6)


class Packed(NamedTuple):
    """One person; positions are in pixels of WIDE."""

    picture: npt.NDArray[np.uint8]  # the bytes of a WebP file
    keypoints: npt.NDArray[np.float32]  # (133, 2)
    visible: npt.NDArray[np.float32]  # (133,) as `LabelledPerson.visible`
    box: npt.NDArray[np.float32]  # (4,)
    chance: float  # how often the person is drawn, in proportion


def pack(person: LabelledPerson, chance: float = 1.0) -> Packed:
    """Cut a person out.

    Raises:
        WholebodyError: the picture cannot be read.
    """
    center, extent = center_scale(person.box, CROP)
    extent = extent * WIDE[0] / CROP[0]
    crop = Crop(crop_matrix(center, extent, WIDE), WIDE)
    # Multiples of four, so that both sides shrink alike.
    height = int(np.clip(extent[1], _LEAST, WIDE[1])) // 4 * 4
    size = (height * WIDE[0] // WIDE[1], height)
    picture = cut(person.image, Crop(crop_matrix(center, extent, size), size))
    data = cv2.imencode(".webp", picture, [cv2.IMWRITE_WEBP_QUALITY, _QUALITY])[1]
    box = crop.to_input(person.box.reshape(2, 2)).ravel()
    keypoints = crop.to_input(person.keypoints).astype(np.float32)
    return Packed(np.asarray(data, np.uint8).ravel(), keypoints, person.visible, box.astype(np.float32), chance)


def write_packed(path: str | os.PathLike[str], people: Sequence[Packed]) -> None:
    """Write some people as one .npz file, for `PackedPeople.read`."""
    columns: dict[str, Any] = {
        "pictures": np.concatenate([each.picture for each in people]),
        "ends": np.cumsum([len(each.picture) for each in people]),
        "keypoints": np.stack([each.keypoints for each in people]),
        "visible": np.stack([each.visible for each in people]),
        "box": np.stack([each.box for each in people]),
        "chance": np.array([each.chance for each in people], np.float32),
    }
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez(file, **columns)


@dataclass(frozen=True, eq=False)
class PackedPeople:
    """People on a device.

    Attributes:
        pictures: (P, 384, 288, 3) uint8 BGR, black outside of the photo.
        keypoints, visible, box: (P, 133, 2), (P, 133) and (P, 4), in pixels of the pictures.
        chance: (P,) how often each is drawn, in proportion.
        weights: (133,) the weight of each keypoint.
        look: strengths of the changes.
    """

    pictures: Tensor
    keypoints: Tensor
    visible: Tensor
    box: Tensor
    chance: Tensor
    weights: Tensor
    look: Look = MILD

    @classmethod
    def read(
        cls,
        paths: Sequence[str | os.PathLike[str]],
        device: torch.device,
        weights: npt.NDArray[np.float32] | None = None,
        look: Look = MILD,
    ) -> "PackedPeople":
        """The people of some files of `write_packed`.

        Raises:
            WholebodyError: a file is missing or damaged, or there is none.
        """
        if not paths:
            raise WholebodyError("name at least one file of packed people.")
        parts = [_read(Path(path)) for path in paths]
        joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        every = np.ones(len(COCO_WHOLEBODY), np.float32) if weights is None else weights
        columns = {name: torch.from_numpy(column).to(device) for name, column in joined.items()}
        return cls(**columns, weights=torch.from_numpy(every).to(device), look=look)

    def __len__(self) -> int:
        return len(self.box)

    def plain(self, rows: slice) -> Tensor:
        """The usual crops (N, 256, 192, 3) of some people, unchanged."""
        left, top = _margins()
        return self.pictures[rows, top : top + CROP[1], left : left + CROP[0]]

    def points(self) -> Tensor:
        """The keypoints (P, 133, 2) in pixels of `plain`."""
        return self.keypoints - torch.tensor(_margins(), device=self.box.device)

    @torch.no_grad()
    def draw(self, count: int) -> Batch:
        """A batch of random people; the random numbers are torch's."""
        rows, look, (w, h) = torch.multinomial(self.chance, count, replacement=True), self.look, CROP
        device = rows.device
        points, visible, box, mirrored = self._mirrored(rows)
        photo = self._cut(points, visible, box)
        box = box.maximum(photo[:, [0, 1, 0, 1]]).minimum(photo[:, [2, 3, 2, 3]])
        there = _within(points, photo)
        shown = (visible > 0) & there
        center, extent = (box[:, :2] + box[:, 2:]) / 2, (box[:, 2:] - box[:, :2]) * PADDING
        center, extent = half_body(points, shown, center, extent, look)
        center, extent = portrait(points, shown, center, extent, look)
        extent = torch.maximum(extent[:, :1], extent[:, 1:] * w / h) * torch.tensor([1.0, h / w], device=device)
        moved = chosen(count, 0.3, device)[:, None]
        center = torch.where(moved, center + extent * look.shift * truncated(count, 2, device), center)
        low, high = look.scale
        extent = extent * ((low + high) / 2 + (high - low) / 2 * truncated(count, 1, device))
        angle = torch.deg2rad(look.rotation * truncated(count, 1, device)[:, 0]) * chosen(count, 0.6, device)
        # The matrix of `geometry.crop_matrix`: p -> scale * turned(p - center) + middle.
        scale = (w / extent[:, 0])[:, None, None]
        middle = torch.tensor([w / 2, h / 2], device=device)
        at = scale * turned(points - center[:, None], angle) + middle
        far = ((at < -_BESIDE) | (at > 2 * middle - 1 + _BESIDE)).any(dim=-1)
        absent = (visible < 0) | ((visible > 0) & (far | ~there))
        weight = torch.where(absent, _ABSENT, visible.clamp(min=0)) * self.weights
        at = torch.where(absent[..., None], NOWHERE, at)
        columns, lines = torch.arange(w, device=device), torch.arange(h, device=device)
        places = torch.stack(torch.meshgrid(columns, lines, indexing="xy"), dim=-1)
        source = turned((places - middle).reshape(1, -1, 2), -angle) / scale + center[:, None]
        images = self._pixels(rows, source.reshape(count, h, w, 2), mirrored, photo)
        images = cutout(other_look(images, look), look)
        images = images.clamp(0, 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()
        return Batch(images, at, weight)

    def _mirrored(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Keypoints, visibility and box of some people, half of them mirrored, and which."""
        points, visible, box = self.keypoints[rows], self.visible[rows], self.box[rows]
        which = chosen(len(rows), 0.5, rows.device)
        edge, flip = WIDE[0] - 1, torch.as_tensor(COCO_WHOLEBODY.flip, device=rows.device)
        other = torch.stack([edge - points[:, flip, 0], points[:, flip, 1]], dim=-1)
        other_box = torch.stack([edge - box[:, 2], box[:, 1], edge - box[:, 0], box[:, 3]], dim=-1)
        points = torch.where(which[:, None, None], other, points)
        visible = torch.where(which[:, None], visible[:, flip], visible)
        return points, visible, torch.where(which[:, None], other_box, box), which

    def _cut(self, points: Tensor, visible: Tensor, box: Tensor) -> Tensor:
        """The borders of the photo (N, 4): mostly far away, else one of them a line through the person, if two points
        of the trunk remain."""
        count, device = len(box), box.device
        far = torch.tensor([-FAR, -FAR, FAR, FAR], device=device).expand(count, 4)
        side = torch.multinomial(torch.tensor(_SIDES, device=device), count, replacement=True)
        most = torch.tensor(_MOST, device=device)[side]
        share = (most * torch.rand(count, device=device))[:, None]
        extent = box[:, 2:] - box[:, :2]
        lines = torch.cat([box[:, :2] + share * extent, box[:, 2:] - share * extent], dim=1)
        photo = torch.where(F.one_hot(side, 4).bool(), lines, far)
        trunk = (_within(points[:, _TRUNK], photo) & (visible[:, _TRUNK] > 0)).sum(dim=1) >= 2
        return torch.where((trunk & chosen(count, self.look.cut, device))[:, None], photo, far)

    def _pixels(self, rows: Tensor, source: Tensor, mirrored: Tensor, photo: Tensor) -> Tensor:
        """The pixels (N, 3, h, w) at places of the pictures (N, h, w, 2), black outside of the photo."""
        inside = ((source >= photo[:, None, None, :2]) & (source <= photo[:, None, None, 2:])).all(dim=-1)
        x = torch.where(mirrored[:, None, None], WIDE[0] - 1 - source[..., 0], source[..., 0])
        # From -1 to 1 between the outer borders of the outer pixels.
        grid = (2 * torch.stack([x, source[..., 1]], dim=-1) + 1) / torch.tensor(WIDE, device=rows.device) - 1
        pictures = self.pictures[rows].permute(0, 3, 1, 2).float()
        return F.grid_sample(pictures, grid, align_corners=False) * inside[:, None]


def _read(path: Path) -> dict[str, npt.NDArray[Any]]:
    """The columns of a file, with the pictures decoded."""
    shapes = {"keypoints": (len(COCO_WHOLEBODY), 2), "visible": (len(COCO_WHOLEBODY),), "box": (4,), "chance": ()}
    with reading(path, "a file of packed people", "Write it with `write_packed`"):
        found = load_arrays(path)
        columns, ends = {name: found[name] for name in shapes}, found["ends"]
        wanted = {name: (len(ends), *shape) for name, shape in shapes.items()}
        if (given := {name: column.shape for name, column in columns.items()}) != wanted:
            raise ValueError(f"columns of {given}")
        with ThreadPoolExecutor() as pool:
            columns["pictures"] = np.stack(list(pool.map(_decoded, np.split(found["pictures"], ends[:-1]))))
    return columns


def _decoded(data: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    try:
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    except cv2.error:
        picture = None
    if picture is None:
        raise ValueError("a picture is damaged")
    # Crops map pixel 0 to pixel 0 (`crop_matrix`), which cv2.resize does not.
    height, width = picture.shape[:2]
    larger = np.array([[WIDE[0] / width, 0, 0], [0, WIDE[1] / height, 0]])
    return np.asarray(cv2.warpAffine(picture, larger, WIDE, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _margins() -> tuple[int, int]:
    """Columns and rows of a picture before the crop in its middle."""
    return (WIDE[0] - CROP[0]) // 2, (WIDE[1] - CROP[1]) // 2


def _within(points: Tensor, photo: Tensor) -> Tensor:
    return ((points >= photo[:, None, :2]) & (points <= photo[:, None, 2:])).all(dim=-1)
