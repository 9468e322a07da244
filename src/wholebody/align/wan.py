"""Limbs scaled to the longer side, feet on the reference's ground: the retargeting of Wan2.2-Animate (2025)."""

import numpy as np

from wholebody.align.joints import NECK, PAIRS, JointFrames, bone_ratios, overall, ratio, steadied
from wholebody.align.move import Move, moved_joints
from wholebody.arrays import Doubles, Size

_EYES, _EARS, _FEET = (14, 15), (16, 17), (19, 18)
# Maximum length of a foot relative to its lower leg.
_FOOT = 0.5


def wan(clip: JointFrames, reference: JointFrames, sizes: tuple[Size, Size] | None = None, limit: float = 2.0) -> Move:
    """With s the clip's height over the reference's, nose to ankles, points move by 1/s.

    A limb's factor is the ratio of its lengths in the first frame; unknown ones are the mean of the shoulders'. Both
    sides of shoulders, arms, legs and feet get the larger factor, eyes and ears the mean. Where both show hips and
    ankles, the middle of the hips goes to the reference's x and the lower ankle to its y of mid-foot, halfway from
    ankle to toes; otherwise the neck goes to the neck. Hands are scaled like the shoulders, the face like eyes and
    ears.

    Wan resizes the reference by s to whole pixels, so it measures lengths that are up to a pixel too small.

    Args:
        clip: (T,) frames, the first of which shows the neck. reference: 1 frame.
        sizes: (width, height) of the clip's and the reference's pictures; None for no rounding to whole pixels.
        limit: see `joints.steadied`; it holds for s too.
    """
    figure = overall(bone_ratios(clip, reference))
    s = float(np.clip(_height_ratio(clip, reference, sizes), 1 / (figure * limit), limit / figure))
    if sizes:
        rounded = np.array([int(side * s) / (side * s) for side in sizes[1]])
        rounded = np.where(rounded > 0, rounded, 1)
        reference = JointFrames(reference.joints * rounded, reference.seen, reference.hands, reference.hands_seen)
    move = Move.of(1 / s, 0.0, limbs := _factors(clip, reference, limit), limbs[[14, 16]].mean(), limbs[2])
    first = moved_joints(clip[:1], move, clip.joints[:1, NECK])[1][0]
    target = reference.joints[0]
    whole = all(_is_whole(one, sizes and sizes[n]) for n, one in enumerate((clip, reference)))
    offset = target[NECK] - first[NECK]
    if whole:
        ankles = reference.joints[0, [10, 13], 1]
        toes = target[list(_FEET), 1]
        ground = ((ankles + toes) / 2 if reference.seen[0, list(_FEET)].all() else ankles).max()
        offset = np.array([target[[8, 11], 0].mean() - first[[8, 11], 0].mean(), ground - first[[10, 13], 1].max()])
    return Move.of(1 / s, offset, move.limbs, move.face, move.hands)


def _height_ratio(clip: JointFrames, reference: JointFrames, sizes: tuple[Size, Size] | None) -> float:
    """The clip's height over the reference's: from nose to ankles, else to hips, else by the bones or the pictures."""
    for ends in ((10, 13), (8, 11)):
        if clip.seen[0, [0, *ends]].all() and reference.seen[0, [0, *ends]].all():
            heights = [abs(one.middle(*ends)[1] - one.joints[0, 0, 1]) for one in (clip, reference)]
            if min(heights) > 0:
                return float(heights[0] / heights[1])
    ratios = bone_ratios(clip, reference)
    if np.isfinite(ratios).any() or sizes is None:
        return 1 / overall(ratios)
    return float(np.sqrt(np.prod(sizes[0]) / np.prod(sizes[1])))


def _factors(clip: JointFrames, reference: JointFrames, limit: float) -> Doubles:
    """(20,) factors of the limbs."""
    ratios = bone_ratios(clip, reference)
    figure = overall(ratios)
    shoulders = float(ratios[[2, 5]].mean())
    known = np.where(np.isnan(ratios), figure if np.isnan(shoulders) else shoulders, ratios)
    for pair in PAIRS:
        both = known[list(pair)]
        known[list(pair)] = both.mean() if pair in (_EYES, _EARS) else both.max()
    known = steadied(known, figure, limit)
    for foot, ankle in zip(_FEET, (10, 13), strict=True):
        longest = _FOOT * known[ankle] * ratio(clip.length(ankle, ankle - 1), clip.length(ankle, foot))
        known[foot] = np.fmin(known[foot], longest)
    return known


def _is_whole(figure: JointFrames, size: Size | None) -> bool:
    """Whether hips and ankles are visible, above the lower edge of the picture."""
    ends = [8, 11, 10, 13]
    inside = size is None or bool((figure.joints[0, ends, 1] <= size[1]).all())
    return bool(figure.seen[0, ends].all()) and inside
