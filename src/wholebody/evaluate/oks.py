"""Object keypoint similarity and PCK for given boxes, without ranking or matching."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from wholebody.arrays import Doubles
from wholebody.codec import SimCC
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


def accuracy(
    logits: tuple[npt.NDArray[np.floating], npt.NDArray[np.floating]],
    labels: tuple[npt.NDArray[np.floating], npt.NDArray[np.floating]],
    mask: npt.NDArray[np.generic],
    codec: SimCC,
    threshold: float = 0.05,
) -> tuple[Doubles, float]:
    """Fraction of people whose keypoint is within `threshold` of the label: `acc_pose` of the released training log.

    As there, the distance along x is counted in input heights and along y in input widths.

    Args:
        logits, labels: x (N, K, X) and y (N, K, Y). mask: (N, K), the points that count.

    Returns:
        (K,) accuracy per keypoint, -1 if nobody has it, and the mean over the others.
    """
    found, wanted = codec.decode(*logits)[0], codec.decode(*labels)[0]
    distance = np.linalg.norm((found - wanted) / codec.input_size[::-1], axis=-1)
    counts = np.asarray(mask) > 0
    hits = ((distance < threshold) & counts).sum(axis=0)
    people = counts.sum(axis=0)
    per_point = np.where(people > 0, hits / np.maximum(people, 1), -1.0)
    there = per_point >= 0
    return per_point, float(per_point[there].mean()) if there.any() else 0.0
