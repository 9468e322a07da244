"""Fine-tune a bundled two-scale network on views (runs/distill/views.py): its head and the encoder's last blocks.

    python runs/people/encoder.py wholebody-133 work/views work/encoder [--steps 2000]
    python runs/people/encoder.py fast work/halved work/encoder-fast

Thunder was trained on square crops around a person's middle, where MoveNet looks for them; here it learns the crops of
a top-down network. The blocks up to stride 16 stay as they are, so the fine maps do, too. Three terms are minimised:

    L_ori     the label loss of stage 1
    L_stay    L_logit from wholebody-133 as it was, which the views have; mostly for keypoints without a label
    L_keep    the relative squared change of the map that MoveNet's heads read, which have no gradient

OUT gets model.safetensors (averaged weights), state.pt, from which a stopped run resumes, and figures.csv.
"""

import argparse
import copy
import math
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from wholebody.files import replacing
from wholebody.networks.checkpoints import load_pose, save_pose
from wholebody.networks.thunder import Thunder
from wholebody.networks.two_scale import TwoScale, TwoScaleHead
from wholebody.train.data.views import Views
from wholebody.train.distill import label_loss, logit_loss
from wholebody.train.engine.parallel import keep_memory
from wholebody.train.engine.precision import native_bfloat16
from wholebody.train.lesson import Batch
from wholebody.train.targets import drawn
from wholebody.weights.lookup import find

BATCH, WARMUP = 32, 100
# The first blocks; the last of them ends stride 16.
FROZEN = 10
RATES = {"head": 3e-4, "encoder": 1e-4}
DECAYS = {"head": 0.05, "encoder": 0.02}
# L_stay per bin, like the label loss.
STAY, UNLABELLED, LABELLED = 0.3 / 450, 1.0, 0.2
KEEP = 0.01
CAMERA, MIRROR, ZOOM = 0.4, 0.5, 0.12


class FineTuning(nn.Module):
    """The network and its last blocks as they were; a batch -> the three terms."""

    def __init__(self, network: TwoScale) -> None:
        super().__init__()
        self.network = network.requires_grad_(False)
        self.encoder, self.head = cast(Thunder, network.backbone), cast(TwoScaleHead, network.head)
        # A presence is fitted afterwards (presence.py).
        self.head.presence = None
        last = nn.Sequential(*self.encoder.blocks[FROZEN:], self.encoder.top)
        self.before = copy.deepcopy(nn.Sequential(last, nn.ReLU6())).requires_grad_(False)
        self.trained = {"head": list(self.head.parameters()), "encoder": list(last.parameters())}
        for parameter in (*self.trained["head"], *self.trained["encoder"]):
            parameter.requires_grad_(True)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        stages = self.encoder.stages(self.network.normalise(batch.images))
        now = self.encoder.mix(stages).stride4
        with torch.no_grad():
            was = self.encoder.mix(stages._replace(stride32=self.before(stages.stride16))).stride4
            answer = self.network.bodies(now)
        x, y, _ = self.head.both(stages, answer)
        x, y, now, was = x.float(), y.float(), now.float(), was.float()
        assert batch.teacher_x is not None and batch.teacher_y is not None
        little = torch.where(batch.weight > 0, LABELLED, UNLABELLED)
        said = logit_loss(x, y, batch.teacher_x.float(), batch.teacher_y.float(), little)
        return {
            "ori": label_loss(x, y, *drawn(batch.keypoints, self.network.codec), batch.weight),
            "stay": STAY * said,
            "keep": KEEP * (now - was).square().mean() / was.var(),
        }


def optimizer_of(lesson: FineTuning) -> torch.optim.AdamW:
    groups = [
        {"params": [p for p in parameters if (p.ndim > 1) == decays], "lr": RATES[part], "peak": RATES[part]}
        | {"weight_decay": DECAYS[part] if decays else 0.0}
        for part, parameters in lesson.trained.items()
        for decays in (True, False)
    ]
    return torch.optim.AdamW(groups)


def train(network: TwoScale, views: Views, out: Path, steps: int) -> None:
    out.mkdir(parents=True, exist_ok=True)
    lesson = FineTuning(network)
    learnt = [p for part in lesson.trained.values() for p in part]
    average, optimizer, first = copy.deepcopy(network), optimizer_of(lesson), 0
    if (out / "state.pt").exists():
        state = torch.load(out / "state.pt", weights_only=True)
        network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["step"]
    half, losses = native_bfloat16(torch.device("cpu")), list[list[float]]()
    for step in range(first, steps):
        factor = min(1, (step + 1) / WARMUP) * (0.01 + 0.99 * (0.5 + 0.5 * math.cos(math.pi * step / steps)))
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * factor
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            terms = lesson(views.draw(range(step * BATCH, (step + 1) * BATCH)))
        torch.stack(list(terms.values())).sum().backward()
        nn.utils.clip_grad_norm_(learnt, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            for mean, weight in zip(average.parameters(), network.parameters(), strict=True):
                mean.lerp_(weight, max(0.002, 1 - (step + 1) / (step + 20)))
        losses.append([term.item() for term in terms.values()])
        if (step + 1) % 100 == 0 or step + 1 == steps:
            with (out / "figures.csv").open("a") as file:
                means = np.mean(losses, axis=0)
                file.write(",".join([str(step + 1), *(f"{mean:.6f}" for mean in means)]) + "\n")
            losses.clear()
            state = {"network": network.state_dict(), "average": average.state_dict()}
            with replacing(out / "state.pt") as partial:
                torch.save({**state, "optimizer": optimizer.state_dict(), "step": step + 1}, partial)
            save_pose(average, out / "model.safetensors")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network")
    parser.add_argument("views", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_memory()
    network = cast(TwoScale, load_pose(find(options.network, kind="pose")).eval())
    views = Views(options.views, network.codec, options.seed, CAMERA, MIRROR, ZOOM)
    views.arrays.pop("feature", None)  # nothing here reads it
    train(network, views, options.out, options.steps)


if __name__ == "__main__":
    main()
