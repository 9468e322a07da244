"""Simple people who walk: whole-body poses along known paths, for tests of tracking and smoothing."""

import cv2
import numpy as np

from networks import BLUE, Stub, blue_detector, notes, tensor
from wholebody.pose.detect import YOLOX
from wholebody.pose.topdown import TopDown
from wholebody.poses import Poses
from wholebody.schema import COCO_WHOLEBODY, HAND_EDGES
from wholebody.wholebody import WholeBody

# Nose, eyes, ears, shoulders, elbows, wrists, hips, knees, ankles, feet in fractions of a standing person's box.
BODY = (
    (.50, .09), (.53, .07), (.47, .07), (.57, .08), (.43, .08), (.65, .19), (.35, .19), (.75, .32), (.25, .32),
    (.80, .44), (.20, .44), (.60, .49), (.40, .49), (.61, .70), (.39, .70), (.62, .90), (.38, .90),
    (.66, .98), (.70, .97), (.61, .94), (.34, .98), (.30, .97), (.39, .94),
)  # fmt: skip


def unit():
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


UNIT = unit()


def person(x, y=100.0, height=200.0, stride=0.0):
    """(133, 2) keypoints of someone whose box is centred at x and starts at y; `stride` swings arms and legs."""
    points = UNIT.copy()
    swing = 0.12 * np.sin(stride)
    for rows, sign in (
        ((7, 9, *range(91, 112), 14, 16, 20, 21, 22), 1),
        ((8, 10, *range(112, 133), 13, 15, 17, 18, 19), -1),
    ):
        points[list(rows), 0] += sign * swing
    return points * (height * 0.4, height) + (x - height * 0.2, y)


def seen(people, scores=0.9, noise=0.0, seed=0):
    """Poses of (N, 133, 2) keypoints; scores a number or (N,)."""
    people = np.asarray(people, np.float64).reshape(-1, 133, 2)
    people = people + np.random.RandomState(seed).normal(0, noise, people.shape) if noise else people
    boxes = np.concatenate([people.min(axis=1), people.max(axis=1)], axis=1) if len(people) else np.zeros((0, 4))
    each = np.broadcast_to(np.asarray(scores, np.float64).reshape(-1, 1), (len(people), 133))
    return Poses(people, each, boxes, np.ones(len(people), np.float32))


# --- Pictures of them, and networks that see them ---------------------------------------------------------------------


def picture(boxes, size=(320, 240), shade=20):
    """A dark BGR picture of size (w, h) with a blue rectangle for each box."""
    image = np.full((size[1], size[0], 3), shade, np.uint8)
    for x0, y0, x1, y1 in np.rint(np.asarray(boxes)).astype(int).reshape(-1, 4):
        image[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] = BLUE
    return image


def unit_pose(size=(48, 64)):
    """A pose network that sees a person standing in the blue of its crop's middle; scores are low where none is."""
    w, h = size

    def estimate(batch):
        keypoints, scores = np.zeros((len(batch), 133, 2), np.float32), np.full((len(batch), 133), 0.05, np.float32)
        for n, crop in enumerate(batch):
            blue = (crop[..., 0] > 150) & (crop[..., 1:].max(axis=2) < 110)
            count, labels = cv2.connectedComponents(blue.astype(np.uint8), connectivity=4)
            middle = labels[h // 4 : 3 * h // 4, w // 4 : 3 * w // 4]
            if count > 1 and (middle > 0).any():
                y, x = np.nonzero(labels == np.bincount(middle[middle > 0]).argmax())
                corner, sides = (x.min(), y.min()), (np.ptp(x) + 1, np.ptp(y) + 1)
                keypoints[n], scores[n] = UNIT * sides + corner, 0.9
        return {"keypoints": keypoints, "scores": scores}

    points = (tensor("keypoints", None, 133, 2), tensor("scores", None, 133))
    taken = (tensor("crops", None, h, w, 3, dtype="uint8"),)
    about = notes(kind="pose", input_size=size, schema="coco_wholebody", split_ratio=2.0)
    return Stub(taken, points, estimate, about)


def model(**options):
    """`WholeBody` of both: it finds blue rectangles, each a standing person."""
    return WholeBody(TopDown(unit_pose()), YOLOX(blue_detector()), **options)
