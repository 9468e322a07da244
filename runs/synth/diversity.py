"""The diversity of a synthetic set compared with photos: histograms as SVG, and a table for docs/synth.md.

    python runs/synth/diversity.py SHARDS OUT.svg [--photos LABELS.json] [--count 20000]

All figures are computed from the 133 points in the picture, in the same way for both. A point counts by its flag (1,
2), or, in photos with teachers' labels, from a confidence of 0.3. Angles are in the image plane. The yaw of a head
follows from the distance of the nose from the middle of the eyes, if both eyes are visible.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from wholebody.data.coco import read_labels
from wholebody.data.shards import read_shards
from wholebody.evaluate.svg import COLORS, GRID, PlotAxes, svg, text
from wholebody.files import replacing
from wholebody.schema import COCO_WHOLEBODY

Floats = npt.NDArray[np.float64]
LEAST = 0.3
# How far the tip of the nose stands out before the eyes, in units of their distance.
NOSE = 0.55
# What is measured: unit, range, bins.
MEASURES: dict[str, tuple[str, tuple[float, float], int]] = {
    "longer side of the box": ("share of the picture's", (0, 1.1), 22),
    "elbow": ("degrees, 180 straight", (0, 180), 24),
    "knee": ("degrees, 180 straight", (0, 180), 24),
    "hip": ("degrees, 180 straight", (0, 180), 24),
    "yaw of the head": ("degrees, to the person's left positive", (-90, 90), 24),
    "visible points": ("of 133", (0, 133.01), 19),
    "hand": ("pixels of a 256 x 192 input", (0, 160), 20),
}
_NAMES = {name: row for row, name in enumerate(COCO_WHOLEBODY.names)}


def measures(keypoints: Floats, visible: Floats, boxes: Floats, sizes: Floats, flags: bool) -> dict[str, Floats]:
    """Values of each measure, as many as can be told.

    Args:
        keypoints: (M, 133, 2) pixels. visible: (M, 133) flags or confidences. boxes: (M, 4). sizes: (M, 2) w, h.
    """
    labelled, seen = (visible > 0, visible >= 2) if flags else (visible >= LEAST, visible >= LEAST)
    width, height = (boxes[:, 2:] - boxes[:, :2]).T
    found = {
        "longer side of the box": np.maximum(width, height) / sizes.max(axis=1),
        "visible points": seen.sum(axis=1).astype(float),
    }
    for joint, before, after in (("elbow", "shoulder", "wrist"), ("knee", "hip", "ankle"), ("hip", "shoulder", "knee")):
        values = []
        for side in ("left", "right"):
            rows = [_NAMES[f"{side}_{name}"] for name in (before, joint, after)]
            a, b, c = keypoints[:, rows].transpose(1, 0, 2)
            u, v = a - b, c - b
            cosine = (u * v).sum(axis=1) / np.maximum(np.linalg.norm(u, axis=1) * np.linalg.norm(v, axis=1), 1e-9)
            # Limbs that point at the camera are a few pixels long: their angle says nothing.
            long = np.minimum(np.linalg.norm(u, axis=1), np.linalg.norm(v, axis=1)) > 0.03 * np.maximum(width, height)
            values.append(np.rad2deg(np.arccos(np.clip(cosine, -1, 1)))[labelled[:, rows].all(axis=1) & long])
        found[joint] = np.concatenate(values)
    nose, left, right = keypoints[:, 0], keypoints[:, 1], keypoints[:, 2]
    across = left - right
    distance = np.maximum(np.linalg.norm(across, axis=1), 1e-9)
    beside = ((nose - (left + right) / 2) * across).sum(axis=1) / distance**2
    told = seen[:, :3].all(axis=1) & (distance > 2)
    found["yaw of the head"] = np.rad2deg(np.arctan(beside / NOSE))[told]
    # The crop of a pose network: the box and a quarter, in the shape of the input.
    scale = 256 / (1.25 * np.maximum(np.maximum(height, width * 4 / 3), 1))
    hands = []
    for part in ("left_hand", "right_hand"):
        rows = COCO_WHOLEBODY.parts[part]
        extent = np.ptp(keypoints[:, rows], axis=1).max(axis=1)
        hands.append((extent * scale)[seen[:, rows].mean(axis=1) > 0.7])
    found["hand"] = np.concatenate(hands)
    return found


def of_shards(folder: Path, count: int) -> dict[str, Floats]:
    """Of the first `count` people of a set of crops or scenes."""
    shards = read_shards(folder)
    points, pictures = shards.keypoints[:count].astype(float), shards.pictures[:count]
    sizes = np.array([[shards.records[n]["width"], shards.records[n]["height"]] for n in pictures], float)
    return measures(points[..., :2], points[..., 2], shards.boxes[:count].astype(float), sizes, flags=True)


def of_photos(path: Path) -> dict[str, Floats]:
    """Of an annotation file."""
    labels = read_labels(path, strict=False)
    labels = labels[~labels.iscrowd]
    sizes = np.array([labels.images[int(n)][1:] for n in labels.image_ids], float)
    flags = bool((labels.visible == np.round(labels.visible)).all())
    return measures(labels.keypoints, labels.visible.astype(float), labels.boxes, sizes, flags)


def plot(sets: Sequence[tuple[str, Mapping[str, Floats]]]) -> str:
    """A panel for each measure; the first set as bars, the others as lines."""
    width, height, across = 400, 210, 2
    panels = []
    for i, (name, (unit, limits, bins)) in enumerate(MEASURES.items()):
        edges = np.linspace(*limits, bins + 1)
        shares = [np.histogram(values[name], edges)[0] / max(len(values[name]), 1) for _, values in sets]
        highest = max(0.02, float(np.max(shares)) * 1.08)
        axes = PlotAxes(limits, (0, highest), size=(width, height), margins=(46, 26, 12, 46))
        step = 0.05 if highest < 0.2 else 0.1 if highest < 0.45 else 0.2
        ticks = np.linspace(*np.round(limits, 1), 5)
        shapes = [axes.lines(np.arange(0, highest, step), ticks, "{:.0%}".format, unit), text(46, 16, name)]
        floor = axes.up(0)
        for low, high, share in zip(edges[:-1], edges[1:], shares[0], strict=True):
            x, y = axes.across(low), axes.up(share)
            shapes.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{axes.across(high) - x - 1:.1f}" '
                          f'height="{floor - y:.1f}" fill="{COLORS[0]}" fill-opacity="0.55"/>')  # fmt: skip
        middles = (edges[:-1] + edges[1:]) / 2
        for share, color in zip(shares[1:], COLORS[1:], strict=False):
            shapes.append(axes.line(list(zip(middles, share, strict=True)), color))
        place = f"translate({i % across * width} {i // across * height})"
        panels.append(f'<g transform="{place}">{"".join(shapes)}</g>')
    last = len(MEASURES)
    x, y = last % across * width + 46, last // across * height + 40
    for i, (name, values) in enumerate(sets):
        panels.append(f'<rect x="{x}" y="{y + 24 * i}" width="14" height="14" fill="{COLORS[i]}"/>')
        panels.append(text(x + 22, y + 12 + 24 * i, f"{name}, {len(values['visible points'])} people"))
    rows = -(-(last + 1) // across)
    panels.append(f'<path d="M0 0H{across * width}" stroke="{GRID}"/>')
    return svg((across * width, rows * height), panels)


def table(sets: Sequence[tuple[str, Mapping[str, Floats]]]) -> str:
    """Tenth, half and ninth tenth of each measure, and how many values there are, as Markdown."""
    lines = ["| | " + " | ".join(f"{name}: 10 % / 50 % / 90 % (values)" for name, _ in sets) + " |"]
    lines.append("|---" * (len(sets) + 1) + "|")
    for name, (unit, limits, _) in MEASURES.items():
        digits = 2 if limits[1] < 2 else 0
        cells = []
        for _, values in sets:
            marks = np.percentile(values[name], (10, 50, 90)) if len(values[name]) else [np.nan] * 3
            cells.append(" / ".join(f"{mark:.{digits}f}" for mark in marks) + f" ({len(values[name])})")
        lines.append(f"| {name}, {unit} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shards", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--count", type=int, default=20_000)
    options = parser.parse_args()
    sets = [("synthetic", of_shards(options.shards, options.count))]
    if options.photos:
        sets.append(("photos", of_photos(options.photos)))
    with replacing(options.out) as partial:
        partial.write_text(plot(sets), encoding="utf-8")
    print(table(sets))


if __name__ == "__main__":
    main()
