"""CSPNeXt, the backbone of RTMPose and RTMDet (Lyu et al. 2022, arXiv:2212.07784): the five-stage variant "P5".

Names and shapes in the state dict are those of the released checkpoints. Only what those networks use is here:
expansion 0.5, channel attention, SiLU, and the last stage's map as the one output.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wholebody.networks.layers import Block, Conv, SpatialPyramid

# Per stage: channels and blocks at depth and width 1, and whether blocks add their input. The last stage pools instead.
_STAGES = ((128, 3, True), (256, 6, True), (512, 6, True), (1024, 3, False))


class _Separable(nn.Module):
    """A 5x5 convolution per channel, then a 1x1 convolution across channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise_conv = Conv(channels, channels, 5, groups=channels)
        self.pointwise_conv = Conv(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.pointwise_conv(self.depthwise_conv(x))
        return out


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
        self.main_conv = Conv(channels, half, 1)
        self.short_conv = Conv(channels, half, 1)
        self.final_conv = Conv(2 * half, channels, 1)
        self.blocks = nn.Sequential(*(Block(Conv(half, half, 3), _Separable(half), add) for _ in range(blocks)))
        self.attention = _ChannelAttention(2 * half)

    def forward(self, x: Tensor) -> Tensor:
        both = torch.cat((self.blocks(self.main_conv(x)), self.short_conv(x)), dim=1)
        out: Tensor = self.final_conv(self.attention(both))
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
            Conv(3, stem // 2, 3, stride=2), Conv(stem // 2, stem // 2, 3), Conv(stem // 2, stem, 3)
        )
        inputs = stem
        stages = []
        for channels, blocks, add in _STAGES:
            outputs = int(channels * width)
            layers: list[nn.Module] = [Conv(inputs, outputs, 3, stride=2)]
            if channels == _STAGES[-1][0]:
                layers.append(SpatialPyramid(outputs, Conv))
            layers.append(_CSPLayer(outputs, max(round(blocks * depth), 1), add))
            stages.append(nn.Sequential(*layers))
            inputs = outputs
        self.stage1, self.stage2, self.stage3, self.stage4 = stages
        self.channels = inputs

    @property
    def blocks(self) -> tuple[nn.Module, ...]:
        """The four stages, in order, of which the first may be frozen in training."""
        return self.stage1, self.stage2, self.stage3, self.stage4

    def stages(self, images: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W) -> the maps of strides 4, 8, 16 and 32; the last is the feature."""
        x, maps = self.stem(images), []
        for stage in self.blocks:
            x = stage(x)
            maps.append(x)
        return tuple(maps)

    def forward(self, images: Tensor) -> Tensor:
        return self.stages(images)[-1]
