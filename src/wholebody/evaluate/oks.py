"""Object keypoint similarity for given boxes, without ranking or matching."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from wholebody.geometry import oks
from wholebody.schema import COCO_WHOLEBODY, Schema


class Labelled(Protocol):
    """A labelled person: keypoints (K, 2) in image pixels, visible (K,), area in square pixels."""

    @property
    def keypoints(self) -> npt.NDArray[np.floating]: ...
    @property
    def visible(self) -> npt.NDArray[np.floating]: ...
    @property
    def area(self) -> float: ...


def part_oks(
    people: Sequence[Labelled],
    predicted: Sequence[npt.NDArray[np.floating]],
    schema: Schema = COCO_WHOLEBODY,
    least: int = 5,
) -> dict[str, float]:
    """Mean OKS of each part over the people with enough labelled points, and of all points.

    For predictions with the labelled boxes, one (K, 2) per person; used for quick validation during training.
    """
    result = {}
    for name, rows in {**schema.parts, "all": slice(0, len(schema))}.items():
        chosen = [
            float(
                oks(
                    p[None, rows],
                    t.keypoints[None, rows],
                    t.visible[None, rows],
                    np.array([t.area]),
                    schema.sigmas[rows],
                )[0, 0]
            )
            for t, p in zip(people, predicted, strict=True)
            if (t.visible[rows] > 0).sum() >= min(least, rows.stop - rows.start - 3)
        ]
        if chosen:
            result[name] = float(np.mean(chosen))
            result[f"{name}_people"] = len(chosen)
    return result
