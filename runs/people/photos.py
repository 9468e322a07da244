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
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from wholebody.arrays import Doubles
from wholebody.data.coco import write_labels
from wholebody.data.labels import Labels, PictureFile
from wholebody.geometry import box_areas
from wholebody.label.keypoints import LSP_14
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
        if number is not None and number in taken:
            continue
        if coco is not None and number in coco.people:
            yield Photo(folder / row["file"], size, coco.people[number]).large()
        elif row["source"] == "lspet":
            keypoints, known = np.zeros((K, 3)), LSP_14 >= 0
            joints = np.array(given["keypoints"][0], float)
            inside = ((joints[:, :2] > 0) & (joints[:, :2] < stored)).all(axis=1) & known
            keypoints[LSP_14[inside], :2] = joints[inside, :2] / stored
            keypoints[LSP_14[inside], 2] = 1 + joints[inside, 2]
            yield Photo(
                folder / row["file"], size, [Person(np.array(given["boxes"][0]) / np.tile(stored, 2), keypoints)]
            )
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
            height, width = cv2.imread(str(file)).shape[:2]
            yield Photo(file, (width, height), people).large()


def as_labels(photos: Mapping[str, Photo]) -> Labels:
    """The human labels of photos by their new names."""
    rows = [(n, photo.size, person) for n, photo in enumerate(photos.values(), 1) for person in photo.people]
    boxes = np.array([person.box * np.tile(size, 2) for _, size, person in rows])
    keypoints = np.array([person.keypoints[:, :2] * size for _, size, person in rows])
    visible = np.array([person.keypoints[:, 2] for _, _, person in rows], np.float32)
    return Labels(
        ids=np.arange(1, len(rows) + 1),
        image_ids=np.array([n for n, _, _ in rows]),
        keypoints=keypoints,
        visible=visible,
        boxes=boxes,
        areas=box_areas(boxes),
        iscrowd=np.zeros(len(rows), bool),
        valid=np.zeros((len(rows), 4), bool),
        images={n: PictureFile(name, *photo.size) for n, (name, photo) in enumerate(photos.items(), 1)},
    )


def write(photo: Photo, path: Path) -> None:
    image: npt.NDArray[Any] | None = cv2.imread(str(photo.file))
    assert image is not None
    if image.shape[1::-1] != photo.size:
        image = cv2.resize(image, photo.size, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, 95])


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
    if options.coco:
        rows = json.loads((options.pool / "index.json").read_text()) if options.pool else []
        without = {number for row in rows if (number := coco_id(row["file"])) is not None}
        coco = Coco(options.coco[1], without)
        found += of_coco(options.coco[0], coco)
    found += of_pool(options.people, options.boxes, coco, {coco_id(photo.file.name) for photo in found})
    found = [photo for photo in found if photo.people]
    if options.count:
        found = [found[i] for i in np.random.default_rng(0).permutation(len(found))[: options.count]]
    (options.out / "photos").mkdir(parents=True, exist_ok=True)
    photos = {f"{n:05d}_{photo.file.stem}.jpg": photo for n, photo in enumerate(found)}
    for name, photo in photos.items():
        write(photo, options.out / "photos" / name)
    labels = as_labels(photos)
    write_labels(options.out / "human.json", labels)
    print(
        f"{len(photos)} photos, {len(labels.boxes)} people, {int((labels.visible > 0).any(axis=1).sum())} with points"
    )


if __name__ == "__main__":
    main()
