"""The held-out people of this project as COCO label files, for `wholebody evaluate` and `wholebody compare`.

    python runs/evaluation/sets.py ../shared/real work/synth/held_out work/sets

OUT/coco.json: people in COCO photos kept out of training, with COCO's labels and at least five points; the pictures are
in the pool. OUT/teachers.json: everyone in the held-out photos and clips, with labels of MediaPipe and MoveNet of at
least 0.5 confidence: agreement, not truth. OUT/synthetic.json and OUT/synthetic/: the first 200 rendered people, with
exact labels.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from wholebody.data.coco import read_labels, write_labels
from wholebody.data.labels import Labels, PictureFile
from wholebody.data.shards import read_shards
from wholebody.geometry import box_areas
from wholebody.train.data.pool import read_pool

SYNTHETIC = 200


def held_out(file: Path, pool: Path) -> Labels:
    names = {photo.file for photo in read_pool(pool) if photo.held_out}
    return read_labels(file, keep=lambda image: image["file_name"] in names)


def with_people(labels: Labels) -> Labels:
    there = set(labels.image_ids.tolist())
    return replace(labels, images={number: p for number, p in labels.images.items() if number in there})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pool", type=Path)
    parser.add_argument("synthetic", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    (options.out / "synthetic").mkdir(parents=True, exist_ok=True)

    coco = held_out(options.pool / "labels_coco.json", options.pool)
    coco = with_people(coco[(coco.visible > 0).sum(axis=1) >= 5])
    write_labels(options.out / "coco.json", coco)
    teachers = held_out(options.pool / "pseudo_mediapipe.json", options.pool)
    sure = np.where(teachers.visible >= 0.5, 2, 0).astype(np.float32)
    teachers = replace(teachers, visible=sure)
    teachers = with_people(teachers[(sure > 0).sum(axis=1) >= 5])
    write_labels(options.out / "teachers.json", teachers)

    shards = read_shards(options.synthetic)
    images = {}
    for n in range(SYNTHETIC):
        images[n + 1] = PictureFile(f"synthetic/{n:04d}.jpg", *shards.image(n).shape[1::-1])
        (options.out / images[n + 1].file_name).write_bytes(shards.jpeg(n))
    keypoints, boxes = np.asarray(shards.keypoints[:SYNTHETIC], float), np.asarray(shards.boxes[:SYNTHETIC], float)
    synthetic = Labels(
        ids=np.arange(1, SYNTHETIC + 1),
        image_ids=np.arange(1, SYNTHETIC + 1),
        keypoints=keypoints[..., :2],
        visible=keypoints[..., 2].astype(np.float32),
        boxes=boxes,
        areas=box_areas(boxes),
        iscrowd=np.zeros(SYNTHETIC, bool),
        valid=np.ones((SYNTHETIC, 4), bool),
        images=images,
    )
    write_labels(options.out / "synthetic.json", synthetic)
    for name, labels in (("coco", coco), ("teachers", teachers), ("synthetic", synthetic)):
        print(f"{name}: {len(labels)} people in {len(labels.images)} pictures")


if __name__ == "__main__":
    main()
