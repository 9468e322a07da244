"""`Session`: the protocol that every runtime implements, and the metadata of a network's file."""

import functools
import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, get_args

import numpy.typing as npt

from wholebody.choices import Precision
from wholebody.errors import WholebodyError

PRECISIONS: tuple[Precision, ...] = get_args(Precision)


@dataclass(frozen=True)
class Tensor:
    """An input or output of a network: `shape` has None for dynamic sizes, `dtype` is numpy's name."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str


class Session(Protocol):
    """A loaded network.

    Attributes:
        inputs, outputs: the input (one tensor) and the outputs.
        metadata: the file's metadata, string to string; the key `wholebody` holds JSON.
        provider: what actually computes, by ONNX Runtime's name ("CPUExecutionProvider"), or "OpenVINO".
        precision: the type that most of it computes in: "fp32", "bf16" or "int8".
        fallback: why this is not the requested device, in one line; None if it is.
    """

    @property
    def inputs(self) -> tuple[Tensor, ...]: ...
    @property
    def outputs(self) -> tuple[Tensor, ...]: ...
    @property
    def metadata(self) -> Mapping[str, str]: ...
    @property
    def provider(self) -> str: ...
    @property
    def precision(self) -> str: ...
    @property
    def fallback(self) -> str | None: ...

    def __call__(self, batch: npt.NDArray[Any], outputs: Sequence[str] | None = None) -> list[npt.NDArray[Any]]:
        """Run the network on `batch` (N, ...), of the input's dtype; the named outputs in that order, or all.

        A network exported for one fixed batch size takes any N too: the batch is split and the last piece padded.

        Raises:
            WholebodyError: the batch does not fit the network, or the runtime failed.
        """
        ...


def int8_file(path: str | os.PathLike[str]) -> Path:
    """The path of the int8 variant of an ONNX file: pose.int8.onnx next to pose.onnx, or the file itself if it has such
    a name."""
    path = Path(path)
    return path if path.stem.endswith(".int8") else path.with_suffix(".int8.onnx")


def float_file(path: str | os.PathLike[str]) -> Path:
    """The inverse: pose.onnx for pose.int8.onnx, and the file itself if it is not an int8 file."""
    path = Path(path)
    return path.with_name(path.stem.removesuffix(".int8") + path.suffix)


_DTYPES = {"float": "float32", "double": "float64"}


def tensors(nodes: Sequence[Any]) -> tuple[Tensor, ...]:
    def tensor(node: Any) -> Tensor:
        dtype = node.type.removeprefix("tensor(").removesuffix(")")
        shape = tuple(size if isinstance(size, int) else None for size in node.shape)
        return Tensor(node.name, shape, _DTYPES.get(dtype, dtype))

    return tuple(tensor(node) for node in nodes)


def shape_text(shape: tuple[int | None, ...]) -> str:
    return "(" + ", ".join("any" if size is None else str(size) for size in shape) + ")"


def reason(error: Exception) -> str:
    """The message without ONNX Runtime's prefix, in one line."""
    return " ".join(str(error).split(" : ")[-1].split()) or type(error).__name__


@functools.cache
def notice(text: str) -> None:
    # Logged, because warnings.warn would add a file name and a source line; cached, because the detector and the pose
    # network fall back for the same reason.
    logging.getLogger("wholebody").warning(text)


def notes(session: Session) -> dict[str, Any]:
    """The metadata of a file made by this package (kind, input_size, schema, ...); {} for any other file."""
    try:
        found = json.loads(session.metadata.get("wholebody", "{}"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def input_size(session: Session, otherwise: tuple[int, int] | None = None) -> tuple[int, int]:
    """(w, h) of a network that takes pictures: (N, h, w, 3) uint8, or (N, 3, h, w) of any other type.

    Args:
        otherwise: the size to use if neither the graph nor the metadata states it.

    Raises:
        WholebodyError: it takes something else, or the size is unknown.
    """
    tensor = session.inputs[0]
    layout = ("n", "h", "w", "c") if tensor.dtype == "uint8" else ("n", "c", "h", "w")
    sides = dict(zip(layout, tensor.shape, strict=False))
    if len(tensor.shape) != 4 or sides["c"] not in (3, None):
        raise WholebodyError(f"not a network for pictures: it takes {tensor.name} {shape_text(tensor.shape)}.")
    width, height = notes(session).get("input_size", otherwise or (None, None))
    width, height = sides["w"] or width, sides["h"] or height
    if width is None or height is None:
        raise WholebodyError(f"the size of the input {tensor.name} is not fixed. Export the network with a fixed size.")
    return int(width), int(height)
