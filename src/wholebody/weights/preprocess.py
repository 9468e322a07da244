"""What a network's float input expects, and how a crop becomes one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from wholebody.arrays import Floats, Image


@dataclass(frozen=True)
class Preprocessing:
    """What a float32 (N, 3, h, w) input expects: (pixel - mean) / std of pixels 0..255, channels in `color` order."""

    color: Literal["RGB", "BGR"]
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)


IMAGENET_RGB = Preprocessing("RGB", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))


PLAIN_BGR = Preprocessing("BGR")


def normalize(crops: Image, preprocessing: Preprocessing = IMAGENET_RGB) -> Floats:
    """(N, h, w, 3) uint8 BGR -> (N, 3, h, w) float32 in the colour order wanted, minus mean, over std."""
    ordered = crops[..., ::-1] if preprocessing.color == "RGB" else crops
    planes = np.ascontiguousarray(ordered.transpose(0, 3, 1, 2), dtype=np.float32)
    planes -= np.array(preprocessing.mean, np.float32)[:, None, None]
    planes /= np.array(preprocessing.std, np.float32)[:, None, None]
    return planes


def preprocessing_of(about: Mapping[str, Any]) -> Preprocessing:
    """What the notes say; ImageNet's numbers in RGB where they say nothing."""
    color, mean, std = (about.get(name, getattr(IMAGENET_RGB, name)) for name in ("color", "mean", "std"))
    (r, g, b), (sr, sg, sb) = map(float, mean), map(float, std)
    if color not in ("RGB", "BGR"):
        raise ValueError(f"color is {color!r}")
    return Preprocessing(color, (r, g, b), (sr, sg, sb))
