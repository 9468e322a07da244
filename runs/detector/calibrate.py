"""Fit the slope and shift that turn a detector's score into the probability that a box is a person (Platt 1999).

    python runs/detector/calibrate.py LABELS.json MODEL.onnx

LABELS.json as for `measure.py`, of photos in which everyone has a box; MODEL.onnx without a calibration.
"""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np

from wholebody.evaluate.detections import Truth, judge
from wholebody.pose.detect import YOLOX
from wholebody.runtime.choose import open_session


def fit(scores: np.ndarray, right: np.ndarray) -> tuple[float, float]:
    """Slope and shift of the logistic regression of `right` (0 or 1) on the logit of `scores`, by Newton's method."""
    logit = np.stack([np.log(scores / (1 - scores)), np.ones_like(scores)])
    weights = np.array([1.0, 0.0])
    for _ in range(30):
        chance = 1 / (1 + np.exp(-weights @ logit))
        curvature = (logit * (chance * (1 - chance))) @ logit.T
        weights = weights + np.linalg.solve(curvature + 1e-6 * np.eye(2), logit @ (right - chance))
    return float(weights[0]), float(weights[1])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("labels", type=Path)
    parser.add_argument("model")
    options = parser.parse_args()
    detector = YOLOX(open_session(options.model, "cpu", threads=1), threshold=0.01)
    scores, right = [], []
    for row in json.loads(options.labels.read_text()):
        file = options.labels.parent / row["file"]
        boxes, ignore = (np.array(row.get(key, []), np.float32).reshape(-1, 4) for key in ("boxes", "ignore"))
        found, score = detector(cv2.imread(str(file)))
        person = judge(found, score, Truth(file, boxes, ignore, True))
        scores.append(score[person != -2])
        right.append(person[person != -2] >= 0)
    score, hit = np.concatenate(scores).astype(float), np.concatenate(right)
    slope, shift = fit(score, hit)
    print(f"{len(score)} boxes: slope {slope:.3f}, shift {shift:.3f}")
    for low, high in ((0.01, 0.05), (0.05, 0.1), (0.1, 0.2), (0.2, 0.3), (0.3, 0.5), (0.5, 0.7), (0.7, 1)):
        inside = (score > low) & (score <= high)
        print(f"  {low} to {high}: {inside.sum()} boxes, {hit[inside].mean():.2f} are people")


if __name__ == "__main__":
    main()
