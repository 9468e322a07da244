"""Changing a person's proportions: each limb keeps its direction and gets a new length."""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import numpy.typing as npt

from wholebody.align.joints import BONES, JOINTS, NECK, JointFrames, joint_rows
from wholebody.arrays import Bools, Doubles, Floats
from wholebody.poses import Poses
from wholebody.schema import Schema

# The joints to which other points are attached, and the length that scales them.
_FACE, _LEFT_HAND, _RIGHT_HAND = len(JOINTS), len(JOINTS) + 1, len(JOINTS) + 2
_HANGING = {"face": (0, _FACE), "left_hand": (7, _LEFT_HAND), "right_hand": (4, _RIGHT_HAND)}
_FEET = {"left": (13, 18), "right": (10, 19)}


@dataclass(frozen=True, eq=False)
class Move:
    """The transformation of a person from the clip to the reference, as computed by the formulas.

    The neck goes to `scale * neck + offset`; the child of a bone to `parent' + limbs[child] * (child - parent)`, with
    parent' the place where its parent went; and the points of face, hands and feet in the same way from the nose, the
    wrists and the ankles.

    Attributes:
        scale, offset: (2,) x and y.
        limbs: (20, 2) factors of the bones by the joint they end at; that of the toes holds for the heel too.
        face: (2,). hands: (2, 2), the left one first.
    """

    scale: Doubles
    offset: Doubles
    limbs: Doubles
    face: Doubles
    hands: Doubles

    @staticmethod
    def of(
        scale: npt.ArrayLike,
        offset: npt.ArrayLike,
        limbs: npt.ArrayLike,
        face: npt.ArrayLike,
        hands: npt.ArrayLike,
    ) -> "Move":
        """A move from factors that apply to both x and y, such as (20,) limbs, or from full arrays."""
        limbs = np.asarray(limbs, np.float64)
        given = (scale, offset, limbs[:, None] if limbs.ndim == 1 else limbs, face, hands)
        shapes = ((2,), (2,), (len(JOINTS), 2), (2,), (2, 2))
        return Move(*(np.broadcast_to(np.asarray(v, np.float64), s) for v, s in zip(given, shapes, strict=True)))

    @property
    def factors(self) -> Doubles:
        """(23, 2) factors of the joints, the face and the hands."""
        return np.concatenate([self.limbs, self.face[None], self.hands])


@cache
def _hooks(schema: Schema) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(K,) the joint to which each point is attached, and (K,) the row of its factor in `Move.factors`."""
    joints, factors = np.full(len(schema), NECK), np.full(len(schema), NECK)
    for part, (joint, factor) in _HANGING.items():
        if part in schema.parts:
            joints[schema.parts[part]], factors[schema.parts[part]] = joint, factor
    for row, name in enumerate(schema.names):
        side, _, point = name.partition("_")
        if side in _FEET and point in ("big_toe", "small_toe", "heel"):
            joints[row], factors[row] = _FEET[side]
        if name == "mid_hip":
            factors[row] = JOINTS.index("right_hip")
        if name.startswith("face_"):  # OpenPose's face carries the eyes of the body
            joints[row] = factors[row] = JOINTS.index(name.removeprefix("face_"))
    for joint, rows in enumerate(joint_rows(schema)):
        if len(rows) == 1:
            joints[rows[0]] = factors[rows[0]] = joint
    return joints, factors


def moved(poses: Poses, move: Move, necks: Doubles, threshold: float) -> Poses:
    """The people with new proportions; missing points (score 0 or NaN) are unchanged.

    An unseen joint is replaced by its parent, so that points attached to it move with the limb above.

    Args:
        poses: N people. move: the same for all. necks: (N, 2) positions of unseen necks.
    """
    figure = JointFrames.of(poses, threshold)
    old, new = moved_joints(figure, move, necks)
    joints, factors = _hooks(poses.schema)
    # A point of an unseen joint is attached to its parent; `old` and `new` then hold the parent's position.
    there = np.isfinite(poses.keypoints).all(axis=-1) & (poses.scores > 0)
    points = np.where(there[..., None], poses.keypoints, 0).astype(np.float64)
    placed = new[:, joints] + move.factors[factors] * (points - old[:, joints])
    keypoints = np.where(there[..., None], placed, poses.keypoints).astype(np.float32)
    return replace(poses, keypoints=keypoints, boxes=_boxes(poses, keypoints, there, move).astype(np.float32))


def moved_joints(figure: JointFrames, move: Move, necks: Doubles) -> tuple[Doubles, Doubles]:
    """(T, 20, 2) old and new position of each joint, or of its parent if it is not seen."""
    old = figure.joints.copy()
    old[:, NECK] = np.where(figure.seen[:, NECK, None], old[:, NECK], necks)
    new = np.zeros_like(old)
    new[:, NECK] = move.scale * old[:, NECK] + move.offset
    for parent, child in BONES:
        seen = figure.seen[:, child, None]
        along = move.limbs[child] * (old[:, child] - old[:, parent])
        new[:, child] = np.where(seen, new[:, parent] + along, new[:, parent])
        old[:, child] = np.where(seen, old[:, child], old[:, parent])
    return old, new


def _boxes(poses: Poses, keypoints: Floats, there: Bools, move: Move) -> Doubles:
    """(N, 4) boxes with the same relation to the moved points as before."""
    low, high = _extents(poses.keypoints, there)
    new_low, new_high = _extents(keypoints, there)
    known: Bools = (high > low).min(axis=1, keepdims=True)
    grown = np.where(known, new_high - new_low, move.scale) / np.where(known, high - low, 1)
    from_, to = np.where(known, low, 0), np.where(known, new_low, move.offset)
    corners = poses.boxes.reshape(-1, 2, 2).astype(np.float64)
    return np.asarray(to[:, None] + (corners - from_[:, None]) * grown[:, None]).reshape(-1, 4)


def _extents(points: npt.NDArray[np.floating], there: Bools) -> tuple[Doubles, Doubles]:
    """(N, 2) lowest and highest x and y of the existing points; 0 if there are none."""
    some: Bools = there.max(axis=1, keepdims=True, initial=False)
    low = np.where(there[..., None], points, np.inf).min(axis=1, initial=np.inf)
    high = np.where(there[..., None], points, -np.inf).max(axis=1, initial=-np.inf)
    return np.where(some, low, 0).astype(np.float64), np.where(some, high, 0).astype(np.float64)
