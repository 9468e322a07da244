"""Learning rate, parameter groups, and the moving average of weights."""

import math
from typing import Any, cast

import torch
from torch import nn

from wholebody.errors import WholebodyError
from wholebody.train.config import Optim


def learning_rate(step: int, steps: int, optim: Optim) -> float:
    """Linear warm-up, flat, then a cosine to `lr_end`."""
    start = max(optim.warmup, int(optim.flat * steps))
    phase = min(1.0, max(0.0, (step - start) / max(1, steps - start)))
    rate = optim.lr_end + (optim.lr - optim.lr_end) * 0.5 * (1 + math.cos(math.pi * phase))
    warm = min(1.0, step / max(1, optim.warmup - 1)) if optim.warmup else 1.0
    return rate * (1e-5 + (1 - 1e-5) * warm)


def parameter_groups(
    lesson: nn.Module, optim: Optim, batch: int = 0, encoder: nn.Module | None = None
) -> list[dict[str, Any]]:
    """Separate learning rates for the encoder and the rest; no weight decay on norms, biases and other vectors.

    Args:
        batch: the actual batch size, for `optim.lr_batch`.
        encoder: the part with the rate `optim.backbone`, with `stem` and `blocks` if some of them are frozen
            (`optim.freeze`); by default the backbone of the lesson's network.
    """
    backbone: nn.Module = cast(Any, lesson.network).backbone if encoder is None else encoder
    for module in frozen(backbone, optim):
        module.requires_grad_(False)
    of_backbone = {id(p) for p in backbone.parameters()}
    grown = batch / optim.lr_batch if batch and optim.lr_batch else 1.0
    groups: list[dict[str, Any]] = []
    for mine, factor in ((True, optim.backbone), (False, 1.0)):
        parameters = [p for p in lesson.parameters() if p.requires_grad and (id(p) in of_backbone) == mine]
        for decays in (True, False):
            chosen = [p for p in parameters if (p.ndim > 1) == decays]
            decay = optim.weight_decay if decays else 0.0
            if chosen:
                groups.append({"params": chosen, "factor": factor * grown, "weight_decay": decay})
    return groups


def frozen(backbone: nn.Module, optim: Optim) -> list[nn.Module]:
    """The frozen parts of a backbone, weights and statistics.

    Raises:
        WholebodyError: more blocks are to be frozen than it has.
    """
    if optim.backbone == 0:
        return [backbone]
    if not optim.freeze:
        return []
    blocks, stem = (cast(Any, getattr(backbone, name, None)) for name in ("blocks", "stem"))
    count = 0 if blocks is None or stem is None else len(blocks)
    if optim.freeze > count:
        raise WholebodyError(
            f"optim.freeze is {optim.freeze}, and {type(backbone).__name__} has {count} numbered blocks. "
            "Lower it; optim.backbone 0 keeps the whole backbone."
        )
    return [*blocks[: optim.freeze], stem]


@torch.no_grad()
def average(ema: nn.Module, network: nn.Module, step: int, optim: Optim) -> None:
    """Update the averaged weights and buffers; the first step copies them."""
    momentum = optim.ema_momentum + (1 - optim.ema_momentum) * math.exp(-(step + 1) / optim.ema_gamma)
    pairs = list(zip(ema.state_dict().values(), network.state_dict().values(), strict=True))
    moved = [pair for pair in pairs if pair[0].dtype.is_floating_point and step]
    if moved:
        torch._foreach_lerp_([kept for kept, _ in moved], [now for _, now in moved], momentum)
    for kept, now in pairs:
        if not (kept.dtype.is_floating_point and step):
            kept.copy_(now)
