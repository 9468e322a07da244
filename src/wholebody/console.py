"""What commands print through: the console of their tables, and the one progress bar."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

# Columns where the output is a file or a pipe: a name that is cut off is no use to another program.
_UNCUT = 400


def stdout_console() -> "Console":
    """The console of tables on stdout: as wide as the terminal, and as wide as they need where there is none."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else _UNCUT, highlight=False)


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
