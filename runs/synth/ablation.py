"""Do synthetic people help on photos? RTMPose-t on photos alone, on synthetic people alone, and on both.

    python runs/synth/ablation.py work/synth-ablation POOL TRAIN HELD_OUT --thunder movenet_thunder_fp16.tflite

POOL is the pool of photos, TRAIN a folder of synthetic shards, HELD_OUT the synthetic benchmark. Each row has its own
crops at 128x96 and as many steps as the others: a warm start, in which the random backbone learns the maps of MoveNet
Thunder as released (`distill.WarmStart`, no labels), then the label loss. Mean OKS with intervals over people. What is
there is not done again.
"""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from wholebody.files import replacing
from wholebody.train.checkpoints import save_pose
from wholebody.train.loop import build, fit, load_data
from wholebody.train.recipes import PARTS, POOL, SYNTHETIC, Distill, Optim, Source, TrainConfig, warm_start
from wholebody.train.rtmpose import simcc
from wholebody.train.views import write_views

sys.path.insert(0, str(Path(__file__).parents[1] / "pose"))
sys.path.insert(0, str(Path(__file__).parents[1] / "distill"))
from evaluate import people_of
from grid import SYNTHETIC as FIRST_PEOPLE
from grid import measure
from table import interval

SIZE, VIEWS, WARM, STEPS, BATCH = (96, 128), 8_000, 1_000, 500, 32
SHOWN = (
    ("COCO", "body"),
    ("teachers", "body"),
    ("teachers", "left_hand"),
    ("teachers", "right_hand"),
    ("teachers", "all"),
    ("synthetic", "body"),
    ("synthetic", "all"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("out", "pool", "train", "held_out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--thunder", required=True)
    parser.add_argument("--rows", nargs="+", default=["photos", "synthetic", "both"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    photos = replace(POOL, path=str(options.pool), share=1.0)
    people = replace(SYNTHETIC, path=str(options.train), share=1.0)
    rows = {"photos": (photos,), "synthetic": (people,), "both": (photos, people)}
    released = options.out / "thunder.safetensors"
    if not released.exists():
        save_pose(build(TrainConfig("thunder", "thunder", (people,), init=options.thunder, input_size=SIZE)), released)
    for name in options.rows:
        train(options.out, name, rows[name], released)
    held = people_of(options.pool, options.held_out)
    held["synthetic"] = held["synthetic"][:FIRST_PEOPLE]
    heads = [f"{part}, {kind}" for kind, part in SHOWN]
    print(f"| trained on | {' | '.join(heads)} |\n|---|{'---|' * len(heads)}")
    for name in rows:
        weights, figures = options.out / name / "model.safetensors", options.out / name / "figures.json"
        if not weights.exists():
            continue
        if not figures.exists():
            with replacing(figures) as path:
                path.write_text(json.dumps(measure(weights, held)))
        found, cells = json.loads(figures.read_text()), []
        for kind, part in SHOWN:
            values = 100 * np.array([[person[part] for person in found[kind] if person[part] is not None]])
            mean, low, high = interval(values)
            cells.append(f"{mean:.1f} [{low:.1f}, {high:.1f}]")
        print(f"| {name} | {' | '.join(cells)} |")


def train(out: Path, name: str, sources: tuple[Source, ...], released: Path) -> None:
    if (out / name / "figures.json").exists():
        return
    views = out / f"views-{name}"
    if not views.exists():
        crops, _ = load_data(replace(warm_start("t"), input_size=SIZE, sources=sources, seed=5), simcc(SIZE))
        write_views(views, crops.draw, VIEWS)
    warm = TrainConfig(
        name=f"warm-{name}",
        network="t",
        sources=(Source("views", str(views)),),
        input_size=SIZE,
        steps=WARM,
        batch=BATCH,
        optim=Optim(lr=3e-3, lr_end=1e-4, flat=0.3, warmup=50, ema_momentum=1e-2, ema_gamma=30),
        distill=Distill(stage="warm", teachers=(str(released),)),
        precision="bf16",
        workers=0,
    )
    fit(warm, out / f"warm-{name}")
    labels = replace(
        warm,
        name=name,
        init=str(out / f"warm-{name}" / "model.safetensors"),
        steps=STEPS,
        optim=replace(warm.optim, lr=2e-3, lr_end=4e-5),
        parts=PARTS,
        distill=None,
    )
    fit(labels, out / name)


if __name__ == "__main__":
    main()
