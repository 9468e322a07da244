"""Pictures in, labels out: `wholebody label`.

    label(find_images(["photos"]), "labels", Labeller.of(("person", "yolox_nano.onnx"), ("wholebody-133",)))

It writes labels.json (COCO-WholeBody's layout, with confidences instead of flags), which `wholebody train --data
pseudo:labels.json:photos` and `wholebody data view` read, and least_certain.png, a sheet of the people on whom the
networks agree least. people.jsonl has a line for each finished picture, from which a stopped run resumes.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wholebody.arrays import Doubles, Image
from wholebody.data.coco import read_labels, write_labels
from wholebody.data.labels import Labels, PictureFile, parts_labelled
from wholebody.data.sheet import LabelledPicture, draw, sheet
from wholebody.errors import WholebodyError
from wholebody.files import make_folder, replacing
from wholebody.geometry import box_areas, iou
from wholebody.images import read_image, write_image
from wholebody.label import boxes as by_boxes
from wholebody.label import keypoints as by_points
from wholebody.label.closeups import CloseUp, close_up
from wholebody.label.detectors import detector
from wholebody.label.looks import CropEstimator, Cut, K, Opinion, estimator, look
from wholebody.label.tflite import open_tflite
from wholebody.pose.detect import PersonFinder
from wholebody.runtime.choose import open_session
from wholebody.runtime.session import Session
from wholebody.weights.lookup import find

NOBODY = np.zeros((0, 4))
# From this score a box is a person, below DOUBTFUL it is nothing, and in between the pose decides.
SURE, DOUBTFUL = 0.5, 0.15
# Mean score of the best body points from which a pose shows a person; only some points, because legs may be hidden.
_SEEN, _BEST = 0.4, 8
# The pose must be mostly inside the box, or it is a neighbour's; and two boxes with the same pose are one person.
_MOSTLY, _SAME = 0.6, 0.5
# A close-up of a face or hand has more weight than the whole-person crop.
_CLOSER = 2.5
# Points below this confidence are unlabelled.
LEAST = 0.2


@dataclass(frozen=True, eq=False)
class AgreedPeople:
    """N labelled people of one picture.

    Attributes:
        boxes: (N, 4) xyxy pixels. box_scores: (N,) agreement of the detectors; 1 for human-drawn boxes.
        keypoints: (N, 133, 2) pixels. scores: (N, 133) confidence, 0 unlabelled.
        doubtful: (M, 4) boxes that may or may not be a person, to be ignored in training.
    """

    boxes: Doubles
    box_scores: Doubles
    keypoints: Doubles
    scores: Doubles
    doubtful: Doubles


@dataclass(frozen=True)
class Human:
    """Human labels for one picture: boxes (N, 4), and keypoints (N, 133, 2) where visible (N, 133) > 0."""

    boxes: Doubles
    keypoints: Doubles
    visible: Doubles


@dataclass(frozen=True, eq=False)
class Labeller:
    """The networks that process every picture.

    Attributes:
        detectors: find the people.
        estimators: each processes every person twice, plain and flipped.
        close_ups: refine faces and hands found by the others.
        turns: also try other rotations for people with few visible points.
    """

    detectors: Sequence[PersonFinder]
    estimators: Sequence[CropEstimator]
    close_ups: Sequence[CloseUp] = ()
    turns: bool = False

    @classmethod
    def of(
        cls,
        detectors: Sequence[str] = ("person",),
        estimators: Sequence[str] = ("wholebody-133",),
        close_ups: Sequence[str] = (),
        turns: bool = False,
        device: str = "auto",
        threads: int | None = None,
    ) -> "Labeller":
        """The networks of some files (.onnx, .tflite), or names of `wholebody models`.

        Raises:
            WholebodyError: a file is missing or not a supported network.
        """

        def opened(name: str, kind: Any) -> Session:
            if name.endswith(".tflite"):
                return open_tflite(name, threads)
            return open_session(find(name, kind=kind), device, threads)

        def each(names: Sequence[str], kind: str, make: Callable[[Session], Any]) -> list[Any]:
            found = []
            for name in names:
                try:
                    found.append(make(opened(name, kind)))
                except WholebodyError as error:
                    raise WholebodyError(f"{name}: {error}" if name not in str(error) else str(error)) from error
            return found

        if not detectors or not estimators:
            raise WholebodyError("labelling needs at least one detector and one estimator.")
        return cls(
            each(detectors, "detector", detector),
            each(estimators, "pose", estimator),
            each(close_ups, "pose", close_up),
            turns,
        )

    def __call__(self, image: Image, human: Human | None = None) -> AgreedPeople:
        """Label one (H, W, 3) uint8 BGR picture; human labels are kept (`keypoints.with_people`)."""
        drawn = human.boxes if human else NOBODY
        found = by_boxes.fuse([find(image) for find in self.detectors])
        if len(drawn) and len(found.boxes):
            # Do not detect people with human-drawn boxes a second time.
            new = iou(found.boxes, drawn).max(axis=1) < 0.45
            found = by_boxes.Fused(found.boxes[new], found.scores[new], found.votes[new])
        likely = found.scores >= DOUBTFUL
        boxes = np.concatenate([drawn, found.boxes[likely]])
        scores = np.concatenate([np.ones(len(drawn)), found.scores[likely]])
        pose = self.look(image, boxes)
        again = _seen_before(pose, boxes, scores)
        again[: len(drawn)] = False
        kept = ~again & ((scores >= SURE) | (_seen(pose) >= _SEEN) & (_inside(pose, boxes) >= _MOSTLY))
        if human is not None:
            rows = slice(0, len(drawn))
            own = by_points.with_people(
                Opinion(pose.keypoints[rows], pose.scores[rows]), Opinion(human.keypoints, human.visible), drawn
            )
            pose.keypoints[rows], pose.scores[rows] = own
        points = np.where(pose.scores < LEAST, 0, pose.scores)
        return AgreedPeople(boxes[kept], scores[kept], pose.keypoints[kept], points[kept], boxes[~kept & ~again])

    def look(self, image: Image, boxes: Doubles) -> Opinion:
        """The fused result of all estimators and close-ups for the people in some boxes (N, 4)."""
        if not len(boxes):
            return Opinion(np.zeros((0, K, 2)), np.zeros((0, K)))
        first = self._looks(image, boxes, [0.0] * len(boxes))
        if self.turns:
            first = self._turned(image, boxes, first)
        close = [see(image, first) for see in self.close_ups]
        return by_points.fuse([first, *close], boxes, [1.0] + [_CLOSER] * len(close)) if close else first

    def _looks(self, image: Image, boxes: Doubles, turns: Sequence[float]) -> Opinion:
        opinions = [
            look(see, image, boxes, [Cut(turn=turn, mirrored=mirrored) for turn in turns])
            for see in self.estimators
            for mirrored in (False, True)
        ]
        return by_points.fuse(opinions, boxes)

    def _turned(self, image: Image, boxes: Doubles, first: Opinion) -> Opinion:
        """For people with few visible points, use the best rotation: people lie, hang and stand on their heads."""
        unsure = np.flatnonzero(_seen(first) < 0.6)
        best, points = first.scores[:, :17].mean(axis=1), Opinion(first.keypoints.copy(), first.scores.copy())
        for turn in (90.0, 180.0, 270.0) if len(unsure) else ():
            other = self._looks(image, boxes[unsure], [turn] * len(unsure))
            for row, at in enumerate(unsure):
                if (score := other.scores[row, :17].mean()) > best[at] + 0.05:
                    best[at] = score
                    points.keypoints[at], points.scores[at] = other.keypoints[row], other.scores[row]
        return points


def _seen(pose: Opinion) -> Doubles:
    """(N,) mean score of the best body points."""
    mean: Doubles = np.sort(pose.scores[:, :17], axis=1)[:, -_BEST:].mean(axis=1)
    return mean


def _inside(pose: Opinion, boxes: Doubles) -> Doubles:
    """(N,) the fraction of a pose's body, weighted by scores, that lies in its box."""
    points, scores = pose.keypoints[:, :17], pose.scores[:, :17]
    within = ((points >= boxes[:, None, :2]) & (points <= boxes[:, None, 2:])).all(axis=2)
    share: Doubles = (scores * within).sum(axis=1) / np.maximum(scores.sum(axis=1), 1e-9)
    return share


def _seen_before(pose: Opinion, boxes: Doubles, scores: Doubles) -> npt.NDArray[np.bool_]:
    """(N,) whether a box with a higher score has the same pose, so that this one is a duplicate."""
    again, order = np.zeros(len(boxes), bool), np.argsort(-scores, kind="stable")
    for place, row in enumerate(order):
        for other in order[:place]:
            if again[other]:
                continue
            larger = boxes[[row, other]][box_areas(boxes[[row, other]]).argmax()][None]
            near = by_points.agreement(pose.keypoints[[row]], pose.keypoints[[other]], larger)[0, :17]
            weight = pose.scores[row, :17] * pose.scores[other, :17]
            if (near * weight).sum() > _SAME * max(float(weight.sum()), 1e-9):
                again[row] = True
                break
    return again


def human_labels(path: str | os.PathLike[str]) -> dict[str, Human]:
    """Human boxes and keypoints by file name, from any file that `data.coco.read_labels` takes.

    Raises:
        WholebodyError: the file cannot be read.
    """
    labels = read_labels(path)
    rows: dict[str, list[int]] = {}
    for row in np.flatnonzero(~labels.iscrowd):
        rows.setdefault(labels.images[int(labels.image_ids[row])].file_name, []).append(int(row))
    # COCO's flag 1 is a hidden point at the position where the annotator assumed it.
    visible = np.where(labels.visible == 1, 0.5, np.minimum(labels.visible, 1))
    return {
        file: Human(labels.boxes[at], labels.keypoints[at], visible[at].astype(np.float64)) for file, at in rows.items()
    }


def label(
    images: Sequence[Path],
    out: str | os.PathLike[str],
    labeller: Callable[[Image, Human | None], AgreedPeople],
    human: Mapping[str, Human] | None = None,
    tiles: int = 48,
    progress: Callable[[], None] = lambda: None,
) -> tuple[int, list[str]]:
    """Label pictures into a folder, resuming a stopped run.

    Args:
        images: files; unreadable ones are skipped.
        out: folder for labels.json, least_certain.png and people.jsonl.
        human: human labels by file name or path.
        tiles: people on the sheet.
        progress: called after each picture.

    Returns:
        the number of people, and a line for each picture that could not be read.

    Raises:
        WholebodyError: nothing to do, or the folder cannot be written.
    """
    if not images:
        raise WholebodyError("no pictures there. Name pictures or folders of them.")
    folder = Path(out)
    make_folder(folder)
    journal, human = folder / "people.jsonl", human or {}
    rows = _read_journal(journal)
    failed = []
    try:
        file = journal.open("a", encoding="utf-8")
    except OSError as error:
        raise WholebodyError(f"{journal}: cannot be written ({error.strerror}). Choose another folder.") from error
    with file:
        for path in images:
            progress()
            if str(path) in rows:
                continue
            try:
                image = read_image(path)
            except WholebodyError as error:
                failed.append(str(error))
                continue
            people = labeller(image, human.get(path.name) or human.get(str(path)))
            rows[str(path)] = {"file": str(path), "size": image.shape[1::-1], **_as_lists(people)}
            file.write(json.dumps(rows[str(path)]) + "\n")
            file.flush()
    done_rows = [rows[str(path)] for path in images if str(path) in rows]
    write_labels(folder / "labels.json", as_labels(done_rows, images))
    if tiles:
        _write_sheet(folder / "least_certain.png", done_rows, tiles)
    return sum(len(row["boxes"]) for row in done_rows), failed


def as_labels(rows: Sequence[Mapping[str, Any]], images: Sequence[Path]) -> Labels:
    """The people from a journal's rows; doubtful boxes become crowds, which training ignores."""
    root = Path(os.path.commonpath([path.parent for path in images])) if images else Path()
    pictures = {n: PictureFile(os.path.relpath(row["file"], root), *row["size"]) for n, row in enumerate(rows, 1)}
    people = [(n, i, row) for n, row in enumerate(rows, 1) for i in range(len(row["boxes"]))]
    doubtful = [(n, box) for n, row in enumerate(rows, 1) for box in row["doubtful"]]
    boxes = np.array([row["boxes"][i] for _, i, row in people] + [box for _, box in doubtful], np.float64).reshape(
        -1, 4
    )
    count, crowds = len(people), len(doubtful)
    keypoints, visible = np.zeros((count + crowds, K, 2)), np.zeros((count + crowds, K), np.float32)
    for m, (_, i, row) in enumerate(people):
        keypoints[m], visible[m] = row["keypoints"][i], row["scores"][i]
    return Labels(
        ids=np.arange(1, count + crowds + 1),
        image_ids=np.array([n for n, _, _ in people] + [n for n, _ in doubtful], np.int64),
        keypoints=keypoints,
        visible=visible,
        boxes=boxes,
        areas=box_areas(boxes),
        iscrowd=np.arange(count + crowds) >= count,
        valid=parts_labelled(visible),
        images=pictures,
    )


def _as_lists(people: AgreedPeople) -> dict[str, Any]:
    return {
        "boxes": people.boxes.round(1).tolist(),
        "box_scores": people.box_scores.round(3).tolist(),
        "keypoints": people.keypoints.round(1).tolist(),
        "scores": people.scores.round(3).tolist(),
        "doubtful": people.doubtful.round(1).tolist(),
    }


def _read_journal(path: Path) -> dict[str, dict[str, Any]]:
    """The finished pictures. A truncated last line is removed."""
    rows: dict[str, dict[str, Any]] = {}
    if not path.is_file():
        return rows
    good = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        rows[row["file"]] = row
        good.append(line)
    with replacing(path) as partial:
        partial.write_text("".join(f"{line}\n" for line in good), encoding="utf-8")
    return rows


def _write_sheet(path: Path, rows: Sequence[Mapping[str, Any]], tiles: int) -> None:
    """A sheet of the least certain people, each in their own window."""
    people = [(float(np.mean(row["scores"][i][:17])), row, i) for row in rows for i in range(len(row["boxes"]))]
    people.sort(key=lambda person: person[0])
    pictures = []
    for _, row, i in people[:tiles]:
        image = read_image(row["file"])
        box = np.array(row["boxes"][i])
        middle, reach = (box[:2] + box[2:]) / 2, 0.65 * max((box[2:] - box[:2]).max(), 8.0)
        limit = np.array(image.shape[1::-1])
        start = np.clip(np.floor(middle - reach), 0, limit - 2).astype(int)
        end = np.clip(np.ceil(middle + reach), start + 2, limit).astype(int)
        window = image[start[1] : end[1], start[0] : end[0]]
        shift = np.tile(start, 2)
        points, scores = np.array(row["keypoints"][i]) - start, np.array(row["scores"][i])
        pictures.append(draw(LabelledPicture(window, points[None], scores[None], (box - shift)[None], NOBODY), 240))
    if pictures:
        write_image(path, sheet(pictures))
