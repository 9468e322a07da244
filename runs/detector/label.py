"""Boxes of everyone in the photos a detector may train on: source labels, completed by a teacher.

    python runs/detector/label.py POOL TEACHER.tflite OUT.json [--backgrounds FOLDER]

POOL is a folder as `wholebody.train.pool` reads it, with labels_coco.json and pseudo_mediapipe.json. TEACHER is a
CenterNet of the 80 COCO classes (input (1, 512, 512, 3) float32 RGB 0..255, output (1, 100, 6): x0, y0, x1, y1, score,
class). OUT holds one row per photo: {"file", "boxes", "ignore"}, xyxy pixels. Backgrounds without people become rows
without boxes. Needs ai-edge-litert.

What contact sheets said: COCO's labels name everyone, so the teacher's extra boxes there are duplicates or crowds, and
are only ignored. Boxes made from MediaPipe's landmarks miss legs, arms and hair, so the teacher's box takes their place
where the two mean the same person. DAVIS labels one person of a crowd: the teacher names the others.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from wholebody.evaluate.detections import annotated_boxes
from wholebody.geometry import iou
from wholebody.train.data.pool import Photo, read_pool

SURE, MAYBE = 0.3, 0.15
# The few varied photos stand in the list more often than the many of one person in a room.
REPEATS = {"coco_train2017": 6, "davis": 2}
Floats = npt.NDArray[np.float64]
NONE = np.zeros((0, 4))


def teacher(path: str) -> Callable[[npt.NDArray[np.uint8]], tuple[Floats, Floats]]:
    """A function from a BGR picture to boxes (N, 4) and box_scores (N,) of its people."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(path, num_threads=1)
    interpreter.allocate_tensors()
    entry, exit = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def find(image: npt.NDArray[np.uint8]) -> tuple[Floats, Floats]:
        height, width = image.shape[:2]
        ratio = 512 / max(height, width)
        shrunk = cv2.resize(image, (round(width * ratio), round(height * ratio)), interpolation=cv2.INTER_AREA)
        canvas = np.zeros((1, 512, 512, 3), np.float32)
        canvas[0, : shrunk.shape[0], : shrunk.shape[1]] = shrunk[..., ::-1]
        interpreter.set_tensor(entry, canvas)
        interpreter.invoke()
        rows = interpreter.get_tensor(exit)[0].astype(np.float64)
        rows = rows[(rows[:, 5] == 0) & (rows[:, 4] >= MAYBE)]
        return np.clip(rows[:, :4] / ratio, 0, [width, height, width, height]), rows[:, 4]

    return find


def merge(photo: Photo, labels: list, pseudo: list, found: Floats, scores: Floats) -> tuple[Floats, Floats]:
    """Everyone's boxes and the regions nobody is sure about."""
    source = [box for box, crowd, origin in labels if not crowd and not origin.startswith("CenterNet")]
    ignore = [box for box, crowd, _ in labels if crowd]
    for box, _, origin in pseudo:
        if not origin.startswith("MediaPipe"):
            continue
        overlap = iou(box[None], found)[0]
        if not len(found) or overlap.max() < 0.4:
            ignore.append(box)
    boxes = np.array(source).reshape(-1, 4)
    for box, score in sorted(zip(found, scores, strict=True), key=lambda pair: -pair[1]):
        overlap = iou(box[None], boxes).max(initial=0)
        landmarks = [b for b, _, origin in pseudo if origin.startswith("MediaPipe")]
        supported = iou(box[None], np.array(landmarks).reshape(-1, 4)).max(initial=0) >= 0.4
        if overlap >= 0.5:
            continue
        if (score >= SURE or supported) and photo.group != "coco_train2017" and overlap < 0.4:
            boxes = np.concatenate([boxes, box[None]])
        else:
            ignore.append(box)
    return boxes, np.array(ignore).reshape(-1, 4)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("pool", type=Path)
    parser.add_argument("teacher")
    parser.add_argument("out", type=Path)
    parser.add_argument("--backgrounds", type=Path)
    parser.add_argument("--held-out", action="store_true", help="the other side of the split, for looking at it")
    options = parser.parse_args()
    find = teacher(options.teacher)
    labels = annotated_boxes(options.pool / "labels_coco.json")
    pseudo = annotated_boxes(options.pool / "pseudo_mediapipe.json")
    rows = []
    for photo in read_pool(options.pool):
        if photo.held_out != options.held_out:
            continue
        path = options.pool / photo.file
        found = find(cv2.imread(str(path)))
        boxes, ignore = merge(photo, labels.get(photo.file, []), pseudo.get(photo.file, []), *found)
        row = {"file": str(path.resolve()), "boxes": boxes.round(1).tolist(), "ignore": ignore.round(1).tolist()}
        rows += [row] * (1 if options.held_out else REPEATS.get(photo.group, 1))
    for path in sorted(options.backgrounds.glob("*.jpg")) if options.backgrounds else ():
        _, scores = find(cv2.imread(str(path)))
        if scores.max(initial=0) < SURE:
            rows.append({"file": str(path.resolve()), "boxes": [], "ignore": []})
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n")
    print(len(rows), "photos,", sum(len(row["boxes"]) for row in rows), "boxes ->", options.out)


if __name__ == "__main__":
    main()
