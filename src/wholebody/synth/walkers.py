"""Stick figures of 133 keypoints that walk along known paths, to measure tracking and smoothing with."""

import numpy as np
import numpy.typing as npt

from wholebody.arrays import Doubles
from wholebody.poses import Poses
from wholebody.schema import COCO_WHOLEBODY, HAND_EDGES

# Nose, eyes, ears, shoulders, elbows, wrists, hips, knees, ankles, feet in fractions of a standing person's box.
BODY = (
    (.50, .09), (.53, .07), (.47, .07), (.57, .08), (.43, .08), (.65, .19), (.35, .19), (.75, .32), (.25, .32),
    (.80, .44), (.20, .44), (.60, .49), (.40, .49), (.61, .70), (.39, .70), (.62, .90), (.38, .90),
    (.66, .98), (.70, .97), (.61, .94), (.34, .98), (.30, .97), (.39, .94),
)  # fmt: skip


def _unit() -> Doubles:
    """(133, 2) a person in a box from 0 to 1."""
    points = np.zeros((len(COCO_WHOLEBODY), 2))
    points[:23] = BODY
    turn = np.linspace(0, 2 * np.pi, 68)
    points[23:91] = np.stack([0.5 + 0.09 * np.cos(turn), 0.1 + 0.07 * np.sin(turn)], axis=-1)
    for root, wrist, side in ((91, 9, 1), (112, 10, -1)):
        points[root] = BODY[wrist]
        for i, (_, tip) in enumerate(HAND_EDGES):
            finger, joint = divmod(i, 4)
            points[root + tip] = points[root] + (0.012 * (finger - 2) * (joint + 1) * side, 0.015 * (joint + 1))
    return points


UNIT = _unit()


def person(x: float, y: float = 100.0, height: float = 200.0, stride: float = 0.0) -> Doubles:
    """(133, 2) keypoints of someone whose box is centred at x and starts at y; `stride` swings arms and legs."""
    points = UNIT.copy()
    swing = 0.12 * np.sin(stride)
    for rows, sign in (
        ((7, 9, *range(91, 112), 14, 16, 20, 21, 22), 1),
        ((8, 10, *range(112, 133), 13, 15, 17, 18, 19), -1),
    ):
        points[list(rows), 0] += sign * swing
    return points * (height * 0.4, height) + (x - height * 0.2, y)


def seen(people: npt.ArrayLike, scores: npt.ArrayLike = 0.9, noise: float = 0.0, seed: int = 0) -> Poses:
    """Poses of (N, 133, 2) keypoints, with Gaussian `noise` in pixels; scores a number or (N,)."""
    points = np.asarray(people, np.float64).reshape(-1, 133, 2)
    points = points + np.random.RandomState(seed).normal(0, noise, points.shape) if noise else points
    boxes = np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1) if len(points) else np.zeros((0, 4))
    each = np.broadcast_to(np.asarray(scores, np.float64).reshape(-1, 1), (len(points), 133))
    return Poses(
        points.astype(np.float32),
        each.astype(np.float32),
        boxes.astype(np.float32),
        np.ones(len(points), np.float32),
    )
