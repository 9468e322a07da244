"""A `Session` on OpenVINO (the extra `openvino`): explicitly float32, or bfloat16 if the CPU supports it.

OpenVINO is fastest if the batch size is known at compile time. So a network is compiled for a few sizes, each on first
use, and a batch is split into these. Compiled networks are kept in the cache folder.
"""

import functools
import io
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, Literal

import numpy as np
import numpy.typing as npt

from wholebody.errors import WholebodyError
from wholebody.runtime.session import Tensor

# By default OpenVINO uses bfloat16 wherever it can, which moves keypoints, so the precision is always set.
_HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}

# Larger batches gain nothing even on many cores.
_LARGEST = 8


@dataclass(frozen=True, eq=False)
class OpenVinoSession:
    """A `Session` on OpenVINO's CPU device. Can be shared by threads, which then take turns."""

    path: Path
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    metadata: Mapping[str, str]
    precision: str
    sizes: tuple[int, ...]
    _compile: Callable[[int], Any] = field(repr=False)
    provider: str = "OpenVINO"
    fallback: str | None = None
    _requests: dict[int, Any] = field(default_factory=dict, repr=False)
    _turn: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __call__(self, batch: npt.NDArray[Any], outputs: Sequence[str] | None = None) -> list[npt.NDArray[Any]]:
        names = [tensor.name for tensor in self.outputs] if outputs is None else list(outputs)
        self._check(batch)
        with self._turn:
            parts, at = [], 0
            for size in pieces(max(len(batch), 1), self.sizes):
                piece = batch[at : at + size]
                if len(piece) < size:  # a network exported for one size, or an empty batch
                    piece = np.concatenate([piece, np.zeros((size - len(piece), *batch.shape[1:]), batch.dtype)])
                parts.append(self._run(np.ascontiguousarray(piece), names))
                at += size
        if len(parts) == 1 and len(batch) == len(parts[0][0]):
            return parts[0]
        return [np.concatenate(part)[: len(batch)] for part in zip(*parts, strict=True)]

    def _check(self, batch: npt.NDArray[Any]) -> None:
        # OpenVINO would silently convert another type, and accept a batch meant for another network.
        tensor = self.inputs[0]
        shape = batch.shape[1:]
        fits = len(batch.shape) == len(tensor.shape) and all(
            want in (None, got) for want, got in zip(tensor.shape[1:], shape, strict=True)
        )
        if not fits or batch.dtype != tensor.dtype:
            wanted = ", ".join("any" if size is None else str(size) for size in tensor.shape)
            raise WholebodyError(
                f"{self.path}: cannot run on {batch.dtype} {batch.shape}. The network takes {tensor.dtype} ({wanted})."
            )

    def _run(self, batch: npt.NDArray[Any], names: list[str]) -> list[npt.NDArray[Any]]:
        try:
            if len(batch) not in self._requests:
                self._requests[len(batch)] = self._compile(len(batch))
            request = self._requests[len(batch)]
            request.infer([batch], share_inputs=True)
            # The request's memory is overwritten by the next run.
            return [np.array(request.get_tensor(name).data) for name in names]
        except RuntimeError as error:
            raise WholebodyError(f"{self.path}: OpenVINO failed ({_reason(error)}). Choose device cpu.") from error


def pieces(count: int, sizes: Sequence[int]) -> list[int]:
    """`count` as a sum of `sizes`, largest first; if there is no 1, exceeding it as little as possible."""
    found = []
    for size in sorted(sizes, reverse=True):
        found += [size] * (count // size)
        count %= size
    return found + [min(sizes)] * (count > 0)


def batch_sizes(threads: int) -> tuple[int, ...]:
    """Batch sizes to compile: 1, 2, 4 ... up to the number of threads, because threads parallelise best over pictures.

    On one thread, a crop in a larger batch is no faster than in a batch of one.
    """
    return tuple(2**n for n in range(4) if 2**n <= min(threads, _LARGEST))


def open_openvino(
    path: Path, precision: Literal["fp32", "bf16", "int8"], threads: int | None = None
) -> OpenVinoSession:
    """Load an ONNX file and compile it for a batch of one.

    Args:
        path: an ONNX file with a single input.
        precision: fp32 and bf16 set the type of float layers; with int8 these compute in float32.
        threads: None takes all cores.

    Raises:
        WholebodyError: OpenVINO cannot read the file, or the CPU does not support bfloat16.
    """
    core = _core()
    if precision == "bf16" and not computes_bf16():
        raise WholebodyError("this CPU does not support bfloat16. Choose another precision, such as auto.")
    options = {
        "INFERENCE_PRECISION_HINT": _HINTS[precision],
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",
        **({} if threads is None else {"INFERENCE_NUM_THREADS": str(threads)}),
        **_cache(precision),
    }
    try:
        model = core.read_model(path)
    except RuntimeError as error:
        raise WholebodyError(f"{path}: OpenVINO rejects it ({_reason(error)}). Choose device cpu.") from error
    if len(model.inputs) != 1:
        raise WholebodyError(f"{path}: not a pose or detector network (it has {len(model.inputs)} inputs, not one).")
    inputs, outputs = (tuple(map(_tensor, ports)) for ports in (model.inputs, model.outputs))

    def compiled(size: int) -> Any:
        still = model.clone()
        if inputs[0].shape:
            still.reshape([size, *list(still.inputs[0].partial_shape)[1:]])
        return core.compile_model(still, "CPU", options).create_infer_request()

    fixed = inputs[0].shape[0] if inputs[0].shape else None
    sizes = (fixed,) if fixed else batch_sizes(threads or len(_cores()))
    metadata = MappingProxyType(read_metadata(path))
    session = OpenVinoSession(path, inputs, outputs, metadata, precision, sizes, compiled)
    try:
        session._requests[sizes[0]] = compiled(sizes[0])
    except RuntimeError as error:
        raise WholebodyError(f"{path}: OpenVINO rejects it ({_reason(error)}). Choose device cpu.") from error
    return session


@functools.cache
def _core() -> Any:
    """OpenVINO's core, once per process: each instance installs a signal stack for the thread and removes it on exit.
    When several were destroyed in another order, Ctrl-C hit a stack that no longer existed."""
    import openvino

    return openvino.Core()


def computes_bf16() -> bool:
    """Whether the CPU has bfloat16 instructions, according to OpenVINO."""
    return "BF16" in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def read_metadata(path: Path) -> dict[str, str]:
    """An ONNX file's metadata, which OpenVINO does not expose: field 14 of the protobuf message."""

    def fields(data: bytes) -> Iterator[tuple[int, bytes]]:
        stream = io.BytesIO(data)
        while key := _varint(stream):
            if key & 7 == 2:
                yield key >> 3, stream.read(_varint(stream))
            else:
                _varint(stream)

    found = {}
    with path.open("rb") as stream:
        while key := _varint(stream):
            if key & 7 == 0:
                _varint(stream)
                continue
            length = _varint(stream)
            if key >> 3 != 14:
                stream.seek(length, os.SEEK_CUR)  # the network itself
                continue
            entry = dict(fields(stream.read(length)))
            found[entry.get(1, b"").decode()] = entry.get(2, b"").decode()
    return found


def _varint(stream: IO[bytes]) -> int:
    """The next varint: seven bits per byte, lowest first; 0 at the end, which is no valid key."""
    value = shift = 0
    while byte := stream.read(1):
        value |= (byte[0] & 127) << shift
        shift += 7
        if byte[0] < 128:
            break
    return value


def _cores() -> Sequence[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return range(os.cpu_count() or 1)


def _cache(precision: str) -> dict[str, str]:
    """The folder of compiled networks; None if it cannot be written.

    There is one folder per precision, because OpenVINO uses the same name for all of them.
    """
    from wholebody.files import cache_folder

    folder = cache_folder() / "openvino" / precision
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return {}
    return {"CACHE_DIR": str(folder)} if os.access(folder, os.W_OK) else {}


def _tensor(port: Any) -> Tensor:
    shape = tuple(side.get_length() if side.is_static else None for side in port.partial_shape)
    return Tensor(port.any_name, shape, np.dtype(port.element_type.to_dtype()).name)


def _reason(error: Exception) -> str:
    """The last line of OpenVINO's error, which is the message; the others are source locations."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
