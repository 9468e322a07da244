"""All formats by name: suffix, whether they are for pictures or videos, and writers. A new format is a row here.

`wholebody predict --formats`, the names of results and the check for finished results all use this table.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from wholebody.arrays import Size
from wholebody.errors import WholebodyError
from wholebody.files import replacing_folder
from wholebody.formats.arrays import write_npz, write_npz_video
from wholebody.formats.coco import write_coco, write_coco_video
from wholebody.formats.comfy import write_comfy, write_comfy_video
from wholebody.formats.common import Timed, moment, row_ids
from wholebody.formats.deeplabcut import write_deeplabcut, write_deeplabcut_h5
from wholebody.formats.openpose import openpose_name, write_openpose
from wholebody.formats.opensim import SPORTS2D, Axes, write_trcs
from wholebody.formats.pose2sim import pose2sim_folder, write_pose2sim
from wholebody.formats.sign import write_sign
from wholebody.formats.tables import write_csv, write_csv_video, write_parquet
from wholebody.poses import Poses


@dataclass(frozen=True)
class Origin:
    """What a writer may need to know about the picture or video.

    Attributes:
        name: of the file, or for frames the prefix of the number.
        size: of a picture, in pixels.
        drawn_from: the score from which a point is drawn, for formats that only state whether it is; None for true
            scores.
        fps: a video's own frame rate.
        numbers: the numbers of the processed frames in the file; empty if unknown.
        axes: of marker files.
    """

    name: str
    size: Size
    drawn_from: float | None = 0.3
    fps: float | None = None
    numbers: Sequence[int] = ()
    axes: Axes = field(default_factory=Axes)


PictureWriter = Callable[[Path, Poses, Origin], None]
# Frames can be iterated repeatedly. A writer that does not write `path` itself returns the paths it wrote, which may be
# none; the others return None.
VideoWriter = Callable[[Path, Iterable[Timed], Origin], Sequence[Path] | None]
# The people of all pictures of a run, by COCO's ids.
TogetherWriter = Callable[[Path, Mapping[int, Poses]], None]


@dataclass(frozen=True)
class Kind:
    """A format.

    Attributes:
        suffix: of a file, with its dot.
        picture: writes the people of a picture; None if the format is for videos only.
        video: writes the people of all frames of a video; None if the format is for pictures only.
        together: writes the people of all pictures into one file, which is named after the format.
        folder: for a video it is a folder, named after the format.
        drawn: it holds the drawn frames of a video, written during drawing, rather than poses.
        place: path without suffix -> final path, for a format that other programs expect in a specific place.
    """

    suffix: str
    picture: PictureWriter | None = None
    video: VideoWriter | None = None
    together: TogetherWriter | None = None
    folder: bool = False
    drawn: bool = False
    place: Callable[[Path], Path] | None = None


def _openpose_frames(path: Path, frames: Iterable[Timed], source: Origin) -> None:
    """A folder with one file per frame, as written by OpenPose; it appears atomically."""
    with replacing_folder(path) as fresh:
        for n, (time, poses) in enumerate(frames):
            where = moment(time, source.numbers[n] if source.numbers else None)
            write_openpose(fresh / openpose_name(source.name, n), poses, where)


def _trc_people(end: str, axes: Axes | None, path: Path, frames: Iterable[Timed], source: Origin) -> list[Path]:
    """<name>_<id><end>.trc for each person; files of an earlier run's people are deleted."""
    stem = path.stem.removesuffix(end)
    ids = sorted({person for _, poses in frames for person in row_ids(poses)})
    each = {person: path.with_name(f"{stem}_{person}{end}.trc") for person in ids}
    write_trcs(each, frames, source.size[1], source.fps, axes or source.axes)
    earlier = re.compile(rf"{re.escape(stem)}_\d+{re.escape(end)}\.trc")
    for left in set(path.parent.glob("*.trc")) - set(each.values()):
        if earlier.fullmatch(left.name):
            left.unlink()
    return list(each.values())


def _named(end: str) -> Callable[[Path], Path]:
    return lambda place: place.with_name(place.name + end)


KINDS: dict[str, Kind] = {
    "coco": Kind(
        ".json",
        lambda path, poses, source: write_coco(path, {source.name: poses}),
        lambda path, frames, source: write_coco_video(path, frames, source.numbers),
    ),
    "openpose": Kind(".json", lambda path, poses, source: write_openpose(path, poses), _openpose_frames, folder=True),
    "comfy": Kind(
        ".json",
        lambda path, poses, source: write_comfy(path, poses, source.size, threshold=source.drawn_from),
        lambda path, frames, source: write_comfy_video(
            path, frames, source.size, source.numbers, threshold=source.drawn_from
        ),
    ),
    "npz": Kind(
        ".npz",
        lambda path, poses, source: write_npz(path, poses),
        lambda path, frames, source: write_npz_video(path, frames, source.numbers),
    ),
    "csv": Kind(
        ".csv",
        lambda path, poses, source: write_csv(path, {source.name: poses}),
        lambda path, frames, source: write_csv_video(path, frames),
    ),
    "parquet": Kind(".parquet", video=lambda path, frames, source: write_parquet(path, frames)),
    "trc": Kind(".trc", video=partial(_trc_people, "", None)),
    "sports2d": Kind(".trc", video=partial(_trc_people, "_px", SPORTS2D), place=_named("_px.trc")),
    "pose2sim": Kind(
        ".json",
        video=lambda path, frames, source: write_pose2sim(path, frames, source.numbers),
        folder=True,
        place=pose2sim_folder,
    ),
    "pose-format": Kind(".pose", video=lambda path, frames, source: write_sign(path, frames, source.size, source.fps)),
    "deeplabcut": Kind(
        ".csv",
        video=lambda path, frames, source: write_deeplabcut(path, frames),
        place=_named("_deeplabcut.csv"),
    ),
    "deeplabcut-h5": Kind(".h5", video=lambda path, frames, source: write_deeplabcut_h5(path, frames)),
    "coco-results": Kind(".json", together=write_coco),
    "png": Kind(".png", folder=True, drawn=True),
}
# The default formats for a picture and for a video.
USUAL_PICTURE, USUAL_VIDEO = ("coco",), ("npz",)


def check_kinds(names: Iterable[str]) -> None:
    """Refuse a name that is not in the table.

    Raises:
        WholebodyError: the message lists the formats.
    """
    for name in names:
        if name not in KINDS:
            raise WholebodyError(f"no format is called {name!r}. Choose one of {', '.join(KINDS)}.")


def refused(names: Iterable[str], *, video: bool = False) -> str | None:
    """A line about formats that pictures, or videos, do not support; None if all are supported."""
    kinds = {name: KINDS[name] for name in names}
    if video:
        wrong = [name for name, kind in kinds.items() if kind.video is None and not kind.drawn]
    else:
        wrong = [name for name, kind in kinds.items() if kind.picture is None and kind.together is None]
    whose, others = ("videos", "pictures") if video else ("pictures", "videos")
    verb = "is" if len(wrong) == 1 else "are"
    return f"{', '.join(wrong)} {verb} for {others}. Choose other formats for {whose}." if wrong else None


def place_of(place: Path, name: str, names: Sequence[str], *, video: bool = False) -> Path:
    """The path of the poses at `place` (a path without suffix) in format `name`, one of the requested formats.

    A single JSON layout is <place>.json; with several, each name includes the format. A folder is <place>_<format>.
    """
    kind = KINDS[name]
    if kind.place is not None:
        return kind.place(place)
    if video and kind.folder:
        return place.with_name(f"{place.name}_{name}")
    alike = [other for other in set(names) if KINDS[other].suffix == kind.suffix and _is_plain(KINDS[other], video)]
    return place.with_name(f"{place.name}_{name}{kind.suffix}" if len(alike) > 1 else f"{place.name}{kind.suffix}")


def _is_plain(kind: Kind, video: bool) -> bool:
    """Whether the result is a file <place><suffix>."""
    return kind.place is None and kind.together is None and not (video and kind.folder)
