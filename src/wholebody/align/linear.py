"""One scale and offset for the whole clip, by least squares: the alignment of MimicMotion (Zhang et al. 2024)."""

import numpy as np

from wholebody.align.joints import JOINTS, JointFrames, bone_ratios, overall
from wholebody.align.move import Move

# Nose, neck, shoulders, hips, legs, eyes and ears, which move least in a dance. Elbows, wrists and toes are excluded.
STEADY = (0, 1, 2, 5, *range(8, 18))


def linear(clip: JointFrames, reference: JointFrames, limit: float = 2.0) -> Move:
    """Maps pixels p of the clip to a * p + b.

    a and b_y minimise the squares of a * y + b_y - y_ref over the STEADY joints of all frames; b_x is the mean of
    x_ref - a * x. The proportions of the clip are preserved.

    Args:
        clip: (T,) frames. reference: 1 frame.
        limit: a may be this many times larger or smaller than the ratio of the two figures' bones: a person who bends
            down has few heights to fit.
    """
    joints = [joint for joint in STEADY if reference.seen[0, joint]]
    seen = clip.seen[:, joints]
    p = clip.joints[:, joints][seen]
    q = np.broadcast_to(reference.joints[0, joints], (len(clip), len(joints), 2))[seen]
    figure = overall(bone_ratios(clip, reference))
    spread = p[:, 1] - p[:, 1].mean() if len(p) else np.zeros(0)
    variance = float(spread @ spread)
    a = float(spread @ q[:, 1]) / variance if variance > 0 else figure
    a = float(np.clip(a, figure / limit, figure * limit))
    b = (q - a * p).mean(axis=0) if len(p) else np.zeros(2)
    return Move.of(a, b, np.full(len(JOINTS), a), a, a)
