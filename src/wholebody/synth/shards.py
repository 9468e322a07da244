"""Tar shards in the WebDataset convention: 000123.jpg beside 000123.json, and the way back to arrays.

A shard appears under its name only when it is complete, so a killed run goes on where it stopped and a training may
read while more is being written. The same seed gives the same bytes whatever the number of workers.

    write_shards("train", count=40_000, seed=1, people=Recipe("body.npz"))
    shards = read_shards("train")
    image, keypoints, box = shards.image(0), shards.keypoints[0], shards.boxes[0]
"""

import io
import json
import multiprocessing
import os
import tarfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from wholebody.errors import WholebodyError
from wholebody.files import replacing

Image = npt.NDArray[np.uint8]


class Labelled(Protocol):
    """What a maker of pictures returns: a JPEG and a label that JSON can hold ("keypoints" (K, 3), "box" (4,))."""

    @property
    def jpeg(self) -> bytes: ...
    @property
    def record(self) -> dict[str, Any]: ...


Maker = Callable[[int, int], Labelled]


@dataclass(frozen=True)
class Recipe:
    """How a worker process gets its generator: `Recipe(...)()` loads the files and returns a `people.People`.

    Attributes:
        body: path of the body file. archive, wallpapers: see `looks.load_assets`.
        papers: which wallpapers to use: every one whose number modulo 10 is in here. Held-out sets take others.
        size: pixels of the longer side.
    """

    body: str
    archive: str | None = None
    wallpapers: str | None = None
    papers: tuple[int, ...] = tuple(range(10))
    size: int = 320

    def __call__(self) -> Maker:
        from wholebody.synth.body import load_body
        from wholebody.synth.looks import Assets, load_assets
        from wholebody.synth.people import People

        cv2.setNumThreads(1)
        found = load_assets(self.archive, self.wallpapers)
        kept = [image for i, image in enumerate(found.wallpapers) if i % 10 in self.papers]
        return People(load_body(self.body), Assets(found.pieces, found.skins, kept), size=self.size)


def write_shards(
    out: str | os.PathLike[str],
    count: int,
    seed: int,
    workers: int = 1,
    people: Callable[[], Maker] | None = None,
    per_shard: int = 1000,
    progress: Callable[[int], None] | None = None,
) -> list[Path]:
    """Write pictures 0..count of the set `seed` as shards of `per_shard`, skipping shards that exist.

    Args:
        out: folder; made when missing.
        people: called once in each worker, returns a function (seed, index) -> Labelled; `Recipe` is one.
        progress: called with the number of pictures there after each shard.

    Returns:
        The paths of all shards of the set.

    Raises:
        WholebodyError: the folder holds shards of another seed or size, or cannot be written.
    """
    if people is None:
        raise WholebodyError("write_shards needs people: pass synth.shards.Recipe(body=...)")
    folder = Path(out)
    _claim(folder, {"seed": seed, "per_shard": per_shard})
    paths = [folder / f"{shard:05d}.tar" for shard in range((count + per_shard - 1) // per_shard)]
    missing = [i for i, path in enumerate(paths) if not path.exists()]
    if not missing:
        return paths
    with _makers(people, workers) as run:
        for shard in missing:
            for stale in folder.glob(f".{paths[shard].stem}.*.tar"):
                stale.unlink()  # a killed run's unfinished shard; one run at a time writes to a folder
            indices = range(shard * per_shard, min(count, (shard + 1) * per_shard))
            with replacing(paths[shard]) as partial, tarfile.open(partial, "w", format=tarfile.USTAR_FORMAT) as archive:
                for index, (jpeg, record) in zip(indices, run(seed, indices), strict=True):
                    for suffix, data in (("jpg", jpeg), ("json", record)):
                        entry = tarfile.TarInfo(f"{index:06d}.{suffix}")
                        entry.size, entry.mode = len(data), 0o644
                        archive.addfile(entry, io.BytesIO(data))
            if progress is not None:
                progress(sum(path.exists() for path in paths) * per_shard)
    return paths


def _claim(folder: Path, settings: dict[str, int]) -> None:
    """Note what the folder holds, or refuse to mix two sets in one folder."""
    manifest = folder / "manifest.json"
    if manifest.exists():
        found = json.loads(manifest.read_text())
        if any(found.get(name) != value for name, value in settings.items()):
            raise WholebodyError(f"{folder} holds another set ({found}, not {settings}). Choose another folder.")
        return
    with replacing(manifest) as partial:
        partial.write_text(json.dumps(settings | {"format": "webdataset jpg+json", "points": "coco_wholebody"}))


_maker: Maker | None = None


def _start(people: Callable[[], Maker]) -> None:
    global _maker
    _maker = people()


def _make(task: tuple[int, int]) -> tuple[bytes, bytes]:
    assert _maker is not None
    return _pack(_maker(*task))


def _pack(sample: Labelled) -> tuple[bytes, bytes]:
    return sample.jpeg, json.dumps(sample.record, separators=(",", ":"), sort_keys=True).encode()


_Run = Callable[[int, Iterable[int]], Iterator[tuple[bytes, bytes]]]


@contextmanager
def _makers(people: Callable[[], Maker], workers: int) -> Iterator[_Run]:
    """A function (seed, indices) -> (jpeg, json) bytes in order, made here or by worker processes."""
    if workers <= 1:
        maker = people()
        yield lambda seed, indices: (_pack(maker(seed, index)) for index in indices)
        return
    # Neighbouring pictures share a person: hand them to one worker.
    with multiprocessing.get_context("spawn").Pool(workers, _start, (people,)) as pool:
        yield lambda seed, indices: pool.imap(_make, ((seed, index) for index in indices), chunksize=12)


@dataclass(frozen=True, eq=False)
class Shards:
    """All samples of a folder, in order. Pictures stay on disk, labels are arrays.

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
    def keypoints(self) -> npt.NDArray[np.float32]:
        """(N, K, 3) x, y in pixels and the flag: 2 visible, 1 hidden, 0 outside the picture."""
        return np.array([record["keypoints"] for record in self.records], np.float32)

    @cached_property
    def boxes(self) -> npt.NDArray[np.float32]:
        """(N, 4) x0, y0, x1, y1."""
        return np.array([record["box"] for record in self.records], np.float32).reshape(-1, 4)

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
