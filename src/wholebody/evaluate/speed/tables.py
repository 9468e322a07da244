"""A benchmark's report as tables and a plot."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from wholebody.arrays import Doubles
from wholebody.evaluate.speed.sides import OURS, QUIET, RTMLIB
from wholebody.evaluate.svg import COLORS, PlotAxes, text, ticks

if TYPE_CHECKING:
    from rich.table import Table


# What is timed, and the stages that make it up. One pass runs "pose", "skeleton" and "openpose" one after the other;
# another runs the detector and, right after it, the pose network.
TASKS: Mapping[str, tuple[str, ...]] = {
    "pose": ("pose",),
    "pose + skeleton": ("pose", "skeleton"),
    "pose + OpenPose map": ("pose", "openpose"),
    "detector": ("detector",),
    "detector + pose": ("detector", "pose after it"),
    "all + skeleton": ("detector", "pose after it", "skeleton"),
    "all + OpenPose map": ("detector", "pose after it", "openpose"),
    "skeleton": ("skeleton",),
    "OpenPose map": ("openpose",),
}


@dataclass(frozen=True, eq=False)
class Timings:
    """What was measured.

    Attributes:
        machine: facts about the machine and the versions.
        networks: what ran, in words.
        times: (threads, people, task, side) -> (rounds, 4) milliseconds for one picture: wall-clock time, CPU time
            (all threads), and the parts of both that were spent inside the networks.
        starts: what was started -> (runs, 2) seconds until a new process had computed its first result and exited,
            wall-clock and CPU, minus those of an empty Python process.
    """

    machine: Mapping[str, str]
    networks: Mapping[str, str]
    times: Mapping[tuple[int, int, str, str], Doubles]
    starts: Mapping[str, Doubles] = field(default_factory=dict)

    def ratio(
        self, threads: int, people: int, task: str, side: str, other: str, column: int = 0
    ) -> tuple[float, float, float]:
        """The time of `side` divided by that of `other`: of the medians, and the extremes over the rounds."""
        a, b = (self.times[threads, people, task, name][:, column] for name in (side, other))
        return float(np.median(a) / np.median(b)), float((a / b).min()), float((a / b).max())


def tables(report: Timings) -> "list[Table]":
    """The report as tables that are also valid Markdown: one per number of threads, and the cold starts."""
    from rich import box
    from rich.table import Table

    def new(title: str, *columns: str) -> Table:
        table = Table(title=title, title_justify="left", box=box.MARKDOWN)
        for i, column in enumerate(columns):
            table.add_column(column, justify="left" if i == 0 else "right", no_wrap=True)
        return table

    made = []
    settings = dict.fromkeys((threads, people) for threads, people, _, _ in report.times)
    for count in dict.fromkeys(threads for threads, _ in settings):
        people = [n for threads, n in settings if threads == count]
        sides = list(dict.fromkeys(side for threads, _, _, side in report.times if threads == count))
        title = f"{count} thread{'s' if count > 1 else ''}: milliseconds per picture; x: relative to ours"
        ratios = ("rtmlib x", "min..max", "no spinning x", "CPU x")
        table = new(title, "task", "people", *sides, *ratios, "in networks", "outside", "rtmlib outside")
        for task in TASKS:
            for n in people[:1] if task == "detector" else people:
                table.add_row(task, "" if task == "detector" else str(n), *_cells(report, count, n, task, sides))
        made.append(table)
    if report.starts:
        table = new("Cold start, seconds more than an empty Python process", "process", "wall", "min..max", "CPU")
        for name, rows in report.starts.items():
            (wall, cpu), low, high = np.median(rows, axis=0), rows[:, 0].min(), rows[:, 0].max()
            table.add_row(name, f"{wall:.2f}", f"{low:.2f}..{high:.2f}", f"{cpu:.2f}")
        made.append(table)
    return made


def _cells(report: Timings, threads: int, people: int, task: str, sides: Sequence[str]) -> Iterator[str]:
    """Milliseconds of each side; rtmlib's time relative to ours, wall-clock and CPU; the percentage of our time inside
    the network, and the milliseconds outside of it, for both."""
    there = {side: report.times.get((threads, people, task, side)) for side in sides}
    for times in there.values():
        yield "" if times is None else f"{np.median(times[:, 0]):.1f}"
    ratio, least, most = report.ratio(threads, people, task, RTMLIB, OURS)
    yield from (f"{ratio:.2f}", f"{least:.2f}..{most:.2f}")
    yield "" if there[QUIET] is None else f"{report.ratio(threads, people, task, QUIET, OURS)[0]:.2f}"
    ours, theirs = there[OURS], there[RTMLIB] if there[QUIET] is None else there[QUIET]
    assert ours is not None and theirs is not None
    yield f"{np.median(theirs[:, 1]) / np.median(ours[:, 1]):.2f}"
    yield f"{100 * np.median(ours[:, 2] / ours[:, 0]):.0f} %"
    for times in (ours, theirs):
        yield f"{np.median(times[:, 0] - times[:, 2]):.2f}"


def print_timings(report: Timings) -> None:
    """Print the machine, what ran, and the tables."""
    from rich.console import Console

    # Wide enough for the tables where the output goes to a file.
    console = Console(width=None if sys.stdout.isatty() else 220, highlight=False)
    for name, fact in (*report.machine.items(), *report.networks.items()):
        console.print(f"{name}: {fact}", markup=False)
    counts = dict.fromkeys(threads for threads, _, _, _ in report.times)
    several = len({people for _, people, _, _ in report.times}) > 3
    for table in [*tables(report), *([people_table(report, count) for count in counts] if several else [])]:
        console.print()
        console.print(table)


# The lines of the plot: task, side, and how it is drawn.
_LINES = (
    ("detector + pose", RTMLIB, COLORS[1], True),
    ("all + skeleton", RTMLIB, COLORS[1], False),
    ("detector + pose", OURS, COLORS[0], True),
    ("all + skeleton", OURS, COLORS[0], False),
)


def _column(threads: int) -> int:
    """For one thread, CPU time: it equals wall-clock time on an idle machine, and still holds on a busy one."""
    return 1 if threads == 1 else 0


def _unit(threads: int) -> str:
    return "CPU milliseconds" if _column(threads) else "milliseconds"


def plot(report: Timings, threads: int) -> str:
    """The paper's plot as SVG: time per picture over the number of people; dashed without drawing, solid with it."""
    people = sorted({n for count, n, _, _ in report.times if count == threads})
    lines = {
        (task, side): [(n, float(np.median(report.times[threads, n, task, side][:, _column(threads)]))) for n in people]
        for task, side, _, _ in _LINES
    }
    most = 1.1 * max(value for points in lines.values() for _, value in points)
    axes = PlotAxes((people[0] - 0.3, people[-1] + 0.3), (0, most))
    title = f"{_unit(threads)} per picture, {threads} thread{'s' * (threads > 1)}"
    shapes = [axes.lines(ticks(most), people, label="people in the picture", title=title)]
    for n, (task, side, color, dashed) in enumerate(_LINES):
        shapes += [axes.dot(x, y, color, 3) for x, y in lines[task, side]]
        shapes.append(axes.line(lines[task, side], color, dashed))
        shapes.append(
            axes.line(
                [(people[0], most * (0.97 - 0.06 * n)), (people[0] + 0.4, most * (0.97 - 0.06 * n))], color, dashed
            )
        )
        words = f"{side}, {'without' if dashed else 'with'} drawing"
        shapes.append(text(axes.across(people[0] + 0.45), axes.up(most * (0.97 - 0.06 * n)) + 4, words))
    return axes.picture(shapes)


def people_table(report: Timings, threads: int) -> "Table":
    """The paper's table: milliseconds per picture by number of people, theirs / ours (and the ratio)."""
    from rich import box
    from rich.table import Table

    people = sorted({n for count, n, _, _ in report.times if count == threads})
    title = f"{threads} thread{'s' * (threads > 1)}: rtmlib / wholebody, {_unit(threads)} per picture (ratio)"
    table = Table("people", *map(str, people), title=title, title_justify="left", box=box.MARKDOWN)
    for task in ("detector + pose", "all + skeleton", "all + OpenPose map"):
        cells = []
        for n in people:
            column = _column(threads)
            theirs, ours = (np.median(report.times[threads, n, task, side][:, column]) for side in (RTMLIB, OURS))
            cells.append(f"{theirs:.0f} / {ours:.0f} ({theirs / ours:.2f})")
        table.add_row(task, *cells)
    return table
