"""Keypoints by agreement: fuse several predictions ("opinions") for the same people, with a confidence.

The agreement of two opinions on a point is its OKS (geometry.oks): exp(-d^2 / (2 s^2 k^2)), with s^2 the area of the
person's box. The opinion with the most agreement wins and is averaged with those that agree; its confidence is the
agreement relative to the maximum possible. Human labels outweigh networks, except where all networks disagree:
annotators misclick, and swap left and right.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from wholebody.arrays import Doubles
from wholebody.geometry import box_areas
from wholebody.label.looks import K, Opinion
from wholebody.schema import COCO_WHOLEBODY

# Our row of each of LSP's 14 joints (Johnson and Everingham 2010); we have no neck and no top of the head.
LSP_14 = np.array([16, 14, 12, 11, 13, 15, 10, 8, 6, 5, 7, 9, -1, -1])
# Annotators differ more from networks than from each other.
_LOOSE = 1.5
# Lower scores are ignored.
_LEAST = 0.05


def agreement(one: Doubles, other: Doubles, boxes: Doubles) -> Doubles:
    """(N, 133) agreement of two opinions on each point, 1 at the same place; keypoints (N, 133, 2), boxes (N, 4)."""
    deviations = 2 * _LOOSE * COCO_WHOLEBODY.sigmas
    squared = ((one - other) ** 2).sum(axis=2)
    near: Doubles = np.exp(-squared / (2 * deviations**2 * np.maximum(box_areas(boxes), 1)[:, None]))
    return near


def fuse(opinions: Sequence[Opinion], boxes: Doubles, weights: Sequence[float] | None = None) -> Opinion:
    """Fuse several opinions on the same N people into one.

    An opinion with score 0 for a point has no vote on it.

    Args:
        opinions: at least one.
        boxes: (N, 4) xyxy.
        weights: weight of each; None for equal weights.
    """
    points = np.stack([each.keypoints for each in opinions])  # (D, N, 133, 2)
    says = np.stack([np.where(each.scores > _LEAST, each.scores, 0) for each in opinions])
    belief = np.ones(len(opinions)) if weights is None else np.asarray(weights, np.float64)
    knows = belief[:, None, None] * (says > 0)
    near = np.stack([np.stack([agreement(one, other, boxes) for other in points]) for one in points])
    votes = near * (belief[:, None, None] * says)[None]  # (D, D, N, 133): how much each supports each
    support = votes.sum(axis=1) * (says > 0)
    best = support.argmax(axis=0)[None, None]
    backing = np.take_along_axis(votes, best, axis=0)[0]  # (D, N, 133)
    total = backing.sum(axis=0)
    mean = (backing[..., None] * points).sum(axis=0) / np.maximum(total, 1e-12)[..., None]
    return Opinion(mean, np.clip(total / np.maximum(knows.sum(axis=0), 1e-12), 0, 1))


def with_people(said: Opinion, human: Opinion, boxes: Doubles) -> Opinion:
    """Keep human labels where they exist (scores above 0), except those that the networks confidently contradict.

    A human label counts less the more confident the networks are of another position. If most of a person's labels fit
    the networks better with left and right swapped, they are swapped.
    """
    flip = COCO_WHOLEBODY.flip
    keypoints, scores = human.keypoints.copy(), human.scores.copy()
    straight = agreement(keypoints, said.keypoints, boxes) * said.scores * (scores > 0)
    crossed = agreement(keypoints[:, flip], said.keypoints, boxes) * said.scores * (scores[:, flip] > 0)
    swapped = crossed.sum(axis=1) > 1.5 * straight.sum(axis=1) + 0.5
    keypoints[swapped], scores[swapped] = keypoints[swapped][:, flip], scores[swapped][:, flip]
    doubt = said.scores * (1 - agreement(keypoints, said.keypoints, boxes))
    trust = scores * np.clip(1 - 1.2 * np.maximum(doubt - 0.2, 0), 0.1, 1)
    labelled = scores > 0
    return Opinion(
        np.where(labelled[..., None], keypoints, said.keypoints),
        np.where(labelled, np.maximum(trust, 0.1), said.scores),
    )


def from_rows(points: npt.ArrayLike, rows: npt.NDArray[np.int64], hidden: float = 0.4) -> Opinion:
    """Human labels in another keypoint set as an opinion.

    Args:
        points: (N, M, 3) x, y and 1 for visible, 0 for not.
        rows: (M,) our row of each, -1 for none (`LSP_14`, `annotations.HALPE_136`).
        hidden: confidence of points that are not visible.
    """
    labels = np.asarray(points, np.float64)
    out = Opinion(np.zeros((len(labels), K, 2)), np.zeros((len(labels), K)))
    kept = rows >= 0
    out.keypoints[:, rows[kept]] = labels[:, kept, :2]
    out.scores[:, rows[kept]] = np.where(labels[:, kept, 2] > 0, 1.0, hidden)
    return out
