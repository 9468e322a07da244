"""Evaluating detections against complete boxes, for tables that compare detectors."""

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wholebody.arrays import Doubles, Floats, Ints
from wholebody.geometry import box_areas, iou


@dataclass(frozen=True)
class Truth:
    """A photo's people and its ignored regions; `complete` if everyone has a box."""

    file: Path
    boxes: Floats
    ignore: Floats
    complete: bool


def judge(found: Floats, scores: Floats, truth: Truth) -> Ints:
    """Row of the person matched by each of N boxes, -1 for none and -2 if the box is ignored.

    A box is a match at IoU 0.5 with an unmatched person, highest score first; one mostly inside an ignored region is
    ignored.
    """
    overlap, taken = iou(found, truth.boxes), np.zeros(len(truth.boxes), bool)
    person = np.full(len(found), -1, np.int64)
    for row in np.argsort(-scores, kind="stable"):
        free = np.where(taken, 0, overlap[row])
        if free.max(initial=0) >= 0.5:
            person[row] = free.argmax()
            taken[person[row]] = True
            continue
        low: Floats = np.maximum(found[row, :2], truth.ignore[:, :2])
        high: Floats = np.minimum(found[row, 2:], truth.ignore[:, 2:])
        inside = np.clip(high - low, 0, None).prod(axis=1) / box_areas(found[row : row + 1])
        if inside.max(initial=0) > 0.5:
            person[row] = -2
    return person


def annotated_boxes(path: Path) -> dict[str, list[tuple[Doubles, bool, str]]]:
    """file -> its annotations: box xyxy, whether it is a crowd, where it comes from."""
    content = json.loads(path.read_text())
    files = {image["id"]: image["file_name"] for image in content["images"]}
    boxes: dict[str, list[tuple[Doubles, bool, str]]] = defaultdict(list)
    for row in content["annotations"]:
        x, y, w, h = row["bbox"]
        source = row.get("box_from") or row.get("label_source")
        boxes[files[row["image_id"]]].append((np.array([x, y, x + w, y + h]), bool(row["iscrowd"]), source))
    return boxes
