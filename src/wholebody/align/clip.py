"""Aligning people and clips: pairing people with the reference, and one move for all frames."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np

from wholebody.align.joints import NECK, JointFrames
from wholebody.align.linear import linear
from wholebody.align.move import Move, moved
from wholebody.align.muse import muse
from wholebody.align.uni import uni
from wholebody.align.wan import wan
from wholebody.arrays import Bools, Doubles, Size
from wholebody.choices import AlignMode
from wholebody.errors import WholebodyError
from wholebody.geometry import box_areas
from wholebody.poses import Poses


@overload
def align(
    poses: Poses,
    reference: Poses,
    mode: AlignMode = ...,
    *,
    size: Size | None = ...,
    reference_size: Size | None = ...,
    threshold: float = ...,
) -> Poses: ...


@overload
def align(
    poses: Sequence[Poses],
    reference: Poses,
    mode: AlignMode = ...,
    *,
    size: Size | None = ...,
    reference_size: Size | None = ...,
    threshold: float = ...,
) -> list[Poses]: ...


def align(
    poses: Poses | Sequence[Poses],
    reference: Poses,
    mode: AlignMode = "linear",
    *,
    size: Size | None = None,
    reference_size: Size | None = None,
    threshold: float = 0.3,
) -> Poses | list[Poses]:
    """The people with the reference's proportions and position, in pixels of the reference's picture.

    See `fit` for how people are paired, and for the use of the sizes.

    Args:
        poses: the people of one picture, or of each frame of a clip. Schema, scores and ids are unchanged.
        reference: the people of the reference picture.
        mode: see the table above.
        size, reference_size: (width, height) of both pictures.
        threshold: points with a lower score are moved, but not used for measuring.

    Returns:
        Poses for Poses, a list for a clip.

    Raises:
        WholebodyError: nobody in the reference, or in the clip, shows both shoulders.
    """
    frames = [poses] if isinstance(poses, Poses) else poses
    alignment = fit(frames, reference, mode, size=size, reference_size=reference_size, threshold=threshold)
    return alignment(poses) if isinstance(poses, Poses) else [alignment(people) for people in poses]


@dataclass(frozen=True, eq=False)
class _Person:
    """A person in the clip: the move, and the joints (20, 2) of the first frame, for frames without a neck."""

    move: Move
    joints: Doubles
    seen: Bools

    def neck(self, joints: Doubles, seen: Bools) -> Doubles:
        """(2,) the position of the neck, assuming the posture of the first frame."""
        both = seen & self.seen
        return np.asarray(self.joints[NECK] + (np.median((joints - self.joints)[both], axis=0) if both.any() else 0))


@dataclass(frozen=True, eq=False)
class Alignment:
    """The result of `fit`. Calling it with the people of a frame returns them aligned; frames are independent."""

    people: Mapping[int, _Person]
    lead: _Person | None
    threshold: float

    def __call__(self, poses: Poses) -> Poses:
        """The people of one frame, aligned. People who were not in the fitted clip move with the lead."""
        if self.lead is None or not len(poses):
            return poses
        figure = JointFrames.of(poses, self.threshold)
        each = []
        for n, key in enumerate(_keys(poses)):
            person = self.people.get(key, self.lead)
            necks = person.neck(figure.joints[n], figure.seen[n])[None]
            each.append(moved(poses[n], person.move, necks, self.threshold))
        return Poses.concatenate(each)


def fit(
    frames: Iterable[Poses],
    reference: Poses,
    mode: AlignMode = "linear",
    *,
    size: Size | None = None,
    reference_size: Size | None = None,
    threshold: float = 0.3,
) -> Alignment:
    """Compute the alignment of a clip in one pass over its frames.

    As many people as in the reference, those seen longest, are paired with the reference's from left to right. Others
    in the clip move with the person seen longest, so that they keep their relative position. People are identified by
    their ids, or without ids by their row.

    Args:
        frames, reference, mode, threshold: as for `align`.
        size, reference_size: (width, height) of the pictures. "muse" transfers the neck's motion relative to the height
            of the picture; "wan" relative to the height of the figure, and rounds to whole pixels if the sizes are
            known. None for both means pictures of equal height.

    Raises:
        WholebodyError: nobody in the reference, or in the clip, shows both shoulders.
    """
    if mode == "none":
        return Alignment({}, None, threshold)
    models = JointFrames.of(reference, threshold)
    measured = [n for n in range(len(models)) if models.seen[n, NECK]]
    if not measured:
        raise WholebodyError("nobody in the reference has both shoulders visible. Choose another picture to align to.")
    models_by_place = sorted(measured, key=lambda n: float(models.joints[n, NECK, 0]))
    clips, sizes_seen = _tracks(frames, threshold)
    if not clips:
        raise WholebodyError("nobody in the clip has both shoulders visible, so there is nothing to align.")

    longest = sorted(clips, key=lambda key: (-len(clips[key]), -sizes_seen[key]))
    paired = sorted(longest[: len(models_by_place)], key=lambda key: float(clips[key].joints[0, NECK, 0]))
    move = _formula(mode, size, reference_size)
    # If the reference has more people than the clip, use those from the left.
    moves = {key: move(clips[key], models[n : n + 1]) for key, n in zip(paired, models_by_place, strict=False)}
    lead = moves[longest[0]]
    people = {key: _Person(moves.get(key, lead), clip.joints[0], clip.seen[0]) for key, clip in clips.items()}
    return Alignment(people, people[longest[0]], threshold)


def _formula(
    mode: AlignMode, size: Size | None, reference_size: Size | None
) -> Callable[[JointFrames, JointFrames], Move]:
    sizes = (size, reference_size) if size and reference_size else None
    match mode:
        case "linear":
            return linear
        case "muse":
            heights = (float(sizes[0][1]), float(sizes[1][1])) if sizes else None
            return lambda clip, reference: muse(clip, reference, heights)
        case "uni":
            return uni
        case "wan":
            return lambda clip, reference: wan(clip, reference, sizes)
        case _:
            raise WholebodyError(f"mode is {mode!r}: choose linear, muse, uni, wan or none.")


def _tracks(frames: Iterable[Poses], threshold: float) -> tuple[dict[int, JointFrames], dict[int, float]]:
    """Everyone's frames, from the first that shows the neck, and the area of the box there."""
    found: defaultdict[int, list[JointFrames]] = defaultdict(list)
    areas: dict[int, float] = {}
    for poses in frames:
        figure = JointFrames.of(poses, threshold)
        for n, key in enumerate(_keys(poses)):
            if key in found or figure.seen[n, NECK]:
                found[key].append(figure[n : n + 1])
                areas.setdefault(key, float(box_areas(poses.boxes[n : n + 1])[0]))
    return {key: JointFrames.joined(figures) for key, figures in found.items()}, areas


def _keys(poses: Poses) -> list[int]:
    return list(range(len(poses))) if poses.ids is None else poses.ids.tolist()
