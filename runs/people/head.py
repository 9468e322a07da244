"""Fine-tune the default network's head on views whose feature maps have been computed (views.py).

    python runs/people/head.py maps VIEWS...
    python runs/people/head.py train OUT --sets VIEWS=SHARE ... [--steps 1000]

`maps` adds, once, the output of the frozen parts: the distributions of the fine maps along x and y, and MoveNet's
prediction. `train` then trains the rest of the head from the bundled weights: the convolution on the coarse map, the
attention, the classifiers, and the weights of the fine maps and of MoveNet. A step takes a tenth of the time of one
with the encoder. OUT gets model.safetensors (averaged weights), state.pt, from which a stopped run resumes, and
figures.csv.
"""

import argparse
import copy
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from wholebody.files import replacing
from wholebody.networks.checkpoints import load_pose, save_pose
from wholebody.networks.thunder import MoveNetOutput, Stages, Thunder
from wholebody.networks.two_scale import TwoScale, TwoScaleHead, enlarged
from wholebody.schema import COCO_WHOLEBODY
from wholebody.train.data.people import NOWHERE
from wholebody.train.distill import label_loss
from wholebody.weights.lookup import find

MAPS = ("s4", "s8", "s16", "s32")
TOLD = ("seen_x", "seen_y", "answer_keypoints", "answer_scores")
BATCH = 32
FACTORS = {"body": 2.0, "feet": 2.0, "left_hand": 1.5, "right_hand": 1.5}
# Weight of points that are known not to be in the crop, and pixels beside it where a point is surely not in it.
ABSENT, BESIDE = 0.4, 6


def bundled() -> TwoScale:
    return cast(TwoScale, load_pose(find("wholebody-133", kind="pose")))


@torch.no_grad()
def add_maps(folders: Sequence[Path]) -> None:
    network = bundled()
    head, backbone = cast(TwoScaleHead, network.head), cast(Thunder, network.backbone)
    for folder in folders:
        arrays = [np.load(folder / f"{name}.npy", mmap_mode="r") for name in MAPS]
        rows: dict[str, list[Any]] = {name: [] for name in TOLD}
        for start in range(0, len(arrays[0]), 20):
            part = (torch.from_numpy(array[start : start + 20].astype(np.float32)) for array in arrays)
            stages = Stages(*(each.contiguous(memory_format=torch.channels_last) for each in part))
            answer = network.bodies(backbone.mix(stages).stride4)
            seen = head.see(stages, head.final_layer(stages.stride32))
            for name, value in zip(TOLD, (*seen, *answer), strict=True):
                rows[name].append(value.numpy().astype(np.float16 if name.startswith("seen") else np.float32))
        for name, values in rows.items():
            with replacing(folder / f"{name}.npy") as partial, partial.open("wb") as file:
                np.save(file, np.concatenate(values))
        print(folder, flush=True)


class Draws:
    """Batches of views of several sets; step n is a function of n and the seed."""

    def __init__(self, sets: Sequence[str], network: TwoScale, seed: int) -> None:
        self.codec, self.seed = network.codec, seed
        self.shares, self.rows, self.arrays = [], [], {}
        for text in sets:
            folder, _, share = text.rpartition("=")
            places = [each.parent for each in sorted(Path(folder).glob(f"*/{TOLD[-1]}.npy"))]
            self.rows.append([(place, i) for place in places for i in range(len(self._array(place, TOLD[-1])))])
            self.shares.append(float(share))
        self.factors = np.ones(len(COCO_WHOLEBODY), np.float32)
        for part, factor in FACTORS.items():
            self.factors[COCO_WHOLEBODY.parts[part]] = factor

    def _array(self, place: Path, name: str) -> Any:
        if (place, name) not in self.arrays:
            self.arrays[place, name] = np.load(place / f"{name}.npy", mmap_mode="r")
        return self.arrays[place, name]

    def __call__(self, step: int) -> dict[str, Tensor]:
        rng = np.random.default_rng((self.seed, step))
        shares = np.array(self.shares) / sum(self.shares)
        columns: dict[str, list[Any]] = {name: [] for name in ("s32", *TOLD, "x", "y", "weight")}
        for chosen in rng.choice(len(self.rows), BATCH, p=shares):
            place, i = self.rows[chosen][rng.integers(len(self.rows[chosen]))]
            for name in ("s32", *TOLD):
                columns[name].append(self._array(place, name)[i])
            points = self._array(place, "keypoints")[i].astype(np.float64)
            visible = self._array(place, "visible")[i]
            outside = ((points < -BESIDE) | (points > np.array(self.codec.input_size) - 1 + BESIDE)).any(axis=1)
            absent = (visible < 0) | ((visible > 0) & outside)
            x, y, inside = self.codec.encode(np.where(absent[:, None], NOWHERE, points), (visible > 0) & ~absent)
            weight = np.where(absent, ABSENT, inside * np.clip(visible, 0, 1)) * self.factors
            for name, value in (("x", x), ("y", y), ("weight", weight)):
                columns[name].append(value)
        return {name: torch.from_numpy(np.stack(rows).astype(np.float32)) for name, rows in columns.items()}


def logits(head: TwoScaleHead, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """`TwoScaleHead.both` from where its frozen parts end."""
    seen = (batch["seen_x"], batch["seen_y"])
    answers = head.encode(MoveNetOutput(batch["answer_keypoints"], batch["answer_scores"]))
    known = head.answers(torch.cat(answers, dim=2))
    tokens = head.mlp(head.final_layer(batch["s32"]).flatten(2)) + head.places(torch.cat(seen, dim=2))
    rest = tokens.shape[1] - known.shape[1]
    tokens = head.gau(tokens + F.pad(known, (0, 0, 0, rest)))
    x, y = (
        classify(tokens) + F.pad(head.trust * told, (0, 0, 0, rest)) + head.sight * enlarged(axis, told.shape[-1])
        for classify, told, axis in zip((head.cls_x, head.cls_y), answers, seen, strict=True)
    )
    return x, y


def train(out: Path, sets: Sequence[str], steps: int, lr: float, seed: int, init: Path | None) -> None:
    out.mkdir(parents=True, exist_ok=True)
    network = bundled() if init is None else cast(TwoScale, load_pose(init))
    network.requires_grad_(False)
    head = cast(TwoScaleHead, network.head)
    for part in (head.final_layer, head.mlp, head.gau, head.cls_x, head.cls_y, head.places, head.answers):
        part.requires_grad_(True)
    head.trust.requires_grad_(True)
    head.sight.requires_grad_(True)
    ema = copy.deepcopy(head)
    learnt = [p for p in head.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in learnt if p.ndim > 1], "weight_decay": 0.05},
        {"params": [p for p in learnt if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer, first = torch.optim.AdamW(groups, lr=lr), 0
    if (out / "state.pt").exists():
        state = torch.load(out / "state.pt", weights_only=True)
        head.load_state_dict(state["head"])
        ema.load_state_dict(state["ema"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["step"]
    draws, losses = Draws(sets, network, seed), []
    for step in range(first, steps):
        phase = max(0.0, (step / steps - 0.2) / 0.8)
        rate = (1e-5 + (lr - 1e-5) * 0.5 * (1 + math.cos(math.pi * phase))) * min(1.0, (step + 1) / 30)
        for group in optimizer.param_groups:
            group["lr"] = rate
        batch = draws(step)
        loss = label_loss(*logits(head, batch), batch["x"], batch["y"], batch["weight"])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learnt, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        momentum = 1e-2 + 0.99 * math.exp(-(step + 1) / 30)
        with torch.no_grad():
            for kept, now in zip(ema.parameters(), head.parameters(), strict=True):
                kept.lerp_(now, momentum)
        losses.append(loss.item())
        if (step + 1) % 20 == 0 or step + 1 == steps:
            with (out / "figures.csv").open("a") as file:
                file.write(f"{step + 1},{np.mean(losses):.6f},{rate:.2e}\n")
            losses.clear()
            state = {"head": head.state_dict(), "ema": ema.state_dict(), "optimizer": optimizer.state_dict()}
            with replacing(out / "state.pt") as partial:
                torch.save({**state, "step": step + 1}, partial)
            result = copy.deepcopy(network)
            result.head = ema
            save_pose(result.eval(), out / "model.safetensors")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    maps = commands.add_parser("maps")
    maps.add_argument("views", type=Path, nargs="+")
    learn = commands.add_parser("train")
    learn.add_argument("out", type=Path)
    learn.add_argument("--sets", nargs="+", required=True)
    learn.add_argument("--steps", type=int, default=1000)
    learn.add_argument("--lr", type=float, default=6e-4)
    learn.add_argument("--init", type=Path, help="weights to begin with instead of the bundled ones")
    learn.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.command == "train":
        train(options.out, options.sets, options.steps, options.lr, options.seed, options.init)
        return
    places = [each.parent for folder in options.views for each in sorted(folder.glob("*/y.npy"))]
    add_maps([place for place in places if not (place / f"{TOLD[-1]}.npy").exists()])


if __name__ == "__main__":
    main()
