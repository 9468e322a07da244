"""DWPOSES, from which the ComfyUI nodes for SCAIL draw faces and hands."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from wholebody.poses import Poses
from wholebody.schema import OPENPOSE


def dwposes(frames: Sequence[Poses], sizes: Sequence[tuple[int, int]], *, threshold: float = 0.3) -> dict[str, Any]:
    """The people of each frame, with coordinates in fractions of the picture.

    Args:
        frames: people in any schema that converts to OPENPOSE.
        sizes: (width, height), one per picture or one for all.
        threshold: `subset` is -1 for a joint of the body with no higher score.

    Returns:
        {"poses": a dict for each frame, "swap_hands": False}. For N people the dict has bodies.candidate (N, 18, 2),
        bodies.subset (N, 18) with the joint's number or -1, hands (2 N, 21, 2), left and right of the first person and
        so on, faces (N, 70, 2), and body_score (N, 18), hand_score (2 N, 21), face_score (N, 70); all float32.
    """
    each = list(sizes) * len(frames) if len(sizes) == 1 else list(sizes)
    poses = [_frame(poses, size, threshold) for poses, size in zip(frames, each, strict=True)]
    return {"poses": poses, "swap_hands": False}


def _frame(poses: Poses, size: tuple[int, int], threshold: float) -> dict[str, Any]:
    people = poses.to(OPENPOSE)
    n, body, face = len(people), OPENPOSE.parts["body"], OPENPOSE.parts["face"]
    hands = slice(OPENPOSE.parts["left_hand"].start, OPENPOSE.parts["right_hand"].stop)
    fractions = (people.keypoints / np.asarray(size, np.float32)).astype(np.float32)
    scores = people.scores
    subset = np.where(scores[:, body] > threshold, np.arange(18, dtype=np.float32), np.float32(-1))
    return {
        "bodies": {"candidate": fractions[:, body], "subset": subset},
        "hands": fractions[:, hands].reshape(2 * n, 21, 2),
        "faces": fractions[:, face],
        "body_score": scores[:, body],
        "hand_score": scores[:, hands].reshape(2 * n, 21),
        "face_score": scores[:, face],
    }
