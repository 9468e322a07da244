"""The augmentations of the published recipe, one function each, with cv2 and numpy.

A crop is described by its centre and scale until the single affine warp; the order is flip, half body, jitter, warp,
colour, blur, cut-out. Every function takes the random generator, so a sample is a function of its seed.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from wholebody.arrays import Doubles, Image
from wholebody.geometry import Crop, center_scale, crop_matrix
from wholebody.schema import COCO_WHOLEBODY, Schema
from wholebody.train.data.people import Encoded, LabelledPerson


def close_up(
    keypoints: Doubles, visible: npt.NDArray[np.float32], center: Doubles, scale: Doubles, rng: np.random.Generator
) -> tuple[Doubles, Doubles]:
    """Centre and scale of the head or a hand, as in portraits, if enough of it is labelled; otherwise unchanged."""
    shown = [rows[visible[rows] > 0] for rows in CLOSE_UPS]
    chosen = [rows for rows in shown if len(rows) >= _LEAST_POINTS]
    if not chosen:
        return center, scale
    points = keypoints[chosen[rng.integers(len(chosen))]]
    low, high = points.min(axis=0), points.max(axis=0)
    extent = float((high - low).max())
    if extent < _LEAST_EXTENT:
        return center, scale
    # From the part alone to a portrait with shoulders.
    return (low + high) / 2, np.full(2, extent * np.exp(rng.uniform(np.log(1.2), np.log(3.5))))


def cutout(image: Image, rng: np.random.Generator) -> Image:
    """Blacken one rectangle of 0.2 to 0.4 of each side."""
    h, w = image.shape[:2]
    ch, cw = int(h * rng.uniform(0.2, 0.4)), int(w * rng.uniform(0.2, 0.4))
    top, left = int(rng.integers(h - ch + 1)), int(rng.integers(w - cw + 1))
    image = image.copy()
    image[top : top + ch, left : left + cw] = 0
    return image


# From image pixels to those of the mirror image, with x = 0 fixed. The crop's matrix includes it, so that no picture
# has to be flipped.
MIRROR = np.diag([-1.0, 1.0])


def flip(sample: LabelledPerson, schema: Schema = COCO_WHOLEBODY) -> LabelledPerson:
    """The labels of the mirror image: x becomes -x, and left becomes right. The picture is unchanged."""
    x0, y0, x1, y1 = sample.box
    keypoints = sample.keypoints[schema.flip] @ MIRROR
    box = np.array([-x1, y0, -x0, y1])
    return LabelledPerson(sample.image, keypoints, sample.visible[schema.flip], box, sample.source)


def half_body(
    keypoints: Doubles, visible: npt.NDArray[np.float32], center: Doubles, scale: Doubles, rng: np.random.Generator
) -> tuple[Doubles, Doubles]:
    """Centre and scale of the upper (more often) or lower half, if enough of it is labelled; otherwise unchanged."""
    upper, lower = (rows[visible[rows] > 0] for rows in (np.arange(11), np.arange(11, 23)))
    if (visible > 0).sum() < 9:
        return center, scale
    rows = upper if rng.random() < 0.7 else lower
    if len(rows) < (2 if rows is upper else 3):
        rows = lower if rows is upper else upper
    if len(rows) < (2 if rows is upper else 3):
        return center, scale
    new_center, new_scale = half_body_box(keypoints, rows)
    return (new_center, new_scale) if new_scale.min() > 1 else (center, scale)


def hsv(image: Image, change: tuple[int, int, int]) -> Image:
    """Add to hue (modulo 180), saturation and value (clipped) of a BGR picture."""
    hue, *others = change
    out = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
    if hue:
        turned = ((np.arange(256) + hue) % 180).astype(np.uint8)
        cv2.insertChannel(cv2.LUT(cv2.extractChannel(out, 0), turned), out, 0)
    # Both clip at the ends, and are much faster with numbers that are not negative.
    for apply, sign in ((cv2.add, 1), (cv2.subtract, -1)):
        amounts = [max(0, sign * by) for by in others]
        if any(amounts):
            apply(out, np.array([0.0, *amounts, 0.0]), dst=out)
    return cv2.cvtColor(out, cv2.COLOR_HSV2BGR).astype(np.uint8, copy=False)


@dataclass(frozen=True)
class Augmentation:
    """Strengths; the defaults are the published recipe's first part.

    Attributes:
        flip: probability of flipping.
        half_body: probability of a crop around the upper or lower half.
        close_up: probability of a crop around the head or one hand, if not cropped to a half; not in the published
            recipe.
        scale: factors on the crop's extent.
        rotation: maximum degrees in either direction, in 60 % of the crops.
        shift: relative to the extent, in 30 % of the crops.
        hsv: maximum change of hue, saturation and value, each in half of the crops.
        blur: probability of a box blur, and of a median blur.
        cutout: probability of a black rectangle of 0.2 to 0.4 of the input.
        shrink: probability of a low-resolution crop, as of distant people.
        camera: probability of changing the camera, usually with other clothing colours; not in the published recipe.
    """

    flip: float = 0.5
    half_body: float = 0.3
    close_up: float = 0.0
    scale: tuple[float, float] = (0.6, 1.4)
    rotation: float = 80.0
    shift: float = 0.16
    hsv: tuple[int, int, int] = (5, 30, 30)
    blur: float = 0.1
    cutout: float = 1.0
    shrink: float = 0.0
    camera: float = 0.0


def augment(
    sample: LabelledPerson,
    size: tuple[int, int],
    config: Augmentation,
    rng: np.random.Generator,
    schema: Schema = COCO_WHOLEBODY,
) -> tuple[Image, Doubles, npt.NDArray[np.float32]]:
    """One training crop. Half bodies and close-ups need the schema COCO_WHOLEBODY.

    Returns:
        crop (h, w, 3) BGR, keypoints (K, 2) in input pixels, visible (K,).
    """
    mirrored = rng.random() < config.flip
    if mirrored:
        sample = flip(sample, schema)
    center, scale = center_scale(sample.box, size)
    whole = schema is COCO_WHOLEBODY
    if whole and rng.random() < config.half_body:
        center, scale = half_body(sample.keypoints, sample.visible, center, scale, rng)
    elif whole and rng.random() < config.close_up:
        center, scale = close_up(sample.keypoints, sample.visible, center, scale, rng)
    center, scale, rotation = jitter(center, scale, config, rng)
    # A half body may have any aspect ratio; the warp needs the input's.
    center, scale = center_scale([*(center - scale / 2), *(center + scale / 2)], size, padding=1.0)
    crop = Crop(crop_matrix(center, scale, size, rotation), size)
    factor = rng.uniform(0.25, 0.9) if rng.random() < config.shrink else 1.0
    image = cut(sample.image, crop, mirrored, factor)
    image = random_hsv(image, config.hsv, rng)
    image = random_blur(image, config.blur, rng)
    if rng.random() < config.cutout:
        image = cutout(image, rng)
    image = other_look(image, config.camera, rng)
    return image, crop.to_input(sample.keypoints), sample.visible


def half_body_box(
    keypoints: npt.NDArray[np.floating], rows: npt.NDArray[np.integer], padding: float = 1.5
) -> tuple[Doubles, Doubles]:
    """Centre (their mean) and padded extent of some keypoints (K, 2)."""
    chosen = keypoints[rows]
    return chosen.mean(axis=0), (chosen.max(axis=0) - chosen.min(axis=0)) * padding


# The targets of close-ups: the head, and each hand with its wrist; and the least number of labelled points.
CLOSE_UPS = (
    np.r_[0:5, COCO_WHOLEBODY.parts["face"]],
    np.r_[9, COCO_WHOLEBODY.parts["left_hand"]],
    np.r_[10, COCO_WHOLEBODY.parts["right_hand"]],
)


_LEAST_POINTS = 4
# A head or hand smaller than this, in pixels, would only be a blur when enlarged.
_LEAST_EXTENT = 24


def jitter(
    center: Doubles, scale: Doubles, config: Augmentation, rng: np.random.Generator
) -> tuple[Doubles, Doubles, float]:
    """Shift, scale and rotate the crop by normal samples truncated at one standard deviation."""
    low, high = config.scale
    if rng.random() < 0.3:
        center = center + scale * config.shift * truncated_normal(rng, 2)
    scale = scale * ((low + high) / 2 + (high - low) / 2 * truncated_normal(rng, 1))
    rotation = config.rotation * float(truncated_normal(rng, 1)[0]) if rng.random() < 0.6 else 0.0
    return center, scale, rotation


def truncated_normal(rng: np.random.Generator, count: int) -> Doubles:
    """Standard normal numbers between -1 and 1, by rejection."""
    draws = rng.standard_normal(8 + 4 * count)
    draws = draws[np.abs(draws) <= 1]
    return draws[:count] if len(draws) >= count else np.resize(np.append(draws, 0.0), count)


def cut(picture: Image | Encoded, crop: Crop, mirrored: bool = False, factor: float = 1.0) -> Image:
    """The pixels of a crop.

    A picture that is not decoded yet is decoded at a half, a quarter or an eighth of its size if the crop needs no more
        pixels: its pixels are then means of the source's, instead of every second one.

    Args:
        mirrored: the crop is one of the mirror image (`flip`).
        factor: below 1, a low-resolution crop: cut at this fraction of the size, and enlarged again.
    """
    matrix, size = crop.matrix, crop.size
    if factor < 1:
        size = (max(16, round(size[0] * factor)), max(16, round(size[1] * factor)))
        matrix = np.diag([size[0] / crop.size[0], size[1] / crop.size[1]]) @ matrix
    if mirrored:
        matrix = np.column_stack([matrix[:, :2] @ MIRROR, matrix[:, 2]])
    if isinstance(picture, Encoded):
        # Picture pixels per crop pixel.
        (a, b), (c, d) = matrix[:, :2].tolist()
        step = abs(a * d - b * c) ** -0.5
        parts = next((each for each in (8, 4, 2) if each <= step), 1)
        picture = picture.decode(parts)
        # Pixel i of the smaller picture is the centre of `parts` pixels.
        matrix = np.column_stack([matrix[:, :2] * parts, matrix[:, 2] + matrix[:, :2].sum(axis=1) * (parts - 1) / 2])
    # OpenCV warps four channels three times as fast as three, to the same values.
    picture = cv2.cvtColor(picture, cv2.COLOR_BGR2BGRA).astype(np.uint8, copy=False)
    image = cv2.cvtColor(Crop(matrix, size).cut(picture), cv2.COLOR_BGRA2BGR)
    if size != crop.size:
        image = cv2.resize(image, crop.size, interpolation=cv2.INTER_LINEAR)
    return image.astype(np.uint8, copy=False)


def random_hsv(image: Image, strength: tuple[int, int, int], rng: np.random.Generator) -> Image:
    """`hsv` by random amounts, each left out half of the time."""
    change = (rng.uniform(-1, 1, 3) * strength * (rng.random(3) < 0.5)).astype(np.int16)
    return hsv(image, (int(change[0]), int(change[1]), int(change[2]))) if change.any() else image


def random_blur(image: Image, chance: float, rng: np.random.Generator) -> Image:
    """A box blur and a median blur of 3, 5 or 7 pixels, each with its probability."""
    if rng.random() < chance:
        image = cv2.blur(image, [(3, 3), (5, 5), (7, 7)][rng.integers(3)]).astype(np.uint8)
    if rng.random() < chance:
        image = cv2.medianBlur(image, int(rng.choice([3, 5, 7]))).astype(np.uint8)
    return image


def other_look(image: Image, chance: float, rng: np.random.Generator) -> Image:
    """The same scene with other surface colours (`other_surfaces`), other lighting and another camera
    (`other_camera`)."""
    if rng.random() >= chance:
        return image
    return other_camera(other_surfaces(image, 0.6, rng), 1.0, rng)


def other_camera(image: Image, chance: float, rng: np.random.Generator) -> Image:
    """Simulate other lighting and another camera: exposure, contrast and white balance, and with some probability each
    saturation down to black and white, a soft lens, noise and compression."""
    if rng.random() >= chance:
        return image
    curve = np.linspace(0, 1, 256) ** np.exp(rng.uniform(-0.5, 0.5))
    curve = (curve - 0.5) * np.exp(rng.uniform(-0.5, 0.4)) + 0.5 + rng.uniform(-0.12, 0.12)
    balance = np.exp(0.1 * rng.standard_normal(3))
    out = cv2.LUT(image, (255 * curve[:, None] * balance).clip(0, 255).astype(np.uint8)[None])
    if rng.random() < 0.5:
        gray = cv2.cvtColor(cv2.cvtColor(out, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
        colour = rng.uniform(0, 1.5)
        out = cv2.addWeighted(out, colour, gray, 1 - colour, 0)
    if rng.random() < 0.2:
        out = cv2.GaussianBlur(out, (0, 0), rng.uniform(0.5, 1.5))
    if rng.random() < 0.25:
        noise = rng.standard_normal(image.shape, dtype=np.float32) * rng.uniform(2, 16)
        out = cv2.add(out, noise, dtype=cv2.CV_8U)
    if rng.random() < 0.25:
        out = compressed(out.astype(np.uint8, copy=False), int(rng.integers(15, 70)))
    return out.astype(np.uint8, copy=False)


def other_surfaces(image: Image, chance: float, rng: np.random.Generator) -> Image:
    """Simulate other surfaces: spatially varying colours, uneven light, and a random filter over the texture (as in Xu
    et al., Robust and Generalizable Visual Representation Learning via Random Convolutions).

    Edges and bodies stay in place; the appearance of skin, cloth and walls changes.
    """
    if rng.random() >= chance:
        return image
    size = image.shape[1::-1]
    out: npt.NDArray[Any] = image.astype(np.float32)
    if rng.random() < 0.5:
        side = int(rng.choice([1, 3, 5]))
        kernel = rng.standard_normal((side, side)).astype(np.float32)
        kernel /= max(float(np.abs(kernel).sum()), 1e-3)
        # A filter may invert a picture, so only part of it is blended in.
        share = rng.uniform(0.2, 0.7)
        filtered = cv2.filter2D(out, -1, kernel)
        out = (1 - share) * out + share * (filtered - filtered.mean(axis=(0, 1)) + out.mean(axis=(0, 1)))
    if rng.random() < 0.6:
        out *= np.exp(rng.uniform(0.1, 0.4) * _field(size, rng))[..., None]
    out = out.clip(0, 255).astype(np.uint8)
    if rng.random() < 0.7:
        h, s, v = cv2.split(cv2.cvtColor(out, cv2.COLOR_BGR2HSV))
        turn = rng.uniform(0, 180) + rng.uniform(0, 60) * _field(size, rng)
        s = cv2.LUT(s, (np.arange(256) * np.exp(rng.uniform(-0.7, 0.5))).clip(0, 255).astype(np.uint8))
        out = cv2.cvtColor(cv2.merge([((h + turn) % 180).astype(np.uint8), s, v]), cv2.COLOR_HSV2BGR)
    return out.astype(np.uint8, copy=False)


def _field(size: tuple[int, int], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """A smooth random field (h, w), with a few peaks and valleys of about 1."""
    coarse = rng.standard_normal((int(rng.integers(2, 7)), int(rng.integers(2, 6))), dtype=np.float32)
    return np.asarray(cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC), np.float32)


def compressed(image: Image, quality: int) -> Image:
    """The picture after JPEG of a quality from 0 to 100."""
    packed = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)
