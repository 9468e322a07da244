"""Labelled people from annotation files, as arrays in the order of COCO_WHOLEBODY.

| reader       | files                                                                                          |
|--------------|------------------------------------------------------------------------------------------------|
| read_labels  | COCO-WholeBody v1.0 (train, val); COCO with 17 points; all 133 points in `keypoints`;           |
|              | Halpe-136; any other COCO-keypoints JSON, by its own keypoint names or with a mapping table    |
| read_ubody   | UBody: a COCO-WholeBody file for each of 15 scenes, pictures from videos (see video/frames)    |
| write_labels | COCO-WholeBody v1.0; of another schema all points in `keypoints`, named in the category         |

A file is decoded row by row, so that the gigabyte of COCO-WholeBody's training set becomes arrays without ever being in
memory as lists of numbers.

A row that cannot be used is a `Problem`: an id that is missing, duplicate or dangling, or a field that is missing, has
the wrong length or contains NaN. A reader refuses such a file, or skips the row and records the problem in
`Labels.dropped`; nothing is lost silently. Unlikely values (a box of zero size, a point outside the picture) are kept;
`wholebody data check` reports them. Not read: segmentations, boxes of faces and hands, keypoints outside the 133
(Halpe's head, neck and hip).
"""

import json
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from wholebody.arrays import Ints, PathLike
from wholebody.data.labels import KNOWN, POINT_FIELDS, VALID_FIELDS, Labels, PictureFile, Problem, parts_labelled
from wholebody.data.names import names_of, rows_of
from wholebody.data.stream import Layout, Stream, first_line
from wholebody.errors import WholebodyError
from wholebody.files import replacing
from wholebody.schema import COCO_WHOLEBODY, Schema


def read_labels(
    path: PathLike,
    mapping: Mapping[str, str] | None = None,
    *,
    strict: bool = True,
    keep: Callable[[Mapping[str, Any]], bool] = lambda image: True,
    progress: Callable[[int], None] = lambda done: None,
    schema: Schema = COCO_WHOLEBODY,
) -> Labels:
    """The people of one annotation file.

    Rows of other categories than person are ignored. Parts whose field is absent, null or empty are unlabelled.

    Args:
        path: JSON in the layout of COCO keypoints.
        mapping: for keypoints in an order of their own: their names -> ours, or "" (see `read_mapping`). Without it,
            `keypoints` has COCO's 17, our 133 or Halpe's 136 points, or the file's category names them as we do.
        strict: refuse a file with an unreadable row; otherwise such rows are skipped and recorded in `dropped`.
        keep: which of the image records to use; people in others are not read.
        progress: called with the number of bytes read so far.
        schema: of the result. For another one than COCO_WHOLEBODY, `keypoints` has its points: in the order of the
            category's names if the file has them, else in its own.

    Raises:
        WholebodyError: not JSON, not that layout, or, if strict, a row that cannot be read.
    """
    path = Path(path)
    rows, images, categories = _Rows(), _Images(), []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            stream = Stream(file, progress)
            for name, value in stream.members(("images", "annotations", "categories")):
                if name == "images":
                    images.add(value, keep)
                elif name == "annotations":
                    rows.add(value, images.unused)
                elif isinstance(value, dict):
                    categories.append(value)
            for name in ("images", "annotations"):
                if name not in stream.seen:
                    raise Layout(f"{name} is missing")
    except OSError as error:
        raise WholebodyError(f"{path}: cannot read ({error.strerror or error}). Check the name.") from error
    except Layout as error:
        raise WholebodyError(f"{path}: {error}. Is this an annotation file in COCO's layout?") from None
    except (ValueError, RecursionError) as error:
        raise WholebodyError(f"{path}: not valid JSON ({first_line(error)}). Copy or download it again.") from None

    names = names_of(categories)
    if schema is COCO_WHOLEBODY:
        order = rows_of(path, rows.points([*KNOWN, len(names), len(mapping or ())]), names, mapping)
    else:
        order = _own_order(path, names, schema)
    labels = _assemble(rows, images, _person_categories(categories), order, schema)
    if strict and labels.dropped:
        more = f"{len(labels.dropped) - 1} more: " if len(labels.dropped) > 1 else ""
        raise WholebodyError(f"{path}: {labels.dropped[0]}. {more}`wholebody data check` lists all problems.")
    return labels


def _own_order(path: Path, names: Sequence[str], schema: Schema) -> Ints:
    """The row of each of the file's points in a custom schema."""
    if names and set(names) != set(schema.names):
        other = sorted(set(names) ^ set(schema.names))[0]
        raise WholebodyError(f"{path}: its keypoints are not those of {schema.name}: {other}. Name another schema.")
    return np.array([schema.names.index(name) for name in names or schema.names])


def write_labels(path: PathLike, labels: Labels) -> None:
    """Write people and pictures as COCO-WholeBody v1.0; `read_labels` with their schema gives the same arrays.

    Raises:
        WholebodyError: the file cannot be written.
    """
    names = labels.schema.names
    body = list(names[:17] if labels.schema is COCO_WHOLEBODY else names)
    category = {"supercategory": "person", "id": 1, "name": "person", "keypoints": body}
    with replacing(path) as partial, partial.open("w", encoding="utf-8") as file:
        pictures = ({"id": number, **picture._asdict()} for number, picture in labels.images.items())
        for start, rows, end in (('{"images":[', pictures, "],\n"), ('"annotations":[', _as_rows(labels), "],\n")):
            file.write(start)
            file.writelines(("\n" if n == 0 else ",\n") + json.dumps(row) for n, row in enumerate(rows))
            file.write(end)
        file.write(f'"categories":{json.dumps([category])}}}\n')


_BLOCK = 4096


_MISSING = object()


_UNSAID = 2  # the row does not have this flag


class _Wrong(Exception):
    """A field of a row that cannot be read: its name, and what is wrong."""


class _Images:
    """Collects image records."""

    def __init__(self) -> None:
        self.pictures: dict[int, PictureFile] = {}
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
                self.pictures[number] = PictureFile(name, *size)
            else:
                self.unused.add(number)
        except _Wrong as wrong:
            self.problems.append(Problem(record, *wrong.args))


class _Rows:
    """Collects annotation rows: flat arrays of numbers, in blocks that can be freed one by one."""

    def __init__(self) -> None:
        self.ids, self.image_ids, self.categories = array("q"), array("q"), array("q")
        self.boxes, self.areas, self.outlined = array("d"), array("d"), False
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
            outlined = area is not None
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
        self.outlined |= outlined
        self.iscrowd.append(crowd)
        self.valid.extend(flags)

    def points(self, known: Sequence[int]) -> tuple[int, int] | None:
        """The length of `keypoints`, and the id of a row as an example; None if no row has any.

        A known number of points takes precedence, then the more common one.
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
        if isinstance(value, str) and name in ("id", "image_id"):
            raise _Wrong(name, "is a name, not a whole number: number the pictures and people, as pycocotools requires")
        raise _Wrong(name, "is missing" if value is _MISSING else "is not a whole number")
    return value


def _numbers(value: Any, name: str, count: int | None = None) -> "array[float]":
    if type(value) is not list and value != ():
        raise _Wrong(name, "is missing" if value is _MISSING else "is not a list of numbers")
    if count is not None and len(value) != count:
        raise _Wrong(name, f"has {len(value)} numbers instead of {count}")
    try:
        # The sum is the fastest check of all numbers.
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


def _assemble(
    rows: _Rows, images: _Images, categories: Mapping[int, bool], order: Ints, schema: Schema = COCO_WHOLEBODY
) -> Labels:
    """The readable people as arrays, and the problems of the others."""
    m, k = len(rows.ids), len(schema)
    keypoints, visible = np.zeros((m, k, 2)), np.zeros((m, k), dtype=np.float32)
    good = np.ones(m, dtype=bool)
    problems = [*images.problems, *rows.problems]

    def wrong(n: Any, name: str, what: str) -> None:
        good[n] = False
        problems.append(Problem(f"annotation {rows.ids[n]}", name, what))

    orders = {"keypoints": order}
    if schema is COCO_WHOLEBODY:
        orders = {name: np.arange(k)[schema.parts[part]] for name, part in POINT_FIELDS.items()} | orders
    start = m
    while rows.blocks:  # from the last one on, each freed when done
        block = rows.blocks.pop()
        start -= len(block["keypoints"][1])
        for name, ours in orders.items():
            flat, counts = block[name]
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
    labels = Labels(
        ids=ids,
        image_ids=image_ids,
        keypoints=keypoints,
        visible=visible,
        boxes=boxes,
        areas=np.array(rows.areas, dtype=np.float64),
        iscrowd=np.array(rows.iscrowd, dtype=np.uint8).astype(bool),
        valid=np.where(said == _UNSAID, parts_labelled(visible, schema), said == 1),
        images=images.pictures,
        dropped=tuple(problems),
        schema=schema,
        outlined=rows.outlined or not m,
    )
    return labels if good.all() else labels[good]


def _as_rows(labels: Labels) -> Iterator[dict[str, Any]]:
    points = np.concatenate([labels.keypoints, labels.visible[..., None].astype(np.float64)], axis=2)
    schema = labels.schema
    whole = schema is COCO_WHOLEBODY
    fields = {name: schema.parts[part] for name, part in POINT_FIELDS.items()} if whole else {"keypoints": slice(None)}
    for m in range(len(labels)):
        x0, y0, x1, y1 = labels.boxes[m].tolist()
        yield {
            "id": int(labels.ids[m]),
            "image_id": int(labels.image_ids[m]),
            "category_id": 1,
            "iscrowd": int(labels.iscrowd[m]),
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            **({"area": float(labels.areas[m])} if labels.outlined else {}),
            "num_keypoints": int((labels.visible[m, fields["keypoints"]] > 0).sum()),
            **{name: points[m, rows].ravel().tolist() for name, rows in fields.items()},
            **dict(zip(VALID_FIELDS, labels.valid[m].tolist(), strict=True)),
        }


def _person_categories(categories: Sequence[Mapping[str, Any]]) -> dict[int, bool]:
    """Category id -> whether its rows are people: those named person, or all if none is."""
    known = {row["id"]: str(row.get("name")).lower() == "person" for row in categories if type(row.get("id")) is int}
    return known if any(known.values()) else dict.fromkeys(known, True)
