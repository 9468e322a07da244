"""`Lesson`: the objective of a training step, and the batch that it takes."""

from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from wholebody.networks.rtmpose import RTMPose


class Batch(NamedTuple):
    """Crops and labels of N people; `images` are uint8 BGR (N, h, w, 3), which each network normalises itself.

    Labels are points until `train.targets` converts them to distributions on the device, because these would be as
    large as the crops. `teacher_x` to `teacher_feature` are a teacher's stored output for these crops, if any; see
    `Taught`.
    """

    images: Tensor
    keypoints: Tensor  # (N, K, 2) input pixels, `NOWHERE` if a point is known to be outside the crop
    weight: Tensor  # (N, K) 1 or a confidence, times the weight of the point's part; 0 without a label
    teacher_x: Tensor | None = None
    teacher_y: Tensor | None = None
    teacher_feature: Tensor | None = None
    unreadable: tuple[str, ...] = ()  # a line for each unreadable picture that was replaced by another

    def to(self, device: torch.device) -> "Batch":
        """The same on another device."""
        moved: dict[str, Any] = {
            name: each.to(device, non_blocking=True) for name, each in self._asdict().items() if torch.is_tensor(each)
        }
        return self._replace(**moved)


class Lesson(Protocol):
    """A training objective for `loop.fit`.

    Attributes:
        network: the network that is evaluated, averaged and saved.
    """

    network: RTMPose

    def __call__(self, batch: Batch, done: float) -> dict[str, Tensor]:
        """The loss terms of a batch at the fraction `done` of the run, in [0, 1)."""
        ...
