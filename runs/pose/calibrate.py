"""Curves that make chances of a pose network's scores, and how reliable the chances are.

    python runs/pose/calibrate.py MODEL.onnx ../shared/real work/synth/held_out OUT.json

MODEL is an export without a calibration. A point counts as found when its OKS is 0.5 or more. For each part a logistic
curve is fitted to all held-out people of `evaluate.py`; the three kinds of people weigh the same, and so count points
that are hidden, which only synthetic people have labels for. The table is of a curve fitted to one half of the people
and tried on the other: of points whose chance was said to be between two tenths, which share was found.
OUT.json goes into the file with `export.py --calibration OUT.json`.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from evaluate import people_of
from rich.console import Console
from rich.table import Table

from wholebody.estimate import TopDown
from wholebody.files import replacing
from wholebody.geometry import Crop
from wholebody.runtime import open_session
from wholebody.schema import COCO_WHOLEBODY

FOUND = 0.5
# A teacher less sure than this is no witness.
SURE = 0.5


def samples(model: TopDown, people, sure: float) -> np.ndarray:
    """Rows of person, part, score, found (0 or 1) for every labelled point."""
    rows = []
    for n, (person, image) in enumerate(people):
        crop = Crop.from_box(person.box, model.codec.input_size)
        keypoints, scores = model.predict(crop.cut(image)[None])
        away = np.linalg.norm(crop.to_image(keypoints[0]) - person.keypoints, axis=1)
        oks = np.exp(-(away**2) / (2 * person.area * (2 * COCO_WHOLEBODY.sigmas) ** 2))
        labelled = person.visible > sure
        for i, part in enumerate(COCO_WHOLEBODY.parts.values()):
            chosen = np.flatnonzero(labelled[part]) + part.start
            rows += [(n, i, scores[0, k], oks[k] >= FOUND) for k in chosen]
    return np.array(rows, float).reshape(-1, 4)


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
    options = parser.parse_args()
    model = TopDown(open_session(options.model, "cpu", 1))
    sets = {
        name: samples(model, people, SURE if name == "teachers" else 0.0)
        for name, people in people_of(options.pool, options.synthetic).items()
    }
    curves = {}
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
    with replacing(options.out) as path:
        path.write_text(json.dumps({part: [round(v, 4) for v in curve] for part, curve in curves.items()}) + "\n")
    Console(width=150).print(table)
    print(json.dumps(curves))


def reliability(chances: np.ndarray, found: np.ndarray, weights: np.ndarray) -> list[str]:
    """The share found in each tenth, and the expected calibration error."""
    bins = np.minimum((chances * 10).astype(int), 9)
    cells, error = [], 0.0
    for i in range(10):
        here = bins == i
        if not here.any():
            cells.append("")
            continue
        share, said = (np.average(values[here], weights=weights[here]) for values in (found, chances))
        error += weights[here].sum() / weights.sum() * abs(share - said)
        cells.append(f"{share:.2f} ({int(here.sum())})")
    return [*cells, f"{error:.3f}"]


if __name__ == "__main__":
    main()
