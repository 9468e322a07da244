"""The people held out from every training, for tables that compare networks."""

from pathlib import Path

import numpy as np

from wholebody.arrays import Image
from wholebody.train.data.crops import pool_people
from wholebody.train.data.people import PersonFile, ShardedPeople, read_coco_wholebody
from wholebody.train.data.pool import read_pool

# The three kinds of people, and their names in tables.
HELD_OUT = {
    "COCO": "photos, COCO's labels",
    "teachers": "photos, agreement with MediaPipe and MoveNet",
    "synthetic": "synthetic people, exact labels",
}

# Kinds and parts that have a column in the tables.
COLUMNS = (
    ("COCO", "body"),
    ("teachers", "body"),
    ("teachers", "left_hand"),
    ("teachers", "right_hand"),
    ("teachers", "all"),
    ("synthetic", "body"),
    ("synthetic", "all"),
)


def held_out_coco(pool: Path) -> list[PersonFile]:
    """The people in held-out COCO photos with at least five labelled points."""
    held = {photo.file for photo in read_pool(pool) if photo.held_out}
    people = read_coco_wholebody(pool / "labels_coco.json", pool, lambda image: image["file_name"] in held)
    return [person for person in people if (person.visible > 0).sum() >= 5]


def held_out_people(pool: Path, synthetic: Path) -> dict[str, list[tuple[PersonFile, Image]]]:
    """The three kinds of people, each with its picture."""
    coco = held_out_coco(pool)
    teachers = [person for group in pool_people(pool, held_out=True).values() for person in group]
    sets = {name: [(p, p.load().pixels()) for p in people] for name, people in (("COCO", coco), ("teachers", teachers))}
    sets["synthetic"], shards = [], ShardedPeople(synthetic)
    for sample in map(shards.__getitem__, range(len(shards))):
        area = float(np.prod(sample.box[2:] - sample.box[:2]))
        person = PersonFile(Path(sample.source), sample.keypoints, sample.visible, sample.box, area)
        sets["synthetic"].append((person, sample.pixels()))
    return sets
