"""OpenPose's results as controlnet_aux and rtmlib both name them."""

from typing import NamedTuple


class Keypoint(NamedTuple):
    """A point, in the units of whoever gives it: fractions of the picture in controlnet_aux, as given in rtmlib."""

    x: float
    y: float
    score: float = 1.0
    id: int = -1


class BodyResult(NamedTuple):
    """OpenPose's 18 points, None where one is missing; the sum of their scores.

    `total_parts` is how many there are in controlnet_aux, always 18 in rtmlib.
    """

    keypoints: list[Keypoint | None]
    total_score: float = 0.0
    total_parts: int = 0
