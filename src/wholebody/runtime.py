"""Running a network: a `Session` takes one batch and gives arrays back, whatever runs underneath.

Only the CPU path is tested by the project. CUDA, TensorRT, DirectML and CoreML are thin: they pass the request on to
ONNX Runtime, check that its provider really took the model, and otherwise fall back to the CPU with a notice.

On a processor a network runs in one of three precisions: fp32, which is what every figure of a model card was measured
in; bf16, which only OpenVINO has; and int8, for which there has to be a file of its own beside the network's
(`int8_file`). "auto" takes the fastest of those that are there.
"""

import difflib
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from wholebody.errors import WholebodyError

# A device's provider in ONNX Runtime, and the package that has it.
PROVIDERS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "cuda": ("CUDAExecutionProvider", "onnxruntime-gpu"),
        "tensorrt": ("TensorrtExecutionProvider", "onnxruntime-gpu"),
        "directml": ("DmlExecutionProvider", "onnxruntime-directml"),
        "coreml": ("CoreMLExecutionProvider", "onnxruntime on macOS"),
        "cpu": ("CPUExecutionProvider", "onnxruntime"),
    }
)
# What "auto" tries. TensorRT is only taken on request: it spends minutes building an engine for each batch size. So is
# CoreML: every Mac has it, it computes in half precision, and nobody here has compared its keypoints.
AUTO = ("cuda", "directml", "cpu")
DEVICES = ("auto", *PROVIDERS, "openvino")
Precision = Literal["auto", "fp32", "bf16", "int8"]
PRECISIONS: tuple[Precision, ...] = ("auto", "fp32", "bf16", "int8")
# Devices that are the processor: only there is there a choice of precision.
_PROCESSOR = ("auto", "cpu", "openvino")


@dataclass(frozen=True)
class Tensor:
    """An input or output of a network: `shape` has None where a size is free, `dtype` is numpy's name."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str


class Session(Protocol):
    """A loaded network.

    Attributes:
        inputs, outputs: what goes in (one tensor) and what comes out.
        metadata: the file's own notes, text to text; the key `wholebody` holds JSON.
        provider: what really computes, in ONNX Runtime's words ("CPUExecutionProvider"), or "OpenVINO".
        precision: what most of it computes in: "fp32", "bf16" or "int8".
        fallback: why that is not the device asked for, in one line; None when it is.
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

        A network exported for one fixed batch size takes any N too: the batch is cut up and the last piece filled.

        Raises:
            WholebodyError: the batch does not fit the network, or the runtime failed.
        """
        ...


@dataclass(frozen=True, eq=False)
class OrtSession:
    """A `Session` on ONNX Runtime."""

    path: Path
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    metadata: Mapping[str, str]
    provider: str
    fallback: str | None
    _ort: Any = field(repr=False)
    precision: str = "fp32"

    def __call__(self, batch: npt.NDArray[Any], outputs: Sequence[str] | None = None) -> list[npt.NDArray[Any]]:
        names = [tensor.name for tensor in self.outputs] if outputs is None else list(outputs)
        fixed = self.inputs[0].shape[0] if self.inputs[0].shape else None
        if fixed is None or fixed == len(batch):
            return self._run(batch, names)
        parts = [self._run(_fill(batch[i : i + fixed], fixed), names) for i in range(0, max(len(batch), 1), fixed)]
        return [np.concatenate(part)[: len(batch)] for part in zip(*parts, strict=True)]

    def _run(self, batch: npt.NDArray[Any], names: list[str]) -> list[npt.NDArray[Any]]:
        try:
            results: list[npt.NDArray[Any]] = self._ort.run(names, {self.inputs[0].name: batch})
        except Exception as error:  # ONNX Runtime's exceptions share no base class of their own
            tensor = self.inputs[0]
            raise WholebodyError(
                f"{self.path}: cannot run on {batch.dtype} {batch.shape} ({_reason(error)}). "
                f"The network takes {tensor.dtype} {_shape(tensor.shape)}."
            ) from error
        return results


def open_session(
    path: str | os.PathLike[str], device: str = "auto", threads: int | None = None, precision: Precision = "fp32"
) -> Session:
    """Load an ONNX file for `device`.

    A device that is not there, or fails to take the model, is replaced by the CPU, with one warning a process in the
    log "wholebody" (shown on stderr unless logging is set up otherwise) and in `Session.fallback`.

    Args:
        path: an ONNX file with a single input.
        device: "auto" (the first of CUDA, DirectML and CPU that works), "cpu", "cuda", "tensorrt", "directml",
            "coreml", or "openvino", which is the CPU too.
        threads: CPU threads for one network; None leaves it to the runtime (one for each physical core).
        precision: on a processor; "fp32" on all other devices. "auto" is the first of these: int8 where there is a
            file for it and the processor has instructions for it; bf16 where the processor computes in it and OpenVINO
            is installed and not ruled out by `device`; fp32.

    Raises:
        WholebodyError: no such file, not a usable ONNX file, unknown device or precision, threads below 1, or a
            precision that is not to be had here.
    """
    path = Path(path)
    if device not in DEVICES:
        raise WholebodyError(f"device {device!r} is unknown.{_closest(device)} Choose one of {', '.join(DEVICES)}.")
    if precision not in PRECISIONS:
        raise WholebodyError(f"precision {precision!r} is unknown. Choose one of {', '.join(PRECISIONS)}.")
    if device == "openvino" and (why := _no_openvino()):
        raise WholebodyError(f"device 'openvino' {why}, or choose another device.")
    if precision in ("bf16", "int8") and device not in _PROCESSOR:
        raise WholebodyError(f"precision {precision} is for processors: choose fp32, or device cpu.")
    if threads is not None and threads < 1:
        raise WholebodyError(f"threads is {threads}: give 1 or more, or leave it out.")
    _check_file(path)
    if precision in ("bf16", "int8") or device == "openvino":
        return _on_processor(path, device, threads, precision)

    reasons = []
    wanted = AUTO if device == "auto" else (device, "cpu") if device != "cpu" else ("cpu",)
    for name in wanted:
        why = _absent(name)
        if why is None:
            if name == "cpu" and precision == "auto" and device in _PROCESSOR:
                return _on_processor(path, device, threads, precision)
            opened = _open(path, name, threads)
            if not isinstance(opened, str):
                break
            why = opened
        elif device == "auto":
            continue  # nobody asked for it: no notice
        reasons.append(f"{name} is not used: {why}")
    fallback = "; ".join(reasons) or None
    if fallback:
        _notice(f"{fallback}. Running on {opened.get_providers()[0]}.")
    return _described(path, opened, fallback)


def _described(path: Path, opened: Any, fallback: str | None = None, precision: str = "fp32") -> Session:
    inputs, outputs = (_tensors(nodes) for nodes in (opened.get_inputs(), opened.get_outputs()))
    if len(inputs) != 1:
        raise WholebodyError(f"{path}: not a pose or detector network (it has {len(inputs)} inputs, not one).")
    metadata = MappingProxyType(dict(opened.get_modelmeta().custom_metadata_map))
    return OrtSession(path, inputs, outputs, metadata, opened.get_providers()[0], fallback, opened, precision)


def _on_processor(path: Path, device: str, threads: int | None, precision: Precision) -> Session:
    """A session on the CPU by ONNX Runtime or OpenVINO, in the precision wanted."""
    small = int8_file(path)
    chosen = precision
    if precision == "auto":
        bf16 = device != "cpu" and _no_openvino() is None and _computes_bf16()
        chosen = "int8" if small.is_file() and int8_is_fast() else "bf16" if bf16 else "fp32"
    if chosen == "bf16":
        if device == "cpu":
            raise WholebodyError("ONNX Runtime has no bf16 on a processor: choose device openvino.")
        if why := _no_openvino():
            raise WholebodyError(f"precision bf16 {why}, or choose another precision.")
    if chosen == "int8":
        if not small.is_file():
            raise WholebodyError(f"{small}: no such file, and int8 needs it. Choose another precision, such as auto.")
        path = small
    if chosen == "bf16" or device == "openvino":
        from wholebody.openvino_session import open_openvino

        assert chosen != "auto"
        session: Session = open_openvino(path, chosen, threads)
    else:
        session = _described(path, _open(path, "cpu", threads), None, chosen)
    if chosen == "int8":
        _check_origin(session, path)
    return session


def _check_origin(session: Session, path: Path) -> None:
    """An int8 file reads weights from its float file by their place there: from another one it would read nonsense."""
    origin, made_from = float_file(path), notes(session).get("float_sha256")
    if made_from and origin.is_file() and hashlib.sha256(origin.read_bytes()).hexdigest() != made_from:
        raise WholebodyError(
            f"{path}: was made from another {origin.name}. Delete it, or make it again with wholebody.export.quantise."
        )


def int8_file(path: str | os.PathLike[str]) -> Path:
    """Where the int8 variant of an ONNX file is, if there is one: pose.int8.onnx beside pose.onnx, or the file itself
    if that is what it is called."""
    path = Path(path)
    return path if path.stem.endswith(".int8") else path.with_suffix(".int8.onnx")


def float_file(path: str | os.PathLike[str]) -> Path:
    """The way back: pose.onnx for pose.int8.onnx, and the file itself if it is no int8 file."""
    path = Path(path)
    return path.with_name(path.stem.removesuffix(".int8") + path.suffix)


@functools.cache
def int8_is_fast() -> bool:
    """Whether the processor multiplies bytes in one instruction (VNNI; dot products on ARM), as far as it is known.

    Without one int8 is no faster than float32, and on x86 before VNNI sums may overflow as well.
    """
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return re.search(r"\b(avx512_vnni|avx_vnni|asimddp)\b", text) is not None


@functools.cache
def _computes_bf16() -> bool:
    from wholebody.openvino_session import computes_bf16

    return computes_bf16()


def _open(path: Path, device: str, threads: int | None) -> Any:
    """ONNX Runtime's session, or a text: why the device does not work. A file that is at fault raises."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    # Idle threads of one session otherwise burn the cores another one needs: detector and pose together ran 2.7 times
    # slower with spinning.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    if threads is not None:
        options.intra_op_num_threads = threads
    if device == "directml":  # DirectML demands both
        options.enable_mem_pattern = False
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    if device in ("cuda", "tensorrt") and hasattr(ort, "preload_dlls"):
        ort.preload_dlls()  # CUDA and cuDNN from their Python packages, where they are installed

    provider = PROVIDERS[device][0]
    try:
        session = ort.InferenceSession(str(path), options, providers=_provider_options(device), enable_fallback=0)
        if session.get_providers()[0] != provider:
            return f"{provider} did not load (are its driver and libraries installed, in a version that fits?)"
        if device != "cpu":
            _try(session)
    except Exception as error:
        if device != "cpu":
            return _reason(error)
        raise WholebodyError(
            f"{path}: not a usable ONNX file ({_reason(error)}). Download or export it again."
        ) from error
    return session


def _provider_options(device: str) -> list[Any]:
    cpu = PROVIDERS["cpu"][0]
    # The default search measures every algorithm again for every new batch size, and the number of people changes.
    cuda = ("CUDAExecutionProvider", {"cudnn_conv_algo_search": "HEURISTIC"})
    match device:
        case "cpu":
            return [cpu]
        case "cuda":
            return [cuda, cpu]
        case "tensorrt":
            from wholebody.files import cache_folder

            engines = cache_folder() / "tensorrt"
            engines.mkdir(parents=True, exist_ok=True)
            options = {"trt_engine_cache_enable": "1", "trt_engine_cache_path": str(engines)}
            return [("TensorrtExecutionProvider", options), cuda, cpu]
        case _:
            return [PROVIDERS[device][0], cpu]


def _try(session: Any) -> None:
    """One run on zeros: some providers take a model and fail only when it runs."""
    tensor = _tensors(session.get_inputs())[0]
    if None not in tensor.shape[1:]:
        session.run(None, {tensor.name: np.zeros([size or 1 for size in tensor.shape], dtype=tensor.dtype)})


def _absent(device: str) -> str | None:
    """Why the installed ONNX Runtime cannot know the device; None when it can."""
    import onnxruntime as ort

    provider, package = PROVIDERS[device]
    if provider in ort.get_available_providers():
        return None
    return f"the installed ONNX Runtime has no {provider}, {package} has"


def _no_openvino() -> str | None:
    """What is missing for OpenVINO; None if it is there."""
    if importlib.util.find_spec("openvino") is None:
        return "needs an extra: pip install 'wholebody[openvino]'"
    return None


def _check_file(path: Path) -> None:
    """Say plainly what is wrong with files that the runtime would only call unparsable."""
    try:
        with path.open("rb") as stream:
            head = stream.read(64)
    except IsADirectoryError as error:
        raise WholebodyError(f"{path}: is a folder. Give an .onnx file.") from error
    except FileNotFoundError as error:
        raise WholebodyError(f"{path}: no such file. Check the path.") from error
    except OSError as error:
        raise WholebodyError(f"{path}: cannot read ({error.strerror}). Check the path and its permissions.") from error
    if not head:
        raise WholebodyError(f"{path}: the file is empty. Download or export it again.")
    if head.startswith(b"version https://git-lfs"):
        raise WholebodyError(f"{path}: a Git LFS pointer, not the file itself. Run 'git lfs pull', or download it.")
    if head.lstrip()[:1] == b"<":
        raise WholebodyError(f"{path}: a web page, not an ONNX file. Download it again.")
    if head.startswith(b"PK") or path.suffix in (".pth", ".pt", ".safetensors"):
        raise WholebodyError(f"{path}: a checkpoint or an archive, not an ONNX file. Export it to ONNX first.")


_DTYPES = {"float": "float32", "double": "float64"}


def _tensors(nodes: Sequence[Any]) -> tuple[Tensor, ...]:
    def tensor(node: Any) -> Tensor:
        dtype = node.type.removeprefix("tensor(").removesuffix(")")
        shape = tuple(size if isinstance(size, int) else None for size in node.shape)
        return Tensor(node.name, shape, _DTYPES.get(dtype, dtype))

    return tuple(tensor(node) for node in nodes)


def _fill(batch: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    missing = size - len(batch)
    return np.concatenate([batch, np.zeros((missing, *batch.shape[1:]), batch.dtype)]) if missing else batch


def _shape(shape: tuple[int | None, ...]) -> str:
    return "(" + ", ".join("any" if size is None else str(size) for size in shape) + ")"


def _reason(error: Exception) -> str:
    """The message without ONNX Runtime's prefix, in one line."""
    return " ".join(str(error).split(" : ")[-1].split()) or type(error).__name__


def _closest(word: str) -> str:
    close = difflib.get_close_matches(word.lower(), DEVICES, n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


@functools.cache
def _notice(text: str) -> None:
    # Through logging, as warnings.warn would add a file name and a line of source; cached, as the detector and the
    # pose network fall back for the same reason.
    logging.getLogger("wholebody").warning(text)


@dataclass(frozen=True)
class Provider:
    """A line of `wholebody doctor`: a device, whether it works, and if not, why not."""

    device: str
    name: str
    available: bool
    reason: str


def providers(model: str | os.PathLike[str] | None = None) -> list[Provider]:
    """What each device would run on. With a model's path, every device present is tried on it, which may take long."""
    found = []
    for device, (name, _) in PROVIDERS.items():
        why = _absent(device)
        if why is None and model is not None:
            opened = _open(Path(model), device, None)
            why = opened if isinstance(opened, str) else None
        found.append(Provider(device, name, why is None, why or ""))
    why = _no_openvino()
    if why is None and model is not None:
        try:
            open_session(model, "openvino")
        except WholebodyError as error:
            why = str(error)
    found.append(Provider("openvino", "OpenVINO", why is None, why or ""))
    return found


def duplicates() -> dict[str, tuple[str, ...]]:
    """Import names that several installed packages fight over: they overwrite each other's files.

    Returns:
        For instance {"onnxruntime": ("onnxruntime", "onnxruntime-gpu")}; empty when all is well.
    """
    owners = importlib.metadata.packages_distributions()
    names = {module: tuple(sorted(set(owners.get(module, ())))) for module in ("onnxruntime", "cv2")}
    return {module: packages for module, packages in names.items() if len(packages) > 1}


def notes(session: Session) -> dict[str, Any]:
    """What a file made by this package says of itself (kind, input_size, schema, ...); {} for any other file."""
    try:
        found = json.loads(session.metadata.get("wholebody", "{}"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def input_size(session: Session, otherwise: tuple[int, int] | None = None) -> tuple[int, int]:
    """(w, h) of a network that takes pictures: (N, h, w, 3) uint8, or (N, 3, h, w) of any other type.

    Args:
        otherwise: the size where neither the graph nor its notes tell it.

    Raises:
        WholebodyError: it takes something else, or nothing tells the size.
    """
    tensor = session.inputs[0]
    layout = ("n", "h", "w", "c") if tensor.dtype == "uint8" else ("n", "c", "h", "w")
    sides = dict(zip(layout, tensor.shape, strict=False))
    if len(tensor.shape) != 4 or sides["c"] not in (3, None):
        raise WholebodyError(f"not a network for pictures: it takes {tensor.name} {_shape(tensor.shape)}.")
    width, height = notes(session).get("input_size", otherwise or (None, None))
    width, height = sides["w"] or width, sides["h"] or height
    if width is None or height is None:
        raise WholebodyError(f"the size of the input {tensor.name} is not fixed. Export the network with a fixed size.")
    return int(width), int(height)
