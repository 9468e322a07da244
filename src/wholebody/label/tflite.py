"""TensorFlow Lite files as a `Session`: many released estimators exist only in this format."""

import importlib.util
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from wholebody.errors import WholebodyError
from wholebody.runtime.session import Tensor


@dataclass(frozen=True, eq=False)
class TfliteSession:
    """A `Session` on LiteRT. The file's batch size is fixed, so pictures are processed one by one."""

    path: Path
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    _interpreter: Any = field(repr=False)
    metadata: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    provider: str = "LiteRT"
    precision: str = "fp32"
    fallback: str | None = None

    def __call__(self, batch: npt.NDArray[Any], outputs: Sequence[str] | None = None) -> list[npt.NDArray[Any]]:
        names = [tensor.name for tensor in self.outputs] if outputs is None else list(outputs)
        places = {row["name"]: row["index"] for row in self._interpreter.get_output_details()}
        entry = self._interpreter.get_input_details()[0]["index"]
        rows = []
        for item in batch:
            try:
                self._interpreter.set_tensor(entry, np.ascontiguousarray(item[None]))
                self._interpreter.invoke()
            except (ValueError, RuntimeError) as error:
                tensor = self.inputs[0]
                raise WholebodyError(
                    f"{self.path}: cannot run on {batch.dtype} {batch.shape}. "
                    f"The network takes {tensor.dtype} {tensor.shape}."
                ) from error
            rows.append([self._interpreter.get_tensor(places[name]).copy() for name in names])
        return [np.concatenate(column) for column in zip(*rows, strict=True)] if rows else []


def open_tflite(path: str | os.PathLike[str], threads: int | None = None) -> TfliteSession:
    """Load a .tflite file with a single input.

    Raises:
        WholebodyError: no such file, not such a network, or ai-edge-litert is not installed.
    """
    path = Path(path)
    if not path.is_file():
        raise WholebodyError(f"{path}: no such file. Check the path.")
    if importlib.util.find_spec("ai_edge_litert") is None:
        raise WholebodyError(f"{path}: reading a .tflite file needs ai-edge-litert: pip install 'wholebody[thunder]'.")
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(str(path), num_threads=threads)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise WholebodyError(f"{path}: cannot be read as a TensorFlow Lite file. Check the path.") from error
    inputs, outputs = (
        tuple(
            Tensor(str(row["name"]), tuple(int(n) for n in row["shape"]), np.dtype(row["dtype"]).name) for row in rows
        )
        for rows in (interpreter.get_input_details(), interpreter.get_output_details())
    )
    if len(inputs) != 1:
        raise WholebodyError(f"{path}: has {len(inputs)} inputs, not one.")
    return TfliteSession(path, inputs, outputs, interpreter)
