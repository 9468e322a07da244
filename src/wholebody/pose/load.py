"""Where a name becomes a working network."""

from pathlib import Path

from wholebody.errors import WholebodyError
from wholebody.pose.topdown import TopDown
from wholebody.runtime.choose import open_session
from wholebody.runtime.session import Precision
from wholebody.weights.lookup import find


def open_estimator(
    name: str | Path,
    device: str = "auto",
    threads: int | None = None,
    precision: Precision = "fp32",
    *,
    flip: bool = False,
    batch: int = 32,
) -> TopDown:
    """A pose network of ours by name or path.

    Raises:
        WholebodyError: it cannot be had, or is something else; the line names the file.
    """
    path = find(name, kind="pose")
    session = open_session(path, device, threads, precision)
    try:
        return TopDown(session, flip, batch)
    except WholebodyError as error:
        raise WholebodyError(f"{path}: {error}") from error
