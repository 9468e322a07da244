"""Evaluating a network on a labelled set: predictions that survive a kill, then the figures and a report.

    wholebody evaluate wholebody-133 --annotations person_keypoints.json --images photos --output evaluation

Predictions are appended to `predictions.jsonl`, one line per picture; a killed run reads them back and resumes. At the
end it writes `results.json` (every figure with its interval, and the settings), `predictions.json` (COCO-WholeBody
results, ranked and unrounded, from which pycocotools prints the same body figures) and `report.html`.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from wholebody.arrays import Floats, Image
from wholebody.choices import Precision
from wholebody.console import ProgressBar
from wholebody.data.labels import Labels, picture_path
from wholebody.errors import WholebodyError
from wholebody.evaluate.journal import fingerprint, journal_line, read_journal
from wholebody.evaluate.report import COVERED
from wholebody.files import replacing
from wholebody.images import read_image
from wholebody.pose.detect import PersonFinder
from wholebody.pose.load import onnx_file, open_detector, open_estimator
from wholebody.pose.topdown import check_boxes
from wholebody.poses import Poses
from wholebody.reading import DAMAGED, in_short, parse_json, reading
from wholebody.schema import COCO_WHOLEBODY, Schema

# Pictures whose people are estimated together.
GROUP = 8

Boxes = Mapping[int, tuple[Floats, Floats]]


class Estimator(Protocol):
    """Estimates people in given boxes of several pictures, such as `pose.topdown.TopDown`."""

    @property
    def schema(self) -> Schema: ...
    def images(
        self, images: Sequence[Image], boxes: Sequence[npt.ArrayLike], box_scores: Sequence[npt.ArrayLike | None]
    ) -> list[Poses]: ...


@dataclass(eq=False)
class Measured:
    """The result of a run over a data set.

    Attributes:
        predictions: image id -> people, in COCO_WHOLEBODY or `schema`; failed pictures are missing.
        seconds: time for detection and pose estimation, without reading pictures and without an earlier run's time.
        people: number of people processed in this time.
        failed: a line for each picture that could not be used.
    """

    predictions: dict[int, Poses] = field(default_factory=dict)
    seconds: float = 0.0
    people: int = 0
    failed: list[str] = field(default_factory=list)


def labelled_boxes(labels: Labels) -> dict[int, tuple[Floats, Floats]]:
    """The boxes of everyone with a labelled point, score 1, by image: the papers' "ground-truth boxes"."""
    known = (labels.visible > 0).any(axis=1) & ~labels.iscrowd
    return {
        image: (labels.boxes[rows].astype(np.float32), np.ones(len(rows), np.float32))
        for image, rows in _by_image(labels.image_ids, known)
    }


def read_boxes(path: str | Path) -> dict[int, tuple[Floats, Floats]]:
    """Boxes of persons from a COCO detections file: rows of image_id, category_id, bbox (x, y, w, h) and score.

    Raises:
        WholebodyError: the file cannot be read or a row is invalid.
    """
    path = Path(path)
    with reading(path, "valid JSON", "Copy or download it again"):
        rows = parse_json(path.read_bytes())
    if not isinstance(rows, list):
        raise WholebodyError(f"{path}: not a list of detections. Give COCO detection results.")
    found: dict[int, list[list[float]]] = {}
    for n, row in enumerate(rows):
        try:
            if row.get("category_id", 1) != 1:
                continue
            x, y, w, h = map(float, row["bbox"])
            numbers = [x, y, x + w, y + h, float(row["score"])]
            image = row["image_id"]
            if isinstance(image, str):
                raise WholebodyError(
                    f"{path}: [{n}].image_id is a name, not a number. Number the pictures as the labels do."
                )
            image = int(image)
        except WholebodyError:
            raise
        except DAMAGED as error:
            raise WholebodyError(
                f"{path}: [{n}] has no image_id, bbox of four numbers and score ({in_short(error)}). Correct the row."
            ) from error
        if not np.isfinite(numbers).all():
            raise WholebodyError(f"{path}: [{n}].bbox or score is not a finite number. Correct the row.")
        found.setdefault(image, []).append(numbers)
    return {
        image: (np.array(boxes, np.float32)[:, :4], np.array(boxes, np.float32)[:, 4]) for image, boxes in found.items()
    }


def _by_image(image_ids: npt.NDArray[np.int64], chosen: npt.NDArray[np.bool_]) -> Iterator[tuple[int, Any]]:
    rows = np.flatnonzero(chosen)
    rows = rows[np.argsort(image_ids[rows], kind="stable")]
    images, starts = np.unique(image_ids[rows], return_index=True)
    yield from zip(images.tolist(), np.split(rows, starts[1:])[: len(images)], strict=True)


def predict(
    estimator: Estimator,
    labels: Labels,
    images: str | Path,
    boxes: Boxes | PersonFinder,
    journal: Path,
    about: Mapping[str, object],
    advance: Callable[[], None] = lambda: None,
    *,
    strict: bool = False,
) -> Measured:
    """Estimate everyone in the pictures of a data set, resuming where `journal` ends.

    Args:
        estimator: the pose network.
        labels: the data set's pictures.
        images: their folder.
        boxes: the people's boxes, or a detector.
        journal: the file of finished pictures.
        about: what the predictions depend on. A journal with something else is refused.
        advance: called after each picture.
        strict: a partly damaged JPEG fails, see `read_image`.

    Raises:
        WholebodyError: the journal belongs to another run or cannot be written.
    """
    predictions, failed = read_journal(journal, about, set(labels.images))
    done = Measured(predictions, failed=failed)
    todo = []
    for number in sorted(labels.images):
        if number in done.predictions:
            advance()
        elif isinstance(boxes, Mapping) and number not in boxes:
            done.predictions[number] = Poses.empty(estimator.schema)
            advance()
        else:
            todo.append(number)
    for start in range(0, len(todo), GROUP):
        found = _group(estimator, labels, images, boxes, todo[start : start + GROUP], done, strict)
        try:
            with journal.open("a", encoding="utf-8") as file:
                file.writelines(journal_line(*row) for row in found)
        except OSError as error:
            raise WholebodyError(
                f"{journal}: cannot write ({error.strerror or error}). Free some space and run it again: it resumes."
            ) from error
        done.predictions.update((number, poses) for number, poses, _ in found)
        for _ in todo[start : start + GROUP]:
            advance()
    return done


def _group(
    estimator: Estimator,
    labels: Labels,
    folder: str | Path,
    boxes: Boxes | PersonFinder,
    numbers: Sequence[int],
    done: Measured,
    strict: bool,
) -> list[tuple[int, Poses, str]]:
    """The people in some pictures, and what could not be used of each; an unusable picture is reported and skipped."""
    read: list[tuple[int, Image]] = []
    for number in numbers:
        try:
            path = picture_path(folder, labels.images[number].file_name)
            read.append((number, read_image(path, strict=strict)))
        except WholebodyError as error:
            done.failed.append(str(error))
    started = time.perf_counter()
    given, lines = [], []
    for number, image in read:
        rows, scores = boxes[number] if isinstance(boxes, Mapping) else boxes(image)
        usable = [i for i, row in enumerate(rows) if _is_usable(row, image)]
        lost = len(rows) - len(usable)
        lines.append(f"image {number}: {lost} boxes have no area in the picture." if lost else "")
        given.append((rows[usable], scores[usable]))
    found = estimator.images([image for _, image in read], [rows for rows, _ in given], [s for _, s in given])
    done.seconds += time.perf_counter() - started
    done.people += sum(map(len, found))
    done.failed += filter(None, lines)
    return [(number, poses, line) for (number, _), poses, line in zip(read, found, lines, strict=True)]


def _is_usable(box: Floats, image: Image) -> bool:
    try:
        check_boxes(box[None], image)
    except WholebodyError:
        return False
    return True


def as_wholebody(poses: Poses) -> Poses:
    """Poses with COCO's 17 points as COCO_WHOLEBODY: missing points are at the centre of the box with score 0, which
    the evaluation treats as not predicted."""
    if poses.schema is COCO_WHOLEBODY:
        return poses
    rows = [COCO_WHOLEBODY.names.index(name) for name in poses.schema.names]
    middle = (poses.boxes[:, None, :2] + poses.boxes[:, None, 2:]) / np.float32(2)
    keypoints: Floats = np.repeat(middle, len(COCO_WHOLEBODY), axis=1).astype(np.float32)
    scores = np.zeros(keypoints.shape[:2], np.float32)
    keypoints[:, rows], scores[:, rows] = poses.keypoints, poses.scores
    return Poses(keypoints, scores, poses.boxes, poses.box_scores, COCO_WHOLEBODY, poses.ids)


def check_comparable(name: str, schema: Schema) -> None:
    """Refuse a network that `as_wholebody` cannot take, before hours are spent.

    Raises:
        WholebodyError: it has points that COCO-WholeBody has not, or no whole part of it.
    """
    if not set(schema.names) <= set(COCO_WHOLEBODY.names) or not parts_of(schema):
        raise WholebodyError(
            f"{name}: finds {schema.name}, whose points are not COCO-WholeBody's. Choose a network of its 17 or 133."
        )


def parts_of(schema: Schema) -> tuple[str, ...]:
    """The parts of COCO-WholeBody that a schema has points of; the whole only if it has all."""
    names = set(schema.names)
    parts = [part for part, rows in COCO_WHOLEBODY.parts.items() if names.issuperset(COCO_WHOLEBODY.names[rows])]
    both = ["hands"] if {"left_hand", "right_hand"} <= set(parts) else []
    return (*parts, *both, *(["whole"] if names.issuperset(COCO_WHOLEBODY.names) else []))


@dataclass(frozen=True)
class EvaluateOptions:
    """The options of `wholebody evaluate`."""

    model: str
    annotations: Path
    images: Path
    output: Path
    boxes: str = "gt"
    detector: str = "person"
    flip: bool = False
    batch: int = 32
    mapping: Path | None = None
    device: str = "auto"
    precision: Precision = "fp32"
    threads: int | None = None
    strict: bool = False


def read_set(annotations: Path, images: Path, mapping: Path | None = None) -> Labels:
    """The labels of a file, or of UBody's test videos if a folder is given.

    Raises:
        WholebodyError: they cannot be read, the folder of pictures does not exist, nobody is labelled, or a person with
            points has a box or area of zero size, for which no figure can be computed.
    """
    from wholebody.data.coco import read_labels
    from wholebody.data.names import read_mapping
    from wholebody.data.ubody import read_ubody

    if not images.is_dir():
        raise WholebodyError(f"{images}: no such folder. Name the folder that the pictures of {annotations} are in.")
    if annotations.is_dir():
        labels = read_ubody(annotations, split="test")
    else:
        labels = read_labels(annotations, read_mapping(mapping) if mapping else None)
    if not len(labels):
        raise WholebodyError(f"{annotations}: no person is labelled. Choose a set with keypoints of people.")
    if not labelled_boxes(labels):
        raise WholebodyError(f"{annotations}: only boxes, no labelled keypoints. Choose a set with keypoints.")
    counts = (labels.visible > 0).any(axis=1) & ~labels.iscrowd
    w, h = (labels.boxes[:, 2:] - labels.boxes[:, :2]).T
    wrong = np.flatnonzero(counts & ((w <= 0) | (h <= 0) | (labels.areas <= 0)))
    if len(wrong):
        m = int(wrong[0])
        flat = w[m] <= 0 or h[m] <= 0
        what = f"bbox is {w[m]:g} x {h[m]:g}" if flat else f"area is {labels.areas[m]:g}"
        more = f"{len(wrong) - 1} more: " if len(wrong) > 1 else ""
        raise WholebodyError(
            f"{annotations}: annotation {labels.ids[m]}: {what}. {more}`wholebody data check` lists all problems."
        )
    return labels


def evaluate_model(options: EvaluateOptions, progress: ProgressBar) -> int:
    """Run the evaluation, print the table, write the files; 1 if a picture could not be used."""
    from wholebody.console import stdout_console
    from wholebody.evaluate.html import write_report
    from wholebody.evaluate.metric import evaluate, match, rank
    from wholebody.formats.coco import write_ranked

    labels = read_set(options.annotations, options.images, options.mapping)
    model = onnx_file(options.model, "pose")
    estimator = open_estimator(
        model, options.device, options.threads, options.precision, flip=options.flip, batch=options.batch
    )
    check_comparable(options.model, estimator.schema)
    about: dict[str, object] = {
        "model": options.model,
        "sha256": fingerprint(model),
        "annotations": options.annotations.name,
        "images": len(labels.images),
        "people": len(labels),
        "boxes": options.boxes,
        "flip": options.flip,
        "precision": estimator.session.precision,
    }
    if options.strict:  # journals of older versions do not say it
        about["strict"] = True
    boxes: Boxes | PersonFinder
    match options.boxes:
        case "gt":
            boxes = labelled_boxes(labels)
        case "detect":
            detector = onnx_file(options.detector, "detector")
            about |= {"detector": options.detector, "detector_sha256": fingerprint(detector)}
            boxes = open_detector(detector, options.device, options.threads, options.precision)
        case file:
            boxes = read_boxes(file)
            about["boxes"] = f"{Path(file).name} ({fingerprint(file)})"
    journal = options.output / "predictions.jsonl"
    with progress("pictures", len(labels.images)) as advance:
        measured = predict(estimator, labels, options.images, boxes, journal, about, advance, strict=options.strict)
    predictions = {number: as_wholebody(poses) for number, poses in measured.predictions.items()}
    report, people = evaluate(labels, predictions), match(labels, predictions)
    parts = tuple(part for part in parts_of(estimator.schema) if part in report.parts)
    results = json.loads(report.to_json())
    results["figures"] = {part: results["figures"][part] for part in parts}
    results["people"] = {part: results["people"][part] for part in parts}
    results["about"] = about
    results["failed"] = measured.failed
    if measured.people:
        results["milliseconds_per_person"] = round(1000 * measured.seconds / measured.people, 3)
    with replacing(options.output / "results.json") as path:
        path.write_text(json.dumps(results, indent=1) + "\n")
    judged: dict[int, dict[int, float]] = {}
    ranking = rank(predictions, report.settings)
    for number, row, score in zip(ranking.images, ranking.rows, ranking.scores, strict=True):
        judged.setdefault(int(number), {})[int(row)] = float(score)
    write_ranked(options.output / "predictions.json", predictions, judged)
    write_report(options.output / "report.html", about, labels, options.images, predictions, report, people, parts)
    console = stdout_console()
    for names in (("AP", "AP50", "AP75"), ("AR", "OKS", "PCK")):
        console.print(report.table(names, parts))
    console.print(
        f"per cent, with 95 % intervals; {len(labels.images)} pictures, {report.predictions} predictions; "
        f"all figures, error bars and pictures: {options.output / 'report.html'}"
    )
    if not labels.outlined:
        console.print(f"{options.annotations.name} has no areas: OKS takes {COVERED} of each box, as CrowdPose does.")
    for line in measured.failed:
        console.print(line, style="red", markup=False)
    return 1 if measured.failed else 0
