"""YOLOX (Ge et al. 2021, arXiv:2107.08430): CSPDarknet, a path-aggregating feature pyramid and a decoupled head.

Names and shapes in the state dict are those of the released checkpoints, which load strictly. An additional size,
"thunder", has YOLOX-nano's pyramid and head on MoveNet Thunder's encoder, a backbone pretrained on people, for training
with few photos. Training is in `wholebody.train.detector`; decoding boxes and NMS are in `wholebody.pose.detect`.
"""

import math
import os
from collections.abc import Mapping
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wholebody.errors import WholebodyError
from wholebody.networks.checkpoints import read_weights
from wholebody.networks.layers import Block, Conv, SpatialPyramid
from wholebody.networks.thunder import Thunder

STRIDES = (8, 16, 32)
# More than any released network has: a tensor without data may have any shape.
MOST_CLASSES = 2**16

# Depth, width and whether the 3x3 convolutions are split into one per channel and one across channels.
SIZES: Mapping[str, tuple[float, float, bool]] = {
    "thunder": (0.33, 0.25, True),
    "nano": (0.33, 0.25, True),
    "tiny": (0.33, 0.375, False),
    "s": (0.33, 0.5, False),
    "m": (0.67, 0.75, False),
    "l": (1.0, 1.0, False),
    "x": (1.33, 1.25, False),
}


# Its batch norms do not use torch's defaults.
_conv = partial(Conv, eps=1e-3, momentum=0.03)


class _Separable(nn.Module):
    """A 3x3 convolution per channel, then a 1x1 convolution across channels."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.dconv = _conv(inputs, inputs, 3, stride, groups=inputs)
        self.pconv = _conv(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.pconv(self.dconv(x))
        return out


def _conv3(inputs: int, outputs: int, separable: bool, stride: int = 1) -> nn.Module:
    return _Separable(inputs, outputs, stride) if separable else _conv(inputs, outputs, 3, stride)


class _Focus(nn.Module):
    """The four pixels of each 2x2 square as channels, then a convolution."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.conv = _conv(12, outputs, 3)

    def forward(self, x: Tensor) -> Tensor:
        squares = [x[..., row::2, column::2] for column in (0, 1) for row in (0, 1)]
        out: Tensor = self.conv(torch.cat(squares, dim=1))
        return out


class _CSPLayer(nn.Module):
    """Half of the channels go through the blocks, the other half goes around them."""

    def __init__(self, inputs: int, outputs: int, blocks: int, add: bool, separable: bool) -> None:
        super().__init__()
        half = outputs // 2
        self.conv1 = _conv(inputs, half, 1)
        self.conv2 = _conv(inputs, half, 1)
        self.conv3 = _conv(2 * half, outputs, 1)
        self.m = nn.Sequential(
            *(Block(_conv(half, half, 1), _conv3(half, half, separable), add) for _ in range(blocks))
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv3(torch.cat((self.m(self.conv1(x)), self.conv2(x)), dim=1))
        return out


class CSPDarknet(nn.Module):
    """images (N, 3, H, W) -> maps at strides 8, 16 and 32 with 256, 512 and 1024 channels times the width."""

    def __init__(self, depth: float, width: float, separable: bool) -> None:
        super().__init__()
        base, blocks = int(64 * width), max(round(3 * depth), 1)

        def stage(inputs: int, repeat: int) -> list[nn.Module]:
            down = _conv3(inputs, 2 * inputs, separable, stride=2)
            return [down, _CSPLayer(2 * inputs, 2 * inputs, repeat, True, separable)]

        self.stem = _Focus(base)
        self.dark2 = nn.Sequential(*stage(base, blocks))
        self.dark3 = nn.Sequential(*stage(2 * base, 3 * blocks))
        self.dark4 = nn.Sequential(*stage(4 * base, 3 * blocks))
        self.dark5 = nn.Sequential(
            _conv3(8 * base, 16 * base, separable, stride=2),
            SpatialPyramid(16 * base, _conv),
            _CSPLayer(16 * base, 16 * base, blocks, False, separable),
        )

    def stages(self) -> nn.ModuleList:
        """What follows the stem, in order."""
        return nn.ModuleList([self.dark2, self.dark3, self.dark4, self.dark5])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        third = self.dark3(self.dark2(self.stem(x)))
        fourth = self.dark4(third)
        return third, fourth, self.dark5(fourth)


class ThunderTrunk(nn.Module):
    """MoveNet Thunder's encoder up to its last blocks at stride 32, instead of `CSPDarknet`.

    images (N, 3, H, W) BGR 0..255, as every YOLOX takes them -> maps at strides 8, 16 and 32.
    """

    # The blocks whose outputs are read, and their channels.
    READ: Mapping[int, int] = {5: 56, 12: 168, 15: 280}

    def __init__(self, width: float) -> None:
        super().__init__()
        encoder = Thunder()
        self.stem = encoder.stem
        self.blocks = encoder.blocks[: max(self.READ) + 1]
        outputs = (int(channels * width) for channels in (256, 512, 1024))
        self.laterals = nn.ModuleList(_conv(c, out, 1) for c, out in zip(self.READ.values(), outputs, strict=True))

    def start_from(self, encoder: Thunder) -> None:
        """Copy the encoder's weights."""
        self.stem.load_state_dict(encoder.stem.state_dict())
        self.blocks.load_state_dict(encoder.blocks[: len(self.blocks)].state_dict())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = (x[:, [2, 1, 0]] - Thunder.mean[0]) / Thunder.std[0]
        x = F.relu6(self.stem(x), inplace=True)
        maps: list[Tensor] = []
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in self.READ:
                maps.append(self.laterals[len(maps)](x))
        third, fourth, fifth = maps
        return third, fourth, fifth


class _Pyramid(nn.Module):
    """Combines the backbone's three maps from coarse to fine and back."""

    def __init__(self, depth: float, width: float, separable: bool, backbone: nn.Module) -> None:
        super().__init__()
        c3, c4, c5 = (int(channels * width) for channels in (256, 512, 1024))
        blocks = round(3 * depth)

        def mix(inputs: int, outputs: int) -> _CSPLayer:
            return _CSPLayer(inputs, outputs, blocks, False, separable)

        self.backbone = backbone
        self.lateral_conv0 = _conv(c5, c4, 1)
        self.C3_p4 = mix(2 * c4, c4)
        self.reduce_conv1 = _conv(c4, c3, 1)
        self.C3_p3 = mix(2 * c3, c3)
        self.bu_conv2 = _conv3(c3, c3, separable, stride=2)
        self.C3_n3 = mix(2 * c3, c4)
        self.bu_conv1 = _conv3(c4, c4, separable, stride=2)
        self.C3_n4 = mix(2 * c4, c5)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        third, fourth, fifth = self.backbone(x)
        coarse = self.lateral_conv0(fifth)
        middle = self.reduce_conv1(self.C3_p4(torch.cat((_double(coarse), fourth), dim=1)))
        fine = self.C3_p3(torch.cat((_double(middle), third), dim=1))
        middle = self.C3_n3(torch.cat((self.bu_conv2(fine), middle), dim=1))
        coarse = self.C3_n4(torch.cat((self.bu_conv1(middle), coarse), dim=1))
        return fine, middle, coarse


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


class _Head(nn.Module):
    """One branch for the class, one for box and objectness, with separate weights at each level."""

    def __init__(self, classes: int, width: float, separable: bool) -> None:
        super().__init__()
        hidden = int(256 * width)
        levels = range(len(STRIDES))

        def branch() -> nn.Sequential:
            return nn.Sequential(*(_conv3(hidden, hidden, separable) for _ in range(2)))

        self.cls_convs = nn.ModuleList(branch() for _ in levels)
        self.reg_convs = nn.ModuleList(branch() for _ in levels)
        self.cls_preds = nn.ModuleList(nn.Conv2d(hidden, classes, 1) for _ in levels)
        self.reg_preds = nn.ModuleList(nn.Conv2d(hidden, 4, 1) for _ in levels)
        self.obj_preds = nn.ModuleList(nn.Conv2d(hidden, 1, 1) for _ in levels)
        self.stems = nn.ModuleList(_conv(int(channels * width), hidden, 1) for channels in (256, 512, 1024))
        # Nearly every anchor is background: an initial probability of 0.01 stabilises the first steps.
        for conv in (*self.cls_preds, *self.obj_preds):
            assert isinstance(conv, nn.Conv2d) and conv.bias is not None
            nn.init.constant_(conv.bias, -math.log(0.99 / 0.01))

    def forward(self, maps: tuple[Tensor, ...]) -> Tensor:
        rows = []
        layers = zip(
            self.stems, self.cls_convs, self.reg_convs, self.reg_preds, self.obj_preds, self.cls_preds, strict=True
        )
        for x, (stem, cls_conv, reg_conv, reg, obj, cls) in zip(maps, layers, strict=True):
            x = stem(x)
            box = reg_conv(x)
            rows.append(torch.cat((reg(box), obj(box), cls(cls_conv(x))), dim=1).flatten(2))
        return torch.cat(rows, dim=2).transpose(1, 2)


class YOLOXNetwork(nn.Module):
    """images (N, 3, H, W) float32 BGR 0..255, H and W multiples of 32 -> raw (N, anchors, 5 + classes).

    A row of `raw` is one cell of one level: four numbers of the box, undecoded (offset of the centre from the cell's
    corner in strides, logarithm of the size in strides), objectness and classes after the sigmoid. Levels come in the
    order of strides 8, 16, 32, each row-major.
    """

    def __init__(self, depth: float, width: float, separable: bool, classes: int, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = _Pyramid(depth, width, separable, backbone)
        self.head = _Head(classes, width, separable)

    def features(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The pyramid's maps at strides 8, 16, 32."""
        maps: tuple[Tensor, Tensor, Tensor] = self.backbone(images)
        return maps

    def logits(self, images: Tensor) -> Tensor:
        """As `forward`, with objectness and classes before the sigmoid, for the losses."""
        out: Tensor = self.head(self.features(images))
        return out

    def forward(self, images: Tensor) -> Tensor:
        out = self.logits(images)
        return torch.cat((out[..., :4], out[..., 4:].sigmoid()), dim=2)


def yolox(size: str, classes: int = 80) -> YOLOXNetwork:
    """A network of a released size ("nano", "tiny", "s", "m", "l", "x") or "thunder", with random weights."""
    if size not in SIZES:
        raise WholebodyError(f"There is no YOLOX-{size}. Choose one of {', '.join(SIZES)}.")
    depth, width, separable = SIZES[size]
    backbone = ThunderTrunk(width) if size == "thunder" else CSPDarknet(depth, width, separable)
    return YOLOXNetwork(depth, width, separable, classes, backbone)


def from_checkpoint(checkpoint: Mapping[str, object]) -> YOLOXNetwork:
    """The network of a released checkpoint ({"model": state_dict, ...}) or bare state dict, in eval mode.

    Size and number of classes follow from the shapes.

    Raises:
        WholebodyError: these are not the weights of a YOLOX of a known size.
    """
    weights = checkpoint.get("model", checkpoint)
    if not isinstance(weights, Mapping):
        raise WholebodyError("The checkpoint holds no YOLOX state dict. Use a released YOLOX .pth file.")
    classes = next(iter(getattr(weights.get("head.cls_preds.0.bias"), "shape", ())), 1)
    shapes = {name: getattr(value, "shape", None) for name, value in weights.items()}
    if not 0 < classes <= MOST_CLASSES:
        raise WholebodyError(f"A YOLOX of {classes} classes. Use a released YOLOX .pth file.")
    for size in SIZES:
        with torch.device("meta"):
            model = yolox(size, classes)
        if shapes == {name: value.shape for name, value in model.state_dict().items()}:
            model.load_state_dict(weights, strict=True, assign=True)
            return model.float().eval()
    raise WholebodyError("The weights are not those of a YOLOX nano, tiny, s, m, l or x. Use a released .pth file.")


def load_yolox(path: str | os.PathLike[str]) -> YOLOXNetwork:
    """The network of a released `.pth` file, or of our .safetensors; see `from_checkpoint`.

    Code inside the file is never run.

    Raises:
        WholebodyError: the file is missing, damaged, holds anything but weights, or other weights.
    """
    weights = read_weights(path)
    try:
        return from_checkpoint(weights)
    except WholebodyError as error:
        raise WholebodyError(f"{path}: {error}") from error
