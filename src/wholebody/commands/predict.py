"""`wholebody predict` and `wholebody camera`."""

from pathlib import Path
from typing import Annotated, Literal

import tyro

from wholebody.choices import (
    Alignment,
    Device,
    Drawing,
    Latency,
    Order,
    Part,
    Precision,
    Resizing,
    Rotation,
    Smoothing,
)


def predict(
    inputs: Annotated[tuple[Path, ...], tyro.conf.Positional],
    /,
    output: Path | None = None,
    draw: Drawing = "skeleton",
    parts: tuple[Part, ...] = ("body", "hands", "face"),
    formats: tuple[str, ...] = (),
    pose: str = "wholebody-133",
    detector: str = "person",
    threshold: float | None = None,
    draw_threshold: float = 0.3,
    people: int | None = None,
    order: Order | None = None,
    region: str | None = None,
    id: tuple[int, ...] = (),
    rotate: Rotation = "0",
    align_to: Path | None = None,
    align: Alignment = "linear",
    size: str | None = None,
    short_side: int | None = None,
    multiple: int = 1,
    resize: Resizing = "pad",
    flip: bool = False,
    xinsir: bool = False,
    true_scores: bool = False,
    fps: float | None = None,
    start: float = 0.0,
    end: float | None = None,
    every: int = 8,
    latency: Latency = "high",
    smooth: Smoothing = "light",
    two_pass: bool = False,
    resume: bool = False,
    device: Device = "auto",
    precision: Precision = "auto",
    threads: int | None = None,
) -> int:
    """Find everyone in photos and videos: skeletons drawn over them, and a file of keypoints for each.

    "wholebody predict photo.jpg" writes photo_pose.jpg and photo_pose.json beside it.

    "wholebody predict holiday/ --output out" does every picture and video of a folder, into another.

    "wholebody predict dance.png --draw openpose" makes a ControlNet map on black.

    "wholebody predict crop.jpg --detector none" takes the whole picture as one person.

    "wholebody predict clip.mp4" writes clip_pose.mp4, with its sound, and clip_pose.npz: everybody in every frame.

    "wholebody predict clip.mp4 --draw openpose --fps 16 --people 1" makes a control video of one dancer.

    "wholebody predict dance.mp4 --align-to character.png --align muse --draw openpose" fits the dancer's limbs to the
    character's, in the character's picture.

    "wholebody predict photo.jpg --draw openpose --size 768x1344" makes the map at that size: points are scaled, not the
    drawing.

    "wholebody predict clip.mp4 --people 2 --order left-to-right" keeps the two leftmost people, the same throughout.

    "wholebody predict frames/ --fps 25" takes a folder of numbered pictures as one video.

    A file that cannot be read is reported and the others are done; the exit status is then 1. Damage that a video
    survived is reported too, but does not count.

    Args:
        inputs: Pictures, videos, or folders of them.
        output: Folder for the results. Without it they go beside each file.
        draw: skeleton over the picture, openpose for a ControlNet map on black, or none.
        parts: What an openpose map shows.
        formats: coco (of pictures unless others are named) and npz (of videos) keep everything; openpose is CMU's JSON
            with BODY_25, a folder of them for a video; comfy is ComfyUI's POSE_KEYPOINT. For videos also parquet; trc
            for OpenSim, a file for each person; png, what is drawn as numbered pictures.
        pose: Pose network: a name from `wholebody models`, or an .onnx, .pth or .safetensors file.
        detector: Person detector: the same, or none.
        threshold: Lowest score of a person. What the detector's file recommends, or 0.3, unless given.
        draw_threshold: Lowest score of a keypoint that is drawn. Files keep all of them, with scores.
        people: Most people: the largest, or the first in the order.
        order: Who comes first. In a video by the middle of what is seen of each, so that the same people stay.
        region: X,Y,WIDTH,HEIGHT: only who is in the middle of it, in pixels, or in fractions of the picture up to 1.
        id: Only these people of a video, by the ids that its files and a first run show.
        rotate: Degrees clockwise by which to turn pictures before people are looked for, for handstands and ceiling
            cameras; auto takes the surest of the four, of a video for all of it. Results are of the picture as it is.
        align_to: A picture of a character: people get its proportions and place, and results are in its picture.
        align: linear changes size and place alone, as MimicMotion does; muse, uni and wan fit limb by limb, by the
            first frame, as MusePose, UniAnimate and Wan-Animate do.
        size: WIDTHxHEIGHT of what is drawn. Files of keypoints stay in pixels of the picture.
        short_side: Shorter side of what is drawn, instead of a size.
        multiple: Both sides of what is drawn are rounded to multiples of it.
        resize: For a size of other proportions: bars at two sides (pad), two sides cut off (crop), the largest that
            goes into the size (fit), or stretched.
        flip: Average with the mirror image: a little more accurate, twice the time.
        xinsir: Wide sticks in an openpose map, for the xinsir ControlNets.
        true_scores: In comfy files the networks' scores, in place of 1 for what is drawn and 0 for what is not.
        fps: Frames a second of a video, at a steady rate; its own frames and times unless given.
        start: Begin at this second of a video.
        end: Stop at this second.
        every: The detector runs on every this-many-th frame of a video at least, and whenever somebody may have come.
        latency: high looks at a few frames together, which is faster; low at one after the other.
        smooth: How much keypoints of a video are smoothed.
        two_pass: Smooth with a look both ways, without lag, and leave out who flashes up for a moment.
        resume: Go on with videos of a run that was stopped or killed.
        device: What to compute on.
        precision: On a processor: fp32 as the model cards were measured, bf16 (OpenVINO), int8, or the fastest here.
        threads: CPU threads; all cores by default.
    """
    from wholebody.draw.canvas import Sizing, parsed_size
    from wholebody.pose.choose import Choice, parsed_region
    from wholebody.predict.job import Job, Look, Pace
    from wholebody.predict.run import run_job
    from wholebody.predict.turn import TURNS, Turn
    from wholebody.wholebody import WholeBody

    sizing = Sizing(None if size is None else parsed_size(size), short_side, multiple, resize)
    look = Look(draw, parts, draw_threshold, xinsir, sizing)
    choice = Choice(people, order, None if region is None else parsed_region(region), id)
    pace = Pace(fps, start, end, every, latency, smooth, two_pass, resume)

    def model() -> WholeBody:
        return WholeBody(
            pose, detector, device=device, threads=threads, precision=precision, threshold=threshold, flip=flip
        )

    networks = (pose, detector, f"{threshold}", "flip" if flip else "", precision)
    turn: Turn | Literal["auto"] = next((turn for turn in TURNS if str(turn) == rotate), "auto")
    aligned = None if align_to is None else (align_to, align)
    job = Job(look, formats, choice, pace, networks, turn, aligned, true_scores)
    return run_job(inputs, output, model, job)


def camera(
    source: Annotated[str, tyro.conf.Positional] = "0",
    /,
    output: Path | None = None,
    draw: Drawing = "skeleton",
    pose: str = "wholebody-133",
    detector: str = "person",
    threshold: float | None = None,
    draw_threshold: float = 0.3,
    people: int | None = None,
    every: int = 8,
    smooth: Smoothing = "light",
    port: int = 8000,
    device: Device = "auto",
    precision: Precision = "auto",
    threads: int | None = None,
) -> int:
    """Show skeletons over what a camera sees, live, on a page in the browser of this machine.

    "wholebody camera" takes the first camera, "wholebody camera 1" the second, and an address such as rtsp://... works
    too. Ctrl-C ends it.

    Args:
        source: The camera's number, or a stream's address, or a file.
        output: An .mp4 file to record what is shown.
        draw: skeleton over the picture, openpose for a ControlNet map on black, or none.
        pose: Pose network: a name from `wholebody models`, or an .onnx file.
        detector: Person detector: the same, or none.
        threshold: Lowest score of a person. What the detector's file recommends, or 0.3, unless given.
        draw_threshold: Lowest score of a keypoint that is drawn.
        people: Most people, the largest first.
        every: The detector runs on every this-many-th picture at least.
        smooth: How much keypoints are smoothed.
        port: Of the page.
        device: What to compute on.
        precision: On a processor: fp32, bf16 (OpenVINO), int8, or the fastest here.
        threads: CPU threads; all cores by default.
    """
    from wholebody.console import stdout_console
    from wholebody.predict.job import Look
    from wholebody.serve.camera import watch
    from wholebody.tracking.pipeline import Follower
    from wholebody.tracking.smooth import STRENGTHS, Smoother
    from wholebody.wholebody import WholeBody

    look = Look(draw, ("body", "hands", "face"), draw_threshold, False)
    model = WholeBody(pose, detector, device=device, threads=threads, precision=precision, threshold=threshold)
    follower = Follower(model, every, people, "low")
    console = stdout_console()
    smoother = Smoother(STRENGTHS[smooth])
    target = None if output is None else str(output)
    shown = watch(source, follower, look, smoother=smoother, port=port, output=target, tell=console.print)
    console.print(f"{shown} pictures shown" + (f", recorded in {output}" if output else ""))
    return 0
