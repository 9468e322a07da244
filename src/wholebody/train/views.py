"""Views: crops cut once and kept as memory-mapped arrays, with what a teacher says of them.

A run on views costs neither warping nor a teacher, so that many runs can be compared on the same pictures, and steps
are as fast as the student alone. What it gives up is fresh augmentation: a view is always the same crop.

    write_views("work/views", crops.draw, 12_000, teacher=teacher)
    views = Views("work/views", codec)

The folder holds `images.npy` uint8 (V, h, w, 3) BGR, `keypoints.npy` (V, K, 2), `weights.npy` (V, K), and from a
teacher `x.npy`, `y.npy` and `feature.npy` in float16. It appears under its name when it is complete.
"""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from wholebody.codec import SimCC
from wholebody.errors import WholebodyError
from wholebody.train.data import NOWHERE
from wholebody.train.distill import Batch
from wholebody.train.teachers import Teacher

_LABELS = ("images", "keypoints", "weights")
_TAUGHT = ("x", "y", "feature")


def write_views(
    folder: str | os.PathLike[str],
    draw: Callable[[range], Batch],
    count: int,
    batch: int = 32,
    teacher: Teacher | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> None:
    """Cut `count` crops, ask the teacher about a batch at a time, and keep both.

    A teacher's weights are not kept: it should know all keypoints.

    Args:
        draw: the batch of some draws, as `loop.Crops.draw`.
        batch: crops that the teacher sees together.
        progress: called with the number of views written.

    Raises:
        WholebodyError: the folder exists, or cannot be written.
    """
    final = Path(folder)
    if final.exists():
        raise WholebodyError(f"{final}: exists. Remove it, or choose another folder for the views.")
    partial = final.with_name(f".{final.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    arrays: dict[str, npt.NDArray[np.generic]] = {}
    try:
        partial.mkdir(parents=True)
        for start in range(0, count, batch):
            crops = draw(range(start, min(start + batch, count)))
            taught = teacher(crops.images) if teacher else None
            columns: dict[str, Tensor | None] = {
                "images": crops.images,
                "keypoints": crops.keypoints,
                "weights": crops.weight,
            }
            if taught is not None:
                columns |= {"x": taught.x, "y": taught.y, "feature": taught.feature}
            for name, column in columns.items():
                if column is None:
                    continue
                rows = column.cpu().numpy()
                dtype = np.float16 if name in _TAUGHT else rows.dtype
                if name not in arrays:
                    arrays[name] = np.lib.format.open_memmap(
                        partial / f"{name}.npy", mode="w+", dtype=dtype, shape=(count, *rows.shape[1:])
                    )
                arrays[name][start : start + len(rows)] = rows
            progress(start + len(crops.images))
        for array in arrays.values():
            array.flush()  # type: ignore[attr-defined]
        (partial / "views.json").write_text(json.dumps({"count": count}))
        partial.replace(final)
    except OSError as error:
        raise WholebodyError(f"{final}: cannot write ({error.strerror}). Free some space.") from error


@dataclass(frozen=True, eq=False)
class Views(Dataset[Batch]):
    """Batches of views. The order of a pass is a function of `seed` and the pass; draw n is one view of it.

    Attributes:
        folder: what `write_views` wrote.
        codec: how keypoints are encoded.
    """

    folder: Path
    codec: SimCC
    seed: int = 0
    arrays: dict[str, npt.NDArray[np.generic]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        folder = Path(self.folder)
        try:
            arrays = {
                name: np.load(folder / f"{name}.npy", mmap_mode="r")
                for name in (*_LABELS, *_TAUGHT)
                if name in _LABELS or (folder / f"{name}.npy").exists()
            }
        except (OSError, ValueError) as error:
            raise WholebodyError(f"{folder}: no views here ({error}). Write them with `write_views`.") from error
        size = arrays["images"].shape[2:0:-1]
        if size != self.codec.input_size:
            raise WholebodyError(f"{folder}: views of {size}, the network takes {self.codec.input_size}.")
        object.__setattr__(self, "arrays", arrays)

    def __len__(self) -> int:
        return len(self.arrays["images"])

    @property
    def channels(self) -> int:
        """Of the teacher's feature map; 0 where there is none."""
        return int(self.arrays["feature"].shape[1]) if "feature" in self.arrays else 0

    def draw(self, numbers: range) -> Batch:
        """The batch of some draws."""
        count = len(self)
        rows = np.array([self._order(n // count)[n % count] for n in numbers])
        images, keypoints, weight = (self.arrays[name][rows] for name in _LABELS)
        # Weights carry the parts' factors: what has any was labelled.
        x, y, inside = self.codec.encode(keypoints.astype(np.float64), weight.astype(np.float32) > 0)
        kept = np.maximum(inside, keypoints[..., 0] == NOWHERE)
        columns = [images, keypoints, x, y, (kept * weight).astype(np.float32)]
        said = {f"teacher_{name}": torch.from_numpy(self.arrays[name][rows]) for name in _TAUGHT if name in self.arrays}
        return Batch(*(torch.from_numpy(np.ascontiguousarray(column)) for column in columns), **said)

    def _order(self, turn: int) -> npt.NDArray[np.int64]:
        if turn not in self._orders:
            self._orders.clear()
            self._orders[turn] = np.random.default_rng((self.seed, turn)).permutation(len(self))
        return self._orders[turn]

    _orders: dict[int, npt.NDArray[np.int64]] = field(default_factory=dict, init=False, repr=False)
