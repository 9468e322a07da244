"""Smoothing keypoints: a filter for live video, and one without lag for recorded video.

    smoother = Smoother(LIGHT)
    poses = smoother(poses, time)                    # poses.ids are needed

Live: the One-Euro filter (Casiez, Roussel, Vogel 2012). Its cut-off rises with speed, so that a still hand is steady
and a fast one does not lag. Here it uses the true times of the frames, measures speed relative to the size of the
person, and has separate constants for each part. A point with a low score changes the estimate less.

Afterwards (`smooth_track`): at each time, a parabola is fitted to the neighbours in time, weighted by distance in time
and by score. It looks in both directions, so nothing lags and turning points stay in place.

Scores, boxes and ids are unchanged.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from wholebody.arrays import Doubles, Floats
from wholebody.poses import Poses
from wholebody.schema import Schema


@dataclass(frozen=True)
class Strength:
    """The strength of the smoothing.

    Attributes:
        cutoff: lowest cut-off frequency of the One-Euro filter, hertz, for each part.
        beta: the rise of the cut-off in hertz, at a speed of one person size per second.
        window: standard deviation of the two-sided window, in seconds.
    """

    cutoff: Mapping[str, float]
    beta: float
    window: float


def _parts(body: float, face: float, hands: float) -> Mapping[str, float]:
    return MappingProxyType(
        {"body": body, "feet": body, "face": face, "left_hand": hands, "right_hand": hands},
    )


LIGHT = Strength(_parts(2.0, 2.0, 3.0), 10.0, 0.04)


STRONG = Strength(_parts(0.8, 0.8, 1.2), 5.0, 0.10)
STRENGTHS: Mapping[str, Strength | None] = MappingProxyType({"off": None, "light": LIGHT, "strong": STRONG})

# A point counts fully from the upper score, and not at all below the lower one.
_UNSURE, _SURE = 0.05, 0.4

# After an absence of this many seconds, the filter restarts.
_AWAY = 0.4
_SPEED_CUTOFF = 1.5  # hertz, of the speed


def trust(scores: npt.NDArray[np.floating]) -> Doubles:
    """0..1, how much a point with a given score changes the estimate."""
    return np.clip((np.asarray(scores, np.float64) - _UNSURE) / (_SURE - _UNSURE), 0, 1)


def size_of(boxes: npt.NDArray[np.floating]) -> Doubles:
    """(N,) the longer side of each box (N, 4), the unit of speed."""
    size: Doubles = np.maximum(boxes[:, 2:] - boxes[:, :2], 1).max(axis=1).astype(np.float64)
    return size


@dataclass(frozen=True, eq=False)
class Filtered:
    """The state of the filter for one person; it is never changed in place."""

    time: float
    points: Doubles  # (K, 2) the estimate
    speed: Doubles  # (K, 2) pixels in a second
    started: npt.NDArray[np.bool_]  # (K,) whether there was a confident observation yet


@dataclass(eq=False)
class Smoother:
    """The One-Euro filter over the people of a video, in the order of time.

    Attributes:
        strength: LIGHT, STRONG or your own; None changes nothing.
        states: the state for each id. A smoother that starts with it continues exactly as this one would.
    """

    strength: Strength | None = LIGHT
    states: Mapping[int, Filtered] = field(default_factory=lambda: MappingProxyType({}), repr=False)

    def __call__(self, poses: Poses, time: float) -> Poses:
        """The people with smoothed keypoints.

        Args:
            poses: people with ids.
            time: seconds, later than the last one.

        Raises:
            ValueError: there are people without ids.
        """
        if self.strength is None:
            return poses
        if poses.ids is None:
            if len(poses):
                raise ValueError("smoothing needs ids: track the people first.")
            return poses
        states = {key: state for key, state in self.states.items() if time - state.time <= _AWAY}
        cutoff = _cutoffs(poses.schema, self.strength)
        keypoints = poses.keypoints.copy()
        sizes = size_of(poses.boxes)
        for n, person in enumerate(poses.ids.tolist()):
            state, size = states.get(person), float(sizes[n])
            state = _step(state, time, keypoints[n], poses.scores[n], size, cutoff, self.strength.beta)
            states[person] = state
            keypoints[n] = state.points
        self.states = states
        return replace(poses, keypoints=keypoints)


def _cutoffs(schema: Schema, strength: Strength) -> Doubles:
    cutoff = np.full(len(schema), strength.cutoff["body"])
    for part, rows in schema.parts.items():
        cutoff[rows] = strength.cutoff.get(part, strength.cutoff["body"])
    return cutoff


def _alpha(cutoff: Doubles | float, step: float) -> Doubles:
    """The weight of a new value in a low-pass filter: 1 / (1 + tau / step), tau = 1 / (2 pi cutoff)."""
    return np.asarray(1 / (1 + 1 / (2 * np.pi * np.asarray(cutoff) * step)))


def _step(
    state: Filtered | None, time: float, points: Floats, scores: Floats, size: float, cutoff: Doubles, beta: float
) -> Filtered:
    trusted = trust(scores)
    observed = points.astype(np.float64)
    if state is None:
        return Filtered(time, observed, np.zeros_like(observed), trusted > 0.5)
    step = max(time - state.time, 1e-3)
    # A point that was never confidently seen is not worth keeping.
    fresh = ~state.started
    rate = (observed - state.points) / step
    speed = state.speed + (_alpha(_SPEED_CUTOFF, step) * trusted)[:, None] * (rate - state.speed)
    fast = np.hypot(*speed.T) / size
    moved = _alpha(cutoff + beta * fast, step) * trusted
    moved = np.where(fresh, 1.0, moved)[:, None]
    speed[fresh] = 0
    return Filtered(time, state.points + moved * (observed - state.points), speed, state.started | (trusted > 0.5))


def smooth_track(times: Doubles, keypoints: Floats, scores: Floats, strength: Strength = LIGHT) -> Floats:
    """One person's keypoints, smoothed in both directions in time.

    The value at each time is that of the best-fitting parabola, with weights exp(-(t - t_i)^2 / (2 window^2)) times a
    confidence. If there are too few confident observations for a parabola, a line or the weighted mean is used; if
    there are none, the point is unchanged.

    Args:
        times: (T,) seconds, increasing.
        keypoints: (T, K, 2).
        scores: (T, K).

    Returns:
        (T, K, 2) float32.
    """
    sigma = strength.window
    first = np.searchsorted(times, times - 3 * sigma, side="left")
    last = np.searchsorted(times, times + 3 * sigma, side="right")
    trusted = trust(scores) + 1e-6
    smoothed = keypoints.astype(np.float64)
    for n, (low, high) in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
        t = (times[low:high] - times[n]) / sigma
        weight = np.exp(-(t**2) / 2)[:, None] * trusted[low:high]
        powers = np.stack([t**p for p in range(5)])
        s = powers @ weight  # (5, K) moments
        values = np.einsum("pt,tk,tkc->pkc", powers[:3], weight, keypoints[low:high].astype(np.float64))
        smoothed[n] = _at_zero(s, values)
    return smoothed.astype(np.float32)


def _at_zero(s: Doubles, y: Doubles) -> Doubles:
    """(K, 2) the value at 0 of the weighted least-squares parabola, from moments s (5, K) and y (3, K, 2)."""
    # Relative to the weighted mean, with a small ridge on the higher moments: if the data do not determine a parabola,
    # the fit degrades to a line or the mean.
    mean = y[0] / s[0][:, None]
    y = y - s[:3, :, None] * mean
    s0, s1, s2, s3, s4 = s[0], s[1], s[2] + 1e-3 * s[0], s[3], s[4] + 1e-2 * s[0]
    # Cramer's rule for the first unknown of the symmetric 3 x 3 system.
    c0, c1, c2 = s2 * s4 - s3 * s3, s2 * s3 - s1 * s4, s1 * s3 - s2 * s2
    determinant = s0 * c0 + s1 * c1 + s2 * c2
    value: Doubles = mean + (c0[:, None] * y[0] + c1[:, None] * y[1] + c2[:, None] * y[2]) / determinant[:, None]
    return value
