"""Tracking: ids from frame to frame, by whole-body OKS and IoU with a motion model.

    tracker = Tracker()
    for frame in read("clip.mp4"):
        poses = tracker.update(model(frame.image), frame.time)      # poses.ids: (N,), a number for each person

A person is expected where a constant velocity takes them. So two who cross keep their ids, and one who is hidden for a
moment is recognised again. Where two people meet, the colours of their torsos (`torsos`) help to tell them apart, if
the caller passes them; two people in the same clothes who meet, turn and part may swap ids. The detector need not run
on every frame: `boxes` predicts where the known people are now.
"""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import numpy.typing as npt

from wholebody.arrays import Doubles, Floats, Image
from wholebody.geometry import iou
from wholebody.poses import Poses
from wholebody.schema import Schema

# Points below this score are ignored.
SEEN = 0.3

# Seconds for which an unseen person is expected at the predicted position. After a longer gap people may be anywhere.
RECENT = 0.3
# From this detection score no second opinion is needed; below it, the mean score of the body's points decides. Of the
# bundled detector's uncertain detections, this keeps four in five people and a third of the false positives.
_SURE, _BODY = 0.5, 0.4


@dataclass(frozen=True, eq=False)
class Track:
    """A person being tracked.

    Attributes:
        id: the number.
        pose: the last Poses of this person, one row; the box follows the keypoints (`extents`).
        velocity: (2,) pixels per second.
        seen: time of `pose`, seconds.
        confirmed: when the detector last found this person.
        typical: running mean score of the body's keypoints.
        look: (3,) running mean colour of the torso, NaN if it was never seen.
    """

    id: int
    pose: Poses
    velocity: Doubles
    seen: float
    confirmed: float
    typical: float
    look: Doubles

    def at(self, time: float) -> Poses:
        """The predicted pose at `time`. The velocity fades, and moves the person by at most one second of it."""
        away = self.velocity * (FADE * (1 - np.exp(-max(time - self.seen, 0) / FADE)))
        shift = away.astype(np.float32)
        return replace(self.pose, keypoints=self.pose.keypoints + shift, boxes=self.pose.boxes + np.tile(shift, 2))


FADE = 1.0  # seconds


_STEADY = 0.15  # seconds over which the velocity is averaged

# Typical variation of a torso's colour over time, in levels, and the share of the similarity that a wrong colour costs.
# Because light changes, colour alone never ends a track.
_COLORS, _WRONG = 30.0, 0.7
# Update rate of a torso's mean colour, and the box overlap above which it is not updated.
_LEARNING, _COVERED = 0.2, 0.05


@dataclass(eq=False)
class Tracker:
    """Assigns ids. Use one per video, with frames in order of time.

    Attributes:
        least: lowest similarity, 0..1, at which a person is matched with a known one.
        memory: seconds for which an unseen person is remembered.
        trust: seconds for which a person is kept without confirmation by the detector.
        searched: when the detector last ran, if the caller sets it. People found then are kept until it runs again,
            however long that takes.
        tracks: the known people.
        next_id: the id of the next new person.
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
            poses: N people.
            time: seconds, later than the last one.
            confirmed: (N,) whether the detector found each person; by default all. A person who is neither known nor
                confirmed is left out of the result, and so is a new person whom neither network is confident about
                (`_plain`).
            looks: (N, 3) colours of the torsos, from `torsos`.
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
        # Where one person hides another, the more recently seen one is assumed to be visible, even if noise suggests
        # otherwise.
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
        """Update the tracks with people whose ids are known; called by `update`, and when an earlier run is resumed."""
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
        """The tracks seen in the last `within` seconds."""
        return [track for track in self.tracks if time - track.seen <= within]

    def boxes(self, time: float, within: float = RECENT) -> Floats:
        """(N, 4) predicted boxes of the people in `recent`."""
        boxes = [track.at(time).boxes for track in self.recent(time, within)]
        return np.concatenate(boxes) if boxes else np.zeros((0, 4), np.float32)

    def forget(self) -> None:
        """Drop all tracks, for instance at a cut. Ids are not reused."""
        self.tracks = ()


def _moved(track: Track | None, track_id: int, pose: Poses, time: float, confirmed: bool, look: Doubles) -> Track:
    body = pose.scores[0, pose.schema.body]
    score = float(body.mean())
    if track is None:
        return Track(track_id, pose, np.zeros(2), time, time, score, look)
    step = max(time - track.seen, 1e-3)
    # The median over the body's points, so that neither a waving arm nor a jumping point counts as motion of the
    # person.
    rows = pose.schema.body
    both = (pose.scores[0, rows] >= SEEN) & (track.pose.scores[0, rows] >= SEEN)
    if both.any():
        away = np.median((pose.keypoints[0, rows] - track.pose.keypoints[0, rows])[both], axis=0)
    else:
        away = (pose.boxes[0] - track.pose.boxes[0]).reshape(2, 2).mean(axis=0)
    gain = 1 - np.exp(-step / _STEADY)
    velocity = track.velocity + gain * (away / step - track.velocity)
    # Average with the predicted box: jittering boxes would make the next keypoints jitter.
    expected = track.at(time).boxes
    pose = replace(pose, boxes=((expected + pose.boxes) / 2).astype(np.float32))
    if np.isnan(look).any():
        look = track.look
    elif not np.isnan(track.look).any():
        look = track.look + _LEARNING * (look - track.look)
    confirmed_at = time if confirmed else track.confirmed
    return Track(track_id, pose, velocity, time, confirmed_at, 0.9 * track.typical + 0.1 * score, look)


def torsos(image: Image, poses: Poses) -> Doubles:
    """(N, 3) mean colour between shoulders and hips in an image (H, W, 3); NaN where these are not seen.

    For each of blue, green and red: a fourth of its level plus its share of the three, which is less affected by
        shadows.
    """
    names = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")
    if not len(poses) or not set(names) <= set(poses.schema.names):
        return np.full((len(poses), 3), np.nan)
    rows = [poses.schema.names.index(name) for name in names]
    corners = poses.keypoints[:, rows].astype(np.float64)
    left = corners[:, None, 0] + _DOWN * (corners[:, None, 2] - corners[:, None, 0])
    right = corners[:, None, 1] + _DOWN * (corners[:, None, 3] - corners[:, None, 1])
    x, y = np.moveaxis(np.nan_to_num(left + _ACROSS * (right - left)), -1, 0)
    height, width = image.shape[:2]
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    x, y = np.clip(x, 0, width - 1).astype(int), np.clip(y, 0, height - 1).astype(int)
    colors = image[y, x].astype(np.float64)
    count = inside.sum(axis=1)
    mean = (colors * inside[..., None]).sum(axis=1) / np.maximum(count, 1)[:, None]
    found: Doubles = mean / 4 + 255 * mean / np.maximum(mean.sum(axis=1, keepdims=True), 30)
    found[(poses.scores[:, rows] < SEEN).any(axis=1) | (count < inside.shape[1] / 2)] = np.nan
    return found


# A grid in the middle of the four corners; the edges are arms and background.
_DOWN, _ACROSS = (grid.ravel()[:, None] for grid in np.meshgrid(*[np.linspace(0.2, 0.8, 6)] * 2))


def overlapping(boxes: Floats, least: float) -> npt.NDArray[np.bool_]:
    """(N,) whether a box has more than this IoU with any other."""
    overlap = iou(boxes, boxes)
    np.fill_diagonal(overlap, 0)
    found: npt.NDArray[np.bool_] = overlap.max(axis=1, initial=0) > least
    return found


def _plain(poses: Poses) -> npt.NDArray[np.bool_]:
    """(N,) whether a person may get an id: the detector is confident, or otherwise the pose network sees a body.

    Once tracked, a false positive would stay for as long as the detector reports it.
    """
    body = poses.scores[:, poses.schema.body].mean(axis=1)
    plain: npt.NDArray[np.bool_] = (poses.box_scores >= _SURE) | (body >= _BODY)
    return plain


def extents(poses: Poses, margin: float = 0.1) -> Floats:
    """(N, 4) slightly enlarged boxes around the visible keypoints; the person's own box if fewer than four are visible.

    Args:
        margin: fraction of the sides added at each end, for hair, clothes and fingertips.
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
    """(K,) weight and (K,) sigma of each point: a part counts by its importance, not by its number of points."""
    weights = np.ones(len(schema))
    for part, total in {"feet": 3.0, "face": 4.0, "left_hand": 2.0, "right_hand": 2.0}.items():
        if part in schema.parts:
            rows = schema.parts[part]
            weights[rows] = total / (rows.stop - rows.start)
    # Limbs move farther between two frames than annotators differ.
    return weights, np.maximum(np.nan_to_num(schema.sigmas, nan=0.05), 0.05) * 1.5


def whole_body_oks(a: Poses, b: Poses, ages: npt.NDArray[np.floating] | None = None) -> Doubles:
    """(N, M) similarity of the people in two frames, over the keypoints visible in both.

    COCO's OKS, weighted by both scores and with wider tolerance: the area is the mean of both boxes, and a point's
    sigma grows by its own size per half second of `ages` (N,), the time for which a person of `a` was not seen.
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
    """(N, M) 0..1: the mean of whole-body OKS and the IoU of the boxes."""
    return (whole_body_oks(expected, found, ages) + iou(extents(expected), extents(found))) / 2


def pairs(scores: Doubles, least: float) -> list[tuple[int, int]]:
    """Greedy matching: (row, column) of a matrix, highest value first, each row and column once, none below `least`.

    Unlike an optimal assignment, it never gives up the best pair for a better sum.
    """
    left = scores.copy()
    found = []
    while left.size and (best := left.max()) >= least and best > 0:
        row, column = (int(i) for i in np.unravel_index(left.argmax(), left.shape))
        found.append((row, column))
        left[row] = left[:, column] = -1
    return found


def distinct(poses: Poses, same: float = 0.6) -> npt.NDArray[np.int64]:
    """Rows of distinct people, in order: of two poses with a similarity above `same`, the one with lower scores goes.

    The crops of two people who stand close together may both show the one in front.
    """
    alike = whole_body_oks(poses, poses)
    order = poses.scores.mean(axis=1).argsort(kind="stable")[::-1]
    kept: list[int] = []
    for n in order.tolist():
        if not kept or alike[n, kept].max() <= same:
            kept.append(n)
    return np.array(sorted(kept), np.int64)
