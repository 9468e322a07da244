"""Recall and precision of a person detector on the held-out photos of a pool.

    python runs/detector/label.py POOL TEACHER.tflite HELD_OUT.json --held-out
    python runs/detector/evaluate.py POOL HELD_OUT.json detector.onnx [--teacher TEACHER.tflite] [--overlays OUT.png]

Two sets of photos. "labelled": truth came with the sources: COCO's boxes of everyone, and DAVIS' one person, where only
recall can be told. "rooms": HaGRID and clips of one person close by, where truth is the teacher's box beside a pose, so
that agreement is measured, not accuracy. A found box is right at IoU 0.5 with a person not yet found, best score first;
one inside a crowd or a doubtful region counts neither way. "large" people are those of more than 96 x 96 pixels.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from wholebody.arrays import Floats, Image
from wholebody.evaluate.detections import Truth, annotated_boxes, judge
from wholebody.geometry import box_areas
from wholebody.label.detectors import detector as any_detector
from wholebody.label.tflite import open_tflite
from wholebody.pose.detect import YOLOX
from wholebody.runtime.choose import open_session
from wholebody.train.data.pool import read_pool

THRESHOLDS = (0.2, 0.3, 0.38, 0.5, 0.6)
LARGE = 96 * 96


def evaluate(truths: Sequence[Truth], detections: Sequence[tuple[Floats, Floats]]) -> None:
    """Print one line per threshold and size of people."""
    print("  people  score>  recall            precision")
    for name, least in (("large", LARGE), ("all", 0)):
        for threshold in THRESHOLDS:
            people = right = sure = wrong = 0
            for truth, (boxes, scores) in zip(truths, detections, strict=True):
                boxes, scores = boxes[scores > threshold], scores[scores > threshold]
                person = judge(boxes, scores, truth)
                people += (box_areas(truth.boxes) > least).sum()
                right += (box_areas(truth.boxes)[person[person >= 0]] > least).sum()
                if truth.complete:
                    sure += ((person >= 0) & (box_areas(boxes) > least)).sum()
                    wrong += ((person == -1) & (box_areas(boxes) > least)).sum()
            recall = f"{right / people:.3f} ({right}/{people})"
            print(f"  {name:6}  {threshold:.2f}    {recall:16}  {sure / max(sure + wrong, 1):.3f}")


def overlay(image: Image, truth: Truth, found: tuple[Floats, Floats], threshold: float, side: int = 300) -> Image:
    """A tile with the true boxes thin in cyan and the found ones in red."""
    tile = image.copy()
    thick = max(2, max(tile.shape) // 200)
    for box in truth.boxes.astype(int).tolist():
        cv2.rectangle(tile, box[:2], box[2:], (255, 255, 0), thick // 2)
    for box, score in zip(found[0].astype(int).tolist(), found[1], strict=True):
        if score > threshold:
            cv2.rectangle(tile, box[:2], box[2:], (0, 0, 255), thick)
            cv2.putText(tile, f"{score:.2f}", (box[0] + 4, box[1] + 12 * thick), 0, thick / 3, (0, 0, 255), thick)
    ratio = side / max(tile.shape[:2])
    tile = cv2.resize(tile, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA)[:side, :side]
    return np.pad(tile, ((0, side - tile.shape[0]), (0, side - tile.shape[1]), (0, 0)))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("pool", type=Path)
    parser.add_argument("held_out", type=Path)
    parser.add_argument("model")
    parser.add_argument("--teacher")
    parser.add_argument("--overlays", type=Path)
    parser.add_argument("--threshold", type=float, default=0.3, help="of the overlays")
    options = parser.parse_args()
    labels = annotated_boxes(options.pool / "labels_coco.json")
    merged = {Path(row["file"]).name: row for row in json.loads(options.held_out.read_text())}
    sets: dict[str, list[Truth]] = {"labelled": [], "rooms": []}
    for photo in (photo for photo in read_pool(options.pool) if photo.held_out):
        file = options.pool / photo.file
        if photo.group in ("coco_train2017", "davis"):
            rows = labels.get(photo.file, [])
            boxes, crowds = (np.array([b for b, crowd, _ in rows if crowd == c]).reshape(-1, 4) for c in (False, True))
            sets["labelled"].append(Truth(file, boxes, crowds, photo.group == "coco_train2017"))
        else:
            row = merged[file.name]
            boxes, ignore = (np.array(row[key]).reshape(-1, 4) for key in ("boxes", "ignore"))
            sets["rooms"].append(Truth(file, boxes, ignore, True))

    detector = YOLOX(open_session(options.model, threads=1), threshold=0.05)
    tiles = []
    for name, truths in sets.items():
        print(f"{name}: {len(truths)} photos, {sum(len(truth.boxes) for truth in truths)} people")
        images = [cv2.imread(str(truth.file)) for truth in truths]
        found = [detector(image) for image in images]
        evaluate(truths, found)
        count = 18 if name == "labelled" else 6
        rows = list(zip(images, truths, found, strict=True))[:: len(truths) // count][:count]
        tiles += [overlay(*row, options.threshold) for row in rows]
        if options.teacher and name == "labelled":
            find = any_detector(open_tflite(options.teacher))
            print("the teacher on the same photos")
            evaluate(truths, [find(image) for image in images])
    if options.overlays:
        cv2.imwrite(str(options.overlays), np.vstack([np.hstack(tiles[i : i + 6]) for i in range(0, 24, 6)]))


if __name__ == "__main__":
    main()
