"""`Lesson`: what a training step follows, whatever it is; and the batch it gets."""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from wholebody.networks.rtmpose import RTMPose


class Batch(NamedTuple):
    """Crops and labels of N people; `images` are uint8 BGR (N, h, w, 3), each network normalises them itself.

    The last three are what a teacher said of these crops beforehand, where it was run in advance; see `Taught`.
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
