"""One step of a training. The loop takes it again and again; a measurement may take it by itself.

training = start(lesson, config.optim, config.batch)
figures = step(training, 0, steps=100, parts=[batch])
"""

import copy
import math
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import nn

from wholebody.errors import WholebodyError
from wholebody.train.config import Optim
from wholebody.train.engine.batches import Drawn
from wholebody.train.engine.optim import average, learning_rate, parameter_groups
from wholebody.train.engine.parallel import Process, distributed, mean_of

ALONE = Process(0, 1, torch.device("cpu"))


@dataclass(frozen=True, eq=False)
class Training:
    """What a step changes.

    Attributes:
        lesson: (batch, share of the run that is done) -> named loss terms; its `network` is what is wanted.
        ema: the network with averaged weights.
        optimizer: of all that learns.
        together: the lesson with gradients averaged over all processes; alone, the lesson itself.
        optim: rates, clipping and averaging.
        bf16: compute in bfloat16 where it is safe.
        process: which of several this is.
    """

    lesson: nn.Module
    ema: nn.Module
    optimizer: torch.optim.Optimizer
    together: nn.Module
    optim: Optim
    bf16: bool
    process: Process


def start(
    lesson: nn.Module,
    optim: Optim,
    batch: int,
    bf16: bool = False,
    process: Process = ALONE,
    shared_norms: bool = True,
    encoder: nn.Module | None = None,
) -> Training:
    """A training before its first step.

    Args:
        batch: over all processes, for `optim.lr_batch`.
        shared_norms: batch norms see the batches of all processes.
        encoder: the part with a learning rate of its own, as `parameter_groups` takes it.
    """
    lesson = lesson.to(process.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    ema = copy.deepcopy(lesson.network)
    optimizer = torch.optim.AdamW(parameter_groups(lesson, optim, batch, encoder), lr=optim.lr)
    together = distributed(lesson, process, shared_norms)
    return Training(lesson, ema, optimizer, together, optim, bf16, process)  # type: ignore[arg-type]


def step(training: Training, number: int, steps: int, parts: Iterable[Drawn], accumulate: int = 1) -> dict[str, float]:
    """Follow the gradient of one batch, and move the averaged weights after.

    Args:
        number: of the step, counted from 0; `steps`: of the run.
        parts: the batch of this process, in `accumulate` parts where memory is short.

    Returns:
        The learning rate as "lr", the gradient's norm before clipping as "norm", and the loss terms.

    Raises:
        WholebodyError: the loss is not finite; nothing was changed.
    """
    together, optimizer, process = training.together, training.optimizer, training.process
    device = process.device
    together.train()
    rate = learning_rate(number, steps, training.optim)
    for group in optimizer.param_groups:
        group["lr"] = rate * group["factor"]
    optimizer.zero_grad(set_to_none=True)
    terms: dict[str, float] = {}
    for part, batch in zip(range(accumulate), parts, strict=False):
        # Gradients are exchanged once a step, with the last part.
        wait = process.world > 1 and part + 1 < accumulate
        with together.no_sync() if wait else nullcontext():  # type: ignore[operator]
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=training.bf16):
                losses = together(batch.to(device), number / steps)
            loss = torch.stack(list(losses.values())).sum() / accumulate
            loss.backward()  # type: ignore[no-untyped-call]
        for name, term in losses.items():
            terms[name] = terms.get(name, 0.0) + mean_of(float(term.detach()), process) / accumulate
    learnt = [p for group in optimizer.param_groups for p in group["params"]]
    norm = nn.utils.clip_grad_norm_(learnt, training.optim.clip)
    if not math.isfinite(sum(terms.values())) or not torch.isfinite(norm):
        raise WholebodyError(
            f"the loss is not finite at step {number}. The last good state is kept; lower optim.lr and run again."
        )
    optimizer.step()
    average(training.ema, training.lesson.network, number, training.optim)  # type: ignore[arg-type]
    return {"lr": rate, "norm": float(norm), **terms}
