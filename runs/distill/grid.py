"""The paper's ablations in miniature: many short runs on the same views, each with three seeds.

    python runs/distill/grid.py work/grid POOL SYNTHETIC [--seeds 1 2 3] [--only NAME ...] [--share 0/2]

`work/grid` has the output of prepare.sh: the student's initial weights, and the views with the outputs of two teachers.
Finished runs are not repeated, so the grid can be stopped at any time. `--share 0/2` does every second run, for one
process per core. Each run leaves NAME-SEED/ with figures.json: the OKS of every held-out person, on photos with COCO's
labels, on photos with teachers' labels, and on synthetic people. table.py makes the tables from these files.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from wholebody.files import replacing
from wholebody.train.config import DataSource, Distill, Optim, TrainConfig
from wholebody.train.data.held_out import held_out_people
from wholebody.train.loop import fit
from wholebody.train.measure import measure
from wholebody.train.recipes import PARTS, second_stage

STEPS, BATCH = 300, 32
# The first people of the synthetic benchmark; all of it would take as long to measure as a run to train.
SYNTHETIC = 500

# Name of a row -> what its stage 1 follows; the views say which teacher spoke.
FIRST = {
    "label": Distill(alpha=0, beta=0),
    "label+feature": Distill(beta=0, decay=False),
    "logit": Distill(ori=0, alpha=0, decay=False),
    "feature+logit": Distill(ori=0, decay=False),
    "all": Distill(decay=False),
    "all+decay": Distill(),
    "logit, masked": Distill(ori=0, alpha=0, decay=False, masked=True),
    "all+decay, teacher s": Distill(),
    "all+decay, teacher s in train mode": Distill(),
}
# Name of a row -> the row whose result stage 2 starts from, and how.
SECOND = {
    "label, stage 2": ("label", Distill(stage=2)),
    "all+decay, stage 2": ("all+decay", Distill(stage=2)),
    "all+decay, stage 2, flatter": ("all+decay", Distill(stage=2, sharpness=5)),
    "all+decay, stage 2 as released": ("all+decay", Distill(stage=2, faithful=True)),
}


def views_of(name: str) -> str:
    return "views-s-train" if "train mode" in name else "views-s" if "teacher s" in name else "views"


def recipe(folder: Path, name: str, seed: int) -> TrainConfig:
    return TrainConfig(
        name=name,
        network="t",
        init=str(folder / "start.safetensors"),
        input_size=(96, 128),
        sources=(DataSource("views", str(folder / views_of(name))),),
        steps=STEPS,
        batch=BATCH,
        seed=seed,
        optim=Optim(lr=2e-3, lr_end=4e-5, flat=0.3, warmup=30, ema_momentum=1e-2, ema_gamma=30),
        parts=PARTS,
        distill=FIRST[name],
        precision="bf16",
        workers=0,
        checkpoint_minutes=2,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("pool", type=Path)
    parser.add_argument("synthetic", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--only", nargs="+", default=[*FIRST, *SECOND])
    parser.add_argument("--share", default="0/1")
    options = parser.parse_args()
    torch.set_num_threads(1)
    mine, share = map(int, options.share.split("/"))
    people = held_out_people(options.pool, options.synthetic)
    people["synthetic"] = people["synthetic"][:SYNTHETIC]
    # A second stage follows its first at once, so that shares do not wait for each other.
    first = [(name, seed) for seed in options.seeds for name in FIRST if name in options.only]
    for name, seed in first[mine::share]:
        run(options.folder, name, recipe(options.folder, name, seed), people)
        for second, (start, distill) in SECOND.items():
            if start == name and second in options.only:
                config = second_stage(recipe(options.folder, name, seed), 0.2)
                result = str(options.folder / f"{name}-{seed}" / "model.safetensors")
                config = replace(config, name=second, distill=replace(distill, teachers=(result,)))
                run(options.folder, second, config, people)


def run(folder: Path, name: str, config: TrainConfig, people: dict) -> None:
    out = folder / f"{name}-{config.seed}"
    if (out / "figures.json").exists():
        return
    fit(config, out)
    figures = measure(out / "model.safetensors", people)
    with replacing(out / "figures.json") as path:
        path.write_text(json.dumps(figures))
    for state in out.glob("state*.pt"):
        state.unlink()
    body = np.mean([row["body"] for row in figures["COCO"] if row["body"] is not None])
    print(f"{name} {config.seed}: body {body:.3f}", flush=True)


if __name__ == "__main__":
    main()
