"""The state of tracking and smoothing at one frame of a video, so that a stopped run can continue exactly.

write_bookmark(path, Bookmark(follower.memory, smoother.states))
kept = read_bookmark(path)
follower = Follower(model, memory=kept.memory)               # and the frames after kept.memory.before
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from wholebody.arrays import Floats, PathLike
from wholebody.files import replacing
from wholebody.poses import Poses
from wholebody.reading import load_arrays, reading
from wholebody.schema import schema_named
from wholebody.tracking.smooth import Filtered
from wholebody.tracking.track import Track

# (width, height) of the thumbnail of a frame.
THUMB = (64, 36)


@dataclass(frozen=True, eq=False)
class Shot:
    """The last frame before a cut: its time, its thumbnail, and the tracks."""

    time: float
    thumb: Floats
    tracks: tuple[Track, ...]


@dataclass(frozen=True, eq=False)
class Memory:
    """The state of a follower between two chunks; the defaults are the state at the beginning of a video.

    Attributes:
        tracks, next_id, searched: those of its tracker.
        before: time of the last frame, seconds; None at the beginning.
        last: thumbnail of that frame, (36, 64, 3) float32. thumb: that of the last frame that the detector ran on.
        since: number of frames since the detector ran. turn: since it was last due.
        worried: whether a person was lost since then, or has lower scores.
        shot: the last frame before a cut that may be a flash.
    """

    tracks: tuple[Track, ...] = ()
    next_id: int = 1
    searched: float = np.inf
    before: float | None = None
    last: Floats | None = None
    thumb: Floats | None = None
    since: int = 0
    turn: int = 0
    worried: bool = False
    shot: Shot | None = None


@dataclass(frozen=True, eq=False)
class Bookmark:
    """How to continue.

    Attributes:
        memory: the follower's state after a complete chunk.
        states: the smoother's states by id, after the same frame.
        beyond: number of frames after that one that are done too: a resumed run goes through them again.
    """

    memory: Memory = field(default_factory=Memory)
    states: Mapping[int, Filtered] = field(default_factory=lambda: MappingProxyType({}))
    beyond: int = 0


def write_bookmark(path: PathLike, bookmark: Bookmark) -> None:
    """Write an NPZ file of arrays, without loss.

    Raises:
        WholebodyError: the file cannot be written.
    """
    memory, states = bookmark.memory, bookmark.states
    arrays: dict[str, Any] = {
        "whole": np.array([memory.next_id, memory.since, memory.turn, memory.worried, bookmark.beyond], np.int64),
        "searched": memory.searched,
        **_track_arrays("", memory.tracks),
        "smooth_ids": np.array(list(states), np.int64),
        "smooth_times": np.array([state.time for state in states.values()], np.float64),
    }
    for name in ("points", "speed", "started"):
        if states:
            arrays[f"smooth_{name}"] = np.stack([getattr(state, name) for state in states.values()])
    for name in ("before", "last", "thumb"):
        if getattr(memory, name) is not None:
            arrays[name] = getattr(memory, name)
    if memory.shot is not None:
        shot = memory.shot
        arrays |= {"shot_time": shot.time, "shot_thumb": shot.thumb, **_track_arrays("shot_", shot.tracks)}
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez(file, **arrays)


def read_bookmark(path: PathLike) -> Bookmark:
    """Read what `write_bookmark` wrote.

    Raises:
        WholebodyError: the file cannot be read, or is something else.
    """
    with reading(path, "a bookmark", "Start again without --resume"):
        arrays = load_arrays(path)
        next_id, since, turn, worried, beyond = map(int, arrays["whole"])
        if min(next_id - 1, since, turn, beyond) < 0:
            raise ValueError("a count below nothing")
        shot = None
        if "shot_time" in arrays:
            shot = Shot(_number(arrays["shot_time"]), _thumb(arrays["shot_thumb"]), _tracks(arrays, "shot_"))
        memory = Memory(
            _tracks(arrays, ""),
            next_id,
            _number(arrays["searched"]),
            _number(arrays["before"]) if "before" in arrays else None,
            _thumb(arrays["last"]) if "last" in arrays else None,
            _thumb(arrays["thumb"]) if "thumb" in arrays else None,
            since,
            turn,
            bool(worried),
            shot,
        )
        return Bookmark(memory, _states(arrays), beyond)


_POSE = ("keypoints", "scores", "boxes", "box_scores")
_TRACK = ("velocity", "seen", "confirmed", "typical", "look")


def _track_arrays(prefix: str, tracks: Sequence[Track]) -> dict[str, Any]:
    poses = Poses.concatenate([track.pose for track in tracks])
    arrays = {name: getattr(poses, name) for name in _POSE}
    arrays |= {name: np.array([getattr(track, name) for track in tracks], np.float64) for name in _TRACK}
    arrays |= {"ids": np.array([track.id for track in tracks], np.int64), "schema": np.array(poses.schema.name)}
    return {f"{prefix}{name}": array for name, array in arrays.items()}


def _tracks(arrays: Mapping[str, npt.NDArray[Any]], prefix: str) -> tuple[Track, ...]:
    found = {name: arrays[f"{prefix}{name}"] for name in (*_POSE, *_TRACK, "ids", "schema")}
    n = len(found["ids"])
    shapes = {"velocity": (n, 2), "seen": (n,), "confirmed": (n,), "typical": (n,), "look": (n, 3)}
    if not n:
        return ()
    for name, shape in shapes.items():
        _expect(found[name], shape, "<f8")
    keypoints, scores, boxes, box_scores = (found[name] for name in _POSE)
    poses = Poses(keypoints, scores, boxes, box_scores, schema_named(str(found["schema"])), found["ids"])
    rows = zip(*(found[name] for name in _TRACK), strict=True)
    return tuple(
        Track(int(pose.ids[0]), pose, velocity, float(seen), float(confirmed), float(typical), look)
        for pose, (velocity, seen, confirmed, typical, look) in zip(poses, rows, strict=True)
        if pose.ids is not None
    )


def _states(arrays: Mapping[str, npt.NDArray[Any]]) -> dict[int, Filtered]:
    ids, times = arrays["smooth_ids"], arrays["smooth_times"]
    if not len(ids):
        return {}
    points, speed, started = (arrays[f"smooth_{name}"] for name in ("points", "speed", "started"))
    _expect(times, (len(ids),), "<f8")
    for array in (points, speed):
        _expect(array, (len(ids), *points.shape[1:2], 2), "<f8")
    _expect(started, points.shape[:2], "|b1")
    rows = zip(ids.tolist(), times.tolist(), points, speed, started, strict=True)
    return {int(key): Filtered(*state) for key, *state in rows}


def _number(array: npt.NDArray[Any]) -> float:
    _expect(array, (), "<f8")
    return float(array)


def _thumb(array: npt.NDArray[Any]) -> Floats:
    _expect(array, (THUMB[1], THUMB[0], 3), "<f4")
    return array


def _expect(array: npt.NDArray[Any], shape: tuple[int, ...], kind: str) -> None:
    if array.shape != shape or array.dtype != np.dtype(kind):
        raise ValueError(f"an array {array.shape} of {array.dtype} for {shape} of {np.dtype(kind)}")
