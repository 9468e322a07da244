"""What ends a run from outside: SIGTERM and SIGHUP do what Ctrl-C does, and what belongs together is not cut in two."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP do what Ctrl-C does, once: a file that is being closed has its time for that.

    Only the main thread may change this; what is ignored (nohup) or handled by somebody else stays so.
    """
    numbers = [] if threading.current_thread() is not threading.main_thread() else _ENDING
    numbers = [number for number in numbers if signal.getsignal(number) == signal.SIG_DFL]
    own, ended = os.getpid(), False

    def stop(number: int, _frame: FrameType | None) -> None:
        nonlocal ended
        if os.getpid() != own:  # a process that was forked off is ended by whoever began it
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
    """Signals that end a run wait for the end of this: what belongs together is written together or not at all."""
    if threading.current_thread() is not threading.main_thread():
        yield  # no signal is handled here
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, *_ENDING)}
    # None was set by somebody who is not Python, and what is not handled ends the process at once.
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
