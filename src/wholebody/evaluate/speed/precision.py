"""Which precision and runtime is fastest here: one network in all available ones, taking turns within one run.

    print(table("pose", time_precisions("pose.onnx", threads=1)))

CPU time is measured as well as wall-clock time, because it is less affected by other work on the machine.
"""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wholebody.choices import Precision
from wholebody.errors import WholebodyError
from wholebody.runtime.choose import open_session
from wholebody.runtime.session import Session, input_size

if TYPE_CHECKING:
    from rich.table import Table


# Device and precision of every candidate. Unavailable ones are skipped.
CONTESTANTS: Sequence[tuple[str, Precision]] = (
    ("cpu", "fp32"),
    ("cpu", "int8"),
    ("openvino", "fp32"),
    ("openvino", "bf16"),
    ("openvino", "int8"),
)


@dataclass(frozen=True)
class Speed:
    """The time of a network in one runtime and precision.

    Attributes:
        runtime: "ONNX Runtime" or "OpenVINO". precision: "fp32", "bf16" or "int8".
        wall, cpu: batch size -> median milliseconds per item, wall-clock and CPU.
    """

    runtime: str
    precision: str
    wall: Mapping[int, float]
    cpu: Mapping[int, float]


def open_all(path: str | os.PathLike[str], threads: int | None = None) -> dict[tuple[str, str], Session]:
    """A session on an ONNX file in each available runtime and precision: ("OpenVINO", "bf16") -> session."""
    found: dict[tuple[str, str], Session] = {}
    for device, precision in CONTESTANTS:
        try:
            session = open_session(path, device, threads, precision)
        except WholebodyError:
            if (device, precision) == CONTESTANTS[0]:
                raise
            continue
        found["OpenVINO" if device == "openvino" else "ONNX Runtime", precision] = session
    return found


def time_precisions(
    path: str | os.PathLike[str], threads: int | None = None, batches: Sequence[int] = (1,), rounds: int = 20
) -> list[Speed]:
    """Time a network on noise.

    Args:
        path: an ONNX file. Its int8 file is `runtime.int8_file`. If its input has free sides, as a detector's, a 4:3
            picture is timed.
        threads: as for `runtime.open_session`. batches: sizes to time. rounds: how often, after two to warm up.

    Raises:
        WholebodyError: the file cannot be used at all, or has free sides and does not say for which size it is.
    """
    if not batches or min(batches) < 1 or rounds < 1:
        raise WholebodyError(f"cannot time {rounds} rounds of batches {tuple(batches)}. Give counts of 1 or more.")
    sessions = open_all(path, threads)
    tensor = next(iter(sessions.values())).inputs[0]
    sides = [side for side in tensor.shape[1:] if side is not None]
    if len(sides) < len(tensor.shape) - 1:
        width, height = input_size(next(iter(sessions.values())))
        sides = [height, width, 3] if tensor.dtype == "uint8" else [3, height, width]
    rng = np.random.default_rng(0)
    data: dict[int, Any] = {}
    for n in batches:
        noise = rng.integers(0, 256, (n, *sides))
        data[n] = noise.astype(np.uint8) if tensor.dtype == "uint8" else (noise / 128 - 1).astype(tensor.dtype)
    taken: dict[tuple[tuple[str, str], int], list[tuple[float, float]]] = {}
    turns = [(key, n) for n in batches for key in sessions]
    for turn in range(-2, rounds):
        shift = turn % len(turns)
        for key, n in (*turns[shift:], *turns[:shift]):
            wall, cpu = time.perf_counter(), time.process_time()
            sessions[key](data[n])
            row = ((time.perf_counter() - wall) * 1e3 / n, (time.process_time() - cpu) * 1e3 / n)
            if turn >= 0:
                taken.setdefault((key, n), []).append(row)
    medians = {at: np.median(rows, axis=0) for at, rows in taken.items()}
    return [
        Speed(*key, *({n: float(medians[key, n][column]) for n in batches} for column in (0, 1))) for key in sessions
    ]


def fastest(speeds: Sequence[Speed]) -> Speed:
    """The one with the lowest CPU time per item at the smallest batch size."""
    return min(speeds, key=lambda speed: speed.cpu[min(speed.cpu)])


def table(title: str, speeds: Sequence[Speed]) -> "Table":
    """Milliseconds per item, and the speed relative to the first row, by CPU time."""
    from rich.table import Table

    found = Table("runtime", "precision", title=f"{title}: ms for one", title_justify="left", box=None, pad_edge=False)
    batches = tuple(speeds[0].wall)
    for n in batches:
        for word in ("clock", "processor", "x"):
            found.add_column(f"{word}, batch {n}" if len(batches) > 1 else word, justify="right")
    best = fastest(speeds)
    for speed in speeds:
        cells = [
            cell
            for n in batches
            for cell in (f"{speed.wall[n]:.1f}", f"{speed.cpu[n]:.1f}", f"{speeds[0].cpu[n] / speed.cpu[n]:.2f}")
        ]
        found.add_row(speed.runtime, speed.precision, *cells, style="green" if speed is best else None)
    return found
