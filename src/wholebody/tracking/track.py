"""Who is who from frame to frame: ids by whole-body OKS and IoU with a motion model.

    tracker = Tracker()
    for frame in read("clip.mp4"):
        poses = tracker.update(model(frame.image), frame.time)      # poses.ids: (N,), a number for each person

A person is looked for where a constant speed takes them, so that two who cross keep their ids and one who is hidden
for a moment is known again. Where two meet, the colours of their torsos (`torsos`) help to tell who is who, if whoever
feeds the tracker gives them; two people in the same clothes who meet, turn and part may be exchanged. A detector is not
needed on every frame: `boxes` tells where the people known so far are now.
"""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import numpy.typing as npt

from wholebody.arrays import Doubles, Floats, Image
from wholebody.geometry import iou
from wholebody.poses import Poses
from wholebody.schema import Schema

# Points below this score say nothing about where a person is.
SEEN = 0.3

# Seconds that a person not seen is still looked for where they would be. Over a longer step between two frames people
# may be anywhere.
RECENT = 0.3
# A detector that is as sure as that needs no second opinion; below, the mean score of a body's points is one. Of what
# the bundled detector is not sure of, that leaves four in five people and a third of the false positives.
_SURE, _BODY = 0.5, 0.4


@dataclass(frozen=True, eq=False)
class Track:
    """A person known so far.

    Attributes:
        id: the number.
        pose: the last Poses of this person, one row; the box follows the keypoints (`extents`).
        velocity: (2,) pixels in a second.
        seen: time of `pose`, seconds.
        confirmed: when a detector found this person last.
        typical: mean score of the keypoints of the body so far.
        look: (3,) mean colour of the torso so far, NaN where it was never seen.
    """

    id: int
    pose: Poses
    velocity: Doubles
    seen: float
    confirmed: float
    typical: float
    look: Doubles

    def at(self, time: float) -> Poses:
        """Where the person would be by now. Trust in a speed fades: it carries on for a second in all."""
        away = self.velocity * (FADE * (1 - np.exp(-max(time - self.seen, 0) / FADE)))
        shift = away.astype(np.float32)
        return replace(self.pose, keypoints=self.pose.keypoints + shift, boxes=self.pose.boxes + np.tile(shift, 2))


FADE = 1.0  # seconds


_STEADY = 0.15  # seconds over which a speed is averaged

# Levels by which the colours of a torso differ from one time to another, and how much of a similarity the wrong colour
# costs. Light changes, and so it alone never ends a track.
_COLORS, _WRONG = 30.0, 0.7
# A torso's mean colour follows what is seen by this share, and not at all while somebody is in front or behind.
_LEARNING, _COVERED = 0.2, 0.05


@dataclass(eq=False)
class Tracker:
    """Gives ids. One for each video, to be fed in the order of time.

    Attributes:
        least: similarity, 0..1, from which a person is taken for a known one.
        memory: seconds that a person who is not seen is remembered.
        trust: seconds that a person whom no detector confirms is believed in.
        searched: when a detector looked last, where whoever feeds the tracker tells. Whom it found then is believed in
            until it looks again, however long that takes.
        tracks: the people known.
        next_id: the number that the next new person gets.
    """

    least: float = 0.25
    memory: float = 2.0
    trust: float = 1.5
    searched: float = np.inf
    tracks: tuple[Track, ...] = ()
    next_id: int = 1

    def update(
        self,
        poses: Poses,
        time: float,
        confirmed: npt.NDArray[np.bool_] | None = None,
        looks: Doubles | None = None,
    ) -> Poses:
        """The people of the next frame, with ids.

        Args:
            poses: N people. time: seconds, later than the last one.
            confirmed: (N,) whether a detector found each; without it, all are. Who is neither known nor confirmed is
                left out of the result, and so is a stranger in whom neither network believes (`_plain`).
            looks: (N, 3) colours of the torsos, as `torsos` gives them.
        """
        sure = np.ones(len(poses), bool) if confirmed is None else confirmed
        ids = np.full(len(poses), -1, np.int64)
        for row, column in self.match(poses, time, looks):
            ids[column] = self.tracks[row].id
        new = (ids < 0) & sure & _plain(poses)
        ids[new] = np.arange(self.next_id, self.next_id + new.sum())
        named = replace(poses, ids=ids)[ids >= 0]
        self.follow(named, time, sure[ids >= 0], None if looks is None else looks[ids >= 0])
        return named

    def match(self, poses: Poses, time: float, looks: Doubles | None = None) -> list[tuple[int, int]]:
        """Pairs (row of `tracks`, row of `poses`) of the same person, highest score first."""
        if not self.tracks or not len(poses):
            return []
        expected = Poses.concatenate([replace(track.at(time), ids=None) for track in self.tracks])
        ages = np.array([max(time - track.seen, 0) for track in self.tracks])
        # Where one person hides another, the one seen last is the one still seen, even if noise says otherwise.
        hidden = ages > ages.min() + 1e-6
        alike = similarity(expected, poses, ages)
        alike[alike < self.least] = 0
        if looks is not None:
            colors = np.array([track.look for track in self.tracks])
            apart = np.nan_to_num(np.linalg.norm(colors[:, None] - looks[None], axis=2))
            alike *= 1 - _WRONG * (1 - np.exp(-((apart / _COLORS) ** 2)))
        return pairs(alike - 0.15 * hidden[:, None], 1e-6)

    def follow(
        self,
        poses: Poses,
        time: float,
        confirmed: npt.NDArray[np.bool_] | None = None,
        looks: Doubles | None = None,
    ) -> None:
        """Take note of people whose ids are known: `update` does, and whoever continues with an earlier run."""
        assert poses.ids is not None
        known = {track.id: track for track in self.tracks}
        sure = np.ones(len(poses), bool) if confirmed is None else confirmed
        boxes = extents(poses)
        if looks is None:
            looks = np.full((len(poses), 3), np.nan)
        else:
            looks = np.where(overlapping(boxes, _COVERED)[:, None], np.nan, looks)
        for n, track_id in enumerate(poses.ids.tolist()):
            pose = replace(poses[n], boxes=boxes[n : n + 1])
            known[track_id] = _moved(known.get(track_id), track_id, pose, time, bool(sure[n]), looks[n])
        self.next_id = max(self.next_id, *(track_id + 1 for track_id in known), 1)
        self.tracks = tuple(
            track
            for track in known.values()
            if time - track.seen <= self.memory
            and (track.seen - track.confirmed <= self.trust or track.confirmed >= self.searched)
        )

    def recent(self, time: float, within: float = RECENT) -> list[Track]:
        """Who was seen in the last `within` seconds."""
        return [track for track in self.tracks if time - track.seen <= within]

    def boxes(self, time: float, within: float = RECENT) -> Floats:
        """(N, 4) where the people of `recent` are now."""
        boxes = [track.at(time).boxes for track in self.recent(time, within)]
        return np.concatenate(boxes) if boxes else np.zeros((0, 4), np.float32)

    def forget(self) -> None:
        """The picture has changed altogether, as at a cut: nobody is known any more. Ids are not used again."""
        self.tracks = ()


def _moved(track: Track | None, track_id: int, pose: Poses, time: float, confirmed: bool, look: Doubles) -> Track:
    body = pose.scores[0, pose.schema.body]
    score = float(body.mean())
    if track is None:
        return Track(track_id, pose, np.zeros(2), time, time, score, look)
    step = max(time - track.seen, 1e-3)
    # The median of the body's points: neither a waving arm nor a point that jumps is a person's motion.
    rows = pose.schema.body
    both = (pose.scores[0, rows] >= SEEN) & (track.pose.scores[0, rows] >= SEEN)
    if both.any():
        away = np.median((pose.keypoints[0, rows] - track.pose.keypoints[0, rows])[both], axis=0)
    else:
        away = (pose.boxes[0] - track.pose.boxes[0]).reshape(2, 2).mean(axis=0)
    gain = 1 - np.exp(-step / _STEADY)
    velocity = track.velocity + gain * (away / step - track.velocity)
    # Half of the box is the one expected: boxes that tremble would make the next keypoints tremble.
    expected = track.at(time).boxes
    pose = replace(pose, boxes=((expected + pose.boxes) / 2).astype(np.float32))
    if np.isnan(look).any():
        look = track.look
    elif not np.isnan(track.look).any():
        look = track.look + _LEARNING * (look - track.look)
    confirmed_at = time if confirmed else track.confirmed
    return Track(track_id, pose, velocity, time, confirmed_at, 0.9 * track.typical + 0.1 * score, look)


def torsos(image: Image, poses: Poses) -> Doubles:
    """(N, 3) mean colour of the cloth between shoulders and hips in an image (H, W, 3); NaN where they are not seen.

    Of blue, green and red, each a fourth of its light and its share of the three: shadows change less of that.
    """
    names = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")
    if not len(poses) or not set(names) <= set(poses.schema.names):
        return np.full((len(poses), 3), np.nan)
    rows = [poses.schema.names.index(name) for name in names]
    corners = poses.keypoints[:, rows].astype(np.float64)
    # A grid in the middle of the four: its edges are arms and background.
    down, across = (grid.ravel()[:, None] for grid in np.meshgrid(_GRID, _GRID))
    left = corners[:, None, 0] + down * (corners[:, None, 2] - corners[:, None, 0])
    right = corners[:, None, 1] + down * (corners[:, None, 3] - corners[:, None, 1])
    x, y = np.moveaxis(np.nan_to_num(left + across * (right - left)), -1, 0)
    height, width = image.shape[:2]
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    x, y = np.clip(x, 0, width - 1).astype(int), np.clip(y, 0, height - 1).astype(int)
    colors = image[y, x].astype(np.float64)
    count = inside.sum(axis=1)
    mean = (colors * inside[..., None]).sum(axis=1) / np.maximum(count, 1)[:, None]
    found: Doubles = mean / 4 + 255 * mean / np.maximum(mean.sum(axis=1, keepdims=True), 30)
    found[(poses.scores[:, rows] < SEEN).any(axis=1) | (count < inside.shape[1] / 2)] = np.nan
    return found


_GRID = np.linspace(0.2, 0.8, 6)


def overlapping(boxes: Floats, least: float) -> npt.NDArray[np.bool_]:
    """(N,) whose box has more than this IoU with that of anybody else."""
    overlap = iou(boxes, boxes)
    np.fill_diagonal(overlap, 0)
    found: npt.NDArray[np.bool_] = overlap.max(axis=1, initial=0) > least
    return found


def _plain(poses: Poses) -> npt.NDArray[np.bool_]:
    """(N,) who may get an id: the detector is sure, or the pose network sees a body where it is not.

    A false positive that is followed once would stay for as long as the detector hints at it.
    """
    body = poses.scores[:, poses.schema.body].mean(axis=1)
    plain: npt.NDArray[np.bool_] = (poses.box_scores >= _SURE) | (body >= _BODY)
    return plain


def extents(poses: Poses, margin: float = 0.1) -> Floats:
    """(N, 4) boxes around the keypoints that are seen, a little larger; the own box of who shows fewer than four.

    Args:
        margin: share of the sides added at each end, for hair, clothes and fingertips.
    """
    seen = (poses.scores >= SEEN)[..., None]
    low = np.where(seen, poses.keypoints, np.inf).min(axis=1, initial=np.inf)
    high = np.where(seen, poses.keypoints, -np.inf).max(axis=1, initial=-np.inf)
    enough = (seen.sum(axis=1) >= 4) & (high - low > 2).all(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        grown = margin * (high - low)
        boxes: Floats = np.where(enough, np.concatenate([low - grown, high + grown], axis=1), poses.boxes)
    return boxes.astype(np.float32)


@cache
def _weights(schema: Schema) -> tuple[Doubles, Doubles]:
    """(K,) weight and (K,) sigma of each point: a part counts about as much as its place in a body, not its points."""
    weights = np.ones(len(schema))
    for part, total in {"feet": 3.0, "face": 4.0, "left_hand": 2.0, "right_hand": 2.0}.items():
        if part in schema.parts:
            rows = schema.parts[part]
            weights[rows] = total / (rows.stop - rows.start)
    # Between two frames a limb moves farther than annotators differ.
    return weights, np.maximum(np.nan_to_num(schema.sigmas, nan=0.05), 0.05) * 1.5


def whole_body_oks(a: Poses, b: Poses, ages: npt.NDArray[np.floating] | None = None) -> Doubles:
    """(N, M) how alike the keypoints of the people of two frames are, over the points that both show.

    OKS of COCO, with both scores as weights, and wider: the area is the mean of both boxes', the deviation of a point
    grows by its own size in each half second of `ages` (N,), for which a person of `a` was not seen.
    """
    weights, sigmas = _weights(a.schema)
    squared = ((a.keypoints[:, None].astype(np.float64) - b.keypoints[None]) ** 2).sum(axis=3)
    areas = _areas(a.boxes)[:, None] / 2 + _areas(b.boxes)[None] / 2
    wider = 1 if ages is None else (1 + ages / 0.5)[:, None, None]
    alike = np.exp(-squared / (2 * areas[..., None] * (2 * sigmas * wider) ** 2 + 1e-9))
    lower = np.minimum(a.scores[:, None], b.scores[None])
    counted = np.where(lower >= SEEN, np.minimum(lower, 1), 0) * weights
    total = counted.sum(axis=2)
    oks: Doubles = np.divide((alike * counted).sum(axis=2), total, out=np.zeros_like(total), where=total > 0)
    return oks


def _areas(boxes: Floats) -> Doubles:
    areas: Doubles = np.clip(boxes[:, 2:] - boxes[:, :2], 1, None).astype(np.float64).prod(axis=1)
    return areas


def similarity(expected: Poses, found: Poses, ages: npt.NDArray[np.floating] | None = None) -> Doubles:
    """(N, M) 0..1: whole-body OKS and the boxes' intersection over union, half each."""
    return (whole_body_oks(expected, found, ages) + iou(extents(expected), extents(found))) / 2


def pairs(scores: Doubles, least: float) -> list[tuple[int, int]]:
    """(row, column) of a matrix, the highest first, each row and column once, none below `least`.

    The surest pair is never given up for a better sum, as an optimal assignment would.
    """
    left = scores.copy()
    found = []
    while left.size and (best := left.max()) >= least and best > 0:
        row, column = (int(i) for i in np.unravel_index(left.argmax(), left.shape))
        found.append((row, column))
        left[row] = left[:, column] = -1
    return found


def distinct(poses: Poses, same: float = 0.6) -> npt.NDArray[np.int64]:
    """Rows of different people, in order: of two poses more alike than `same`, the one with lower scores goes.

    Crops of two people who stand close may both show the one in front.
    """
    alike = whole_body_oks(poses, poses)
    order = poses.scores.mean(axis=1).argsort(kind="stable")[::-1]
    kept: list[int] = []
    for n in order.tolist():
        if not kept or alike[n, kept].max() <= same:
            kept.append(n)
    return np.array(sorted(kept), np.int64)
