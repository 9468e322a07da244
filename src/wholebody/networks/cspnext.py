"""CSPNeXt, the backbone of RTMPose and RTMDet (Lyu et al. 2022, arXiv:2212.07784): the five-stage variant "P5".

Names and shapes in the state dict are those of the released checkpoints. Only what those networks use is here:
expansion 0.5, channel attention, SiLU, and the last stage's map as the one output.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Per stage: channels and blocks at depth and width 1, and whether blocks add their input. The last stage pools instead.
_STAGES = ((128, 3, True), (256, 6, True), (512, 6, True), (1024, 3, False))


class _Conv(nn.Module):
    """Convolution, batch norm, SiLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs)  # eps 1e-5 and momentum 0.1: RTMPose does not use RTMDet's 1e-3 and 0.03

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(self.bn(self.conv(x)))


class _Separable(nn.Module):
    """A 5x5 convolution per channel, then a 1x1 convolution across channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise_conv = _Conv(channels, channels, 5, groups=channels)
        self.pointwise_conv = _Conv(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.pointwise_conv(self.depthwise_conv(x))
        return out


class _Block(nn.Module):
    def __init__(self, channels: int, add: bool) -> None:
        super().__init__()
        self.conv1 = _Conv(channels, channels, 3)
        self.conv2 = _Separable(channels)
        self.add = add

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv2(self.conv1(x))
        return x + out if self.add else out


class _ChannelAttention(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * F.hardsigmoid(self.fc(x.mean((2, 3), keepdim=True)))


class _CSPLayer(nn.Module):
    """Half of the channels go through the blocks, the other half goes around them."""

    def __init__(self, channels: int, blocks: int, add: bool) -> None:
        super().__init__()
        half = channels // 2
        self.main_conv = _Conv(channels, half, 1)
        self.short_conv = _Conv(channels, half, 1)
        self.final_conv = _Conv(2 * half, channels, 1)
        self.blocks = nn.Sequential(*(_Block(half, add) for _ in range(blocks)))
        self.attention = _ChannelAttention(2 * half)

    def forward(self, x: Tensor) -> Tensor:
        both = torch.cat((self.blocks(self.main_conv(x)), self.short_conv(x)), dim=1)
        out: Tensor = self.final_conv(self.attention(both))
        return out


class _SpatialPyramid(nn.Module):
    """The map beside its maxima over 5x5, 9x9 and 13x13 windows."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = _Conv(channels, channels // 2, 1)
        self.conv2 = _Conv(channels // 2 * 4, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        maps = [self.conv1(x)]
        for _ in range(3):  # pooling again by 5 gives the windows of 9 and 13 for less work
            maps.append(F.max_pool2d(maps[-1], 5, stride=1, padding=2))
        out: Tensor = self.conv2(torch.cat(maps, dim=1))
        return out


class CSPNeXt(nn.Module):
    """Images (B, 3, H, W) to a feature map (B, channels, H / 32, W / 32).

    Args:
        depth, width: factors on the blocks and on the channels of every stage.

    Attributes:
        channels: channels of the feature map.
    """

    def __init__(self, depth: float, width: float) -> None:
        super().__init__()
        stem = int(_STAGES[0][0] // 2 * width)
        self.stem = nn.Sequential(
            _Conv(3, stem // 2, 3, stride=2), _Conv(stem // 2, stem // 2, 3), _Conv(stem // 2, stem, 3)
        )
        inputs = stem
        stages = []
        for channels, blocks, add in _STAGES:
            outputs = int(channels * width)
            layers: list[nn.Module] = [_Conv(inputs, outputs, 3, stride=2)]
            if channels == _STAGES[-1][0]:
                layers.append(_SpatialPyramid(outputs))
            layers.append(_CSPLayer(outputs, max(round(blocks * depth), 1), add))
            stages.append(nn.Sequential(*layers))
            inputs = outputs
        self.stage1, self.stage2, self.stage3, self.stage4 = stages
        self.channels = inputs

    def stages(self, images: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W) -> the maps of strides 4, 8, 16 and 32; the last is the feature."""
        x, maps = self.stem(images), []
        for stage in (self.stage1, self.stage2, self.stage3, self.stage4):
            x = stage(x)
            maps.append(x)
        return tuple(maps)

    def forward(self, images: Tensor) -> Tensor:
        return self.stages(images)[-1]
