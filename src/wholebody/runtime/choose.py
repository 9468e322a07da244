"""Choosing a runtime: a `Session` takes one batch and returns arrays, whatever the runtime.

The project tests only the CPU path. CUDA, TensorRT, DirectML and CoreML are thin wrappers: they pass the request on to
ONNX Runtime, check that its provider really accepted the model, and otherwise fall back to the CPU with a warning.

On the CPU a network runs in one of three precisions: fp32, in which all figures of the model cards were measured; bf16,
which only OpenVINO supports; and int8, which needs a separate file next to the network's (`int8_file`). "auto" takes
the fastest one available.
"""

import difflib
import functools
import importlib.util
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from wholebody.choices import Precision
from wholebody.errors import WholebodyError
from wholebody.files import digest
from wholebody.runtime.ort import AUTO, DEVICES, absent, described, open_ort
from wholebody.runtime.session import PRECISIONS, Session, float_file, int8_file, notes, notice

# More than the largest machines have; far beyond, runtimes fail silently.
MOST_THREADS = 1024


# What other packages call a device.
_OTHERS = {"gpu": "cuda", "nvidia": "cuda", "mps": "coreml", "trt": "tensorrt", "dml": "directml"}


@dataclass(frozen=True)
class Runtime:
    """An alternative CPU runtime, chosen by its name as `device`.

    Attributes:
        absent: what is missing for it, as the end of a sentence; None if it works.
        open: (path, precision, threads) -> session.
    """

    absent: Callable[[], str | None]
    open: Callable[[Path, Precision, int | None], Session]


def no_openvino() -> str | None:
    """What is missing for OpenVINO; None if it is available."""
    if importlib.util.find_spec("openvino") is None:
        return "needs an extra: pip install 'wholebody[openvino]'"
    return None


def _open_openvino(path: Path, precision: Precision, threads: int | None) -> Session:
    from wholebody.runtime.ov import open_openvino

    assert precision != "auto"
    session: Session = open_openvino(path, precision, threads)
    return session


# A new runtime is a file in this package and a row here.
RUNTIMES: dict[str, Runtime] = {"openvino": Runtime(lambda: no_openvino(), _open_openvino)}


def open_session(
    path: str | os.PathLike[str], device: str = "auto", threads: int | None = None, precision: Precision = "fp32"
) -> Session:
    """Load an ONNX file for `device`.

    A device that is unavailable, or rejects the model, is replaced by the CPU, with one warning per process in the log
    "wholebody" (shown on stderr unless logging is configured otherwise) and in `Session.fallback`.

    Args:
        path: an ONNX file with a single input.
        device: "auto" (the first of CUDA, DirectML and CPU that works), "cpu", "cuda", "tensorrt", "directml",
            "coreml", or "openvino", which is the CPU too.
        threads: CPU threads for one network; None leaves it to the runtime (one per physical core).
        precision: on the CPU; "fp32" on all other devices. "auto" is the first available of: int8, if there is a file
            for it and the CPU has the instructions; bf16, if the CPU supports it and OpenVINO is installed and not
            excluded by `device`; fp32.

    Raises:
        WholebodyError: no such file, not a usable ONNX file, unknown device or precision, threads below 1, or a
            precision that is not available here.
    """
    path = Path(path)
    if device not in DEVICES and device not in RUNTIMES:
        raise WholebodyError(f"device {device!r} is unknown.{_closest(device)} Choose one of {', '.join(DEVICES)}.")
    if precision not in PRECISIONS:
        raise WholebodyError(f"precision {precision!r} is unknown. Choose one of {', '.join(PRECISIONS)}.")
    if device in RUNTIMES and (why := RUNTIMES[device].absent()):
        raise WholebodyError(f"device {device!r} {why}, or choose another device.")
    on_processor = device in ("auto", "cpu", *RUNTIMES)  # only there can the precision be chosen
    if precision in ("bf16", "int8") and not on_processor:
        raise WholebodyError(f"precision {precision} is only for the CPU: choose fp32, or device cpu.")
    if threads is not None and not (isinstance(threads, int) and 1 <= threads <= MOST_THREADS):
        raise WholebodyError(f"threads is {threads}: give 1 to {MOST_THREADS}, or leave it out.")
    _check_file(path)
    if precision in ("bf16", "int8") or device in RUNTIMES:
        return _on_processor(path, device, threads, precision)

    reasons = []
    wanted = AUTO if device == "auto" else (device, "cpu") if device != "cpu" else ("cpu",)
    for name in wanted:
        why = absent(name)
        if why is None:
            if name == "cpu" and precision == "auto" and on_processor:
                return _on_processor(path, device, threads, precision)
            opened = open_ort(path, name, threads)
            if not isinstance(opened, str):
                break
            why = opened
        elif device == "auto":
            continue  # not requested, so no warning
        reasons.append(f"{name} is not used: {why}")
    fallback = "; ".join(reasons) or None
    if fallback:
        notice(f"{fallback}. Running on {opened.get_providers()[0]}.")
    return described(path, opened, fallback)


def _on_processor(path: Path, device: str, threads: int | None, precision: Precision) -> Session:
    """A session on the CPU with ONNX Runtime or OpenVINO, in the requested precision."""
    small = int8_file(path)
    chosen = precision
    if precision == "auto":
        bf16 = device != "cpu" and no_openvino() is None and _computes_bf16()
        chosen = "int8" if small.is_file() and int8_is_fast() else "bf16" if bf16 else "fp32"
    if chosen == "bf16":
        if device == "cpu":
            raise WholebodyError("ONNX Runtime has no bf16 on the CPU: choose device openvino.")
        if why := no_openvino():
            raise WholebodyError(f"precision bf16 {why}, or choose another precision.")
    if chosen == "int8":
        if not small.is_file():
            raise WholebodyError(f"{small}: no such file, and int8 needs it. Choose another precision, such as auto.")
        path = small
    if chosen == "bf16" or device in RUNTIMES:
        session = RUNTIMES[device if device in RUNTIMES else "openvino"].open(path, chosen, threads)
    else:
        session = described(path, open_ort(path, "cpu", threads), None, chosen)
    if chosen == "int8":
        _check_origin(session, path)
    return session


def _check_origin(session: Session, path: Path) -> None:
    """An int8 file reads weights from its float file by offset; from another file it would read garbage."""
    origin, made_from = float_file(path), notes(session).get("float_sha256")
    if made_from and origin.is_file() and digest(origin) != made_from:
        raise WholebodyError(
            f"{path}: was made from another {origin.name}. Delete it, or make it again with wholebody.export.quantise."
        )


@functools.cache
def int8_is_fast() -> bool:
    """Whether the CPU has int8 dot-product instructions (VNNI; dot products on ARM), as far as can be determined.

    Without them int8 is no faster than float32, and on x86 before VNNI sums may overflow.
    """
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return re.search(r"\b(avx512_vnni|avx_vnni|asimddp)\b", text) is not None


@functools.cache
def _computes_bf16() -> bool:
    from wholebody.runtime.ov import computes_bf16

    return computes_bf16()


def _check_file(path: Path) -> None:
    """Give a clear error for files that the runtime would only call unparsable."""
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


def _closest(word: str) -> str:
    name = word.lower().partition(":")[0]  # of "cuda:0", as PyTorch has it
    close = [_OTHERS[name]] if name in _OTHERS else difflib.get_close_matches(name, DEVICES, n=1)
    return f" Did you mean {close[0]!r}?" if close else ""
