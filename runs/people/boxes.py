"""Boxes of everyone in the photos of the pool of people: those of several detectors and of humans, fused.

    python runs/people/boxes.py PEOPLE OUT.json.gz --detectors yolox_nano.onnx nanodet.onnx

PEOPLE has index.json.gz (a row per photo: file, source, size, boxes, boxes_from) and the photos. OUT has a row per
photo: file, source, size, aspect, boxes xyxy in pixels of the file, scores, human (1: drawn by a human), ignore
(possibly a person). Next to it is a journal with the output of each detector, from which a stopped run resumes.

Two sources were stretched to squares when they were exported. The first detector processes such photos at 4:3 and at
3:4, and the aspect ratio with the higher sum of scores is used.

A score is the probability that a box is a person: a logistic curve over the detectors' scores, fitted to the source in
which humans drew all boxes (COCO).
"""

import argparse
import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from wholebody.arrays import Image
from wholebody.files import replacing
from wholebody.geometry import box_areas, iou
from wholebody.label.boxes import Fused, fuse
from wholebody.label.detectors import detector
from wholebody.label.tflite import open_tflite
from wholebody.runtime.choose import open_session

Floats = npt.NDArray[np.float64]
Find = Callable[[Image], tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]
STRETCHED, REFERENCE, BY_JOINTS = ("openimages", "coco17tr"), "coco17tr", "lspet"
WIDE, HIGH = 4 / 3, 3 / 4
# Wide photos are the rule: it takes some evidence to say that one is high.
LEAN = 0.12
# From here on there is a person; from MAYBE on it is not clear.
SURE, MAYBE = 0.5, 0.12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("people", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--detectors", nargs="+", required=True)
    parser.add_argument("--people-of-lsp", action="store_true", help="keep the boxes around LSP's labelled joints")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    cv2.setNumThreads(options.threads)
    rows = json.loads(gzip.decompress((options.people / "index.json.gz").read_bytes()))
    journal = options.out.with_suffix(".jsonl")
    said = ask(rows, options.people, options.detectors, options.threads, journal)
    merged = [Photo(row, said[row["file"]], options.people_of_lsp) for row in rows]
    chance = fitted([photo for photo in merged if photo.row["source"] == REFERENCE])
    out = [photo.resolved(chance) for photo in merged]
    with replacing(options.out) as partial:
        text = "[\n" + ",\n".join(json.dumps(row, separators=(",", ":")) for row in out) + "\n]\n"
        # Without a date inside, the same boxes are the same bytes.
        partial.write_bytes(gzip.compress(text.encode(), mtime=0))
    print(len(out), "photos,", sum(len(row["boxes"]) for row in out), "people ->", options.out)


def ask(
    rows: Sequence[Mapping[str, Any]], folder: Path, names: Sequence[str], threads: int, journal: Path
) -> dict[str, dict[str, Any]]:
    """What every detector says of every photo: file -> {"aspect", "found": one list of x0, y0, x1, y1, score each}."""
    done: dict[str, dict[str, Any]] = {}
    if journal.is_file():
        for line in journal.read_text().splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # cut off by a stop
            done[entry["file"]] = entry
    finds: list[Find] = [
        detector(open_tflite(name, threads) if name.endswith(".tflite") else open_session(name, "cpu", threads))
        for name in names
    ]
    with journal.open("a") as file:
        for row in rows:
            if row["file"] in done:
                continue
            image = cv2.imread(str(folder / row["file"]))
            if image is None:
                raise SystemExit(f"{folder / row['file']}: cannot be read")
            aspect, first = 1.0, found(finds[0], image, 1.0)
            if row["source"] in STRETCHED:
                wide, high = found(finds[0], image, WIDE), found(finds[0], image, HIGH)
                aspect, first = (HIGH, high) if evidence(wide, high) < -LEAN else (WIDE, wide)
            everyone = [first, *(found(find, image, aspect) for find in finds[1:])]
            done[row["file"]] = {"file": row["file"], "aspect": round(aspect, 3), "found": everyone}
            file.write(json.dumps(done[row["file"]]) + "\n")
    return done


def found(find: Find, image: Image, aspect: float) -> list[list[float]]:
    """Boxes and scores in pixels of the file, seen with the stretch undone."""
    height, width = image.shape[:2]
    size = (width, round(height / aspect)) if aspect > 1 else (round(width * aspect), height)
    seen = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    boxes, scores = find(seen)
    boxes = boxes * np.tile([width / size[0], height / size[1]], 2)
    return np.column_stack([boxes.round(1), scores.round(3)]).tolist()


def evidence(wide: Sequence[Sequence[float]], high: Sequence[Sequence[float]]) -> float:
    """How much surer a detector is of a photo that is wide."""
    sure = [[row[4] for row in rows if row[4] > 0.25] for rows in (wide, high)]
    return (sum(sure[0]) - sum(sure[1])) / max(len(sure[0]), len(sure[1]), 1) ** 0.5


class Photo:
    """What people and detectors say of one photo.

    Attributes:
        row: of the index. aspect: width over height. human: (N, 4) boxes drawn by people. fused: the detectors'.
    """

    def __init__(self, row: Mapping[str, Any], said: Mapping[str, Any], people_of_lsp: bool) -> None:
        self.row, self.aspect = row, float(said["aspect"])
        drawn = row.get("boxes_from") == "source labels" or (people_of_lsp and row["source"] == BY_JOINTS)
        self.human = np.array(row["boxes"] if drawn else [], np.float64).reshape(-1, 4)
        rows = [np.array(each, np.float64).reshape(-1, 5) for each in said["found"]]
        self.fused: Fused = fuse([(each[:, :4], each[:, 4]) for each in rows], overlap=0.5)

    def features(self) -> Floats:
        """(N, F) what the chance depends on."""
        votes, boxes = self.fused.votes, self.fused.boxes
        side = np.sqrt(np.maximum(box_areas(boxes), 1)) / max(self.row["size"])
        return np.column_stack([np.sqrt(votes), votes, (votes > 0.1).sum(axis=1), np.log(side), np.ones(len(votes))])

    def resolved(self, chance: Callable[[Floats], Floats]) -> dict[str, Any]:
        """The row of the result."""
        fused, human = self.fused, self.human
        chances = chance(self.features())
        overlap = iou(human, fused.boxes)
        boxes, scores, ignore = [], [], []
        used = np.zeros(len(fused.boxes), bool)
        for box, row in zip(human, overlap, strict=True):
            free = np.where(used, 0, row)
            best = int(free.argmax()) if len(free) else 0
            if len(free) and free[best] >= 0.45:
                used[best], sure = True, float(chances[best])
                boxes.append((2 * box + sure * fused.boxes[best]) / (2 + sure))
                scores.append(max(sure, 0.6 + 0.4 * sure))
            elif self.row["source"] == BY_JOINTS:
                boxes.append(box)
                scores.append(0.9)
            else:
                # Nobody else sees it: a crowd, a statue, far away, or badly drawn.
                ignore.append(box)
        by_people = len(boxes)
        for j in np.flatnonzero(~used & (chances >= MAYBE)):
            # Half of a person already found is not another person.
            if overlap[:, j].max(initial=0) >= 0.3 and chances[j] < 0.9:
                if chances[j] > 0.3:
                    ignore.append(fused.boxes[j])
            elif chances[j] >= SURE:
                boxes.append(fused.boxes[j])
                scores.append(float(chances[j]))
            else:
                ignore.append(fused.boxes[j])
        order = np.argsort(-np.array(scores), kind="stable")
        return {
            **{name: self.row[name] for name in ("file", "source", "size")},
            "aspect": self.aspect,
            "boxes": np.array(boxes).reshape(-1, 4)[order].round(1).tolist(),
            "scores": np.array(scores)[order].round(3).tolist(),
            "human": (order < by_people).astype(int).tolist(),
            "ignore": np.array(ignore).reshape(-1, 4).round(1).tolist(),
        }


def fitted(photos: Sequence[Photo]) -> Callable[[Floats], Floats]:
    """The logistic curve from features to the chance of a person, by Newton's method with a little ridge."""
    x = np.concatenate([photo.features() for photo in photos])
    y = np.concatenate([iou(p.fused.boxes, p.human).max(axis=1, initial=0) >= 0.5 for p in photos]).astype(np.float64)
    mean, deviation = x.mean(axis=0), x.std(axis=0) + 1e-6
    mean[-1], deviation[-1] = 0, 1

    def chance(features: Floats) -> Floats:
        return 1 / (1 + np.exp(-((features - mean) / deviation) @ weights))

    weights = np.zeros(x.shape[1])
    z = (x - mean) / deviation
    for _ in range(60):
        p = chance(x)
        slope = z.T @ (p - y) + 0.1 * weights
        curve = (z * (p * (1 - p))[:, None]).T @ z + 0.1 * np.eye(len(weights))
        weights = weights - np.linalg.solve(curve, slope)
    p = chance(x)
    for low in (0.0, 0.2, 0.4, 0.6, 0.8):
        rows = (p >= low) & (p < low + 0.2)
        print(f"said {p[rows].mean():.2f}, are people {y[rows].mean():.2f} ({rows.sum()})")
    return chance


if __name__ == "__main__":
    main()
