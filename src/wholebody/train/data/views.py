"""Views: crops cut once and stored as memory-mapped arrays, with a teacher's output.

A run on views needs neither warping nor a teacher, so many runs can be compared on the same pictures, and steps are as
fast as the student alone. The price is less augmentation: a view is always the same crop, although colours, lighting
and camera may change (`wholebody.train.data.augment.other_look`) while the teacher's output stays the same, and a view
may be mirrored, enlarged and moved together with it. `halve` converts views for a network with half the input size.

    write_views("work/views", crops.draw, 12_000, teacher=teacher)
    views = Views("work/views", codec)

The folder holds `images.npy` uint8 (V, h, w, 3) BGR, `keypoints.npy` (V, K, 2), `weights.npy` (V, K), and from a
teacher `x.npy`, `y.npy` and `feature.npy` in float16. It appears under its name when it is complete; views.json is used
to detect truncated files.
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from wholebody.codec import SimCC
from wholebody.errors import WholebodyError
from wholebody.files import identity, replacing, replacing_folder, sync
from wholebody.reading import map_array, parse_json, reading
from wholebody.schema import COCO_WHOLEBODY, Schema
from wholebody.train.data.augment import other_look
from wholebody.train.data.people import NOWHERE
from wholebody.train.lesson import Batch
from wholebody.train.teachers import Teacher

_LABELS = ("images", "keypoints", "weights")

_TAUGHT = ("x", "y", "feature")
_NOTE = "views.json"
Arrays = Mapping[str, npt.NDArray[Any]]


def write_views(
    folder: str | os.PathLike[str],
    draw: Callable[[range], Batch],
    count: int,
    batch: int = 32,
    teacher: Teacher | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> None:
    """Cut `count` crops, run the teacher on them in batches, and store both.

    A teacher's weights are not stored: it should have all keypoints.

    Args:
        draw: the batch of some samples, as `crops.Crops.draw`.
        batch: the teacher's batch size.
        progress: called with the number of views written.

    Raises:
        WholebodyError: the folder exists, or cannot be written.
    """

    def rows(numbers: range) -> Arrays:
        crops = draw(numbers)
        taught = teacher(crops.images) if teacher else None
        columns: dict[str, Tensor | None] = {
            "images": crops.images,
            "keypoints": crops.keypoints,
            "weights": crops.weight,
        }
        if taught is not None:
            columns |= {"x": taught.x, "y": taught.y, "feature": taught.feature}
        return {
            name: (column.half() if name in _TAUGHT else column).cpu().numpy()
            for name, column in columns.items()
            if column is not None
        }

    _write(Path(folder), rows, count, batch, progress)


def _write(
    final: Path, draw: Callable[[range], Arrays], count: int, batch: int, progress: Callable[[int], None]
) -> None:
    if final.exists():
        raise WholebodyError(f"{final}: exists. Remove it, or choose another folder for the views.")
    arrays: dict[str, npt.NDArray[Any]] = {}
    try:
        with replacing_folder(final) as partial:
            for start in range(0, count, batch):
                numbers = range(start, min(start + batch, count))
                for name, rows in draw(numbers).items():
                    if name not in arrays:
                        arrays[name] = np.lib.format.open_memmap(
                            partial / f"{name}.npy", mode="w+", dtype=rows.dtype, shape=(count, *rows.shape[1:])
                        )
                    arrays[name][start : start + len(rows)] = rows
                progress(numbers.stop)
            for array in arrays.values():
                array.flush()  # type: ignore[attr-defined]
            files = {}
            for path in sorted(partial.glob("*.npy")):
                sync(path)
                files[path.name] = identity(path)
            with replacing(partial / _NOTE, durable=True) as note:
                note.write_text(json.dumps({"count": count, "files": files}))
        sync(final.parent)
    except OSError as error:
        raise WholebodyError(f"{final}: cannot write ({error.strerror}). Free some space.") from error


@dataclass(frozen=True, eq=False)
class Views(Dataset[Batch]):
    """Batches of views. The order of a pass is a function of `seed` and the pass; sample n is one view of it.

    Attributes:
        folder: a folder from `write_views`.
        codec: how keypoints are encoded.
        camera: probability of changing the camera, and possibly the clothing colours, of a view.
        mirror: probability of the mirror image, with the labels and the teacher's output of the mirror image.
        zoom: the largest change of a view's scale, as a logarithm, and of its position, in halves of its size; the
            teacher's output changes with it, its features approximately.
        schema: the keypoints; only their left and right matter.
    """

    folder: Path
    codec: SimCC
    seed: int = 0
    camera: float = 0.0
    mirror: float = 0.0
    zoom: float = 0.0
    schema: Schema = COCO_WHOLEBODY
    arrays: dict[str, npt.NDArray[Any]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        folder = Path(self.folder)
        arrays = _read(folder)
        size = arrays["images"].shape[2:0:-1]
        if size != self.codec.input_size:
            raise WholebodyError(f"{folder}: views of {size}, the network takes {self.codec.input_size}.")
        if self.mirror and arrays["keypoints"].shape[1] != len(self.schema):
            raise WholebodyError(
                f"{folder}: views of {arrays['keypoints'].shape[1]} keypoints, {self.schema.name} has "
                f"{len(self.schema)}, so that left and right are unknown. Name the recipe's schema."
            )
        object.__setattr__(self, "arrays", arrays)

    def __reduce__(self) -> tuple[Any, ...]:
        # Worker processes open the files themselves: pickled, they would be gigabytes.
        return Views, (self.folder, self.codec, self.seed, self.camera, self.mirror, self.zoom, self.schema)

    def __len__(self) -> int:
        return len(self.arrays["images"])

    @property
    def channels(self) -> int:
        """Channels of the teacher's feature map; 0 if there is none."""
        return int(self.arrays["feature"].shape[1]) if "feature" in self.arrays else 0

    def draw(self, numbers: range) -> Batch:
        """The batch of some samples."""
        count = len(self)
        rows = np.array([self._order(n // count)[n % count] for n in numbers])
        found = {name: array[rows] for name, array in self.arrays.items()}
        turned = np.array([np.random.default_rng((self.seed, n, 2)).random() < self.mirror for n in numbers])
        for name, column in found.items() if turned.any() else ():
            column[turned] = self._mirrored(name, column[turned])
        if self.zoom:
            for row, n in enumerate(numbers):
                rng = np.random.default_rng((self.seed, n, 3))
                scale, (dx, dy) = np.exp(rng.uniform(-self.zoom, self.zoom)), rng.uniform(-self.zoom, self.zoom, 2) / 2
                self._move({name: column[row] for name, column in found.items()}, scale, (dx, dy))
        images, keypoints, weight = (found[name] for name in _LABELS)
        # Every sample has its own lighting.
        images = np.stack(
            [
                other_look(image, self.camera, np.random.default_rng((self.seed, n, 1)))
                for n, image in zip(numbers, images, strict=True)
            ]
        )
        # The weights include the parts' factors; a nonzero weight means labelled.
        inside = self.codec.weight(keypoints.astype(np.float64), weight.astype(np.float32) > 0)
        kept = np.maximum(inside, keypoints[..., 0] == NOWHERE)
        columns = (images, keypoints, (kept * weight).astype(np.float32))
        said: dict[str, Any] = {f"teacher_{name}": torch.from_numpy(found[name]) for name in _TAUGHT if name in found}
        images, keypoints, weight = (torch.from_numpy(np.ascontiguousarray(column)) for column in columns)
        return Batch(images, keypoints, weight, **said)

    def _mirrored(self, name: str, column: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A column of views -> the column of their mirror images: x becomes w - 1 - x, and left becomes right."""
        if name == "images":
            return column[:, :, ::-1]
        if name == "feature":
            return column[..., ::-1]
        column = column[:, self.schema.flip]
        if name == "keypoints":
            edge = self.codec.input_size[0] - 1
            x = np.where(column[..., 0] == NOWHERE, NOWHERE, edge - column[..., 0])
            return np.stack([x, column[..., 1]], axis=-1)
        if name == "x":
            # Bin i is at i / split_ratio pixels, so the mirror image of the last pixel's first bin is bin 0.
            last = int((self.codec.input_size[0] - 1) * self.codec.split_ratio)
            return column[..., np.clip(last - np.arange(column.shape[-1]), 0, None)]
        return column

    def _move(self, view: Arrays, scale: float, shift: tuple[float, float]) -> None:
        """Enlarge one view around its centre and shift it by fractions of its size, in place, with all it says."""
        size = self.codec.input_size
        # A pixel at p moves to scale p + offset.
        offset = [(1 - scale) * (side - 1) / 2 + part * side for side, part in zip(size, shift, strict=True)]
        matrix = np.array([[scale, 0, offset[0]], [0, scale, offset[1]]])
        view["images"][:] = cv2.warpAffine(view["images"], matrix, size)
        points = view["keypoints"]
        points[:] = np.where(points == NOWHERE, NOWHERE, points * scale + offset)
        for name, start in zip(("x", "y"), offset, strict=True):
            if name in view:
                bins = np.arange(view[name].shape[-1])
                source = np.rint((bins - start * self.codec.split_ratio) / scale).astype(int)
                seen = (source >= 0) & (source <= bins[-1])
                # Of what was outside the view the teacher says as little as it ever does.
                floor = view[name].min(axis=-1, keepdims=True)
                view[name][:] = np.where(seen, view[name][:, np.clip(source, 0, bins[-1])], floor)
        if "feature" in view:
            # Cells are measured from the border, half a pixel before the middle of pixel 0.
            across, down = (
                _stretch(cells, scale, (start + (1 - scale) / 2) * cells / side)
                for cells, start, side in zip(view["feature"].shape[:0:-1], offset, size, strict=True)
            )
            view["feature"][:] = down @ view["feature"].astype(np.float32) @ across.T

    def _order(self, turn: int) -> npt.NDArray[np.int64]:
        if turn not in self._orders:
            self._orders.clear()
            self._orders[turn] = np.random.default_rng((self.seed, turn)).permutation(len(self))
        return self._orders[turn]

    _orders: dict[int, npt.NDArray[np.int64]] = field(default_factory=dict, init=False, repr=False)


def _stretch(cells: int, scale: float, offset: float) -> npt.NDArray[np.float32]:
    """(cells, cells) weights that resample a row of cells linearly: the point at p of the row's length, in cells, moves
    to scale p + offset. The first and the last cell continue beyond the borders."""
    # Cell i is the mean around i + 0.5.
    at = np.clip((np.arange(cells) + 0.5 - offset) / scale - 0.5, 0, cells - 1)
    return np.asarray(np.maximum(1 - np.abs(at[:, None] - np.arange(cells)), 0), np.float32)


def halve(
    folder: str | os.PathLike[str],
    out: str | os.PathLike[str],
    batch: int = 32,
    progress: Callable[[int], None] = lambda done: None,
) -> None:
    """Write the same views at half the width and height: x becomes x / 2, and so does a logit's bin.

    Raises:
        WholebodyError: there are no views, or `out` exists or cannot be written.
    """
    source = Path(folder)
    arrays = _read(source)

    def rows(numbers: range) -> Arrays:
        views = {name: array[numbers.start : numbers.stop] for name, array in arrays.items()}
        # Every second pixel of a blurred picture, because keypoints are halved.
        half = {"images": np.stack([cv2.pyrDown(image) for image in views["images"]]), "weights": views["weights"]}
        half["keypoints"] = np.where(views["keypoints"] == NOWHERE, NOWHERE, views["keypoints"] / 2)
        half |= {name: views[name][..., ::2] for name in ("x", "y") if name in views}
        if "feature" in views:
            n, c, h, w = views["feature"].shape
            blocks = views["feature"].astype(np.float32).reshape(n, c, h // 2, 2, w // 2, 2)
            half["feature"] = blocks.mean(axis=(3, 5)).astype(np.float16)
        return half

    _write(Path(out), rows, len(arrays["images"]), batch, progress)


def _read(folder: Path) -> dict[str, npt.NDArray[Any]]:
    ends = {"images": (3,), "keypoints": (2,)}
    dimensions = {"images": 4, "keypoints": 3, "weights": 2, "x": 3, "y": 3, "feature": 4}
    with reading(folder, "a folder of views", "Write them with `write_views`"):
        files = parse_json((folder / _NOTE).read_bytes()).get("files", {})
        for name, written in files.items():
            # Do not read gigabytes again at every start.
            if identity(folder / name) != written:
                raise WholebodyError(
                    f"{folder / name}: has changed since it was written. Remove {folder} and write it again."
                )
        arrays = {
            name: map_array(folder / f"{name}.npy")
            for name in (*_LABELS, *_TAUGHT)
            if name in _LABELS or (folder / f"{name}.npy").exists()
        }
        for name, array in arrays.items():
            kind = "u1" if name == "images" else "f"
            fits = array.ndim == dimensions[name] and array.shape[-1:] == ends.get(name, array.shape[-1:])
            fits = fits and array.dtype.isnative and array.dtype.str[1:].startswith(kind)
            if not fits or len(array) != len(arrays["images"]):
                raise ValueError(f"{name} is {array.shape} of {array.dtype}")
        if arrays["keypoints"].shape[:2] != arrays["weights"].shape:
            raise ValueError("keypoints and weights do not agree")
        return arrays
