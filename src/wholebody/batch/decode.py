"""Fetching and decoding pictures, a group at a time, in separate processes.

If a decoder crashes its process, as can happen with malicious files, only that picture is lost.
"""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from multiprocessing.connection import wait

import cv2

from wholebody.arrays import Image
from wholebody.batch.sources import Item, fetch, storable
from wholebody.errors import WholebodyError
from wholebody.images import decode_image, encoded_size

# Pictures that are fetched, decoded and estimated together, and the most pixels held at once: 100 MB.
GROUP = 8
GROUP_PIXELS = 2**25


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded picture, (H, W, 3) uint8 BGR, or an error instead."""

    id: str
    image: Image | None = None
    error: str | None = None


Decoded = tuple[list[Picture], list[Item]]


def decode(items: Sequence[Item], strict: bool = False) -> Decoded:
    """Fetch and decode pictures, up to `GROUP_PIXELS`; the rest is returned undecoded. `strict` as for `read_image`."""
    pictures: list[Picture] = []
    rest: list[Item] = []
    pixels = 0
    for item, data in zip(items, fetch(items), strict=True):
        try:
            if isinstance(data, Exception):
                raise data
            width, height = encoded_size(data, item.id)
            if rest or (pixels and pixels + width * height > GROUP_PIXELS):
                rest.append(Item(item.id, item.address, data))
                continue
            pictures.append(Picture(item.id, decode_image(data, item.id, strict=strict)))
            pixels += width * height
        except Exception as error:
            pictures.append(Picture(item.id, error=in_a_line(error, item.id, item.address)))
    return pictures, rest


def in_a_line(error: Exception, *names: str) -> str:
    """An error's message without the file name, so that equal errors have equal texts."""
    if not isinstance(error, WholebodyError):
        return storable(" ".join(f"{type(error).__name__}: {error}".split()))
    text = str(error)
    for name in filter(None, names):
        text = text.removeprefix(f"{name}: ")
    return storable(text)


def decoded(groups: Iterable[Sequence[Item]], processes: int, strict: bool = False) -> Generator[list[Picture]]:
    """Groups of decoded pictures, in order; without worker processes they are decoded in this one."""
    if processes == 0:
        for group in groups:
            rest: Sequence[Item] = group
            while rest:
                pictures, rest = decode(rest, strict)
                yield pictures
        return
    pool = _pool(processes)
    waiting: deque[tuple[Sequence[Item], Future[Decoded]]] = deque()
    upcoming = iter(groups)
    try:
        while True:
            for group in islice(upcoming, processes + 1 - len(waiting)):
                waiting.append((group, _submitted(pool, group, strict)))
            if not waiting:
                return
            group, future = waiting.popleft()
            try:
                pictures, rest = future.result()
            except BrokenProcessPool:  # caused by this group or a later one: retry each picture of this one alone
                pool, pictures, rest = _pool(processes), [], []
                for item in group:
                    try:
                        pictures += pool.submit(decode, [item], strict).result()[0]
                    except BrokenProcessPool:
                        pictures.append(Picture(item.id, error="the decoder crashed. Save it again as JPEG or PNG."))
                        pool = _pool(processes)
                waiting = deque((again, _submitted(pool, again, strict)) for again, _ in waiting)
            if rest:
                waiting.appendleft((rest, _submitted(pool, rest, strict)))
            yield pictures
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _submitted(pool: ProcessPoolExecutor, group: Sequence[Item], strict: bool) -> Future[Decoded]:
    # A process may have crashed since the last result, and a broken pool refuses more work.
    try:
        return pool.submit(decode, group, strict)
    except BrokenProcessPool as error:
        refused: Future[Decoded] = Future()
        refused.set_exception(error)
        return refused


def _pool(processes: int) -> ProcessPoolExecutor:
    # Not forked, because this process has threads, and so do bucket clients.
    return ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _begin)


def _begin() -> None:
    """Set up a decoder process: it ignores Ctrl-C, which is for its parent, and never outlives the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=lambda: (wait([parent.sentinel]), os._exit(1)), daemon=True).start()
