"""Rotating pictures before detection: handstands, ceiling cameras, a phone held sideways.

    found = Turned(model, 180)("handstand.jpg")        # poses in pixels of the original picture
    found = Turned(model, "auto")("handstand.jpg")     # the best of the four rotations

The networks have rarely seen people upside down. Turned upright, more people are found, with higher scores.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from wholebody.arrays import Floats, Image
from wholebody.images import as_image
from wholebody.poses import Poses
from wholebody.wholebody import WholeBody

Turn = Literal[0, 90, 180, 270]
TURNS: tuple[Turn, ...] = (0, 90, 180, 270)


def turned(image: Image, degrees: Turn) -> Image:
    """(H, W, 3) rotated clockwise, without interpolation."""
    return image if degrees == 0 else np.ascontiguousarray(np.rot90(image, -degrees // 90))


def turned_back(poses: Poses, degrees: Turn, size: tuple[int, int]) -> Poses:
    """Map people found on a picture rotated by `degrees` back to the original of `size` (width, height)."""
    if degrees == 0:
        return poses
    width, height = size
    # Boxes span between pixel edges, keypoints are at pixel centres.
    points = _back(poses.keypoints, degrees, (width - 1, height - 1))
    corners = _back(poses.boxes.reshape(-1, 2, 2), degrees, size)
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=-1)
    return replace(poses, keypoints=points, boxes=boxes)


def _back(points: Floats, degrees: Turn, size: tuple[int, int]) -> Floats:
    x, y = points[..., 0], points[..., 1]
    width, height = size
    return np.stack({90: (y, height - x), 180: (width - x, height - y), 270: (width - y, x)}[degrees], axis=-1)


def sureness(poses: Poses) -> float:
    """How well people were found: the sum of everyone's mean score, of the body if there is one."""
    return float(poses.scores[:, poses.schema.body].mean(axis=1).sum()) if len(poses) else 0.0


def surest(model: WholeBody, images: Sequence[Image]) -> Turn:
    """The rotation at which people are found best over these pictures; the smallest if two are equal."""
    totals = [sum(map(sureness, model.images([turned(image, turn) for image in images]))) for turn in TURNS]
    return TURNS[int(np.argmax(totals))]


@dataclass(frozen=True, eq=False)
class Turned:
    """A `WholeBody` that rotates pictures first, and maps its poses back.

    Attributes:
        model: finds people. turn: degrees clockwise, or "auto" to try all four on each picture, which takes four times
            as long.
    """

    model: WholeBody
    turn: Turn | Literal["auto"] = "auto"

    def __call__(self, image: Any, *, rgb: bool = False) -> Poses:
        """Everyone in one picture (any kind that `WholeBody` takes), in its pixels."""
        return self.images([image], rgb=rgb)[0]

    def images(self, images: Sequence[Any], *, rgb: bool = False) -> list[Poses]:
        """Everyone in each of several pictures."""
        pictures = [as_image(image, rgb=rgb) for image in images]
        turns = TURNS if self.turn == "auto" else (self.turn,)
        found = [self.model.images([turned(image, turn) for image in pictures]) for turn in turns]
        best = []
        for image, *each in zip(pictures, *found, strict=True):
            n = int(np.argmax([sureness(poses) for poses in each]))
            best.append(turned_back(each[n], turns[n], (image.shape[1], image.shape[0])))
        return best
