"""Options that several commands take, in the groups that --help shows them in."""

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
        mode: Both networks by a word: performance downloads rtmw-l-384, balanced and lightweight are bundled.
        threshold: Lowest score of a person; by default what the detector's file recommends.
        flip: Flip test: average with the mirror image. A little more accurate, twice the time.
        people: Keep at most this many people: the largest, or the first in --order.
        order: Which people come first. In a video it goes by where each is in the middle of the time they are seen.
        region: X,Y,WIDTH,HEIGHT: keep only people whose centre is inside, in pixels, or in fractions of the picture.
        id: Keep only these people of a video, by the ids in its files.
        rotate: Rotate pictures clockwise before looking for people, for handstands and ceiling cameras; auto tries all
            four. Results are in the picture as it is.
        strict: Refuse a JPEG whose data are damaged in part, instead of a warning.
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
        draw_threshold: Lowest score of a keypoint that is drawn. Files keep all keypoints.
        xinsir: Wide sticks in an openpose map, for the xinsir ControlNets.
        size: WIDTHxHEIGHT of the drawing. Keypoints are scaled, never the drawing. Files stay in pixels of the picture.
        short_side: Shorter side of the drawing, instead of --size.
        multiple: Round both sides of the drawing to multiples of this.
        resize: If --size has another aspect ratio: pad with bars, crop, fit inside, or stretch.
        align_to: A picture of a character: people take on its proportions and place, and results are in its picture.
        align: linear changes size and place only, as MimicMotion does. muse, uni and wan fit limb by limb from the
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
        output: Folder for the results; by default they go beside each file.
        formats: Files of keypoints: coco, openpose (CMU's JSON), comfy (POSE_KEYPOINT), npz, csv; of videos also
            parquet, trc (OpenSim), sports2d, pose2sim, pose-format (.pose), deeplabcut, deeplabcut-h5 and png (the
            drawn frames); coco-results is one file for all pictures. By default coco for pictures and npz for videos.
        true_scores: In comfy files the networks' scores, instead of 1 for what is drawn and 0 for what is not.
        trc_unit: Unit of trc files.
        metres_per_pixel: Scale of trc files; by default a pixel stands as a millimetre.
        annotations: COCO annotations that have the ids of the pictures, for coco-results; by default the last number in
            a picture's name is its id.
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
        every: Run the detector on every n-th frame at least, and whenever someone may have come in.
        latency: high looks at a few frames together, which is faster; low takes one after the other.
        smooth: How much keypoints are smoothed.
        two_pass: Smooth in both directions, without lag, and drop people who appear only for a moment.
        background: What is behind the transparent parts of a video: white, black or #rrggbb.
    """

    fps: float | None = None
    start: float = 0.0
    end: float | None = None
    every: int = 8
    latency: Latency = "high"
    smooth: Smoothing = "light"
    two_pass: bool = False
    background: str = "white"


def check_port(port: int) -> None:
    """Refuse a port that no machine has.

    Raises:
        WholebodyError: it is not 0 to 65535.
    """
    if not 0 <= port <= 65535:
        raise WholebodyError(f"port is {port}: give 1 to 65535, or 0 for a free one.")
