"""Fine-tune a bundled two-scale network on views (runs/distill/views.py): its head and the encoder's last blocks.

    python runs/people/encoder.py wholebody-133 work/views work/encoder [--steps 2000] [--frozen 6]
    python runs/people/encoder.py fast work/halved work/encoder-fast

The lesson is `wholebody.train.fine_tuning`. The first blocks stay as they are: 10 of them end with the map of stride
16, 6 with that of stride 8. OUT gets model.safetensors (averaged weights), state.pt, from which a stopped run resumes,
and figures.csv.
"""

import argparse
from pathlib import Path
from typing import cast

import numpy as np
import torch

from wholebody.files import replacing
from wholebody.networks.checkpoints import load_pose, save_pose
from wholebody.networks.two_scale import TwoScale
from wholebody.train.config import Optim
from wholebody.train.data.views import Views
from wholebody.train.engine.parallel import keep_memory
from wholebody.train.engine.precision import native_bfloat16
from wholebody.train.engine.step import start, step
from wholebody.train.fine_tuning import FineTuning
from wholebody.weights.lookup import find

BATCH = 32
OPTIM = Optim(
    lr=3e-4, lr_end=3e-6, flat=0.0, warmup=100, backbone=0.33, weight_decay=0.05, ema_momentum=2e-3, ema_gamma=100
)
CAMERA, MIRROR, ZOOM = 0.4, 0.5, 0.12


def train(network: TwoScale, views: Views, out: Path, steps: int, frozen: int) -> None:
    out.mkdir(parents=True, exist_ok=True)
    half = torch.bfloat16 if native_bfloat16(torch.device("cpu")) else None
    training, first = start(FineTuning(network, frozen), OPTIM, BATCH, half), 0
    # Depthwise convolutions of a CPU are faster so.
    training.lesson.to(memory_format=torch.contiguous_format)
    if (out / "state.pt").exists():
        state = torch.load(out / "state.pt", weights_only=True)
        if state["frozen"] != frozen:
            raise SystemExit(f"{out}: began with --frozen {state['frozen']}. Name another folder, or the same number.")
        network.load_state_dict(state["network"])
        training.ema.load_state_dict(state["average"])
        training.optimizer.load_state_dict(state["optimizer"])
        first = state["step"]
    losses = list[list[float]]()
    for number in range(first, steps):
        rows = range(number * BATCH, (number + 1) * BATCH)
        figures = step(training, number, steps, [views.draw(rows)])
        losses.append([figures[name] for name in ("ori", "stay", "keep")])
        if (number + 1) % 100 == 0 or number + 1 == steps:
            with (out / "figures.csv").open("a") as file:
                means = np.mean(losses, axis=0)
                file.write(",".join([str(number + 1), *(f"{mean:.6f}" for mean in means)]) + "\n")
            losses.clear()
            state = {"frozen": frozen, "network": network.state_dict(), "average": training.ema.state_dict()}
            with replacing(out / "state.pt") as partial:
                torch.save({**state, "optimizer": training.optimizer.state_dict(), "step": number + 1}, partial)
            save_pose(cast(TwoScale, training.ema), out / "model.safetensors")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network")
    parser.add_argument("views", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--frozen", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_memory()
    network = cast(TwoScale, load_pose(find(options.network, kind="pose")).eval())
    views = Views(options.views, network.codec, options.seed, CAMERA, MIRROR, ZOOM)
    views.arrays.pop("feature", None)  # nothing here reads it
    train(network, views, options.out, options.steps, options.frozen)


if __name__ == "__main__":
    main()
