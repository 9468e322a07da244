"""People to train on: a data set is `__len__` and `__getitem__ -> LabelledPerson`."""

import io
import os
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from wholebody.arrays import Image
from wholebody.data.coco import read_labels
from wholebody.data.labels import Labels
from wholebody.data.shards import shard_files
from wholebody.errors import WholebodyError
from wholebody.images import decode_image
from wholebody.reading import parse_json, reading, tar_members
from wholebody.schema import COCO_WHOLEBODY, Schema

# The position of keypoints that are known to be outside the crop.
NOWHERE = -1e4

_REDUCED = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}


@dataclass(frozen=True)
class Encoded:
    """A picture that has not been decoded: a file, or part of one.

    Attributes:
        file: where it is.
        at, size: the bytes of the file; all of them if size is 0.
    """

    file: str
    at: int = 0
    size: int = 0

    def decode(self, parts: int = 1) -> Image:
        """(H, W, 3) uint8 BGR at 1 / parts of the width and height, with 1, 2, 4 or 8 parts. This is faster for JPEGs,
        and the pixels are means of those that they replace.

        Raises:
            WholebodyError: it cannot be read.
        """
        try:
            with io.FileIO(self.file) as file:
                file.seek(self.at)
                data = file.read(self.size or -1)
        except OSError as error:
            raise WholebodyError(f"{self.file}: cannot be read ({error.strerror}). Restore it.") from error
        if parts == 1:
            return decode_image(data, self.file)
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), _REDUCED[parts]) if data else None
        except cv2.error:  # its header claims too large a picture
            image = None
        if image is None:
            raise WholebodyError(f"{self.file}: cannot be read as a picture. Restore it or drop it from the labels.")
        return image.astype(np.uint8, copy=False)


@dataclass(frozen=True, eq=False)
class LabelledPerson:
    """One person in one picture, before augmentation.

    Attributes:
        image: (H, W, 3) uint8 BGR, or what can be decoded to that.
        keypoints: (K, 2) image pixels.
        visible: (K,) 0 unlabelled, -1 known to be outside of the picture, else the weight of the label: 1, or a
            teacher's confidence below it.
        box: (4,) x0, y0, x1, y1.
        source: where it came from, for messages.
    """

    image: Image | Encoded
    keypoints: npt.NDArray[np.float64]
    visible: npt.NDArray[np.float32]
    box: npt.NDArray[np.float64]
    source: str

    def pixels(self) -> Image:
        """The whole picture.

        Raises:
            WholebodyError: it cannot be read.
        """
        return self.image.decode() if isinstance(self.image, Encoded) else self.image


class PersonSource(Protocol):
    """A data set."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> LabelledPerson: ...


@dataclass(frozen=True, eq=False)
class PersonFile:
    """A labelled person whose picture is still on disk; `area` in square pixels, for OKS."""

    file: Path
    keypoints: npt.NDArray[np.float64]
    visible: npt.NDArray[np.float32]
    box: npt.NDArray[np.float64]
    area: float
    part: tuple[int, int] = (0, 0)  # where in the file the picture begins, and its bytes; (0, 0): it is the file

    def load(self) -> LabelledPerson:
        """The person with the picture, which is decoded on demand."""
        return LabelledPerson(
            Encoded(str(self.file), *self.part), self.keypoints, self.visible, self.box, str(self.file)
        )


def read_coco_wholebody(
    annotations: str | os.PathLike[str],
    images: str | os.PathLike[str],
    keep: Callable[[Mapping[str, Any]], bool] = lambda image: True,
) -> list[PersonFile]:
    """People of an annotation file of `wholebody.data.coco.read_labels`, or of pseudo-labels in the same layout.

    The third number of a point may be COCO's flag (0, 1, 2) or a confidence between 0 and 1; flags become weight 1.
    Crowds, boxes without area and people without any labelled point are left out.

    Args:
        annotations: the JSON file.
        images: the folder its `file_name`s are relative to.
        keep: which of its image records to use.

    Raises:
        WholebodyError: the file is not in that layout, or a row of it cannot be read.
    """
    return people_of(read_labels(annotations, keep=keep), images)


def people_of(labels: Labels, images: str | os.PathLike[str]) -> list[PersonFile]:
    """The labelled people that can be used for training; see `read_coco_wholebody` for those that are skipped."""
    weights = np.minimum(labels.visible, 1)
    sides = labels.boxes[:, 2:] - labels.boxes[:, :2]
    files = {number: Path(images) / picture.file_name for number, picture in labels.images.items()}
    return [
        PersonFile(
            files[int(labels.image_ids[m])],
            labels.keypoints[m],
            weights[m],
            labels.boxes[m],
            float(labels.areas[m] or sides[m].prod()),
        )
        for m in trainable(labels)
    ]


def trainable(labels: Labels) -> npt.NDArray[np.int64]:
    """Rows of the people that can be used for training: not crowds, with a box and a labelled point."""
    sides = labels.boxes[:, 2:] - labels.boxes[:, :2]
    return np.flatnonzero(~labels.iscrowd & (sides > 1).all(axis=1) & (labels.visible > 0).any(axis=1))


@dataclass(frozen=True)
class Photographs:
    """Labelled photos as a data set; pictures are read on access."""

    people: Sequence[PersonFile]

    def __len__(self) -> int:
        return len(self.people)

    def __getitem__(self, index: int) -> LabelledPerson:
        return self.people[index].load()


class ShardedPeople:
    """A folder of tar shards in the WebDataset convention: N.jpg and N.json with keypoints (K, 3) and box.

    The archives are indexed once; a sample is then two reads.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        schema: Schema = COCO_WHOLEBODY,
        keep: Callable[[str], bool] = lambda name: True,
    ) -> None:
        self.schema = schema
        self.rows: list[tuple[Path, int, int, int, int]] = []
        for shard in shard_files(folder):
            with reading(shard, "a shard", "Remove it and make the shards again"), tarfile.open(shard, "r:") as archive:
                members = {member.name: (member.offset_data, member.size) for member in tar_members(archive, shard)}
            for name in sorted(members):
                if name.endswith(".jpg") and (label := f"{name[:-4]}.json") in members and keep(f"{shard.name}/{name}"):
                    self.rows.append((shard, *members[name], *members[label]))
        if not self.rows:
            raise WholebodyError(f"{folder}: no samples in tar shards. Make some with `wholebody synth`.")

    def __len__(self) -> int:
        return len(self.rows)

    def person(self, index: int) -> PersonFile:
        """One of them."""
        one, row = self[index], self.rows[index]
        area = float(np.prod(one.box[2:] - one.box[:2]))
        return PersonFile(row[0], one.keypoints, one.visible, one.box, area, row[1:3])

    def __getitem__(self, index: int) -> LabelledPerson:
        shard, at_image, image_bytes, at_label, label_bytes = self.rows[index]
        name = f"{shard}: sample {index}"
        with reading(name, "a label", "Make the shard again"), io.FileIO(shard) as file:
            file.seek(at_label)
            label = parse_json(file.read(label_bytes))
            if isinstance(label, dict) and "people" in label:
                raise WholebodyError(f"{shard}: scenes of many people, for a detector. Name a folder of crops.")
            points, box = np.array(label["keypoints"], np.float64), np.array(label["box"], np.float64)
            if points.ndim != 2 or points.shape[1] != 3 or box.shape != (4,):
                raise WholebodyError(
                    f"{shard}: the label of sample {index} has no keypoints of three numbers and box of four. "
                    "Make the shard again."
                )
        if len(points) != len(self.schema):
            raise WholebodyError(
                f"{shard}: sample {index} has {len(points)} keypoints, {self.schema.name} has {len(self.schema)}. "
                "Name other shards or another schema."
            )
        if not (np.isfinite(points).all() and np.isfinite(box).all()):
            raise WholebodyError(f"{shard}: the label of sample {index} holds NaN or an infinite number. Correct it.")
        visible = np.where(points[:, 2] > 0, 1, -1).astype(np.float32)
        where = Encoded(str(shard), at_image, image_bytes)
        return LabelledPerson(where, points[:, :2], visible, box, f"{shard}#{index}")


# Samples per block; each block contains exactly every set's share.
_BLOCK = 10_000


@dataclass(frozen=True)
class Mixture:
    """Samples from several data sets. Sample n is a function of `seed` and n alone.

    Every set is sampled without replacement: each pass contains everyone once, in a new order.

    Attributes:
        sets: each with its share of the samples; if all shares are 0, they are concatenated.
    """

    sets: Sequence[tuple[PersonSource, float]]
    seed: int = 0

    def draw(self, n: int, attempt: int = 0) -> tuple[LabelledPerson, np.random.Generator]:
        """The n-th sample and the generator with which to augment it.

        Args:
            attempt: above 0, another person of the same set, for unreadable pictures.
        """
        which, index = self.row(n)
        people = self.sets[which][0]
        if attempt:
            index = int(np.random.default_rng((self.seed, n, attempt)).integers(len(people)))
        return people[index], np.random.default_rng((self.seed, n))

    def row(self, n: int) -> tuple[int, int]:
        """The set of the n-th sample, and the index of the person in it."""
        lengths = [len(people) for people, _ in self.sets]
        if not any(share for _, share in self.sets):
            which, at = 0, self._nth((0,), sum(lengths), n)
            while at >= lengths[which]:
                at -= lengths[which]
                which += 1
            return which, at
        shares = tuple(share for _, share in self.sets)
        block, place = divmod(n, _BLOCK)
        sets, before = _block(self.seed, shares, block)
        which = int(sets[place])
        drawn = block * _allotted(shares)[which] + int(before[place])
        return which, self._nth((1, which), lengths[which], drawn)

    def _nth(self, key: tuple[int, ...], count: int, n: int) -> int:
        """The index of the n-th sample from `count` people, in passes."""
        return int(_order((self.seed, *key, n // count), count)[n % count])


# A batch may span two passes, for each of a pool's groups.
@lru_cache(maxsize=64)
def _order(seed: tuple[int, ...], count: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng((*seed, 0)).permutation(count)


@lru_cache(maxsize=4)
def _block(seed: int, shares: tuple[float, ...], block: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The set of each sample in a block, and the number of earlier samples of that set in the block."""
    counts = _allotted(shares)
    sets = np.repeat(np.arange(len(counts)), counts)[_order((seed, 2, 0, block), _BLOCK)]
    before = np.zeros(_BLOCK, np.int64)
    for which, count in enumerate(counts):
        before[sets == which] = np.arange(count)
    return sets, before


@lru_cache(maxsize=4)
def _allotted(shares: tuple[float, ...]) -> tuple[int, ...]:
    """The number of samples per share in a block, rounded so that the sum is exact."""
    exact = np.array(shares) / sum(shares) * _BLOCK
    counts = np.floor(exact).astype(np.int64)
    counts[np.argsort(counts - exact, kind="stable")[: _BLOCK - int(counts.sum())]] += 1
    return tuple(counts.tolist())
