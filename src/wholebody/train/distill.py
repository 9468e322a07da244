"""DWPose on one page: its losses, stage 1 and stage 2 (Yang et al. 2023, arXiv:2307.15880), with the paper's letters.

    stage 1   L_s1 = L_ori + r(t) alpha L_fea + r(t) beta L_logit       student and adaptor learn      (equation 3)
    stage 2   L_s2 = gamma L_logit                                      a fresh head learns            (equation 5)

A stage is a module: batch in, named loss terms out; a training step minimises their sum. It contains only what is
trained: a teacher is a separate callable, frozen and never saved. Where the released code contradicts this page is in
`released`; a recipe can select it. docs/distillation.md goes from the equations to these lines.

Notation: N people, K keypoints, X and Y bins. `sharpness` is the factor on logits before a softmax, the inverse of a
temperature, 10 in the released code. Every loss is a mean over people, so no balance depends on the batch.
"""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wholebody.codec import SHARPNESS
from wholebody.networks.rtmpose import RTMPose, RTMPoseHead
from wholebody.train.config import Distill
from wholebody.train.lesson import Batch
from wholebody.train.targets import drawn
from wholebody.train.teachers import Taught, Teacher, said


def divergence(label: Tensor, logits: Tensor, sharpness: float = SHARPNESS) -> Tensor:
    """KL(softmax(sharpness label) || softmax(sharpness logits)), summed over bins: (N, K, bins) twice -> (N, K)."""
    log_p, log_q = F.log_softmax(label * sharpness, dim=-1), F.log_softmax(logits * sharpness, dim=-1)
    return F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(dim=-1)


def label_loss(
    x: Tensor, y: Tensor, label_x: Tensor, label_y: Tensor, weight: Tensor, sharpness: float = SHARPNESS
) -> Tensor:
    """L_ori, RTMPose's label loss: mean over bins, keypoints and people, summed over the axes.

    Args:
        x, y: (N, K, X) and (N, K, Y) logits.
        label_x, label_y: encoded keypoints of the same shapes (`SimCC.encode`).
        weight: (N, K).
    """
    axes = (divergence(label_x, x, sharpness) / x.shape[-1], divergence(label_y, y, sharpness) / y.shape[-1])
    return ((axes[0] + axes[1]) * weight).mean()


def feature_loss(feature: Tensor, teacher_feature: Tensor) -> Tensor:
    """L_fea (equation 1): squared differences of feature maps (N, C, h, w), sum over channels and places, mean over
    people. The student's map comes after the adaptor f.

    The paper divides by C H W too, with alpha 5e-5; its authors say to follow their code, which does not, with 7e-5.
    """
    return (feature - teacher_feature).square().sum() / len(feature)


def logit_loss(
    x: Tensor,
    y: Tensor,
    teacher_x: Tensor,
    teacher_y: Tensor,
    weight: Tensor | None = None,
    sharpness: float = SHARPNESS,
) -> Tensor:
    """L_logit (equation 2): sum over bins and axes, mean over keypoints and people.

    The paper has a cross entropy; this is the KL divergence, which is smaller by the teacher's entropy and has the same
    gradient. Keypoints without a label count too, which is better according to the paper.

    Args:
        x, y: (N, K, X) and (N, K, Y) logits of the student.
        teacher_x, teacher_y: the same for the teacher.
        weight: (N, K) the teacher's confidence for each keypoint; None means 1.
    """
    terms = divergence(teacher_x, x, sharpness) + divergence(teacher_y, y, sharpness)
    return (terms if weight is None else terms * weight).mean()


def decay(t: float, t_max: float) -> float:
    """r(t) = 1 - (t - 1) / t_max (equation 4), the weight of the teacher's terms, for epochs t from 1 to t_max."""
    return 1 - (t - 1) / t_max


class StageOne(nn.Module):
    """Stage 1: labels, plus a larger teacher's features and logits with a decaying weight.

    Args:
        student: the network to train.
        teacher: the frozen teacher; None if batches include its output.
        weights: alpha, beta, and a factor on L_ori. A term with factor 0 is left out.
        channels: of the teacher's feature map, the output of the adaptor f (a 1x1 convolution); 0 disables L_fea.
        r: completed fraction of the run -> r(t).
    """

    def __init__(
        self, student: RTMPose, teacher: Teacher | None, weights: Distill, channels: int, r: Callable[[float], float]
    ) -> None:
        super().__init__()
        own = cast(int, student.backbone.channels)
        self.network = student
        self.align = nn.Identity() if channels in (0, own) else nn.Conv2d(own, channels, 1)
        self.teacher, self.weights, self.r = teacher, weights, r

    def forward(self, batch: Batch, done: float = 0.0) -> dict[str, Tensor]:
        """The terms of equation 3 at the fraction `done` of the run."""
        w, r = self.weights, self.r(done)
        taught = self.ask(batch) if w.alpha or w.beta else None
        feature, x, y = self.network.outputs(self.network.normalise(batch.images))
        x, y = x.float(), y.float()
        terms: dict[str, tuple[float, Callable[[], Tensor]]] = {
            "ori": (
                w.ori * w.people,
                lambda: label_loss(x, y, *drawn(batch.keypoints, self.network.codec), batch.weight),
            ),
        }
        if taught is not None:
            terms |= {
                "fea": (r * w.alpha, lambda: feature_loss(self.align(feature).float(), cast(Tensor, taught.feature))),
                "logit": (r * w.beta, lambda: logit_loss(x, y, taught.x, taught.y, taught.weight, w.sharpness)),
            }
        return {name: factor * loss() for name, (factor, loss) in terms.items() if factor}

    def ask(self, batch: Batch) -> Taught:
        """The teacher's output for a batch."""
        return said(self.teacher, batch)


class StageTwo(nn.Module):
    """Stage 2: the trained network teaches a new head on its own frozen backbone, with logits alone.

    Args:
        trained: the result of stage 1, or any trained network. Its backbone is reused unchanged.
        head: the new head.
        weights: gamma.
    """

    def __init__(self, trained: RTMPose, head: RTMPoseHead, weights: Distill) -> None:
        super().__init__()
        self.network = RTMPose(trained.backbone.requires_grad_(False), head, trained.codec, trained.mean, trained.std)
        self._teacher = (trained.head.requires_grad_(False).eval(),)  # in a tuple, so that it is not a submodule
        self.weights = weights

    def train(self, mode: bool = True) -> "StageTwo":
        """Only the head; the backbone's batch norms stay frozen."""
        super().train(mode)
        self.network.backbone.eval()
        return self

    def forward(self, batch: Batch, done: float = 0.0) -> dict[str, Tensor]:
        """The term of equation 5."""
        with torch.no_grad():
            feature = self.network.features(self.network.normalise(batch.images))
            teacher_x, teacher_y = self._teacher[0].to(feature.device)(feature)
        x, y = self.network.head(feature)
        x, y, teacher_x, teacher_y = (each.float() for each in (x, y, teacher_x, teacher_y))
        return {"logit": self.weights.gamma * logit_loss(x, y, teacher_x, teacher_y, None, self.weights.sharpness)}
