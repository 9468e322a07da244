"""Train the bundled networks on a graphics card, from the people of people.py.

    python runs/gpu/train.py default OUT --people work/packed/*.npz --init wholebody-133 --seconds 240
    python runs/gpu/train.py students OUT --people work/packed/*.npz --teacher OUT/default.safetensors \
        --t dwpose-t --s dwpose-t --fast fast --seconds 330

`default` fine-tunes a two-scale network. `students` trains up to three networks on the same crops at once: RTMPose-t
and RTMPose-s with stage 1 of DWPose, and the default network's smaller sibling at half the size; the teacher sees every
crop. A run takes the seconds it is given: its first steps are timed, which gives the number of steps. OUT gets a file
of weights (averaged) for each network, and figures.txt. Without a graphics card it runs on the processor.
"""

import argparse
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wholebody.codec import SimCC
from wholebody.evaluate.oks import part_oks
from wholebody.evaluate.report import COVERED
from wholebody.geometry import box_areas
from wholebody.networks.checkpoints import load_pose, save_pose
from wholebody.networks.exported import measure_norms, wants_measuring
from wholebody.networks.rtmpose import RTMPose
from wholebody.networks.two_scale import TwoScale
from wholebody.train.build import build, fading, weights_file
from wholebody.train.config import Distill, Optim
from wholebody.train.data.crops import part_factors
from wholebody.train.data.packed import CROP, PackedPeople
from wholebody.train.data.people import NOWHERE, PersonFile
from wholebody.train.distill import StageOne
from wholebody.train.engine.parallel import Process
from wholebody.train.engine.precision import native_bfloat16, quick_kernels
from wholebody.train.engine.step import Training, start, step
from wholebody.train.fine_tuning import FineTuning
from wholebody.train.lesson import Batch
from wholebody.train.recipes import DISTILLATIONS
from wholebody.train.teachers import Checkpoint

NORM_CROPS = 256
# The first steps are timed, without the very first.
TIMED = 30
TWO_SCALE = Optim(
    lr=8e-4, lr_end=1e-5, flat=0.1, warmup=150, backbone=0.33, ema_momentum=2e-3, ema_gamma=200, weight_decay=0.03
)
STUDENT = Optim(lr=3e-3, lr_end=2e-5, flat=0.3, warmup=150, ema_momentum=2e-3, ema_gamma=200)


def taught(teacher: Checkpoint, batch: Batch) -> Batch:
    """The batch with the teacher's output; what was cut off is nowhere, which is what the labels say, too."""
    said = teacher(batch.images)
    there = (batch.keypoints[..., 0] != NOWHERE)[..., None]
    return batch._replace(
        teacher_x=said.x.float() * there, teacher_y=said.y.float() * there, teacher_feature=said.feature
    )


def shrunk(images: Tensor) -> Tensor:
    """Crops (N, h, w, 3) at half the size: every second pixel of a blurred picture, because x becomes x / 2."""
    planes = images.permute(0, 3, 1, 2).float()
    blur = torch.tensor([0.25, 0.5, 0.25], device=planes.device)
    kernel = (blur[:, None] * blur).expand(3, 1, 3, 3)
    planes = F.conv2d(F.pad(planes, (1, 1, 1, 1), mode="replicate"), kernel, stride=2, groups=3)
    return planes.round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def halved(batch: Batch) -> Batch:
    """The batch for a network with half the input size; a logit's bin is halved, too."""
    points = torch.where(batch.keypoints == NOWHERE, NOWHERE, batch.keypoints / 2)
    x, y = (cast(Tensor, each)[..., ::2] for each in (batch.teacher_x, batch.teacher_y))
    return Batch(shrunk(batch.images), points, batch.weight, x, y)


@torch.no_grad()
def measured(network: RTMPose, people: PackedPeople | None) -> str:
    """The mean body OKS on people never trained on, of their plain crops and the most likely positions."""
    if people is None:
        return "-"
    network, found = network.eval(), list[Tensor]()
    for at in range(0, len(people), 64):
        crops = people.plain(slice(at, at + 64))
        if network.codec.input_size != CROP:
            crops = shrunk(crops)
        x, y = network(network.normalise(crops))
        found.append(torch.stack([x.argmax(dim=-1), y.argmax(dim=-1)], dim=-1) / network.codec.split_ratio)
    points, truth, visible, box = (
        each.float().cpu().numpy() for each in (torch.cat(found), people.points(), people.visible, people.box)
    )
    rows = zip(truth, visible, box, COVERED * box_areas(box), strict=True)
    labelled = [PersonFile(Path(), *row) for row in rows]
    scores = part_oks(labelled, points * (CROP[0] / network.codec.input_size[0]), least=1)
    return f"{scores['body']:.4f}"


class Run:
    """Some trainings on the same crops, in a time."""

    def __init__(self, trainings: Mapping[str, Training], people: PackedPeople, options: argparse.Namespace) -> None:
        self.trainings, self.people, self.options = trainings, people, options
        self.device = people.box.device

    def go(self, teacher: Checkpoint | None, held_out: PackedPeople | None) -> None:
        options, steps, number = self.options, self.options.steps or 1_000, 0
        self.say(f"{len(self.people)} people, batch {options.batch}, {self.device}")
        self.say(" ".join(f"{name} {measured(each.ema, held_out)}" for name, each in self.trainings.items()))
        since = began = time.perf_counter()
        aside = 0.0
        while number < steps:
            figures = self.step(teacher, number, steps)
            number += 1
            now = time.perf_counter()
            if number == TIMED // 3:
                since = now
            if number == TIMED:
                each = (now - since) / (TIMED - TIMED // 3)
                # Reports and the last files take time, too.
                left = 0.96 * options.seconds - (now - began)
                steps = options.steps or number + max(1, int(left / each))
                self.say(f"{each * 1e3:.1f} ms a step, {options.batch / each:.0f} crops/s, {steps} steps")
            if number % options.report == 0 or number == steps:
                self.say(f"{number} of {steps}, {now - began:.0f} s, {aside:.0f} of them for reports")
                for name, values in figures.items():
                    body = measured(self.trainings[name].ema, held_out)
                    self.say(f"  {name} body {body} " + " ".join(f"{k} {v:.5f}" for k, v in values.items()))
                self.save()
                aside += time.perf_counter() - now

    def step(self, teacher: Checkpoint | None, number: int, steps: int) -> dict[str, dict[str, float]]:
        batch = self.people.draw(self.options.batch)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=native_bfloat16(self.device)):
            batch = batch if teacher is None else taught(teacher, batch)
        small = halved(batch) if "fast" in self.trainings else batch
        return {
            name: step(training, number, steps, [small if name == "fast" else batch])
            for name, training in self.trainings.items()
        }

    def save(self) -> None:
        for name, training in self.trainings.items():
            save_pose(training.ema, self.options.out / f"{name}.safetensors")

    def say(self, line: str) -> None:
        print(line, flush=True)
        with (self.options.out / "figures.txt").open("a") as file:
            file.write(line + "\n")


def given(name: str) -> RTMPose:
    """A network from a file, or a bundled one."""
    return load_pose(weights_file(name))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("default", "students"))
    parser.add_argument("out", type=Path)
    parser.add_argument("--people", nargs="+", type=Path, required=True)
    parser.add_argument("--held-out", nargs="+", type=Path, default=[])
    parser.add_argument("--init", help="the default network to start from")
    parser.add_argument("--teacher")
    for name in ("t", "s", "fast"):
        parser.add_argument(f"--{name}", help="the network to start from")
    parser.add_argument("--frozen", type=int, default=3, help="first blocks of Thunder's encoder that stay")
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--steps", type=int, default=0, help="instead of a time")
    parser.add_argument("--compile", action="store_true", help="torch.compile the students' backbones")
    parser.add_argument("--report", type=int, default=250)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.kind == "default" and not options.init:
        parser.error("default needs --init")
    if options.kind == "students" and not (options.teacher and (options.t or options.s or options.fast)):
        parser.error("students needs --teacher and at least one of --t, --s and --fast")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(options.seed)
    quick_kernels(tf32=True)
    options.out.mkdir(parents=True, exist_ok=True)
    weights = part_factors(DISTILLATIONS["student-t"]().first)
    people = PackedPeople.read(options.people, device, weights)
    held_out = PackedPeople.read(options.held_out, device) if options.held_out else None
    precision, process = torch.bfloat16 if native_bfloat16(device) else None, Process(0, 1, device)
    lessons: dict[str, tuple[nn.Module, Optim]] = {}
    teacher = None
    if options.kind == "default":
        network = cast(TwoScale, given(options.init))
        lessons["default"] = (FineTuning(network, options.frozen), TWO_SCALE)
    else:
        network = given(options.teacher).to(device)
        teacher = Checkpoint(network, cast(SimCC, network.codec))
        channels = cast(int, network.backbone.channels)
        for name in ("t", "s"):
            if path := getattr(options, name):
                student = build(replace(DISTILLATIONS[f"student-{name}"]().first, init=path, seed=options.seed)).to(
                    device
                )
                # A two-scale network's norms keep their statistics; a student's are those of each batch.
                if wants_measuring(student):
                    measure_norms(student, people.draw(NORM_CROPS).images)
                lessons[name] = (StageOne(student, None, Distill(), channels, fading(Distill(), 0)), STUDENT)
        if options.fast:
            lessons["fast"] = (FineTuning(cast(TwoScale, given(options.fast)), options.frozen), TWO_SCALE)
    trainings = {
        name: start(lesson, optim, options.batch, precision, process) for name, (lesson, optim) in lessons.items()
    }
    for name in ("t", "s") if options.compile else ():
        if name in trainings:
            cast(RTMPose, trainings[name].lesson.network).backbone.compile()
    Run(trainings, people, options).go(teacher, held_out)


if __name__ == "__main__":
    main()
