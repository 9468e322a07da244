"""Negative examples: parts of photos in which there is nobody, but a detector finds somebody.

    python runs/detector/empty.py LABELS.json MODEL.onnx OUT_FOLDER

LABELS.json lists photos in which everyone has a box, as for `measure.py`; rows without boxes are photos without people.
`empty.json` in OUT_FOLDER lists the photos of LABELS, three more times those without people in which MODEL finds
somebody, and parts without boxes in which it does, at most two per photo.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from wholebody.pose.detect import YOLOX
from wholebody.runtime.choose import open_session

# From this score on it finds somebody.
SEEN = 0.1
TRIES, PARTS = 20, 2


def part(size: tuple[int, int], taken: npt.NDArray[Any], rng: np.random.Generator) -> tuple[slice, slice] | None:
    """Rows and columns of a random part that no box reaches into; None if this draw has none."""
    sides = rng.uniform(0.35, 1, 2) * size
    if sides.prod() < 0.12 * size[0] * size[1]:
        return None
    low = rng.uniform(0, size - sides)
    high = low + sides
    if ((np.minimum(high, taken[:, 2:]) > np.maximum(low, taken[:, :2])).all(axis=1)).any():
        return None
    (x0, y0), (x1, y1) = low.astype(int), high.astype(int)
    return slice(y0, y1), slice(x0, x1)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("labels", type=Path)
    parser.add_argument("model")
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    detector = YOLOX(open_session(options.model, "cpu", threads=1), threshold=SEEN)
    rng = np.random.default_rng(11)
    rows = json.loads(options.labels.read_text())
    listed, parts = list(rows), 0
    for number, row in enumerate(rows):
        image = cv2.imread(str(options.labels.parent / row["file"]))
        taken = np.array(row["boxes"] + row.get("ignore", []), float).reshape(-1, 4)
        if not len(taken):
            listed += [row] * 3 * bool(len(detector(image)[0]))
            continue
        margin = 0.04 * (taken[:, 2:] - taken[:, :2]) + 3
        taken = np.concatenate([taken[:, :2] - margin, taken[:, 2:] + margin], axis=1)
        found = 0
        for _ in range(TRIES):
            where = part((image.shape[1], image.shape[0]), taken, rng)
            if where is None or not len(detector(image[where])[0]):
                continue
            path = (options.out / f"{number}-{found}.jpg").resolve()
            cv2.imwrite(str(path), image[where], [cv2.IMWRITE_JPEG_QUALITY, 95])
            listed.append({"file": str(path), "boxes": [], "ignore": []})
            found += 1
            if found == PARTS:
                break
        parts += found
    (options.out / "empty.json").write_text(json.dumps(listed))
    print(f"{len(rows)} photos, {parts} parts without people")


if __name__ == "__main__":
    main()
