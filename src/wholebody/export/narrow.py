"""Smaller files: weights stored in fewer bits, and low-rank layers."""

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from torch import nn


Storage = Literal["float32", "float16"]

# Smaller arrays are not worth converting.
SMALL = 1024


def low_rank(layer: "nn.Conv2d", rank: int) -> "nn.Sequential":
    """The best approximation of the convolution `layer` that first reduces its input channels to `rank`.

    A 7x7 convolution from 1280 channels to 133 has most of a pose head's weights, although it uses only a small
    subspace of those channels. The approximation is optimal in least squares over the weights (a truncated singular
    value decomposition); with `rank` >= the number of input channels it is the same function up to rounding.

    Returns: a 1x1 convolution to `rank` channels, and one with the kernel of `layer` from these, with its bias.

    Raises:
        ValueError: a grouped convolution, or a rank below 1.
    """
    import torch
    from torch import nn

    if layer.groups != 1 or rank < 1:
        raise ValueError(
            f"cannot mix the channels of {layer.groups} groups into {rank}: one group and a rank of 1 or more"
        )
    weight = layer.weight.detach()
    outputs, channels, *kernel = weight.shape
    rank = min(rank, channels, outputs * kernel[0] * kernel[1])
    out, scale, into = torch.linalg.svd(weight.permute(0, 2, 3, 1).reshape(-1, channels), full_matrices=False)
    root = scale[:rank].sqrt()
    mix = nn.Conv2d(channels, rank, 1, bias=False)
    mix.weight.data = (root[:, None] * into[:rank])[:, :, None, None].contiguous()
    read = copy.deepcopy(layer)
    read.in_channels = rank
    read.weight.data = (out[:, :rank] * root).reshape(outputs, *kernel, rank).permute(0, 3, 1, 2).contiguous()
    return nn.Sequential(mix, read)


def narrow(proto: Any, storage: Storage, int8: Sequence[str]) -> None:
    """Store large weights in fewer bits and convert them in the graph.

    The conversion is a chain of Cast and Mul on constants, which runtimes compute once, when they load the file.
    DequantizeLinear would be equivalent, but ONNX Runtime executes it in every run.
    """
    from onnx import TensorProto, helper, numpy_helper

    graph, nodes = proto.graph, []
    for stored in list(graph.initializer):
        if stored.data_type != TensorProto.FLOAT or np.prod(stored.dims) < SMALL:
            continue
        name = stored.name
        weight = numpy_helper.to_array(stored)
        if weight.ndim > 1 and name.startswith(tuple(int8)):
            # A convolution's outputs are along the first axis, those of a matrix behind its input along the last.
            outputs = weight.ndim - 1 if weight.ndim == 2 else 0
            axes = tuple(axis for axis in range(weight.ndim) if axis != outputs)
            scale = np.maximum(np.abs(weight).max(axis=axes, keepdims=True) / 127, np.finfo(np.float32).tiny)
            small = np.rint(weight / scale).astype(np.int8)
            graph.initializer.append(numpy_helper.from_array(scale.astype(np.float32), f"{name}.scale"))
            nodes.append(helper.make_node("Cast", [f"{name}.int8"], [f"{name}.cast"], to=TensorProto.FLOAT))
            nodes.append(helper.make_node("Mul", [f"{name}.cast", f"{name}.scale"], [name]))
            graph.initializer.append(numpy_helper.from_array(small, f"{name}.int8"))
        elif storage == "float16" and np.abs(weight).max() < np.finfo(np.float16).max:
            nodes.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
            graph.initializer.append(numpy_helper.from_array(weight.astype(np.float16), f"{name}.half"))
        else:
            continue
        graph.initializer.remove(stored)
    for node in reversed(nodes):
        graph.node.insert(0, node)
