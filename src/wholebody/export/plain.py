"""ONNX files in the layout that other programs expect: float input, plain outputs, no decoding."""

import os
from typing import Any

import numpy as np

from wholebody.errors import WholebodyError
from wholebody.export.check import TOLERANCE, written
from wholebody.runtime.choose import open_session
from wholebody.runtime.session import input_size, notes

# The preprocessing nodes of the fused layout.
_PREPARING = ("Transpose", "Gather", "Cast", "Sub", "Mul", "Div")


def _counts(node: Any) -> bool:
    """Whether a node of a graph only uses the size of the first axis."""
    return node.op_type == "Shape" and {a.name: a.i for a in node.attribute} == {"start": 0, "end": 1}


def plain_layout(source: str | os.PathLike[str], path: str | os.PathLike[str]) -> float:
    """Convert a fused pose network to the layout of the released files, for rtmlib and other programs that need it.

    The released layout is `input` (N, 3, h, w) float32 normalised RGB -> `simcc_x`, `simcc_y`. Preprocessing (channel
    order, mean, standard deviation) and decoding are removed; the rest stays as stored.

    Args:
        source: an ONNX file made by `export_pose`, fused.
        path: replaced only on success.

    Returns:
        The largest difference of the logits between both files, in standard deviations.

    Raises:
        WholebodyError: the file is not such a network, or the outputs are not the same.
    """
    import onnx
    from onnx import TensorProto, helper

    from wholebody.weights.preprocess import normalize, preprocessing_of

    session = open_session(source, "cpu")
    named = {tensor.name for tensor in session.outputs}
    if session.inputs[0].dtype != "uint8" or not named >= {"simcc_x", "simcc_y"}:
        raise WholebodyError(f"{source}: not a pose network in the fused layout, so there is nothing to remove.")
    preprocessing = preprocessing_of(notes(session))
    w, h = input_size(session)
    proto = onnx.load(os.fspath(source))
    graph = proto.graph
    # Follow the chain of preprocessing nodes up to the first one with weights. Nodes that only use the number of crops
    # can use the new input as well.
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
    with written(copy_of, path) as copied:
        got = copied(normalize(crops, preprocessing), ("simcc_x", "simcc_y"))
        error = max(float(np.abs(a - b).max() / b.std()) for a, b in zip(got, wanted, strict=True))
        if not error <= TOLERANCE["float32"]:
            raise WholebodyError(f"{source}: cannot be split (logits differ by {error:.2g} standard deviations).")
    return error
