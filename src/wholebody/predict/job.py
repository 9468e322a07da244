"""The options of a `wholebody predict` run, and its results."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from wholebody import draw
from wholebody.arrays import Image
from wholebody.choices import AlignMode, Drawing, Latency, Part, Smoothing
from wholebody.draw.canvas import Sizing
from wholebody.errors import WholebodyError
from wholebody.formats.kinds import check_kinds
from wholebody.formats.opensim import Axes
from wholebody.pose.choose import Choice
from wholebody.poses import Poses
from wholebody.predict.turn import Turn
from wholebody.video.display import parsed_color
from wholebody.video.frame import LONGEST


@dataclass(frozen=True)
class Look:
    """How results are drawn.

    Attributes:
        sizing: the size of the drawing; points are scaled before drawing.
    """

    picture: Drawing
    parts: Sequence[Part]
    threshold: float
    xinsir: bool
    sizing: Sizing = field(default_factory=Sizing)

    def __call__(self, image: Image, poses: Poses) -> Image:
        if self.picture == "none":
            return image
        canvas = self.sizing.canvas((image.shape[1], image.shape[0]))
        placed = canvas.poses(poses)
        if self.picture == "skeleton":
            return draw.skeleton(canvas.image(image), placed, self.threshold)
        shown: dict[str, Any] = {part: part in self.parts for part in ("body", "hands", "face", "feet")}
        scale: Literal["official", "xinsir"] = "xinsir" if self.xinsir else "official"
        try:
            return draw.openpose(canvas.black(), placed, **shown, stick_scale=scale, threshold=self.threshold)
        except ValueError as error:  # a network for the body alone
            raise WholebodyError(f"{error}. Choose another drawing: --draw skeleton.") from error


@dataclass(frozen=True)
class Pace:
    """How a video is processed.

    Attributes:
        fps: constant frame rate; None keeps the video's own times. start, end: seconds.
        every: the detector runs on every `every`-th frame at least.
        latency: as for `pipeline.Follower`.
        smooth: strength of the smoothing.
        two_pass: after detection, smooth in both directions, and drop people who appear only for a moment.
        background: the colour behind transparent parts, as `parsed_color` takes it.
        resume: continue a run that was stopped.

    Raises:
        WholebodyError: a number is invalid.
    """

    fps: float | None = None
    start: float = 0.0
    end: float | None = None
    every: int = 8
    latency: Latency = "high"
    smooth: Smoothing = "light"
    two_pass: bool = False
    background: str = "white"
    resume: bool = False

    def __post_init__(self) -> None:
        parsed_color(self.background)
        if self.fps is not None and not 0 < self.fps <= 1000:
            raise WholebodyError(f"fps is {self.fps:g}: give 1 to 1000, or leave it out.")
        if not 0 <= self.start <= LONGEST:
            raise WholebodyError(f"start is {self.start:g}: give seconds from the beginning, 0 to {LONGEST:g}.")
        if self.end is not None and not self.end > self.start:
            raise WholebodyError(f"end is {self.end:g}: give a second after the start, {self.start:g}.")
        if self.every < 1:
            raise WholebodyError(f"every is {self.every}: give 1 or more.")


@dataclass(frozen=True)
class Job:
    """What to do with each file.

    Attributes:
        look: how results are drawn.
        kinds: pose file formats, names from `formats.kinds.KINDS`; empty for the default.
        choice: who is kept.
        networks: their names and options, one string each; a stopped run can only continue with the same ones.
        turn: degrees clockwise by which pictures are rotated before detection, or "auto".
        align_to: the picture of the character that people are aligned to, and the method; None for no alignment.
        true_scores: ComfyUI files hold the scores instead of 1 and 0.
        axes: of marker files.
        annotations: COCO JSON with the ids of the pictures, for formats that put all pictures into one file.
        strict: refuse partly damaged JPEGs.
        advice: what to try if nobody is found in any file, as the end of a sentence; "" if there is nothing.

    Raises:
        WholebodyError: a format is unknown.
    """

    look: Look
    kinds: Sequence[str]
    choice: Choice = field(default_factory=Choice)
    pace: Pace = field(default_factory=Pace)
    networks: Sequence[str] = ()
    turn: Turn | Literal["auto"] = 0
    align_to: tuple[Path, AlignMode] | None = None
    true_scores: bool = False
    axes: Axes = field(default_factory=Axes)
    annotations: Path | None = None
    strict: bool = False
    advice: str = ""

    def __post_init__(self) -> None:
        check_kinds(self.kinds)

    @property
    def comfy_threshold(self) -> float | None:
        """The score from which a point counts as drawn in ComfyUI files; None for true scores."""
        return None if self.true_scores else self.look.threshold


@dataclass(frozen=True)
class Done:
    """One finished file: the number of people, the files written, the time taken; for a video, the number of frames."""

    file: Path
    people: int
    written: Sequence[Path]
    seconds: float
    frames: int | None = None
