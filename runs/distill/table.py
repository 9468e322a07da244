"""The tables of docs/ablations.md from the runs of grid.py.

    python runs/distill/table.py work/grid docs/ablations.md

Each figure is the mean OKS over people and seeds in per cent, with a 95 % bootstrap interval over people (all seeds of
a person together) and seeds. The difference from the row it is compared with is taken person by person and resampled in
the same way, so it is more precise than the two figures.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from wholebody.files import replacing
from wholebody.train.data.held_out import HELD_OUT
from wholebody.train.measure import change, interval

SHOWN = (("COCO", "body"), ("teachers", "body"), ("teachers", "all"), ("synthetic", "body"), ("synthetic", "all"))
# Title, what the paper found (COCO-WholeBody AP), and rows with the row that each is compared with.
TABLES = (
    (
        "The loss terms",
        "Paper: label 60.4; + feature 61.8; logit only 60.9; feature + logit 61.4; all 62.0; with decay 62.3.",
        {
            "label": None,
            "label+feature": "label",
            "logit": "label",
            "feature+logit": "label",
            "all": "label",
            "all+decay": "all",
        },
    ),
    (
        "Should the logit loss use the label mask?",
        "Paper: with the mask of labelled keypoints 59.8, without 60.9.",
        {"logit": None, "logit, masked": "logit"},
    ),
    (
        "The stages",
        "Paper, x to l: none 62.1, stage 1 62.9, stage 2 62.2, both 63.1.",
        {
            "label": None,
            "all+decay": "label",
            "label, stage 2": "label",
            "all+decay, stage 2": "all+decay",
        },
    ),
    (
        "The teacher's batch norms",
        "Not in the paper. The teacher is an RTMPose-s distilled from the first teacher: in evaluation mode, and in "
        "training mode, as the released runner leaves it.",
        {"all+decay, teacher s": None, "all+decay, teacher s in train mode": "all+decay, teacher s"},
    ),
    (
        "Beyond the paper",
        "Stage 2 with flatter distributions in the logit loss: logits times 5 instead of 10.",
        {
            "all+decay, stage 2": None,
            "all+decay, stage 2, flatter": "all+decay, stage 2",
        },
    ),
    (
        "The batch norms of stage 2",
        "Not in the paper. The backbone fully frozen, and with drifting batch norms, as released.",
        {"all+decay, stage 2": None, "all+decay, stage 2 as released": "all+decay, stage 2"},
    ),
)
MARK = "<!-- made by runs/distill/table.py -->"


def load(folder: Path, name: str) -> list[dict]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob(f"{name}-[0-9]*/figures.json"))]


def people_by_seed(runs: list[dict], kind: str, part: str) -> np.ndarray:
    """(seeds, people) OKS in per cent."""
    rows = [[person[part] for person in run[kind]] for run in runs]
    return 100 * np.array([[v for v in row if v is not None] for row in rows])


def cell(runs: list[dict], base: list[dict] | None, kind: str, part: str) -> str:
    own = people_by_seed(runs, kind, part)
    mean, low, high = interval(own)
    text = f"{mean:.1f} [{low:.1f}, {high:.1f}]"
    if base:
        shared = min(len(runs), len(base))
        difference, low, high = interval(own[:shared] - people_by_seed(base, kind, part)[:shared])
        text += change(difference, low, high)
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("page", type=Path)
    options = parser.parse_args()
    lines: list[str] = []
    for title, about, rows in TABLES:
        there = {name: load(options.folder, name) for name in rows}
        lines.append(f"## {title}\n\n{about}\n")
        heads = [f"{part}, {HELD_OUT[kind]}" for kind, part in SHOWN]
        lines.append(f"| row | seeds | {' | '.join(heads)} |")
        lines.append("|---|---|" + "---|" * len(heads))
        for name, base in rows.items():
            runs = there[name]
            if not runs:
                continue
            cells = [cell(runs, there[base] if base else None, kind, part) for kind, part in SHOWN]
            against = f" (against {base})" if base else ""
            lines.append(f"| {name}{against} | {len(runs)} | {' | '.join(cells)} |")
        lines.append("")
    # The hand-written text above the tables is kept.
    head = options.page.read_text().split(MARK)[0] if options.page.exists() else "# Ablations in miniature\n\n"
    with replacing(options.page) as path:
        path.write_text(f"{head}{MARK}\n\n" + "\n".join(lines))


if __name__ == "__main__":
    main()
