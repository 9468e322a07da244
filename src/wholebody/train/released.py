"""What the released code of DWPose does against its own paper, and the ablation that the paper did not keep.

A recipe chooses these (`Distill.faithful`, `Distill.masked`); `distill` knows nothing of them.
"""

from dataclasses import replace

from torch import nn

from wholebody.train.config import RELEASED_PEOPLE, Distill
from wholebody.train.distill import StageOne, StageTwo
from wholebody.train.lesson import Batch
from wholebody.train.teachers import Average, Checkpoint, Taught, Teacher


def summed(weights: Distill, people: int) -> Distill:
    """The label loss as a sum over the people of one process's batch, where the others are means: the balance of the
    terms then depends on that batch (64, or 32 at 384x288)."""
    return replace(weights, ori=weights.ori * people / RELEASED_PEOPLE)


def in_train_mode(teacher: Teacher) -> Teacher:
    """The teacher as the released runner leaves it, by mistake: its batch norms see the batch's statistics, and their
    running ones drift. ONNX files and other callables have no such mode and stay as they are."""
    if isinstance(teacher, Average):
        return Average([in_train_mode(each) for each in teacher.teachers])
    if isinstance(teacher, Checkpoint):
        teacher.network.train()
    return teacher


class DriftingStageTwo(StageTwo):
    """Stage 2 with a backbone whose weights are frozen and whose batch norms are not: they see the batch's statistics,
    and the running ones that drift away are saved as the result's."""

    def train(self, mode: bool = True) -> "DriftingStageTwo":
        """Everything, the backbone's batch norms too."""
        nn.Module.train(self, mode)
        return self


class MaskedStageOne(StageOne):
    """Stage 1 whose logit loss counts labelled keypoints only: 59.8 AP in the paper's ablation, and 60.9 with all."""

    def ask(self, batch: Batch) -> Taught:
        """What the teacher says of labelled keypoints."""
        taught, labelled = super().ask(batch), (batch.weight > 0).float()
        return taught._replace(weight=labelled if taught.weight is None else labelled * taught.weight)
