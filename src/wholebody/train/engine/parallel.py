"""One run in several processes, on one machine or many, started by torchrun.

    torchrun --nproc-per-node 8 -m wholebody.cli train dwpose-m --out work/dwpose-m

A recipe's batch is that of all processes together, and sample n is the same whichever process loads it. With
synchronised batch norms, a run in two processes has the same loss curve as a run in one, up to rounding. GPUs are used
if available; that path has not been run.
"""

import atexit
import ctypes
import os
import sys
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from wholebody.networks.thunder import Thunder

# From malloc.h: the mmap threshold, the trim threshold, and the amount of memory to request at a time.
_M_MMAP_MAX, _M_TRIM_THRESHOLD, _M_TOP_PAD = -4, -1, -2


# The first process may still be saving or evaluating while the others wait for it.
_PATIENCE = timedelta(hours=1)


@dataclass(frozen=True)
class Process:
    """The rank of this process among `world`, and its device."""

    rank: int
    world: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    def wait(self) -> None:
        """Wait for all processes."""
        if self.world > 1:
            dist.barrier()


def is_first() -> bool:
    """Whether this is the only process, or the first of those started by torchrun."""
    return int(os.environ.get("RANK", 0)) == 0


def this_process() -> Process:
    """Join the processes started by torchrun; a single process otherwise."""
    local = int(os.environ.get("LOCAL_RANK", 0))
    device = torch.device("cuda", local) if torch.cuda.is_available() else torch.device("cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    else:
        keep_memory()
    if "RANK" not in os.environ:
        return Process(0, 1, device)
    if not dist.is_initialized():
        # Only once: destroying the group and creating it again, as for a second stage, hangs.
        backend = os.environ.get("WHOLEBODY_BACKEND") or ("nccl" if device.type == "cuda" else "gloo")
        dist.init_process_group(backend, timeout=_PATIENCE)
        atexit.register(dist.destroy_process_group)
    return Process(dist.get_rank(), dist.get_world_size(), device)


def keep_memory() -> None:
    """Ask glibc, if it is the C library, to keep freed memory.

    By default it returns large blocks to the system at once, and each step on a CPU requests them again: zeroing new
        pages takes a fifth of the time of a step.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if set_option is not None:
        for option, value in ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, -1), (_M_TOP_PAD, 256 << 20)):
            set_option(option, value)


def distributed(lesson: nn.Module, process: Process, shared_norms: bool = True) -> nn.Module:
    """The module whose gradients are averaged over all processes; with one process, the lesson itself.

    Args:
        shared_norms: batch norms see the batches of all processes.
    """
    if process.world == 1:
        return lesson
    if shared_norms:
        synchronise(lesson)
    ids = [process.device.index] if process.device.type == "cuda" else None
    # Thunder's pyramid is only used for heatmaps, which not every run has.
    unused = any(isinstance(module, Thunder) for module in lesson.modules())
    # Synchronised batch norms agree by themselves; of others, the first process's are kept.
    return DistributedDataParallel(lesson, device_ids=ids, broadcast_buffers=False, find_unused_parameters=unused)


def synchronise(module: nn.Module) -> None:
    """Synchronise a module's trainable batch norms over all processes, in place."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            if next(child.parameters()).device.type == "cuda":
                setattr(module, name, nn.SyncBatchNorm.convert_sync_batchnorm(child))  # type: ignore[no-untyped-call]
            else:
                child.__class__ = _SyncBatchNorm
        else:
            synchronise(child)


class _SyncBatchNorm(nn.BatchNorm2d):
    """nn.SyncBatchNorm for CPUs: mean and variance over the batches of all processes, of equal size."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        mean = _shared_mean(x.float().mean(dim=(0, 2, 3)))
        square = _shared_mean(x.float().square().mean(dim=(0, 2, 3)))
        variance = (square - mean.square()).clamp(min=0)
        with torch.no_grad():
            count = x.numel() // x.shape[1] * dist.get_world_size()
            running_mean, running_var = cast(Tensor, self.running_mean), cast(Tensor, self.running_var)
            running_mean.lerp_(mean, cast(float, self.momentum))
            running_var.lerp_(variance * count / max(count - 1, 1), cast(float, self.momentum))
            cast(Tensor, self.num_batches_tracked).add_(1)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        shift = self.bias - mean * scale
        normal: Tensor = x * scale[:, None, None] + shift[:, None, None]
        return normal.to(x.dtype)


class _Mean(torch.autograd.Function):
    """The mean of a tensor over all processes; so is its gradient, because every process has a part of the loss."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _mean(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return _mean(gradients[0])


def _shared_mean(x: Tensor) -> Tensor:
    shared: Tensor = _Mean.apply(x)  # type: ignore[no-untyped-call]
    return shared


def _mean(x: Tensor) -> Tensor:
    x = x.clone()
    dist.all_reduce(x)
    return x / dist.get_world_size()


def mean_of(values: Tensor, process: Process) -> Tensor:
    """The mean of some numbers over all processes, for the log."""
    return values if process.world == 1 else _mean(values)
