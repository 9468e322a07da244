"""The inverse of `export.convert.export_pose`: weights from a bundled or exported ONNX file, for further training.

    network = load_pose("pose.onnx")             # checkpoints: computes the same function as the file
    measure_norms(network, crops)                # and prepares it for training

In a file, batch norms are folded into the preceding convolutions. They are restored as identity norms, which is right
for inference. Training uses the batch's mean and standard deviation; `measure_norms` sets these statistics beforehand
without changing the network's output.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy.typing as npt
import torch
from torch import Tensor, nn

from wholebody.errors import WholebodyError
from wholebody.networks.rtmpose import RTMPose
from wholebody.reading import reading

# Linear maps, which a file stores transposed relative to torch.
_LINEAR = ("mlp.1", "gau.o", "gau.uv", "cls_x", "cls_y", "places", "answers", "presence.read")


def read_exported(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The weights in an exported file by their names in torch, converted to float32.

    Raises:
        WholebodyError: not an ONNX file, or not written by `export_pose`.
    """
    import onnx
    from onnx import numpy_helper

    try:
        proto = onnx.load(os.fspath(path))
    except Exception as error:  # a damaged file may fail anywhere in the reader
        raise WholebodyError(f"{path}: damaged or not an ONNX file. Restore it.") from error
    with reading(path, "an ONNX file", "Restore it"):
        weights = _weights({each.name: numpy_helper.to_array(each) for each in proto.graph.initializer})
    if not any(name.startswith("backbone.") for name in weights):
        raise WholebodyError(
            f"{path}: its weights have lost their names, so that it cannot be trained on. Only ONNX files that "
            "`wholebody export` wrote can; give a checkpoint (.safetensors, .pth)."
        )
    return weights


def _weights(stored: Mapping[str, npt.NDArray[Any]]) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = {}
    for name, value in stored.items():
        if name.endswith(".half"):
            name, value = name.removesuffix(".half"), value.astype("float32")
        elif name.endswith(".int8"):
            name = name.removesuffix(".int8")
            value = value.astype("float32") * stored[f"{name}.scale"]
        if name.partition(".")[0] in ("backbone", "head", "bodies"):
            weight = torch.from_numpy(value.copy())
            turned = name.removesuffix(".weight").endswith(_LINEAR)
            weights[name] = weight.T.contiguous() if turned else weight
    return weights


def unfolded(model: nn.Module, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights as `read_exported` gives them, for a network with batch norms: the same function in eval mode."""
    weights, wanted = dict(weights), model.state_dict()
    for norm, conv in _norms(model).items():
        layer = cast(nn.BatchNorm2d, model.get_submodule(norm))
        # A bias that came from a norm alone has its own name.
        bias = weights.pop(f"{conv}.bias", weights.pop(f"{conv}.weight_bias", torch.zeros(layer.num_features)))
        weights |= {
            f"{norm}.weight": torch.full_like(bias, (1 + layer.eps) ** 0.5),
            f"{norm}.bias": bias,
            f"{norm}.running_mean": torch.zeros_like(bias),
            f"{norm}.running_var": torch.ones_like(bias),
            f"{norm}.num_batches_tracked": torch.tensor(0),
        }
    # Zero biases are not stored.
    weights |= {
        name: torch.zeros_like(value)
        for name, value in wanted.items()
        if name not in weights and name.endswith(".bias")
    }
    return {name: value for name, value in weights.items() if name in wanted}


@torch.no_grad()
def measure_norms(model: RTMPose, crops: Tensor) -> None:
    """Set the statistics of identity batch norms from some crops, without changing the network's output.

    Args:
        model: left in eval mode.
        crops: (N, h, w, 3) uint8 BGR, at least some dozens.
    """

    def measure(norm: nn.BatchNorm2d, given: tuple[Tensor]) -> None:
        mean, var = given[0].mean(dim=(0, 2, 3)), given[0].var(dim=(0, 2, 3), unbiased=False)
        assert norm.running_mean is not None and norm.running_var is not None
        slope = norm.weight / (norm.running_var + norm.eps).sqrt()
        norm.bias.add_((mean - norm.running_mean) * slope)
        norm.weight.copy_(slope * (var + norm.eps).sqrt())
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(var)
        cast(Tensor, norm.num_batches_tracked).fill_(1)

    hooks = [norm.register_forward_pre_hook(measure) for norm in _unmeasured(model)]
    model.eval()(model.normalise(crops))
    for hook in hooks:
        hook.remove()


def wants_measuring(model: nn.Module) -> bool:
    """Whether a network has identity norms from an exported file."""
    return bool(_unmeasured(model))


def _unmeasured(model: nn.Module) -> list[nn.BatchNorm2d]:
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    return [norm for norm in norms if not cast(Tensor, norm.num_batches_tracked) and _changes_nothing(norm)]


def _changes_nothing(norm: nn.BatchNorm2d) -> bool:
    """Whether a norm comes from `unfolded`, rather than a new one, which has a weight of exactly 1.

    Of a network that was widened, only some of its channels do.
    """
    return bool((norm.weight == (1 + norm.eps) ** 0.5).any())


def _norms(model: nn.Module) -> dict[str, str]:
    """The batch norms of a network, each with the preceding convolution in the list of layers."""
    pairs, last = {}, ""
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            last = name
        elif isinstance(module, nn.BatchNorm2d):
            pairs[name] = last
    return pairs


def is_exported(path: str | os.PathLike[str]) -> bool:
    """Whether a name or path means a file that `read_exported` may read."""
    return Path(path).suffix.lower() == ".onnx"
