"""Recall and precision of detectors by size, on photos in which everyone has a box, and false positives on photos
without people.

    python runs/detector/measure.py LABELS.json MODEL.onnx [MODEL.onnx ...] [--take 500]

LABELS.json is a list of rows {"file", "boxes", "ignore"}, xyxy pixels, as for the detector's training; rows without
boxes are the photos without people. Sizes are COCO's: large above 96 x 96 pixels, medium above 32 x 32, small below.
AP50 is the average precision at IoU 0.5 over everyone.
"""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np

from wholebody.evaluate.detections import Truth, judge
from wholebody.geometry import box_areas
from wholebody.pose.detect import YOLOX
from wholebody.runtime.choose import open_session

THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
SIZES = {"large": (96**2, np.inf), "medium": (32**2, 96**2), "small": (0, 32**2), "all": (0, np.inf)}


def average_precision(scores: np.ndarray, person: np.ndarray, people: int) -> float:
    """Mean over 101 recalls of the best precision from there on, as COCO does it."""
    counted = person != -2
    right = person[counted][np.argsort(-scores[counted], kind="stable")] >= 0
    recall, precision = np.cumsum(right) / people, np.cumsum(right) / np.arange(1, len(right) + 1)
    precision = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0)
    return float(precision[np.searchsorted(recall, np.linspace(0, 1, 101))].mean())


def report(truths: list[Truth], found: list[tuple[np.ndarray, np.ndarray]]) -> None:
    person, area, scores, found_area = [], [], [], []
    for truth, (boxes, score) in zip(truths, found, strict=True):
        rows, areas = judge(boxes, score, truth), np.append(box_areas(truth.boxes), 0)
        person.append(rows)
        area.append(np.where(rows >= 0, areas[rows], 0))
        scores.append(score)
        found_area.append(box_areas(boxes))
    rows, right_area, score, box_area = map(np.concatenate, (person, area, scores, found_area))
    people = np.concatenate([box_areas(truth.boxes) for truth in truths])
    print(f"  AP50 {average_precision(score, rows, len(people)):.3f}")
    for threshold in THRESHOLDS:
        cells = []
        for name, (low, high) in SIZES.items():
            above, inside = score > threshold, (box_area > low) & (box_area <= high)
            right = (rows >= 0) & above & (right_area > low) & (right_area <= high)
            sure, wrong = ((rows >= 0) & above & inside).sum(), ((rows == -1) & above & inside).sum()
            count = ((people > low) & (people <= high)).sum()
            cells.append(f"{name} ({count}) {right.sum() / max(count, 1):.3f} / {sure / max(sure + wrong, 1):.3f}")
        print(f"  > {threshold}  " + "   ".join(cells))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("labels", type=Path)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--take", type=int, help="photos with people, drawn at random; all of them without it")
    options = parser.parse_args()
    rows = json.loads(options.labels.read_text())
    truths, empty = [], []
    for row in rows:
        boxes, ignore = (np.array(row.get(key, []), np.float32).reshape(-1, 4) for key in ("boxes", "ignore"))
        (truths if len(boxes) else empty).append(Truth(options.labels.parent / row["file"], boxes, ignore, True))
    if options.take:
        chosen = np.sort(np.random.default_rng(0).permutation(len(truths))[: options.take])
        truths = [truths[i] for i in chosen]
    for model in options.models:
        detector = YOLOX(open_session(model, "cpu", threads=1), threshold=0.01)
        print(f"{model}: {len(truths)} photos with people, recall / precision")
        if truths:
            report(truths, [detector(cv2.imread(str(truth.file))) for truth in truths])
        if empty:
            wrong = np.concatenate([detector(cv2.imread(str(truth.file)))[1] for truth in empty])
            print(f"  false positives on {len(empty)} photos:", {t: int((wrong > t).sum()) for t in THRESHOLDS})


if __name__ == "__main__":
    main()
