"""MoveNet Thunder's encoder in torch: the pretrained backbone of the bundled pose model and of our teachers.

Thunder (Google, Apache-2.0) is a MobileNetV2 (Sandler et al. 2018) of width 1.75 with a small feature pyramid, trained
on COCO's people and more. Its weights come as a TensorFlow Lite file with the batch norms folded into the convolutions,
so the blocks here are plain convolutions with bias. The last map, stride 32 with 1280 channels, has the shape of
RTMPose-x's feature; the same head and the same distillation fit on it.

    python -c "from wholebody.networks.thunder import Thunder; Thunder.from_tflite('movenet_thunder_fp16.tflite')"

`pyramid` ends where MoveNet's heads begin; `MoveNetHeads` are those heads, which predict 17 keypoints.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wholebody.errors import WholebodyError
from wholebody.reading import reading

# (output channels, stride, number of blocks); MobileNetV2's table times 1.75, rounded to multiples of eight.
_STAGES = ((32, 1, 1), (40, 2, 2), (56, 2, 3), (112, 2, 4), (168, 1, 3), (280, 2, 3), (560, 1, 1))

_EXPANSION = 6
# The blocks whose outputs the pyramid reads: strides 4, 8 and 16.
_LATERAL = {2: (40, 24), 5: (56, 32), 9: (112, 64)}


class Stages(NamedTuple):
    """The outputs of the encoder's stages, each (B, C, H, W)."""

    stride4: Tensor  # 40 channels
    stride8: Tensor  # 56 channels
    stride16: Tensor  # 112 channels
    stride32: Tensor  # 1280 channels: the feature of heads and of distillation


class Begun(NamedTuple):
    """The encoder's state after its first blocks."""

    x: Tensor
    maps: tuple[Tensor, ...]  # those of `Stages` that are complete
    blocks: int = 0


class Pyramid(NamedTuple):
    """What `Thunder.pyramid` returns, each (B, C, H, W)."""

    stride32: Tensor  # 1280 channels
    stride8: Tensor  # 24 channels
    stride4: Tensor  # 24 channels


class _Conv(nn.Conv2d):
    """A convolution with TensorFlow's SAME padding: at stride 2 the extra row and column are at the far end."""

    def forward(self, x: Tensor) -> Tensor:
        k, s = self.kernel_size[0], self.stride[0]
        padding = k // 2
        if s > 1:
            total = [max(k - (s if size % s == 0 else size % s), 0) for size in x.shape[-2:]]
            (top, left), (bottom, right) = (t // 2 for t in total), (t - t // 2 for t in total)
            x, padding = F.pad(x, (left, right, top, bottom)), 0
        filtered: Tensor = F.conv2d(x, self.weight, self.bias, stride=s, padding=padding, groups=self.groups)
        return filtered


class _Block(nn.Module):
    """An inverted residual: expand, filter each channel, project; the input is added where shapes agree."""

    def __init__(self, channels: int, out: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = channels * expansion
        self.expand = _Conv(channels, hidden, 1) if expansion > 1 else None
        self.depthwise = _Conv(hidden, hidden, 3, stride=stride, groups=hidden)
        self.project = _Conv(hidden, out, 1)
        self.residual = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else F.relu6(self.expand(x), inplace=True)
        out: Tensor = self.project(F.relu6(self.depthwise(y), inplace=True))
        return x + out if self.residual else out


class _Merge(nn.Module):
    """One step of the pyramid: enlarge the coarse map, add the finer one, smooth."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.depthwise = _Conv(channels, channels, 3, groups=channels)
        self.project = _Conv(channels, out, 1)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        # TensorFlow's half-pixel-centre resize, which is torch's align_corners=False.
        large = F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)
        return F.relu(self.project(self.depthwise(large + fine)))


class Thunder(nn.Module):
    """The encoder and its pyramid.

    Attributes:
        channels: of the stride-32 feature.
        stage_channels: of the maps of strides 4, 8 and 16.
        mean, std: input normalisation in RGB, 0..255.
    """

    channels = 1280
    stage_channels = (40, 56, 112)
    mean = (127.5, 127.5, 127.5)
    std = (127.5, 127.5, 127.5)

    def __init__(self) -> None:
        super().__init__()
        self.stem = _Conv(3, 56, 3, stride=2)
        blocks: list[nn.Module] = []
        channels = 56
        for out, stride, count in _STAGES:
            for i in range(count):
                blocks.append(_Block(channels, out, stride if i == 0 else 1, _EXPANSION if blocks else 1))
                channels = out
        self.blocks = nn.ModuleList(blocks)
        self.top = _Conv(channels, self.channels, 1)
        self.top_lateral = _Conv(self.channels, 64, 1)
        self.laterals = nn.ModuleDict({str(at): _Conv(c, out, 1) for at, (c, out) in _LATERAL.items()})
        self.merges = nn.ModuleList([_Merge(64, 32), _Merge(32, 24), _Merge(24, 24)])

    def stages(self, images: Tensor) -> Stages:
        """(B, 3, H, W) normalised RGB -> the maps of all strides; H and W are multiples of 32."""
        return self.resume(self.begin(images, 0))

    def begin(self, images: Tensor, count: int) -> Begun:
        """The stem and the first `count` blocks of `stages`."""
        return self._on(Begun(F.relu6(self.stem(images), inplace=True), ()), range(count))

    def resume(self, begun: Begun) -> Stages:
        """The rest of `stages`, with the blocks after those of `begin`, of this encoder or one that began alike."""
        x, maps, _ = self._on(begun, range(begun.blocks, len(self.blocks)))
        stride4, stride8, stride16 = maps
        return Stages(stride4, stride8, stride16, F.relu6(self.top(x), inplace=True))

    def _on(self, begun: Begun, blocks: range) -> Begun:
        x, maps = begun.x, begun.maps
        for i in blocks:
            x = self.blocks[i](x)
            if i in _LATERAL:
                maps = (*maps, x)
        return Begun(x, maps, blocks.stop)

    def features(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) normalised RGB -> (B, 1280, H/32, W/32)."""
        return self.stages(images).stride32

    def pyramid(self, images: Tensor) -> Pyramid:
        """(B, 3, H, W) normalised RGB -> the feature and two finer maps; H and W are multiples of 32."""
        return self.mix(self.stages(images))

    def mix(self, stages: Stages) -> Pyramid:
        """The rest of `pyramid`: from coarse to fine, adding the stages' maps."""
        x, maps = self.top_lateral(stages.stride32), []
        for merge, lateral, fine in zip(
            self.merges, reversed(list(self.laterals.values())), stages[2::-1], strict=True
        ):
            x = merge(x, lateral(fine))
            maps.append(x)
        return Pyramid(stages.stride32, maps[1], maps[2])

    def forward(self, images: Tensor) -> Tensor:
        return self.features(images)

    @classmethod
    def from_tflite(cls, path: str | os.PathLike[str]) -> "Thunder":
        """The encoder with the weights of a MoveNet Thunder file (float16 or float32 TensorFlow Lite).

        Raises:
            WholebodyError: not such a file, or `ai-edge-litert` is not installed.
        """
        network = cls()
        _fill(network._in_file_order(), path)
        return network

    def _in_file_order(self) -> Iterator[nn.Conv2d]:
        """The convolutions in the order in which the released graph runs them."""
        yield self.stem
        for i, block in enumerate(self.blocks):
            yield from (m for m in block.modules() if isinstance(m, nn.Conv2d))
            if i in _LATERAL:
                lateral = self.laterals[str(i)]
                assert isinstance(lateral, nn.Conv2d)
                yield lateral
        yield self.top
        yield self.top_lateral
        for merge in self.merges:
            yield from (m for m in merge.modules() if isinstance(m, nn.Conv2d))


class MoveNetOutput(NamedTuple):
    """MoveNet's prediction for the person in the middle."""

    keypoints: Tensor  # (B, 17, 2) x, y in input pixels
    scores: Tensor  # (B, 17) 0..1


class MoveNetHeads(nn.Module):
    """MoveNet's four heads on the finest map, and the decoding for one person.

    The centre map selects the person nearest to the middle. From its peak, a regression points to the joints. Each
    joint's heatmap is divided by the distance from there, so that a neighbour's joints are suppressed, and the position
    of the maximum is refined by an offset.
    """

    stride = 4
    # Distance in cells that halves the heatmap, as in the released graph.
    near = 1.8

    def __init__(self) -> None:
        super().__init__()
        self.center, self.heat, self.regress, self.offset = (
            nn.Sequential(_Conv(24, 24, 3, groups=24), _Conv(24, 96, 1), nn.ReLU(inplace=True), _Conv(96, out, 1))
            for out in (1, 17, 34, 34)
        )

    @classmethod
    def from_tflite(cls, path: str | os.PathLike[str]) -> "MoveNetHeads":
        """The heads with the weights of a MoveNet Thunder file.

        Raises:
            WholebodyError: as `Thunder.from_tflite`.
        """
        heads = cls()
        in_file_order = (heads.center, heads.heat, heads.offset, heads.regress)
        layers = [layer for head in in_file_order for layer in head if isinstance(layer, nn.Conv2d)]
        _fill(layers, path, skip=sum(1 for _ in Thunder()._in_file_order()))
        return heads

    def forward(self, fine: Tensor) -> MoveNetOutput:
        """(B, 24, h, w), the pyramid's finest map -> the prediction, without gradients through the argmax."""
        n, _, h, w = fine.shape
        middle = torch.tensor([h // 2, w // 2], device=fine.device)
        center = self.center(fine).float().sigmoid()[:, 0] / (_distance(middle, h, w) + self.near)
        start, at = _peak(center.flatten(1), w)  # (B, 2), (B,)
        regressed = _pick(self.regress(fine).float(), at[:, None]).reshape(n, 17, 2) + start[:, None]
        heat = self.heat(fine).float().sigmoid()
        cell, at = _peak((heat / (_distance(regressed, h, w) + self.near)).flatten(2), w)  # (B, 17, 2), (B, 17)
        offsets = self.offset(fine).float().reshape(n, 17, 2, h * w)
        moved = cell + offsets.gather(3, at[:, :, None, None].expand(n, 17, 2, 1))[..., 0]
        return MoveNetOutput(moved.flip(-1) * self.stride, heat.flatten(2).gather(2, at[..., None])[..., 0])


def _distance(points: Tensor, h: int, w: int) -> Tensor:
    """Rows and columns (..., 2) -> distance of each cell (..., h, w)."""
    rows, columns = torch.arange(h, device=points.device), torch.arange(w, device=points.device)
    down, across = (rows - points[..., :1]).square(), (columns - points[..., 1:]).square()
    return (down[..., :, None] + across[..., None, :]).sqrt()


def _peak(maps: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """(..., h * w) -> row and column (..., 2) of the maximum, and its flat index (...,)."""
    at = maps.argmax(dim=-1)
    return torch.stack((at // width, at % width), dim=-1).float(), at


def _pick(maps: Tensor, at: Tensor) -> Tensor:
    """Maps (B, C, h, w) at one position (B, 1) -> (B, C)."""
    return maps.flatten(2).gather(2, at[..., None].expand(-1, maps.shape[1], 1))[..., 0]


def _fill(layers: Iterable[nn.Conv2d], path: str | os.PathLike[str], skip: int = 0) -> None:
    """Copy the convolutions of a file, in graph order, without the first `skip`."""
    for layer, (weight, bias) in zip(layers, _convolutions(Path(path))[skip:], strict=False):
        # TensorFlow stores (out, h, w, in), depthwise (1, h, w, out); torch (out, in / groups, h, w).
        order = (3, 0, 1, 2) if layer.groups > 1 else (0, 3, 1, 2)
        weight = weight.transpose(order) if weight.ndim == 4 else weight
        if weight.shape != tuple(layer.weight.shape) or bias.shape != weight.shape[:1]:
            raise WholebodyError(f"{path}: not a MoveNet Thunder file (a layer has shape {weight.shape}).")
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(np.ascontiguousarray(weight)))
            if layer.bias is not None:
                layer.bias.copy_(torch.from_numpy(bias))


def _convolutions(path: Path) -> list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
    """Weight and bias of every convolution of a TensorFlow Lite file, in graph order."""
    try:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType
    except ImportError as error:
        raise WholebodyError(
            "Reading a .tflite file needs ai-edge-litert: pip install 'wholebody[thunder]'."
        ) from error
    try:
        # The reference kernels keep the file's graph; the default ones fuse and repack it.
        interpreter = Interpreter(
            str(path), experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        )
    except (ValueError, RuntimeError) as error:
        raise WholebodyError(f"{path}: cannot be read as a TensorFlow Lite file. Check the path.") from error
    operations = interpreter._get_ops_details()
    # Half-precision weights are followed by an operation that converts them.
    stored = {int(op["outputs"][0]): int(op["inputs"][0]) for op in operations if op["op_name"] == "DEQUANTIZE"}

    def value(index: int) -> np.ndarray[Any, Any]:
        array: np.ndarray[Any, Any] = interpreter.get_tensor(stored.get(index, index))
        return array.astype(np.float32)

    with reading(path, "a MoveNet Thunder file"):
        return [
            (value(int(op["inputs"][1])), value(int(op["inputs"][2])))
            for op in operations
            if op["op_name"] in ("CONV_2D", "DEPTHWISE_CONV_2D")
        ]
