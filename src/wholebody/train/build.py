"""Networks and lessons from a recipe."""

import dataclasses
from typing import cast

import torch
from torch import nn

from wholebody.errors import WholebodyError
from wholebody.networks.checkpoints import load_backbone, load_pose, read_weights
from wholebody.networks.rtmpose import RTMPose, RTMPoseHead, rtmpose, simcc
from wholebody.networks.thunder import Bodies, Thunder
from wholebody.networks.two_scale import TwoScale, TwoScaleHead
from wholebody.train.config import TrainConfig
from wholebody.train.data.crops import Crops
from wholebody.train.data.views import Views
from wholebody.train.distill import StageOne, StageTwo
from wholebody.train.labels import Labels
from wholebody.train.lesson import Lesson
from wholebody.train.teachers import from_files
from wholebody.train.warm import WarmStart
from wholebody.weights.lookup import find
from wholebody.weights.manifest import MANIFEST


def build(config: TrainConfig) -> RTMPose:
    """The recipe's network with its starting weights."""
    torch.manual_seed(config.seed)
    if config.network == "thunder" or config.network == "thunder-fine":
        return _thunder(config)
    network = rtmpose(config.network, config.input_size)
    if config.calm:
        _calm(network.head)
    if config.init:
        init = weights_file(config.init)
        target: nn.Module = network.backbone
        if any(name.startswith("head.") for name in read_weights(init)):
            found = load_pose(init)
            # A head belongs to its input size, a backbone takes any.
            same = found.codec == network.codec
            source: nn.Module = found if same else found.backbone
            target = network if same else network.backbone
        else:
            source = load_backbone(init)
        try:
            target.load_state_dict(source.state_dict())
        except RuntimeError as error:
            raise WholebodyError(f"{config.init}: not for a network of size {config.network}.") from error
    return network


def _thunder(config: TrainConfig) -> RTMPose:
    tflite = config.init.endswith(".tflite")
    backbone = Thunder.from_tflite(config.init) if tflite else Thunder()
    codec = simcc(config.input_size)
    w, h = config.input_size
    if config.network == "thunder-fine":
        bodies = Bodies.from_tflite(config.init) if tflite else Bodies()
        network: RTMPose = TwoScale(backbone, bodies, TwoScaleHead(codec))
    else:
        head = RTMPoseHead(backbone.channels, (w // 32, h // 32), codec.bins)
        network = RTMPose(backbone, head, codec, backbone.mean, backbone.std)
    if config.calm:
        _calm(network.head)
    if config.init and not tflite:
        found = load_pose(weights_file(config.init))
        if type(found) is not type(network) or not isinstance(found.backbone, Thunder):
            raise WholebodyError(f"{config.init}: not for a network of kind {config.network}.")
        # The file says how its head reads the map (`rank`).
        return found
    return network


def weights_file(name: str) -> str:
    """The file of a name of `wholebody models`, bundled or downloaded; a path as it is."""
    return str(find(name, kind="pose")) if name in MANIFEST else name


@torch.no_grad()
def _calm(head: nn.Module) -> None:
    """Smaller first values of the attention, which else needs the thousand steps of the published warm-up."""
    attention = cast(RTMPoseHead, head).gau
    attention.gamma.mul_(0.3)
    attention.beta.mul_(0.1)


def build_lesson(config: TrainConfig, data: Crops | Views) -> Lesson:
    """What the recipe's steps follow."""
    distill = config.distill
    if distill is None:
        return Labels(build(config), config.heatmap)
    if distill.stage == 2:
        if len(distill.teachers) != 1:
            raise WholebodyError(f"recipe {config.name}: stage 2 needs one trained network as distill.teachers.")
        trained = load_pose(weights_file(distill.teachers[0]))
        return StageTwo(trained, cast(RTMPoseHead, build(dataclasses.replace(config, init="")).head), distill)
    student = build(config)
    if distill.stage == "warm":
        if len(distill.teachers) != 1:
            raise WholebodyError(f"recipe {config.name}: a warm start needs one checkpoint as distill.teachers.")
        return WarmStart(student, load_pose(weights_file(distill.teachers[0])))
    if isinstance(data, Views):
        teacher, channels = None, data.channels
        if "x" not in data.arrays and (distill.alpha or distill.beta):
            raise WholebodyError(f"{data.folder}: has no teacher's outputs. Write the views with a teacher.")
    elif distill.teachers:
        teacher = from_files(distill.teachers, student.codec, distill.faithful)
        channels = teacher.channels
    else:
        raise WholebodyError(f"recipe {config.name}: name the teacher's file as distill.teachers.")
    if distill.alpha and not channels:
        raise WholebodyError(f"recipe {config.name}: the teacher has no features. Set distill.alpha to 0.")
    return StageOne(student, teacher, distill, channels, config.epochs)
