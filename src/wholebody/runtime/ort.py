"""A `Session` on ONNX Runtime."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from wholebody.errors import WholebodyError
from wholebody.runtime.session import Session, Tensor, reason, shape_text, tensors

# A device's provider in ONNX Runtime, and the package that contains it.
PROVIDERS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "cuda": ("CUDAExecutionProvider", "onnxruntime-gpu"),
        "tensorrt": ("TensorrtExecutionProvider", "onnxruntime-gpu"),
        "directml": ("DmlExecutionProvider", "onnxruntime-directml"),
        "coreml": ("CoreMLExecutionProvider", "onnxruntime on macOS"),
        "cpu": ("CPUExecutionProvider", "onnxruntime"),
    }
)

# The devices that "auto" tries. TensorRT is used only on request, because it takes minutes to build an engine for each
# batch size. So is CoreML: it computes in half precision, and its keypoints have not been compared.
AUTO = ("cuda", "directml", "cpu")
DEVICES = ("auto", *PROVIDERS, "openvino")


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
        except Exception as error:  # ONNX Runtime's exceptions have no common base class
            tensor = self.inputs[0]
            raise WholebodyError(
                f"{self.path}: cannot run on {batch.dtype} {batch.shape} ({reason(error)}). "
                f"The network takes {tensor.dtype} {shape_text(tensor.shape)}."
            ) from error
        return results


def described(path: Path, opened: Any, fallback: str | None = None, precision: str = "fp32") -> Session:
    inputs, outputs = (tensors(nodes) for nodes in (opened.get_inputs(), opened.get_outputs()))
    if len(inputs) != 1:
        raise WholebodyError(f"{path}: not a pose or detector network (it has {len(inputs)} inputs, not one).")
    metadata = MappingProxyType(dict(opened.get_modelmeta().custom_metadata_map))
    return OrtSession(path, inputs, outputs, metadata, opened.get_providers()[0], fallback, opened, precision)


def open_ort(path: Path, device: str, threads: int | None) -> Any:
    """ONNX Runtime's session, or a string that says why the device does not work. A faulty file raises."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    # Otherwise idle threads of one session occupy the cores that another needs: detector and pose together ran 2.7
    # times slower with spinning.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    if threads is not None:
        options.intra_op_num_threads = threads
    if device == "directml":  # DirectML requires both
        options.enable_mem_pattern = False
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    if device in ("cuda", "tensorrt") and hasattr(ort, "preload_dlls"):
        ort.preload_dlls()  # CUDA and cuDNN from their Python packages, if installed

    provider = PROVIDERS[device][0]
    try:
        session = ort.InferenceSession(str(path), options, providers=_provider_options(device), enable_fallback=0)
        if session.get_providers()[0] != provider:
            return f"{provider} did not load (are its driver and libraries installed, in a matching version?)"
        if device != "cpu":
            _try(session)
    except Exception as error:
        if device != "cpu":
            return reason(error)
        raise WholebodyError(
            f"{path}: not a usable ONNX file ({reason(error)}). Download or export it again."
        ) from error
    return session


def _provider_options(device: str) -> list[Any]:
    cpu = PROVIDERS["cpu"][0]
    # The default search benchmarks every algorithm again for every new batch size, and the number of people varies.
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
    """A run on zeros: some providers accept a model and fail only when it runs."""
    tensor = tensors(session.get_inputs())[0]
    if None not in tensor.shape[1:]:
        session.run(None, {tensor.name: np.zeros([size or 1 for size in tensor.shape], dtype=tensor.dtype)})


def absent(device: str) -> str | None:
    """Why the installed ONNX Runtime does not support the device; None if it does."""
    import onnxruntime as ort

    provider, package = PROVIDERS[device]
    if provider in ort.get_available_providers():
        return None
    return f"the installed ONNX Runtime has no {provider} ({package} has it)"


def _fill(batch: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    missing = size - len(batch)
    return np.concatenate([batch, np.zeros((missing, *batch.shape[1:]), batch.dtype)]) if missing else batch
