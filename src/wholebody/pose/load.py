"""Loading a network by name: find it, download or export it if necessary, open it, and wrap it.

    pose = open_estimator("dwpose-m", threads=2)
    detector = open_detector("person")

This is the only place that does so.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from wholebody.arrays import PathLike
from wholebody.choices import Precision
from wholebody.errors import WholebodyError
from wholebody.export.once import exported
from wholebody.pose.detect import YOLOX, check_threshold
from wholebody.pose.topdown import BATCH, TopDown
from wholebody.reading import reading
from wholebody.runtime.choose import open_session
from wholebody.runtime.session import Session, int8_file
from wholebody.weights.lookup import CHECKPOINTS, find
from wholebody.weights.manifest import NetworkKind

T = TypeVar("T")


def onnx_file(name_or_path: PathLike, kind: NetworkKind) -> Path:
    """The ONNX file of a network: bundled, cached, downloaded, exported or given.

    Args:
        name_or_path: a name from `weights.MANIFEST`, or the path of an .onnx, .pth, .pt or .safetensors file. A
            checkpoint needs the `train` extra; its export is cached under the checkpoint's SHA-256.
        kind: the purpose of the network.

    Raises:
        WholebodyError: as for `weights.find`, or the checkpoint cannot be exported.
    """
    path = find(name_or_path, kind=kind)
    return exported(path, kind) if path.suffix.lower() in CHECKPOINTS else path


def open_estimator(
    name: PathLike,
    device: str = "auto",
    threads: int | None = None,
    precision: Precision = "fp32",
    *,
    flip: bool = False,
    batch: int = BATCH,
) -> TopDown:
    """A pose network by name or path.

    Args:
        name: as for `onnx_file`. device, threads, precision: as for `runtime.open_session`. flip, batch: see `TopDown`.

    Raises:
        WholebodyError: it cannot be found or loaded, or is something else; the message names the file.
    """
    path = onnx_file(name, "pose")
    return _open(path, device, threads, precision, lambda session: TopDown(session, flip, batch))


def open_detector(
    name: PathLike,
    device: str = "auto",
    threads: int | None = None,
    precision: Precision = "fp32",
    *,
    threshold: float | None = None,
) -> YOLOX:
    """A detector by name or path.

    Args:
        name, device, threads: see `open_estimator`. precision: with "int8", a detector without an int8 file uses
            "auto". threshold: lowest score of a box; None takes what the file recommends, or 0.3.

    Raises:
        WholebodyError: the threshold is not within 0 and 1; or it cannot be found or loaded, or is something else, and
            the message names the file.
    """
    if threshold is not None:  # before the file is opened, which is not to blame
        check_threshold(threshold)
    path = onnx_file(name, "detector")
    if precision == "int8" and not int8_file(path).is_file():
        precision = "auto"
    return _open(path, device, threads, precision, lambda session: YOLOX(session, threshold))


def _open(path: Path, device: str, threads: int | None, precision: Precision, build: Callable[[Session], T]) -> T:
    with reading(path, "a network that can be used here", "Export it again"):
        session = open_session(path, device, threads, precision)
        try:
            return build(session)
        except WholebodyError as error:
            raise WholebodyError(f"{path}: {error}") from error
