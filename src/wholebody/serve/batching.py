"""Micro-batching: work from several requests that arrives at about the same time goes through a network together.

Work is queued in front of each network; these are the stages. One thread (two on a GPU) takes a batch from the last
stage that has one ready, so that nearly finished requests go first. A batch is ready when it is full, when its oldest
item has waited long enough, or when no current request can add to it, so a single request never waits. While a network
runs, the queues grow, so batches grow with the load.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, eq=False)
class Waiting:
    """One item in a queue: its arrival (`time.monotonic`), its weight, and the future for its result."""

    item: Any
    weight: int
    since: float = field(default_factory=time.monotonic)
    result: Future[Any] = field(default_factory=Future)


@dataclass(eq=False)
class Stage:
    """A network and its queue.

    Attributes:
        name: for the metrics.
        run: several items -> as many results.
        room: maximum weight of a batch; a heavier item goes alone.
        weigh: the weight of an item.
        line: the queue. coming: requests that may still add an item.
    """

    name: str
    run: Callable[[list[Any]], Sequence[Any]]
    room: int
    weigh: Callable[[Any], int] = lambda _: 1
    line: deque[Waiting] = field(default_factory=deque)
    coming: int = 0

    def ready(self, now: float, wait: float) -> bool:
        """Whether a batch should be taken now."""
        if not self.line:
            return False
        full = sum(job.weight for job in self.line) >= self.room
        return full or not self.coming or now >= self.line[0].since + wait

    def take(self) -> list[Waiting]:
        """The first items, as many as fit, and at least one."""
        jobs = [self.line.popleft()]
        left = self.room - jobs[0].weight
        while self.line and self.line[0].weight <= left:
            jobs.append(self.line.popleft())
            left -= jobs[-1].weight
        return jobs


class Batcher:
    """The stages, and the threads that run them.

    Args:
        stages: in the order in which a request passes them.
        wait: longest time in seconds that an item waits for others.
        threads: 1 if the networks share a CPU, otherwise the number that should run in parallel.
        told: called with the stage's name, the weight and the seconds of each run.
    """

    def __init__(
        self,
        *stages: Stage,
        wait: float = 0.005,
        threads: int = 1,
        told: Callable[[str, int, float], None] = lambda *_: None,
    ) -> None:
        self.stages = stages
        self.wait = wait
        self._told = told
        self._changed = threading.Condition()
        self._closed = False
        self._threads = [threading.Thread(target=self._work, name=f"batches-{n}", daemon=True) for n in range(threads)]
        for thread in self._threads:
            thread.start()

    def visit(self) -> "Visit":
        """A request that may add an item to each stage; others wait briefly for it, until it leaves."""
        with self._changed:
            for stage in self.stages:
                stage.coming += 1
        return Visit(self, list(self.stages))

    def leave(self, visit: "Visit") -> None:
        """See `Visit.leave`."""
        with self._changed:
            for stage in visit.ahead:
                stage.coming -= 1
            visit.ahead.clear()
            self._changed.notify_all()

    def close(self) -> None:
        """Run what is queued, then end the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def add(self, stage: Stage, item: Any, visit: "Visit") -> Future[Any]:
        """Add an item to a stage's queue; see `Visit.bring`."""
        job = Waiting(item, stage.weigh(item))
        with self._changed:
            if self._closed:
                raise RuntimeError("the batches are closed")
            if stage in visit.ahead:
                visit.ahead.remove(stage)
                stage.coming -= 1
            stage.line.append(job)
            self._changed.notify_all()
        return job.result

    def _work(self) -> None:
        while batch := self._next():
            stage, jobs = batch
            # Cancelled and timed-out requests are dropped.
            self._run(stage, [job for job in jobs if job.result.set_running_or_notify_cancel()])

    def _next(self) -> tuple[Stage, list[Waiting]] | None:
        with self._changed:
            while True:
                now = time.monotonic()
                for stage in reversed(self.stages):
                    if stage.ready(now, 0 if self._closed else self.wait):
                        return stage, stage.take()
                due = [stage.line[0].since + self.wait - now for stage in self.stages if stage.line]
                if self._closed and not due:
                    return None
                self._changed.wait(max(min(due), 0) if due else None)

    def _run(self, stage: Stage, jobs: Sequence[Waiting]) -> None:
        if not jobs:
            return
        begun = time.perf_counter()
        try:
            results = stage.run([job.item for job in jobs])
        except Exception as error:
            if len(jobs) == 1:
                jobs[0].result.set_exception(error)
            else:  # only the faulty items should fail
                for job in jobs:
                    self._run(stage, [job])
            return
        self._told(stage.name, sum(job.weight for job in jobs), time.perf_counter() - begun)
        for job, result in zip(jobs, results, strict=True):
            job.result.set_result(result)


@dataclass(frozen=True, eq=False)
class Visit:
    """A request in progress; `ahead` are the stages it may still reach. A context that leaves at its end."""

    batches: Batcher
    ahead: list[Stage]

    def __enter__(self) -> "Visit":
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    def leave(self) -> None:
        """Declare that no more items will come, so that others do not wait for this request."""
        self.batches.leave(self)

    def bring(self, stage: Stage, item: Any) -> Future[Any]:
        """Add an item to a stage's queue. Cancelling the future removes it, unless it is already running.

        Raises:
            RuntimeError: the batches are closed.
        """
        return self.batches.add(stage, item, self)
