"""Bookmarks: a follower and a smoother that are given one go on as if they had never been stopped."""

from dataclasses import fields, is_dataclass, replace

import numpy as np
import pytest

from test_pipeline import flashed, scene, walker
from walkers import model
from wholebody.errors import WholebodyError
from wholebody.poses import Poses
from wholebody.schema import COCO_WHOLEBODY
from wholebody.tracking.bookmark import Bookmark, Memory, Shot, read_bookmark, write_bookmark
from wholebody.tracking.pipeline import Follower, follow
from wholebody.tracking.smooth import STRONG, Filtered, Smoother
from wholebody.tracking.track import Track


def assert_same(a, b):
    """Two values are the same bit by bit, dataclasses, mappings and arrays inside included."""
    if is_dataclass(a):
        assert type(a) is type(b)
        for field in fields(a):
            assert_same(getattr(a, field.name), getattr(b, field.name))
    elif isinstance(a, (tuple, list)):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    elif hasattr(a, "keys"):
        assert list(a) == list(b)
        assert_same(list(a.values()), list(b.values()))
    elif isinstance(a, np.ndarray):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    else:
        assert a == b and type(a) is type(b)


def any_tracks(rng, count):
    def track(key):
        points, box = rng.uniform(0, 900, (1, 133, 2)), rng.uniform(0, 900, (1, 4))
        pose = Poses(points, rng.uniform(size=(1, 133)), box, rng.uniform(size=1), COCO_WHOLEBODY, np.array([key]))
        look = rng.uniform(0, 90, 3) if key % 2 else np.full(3, np.nan)
        return Track(key, pose, rng.normal(size=2), *rng.uniform(0, 9, 3).tolist(), look)

    return tuple(track(int(key)) for key in rng.permutation(2**40 + np.arange(count)))


def any_bookmark(seed):
    rng = np.random.default_rng(seed)
    tiny = [rng.uniform(0, 255, (36, 64, 3)).astype(np.float32) for _ in range(3)]
    shot = Shot(float(rng.uniform()), tiny[0], any_tracks(rng, seed % 3)) if seed % 2 else None
    searched = float(rng.uniform()) if seed % 3 else np.inf
    counts = rng.integers(0, 99, 4).tolist()
    memory = Memory(
        any_tracks(rng, seed % 4), 2**50 + counts[0], searched, float(rng.uniform()), tiny[1],
        tiny[2] if seed % 4 else None, counts[1], counts[2], bool(seed % 2), shot,
    )  # fmt: skip
    states = {
        int(key): Filtered(float(rng.uniform()), *rng.normal(size=(2, 133, 2)), rng.uniform(size=133) > 0.5)
        for key in rng.permutation(seed % 5)
    }
    return Bookmark(memory, states, counts[3])


@pytest.mark.parametrize("seed", range(12))
def test_what_is_read_is_what_was_written(tmp_path, seed):
    bookmark = any_bookmark(seed)
    write_bookmark(tmp_path / "a.bookmark", bookmark)
    assert_same(read_bookmark(tmp_path / "a.bookmark"), bookmark)
    write_bookmark(tmp_path / "b.bookmark", Bookmark())
    assert_same(replace(read_bookmark(tmp_path / "b.bookmark"), states=Bookmark().states), Bookmark())


def test_what_is_no_bookmark_is_refused(tmp_path):
    path = tmp_path / "a.bookmark"
    path.write_text("a note")
    with pytest.raises(WholebodyError, match="Start again without --resume"):
        read_bookmark(path)
    np.savez(tmp_path / "b.npz", whole=np.zeros(4))
    with pytest.raises(WholebodyError, match="not a bookmark"):
        read_bookmark(tmp_path / "b.npz")


@pytest.mark.parametrize("latency", ["high", pytest.param("low", marks=pytest.mark.slow)])
@pytest.mark.parametrize("every", [8, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 40))])
def test_a_follower_goes_on_from_every_place(tmp_path, latency, every):
    """People meet, somebody comes, somebody leaves; a flash, and a cut."""
    paths = [walker(20, 60), walker(250, -40), walker(150, 3, y=100, height=60, since=0.5, until=1.2)]
    meeting, _ = scene(paths, seconds=1.6)
    late = [replace(frame, time=frame.time + 1.6) for frame in flashed([255, 180, 100])]
    frames = [*meeting, *late]
    want, kept = [], []
    follower, smoother = Follower(model(), every, latency=latency), Smoother(STRONG)
    for n, (frame, poses) in enumerate(follow(frames, follower)):
        smooth = smoother(poses, frame.time)
        want.append((frame.time, poses, smooth))
        if follower.memory.before == frame.time:
            write_bookmark(tmp_path / f"{n}.bookmark", Bookmark(follower.memory, smoother.states))
            kept.append(n)
    assert len(kept) > 15
    for n in kept[::5]:
        bookmark = read_bookmark(tmp_path / f"{n}.bookmark")
        again = Smoother(STRONG, bookmark.states)
        found = follow(frames[n + 1 :], Follower(model(), every, latency=latency, memory=bookmark.memory))
        got = [(frame.time, poses, again(poses, frame.time)) for frame, poses in found]
        assert_same([row[1:] for row in got], [row[1:] for row in want[n + 1 :]])
        assert [row[0] for row in got] == [row[0] for row in want[n + 1 :]]
