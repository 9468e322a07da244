"""Labelled people as flat arrays, in files that all processes of a machine memory-map.

    people = table({"annotations": "train.json", ...}, lambda: parts, folder="data/coco/train2017")

Parsing a gigabyte of JSON takes minutes, and a million people as Python objects take gigabytes per process; eight
processes with eight workers each would do this 72 times. So the first process that needs a set parses it and writes
arrays to the cache folder (WHOLEBODY_CACHE), while the others wait. All processes then map the same files, which the
system keeps in memory once. A person takes 1.2 KB: 133 points as float32, accurate to a hundred-thousandth of a pixel.

Missing pictures are skipped and counted. Existence is checked with one listing per folder, and again when a folder
changes.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from filelock import FileLock

from wholebody.data.labels import Labels
from wholebody.errors import WholebodyError
from wholebody.files import cache_folder, replacing_folder
from wholebody.train.data.people import LabelledPerson, PersonFile, trainable

# Version of the file format; other versions are not read.
_VERSION = 1


@dataclass(frozen=True, eq=False)
class Table:
    """People in memory-mapped arrays; row m of each is the same person.

    Attributes:
        folder: the folder of the arrays.
        images: the folder that the pictures' names are relative to.
        missing: number of missing pictures, whose people were skipped.
        pictures: number of pictures that are there.
    """

    folder: Path
    images: Path
    missing: int = field(init=False)
    pictures: int = field(init=False)
    _columns: dict[str, npt.NDArray[Any]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        about = json.loads((self.folder / "table.json").read_text())
        count, k = about["people"], about["keypoints"]
        shapes = {"keypoints": (count, k, 2), "weights": (count, k), "boxes": (count, 4), "areas": (count,)}
        shapes |= {"pictures": (count,), "ends": (about["pictures"] + 1,), "names": (about["bytes"],)}
        # As plain arrays of the mapped memory: numpy's own class takes ten times as long for a row.
        columns = {
            name: np.asarray(np.memmap(self.folder / f"{name}.bin", about["types"][name], mode="r", shape=shape))
            for name, shape in shapes.items()
        }
        object.__setattr__(self, "missing", about["missing"])
        object.__setattr__(self, "pictures", about["pictures"])
        object.__setattr__(self, "_columns", columns)

    def __reduce__(self) -> tuple[Any, ...]:
        # Worker processes map the files themselves.
        return Table, (self.folder, self.images)

    def __len__(self) -> int:
        return len(self._columns["boxes"])

    def __getitem__(self, index: int) -> LabelledPerson:
        return self.person(index).load()

    def person(self, index: int) -> PersonFile:
        """One of them."""
        columns = self._columns
        start, end = columns["ends"][columns["pictures"][index] :][:2]
        name = columns["names"][int(start) : int(end)].tobytes().decode()
        return PersonFile(
            self.images / name,
            columns["keypoints"][index].astype(np.float64),
            columns["weights"][index].astype(np.float32),
            columns["boxes"][index].astype(np.float64),
            float(columns["areas"][index]),
        )


def table(
    about: Mapping[str, Any],
    files: Iterable[Path],
    parts: Callable[[], Iterable[Labels]],
    images: Path,
    flags: bool,
) -> Table:
    """The people of some labels, from the cache folder if they were read before.

    Args:
        about: what the result depends on besides the contents of `files`.
        files: the files that `parts` reads.
        parts: the labels, a part at a time, so that no more than one is in memory.
        images: the folder of the pictures; .jpg and .png are interchangeable.
        flags: the third number of a point says whether it is labelled; otherwise it is the label's weight.

    Raises:
        WholebodyError: as for `parts`; nobody is labelled, all pictures are missing, or the cache folder cannot be
            written.
    """
    images = images.absolute()
    stamps = [[str(file.absolute()), *_stamp(file)] for file in files]
    key = json.dumps([_VERSION, dict(about), stamps, str(images), flags], sort_keys=True)
    folder = cache_folder() / "people" / hashlib.sha256(key.encode()).hexdigest()[:24]
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):
            if not _is_current(folder, images):
                with replacing_folder(folder) as fresh:
                    _write(fresh, parts(), images, flags)
    except OSError as error:
        raise WholebodyError(
            f"{folder}: cannot write ({error.strerror or error}). Free some space, or set WHOLEBODY_CACHE."
        ) from error
    return Table(folder, images)


def _stamp(file: Path) -> tuple[int, int]:
    """Size and modification time of a file, which identify its version; zeros if it does not exist."""
    try:
        found = file.stat()
    except OSError:
        return 0, 0
    return found.st_size, found.st_mtime_ns


def _is_current(folder: Path, images: Path) -> bool:
    """Whether the arrays are complete, and no folder of pictures has changed since."""
    try:
        about = json.loads((folder / "table.json").read_text())
    except (OSError, ValueError):
        return False
    return all(_stamp(images / name)[1] == when for name, when in about["folders"].items())


def _write(folder: Path, parts: Iterable[Labels], images: Path, flags: bool) -> None:
    """The arrays of labels, a part at a time."""
    types = {"keypoints": "<f4", "weights": "|u1" if flags else "<f4", "boxes": "<f4", "areas": "<f4"}
    types |= {"pictures": "<i4", "ends": "<i8", "names": "|u1"}
    files = {name: (folder / f"{name}.bin").open("wb") for name in types}
    there = _Listings(images)
    people = pictures = size = missing = keypoints = labelled = 0
    example = ""
    try:
        files["ends"].write(np.zeros(1, "<i8").tobytes())
        for labels in parts:
            keypoints = len(labels.schema)
            rows = trainable(labels)
            labelled += len(rows)
            wanted, of_row = np.unique(labels.image_ids[rows], return_inverse=True)
            found = [there.name(labels.images[int(number)].file_name) for number in wanted]
            missing += found.count(None)
            example = example or next(
                (labels.images[int(n)].file_name for n, name in zip(wanted, found, strict=True) if name is None), ""
            )
            present = np.array([name is not None for name in found], dtype=bool)
            place = np.cumsum(present) - 1 + pictures
            encoded = [name.encode() for name in found if name is not None]
            ends = size + np.cumsum([len(name) for name in encoded], dtype=np.int64)
            kept = rows[present[of_row]] if len(rows) else rows
            sides = labels.boxes[kept, 2:] - labels.boxes[kept, :2]
            weights = labels.visible[kept] > 0 if flags else np.minimum(labels.visible[kept], 1)
            columns = {
                "keypoints": labels.keypoints[kept],
                "weights": weights,
                "boxes": labels.boxes[kept],
                "areas": np.where(labels.areas[kept] > 0, labels.areas[kept], sides.prod(axis=1)),
                "pictures": place[of_row[present[of_row]]] if len(rows) else rows,
                "ends": ends,
            }
            for name, column in columns.items():
                files[name].write(np.ascontiguousarray(column, dtype=types[name]).tobytes())
            files["names"].write(b"".join(encoded))
            people, pictures, size = people + len(kept), pictures + len(encoded), size + sum(map(len, encoded))
    finally:
        for file in files.values():
            file.close()
    if not labelled:
        raise WholebodyError("nobody is labelled there. Choose labels with people who have a box and keypoints.")
    if not people:
        raise WholebodyError(
            f"{images}: none of {missing} pictures is there, {example} for one. Name the folder they are in."
        )
    about: dict[str, Any] = {
        "people": people,
        "keypoints": keypoints,
        "pictures": pictures,
        "bytes": size,
        "missing": missing,
    }
    about |= {"types": types, "folders": there.folders}
    (folder / "table.json").write_text(json.dumps(about))


class _Listings:
    """The existing pictures below a folder, from one listing per folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.names: dict[str, set[str]] = {}
        self.folders: dict[str, int] = {}

    def name(self, wanted: str) -> str | None:
        """A picture's existing name, possibly .jpg for .png; None if it is missing."""
        wanted = wanted.lstrip("/")
        folder, _, file = wanted.rpartition("/")
        if folder not in self.names:
            path = self.root / folder
            self.folders[folder] = _stamp(path)[1]
            try:
                self.names[folder] = set(os.listdir(path))  # noqa: PTH208, entries are not wanted
            except OSError:
                self.names[folder] = set()
        stem = file.rpartition(".")[0]
        for name in (file, f"{stem}.jpg", f"{stem}.png"):
            if name in self.names[folder]:
                return f"{folder}/{name}" if folder else name
        return None
