"""Warm start: the student's backbone learns the teacher's feature maps."""

from typing import cast

import torch
from torch import Tensor, nn

from wholebody.errors import WholebodyError
from wholebody.networks.cspnext import CSPNeXt
from wholebody.networks.rtmpose import RTMPose
from wholebody.networks.thunder import Thunder
from wholebody.train.lesson import Batch


class WarmStart(nn.Module):
    """Before stage 1: a randomly initialised backbone learns the feature maps of a pretrained one, at every stride.

    The published students start from backbones pretrained on bodies. A randomly initialised one predicts the mean pose
    for tens of thousands of crops, whether it learns from SimCC labels or a teacher's last feature map: both constrain
    its first layers very little. So here each stage learns the teacher's map at the same stride, through a 1x1
    convolution that is discarded afterwards.

    Args:
        student: its backbone is trained; the head is unchanged.
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
        """Terms "stride4" to "stride32": the unexplained fraction of the map's variance, 1 at the start."""
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
