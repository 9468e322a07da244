"""Auxiliary heatmaps, in training only: they teach a backbone positions long before SimCC's sharp labels give a useful
gradient. Not in DWPose."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class HeatmapHead(nn.Module):
    """From a feature map at stride 8 to one heatmap per keypoint."""

    def __init__(self, channels: int, keypoints: int, hidden: int = 64) -> None:
        super().__init__()
        self.mix = nn.Conv2d(channels, hidden, 3, padding=1)
        self.out = nn.Conv2d(hidden, keypoints, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.out(F.relu(self.mix(x)))
        return out


def heatmap_loss(logits: Tensor, keypoints: Tensor, weight: Tensor, stride: int, sigma: float = 1.0) -> Tensor:
    """Cross entropy between a spatial softmax and a Gaussian: mean over people, keypoints and cells.

    Args:
        logits: (N, K, h, w).
        keypoints: (N, K, 2) input pixels. Points outside the map are ignored.
        weight: (N, K).
        stride: input pixels per cell.
        sigma: of the Gaussian, in cells.
    """
    n, k, h, w = logits.shape
    (gx, gy), inside = _bumps(keypoints, (w, h), stride, sigma)
    target = (gy[..., :, None] * gx[..., None, :]).reshape(n, k, h * w)
    entropy = -(target * F.log_softmax(logits.reshape(n, k, h * w), dim=-1)).sum(dim=-1)
    return (entropy * weight * inside).mean() / (h * w)


def axes_loss(x: Tensor, y: Tensor, keypoints: Tensor, weight: Tensor, stride: int, sigma: float = 1.0) -> Tensor:
    """`heatmap_loss` for a map given by its distributions along x and y: the sum of their cross entropies, mean over
    people, keypoints and cells.

    Args:
        x, y: (N, K, w) and (N, K, h), each a distribution over cells.
        keypoints, weight, stride, sigma: see `heatmap_loss`.
    """
    w, h = x.shape[2], y.shape[2]
    targets, inside = _bumps(keypoints, (w, h), stride, sigma)
    entropy = sum(
        -(target * axis.clamp(min=1e-9).log()).sum(dim=-1) for target, axis in zip(targets, (x, y), strict=True)
    )
    return (entropy * weight * inside).mean() / (h * w)


def _bumps(keypoints: Tensor, size: tuple[int, int], stride: int, sigma: float) -> tuple[tuple[Tensor, ...], Tensor]:
    """Gaussians around keypoints (N, K, 2) along x and y of a map of `size` cells (w, h), each with sum 1, and which
    keypoints lie inside it."""
    # The centre of cell i lies at (i + 0.5) * stride - 0.5 input pixels.
    at = (keypoints + 0.5) / stride - 0.5
    cells = [torch.arange(side, device=at.device, dtype=at.dtype) for side in size]
    axes = [torch.exp(-((axis - at[..., i, None]) ** 2) / (2 * sigma**2)) for i, axis in enumerate(cells)]
    inside = ((at > -0.5) & (at < torch.tensor(size, device=at.device) - 0.5)).all(dim=-1)
    return tuple(axis / axis.sum(dim=-1, keepdim=True).clamp(min=1e-6) for axis in axes), inside
