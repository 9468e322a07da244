"""One step of a training, used by the loop and by benchmarks.

training = start(lesson, config.optim, config.batch)
figures = step(training, 0, steps=100, parts=[batch])
"""

import copy
import math
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn

from wholebody.errors import WholebodyError
from wholebody.train.config import Optim
from wholebody.train.engine.batches import Drawn
from wholebody.train.engine.optim import average, frozen, learning_rate, parameter_groups
from wholebody.train.engine.parallel import Process, distributed, mean_of

ALONE = Process(0, 1, torch.device("cpu"))


@dataclass(frozen=True, eq=False)
class Training:
    """The mutable state of a training.

    Attributes:
        lesson: (batch, completed fraction of the run) -> named loss terms; its `network` is the result.
        ema: the network with averaged weights.
        optimizer: of all trained parameters.
        together: the lesson with gradients averaged over all processes; with one process, the lesson itself.
        optim: learning rates, clipping and averaging.
        precision: the type used where it is safe; None means float32 throughout.
        process: this process among several.
        scaler: loss scaling, so that small gradients are not lost in float16; otherwise inactive.
        frozen: parts whose weights and statistics are frozen.
    """

    lesson: nn.Module
    ema: nn.Module
    optimizer: torch.optim.Optimizer
    together: nn.Module
    optim: Optim
    precision: torch.dtype | None
    process: Process
    scaler: torch.amp.GradScaler
    frozen: Sequence[nn.Module] = ()


def start(
    lesson: nn.Module,
    optim: Optim,
    batch: int,
    precision: torch.dtype | None = None,
    process: Process = ALONE,
    shared_norms: bool = True,
    encoder: nn.Module | None = None,
    compiled: bool = False,
) -> Training:
    """A training before its first step.

    Args:
        batch: batch size over all processes, for `optim.lr_batch`.
        precision: bfloat16 or float16 where it is safe (`engine.precision`); None means float32 throughout.
        shared_norms: synchronise batch norms over all processes.
        encoder: the part with its own learning rate, as for `parameter_groups`.
        compiled: use torch.compile on the lesson.

    Raises:
        WholebodyError: the part to freeze cannot be found.
    """
    lesson = lesson.to(process.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    ema = copy.deepcopy(lesson.network)
    groups = parameter_groups(lesson, optim, batch, encoder)
    optimizer = torch.optim.AdamW(groups, lr=optim.lr, fused=True)
    together = distributed(lesson, process, shared_norms)
    if compiled:
        together = cast(nn.Module, torch.compile(together))
    scaler = torch.amp.GradScaler(process.device.type, enabled=precision == torch.float16)
    backbone: nn.Module = cast(Any, lesson.network).backbone if encoder is None else encoder
    kept = frozen(backbone, optim)
    return Training(lesson, ema, optimizer, together, optim, precision, process, scaler, kept)  # type: ignore[arg-type]


def step(training: Training, number: int, steps: int, parts: Iterable[Drawn], accumulate: int = 1) -> dict[str, float]:
    """Take one optimizer step on a batch, and update the averaged weights.

    Args:
        number: the number of the step, from 0; `steps`: the steps of the run.
        parts: the batch of this process, in `accumulate` parts.

    Returns:
        The learning rate as "lr", the gradient's norm before clipping as "norm", and the loss terms.

    Raises:
        WholebodyError: the loss is not finite; nothing was changed.
    """
    together, optimizer, process = training.together, training.optimizer, training.process
    device, scaler = process.device, training.scaler
    together.train()
    for module in training.frozen:
        module.eval()
    rate = learning_rate(number, steps, training.optim)
    for group in optimizer.param_groups:
        group["lr"] = rate * group["factor"]
    optimizer.zero_grad(set_to_none=True)
    names: list[str] = []
    total = torch.zeros(0)
    for part, batch in zip(range(accumulate), parts, strict=False):
        # Gradients are exchanged once per step, with the last part.
        wait = process.world > 1 and part + 1 < accumulate
        with together.no_sync() if wait else nullcontext():  # type: ignore[operator]
            with torch.autocast(device.type, training.precision, enabled=training.precision is not None):
                losses = together(batch.to(device), number / steps)
            terms = torch.stack([term.float() for term in losses.values()]) / accumulate
            scaler.scale(terms.sum()).backward()  # type: ignore[no-untyped-call]
        names, total = list(losses), total + terms.detach() if part else terms.detach()
    scaler.unscale_(optimizer)
    learnt = [p for group in optimizer.param_groups for p in group["params"]]
    norm = nn.utils.clip_grad_norm_(learnt, training.optim.clip or math.inf)
    # Transfer all figures from the device at once: each transfer would wait for it.
    *values, length = torch.cat([mean_of(total, process), norm[None].to(total.device)]).tolist()
    # In float16 a gradient may overflow: the scaler then skips the step and reduces the scale.
    if not all(map(math.isfinite, values)) or not (math.isfinite(length) or scaler.is_enabled()):
        raise WholebodyError(
            f"the loss is not finite at step {number}. The last good state is kept; lower optim.lr and run again."
        )
    scaler.step(optimizer)
    scaler.update()
    average(training.ema, training.lesson.network, number, training.optim)  # type: ignore[arg-type]
    return {"lr": rate, "norm": length, **dict(zip(names, values, strict=True))}
