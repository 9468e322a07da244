"""Writing tar shards in the WebDataset convention: 000123.jpg next to 000123.json.

A shard gets its final name only when it is complete. So a killed run resumes where it stopped, and a training may read
finished shards while others are being written. The same seed gives the same bytes, whatever the number of workers.
manifest.json describes the folder: seed, options, versions, and the SHA-256 of each shard.

    write_shards("train", count=40_000, seed=1, people=GeneratorFactory("body.npz"), workers=2)
    shards = read_shards("train")
    image, keypoints, box = shards.image(0), shards.keypoints[0], shards.boxes[0]
"""

import hashlib
import io
import json
import multiprocessing
import os
import signal
import tarfile
import threading
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import cv2

from wholebody.data.shards import LabelledJpeg, read_manifest
from wholebody.errors import WholebodyError
from wholebody.files import digest, replacing

PictureKind = Literal["crops", "scenes"]

# Pictures that go to a worker together: neighbours share people, who cost as much as a picture.
_TOGETHER = 24

_PACKAGES = ("wholebody", "numpy", "numba", "opencv-python-headless")


Maker = Callable[[int, int], LabelledJpeg]


@dataclass(frozen=True)
class GeneratorFactory:
    """Creates the generator in a worker process: a call loads the files and returns a function (seed, index).

    Attributes:
        body: path of the body file.
        assets: archive of clothes, see `assets.load_assets`. backgrounds: folder or tar, see
            `material.open_backgrounds`.
        kind: pictures of one person (`people.PersonGenerator`), or of any number (`scenes.SceneGenerator`).
        size: pixels of the longer side.
        held_out: show only what is reserved for held-out sets, and each person once; otherwise show everything else.
        bvh: motion files from which a share of the people take their poses; see `bvh.read_bvh`.
    """

    body: str
    assets: str | None = None
    backgrounds: str | None = None
    kind: PictureKind = "crops"
    size: int = 320
    held_out: bool = False
    bvh: tuple[str, ...] = ()

    def __call__(self) -> Maker:
        from wholebody.synth.assets import load_assets
        from wholebody.synth.body import load_body
        from wholebody.synth.bvh import read_bvh
        from wholebody.synth.layers import Assets
        from wholebody.synth.material import open_backgrounds, split
        from wholebody.synth.people import VIEWS, PersonGenerator
        from wholebody.synth.scenes import SceneGenerator

        cv2.setNumThreads(1)
        found = split(load_assets(self.assets), self.held_out)
        papers = open_backgrounds(self.backgrounds, self.held_out)
        body = load_body(self.body)
        people = PersonGenerator(
            body,
            Assets(found.pieces, found.skins, papers),
            size=self.size,
            held_out=self.held_out,
            views=1 if self.held_out else VIEWS,
            bvh=tuple(pose for path in self.bvh for pose in read_bvh(path, body)),
        )
        return people if self.kind == "crops" else SceneGenerator(people)

    def about(self) -> dict[str, Any]:
        """Everything that the pictures depend on, for the manifest: options, and the SHA-256 of each file.

        Raises:
            WholebodyError: a file cannot be read.
        """
        from wholebody.synth.material import fingerprint

        files = {name: fingerprint(getattr(self, name)) for name in ("body", "assets", "backgrounds")}
        motions = {"bvh": [fingerprint(path) for path in self.bvh]} if self.bvh else {}
        return {"kind": self.kind, "size": self.size, "held_out": self.held_out, **files, **motions}


def generator_version() -> str:
    """The first digits of the SHA-256 of the generator's source code."""
    found = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        found.update(path.read_bytes())
    return found.hexdigest()[:16]


def write_shards(
    out: str | os.PathLike[str],
    count: int,
    seed: int,
    workers: int = 0,
    people: Callable[[], Maker] | None = None,
    per_shard: int = 500,
    progress: Callable[[int], None] | None = None,
    options: Mapping[str, Any] | None = None,
) -> list[Path]:
    """Write pictures 0..count of the set `seed` as shards of `per_shard` pictures, resuming a stopped run.

    Shards that match the manifest are kept; others are rebuilt. To extend a set, give a larger count. Only one run at
    a time may write to a folder.

    Args:
        out: the folder; created if it does not exist.
        workers: processes that render pictures; 0 renders them in this process.
        people: called once in each worker, returns a function (seed, index) -> Labelled; `GeneratorFactory` is one.
        progress: called with the number of finished pictures, at the start and after each picture.
        options: everything else that the pictures depend on, for the manifest.

    Returns:
        The paths of all shards of the set.

    Raises:
        WholebodyError: the folder holds another set, cannot be written, or a worker died.
    """
    if people is None:
        raise WholebodyError("write_shards needs people: pass synth.shards.GeneratorFactory(body=...)")
    folder = Path(out)
    manifest = _claim(folder, count, {"seed": seed, "per_shard": per_shard, "options": dict(options or {})})
    ranges = {
        f"{shard:05d}.tar": range(start, min(start + per_shard, count))
        for shard, start in enumerate(range(0, count, per_shard))
    }
    missing = {
        name: indices
        for name, indices in ranges.items()
        if manifest["shards"].get(name) != {"count": len(indices), "sha256": sha256(folder / name)}
    }
    there = sum(len(indices) for name, indices in ranges.items() if name not in missing)
    tell = progress or (lambda done: None)
    tell(there)
    with closing(_made(people, workers, seed, [i for indices in missing.values() for i in indices])) as made:
        for name, indices in missing.items():
            with replacing(folder / name, durable=True) as partial:
                with tarfile.open(partial, "w", format=tarfile.USTAR_FORMAT) as archive:
                    for index in indices:
                        for suffix, data in zip(("jpg", "json"), next(made), strict=True):
                            entry = tarfile.TarInfo(f"{index:06d}.{suffix}")
                            entry.size, entry.mode = len(data), 0o644
                            archive.addfile(entry, io.BytesIO(data))
                        there += 1
                        tell(there)
                # Noted before it has its name: a shard that is there is always in the manifest.
                manifest["shards"][name] = {"count": len(indices), "sha256": sha256(partial)}
                _note(folder, manifest)
    return [folder / name for name in ranges]


def _claim(folder: Path, count: int, settings: dict[str, Any]) -> dict[str, Any]:
    """The folder's manifest, created if missing, extended to `count`; refuses to mix two sets in one folder."""
    path = folder / "manifest.json"
    wanted = {
        "format": "webdataset jpg+json",
        "points": "coco_wholebody",
        "generator": generator_version(),
        "versions": {name: version(name) for name in _PACKAGES},
        **settings,
    }
    manifest = {**wanted, "count": count, "shards": {}}
    if path.exists():
        manifest = read_manifest(folder)
        for name, value in wanted.items():
            if manifest.get(name) != value:
                found = manifest.get(name)
                if isinstance(value, dict) and isinstance(found, dict):
                    name = next(key for key in {**value, **found} if value.get(key) != found.get(key))
                    value, found = value.get(name), found.get(name)
                raise WholebodyError(
                    f"{folder} holds another set: its {name} is {found}, not {value}. Choose another folder."
                )
        if count < manifest["count"]:
            raise WholebodyError(
                f"{folder} is a set of {manifest['count']} pictures, more than {count}. Choose another folder."
            )
    manifest["count"] = count
    _note(folder, manifest)
    return manifest


def _note(folder: Path, manifest: dict[str, Any]) -> None:
    manifest["shards"] = dict(sorted(manifest["shards"].items()))
    with replacing(folder / "manifest.json", durable=True) as partial:
        partial.write_text(json.dumps(manifest, indent=1) + "\n")


def sha256(path: Path) -> str | None:
    """The SHA-256 of a file's bytes; None if there is no such file."""
    return digest(path) if path.exists() else None


_maker: Maker | None = None


_refusal: WholebodyError | None = None


def _start(people: Callable[[], Maker]) -> None:
    """Set up a worker process: it leaves Ctrl-C to the main process, and ends when that ends."""
    global _maker, _refusal
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow_parent, daemon=True).start()
    try:
        _maker = people()
    except WholebodyError as error:
        _refusal = error


def _follow_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _make(seed: int, indices: Sequence[int]) -> list[tuple[bytes, bytes]]:
    if _maker is None:
        raise _refusal or WholebodyError("a worker has no generator. Run the same command again.")
    return [_pack(_maker(seed, index)) for index in indices]


def _pack(sample: LabelledJpeg) -> tuple[bytes, bytes]:
    return sample.jpeg, json.dumps(sample.record, separators=(",", ":"), sort_keys=True).encode()


def _made(
    people: Callable[[], Maker], workers: int, seed: int, indices: Sequence[int]
) -> Generator[tuple[bytes, bytes], None, None]:
    """(jpeg, json) bytes of the pictures, in order."""
    if not indices:
        return
    if workers < 1:
        maker = people()
        yield from (_pack(maker(seed, index)) for index in indices)
        return
    # One thread a process: more would only get in each other's way, and sums would depend on their number.
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _start, (people,))
    waiting: deque[Future[list[tuple[bytes, bytes]]]] = deque()
    try:
        for first in range(0, len(indices), _TOGETHER):
            waiting.append(pool.submit(_make, seed, indices[first : first + _TOGETHER]))
            if len(waiting) > 3 * workers:  # enough to keep them busy, few enough for memory
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    except BrokenProcessPool as error:
        raise WholebodyError(
            "a worker process died, perhaps out of memory. Run this again with fewer workers to continue."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
