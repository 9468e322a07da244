"""An evaluation as a single self-contained HTML file: tables, plots, and the people behind the figures.

`write_report` embeds everything: the pictures as JPEG, the plots as SVG.
"""

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from wholebody import draw
from wholebody.arrays import Image
from wholebody.data.labels import Labels, picture_path
from wholebody.data.sheet import FAR, whole_pixels
from wholebody.errors import WholebodyError
from wholebody.evaluate.metric import People
from wholebody.evaluate.report import FIGURES, Report
from wholebody.evaluate.svg import COLORS, PlotAxes, text, ticks
from wholebody.files import replacing
from wholebody.images import read_image
from wholebody.poses import Poses
from wholebody.schema import COCO_WHOLEBODY

SHOWN = 20

PART_COLORS = {
    "body": "#2f6fde",
    "feet": "#8a5cd1",
    "face": "#6b7280",
    "left_hand": "#1a9e55",
    "right_hand": "#e07b1a",
    "whole": "#111827",
}
# The height of a person's picture.
TILE = 360

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2937; max-width: 1120px; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0 }
td, th { padding: .25rem .7rem; text-align: right; white-space: nowrap; border-bottom: 1px solid #e5e7eb }
th { border-bottom: 2px solid #9ca3af } td:first-child, th:first-child { text-align: left }
.interval { color: #6b7280; font-size: .85em } .people { display: flex; flex-wrap: wrap; gap: .8rem }
figure { margin: 0; max-width: 300px } figcaption { font-size: .8em; color: #4b5563; overflow-wrap: anywhere }
figure img { max-width: 100%; border-radius: 4px }
svg { max-width: 100%; height: auto }
th button { font: inherit; border: 0; background: none; padding: 0; cursor: pointer }
th[aria-sort=ascending] button::after { content: " \\25B2" }
th[aria-sort=descending] button::after { content: " \\25BC" }
"""

# A click sorts by a column, a second click reverses the order.
_SORT = """
document.querySelectorAll("table.sorted th").forEach((head, column, heads) => head.addEventListener("click", () => {
  const up = head.getAttribute("aria-sort") !== "ascending", body = head.closest("table").tBodies[0];
  heads.forEach(other => other.setAttribute("aria-sort", "none"));
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  const cell = row => row.cells[column].textContent;
  const order = (a, b) => isNaN(cell(a)) ? cell(a).localeCompare(cell(b)) : cell(a) - cell(b);
  body.append(...[...body.rows].sort((a, b) => up ? order(a, b) : order(b, a)));
}));
"""


def write_report(
    path: Path,
    about: Mapping[str, object],
    labels: Labels,
    images: str | Path,
    predictions: Mapping[int, Poses],
    report: Report,
    people: People,
    parts: Sequence[str],
) -> None:
    """Write the report.

    Args:
        path: the .html file.
        about: what was measured, shown unchanged.
        labels, predictions: the data set and the predictions; images: the folder of the pictures.
        report, people: the results of `evaluate` and `match`.
        parts: which parts to show.

    Raises:
        WholebodyError: the file cannot be written.
    """
    rows = [rows for rows in COCO_WHOLEBODY.parts.items() if rows[0] in parts]
    judged = "whole" if "whole" in parts else parts[0]
    similar = people.oks[judged]
    there = np.flatnonzero(np.isfinite(similar))
    worst = there[np.argsort(similar[there], kind="stable")][:SHOWN]
    chosen = np.random.default_rng(0).permutation(there)[:SHOWN]
    errors = relative_errors(labels, people)
    title = f"{about.get('model', 'A model')} on {about.get('annotations', 'a set')}"
    sections = [
        f"<h1>{escape(title)}</h1>",
        "<table>"
        + "".join(f"<tr><td>{escape(str(k))}</td><td>{escape(str(v))}</td></tr>" for k, v in about.items())
        + "</table>",
        "<h2>Figures</h2><p>Per cent; below each, its 95 % bootstrap interval over pictures.</p>",
        _table(report, FIGURES[:5], parts),
        _table(report, FIGURES[5:10], parts),
        _table(report, FIGURES[10:], parts),
        "<h2>Error of each keypoint</h2><p>Distance from the label relative to the diagonal of the person's box, for "
        "people who were found: the bar is the median, the line extends from the first to the third quartile. Click "
        "a column of the table to sort by it.</p>",
        error_bars(errors, rows),
        keypoint_table(errors, rows),
        f"<h2>Person size</h2><p>OKS ({escape(judged)}) by height of the person's box; the line is the mean "
        "of ten equal groups.</p>",
        size_plot(labels.boxes[there, 3] - labels.boxes[there, 1], similar[there]),
        f"<h2>The {len(worst)} worst</h2>" + _legend(),
        _gallery(worst, labels, images, predictions, people, similar),
        f"<h2>{len(chosen)} at random</h2>",
        _gallery(chosen, labels, images, predictions, people, similar),
    ]
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style>{''.join(sections)}</html>\n"
    )
    with replacing(path) as partial:
        Path(partial).write_text(page, encoding="utf-8")


def relative_errors(labels: Labels, people: People) -> npt.NDArray[np.float64]:
    """(M, 133) errors relative to the box's diagonal; NaN if there is no label or the person was missed."""
    diagonal = np.linalg.norm(labels.boxes[:, 2:] - labels.boxes[:, :2], axis=1)
    errors = people.errors / np.maximum(diagonal, 1)[:, None]
    return np.where(np.isfinite(errors), errors, np.nan)


def _table(report: Report, names: Sequence[str], parts: Sequence[str]) -> str:
    head, *rows = report.rows(names, parts)
    cells = ["<table><tr>" + "".join(f"<th>{escape(cell)}</th>" for cell in head) + "</tr>"]
    for row in rows:
        shown = (cell.replace(" [", '<br><span class="interval">[').replace("]", "]</span>") for cell in row)
        cells.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in shown) + "</tr>")
    return "".join(cells) + "</table>"


def error_bars(errors: npt.NDArray[np.float64], parts: Sequence[tuple[str, slice]]) -> str:
    """An SVG with a bar for each keypoint of the parts (name, rows), of errors (M, 133) with NaN for no label."""
    columns = [row for _, rows in parts for row in range(rows.start, rows.stop)]
    known = [row for row in columns if np.isfinite(errors[:, row]).any()]
    quartiles = {row: np.nanpercentile(errors[:, row], (25, 50, 75)) for row in known}
    most = max([float(q[2]) for q in quartiles.values()] + [1e-3])
    axes = PlotAxes((0, len(columns)), (0, most), size=(1080, 260), margins=(56, 12, 4, 30))
    shapes = [axes.lines(ticks(most), name=lambda value: f"{100 * value:g} %")]
    width = 0.7 * (axes.across(1) - axes.across(0))
    for at, row in enumerate(columns):
        if row not in quartiles:
            continue
        low, middle, high = quartiles[row]
        part = next(name for name, rows in parts if rows.start <= row < rows.stop)
        people = int(np.isfinite(errors[:, row]).sum())
        title = f"{COCO_WHOLEBODY.names[row]}: median {100 * middle:.2f} % of {people} people"
        x, top = axes.across(at + 0.5), axes.up(middle)
        shapes.append(
            f'<g><title>{escape(title)}</title><rect x="{x - width / 2:.1f}" y="{top:.1f}" width="{width:.1f}" '
            f'height="{axes.up(0) - top:.1f}" fill="{PART_COLORS[part]}"/>'
            f'<path d="M{x:.1f} {axes.up(low):.1f}V{axes.up(high):.1f}" stroke="#111827"/></g>'
        )
    start = 0
    for name, rows in parts:
        count = rows.stop - rows.start
        shapes.append(text(axes.across(start + count / 2), 252, name, "middle"))
        start += count
    return axes.picture(shapes)


def keypoint_table(errors: npt.NDArray[np.float64], parts: Sequence[tuple[str, slice]]) -> str:
    """A table with a row for each labelled keypoint of the parts (name, rows): name, part, people, quartiles.

    Args:
        errors: (M, 133) with NaN for no label.
    """
    head = ("keypoint", "part", "people", "1st quartile, %", "median, %", "3rd quartile, %")
    rows = []
    for part, where in parts:
        for row in range(where.start, where.stop):
            column = errors[np.isfinite(errors[:, row]), row]
            if len(column):
                quartiles = (f"{100 * value:.2f}" for value in np.percentile(column, (25, 50, 75)))
                cells = (COCO_WHOLEBODY.names[row], part, str(len(column)), *quartiles)
                rows.append("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
    titles = "".join(f'<th aria-sort="none"><button>{escape(title)}</button></th>' for title in head)
    return (
        f'<details><summary>All {len(rows)} keypoints</summary><table class="sorted"><thead><tr>{titles}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></details><script>{_SORT}</script>"
    )


def size_plot(sizes: npt.NDArray[np.float64], similar: npt.NDArray[np.float64]) -> str:
    """An SVG of OKS (M,) over person heights (M,) in pixels, on a logarithmic scale."""
    if not len(sizes):
        return "<p>Nobody.</p>"
    sizes = np.maximum(sizes, 1)
    axes = PlotAxes((float(sizes.min()) / 1.1, float(sizes.max()) * 1.1), (0, 1), log=True)
    ticks = [2.0**power for power in range(16) if axes.x[0] < 2**power < axes.x[1]]
    shapes = [axes.lines((0, 0.2, 0.4, 0.6, 0.8, 1), ticks, label="pixels", title="OKS")]
    radius = 3 if len(sizes) < 1000 else 1.5
    shapes += [axes.dot(x, y, COLORS[0], radius, 0.35) for x, y in zip(sizes, similar, strict=True)]
    groups = np.array_split(np.argsort(sizes, kind="stable"), min(10, len(sizes)))
    line = [(float(np.exp(np.log(sizes[group]).mean())), float(similar[group].mean())) for group in groups]
    return axes.picture([*shapes, axes.line(line, "#111827")])


def _legend() -> str:
    return (
        "<p>The skeleton is the prediction. White dots are labels, and red lines lead from a prediction to its label "
        "if it is far off.</p>"
    )


def _gallery(
    rows: npt.NDArray[np.intp],
    labels: Labels,
    images: str | Path,
    predictions: Mapping[int, Poses],
    people: People,
    similar: npt.NDArray[np.float64],
) -> str:
    figures = []
    for row in rows.tolist():
        number = int(labels.image_ids[row])
        name = labels.images[number].file_name
        try:
            image = read_image(picture_path(images, name))
        except WholebodyError as error:
            figures.append(f"<figure><figcaption>{escape(str(error))}</figcaption></figure>")
            continue
        mate = int(people.rows[row])
        pose = predictions[number][mate] if mate >= 0 and number in predictions else None
        tile = person_tile(image, labels, row, pose)
        said = f"OKS {similar[row]:.2f}" if pose is not None else "not found"
        caption = f"{said}, annotation {labels.ids[row]}, {name}"
        figures.append(
            f'<figure><img src="data:image/jpeg;base64,{_jpeg(tile)}" alt="{escape(caption)}">'
            f"<figcaption>{escape(caption)}</figcaption></figure>"
        )
    return f'<div class="people">{"".join(figures)}</div>'


def person_tile(image: Image, labels: Labels, row: int, pose: Poses | None) -> Image:
    """A person's box with a margin, `TILE` pixels high (a very wide one less), with prediction and labels."""
    x0, y0, x1, y1 = labels.boxes[row]
    margin = 0.15 * max(x1 - x0, y1 - y0)
    height, width = image.shape[:2]
    # A box may lie outside of its picture: then its nearest pixels are shown.
    left, top = min(max(int(x0 - margin), 0), width - 1), min(max(int(y0 - margin), 0), height - 1)
    right, bottom = min(int(x1 + margin) + 1, width), min(int(y1 + margin) + 1, height)
    piece = image[top : max(bottom, top + 1), left : max(right, left + 1)]
    zoom = min(TILE / piece.shape[0], 4 * TILE / piece.shape[1])
    smooth = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
    size = (max(round(piece.shape[1] * zoom), 1), max(round(piece.shape[0] * zoom), 1))
    canvas: Image = cv2.resize(piece, size, interpolation=smooth).astype(np.uint8)
    origin = np.array([left, top])
    if pose is not None:
        moved = Poses((pose.keypoints - origin) * zoom, pose.scores, pose.boxes, pose.box_scores, pose.schema)
        canvas = draw.skeleton(canvas, moved, threshold=1e-6)
    shown = np.flatnonzero(labels.visible[row] > 0)
    points = whole_pixels((labels.keypoints[row] - origin) * zoom)
    for k in shown.tolist():
        at = (int(points[k, 0]), int(points[k, 1]))
        if max(abs(at[0]), abs(at[1])) >= FAR:
            continue
        if pose is not None and np.linalg.norm(pose.keypoints[0, k] - labels.keypoints[row, k]) * zoom > TILE / 25:
            end = whole_pixels((pose.keypoints[0, k] - origin) * zoom)
            cv2.line(canvas, at, (int(end[0]), int(end[1])), (0, 0, 255), 1, cv2.LINE_AA)
        radius = 3 if k < 23 else 1
        cv2.circle(canvas, at, radius + 1, (0, 0, 0), cv2.FILLED, cv2.LINE_AA)
        cv2.circle(canvas, at, radius, (255, 255, 255), cv2.FILLED, cv2.LINE_AA)
    return canvas


def _jpeg(image: Image) -> str:
    return base64.b64encode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 82])[1].tobytes()).decode()
