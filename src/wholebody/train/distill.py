"""What a step follows: labels alone, or labels and a teacher (stage 1), or the network itself (stage 2).

A lesson is a module: batch in, named loss terms out; their sum is what the step follows. It holds what is trained and
nothing else: a teacher is a callable beside it, frozen and never saved. The letters are those of DWPose (Yang et al.
2023), and docs/distillation.md walks from its equations to these lines.

    warm      the maps of a pretrained backbone, at every stride           a backbone with random weights learns
    labels    L_ori                                                     (+ a heat-map loss, in training only)
    stage 1   L_s1 = L_ori + r(t) alpha L_fea + r(t) beta L_logit       student and adaptor learn
    stage 2   L_s2 = gamma L_logit                                      a fresh head learns; no labels, no decay
"""

import math
from typing import NamedTuple, Protocol, cast

import torch
from torch import Tensor, nn

from wholebody.errors import WholebodyError
from wholebody.networks.cspnext import CSPNeXt
from wholebody.networks.rtmpose import RTMPose, RTMPoseHead
from wholebody.networks.thunder import Pyramid, Thunder
from wholebody.networks.two_scale import TwoScale
from wholebody.schema import COCO_WHOLEBODY
from wholebody.train.losses import axes_loss, decay, feature_loss, heatmap_loss, label_loss, logit_loss
from wholebody.train.recipes import Distill
from wholebody.train.teachers import Taught, Teacher

# The released balance of the terms is that of this many people in a process: its label loss is a sum over them, the
# others are means.
RELEASED_PEOPLE = 64


class Batch(NamedTuple):
    """Crops and labels of N people; `images` are uint8 BGR (N, h, w, 3), each network normalises them itself.

    The last three are what a teacher said of these crops beforehand, where somebody asked it; see `Taught`.
    """

    images: Tensor
    keypoints: Tensor  # (N, K, 2) input pixels
    x: Tensor  # (N, K, X)
    y: Tensor  # (N, K, Y)
    weight: Tensor  # (N, K) visibility or confidence, times the factor of the point's part
    teacher_x: Tensor | None = None
    teacher_y: Tensor | None = None
    teacher_feature: Tensor | None = None

    def to(self, device: torch.device) -> "Batch":
        """The same on another device."""
        moved = {name: each.to(device, non_blocking=True) for name, each in self._asdict().items() if each is not None}
        return Batch(**moved)


class Lesson(Protocol):
    """What `loop.fit` trains.

    Attributes:
        network: what is evaluated, averaged and saved.
    """

    network: RTMPose

    def __call__(self, batch: Batch, done: float) -> dict[str, Tensor]:
        """The terms of a batch, after the share `done` of the run: 0 at first, below 1 at last."""
        ...


class HasPyramid(Protocol):
    """A backbone with finer maps than its feature."""

    def pyramid(self, images: Tensor) -> Pyramid: ...


class HeatmapHead(nn.Module):
    """A map of stride 8 to one heat map per keypoint. Used in training only."""

    def __init__(self, channels: int, keypoints: int, hidden: int = 64) -> None:
        super().__init__()
        self.mix = nn.Conv2d(channels, hidden, 3, padding=1)
        self.out = nn.Conv2d(hidden, keypoints, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.out(nn.functional.relu(self.mix(x)))
        return out


class Labels(nn.Module):
    """Labels alone: L_ori, and a heat-map loss where there are finer maps. Independent of the batch size."""

    def __init__(self, network: RTMPose, heatmap: float = 0.0) -> None:
        super().__init__()
        self.network = network
        self.factor = heatmap
        own = isinstance(network, TwoScale)
        self.heatmap = HeatmapHead(24, len(COCO_WHOLEBODY)) if heatmap and not own else None

    def forward(self, batch: Batch, done: float = 0.0) -> dict[str, Tensor]:
        network, images, n = self.network, self.network.normalise(batch.images), len(batch.images)
        heat = None
        if isinstance(network, TwoScale):
            x, y, axes = network.both(images)
            heat = axes_loss(axes.x, axes.y, batch.keypoints, batch.weight, network.stride)
        elif self.heatmap is None:
            x, y = network(images)
        else:
            maps = cast(HasPyramid, network.backbone).pyramid(images)
            x, y = network.head(maps.stride32)
            heat = heatmap_loss(self.heatmap(maps.stride8).float(), batch.keypoints, batch.weight, stride=8)
        terms = {"ori": label_loss(x.float(), y.float(), batch.x, batch.y, batch.weight) / n}
        if heat is not None and self.factor:
            terms["heatmap"] = self.factor * heat / n
        return terms


class StageOne(nn.Module):
    """Stage 1: labels, and a teacher's features and logits with a weight that decays.

    Args:
        student: learns.
        teacher: says what it sees in the crops; None where batches bring it.
        config: the factors.
        channels: of the teacher's feature map; the adaptor f, a 1x1 convolution, leads there where they differ from
            the student's.
        epochs: the decay is constant within one; 0: it falls with every step.
    """

    def __init__(
        self,
        student: RTMPose,
        teacher: Teacher | None,
        config: Distill,
        channels: int,
        epochs: int = 0,
    ) -> None:
        super().__init__()
        self.network = student
        own = int(student.backbone.channels)  # type: ignore[arg-type]
        self.align = nn.Conv2d(own, channels, 1) if config.alpha and own != channels else None
        # A plain attribute, so that the teacher is neither trained nor saved.
        self.teacher = teacher
        self.config = config
        self.epochs = epochs
        if not config.ori and not config.beta:
            student.head.requires_grad_(False)

    def forward(self, batch: Batch, done: float = 0.0) -> dict[str, Tensor]:
        config, n = self.config, len(batch.images)
        taught = said(self.teacher, batch)
        feature = self.network.features(self.network.normalise(batch.images))
        terms: dict[str, Tensor] = {}
        r = self.decay(done)
        if config.ori or config.beta:
            x, y = (axis.float() for axis in self.network.head(feature))
        if config.ori:
            people = n if config.faithful else RELEASED_PEOPLE
            terms["ori"] = config.ori * people / n * label_loss(x, y, batch.x, batch.y, batch.weight)
        if config.alpha:
            assert taught.feature is not None, "build() asks for a teacher with features"
            adapted = feature if self.align is None else self.align(feature)
            terms["fea"] = r * config.alpha * feature_loss(adapted.float(), taught.feature.float())
        if config.beta:
            weight = taught.weight
            if config.masked:
                labelled = (batch.weight > 0).float()
                weight = labelled if weight is None else weight * labelled
            teacher_x, teacher_y = taught.x.float(), taught.y.float()
            terms["logit"] = r * config.beta * logit_loss(x, y, teacher_x, teacher_y, weight, config.sharpness)
        return terms

    def decay(self, done: float) -> float:
        """r(t) after the share `done` of the run."""
        if not self.config.decay:
            return 1.0
        if self.epochs:
            # The first step of an epoch must not fall into the one before by a rounding error.
            done = math.floor(done * self.epochs + 1e-9) / self.epochs
        return decay(1 + done, 1.0)


class WarmStart(nn.Module):
    """Before stage 1: a backbone with random weights learns what a pretrained one sees, at every stride.

    The published students start from backbones pretrained on bodies. One that starts from random numbers stays for
    tens of thousands of crops at the mean pose, whether it follows SimCC's labels or a teacher's last feature: both
    say little to its first layers. So here each of its stages answers for the teacher's map of the same stride,
    through a 1x1 convolution that is thrown away.

    Args:
        student: its backbone learns; the head stays as it is.
        teacher: its backbone is a `Thunder`.
    """

    def __init__(self, student: RTMPose, teacher: RTMPose) -> None:
        super().__init__()
        if not isinstance(student.backbone, CSPNeXt) or not isinstance(teacher.backbone, Thunder):
            raise WholebodyError("a warm start is for RTMPose's sizes, from a network with Thunder's encoder.")
        self.network = student
        student.head.requires_grad_(False)
        own = (student.backbone.channels // 8, student.backbone.channels // 4, student.backbone.channels // 2)
        pairs = zip((*own, student.backbone.channels), (*teacher.backbone.stage_channels, 1280), strict=True)
        self.aligns = nn.ModuleList(nn.Conv2d(mine, theirs, 1) for mine, theirs in pairs)
        self._teacher = (teacher.requires_grad_(False).eval(),)

    def forward(self, batch: Batch, done: float = 0.0) -> dict[str, Tensor]:
        """Terms "stride4" to "stride32": the share of the map's variance that is not explained, 1 at first."""
        teacher = self._teacher[0].to(batch.images.device)
        with torch.no_grad():
            seen = cast(Thunder, teacher.backbone).stages(teacher.normalise(batch.images))
        maps = cast(CSPNeXt, self.network.backbone).stages(self.network.normalise(batch.images))
        return {
            f"stride{4 << i}": unexplained(align(mine).float(), theirs.float())
            for i, (align, mine, theirs) in enumerate(zip(self.aligns, maps, seen, strict=True))
        }


def unexplained(prediction: Tensor, target: Tensor) -> Tensor:
    """The squared error of maps (N, C, h, w) over the variance of their channels: 1 for the mean, 0 for the target."""
    spread = (target - target.mean(dim=(0, 2, 3), keepdim=True)).square().mean()
    return (prediction - target).square().mean() / spread.clamp(min=1e-6)


class StageTwo(nn.Module):
    """Stage 2: the trained network teaches a fresh head on its own frozen backbone, with logits alone.

    Args:
        trained: the result of stage 1, or any trained network. Its backbone becomes the result's and stays as it is;
            with `config.faithful` its batch norms see batch statistics and their running ones drift, as released.
        head: the fresh head.
    """

    def __init__(self, trained: RTMPose, head: RTMPoseHead, config: Distill) -> None:
        super().__init__()
        self.network = RTMPose(trained.backbone.requires_grad_(False), head, trained.codec, trained.mean, trained.std)
        self._teacher = (trained.head.requires_grad_(False).eval(),)  # in a tuple: not a part of this module
        self.config = config

    def train(self, mode: bool = True) -> "StageTwo":
        """Everything but the backbone, unless faithful."""
        super().train(mode)
        self.network.backbone.train(mode and self.config.faithful)
        return self

    def forward(self, batch: Batch, done: float = 0.0) -> dict[str, Tensor]:
        with torch.no_grad():
            feature = self.network.features(self.network.normalise(batch.images))
            teacher_x, teacher_y = self._teacher[0].to(feature.device)(feature)
        x, y = self.network.head(feature)
        logit = logit_loss(x.float(), y.float(), teacher_x.float(), teacher_y.float(), sharpness=self.config.sharpness)
        return {"logit": self.config.gamma * logit}


def said(teacher: Teacher | None, batch: Batch) -> Taught:
    """What the teacher says of a batch, from the batch itself where it was asked beforehand."""
    if batch.teacher_x is not None and batch.teacher_y is not None:
        return Taught(batch.teacher_x, batch.teacher_y, batch.teacher_feature)
    if teacher is None:
        raise ValueError("neither a teacher nor a batch that brings what one said")
    return teacher(batch.images)
