"""What the int8 variants are calibrated on: crops and photos of a pool's training side, never of the held-out one."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from wholebody.arrays import Image
from wholebody.geometry import Crop
from wholebody.pose.detect import letterbox
from wholebody.train.data.crops import pool_people
from wholebody.train.data.pool import read_pool


def crops(pool: Path, size: tuple[int, int], count: int) -> Iterator[Image]:
    """(h, w, 3) crops of people of training photos, of `size` (w, h), as the pose network gets them."""
    people = [person for group in pool_people(pool, held_out=False).values() for person in group]
    for row in np.random.default_rng(0).permutation(len(people))[:count]:
        sample = people[row].load()
        yield Crop.from_box(sample.box, size).cut(sample.image)


def canvases(pool: Path, size: tuple[int, int], count: int) -> Iterator[Image]:
    """(h, w, 3) training photos, of `size` (w, h), as the detector gets them."""
    photos = [photo for photo in read_pool(pool) if not photo.held_out]
    for row in np.random.default_rng(0).permutation(len(photos))[:count]:
        yield letterbox(cv2.imread(str(pool / photos[row].file)), size)[0]
