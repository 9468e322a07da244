"""Compare successive checkpoints on the same people: the effect of the last stage, or of the teacher.

    python runs/distill/stages.py POOL SYNTHETIC BEFORE.safetensors AFTER.safetensors [...] [--synthetic-people 500]

Prints a table in Markdown: mean OKS in per cent on people never trained on, and below it the difference from the row
above, taken person by person, with its 95 % bootstrap interval over pictures; bold where the interval excludes 0.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from wholebody.evaluate.compare import difference
from wholebody.train.data.held_out import COLUMNS, HELD_OUT, held_out_people
from wholebody.train.measure import change, measure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pool", type=Path)
    parser.add_argument("synthetic", type=Path)
    parser.add_argument("networks", nargs="+", type=Path)
    parser.add_argument("--synthetic-people", type=int, default=500)
    options = parser.parse_args()
    torch.set_num_threads(1)
    people = held_out_people(options.pool, options.synthetic)
    people["synthetic"] = people["synthetic"][:: len(people["synthetic"]) // options.synthetic_people]
    pictures = {
        kind: np.unique([str(person.file) for person, _ in pairs], return_inverse=True)[1]
        for kind, pairs in people.items()
    }
    heads = [f"{part.replace('_', ' ')}, {HELD_OUT[kind]}" for kind, part in COLUMNS]
    print(f"| network | {' | '.join(heads)} |\n|---|{'---|' * len(heads)}")
    before: dict[tuple[str, str], np.ndarray] = {}
    for network in options.networks:
        figures = measure(network, people)
        cells = []
        for kind, part in COLUMNS:
            oks = 100 * np.array([row[part] for row in figures[kind]], float)
            cell = f"{np.nanmean(oks):.1f} ({np.isfinite(oks).sum()})"
            if (kind, part) in before:
                since = difference(oks, before[kind, part], pictures[kind])
                cell += change(since.value, since.low, since.high)
            before[kind, part] = oks
            cells.append(cell)
        print(f"| {network} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
