"""The map that Wan2.2-Animate was trained on ("aapose v2"): twenty joints with toes, thin sticks, hands, no face."""

import cv2
import numpy as np
import numpy.typing as npt

from wholebody.align.joints import BONES, JOINTS, joint_rows
from wholebody.arrays import Floats, Image
from wholebody.draw import FINGER_COLORS, JOINT_COLORS, Color, dark, dots, drawable, sticks
from wholebody.poses import Poses
from wholebody.schema import HAND_EDGES

# BGR. The first seventeen sticks have OpenPose's colours, and so have the first eighteen dots.
_STICK_COLORS: tuple[Color, ...] = (*JOINT_COLORS[:17], (85, 0, 255), (0, 200, 200))
_DOT_COLORS: tuple[Color, ...] = (*JOINT_COLORS, (0, 200, 200), (0, 100, 100))
_FINGERTIP: Color = (255, 0, 0)
_HEAD = [0, 14, 15, 16, 17]


def aapose(canvas: Image, poses: Poses, *, hands: bool = True, head: bool = True, threshold: float = 0.5) -> Image:
    """Draw people like Wan-Animate's preprocessing.

    The width of a stick and the radius of a dot are the shorter side divided by 200, minus 1, but at least 1; for hands
    they are half of that. A joint that is the mean of two points, such as the neck, has the mean of their scores.

    Args:
        canvas: (H, W, 3) uint8 BGR, black for the model.
        poses: people in pixels of the canvas, in any schema with an OpenPose body; without feet no toes are drawn.
        hands: draw them. head: nose, eyes and ears.
        threshold: lowest score of a drawn point.

    Returns:
        (H, W, 3) uint8 BGR, a new array.
    """
    drawn = np.array(canvas, order="C")
    stick = max(min(drawn.shape[:2]) // 200 - 1, 1)
    fine = max(stick // 2, 1)
    for person in poses:
        at, scores = joints(person)
        seen = drawable(at) & (scores >= threshold)
        if not head:
            seen[_HEAD] = False
        for (a, b), color in zip(BONES, _STICK_COLORS, strict=True):
            sticks(drawn, at[None, [a, b]], (seen[a] & seen[b])[None], dark(color), stick)
        for joint, color in enumerate(_DOT_COLORS):
            dots(drawn, at[[joint]][seen[[joint]]].astype(np.int64), color, stick)
        for part in ("left_hand", "right_hand") if hands else ():
            if part in person.schema.parts:
                points, sure = person.part(part)
                _hand(drawn, points[0], sure[0], threshold, fine)
    return drawn


def joints(person: Poses) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """(20, 2) and (20,) of one person: the joints and their scores, the means of the points they are made of.

    0 where the schema has no such point.
    """
    at, scores = np.zeros((len(JOINTS), 2)), np.zeros(len(JOINTS))
    for joint, rows in enumerate(joint_rows(person.schema)):
        if rows:
            at[joint] = person.keypoints[0, rows].mean(axis=0, dtype=np.float64)
            scores[joint] = person.scores[0, rows].mean(dtype=np.float64)
    return at, scores


def _hand(canvas: Image, points: Floats, scores: Floats, threshold: float, width: int) -> None:
    near = drawable(points)
    pixels = np.where(near[:, None], points, 0).astype(np.int64)
    shown = near & (scores >= threshold) & (pixels > 0).all(axis=-1)
    for (a, b), color in zip(HAND_EDGES, FINGER_COLORS, strict=True):
        if shown[a] and shown[b]:
            cv2.line(canvas, pixels[a].tolist(), pixels[b].tolist(), color, width)
    dots(canvas, pixels[shown], _FINGERTIP, width)
