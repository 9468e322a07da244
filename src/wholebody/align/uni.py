"""Shoulders set the width and the trunk the height, then each limb its length: UniAnimate (Wang et al. 2024)."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from wholebody.align.joints import NECK, JointFrames, bone_ratios, overall, steadied
from wholebody.align.move import Move


def uni(clip: JointFrames, reference: JointFrames, limit: float = 2.0) -> Move:
    """All points times (X, Y), then limb by limb from parent to child, then the neck of the first frame onto the
    reference's.

    X is the ratio of the shoulders' widths, Y that of the heights from mid-shoulder to mid-hip; a limb's factor is the
    ratio of its lengths after that, in pixels. Hips and toes have no factor of their own. The face is scaled and moved
    with the nose.

    Args:
        clip: (T,) frames, the first of which shows the neck. reference: 1 frame.
        limit: for X and Y in relation to the ratio of the two figures' bones, and for each limb after that: shoulders
            seen from the side have next to no width.
    """
    figure = overall(bone_ratios(clip, reference))
    widths = [
        one.joints[0, 5, 0] - one.joints[0, 2, 0] if one.seen[0, [2, 5]].all() else np.nan for one in (reference, clip)
    ]
    if not np.isnan(full := clip.full_length(2, 5)):
        widths[1] = np.copysign(full, widths[1])
    heights = [one.middle(8, 11)[1] - one.middle(2, 5)[1] for one in (reference, clip)]
    xy = np.array([_positive(widths, figure), _positive(heights, figure)])
    xy = np.clip(xy, figure / limit, figure * limit)
    limbs = steadied(bone_ratios(replace(clip, joints=clip.joints * xy), reference), 1.0, limit)
    limbs[[8, 11, 18, 19]] = 1.0
    offset = reference.joints[0, NECK] - xy * clip.joints[0, NECK]
    return Move.of(xy, offset, limbs[:, None] * xy, limbs[[14, 15]].mean() * xy, xy)


def _positive(lengths: Sequence[float], otherwise: float) -> float:
    """The ratio of two signed lengths; `otherwise` if one is unknown or they have opposite signs."""
    above, below = lengths
    quotient = above / below if below else float("nan")
    return quotient if quotient > 0 else otherwise
