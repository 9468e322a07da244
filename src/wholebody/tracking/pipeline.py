"""The video pipeline: decoding, detection, pose estimation, drawing and encoding overlap.

    follower = Follower(WholeBody(), every=8)
    for frame, poses in follow(read("clip.mp4"), follower):     # poses.ids: who is who
        ...

A pipeline is a chain of generators. `ahead` runs one of them in its own thread, a bounded number of items ahead of its
consumer, so memory does not grow with the length of the video.

The detector runs on every k-th frame only. In between, each person's box comes from their last keypoints, moved by
their velocity. It runs earlier when a person is lost, when scores drop, when the picture changes where nobody is
tracked, while people meet, and right after a cut. If frames are more than 0.3 s apart, it runs on each.

If latency is allowed, frames are processed in short chunks. The last frame of a chunk is estimated first. The boxes of
the frames before it are interpolated between there and the frame before the chunk, so that all of them share a batch.
"""

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import numpy.typing as npt

from wholebody.arrays import Doubles, Floats, Image
from wholebody.choices import Latency
from wholebody.errors import WholebodyError
from wholebody.geometry import box_areas, iou
from wholebody.pose.detect import Detections
from wholebody.poses import Poses
from wholebody.tracking.ahead import ahead, depth_for
from wholebody.tracking.bookmark import THUMB, Memory, Shot
from wholebody.tracking.track import RECENT, Tracker, distinct, overlapping, torsos
from wholebody.video.frame import Frame
from wholebody.wholebody import WholeBody

# A chunk spans at most this many seconds, in which people move almost in a straight line, and this many frames.
CHUNK_SECONDS, CHUNK_FRAMES = 0.14, 6

# IoU of two people's boxes from which they may be confused.
_MEET = 0.1

_CHANGED = 25  # difference in grey levels that counts as a change at one place
_CUT = 40.0  # mean difference in grey levels that counts as a cut
# A flash lasts at most this many seconds, and the frames before and after it differ by at most this mean level.
_FLASH, _BACK = 0.3, 12.0


@dataclass(frozen=True, eq=False)
class Chunk:
    """Consecutive frames that are estimated together.

    Attributes:
        frames: one or more.
        thumb: thumbnail of the last frame, (36, 64, 3) float32.
        cut: whether there is a cut before the first frame.
        found: the detections on the last frame; None if the detector did not run.
        since: number of frames since the detector was last due.
    """

    frames: Sequence[Frame]
    thumb: Floats
    cut: bool
    found: Detections | None
    since: int


def _thumb(image: Image) -> Floats:
    # Subsample first: reading all of a large picture would take longer than everything else here.
    step = max(min(image.shape[0] // 144, image.shape[1] // 256), 1)
    return cv2.resize(image[::step, ::step], THUMB, interpolation=cv2.INTER_AREA).astype(np.float32)


def _apart(a: Floats, b: Floats) -> float:
    return float(np.abs(a - b).mean())


@dataclass(eq=False)
class Follower:
    """Finds people in the frames of one video and follows them.

    Attributes:
        model: detector and pose network. Without a detector, each frame is one person who fills the picture.
        every: the detector runs at least on every `every`-th frame.
        people: most people, the largest first; None for all.
        latency: "low" returns each frame's people before it reads the next frame, "high" holds a few frames back.
        tracker: assigns the ids.
        memory: the state after the last complete chunk. A follower that starts with it continues exactly as this one
            would, with the frames after `memory.before`.
        searches: number of frames on which the detector ran.
    """

    model: WholeBody
    every: int = 8
    people: int | None = None
    latency: Latency = "high"
    tracker: Tracker = field(default_factory=Tracker)
    memory: Memory = field(default_factory=Memory)
    searches: int = 0

    def __post_init__(self) -> None:
        if self.every < 1 or (self.people is not None and self.people < 1):
            raise WholebodyError(f"every {self.every} and people {self.people}: both must be 1 or more.")
        if self.model.detector is None:
            self.every = 1
        if self.memory.before is not None:
            self.tracker.tracks, self.tracker.next_id = self.memory.tracks, self.memory.next_id
            self.tracker.searched = self.memory.searched

    def chunks(self, frames: Iterable[Frame]) -> Generator[Chunk]:
        """Split the frames into chunks, and run the detector where it is due."""
        waiting: list[Frame] = []
        last, before = self.memory.last, self.memory.before or 0.0
        since, cut = self.memory.turn, False
        for frame in frames:
            thumb = _thumb(frame.image)
            changed = last is not None and _apart(thumb, last) > _CUT
            step = frame.time - before
            first = last is None or changed or step > RECENT
            if first and waiting and last is not None:
                since += len(waiting)
                yield Chunk(waiting, last, cut, None, since)
                waiting = []
            if not waiting:
                cut = changed
            waiting.append(frame)
            last, before = thumb, frame.time
            # A chunk never extends beyond the frame where the detector is due, nor over a cut or a long gap.
            full = len(waiting) >= min(CHUNK_FRAMES, max(depth_for(frame.image), 1))
            long = max(frame.time - waiting[0].time, step) >= CHUNK_SECONDS
            due = first or since + len(waiting) >= self.every
            if due or full or long or self.latency == "low":
                since = 0 if due else since + len(waiting)
                yield Chunk(waiting, thumb, cut, self._search(frame.image) if due else None, since)
                waiting = []
        if waiting and last is not None:
            yield Chunk(waiting, last, cut, None, since + len(waiting))

    def _search(self, image: Image) -> Detections:
        self.searches += 1
        if self.model.detector is None:
            whole = np.array([[0, 0, image.shape[1], image.shape[0]]], np.float32)
            return whole, np.ones(1, np.float32)
        return self.model.detector.images([image])[0]

    def __call__(self, chunk: Chunk) -> Iterator[tuple[Frame, Poses]]:
        """Each frame of a chunk with its people, who have ids."""
        known, shot = self.memory, self._cut(chunk)
        *between, last = chunk.frames
        found = chunk.found
        if found is None and self._soon(chunk, last.time):
            found = self._search(last.image)
        people, sure = self._estimate(last, found)
        looks = torsos(last.image, people)
        inner = self._between(between, last.time, people, looks)
        tracks = self.tracker.tracks
        for frame, poses in zip(between, inner, strict=True):
            # A trusted track was detected not long ago; only another detection run can end it.
            nobody = np.zeros(len(poses), bool)
            yield frame, self.tracker.update(poses, frame.time, nobody, torsos(frame.image, poses))
        tracks = (*tracks, *self.tracker.tracks)
        usual = {track.id: track.typical for track in tracks if track.seen >= (known.before or 0)}
        if found is not None:
            self.tracker.searched = last.time
        named = self.tracker.update(people, last.time, sure, looks)
        assert named.ids is not None
        rows = people.schema.body
        scores = dict(zip(named.ids.tolist(), named.scores[:, rows].mean(axis=1).tolist(), strict=True))
        # A track that is no longer trusted may still be there.
        scores = {track.id: scores.get(track.id, 0) for track in self.tracker.tracks}
        worried = any(scores.get(key, 0) < 0.75 * score for key, score in usual.items())
        if found is None:
            known = replace(known, since=known.since + len(chunk.frames), worried=known.worried or worried)
        else:
            known = replace(known, since=0, worried=worried, thumb=chunk.thumb)
        self.memory = replace(
            known,
            tracks=self.tracker.tracks,
            next_id=self.tracker.next_id,
            searched=self.tracker.searched,
            before=last.time,
            last=chunk.thumb,
            shot=shot,
            turn=chunk.since,
        )
        yield last, named

    def _cut(self, chunk: Chunk) -> Shot | None:
        """Forget everybody at a cut, and know them again if the picture is back at once: that was a flash.

        Returns:
            the shot before the last cut, as long as it may come back.
        """
        shot, before, last = self.memory.shot, self.memory.before, self.memory.last
        if shot is not None and chunk.frames[0].time - shot.time > _FLASH:
            shot = None
        if shot is not None and _apart(chunk.thumb, shot.thumb) < _BACK:
            self.tracker.tracks, shot = shot.tracks, None
        elif chunk.cut:
            # A fading flash may look like several cuts: the picture before the first one counts.
            if shot is None and before is not None and last is not None:
                shot = Shot(before, last, self.tracker.tracks)
            self.tracker.forget()
        return shot

    def _recent(self, time: float) -> float:
        """Seconds for which no track is dropped: back to the last frame whose people are known."""
        return RECENT if self.memory.before is None else max(RECENT, time - self.memory.before)

    def _soon(self, chunk: Chunk, time: float) -> bool:
        """Whether to run the detector early: never twice in a row, because a moving camera changes everything."""
        known = self.memory
        if known.thumb is None:
            return True
        if known.since + len(chunk.frames) < max(self.every // 3, 1):
            return False
        if known.worried or overlapping(self.tracker.boxes(time, self._recent(time)), _MEET).any():
            return True
        changed = np.abs(chunk.thumb - known.thumb).max(axis=2) > _CHANGED
        height, width = chunk.frames[-1].image.shape[:2]
        scale = np.array([THUMB[0] / width, THUMB[1] / height] * 2)
        for x0, y0, x1, y1 in self.tracker.boxes(time, self._recent(time)) * scale:
            aside, above = 0.25 * (x1 - x0) + 1, 0.15 * (y1 - y0) + 1
            x, y = (
                slice(max(int(x0 - aside), 0), int(x1 + aside) + 1),
                slice(max(int(y0 - above), 0), int(y1 + above) + 1),
            )
            changed[y, x] = False
        return bool(changed.mean() > 0.01)

    def _estimate(self, frame: Frame, found: Detections | None) -> tuple[Poses, npt.NDArray[np.bool_]]:
        """The people in a frame, and which of them were detected."""
        height, width = frame.image.shape[:2]
        tracks = self.tracker.recent(frame.time, self._recent(frame.time)) if self.model.detector is not None else []
        expected = Poses.concatenate([track.at(frame.time) for track in tracks])
        open_rows = _inside(expected.boxes, (width, height))
        boxes, scores = (np.zeros((0, 4), np.float32), np.zeros(0, np.float32)) if found is None else found
        if len(boxes) and len(expected):
            open_rows &= iou(expected.boxes, boxes).max(axis=1) < 0.4
        usual = np.array([track.typical for track in tracks])[open_rows]
        sure = np.arange(len(boxes) + len(usual)) < len(boxes)
        needed = np.concatenate([np.zeros(len(boxes)), 0.5 * usual])
        boxes = np.concatenate([boxes, expected.boxes[open_rows]])
        scores = np.concatenate([scores, expected.box_scores[open_rows]])
        if self.people is not None and len(boxes) > self.people:
            rows = self._largest(boxes, frame.time)
            boxes, scores, sure, needed = boxes[rows], scores[rows], sure[rows], needed[rows]
        poses = self.model.pose.images([frame.image], [boxes], [scores])[0]
        rows = _showing(poses, needed)
        return poses[rows], sure[rows]

    def _largest(self, boxes: Floats, time: float) -> npt.NDArray[np.int64]:
        """Rows of the largest boxes, with hysteresis: a slightly larger person does not replace one already chosen."""
        areas = box_areas(boxes)
        known = self.tracker.boxes(time, self._recent(time))
        if len(known):
            areas = np.where(iou(boxes, known).max(axis=1) > 0.4, 1.3 * areas, areas)
        return np.sort(areas.argsort(kind="stable")[::-1][: self.people])

    def _between(self, frames: Sequence[Frame], until: float, people: Poses, looks: Doubles) -> list[Poses]:
        """People in the frames before `until`, with boxes interpolated between their last position and `people`."""
        if not frames:
            return []
        matched = dict(self.tracker.match(people, until, looks))
        tracks = self.tracker.tracks
        both = [(tracks[row], column) for row, column in matched.items() if until - tracks[row].seen < 1.0]
        # A person who is gone at the end may have been there at first.
        recent = self._recent(until)
        lost = [track for row, track in enumerate(tracks) if row not in matched and until - track.seen <= recent]
        if self.people is not None:
            # People who are there at the end take precedence.
            lost = sorted(lost, key=lambda track: -box_areas(track.pose.boxes)[0])[: self.people - len(both)]
        height, width = frames[0].image.shape[:2]
        columns = [column for _, column in both]
        start = Poses.concatenate([track.pose for track, _ in both]).boxes
        end = people.boxes[columns]
        given = np.concatenate([people.box_scores[columns], [float(track.pose.box_scores[0]) for track in lost]])
        needed = np.concatenate([np.zeros(len(both)), [0.5 * track.typical for track in lost]])
        boxes, scores, least = [], [], []
        for frame in frames:
            share = np.array([(frame.time - track.seen) / (until - track.seen) for track, _ in both], np.float32)
            rows = np.concatenate([start + share[:, None] * (end - start), *(t.at(frame.time).boxes for t in lost)])
            inside = _inside(rows, (width, height))
            boxes.append(rows[inside])
            scores.append(given[inside])
            least.append(needed[inside])
        found = self.model.pose.images([frame.image for frame in frames], boxes, scores)
        return [poses[_showing(poses, bound)] for poses, bound in zip(found, least, strict=True)]


def _showing(poses: Poses, needed: npt.NDArray[np.floating]) -> npt.NDArray[np.int64]:
    """Rows of distinct people whose body reaches the score `needed` (N,): a box that continues without the detector has
    to show a person."""
    body = poses.scores[:, poses.schema.body].mean(axis=1)
    rows = distinct(poses)
    shown: npt.NDArray[np.int64] = rows[(body >= needed)[rows]]
    return shown


def _inside(boxes: Floats, size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """(N,) whether a box overlaps a picture of `size` (w, h)."""
    x0, y0, x1, y1 = boxes.T
    reaches = (x0 < size[0] - 1) & (y0 < size[1] - 1) & (x1 > 1) & (y1 > 1)
    shows: npt.NDArray[np.bool_] = reaches & (x1 - x0 > 1) & (y1 - y0 > 1)
    return shows


def follow(frames: Iterable[Frame], follower: Follower | WholeBody) -> Generator[tuple[Frame, Poses]]:
    """Each frame with its people, who keep their ids. Reading, detection and pose estimation run in separate threads.

    Close the generator (`contextlib.closing`) when leaving it early.

    Args:
        frames: of one video, in order, for instance of `read_video`.
        follower: how people are followed; a `WholeBody` is short for `Follower(model)`.
    """
    follower = follower if isinstance(follower, Follower) else Follower(follower)
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        return
    depth = depth_for(first.image)

    def all_frames() -> Iterator[Frame]:
        yield first
        yield from frames

    slow = follower.latency == "high"
    with closing(ahead(all_frames(), depth if slow else 1)) as read:
        chunks = follower.chunks(read)
        with closing(ahead(chunks, 1) if slow else chunks) as searched:
            for chunk in searched:
                yield from follower(chunk)
