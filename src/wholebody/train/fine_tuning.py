"""Fine-tuning a trained two-scale network: it learns the crops of a top-down network, and stays what it is elsewhere.

    lesson = FineTuning(load_pose("model.safetensors"), frozen=6)
    training = start(lesson, Optim(lr=3e-4, backbone=0.33), batch=32)

MoveNet was trained on squares around a person's middle. Three terms are minimised:

    ori     the label loss of stage 1
    stay    L_logit from the teacher whose output is in the batch, otherwise from the network as it was; mostly for
            keypoints without a label
    keep    the relative squared change of the map that MoveNet's heads read, which have no gradient
"""

import copy
from typing import cast

import torch
from torch import Tensor, nn

from wholebody.networks.thunder import Thunder
from wholebody.networks.two_scale import TwoScale, TwoScaleHead
from wholebody.train.data.people import NOWHERE
from wholebody.train.distill import label_loss, logit_loss
from wholebody.train.lesson import Batch
from wholebody.train.targets import drawn

# Weights of the terms. L_logit is a sum over bins, which the label loss divides by their number.
STAY, KEEP = 0.3 / 450, 0.01
# How much the teacher counts for keypoints without and with a label.
UNLABELLED, LABELLED = 1.0, 0.2


class FineTuning(nn.Module):
    """The lesson: the head and the encoder's last blocks learn; MoveNet's branches and heads are frozen.

    Args:
        network: trained; its `presence` is removed, because it is fitted to what the head says.
        frozen: number of the encoder's first blocks that are frozen, with its stem.
    """

    def __init__(self, network: TwoScale, frozen: int) -> None:
        super().__init__()
        self.network = network.requires_grad_(False)
        self.frozen = frozen
        self.encoder, self.head = cast(Thunder, network.backbone), cast(TwoScaleHead, network.head)
        self.head.presence = None
        self._before = (copy.deepcopy(network).eval(),)  # in a tuple, so that it is not a submodule
        for module in (self.head, *self.encoder.blocks[frozen:], self.encoder.top):
            module.requires_grad_(True)

    def train(self, mode: bool = True) -> "FineTuning":
        """Batch norms keep their statistics."""
        super().train(mode)
        self.network.eval()
        return self

    def forward(self, batch: Batch, done: float = 0.0) -> dict[str, Tensor]:
        """The terms of a batch, at any fraction `done` of the run."""
        images = self.network.normalise(batch.images)
        before = self._before[0].to(images.device)
        encoder, head = cast(Thunder, before.backbone), cast(TwoScaleHead, before.head)
        with torch.no_grad():
            begun = self.encoder.begin(images, self.frozen)
            stages = encoder.resume(begun)
            was = encoder.mix(stages).stride4
            if batch.teacher_x is not None and batch.teacher_y is not None:
                teacher_x, teacher_y = batch.teacher_x, batch.teacher_y
            else:
                teacher_x, teacher_y, _ = head.both(stages, before.bodies(was))
        stages = self.encoder.resume(begun)
        now = self.encoder.mix(stages).stride4
        with torch.no_grad():
            answer = self.network.bodies(now)
        x, y, _ = self.head.both(stages, answer)
        x, y, now, was, teacher_x, teacher_y = (each.float() for each in (x, y, now, was, teacher_x, teacher_y))
        # A teacher does not know what is cut off by the border.
        weight = torch.where(batch.weight > 0, LABELLED, UNLABELLED) * (batch.keypoints[..., 0] != NOWHERE)
        return {
            "ori": label_loss(x, y, *drawn(batch.keypoints, self.network.codec), batch.weight),
            "stay": STAY * logit_loss(x, y, teacher_x, teacher_y, weight),
            "keep": KEEP * (now - was).square().mean() / was.var(),
        }
