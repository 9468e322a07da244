"""Do synthetic people help on photos? RTMPose-t on photos alone, on synthetic people alone, and on both.

    python runs/synth/ablation.py work/synth-ablation POOL TRAIN HELD_OUT --init work/grid/start.safetensors

POOL is the pool of photos, TRAIN a folder of synthetic shards, HELD_OUT the synthetic benchmark. All runs start from
the same backbone, which was warmed up without labels (recipe `warm-t`, runs/distill/prepare.sh). They train on labels
alone for the same number of steps, each on its own 6,000 crops at 128x96. Mean OKS in per cent with intervals over
people. Finished runs are not repeated.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from wholebody.files import replacing
from wholebody.networks.rtmpose import simcc
from wholebody.train.config import DataSource, Optim, TrainConfig
from wholebody.train.data.crops import load_data
from wholebody.train.data.held_out import COLUMNS, held_out_people
from wholebody.train.data.views import write_views
from wholebody.train.loop import fit
from wholebody.train.measure import interval, measure
from wholebody.train.recipes import PARTS, POOL, SYNTHETIC, warm_start

SIZE, VIEWS, STEPS, BATCH = (96, 128), 6_000, 500, 32
# The first people of the synthetic benchmark; all of it would take as long to measure as a run to train.
FIRST_PEOPLE = 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("out", "pool", "train", "held_out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--init", required=True)
    parser.add_argument("--rows", nargs="+", default=["photos", "synthetic", "both"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    photos = replace(POOL, path=str(options.pool), share=1.0)
    people = replace(SYNTHETIC, path=str(options.train), share=1.0)
    rows = {"photos": (photos,), "synthetic": (people,), "both": (photos, people)}
    for name in options.rows:
        train(options.out, name, rows[name], options.init)
    held = held_out_people(options.pool, options.held_out)
    held["synthetic"] = held["synthetic"][:FIRST_PEOPLE]
    heads = [f"{part}, {kind}" for kind, part in COLUMNS]
    print(f"| trained on | {' | '.join(heads)} |\n|---|{'---|' * len(heads)}")
    for name in rows:
        weights, figures = options.out / name / "model.safetensors", options.out / name / "figures.json"
        if not weights.exists():
            continue
        if not figures.exists():
            with replacing(figures) as path:
                path.write_text(json.dumps(measure(weights, held)))
        found, cells = json.loads(figures.read_text()), []
        for kind, part in COLUMNS:
            values = 100 * np.array([[person[part] for person in found[kind] if person[part] is not None]])
            mean, low, high = interval(values)
            cells.append(f"{mean:.1f} [{low:.1f}, {high:.1f}]")
        print(f"| {name} | {' | '.join(cells)} |")


def train(out: Path, name: str, sources: tuple[DataSource, ...], init: str) -> None:
    if (out / name / "figures.json").exists():
        return
    views = out / f"views-{name}"
    if not views.exists():
        crops, _ = load_data(replace(warm_start("t"), input_size=SIZE, sources=sources, seed=5), simcc(SIZE))
        write_views(views, crops.draw, VIEWS)
    config = TrainConfig(
        name=name,
        network="t",
        init=init,
        sources=(DataSource("views", str(views)),),
        input_size=SIZE,
        steps=STEPS,
        batch=BATCH,
        optim=Optim(lr=2e-3, lr_end=4e-5, flat=0.3, warmup=30, ema_momentum=1e-2, ema_gamma=30),
        parts=PARTS,
        precision="bf16",
        workers=0,
    )
    fit(config, out / name)


if __name__ == "__main__":
    main()
