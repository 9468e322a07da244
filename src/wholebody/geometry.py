"""Boxes, crops and distances between people.

A person is cropped with one affine matrix and mapped back with its inverse, so the two cannot drift apart. Conventions
follow the released RTMPose and DWPose models: a box is enlarged 1.25 times, then extended to the input's aspect ratio.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from wholebody.arrays import Doubles, Image

PADDING = 1.25


def center_scale(box: npt.ArrayLike, size: tuple[int, int], padding: float = PADDING) -> tuple[Doubles, Doubles]:
    """The region of a person's crop: centre (x, y) and extent (w, h) in image pixels, with the input's aspect ratio.

    Args:
        box: x0, y0, x1, y1.
        size: (w, h) of the network's input.
        padding: scale factor of the box, applied before the shorter side is extended to the aspect ratio.
    """
    x0, y0, x1, y1 = np.asarray(box, dtype=np.float64)
    w, h = (x1 - x0) * padding, (y1 - y0) * padding
    aspect = size[0] / size[1]
    w, h = (w, w / aspect) if w > h * aspect else (h * aspect, h)
    return np.array([(x0 + x1) / 2, (y0 + y1) / 2]), np.array([w, h])


def crop_matrix(
    center: npt.ArrayLike, scale: npt.ArrayLike, size: tuple[int, int], rotation: float = 0.0, udp: bool = False
) -> Doubles:
    """The (2, 3) affine from image pixels to input pixels.

    Args:
        center, scale: as from `center_scale`.
        rotation: degrees, positive turns the picture's content counter-clockwise in the crop.
        udp: unbiased data processing (Huang et al. 2020), which counts `size - 1` intervals between pixel centres
            instead of `size` pixels. The RTMPose and DWPose models do not use it.
    """
    (cx, cy), (w, h) = np.asarray(center, dtype=np.float64), np.asarray(scale, dtype=np.float64)
    width, height = size
    cos, sin = np.cos(np.deg2rad(rotation)), np.sin(np.deg2rad(rotation))
    if udp:
        sx, sy = (width - 1) / w, (height - 1) / h
        # The released code rotates in the opposite direction here than without UDP.
        matrix = np.array([[cos * sx, -sin * sx], [sin * sy, cos * sy]])
        target = np.array([width - 1, height - 1]) / 2
    else:
        s = width / w
        matrix = s * np.array([[cos, sin], [-sin, cos]])
        target = np.array([width, height]) / 2
    return np.column_stack([matrix, target - matrix @ (cx, cy)])


@dataclass(frozen=True, eq=False)
class Crop:
    """How a person was cropped; the inverse maps points back.

    Attributes:
        matrix: (2, 3) affine, image pixels -> input pixels.
        size: (w, h) of the input.
    """

    matrix: Doubles
    size: tuple[int, int]

    @classmethod
    def from_box(
        cls,
        box: npt.ArrayLike,
        size: tuple[int, int],
        padding: float = PADDING,
        rotation: float = 0.0,
        udp: bool = False,
    ) -> "Crop":
        """The crop of one box (x0, y0, x1, y1); `udp` as in `crop_matrix`."""
        return cls(crop_matrix(*center_scale(box, size, padding), size, rotation, udp), size)

    def cut(self, image: Image) -> Image:
        """(H, W, C) image -> (h, w, C) crop, bilinear, black outside. Any colour order, kept."""
        return cv2.warpAffine(image, self.matrix, self.size, flags=cv2.INTER_LINEAR).astype(np.uint8, copy=False)

    def to_input(self, points: npt.NDArray[np.floating]) -> Doubles:
        """(..., 2) image pixels -> input pixels."""
        return points @ self.matrix[:, :2].T + self.matrix[:, 2]

    def to_image(self, points: npt.NDArray[np.floating]) -> Doubles:
        """(..., 2) input pixels -> image pixels; the exact inverse of `to_input`."""
        inverse = np.linalg.inv(self.matrix[:, :2])
        return (points - self.matrix[:, 2]) @ inverse.T


def box_areas(boxes: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(N,) areas of boxes (N, 4) xyxy, in their own precision."""
    areas: npt.NDArray[Any] = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return areas


def iou(a: npt.NDArray[np.floating], b: npt.NDArray[np.floating]) -> Doubles:
    """Intersection over union of boxes: (N, 4) and (M, 4) xyxy -> (N, M). Boxes without area score 0."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    intersection = np.clip(high - low, 0, None).prod(axis=2)
    area_a, area_b = (np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=1) for boxes in (a, b))
    union = area_a[:, None] + area_b[None] - intersection
    ratio: Doubles = np.divide(intersection, union, out=np.zeros_like(union), where=union > 0)
    return ratio


def oks(
    predicted: npt.NDArray[np.floating],
    truth: npt.NDArray[np.floating],
    visible: npt.NDArray[np.generic],
    areas: npt.NDArray[np.floating],
    sigmas: npt.NDArray[np.floating],
) -> Doubles:
    """Object keypoint similarity of every prediction with every true person.

    OKS = mean over labelled points of exp(-d^2 / (2 s^2 k^2)), k = 2 sigma, s^2 = area (COCO keypoint evaluation).

    Args:
        predicted: (N, K, 2).
        truth: (M, K, 2).
        visible: (M, K), labelled where > 0.
        areas: (M,) square pixels.
        sigmas: (K,).

    Returns:
        (N, M) in 0..1; 0 for a true person without labelled points.
    """
    squared = ((np.asarray(predicted)[:, None] - np.asarray(truth)[None]) ** 2).sum(axis=3).astype(np.float64)
    variance = (2 * np.asarray(sigmas, dtype=np.float64)) ** 2
    similarity = np.exp(-squared / (2 * variance * (np.asarray(areas)[None, :, None] + np.spacing(1))))
    labelled = np.asarray(visible) > 0
    count = labelled.sum(axis=1)
    total: Doubles = (similarity * labelled[None]).sum(axis=2)
    mean: Doubles = np.divide(total, count[None], out=np.zeros_like(total), where=count[None] > 0)
    return mean
