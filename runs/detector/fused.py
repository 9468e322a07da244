"""The detector's list of training photos, from the fused boxes of runs/people.

    python runs/detector/fused.py PEOPLE runs/people/boxes.json.gz OUT_FOLDER

PEOPLE is the folder with `index.json.gz` and the photos. Human-drawn boxes count, and so do those on which detectors
agree; doubtful ones are ignored in the loss. Photos that were stretched to squares get their aspect ratio back. COCO's
photos, in which everyone has a box, are listed three times. OUT_FOLDER gets `people.json` and the resized photos.
"""

import argparse
import gzip
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from wholebody.geometry import box_areas, iou

# Photos of the largest sources, drawn at random: the rest of the list would drown in all of them. VOC's were left out.
AT_MOST = {"openimages": 2200, "lspet": 500, "vocmap": 0}
OFTEN = {"coco17tr": 3}
# Chance from which a fused box that nobody drew is a person; COCO's photos have everyone's box.
SURE = {"openimages": 0.6, "coco17tr": 2.0}
Boxes = npt.NDArray[np.float32]


def boxes(rows: Any) -> Boxes:
    return np.array(rows, np.float32).reshape(-1, 4)


def missed(source: str, drawn: Boxes, found: Boxes) -> npt.NDArray[np.bool_]:
    """Which boxes that people drew and no detector confirmed are small enough to be believed: a large one may be a
    statue or a poster."""
    area = box_areas(drawn)
    if source == "coco17tr":
        return np.asarray(area < 60**2)
    apart = iou(drawn, found).max(axis=1, initial=0) < 0.4
    return np.asarray((area > 16**2) & (area < 100**2) & apart)


def people(row: dict[str, Any], drawn: Boxes) -> tuple[Boxes, Boxes]:
    """Boxes of people, and regions to ignore."""
    found, human = boxes(row["boxes"]), np.array(row["human"], bool)
    sure = human | (np.array(row["scores"]) >= SURE.get(row["source"], 0.55))
    ignore, found = np.concatenate([boxes(row["ignore"]), found[~sure]]), found[sure]
    if row["source"] in ("coco17tr", "openimages"):
        new = drawn[iou(drawn, found).max(axis=1, initial=0) <= 0.7]
        believed = missed(row["source"], new, found)
        ignore, found = np.concatenate([ignore, new[~believed]]), np.concatenate([found, new[believed]])
    if len(found):
        ignore = ignore[iou(ignore, found).max(axis=1, initial=0) < 0.5]
    real = [each[(each[:, 2:] - each[:, :2] >= 1).all(axis=1)] for each in (found, ignore)]
    return real[0], real[1]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("people", type=Path)
    parser.add_argument("fused", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with gzip.open(options.people / "index.json.gz") as file:
        drawn = {row["file"]: boxes(row.get("boxes", [])) for row in json.load(file)}
    sources: dict[str, list[dict[str, Any]]] = {}
    with gzip.open(options.fused) as file:
        for row in sorted(json.load(file), key=lambda row: row["file"]):
            sources.setdefault(row["source"], []).append(row)
    rng, listed = np.random.default_rng(1), []
    for source, rows in sorted(sources.items()):
        if source in AT_MOST:
            rows = [rows[i] for i in sorted(rng.permutation(len(rows))[: AT_MOST[source]])]
        for row in rows:
            found, ignore = people(row, drawn[row["file"]])
            path, (w, h) = options.people / row["file"], row["size"]
            scale = np.ones(2)
            if abs(row["aspect"] - w / h) > 0.02:
                scale = np.array([np.sqrt(row["aspect"] * h / w), np.sqrt(w / h / row["aspect"])])
                image = cv2.resize(cv2.imread(str(path)), (round(w * scale[0]), round(h * scale[1])))
                path = options.out / f"{Path(row['file']).stem}.jpg"
                cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, 95])
            both = [np.round(each * np.tile(scale, 2), 1).tolist() for each in (found, ignore)]
            entry = {"file": str(path.resolve()), "boxes": both[0], "ignore": both[1]}
            listed += [entry] * OFTEN.get(source, 1)
    (options.out / "people.json").write_text(json.dumps(listed))
    print(f"{len(listed)} rows, {sum(len(row['boxes']) for row in listed)} boxes")


if __name__ == "__main__":
    main()
