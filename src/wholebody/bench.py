"""Our speed beside rtmlib's: the same ONNX files, threads, picture and boxes, in one run.

    print_report(bench_image())                                    # RTMPose-t and YOLOX-nano, random weights
    print_report(bench_image("dwpose-m", "yolox-nano-humanart"))   # released files, downloaded

Both sides take turns, so that a machine busy with other work slows both alike; for the same reason the processor time
is counted beside the clock's. Four sides take part:

rtmlib                     as it comes, but for the number of threads
rtmlib, no spinning        on the sessions that we open, whose idle threads sleep
wholebody                  on the same sessions
wholebody, fused           on our own layout of the same networks, where the files were made here

Every side is given the same boxes, so that the same number of people goes through its pose network, and draws the
same keypoints; its detector really runs. Reading and writing picture files is left out: both leave it to OpenCV.
"""

import contextlib
import io
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from wholebody import draw
from wholebody.arrays import Floats, Image
from wholebody.errors import WholebodyError
from wholebody.evaluate.svg import COLORS, Axes, text, ticks
from wholebody.files import cache_folder
from wholebody.images import write_image
from wholebody.pose.detect import YOLOX, grid
from wholebody.pose.load import onnx_file
from wholebody.pose.topdown import TopDown
from wholebody.poses import Poses
from wholebody.runtime.choose import open_session
from wholebody.runtime.session import Session, input_size
from wholebody.schema import COCO_WHOLEBODY, HAND_EDGES

if TYPE_CHECKING:
    from rich.table import Table

PICTURE = (1280, 720)
PEOPLE = (1, 4, 9)
RTMLIB, QUIET, OURS, FUSED = "rtmlib", "rtmlib, no spinning", "wholebody", "wholebody, fused"
# Sizes of which a network with random weights can be made.
POSES, DETECTORS = ("t", "s", "m", "l", "x"), ("nano", "tiny", "s", "m", "l", "x")

# What is timed, and the stages that make it up: a pass runs "pose", "skeleton" and "openpose" one after the other,
# another one the detector and, at once, the pose network.
TASKS: Mapping[str, tuple[str, ...]] = {
    "pose": ("pose",),
    "pose + skeleton": ("pose", "skeleton"),
    "pose + OpenPose map": ("pose", "openpose"),
    "detector": ("detector",),
    "detector + pose": ("detector", "pose after it"),
    "all + skeleton": ("detector", "pose after it", "skeleton"),
    "all + OpenPose map": ("detector", "pose after it", "openpose"),
    "skeleton": ("skeleton",),
    "OpenPose map": ("openpose",),
}

Times = npt.NDArray[np.float64]
Item = TypeVar("Item")


@dataclass(frozen=True, eq=False)
class Report:
    """What was measured.

    Attributes:
        machine: facts about the machine and the versions.
        networks: what ran, in words.
        times: (threads, people, task, side) -> (rounds, 4) milliseconds for one picture: by the clock, of the
            processor (all threads), and the parts of both that passed inside the networks.
        starts: what was started -> (runs, 2) seconds until a fresh process had its first result and ended, by the
            clock and of the processor, beyond those of a Python that does nothing.
    """

    machine: Mapping[str, str]
    networks: Mapping[str, str]
    times: Mapping[tuple[int, int, str, str], Times]
    starts: Mapping[str, Times] = field(default_factory=dict)

    def ratio(
        self, threads: int, people: int, task: str, side: str, other: str, column: int = 0
    ) -> tuple[float, float, float]:
        """How many times longer `side` takes than `other`: by the medians, and the least and most of any round."""
        a, b = (self.times[threads, people, task, name][:, column] for name in (side, other))
        return float(np.median(a) / np.median(b)), float((a / b).min()), float((a / b).max())


def bench_image(
    pose: str | os.PathLike[str] = "t",
    detector: str | os.PathLike[str] = "nano",
    *,
    people: Sequence[int] = PEOPLE,
    threads: Sequence[int] = (1, 2),
    rounds: int = 15,
    starts: int = 5,
) -> Report:
    """Measure this package and rtmlib.

    Args:
        pose: a size ("t", "s", "m", "l", "x"), of which a network with random weights is made once and kept in the
            cache folder (needs the train extra); or a name or a path of an ONNX file in the layout of the released
            ones, as `pose.load.onnx_file` takes it.
        detector: the same, sizes "nano", "tiny", "s", "m", "l", "x" with an input of 416 pixels.
        people: how many boxes.
        threads: for ONNX Runtime and OpenCV, on both sides.
        rounds: how often each is timed.
        starts: how often fresh processes are timed; 0 leaves that out.

    Raises:
        WholebodyError: rtmlib is not installed, a file cannot be had, or rtmlib cannot take it.
    """
    for name, values in (("people", people), ("threads", threads), ("rounds", (rounds,))):
        if not values or min(values) < 1:
            raise WholebodyError(f"{name} is {min(values, default='empty')}: give 1 or more.")
    library = _rtmlib()
    pose_files = _files(pose, "pose")
    detector_files = _files(detector, "detector")
    times: dict[tuple[int, int, str, str], list[list[float]]] = {}
    image = _picture()
    before = cv2.getNumThreads()
    try:
        given = {n: _people(n) for n in people}
        made: dict[int, list[_Side]] = {}
        # The first two only warm up. Each round has all numbers of people, so that what else the machine does over
        # the minutes bends no curve over them.
        for count, number in _shown([(count, number) for count in threads for number in range(-2, rounds)], "rounds"):
            cv2.setNumThreads(count)
            if count not in made:
                made[count] = _sides(library, pose_files, detector_files, count)
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
    return Report(
        _machine(),
        {"pose": _words(pose_files), "detector": _words(detector_files)},
        {key: np.array(rows) for key, rows in times.items()},
        _starts(image, pose_files[0], detector_files[0], starts) if starts else {},
    )


# --- The sides ------------------------------------------------------------------------------------------------------


@dataclass
class _Clock:
    """Milliseconds spent so far inside the networks of one side, by the clock and of the processor."""

    wall: float = 0.0
    cpu: float = 0.0

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.wall += (time.perf_counter() - wall) * 1e3
        self.cpu += (time.process_time() - cpu) * 1e3


@dataclass(frozen=True, eq=False)
class _Watched:
    """A session whose runs are timed. It takes the calls of ONNX Runtime's sessions as well, for rtmlib."""

    session: Session
    clock: _Clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self.session, name)

    def __call__(self, batch: npt.NDArray[Any], outputs: Sequence[str] | None = None) -> list[npt.NDArray[Any]]:
        with self.clock.running():
            return self.session(batch, outputs)

    def get_inputs(self) -> Sequence[Any]:
        return self.session.inputs

    def get_outputs(self) -> Sequence[Any]:
        return self.session.outputs

    def run(self, outputs: Sequence[str], inputs: Mapping[str, npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        (batch,) = inputs.values()
        return self(batch, outputs)


@dataclass(frozen=True, eq=False)
class _Default:
    """ONNX Runtime's own session with its default options, but for the number of threads, whose runs are timed."""

    path: Path
    threads: int
    clock: _Clock
    session: Any = field(init=False)

    def __post_init__(self) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = self.threads
        session = ort.InferenceSession(str(self.path), options, providers=["CPUExecutionProvider"])
        object.__setattr__(self, "session", session)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.session, name)

    def run(self, outputs: Sequence[str], inputs: Mapping[str, npt.NDArray[Any]]) -> Any:
        with self.clock.running():
            return self.session.run(outputs, inputs)


@dataclass(frozen=True, eq=False)
class _Side:
    """One contestant: how it finds boxes, finds keypoints in boxes, and draws given keypoints."""

    name: str
    clock: _Clock
    detect: Callable[[Image], Any]
    pose: Callable[[Image, Floats], Any]
    drawings: Mapping[str, Callable[[Image, Poses], Image]]

    def run(self, image: Image, boxes: Floats, poses: Poses) -> dict[str, list[float]]:
        """Every stage once: its name -> the four columns of `Report.times`."""
        stages: dict[str, list[float]] = {}

        def timed(stage: str, work: Callable[[], Any]) -> None:
            inside = self.clock.wall, self.clock.cpu
            wall, cpu = time.perf_counter(), time.process_time()
            work()
            spent = (time.perf_counter() - wall) * 1e3, (time.process_time() - cpu) * 1e3
            stages[stage] = [*spent, self.clock.wall - inside[0], self.clock.cpu - inside[1]]

        timed("pose", lambda: self.pose(image, boxes))
        for name, drawing in self.drawings.items():
            timed(name, lambda drawing=drawing: drawing(image, poses))  # type: ignore[misc]
        _settle()
        timed("detector", lambda: self.detect(image))
        timed("pose after it", lambda: self.pose(image, boxes))
        _settle()
        return stages


def _settle() -> None:
    """Wait until the threads of this process sleep: with ONNX Runtime's default options they spin for 50 to 100 ms
    after each run, which would be counted to whoever comes next."""
    quiet = 0
    while quiet < 2:
        wall, cpu = time.perf_counter(), time.process_time()
        time.sleep(0.005)
        idle = time.process_time() - cpu < 0.1 * (time.perf_counter() - wall)
        quiet = quiet + 1 if idle else 0


def _sides(
    library: Any, pose: tuple[Path, Path | None], detector: tuple[Path, Path | None], threads: int
) -> list[_Side]:
    clock = _Clock()
    # One session for both packages: where in memory a session happens to lie makes it several per cent faster or
    # slower than its twin. A single thread has nobody to spin for, so that there rtmlib's defaults are ours.
    plain = tuple(_Watched(open_session(path, "cpu", threads), clock) for path in (pose[0], detector[0]))
    quiet = _theirs(library, QUIET, clock, pose[0], detector[0], plain)
    # Its OpenPose maps take longer than all else together, and no sessions: drawn once, not twice.
    quiet = replace(quiet, drawings={"skeleton": quiet.drawings["skeleton"]})
    if threads == 1:
        default = _theirs(library, RTMLIB, clock, pose[0], detector[0], plain)
    else:
        their_clock = _Clock()
        own = tuple(_Default(path, threads, their_clock) for path in (pose[0], detector[0]))
        default = _theirs(library, RTMLIB, their_clock, pose[0], detector[0], own)
    sides = [default, quiet, _ours(OURS, clock, plain)]
    if pose[1] and detector[1]:
        clock = _Clock()
        fused = tuple(_Watched(open_session(path, "cpu", threads), clock) for path in (pose[1], detector[1]))
        sides.append(_ours(FUSED, clock, fused))
    return sides


def _ours(name: str, clock: _Clock, sessions: Sequence[Any]) -> _Side:
    """sessions: of the pose network and of the detector."""
    drawings = {"skeleton": draw.skeleton, "openpose": lambda image, poses: draw.openpose(np.zeros_like(image), poses)}
    return _Side(name, clock, YOLOX(sessions[1]), TopDown(sessions[0]), drawings)


def _theirs(library: Any, name: str, clock: _Clock, pose: Path, detector: Path, sessions: Sequence[Any]) -> _Side:
    """rtmlib's tools, with our threshold for boxes and with these sessions, as it has no option for threads."""
    from rtmlib.tools.pose_estimation.post_processings import convert_coco_to_openpose

    (w, h), (dw, dh) = (input_size(open_session(path, "cpu")) for path in (pose, detector))
    with contextlib.redirect_stdout(io.StringIO()):  # it says that it loads
        estimator = library.RTMPose(str(pose), model_input_size=(w, h), backend="onnxruntime", device="cpu")
        finder = library.YOLOX(
            str(detector), model_input_size=(dh, dw), score_thr=0.3, nms_thr=0.45, backend="onnxruntime", device="cpu"
        )
    estimator.session, finder.session = sessions

    def skeleton(image: Image, poses: Poses) -> Image:
        drawn: Image = library.draw_skeleton(image.copy(), poses.keypoints, poses.scores, kpt_thr=0.3)
        return drawn

    def openpose(image: Image, poses: Poses) -> Image:
        people = convert_coco_to_openpose(poses.keypoints, poses.scores)
        drawn: Image = library.draw_skeleton(np.zeros_like(image), *people, openpose_skeleton=True, kpt_thr=0.3)
        return drawn

    return _Side(name, clock, finder, estimator, {"skeleton": skeleton, "openpose": openpose})


def _rtmlib() -> Any:
    try:
        import rtmlib
    except ImportError as error:
        raise WholebodyError(
            f"the benchmark compares with rtmlib, which cannot be imported ({error}). "
            "Run: pip install --no-deps rtmlib tqdm (its own dependencies bring a second OpenCV)."
        ) from error
    return rtmlib


# --- What goes in ---------------------------------------------------------------------------------------------------


def _picture() -> Image:
    """Smooth noise of 1280 x 720."""
    coarse = np.random.default_rng(0).integers(0, 256, (PICTURE[1] // 20, PICTURE[0] // 20, 3), dtype=np.uint8)
    return cv2.resize(coarse, PICTURE, interpolation=cv2.INTER_CUBIC).astype(np.uint8, copy=False)


def _boxes(n: int, size: tuple[int, int]) -> Floats:
    """(n, 4) boxes of people side by side on a picture of `size` (w, h)."""
    height = min(0.95 * size[1], 2.4 * size[0] / n)
    center = np.stack([(np.arange(n) + 0.5) * size[0] / n, np.full(n, size[1] / 2)], axis=1)
    half = np.array([height / 2.4, height]) / 2
    return np.concatenate([center - half, center + half], axis=1).astype(np.float32)


# x and y of body and feet in a box: nose, eyes, ears, shoulders, elbows, wrists, hips, knees, ankles, feet.
_BODY = (
    (.50, .09), (.53, .07), (.47, .07), (.57, .08), (.43, .08), (.65, .19), (.35, .19), (.75, .32), (.25, .32),
    (.80, .44), (.20, .44), (.60, .49), (.40, .49), (.61, .70), (.39, .70), (.62, .90), (.38, .90),
    (.66, .98), (.70, .97), (.61, .94), (.34, .98), (.30, .97), (.39, .94),
)  # fmt: skip


def _people(n: int) -> tuple[Floats, Poses]:
    """Boxes (n, 4) of n people on the picture, and n people in them that have every keypoint."""
    boxes = _boxes(n, PICTURE)
    unit = np.zeros((len(COCO_WHOLEBODY), 2))
    unit[:23] = _BODY
    turn = np.linspace(0, 2 * np.pi, 68)
    unit[23:91] = np.stack([0.5 + 0.09 * np.cos(turn), 0.1 + 0.07 * np.sin(turn)], axis=-1)
    for root, wrist, side in ((91, 9, 1), (112, 10, -1)):
        unit[root] = _BODY[wrist]
        for i, (_, tip) in enumerate(HAND_EDGES):
            finger, joint = divmod(i, 4)
            unit[root + tip] = unit[root] + (0.012 * (finger - 2) * (joint + 1) * side, 0.015 * (joint + 1))
    keypoints = boxes[:, None, :2] + unit * (boxes[:, None, 2:] - boxes[:, None, :2])
    return boxes, Poses(keypoints, np.full(keypoints.shape[:2], 0.9), boxes, np.ones(n, np.float32))


def _files(network: str | os.PathLike[str], kind: Any) -> tuple[Path, Path | None]:
    """The ONNX file in the released layout, and in the fused one where it is made here."""
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
    """Networks with random weights, made on first use: time does not depend on the weights."""
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
    """A YOLOX of random weights with people added to what it finds, so that there is something to suppress."""
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
    """(anchors, 85) what a YOLOX gives for people, minus what it gives for nobody: twelve anchors for each box."""
    cells, strides = grid(size)
    raw = np.zeros((len(cells), 85), np.float32)
    for box in boxes:
        center, sides = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
        far = np.hypot(*((cells + 0.5) * strides - center).T) + 1e6 * (strides[:, 0] < 16)
        for rank, row in enumerate(far.argsort(kind="stable")[:12]):
            offset, logs = center / strides[row] - cells[row], np.log(sides / strides[row])
            raw[row, :6] = (*offset, *logs, 0.95 - 0.04 * rank, 0.95)
    return raw


# --- Cold start -----------------------------------------------------------------------------------------------------

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


def _starts(image: Image, pose: Path, detector: Path, runs: int) -> dict[str, Times]:
    """See `Report.starts`. The first run of each, which reads its files from the disk, is not counted."""
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


# --- Telling --------------------------------------------------------------------------------------------------------


def tables(report: Report) -> "list[Table]":
    """The report as tables that read as Markdown too: for each number of threads, and the cold starts."""
    from rich import box
    from rich.table import Table

    def new(title: str, *columns: str) -> Table:
        table = Table(title=title, title_justify="left", box=box.MARKDOWN)
        for i, column in enumerate(columns):
            table.add_column(column, justify="left" if i == 0 else "right", no_wrap=True)
        return table

    made = []
    settings = dict.fromkeys((threads, people) for threads, people, _, _ in report.times)
    for count in dict.fromkeys(threads for threads, _ in settings):
        people = [n for threads, n in settings if threads == count]
        sides = list(dict.fromkeys(side for threads, _, _, side in report.times if threads == count))
        title = f"{count} thread{'s' if count > 1 else ''}: milliseconds for a picture; x: times ours"
        ratios = ("rtmlib x", "least..most", "no spinning x", "processor x")
        table = new(title, "task", "people", *sides, *ratios, "in networks", "outside", "rtmlib outside")
        for task in TASKS:
            for n in people[:1] if task == "detector" else people:
                table.add_row(task, "" if task == "detector" else str(n), *_cells(report, count, n, task, sides))
        made.append(table)
    if report.starts:
        table = new("Cold start, seconds beyond Python's own", "process", "clock", "least..most", "processor")
        for name, rows in report.starts.items():
            (wall, cpu), low, high = np.median(rows, axis=0), rows[:, 0].min(), rows[:, 0].max()
            table.add_row(name, f"{wall:.2f}", f"{low:.2f}..{high:.2f}", f"{cpu:.2f}")
        made.append(table)
    return made


def _cells(report: Report, threads: int, people: int, task: str, sides: Sequence[str]) -> Iterator[str]:
    """Milliseconds of each side; how many times ours rtmlib takes, by the clock and of the processor; ours inside the
    network in per cent, and what is left outside of it in milliseconds, for both."""
    there = {side: report.times.get((threads, people, task, side)) for side in sides}
    for times in there.values():
        yield "" if times is None else f"{np.median(times[:, 0]):.1f}"
    ratio, least, most = report.ratio(threads, people, task, RTMLIB, OURS)
    yield from (f"{ratio:.2f}", f"{least:.2f}..{most:.2f}")
    yield "" if there[QUIET] is None else f"{report.ratio(threads, people, task, QUIET, OURS)[0]:.2f}"
    ours, theirs = there[OURS], there[RTMLIB] if there[QUIET] is None else there[QUIET]
    assert ours is not None and theirs is not None
    yield f"{np.median(theirs[:, 1]) / np.median(ours[:, 1]):.2f}"
    yield f"{100 * np.median(ours[:, 2] / ours[:, 0]):.0f} %"
    for times in (ours, theirs):
        yield f"{np.median(times[:, 0] - times[:, 2]):.2f}"


def print_report(report: Report) -> None:
    """Print the machine, what ran, and the tables."""
    from rich.console import Console

    # Wide enough for the tables where the output goes to a file.
    console = Console(width=None if sys.stdout.isatty() else 220, highlight=False)
    for name, fact in (*report.machine.items(), *report.networks.items()):
        console.print(f"{name}: {fact}", markup=False)
    counts = dict.fromkeys(threads for threads, _, _, _ in report.times)
    several = len({people for _, people, _, _ in report.times}) > 3
    for table in [*tables(report), *([people_table(report, count) for count in counts] if several else [])]:
        console.print()
        console.print(table)


# The lines of the plot: task, side, and how it is drawn.
_LINES = (
    ("detector + pose", RTMLIB, COLORS[1], True),
    ("all + skeleton", RTMLIB, COLORS[1], False),
    ("detector + pose", OURS, COLORS[0], True),
    ("all + skeleton", OURS, COLORS[0], False),
)


def _column(threads: int) -> int:
    """Of one thread the processor's time: what the clock shows on an idle machine, and on a busy one as well."""
    return 1 if threads == 1 else 0


def _unit(threads: int) -> str:
    return "processor milliseconds" if _column(threads) else "milliseconds"


def plot(report: Report, threads: int) -> str:
    """The paper's plot as SVG: time for a picture against the people in it; dashes without drawing, lines with it."""
    people = sorted({n for count, n, _, _ in report.times if count == threads})
    lines = {
        (task, side): [(n, float(np.median(report.times[threads, n, task, side][:, _column(threads)]))) for n in people]
        for task, side, _, _ in _LINES
    }
    most = 1.1 * max(value for points in lines.values() for _, value in points)
    axes = Axes((people[0] - 0.3, people[-1] + 0.3), (0, most))
    title = f"{_unit(threads)} for a picture, {threads} thread{'s' * (threads > 1)}"
    shapes = [axes.lines(ticks(most), people, label="people in the picture", title=title)]
    for n, (task, side, color, dashed) in enumerate(_LINES):
        shapes += [axes.dot(x, y, color, 3) for x, y in lines[task, side]]
        shapes.append(axes.line(lines[task, side], color, dashed))
        shapes.append(
            axes.line(
                [(people[0], most * (0.97 - 0.06 * n)), (people[0] + 0.4, most * (0.97 - 0.06 * n))], color, dashed
            )
        )
        words = f"{side}, {'without' if dashed else 'with'} drawing"
        shapes.append(text(axes.across(people[0] + 0.45), axes.up(most * (0.97 - 0.06 * n)) + 4, words))
    return axes.picture(shapes)


def people_table(report: Report, threads: int) -> "Table":
    """The paper's table: milliseconds for a picture of so many people, theirs / ours (how many times ours)."""
    from rich import box
    from rich.table import Table

    people = sorted({n for count, n, _, _ in report.times if count == threads})
    title = f"{threads} thread{'s' * (threads > 1)}: rtmlib / wholebody, {_unit(threads)} for a picture (times ours)"
    table = Table("people", *map(str, people), title=title, title_justify="left", box=box.MARKDOWN)
    for task in ("detector + pose", "all + skeleton", "all + OpenPose map"):
        cells = []
        for n in people:
            column = _column(threads)
            theirs, ours = (np.median(report.times[threads, n, task, side][:, column]) for side in (RTMLIB, OURS))
            cells.append(f"{theirs:.0f} / {ours:.0f} ({theirs / ours:.2f})")
        table.add_row(task, *cells)
    return table


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


def _shown(items: Iterable[Item], name: str) -> Iterator[Item]:
    """The items, with a bar on stderr."""
    from rich.console import Console
    from rich.progress import track

    yield from track(list(items), name, console=Console(stderr=True), transient=True)
