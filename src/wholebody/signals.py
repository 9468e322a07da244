"""Signals that end a run: SIGTERM and SIGHUP act like Ctrl-C, and critical sections are not interrupted."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Make SIGTERM and SIGHUP act like Ctrl-C, but only once, so that files can be closed properly.

    Only the main thread can change this; signals that are ignored (nohup) or handled elsewhere are left alone.
    """
    numbers = [] if threading.current_thread() is not threading.main_thread() else _ENDING
    numbers = [number for number in numbers if signal.getsignal(number) == signal.SIG_DFL]
    own, ended = os.getpid(), False

    def stop(number: int, _frame: FrameType | None) -> None:
        nonlocal ended
        if os.getpid() != own:  # a forked process is ended by its parent
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        if not ended:
            ended = True
            raise KeyboardInterrupt

    for number in numbers:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def undivided() -> Iterator[None]:
    """A critical section: signals that end a run are deferred to its end, so that related files stay consistent."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are not handled here
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, *_ENDING)}
    # None means a handler not set from Python; an unhandled signal ends the process at once.
    before = {number: handler for number, handler in before.items() if callable(handler)}
    came: list[int] = []
    for number in before:
        signal.signal(number, lambda number, _: came.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in came[:1]:
            signal.raise_signal(number)
