"""The int8 variants of the bundled pose networks, next to them: pose.int8.onnx for pose.onnx.

    python runs/precision/quantise.py POOL [--models wholebody-133 other.onnx] [--pictures 512]

Run this again whenever a bundled network is replaced; `evaluate.py` then measures the loss and the speed. The bundled
detector has no int8 variant, because it would lose too much (docs/video.md). Needs onnx and the train extra, whose
`pool` selects the photos for training.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console

from wholebody.arrays import Image
from wholebody.export.quantise import quantise
from wholebody.geometry import Crop
from wholebody.pose.detect import letterbox
from wholebody.runtime.choose import open_session
from wholebody.runtime.session import input_size, int8_file, notes
from wholebody.train.data.crops import pool_people
from wholebody.train.data.pool import read_pool
from wholebody.weights.lookup import locate
from wholebody.weights.manifest import MANIFEST

POSE_NETWORKS = [name for name, weights in MANIFEST.items() if weights.bundled and weights.kind == "pose"]


def crops(pool: Path, size: tuple[int, int], count: int) -> Iterator[Image]:
    """(h, w, 3) crops of people of training photos, of `size` (w, h), as the pose network gets them."""
    people = [person for group in pool_people(pool, held_out=False).values() for person in group]
    for row in np.random.default_rng(0).permutation(len(people))[:count]:
        sample = people[row].load()
        yield Crop.from_box(sample.box, size).cut(sample.pixels())


def canvases(pool: Path, size: tuple[int, int], count: int) -> Iterator[Image]:
    """(h, w, 3) training photos, of `size` (w, h), as the detector gets them."""
    photos = [photo for photo in read_pool(pool) if not photo.held_out]
    for row in np.random.default_rng(0).permutation(len(photos))[:count]:
        yield letterbox(cv2.imread(str(pool / photos[row].file)), size)[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pool", type=Path)
    parser.add_argument("--models", nargs="+", default=POSE_NETWORKS)
    parser.add_argument("--pictures", type=int, default=512)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    console = Console(width=140)
    for name in options.models:
        path = locate(MANIFEST[name]) if name in MANIFEST else Path(name)
        session = open_session(path, "cpu", 1)
        seen = canvases if notes(session).get("kind") == "detector" else crops
        kept = quantise(path, int8_file(path), seen(options.pool, input_size(session), options.pictures))
        size = int8_file(path).stat().st_size / 1e6
        console.print(f"{int8_file(path).name}: {size:.2f} MB, beside {path.stat().st_size / 1e6:.2f} MB in float;")
        console.print(f"  with weights in float: {', '.join(kept)}", highlight=False)


if __name__ == "__main__":
    main()
