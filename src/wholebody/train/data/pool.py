"""The pool of real photos: which may be used for training, and which are held out for evaluation.

A pool is a folder with `index.json`, a list of photos with their file, licence, group, size and, for frames of a clip,
the clip's name as `sequence`. Detector and pose network use the same split.
"""

import os
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

from wholebody.reading import parse_json, reading

# Hold out whole people, not frames: all clips of one signer, one athlete, one juggler. A hash of the clip's name would
# put the same person on both sides.
HELD_OUT_CLIPS = frozenset({"juggle", "parkour", "asl_book", "asl_learn", "asl_school", "asl_walk"})

HELD_OUT_PERCENT = {"hagrid": 10, "coco_train2017": 15}


@dataclass(frozen=True)
class Photo:
    """One photo of the pool.

    Attributes:
        file: path relative to the pool's folder.
        licence: as stated by the source.
        group: the source's short name.
        sequence: name of the clip, "" for a single photo.
        width, height: pixels.
        trainable: the licence allows derivatives and commercial use.
        held_out: for evaluation only; every photo that is not trainable is.
    """

    file: str
    licence: str
    group: str
    sequence: str
    width: int
    height: int
    trainable: bool
    held_out: bool


def read_pool(folder: str | os.PathLike[str]) -> tuple[Photo, ...]:
    """The photos of a pool in the order of its index, each with its side of the split, the same on every machine.

    Raises:
        WholebodyError: the index is missing or is not a list of photos.
    """
    index = Path(folder) / "index.json"
    what = "a list of photos with file, license, group, width and height"
    with reading(index, what, "Name a folder with an index.json and its photos"):
        return tuple(_photo(row) for row in parse_json(index.read_bytes()))


def is_free(licence: str) -> bool:
    """Whether a licence, as stated, allows derivatives and commercial use. Unstated means no."""
    return bool(licence.strip()) and not re.search(r"\b(NC|ND)\b|not recorded", licence)


def _photo(row: dict[str, object]) -> Photo:
    file, licence, group = str(row["file"]), str(row["license"]), str(row["group"])
    sequence = str(row.get("sequence") or "")
    trainable = is_free(licence)
    by_hash = not sequence and zlib.crc32(file.encode()) % 100 < HELD_OUT_PERCENT.get(group, 0)
    held_out = not trainable or sequence in HELD_OUT_CLIPS or by_hash
    return Photo(file, licence, group, sequence, int(str(row["width"])), int(str(row["height"])), trainable, held_out)
