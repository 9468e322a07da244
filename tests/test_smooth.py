"""Smoothing: less tremble, little lag, doubtful points held back, real time stamps."""

from dataclasses import replace

import numpy as np
import pytest

from wholebody.poses import Poses
from wholebody.synth.walkers import person, seen
from wholebody.tracking.smooth import LIGHT, STRENGTHS, STRONG, Smoother, smooth_track

FPS = 30


def walk(seconds=3.0, speed=60.0, noise=1.5, fps=FPS):
    """times, the truth (T, 133, 2), and Poses with noise of who walks and swings arms and legs."""
    times = np.arange(0, seconds, 1 / fps)
    truth = np.array([person(100 + speed * t, stride=5 * t) for t in times])
    noisy = [replace(seen([points], noise=noise, seed=n), ids=np.array([7])) for n, points in enumerate(truth)]
    return times, truth, noisy


def live(strength, times, frames):
    smoother = Smoother(strength)
    return np.array([smoother(poses, t).keypoints[0] for poses, t in zip(frames, times, strict=True)])


def afterwards(strength, times, frames):
    points = np.array([poses.keypoints[0] for poses in frames])
    return smooth_track(times, points, np.array([poses.scores[0] for poses in frames]), strength)


def tremble(points, truth):
    """Mean length of the second difference of the error: what the eye sees as trembling."""
    error = np.diff(points - truth, n=2, axis=0)[10:-10]
    return np.hypot(*error.T).mean()


def error(points, truth):
    return np.hypot(*(points - truth)[10:-10].T).mean()


@pytest.mark.parametrize(("strength", "share"), [(LIGHT, 0.65), (STRONG, 0.4)])
@pytest.mark.parametrize("way", [live, afterwards])
def test_trembling_shrinks(way, strength, share):
    times, truth, noisy = walk()
    raw = np.array([poses.keypoints[0] for poses in noisy])
    assert tremble(way(strength, times, noisy), truth) < share * tremble(raw, truth)


def test_light_smoothing_is_nearer_to_the_truth_than_none():
    times, truth, noisy = walk()
    raw = error(np.array([poses.keypoints[0] for poses in noisy]), truth)
    assert error(live(LIGHT, times, noisy), truth) < raw
    assert error(afterwards(LIGHT, times, noisy), truth) < 0.7 * raw


def lag(points, truth, times):
    """Seconds by which a shifted truth fits best."""
    shifts = np.arange(-0.1, 0.1, 0.005)
    centre, path = points.mean(axis=1)[:, 0], truth.mean(axis=1)[:, 0]
    return shifts[np.argmin([np.abs(centre - np.interp(times - s, times, path))[20:-20].sum() for s in shifts])]


def test_looking_both_ways_does_not_lag():
    times, truth, noisy = walk(speed=150, noise=0.5)
    assert abs(lag(afterwards(STRONG, times, noisy), truth, times)) < 0.006
    assert 0 < lag(live(STRONG, times, noisy), truth, times) < 0.08


def test_off_changes_nothing():
    _, _, noisy = walk(seconds=0.3)
    assert STRENGTHS["off"] is None and Smoother(None)(noisy[0], 0.0) is noisy[0]


def test_what_does_not_move_stays_exactly():
    still = replace(seen([person(100)]), ids=np.array([1]))
    times = np.arange(20) / FPS
    for way in (live, afterwards):
        np.testing.assert_allclose(way(STRONG, times, [still] * 20), np.stack([still.keypoints[0]] * 20), atol=1e-3)


def test_a_doubtful_point_does_not_pull():
    """One wild observation with a low score; a sure one moves the estimate."""
    times = np.arange(20) / FPS
    for score, most in ((0.05, 0.5), (0.9, np.inf)):
        frames = [replace(seen([person(100)]), ids=np.array([1])) for _ in times]
        points, scores = frames[12].keypoints.copy(), frames[12].scores.copy()
        points[0, 9] += 80
        scores[0, 9] = score
        frames[12] = replace(frames[12], keypoints=points, scores=scores)
        for way in (live, afterwards):
            moved = np.abs(way(LIGHT, times, frames)[12, 9] - frames[0].keypoints[0, 9]).max()
            assert moved < most and (score < 0.5 or moved > 5)


def test_times_are_real():
    """The same walk with every second frame missing at random lands at the same place."""
    times, truth, noisy = walk(noise=0.0, seconds=2.0)
    kept = np.sort(np.random.RandomState(0).choice(len(times), len(times) // 2, replace=False))
    some = [noisy[n] for n in kept]
    for way, most in ((live, 3.0), (afterwards, 0.5)):
        assert np.abs(way(LIGHT, times[kept], some) - truth[kept])[5:-5].mean() < most


def test_resolution_does_not_matter():
    times, _, noisy = walk()
    double = [replace(poses, keypoints=poses.keypoints * 4, boxes=poses.boxes * 4) for poses in noisy]
    np.testing.assert_allclose(live(LIGHT, times, double), live(LIGHT, times, noisy) * 4, rtol=1e-4, atol=1e-2)


def test_who_was_away_starts_anew():
    smoother = Smoother(STRONG)
    near, far = (replace(seen([person(x)]), ids=np.array([1])) for x in (100, 600))
    smoother(near, 0.0)
    np.testing.assert_array_equal(smoother(far, 1.0).keypoints, far.keypoints)


def test_people_do_not_mix():
    both = replace(seen([person(100), person(500)]), ids=np.array([3, 5]))
    smoother = Smoother(STRONG)
    for n in range(5):
        poses = both[[1, 0]] if n % 2 else both
        np.testing.assert_allclose(smoother(poses, n / FPS).keypoints, poses.keypoints, atol=1e-3)


def test_ids_are_needed():
    with pytest.raises(ValueError, match="ids"):
        Smoother()(seen([person(100)]), 0.0)
    assert len(Smoother()(Poses.empty(), 0.0)) == 0


def test_single_frames_and_doubt_everywhere_are_fine():
    points = np.array([person(100)], np.float32)
    np.testing.assert_allclose(smooth_track(np.zeros(1), points, np.ones((1, 133))), points, atol=1e-2)
    three = np.stack([points[0]] * 3)
    found = smooth_track(np.arange(3) / FPS, three, np.zeros((3, 133)))
    assert np.isfinite(found).all() and np.abs(found - three).max() < 1e-2
