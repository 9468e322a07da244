"""Preparing batches from samples in worker processes."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import torch
from torch.utils.data import DataLoader, Dataset

from wholebody.errors import WholebodyError
from wholebody.train.engine.parallel import keep_memory


class Drawn(Protocol):
    """A batch: tensors that move to a device together."""

    def to(self, device: torch.device) -> "Drawn": ...


class Draws(Protocol):
    """Data whose sample n depends on the seed and n alone, so that a resumed run sees the same as an unbroken one."""

    def draw(self, numbers: range) -> Any:
        """The batch of some samples, a `Drawn`."""
        ...


@dataclass(frozen=True)
class Batches(Dataset[Any]):
    """The samples of one process: item i is part i % accumulate of its share of step i // accumulate.

    Together the processes' shares of a step are samples step * batch to (step + 1) * batch, whatever the number of
    processes. An unreadable item is represented by its error message, which a worker process can pass on.
    """

    data: Draws
    batch: int
    accumulate: int = 1
    rank: int = 0
    world: int = 1

    def __getitem__(self, item: int) -> Any:
        step, part = divmod(item, self.accumulate)
        size = self.batch // (self.world * self.accumulate)
        first = step * self.batch + (self.rank * self.accumulate + part) * size
        try:
            return self.data.draw(range(first, first + size))
        except WholebodyError as error:
            return str(error)

    def read(self, item: int) -> Any:
        """One item, prepared in this process.

        Raises:
            WholebodyError: it cannot be read.
        """
        return _checked(self[item])

    def stream(
        self,
        first: int,
        steps: int,
        workers: int,
        pin_memory: bool,
        tell: Callable[[str], None] = lambda line: None,
    ) -> Iterator[Any]:
        """The items of steps `first` to `steps`, prepared by this many worker processes.

        Args:
            tell: called with a line for each unreadable picture.

        Raises:
            WholebodyError: an item cannot be read.
        """
        loader = DataLoader(
            self,
            batch_size=None,
            sampler=range(first * self.accumulate, steps * self.accumulate),
            num_workers=workers,
            worker_init_fn=_worker,
            prefetch_factor=4 if workers else None,
            pin_memory=pin_memory,
            # A forked worker would inherit the locks of OpenCV's thread pool and hang.
            multiprocessing_context="forkserver" if workers else None,
        )
        for item in map(_checked, loader):
            for line in getattr(item, "unreadable", ()):
                tell(line)
            yield item


def _checked(item: Any) -> Any:
    if isinstance(item, str):
        raise WholebodyError(f"{item} The run can then resume from its last state.")
    return item


def _worker(_: int) -> None:
    """Set up a worker process: OpenCV uses one thread, freed memory is kept for the next picture, and the worker ends
    if the training is killed, which a fork server does not take care of."""
    cv2.setNumThreads(1)
    keep_memory()
    training = multiprocessing.parent_process()
    if training is not None:

        def leave() -> None:
            training.join()
            os._exit(1)

        threading.Thread(target=leave, daemon=True).start()
