"""Tar shards in the WebDataset convention, read back as arrays: 000123.jpg beside 000123.json."""

import json
import os
import tarfile
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from wholebody.arrays import Image
from wholebody.errors import WholebodyError
from wholebody.schema import COCO_WHOLEBODY


@dataclass(frozen=True, eq=False)
class LabelledJpeg:
    """A picture and its label as a shard holds them: a JPEG, and what JSON can hold.

    The label is that of one person, "keypoints" (K, 3) and "box" (4,), or a list of such labels under "people".
    """

    jpeg: bytes
    record: dict[str, Any]


def read_manifest(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """What a folder of shards says about itself: seed, options, versions, and count and SHA-256 of each shard.

    Raises:
        WholebodyError: there is no manifest, or it cannot be read.
    """
    path = Path(folder) / "manifest.json"
    try:
        found = json.loads(path.read_text())
        if not isinstance(found.get("shards"), dict) or not isinstance(found.get("count"), int):
            raise ValueError("it has no count or no shards")
    except (OSError, ValueError, AttributeError) as error:
        raise WholebodyError(
            f"{path}: not the manifest of a set ({error}). Remove it to make the set again, or choose another folder."
        ) from error
    return dict(found)


@dataclass(frozen=True, eq=False)
class Shards:
    """All N pictures of a folder, in order, with their M people. Pictures stay on disk, labels are arrays.

    Attributes:
        files, starts, sizes: (N,) shard of each picture, and where its JPEG lies in it.
        paths: the shards.
        records: N labels as they were written.
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
        """M rows: the picture, and the label of one person in it. A set of crops has a person in each picture."""
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
        """(h, w, 3) BGR."""
        return np.asarray(cv2.imdecode(np.frombuffer(self.jpeg(index), np.uint8), cv2.IMREAD_COLOR), np.uint8)


def read_shards(folder: str | os.PathLike[str]) -> Shards:
    """Index the finished shards of a folder; unfinished ones are not there yet.

    Raises:
        WholebodyError: no shards, or a file that is no shard.
    """
    paths = tuple(sorted(path for path in Path(folder).glob("*.tar") if not path.name.startswith(".")))
    if not paths:
        raise WholebodyError(f"{folder}: no shards (*.tar) here.")
    files: list[int] = []
    starts: list[int] = []
    sizes: list[int] = []
    records: list[dict[str, Any]] = []
    for number, path in enumerate(paths):
        try:
            with tarfile.open(path, "r:") as archive:
                pictures: dict[str, tuple[int, int]] = {}
                for member in archive:
                    key, _, suffix = member.name.rpartition(".")
                    if suffix == "jpg":
                        pictures[key] = member.offset_data, member.size
                    elif suffix == "json" and (file := archive.extractfile(member)) is not None:
                        records.append(json.loads(file.read()))
                        start, size = pictures[key]
                        files.append(number)
                        starts.append(start)
                        sizes.append(size)
        except (OSError, KeyError, ValueError, tarfile.TarError) as error:
            raise WholebodyError(f"{path}: not a shard ({error}). Delete it and write it again.") from error
    where = np.array([files, starts, sizes], np.int64).reshape(3, -1)
    return Shards(paths, where[0], where[1], where[2], records)
