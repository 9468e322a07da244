"""Reference pages generated from the code: the API, the command line, the layouts of files."""

import contextlib
import io
import json
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from wholebody import COCO_WHOLEBODY, Poses, cli
from wholebody.errors import WholebodyError
from wholebody.formats.kinds import KINDS, Origin, place_of
from wholebody.schema import SCHEMAS

# Page -> its title, and what is on it: modules or single names.
API = {
    "wholebody": ("Main class", ["wholebody.wholebody.WholeBody", "wholebody.wholebody.Detector"]),
    "poses": ("Poses and schemas", ["wholebody.poses", "wholebody.schema"]),
    "images": ("Pictures", ["wholebody.images", "wholebody.geometry", "wholebody.errors"]),
    "draw": ("Drawing", ["wholebody.draw", "wholebody.draw.figures", "wholebody.draw.canvas", "wholebody.align"]),
    "formats": (
        "Formats",
        [f"wholebody.formats.{m}" for m in ("openpose", "comfy", "coco", "arrays", "tables", "opensim", "kinds")],
    ),
    "video": ("Video", ["wholebody.video.decode", "wholebody.video.mux", "wholebody.video.frame"]),
    "tracking": (
        "Tracking",
        ["wholebody.tracking.pipeline", "wholebody.tracking.track", "wholebody.tracking.smooth"],
    ),
    "pose": ("Running networks", ["wholebody.pose.topdown", "wholebody.pose.detect", "wholebody.pose.load"]),
    "codec": ("Codecs", ["wholebody.codec", "wholebody.weights.preprocess"]),
    "weights": ("Weights and runtimes", ["wholebody.weights", "wholebody.runtime", "wholebody.export.convert"]),
    "batch": (
        "Collections",
        [f"wholebody.batch.{m}" for m in ("local", "ray", "sources", "store", "rows", "estimate")],
    ),
    "data": ("Labelled data", [f"wholebody.data.{m}" for m in ("labels", "coco", "ubody", "names", "shards")]),
    "evaluate": (
        "Evaluation",
        [f"wholebody.evaluate.{m}" for m in ("run", "report", "metric", "oks", "intervals", "compare", "entrant")],
    ),
    "train": (
        "Training",
        [f"wholebody.train.{m}" for m in ("distill", "released", "config", "recipes", "loop", "lesson", "teachers")],
    ),
    "compat": (
        "Other packages' interfaces",
        [f"wholebody.compat.{m}" for m in ("rtmlib", "controlnet_aux", "easy_dwpose", "mmpose", "rerun")],
    ),
}
# `train` and `distill` print help only with the train extra; most of their options are the fields of a recipe.
_OF_A_RECIPE = "\nThe options are the fields of the recipe: see [`wholebody.train.config`](api/train.md).\n"
_EVERY_COMMAND = """
With every command, `--trust` also downloads released networks that cannot be verified, which `wholebody models` marks.
`wholebody --version` prints the version. [Install](../learn/install.md#offline) lists the environment variables.

Exit status: 0 success, 1 something failed, 2 wrong usage, 130 interrupted.
"""
ROOT = Path(__file__).parents[1]
_PAGE = re.compile(r"\bdocs/([\w/-]+\.md)")
# Wide enough that no option is folded, and narrow enough for one column of boxes.
_COLUMNS = "110"


def api_pages() -> dict[str, str]:
    """Path -> page, with a mkdocstrings directive for each module or name."""
    pages = {}
    index = "# API\n\nAll public names, with shapes, units and colour order.\n\n| page | modules |\n|---|---|\n"
    for name, (title, objects) in API.items():
        body = "\n".join(f"::: {name}\n" for name in objects)
        pages[f"reference/api/{name}.md"] = f"# {title}\n\n{body}"
        index += f"| [{title}]({name}.md) | {', '.join(f'`{one}`' for one in objects)} |\n"
    return {**pages, "reference/api/index.md": index}


# --- The command line -------------------------------------------------------------------------------------------------


def command_line() -> dict[str, str]:
    """The page of all commands, from their `--help`."""
    text = "# Command line\n\nThe output of `wholebody COMMAND --help`.\n\n| command | what it does |\n|---|---|\n"
    for name, command in cli.COMMANDS.items():
        first = (command.__doc__ or "").splitlines()[0]
        text += f"| [`{name}`](#{name.replace(' ', '-')}) | {first} |\n"
    text += _EVERY_COMMAND
    for name in cli.COMMANDS:
        text += f"\n## {name}\n\n{help_as_markdown(printed_help(name))}"
        text += _OF_A_RECIPE if name in ("train", "distill") else ""
    return {"reference/cli.md": _PAGE.sub(_as_link, text)}


def _as_link(match: re.Match[str]) -> str:
    """A link with the title of the page, for a path such as docs/batch.md."""
    title = (ROOT / match[0]).read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
    return f"[{title}](../{match[1]})"


def printed_help(name: str) -> str:
    """The output of `wholebody NAME --help`."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = _COLUMNS
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    try:
        with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
            cli.main([*name.split(), "--help"])
    finally:
        os.environ.pop("COLUMNS")
        if before is not None:
            os.environ["COLUMNS"] = before
    out.seek(0)
    return out.read()


def help_as_markdown(text: str) -> str:
    """A table for each box of options, the usage as code, and the rest as it is."""
    page: list[str] = []
    rows: list[list[str]] = []

    def close() -> None:
        if rows:
            page.extend(["", "| option | |", "|---|---|", *(f"| `{_cell(a)}` | {_cell(b)} |" for a, b in rows), ""])
            rows.clear()

    if "╮╭" in text:
        raise ValueError("help in two columns of boxes")
    for line in text.splitlines():
        if line.startswith("usage:"):
            page.append(f"```text\n{line.removeprefix('usage: ')}\n```")
        elif line.startswith("╭"):
            page.append(f"\n**{line.strip('╭─╮ ').removesuffix(' options').capitalize()}**")
        elif line.startswith("╰"):
            close()
        elif not line.startswith("│"):
            page.append(re.sub(r'^\s*"((wholebody|torchrun) [^"]+)"', r"`\1`", line))
        else:
            inside = line.strip("│").removeprefix(" ").rstrip()
            if inside.startswith(" "):
                rows[-1][1] = f"{rows[-1][1]} {inside.strip()}".strip()
            elif inside.startswith("-") or "positional" in page[-1].lower():
                option, _, meaning = inside.partition("  ")
                rows.append([option.strip(), meaning.strip()])
            elif not inside.startswith("─"):
                page.append(f"\n{inside}\n")
    return re.sub(r"\n{3,}", "\n\n", "\n".join(page)) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


# --- Formats ----------------------------------------------------------------------------------------------------------

_PICTURE, _VIDEO = Origin("photo.jpg", (640, 480)), Origin("clip", (640, 480), fps=25.0, numbers=(0, 1))


def file_formats() -> dict[str, str]:
    """The page of all formats, with the layouts of files that are written for it."""
    from wholebody.formats import kinds

    text = (
        "# File formats\n\nEach layout below comes from a file that was written for this page, with two people in two "
        "frames. `wholebody predict --formats NAME ...` and `wholebody.formats` write these files. `wholebody.formats` "
        "reads all of them, except PNG and DeepLabCut's H5. Keypoints are in pixels of the picture, with x to the "
        "right and y down; (0, 0) is the centre of the upper left pixel.\n\n"
        "Every point of everyone is written with its score, also hidden ones and those outside the picture, which are "
        "guesses with a low score. Exceptions: in `comfy`, a point that is not drawn is 0, 0, 0 (see there); a point "
        "whose score is 0 is blank in `trc` and `sports2d`, empty in `deeplabcut`, and 0, 0, 0 in `pose-format`. One "
        "that is not a finite number is treated likewise, and is 0, 0, 0 in the other formats, but NaN in `npz` and "
        "`parquet`. [How to leave out unsure points](../learn/python.md#unsure-keypoints).\n\n"
        "| format | for a picture | for a video | default for |\n|---|---|---|---|\n"
    )
    for name, kind in KINDS.items():
        usual = [w for w, n in (("pictures", kinds.USUAL_PICTURE), ("videos", kinds.USUAL_VIDEO)) if name in n]
        picture = f"`photo_pose{kind.suffix}`" if kind.picture else ""
        if kind.together:
            picture = f"`{name}{kind.suffix}`, for all pictures"
        place = place_of(Path("clip_pose"), name, [name], video=True).as_posix()
        video = f"`{place}{'/' if kind.folder else ''}`" if kind.video or kind.drawn else ""
        text += f"| [{name}](#{name}) | {picture} | {video} | {' and '.join(usual)} |\n"
    text += (
        "\nIf several of the requested formats have the same suffix, the names of the files include the format "
        "(`photo_pose_coco.json`, `photo_pose_openpose.json`).\n"
    )
    for name in KINDS:
        text += f"\n## {name}\n\n{LAYOUTS[name]}\n\n{written(name)}"
    text += "\n# Keypoints\n\nThe rows of `Poses.keypoints`, by schema.\n"
    for schema in SCHEMAS:
        text += f"\n### {schema.name}\n\n{len(schema)} points.\n\n| rows | part |\n|---|---|\n"
        for part, rows in schema.parts.items():
            numbers = range(len(schema))[rows]
            shown = f"{numbers[0]} to {numbers[-1]}" if len(numbers) > 1 else f"{numbers[0]}"
            names = ", ".join(f"`{schema.names[n]}`" for n in numbers)
            text += f"| {shown} | {part}: {names} |\n"
    return {"reference/formats.md": text.replace("\n# Keypoints", "\n## Keypoints", 1)}


# What the layouts alone do not show.
LAYOUTS = {
    "coco": "COCO-WholeBody results: one JSON list with an object for each person. The 133 points are in five fields "
    "of `[x, y, score, x, y, score, ...]`. `score` is the detector's, and `bbox` is `[x, y, width, height]`. "
    "`image_id` is the name of the file, or in a video the number of the frame, from 0. Videos also have `track_id`. "
    "Read it with `formats.read_coco`.",
    "openpose": "OpenPose 1.3: BODY_25, 70 face points (68 and the centres of the eyes), and 21 points of each hand, "
    "each as `[x, y, score, ...]`. A video gives a folder with one file per frame, starting at "
    "`clip_000000000000_keypoints.json`. `person_id` is the track id, or -1. Read it with `formats.read_openpose`.",
    "comfy": "ComfyUI's POSE_KEYPOINT: a list of frames with the size of the canvas in pixels. There are 18 body "
    "points, 70 face points, 21 points of each hand, and 6 foot points in `foot_keypoints_2d`. Other nodes drop points "
    "whose score is below 1. So a point that is drawn (`--draw-threshold`) has score 1, and all others are 0, 0, 0; "
    "`--true-scores` keeps all points and scores. Read it with `formats.read_comfy`.",
    "npz": "Named NumPy arrays for `numpy.load`, without pickled objects and without rounding. For a picture, row n is "
    "a person. For a video, the rows are the people of all frames, one frame after another: `counts` is the number of "
    "people in each frame, `ids` is the person of each row, and `times` is in seconds. Read it with `formats.read_npz` "
    "and `formats.read_npz_video`.",
    "csv": "For pictures, one row per person and keypoint. For videos, one row per person and frame, with three "
    "columns for each keypoint. A picture or frame without people is a row with only its name or number. Read it with "
    "`formats.read_csv` and `formats.read_csv_video`.",
    "parquet": "One row per person and frame, with lists of numbers in columns. It needs pyarrow (`pip install "
    "'wholebody[parquet]'`). [Collections](../batch.md) have a different Parquet layout. Read it with "
    "`formats.read_parquet`.",
    "trc": "OpenSim's marker file, separated by tabs, one file per person: `clip_pose_1.trc`. Markers have the names "
    "of Pose2Sim's and Sports2D's models. X points right and Y up from the lower left corner of the picture; Z is 0. A "
    "pixel counts as a millimetre unless `--trc-unit` and `--metres-per-pixel` say otherwise. Points with score 0 "
    "and frames without the person are blank. Read it with `formats.read_trc`.",
    "sports2d": "The same in pixels with Y down, as Sports2D writes and reads it; the header says metres.",
    "pose2sim": "**The input of Pose2Sim**: a folder per camera with a file per frame, as OpenPose's. All points of a "
    "person are in `pose_keypoints_2d`, in the order of Pose2Sim's skeletons (`COCO_133`; `HALPE_26` and `COCO_17` for "
    "networks with those points). The folder is `pose/clip_json`, where Pose2Sim looks for it. Read it with "
    "`formats.read_pose2sim`.",
    "pose-format": "The `.pose` file of sign language research (pose-format 0.2), binary and little endian. The header "
    "has the version, the size of the picture, and four components (BODY 23, FACE 68, LEFT_HAND 21, RIGHT_HAND 21 "
    "points) with names, lines and colours. The body has the frame rate, the numbers of frames and people, all "
    "coordinates and then all confidences, as 32-bit floats. Read it with `formats.read_sign`, or with the package "
    "pose-format.",
    "deeplabcut": "DeepLabCut's CSV: one row per frame, with x, y and likelihood of each body part. The header has "
    "several levels (`individuals` only if there are several people). Read it with `formats.read_deeplabcut`.",
    "deeplabcut-h5": "The same table as an H5 file of pandas, under the key `df_with_missing`. It needs `pip install "
    "'wholebody[deeplabcut]'`. It is not read here, because reading one executes what is pickled in it.",
    "coco-results": "The people of all pictures in one list, in the layout of `coco`. `image_id` is a number: the one "
    "in `--annotations`, or else the last number in the name of the file. **The input of pycocotools.**",
    "png": "The drawn frames as numbered pictures, starting at `clip_pose_png/000000.png`, for programs that read a "
    "folder of frames.",
}


def people() -> Poses:
    """Two people with ids."""
    random = np.random.default_rng(0)
    points = random.uniform(100, 400, (2, len(COCO_WHOLEBODY), 2)).round(1)
    scores = random.uniform(0.4, 0.95, points.shape[:2]).round(2)
    boxes = [[90, 90, 410, 410], [80, 80, 400, 400]]
    return Poses(points, scores, boxes, [0.9, 0.8], COCO_WHOLEBODY, ids=[1, 2])


def written(name: str) -> str:
    """The layouts of a format's files for a picture and for a video, as Markdown."""
    kind, poses = KINDS[name], people()
    frames = [(0.0, poses), (0.04, poses)]
    text = ""
    with tempfile.TemporaryDirectory() as room:
        for what, writer in (("A picture", kind.picture), ("A video", kind.video)):
            if writer is None or kind.drawn:
                continue
            video = what == "A video"
            target = place_of(Path(room) / ("clip_pose" if video else "photo_pose"), name, [name], video=video)
            target.parent.mkdir(exist_ok=True)
            try:
                source = _VIDEO if video else _PICTURE
                result = writer(target, frames if video else poses, source)  # type: ignore[arg-type]
            except WholebodyError:  # H5 alone needs packages that the site does not install
                if name != "deeplabcut-h5":
                    raise
                continue
            files = [Path(p) for p in result] if result else [target]
            file = sorted(files[0].iterdir())[0] if files[0].is_dir() else files[0]
            text += f"{what}: `{file.relative_to(room)}`\n\n```text\n{shape_of(file)}\n```\n\n"
    return text


def shape_of(file: Path) -> str:
    """The contents of a file, with the lengths of long lists instead of their elements."""
    if file.suffix == ".json":
        return _outline(json.loads(file.read_text(encoding="utf-8")))
    if file.suffix == ".npz":
        with np.load(file) as arrays:
            return "\n".join(f"{key:12} {arrays[key].dtype!s:8} {arrays[key].shape}" for key in arrays.files)
    if file.suffix == ".parquet":
        import pyarrow.parquet

        return str(pyarrow.parquet.read_schema(file).remove_metadata())
    if file.suffix == ".pose":
        return f"{file.stat().st_size} bytes; {file.read_bytes()[:24].hex(' ')} ..."
    lines = file.read_text(encoding="utf-8").splitlines()[:6]
    return "\n".join(line if len(line) < 100 else f"{line[:96]} ..." for line in lines)


def _outline(value: Any, indent: str = "") -> str:
    """JSON with one element of each list of objects, and three numbers of each long list."""
    inner = indent + "  "
    if isinstance(value, Mapping):
        fields = ",\n".join(f'{inner}"{key}": {_outline(item, inner)}' for key, item in value.items())
        return f"{{\n{fields}\n{indent}}}"
    if isinstance(value, list) and value and isinstance(value[0], dict):
        more = f",\n{inner}... {len(value)} in all" if len(value) > 1 else ""
        return f"[\n{inner}{_outline(value[0], inner)}{more}\n{indent}]"
    if isinstance(value, list) and len(value) > 6:
        return f"[{', '.join(json.dumps(v) for v in value[:3])}, ... {len(value)} numbers]"
    return json.dumps(value)
