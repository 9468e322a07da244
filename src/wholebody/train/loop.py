"""Training a pose network: one story from data to weights.

    wholebody train teacher --out work/teacher          # start, or resume where a stopped run ended
    wholebody train debug --out work/debug              # seconds
    torchrun --nproc-per-node 8 -m wholebody.cli train teacher --out work/teacher

A step draws a batch (draw n depends on the seed and n alone, so a resumed run sees what an unbroken one would), encodes
it, and follows the terms of its lesson: labels, a teacher, or both (`build.build_lesson`). `engine.run` is the loop and
says what it leaves in the folder, `engine.step` one step of it.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from wholebody.errors import WholebodyError
from wholebody.evaluate.oks import part_oks
from wholebody.geometry import Crop
from wholebody.networks.checkpoints import save_pose
from wholebody.networks.exported import measure_norms, wants_measuring
from wholebody.networks.rtmpose import RTMPose, simcc
from wholebody.train.build import build_lesson
from wholebody.train.config import TrainConfig
from wholebody.train.data.crops import load_data, validation_people
from wholebody.train.data.people import LabelledPerson
from wholebody.train.engine.log import save_picture
from wholebody.train.engine.parallel import this_process
from wholebody.train.engine.run import TrainingJob, check_shares, run
from wholebody.train.teachers import Teacher

# Crops that give a network from an exported file the statistics of its batch norms.
_NORM_CROPS = 64


def fit(config: TrainConfig, out: str | os.PathLike[str], teacher: Teacher | None = None) -> RTMPose:
    """Run a recipe to its end, from its last state in `out` if there is one.

    Args:
        teacher: instead of the files that a distillation's recipe names: any callable from crops (N, h, w, 3) uint8 BGR
            to what it sees of them, a `teachers.Taught`.

    Returns:
        the network with the averaged weights.

    Raises:
        WholebodyError: the loss is not finite, a picture cannot be read, the disk is full, or the state in `out`
            belongs to another recipe. The last good state stays.
    """
    process = this_process()
    people = check_shares(config, process)
    codec = simcc(config.input_size)
    data, steps = load_data(config, codec)
    lesson = build_lesson(config, data, teacher, people)
    if lesson.network.codec != codec:
        raise WholebodyError(f"the network takes {lesson.network.codec.input_size}, the recipe {codec.input_size}.")
    if wants_measuring(lesson.network):
        lesson.network.to(process.device)
        measure_norms(lesson.network, data.draw(range(_NORM_CROPS)).images.to(process.device))
    validation = validation_people(config) if process.first else []
    job = TrainingJob(
        recipe=config,
        lesson=cast(nn.Module, lesson),
        data=data,
        steps=steps,
        save=save_pose,
        picture=lambda path, batch: save_picture(path, batch, config.points),
        measure=(lambda network: part_oks(validation, predict(network, validation), config.points))
        if validation
        else None,
    )
    return cast(RTMPose, run(job, Path(out), process))


class Loads(Protocol):
    """A person whose picture can be had: `Person` is one."""

    def load(self) -> LabelledPerson: ...


@torch.no_grad()
def predict(network: RTMPose, people: Sequence[Loads], batch: int = 16) -> list[npt.NDArray[np.float32]]:
    """Keypoints (K, 2) of each person in image pixels, from the labelled boxes, without flip test."""
    network.eval()
    device = next(network.parameters()).device
    found = []
    for start in range(0, len(people), batch):
        samples = [person.load() for person in people[start : start + batch]]
        crops = [Crop.from_box(sample.box, network.codec.input_size) for sample in samples]
        images = np.stack([crop.cut(sample.image) for crop, sample in zip(crops, samples, strict=True)])
        x, y = network(network.normalise(torch.from_numpy(images).to(device)))
        keypoints, _ = network.codec.decode(x.float().cpu().numpy(), y.float().cpu().numpy())
        found += [crop.to_image(points).astype(np.float32) for crop, points in zip(crops, keypoints, strict=True)]
    return found
