"""The layers that CSPNeXt and YOLOX share. Their names in a state dict are those of the released checkpoints."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Conv(nn.Module):
    """Convolution, batch norm, SiLU.

    Args:
        eps, momentum: of the batch norm; RTMPose has torch's own, YOLOX others.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        eps: float = 1e-5,
        momentum: float = 0.1,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps, momentum)

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(self.bn(self.conv(x)))


class Block(nn.Module):
    """Two layers, with a residual connection if `add` is set."""

    def __init__(self, conv1: nn.Module, conv2: nn.Module, add: bool) -> None:
        super().__init__()
        self.conv1 = conv1
        self.conv2 = conv2
        self.add = add

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv2(self.conv1(x))
        return x + out if self.add else out


class SpatialPyramid(nn.Module):
    """Spatial pyramid pooling: the map concatenated with its maxima over 5x5, 9x9 and 13x13 windows.

    Args:
        conv: inputs, outputs and kernel -> a convolution.
    """

    def __init__(self, channels: int, conv: Callable[[int, int, int], nn.Module]) -> None:
        super().__init__()
        self.conv1 = conv(channels, channels // 2, 1)
        self.conv2 = conv(channels // 2 * 4, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        maps: list[Tensor] = [self.conv1(x)]
        for _ in range(3):  # repeated pooling by 5 is equivalent to windows of 9 and 13, with less work
            maps.append(F.max_pool2d(maps[-1], 5, stride=1, padding=2))
        out: Tensor = self.conv2(torch.cat(maps, dim=1))
        return out
