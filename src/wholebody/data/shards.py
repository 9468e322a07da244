"""Tar shards in the WebDataset convention, read back as arrays: 000123.jpg next to 000123.json."""

import os
import tarfile
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wholebody.arrays import Image
from wholebody.errors import WholebodyError
from wholebody.images import decode_image
from wholebody.reading import in_line, parse_json, reading, tar_members
from wholebody.schema import COCO_WHOLEBODY


@dataclass(frozen=True, eq=False)
class LabelledJpeg:
    """A picture and its label as a shard holds them: a JPEG, and what JSON can hold.

    The label is that of one person, "keypoints" (K, 3) and "box" (4,), or a list of such labels under "people".
    """

    jpeg: bytes
    record: dict[str, Any]


def read_manifest(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """The manifest of a folder of shards: seed, options, versions, and count and SHA-256 of each shard.

    Raises:
        WholebodyError: there is no manifest, or it cannot be read.
    """
    path = Path(folder) / "manifest.json"
    with reading(path, "the manifest of a set", "Remove it to make the set again, or choose another folder"):
        found = parse_json(path.read_bytes())
        if not isinstance(found.get("shards"), dict) or type(found.get("count")) is not int:
            raise ValueError("it lists no count or no shards")
        return dict(found)


@dataclass(frozen=True, eq=False)
class Shards:
    """All N pictures of a folder, in order, with their M people. Pictures stay on disk, labels are arrays.

    Attributes:
        files, starts, sizes: (N,) shard of each picture, and the offset and size of its JPEG there.
        paths: the shards.
        records: N labels as written.
    """

    paths: tuple[Path, ...]
    files: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    records: list[dict[str, Any]] = field(repr=False)

    def __len__(self) -> int:
        return len(self.records)

    @cached_property
    def people(self) -> list[tuple[int, dict[str, Any]]]:
        """M rows: the picture, and the label of one person in it. A set of crops has one person per picture."""
        return [(n, person) for n, record in enumerate(self.records) for person in record.get("people", (record,))]

    @cached_property
    def pictures(self) -> npt.NDArray[np.int64]:
        """(M,) the picture of each person."""
        return np.array([n for n, _ in self.people], np.int64)

    @cached_property
    def keypoints(self) -> npt.NDArray[np.float32]:
        """(M, K, 3) x, y in pixels and the flag: 2 visible, 1 hidden, 0 outside the picture."""
        return np.array([person["keypoints"] for _, person in self.people], np.float32).reshape(
            -1, len(COCO_WHOLEBODY), 3
        )

    @cached_property
    def boxes(self) -> npt.NDArray[np.float32]:
        """(M, 4) x0, y0, x1, y1."""
        return np.array([person["box"] for _, person in self.people], np.float32).reshape(-1, 4)

    def jpeg(self, index: int) -> bytes:
        """The encoded picture."""
        with self.paths[self.files[index]].open("rb") as file:
            file.seek(int(self.starts[index]))
            data: bytes = file.read(int(self.sizes[index]))
        return data

    def image(self, index: int) -> Image:
        """(h, w, 3) BGR.

        Raises:
            WholebodyError: it is damaged.
        """
        return decode_image(self.jpeg(index), f"{self.paths[self.files[index]]}: picture {index}")


def _checked(record: Any, name: str) -> dict[str, Any]:
    """Check that a label has points and a box, or people that do."""
    if not isinstance(record, dict):
        raise ValueError(f"{name} is not a label")
    for person in record.get("people", (record,)):
        points, box = (np.array(person[field], np.float32) for field in ("keypoints", "box"))
        if points.shape != (len(COCO_WHOLEBODY), 3) or box.shape != (4,) or not np.isfinite(points).all():
            raise ValueError(f"{name} has keypoints {points.shape} and a box {box.shape}")
    return record


def shard_files(folder: str | os.PathLike[str]) -> list[Path]:
    """The finished shards of a folder; hidden files are still being written."""
    return sorted(path for path in Path(folder).glob("*.tar") if not path.name.startswith("."))


def read_shards(folder: str | os.PathLike[str]) -> Shards:
    """Index the finished shards of a folder.

    Raises:
        WholebodyError: no shards, or a file that is not a shard.
    """
    paths = tuple(shard_files(folder))
    if not paths:
        raise WholebodyError(f"{folder}: no shards (*.tar) here.")
    files: list[int] = []
    starts: list[int] = []
    sizes: list[int] = []
    records: list[dict[str, Any]] = []
    for number, path in enumerate(paths):
        with reading(path, "a shard", "Delete it and write it again"), tarfile.open(path, "r:") as archive:
            pictures: dict[str, tuple[int, int]] = {}
            for member in tar_members(archive, path):
                key, _, suffix = member.name.rpartition(".")
                if suffix == "jpg":
                    pictures[key] = member.offset_data, member.size
                elif suffix == "json" and (file := archive.extractfile(member)) is not None:
                    records.append(_checked(parse_json(file.read()), in_line(member.name)))
                    start, size = pictures[key]
                    files.append(number)
                    starts.append(start)
                    sizes.append(size)
    where = np.array([files, starts, sizes], np.int64).reshape(3, -1)
    return Shards(paths, where[0], where[1], where[2], records)
