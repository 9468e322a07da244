"""The joints used for alignment: OpenPose's eighteen and two toes, computed from the points of any schema.

Joint numbers are the published ones (k0 the nose, k1 the neck, k2 the right shoulder, ...), so that formulas read like
their papers. Wan's animation code added k18 and k19, the midpoints of each foot's two toes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from wholebody.arrays import Bools, Doubles
from wholebody.poses import Poses
from wholebody.schema import OPENPOSE, Schema

NECK = 1
# If a bone in the first frame is shorter than this fraction of its length in the clip, relative to the figure, it is
# foreshortened there, like the shoulders of a person in profile. Shorter clips cannot tell.
_FORESHORTENED, _CLIP = 0.7, 8
JOINTS: tuple[str, ...] = (*OPENPOSE.names[:18], "left_toes", "right_toes")
# Parent and child, parents first.
BONES: tuple[tuple[int, int], ...] = (
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13),
    (1, 0), (0, 14), (14, 16), (0, 15), (15, 17), (13, 18), (10, 19),
)  # fmt: skip
# Left and right counterparts, as the children of the bones.
PAIRS = ((2, 5), (3, 6), (4, 7), (8, 11), (9, 12), (10, 13), (14, 15), (16, 17), (19, 18))
_MADE_OF = {
    "neck": ("left_shoulder", "right_shoulder"),
    "left_toes": ("left_big_toe", "left_small_toe"),
    "right_toes": ("right_big_toe", "right_small_toe"),
}


@cache
def joint_rows(schema: Schema) -> tuple[tuple[int, ...], ...]:
    """For each joint, the rows whose mean it is; empty if the schema has no such point."""
    row = {name: n for n, name in enumerate(schema.names)}
    found = []
    for joint in JOINTS:
        names = (joint,) if joint in row else _MADE_OF.get(joint, ())
        found.append(tuple(row[name] for name in names) if all(name in row for name in names) else ())
    return tuple(found)


@dataclass(frozen=True, eq=False)
class JointFrames:
    """One person in T frames.

    Attributes:
        joints: (T, 20, 2) pixels.
        seen: (T, 20) whether a joint is confident enough for measuring.
        hands: (T, 2, 21, 2) pixels, the left hand first.
        hands_seen: (T, 2, 21).
    """

    joints: Doubles
    seen: Bools
    hands: Doubles
    hands_seen: Bools

    @staticmethod
    def of(people: Poses, threshold: float) -> "JointFrames":
        """The rows of `people` as the frames of a figure; a joint is seen if none of its scores is below
        `threshold`."""
        t = len(people)
        there = np.isfinite(people.keypoints).all(axis=-1) & (people.scores >= threshold) & (people.scores > 0)
        points = np.where(there[..., None], people.keypoints, 0).astype(np.float64)
        joints, seen = np.zeros((t, len(JOINTS), 2)), np.zeros((t, len(JOINTS)), bool)
        for n, rows in enumerate(joint_rows(people.schema)):
            if rows:
                joints[:, n], seen[:, n] = points[:, rows].mean(axis=1), there[:, rows].all(axis=1)
        hands, hands_seen = np.zeros((t, 2, 21, 2)), np.zeros((t, 2, 21), bool)
        for n, part in enumerate(("left_hand", "right_hand")):
            if part in people.schema.parts:
                hands[:, n], hands_seen[:, n] = (
                    points[:, people.schema.parts[part]],
                    there[:, people.schema.parts[part]],
                )
        return JointFrames(joints, seen, hands, hands_seen)

    @staticmethod
    def joined(figures: Sequence["JointFrames"]) -> "JointFrames":
        """The concatenated frames of several figures."""
        names = ("joints", "seen", "hands", "hands_seen")
        return JointFrames(*(np.concatenate([getattr(figure, name) for figure in figures]) for name in names))

    def __len__(self) -> int:
        return len(self.joints)

    def __getitem__(self, frames: slice) -> "JointFrames":
        return JointFrames(self.joints[frames], self.seen[frames], self.hands[frames], self.hands_seen[frames])

    def length(self, a: int, b: int) -> float:
        """Pixels between two joints in the first frame; NaN if one is not seen. See `full_length`."""
        full = self.full_length(a, b)
        return float(self._spans(a, b)[0]) if np.isnan(full) else full

    def full_length(self, a: int, b: int) -> float:
        """The length in the first frame without foreshortening: the bone's length in the clip, relative to the figure.
        NaN if it is not foreshortened, or if this cannot be determined."""
        spans = self._spans(a, b) / self._sizes
        if len(self) < _CLIP or np.isnan(spans[0]):
            return np.nan
        full = float(np.nanpercentile(spans, 90))
        return full if spans[0] < _FORESHORTENED * full else np.nan

    def _spans(self, a: int, b: int) -> Doubles:
        """(T,) pixels between two joints, NaN if one is not seen."""
        spans = np.hypot(*np.moveaxis(self.joints[:, a] - self.joints[:, b], -1, 0))
        return np.where(self.seen[:, [a, b]].all(axis=1), spans, np.nan)

    @cached_property
    def _sizes(self) -> Doubles:
        """(T,) size of the figure relative to the first frame: the median over its bones, NaN if unknown."""
        spans = np.array([self._spans(*bone) for bone in BONES])
        first = spans[:, :1]
        ratios = np.divide(spans, first, out=np.full_like(spans, np.nan), where=first > 0)
        known = np.isfinite(ratios).any(axis=0)
        sizes = np.full(len(self), np.nan)
        sizes[known] = np.nanmedian(ratios[:, known], axis=0)
        return np.where(sizes > 0, sizes, np.nan)

    def middle(self, a: int, b: int) -> Doubles:
        """(2,) the midpoint of two joints in the first frame; NaN if one is not seen."""
        both = self.seen[0, [a, b]].all()
        return self.joints[0, [a, b]].mean(axis=0) if both else np.full(2, np.nan)


def bone_ratios(clip: JointFrames, reference: JointFrames) -> Doubles:
    """(20,) ratio of the length of the bone that ends at a joint: reference to the clip's first frame.

    NaN if it is not seen in both, or has no length, and at the neck, where no bone ends.
    """
    ratios = np.full(len(JOINTS), np.nan)
    for parent, child in BONES:
        ratios[child] = ratio(reference.length(parent, child), clip.length(parent, child))
    return ratios


def ratio(longer: float, shorter: float) -> float:
    """The ratio of two lengths; NaN if one is unknown or zero."""
    return longer / shorter if longer > 0 and shorter > 0 else float("nan")


def overall(ratios: Doubles) -> float:
    """The ratio of the whole figure: the median of the known ratios; 1 if there are none."""
    known = ratios[np.isfinite(ratios)]
    return float(np.median(known)) if len(known) else 1.0


def steadied(ratios: Doubles, figure: float, limit: float = 2.0) -> Doubles:
    """`ratios`, with unknown ones replaced by the other side's or the figure's, and clipped to within `limit` of it.

    A limb that points at the camera looks short, and its ratio would throw the hand across the picture.
    """
    filled = ratios.copy()
    for one, other in PAIRS:
        for a, b in ((one, other), (other, one)):
            if np.isnan(ratios[a]):
                filled[a] = ratios[b]
    return np.clip(np.where(np.isnan(filled), figure, filled), figure / limit, figure * limit)
