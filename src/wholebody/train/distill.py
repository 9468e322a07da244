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

import torch
from torch import Tensor, nn

from wholebody.networks.rtmpose import RTMPose, RTMPoseHead
from wholebody.train.config import Distill
from wholebody.train.lesson import Batch
from wholebody.train.losses import decay, feature_loss, label_loss, logit_loss
from wholebody.train.teachers import Taught, Teacher

# The released balance of the terms is that of this many people in a process: its label loss is a sum over them, the
# others are means.
RELEASED_PEOPLE = 64


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
