"""Codecs: keypoints <-> the outputs of a network, encoded for training and decoded after inference.

SimCC       two distributions, along x and along y (RTMPose, DWPose)
Heatmap     one map of the crop, bright where the point is (SimpleBaseline, HRNet, ViTPose)
Regression  the coordinates themselves (DeepPose, RLE)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Protocol, get_args

import numpy as np
import numpy.typing as npt

from wholebody.arrays import Floats, Ints
from wholebody.errors import WholebodyError


class Codec(Protocol):
    """Keypoints in input pixels <-> the outputs of a network.

    Attributes:
        input_size: (w, h) of the network's input in pixels.
        udp: whether crops are cut as in unbiased data processing (see `geometry.crop_matrix`).
        decode: (*outputs) -> keypoints (..., K, 2) in input pixels and scores (..., K).
        mirror: (flip, *outputs) -> the outputs for a mirrored crop, mirrored back to match the crop itself; `flip` is
            the schema's mirror permutation (K,).
    """

    @property
    def input_size(self) -> tuple[int, int]: ...
    @property
    def udp(self) -> bool: ...
    @property
    def decode(self) -> Callable[..., tuple[Floats, Floats]]: ...
    @property
    def mirror(self) -> Callable[..., tuple[Floats, ...]]: ...


def merge_flipped(codec: Codec, outputs: Sequence[Floats], flipped: Sequence[Floats], flip: Ints) -> tuple[Floats, ...]:
    """Average the outputs for a crop and those for its mirror image (flip test).

    Args:
        flip: (K,) the schema's mirror permutation.
    """
    return tuple((one + other) * 0.5 for one, other in zip(outputs, codec.mirror(flip, *flipped), strict=True))


# The factor on logits before a softmax, in training (`train.distill`) and here.
SHARPNESS = 10.0

# Of the input's height. A person that fills a crop has an extent, the root of the area, of about two fifths of it; the
# best on photos was less than half of that, because the distributions are wider than the errors.
_EXTENT = 5 / 32
_LEAST_TOLERANCE = 1 / 128


def oks_tolerances(sigmas: npt.NDArray[np.floating], input_size: tuple[int, int]) -> tuple[float, ...]:
    """`SimCC.tolerances` for keypoints with a schema's `sigmas` (K,) and an input (w, h) that holds one person.

    The narrowest are widened to two pixels of 256, about the width of a label: more cosines would add nothing.
    """
    height = input_size[1]
    return tuple(np.maximum(2 * sigmas * _EXTENT * height, _LEAST_TOLERANCE * height).round(3).tolist())


@dataclass(frozen=True)
class SimCC:
    """Keypoints <-> one distribution along x and one along y.

    Attributes:
        input_size: (w, h) of the network's input in pixels.
        split_ratio: bins per input pixel.
        sigma: standard deviation of the encoded Gaussians along x and y, in bins.
        normalize: whether an encoded distribution sums to 1; the RTMPose recipes leave its peak at 1.
        tolerances: (K,) standard deviation of OKS's Gaussian for each keypoint, in input pixels. If given, `decode`
            returns the position with the highest expected OKS instead of the most likely one, which is better where
            the network hesitates between places (`oks_tolerances`).

    Raises:
        ValueError: a tolerance is not a positive number.
    """

    input_size: tuple[int, int]
    split_ratio: float = 2.0
    sigma: tuple[float, float] = (4.9, 5.66)
    normalize: bool = False
    tolerances: tuple[float, ...] = ()
    udp = False

    def __post_init__(self) -> None:
        if not all(0 < tolerance < np.inf for tolerance in self.tolerances):
            raise ValueError("tolerances must be positive numbers")

    @property
    def bins(self) -> tuple[int, int]:
        """Number of bins along x and y."""
        w, h = self.input_size
        return int(w * self.split_ratio), int(h * self.split_ratio)

    def encode(
        self, keypoints: npt.NDArray[np.floating], visible: npt.NDArray[np.generic]
    ) -> tuple[Floats, Floats, Floats]:
        """Labels of one or more people.

        A point is put at the nearest bin (halves to even) and spread as a Gaussian cut off at three sigma. A point
        with `visible` below 0.5 gets an all-zero label but keeps its weight, as in the released recipes; a point
        whose whole Gaussian lies outside the input gets weight 0.

        Args:
            keypoints: (..., K, 2) input pixels.
            visible: (..., K) visibility or confidence.

        Returns:
            x (..., K, X), y (..., K, Y) and weight (..., K), float32.
        """
        with np.errstate(invalid="ignore"):
            means = np.rint(np.asarray(keypoints) * self.split_ratio)
        drawn, weight = _drawn(means, self.bins, self.sigma, visible)
        labels = []
        for axis, (bins, sigma) in enumerate(zip(self.bins, self.sigma, strict=True)):
            mean = np.where(drawn, means[..., axis], 0).astype(np.float32)
            distance = np.arange(bins, dtype=np.float32) - mean[..., None]
            label = np.exp(-(distance**2) / np.float32(2 * sigma**2))
            if self.normalize:
                label /= np.float32(sigma * np.sqrt(2 * np.pi))
            labels.append(np.where(drawn[..., None], label, 0).astype(np.float32))
        return labels[0], labels[1], weight

    def weight(self, keypoints: npt.NDArray[np.floating], visible: npt.NDArray[np.generic]) -> Floats:
        """The weight that `encode` returns, without computing the distributions."""
        with np.errstate(invalid="ignore"):
            means = np.rint(np.asarray(keypoints) * self.split_ratio)
        return _drawn(means, self.bins, self.sigma, visible)[1]

    def decode(self, x: npt.NDArray[np.floating], y: npt.NDArray[np.floating]) -> tuple[Floats, Floats]:
        """The position of each keypoint: the most likely one, or with `tolerances` that of the highest expected OKS.

        Args:
            x: (..., K, X), y: (..., K, Y).

        Returns:
            keypoints (..., K, 2) in input pixels and scores (..., K), the smaller of the two maxima. If it is not
            positive there is no keypoint, and both coordinates are -1 bin.
        """
        best = [self.merit(logits).argmax(axis=-1) for logits in (x, y)]
        at = np.stack(best, axis=-1).astype(np.float32)
        scores = np.minimum(x.max(axis=-1), y.max(axis=-1))
        at[scores <= 0] = -1
        return at / np.float32(self.split_ratio), scores.astype(np.float32, copy=False)

    def merit(self, logits: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
        """What `decode` maximises along one axis: (..., K, bins) logits -> the same, or with `tolerances` each bin's
        expected OKS.

        OKS is the product of a Gaussian of the error along x and one along y, and the two distributions are
        independent, so each axis has its own maximum. The distribution, a softmax as in `deviation`, is smoothed with
        the Gaussian as a product in the cosine domain (`cosines`), which mirrors it at the borders.
        """
        if not self.tolerances:
            return logits
        basis, response = self.cosines(logits.shape[-1])
        weights = _likelihood(logits, SHARPNESS)
        weights /= weights.sum(axis=-1, keepdims=True)
        return np.asarray(((weights @ basis) * response) @ basis.T, np.float32)

    def cosines(self, bins: int) -> tuple[Floats, Floats]:
        """The orthonormal cosines (DCT-II) that a Gaussian of the smallest tolerance lets pass, (bins, R), and their
        factors for each keypoint, (K, R)."""
        return _cosines(self.tolerances, self.split_ratio, bins)

    def deviation(
        self, x: npt.NDArray[np.floating], y: npt.NDArray[np.floating], sharpness: float = SHARPNESS
    ) -> npt.NDArray[np.float32]:
        """The estimated error of each keypoint: half the width of the middle 68 % of its distribution.

        For a Gaussian this is the standard deviation. As in training, the logits become a distribution by a softmax
        after multiplication by `sharpness` (`train.distill`). Its variance would mostly reflect the flat floor far from
        the peak.

        Args:
            x: (..., K, X), y: (..., K, Y).

        Returns:
            (..., K, 2) input pixels, along x and along y.
        """
        ranges = []
        for logits in (x, y):
            total = np.cumsum(_likelihood(logits, sharpness), axis=-1, dtype=np.float64)
            total /= total[..., -1:]
            ranges.append(_quantile(total, 0.84) - _quantile(total, 0.16))
        return (np.stack(ranges, axis=-1) / (2 * self.split_ratio)).astype(np.float32)

    def mirror(self, flip: Ints, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """See `Codec`."""
        return x[..., flip, ::-1], y[..., flip, :]


def _likelihood(logits: npt.NDArray[np.floating], sharpness: float) -> npt.NDArray[np.floating]:
    """(..., bins) logits -> their softmax at this sharpness, relative to its maximum."""
    return np.asarray(np.exp(np.float32(sharpness) * (logits - logits.max(axis=-1, keepdims=True))))


@lru_cache(maxsize=8)
def _cosines(tolerances: tuple[float, ...], split_ratio: float, bins: int) -> tuple[Floats, Floats]:
    """See `SimCC.cosines`; every decoding uses the same two tables."""
    spread = np.array(tolerances)[:, None] * split_ratio
    # Beyond three standard deviations of its own Gaussian a frequency has a factor below 0.02.
    count = min(bins, int(np.ceil(3 * bins / (np.pi * spread.min()))))
    phase = np.pi * np.arange(count) / bins
    basis = np.cos((np.arange(bins)[:, None] + 0.5) * phase) * np.sqrt(2 / bins)
    basis[:, 0] /= np.sqrt(2)
    return basis.astype(np.float32), np.exp(-((phase * spread) ** 2) / 2).astype(np.float32)


def _quantile(total: npt.NDArray[np.float64], share: float) -> npt.NDArray[np.float64]:
    """The position, in bins, where cumulative sums (..., bins) reach a given fraction; linear within a bin."""
    at = (total < share).sum(axis=-1, keepdims=True)
    before = np.where(at > 0, np.take_along_axis(total, np.maximum(at - 1, 0), axis=-1), 0)
    within = (share - before) / (np.take_along_axis(total, at, axis=-1) - before)
    return np.asarray((at + within)[..., 0])


Style = Literal["msra", "dark", "udp"]


@dataclass(frozen=True)
class Heatmap:
    """Keypoints <-> a map of the crop with a Gaussian at the point.

    The style is one of three families, each with its own encoding and decoding:

    "msra"  SimpleBaseline (Xiao et al. 2018) and HRNet: the Gaussian is centred on the nearest cell; the maximum is
            moved a quarter of a cell towards its higher neighbour.
    "dark"  Distribution-aware coordinates (Zhang et al. 2020): the Gaussian is centred on the point itself; the map is
            smoothed, and the maximum moved to that of the second-order Taylor expansion of the log map.
    "udp"   Unbiased data processing (Huang et al. 2020), ViTPose: as "dark", but the sizes of map and crop are counted
            in intervals between pixel centres, so that mirroring is exact.

    For "msra" and "dark", cell i is at i * stride input pixels. A mirrored map is then off by nearly one cell, and
    `mirror` shifts it by one, as the released code of these models does.

    Attributes:
        input_size: (w, h) of the network's input in pixels.
        stride: input pixels per cell.
        sigma: standard deviation of the Gaussian, in cells; also that of the smoothing.
        style: see above.

    Raises:
        WholebodyError: unknown style.
    """

    input_size: tuple[int, int]
    stride: float = 4.0
    sigma: float = 2.0
    style: Style = "msra"

    def __post_init__(self) -> None:
        if self.style not in get_args(Style):
            raise WholebodyError(
                f"heatmap style {self.style!r} is unknown. Choose one of {', '.join(get_args(Style))}."
            )

    @property
    def udp(self) -> bool:
        """Whether crops are cut as in unbiased data processing."""
        return self.style == "udp"

    @property
    def size(self) -> tuple[int, int]:
        """(w, h) of a map in cells."""
        w, h = self.input_size
        return round(w / self.stride), round(h / self.stride)

    @property
    def cell(self) -> npt.NDArray[np.float64]:
        """(x, y) distance between two cells in input pixels."""
        ends = int(self.udp)
        (w, h), (columns, rows) = self.input_size, self.size
        return np.array([(w - ends) / (columns - ends), (h - ends) / (rows - ends)])

    def encode(self, keypoints: npt.NDArray[np.floating], visible: npt.NDArray[np.generic]) -> tuple[Floats, Floats]:
        """Labels of one or more people: Gaussians with a peak of 1, cut off at three sigma except for "dark".

        As for `SimCC`, a point with `visible` below 0.5 gets an all-zero map but keeps its weight, and a point whose
        whole Gaussian lies outside the map gets weight 0.

        Args:
            keypoints: (..., K, 2) input pixels.
            visible: (..., K) visibility or confidence.

        Returns:
            maps (..., K, h, w) and weight (..., K), float32.
        """
        with np.errstate(invalid="ignore"):
            cells = np.asarray(keypoints) / self.cell
            nearest = np.floor(cells + 0.5)
        drawn, weight = _drawn(nearest, self.size, (self.sigma, self.sigma), visible)
        means = np.where(drawn[..., None], nearest if self.style == "msra" else cells, 0)
        nearest = np.where(drawn[..., None], nearest, 0)
        rows = []
        for axis, size in enumerate(self.size):
            at = np.arange(size)
            row = np.exp(-((at - means[..., axis, None]) ** 2) / (2 * self.sigma**2))
            if self.style != "dark":
                row[np.abs(at - nearest[..., axis, None]) > 3 * self.sigma] = 0
            rows.append((row * drawn[..., None]).astype(np.float32))
        x, y = rows
        return y[..., :, None] * x[..., None, :], weight

    def decode(self, maps: npt.NDArray[np.floating]) -> tuple[Floats, Floats]:
        """The most likely position of each keypoint.

        A maximum at the border stays on its cell, because the refinement lacks a neighbour. One near the border is
        drawn inwards, because the smoothing treats everything outside as 0.

        Args:
            maps: (..., K, h, w).

        Returns:
            keypoints (..., K, 2) in input pixels and scores (..., K), the maxima. If a maximum is not positive there is
            no keypoint, and both coordinates are -1 cell.

        Raises:
            WholebodyError: the maps have another size.
        """
        *lead, h, w = maps.shape
        if (w, h) != self.size:
            raise WholebodyError(
                f"heatmaps are {w} x {h}, expected {self.size[0]} x {self.size[1]}: give the codec's stride."
            )
        maps = maps.reshape(-1, h, w)
        peaks = maps.reshape(-1, h * w).argmax(axis=1)
        at = np.stack([peaks % w, peaks // w], axis=-1)
        scores = maps[np.arange(len(maps)), at[:, 1], at[:, 0]].astype(np.float32)
        cells = at + (_quarter(maps, at) if self.style == "msra" else _taylor(maps, at, self.sigma, self.udp))
        cells[~(scores > 0)] = -1
        keypoints = (cells * self.cell).astype(np.float32)
        return keypoints.reshape(*lead, 2), scores.reshape(lead)

    def mirror(self, flip: Ints, maps: Floats) -> tuple[Floats]:
        """See `Codec`."""
        turned = maps[..., flip, :, ::-1]
        if self.udp:
            return (turned,)
        return (np.concatenate([turned[..., :1], turned[..., :-1]], axis=-1),)


@dataclass(frozen=True)
class Regression:
    """Keypoints <-> coordinates as fractions of the input's sides (DeepPose, Toshev and Szegedy 2014).

    Attributes:
        input_size: (w, h) of the network's input in pixels.
        sigmoid: whether the sigmas are raw outputs, before the sigmoid that makes them fractions.
    """

    input_size: tuple[int, int]
    sigmoid: bool = True
    udp = False

    def encode(self, keypoints: npt.NDArray[np.floating], visible: npt.NDArray[np.generic]) -> tuple[Floats, Floats]:
        """Labels of one or more people.

        Args:
            keypoints: (..., K, 2) input pixels.
            visible: (..., K) visibility or confidence.

        Returns:
            coordinates (..., K, 2) and weight (..., K), float32. The weight is 1 where a point is visible (0.5 or more)
            and inside the input, else 0; points that are not finite have coordinates 0.
        """
        keypoints = np.asarray(keypoints)
        finite = np.isfinite(keypoints).all(axis=-1)
        coordinates = np.where(finite[..., None], keypoints, 0) / self.input_size
        inside = ((keypoints >= 0) & (keypoints <= np.array(self.input_size) - 1)).all(axis=-1)
        return coordinates.astype(np.float32), (inside & (np.asarray(visible) >= 0.5)).astype(np.float32)

    def decode(self, coordinates: npt.NDArray[np.floating]) -> tuple[Floats, Floats]:
        """The position of each keypoint.

        Args:
            coordinates: (..., K, 2), (..., K, 3) with a score in the last column, or (..., K, 4) with sigmas along x
                and y (residual log-likelihood estimation, Li et al. 2021).

        Returns:
            keypoints (..., K, 2) in input pixels and scores (..., K): the network's, 1 - mean sigma, or 1.

        Raises:
            WholebodyError: another number of columns.
        """
        keypoints = coordinates[..., :2] * np.array(self.input_size, np.float32)
        scores: npt.NDArray[np.floating]
        match coordinates.shape[-1]:
            case 2:
                scores = np.ones(coordinates.shape[:-1], np.float32)
            case 3:
                scores = coordinates[..., 2]
            case 4:
                sigmas = coordinates[..., 2:]
                # The sigmoid as a tanh, which does not overflow.
                sigmas = 0.5 + 0.5 * np.tanh(sigmas / 2) if self.sigmoid else sigmas
                scores = np.clip(1 - sigmas.mean(axis=-1), 0, 1)
            case columns:
                raise WholebodyError(f"coordinates have {columns} columns, expected 2, 3 or 4. Choose another codec.")
        return keypoints.astype(np.float32, copy=False), scores.astype(np.float32, copy=False)

    def mirror(self, flip: Ints, coordinates: Floats) -> tuple[Floats]:
        """See `Codec`."""
        turned = coordinates[..., flip, :]
        # Pixel x is pixel w - 1 - x of the mirror image.
        turned[..., 0] = 1 - 1 / self.input_size[0] - turned[..., 0]
        return (turned,)


def _drawn(
    means: npt.NDArray[np.floating],
    sizes: tuple[int, int],
    sigmas: tuple[float, float],
    visible: npt.NDArray[np.generic],
) -> tuple[npt.NDArray[np.bool_], Floats]:
    """Which Gaussians (..., K) to draw, and the weight of each point.

    Args:
        means: (..., K, 2) whole bins or cells. sizes: of the axes. sigmas: along the axes.
    """
    weight = np.array(visible, dtype=np.float32)
    shown = weight >= 0.5
    reach = 3 * np.array(sigmas)
    inside = ((means - reach < sizes) & (means + reach + 1 >= 0)).all(axis=-1)
    weight[shown & ~inside] = 0
    return shown & inside, weight


def _around(maps: npt.NDArray[np.floating], at: Ints, reach: int) -> Floats:
    """The cells around one of each map, 0 outside: (M, h, w) and (M, 2) x, y -> (M, 2 reach + 1, 2 reach + 1)."""
    h, w = maps.shape[1:]
    x, y = (at[:, axis, None] + np.arange(-reach, reach + 1) for axis in (0, 1))
    inside = ((y >= 0) & (y < h))[:, :, None] & ((x >= 0) & (x < w))[:, None, :]
    values = maps[np.arange(len(maps))[:, None, None], y.clip(0, h - 1)[:, :, None], x.clip(0, w - 1)[:, None, :]]
    return np.where(inside, values, 0).astype(np.float32)


def _inner(maps: npt.NDArray[np.floating], at: Ints, reach: int) -> npt.NDArray[np.bool_]:
    """(M, 2) whether there are at least `reach` cells on both sides along x and y."""
    return (at >= reach) & (at < np.array(maps.shape[:0:-1]) - reach)


def _quarter(maps: npt.NDArray[np.floating], at: Ints) -> Floats:
    """(M, 2) a quarter of a cell towards the higher neighbour along x and along y; 0 between equals."""
    near = _around(maps, at, 1)
    slope = np.stack([near[:, 1, 2] - near[:, 1, 0], near[:, 2, 1] - near[:, 0, 1]], axis=-1)
    return np.sign(slope) * np.float32(0.25) * _inner(maps, at, 1)


# In cells. Farther from the maximum the expansion is meaningless: flat or multimodal maps would give arbitrary points.
_LONGEST_STEP = 2.0


def _taylor(maps: npt.NDArray[np.floating], at: Ints, sigma: float, udp: bool) -> npt.NDArray[np.float64]:
    """(M, 2) the step from a map's maximum to that of the Taylor expansion of the log of the smoothed map.

    The two papers' released codes differ in how they take second derivatives: over two cells (DARK) or one (UDP).
    """
    reach = 2
    # OpenCV's kernel for 11 cells where sigma is 2, and within 4 % that for 17 where sigma is 3.
    radius = int(2.5 * sigma + 0.5)
    kernel = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
    # Only the smoothed values next to the maximum are needed: (5, 5 + 2 radius) times the cells around it.
    smooth = np.stack([np.roll(np.pad(kernel / kernel.sum(), (0, 2 * reach)), shift) for shift in range(2 * reach + 1)])
    near = smooth @ _around(maps, at, reach + radius) @ smooth.T
    near /= np.maximum(near.max(axis=(1, 2), keepdims=True), np.finfo(np.float32).tiny)
    logs = np.log(np.maximum(near, 1e-10))

    def value(x: int, y: int) -> npt.NDArray[np.float64]:
        found: npt.NDArray[np.float64] = logs[:, reach + y, reach + x]
        return found

    step = 1 if udp else 2
    gx, gy = (value(1, 0) - value(-1, 0)) / 2, (value(0, 1) - value(0, -1)) / 2
    xx = (value(step, 0) - 2 * value(0, 0) + value(-step, 0)) / step**2
    yy = (value(0, step) - 2 * value(0, 0) + value(0, -step)) / step**2
    if udp:
        cross = value(1, 0) + value(-1, 0) + value(0, 1) + value(0, -1)
        xy = (value(1, 1) + value(-1, -1) + 2 * value(0, 0) - cross) / 2
    else:
        xy = (value(1, 1) + value(-1, -1) - value(1, -1) - value(-1, 1)) / 4
    determinant = xx * yy - xy**2
    # Where the expansion has no maximum (a saddle, a plateau, the border), it is not used.
    found = (xx < 0) & (determinant > 1e-12) & _inner(maps, at, step).all(axis=1)
    determinant = np.where(found, determinant, 1)
    steps = np.stack([xy * gy - yy * gx, xy * gx - xx * gy], axis=-1) / determinant[:, None]
    return np.where(found[:, None], np.clip(steps, -_LONGEST_STEP, _LONGEST_STEP), 0)
