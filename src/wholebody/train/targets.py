"""Target distributions computed on the device: `SimCC.encode` for a batch."""

import torch
from torch import Tensor

from wholebody.codec import SimCC


def drawn(keypoints: Tensor, codec: SimCC) -> tuple[Tensor, Tensor]:
    """The distributions of keypoints along x and y, as `SimCC.encode` computes them for visible keypoints.

    A point far outside the crop, such as `NOWHERE`, gets zeros. Unlabelled points get a distribution too, but have
    weight 0.

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
