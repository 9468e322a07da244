"""Our speed compared with rtmlib's: the same ONNX files, threads, picture and boxes, in one run.

    print_timings(bench_image())                                    # RTMPose-t and YOLOX-nano, random weights
    print_timings(bench_image("dwpose-m", "yolox-nano-humanart"))   # released files, downloaded

Both sides take turns, so that other load on the machine affects both equally; for the same reason CPU time is measured
as well as wall-clock time. There are four sides:

rtmlib                     out of the box, except for the number of threads
rtmlib, no spinning        with the sessions that we open, whose idle threads sleep
wholebody                  with the same sessions
wholebody, fused           with our own layout of the same networks, if the files were created here

Every side gets the same boxes, so that the same number of people goes through its pose network, and draws the same
keypoints; its detector does run. Reading and writing image files is excluded: both leave it to OpenCV.
"""

import contextlib
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np

from wholebody.arrays import Doubles, Floats, Image
from wholebody.errors import WholebodyError
from wholebody.evaluate import rtmlib
from wholebody.evaluate.speed.sides import Side, both_sides
from wholebody.evaluate.speed.tables import TASKS, Timings
from wholebody.files import cache_folder
from wholebody.images import write_image
from wholebody.pose.detect import grid
from wholebody.pose.load import onnx_file
from wholebody.poses import Poses
from wholebody.runtime.choose import open_session
from wholebody.runtime.session import input_size
from wholebody.synth.walkers import UNIT

PICTURE = (1280, 720)

PEOPLE = (1, 4, 9)
# Sizes for which networks with random weights can be created.
POSES, DETECTORS = ("t", "s", "m", "l", "x"), ("nano", "tiny", "s", "m", "l", "x")
T = TypeVar("T")


def bench_image(
    pose: str | os.PathLike[str] = "t",
    detector: str | os.PathLike[str] = "nano",
    *,
    people: Sequence[int] = PEOPLE,
    threads: Sequence[int] = (1, 2),
    rounds: int = 15,
    starts: int = 5,
) -> Timings:
    """Measure this package and rtmlib.

    Args:
        pose: a size ("t", "s", "m", "l", "x"), for which a network with random weights is created once and cached
            (needs the train extra); or a name or path of an ONNX file in the released layout, as for
            `pose.load.onnx_file`.
        detector: likewise, with sizes "nano", "tiny", "s", "m", "l", "x" and an input of 416 pixels.
        people: numbers of boxes.
        threads: for ONNX Runtime and OpenCV, on both sides.
        rounds: number of repetitions.
        starts: number of cold starts to time; 0 for none.

    Raises:
        WholebodyError: rtmlib is not installed, a file is not available, or rtmlib cannot use it.
    """
    for name, values in (("people", people), ("threads", threads), ("rounds", (rounds,))):
        if not values or min(values) < 1:
            raise WholebodyError(f"{name} is {min(values, default='empty')}: give 1 or more.")
    rtmlib.library()
    pose_files = _files(pose, "pose")
    detector_files = _files(detector, "detector")
    times: dict[tuple[int, int, str, str], list[list[float]]] = {}
    image = _picture()
    before = cv2.getNumThreads()
    try:
        given = {n: _people(n) for n in people}
        made: dict[int, list[Side]] = {}
        # The first two only warm up. Each round covers all numbers of people, so that changing load does not distort
        # the curve.
        for count, number in _shown([(count, number) for count in threads for number in range(-2, rounds)], "rounds"):
            cv2.setNumThreads(count)
            if count not in made:
                made[count] = both_sides(pose_files, detector_files, count)
            sides = made[count]
            turn = number % len(sides)
            for n, (boxes, poses) in given.items():
                for side in (*sides[turn:], *sides[:turn]):
                    stages = side.run(image, boxes, poses)
                    for task, parts in TASKS.items():
                        if number >= 0 and stages.keys() >= set(parts):
                            row = np.sum([stages[part] for part in parts], axis=0)
                            times.setdefault((count, n, task, side.name), []).append(row)
    finally:
        cv2.setNumThreads(before)
    return Timings(
        _machine(),
        {"pose": _words(pose_files), "detector": _words(detector_files)},
        {key: np.array(rows) for key, rows in times.items()},
        _starts(image, pose_files[0], detector_files[0], starts) if starts else {},
    )


def _picture() -> Image:
    """Smooth noise of 1280 x 720."""
    coarse = np.random.default_rng(0).integers(0, 256, (PICTURE[1] // 20, PICTURE[0] // 20, 3), dtype=np.uint8)
    return cv2.resize(coarse, PICTURE, interpolation=cv2.INTER_CUBIC).astype(np.uint8, copy=False)


def _boxes(n: int, size: tuple[int, int]) -> Floats:
    """(n, 4) boxes of people side by side in a picture of `size` (w, h)."""
    height = min(0.95 * size[1], 2.4 * size[0] / n)
    center = np.stack([(np.arange(n) + 0.5) * size[0] / n, np.full(n, size[1] / 2)], axis=1)
    half = np.array([height / 2.4, height]) / 2
    return np.concatenate([center - half, center + half], axis=1).astype(np.float32)


def _people(n: int) -> tuple[Floats, Poses]:
    """Boxes (n, 4) of n people in the picture, and n people in them with all keypoints."""
    boxes = _boxes(n, PICTURE)
    keypoints = boxes[:, None, :2] + UNIT * (boxes[:, None, 2:] - boxes[:, None, :2])
    return boxes, Poses(keypoints, np.full(keypoints.shape[:2], 0.9), boxes, np.ones(n, np.float32))


def _files(network: str | os.PathLike[str], kind: Any) -> tuple[Path, Path | None]:
    """The ONNX file in the released layout, and in the fused one if it is created here."""
    if os.fspath(network) in (POSES if kind == "pose" else DETECTORS):
        return _made(os.fspath(network), kind)
    path = onnx_file(network, kind)
    tensor = open_session(path, "cpu").inputs[0]
    if tensor.dtype != "float32":
        raise WholebodyError(
            f"{path}: takes {tensor.dtype}, which rtmlib cannot give it. Choose a file in the released layout."
        )
    return path, None


def _words(files: tuple[Path, Path | None]) -> str:
    w, h = input_size(open_session(files[0], "cpu"))
    return f"{files[0].name}, input {w} x {h}" + (", random weights" if files[1] else "")


def _made(size: str, kind: str) -> tuple[Path, Path]:
    """Networks with random weights, created on first use; time does not depend on the weights."""
    folder = cache_folder() / f"bench-{_version('wholebody')}"
    name = f"rtmpose-{size}" if kind == "pose" else f"yolox-{size}-416"
    plain, fused = folder / f"{name}.onnx", folder / f"{name}-fused.onnx"
    if plain.is_file() and fused.is_file():
        return plain, fused
    try:
        import onnx  # noqa: F401
        import torch
    except ImportError as error:
        raise WholebodyError(
            "making networks needs an extra: pip install 'wholebody[train]', or name files with pose and detector."
        ) from error
    from wholebody.export.convert import export_detector, export_pose

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for path in (plain, fused):
            if kind == "pose":
                from wholebody.networks.rtmpose import rtmpose

                export_pose(rtmpose(size), path, fused=path is fused)  # type: ignore[arg-type]
            else:
                export_detector(_finding(size), path, input_size=(416, 416), fused=path is fused)
    return plain, fused


def _finding(size: str) -> Any:
    """A YOLOX with random weights and people added to its output, so that there is something to suppress."""
    import torch
    from torch import Tensor, nn

    from wholebody.networks.yolox import yolox

    class Finding(nn.Module):
        found: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.network = yolox(size)
            self.register_buffer("found", torch.from_numpy(_candidates(_boxes(4, (416, 234)), (416, 416)))[None])

        def forward(self, images: Tensor) -> Tensor:
            raw: Tensor = self.network(images)
            return raw + self.found

    return Finding()


def _candidates(boxes: Floats, size: tuple[int, int]) -> Floats:
    """(anchors, 85) the output of a YOLOX for people minus that for nobody: twelve anchors per box."""
    cells, strides = grid(size)
    raw = np.zeros((len(cells), 85), np.float32)
    for box in boxes:
        center, sides = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
        far = np.hypot(*((cells + 0.5) * strides - center).T) + 1e6 * (strides[:, 0] < 16)
        for rank, row in enumerate(far.argsort(kind="stable")[:12]):
            offset, logs = center / strides[row] - cells[row], np.log(sides / strides[row])
            raw[row, :6] = (*offset, *logs, 0.95 - 0.04 * rank, 0.95)
    return raw


_API = "import sys; from wholebody import WholeBody; WholeBody(*sys.argv[2:])(sys.argv[1])"


_CLI = """
import sys
from wholebody.cli import main
photo, pose, detector = sys.argv[1:]
main(["predict", photo, "--pose", pose, "--detector", detector])
"""
_THEIR_API = """
import sys, cv2, rtmlib
photo, pose, detector = sys.argv[1:]
rtmlib.Wholebody(det=detector, det_input_size={detector}, pose=pose, pose_input_size={pose}, backend="onnxruntime")(
    cv2.imread(photo))
"""


def _starts(image: Image, pose: Path, detector: Path, runs: int) -> dict[str, Doubles]:
    """See `Timings.starts`. The first run of each, which reads its files from disk, is not counted."""
    sizes = {"pose": input_size(open_session(pose, "cpu")), "detector": input_size(open_session(detector, "cpu"))[::-1]}
    given = (str(pose), str(detector))
    processes: dict[str, tuple[str, ...]] = {
        "nothing": ("pass",),
        "wholebody predict": (_CLI, *given),
        "wholebody predict, bundled networks": (_CLI, "wholebody-133", "person"),
        "WholeBody(...)(photo)": (_API, *given),
        "rtmlib.Wholebody(...)(photo)": (_THEIR_API.format(**sizes), *given),
    }
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in processes}
    with tempfile.TemporaryDirectory() as folder:
        photo = Path(folder) / "photo.jpg"
        write_image(photo, image)
        for _ in _shown(range(runs + 1), "cold starts"):
            for name, (code, *networks) in processes.items():
                before, wall = os.times(), time.perf_counter()
                done = subprocess.run(
                    [sys.executable, "-c", code, str(photo), *networks], capture_output=True, text=True, check=False
                )
                seconds, after = time.perf_counter() - wall, os.times()
                if done.returncode:
                    raise WholebodyError(f"the cold start of {name} failed: {(done.stderr.splitlines() or ['?'])[-1]}")
                children = after.children_user + after.children_system - before.children_user - before.children_system
                spent[name].append((seconds, children))
    nothing = np.median(np.array(spent.pop("nothing"))[1:], axis=0)
    return {name: np.array(rows)[1:] - nothing for name, rows in spent.items()}


def _machine() -> dict[str, str]:
    names = ("wholebody", "rtmlib", "onnxruntime", "opencv-python-headless", "numpy")
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores, load {load} at the end",
        "versions": ", ".join((f"Python {platform.python_version()}", *(f"{name} {_version(name)}" for name in names))),
        "picture": f"{PICTURE[0]} x {PICTURE[1]}",
    }


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "?"


def _shown(items: Iterable[T], name: str) -> Iterator[T]:
    """The items, with a progress bar on stderr."""
    from rich.console import Console
    from rich.progress import track

    yield from track(list(items), name, console=Console(stderr=True), transient=True)
