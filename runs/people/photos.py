"""The photos of the pool of people at their true aspect ratio, and the human labels that came with them.

    python runs/people/photos.py PEOPLE BOXES.json.gz OUT [--coco PHOTOS person_keypoints_train2017.json]

OUT gets `photos/` and `human.json` for `wholebody label`. Human labels are LSP's joints, COCO's keypoints for photos of
COCO, and boxes; boxes on which the detectors agree count as human ones here. Up to three people of a photo are taken,
the largest ones. PHOTOS is a folder with further photos of COCO train2017, searched recursively. Photos of val2017, and
those of the pool that are held out for measuring, are never taken: name the pool with `--pool`.
"""

import argparse
import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from wholebody.arrays import Doubles
from wholebody.data.coco import write_labels
from wholebody.images import read_image, write_image
from wholebody.label.keypoints import LSP_14, from_rows
from wholebody.label.run import as_labels
from wholebody.schema import COCO_WHOLEBODY

K = len(COCO_WHOLEBODY)
# Smaller people show too little, and boxes below this score are often no person.
LEAST_SIDE, LEAST_SCORE, MOST_PEOPLE = 90, 0.6, 3
# Labelled people of COCO may be a little smaller.
LEAST_LABELLED, LEAST_POINTS = 70, 5


class Person(NamedTuple):
    """A box (4,) xyxy and keypoints (133, 3) x, y, flag, in fractions of the picture."""

    box: Doubles
    keypoints: Doubles


class Photo(NamedTuple):
    """A file, the size (w, h) at its true aspect ratio, and its people."""

    file: Path
    size: tuple[int, int]
    people: list[Person]

    def large(self) -> "Photo":
        """The same without small people."""
        sides = [((person.box[2:] - person.box[:2]) * self.size).max() for person in self.people]
        kept = [person for person, side in zip(self.people, sides, strict=True) if side >= LEAST_LABELLED]
        return self._replace(people=kept)


class Coco:
    """COCO's people by image id, without those of some photos."""

    def __init__(self, path: Path, without: set[int]) -> None:
        content = json.loads(path.read_text())
        sizes = {image["id"]: np.array([image["width"], image["height"]]) for image in content["images"]}
        self.people: dict[int, list[Person]] = {}
        for row in content["annotations"]:
            if row["iscrowd"] or row["num_keypoints"] < LEAST_POINTS or row["image_id"] in without:
                continue
            size, (x, y, w, h) = sizes[row["image_id"]], row["bbox"]
            keypoints = np.zeros((K, 3))
            keypoints[:17] = np.array(row["keypoints"], float).reshape(-1, 3) / [*size, 1]
            box = np.array([x, y, x + w, y + h]) / np.tile(size, 2)
            self.people.setdefault(row["image_id"], []).append(Person(box, keypoints))


def coco_id(name: str) -> int | None:
    """The number in a file name of COCO; None for photos of other sources."""
    found = re.search(r"(?<!\d)(\d{12})(?!\d)", name)
    return int(found[1]) if found else None


def upright(size: tuple[int, int], aspect: float) -> tuple[int, int]:
    """A stretched square resized to its true aspect ratio, never enlarged."""
    width, height = size
    return (width, round(height / aspect)) if aspect > 1 else (round(width * aspect), height)


def of_pool(folder: Path, boxes: Path, coco: Coco | None, taken: set[int | None]) -> Iterator[Photo]:
    index = {row["file"]: row for row in json.loads(gzip.decompress((folder / "index.json.gz").read_bytes()))}
    for row in json.loads(gzip.decompress(boxes.read_bytes())):
        given = index[row["file"]]
        stored = np.array(given["size"], float)
        size = upright(given["size"], row["aspect"])
        number = coco_id(given["original"]["path"]) if row["source"].startswith("coco") else None
        if number in taken:
            continue
        if coco is not None and number in coco.people:
            yield Photo(folder / row["file"], size, coco.people[number]).large()
        elif row["source"] == "lspet":
            human = from_rows(np.array(given["keypoints"][:1], float), LSP_14, hidden=0.5)
            keypoints = np.column_stack([human.keypoints[0] / stored, 2 * human.scores[0]])
            keypoints[((keypoints[:, :2] <= 0) | (keypoints[:, :2] >= 1)).any(axis=1)] = 0
            box = np.array(given["boxes"][0]) / np.tile(stored, 2)
            yield Photo(folder / row["file"], size, [Person(box, keypoints)])
        else:
            found, scores = np.array(row["boxes"], float).reshape(-1, 4) / np.tile(stored, 2), np.array(row["scores"])
            side = ((found[:, 2:] - found[:, :2]) * size).max(axis=1, initial=0)
            best = [i for i in np.argsort(-side * scores)[:MOST_PEOPLE] if side[i] >= LEAST_SIDE]
            kept = [Person(found[i], np.zeros((K, 3))) for i in best if scores[i] >= LEAST_SCORE]
            if kept:
                yield Photo(folder / row["file"], size, kept)


def of_coco(folder: Path, coco: Coco) -> Iterator[Photo]:
    for file in sorted(folder.rglob("*.jpg")):
        people = coco.people.get(coco_id(file.name) or -1)
        if people:
            height, width = read_image(file).shape[:2]
            yield Photo(file, (width, height), people).large()


def write(photo: Photo, path: Path) -> dict[str, Any]:
    """Write the photo upright; its row for `as_labels`, with COCO's flags as scores."""
    image = read_image(photo.file)
    if image.shape[1::-1] != photo.size:
        image = cv2.resize(image, photo.size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    write_image(path, image)
    return {
        "file": str(path),
        "size": photo.size,
        "boxes": [person.box * np.tile(photo.size, 2) for person in photo.people],
        "keypoints": [person.keypoints[:, :2] * photo.size for person in photo.people],
        "scores": [person.keypoints[:, 2] for person in photo.people],
        "doubtful": [],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("people", type=Path)
    parser.add_argument("boxes", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--coco", type=Path, nargs=2, metavar=("PHOTOS", "LABELS"))
    parser.add_argument("--pool", type=Path, help="a pool whose photos of COCO must not be taken again")
    parser.add_argument("--count", type=int, help="only so many photos, from all sources")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    coco, found = None, list[Photo]()
    rows = json.loads((options.pool / "index.json").read_text()) if options.pool else []
    without = {number for row in rows if (number := coco_id(row["file"])) is not None}
    if options.coco:
        coco = Coco(options.coco[1], without)
        # A photo may be in several folders.
        found += {coco_id(photo.file.name): photo for photo in of_coco(options.coco[0], coco)}.values()
    taken = {coco_id(photo.file.name) for photo in found} | without
    found += of_pool(options.people, options.boxes, coco, taken)
    found = [photo for photo in found if photo.people]
    if options.count:
        found = [found[i] for i in np.random.default_rng(0).permutation(len(found))[: options.count]]
    (options.out / "photos").mkdir(parents=True, exist_ok=True)
    paths = [options.out / "photos" / f"{n:05d}_{photo.file.stem}.jpg" for n, photo in enumerate(found)]
    labels = as_labels([write(photo, path) for photo, path in zip(found, paths, strict=True)], paths)
    write_labels(options.out / "human.json", labels)
    with_points = int((labels.visible > 0).any(axis=1).sum())
    print(f"{len(paths)} photos, {len(labels.boxes)} people, {with_points} with points")


if __name__ == "__main__":
    main()
