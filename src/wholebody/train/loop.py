"""Training a pose network, from data to weights.

    wholebody train teacher --out work/teacher          # start, or resume where a stopped run ended
    wholebody train debug --out work/debug              # seconds
    torchrun --nproc-per-node 8 -m wholebody.cli train teacher --out work/teacher

A step samples a batch (sample n depends on the seed and n alone, so a resumed run sees the same data as an unbroken
one), encodes it, and minimises the terms of its lesson: labels, a teacher, or both (`build.build_lesson`). `engine.run`
is the loop and documents the files that it writes; `engine.step` is one step.
"""

import os
from pathlib import Path
from typing import cast

from torch import nn

from wholebody.choices import Changes
from wholebody.errors import WholebodyError
from wholebody.networks.checkpoints import save_pose
from wholebody.networks.exported import measure_norms, wants_measuring
from wholebody.networks.rtmpose import RTMPose, simcc
from wholebody.train.build import build_lesson
from wholebody.train.config import TrainConfig
from wholebody.train.data.crops import load_data
from wholebody.train.engine.log import save_picture
from wholebody.train.engine.parallel import this_process
from wholebody.train.engine.run import TrainingJob, check_shares, run
from wholebody.train.teachers import Teacher
from wholebody.train.validate import validation

# Crops used to set the batch norm statistics of a network from an exported file.
_NORM_CROPS = 64


def fit(
    config: TrainConfig, out: str | os.PathLike[str], teacher: Teacher | None = None, changes: Changes = "refuse"
) -> RTMPose:
    """Run a recipe to its end, resuming from the last state in `out` if there is one.

    Args:
        teacher: replaces the files named in a distillation's recipe: any callable from crops (N, h, w, 3) uint8 BGR to
            a `teachers.Taught`.
        changes: what to do if the state in `out` belongs to a different recipe or data; see `engine.run.run`.

    Returns:
        the network with the averaged weights.

    Raises:
        WholebodyError: the loss is not finite, pictures cannot be read, the disk is full, or the state in `out`
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
    job = TrainingJob(
        recipe=config,
        lesson=cast(nn.Module, lesson),
        data=data,
        steps=steps,
        save=save_pose,
        picture=lambda path, batch: save_picture(path, batch, config.points),
        measure=validation(config),
    )
    return cast(RTMPose, run(job, Path(out), process, changes))
