"""Tiny networks whose answers can be told by looking at the picture.

The detector finds blue rectangles. The pose network puts every keypoint at the column and the row that are brightest
in that keypoint's own mixture of red, green and blue. Both exist as a stub session (a numpy function) and, as far as
ONNX files are tested, as a graph of a few nodes. Foreign networks are files only: heatmaps are the picture itself, made
smaller, and coordinates are the middle of its light.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from wholebody.codec import SimCC
from wholebody.runtime.session import Tensor
from wholebody.weights.preprocess import IMAGENET_RGB, normalize

K = 133
BLUE = (255, 0, 0)
OFFSET = np.float32(3)
# (K, 3) weights of red, green and blue.
MIXTURE = np.random.RandomState(0).random_sample((K, 3)).astype(np.float32) + 0.1


@dataclass(frozen=True)
class Stub:
    """A `Session` around a function batch -> {output: array}; it notes the sizes of its batches."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    function: Callable[[np.ndarray], Mapping[str, np.ndarray]]
    metadata: Mapping[str, str] = field(default_factory=dict)
    provider: str = "stub"
    fallback: str | None = None
    runs: list[int] = field(default_factory=list)

    def __call__(self, batch: np.ndarray, outputs: Sequence[str] | None = None) -> list[np.ndarray]:
        taken = self.inputs[0]
        assert batch.dtype == taken.dtype and batch.flags.c_contiguous
        assert all(want in (None, got) for want, got in zip(taken.shape, batch.shape, strict=True))
        self.runs.append(len(batch))
        found = self.function(batch)
        return [found[name] for name in outputs or [tensor.name for tensor in self.outputs]]


def notes(**about):
    return {"wholebody": json.dumps(about)}


def tensor(name, *shape, dtype="float32"):
    return Tensor(name, shape, dtype)


def raw_of(boxes, scores, size, classes=1):
    """A YOLOX output (anchors, 5 + classes) that decodes to these boxes (canvas pixels), at anchors of stride 8."""
    columns, rows = size[0] // 8, size[1] // 8
    raw = np.zeros((columns * rows * 21 // 16, 5 + classes), np.float32)
    for box, score in zip(np.asarray(boxes, float).reshape(-1, 4), scores, strict=True):
        center, side = (box[:2] + box[2:]) / 16, (box[2:] - box[:2]) / 8
        cell = np.clip(center.astype(int), 0, (columns - 1, rows - 1))
        raw[cell[1] * columns + cell[0], :6] = (*(center - cell), *np.log(side), score, 1)
    return raw


def blue_detector(size=(128, 128), fused=True, classes=1, pixels=None):
    """Boxes around blue rectangles (BGR 255, 0, 0), the larger the surer; with `pixels` in an input of any sides."""

    def detect(batch):
        canvases = batch if fused else batch.transpose(0, 2, 3, 1).astype(np.uint8)
        found = []
        for canvas in canvases:
            blue = (canvas[..., 0] > 200) & (canvas[..., 1:].max(axis=2) < 80)
            _, _, stats, _ = cv2.connectedComponentsWithStats(blue.astype(np.uint8), connectivity=4)
            x, y, w, h, area = stats[1:].T
            boxes = np.stack([x, y, x + w, y + h], axis=1)
            found.append(raw_of(boxes, 0.5 + area / (4 * blue.size), blue.shape[::-1], classes))
        return {"raw": np.stack(found)}

    shape = (None, size[1], size[0], 3) if fused else (None, 3, size[1], size[0])
    anchors = size[0] * size[1] // 64 * 21 // 16
    free = {}
    if pixels:
        shape, anchors, free = (None, None, None, 3) if fused else (None, 3, None, None), None, {"pixels": pixels}
    return Stub(
        (tensor("images", *shape, dtype="uint8" if fused else "float32"),),
        (tensor("raw", None, anchors, 5 + classes),),
        detect,
        notes(kind="detector", input_size=size, **free) if fused or pixels else {},
    )


def bright_pose(size=(48, 64), fused=True, decoded=True, mixture=MIXTURE):
    """Keypoints at the brightest column and row; see the head of this file."""
    w, h = size

    def estimate(batch):
        planes = normalize(batch) if fused else batch
        # The offset keeps the scores of dark pictures positive: below 0 there is no keypoint.
        x = np.einsum("ncw,kc->nkw", planes.mean(axis=2) + OFFSET, mixture).repeat(2, axis=2)
        y = np.einsum("nch,kc->nkh", planes.mean(axis=3) + OFFSET, mixture).repeat(2, axis=2)
        keypoints, scores = SimCC(size).decode(x, y)
        return {"keypoints": keypoints, "scores": scores, "simcc_x": x, "simcc_y": y}

    k = len(mixture)
    simcc = (tensor("simcc_x", None, k, 2 * w), tensor("simcc_y", None, k, 2 * h))
    points = (tensor("keypoints", None, k, 2), tensor("scores", None, k))
    shape = (None, h, w, 3) if fused else (None, 3, h, w)
    return Stub(
        (tensor("crops", *shape, dtype="uint8" if fused else "float32"),),
        (*points, *simcc) if fused and decoded else simcc,
        estimate,
        notes(kind="pose", input_size=size, schema="coco_wholebody", split_ratio=2.0) if fused else {},
    )


def people(boxes, size=(240, 320), seed=0):
    """A dark BGR picture (size is h, w) with a blue rectangle for each box and one bright spot in each."""
    rs = np.random.RandomState(seed)
    image = np.full((*size, 3), 20, np.uint8)
    for x0, y0, x1, y1 in np.asarray(boxes, int).reshape(-1, 4):
        image[y0:y1, x0:x1] = BLUE
        sx, sy = rs.randint(x0 + 4, x1 - 8), rs.randint(y0 + 4, y1 - 8)
        image[sy : sy + 4, sx : sx + 4] = 255
    return image


# --- As ONNX files ---------------------------------------------------------------------------------------------------


def _save(path: Path, nodes, inputs, outputs, constants, metadata) -> Path:
    from onnx import TensorProto, checker, helper, numpy_helper, save_model

    kinds = {"uint8": TensorProto.UINT8, "float32": TensorProto.FLOAT}

    def info(each):
        return helper.make_tensor_value_info(
            each.name, kinds[each.dtype], ["n" if s is None else s for s in each.shape]
        )

    graph = helper.make_graph(
        [helper.make_node(op, of, [to], **options) for op, of, to, options in nodes],
        "tiny",
        [info(each) for each in inputs],
        [info(each) for each in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, dict(metadata))
    checker.check_model(model)
    save_model(model, path)
    return path


def save_detector(path: Path, boxes, scores, size=(128, 128), fused=True) -> Path:
    """A detector file that answers the same boxes (canvas pixels) to every picture."""
    stub = blue_detector(size, fused)
    nodes = [
        ("Cast", ["images"], "float", {"to": 1}),
        ("ReduceMean", ["float"], "mean", {"axes": [2, 3], "keepdims": 0}),
        ("ReduceMean", ["mean"], "each", {"axes": [1], "keepdims": 1}),
        ("Mul", ["each", "zero"], "nothing", {}),
        ("Unsqueeze", ["nothing", "last"], "wide", {}),
        ("Add", ["wide", "answer"], "raw", {}),
    ]
    constants = {
        "zero": np.float32(0),
        "last": np.array([2], np.int64),
        "answer": raw_of(boxes, scores, size)[None],
    }
    return _save(path, nodes, stub.inputs, stub.outputs, constants, stub.metadata)


def save_pose(path: Path, size=(48, 64), fused=True) -> Path:
    """`bright_pose` as a file."""
    stub = bright_pose(size, fused)
    mean, scale = (np.array(values[::-1], np.float32) for values in (IMAGENET_RGB.mean, IMAGENET_RGB.std))
    offset = mean - OFFSET * scale
    nodes = [
        ("Cast", ["crops"], "float", {"to": 1}),
        ("Sub", ["float", "offset"], "centered", {}),
        ("Div", ["centered", "scale"], "normal", {}),
    ]
    if not fused:
        nodes = [
            ("Transpose", ["crops"], "pixels", {"perm": [0, 2, 3, 1]}),
            ("Add", ["pixels", "three"], "normal", {}),
        ]
    for name, axis in (("x", 1), ("y", 2)):
        nodes += [
            ("ReduceMean", ["normal"], f"{name}_profile", {"axes": [axis], "keepdims": 0}),
            ("MatMul", [f"{name}_profile", "mixture"], f"{name}_mixed", {}),
            ("Transpose", [f"{name}_mixed"], f"{name}_rows", {"perm": [0, 2, 1]}),
            ("Unsqueeze", [f"{name}_rows", "last"], f"{name}_one", {}),
            ("Concat", [f"{name}_one", f"{name}_one"], f"{name}_two", {"axis": 3}),
            ("Reshape", [f"{name}_two", "flat"], f"simcc_{name}", {}),
            ("ArgMax", [f"simcc_{name}"], f"{name}_bin", {"axis": 2, "keepdims": 1}),
            ("ReduceMax", [f"simcc_{name}"], f"{name}_max", {"axes": [2], "keepdims": 0}),
        ]
    decoding = [
        ("Concat", ["x_bin", "y_bin"], "bins", {"axis": 2}),
        ("Cast", ["bins"], "points", {"to": 1}),
        ("Div", ["points", "two"], "keypoints", {}),
        ("Min", ["x_max", "y_max"], "scores", {}),
    ]
    preparing = {"offset": offset, "scale": scale, "two": np.float32(2)} if fused else {"three": OFFSET}
    constants = {
        **preparing,
        "mixture": np.ascontiguousarray(MIXTURE[:, ::-1].T if fused else MIXTURE.T),
        "last": np.array([3], np.int64),
        "flat": np.array([0, K, -1], np.int64),
    }
    nodes += decoding if fused else []
    return _save(path, nodes, stub.inputs, stub.outputs, constants, stub.metadata)


def save_heatmaps(path: Path, size=(48, 64), stride=4, udp=False, k=17, about=None) -> Path:
    """Keypoint i sees channel i % 3: every `stride`-th pixel, or (UDP) as many, the first and the last among them."""
    w, h = size
    maps = (h // stride, w // stride)
    weights = np.eye(3, dtype=np.float32)[np.arange(k) % 3, :, None, None]
    nodes = [("Conv", ["input", "weights"], "maps", {"strides": [1 if udp else stride] * 2})]
    constants = {"weights": weights}
    if udp:
        nodes = [
            ("Conv", ["input", "weights"], "channels", {}),
            ("Shape", ["channels"], "all", {}),
            ("Slice", ["all", "none", "two"], "batch", {}),
            ("Concat", ["batch", "sides"], "sizes", {"axis": 0}),
            (
                "Resize",
                ["channels", "", "", "sizes"],
                "maps",
                {"coordinate_transformation_mode": "align_corners", "mode": "linear"},
            ),
        ]
        constants |= {"none": np.array([0]), "two": np.array([2]), "sides": np.array(maps)}
    inputs, outputs = (tensor("input", None, 3, h, w),), (tensor("maps", None, k, *maps),)
    return _save(path, nodes, inputs, outputs, constants, notes(**about) if about else {})


def save_coordinates(path: Path, size=(48, 64), k=17, extra=(), about=None) -> Path:
    """Every keypoint is at the middle of the light, as a fraction of the sides; `extra` columns are constant."""
    w, h = size
    y, x = np.mgrid[:h, :w].astype(np.float32)
    moments = np.stack([x / w, y / h, np.ones_like(x)], axis=-1).reshape(-1, 3)
    nodes = [
        ("ReduceMean", ["input"], "grey", {"axes": [1], "keepdims": 0}),
        ("Reshape", ["grey", "flat"], "pixels", {}),
        ("MatMul", ["pixels", "moments"], "sums", {}),
        ("Slice", ["sums", "zero", "two", "one"], "middle", {}),
        ("Slice", ["sums", "two", "three", "one"], "light", {}),
        ("Div", ["middle", "light"], "fractions", {}),
        ("Unsqueeze", ["fractions", "one"], "point", {}),
        ("Pad", ["point", "room"], "row", {}),
        ("Add", ["row", "extra"], "coordinates", {}),
    ]
    columns = 2 + len(extra)
    constants = {
        "flat": np.array([0, -1]),
        "moments": moments,
        "zero": np.array([0]),
        "one": np.array([1]),
        "two": np.array([2]),
        "three": np.array([3]),
        "room": np.array([0, 0, 0, 0, 0, columns - 2]),
        "extra": np.tile(np.float32([0, 0, *extra]), (k, 1)),
    }
    inputs, outputs = (tensor("input", None, 3, h, w),), (tensor("coordinates", None, k, columns),)
    return _save(path, nodes, inputs, outputs, constants, notes(**about) if about else {})
