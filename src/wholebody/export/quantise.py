"""int8 networks: static quantisation of the layers where it pays off."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wholebody.errors import WholebodyError
from wholebody.export.check import describe, quiet, written
from wholebody.export.narrow import SMALL, narrow
from wholebody.runtime.choose import open_session


def quantise(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    pictures: Iterable[npt.NDArray[Any]],
    keep: Sequence[str] = (),
) -> list[str]:
    """Write the int8 variant of an ONNX file: activations and weights of the convolutions in int8, with a scale per
    output channel (static QDQ, min-max ranges).

    Convolutions that end in an output without further weights (a detector's predictions) stay in float, and so does
    everything before the first convolution and after the last: the attention and the two classifiers of a SimCC head.
    Weights that the source already stores in int8 are not stored again if the target is in the same folder: they are
    read from the source, so the two files belong together; the metadata `float_sha256` identifies it.

    Args:
        source: an ONNX file with one input and a dynamic batch size. target: replaced only on success.
        pictures: calibration inputs without a batch axis: (h, w, 3) uint8, or whatever the network takes. A few hundred
            are enough.
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
    with tempfile.TemporaryDirectory() as folder, quiet():
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
    narrow(proto, "float16", ())
    data = source.read_bytes()
    if source.resolve().parent == target.resolve().parent:
        _share(proto, source.name, data)
    del proto.metadata_props[:]
    for key, value in session.metadata.items():
        entry = proto.metadata_props.add()
        entry.key, entry.value = key, value
    if "wholebody" not in session.metadata:
        describe(proto, {})
    entry = next(entry for entry in proto.metadata_props if entry.key == "wholebody")
    entry.value = json.dumps(json.loads(entry.value) | {"float_sha256": hashlib.sha256(data).hexdigest()})
    with written(proto, target) as made:
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
    # For each node, whether a convolution follows it, and whether anything with weights does.
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


def _share(proto: Any, name: str, data: bytes) -> None:
    """Refer to the file `name`, with content `data`, for weights whose bytes it already contains."""
    from onnx import TensorProto

    for stored in proto.graph.initializer:
        raw = stored.raw_data
        if len(raw) < SMALL * 4 or (at := data.find(raw)) < 0:
            continue
        stored.ClearField("raw_data")
        stored.data_location = TensorProto.EXTERNAL
        for key, value in (("location", name), ("offset", at), ("length", len(raw))):
            entry = stored.external_data.add()
            entry.key, entry.value = key, str(value)
