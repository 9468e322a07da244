"""OpenPose's result types, shared by controlnet_aux and rtmlib."""

from typing import NamedTuple


class Keypoint(NamedTuple):
    """A point: in fractions of the picture in controlnet_aux, as given in rtmlib."""

    x: float
    y: float
    score: float = 1.0
    id: int = -1


class BodyResult(NamedTuple):
    """OpenPose's 18 points, None if missing; and the sum of their scores.

    `total_parts` is the number of points found in controlnet_aux, and always 18 in rtmlib.
    """

    keypoints: list[Keypoint | None]
    total_score: float = 0.0
    total_parts: int = 0
