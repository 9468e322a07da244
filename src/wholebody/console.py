"""The progress bar of every long command."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress(name: str, total: int | None, unit: str | None = None, before: int = 0) -> Iterator[Callable[[], None]]:
    """A bar on stderr and the function that moves it on by one; a single picture needs none.

    Args:
        total: how many there will be, None if nobody knows. unit: what is counted in a second. before: done already.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = [TextColumn(escape(name)), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[speed]}")]
    hidden = total is not None and total < 2
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True, disable=hidden) as bar:
        task = bar.add_task(name, total=total, completed=before, speed="")
        started, count = time.perf_counter(), 0

        def advance() -> None:
            nonlocal count
            count += 1
            speed = "" if unit is None else f"{count / (time.perf_counter() - started):.1f} {unit}/s"
            bar.update(task, advance=1, speed=speed)

        yield advance


@contextmanager
def _progress(name: str, total: int) -> Iterator[Callable[..., None]]:
    """A bar on stderr and the function that moves it on, by one unless told; a single picture needs none."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(name), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=total < 2) as bar:
        task = bar.add_task(name, total=total)
        yield lambda steps=1: bar.advance(task, steps)
