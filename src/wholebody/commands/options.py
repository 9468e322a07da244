"""Options that several commands take, in the groups that --help shows them in."""

import os
from dataclasses import dataclass
from pathlib import Path

from wholebody.choices import (
    AlignMode,
    Device,
    Drawing,
    Latency,
    Mode,
    Order,
    Part,
    Precision,
    Resizing,
    Rotation,
    Smoothing,
    TrcUnit,
)
from wholebody.errors import WholebodyError


@dataclass(frozen=True)
class Compute:
    """Where to compute.

    Attributes:
        device: Device; auto takes the first that works of cuda, directml and cpu.
        precision: On the CPU: fp32 as in the model cards, bf16 (OpenVINO), int8, or auto for the fastest available.
        threads: CPU threads; all cores by default.
    """

    device: Device = "auto"
    precision: Precision = "auto"
    threads: int | None = None


@dataclass(frozen=True)
class Find:
    """What to find.

    Attributes:
        pose: Pose network: a name from `wholebody models`, or an .onnx, .pth or .safetensors file.
        detector: Person detector: likewise, or none to take the whole picture as one person.
        mode: Both networks by preset: performance downloads rtmw-l-384, balanced and lightweight are bundled.
        threshold: Lowest score of a person; by default what the detector's file recommends.
        flip: Flip test: average with the mirror image. A little more accurate, twice the time.
        people: Keep at most this many people: the largest, or the first in --order.
        order: Which people come first. In a video it depends on where each person is half-way through
            their time in it.
        region: X,Y,WIDTH,HEIGHT: keep only people whose centre is inside, in pixels, or in fractions of the picture.
        id: Keep only these people of a video, by the ids in its files.
        rotate: Rotate pictures clockwise before detection, for handstands and ceiling cameras; auto tries all four
            rotations. Results are in pixels of the original picture.
        strict: Refuse a partly damaged JPEG, instead of warning.
    """

    pose: str = "wholebody-133"
    detector: str = "person"
    mode: Mode | None = None
    threshold: float | None = None
    flip: bool = False
    people: int | None = None
    order: Order | None = None
    region: str | None = None
    id: tuple[int, ...] = ()
    rotate: Rotation = "0"
    strict: bool = False


@dataclass(frozen=True)
class Draw:
    """How to draw.

    Attributes:
        draw: skeleton over the picture, openpose for a ControlNet map on black, or none.
        parts: Parts of an openpose map.
        draw_threshold: Lowest score of a keypoint that is drawn. Files keep all keypoints, except comfy files.
        xinsir: Wide sticks in an openpose map, for the xinsir ControlNets.
        size: WIDTHxHEIGHT of the drawing. Keypoints are scaled, not the drawing. Files keep the picture's pixels.
        short_side: Shorter side of the drawing, instead of --size.
        multiple: Round both sides of the drawing to multiples of this.
        resize: If --size has another aspect ratio: pad with bars, crop, fit inside, or stretch.
        align_to: Picture of a character: people take on its proportions and position, and results are in its pixels.
        align: linear changes size and position only, as MimicMotion does. muse, uni and wan fit limb by limb from the
            first frame, as MusePose, UniAnimate and Wan-Animate do.
    """

    draw: Drawing = "skeleton"
    parts: tuple[Part, ...] = ("body", "hands", "face")
    draw_threshold: float = 0.3
    xinsir: bool = False
    size: str | None = None
    short_side: int | None = None
    multiple: int = 1
    resize: Resizing = "pad"
    align_to: Path | None = None
    align: AlignMode = "linear"


@dataclass(frozen=True)
class Write:
    """What to write.

    Attributes:
        output: Folder for the results; by default they are written next to each file.
        formats: Keypoint files: coco, openpose (CMU's JSON), comfy (POSE_KEYPOINT), npz, csv; for videos also
            parquet, trc (OpenSim), sports2d, pose2sim, pose-format (.pose), deeplabcut, deeplabcut-h5 and png (the
            drawn frames); coco-results is one file for all pictures. By default coco for pictures and npz for videos.
        true_scores: Write the network's scores to comfy files, instead of 1 for drawn points and 0 for others.
        trc_unit: Unit of trc files.
        metres_per_pixel: Scale of trc files; by default a pixel counts as a millimetre.
        annotations: COCO annotations with the ids of the pictures, for coco-results; by default the last number in a
            picture's name is its id.
        resume: Resume videos of a run that was interrupted.
    """

    output: Path | None = None
    formats: tuple[str, ...] = ()
    true_scores: bool = False
    trc_unit: TrcUnit = "mm"
    metres_per_pixel: float = 0.001
    annotations: Path | None = None
    resume: bool = False


@dataclass(frozen=True)
class Video:
    """Videos.

    Attributes:
        fps: Constant frame rate; by default the video's own frames and times.
        start: Begin at this second.
        end: Stop at this second.
        every: Run the detector at least on every n-th frame, and whenever someone may have entered.
        latency: high processes a few frames together, which is faster; low processes them one by one.
        smooth: How much keypoints are smoothed.
        two_pass: Smooth in both directions, without lag, and drop people who appear only for a moment.
        background: Colour behind the transparent parts of a video: white, black or #rrggbb.
    """

    fps: float | None = None
    start: float = 0.0
    end: float | None = None
    every: int = 8
    latency: Latency = "high"
    smooth: Smoothing = "light"
    two_pass: bool = False
    background: str = "white"


def usable_cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_port(port: int) -> None:
    """Refuse an invalid port.

    Raises:
        WholebodyError: it is not 0 to 65535.
    """
    if not 0 <= port <= 65535:
        raise WholebodyError(f"port is {port}: give 1 to 65535, or 0 for a free one.")
