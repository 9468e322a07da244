"""Labelled people from annotation files, as arrays in the order of COCO_WHOLEBODY.

| reader       | files                                                                                          |
|--------------|------------------------------------------------------------------------------------------------|
| read_labels  | COCO-WholeBody v1.0 (train, val); COCO with 17 points; all 133 points in `keypoints`;           |
|              | Halpe-136; any other COCO-keypoints JSON, by its own keypoint names or with a mapping table    |
| read_ubody   | UBody: a COCO-WholeBody file for each of 15 scenes, pictures cut from videos (see frames.py)   |
| write_labels | COCO-WholeBody v1.0                                                                            |

A file is decoded row by row, so that the gigabyte of COCO-WholeBody's training set becomes arrays without ever standing
in memory as lists of numbers.

A row that cannot be taken at its word is a `Problem`: an id that is missing, double or points nowhere, a field that is
missing, too long, too short or holds NaN. A reader refuses such a file, or leaves the row out and keeps the problem in
`Labels.dropped`: nothing goes silently. What can be read but is unlikely (a box of no size, a point outside the
picture) is kept as it is; `wholebody data check` looks for that. Left out: segmentations, boxes of faces and hands,
keypoints outside the 133 (Halpe's head, neck and hip).
"""

import difflib
import json
import re
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from math import isfinite
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from wholebody.arrays import Doubles, Ints, PathLike, Rows
from wholebody.errors import WholebodyError
from wholebody.files import replacing
from wholebody.schema import COCO_WHOLEBODY

# JSON field -> part of the schema.
POINT_FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "keypoints": "body",
        "foot_kpts": "feet",
        "face_kpts": "face",
        "lefthand_kpts": "left_hand",
        "righthand_kpts": "right_hand",
    }
)

# The columns of `Labels.valid`, and the fields they come from.
VALID_FIELDS = ("foot_valid", "face_valid", "lefthand_valid", "righthand_valid")
VALID_PARTS = ("feet", "face", "left_hand", "right_hand")

# Our row of each of Halpe's 136 points, -1 for head, neck and hip. Source: "Keypoints format" in the README of
# Fang-Haoshu/Halpe-FullBody. Feet alternate left and right; faces and hands are ordered as ours.
HALPE_136 = np.array([*range(17), -1, -1, -1, 17, 20, 18, 21, 19, 22, *range(23, 91), *range(91, 133)])

# How `keypoints` is laid out, by its number of points.
_KNOWN = {17: np.arange(17), 133: np.arange(133), 136: HALPE_136}

UBODY_SCENES = (
    "Magic_show", "Entertainment", "ConductMusic", "Online_class", "TalkShow", "Speech", "Fitness", "Interview",
    "Olympic", "TVShow", "Singing", "SignLanguage", "Movie", "LiveVlog", "VideoConference",
)  # fmt: skip


class Picture(NamedTuple):
    """A picture that labels belong to: a path relative to the folder of pictures, and its size, 0 where not given."""

    file_name: str
    width: int = 0
    height: int = 0


class Problem(NamedTuple):
    """Why a row cannot be read: `record` is "annotation 12", "image 7" or "annotations[4]" (counted from 0)."""

    record: str
    field: str
    what: str

    def __str__(self) -> str:
        return f"{self.record}: {self.field} {self.what}".replace("  ", " ")


@dataclass(frozen=True, eq=False)
class Labels:
    """M labelled people in many pictures; row m of every array is the same person.

    Attributes:
        ids: (M,) int64 annotation ids.
        image_ids: (M,) int64, keys of `images`.
        keypoints: (M, 133, 2) float64, pixels of the picture.
        visible: (M, 133) float32 as in the file: 0 unlabelled, 1 occluded, 2 visible, or a confidence.
        boxes: (M, 4) float64 x0, y0, x1, y1.
        areas: (M,) float64 square pixels as in the file, else of the box.
        iscrowd: (M,) bool, a box around many.
        valid: (M, 4) bool, whether feet, face, left hand, right hand (VALID_PARTS) could be labelled; where the file
            does not say, whether they have a labelled point.
        images: image id -> picture, also those without people.
        dropped: the rows of the file that could not be read.

    Raises:
        ValueError: shapes do not agree.
    """

    ids: Ints
    image_ids: Ints
    keypoints: Doubles
    visible: npt.NDArray[np.float32]
    boxes: Doubles
    areas: Doubles
    iscrowd: npt.NDArray[np.bool_]
    valid: npt.NDArray[np.bool_]
    images: Mapping[int, Picture]
    dropped: tuple[Problem, ...] = field(default=())

    def __post_init__(self) -> None:
        m, k = len(self.ids), len(COCO_WHOLEBODY)
        shapes = ((m,), (m,), (m, k, 2), (m, k), (m, 4), (m,), (m,), (m, 4))
        for name, shape in zip(_ARRAYS, shapes, strict=True):
            if getattr(self, name).shape != shape:
                raise ValueError(f"Labels.{name} has shape {getattr(self, name).shape}, expected {shape}")

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: Rows) -> "Labels":
        """Some of the people, by slice, list or mask; all pictures stay."""
        return replace(self, **{name: getattr(self, name)[rows] for name in _ARRAYS})

    @staticmethod
    def concatenate(parts: Sequence["Labels"]) -> "Labels":
        """The people and pictures of several files, each numbered anew from 1."""
        if not parts:
            return _assemble(_Rows(), _Images(), {}, _KNOWN[17])
        images: dict[int, Picture] = {}
        image_ids = []
        for part in parts:
            old = np.array(sorted(part.images), dtype=np.int64)
            image_ids.append(np.searchsorted(old, part.image_ids) + len(images) + 1)
            first = len(images) + 1
            images.update({first + n: part.images[int(image)] for n, image in enumerate(old)})
        arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _ARRAYS}
        arrays["ids"] = np.arange(1, len(arrays["ids"]) + 1)
        arrays["image_ids"] = np.concatenate(image_ids)
        return Labels(**arrays, images=images, dropped=sum((part.dropped for part in parts), ()))


_ARRAYS = tuple(entry.name for entry in fields(Labels))[:8]


def read_labels(
    path: PathLike,
    mapping: Mapping[str, str] | None = None,
    *,
    strict: bool = True,
    keep: Callable[[Mapping[str, Any]], bool] = lambda image: True,
    progress: Callable[[int], None] = lambda done: None,
) -> Labels:
    """The people of one annotation file.

    Rows of other categories than person are not people. Parts whose field is absent, null or empty are unlabelled.

    Args:
        path: JSON in the layout of COCO keypoints.
        mapping: for keypoints in an order of their own: their names -> ours, or "" (see `read_mapping`). Without it,
            `keypoints` has COCO's 17, our 133 or Halpe's 136 points, or the file's category names them as we do.
        strict: refuse a file with a row that cannot be read; otherwise such rows are left out and kept in `dropped`.
        keep: which of the image records to use; people in others are not read.
        progress: called with the number of bytes read so far.

    Raises:
        WholebodyError: not JSON, not that layout, or, if strict, a row that cannot be read.
    """
    path = Path(path)
    rows, images, categories = _Rows(), _Images(), []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            stream = _Stream(file, progress)
            for name, value in stream.members(("images", "annotations", "categories")):
                if name == "images":
                    images.add(value, keep)
                elif name == "annotations":
                    rows.add(value, images.unused)
                elif isinstance(value, dict):
                    categories.append(value)
            for name in ("images", "annotations"):
                if name not in stream.seen:
                    raise _Layout(f"{name} is missing")
    except OSError as error:
        raise WholebodyError(f"{path}: cannot read ({error.strerror or error}). Check the name.") from error
    except _Layout as error:
        raise WholebodyError(f"{path}: {error}. Is this an annotation file in COCO's layout?") from None
    except (ValueError, RecursionError) as error:
        raise WholebodyError(f"{path}: not valid JSON ({_first_line(error)}). Copy or download it again.") from None

    names = _names(categories)
    order = _order(path, rows.points([*_KNOWN, len(names), len(mapping or ())]), names, mapping)
    labels = _assemble(rows, images, _person_categories(categories), order)
    if strict and labels.dropped:
        more = f"{len(labels.dropped) - 1} more: " if len(labels.dropped) > 1 else ""
        raise WholebodyError(f"{path}: {labels.dropped[0]}. {more}`wholebody data check` lists all problems.")
    return labels


def read_ubody(
    folder: PathLike,
    scenes: Sequence[str] = UBODY_SCENES,
    *,
    split: str = "all",
    every: int = 1,
    suffix: str = ".jpg",
    file: str = "keypoint_annotation.json",
    strict: bool = True,
) -> Labels:
    """The people of UBody's scenes, file names relative to `folder`/images, ids numbered anew.

    Args:
        folder: holds annotations/SCENE/keypoint_annotation.json and, for a split, splits/intra_scene_test_list.npy.
        scenes: which of them.
        split: "all", "train" or "test", by the videos that the data set's authors keep for testing.
        every: only frames 1, 1 + every, 1 + 2 every ... of each video.
        suffix: of the pictures as `wholebody data frames` wrote them; the annotations say .png.
        file: the name of a scene's annotations.
        strict: as in `read_labels`.

    Raises:
        WholebodyError: a file is missing, or one of `read_labels`' reasons.
    """
    folder = Path(folder)
    if split not in ("all", "train", "test"):
        raise WholebodyError(f"no split {split!r} of UBody; there are all, train, test.")
    test = set() if split == "all" else _test_videos(folder / "splits" / "intra_scene_test_list.npy")

    def keep(image: Mapping[str, Any]) -> bool:
        name = Path(str(image.get("file_name")))
        number = int(name.stem) if name.stem.isdecimal() else 1
        wanted = split == "all" or (name.parent.name.split("_Trim")[0] in test) == (split == "test")
        return wanted and (number - 1) % every == 0

    parts = []
    for scene in scenes:
        part = read_labels(folder / "annotations" / scene / file, strict=strict, keep=keep)
        pictures = {
            number: picture._replace(file_name=f"{scene}/{_with_suffix(picture.file_name.lstrip('/'), suffix)}")
            for number, picture in part.images.items()
        }
        parts.append(replace(part, images=pictures))
    return Labels.concatenate(parts)


def read_mapping(path: PathLike) -> dict[str, str]:
    """A mapping table: their keypoint name -> ours, in their order; "" for a point that is not among the 133.

    JSON, one object {"their name": "our name" or null}; or text, a line `their name -> our name` for each, where
    # starts a comment and `their name ->` alone means no such point.

    Raises:
        WholebodyError: the file cannot be read, is neither, or names a keypoint of ours that does not exist or twice.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
        table = json.loads(text) if text.lstrip().startswith(("{", "[")) else _arrows(path, text)
    except OSError as error:
        raise WholebodyError(f"{path}: cannot read ({error.strerror or error}). Check the name.") from error
    except ValueError as error:
        raise WholebodyError(f"{path}: not valid JSON ({_first_line(error)}). Correct the table.") from None
    if not isinstance(table, dict) or not all(isinstance(ours, str | None) for ours in table.values()):
        raise WholebodyError(f"{path}: not a mapping table: one JSON object of names, or lines `theirs -> ours`.")
    used: dict[int, str] = {}
    for theirs, ours in table.items():
        row = _row_named(ours) if ours else -1
        if ours and row < 0:
            close = difflib.get_close_matches(ours, COCO_WHOLEBODY.names, n=1)
            hint = f"Did you mean {close[0]!r}?" if close else "See wholebody.COCO_WHOLEBODY.names."
            raise WholebodyError(f"{path}: {theirs}: there is no keypoint {ours!r}. {hint}")
        if row >= 0 and row in used:
            raise WholebodyError(f"{path}: {ours!r} is given to both {used[row]} and {theirs}. Correct the table.")
        used[row] = theirs
    return {theirs: ours or "" for theirs, ours in table.items()}


def write_labels(path: PathLike, labels: Labels) -> None:
    """Write people and pictures as COCO-WholeBody v1.0; `read_labels` gives the same arrays.

    Raises:
        WholebodyError: the file cannot be written.
    """
    body = list(COCO_WHOLEBODY.names[:17])
    category = {"supercategory": "person", "id": 1, "name": "person", "keypoints": body}
    with replacing(path) as partial, partial.open("w", encoding="utf-8") as file:
        pictures = ({"id": number, **picture._asdict()} for number, picture in labels.images.items())
        for start, rows, end in (('{"images":[', pictures, "],\n"), ('"annotations":[', _as_rows(labels), "],\n")):
            file.write(start)
            file.writelines(("\n" if n == 0 else ",\n") + json.dumps(row) for n, row in enumerate(rows))
            file.write(end)
        file.write(f'"categories":{json.dumps([category])}}}\n')


def picture_path(folder: PathLike, file_name: str) -> Path:
    """Where a picture of an annotation file is: below `folder`, also with a leading slash (UBody) or as .jpg for .png.

    A path that does not exist is returned as the file says it.
    """
    path = Path(folder) / file_name.lstrip("/")
    if path.exists():
        return path
    for suffix in (".jpg", ".png"):
        if (other := path.with_suffix(suffix)).exists():
            return other
    return path


_CHUNK = 2**20


_SPACE = re.compile(r"[ \t\r\n]*")
_decode = json.JSONDecoder().raw_decode


class _Layout(Exception):
    """The file is JSON, but not of COCO's layout."""


class _Stream:
    """The members of the one object in a file; lists that can be long come element by element."""

    def __init__(self, file: Any, progress: Callable[[int], None]) -> None:
        self.file, self.progress = file, progress
        self.text, self.at, self.before = "", 0, 0
        self.seen: set[str] = set()

    def members(self, lists: Sequence[str]) -> Iterator[tuple[str, Any]]:
        if self._peek() != "{":
            raise _Layout("the top level is not an object" if self._peek() else "the file is empty")
        for _ in self._separated("{", "}"):
            name = self._value()
            if not isinstance(name, str):
                raise ValueError(f"a name is missing at character {self.before + self.at}")
            self._take(":")
            if name in self.seen and name in lists:
                raise _Layout(f"{name} is there twice")
            self.seen.add(name)
            if name not in lists:
                self._value()
            elif self._peek() == "[":
                for _ in self._separated("[", "]"):
                    yield name, self._value()
            else:
                raise _Layout(f"{name} is not a list")
        if self._peek():
            raise _Layout("something follows the end of the object")

    def _separated(self, start: str, end: str) -> Iterator[None]:
        """Stop before each of the values between two brackets."""
        self._take(start)
        if self._peek() == end:
            self.at += 1
            return
        while True:
            yield
            if self._peek() == end:
                self.at += 1
                return
            self._take(",")

    def _value(self) -> Any:
        self._peek()
        while True:
            try:
                value, end = _decode(self.text, self.at)
            except json.JSONDecodeError as error:
                if self._more():
                    continue
                raise ValueError(f"{error.msg} at character {self.before + error.pos}") from None
            # A number at the end of the chunk may go on in the next one.
            if end < len(self.text) or not self._more():
                self.at = end
                return value

    def _take(self, character: str) -> None:
        found = self._peek()
        if found != character:
            what = repr(found) if found else "the end of the file"
            raise ValueError(f"{what} instead of {character!r} at character {self.before + self.at}")
        self.at += 1

    def _peek(self) -> str:
        """The next character that is not white space, "" at the end of the file."""
        while True:
            match = _SPACE.match(self.text, self.at)
            self.at = match.end() if match else self.at
            if self.at < len(self.text):
                return self.text[self.at]
            if not self._more():
                return ""

    def _more(self) -> bool:
        # At least as much again as there is, so that a value that never ends is not tried too often.
        chunk = self.file.read(max(_CHUNK, len(self.text) - self.at))
        self.before += self.at
        self.text, self.at = self.text[self.at :] + chunk, 0
        self.progress(self.file.buffer.tell())
        return bool(chunk)


_BLOCK = 4096


_MISSING = object()
_UNSAID = 2  # a flag that the row does not have


class _Wrong(Exception):
    """A field of a row that cannot be read: its name, and what is wrong."""


class _Images:
    """Image records while they come in."""

    def __init__(self) -> None:
        self.pictures: dict[int, Picture] = {}
        self.unused: set[int] = set()
        self.problems: list[Problem] = []
        self.count = 0

    def add(self, row: Any, keep: Callable[[Mapping[str, Any]], bool]) -> None:
        record = f"images[{self.count}]"
        self.count += 1
        try:
            if not isinstance(row, dict):
                raise _Wrong("", "is not an object")
            number = _integer(row, "id")
            record = f"image {number}"
            name = row.get("file_name", _MISSING)
            if not isinstance(name, str) or not name:
                raise _Wrong("file_name", "is missing" if name is _MISSING else "is not a name")
            size = [_integer(row, side) if row.get(side) is not None else 0 for side in ("width", "height")]
            if min(size) < 0:
                raise _Wrong("width" if size[0] < 0 else "height", "is negative")
            if number in self.pictures or number in self.unused:
                raise _Wrong("id", "is used by another image too")
            if keep(row):
                self.pictures[number] = Picture(name, *size)
            else:
                self.unused.add(number)
        except _Wrong as wrong:
            self.problems.append(Problem(record, *wrong.args))


class _Rows:
    """Annotation rows while they come in: flat arrays of numbers, in blocks that can be freed one by one."""

    def __init__(self) -> None:
        self.ids, self.image_ids, self.categories = array("q"), array("q"), array("q")
        self.boxes, self.areas = array("d"), array("d")
        self.iscrowd, self.valid = bytearray(), bytearray()
        # For each block and field: the numbers of all rows, and how many each row has.
        self.blocks: list[dict[str, tuple[array[float], array[int]]]] = []
        self.problems: list[Problem] = []
        self.count = 0

    def add(self, row: Any, unused: set[int]) -> None:
        record = f"annotations[{self.count}]"
        self.count += 1
        try:
            if not isinstance(row, dict):
                raise _Wrong("", "is not an object")
            number = _integer(row, "id")
            record = f"annotation {number}"
            image = _integer(row, "image_id")
            if image in unused:
                return
            box = _numbers(row.get("bbox", _MISSING), "bbox", 4)
            area = row.get("area")
            area = box[2] * box[3] if area is None else _numbers([area], "area", 1)[0]
            points = [_numbers(row.get(name) or (), name) for name in POINT_FIELDS]
            category = row.get("category_id")
            category = -1 if category is None else _integer(row, "category_id")
            flags = [_UNSAID if row.get(name) is None else _flag(row, name) for name in VALID_FIELDS]
            crowd = _flag(row, "iscrowd") if row.get("iscrowd") else 0
        except _Wrong as wrong:
            self.problems.append(Problem(record, *wrong.args))
            return
        if len(self.ids) % _BLOCK == 0:
            self.blocks.append({name: (array("d"), array("q")) for name in POINT_FIELDS})
        for (flat, counts), numbers in zip(self.blocks[-1].values(), points, strict=True):
            flat.extend(numbers)
            counts.append(len(numbers))
        self.ids.append(number)
        self.image_ids.append(image)
        self.categories.append(category)
        self.boxes.extend(box)
        self.areas.append(area)
        self.iscrowd.append(crowd)
        self.valid.extend(flags)

    def points(self, known: Sequence[int]) -> tuple[int, int] | None:
        """How many numbers `keypoints` has, and the id of a row that shows it; None if no row has any.

        A number of points that is known counts before one that is not, then the more usual one.
        """
        counts = np.array([n for block in self.blocks for n in block["keypoints"][1]], dtype=np.int64)
        found = counts[counts > 0]
        if not len(found):
            return None
        likely = found[np.isin(found, 3 * np.array(known))]
        usual = int(np.bincount(likely if len(likely) else found).argmax())
        return usual, self.ids[int((counts == usual).argmax())]


def _integer(row: Mapping[str, Any], name: str) -> int:
    value = row.get(name, _MISSING)
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise _Wrong(name, "is missing" if value is _MISSING else "is not a whole number")
    return value


def _numbers(value: Any, name: str, count: int | None = None) -> "array[float]":
    if type(value) is not list and value != ():
        raise _Wrong(name, "is missing" if value is _MISSING else "is not a list of numbers")
    if count is not None and len(value) != count:
        raise _Wrong(name, f"has {len(value)} numbers instead of {count}")
    try:
        # The sum is the quickest look at every number there is.
        if not isfinite(sum(value)):
            raise _Wrong(name, "holds NaN or an infinite number")
        return array("d", value)
    except (TypeError, OverflowError):
        raise _Wrong(name, "holds something that is not a number") from None


def _flag(row: Mapping[str, Any], name: str) -> int:
    value = row[name]
    if type(value) not in (bool, int, float) or value not in (0, 1):
        raise _Wrong(name, "is neither true nor false")
    return int(value)


def _assemble(rows: _Rows, images: _Images, categories: Mapping[int, bool], order: Ints) -> Labels:
    """The people that can be read as arrays, and why the others cannot."""
    m, k = len(rows.ids), len(COCO_WHOLEBODY)
    keypoints, visible = np.zeros((m, k, 2)), np.zeros((m, k), dtype=np.float32)
    good = np.ones(m, dtype=bool)
    problems = [*images.problems, *rows.problems]

    def wrong(n: Any, name: str, what: str) -> None:
        good[n] = False
        problems.append(Problem(f"annotation {rows.ids[n]}", name, what))

    orders = {name: np.arange(k)[COCO_WHOLEBODY.parts[part]] for name, part in POINT_FIELDS.items()}
    orders["keypoints"] = order
    start = m
    while rows.blocks:  # from the last one on, each freed when done
        block = rows.blocks.pop()
        start -= len(block["keypoints"][1])
        for name, (flat, counts) in block.items():
            ours = orders[name]
            numbers = np.array(counts, dtype=np.int64)
            full = numbers == 3 * len(ours)
            for n in np.flatnonzero(~full & (numbers > 0)):
                wrong(start + n, name, f"has {numbers[n]} numbers instead of {3 * len(ours)}")
            triplets = np.array(flat)[np.repeat(full, numbers)].reshape(-1, len(ours), 3)
            theirs = np.flatnonzero(ours >= 0)
            where = (start + np.flatnonzero(full)[:, None], ours[theirs])
            keypoints[where] = triplets[:, theirs, :2]
            visible[where] = triplets[:, theirs, 2]
            for n in np.flatnonzero((triplets[..., 2] < 0).any(axis=1)):
                wrong(where[0][n, 0], name, "has a point whose third number is negative")

    ids, image_ids, category = (np.array(flat, dtype=np.int64) for flat in (rows.ids, rows.image_ids, rows.categories))
    # Of several rows with one id the first is kept.
    for n in np.setdiff1d(np.arange(m), np.unique(ids, return_index=True)[1]):
        wrong(n, "id", "is used by another annotation too")
    used = np.isin(image_ids, np.fromiter(images.pictures, dtype=np.int64))
    for n in np.flatnonzero(~used & ~np.isin(image_ids, np.fromiter(images.unused, dtype=np.int64))):
        wrong(n, "image_id", f"{image_ids[n]} is not the id of an image")
    for n in np.flatnonzero(~np.isin(category, [-1, *categories])) if categories else ():
        wrong(n, "category_id", f"{category[n]} is not the id of a category")
    good &= used & ~np.isin(category, [number for number, person in categories.items() if not person])

    boxes = np.array(rows.boxes, dtype=np.float64).reshape(m, 4)
    boxes[:, 2:] += boxes[:, :2]
    said = np.array(rows.valid, dtype=np.uint8).reshape(m, 4)
    seen = np.stack([(visible[:, COCO_WHOLEBODY.parts[part]] > 0).any(axis=1) for part in VALID_PARTS], axis=1)
    labels = Labels(
        ids=ids,
        image_ids=image_ids,
        keypoints=keypoints,
        visible=visible,
        boxes=boxes,
        areas=np.array(rows.areas, dtype=np.float64),
        iscrowd=np.array(rows.iscrowd, dtype=np.uint8).astype(bool),
        valid=np.where(said == _UNSAID, seen, said == 1),
        images=images.pictures,
        dropped=tuple(problems),
    )
    return labels if good.all() else labels[good]


def _as_rows(labels: Labels) -> Iterator[dict[str, Any]]:
    points = np.concatenate([labels.keypoints, labels.visible[..., None].astype(np.float64)], axis=2)
    for m in range(len(labels)):
        x0, y0, x1, y1 = labels.boxes[m].tolist()
        yield {
            "id": int(labels.ids[m]),
            "image_id": int(labels.image_ids[m]),
            "category_id": 1,
            "iscrowd": int(labels.iscrowd[m]),
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "area": float(labels.areas[m]),
            "num_keypoints": int((labels.visible[m, :17] > 0).sum()),
            **{name: points[m, COCO_WHOLEBODY.parts[part]].ravel().tolist() for name, part in POINT_FIELDS.items()},
            **dict(zip(VALID_FIELDS, labels.valid[m].tolist(), strict=True)),
        }


def _plain(name: str) -> str:
    """A keypoint's name without case, spaces and dashes."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _row_named(name: str) -> int:
    """Our row of a keypoint; LEye and l_eye are left_eye. -1 if there is none."""
    return _BY_NAME.get(_plain(name), -1)


_BY_NAME = {_plain(name): row for row, name in enumerate(COCO_WHOLEBODY.names)}


_BY_NAME |= {_plain(re.sub("^(l|r)(eft|ight)_", r"\1", name)): row for row, name in enumerate(COCO_WHOLEBODY.names)}


def _order(path: Path, points: tuple[int, int] | None, names: Sequence[str], mapping: Mapping[str, str] | None) -> Ints:
    """(n,) our row of each point in `keypoints`, -1 for a point we have not.

    Args:
        points: how many numbers there are, and the annotation that has them.
        names: of the points, as the file's category gives them, or empty.
    """
    if points is None:
        return _KNOWN[17]
    numbers, number = points
    n, rest = divmod(numbers, 3)
    where = f"{path}: annotation {number}: keypoints has {numbers} numbers"
    if rest:
        raise WholebodyError(f"{where}, not three for each point. Is this an annotation file in COCO's layout?")
    if len(names) != n:
        names = ()
    if mapping is not None:
        if not names and len(mapping) != n:
            raise WholebodyError(f"{where} ({n} points), but the mapping table names {len(mapping)}.")
        table = {_plain(theirs): _row_named(ours) if ours else -1 for theirs, ours in mapping.items()}
        strangers = [theirs for theirs in mapping if names and _plain(theirs) not in map(_plain, names)]
        if strangers:
            raise WholebodyError(f"{path}: has no keypoint {strangers[0]!r}, which the mapping table names.")
        return np.array([table.get(_plain(theirs), -1) for theirs in names or mapping])
    order = np.array([_row_named(name) for name in names])
    if n in (133, 136) or (n == 17 and not names):
        return _KNOWN[n]
    if not names or (order < 0).any() or len(set(order.tolist())) < n:
        unknown = [name for name, row in zip(names, order, strict=True) if row < 0][:3]
        named = f" named {', '.join(unknown)}" if unknown else ""
        raise WholebodyError(f"{where}: {n} points{named}. Say which they are with a mapping table.")
    return order


def _names(categories: Sequence[Mapping[str, Any]]) -> list[str]:
    """The keypoint names of the first category that has some."""
    for category in categories:
        names = category.get("keypoints")
        if isinstance(names, list) and names and all(isinstance(name, str) for name in names):
            return names
    return []


def _person_categories(categories: Sequence[Mapping[str, Any]]) -> dict[int, bool]:
    """Category id -> whether its rows are people: those named person, or all if none is."""
    known = {row["id"]: str(row.get("name")).lower() == "person" for row in categories if type(row.get("id")) is int}
    return known if any(known.values()) else dict.fromkeys(known, True)


def _arrows(path: Path, text: str) -> dict[str, str]:
    table = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.split("#")[0].strip()
        theirs, arrow, ours = (part.strip() for part in line.partition("->"))
        if line and (not arrow or not theirs or theirs in table):
            what = "is there twice" if theirs in table else f"{line!r} is not `their name -> our name`"
            raise WholebodyError(f"{path}: line {number}: {what}. Correct the table.")
        if line:
            table[theirs] = ours
    return table


def _test_videos(path: Path) -> set[str]:
    try:
        return {str(name) for name in np.load(path, allow_pickle=False).ravel()}
    except (OSError, ValueError, EOFError) as error:
        raise WholebodyError(f"{path}: cannot read the list of test videos ({_first_line(error)}).") from error


def _with_suffix(name: str, suffix: str) -> str:
    return str(Path(name).with_suffix(suffix).as_posix())


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
