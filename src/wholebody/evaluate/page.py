"""A comparison as Markdown, JSON and plots."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from wholebody.data.labels import Labels
from wholebody.evaluate.entrant import COMPARED_PARTS, CompareOptions, Differences, Entrant
from wholebody.evaluate.published import PUBLISHED, Published
from wholebody.evaluate.report import Figure, Report
from wholebody.evaluate.svg import COLORS, GRID, PlotAxes, text
from wholebody.weights.manifest import MANIFEST


def markdown(
    entrants: Sequence[Entrant],
    reports: Mapping[str, Report],
    differences: Differences,
    labels: Labels,
    options: CompareOptions,
) -> str:
    """The page: the measured figures, their differences, and the published figures of the paper's table."""
    shown = _shown(reports)
    people = max((report.people["whole"] for report in reports.values()), default=0)
    boxes = "the labelled boxes" if options.boxes == "gt" else f"the boxes of {Path(options.boxes).name}"
    lines = [
        f"Measured on {people} people in {len(labels.images)} pictures ({options.annotations.name}), with {boxes} and "
        f"{options.threads} thread{'s' * (options.threads > 1)}, in one run. Mean OKS in per cent, with 95 % bootstrap "
        "intervals over pictures; the column heads give the number of people who have the part. AP and AR of the body "
        "are computed as COCO does. Times are milliseconds per person, wall-clock and CPU, without reading the "
        "pictures; `x` is the CPU time relative to the first row.",
        "",
        "| measured | "
        + " | ".join(f"{_words(part)} ({next(iter(reports.values())).people[part]})" for part in shown)
        + " | body AP | body AR | ms | CPU ms | x |",
        "|---|" + "---:|" * (len(shown) + 5),
    ]
    first = entrants[0].processor_milliseconds if entrants else None
    for entrant in entrants:
        figures = reports[entrant.name].figures
        cells = [str(figures[part]["OKS"]) if part in entrant.parts else "-" for part in shown]
        cells += [str(figures["body"][name]) for name in ("AP", "AR")]
        cells += _timing(entrant, first)
        lines.append(f"| {entrant.name} | " + " | ".join(cells) + " |")
    if len(entrants) > 1:
        lines += [
            "",
            f"Difference from {entrants[0].name} on the same people, in OKS points. If the interval "
            "excludes 0, another sample of such pictures is unlikely to reverse the difference.",
            "",
            "| measured | " + " | ".join(map(_words, shown)) + " |",
            "|---|" + "---:|" * len(shown),
        ]
    for entrant in entrants[1:]:
        apart = differences[entrant.name]
        lines.append(f"| {entrant.name} | " + " | ".join(_signed(apart.get(part)) for part in shown) + " |")
    lines += [
        "",
        "![Accuracy and time](compare.svg)",
        "",
        "## Published",
        "",
        "AP / AR in per cent on COCO-WholeBody v1.0 val, as published by the authors. Top-down methods use detections "
        "with a person AP of 56.4 and a flip test. The data set and the labels differ from those above, so do not "
        "compare the two tables. The last column is the AP / AR measured above, for the systems that were part of it.",
        "",
        "| published | input | body | feet | face | hands | whole | measured |",
        "|---|---|---:|---:|---:|---:|---:|---|",
    ]
    for row in PUBLISHED:
        figures_as_printed = (row.body, row.feet, row.face, row.hands, row.whole)
        lines.append("| " + " | ".join((row.name, row.size, *figures_as_printed, _here(row, entrants, reports))) + " |")
    return "\n".join(lines) + "\n"


def _shown(reports: Mapping[str, Report]) -> list[str]:
    """The parts that are labelled: the same in every report."""
    return [part for part in next(iter(reports.values())).parts if part in COMPARED_PARTS]


def _words(part: str) -> str:
    return part.replace("_", " ")


def _timing(entrant: Entrant, first: float | None) -> tuple[str, str, str]:
    """Wall-clock milliseconds, CPU milliseconds, and the latter relative to `first`."""
    loading = " with loading" * entrant.loading
    wall, cpu = entrant.milliseconds, entrant.processor_milliseconds
    return (
        "-" if wall is None else f"{wall:.1f}{loading}",
        "-" if cpu is None else f"{cpu:.1f}{loading}",
        f"{cpu / first:.2f}" if cpu and first else "-",
    )


def _signed(figure: Figure | None) -> str:
    if figure is None or np.isnan(figure.value):
        return "-"
    return f"{100 * figure.value:+.1f} [{100 * figure.low:+.1f}, {100 * figure.high:+.1f}]"


def _here(row: Published, entrants: Sequence[Entrant], reports: Mapping[str, Report]) -> str:
    """The measured figures of a published system: an entrant with its name as a word. Bundled networks are not meant,
    although one is called dwpose-t."""
    word = re.compile(rf"(?<![a-z0-9]){re.escape(row.name.lower())}(?![a-z0-9])")
    said = []
    for entrant in entrants:
        known = MANIFEST.get(entrant.name.split(" ")[0])
        if word.search(entrant.name.lower()) and not (known and known.bundled):
            part = "whole" if "whole" in entrant.parts and "whole" in _shown(reports) else "body"
            figures = reports[entrant.name].figures[part]
            ap, ar = (100 * figures[name].value for name in ("AP", "AR"))
            said.append(f"{entrant.name}: {part} {ap:.1f} / {ar:.1f}")
    return "; ".join(said) or "no"


def as_json(entrants: Sequence[Entrant], reports: Mapping[str, Report], differences: Differences) -> dict[str, object]:
    return {
        entrant.name: {
            "milliseconds_per_person": entrant.milliseconds,
            "processor_milliseconds_per_person": entrant.processor_milliseconds,
            "loading_included": entrant.loading,
            "parts": entrant.parts,
            **json.loads(reports[entrant.name].to_json()),
            "OKS_minus_first": {
                part: None if np.isnan(figure.value) else [figure.value, figure.low, figure.high]
                for part, figure in differences.get(entrant.name, {}).items()
            },
        }
        for entrant in entrants
    }


_LEGEND = 22  # pixels a line


def plot(entrants: Sequence[Entrant], reports: Mapping[str, Report]) -> str:
    """An SVG: the body's OKS over CPU time; to its left, the OKS of each part, if there are several."""
    shown = _shown(reports)
    colors = {entrant.name: COLORS[n % len(COLORS)] for n, entrant in enumerate(entrants)}
    figures = {
        (entrant.name, part): reports[entrant.name].figures[part]["OKS"]
        for entrant in entrants
        for part in shown
        if part in entrant.parts and np.isfinite(reports[entrant.name].figures[part]["OKS"].value)
    }
    ends = [end for f in figures.values() for end in (f.value, f.low, f.high) if np.isfinite(end)] or [0, 1]
    # Whole tenths around everything: dots are compared, not lengths, so that nothing has to begin at 0.
    low, high = int(10 * min(ends)), min(int(10 * max(ends)) + 1, 10)
    shares = [share / 10 for share in range(low, high + 1)]
    top = 48 + _LEGEND * -(-len(entrants) // 2)
    middle = 30 + 90 * len(shown) if len(shown) > 1 else 0
    size = (middle + 60 + (400 if middle else 600), top + 326)
    shapes = _legend(colors, size[0])
    if middle:
        left = PlotAxes((0, len(shown)), (shares[0], shares[-1]), size=size, margins=(56, top, size[0] - middle, 46))
        shapes += [left.lines(shares, name=_percent), text(56, top - 12, "mean OKS of each part, per cent")]
        for at, part in enumerate(shown):
            shapes.append(text(left.across(at + 0.5), size[1] - 28, _words(part), "middle"))
            for n, entrant in enumerate(entrants):
                if (entrant.name, part) in figures:
                    x = at + 0.5 + 0.7 * ((n + 0.5) / len(entrants) - 0.5)
                    shapes += _mark(left, x, figures[entrant.name, part], colors[entrant.name])
            if at:
                shapes.append(f'<path d="M{left.across(at):.1f} {top}V{left.up(shares[0]):.1f}" stroke="{GRID}"/>')
    timed = {entrant.name: entrant.processor_milliseconds or 0.0 for entrant in entrants}
    timed = {name: cpu for name, cpu in timed.items() if cpu and (name, "body") in figures}
    reach = (min(timed.values(), default=1) / 1.6, max(timed.values(), default=10) * 1.6)
    right = PlotAxes(reach, (shares[0], shares[-1]), log=True, size=size, margins=(middle + 56, top, 16, 46))
    ticks = [step * 10**power for power in range(5) for step in (1, 2, 3, 5)]
    ticks = [tick for tick in ticks if reach[0] < tick < reach[1]]
    shapes.append(right.lines(shares, ticks, _percent, "CPU milliseconds per person"))
    shapes.append(text(middle + 56, top - 12, "mean OKS of the body, per cent"))
    # The first on top and smaller, so that one that does the very same is seen around it.
    for name, cpu in reversed(timed.items()):
        shapes += _mark(right, cpu, figures[name, "body"], colors[name], 4.5 if name == entrants[0].name else 7)
    return right.picture(shapes)


def _percent(share: float) -> str:
    return f"{100 * share:.0f}"


def _mark(axes: PlotAxes, x: float, figure: Figure, color: str, radius: float = 5) -> list[str]:
    ends = [axes.line([(x, figure.low), (x, figure.high)], color)] if np.isfinite(figure.low) else []
    return [*ends, axes.dot(x, figure.value, color, radius)]


def _legend(colors: Mapping[str, str], width: int) -> list[str]:
    """Names in two columns, from the top left."""
    shapes = []
    for n, (name, color) in enumerate(colors.items()):
        x, y = 64 + (n % 2) * width // 2, 20 + _LEGEND * (n // 2)
        shapes.append(f'<circle cx="{x}" cy="{y}" r="5" fill="{color}"/>')
        shapes.append(text(x + 12, y + 4, name))
    return shapes
