"""RTMPose: from a backbone's last feature map to two distributions per keypoint (Jiang et al. 2023, arXiv:2303.07399).

Names and shapes in the state dicts are those of the released RTMPose and DWPose checkpoints.
"""

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wholebody.choices import NetworkSize
from wholebody.codec import SimCC
from wholebody.networks.cspnext import CSPNeXt
from wholebody.schema import COCO_WHOLEBODY, Schema, schema_with

# Size -> depth and width of the backbone.
SIZES: dict[NetworkSize, tuple[float, float]] = {
    "t": (0.167, 0.375),
    "s": (0.33, 0.5),
    "m": (0.67, 0.75),
    "l": (1.0, 1.0),
    "x": (1.33, 1.25),
}

# RGB, for pixels 0..255.
MEAN = (123.675, 116.28, 103.53)

STD = (58.395, 57.12, 57.375)


class ScaleNorm(nn.Module):
    """Divide a vector by its root mean square and multiply by one learned number."""

    def __init__(self, width: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.scale = width**-0.5
        self.eps = eps
        self.g = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        rms = torch.linalg.vector_norm(x, dim=-1, keepdim=True) * self.scale
        scaled: Tensor = x / rms.clamp(min=self.eps) * self.g
        return scaled


class _Scale(nn.Module):
    """A learned factor per channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


class GatedAttention(nn.Module):
    """A gated attention unit (Hua et al. 2022) over the keypoints, without positional encoding.

    The attention weights are relu(q k / sqrt(s))^2: they are not normalised.
    """

    def __init__(self, width: int = 256, s: int = 128, expansion: int = 2) -> None:
        super().__init__()
        self.widths = [width * expansion, width * expansion, s]
        self.gamma = nn.Parameter(torch.rand(2, s))
        self.beta = nn.Parameter(torch.rand(2, s))
        self.o = nn.Linear(self.widths[0], width, bias=False)
        self.uv = nn.Linear(width, sum(self.widths), bias=False)
        self.ln = ScaleNorm(width)
        self.res_scale = _Scale(width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, K, width) -> (B, K, width)."""
        u, v, base = torch.split(F.silu(self.uv(self.ln(x))), self.widths, dim=-1)
        q, k = (base.unsqueeze(2) * self.gamma + self.beta).unbind(dim=2)
        attention = F.relu(q @ k.transpose(1, 2) / math.sqrt(self.widths[2])).square()
        mixed: Tensor = self.o(u * (attention @ v))
        shortcut: Tensor = self.res_scale(x)
        return shortcut + mixed


class RTMPoseHead(nn.Module):
    """A feature map to SimCC logits: a large convolution, a linear map per keypoint, gated attention, two classifiers.

    Args:
        in_channels: channels of the feature map.
        feature_size: (w, h) of the feature map.
        bins: (X, Y), the number of bins along each axis.
        keypoints: K.
        hidden, s, expansion: widths of the attention unit.
        kernel: size of the convolution.
    """

    def __init__(
        self,
        in_channels: int,
        feature_size: tuple[int, int],
        bins: tuple[int, int],
        keypoints: int = 133,
        hidden: int = 256,
        s: int = 128,
        expansion: int = 2,
        kernel: int = 7,
    ) -> None:
        super().__init__()
        area = feature_size[0] * feature_size[1]
        self.keypoints = keypoints
        self.final_layer: nn.Module = nn.Conv2d(in_channels, keypoints, kernel, padding=kernel // 2)
        self.mlp = nn.Sequential(ScaleNorm(area), nn.Linear(area, hidden, bias=False))
        self.gau = GatedAttention(hidden, s, expansion)
        self.cls_x = nn.Linear(hidden, bins[0], bias=False)
        self.cls_y = nn.Linear(hidden, bins[1], bias=False)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.001)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.01)

    def narrow(self, rank: int) -> None:
        """First reduce the feature map to this many channels, as `export.narrow.low_rank` does; random weights."""
        read = cast(nn.Conv2d, self.final_layer)
        mix = nn.Conv2d(read.in_channels, rank, 1, bias=False)
        kernel = read.kernel_size[0]
        self.final_layer = nn.Sequential(mix, nn.Conv2d(rank, read.out_channels, kernel, padding=kernel // 2))

    def forward(self, feature: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, h, w) -> logits x (B, K, X) and y (B, K, Y)."""
        tokens = self.gau(self.mlp(self.final_layer(feature).flatten(2)))
        return self.cls_x(tokens), self.cls_y(tokens)


class RTMPose(nn.Module):
    """Normalised RGB crops to SimCC logits, in two steps so that distillation can use the feature map in between.

    Args:
        backbone: images (B, 3, h, w) -> feature map (B, C, h / 32, w / 32).
        head: the feature map to logits.
        codec: decodes the logits; it also holds the input size.
        mean, std: normalisation of the input, RGB 0..255.
        schema: the K keypoints; None if unknown.
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        codec: SimCC,
        mean: tuple[float, float, float] = MEAN,
        std: tuple[float, float, float] = STD,
        schema: Schema | None = COCO_WHOLEBODY,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.codec = codec
        self.mean = mean
        self.std = std
        self.schema = schema

    def normalise(self, images: Tensor) -> Tensor:
        """uint8 BGR (B, h, w, 3) -> normalised RGB (B, 3, h, w), channels last in memory."""
        mean, std = (torch.tensor(values, device=images.device) for values in (self.mean, self.std))
        return ((images.flip(-1).float() - mean) / std).permute(0, 3, 1, 2)

    def features(self, images: Tensor) -> Tensor:
        """(B, 3, h, w) -> (B, C, h / 32, w / 32)."""
        feature: Tensor = self.backbone(images)
        return feature

    def outputs(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 3, h, w) -> the outputs that distillation compares: the feature map (B, C, h / 32, w / 32), logits x and
        y."""
        feature = self.features(images)
        x, y = self.head(feature)
        return feature, x, y

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, h, w) -> logits x (B, K, X) and y (B, K, Y)."""
        x, y = self.head(self.features(images))
        return x, y


def simcc(input_size: tuple[int, int]) -> SimCC:
    """The codec of the published recipes for an input (w, h): two bins per pixel, variances w / 8 and h / 8."""
    w, h = input_size
    return SimCC(input_size, split_ratio=2.0, sigma=(round(math.sqrt(w / 8), 2), round(math.sqrt(h / 8), 2)))


def rtmpose(size: NetworkSize, input_size: tuple[int, int] = (192, 256), keypoints: int = 133) -> RTMPose:
    """A network of a published size with random weights, for an input of (w, h) pixels, multiples of 32."""
    backbone = CSPNeXt(*SIZES[size])
    w, h = input_size
    codec = simcc(input_size)
    head = RTMPoseHead(backbone.channels, (w // 32, h // 32), codec.bins, keypoints)
    return RTMPose(backbone, head, codec, schema=schema_with(keypoints))
