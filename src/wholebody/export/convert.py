"""Exporting networks from torch to ONNX, with a comparison before a file gets its final name.

There are two layouts: "fused" takes uint8 BGR pictures and, for poses, returns decoded keypoints, so the caller need
not know about channel order, normalisation or bins; the plain layout is that of the files released by the authors.

    export_pose(load_pose("dw-ll_ucoco.pth"), "dwpose-l.onnx")
"""

import copy
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from wholebody.arrays import Floats
from wholebody.codec import SHARPNESS, SimCC, oks_tolerances
from wholebody.errors import WholebodyError
from wholebody.export.check import TOLERANCE, describe, quiet, written
from wholebody.export.narrow import Storage, narrow
from wholebody.runtime.session import Session

if TYPE_CHECKING:
    from torch import Tensor, nn

    from wholebody.networks.rtmpose import RTMPose


OPSET = 18  # supported by ONNX Runtime 1.18, TensorRT 10 and OpenVINO 2024


def export_pose(
    model: "RTMPose",
    path: str | os.PathLike[str],
    *,
    fused: bool = True,
    storage: Storage = "float32",
    int8: Sequence[str] = (),
    notes: Mapping[str, object] | None = None,
) -> float:
    """Write a pose network as ONNX with a dynamic batch size.

    Fused: `crops` (N, h, w, 3) uint8 BGR -> `keypoints` (N, K, 2) in input pixels, `scores` (N, K), `simcc_x`
    (N, K, X), `simcc_y` (N, K, Y). Plain: `input` (N, 3, h, w) float32 normalised RGB -> `simcc_x`, `simcc_y`.

    Args:
        model: unchanged. Its `mean`, `std`, `codec` and `schema` go into the graph and the file's metadata.
        path: replaced only on success.
        fused: which layout.
        storage: float16 halves the file; runtimes convert the weights when they load it, and compute in float32.
        int8: prefixes of weights ("backbone.stage4") to store in int8, with one scale per output channel.
        notes: additional metadata besides kind, input size and schema, under the key `wholebody` (JSON).

    Returns:
        The largest difference from torch, in standard deviations of the output.

    Raises:
        WholebodyError: the ONNX file does not agree with torch, or cannot be written.
    """
    import torch

    w, h = model.codec.input_size
    network = _frozen(model)
    names: tuple[str, ...]
    about = {
        "kind": "pose",
        "input_size": [w, h],
        **({"schema": model.schema.name} if model.schema else {}),
        "split_ratio": model.codec.split_ratio,
        **({"tolerances": model.codec.tolerances} if model.codec.tolerances else {}),
        "mean": list(model.mean),
        "std": list(model.std),
    }
    if fused:
        network = _fused_pose(network, model.mean, model.std, model.codec)
        example = torch.zeros(2, h, w, 3, dtype=torch.uint8)
        names = ("crops", "keypoints", "scores", "simcc_x", "simcc_y")
    else:
        example = torch.zeros(2, 3, h, w)
        names = ("input", "simcc_x", "simcc_y")
    proto = _convert(network, example, names)
    narrow(proto, storage, int8)
    describe(proto, about | dict(notes or {}))
    with written(proto, path) as session:
        # Decoded keypoints jump if two maxima are close, so what is maximised is compared, for the same logits.
        error = _compare(network, session, example, ("simcc_x", "simcc_y"), "int8" if int8 else storage, path)
        if fused:
            keypoints, scores, x, y = session(_pictures(example, 3))
            if not _decodes(model.codec, keypoints, scores, x, y):
                raise WholebodyError(f"{path}: decodes keypoints wrongly in ONNX Runtime. Try another version of it.")
    return error


def tolerant(model: "RTMPose") -> SimCC:
    """The model's codec with `oks_tolerances` of its schema, for a graph that returns the highest expected OKS.

    Raises:
        WholebodyError: the keypoints have no published OKS constants.
    """
    if model.schema is None or np.isnan(model.schema.sigmas).any():
        raise WholebodyError("OKS's constants for these keypoints are not published. Leave --oks out.")
    return replace(model.codec, tolerances=oks_tolerances(model.schema.sigmas, model.codec.input_size))


def export_detector(
    model: "nn.Module",
    path: str | os.PathLike[str],
    *,
    input_size: tuple[int, int],
    pixels: int | None = None,
    fused: bool = True,
    calibration: tuple[float, float] | None = None,
    storage: Storage = "float32",
    int8: Sequence[str] = (),
    notes: Mapping[str, object] | None = None,
) -> float:
    """Write a detector as ONNX with a dynamic batch size.

    Fused: `images` (N, h, w, 3) uint8 BGR, letterboxed -> `raw` (N, anchors, 5 + classes), boxes undecoded. Plain:
    `images` (N, 3, h, w) float32 BGR 0..255 -> `output`, the same.

    Args:
        model: (N, 3, h, w) float32 BGR 0..255 -> (N, anchors, 5 + classes), as from `yolox`. Unchanged.
        input_size: (w, h), multiples of 32.
        pixels: makes the sides of the input dynamic, and stores in the metadata how many pixels it may have for
            pictures of any aspect ratio; `input_size` is then the size for 4:3.
        calibration: (slope, shift) for a network with one class: the score objectness x class becomes sigmoid(slope x
            logit + shift). It replaces the objectness, and the class becomes 1.
        path, fused, storage, int8, notes: as `export_pose`.

    Returns:
        As `export_pose`.

    Raises:
        WholebodyError: as `export_pose`.
    """
    import torch

    w, h = input_size
    network = _frozen(model)
    if calibration is not None:
        network = _calibrated(network, *calibration)
    if fused:
        network = _fused_detector(network)
        example = torch.zeros(2, h, w, 3, dtype=torch.uint8)
        names = ("images", "raw")
    else:
        example = torch.zeros(2, 3, h, w)
        names = ("images", "output")
    proto = _convert(network, example, names, {} if pixels is None else {1: 32, 2: 32} if fused else {2: 32, 3: 32})
    narrow(proto, storage, int8)
    free = {} if pixels is None else {"pixels": pixels}
    describe(proto, {"kind": "detector", "input_size": [w, h]} | free | dict(notes or {}))
    with written(proto, path) as session:
        return _compare(network, session, example, names[1:], "int8" if int8 else storage, path)


def _frozen(model: "nn.Module") -> "nn.Module":
    return copy.deepcopy(model).cpu().float().eval().requires_grad_(False)


def _fused_pose(
    network: "nn.Module", mean: tuple[float, float, float], std: tuple[float, float, float], codec: SimCC
) -> "nn.Module":
    import torch
    from torch import Tensor, nn

    class Fused(nn.Module):
        mean: Tensor
        factor: Tensor
        rgb: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.network = network
            self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
            self.register_buffer("factor", 1 / torch.tensor(std).view(1, 3, 1, 1))
            self.register_buffer("rgb", torch.tensor([2, 1, 0]))
            if codec.tolerances:
                for axis, bins in zip("xy", codec.bins, strict=True):
                    basis, response = codec.cosines(bins)
                    self.register_buffer(f"basis_{axis}", torch.from_numpy(basis))
                    self.register_buffer(f"response_{axis}", torch.from_numpy(response))

        def forward(self, crops: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
            # Transpose while the data are bytes: a quarter of the memory.
            planes = crops.permute(0, 3, 1, 2).index_select(1, self.rgb)
            x, y = self.network((planes.float() - self.mean) * self.factor)
            scores = torch.minimum(x.amax(dim=-1), y.amax(dim=-1))
            at = torch.stack((self.best(x, "x"), self.best(y, "y")), dim=-1).float()
            keypoints = torch.where(scores[..., None] <= 0, -1.0, at) / codec.split_ratio
            return keypoints, scores, x, y

        def best(self, logits: Tensor, axis: str) -> Tensor:
            """`SimCC.merit`, and where it is greatest."""
            if codec.tolerances:
                basis, response = self.get_buffer(f"basis_{axis}"), self.get_buffer(f"response_{axis}")
                logits = ((logits * SHARPNESS).softmax(dim=-1) @ basis * response) @ basis.T
            return logits.argmax(dim=-1)

    return Fused().eval()


def _decodes(codec: SimCC, keypoints: Floats, scores: Floats, x: Floats, y: Floats) -> bool:
    """Whether these are the keypoints and scores of the logits; the graph may store its tables in 16 bits."""
    decoded = codec.decode(x, y)
    if not np.array_equal(scores, decoded[1]) or not np.array_equal(keypoints < 0, decoded[0] < 0):
        return False
    for axis, logits in enumerate((x, y)):
        merit, best = codec.merit(logits), (np.maximum(keypoints[..., axis], 0) * codec.split_ratio).astype(int)
        reached = np.take_along_axis(merit, best[..., None], axis=-1)[..., 0]
        least = merit.max(axis=-1) * (1 - 5e-3 if codec.tolerances else 1)
        if (reached < least)[scores > 0].any():
            return False
    return True


def _fused_detector(network: "nn.Module") -> "nn.Module":
    from torch import Tensor, nn

    class Fused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, images: Tensor) -> Tensor:
            raw: Tensor = self.network(images.permute(0, 3, 1, 2).float())
            return raw

    return Fused().eval()


def _calibrated(network: "nn.Module", slope: float, shift: float) -> "nn.Module":
    import torch
    from torch import Tensor, nn

    class Calibrated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, images: Tensor) -> Tensor:
            raw = self.network(images)
            score = (raw[..., 4:5] * raw[..., 5:6]).clamp(1e-6, 1 - 1e-6)
            probability = (slope * (score.log() - (1 - score).log()) + shift).sigmoid()
            return torch.cat((raw[..., :4], probability, torch.ones_like(probability)), dim=-1)

    return Calibrated().eval()


def _convert(
    network: "nn.Module", example: "Tensor", names: Sequence[str], free: Mapping[int, int] = MappingProxyType({})
) -> Any:
    """An ONNX model; `names` are the input and the outputs, `free` axes may be any multiple of a number."""
    import torch

    sides = {axis: step * torch.export.Dim(f"steps{axis}", min=2, max=256) for axis, step in free.items()}

    with quiet():
        program = torch.onnx.export(
            _folded(network),
            (example,),
            input_names=names[:1],
            output_names=names[1:],
            dynamic_shapes=({0: torch.export.Dim("batch")} | sides,),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    proto = program.model_proto
    # The exporter records the source line of every node; a published file should not reveal local paths.
    graph = proto.graph
    for part in (*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer, graph, proto):
        part.ClearField("doc_string")
        part.ClearField("metadata_props")
    _rename(graph, network)
    proto.ir_version = 8  # matches the opset; newer versions only add what was just removed
    return proto


def _folded(network: "nn.Module") -> "nn.Module":
    """A copy with batch norms folded into their convolutions; the exporter would do so too, but more slowly."""
    from torch import nn
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    network = copy.deepcopy(network)
    for module in network.modules():
        conv, norm = getattr(module, "conv", None), getattr(module, "bn", None)
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            module.conv, module.bn = fuse_conv_bn_eval(conv, norm), nn.Identity()
    return network


def _rename(graph: Any, network: "nn.Module") -> None:
    """Give weights the names of the state dict, even if the exporter has transposed and numbered them."""
    from onnx import numpy_helper

    matrices = {key: value.numpy().T for key, value in network.state_dict().items() if value.ndim == 2}
    names = {}
    for stored in graph.initializer:
        name = stored.name
        if name not in matrices and len(stored.dims) == 2:
            array = numpy_helper.to_array(stored)
            name = next((key for key, matrix in matrices.items() if np.array_equal(matrix, array)), name)
            matrices.pop(name, None)
        names[stored.name] = name.removeprefix("network.")
    for stored in graph.initializer:
        stored.name = names[stored.name]
    for node in graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = names.get(name, name)


def _pictures(example: "Tensor", count: int) -> npt.NDArray[Any]:
    """A batch like the example: noise, and increasingly smooth pictures, like real ones."""
    rng = np.random.default_rng(count)
    shape = (count, *example.shape[1:])
    if example.dtype.is_floating_point:
        return rng.standard_normal(shape, dtype=np.float32)
    noise = rng.integers(0, 256, shape, dtype=np.uint8)
    for i in range(1, count):
        block = 8 * 4 ** (i - 1)
        noise[i] = noise[i, ::block, ::block].repeat(block, axis=0).repeat(block, axis=1)[: shape[1], : shape[2]]
    return noise


def _compare(
    network: "nn.Module",
    session: Session,
    example: "Tensor",
    outputs: Sequence[str],
    storage: str,
    path: str | os.PathLike[str],
) -> float:
    """Largest difference between torch and the session, in standard deviations of an output."""
    import torch

    worst = 0.0
    names = [tensor.name for tensor in session.outputs]
    for count in (1, 3):
        batch = _pictures(example, count)
        with torch.inference_mode():
            given = network(torch.from_numpy(batch))
        wanted = dict(zip(names, given if isinstance(given, tuple) else (given,), strict=True))
        for name, got in zip(outputs, session(batch, outputs), strict=True):
            want = wanted[name].numpy()
            if got.shape != want.shape:
                raise WholebodyError(f"{path}: {name} has shape {got.shape} in ONNX Runtime, {want.shape} in torch.")
            difference = float(np.abs(got - want).max() / max(float(want.std()), 1e-12))
            # NaN compares false, and must not pass.
            if not difference <= TOLERANCE[storage]:
                raise WholebodyError(
                    f"{path}: {name} differs between ONNX Runtime and torch by {difference:.2g} standard deviations. "
                    "Check the weights for infinities, or try other versions of torch and onnxruntime."
                )
            worst = max(worst, difference)
    return worst
