"""Made-up people for trainings: noise with random points, as tar shards."""

import io
import json
import tarfile
from pathlib import Path

import cv2
import numpy as np


def person(seed: int) -> tuple[np.ndarray, dict]:
    rng = np.random.default_rng(seed)
    points = np.column_stack([rng.uniform(20, 80, 133), rng.uniform(20, 140, 133), rng.integers(0, 3, 133)])
    image = cv2.resize(rng.integers(0, 256, (10, 8, 3), dtype=np.uint8), (100, 160))
    return image, {"keypoints": points.tolist(), "box": [10, 10, 90, 150]}


def shards_of_people(folder: Path, count: int = 6) -> Path:
    with tarfile.open(folder / "00000.tar", "w") as archive:
        for i in range(count):
            image, label = person(i)
            parts = (("jpg", cv2.imencode(".jpg", image)[1].tobytes()), ("json", json.dumps(label).encode()))
            for suffix, content in parts:
                member = tarfile.TarInfo(f"{i:06}.{suffix}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return folder
