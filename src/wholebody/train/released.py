"""Where DWPose's released code contradicts its paper, and an ablation that the paper rejected.

A recipe selects these (`Distill.faithful`, `Distill.masked`); `distill` is independent of them.
"""

from dataclasses import replace

from torch import nn

from wholebody.train.config import Distill
from wholebody.train.distill import StageOne, StageTwo
from wholebody.train.lesson import Batch
from wholebody.train.teachers import Average, Checkpoint, Taught, Teacher


def summed(weights: Distill, people: int) -> Distill:
    """The label loss as a sum over the people of one process's batch, while the others are means: the balance of the
    terms then depends on that batch size (64, or 32 at 384x288)."""
    return replace(weights, people=people)


def in_train_mode(teacher: Teacher) -> Teacher:
    """The teacher in training mode, as the released runner leaves it by mistake: its batch norms use the batch's
    statistics, and the running statistics drift. ONNX files and other callables have no such mode and are unchanged."""
    if isinstance(teacher, Average):
        return Average([in_train_mode(each) for each in teacher.teachers])
    if isinstance(teacher, Checkpoint):
        teacher.network.train()
    return teacher


class DriftingStageTwo(StageTwo):
    """Stage 2 with a backbone whose weights are frozen but whose batch norms are not: they use the batch's statistics,
    and the drifted running statistics are saved with the result."""

    def train(self, mode: bool = True) -> "DriftingStageTwo":
        """Everything, the backbone's batch norms too."""
        nn.Module.train(self, mode)
        return self


class MaskedStageOne(StageOne):
    """Stage 1 with a logit loss over labelled keypoints only: 59.8 AP in the paper's ablation, against 60.9 with
    all."""

    def ask(self, batch: Batch) -> Taught:
        """The teacher's output, weighted to labelled keypoints."""
        taught, labelled = super().ask(batch), (batch.weight > 0).float()
        return taught._replace(weight=labelled if taught.weight is None else labelled * taught.weight)
