"""Augmentations for a whole batch at once, on any device; `augment` has those of one crop, as published.

Points are (N, K, 2) and pictures (N, 3, h, w) BGR, 0..255. The random numbers are torch's.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from wholebody.schema import COCO_WHOLEBODY
from wholebody.train.data.augment import CLOSE_UPS

_UPPER, _LOWER = range(11), range(11, 23)
# Further away than anything in a picture.
FAR = 1e6
# Pixels that are darker are taken for those outside of the photo, which stay black.
_BLACK = 6


@dataclass(frozen=True)
class Look:
    """Strengths; the defaults are milder than the published ones: a short training learns more from ordinary crops.

    Attributes:
        cut: probability that the photo ends beside or within the person.
        half_body: probability of a crop around the upper or lower half.
        portrait: probability of a crop around the head or a hand.
        scale: factors on the crop's extent.
        rotation: maximum degrees in either direction, in 60 % of the crops.
        shift: relative to the extent, in 30 % of the crops.
        camera: probability of another exposure, contrast, white balance and saturation.
        hue: probability of a small change of hue and saturation; a third as often the hue is any.
        blur, noise: probabilities of a soft lens, and of noise.
        cutout: probability of a rectangle of one colour, 0.2 to 0.4 of each side.
    """

    cut: float = 0.25
    half_body: float = 0.2
    portrait: float = 0.06
    scale: tuple[float, float] = (0.7, 1.35)
    rotation: float = 40.0
    shift: float = 0.16
    camera: float = 0.5
    hue: float = 0.5
    blur: float = 0.2
    noise: float = 0.2
    cutout: float = 0.4


MILD = Look()


def chosen(count: int, share: float, device: torch.device) -> Tensor:
    """(N,) true with this probability."""
    return torch.rand(count, device=device) < share


def truncated(count: int, columns: int, device: torch.device) -> Tensor:
    """(N, columns) standard normal numbers between -1 and 1."""
    return torch.nn.init.trunc_normal_(torch.empty(count, columns, device=device), a=-1.0, b=1.0)


def turned(points: Tensor, angle: Tensor) -> Tensor:
    """Points turned by the angles (N,), with the sign of `geometry.crop_matrix`."""
    # Not a matrix product, which a graphics card may round to ten bits.
    cos, sin = angle.cos()[:, None], angle.sin()[:, None]
    x, y = points.unbind(dim=-1)
    return torch.stack([cos * x + sin * y, cos * y - sin * x], dim=-1)


def half_body(points: Tensor, shown: Tensor, center: Tensor, extent: Tensor, look: Look) -> tuple[Tensor, Tensor]:
    """Centre and extent (N, 2) of the upper (more often) or lower half in some crops, if enough of it is shown."""
    count, device = len(points), points.device
    rows = _rows([list(_UPPER), list(_LOWER)], device)
    found = shown & torch.where(chosen(count, 0.7, device)[:, None], rows[0], rows[1])
    low, high = _bounds(points, found)
    mean = (points * found[..., None]).sum(dim=1) / found.sum(dim=1, keepdim=True).clamp(min=1)
    known = (found.sum(dim=1) >= 3) & (shown.sum(dim=1) >= 9) & ((high - low).amin(dim=1) > 4)
    take = (known & chosen(count, look.half_body, device))[:, None]
    return torch.where(take, mean, center), torch.where(take, (high - low) * 1.5, extent)


def portrait(points: Tensor, shown: Tensor, center: Tensor, extent: Tensor, look: Look) -> tuple[Tensor, Tensor]:
    """Centre and extent (N, 2) of the head or a hand in a few crops, from it alone to a portrait."""
    count, device = len(points), points.device
    rows = _rows([part.tolist() for part in CLOSE_UPS], device)
    found = shown & rows[torch.randint(len(rows), (count,), device=device)]
    low, high = _bounds(points, found)
    side = (high - low).amax(dim=1)
    # What is smaller would only be a blur when enlarged.
    take = ((found.sum(dim=1) >= 4) & (side > 20) & chosen(count, look.portrait, device))[:, None]
    factor = torch.exp(math.log(1.2) + math.log(3.5 / 1.2) * torch.rand(count, device=device))
    return torch.where(take, (low + high) / 2, center), torch.where(take, (side * factor)[:, None], extent)


def other_look(images: Tensor, look: Look) -> Tensor:
    """Other light and colours, a softer lens, and noise, each in some of the pictures."""
    count, device = len(images), images.device

    def some(share: float) -> Tensor:
        return chosen(count, share, device).float()[:, None, None, None]

    def between(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, 1, 1, 1, device=device)

    camera = some(look.camera)
    out = (images / 255).clamp(min=1e-4) ** torch.exp(camera * between(-0.4, 0.4))
    out = (out - 0.5) * torch.exp(camera * between(-0.4, 0.35)) + 0.5 + camera * between(-0.1, 0.1)
    out = out * torch.exp(camera * 0.1 * torch.randn(count, 3, 1, 1, device=device))
    # Saturation, and hue as a rotation around grey: small in half of the pictures, any in a few.
    grey = out.mean(dim=1, keepdim=True)
    angle = math.pi * (some(look.hue) * between(-0.06, 0.06) + some(look.hue / 3) * between(-1, 1))
    across = (out[:, [1, 2, 0]] - out[:, [2, 0, 1]]) / 3**0.5
    colour = 1 + camera * some(0.6) * between(-1, 0.5) + some(look.hue) * between(-0.1, 0.1)
    out = grey + colour * ((out - grey) * angle.cos() + across * angle.sin())
    out = _blurred(out, (some(look.blur) * between(0.4, 2.0))[:, 0, 0]) * 255
    out = out + some(look.noise) * between(2, 14) * torch.randn_like(out)
    return out * (images.amax(dim=1, keepdim=True) > _BLACK)


def cutout(images: Tensor, look: Look) -> Tensor:
    """One rectangle of one colour, often black, in some of the pictures."""
    (count, _, h, w), device = images.shape, images.device
    tall, wide, top, left = torch.rand(4, count, 1, device=device)
    tall, wide = h * (0.2 + 0.2 * tall), w * (0.2 + 0.2 * wide)
    top, left = top * (h - tall), left * (w - wide)
    down, across = torch.arange(h, device=device), torch.arange(w, device=device)
    hit = ((down >= top) & (down < top + tall))[:, :, None] & ((across >= left) & (across < left + wide))[:, None]
    hit &= chosen(count, look.cutout, device)[:, None, None]
    colour = 255 * torch.rand(count, 3, 1, 1, device=device) * chosen(count, 0.6, device)[:, None, None, None]
    return torch.where(hit[:, None], colour, images)


def _blurred(images: Tensor, sigma: Tensor) -> Tensor:
    """A Gaussian blur with its own sigma (N, 1) for each picture; 0 leaves a picture as it is."""
    (count, _, h, w), reach = images.shape, 5
    taps = torch.exp(-(torch.arange(-reach, reach + 1, device=images.device) ** 2) / (2 * sigma.clamp(min=1e-2) ** 2))
    taps = (taps / taps.sum(dim=1, keepdim=True)).repeat_interleave(3, dim=0)
    flat, groups = images.reshape(1, count * 3, h, w), count * 3
    flat = F.conv2d(flat, taps[:, None, None], padding=(0, reach), groups=groups)
    return F.conv2d(flat, taps[:, None, :, None], padding=(reach, 0), groups=groups).reshape(images.shape)


def _rows(parts: list[list[int]], device: torch.device) -> Tensor:
    """(P, K) which keypoints belong to each part."""
    rows = torch.zeros(len(parts), len(COCO_WHOLEBODY), dtype=torch.bool)
    for row, part in zip(rows, parts, strict=True):
        row[part] = True
    return rows.to(device)


def _bounds(points: Tensor, found: Tensor) -> tuple[Tensor, Tensor]:
    """The lowest and highest coordinates (N, 2) of the points found (N, K)."""
    low = torch.where(found[..., None], points, FAR).amin(dim=1)
    return low, torch.where(found[..., None], points, -FAR).amax(dim=1)
