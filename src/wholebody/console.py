"""What commands print through: the console of their tables, and the one progress bar."""

import logging
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

# Columns where the output is a file or a pipe: a name that is cut off is no use to another program.
_UNCUT = 400

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def stdout_console() -> "Console":
    """The console of tables on stdout: as wide as the terminal, and as wide as they need where there is none."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else _UNCUT, highlight=False)


def plain(text: str) -> str:
    """Text of names and servers with control characters written out (\\x1b), so that it cannot steer a terminal.

    So are lone surrogates, which stand for bytes of names that are not UTF-8, and marks that turn the direction.
    """
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape", "surrogatepass").decode(), text)


def say(line: str) -> None:
    """Print one line on stderr; whatever it quotes is `plain`."""
    print(plain(line), file=sys.stderr)


class PlainFormatter(logging.Formatter):
    """Log records in one `plain` line each, but for a traceback."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return plain(super().formatMessage(record))


# `progress`, or another function of a name and a total -> a context with the function that advances the bar.
ProgressBar = Callable[[str, int], AbstractContextManager[Callable[[], None]]]


@contextmanager
def progress(name: str, total: int | None, unit: str | None = None, before: int = 0) -> Iterator[Callable[..., None]]:
    """A bar on stderr and the function that moves it on, by one unless told; a single item needs none.

    Args:
        total: how many there will be, None where that is unknown. unit: what is counted per second. before: done
            already.
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
