"""The summary at the end of a run."""

import traceback
from collections.abc import Sequence
from pathlib import Path

from wholebody.console import plain, say
from wholebody.errors import REFUSALS, WholebodyError, refusal
from wholebody.predict.job import Done


def mistake(error: Exception) -> str:
    """One line about an unexpected error, with its location if it is a bug of ours."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    what = " ".join(f"{type(error).__name__} {error}".split())
    if isinstance(error, REFUSALS):
        return refusal(error)
    return f"failed ({what}; {Path(place.filename).name}, line {place.lineno}). Report it, or continue with --resume."


def told(file: Path, error: Exception) -> str:
    """One line about a file's error; ours name the file themselves."""
    return str(error) if isinstance(error, WholebodyError) else f"{file}: {mistake(error)}"


def report(done: Sequence[Done], notes: Sequence[str], failed: Sequence[str], advice: str = "") -> None:
    """Print the summary; `advice` only if nobody was found anywhere."""
    from rich.markup import escape
    from rich.table import Table

    from wholebody.console import stdout_console

    console = stdout_console()
    pictures = [row for row in done if row.frames is None]
    videos = [row for row in done if row.frames is not None]
    for rows, columns in ((pictures, ("picture", "people", "ms")), (videos, ("video", "people", "frames", "frames/s"))):
        table = Table(*columns, "written", box=None, pad_edge=False)
        for row in rows[:40]:
            if row.frames is None:
                figures = [f"{row.seconds * 1e3:.0f}"]
            else:
                figures = [str(row.frames), f"{row.frames / row.seconds:.1f}" if row.seconds else "done before"]
            names = plain(", ".join(path.name for path in row.written))
            table.add_row(escape(plain(str(row.file))), str(row.people), *figures, escape(names))
        if rows:
            console.print(table)
        if len(rows) > 40:
            console.print(f"... and {len(rows) - 40} more")
    for line in notes:
        say(line)
    sums = [_count(len(rows), word) for rows, word in ((pictures, "picture"), (videos, "video")) if rows] or ["0 done"]
    people = _count(sum(row.people for row in done), "person", "people")
    console.print(f"{', '.join(sums)}, {people}" + (f", {len(failed)} failed:" if failed else ""))
    for line in failed:
        say(line)
    if advice and done and not any(row.people for row in done):
        say(f"nobody was found: {advice}")


def _count(number: int, word: str, many: str | None = None) -> str:
    return f"{number} {word if number == 1 else many or word + 's'}"
