"""YOLOX's losses: SimOTA's assignment, IoU, objectness."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from wholebody.networks.yolox import STRIDES


class Maps(NamedTuple):
    """The anchors of one canvas size."""

    cells: Tensor  # (A, 2) x, y of each cell in units of its stride
    strides: Tensor  # (A, 1)


class Losses(NamedTuple):
    """Terms of a batch, each a sum over its anchors divided by the number of anchors that hold a person."""

    iou: Tensor
    objectness: Tensor
    classes: Tensor
    l1: Tensor


# Losses


def maps(size: tuple[int, int], device: torch.device | None = None) -> Maps:
    """The anchors of a canvas of `size` (w, h): strides 8, 16, 32, each row-major."""
    cells, strides = [], []
    for stride in STRIDES:
        y, x = torch.meshgrid(torch.arange(size[1] // stride), torch.arange(size[0] // stride), indexing="ij")
        cells.append(torch.stack([x, y], dim=2).reshape(-1, 2))
        strides.append(torch.full((x.numel(), 1), stride))
    return Maps(torch.cat(cells).float().to(device), torch.cat(strides).float().to(device))


def decode(reg: Tensor, anchors: Maps) -> Tensor:
    """The network's raw box values (..., A, 4) -> boxes (..., A, 4) xyxy in canvas pixels."""
    center = (reg[..., :2] + anchors.cells) * anchors.strides
    half = reg[..., 2:].clamp(max=12).exp() * anchors.strides / 2
    return torch.cat((center - half, center + half), dim=-1)


def encode(boxes: Tensor, anchors: Maps) -> Tensor:
    """The inverse of `decode`: boxes (A, 4), one for each anchor -> (A, 4)."""
    center, side = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    return torch.cat((center / anchors.strides - anchors.cells, (side / anchors.strides).log()), dim=1)


def overlaps(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of boxes (..., 4), broadcast over the leading axes."""
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    area_a, area_b = ((boxes[..., 2:] - boxes[..., :2]).prod(-1) for boxes in (a, b))
    return shared / (area_a + area_b - shared + 1e-9)


@torch.no_grad()
def assign(boxes: Tensor, scores: Tensor, truth: Tensor, anchors: Maps) -> tuple[Tensor, Tensor, Tensor]:
    """SimOTA (section 2.2 of the paper): the assignment of anchors to people.

    A person is assigned anchors within 1.5 strides of its centre, as many as the sum of the ten best IoUs, lowest cost
    first (log-loss of the score + 3 log-loss of the IoU). An anchor assigned to two goes to the cheaper one.

    Args:
        boxes: (A, 4) predicted. scores: (A,) predicted. truth: (G, 4), G > 0.

    Returns:
        rows (P,) of the chosen anchors, person (P,) of each, and their IoU (P,).
    """
    centers = (anchors.cells + 0.5) * anchors.strides
    middle = (truth[:, :2] + truth[:, 2:]) / 2
    near = ((centers[None] - middle[:, None]).abs() < 1.5 * anchors.strides[None]).all(dim=2)  # (G, A)
    rows = near.any(dim=0).nonzero()[:, 0]
    near = near[:, rows]
    quality = overlaps(truth[:, None], boxes[rows][None])  # (G, R)
    surprise = -scores[rows].clamp(1e-8, 1).log()
    cost = surprise[None] - 3 * (quality + 1e-8).log() + 1e6 * ~near
    count = quality.topk(min(10, len(rows)), dim=1).values.sum(dim=1).int().clamp(min=1)
    rank = cost.argsort(dim=1).argsort(dim=1)
    wanted = (rank < count[:, None]) & near
    person = torch.where(wanted, cost, torch.inf).argmin(dim=0)
    chosen = wanted.any(dim=0)
    return rows[chosen], person[chosen], quality[person[chosen], chosen.nonzero()[:, 0]]


def losses(logits: Tensor, boxes: Sequence[Tensor], ignore: Sequence[Tensor], anchors: Maps) -> Losses:
    """The terms of a batch.

    Args:
        logits: (N, A, 6) of `YOLOX.logits` with one class.
        boxes, ignore: per canvas, (G, 4) and (M, 4) xyxy canvas pixels.
    """
    predicted = decode(logits[..., :4], anchors)
    probability = logits[..., 4:].sigmoid()
    scores = (probability[..., 0] * probability[..., 1]).sqrt()
    centers = (anchors.cells + 0.5) * anchors.strides
    target, weight = torch.zeros_like(scores), torch.ones_like(scores)
    zero = logits.sum() * 0
    iou_term, class_term, l1_term, positives = zero, zero, zero, 0
    for n, (truth, unsure) in enumerate(zip(boxes, ignore, strict=True)):
        inside = (centers[:, None] > unsure[None, :, :2]) & (centers[:, None] < unsure[None, :, 2:])
        weight[n, inside.all(dim=2).any(dim=1)] = 0
        if not len(truth):
            continue
        rows, person, quality = assign(predicted[n], scores[n], truth, anchors)
        target[n, rows], weight[n, rows] = 1, 1
        positives += len(rows)
        iou_term = iou_term + (1 - overlaps(predicted[n, rows], truth[person]) ** 2).sum()
        class_term = class_term + F.binary_cross_entropy_with_logits(logits[n, rows, 5], quality, reduction="sum")
        wanted = encode(truth[person], Maps(anchors.cells[rows], anchors.strides[rows]))
        l1_term = l1_term + (logits[n, rows, :4] - wanted).abs().sum()
    objectness = F.binary_cross_entropy_with_logits(logits[..., 4], target, weight, reduction="sum")
    total = max(positives, 1)
    return Losses(iou_term / total, objectness / total, class_term / total, l1_term / total)
