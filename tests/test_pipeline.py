"""The pipeline: order, bounds and errors of its threads, and who is found when."""

import threading
import time
from contextlib import closing

import numpy as np
import pytest

from walkers import model, picture
from wholebody.errors import WholebodyError
from wholebody.tracking.ahead import ahead, depth_for
from wholebody.tracking.pipeline import Follower, follow
from wholebody.video.frame import Frame

FPS = 25


# --- ahead ------------------------------------------------------------------------------------------------------------


def test_ahead_gives_the_same_items():
    assert list(ahead(range(50), 3)) == list(range(50)) and list(ahead([], 3)) == []


def test_ahead_is_bounded():
    made = []

    def items():
        for n in range(50):
            made.append(n)
            yield n

    with closing(ahead(items(), 3)) as taken:
        next(taken)
        time.sleep(0.2)
        # One taken, three waiting, one in hand.
        assert len(made) <= 5


def test_an_error_comes_after_the_items_before_it():
    def items():
        yield from (1, 2)
        raise WholebodyError("the third one fails.")

    taken = ahead(items(), 5)
    assert [next(taken), next(taken)] == [1, 2]
    with pytest.raises(WholebodyError, match="third"):
        next(taken)


def test_leaving_early_stops_the_thread_and_closes_the_source():
    closed = threading.Event()

    def items():
        try:
            while True:
                yield 0
        finally:
            closed.set()

    before = threading.active_count()
    with closing(ahead(ahead(items(), 2), 2)) as taken:
        next(taken)
    assert closed.wait(5)
    assert threading.active_count() == before


def test_large_frames_wait_in_small_numbers():
    assert depth_for(np.empty((4320, 7680, 3), np.uint8)) == 1
    assert depth_for(np.empty((720, 1280, 3), np.uint8)) == 8


# --- Follower ---------------------------------------------------------------------------------------------------------


def scene(paths, seconds=2.0, fps=FPS, shade=lambda t: 20):
    """Frames in which person n has the box paths[n](t), or is absent where that is None; and the boxes."""
    frames, truth = [], []
    for n in range(round(seconds * fps)):
        t = n / fps
        boxes = [path(t) for path in paths]
        frames.append(Frame(t, picture([box for box in boxes if box is not None], shade=shade(t))))
        truth.append(boxes)
    return frames, truth


def walker(x, speed, width=40, height=110, y=60, since=0.0, until=99.0):
    return lambda t: (x + speed * t, y, x + speed * t + width, y + height) if since <= t < until else None


def found(frames, **options):
    follower = Follower(model(), **options)
    return follower, list(follow(frames, follower))


TWO = [walker(20, 60), walker(250, -40, height=150, y=30)]


@pytest.mark.parametrize("latency", ["low", "high"])
@pytest.mark.parametrize("every", [1, 4, 8])
def test_everybody_is_in_every_frame_with_one_id(latency, every):
    frames, truth = scene(TWO)
    follower, rows = found(frames, latency=latency, every=every)
    assert [frame.time for frame, _ in rows] == [frame.time for frame in frames]
    for (_, poses), boxes in zip(rows, truth, strict=True):
        if abs(boxes[0][0] - boxes[1][0]) < 60:
            continue  # they overlap: one blue patch
        assert len(poses) == 2
        middle = np.sort(poses.keypoints[:, :17, 0].mean(axis=1))
        np.testing.assert_allclose(middle, sorted((box[0] + box[2]) / 2 for box in boxes), atol=4)
    ids = {tuple(sorted(poses.ids.tolist())) for _, poses in rows if len(poses) == 2}
    assert ids == {(1, 2)}
    assert follower.searches <= len(frames) / every + (0 if every == 1 else 6)


def test_high_latency_shares_batches():
    frames, _ = scene([walker(60, 20)])
    sizes = {}
    for latency in ("low", "high"):
        whole = model()
        list(follow(frames, Follower(whole, latency=latency)))
        sizes[latency] = max(whole.pose.session.runs)
    assert sizes["low"] == 1 and sizes["high"] >= 3


@pytest.mark.parametrize("latency", ["low", "high"])
def test_a_newcomer_is_found_before_the_detectors_turn(latency):
    frames, _ = scene([walker(30, 10), walker(220, 5, since=0.6)], seconds=2)
    follower, rows = found(frames, every=40, latency=latency)
    first = next(frame.time for frame, poses in rows if len(poses) == 2)
    assert 0.6 <= first < 0.6 + 0.65 and 2 <= follower.searches < 8


def test_who_leaves_is_gone_and_no_ghost_stays():
    frames, _ = scene([walker(30, 10), walker(220, 5, until=1.0)], seconds=2)
    _, rows = found(frames, every=8)
    assert all(len(poses) == 2 for frame, poses in rows if frame.time < 0.99)
    assert all(len(poses) == 1 for frame, poses in rows if frame.time > 1.01)
    assert len({poses.ids[0] for frame, poses in rows if frame.time > 1.01}) == 1


def test_a_cut_is_searched_at_once_and_ids_are_new():
    frames, _ = scene([walker(30, 10, until=1.0), walker(220, 5, since=1.0)], shade=lambda t: 20 if t < 1 else 140)
    follower, rows = found(frames, every=100)
    assert all(poses.ids.tolist() == [1] for frame, poses in rows if frame.time < 1.0)
    assert all(poses.ids.tolist() == [2] for frame, poses in rows if frame.time >= 1.0)
    assert follower.searches >= 2


def flashed(shades):
    """Frames of a person, of which those from the 20th on are empty and of these shades."""
    frames, _ = scene([walker(30, 10)], seconds=2)
    blank = [Frame(frames[20 + n].time, picture([], shade=shade)) for n, shade in enumerate(shades)]
    return [*frames[:20], *blank, *frames[20 + len(shades) :]]


@pytest.mark.parametrize("latency", ["low", "high"])
@pytest.mark.parametrize("shades", [[255], [255] * 4, [255, 180, 100], [255, 200, 165, 130, 95, 60]])
def test_a_flash_gives_nobody_a_new_id(shades, latency):
    """Also where it fades in steps that are no cuts."""
    _, rows = found(flashed(shades), latency=latency)
    ids = [poses.ids.tolist() for _, poses in rows]
    assert all(row == [1] for row in (*ids[:20], *ids[20 + len(shades) :]))
    assert all(row in ([], [1]) for row in ids[20 : 20 + len(shades)])


@pytest.mark.parametrize("latency", ["low", "high"])
def test_a_picture_that_is_back_late_or_another_one_is_a_cut(latency):
    _, rows = found(flashed([255] * 12), latency=latency)
    assert [poses.ids.tolist() for _, poses in rows[32:]] == [[2]] * 18
    # After the flash the same person stands in another shot.
    frames = [Frame(f.time, f.image if n < 22 else np.maximum(f.image, 70)) for n, f in enumerate(flashed([255, 255]))]
    _, rows = found(frames, latency=latency)
    assert [poses.ids.tolist() for _, poses in rows[22:]] == [[2]] * 28


def test_nobody_costs_only_the_detectors_turns():
    frames, _ = scene([], seconds=2)
    follower, rows = found(frames, every=10)
    assert all(len(poses) == 0 for _, poses in rows) and follower.searches <= 6


def test_the_largest_few():
    frames, _ = scene([walker(20, 5, height=60, width=30), walker(100, 5, height=150), walker(200, 5, height=120)])
    _, rows = found(frames, people=2)
    assert all(len(poses) == 2 for _, poses in rows)
    assert {tuple(np.rint(np.ptp(poses.keypoints[:, :17, 1], axis=1) / 10).astype(int)) for _, poses in rows} <= {
        (12, 10), (12, 9), (10, 12), (9, 12), (13, 10), (10, 13),
    }  # fmt: skip


def test_the_largest_few_between_searches_too():
    """Who is passed by somebody larger is not shown beside them."""
    paths = [walker(20, 5, height=100), lambda t: (200, 230 - 90 - 40 * t, 240 + 30 * t, 230)]
    frames, _ = scene(paths)
    _, rows = found(frames, people=1)
    ids = [poses.ids.tolist() for _, poses in rows]
    change = ids.index([2])
    assert change > 0 and ids == [[1]] * change + [[2]] * (len(frames) - change)


@pytest.mark.parametrize("latency", ["low", "high"])
@pytest.mark.parametrize("fps", [0.5, 1, 2, 3, 4, 5, 7])
def test_at_few_frames_a_second_nobody_is_missing(fps, latency):
    frames, _ = scene([walker(20, 3), walker(200, -2, height=150, y=30)], seconds=8, fps=fps)
    follower, rows = found(frames, latency=latency)
    assert all(sorted(poses.ids.tolist()) == [1, 2] for _, poses in rows)
    assert follower.searches == len(frames) if fps <= 3 else follower.searches < len(frames)


@pytest.mark.parametrize("latency", ["low", "high"])
def test_nobody_is_given_up_while_no_search_is_due(latency):
    frames, _ = scene([walker(20, 10)], seconds=5)
    follower, rows = found(frames, every=100, latency=latency)
    assert all(poses.ids.tolist() == [1] for _, poses in rows) and follower.searches <= 3


def test_a_search_follows_when_somebody_is_given_up():
    """The second search misses whom the pose network sees: the detector is asked again before its next turn."""
    frames, _ = scene([walker(60, 0)], seconds=3)
    whole = model()
    searches = []

    class Blinking:
        def images(self, images):
            searches.append(len(images))
            return [(boxes[:0], scores[:0]) if len(searches) == 2 else (boxes, scores) for boxes, scores in see(images)]

    see = whole.detector.images
    follower = Follower(type(whole)(whole.pose, Blinking()), every=40, latency="low")
    there = [len(poses) for _, poses in follow(frames, follower)]
    assert there[:41] == [1] * 41 and 0 < there.count(0) <= 40 // 3


def test_without_a_detector_the_whole_picture_is_one_person():
    frames, _ = scene([walker(60, 0, width=200, height=170, y=30)])
    whole = model()
    follower = Follower(type(whole)(whole.pose, None))
    rows = list(follow(frames, follower))
    assert all(poses.ids.tolist() == [1] for _, poses in rows)
    assert {tuple(poses.boxes[0]) for _, poses in rows} == {(0, 0, 320, 240)}


def test_an_error_in_reading_comes_after_the_frames_before_it():
    frames, _ = scene(TWO, seconds=1)

    def failing():
        yield from frames
        raise WholebodyError("the file ends badly.")

    rows = []
    with pytest.raises(WholebodyError, match="badly"):
        for row in follow(failing(), Follower(model(), latency="low")):
            rows.append(row)
    assert len(rows) == len(frames)


def test_no_frames_no_people():
    assert list(follow([], Follower(model()))) == []


@pytest.mark.parametrize("options", [{"every": 0}, {"people": 0}])
def test_senseless_settings_are_refused(options):
    with pytest.raises(WholebodyError):
        Follower(model(), **options)
