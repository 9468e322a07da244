"""The losses, as functions of logits and features, with the letters of DWPose (Yang et al. 2023, arXiv:2307.15880).

Reductions differ between the released terms and decide their balance, so each docstring states its own; docs/
distillation.md walks from the equations to these lines. Notation: N people, K keypoints, X and Y bins. `sharpness` is
the factor on logits before a softmax, the temperature's inverse, 10 in the released code; alpha, beta, gamma and r are
the paper's.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def divergence(label: Tensor, logits: Tensor, sharpness: float = 10.0) -> Tensor:
    """KL(softmax(sharpness label) || softmax(sharpness logits)), summed over bins: (N, K, bins) twice -> (N, K)."""
    log_p, log_q = F.log_softmax(label * sharpness, dim=-1), F.log_softmax(logits * sharpness, dim=-1)
    return F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(dim=-1)


def label_loss(
    x: Tensor, y: Tensor, label_x: Tensor, label_y: Tensor, weight: Tensor, sharpness: float = 10.0
) -> Tensor:
    """The loss against labels, L_ori: per axis the mean over bins, weighted; mean over keypoints, SUM over people.

    The sum over people is the released code's; divide by N for a loss that does not grow with the batch.

    Args:
        x, y: (N, K, X) and (N, K, Y) logits.
        label_x, label_y: encoded keypoints of the same shapes (`SimCC.encode`).
        weight: (N, K).
    """
    per_axis = (
        divergence(label, logits, sharpness) / label.shape[-1] for label, logits in ((label_x, x), (label_y, y))
    )
    return sum((term * weight).sum() for term in per_axis) / torch.as_tensor(x.shape[1])


def logit_loss(
    x: Tensor,
    y: Tensor,
    teacher_x: Tensor,
    teacher_y: Tensor,
    weight: Tensor | None = None,
    sharpness: float = 10.0,
) -> Tensor:
    """The loss against a teacher's logits, L_logit (equation 2): SUM over bins, mean over keypoints and over people.

    The paper writes a cross entropy; this is the KL divergence of the released code, smaller by the teacher's entropy
    and with the same gradient.

    Args:
        x, y: (N, K, X) and (N, K, Y) logits of the student.
        teacher_x, teacher_y: of the same shapes.
        weight: (N, K). None counts every keypoint, also those without a label: the paper found that to be better.
    """
    per_axis = (divergence(taught, own, sharpness) for taught, own in ((teacher_x, x), (teacher_y, y)))
    terms = sum(term if weight is None else term * weight for term in per_axis)
    return torch.as_tensor(terms).mean()


def feature_loss(feature: Tensor, teacher_feature: Tensor) -> Tensor:
    """The loss against a teacher's feature map, L_fea (equation 1): squared differences, SUM over channels and places,
    mean over people.

    The paper divides by C H W too; the released code, whose alpha is 7e-5, does not.

    Args:
        feature: (N, C, h, w), the student's after the adaptor f.
        teacher_feature: (N, C, h, w).
    """
    return (feature - teacher_feature).square().sum() / len(feature)


def decay(t: float, t_max: float) -> float:
    """The weight of what a teacher says, r(t) = 1 - (t - 1) / t_max (equation 4), for epochs t from 1 to t_max."""
    return 1 - (t - 1) / t_max


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
    (gx, gy), inside = _bumps(keypoints, (w, h), stride, sigma)
    target = (gy[..., :, None] * gx[..., None, :]).reshape(n, k, h * w)
    entropy = -(target * F.log_softmax(logits.reshape(n, k, h * w), dim=-1)).sum(dim=-1)
    return (entropy * weight * inside).sum() / (k * h * w)


def axes_loss(x: Tensor, y: Tensor, keypoints: Tensor, weight: Tensor, stride: int, sigma: float = 1.0) -> Tensor:
    """`heatmap_loss` for a map of which only the distributions along x and y are known: the sum of their cross
    entropies, mean over keypoints and cells, SUM over people.

    Args:
        x, y: (N, K, w) and (N, K, h), each a distribution over cells.
        keypoints, weight, stride, sigma: see `heatmap_loss`.
    """
    k, w, h = x.shape[1], x.shape[2], y.shape[2]
    targets, inside = _bumps(keypoints, (w, h), stride, sigma)
    entropy = sum(
        -(target * axis.clamp(min=1e-9).log()).sum(dim=-1) for target, axis in zip(targets, (x, y), strict=True)
    )
    return (entropy * weight * inside).sum() / (k * h * w)


def _bumps(keypoints: Tensor, size: tuple[int, int], stride: int, sigma: float) -> tuple[tuple[Tensor, ...], Tensor]:
    """Gaussians around keypoints (N, K, 2) along x and y of a map of `size` cells (w, h), each of sum 1, and which
    keypoints lie inside of it."""
    # The centre of cell i lies at (i + 0.5) * stride - 0.5 input pixels.
    at = (keypoints + 0.5) / stride - 0.5
    cells = [torch.arange(side, device=at.device, dtype=at.dtype) for side in size]
    axes = [torch.exp(-((axis - at[..., i, None]) ** 2) / (2 * sigma**2)) for i, axis in enumerate(cells)]
    inside = ((at > -0.5) & (at < torch.tensor(size, device=at.device) - 0.5)).all(dim=-1)
    return tuple(axis / axis.sum(dim=-1, keepdim=True).clamp(min=1e-6) for axis in axes), inside
