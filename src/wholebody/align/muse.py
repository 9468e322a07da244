"""Limb by limb, equally on left and right, relative to the neck: the alignment of MusePose (Tong et al. 2024)."""

import numpy as np

from wholebody.align.joints import NECK, JointFrames, bone_ratios, overall, ratio, steadied
from wholebody.align.move import Move
from wholebody.arrays import Doubles

# Joints that share a factor, each the mean of the ratios of their bones.
_SHARED = ((3, 6), (4, 7), (9, 12), (10, 13))
_KNUCKLES = [1, 5, 9, 13, 17]
_WRISTS = (7, 4)


def muse(
    clip: JointFrames, reference: JointFrames, heights: tuple[float, float] | None = None, limit: float = 2.0
) -> Move:
    """Factors are ratios of lengths in the clip's first frame: neck |0-1|, face |16-17|, shoulders |2-5|, upper arms,
    lower arms, upper legs, lower legs, and the trunk |1-mid(8,11)| for the hips.

    A hand is scaled by the mean of three factors: wrist to knuckles, upper arm and lower arm. The neck starts at its
        position in the reference and moves relative to the height of the picture.

    Args:
        clip: (T,) frames, the first of which shows the neck. reference: 1 frame.
        heights: of the clip's and the reference's pictures in pixels; None for equal ones.
        limit: see `joints.steadied`.
    """
    zoom = heights[1] / heights[0] if heights else 1.0
    ratios = bone_ratios(clip, reference)
    for pair in _SHARED:
        ratios[list(pair)] = _mean(ratios[list(pair)])
    ratios[[2, 5]] = ratio(reference.length(2, 5), clip.length(2, 5))
    trunks = [np.hypot(*(one.joints[0, NECK] - one.middle(8, 11))) for one in (reference, clip)]
    ratios[[8, 11]] = ratio(*trunks)
    ratios[[14, 15, 16, 17]] = ratio(reference.length(16, 17), clip.length(16, 17))
    hand = _mean(np.array([_mean(knuckle_ratios(clip, reference)), ratios[4], ratios[3]]))
    figure = overall(ratios)
    limbs = steadied(ratios, figure, limit)
    hand = float(np.clip(limbs[4] if np.isnan(hand) else hand, figure / limit, figure * limit))
    offset = reference.joints[0, NECK] - zoom * clip.joints[0, NECK]
    return Move.of(zoom, offset, limbs, limbs[16], hand)


def knuckle_ratios(clip: JointFrames, reference: JointFrames) -> Doubles:
    """(2, 5) ratios of the distances from wrist to knuckles, left hand first; NaN if not seen in both."""
    lengths = []
    for one in (reference, clip):
        spans = np.hypot(*np.moveaxis(one.hands[0][:, _KNUCKLES] - one.joints[0, list(_WRISTS)][:, None], -1, 0))
        seen = one.hands_seen[0][:, _KNUCKLES] & one.seen[0, list(_WRISTS)][:, None] & (spans > 0)
        lengths.append(np.where(seen, spans, np.nan))
    quotient: Doubles = lengths[0] / lengths[1]
    return quotient


def _mean(values: Doubles) -> float:
    """The mean of the known values; NaN if there are none."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")
