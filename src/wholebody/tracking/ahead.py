"""Prefetching: a thread works on the next frames while the current one is used."""

import queue
import threading
from collections.abc import Generator, Iterable, Iterator
from typing import TypeVar

import numpy as np

from wholebody.arrays import Image

T = TypeVar("T")

# Frames queued between two stages: as many as fit into this many bytes, between 1 and 8.
WAITING_BYTES = 2**26


def ahead(items: Iterable[T], depth: int) -> Generator[T]:
    """The items, produced in a separate thread, `depth` of them in advance.

    An error in the thread is raised here, after the items before it. Closing this generator stops the thread, after the
    item in progress, and closes `items`.
    """
    waiting: queue.Queue[tuple[bool, T | BaseException | None]] = queue.Queue(max(depth, 1))
    stop = threading.Event()

    def put(done: bool, item: T | BaseException | None) -> bool:
        while not stop.is_set():
            try:
                waiting.put((done, item), timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        source = iter(items)
        try:
            for item in source:
                if not put(False, item):
                    break
            put(True, None)
        except BaseException as error:
            put(True, error)
        finally:
            if isinstance(source, Iterator) and hasattr(source, "close"):
                source.close()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            done, item = waiting.get()
            if isinstance(item, BaseException) and done:
                raise item
            if done:
                return
            yield item  # type: ignore[misc]
    finally:
        stop.set()
        thread.join()


def depth_for(image: Image) -> int:
    """How many frames of this size may be queued between two stages."""
    return int(np.clip(WAITING_BYTES // max(image.nbytes, 1), 1, 8))
