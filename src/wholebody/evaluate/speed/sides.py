"""The two sides of a benchmark: ours and rtmlib's, each timed stage by stage on the same files."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wholebody import draw
from wholebody.arrays import Floats, Image
from wholebody.evaluate import rtmlib
from wholebody.pose.detect import YOLOX
from wholebody.pose.topdown import TopDown
from wholebody.poses import Poses
from wholebody.runtime.choose import open_session
from wholebody.runtime.session import Session

RTMLIB, QUIET, OURS, FUSED = "rtmlib", "rtmlib, no spinning", "wholebody", "wholebody, fused"


@dataclass
class _Clock:
    """Milliseconds spent so far inside the networks of one side, wall-clock and CPU."""

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
    """A session whose runs are timed. It also supports the interface of ONNX Runtime's sessions, for rtmlib."""

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
    """ONNX Runtime's own session, timed, with its default options except for the number of threads."""

    path: Path
    threads: int
    clock: _Clock
    session: Any = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "session", rtmlib.default_session(self.path, self.threads))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.session, name)

    def run(self, outputs: Sequence[str], inputs: Mapping[str, npt.NDArray[Any]]) -> Any:
        with self.clock.running():
            return self.session.run(outputs, inputs)


@dataclass(frozen=True, eq=False)
class Side:
    """One side: how it finds boxes, finds keypoints in boxes, and draws given keypoints."""

    name: str
    clock: _Clock
    detect: Callable[[Image], Any]
    pose: Callable[[Image, Floats], Any]
    drawings: Mapping[str, Callable[[Image, Poses], Image]]

    def run(self, image: Image, boxes: Floats, poses: Poses) -> dict[str, list[float]]:
        """Run every stage once: its name -> the four columns of `Timings.times`."""
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
    after each run, which would be attributed to the next measurement."""
    quiet = 0
    while quiet < 2:
        wall, cpu = time.perf_counter(), time.process_time()
        time.sleep(0.005)
        idle = time.process_time() - cpu < 0.1 * (time.perf_counter() - wall)
        quiet = quiet + 1 if idle else 0


def both_sides(pose: tuple[Path, Path | None], detector: tuple[Path, Path | None], threads: int) -> list[Side]:
    clock = _Clock()
    # One session for both packages: its location in memory makes a session several per cent faster or slower than an
    # identical one. With a single thread nothing spins, so rtmlib's defaults are equivalent to ours.
    plain = tuple(_Watched(open_session(path, "cpu", threads), clock) for path in (pose[0], detector[0]))
    quiet = _theirs(QUIET, clock, pose[0], detector[0], plain)
    # Its OpenPose maps take longer than everything else together and use no sessions, so draw them once, not twice.
    quiet = replace(quiet, drawings={"skeleton": quiet.drawings["skeleton"]})
    if threads == 1:
        default = _theirs(RTMLIB, clock, pose[0], detector[0], plain)
    else:
        their_clock = _Clock()
        own = tuple(_Default(path, threads, their_clock) for path in (pose[0], detector[0]))
        default = _theirs(RTMLIB, their_clock, pose[0], detector[0], own)
    sides = [default, quiet, _ours(OURS, clock, plain)]
    if pose[1] and detector[1]:
        clock = _Clock()
        fused = tuple(_Watched(open_session(path, "cpu", threads), clock) for path in (pose[1], detector[1]))
        sides.append(_ours(FUSED, clock, fused))
    return sides


def _ours(name: str, clock: _Clock, sessions: Sequence[Any]) -> Side:
    """sessions: of the pose network and of the detector."""
    drawings = {"skeleton": draw.skeleton, "openpose": lambda image, poses: draw.openpose(np.zeros_like(image), poses)}
    return Side(name, clock, YOLOX(sessions[1]), TopDown(sessions[0]), drawings)


def _theirs(name: str, clock: _Clock, pose: Path, detector: Path, sessions: Sequence[Any]) -> Side:
    """rtmlib's tools with these sessions, because it has no option for threads."""
    library = rtmlib.library()
    from rtmlib.tools.pose_estimation.post_processings import convert_coco_to_openpose

    estimator, finder = rtmlib.pose_network(pose), rtmlib.detector(detector)
    estimator.session, finder.session = sessions

    def skeleton(image: Image, poses: Poses) -> Image:
        drawn: Image = library.draw_skeleton(image.copy(), poses.keypoints, poses.scores, kpt_thr=0.3)
        return drawn

    def openpose(image: Image, poses: Poses) -> Image:
        people = convert_coco_to_openpose(poses.keypoints, poses.scores)
        drawn: Image = library.draw_skeleton(np.zeros_like(image), *people, openpose_skeleton=True, kpt_thr=0.3)
        return drawn

    return Side(name, clock, finder, estimator, {"skeleton": skeleton, "openpose": openpose})
