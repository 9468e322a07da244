"""`wholebody doctor`: what this machine runs, what it does not and why, and where the time goes."""

import importlib.metadata
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from rich.markup import escape
from rich.table import Table

from wholebody.console import stdout_console
from wholebody.draw import skeleton
from wholebody.errors import WholebodyError
from wholebody.evaluate.speed.precision import fastest, table, time_precisions
from wholebody.files import cache_folder
from wholebody.images import read_image
from wholebody.pose.detect import YOLOX
from wholebody.runtime.choose import no_openvino, open_session
from wholebody.runtime.ort import PROVIDERS, absent, open_ort
from wholebody.runtime.session import Session, input_size
from wholebody.weights.lookup import find
from wholebody.weights.manifest import MANIFEST
from wholebody.wholebody import DETECTOR, POSE, WholeBody

SAMPLE = Path(__file__).parents[1] / "sample.jpg"

PACKAGES = ("wholebody", "numpy", "opencv-python-headless", "onnxruntime", "av", "openvino", "torch")


def report() -> int:
    """Print everything; 1 if the sample photo failed or packages conflict."""
    console = stdout_console()
    console.print(f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} cores")
    console.print(", ".join(f"{package} {_version(package)}" for package in PACKAGES), highlight=False)
    offline = " (WHOLEBODY_OFFLINE is set: no downloads)" if os.environ.get("WHOLEBODY_OFFLINE") else ""
    console.print(f"downloads go to {cache_folder()}{offline}\n")

    clashes = duplicates()
    for module, packages in clashes.items():
        both = " and ".join(packages)
        keep = packages[0]
        console.print(
            f"[red]{both} overwrite each other's {module}: uninstall all of them, then install {keep} again.[/red]\n"
        )

    devices = Table("device", "provider", "", box=None, pad_edge=False)
    for row in providers():
        devices.add_row(row.device, row.name, "[green]works[/green]" if row.available else escape(row.reason))
    console.print(devices)
    try:
        stages = time_stages()
        speeds = {name: time_precisions(find(name, kind=MANIFEST[name].kind), rounds=9) for name in (POSE, DETECTOR)}
    except WholebodyError as error:
        console.print(f"\n[red]the sample photo failed:[/red] {escape(str(error))}", highlight=False)
        return 1
    console.print()
    console.print(stages)
    for name, rows in speeds.items():
        best = fastest(rows)
        console.print()
        console.print(table(name, rows))
        console.print(f"fastest here: {best.precision} on {best.runtime}")
    device = "cpu" if _version("openvino") == "not installed" else "cpu or openvino"
    console.print(
        f"\n--precision auto uses {WholeBody(precision='auto').pose.session.precision}; choose another with "
        f"--device {device} and --precision"
    )
    return 1 if clashes else 0


def time_stages(rounds: int = 7) -> Table:
    """Medians of each stage on the sample photo with the default networks.

    Raises:
        WholebodyError: a network is missing, or no person is found where there is one.
    """
    started = time.perf_counter()
    model = WholeBody()
    opened = time.perf_counter() - started
    image = read_image(SAMPLE)
    detector = model.detector
    if not isinstance(detector, YOLOX):
        raise WholebodyError("the default detector is missing. Install wholebody again.")
    boxes, box_scores = detector.images([image])[0]
    poses = model.pose(image, boxes, box_scores)
    if len(poses) != 1:
        raise WholebodyError(f"found {len(poses)} people on the sample photo, not 1. Install wholebody again.")
    stages: dict[str, Callable[[], Any]] = {
        "read the photo": lambda: read_image(SAMPLE),
        f"find people{_where(detector.session, detector.size_for(image))}": lambda: detector.images([image]),
        f"find keypoints{_where(model.pose.session)}": lambda: model.pose(image, boxes, box_scores),
        "draw": lambda: skeleton(image, poses),
    }
    height, width = image.shape[:2]
    title = f"the sample photo, {width}x{height}, {len(poses)} person, mean score {float(np.mean(poses.scores)):.2f}"
    stages_table = Table("stage", "ms", title=title, title_justify="left", box=None, pad_edge=False)
    stages_table.add_row("open both networks (once)", f"{opened * 1e3:.0f}")
    for name, stage in stages.items():
        stages_table.add_row(escape(name), f"{_median(stage, rounds) * 1e3:.1f}")
    return stages_table


def _where(session: Session, size: tuple[int, int] | None = None) -> str:
    """The input size and provider of a network."""
    w, h = size or input_size(session)
    return f", {w} x {h}, {session.provider}"


def _median(stage: Callable[[], Any], rounds: int) -> float:
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        stage()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


@dataclass(frozen=True)
class Provider:
    """A line of `wholebody doctor`: a device, whether it works, and if not, why not."""

    device: str
    name: str
    available: bool
    reason: str


def providers(model: str | os.PathLike[str] | None = None) -> list[Provider]:
    """What each device would run on. With a model's path, it is tried on every device, which may take long."""
    found = []
    for device, (name, _) in PROVIDERS.items():
        why = absent(device)
        if why is None and model is not None:
            opened = open_ort(Path(model), device, None)
            why = opened if isinstance(opened, str) else None
        found.append(Provider(device, name, why is None, why or ""))
    why = no_openvino()
    if why is None and model is not None:
        try:
            open_session(model, "openvino")
        except WholebodyError as error:
            why = str(error)
    found.append(Provider("openvino", "OpenVINO", why is None, why or ""))
    return found


def duplicates() -> dict[str, tuple[str, ...]]:
    """Import names claimed by several installed packages, which overwrite each other's files.

    Returns:
        For instance {"onnxruntime": ("onnxruntime", "onnxruntime-gpu")}; empty if there is no conflict.
    """
    owners = importlib.metadata.packages_distributions()
    names = {module: tuple(sorted(set(owners.get(module, ())))) for module in ("onnxruntime", "cv2")}
    return {module: packages for module, packages in names.items() if len(packages) > 1}
