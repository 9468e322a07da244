"""Labels drawn on the device: what `SimCC.encode` makes of keypoints, for a batch at a time."""

import torch
from torch import Tensor

from wholebody.codec import SimCC


def drawn(keypoints: Tensor, codec: SimCC) -> tuple[Tensor, Tensor]:
    """The distributions of keypoints along x and y, as `SimCC.encode` draws what is visible.

    A point far outside of the crop, as one at `NOWHERE`, gets zeros. What has no label gets one too: its weight is 0.

    Args:
        keypoints: (N, K, 2) input pixels.

    Returns:
        x (N, K, X) and y (N, K, Y), float32.
    """
    means = (keypoints.float() * codec.split_ratio).round()
    labels = []
    for axis, (bins, sigma) in enumerate(zip(codec.bins, codec.sigma, strict=True)):
        distance = torch.arange(bins, dtype=torch.float32, device=keypoints.device) - means[..., axis, None]
        label = torch.exp(distance.square() / (-2 * sigma**2))
        labels.append(label / (sigma * (2 * torch.pi) ** 0.5) if codec.normalize else label)
    return labels[0], labels[1]
