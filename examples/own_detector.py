"""Use your own person detector: any object with `images`. This one finds what moves between two frames.

python examples/own_detector.py clip.mp4
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from wholebody import WholeBody, read_video


class Moving:
    """The extent of what differs from the first frame."""

    def __init__(self, ground: np.ndarray) -> None:
        self.ground = ground

    def images(self, images: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
        return [self._one(image) for image in images]

    def _one(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        changed = cv2.blur(cv2.absdiff(image, self.ground).max(axis=2), (9, 9)) > 40
        ys, xs = np.nonzero(changed)
        if len(xs) < 50:
            return np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
        box = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]  # x0, y0, x1, y1 in pixels
        return np.array([box], np.float32), np.ones(1, np.float32)


if len(sys.argv) != 2:
    sys.exit(f"usage: {__doc__.splitlines()[2]}")
if not Path(sys.argv[1]).exists():
    sys.exit(f"{sys.argv[1]}: no such file")
frames = list(read_video(sys.argv[1]))
poses = WholeBody("fast", detector=Moving(frames[0].image))(frames[-1].image)
print(f"{len(poses)} moving, {(poses.scores > 0.3).sum()} of their points above 0.3")
