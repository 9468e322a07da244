"""The accuracy and the time of each precision, in one run: of the bundled pose networks, or of any `--models`.

    python runs/precision/evaluate.py POOL SYNTHETIC [--out docs/precision.md]

Pose: mean OKS with given boxes on the people of `runs/pose/evaluate.py`, used for neither training nor calibration.
A detector of one input size: average precision at IoU 0.5 on the held-out COCO photos, and recall and precision at the
file's threshold.
"loss" is the difference from ONNX Runtime in float32, in OKS or AP points; a file that loses more than half a point is
not shipped. Times are CPU milliseconds per crop or picture on one thread, taking turns; on a machine with other work,
only their ratios mean something.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from wholebody.evaluate.detections import annotated_boxes
from wholebody.evaluate.oks import part_oks
from wholebody.evaluate.speed.precision import open_all, time_precisions
from wholebody.files import replacing
from wholebody.geometry import iou
from wholebody.pose.detect import YOLOX
from wholebody.pose.topdown import TopDown
from wholebody.runtime.session import Session, int8_file, notes
from wholebody.train.data.held_out import held_out_people
from wholebody.train.data.pool import read_pool
from wholebody.weights.lookup import locate
from wholebody.weights.manifest import MANIFEST

PARTS = ("body", "feet", "face", "left_hand", "right_hand", "all")
LIMIT = 0.5


def pose_rows(sessions: dict[tuple[str, str], Session], sets) -> dict[tuple[str, str], list[tuple[str, dict]]]:
    """(runtime, precision) -> for each set of people its figures, in points."""
    found = {}
    for key, session in sessions.items():
        network = TopDown(session, batch=8)
        found[key] = []
        for name, pairs in sets.items():
            poses = [network(image, person.box[None]).keypoints[0] for person, image in pairs]
            figures = part_oks([person for person, _ in pairs], poses)
            found[key].append((name, {part: 100 * figures[part] for part in PARTS if part in figures}))
    return found


def held_out_boxes(pool: Path):
    """Held-out COCO photos: image, boxes of everyone, and of crowds, which count neither way."""
    labels = annotated_boxes(pool / "labels_coco.json")
    for photo in read_pool(pool):
        if photo.held_out and photo.group == "coco_train2017":
            rows = labels.get(photo.file, [])
            boxes = [np.array([box for box, crowd, _ in rows if crowd == c]).reshape(-1, 4) for c in (False, True)]
            yield cv2.imread(str(pool / photo.file)), *boxes


def average_precision(scores, right, people):
    """Area under the curve of precision, made falling, over recall."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(right[order])
    precision = hits / np.arange(1, len(hits) + 1)
    falling = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(falling * right[order]) / people)


def detector_row(session: Session, photos) -> dict[str, float]:
    least = notes(session)["threshold"]
    detector = YOLOX(session, threshold=0.05)
    scores, right, people = [], [], 0
    for image, boxes, crowds in photos:
        found, sure = detector(image)
        overlap, free = iou(found, boxes), np.ones(len(boxes), bool)
        people += len(boxes)
        for row in range(len(found)):
            best = np.where(free, overlap[row], 0)
            hit = bool(best.max(initial=0) >= 0.5)
            if hit:
                free[best.argmax()] = False
            elif len(crowds) and iou(found[row : row + 1], crowds).max() > 0.1:
                continue
            scores.append(sure[row])
            right.append(hit)
    scores, right = np.array(scores), np.array(right)
    above = scores > least
    return {
        "AP50": 100 * average_precision(scores, right, people),
        f"recall at {least}": 100 * right[above].sum() / people,
        f"precision at {least}": 100 * right[above].mean(),
    }


def lines_of(title, columns, rows, times, small):
    """A table in Markdown; rows: (runtime, precision) -> list of (set, figures)."""
    base = dict(rows["ONNX Runtime", "fp32"])
    yield f"### {title}\n"
    yield f"| runtime | precision | people | {' | '.join(columns)} | loss | ms | x |"
    yield f"|---|---|---|{'---:|' * (len(columns) + 3)}"
    speeds = {(speed.runtime, speed.precision): speed.cpu[1] for speed in times}
    for (runtime, precision), each in rows.items():
        for name, figures in each:
            shown = [f"{figures[column]:.1f}" if column in figures else "" for column in columns]
            ruler = "all" if "all" in figures else columns[0]
            loss = base[name][ruler] - figures[ruler]
            first = name == each[0][0]
            ms = f"{speeds[runtime, precision]:.1f}" if first else ""
            gain = f"{speeds['ONNX Runtime', 'fp32'] / speeds[runtime, precision]:.2f}" if first else ""
            yield f"| {runtime} | {precision} | {name} | {' | '.join(shown)} | {loss:.2f} | {ms} | {gain} |"
    worst = (
        max(
            (base[name][ruler] - figures[ruler])
            for (_, precision), each in rows.items()
            for name, figures in each
            for ruler in ["all" if "all" in figures else columns[0]]
            if precision == "int8"
        )
        if any(precision == "int8" for _, precision in rows)
        else None
    )
    if worst is not None:
        verdict = "may be shipped" if worst <= LIMIT else "IS NOT TO BE SHIPPED: delete it"
        yield f"\nThe int8 file ({small} MB) loses at most {worst:.2f} points: it {verdict}.\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pool", type=Path)
    parser.add_argument("synthetic", type=Path)
    # The bundled detectors take pictures of any size: there is no one time to measure.
    bundled = [name for name, weights in MANIFEST.items() if weights.bundled and weights.kind == "pose"]
    parser.add_argument("--models", nargs="+", default=bundled)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--out", type=Path, help="a file for the tables in Markdown")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    sets, lines = None, []
    for name in options.models:
        path = locate(MANIFEST[name]) if name in MANIFEST else Path(name)
        sessions = open_all(path, 1)
        times = time_precisions(path, 1, (1,), options.rounds)
        small = int8_file(path)
        size = f"{small.stat().st_size / 1e6:.1f}" if small.is_file() else ""
        if notes(sessions["ONNX Runtime", "fp32"]).get("kind") == "detector":
            photos = list(held_out_boxes(options.pool))
            label = f"{sum(len(boxes) for _, boxes, _ in photos)} on {len(photos)} COCO photos"
            rows = {key: [(label, detector_row(session, photos))] for key, session in sessions.items()}
            columns = tuple(rows["ONNX Runtime", "fp32"][0][1])
        else:
            sets = sets or {
                f"{len(pairs)} {name}": pairs
                for name, pairs in held_out_people(options.pool, options.synthetic).items()
            }
            rows, columns = pose_rows(sessions, sets), PARTS
        for line in lines_of(name, columns, rows, times, size):
            lines.append(line)
            print(line, flush=True)
    if options.out:
        with replacing(options.out) as partial:
            partial.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
