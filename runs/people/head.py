"""Fine-tune the default network's head on crops that differ each time, while the encoder and the fine maps are frozen.

    python runs/people/head.py OUT --data pseudo:work/people/labels.json:work/people/photos=0.66 pool:POOL=0.2
        shards:work/synth/train=0.14 [--steps 900]

The frozen parts run in ONNX Runtime, which takes 40 ms per crop on one core (AVX2); in torch they would take twice as
long. What is trained: the convolution on the coarse map, the attention, the classifiers, and the weights of the fine
maps and of MoveNet. Unlabelled keypoints stay near the bundled network's answer. OUT gets model.safetensors (averaged
weights), state.pt, from which a stopped run resumes, and figures.csv.
"""

import argparse
import copy
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper

from wholebody.files import replacing
from wholebody.networks.checkpoints import load_pose, save_pose
from wholebody.networks.two_scale import Marginals, TwoScale, TwoScaleHead
from wholebody.runtime.choose import open_session
from wholebody.runtime.session import Session
from wholebody.train.config import parse_source
from wholebody.train.data.crops import load_data
from wholebody.train.distill import label_loss, logit_loss
from wholebody.train.recipes import teacher
from wholebody.train.targets import drawn
from wholebody.weights.lookup import find

BATCH = 32
# What is read from the network, each the input of the layer with these weights: the coarse map, the axes of the fine
# maps, MoveNet's prediction, and the tokens that the head makes of them.
READ = {
    "s32": ("head.final_layer.0.weight", [1280, 8, 6]),
    "axes": ("head.places.weight", [133, 112]),
    "answers": ("head.answers.weight", [17, 896]),
    "tokens": ("head.cls_x.weight", [133, 256]),
}
LEARNT = ("s32", "axes", "answers", "simcc_x", "simcc_y")
# Weight of the difference from the bundled network's answer, per bin like the label loss, for a point without a label
# and for one with.
STAY, UNLABELLED, LABELLED = 0.3 / 450, 1.0, 0.2


def frozen(folder: Path, network: Path | str = "wholebody-133") -> Session:
    """A two-scale network with READ as further outputs."""
    proto = onnx.load(find(str(network), kind="pose"))
    made = {output: node for node in proto.graph.node for output in node.output}

    def comes_from(name: str, weight: str, depth: int = 0) -> bool:
        node = made.get(name)
        widened = node is not None and depth < 4 and node.op_type in ("Cast", "Mul")
        return weight in name or (widened and any(comes_from(each, weight, depth + 1) for each in node.input))

    for name, (weight, shape) in READ.items():
        (layer,) = (n for n in proto.graph.node if n.op_type in ("Conv", "MatMul") and comes_from(n.input[1], weight))
        proto.graph.node.append(helper.make_node("Identity", [layer.input[0]], [name]))
        proto.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape]))
    path = folder / "frozen.onnx"
    with replacing(path) as partial:
        partial.write_bytes(proto.SerializeToString())
    return open_session(path, "cpu", 1)


def train(out: Path, data: Sequence[str], steps: int, lr: float, seed: int) -> None:
    out.mkdir(parents=True, exist_ok=True)
    network = cast(TwoScale, load_pose(find("wholebody-133", kind="pose"))).requires_grad_(False)
    head = cast(TwoScaleHead, network.head)
    # A presence is fitted afterwards (presence.py).
    head.presence = None
    for part in (head.final_layer, head.mlp, head.gau, head.cls_x, head.cls_y, head.places, head.answers):
        part.requires_grad_(True)
    head.trust.requires_grad_(True)
    head.sight.requires_grad_(True)
    recipe = replace(teacher(), sources=tuple(map(parse_source, data)), steps=steps, batch=BATCH, seed=seed)
    crops, _ = load_data(recipe, network.codec)
    session = frozen(out)
    ema, learnt = copy.deepcopy(head), [p for p in head.parameters() if p.requires_grad]
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
    losses = []
    for step in range(first, steps):
        phase = max(0.0, (step / steps - 0.2) / 0.8)
        rate = (1e-5 + (lr - 1e-5) * 0.5 * (1 + math.cos(math.pi * phase))) * min(1.0, (step + 1) / 30)
        for group in optimizer.param_groups:
            group["lr"] = rate
        batch = crops.draw(range(step * BATCH, (step + 1) * BATCH))
        images = batch.images.numpy()
        parts = [session(images[at : at + 8], LEARNT) for at in range(0, BATCH, 8)]
        s32, axes, answers, was_x, was_y = (torch.from_numpy(np.concatenate(each)) for each in zip(*parts, strict=True))
        seen = Marginals(*axes.split([side // head.stride for side in head.codec.input_size], dim=-1))
        x, y = head.logits(head.final_layer(s32), seen, answers.split(head.codec.bins, dim=-1))
        kept = torch.where(batch.weight == 0, UNLABELLED, LABELLED)
        loss = label_loss(x, y, *drawn(batch.keypoints, network.codec), batch.weight)
        (loss + STAY * logit_loss(x, y, was_x, was_y, kept)).backward()
        torch.nn.utils.clip_grad_norm_(learnt, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        momentum = 1e-2 + 0.99 * math.exp(-(step + 1) / 30)
        with torch.no_grad():
            for average, now in zip(ema.parameters(), head.parameters(), strict=True):
                average.lerp_(now, momentum)
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
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", nargs="+", required=True)
    parser.add_argument("--steps", type=int, default=900)
    parser.add_argument("--lr", type=float, default=4e-4)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    train(options.out, options.data, options.steps, options.lr, options.seed)


if __name__ == "__main__":
    main()
