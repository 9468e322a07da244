"""`wholebody predict` and `wholebody camera`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import tyro

from wholebody.choices import Drawing, Smoothing
from wholebody.commands.options import Compute, Draw, Find, Video, Write, check_port


def predict(
    inputs: Annotated[
        tuple[Path, ...],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="PATH [PATH ...]", help_behavior_hint="(required)"),
    ],
    /,
    find: Find = Find(),  # noqa: B008, frozen
    draw: Draw = Draw(),  # noqa: B008
    write: Write = Write(),  # noqa: B008
    video: Video = Video(),  # noqa: B008
    compute: Compute = Compute(),  # noqa: B008
) -> int:
    """Find everyone in photos and videos: a drawing and a file of keypoints for each.

    "wholebody predict photo.jpg" writes photo_pose.jpg and photo_pose.json next to it.

    "wholebody predict holiday/ --output out" processes every picture and video of a folder.

    "wholebody predict dance.png --draw openpose" makes a ControlNet map on black.

    "wholebody predict crop.jpg --detector none" takes the whole picture as one person.

    "wholebody predict clip.mp4" writes clip_pose.mp4, with its sound, and clip_pose.npz with everyone in every frame.

    "wholebody predict clip.mp4 --draw openpose --fps 16 --people 1" makes a control video with one dancer.

    "wholebody predict dance.mp4 --align-to character.png --align muse --draw openpose" gives the dancer the
    character's proportions.

    "wholebody predict photo.jpg --draw openpose --size 768x1344" draws the map at that size.

    "wholebody predict clip.mp4 --people 2 --order left-to-right" keeps the two leftmost people throughout.

    "wholebody predict frames/ --fps 25" reads a folder of numbered pictures as one video.

    "wholebody predict trial/videos --formats pose2sim --draw none --output trial" makes the pose folder of Pose2Sim.

    A file that cannot be read is reported, the others are processed, and the exit status is 1.

    Args:
        inputs: Pictures, videos, or folders of them.
    """
    from wholebody.draw.canvas import Sizing, parsed_size
    from wholebody.formats.opensim import axes_of
    from wholebody.pose.choose import Choice, parsed_region
    from wholebody.predict.job import Job, Look, Pace
    from wholebody.predict.run import run_job
    from wholebody.predict.turn import TURNS, Turn
    from wholebody.wholebody import DETECTOR, MODES, WholeBody

    sizing = Sizing(None if draw.size is None else parsed_size(draw.size), draw.short_side, draw.multiple, draw.resize)
    look = Look(draw.draw, draw.parts, draw.draw_threshold, draw.xinsir, sizing)
    choice = Choice(find.people, find.order, None if find.region is None else parsed_region(find.region), find.id)
    pace = Pace(**asdict(video), resume=write.resume)

    def model() -> WholeBody:
        return WholeBody(
            find.pose, find.detector, mode=find.mode, threshold=find.threshold, flip=find.flip, **asdict(compute)
        )

    chosen = (find.pose, find.detector) if find.mode is None else MODES[find.mode]
    networks = (*chosen, f"{find.threshold}", "flip" if find.flip else "", compute.precision)
    turn: Turn | Literal["auto"] = next((turn for turn in TURNS if str(turn) == find.rotate), "auto")
    aligned = None if draw.align_to is None else (draw.align_to, draw.align)
    axes = axes_of(write.trc_unit, write.metres_per_pixel)
    files = (write.true_scores, axes, write.annotations)
    usual = chosen[1] == DETECTOR and find.threshold is None and find.region is None
    advice = "try --threshold 0.3 --detector person-crowd; together they find the most." if usual else ""
    job = Job(look, write.formats, choice, pace, networks, turn, aligned, *files, strict=find.strict, advice=advice)
    return run_job(inputs, write.output, model, job)


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
    compute: Compute = Compute(),  # noqa: B008
) -> int:
    """Show skeletons over the live picture of a webcam or stream, on a page in this machine's browser.

    "wholebody camera" uses the first camera, "wholebody camera 1" the second; a URL such as rtsp://... works too.
    Ctrl-C ends it.

    Args:
        source: Number of a camera, URL of a stream, or a file.
        output: An .mp4 file to record what is shown.
        draw: skeleton over the picture, openpose for a ControlNet map on black, or none.
        pose: Pose network: a name from `wholebody models`, or an .onnx file.
        detector: Person detector: likewise, or none.
        threshold: Lowest score of a person; by default what the detector's file recommends.
        draw_threshold: Lowest score of a keypoint that is drawn.
        people: Keep at most this many people, the largest.
        every: Run the detector at least on every n-th frame.
        smooth: How much keypoints are smoothed.
        port: Port of the page.
    """
    from wholebody.console import stdout_console
    from wholebody.predict.job import Look
    from wholebody.serve.camera import watch
    from wholebody.tracking.pipeline import Follower
    from wholebody.tracking.smooth import STRENGTHS, Smoother
    from wholebody.wholebody import WholeBody

    check_port(port)
    look = Look(draw, ("body", "hands", "face"), draw_threshold, False)
    model = WholeBody(pose, detector, threshold=threshold, **asdict(compute))
    follower = Follower(model, every, people, "low")
    console = stdout_console()
    smoother = Smoother(STRENGTHS[smooth])
    target = None if output is None else str(output)
    shown = watch(source, follower, look, smoother=smoother, port=port, output=target, tell=console.print)
    console.print(f"{shown} pictures shown" + (f", recorded in {output}" if output else ""))
    return 0
