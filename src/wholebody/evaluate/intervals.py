"""Confidence intervals: the bootstrap over pictures."""

from dataclasses import dataclass

import numpy as np

from wholebody.arrays import Bools, Doubles, Floats, Ints
from wholebody.evaluate.report import RECALLS, Figure

# With more images, the bootstrap resamples blocks of images, and samples a longer precision curve at this many places.
# The intervals are then off by at most about a tenth of their width.
BLOCKS, PLACES = 256, 256

# Pairs compared at once: few enough for the CPU cache.
CHUNK = 512


@dataclass(frozen=True, eq=False)
class Resamples:
    """How often each block of images is drawn in each resample, and the block of each image."""

    weights: Floats  # (1 + B, blocks), in the first row every block once
    block: Ints  # (I,)

    def curves(self, hit: Bools, counted: Bools, image: Ints, people: Ints, exact: Doubles) -> tuple[Doubles, Doubles]:
        """`_curve` of each resample: (B, T) twice, corrected for sampling the curve at few places.

        Args:
            hit, counted: (T, n). image: (n,) of each prediction. people: (I,) number that count in each image.
            exact: (T,) average precision of all images.
        """
        (b, blocks), (t, n) = self.weights.shape, hit.shape
        if b == 1 or n == 0 or people.sum() == 0:
            return np.tile(exact, (b - 1, 1)), np.tile(exact, (b - 1, 1))
        places = min(n, PLACES)
        place = np.arange(n) * places // n
        at = (np.arange(t)[:, None] * places + place) * blocks + self.block[image]
        # (blocks, T * places): each block's contribution at each place of the curve; float32 is exact up to 16 million.
        hits, all_counted = (
            np.bincount(at[which], minlength=t * places * blocks).reshape(-1, blocks).astype(np.float32).T
            for which in (hit, counted)
        )
        total = self.weights @ np.bincount(self.block, weights=people, minlength=blocks).astype(np.float32)
        precisions, recalls = np.empty((b, t)), np.empty((b, t))
        for i in range(0, b, 100):
            weights, goal = self.weights[i : i + 100], total[i : i + 100]
            precisions[i : i + 100], recalls[i : i + 100] = _coarse(
                (weights @ hits).reshape(-1, t, places), (weights @ all_counted).reshape(-1, t, places), goal
            )
        return np.clip(precisions[1:] + exact - precisions[0], 0, 1), recalls[1:]


def _coarse(hits: Floats, counted: Floats, people: Floats) -> tuple[Floats, Floats]:
    """`_curve` of (b, T, places) counts at each place: (b, T) twice, NaN if a resample has no people."""
    hits, counted = hits.cumsum(axis=2), counted.cumsum(axis=2)
    precision = hits / np.maximum(counted, 1)
    envelope = np.maximum.accumulate(precision[..., ::-1], axis=2)[..., ::-1]
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = hits / people[:, None, None]
    reached = np.floor(recall * np.float32(100) + np.float32(1.0001))
    steps = np.diff(reached, axis=2, prepend=np.float32(0))
    return (envelope * steps).sum(axis=2) / np.float32(len(RECALLS)), recall[..., -1]


def drawn_people(images: int, resamples: int, seed: int) -> Resamples:
    rng = np.random.default_rng(seed)
    blocks = max(1, min(images, BLOCKS))
    block = rng.permutation(images) % blocks
    weights = rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=resamples)
    return Resamples(np.vstack([np.ones(blocks), weights]).astype(np.float32), block)


def figure(value: float, spread: Doubles) -> Figure:
    spread = spread[np.isfinite(spread)]
    low, high = np.percentile(spread, [2.5, 97.5]) if len(spread) and np.isfinite(value) else (np.nan, np.nan)
    return Figure(float(value), float(low), float(high))
