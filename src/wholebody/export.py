"""Networks from torch to ONNX files, compared with the original before they get their name; and from there to int8.

Two layouts: "fused" takes uint8 BGR pictures and, for poses, gives decoded keypoints, so that nothing about colours,
means or bins is left to the caller; the plain layout is that of the files released by the authors.

    export_pose(load_pose("dw-ll_ucoco.pth"), "dwpose-l.onnx")
    quantise("dwpose-l.onnx", int8_file("dwpose-l.onnx"), crops)
"""

import copy
import hashlib
import json
import logging
import os
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from wholebody.codec import SimCC
from wholebody.errors import WholebodyError
from wholebody.files import replacing
from wholebody.runtime.choose import open_session
from wholebody.runtime.session import Session

if TYPE_CHECKING:
    from torch import Tensor, nn

    from wholebody.networks.rtmpose import RTMPose

Storage = Literal["float32", "float16"]

OPSET = 18  # what ONNX Runtime 1.18, TensorRT 10 and OpenVINO 2024 all read
# What stands between the bytes of a crop and the network in the fused layout.
_PREPARING = ("Transpose", "Gather", "Cast", "Sub", "Mul", "Div")
# Smaller arrays are not worth a change of their type.
_SMALL = 1024
# Largest difference between torch and ONNX Runtime, in standard deviations of the output. A few 1e-5 is honest
# float32; narrower storage changes the weights themselves, so that only a blunder is caught.
_TOLERANCE = {"float32": 1e-3, "float16": 0.2, "int8": 3.0}


def export_pose(
    model: "RTMPose",
    path: str | os.PathLike[str],
    *,
    fused: bool = True,
    schema: str = "coco_wholebody",
    storage: Storage = "float32",
    int8: Sequence[str] = (),
    notes: Mapping[str, object] | None = None,
) -> float:
    """Write a pose network as ONNX with a free batch size.

    Fused: `crops` (N, h, w, 3) uint8 BGR -> `keypoints` (N, K, 2) in input pixels, `scores` (N, K), `simcc_x`
    (N, K, X), `simcc_y` (N, K, Y). Plain: `input` (N, 3, h, w) float32 normalised RGB -> `simcc_x`, `simcc_y`.

    Args:
        model: left as it is. Its `mean`, `std` and `codec` go into the graph and the file's notes.
        path: replaced only when all is well.
        fused: which layout.
        schema: name of the keypoint set.
        storage: float16 halves the file; runtimes widen the weights when they load, and compute in float32.
        int8: prefixes of weights ("backbone.stage4") to store in eight bits, one scale per output channel.
        notes: more to write beside kind, input size and schema under the metadata key `wholebody` (JSON).

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
        "schema": schema,
        "split_ratio": model.codec.split_ratio,
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
    _narrow(proto, storage, int8)
    _describe(proto, about | dict(notes or {}))
    with _written(proto, path) as session:
        # Decoded keypoints jump by whole bins where two maxima are close, so they are compared with the same logits.
        error = _compare(network, session, example, ("simcc_x", "simcc_y"), "int8" if int8 else storage, path)
        if fused:
            keypoints, scores, x, y = session(_pictures(example, 3))
            decoded = model.codec.decode(x, y)
            if not (np.array_equal(keypoints, decoded[0]) and np.array_equal(scores, decoded[1])):
                raise WholebodyError(f"{path}: decodes keypoints wrongly in ONNX Runtime. Try another version of it.")
    return error


def export_detector(
    model: "nn.Module",
    path: str | os.PathLike[str],
    *,
    input_size: tuple[int, int],
    fused: bool = True,
    storage: Storage = "float32",
    int8: Sequence[str] = (),
    notes: Mapping[str, object] | None = None,
) -> float:
    """Write a detector as ONNX with a free batch size.

    Fused: `images` (N, h, w, 3) uint8 BGR, letterboxed -> `raw` (N, anchors, 5 + classes), boxes undecoded. Plain:
    `images` (N, 3, h, w) float32 BGR 0..255 -> `output`, the same.

    Args:
        model: (N, 3, h, w) float32 BGR 0..255 -> (N, anchors, 5 + classes), as `yolox` makes. Left as it is.
        input_size: (w, h), multiples of 32.
        path, fused, storage, int8, notes: as `export_pose`.

    Returns, raises: as `export_pose`.
    """
    import torch

    w, h = input_size
    network = _frozen(model)
    if fused:
        network = _fused_detector(network)
        example = torch.zeros(2, h, w, 3, dtype=torch.uint8)
        names = ("images", "raw")
    else:
        example = torch.zeros(2, 3, h, w)
        names = ("images", "output")
    proto = _convert(network, example, names)
    _narrow(proto, storage, int8)
    _describe(proto, {"kind": "detector", "input_size": [w, h]} | dict(notes or {}))
    with _written(proto, path) as session:
        return _compare(network, session, example, names[1:], "int8" if int8 else storage, path)


def _counts(node: Any) -> bool:
    """Whether a node of a graph asks for the size of the first axis alone."""
    return node.op_type == "Shape" and {a.name: a.i for a in node.attribute} == {"start": 0, "end": 1}


def plain_layout(source: str | os.PathLike[str], path: str | os.PathLike[str]) -> float:
    """Write a fused pose network in the layout of the released files: for rtmlib and others that know only that.

    The released layout is `input` (N, 3, h, w) float32 normalised RGB -> `simcc_x`, `simcc_y`. What is in front of the
    network (colours, mean, deviation) and behind it (decoding) is taken away; the rest stays as it is stored.

    Args:
        source: an ONNX file made by `export_pose`, fused.
        path: replaced only when all is well.

    Returns:
        The largest difference of the logits between both files, in standard deviations.

    Raises:
        WholebodyError: the file is not such a network, or the outputs are not the same.
    """
    import onnx
    from onnx import TensorProto, helper

    from wholebody.estimate import TopDown
    from wholebody.preprocess import normalize

    session = open_session(source, "cpu")
    named = {tensor.name for tensor in session.outputs}
    if session.inputs[0].dtype != "uint8" or not named >= {"simcc_x", "simcc_y"}:
        raise WholebodyError(f"{source}: not a pose network in the fused layout, so there is nothing to take away.")
    estimator = TopDown(session)
    w, h = estimator.codec.input_size
    proto = onnx.load(os.fspath(source))
    graph = proto.graph
    # Bytes to planes to numbers around zero: one node after the other, until the first that computes with weights. Who
    # asks for the number of crops only may ask the new input as well.
    at, replaced = graph.input[0].name, set()
    while True:
        replaced.add(at)
        users = [node for node in graph.node if at in node.input and not _counts(node)]
        if len(users) != 1 or users[0].op_type not in _PREPARING:
            break
        at = users[0].output[0]
    for node in graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = "input" if name == at or (name in replaced and _counts(node)) else name
    needed, kept = {"simcc_x", "simcc_y"}, []
    for node in reversed(graph.node):
        if needed & set(node.output):
            kept.append(node)
            needed |= set(node.input)
    outputs = [output for output in graph.output if output.name in ("simcc_x", "simcc_y")]
    stored = [array for array in graph.initializer if array.name in needed]
    given = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3, h, w])
    plain = helper.make_graph(list(reversed(kept)), graph.name, [given], outputs, stored)
    copy_of = helper.make_model(plain, opset_imports=proto.opset_import, ir_version=proto.ir_version)
    copy_of.metadata_props.extend(proto.metadata_props)
    crops = np.random.default_rng(0).integers(0, 256, (2, h, w, 3), dtype=np.uint8)
    wanted = session(crops, ("simcc_x", "simcc_y"))
    with _written(copy_of, path) as copied:
        got = copied(normalize(crops, estimator.preprocessing), ("simcc_x", "simcc_y"))
        error = max(float(np.abs(a - b).max() / b.std()) for a, b in zip(got, wanted, strict=True))
        if not error <= _TOLERANCE["float32"]:
            raise WholebodyError(f"{source}: cannot be taken apart (logits differ by {error:.2g} standard deviations).")
    return error


def quantise(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    pictures: Iterable[npt.NDArray[Any]],
    keep: Sequence[str] = (),
) -> list[str]:
    """Write the int8 variant of an ONNX file: activations of the convolutions in eight bits, their weights too, with a
    scale for each output channel (static QDQ, ranges from the least and largest value seen).

    Convolutions that end in an output without further weights (a detector's predictions) stay in float, and so does all
    that comes before the first convolution or after the last: the attention and the two classifiers of a SimCC head.
    Weights that the source already stores in eight bits are not stored again if the target is in its folder: they are
    read from there, so that the two files belong together; the note `float_sha256` says which one it is.

    Args:
        source: an ONNX file with one input and a free batch size. target: replaced only when all is well.
        pictures: what the network will see, one without a batch each: (h, w, 3) uint8, or what else it takes. Some
            hundred are enough.
        keep: prefixes of weights ("head.") of further convolutions that stay in float.

    Returns:
        The names of the weights of layers that stay in float.

    Raises:
        WholebodyError: the source cannot be read, there is no picture, or ONNX Runtime refuses the result.
    """
    import onnx
    import onnxruntime as ort
    from onnxruntime import quantization as ortq

    source, target = Path(source), Path(target)
    session = open_session(source, "cpu")
    with tempfile.TemporaryDirectory() as folder, _quiet():
        folded, small = Path(folder) / "folded.onnx", Path(folder) / "int8.onnx"
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(folded)
        options.log_severity_level = 3
        ort.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
        graph = onnx.load(folded).graph
        kept = _kept_in_float(graph, tuple(keep))
        rows = ({session.inputs[0].name: picture[None]} for picture in pictures)
        first = next(rows, None)
        if first is None:
            raise WholebodyError(f"{source}: no picture to measure ranges on. Give some that the network will see.")
        taken = chain([first], rows)

        class Reader(ortq.CalibrationDataReader):  # type: ignore[misc]
            def get_next(self) -> dict[str, npt.NDArray[Any]] | None:
                return next(taken, None)

        ortq.quantize_static(
            folded,
            small,
            Reader(),
            quant_format=ortq.QuantFormat.QDQ,
            per_channel=True,
            activation_type=ortq.QuantType.QUInt8,
            weight_type=ortq.QuantType.QInt8,
            nodes_to_exclude=[node.name for node in kept],
        )
        proto = onnx.load(small)
    proto.ir_version = 8
    _narrow(proto, "float16", ())
    data = source.read_bytes()
    if source.resolve().parent == target.resolve().parent:
        _share(proto, source.name, data)
    del proto.metadata_props[:]
    for key, value in session.metadata.items():
        entry = proto.metadata_props.add()
        entry.key, entry.value = key, value
    if "wholebody" not in session.metadata:
        _describe(proto, {})
    entry = next(entry for entry in proto.metadata_props if entry.key == "wholebody")
    entry.value = json.dumps(json.loads(entry.value) | {"float_sha256": hashlib.sha256(data).hexdigest()})
    with _written(proto, target) as made:
        made(np.ascontiguousarray(first[session.inputs[0].name]))
    stored = {initializer.name for initializer in graph.initializer}
    return [name for node in kept if node.op_type in _WEIGHTED for name in node.input[:2] if name in stored]


_WEIGHTED = ("Conv", "MatMul", "Gemm", "ConvTranspose")


def _kept_in_float(graph: Any, keep: tuple[str, ...] = ()) -> list[Any]:
    """Nodes before the first convolution, after the last, and convolutions with no weights behind them or in `keep`."""
    takers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            takers.setdefault(name, []).append(node)
    before: dict[str, bool] = {}  # output -> whether a convolution made it, or what made that
    for node in graph.node:
        convolved = node.op_type == "Conv" or any(before.get(name, False) for name in node.input)
        before.update(dict.fromkeys(node.output, convolved))
    # For each node, whether a convolution comes after it, and whether anything with weights does.
    conv: dict[str, bool] = {}
    weights: dict[str, bool] = {}
    stored = {initializer.name for initializer in graph.initializer}
    for node in reversed(graph.node):
        after = [taker for name in node.output for taker in takers.get(name, ())]
        conv[node.name] = any(taker.op_type == "Conv" or conv[taker.name] for taker in after)
        weights[node.name] = any(
            weights[taker.name] or (taker.op_type in _WEIGHTED and stored & set(taker.input)) for taker in after
        )
    return [
        node
        for node in graph.node
        if not (
            weights[node.name] and not node.input[1].startswith(keep)
            if node.op_type == "Conv"
            else conv[node.name] and any(before.get(name, False) for name in node.input)
        )
    ]


def low_rank(layer: "nn.Conv2d", rank: int) -> "nn.Sequential":
    """The convolution closest to `layer` of those that first mix its input channels into `rank` ones.

    A 7x7 convolution from 1280 channels to 133 is most of a pose head's weights, though what it reads lies in a small
    part of those channels. Closest in the sense of least squares over the weights (a truncated singular value
    decomposition); with `rank` >= the number of input channels the same function but for rounding.

    Returns: a 1x1 convolution to `rank` channels, and one of the size of `layer` from these, which has its bias.

    Raises:
        ValueError: a grouped convolution, or no rank.
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


def _share(proto: Any, name: str, data: bytes) -> None:
    """Let weights whose bytes the file `name`, of content `data`, has already be read from there."""
    from onnx import TensorProto

    for stored in proto.graph.initializer:
        raw = stored.raw_data
        if len(raw) < _SMALL * 4 or (at := data.find(raw)) < 0:
            continue
        stored.ClearField("raw_data")
        stored.data_location = TensorProto.EXTERNAL
        for key, value in (("location", name), ("offset", at), ("length", len(raw))):
            entry = stored.external_data.add()
            entry.key, entry.value = key, str(value)


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

        def forward(self, crops: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
            # Planes change places while they are bytes: a quarter of the memory.
            planes = crops.permute(0, 3, 1, 2).index_select(1, self.rgb)
            x, y = self.network((planes.float() - self.mean) * self.factor)
            scores = torch.minimum(x.amax(dim=-1), y.amax(dim=-1))
            at = torch.stack((x.argmax(dim=-1), y.argmax(dim=-1)), dim=-1).float()
            keypoints = torch.where(scores[..., None] <= 0, -1.0, at) / codec.split_ratio
            return keypoints, scores, x, y

    return Fused().eval()


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


def _convert(network: "nn.Module", example: "Tensor", names: Sequence[str]) -> Any:
    """An ONNX model; `names` are those of the input and the outputs."""
    import torch

    with _quiet():
        program = torch.onnx.export(
            _folded(network),
            (example,),
            input_names=names[:1],
            output_names=names[1:],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    proto = program.model_proto
    # The exporter notes the source line of every node; a file for strangers should not show its maker's folders.
    graph = proto.graph
    for part in (*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer, graph, proto):
        part.ClearField("doc_string")
        part.ClearField("metadata_props")
    _rename(graph, network)
    proto.ir_version = 8  # belongs to the opset; newer ones only add what was just removed
    return proto


def _folded(network: "nn.Module") -> "nn.Module":
    """A copy with batch norms inside their convolutions: the exporter would do so too, at the end of a longer way."""
    from torch import nn
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    network = copy.deepcopy(network)
    for module in network.modules():
        conv, norm = getattr(module, "conv", None), getattr(module, "bn", None)
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            module.conv, module.bn = fuse_conv_bn_eval(conv, norm), nn.Identity()
    return network


def _rename(graph: Any, network: "nn.Module") -> None:
    """Give weights the names of the state dict, also where the exporter has transposed them under a number."""
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


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter warns of its own deprecations and of packages it could use: nothing the reader can act on."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _describe(proto: Any, about: Mapping[str, object]) -> None:
    entry = proto.metadata_props.add()
    entry.key, entry.value = "wholebody", json.dumps(about)


def _narrow(proto: Any, storage: Storage, int8: Sequence[str]) -> None:
    """Store large weights in fewer bits and widen them in the graph.

    What widens is a chain of Cast and Mul on constants, which runtimes compute once, when they load the file.
    DequantizeLinear would say the same, but ONNX Runtime keeps it and pays for it in every run.
    """
    from onnx import TensorProto, helper, numpy_helper

    graph, nodes = proto.graph, []
    for stored in list(graph.initializer):
        if stored.data_type != TensorProto.FLOAT or np.prod(stored.dims) < _SMALL:
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


@contextmanager
def _written(proto: Any, path: str | os.PathLike[str]) -> Iterator[Session]:
    """A session on the new file, which gets its name only when the block ends well."""
    with replacing(path) as partial:
        Path(partial).write_bytes(proto.SerializeToString())
        try:
            session = open_session(partial, device="cpu")
        except WholebodyError as error:
            raise WholebodyError(f"{path}: ONNX Runtime refuses the export. Try its newest version.") from error
        yield session


def _pictures(example: "Tensor", count: int) -> npt.NDArray[Any]:
    """A batch like the example: noise, and ever smoother pictures, as real ones are."""
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
            # Not-a-number compares false, and must not pass.
            if not difference <= _TOLERANCE[storage]:
                raise WholebodyError(
                    f"{path}: {name} differs between ONNX Runtime and torch by {difference:.2g} standard deviations. "
                    "Check the weights for infinities, or try other versions of torch and onnxruntime."
                )
            worst = max(worst, difference)
    return worst
