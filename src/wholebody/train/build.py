"""Building networks and lessons from a recipe."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import cast

import torch
from torch import nn

from wholebody.errors import WholebodyError
from wholebody.networks.checkpoints import load_backbone, load_pose, read_weights
from wholebody.networks.cspnext import CSPNeXt
from wholebody.networks.kinds import kind_of, new_network
from wholebody.networks.rtmpose import RTMPose, RTMPoseHead
from wholebody.networks.thunder import MoveNetHeads, Thunder
from wholebody.networks.two_scale import TwoScale
from wholebody.networks.widen import widen
from wholebody.train import released
from wholebody.train.config import Distill, TrainConfig
from wholebody.train.data.crops import Crops
from wholebody.train.data.views import Views
from wholebody.train.distill import StageOne, StageTwo, decay
from wholebody.train.labels import Supervised
from wholebody.train.lesson import Lesson
from wholebody.train.teachers import Teacher, channels_of, from_files
from wholebody.train.warm import WarmStart
from wholebody.weights.lookup import entry, find, trainable


def build(config: TrainConfig) -> RTMPose:
    """The recipe's network with its initial weights."""
    torch.manual_seed(config.seed)
    network = new_network(config.network, config.input_size, len(config.points))
    network.schema = config.points
    if config.calm:
        _calm(network.head)
    if config.init.endswith(".tflite"):
        _start_from_movenet(network, config.init)
    elif config.init:
        network = _started_from(weights_file(config.init), network, config.network)
    return network


def _started_from(path: str, network: RTMPose, kind: str) -> RTMPose:
    """The network with the weights of a file: all of them if the input size and keypoints are the same, otherwise only
    the backbone's. A larger RTMPose extends those of a smaller one."""
    found = load_pose(path) if any(name.startswith("head.") for name in read_weights(path)) else None
    whole = found is not None and found.codec == network.codec and found.schema is network.schema
    if found is not None and whole and kind_of(found) == kind:
        return found  # it also stores how its head reads the map (`RTMPoseHead.narrow`)
    source = load_backbone(path) if found is None else found.backbone
    try:
        if found is not None and whole and isinstance(source, CSPNeXt) and isinstance(network.backbone, CSPNeXt):
            widen(found, network)
        else:
            network.backbone.load_state_dict(source.state_dict())
    except (RuntimeError, ValueError) as error:
        raise WholebodyError(f"{path}: not for a network of kind {kind}. Choose another init or network.") from error
    return network


def _start_from_movenet(network: RTMPose, path: str) -> None:
    """MoveNet Thunder as released: its encoder, and the heads that predict bodies."""
    if not isinstance(network.backbone, Thunder):
        raise WholebodyError(f'{path}: is for the networks "thunder" and "thunder-fine". Name a checkpoint as init.')
    network.backbone.load_state_dict(Thunder.from_tflite(path).state_dict())
    if isinstance(network, TwoScale):
        network.bodies.load_state_dict(MoveNetHeads.from_tflite(path).state_dict())


def weights_file(name: str) -> str:
    """The file of a name from `wholebody models`, bundled or downloaded, or of a path or a released file's name.

    Raises:
        WholebodyError: as for `lookup.find`.
    """
    name = trainable(name)
    weights = entry(name)
    return str(find(name, kind=weights.kind if weights else "pose"))


@torch.no_grad()
def _calm(head: nn.Module) -> None:
    """Use smaller initial values in the attention, which otherwise needs the published warm-up of a thousand steps."""
    attention = cast(RTMPoseHead, head).gau
    attention.gamma.mul_(0.3)
    attention.beta.mul_(0.1)


def build_lesson(config: TrainConfig, data: Crops | Views, teacher: Teacher | None = None, people: int = 0) -> Lesson:
    """The recipe's lesson.

    Args:
        teacher: replaces those named in the recipe, for stage 1.
        people: number of people in one process's batch.
    """
    distill = config.distill
    if teacher and (distill is None or distill.stage != 1):
        raise WholebodyError(f"recipe {config.name}: a teacher is for stage 1. Give it distill=Distill(stage=1).")
    if distill is None:
        return Supervised(build(config), config.heatmap, config.label)
    if distill.stage == 1:
        return _stage_one(config, distill, data, teacher, people or config.batch)
    if len(distill.teachers) != 1:
        raise WholebodyError(f"recipe {config.name}: name one trained network as distill.teachers.")
    taught_by = load_pose(weights_file(distill.teachers[0]))
    if distill.stage == "warm":
        return WarmStart(build(config), taught_by)
    if type(taught_by) is not RTMPose:
        raise WholebodyError(f"recipe {config.name}: stage 2 is for a backbone and a head, as RTMPose's sizes are.")
    head = cast(RTMPoseHead, build(replace(config, init="")).head)
    return (released.DriftingStageTwo if distill.faithful else StageTwo)(taught_by, head, distill)


def _stage_one(
    config: TrainConfig, distill: Distill, data: Crops | Views, teacher: Teacher | None, people: int
) -> StageOne:
    """A student with what the recipe chooses: a teacher, r(t), and the paper's or the released code's method."""
    student = build(config)
    if not distill.alpha and not distill.beta:
        teacher, channels = None, 0  # no teacher runs
    elif isinstance(data, Views) and teacher is None:
        if "x" not in data.arrays:
            raise WholebodyError(f"{data.folder}: has no teacher's outputs. Write the views with a teacher.")
        channels = data.channels
    elif teacher is None and not distill.teachers:
        raise WholebodyError(f"recipe {config.name}: name the teacher's file as distill.teachers.")
    else:
        teacher = teacher or from_files(distill.teachers, student.codec)
        channels = channels_of(teacher, student.codec, len(config.points))
    if distill.alpha and not channels:
        raise WholebodyError(f"recipe {config.name}: the teacher has no features. Set distill.alpha to 0.")
    if distill.faithful:
        distill = released.summed(distill, people)
        teacher = teacher and released.in_train_mode(teacher)
    if not distill.ori and not distill.beta:
        student.head.requires_grad_(False)
    stage = released.MaskedStageOne if distill.masked else StageOne
    return stage(student, teacher, distill, channels if distill.alpha else 0, fading(distill, config.epochs))


def fading(distill: Distill, epochs: int) -> Callable[[float], float]:
    """r(t) as a function of the completed fraction of a run: constant within an epoch, or decreasing at every step if
    there are no epochs; always 1 without `decay`."""
    if not distill.decay:
        return lambda done: 1.0
    if epochs:
        # A rounding error must not put the first step of an epoch into the previous one.
        return lambda done: decay(1 + math.floor(done * epochs + 1e-9), epochs)
    return lambda done: decay(1 + done, 1)
