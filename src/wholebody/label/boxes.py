"""One box per person from several detectors: weighted boxes fusion (Solovyev et al. 2021,
https://arxiv.org/abs/1910.13302), with their agreement as the score.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wholebody.arrays import Doubles
from wholebody.geometry import iou


@dataclass(frozen=True, eq=False)
class Fused:
    """The people in one picture by agreement, highest score first.

    Attributes:
        boxes: (N, 4) xyxy pixels, means of the detectors' boxes, weighted by their scores.
        scores: (N,) weighted means of the detectors' scores; a detector that missed the person counts as 0.
        votes: (N, D) score of each detector, 0 if it missed the person.
    """

    boxes: Doubles
    scores: Doubles
    votes: Doubles


def fuse(
    detections: Sequence[tuple[npt.ArrayLike, npt.ArrayLike]],
    weights: Sequence[float] | None = None,
    overlap: float = 0.55,
) -> Fused:
    """Boxes of several detectors -> one for each person.

    From the highest score down, a box is assigned to the person whose mean box it overlaps most, if the overlap exceeds
    `overlap`, and otherwise starts a new person. A detector has one vote per person; its other boxes for the same
    person are dropped.

    Args:
        detections: of each of D detectors, boxes (n, 4) xyxy pixels and box_scores (n,) within 0 and 1.
        weights: (D,) weight of each detector; None for equal weights.
        overlap: intersection over union.
    """
    count = len(detections)
    belief = np.ones(count) if weights is None else np.asarray(weights, np.float64)
    rows = [
        (float(score), d, np.asarray(box, np.float64))
        for d, (boxes, scores) in enumerate(detections)
        for box, score in zip(np.reshape(boxes, (-1, 4)), np.ravel(scores), strict=True)
    ]
    rows.sort(key=lambda row: -row[0] * belief[row[1]])
    means, sums, votes = np.zeros((len(rows), 4)), np.zeros((len(rows), 4)), np.zeros((len(rows), count))
    people = 0
    for score, d, box in rows:
        share = iou(box[None], means[:people])[0]
        best = int(share.argmax()) if people else 0
        if people == 0 or share[best] <= overlap:
            best, people = people, people + 1
        elif votes[best, d] > 0:
            continue
        votes[best, d] = score
        sums[best] += belief[d] * score * box
        means[best] = sums[best] / max(float(votes[best] @ belief), 1e-12)
    votes, means = votes[:people], means[:people]
    scores = votes @ belief / max(float(belief.sum()), 1e-12)
    order = np.argsort(-scores, kind="stable")
    return Fused(means[order], scores[order], votes[order])
