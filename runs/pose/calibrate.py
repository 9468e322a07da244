"""Fit the curves that turn a pose network's scores into probabilities, and measure how reliable these are.

    python runs/pose/calibrate.py MODEL.onnx ../shared/real work/synth/held_out OUT.json [--picture RELIABILITY.svg]

MODEL is an export without a calibration. A point counts as found at an OKS of 0.5 or more. For each part, a logistic
curve is fitted to all held-out people of `evaluate.py`. The three kinds of people have equal weight. Points that are
hidden, or outside the picture and so never found, count too; only synthetic people have labels for them. For the first
table, the curve is fitted to one half of the people and tested on the other: for each tenth of the predicted
probability, it has the fraction of points found. The last table is of `TopDown.deviations`: points in five equal groups
by the estimated deviation, with their median error in pixels of the input.
`export.py --calibration OUT.json` stores the curves in the file.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from wholebody.evaluate.svg import COLORS, INK, PlotAxes, text
from wholebody.files import replacing
from wholebody.geometry import Crop
from wholebody.pose.topdown import TopDown
from wholebody.runtime.choose import open_session
from wholebody.schema import COCO_WHOLEBODY
from wholebody.train.data.held_out import held_out_people

FOUND = 0.5
# A teacher less sure than this is no witness.
SURE = 0.5


def samples(model: TopDown, people, sure: float) -> np.ndarray:
    """Rows of person, part, score, found (0 or 1), deviation and error in input pixels for every labelled point."""
    rows = []
    for n, (person, image) in enumerate(people):
        crop = Crop.from_box(person.box, model.codec.input_size)
        logits = model.logits(crop.cut(image)[None])
        keypoints, scores = model.codec.decode(*logits)
        said = np.hypot(*model.codec.deviation(*logits)[0].T)
        off = np.linalg.norm(keypoints[0] - crop.to_input(person.keypoints), axis=1)
        away = np.linalg.norm(crop.to_image(keypoints[0]) - person.keypoints, axis=1)
        oks = np.exp(-(away**2) / (2 * person.area * (2 * COCO_WHOLEBODY.sigmas) ** 2))
        # A point outside of the picture cannot be found.
        outside = person.visible < 0
        oks[outside], off[outside] = 0, np.nan
        labelled = (person.visible > sure) | outside
        for i, part in enumerate(COCO_WHOLEBODY.parts.values()):
            chosen = np.flatnonzero(labelled[part]) + part.start
            rows += [(n, i, scores[0, k], oks[k] >= FOUND, said[k], off[k]) for k in chosen]
    return np.array(rows, float).reshape(-1, 6)


def fit(scores: np.ndarray, found: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Slope and offset of the logistic curve of greatest likelihood, by Newton's method."""
    design, curve = np.stack([scores, np.ones_like(scores)], axis=1), np.zeros(2)
    for _ in range(50):
        chance = 1 / (1 + np.exp(-design @ curve))
        gradient = design.T @ (weights * (found - chance)) - 1e-6 * curve
        hessian = (design * (weights * chance * (1 - chance))[:, None]).T @ design + 1e-6 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        curve += step
        if np.abs(step).max() < 1e-9:
            break
    return float(curve[0]), float(curve[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("pool", type=Path)
    parser.add_argument("synthetic", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--picture", type=Path, help="the table as an SVG")
    options = parser.parse_args()
    model = TopDown(open_session(options.model, "cpu", 1))
    sets = {
        name: samples(model, people, SURE if name == "teachers" else 0.0)
        for name, people in held_out_people(options.pool, options.synthetic).items()
    }
    curves, diagram = {}, {}
    far = Table("part", "estimate / error", *(f"fifth {i}" for i in range(1, 6)), box=None)
    table = Table("part", "people", *(f"{i / 10:.1f}" for i in range(10)), "error", box=None)
    for i, part in enumerate(COCO_WHOLEBODY.parts):
        mine = {name: rows[rows[:, 1] == i] for name, rows in sets.items() if (rows[:, 1] == i).any()}
        points = np.concatenate(list(mine.values()))
        kinds = np.repeat(list(mine), [len(rows) for rows in mine.values()])
        weights = np.concatenate([np.full(len(rows), 1000 / len(rows)) for rows in mine.values()])
        curves[part] = fit(points[:, 2], points[:, 3], weights)
        chances = np.empty(len(points))
        for half in (0, 1):
            here = points[:, 0] % 2 == half
            slope, offset = fit(points[~here, 2], points[~here, 3], weights[~here])
            chances[here] = 1 / (1 + np.exp(-(slope * points[here, 2] + offset)))
        for name in (*mine, "all, equal weights"):
            here = kinds == name if name in mine else np.ones(len(points), bool)
            table.add_row(part, name, *reliability(chances[here], points[here, 3], weights[here]))
        diagram[part] = tenths(chances, points[:, 3], weights)
        there = points[~np.isnan(points[:, 5])]
        fifths = np.array_split(there[there[:, 4].argsort(kind="stable"), 4:], 5)
        far.add_row(part, "", *("{:.1f} / {:.1f}".format(*np.median(fifth, axis=0)) for fifth in fifths))
    with replacing(options.out) as path:
        path.write_text(json.dumps({part: [round(v, 4) for v in curve] for part, curve in curves.items()}) + "\n")
    Console(width=150).print(table)
    Console(width=150).print(far)
    if options.picture:
        options.picture.write_text(picture(diagram))
    print(json.dumps(curves))


def tenths(chances: np.ndarray, found: np.ndarray, weights: np.ndarray) -> list[tuple[float, float, float, int]]:
    """Of the tenths that hold any point: the mean of what was said, the observed frequency, their weight and number."""
    bins, rows = np.minimum((chances * 10).astype(int), 9), []
    for i in range(10):
        here = bins == i
        if here.any():
            share, said = (float(np.average(values[here], weights=weights[here])) for values in (found, chances))
            rows.append((said, share, float(weights[here].sum() / weights.sum()), int(here.sum())))
    return rows


def reliability(chances: np.ndarray, found: np.ndarray, weights: np.ndarray) -> list[str]:
    """The observed frequency in each tenth, and the expected calibration error."""
    rows = tenths(chances, found, weights)
    cells = {min(int(said * 10), 9): f"{share:.2f} ({count})" for said, share, _, count in rows}
    error = sum(weight * abs(share - said) for said, share, weight, _ in rows)
    return [*(cells.get(i, "") for i in range(10)), f"{error:.3f}"]


def picture(diagram: dict[str, list[tuple[float, float, float, int]]]) -> str:
    """What was said and what was found, a line for each part; the larger a dot, the more points."""
    axes = PlotAxes((0, 1), (0, 1), size=(460, 400))
    shapes = [axes.lines([0, 0.5, 1], [0, 0.5, 1], label="predicted probability", title="observed frequency")]
    shapes.append(axes.line([(0, 0), (1, 1)], INK, dashed=True))
    for i, (part, rows) in enumerate(diagram.items()):
        color = COLORS[i % len(COLORS)]
        shapes.append(axes.line([row[:2] for row in rows], color))
        shapes += [axes.dot(said, share, color, 2 + 8 * weight**0.5, 0.6) for said, share, weight, _ in rows]
        shapes.append(f'<g style="fill: {color}">{text(axes.across(0.04), axes.up(0.95) + 16 * i, part)}</g>')
        shapes.append(axes.dot(0.02, 0.965 - i * 0.05, color, 4))
    return axes.picture(shapes)


if __name__ == "__main__":
    main()
