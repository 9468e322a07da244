"""`Lesson`: what a training step follows, whatever it is; and the batch it gets."""

from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from wholebody.networks.rtmpose import RTMPose


class Batch(NamedTuple):
    """Crops and labels of N people; `images` are uint8 BGR (N, h, w, 3), each network normalises them itself.

    Labels are points until `train.targets` draws them on the device: drawn, they would be as large as the crops.
    `teacher_x` to `teacher_feature` are what a teacher said of these crops beforehand, where somebody asked it; see
    `Taught`.
    """

    images: Tensor
    keypoints: Tensor  # (N, K, 2) input pixels, `NOWHERE` where a point is known not to be in the crop
    weight: Tensor  # (N, K) 1 or a confidence, times the factor of the point's part; 0 has no label
    teacher_x: Tensor | None = None
    teacher_y: Tensor | None = None
    teacher_feature: Tensor | None = None
    unreadable: tuple[str, ...] = ()  # a line for each picture that somebody else's stands for

    def to(self, device: torch.device) -> "Batch":
        """The same on another device."""
        moved: dict[str, Any] = {
            name: each.to(device, non_blocking=True) for name, each in self._asdict().items() if torch.is_tensor(each)
        }
        return self._replace(**moved)


class Lesson(Protocol):
    """What `loop.fit` trains.

    Attributes:
        network: what is evaluated, averaged and saved.
    """

    network: RTMPose

    def __call__(self, batch: Batch, done: float) -> dict[str, Tensor]:
        """The terms of a batch, after the share `done` of the run: 0 at first, below 1 at last."""
        ...
