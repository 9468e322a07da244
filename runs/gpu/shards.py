"""Random data for checking a machine: noise with random points, as tar shards.

python runs/gpu/shards.py FOLDER COUNT
"""

import io
import json
import sys
import tarfile
from pathlib import Path

import cv2
import numpy as np


def main() -> None:
    folder, count = Path(sys.argv[1]), int(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(folder / "00000.tar", "w") as archive:
        for i in range(count):
            rng = np.random.default_rng(i)
            points = np.column_stack([rng.uniform(100, 380, 133), rng.uniform(60, 580, 133), np.full(133, 2)])
            picture = cv2.resize(rng.integers(0, 256, (40, 30, 3), dtype=np.uint8), (480, 640))
            label = json.dumps({"keypoints": points.tolist(), "box": [90, 50, 390, 590]}).encode()
            for suffix, content in (("jpg", cv2.imencode(".jpg", picture)[1].tobytes()), ("json", label)):
                member = tarfile.TarInfo(f"{i:06}.{suffix}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))


if __name__ == "__main__":
    main()
