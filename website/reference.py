"""Reference pages that are made from the code: the API, the command line, the layouts of files."""

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
    "wholebody": ("The front door", ["wholebody.wholebody.WholeBody", "wholebody.wholebody.Detector"]),
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
    "pose": ("Networks that run", ["wholebody.pose.topdown", "wholebody.pose.detect", "wholebody.pose.load"]),
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
# What commands need that does not come with the package alone: their options are those of a recipe.
_OF_A_RECIPE = "\nOptions are the fields of the recipe: see [`wholebody.train.config`](api/train.md).\n"
# Wide enough that no option is folded, and narrow enough for one column of boxes.
_COLUMNS = "110"


def api_pages() -> dict[str, str]:
    """Path -> page, with a line of mkdocstrings for each module or name."""
    pages = {}
    index = "# API\n\nEvery name, with shapes, units and colour order.\n\n| page | what is on it |\n|---|---|\n"
    for name, (title, objects) in API.items():
        body = "\n".join(f"::: {name}\n" for name in objects)
        pages[f"reference/api/{name}.md"] = f"# {title}\n\n{body}"
        index += f"| [{title}]({name}.md) | {', '.join(f'`{one}`' for one in objects)} |\n"
    return {**pages, "reference/api/index.md": index}


# --- The command line -------------------------------------------------------------------------------------------------


def command_line() -> dict[str, str]:
    """The page of all commands, from what `--help` prints."""
    text = "# Command line\n\nWhat `wholebody COMMAND --help` says.\n\n| command | what it does |\n|---|---|\n"
    for name, command in cli.COMMANDS.items():
        first = (command.__doc__ or "").splitlines()[0]
        text += f"| [`{name}`](#{name.replace(' ', '-')}) | {first} |\n"
    text += "\nExit status: 0 all well, 1 something failed, 2 wrong usage, 130 interrupted.\n"
    for name in cli.COMMANDS:
        text += f"\n## {name}\n\n{help_as_markdown(printed_help(name))}"
        text += _OF_A_RECIPE if name in ("train", "distill") else ""
    return {"reference/cli.md": text}


def printed_help(name: str) -> str:
    """What `wholebody NAME --help` prints."""
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

_SOURCE = Origin("clip.mp4", (640, 480), fps=25.0, numbers=(0, 1))


def file_formats() -> dict[str, str]:
    """The page of all formats: what each writes for two people, taken from files that were just written."""
    from wholebody.formats import kinds

    text = (
        "# File formats\n\nEach layout below was read from a file that this build wrote for two people of two "
        "frames. `wholebody predict --formats NAME ...` and `wholebody.formats` write them, and `wholebody.formats` "
        "reads all but PNG back. Keypoints are in pixels of the picture, x to the right and y down, and "
        "every point is written, whatever its score, but for `comfy` and `trc`.\n\n"
        "| format | of a picture | of a video | unasked |\n|---|---|---|---|\n"
    )
    for name, kind in KINDS.items():
        usual = [w for w, n in (("pictures", kinds.USUAL_PICTURE), ("videos", kinds.USUAL_VIDEO)) if name in n]
        picture = f"`photo_pose{kind.suffix}`" if kind.picture else ""
        if kind.together:
            picture = f"`{name}{kind.suffix}`, of all pictures"
        place = place_of(Path("clip_pose"), name, [name], video=True).as_posix()
        video = f"`{place}{'/' if kind.folder else ''}`" if kind.video or kind.drawn else ""
        text += f"| [{name}](#{name}) | {picture} | {video} | {' and '.join(usual)} |\n"
    text += (
        "\nWhere several formats with one suffix are asked for, each file has its format's name too "
        "(`photo_pose_coco.json`, `photo_pose_openpose.json`).\n"
    )
    for name in KINDS:
        text += f"\n## {name}\n\n{LAYOUTS[name]}\n\n{written(name)}"
    text += "\n# Keypoints\n\nRows of `Poses.keypoints`, by schema.\n"
    for schema in SCHEMAS:
        text += f"\n### {schema.name}\n\n{len(schema)} points.\n\n| rows | part |\n|---|---|\n"
        for part, rows in schema.parts.items():
            numbers = range(len(schema))[rows]
            shown = f"{numbers[0]} to {numbers[-1]}" if len(numbers) > 1 else f"{numbers[0]}"
            names = ", ".join(f"`{schema.names[n]}`" for n in numbers)
            text += f"| {shown} | {part}: {names} |\n"
    return {"reference/formats.md": text.replace("\n# Keypoints", "\n## Keypoints", 1)}


# What the files do not say of themselves.
LAYOUTS = {
    "coco": "COCO-WholeBody results: one JSON list, an object for each person. The 133 points are in five "
    "fields of `[x, y, score, x, y, score, ...]`. `score` is the detector's, `bbox` is `[x, y, width, "
    "height]`. `image_id` is the file's name, in a video the number of the frame from 0. `track_id` is "
    "there in videos. Read it with `formats.read_coco`.",
    "openpose": "OpenPose 1.3: BODY_25, 70 face points (68, and the eyes' centres), 21 of each hand, each as `[x, "
    "y, score, ...]`. Of a video it is a folder with a file for each frame, "
    "`clip_000000000000_keypoints.json` and on. `person_id` is the track id, or -1. Read it with "
    "`formats.read_openpose`.",
    "comfy": "ComfyUI's POSE_KEYPOINT: a list of frames with the canvas' size in pixels. 18 body points, 70 of "
    "the face, 21 of each hand, and 6 of the feet in `foot_keypoints_2d`. Nodes drop points whose "
    "score is below 1, so a point that is drawn has score 1 and any other is 0, 0, 0; `--true-scores` "
    "keeps all points and scores. Read it with `formats.read_comfy`.",
    "npz": "NumPy arrays under their names, for `numpy.load` (nothing is pickled), to the last bit. Of a "
    "picture row n is a person; of a video the rows are the people of all frames, one frame after another: "
    "`counts` says how many each frame has, `ids` whose row it is, `times` are seconds. Read it "
    "with `formats.read_npz` and `formats.read_npz_video`.",
    "csv": "Of a picture a row for each keypoint of each person; of a video a row for each person of each "
    "frame, with three columns for each keypoint. A picture or frame of nobody is a row with its name "
    "or number alone. Read it with `formats.read_csv` and `formats.read_csv_video`.",
    "parquet": "A row for each person of each frame; lists of numbers in columns. It needs pyarrow (`pip install "
    "'wholebody[parquet]'`). [Collections](../batch.md) have a Parquet layout of their own.",
    "trc": "OpenSim's markers, tabs between them, one file for each person: `clip_pose_1.trc`. Markers have "
    "the names of Pose2Sim's and Sports2D's models. X is to the right and Y up from the lower left "
    "corner of the picture; a pixel stands as a millimetre unless `--trc-unit` and "
    "`--metres-per-pixel` say otherwise; Z is 0. A point without a score, or a frame without the "
    "person, is blank. Read it with `formats.read_trc`.",
    "sports2d": "The same in pixels as Sports2D writes and takes them: the file says metres, Y is down.",
    "pose2sim": "**What Pose2Sim takes**: a folder for each camera and a file for each frame, as OpenPose's, but "
    "with all points of a person in `pose_keypoints_2d`, in the order of Pose2Sim's skeletons "
    "(`COCO_133`; `HALPE_26` and `COCO_17` for networks with these points). It goes to "
    "`pose/clip_json` beside the video, where Pose2Sim looks.",
    "pose-format": "The `.pose` file of sign language research (pose-format 0.2), binary and little endian. Header: "
    "version, the picture's size, four components (BODY 23, FACE 68, LEFT_HAND 21, RIGHT_HAND 21 "
    "points) with names, lines and colours. Body: the rate, the numbers of frames and people, all "
    "coordinates, then all confidences, as 32-bit floats. Read it with `formats.read_sign`, or with "
    "the package pose-format.",
    "deeplabcut": "DeepLabCut's CSV: a row for each frame; x, y and likelihood of each body part, with names of "
    "several levels above them (`individuals` only if there are several people). Read it with "
    "`formats.read_deeplabcut`.",
    "deeplabcut-h5": "The same table as pandas' H5 under the key `df_with_missing`; it needs `pip install "
    "'wholebody[deeplabcut]'`. It is not read here, as reading one executes what it has pickled.",
    "coco-results": "Everybody in all pictures of a run in one list, as `coco`, with numbers as `image_id`: those of "
    "`--annotations`, or the last number in a file's name. **What pycocotools takes.**",
    "png": "The drawn frames as pictures, `clip_pose_png/000000.png` and on, for programs that take a folder "
    "of frames.",
}


def people() -> Poses:
    """Two people with ids."""
    random = np.random.default_rng(0)
    points = random.uniform(100, 400, (2, len(COCO_WHOLEBODY), 2)).round(1)
    scores = random.uniform(0.4, 0.95, points.shape[:2]).round(2)
    boxes = [[90, 90, 410, 410], [80, 80, 400, 400]]
    return Poses(points, scores, boxes, [0.9, 0.8], COCO_WHOLEBODY, ids=[1, 2])


def written(name: str) -> str:
    """The layout of what the format's writers write for a picture and a video, as Markdown."""
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
                result = writer(target, frames if video else poses, _SOURCE)  # type: ignore[arg-type]
            except WholebodyError:  # H5 alone needs packages that the site does not install
                if name != "deeplabcut-h5":
                    raise
                continue
            files = [Path(p) for p in result] if result else [target]
            file = sorted(files[0].iterdir())[0] if files[0].is_dir() else files[0]
            text += f"{what}: `{file.relative_to(room)}`\n\n```text\n{shape_of(file)}\n```\n\n"
    return text


def shape_of(file: Path) -> str:
    """What is in a file, with long lists counted instead of printed."""
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
