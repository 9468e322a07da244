"""Output of the commands: the console for tables, and the progress bar."""

import logging
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

# Width where the output is a file or a pipe: a truncated name would be useless to another program.
_UNCUT = 400

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def stdout_console() -> "Console":
    """The console for tables on stdout: as wide as the terminal, or as wide as the tables if there is none."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else _UNCUT, highlight=False)


def plain(text: str) -> str:
    """Text from files and servers with control characters escaped (\\x1b), so that it cannot control the terminal.

    Lone surrogates, which stand for bytes of names that are not UTF-8, and bidirectional marks are escaped too.
    """
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape", "surrogatepass").decode(), text)


def say(line: str) -> None:
    """Print one line on stderr, escaped by `plain`."""
    print(plain(line), file=sys.stderr)


class PlainFormatter(logging.Formatter):
    """Log records as one `plain` line each, except for a traceback."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return plain(super().formatMessage(record))


# `progress`, or another function (name, total) -> a context that yields the function that advances the bar.
ProgressBar = Callable[[str, int], AbstractContextManager[Callable[[], None]]]


@contextmanager
def progress(name: str, total: int | None, unit: str | None = None, before: int = 0) -> Iterator[Callable[..., None]]:
    """A progress bar on stderr, and the function that advances it, by one by default; no bar for a single item.

    Args:
        total: the number of items, None if unknown. unit: what is counted per second. before: items already done.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = [TextColumn(escape(name)), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[speed]}")]
    hidden = total is not None and total < 2
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True, disable=hidden) as bar:
        task = bar.add_task(name, total=total, completed=before, speed="")
        started, count = time.perf_counter(), 0

        def advance(steps: int = 1) -> None:
            nonlocal count
            count += steps
            speed = "" if unit is None else f"{count / (time.perf_counter() - started):.1f} {unit}/s"
            bar.update(task, advance=steps, speed=speed)

        yield advance
