"""The deterministic weights and pictures behind the golden numbers (see tests/golden/README.md)."""

import zlib
from collections.abc import Mapping, Sequence

import numpy as np


def image(height: int, width: int, index: int = 0, salt: int = 0) -> np.ndarray:
    """A (H, W, 3) uint8 BGR picture made by integer arithmetic."""
    y, x, c = np.ogrid[:height, :width, :3]
    value = (x * (3 + c) + y * (5 + 2 * c) + ((x * y) >> 3) + 29 * index + 61 * c + 97 * salt) % 256
    return (255 - value // 2 if index % 2 else value).astype(np.uint8)


def _gain(name: str, yolox: str | None) -> float:
    if yolox is None:
        return 0.2 if "pointwise_conv" in name else 1.0 if ".head." in "." + name else 2.2
    base = {"nano": 2.4, "tiny": 2.2, "s": 2.2, "m": 2.0, "l": 1.95, "x": 1.9}[yolox]
    if ".m." in name and name.endswith((".conv2.conv.weight", ".conv2.pconv.conv.weight")):
        return 0.2
    if "_preds." in name:
        return 1.0
    return base / 128**2 if ".stem.conv.conv." in name else base


def weight(name: str, shape: Sequence[int], salt: str = "", yolox: str | None = None) -> np.ndarray:
    """The values of one entry of a state dict; `yolox` is the detector's size, None for the pose networks."""
    rs = np.random.RandomState(zlib.crc32((salt + name).encode()) & 0xFFFFFFFF)
    last = name.rsplit(".", 1)[-1]
    shape = tuple(shape)
    if last == "num_batches_tracked":
        return np.zeros(shape, dtype=np.int64)
    if last == "running_var":
        value = 0.5 + rs.random_sample(shape)
    elif last in ("running_mean", "bias", "beta"):
        value = 0.05 * rs.standard_normal(shape)
    elif last in ("g", "scale"):
        value = 1.0 + 0.1 * rs.standard_normal(shape)
    elif last == "gamma":
        value = 0.2 * (1.0 + 0.3 * rs.standard_normal(shape))
    elif len(shape) == 1:
        value = 0.75 + 0.5 * rs.random_sample(shape)
    else:
        value = rs.standard_normal(shape) * np.sqrt(_gain(name, yolox) / np.prod(shape[1:]))
    return np.asarray(value, dtype=np.float32)


def state_dict(shapes: Mapping[str, Sequence[int]], salt: str = "", yolox: str | None = None) -> dict[str, np.ndarray]:
    """Weights for a whole network: name -> shape in, name -> values out."""
    return {name: weight(name, shape, salt, yolox) for name, shape in shapes.items()}
