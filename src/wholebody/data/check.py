"""`wholebody data check`: find problems in a label file before a training or an evaluation does.

"Broken" means that it cannot be true: unreadable rows, boxes without size, points outside their picture, hands at the
other wrist, duplicate people, pictures that are missing or have another size. "Odd" is worth a look: points far from
their box, flags that contradict the points. Each check is a function of the arrays; nothing is changed.

A point counts as labelled according to its flag (1, 2), or from a confidence of LEAST in files with confidences.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from wholebody.arrays import Bools, Doubles, PathLike
from wholebody.console import stdout_console
from wholebody.data.coco import read_labels
from wholebody.data.labels import POINT_FIELDS, VALID_FIELDS, VALID_PARTS, Labels, picture_path
from wholebody.data.names import read_mapping
from wholebody.errors import WholebodyError
from wholebody.images import image_size
from wholebody.schema import COCO_WHOLEBODY

LEAST = 0.3

# Labels are rounded, and a box may end on a picture's last pixel or just after it.
SLACK = 2.0
# Two rows are the same person if their boxes agree this well (IoU), and so do their common points (relative to the
# box).
SAME_BOX, SAME_POINTS = 0.9, 0.02
# Show a progress bar from this file size.
_LARGE = 20_000_000
# People per block: enough for speed, few enough for memory.
_SOME = 16384
_SHOWN = 5


@dataclass(frozen=True)
class Finding:
    """One kind of problem.

    Attributes:
        what: the kind, for a table.
        broken: cannot be true; otherwise odd.
        records: "annotation 12" or "image 7" for each place.
        details: the field and its problem, for each place.
        of: number of people or pictures that could be checked.
    """

    what: str
    broken: bool
    records: Sequence[str]
    details: Sequence[str]
    of: int


def check(
    path: PathLike, images: PathLike | None = None, mapping: PathLike | None = None, every_line: bool = False
) -> int:
    """Check an annotation file and print the problems; 1 if anything is broken.

    Args:
        path: the annotation file.
        images: the folder of its pictures; without it, pictures are not checked.
        mapping: a table for foreign keypoint names, as in `read_mapping`.
        every_line: print each place on a line of its own before the table.

    Raises:
        WholebodyError: the file as a whole cannot be read.
    """
    path = Path(path)
    table = None if mapping is None else read_mapping(mapping)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    size = path.stat().st_size if path.is_file() else 0
    large = size > _LARGE or images is not None
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not large) as bar:
        reading = bar.add_task("reading", total=size)
        labels = read_labels(path, table, strict=False, progress=lambda done: bar.update(reading, completed=done))
        looking = bar.add_task("pictures", total=len(labels.images), visible=images is not None)
        found = findings(labels, images, lambda: bar.advance(looking))
    if every_line:
        for finding in found:
            for record, detail in zip(finding.records, finding.details, strict=True):
                print(f"{path}: {record}: {detail}")
    _report(path, labels, found)
    return 1 if any(finding.broken for finding in found) else 0


def findings(
    labels: Labels, images: PathLike | None = None, advance: Callable[[], None] = lambda: None
) -> list[Finding]:
    """All problems with the labels, broken ones first.

    Args:
        labels: as from `read_labels(..., strict=False)`, which keeps the rows that could not be read in `dropped`.
        images: the folder of the pictures, or None to leave them alone.
        advance: called once per picture checked.
    """
    found = [*_unreadable(labels)]
    sizes = {number: (picture.width, picture.height) for number, picture in labels.images.items()}
    if images is not None:
        found += _files(labels, Path(images), sizes, advance)
    found += _pictures(labels)
    flags = bool((labels.visible == np.round(labels.visible)).all())
    for start in range(0, len(labels), _SOME):
        some = labels[start : start + _SOME]
        found += [*_boxes(some, sizes), *_points(some, sizes, flags), *_sides(some, flags)]
    found += _twice(labels, flags)
    return sorted(_merged(found), key=lambda finding: not finding.broken)


def _merged(found: Iterable[Finding]) -> list[Finding]:
    """One finding per kind; kinds without a place are left out."""
    kinds: dict[str, Finding] = {}
    for new in found:
        old = kinds.get(new.what, Finding(new.what, new.broken, (), (), 0))
        places = [*old.records, *new.records], [*old.details, *new.details]
        kinds[new.what] = Finding(new.what, new.broken, *places, old.of + new.of)
    return [finding for finding in kinds.values() if finding.records]


def _unreadable(labels: Labels) -> Iterable[Finding]:
    kinds: dict[str, list[int]] = {}
    for n, problem in enumerate(labels.dropped):
        kinds.setdefault(f"{problem.field or 'row'} cannot be read", []).append(n)
    for kind, rows in kinds.items():
        problems = [labels.dropped[n] for n in rows]
        details = [f"{problem.field} {problem.what}".strip() for problem in problems]
        yield Finding(kind, True, [problem.record for problem in problems], details, len(labels) + len(labels.dropped))


def _files(
    labels: Labels, folder: Path, sizes: dict[int, tuple[int, int]], advance: Callable[[], None]
) -> Iterable[Finding]:
    """Pictures that are missing, unreadable or have another size; `sizes` receives the real sizes."""
    missing, unreadable, other = [], [], []
    for number, picture in labels.images.items():
        path = picture_path(folder, picture.file_name)
        if not path.is_file():
            missing.append((number, f"file_name {picture.file_name} is not in {folder}"))
        else:
            try:
                real = image_size(path)
            except WholebodyError as error:
                unreadable.append((number, f"file_name {str(error).splitlines()[0]}"))
            else:
                if 0 not in sizes[number] and sizes[number] != real:
                    said = "{} x {}".format(*sizes[number])
                    other.append((number, f"width and height are {said}, the picture has {real[0]} x {real[1]}"))
                sizes[number] = real
        advance()
    n = len(labels.images)
    yield _of_pictures("picture is missing", missing, n)
    yield _of_pictures("picture cannot be read", unreadable, n)
    yield _of_pictures("picture has another size", other, n)


def _pictures(labels: Labels) -> Iterable[Finding]:
    first: dict[str, int] = {}
    twice = [
        (number, f"file_name {picture.file_name} is also that of image {first[picture.file_name]}")
        for number, picture in labels.images.items()
        if first.setdefault(picture.file_name, number) != number
    ]
    yield _of_pictures("picture is listed twice", twice, len(labels.images))
    unsized = [
        (number, "width or height is missing")
        for number, picture in labels.images.items()
        if 0 in (picture.width, picture.height)
    ]
    yield _of_pictures("picture has no size", unsized, len(labels.images), broken=False)


def _boxes(labels: Labels, sizes: Mapping[int, tuple[int, int]]) -> Iterable[Finding]:
    w, h = (labels.boxes[:, 2:] - labels.boxes[:, :2]).T
    tiny = (w < 1) | (h < 1)
    yield _of_people("box smaller than a pixel", labels, tiny, lambda m: f"bbox is {w[m]:g} x {h[m]:g}")
    size = _sizes(labels, sizes)
    over = np.maximum(-labels.boxes[:, :2], labels.boxes[:, 2:] - size).max(axis=1)
    over[_any(size == 0)] = 0
    text = "bbox extends {:.0f} pixels beyond the picture"
    known = ~_any(size == 0)
    yield _of_people("box outside the picture", labels, over > SLACK, lambda m: text.format(over[m]), known)
    most = 1.05 * (w + 1) * (h + 1)
    wrong = ((labels.areas <= 0) | (labels.areas > most)) & ~tiny
    text = "area is {:g}, the box has {:g}"
    yield _of_people("area does not fit the box", labels, wrong, lambda m: text.format(labels.areas[m], w[m] * h[m]))


def _points(labels: Labels, sizes: Mapping[int, tuple[int, int]], flags: bool) -> Iterable[Finding]:
    shown = _labelled(labels, flags)
    anyone = _any(shown)

    def finding(what: str, points: Bools, how: str, broken: bool = True, of: Bools = anyone) -> Finding:
        def detail(m: int) -> str:
            first = int(points[m].argmax())
            x, y = labels.keypoints[m, first]
            count = points[m].sum()
            more = f" and {count - 1} more" if count > 1 else ""
            return f"{_field_of(first)}: {COCO_WHOLEBODY.names[first]} at {x:g}, {y:g}{more} {how}"

        return _of_people(what, labels, _any(points), detail, of, broken)

    yield finding("third number above 2", labels.visible > 2, "is neither a flag nor a confidence")
    origin = shown & ~_any(labels.keypoints != 0)
    yield finding("labelled at 0, 0", origin, "is labelled")
    size = _sizes(labels, sizes)
    known = ~_any(size == 0)
    out = shown & _any((labels.keypoints < -SLACK) | (labels.keypoints > size[:, None] - 1 + SLACK))
    # A teacher may extrapolate a body beyond the frame; a human annotator cannot.
    how = "is outside the picture"
    yield finding("point outside the picture", out & known[:, None], how, flags, anyone & known)
    low, high = labels.boxes[:, None, :2], labels.boxes[:, None, 2:]
    beyond = np.maximum(low - labels.keypoints, labels.keypoints - high).max(axis=2)
    longer = (labels.boxes[:, 2:] - labels.boxes[:, :2]).max(axis=1)
    far = shown & (beyond > 0.5 * longer[:, None] + SLACK) & ~out
    yield finding("point far from the box", far, "is more than half the box's length away from it", False)
    for column, (name, part) in enumerate(zip(VALID_FIELDS, VALID_PARTS, strict=True)):
        rows, said = COCO_WHOLEBODY.parts[part], labels.valid[:, column]
        without, against = said & ~_any(labels.visible[:, rows] > 0), _any(shown[:, rows]) & ~said
        for wrong, text in ((without, "true, but no point is labelled"), (against, "false, but points are labelled")):
            yield _of_people(f"{name} is {text}", labels, wrong, f"{name} is {text}", broken=False)


# Points of a part, the body point they must be nearer to, and the one on the other side.
_NEXT_TO = (
    ("lefthand_kpts", [91], "left_wrist", "right_wrist"),
    ("righthand_kpts", [112], "right_wrist", "left_wrist"),
    ("left foot_kpts", [17, 18, 19], "left_ankle", "right_ankle"),
    ("right foot_kpts", [20, 21, 22], "right_ankle", "left_ankle"),
    ("left eye of face_kpts", list(range(23 + 42, 23 + 48)), "left_eye", "right_eye"),
    ("right eye of face_kpts", list(range(23 + 36, 23 + 42)), "right_eye", "left_eye"),
)


# Right eye, left eye and a point below them are in clockwise order in a picture of a face, however the head leans.
_CLOCKWISE = (
    ("eyes and nose of keypoints", [2], [1], [0]),
    ("eyes and chin of face_kpts", list(range(23 + 36, 23 + 42)), list(range(23 + 42, 23 + 48)), [23 + 8]),
)


def _sides(labels: Labels, flags: bool) -> Iterable[Finding]:
    """Left and right swapped: parts on the wrong side of the body, and mirrored heads."""
    shown = _labelled(labels, flags)
    for part, rows, own_name, other_name in _NEXT_TO:
        own, other = (COCO_WHOLEBODY.names.index(name) for name in (own_name, other_name))
        middle, has = _mean(labels.keypoints, shown, rows)
        apart = np.linalg.norm(labels.keypoints[:, own] - labels.keypoints[:, other], axis=1)
        to_own, to_other = (np.linalg.norm(middle - labels.keypoints[:, body], axis=1) for body in (own, other))
        # If the two body points are close together, "nearer" means little.
        comparable = has & shown[:, own] & shown[:, other] & (apart > _least_distance(labels))
        wrong = comparable & (to_other < 0.5 * to_own) & (to_own > 0.5 * apart)
        text = f"{part} is at the {other_name}"
        yield _of_people(text, labels, wrong, f"{text}, not at the {own_name}", comparable)
    seen = labels.visible == 2 if flags else shown  # an occluded face may be guessed from behind
    for part, comparable, wrong in mirrored_heads(labels.keypoints, seen, _least_distance(labels)):
        text = f"{part} mirrored"
        detail = f"{text}: left and right are swapped, or the head is turned away"
        yield _of_people(text, labels, wrong, detail, comparable)


def mirrored_heads(keypoints: Doubles, seen: Bools, least: Doubles) -> Iterator[tuple[str, Bools, Bools]]:
    """Which heads are mirrored: the right eye is on the wrong side in the picture.

    Args:
        keypoints: (M, 133, 2) pixels; seen: (M, 133) points to look at; least: (M,) pixels below which points are
            too close to tell.

    Yields:
        for the body's points and for the face's: a name, (M,) whether this can be determined, (M,) whether it is so.
    """
    for part, right, left, below in _CLOCKWISE:
        (a, has_a), (b, has_b), (c, has_c) = (_mean(keypoints, seen, rows) for rows in (right, left, below))
        across, down = b - a, c - (a + b) / 2
        lengths = np.linalg.norm(across, axis=1) * np.linalg.norm(down, axis=1)
        turn = across[:, 0] * down[:, 1] - across[:, 1] * down[:, 0]
        comparable = has_a & has_b & has_c & (lengths > least**2)
        yield part, comparable, comparable & (turn < -0.5 * lengths)


def _least_distance(labels: Labels) -> Doubles:
    """(M,) pixels below which a person's sides are not compared, because labels are not more accurate."""
    longer: Doubles = (labels.boxes[:, 2:] - labels.boxes[:, :2]).max(axis=1)
    return np.maximum(4.0, 0.02 * longer)


def _mean(keypoints: Doubles, shown: Bools, rows: Sequence[int]) -> tuple[Doubles, Bools]:
    """(M, 2) the mean of the labelled points among some, and (M,) whether there are any."""
    weight = shown[:, rows]
    total = (keypoints[:, rows] * weight[..., None]).sum(axis=1)
    return total / np.maximum(weight.sum(axis=1), 1)[:, None], _any(weight)


def _twice(labels: Labels, flags: bool) -> Iterable[Finding]:
    """People who are labelled twice in one picture."""
    people = np.flatnonzero(~labels.iscrowd)
    order = people[np.lexsort((labels.boxes[people, 0], labels.image_ids[people]))]
    most = int(np.unique(labels.image_ids[people], return_counts=True)[1].max(initial=0))
    shown, wrong = _labelled(labels, flags), np.zeros(len(labels), dtype=bool)
    other = np.zeros(len(labels), dtype=np.int64)
    # Sorted from left to right in a picture, duplicates are close together.
    for step in range(1, min(most, 32)):
        a, b = order[:-step], order[step:]
        together = labels.image_ids[a] == labels.image_ids[b]
        a, b = a[together], b[together]
        same = _iou(labels.boxes[a], labels.boxes[b]) > SAME_BOX
        a, b = a[same], b[same]
        common = shown[a] & shown[b]
        distance = np.linalg.norm(labels.keypoints[a] - labels.keypoints[b], axis=2)
        mean = (distance * common).sum(axis=1) / np.maximum(common.sum(axis=1), 1)
        size = np.sqrt(np.clip((labels.boxes[a, 2:] - labels.boxes[a, :2]).prod(axis=1), 1, None))
        same = (mean < SAME_POINTS * size) & (common.any(axis=1) | ~(shown[a].any(axis=1) | shown[b].any(axis=1)))
        later, earlier = np.maximum(a, b)[same], np.minimum(a, b)[same]
        wrong[later], other[later] = True, labels.ids[earlier]
    text = "bbox and points are also those of annotation {}"
    yield _of_people("person labelled twice", labels, wrong, lambda m: text.format(other[m]), ~labels.iscrowd)


def _iou(a: Doubles, b: Doubles) -> Doubles:
    """(N,) intersection over union of the n-th boxes of two lists."""
    inside = np.clip(np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2]), 0, None).prod(axis=1)
    areas = sum(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=1) for boxes in (a, b))
    ratio: Doubles = inside / np.maximum(areas - inside, 1e-9)
    return ratio


def _any(things: Bools) -> Bools:
    """Whether any is true along the last axis."""
    return np.asarray(things.any(axis=-1), dtype=bool)


def _labelled(labels: Labels, flags: bool) -> Bools:
    return labels.visible > 0 if flags else labels.visible >= LEAST


def _sizes(labels: Labels, sizes: Mapping[int, tuple[int, int]]) -> Doubles:
    """(M, 2) width and height of each person's picture, 0 where unknown."""
    numbers, rows = np.unique(labels.image_ids, return_inverse=True)
    table = np.array([sizes[int(number)] for number in numbers], dtype=np.float64).reshape(-1, 2)
    return table[rows.reshape(-1)]


def _field_of(row: int) -> str:
    parts = COCO_WHOLEBODY.parts
    return next(field for field, part in POINT_FIELDS.items() if parts[part].start <= row < parts[part].stop)


def _of_pictures(what: str, places: Sequence[tuple[int, str]], of: int, broken: bool = True) -> Finding:
    return Finding(what, broken, [f"image {number}" for number, _ in places], [text for _, text in places], of)


def _of_people(
    what: str,
    labels: Labels,
    wrong: Bools,
    detail: str | Callable[[int], str],
    of: Bools | None = None,
    broken: bool = True,
) -> Finding:
    rows = np.flatnonzero(wrong).tolist()
    records = [f"annotation {labels.ids[m]}" for m in rows]
    details = [detail if isinstance(detail, str) else detail(m) for m in rows]
    return Finding(what, broken, records, details, len(labels) if of is None else int(of.sum()))


def _report(path: Path, labels: Labels, found: Sequence[Finding]) -> None:
    console = stdout_console()
    crowds = f", {labels.iscrowd.sum()} of them crowds" if labels.iscrowd.any() else ""
    name = escape(str(path))
    console.print(
        f"{name}: {len(labels.images)} pictures, {len(labels)} people{crowds}", highlight=False, soft_wrap=True
    )
    shown = labels.visible > 0
    parts = Table("part", "people", "points", box=None, pad_edge=False)
    for part, rows in COCO_WHOLEBODY.parts.items():
        parts.add_row(part, str(shown[:, rows].any(axis=1).sum()), str(shown[:, rows].sum()))
    console.print(parts)
    console.print()
    if found:
        table = Table("found", "", "count", "of", "first", box=None, pad_edge=False)
        for finding in found:
            first = ", ".join(record.split()[-1] for record in finding.records[:_SHOWN])
            more = ", ..." if len(finding.records) > _SHOWN else ""
            kind, level = finding.records[0].split()[0].split("[")[0].rstrip("s"), "broken" if finding.broken else "odd"
            row = (finding.what, level, str(len(finding.records)), str(finding.of), f"{kind} {first}{more}")
            table.add_row(*(escape(text) for text in row))
        console.print(table)
    broken = sum(len(finding.records) for finding in found if finding.broken)
    odd = sum(len(finding.records) for finding in found) - broken
    console.print(f"{broken} broken, {odd} odd" if found else "nothing wrong was found", highlight=False)
