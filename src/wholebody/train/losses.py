"""The losses, as functions of logits.

Reductions differ between the released terms and decide their balance, so each docstring states its own. Notation: N
people, K keypoints, X and Y bins; `beta` here is the factor on logits before a softmax (the temperature's inverse).
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def divergence(label: Tensor, logits: Tensor, beta: float = 10.0) -> Tensor:
    """KL(softmax(beta label) || softmax(beta logits)), summed over bins: (N, K, bins) twice -> (N, K)."""
    log_p, log_q = F.log_softmax(label * beta, dim=-1), F.log_softmax(logits * beta, dim=-1)
    return F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(dim=-1)


def label_loss(x: Tensor, y: Tensor, label_x: Tensor, label_y: Tensor, weight: Tensor, beta: float = 10.0) -> Tensor:
    """The loss against labels, L_ori: per axis the mean over bins, weighted; mean over keypoints, SUM over people.

    The sum over people is the released code's; divide by N for a loss that does not grow with the batch.

    Args:
        x, y: (N, K, X) and (N, K, Y) logits.
        label_x, label_y: encoded keypoints of the same shapes (`SimCC.encode`).
        weight: (N, K).
    """
    per_axis = (divergence(label, logits, beta) / label.shape[-1] for label, logits in ((label_x, x), (label_y, y)))
    return sum((term * weight).sum() for term in per_axis) / torch.as_tensor(x.shape[1])


def heatmap_loss(logits: Tensor, keypoints: Tensor, weight: Tensor, stride: int, sigma: float = 1.0) -> Tensor:
    """Cross entropy between a spatial softmax and a Gaussian: mean over keypoints and cells, SUM over people.

    An auxiliary target used in training only: it teaches the backbone where things are long before SimCC's sharp
    labels give a useful gradient.

    Args:
        logits: (N, K, h, w).
        keypoints: (N, K, 2) input pixels. Points outside the map do not count.
        weight: (N, K).
        stride: input pixels per cell.
        sigma: of the Gaussian, in cells.
    """
    n, k, h, w = logits.shape
    # The centre of cell i lies at (i + 0.5) * stride - 0.5 input pixels.
    at = (keypoints + 0.5) / stride - 0.5
    axes = [torch.arange(size, device=logits.device, dtype=logits.dtype) for size in (w, h)]
    gx, gy = (torch.exp(-((axis - at[..., i, None]) ** 2) / (2 * sigma**2)) for i, axis in enumerate(axes))
    inside = ((at > -0.5) & (at < torch.tensor([w - 0.5, h - 0.5], device=at.device))).all(dim=-1)
    target = (gy[..., :, None] * gx[..., None, :]).reshape(n, k, h * w)
    target = target / target.sum(dim=-1, keepdim=True).clamp(min=1e-6)
    entropy = -(target * F.log_softmax(logits.reshape(n, k, h * w), dim=-1)).sum(dim=-1)
    return (entropy * weight * inside).sum() / (k * h * w)
