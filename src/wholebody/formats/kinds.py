"""Every format by name: its suffix, whether pictures or videos have it, and its writers. A new format is a row here.

`wholebody predict --formats`, the names of results and what is done again all go by this table.
"""

import re
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from wholebody.arrays import Size
from wholebody.errors import WholebodyError
from wholebody.files import replace_folder
from wholebody.formats.arrays import write_npz, write_npz_video
from wholebody.formats.coco import write_coco
from wholebody.formats.comfy import write_comfy
from wholebody.formats.common import Timed, row_ids
from wholebody.formats.openpose import openpose_name, write_openpose
from wholebody.formats.opensim import write_trcs
from wholebody.formats.tables import write_csv, write_csv_video, write_parquet
from wholebody.poses import Poses


@dataclass(frozen=True)
class Source:
    """What a writer may want to know of the picture or video that poses were found in.

    Attributes:
        name: of the file, or for frames what numbers are put behind. size: of a picture, in pixels.
        drawn_from: the score from which a point is drawn, for formats that say no more than that; None for the scores.
        fps: of a video, as it says itself.
    """

    name: str
    size: Size
    drawn_from: float | None = 0.3
    fps: float | None = None


PictureWriter = Callable[[Path, Poses, Source], None]
# Frames can be gone through again and again. A writer that does not write `path` itself gives the paths it wrote.
VideoWriter = Callable[[Path, Iterable[Timed], Source], Sequence[Path] | None]


@dataclass(frozen=True)
class Kind:
    """A format.

    Attributes:
        suffix: of a file, with its dot.
        picture: writes the people of a picture; None where the format is for videos.
        video: writes the people of all frames of a video; None where the format is for pictures.
        folder: of a video it is a folder, named after the format.
        drawn: the drawn frames of a video, which are written while they are drawn, rather than poses.
    """

    suffix: str
    picture: PictureWriter | None = None
    video: VideoWriter | None = None
    folder: bool = False
    drawn: bool = False


def _openpose_frames(path: Path, frames: Iterable[Timed], source: Source) -> None:
    """A folder with a file for each frame, as OpenPose writes it; put in place whole."""
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as room:
        fresh = Path(room) / path.name
        fresh.mkdir()
        for n, (_, poses) in enumerate(frames):
            write_openpose(fresh / openpose_name(source.name, n), poses)
        replace_folder(path, fresh)


def _trc_people(path: Path, frames: Iterable[Timed], source: Source) -> list[Path]:
    """<name>_<id>.trc for each person; those of people whom an earlier run had are deleted."""
    ids = sorted({person for _, poses in frames for person in row_ids(poses)})
    each = {person: path.with_name(f"{path.stem}_{person}.trc") for person in ids}
    write_trcs(each, frames, source.size[1], source.fps)
    earlier = re.compile(re.escape(path.stem) + r"_\d+\.trc")
    for left in set(path.parent.glob("*.trc")) - set(each.values()):
        if earlier.fullmatch(left.name):
            left.unlink()
    return list(each.values())


KINDS: dict[str, Kind] = {
    "coco": Kind(
        ".json",
        lambda path, poses, source: write_coco(path, {source.name: poses}),
        lambda path, frames, source: write_coco(path, ((n, poses) for n, (_, poses) in enumerate(frames))),
    ),
    "openpose": Kind(".json", lambda path, poses, source: write_openpose(path, poses), _openpose_frames, folder=True),
    "comfy": Kind(
        ".json",
        lambda path, poses, source: write_comfy(path, poses, source.size, threshold=source.drawn_from),
        lambda path, frames, source: write_comfy(
            path, (poses for _, poses in frames), source.size, threshold=source.drawn_from
        ),
    ),
    "npz": Kind(
        ".npz",
        lambda path, poses, source: write_npz(path, poses),
        lambda path, frames, source: write_npz_video(path, frames),
    ),
    "csv": Kind(
        ".csv",
        lambda path, poses, source: write_csv(path, {source.name: poses}),
        lambda path, frames, source: write_csv_video(path, frames),
    ),
    "parquet": Kind(".parquet", video=lambda path, frames, source: write_parquet(path, frames)),
    "trc": Kind(".trc", video=_trc_people),
    "png": Kind(".png", folder=True, drawn=True),
}
# What a picture and a video get unasked.
USUAL_PICTURE, USUAL_VIDEO = ("coco",), ("npz",)


def check_kinds(names: Iterable[str]) -> None:
    """Refuse a name that the table does not have.

    Raises:
        WholebodyError: the line names the formats there are.
    """
    for name in names:
        if name not in KINDS:
            raise WholebodyError(f"no format is called {name!r}. Choose one of {', '.join(KINDS)}.")


def place_of(place: Path, name: str, names: Sequence[str], *, video: bool = False) -> Path:
    """Where the poses at `place` (a path without suffix) go in format `name`, of all formats that are asked for.

    One JSON layout is <place>.json; of several each says which it is. A folder is <place>_<format>.
    """
    if video and KINDS[name].folder:
        return place.with_name(f"{place.name}_{name}")
    suffix = KINDS[name].suffix
    alike = sum(KINDS[other].suffix == suffix for other in set(names))
    return place.with_name(f"{place.name}_{name}{suffix}" if alike > 1 else f"{place.name}{suffix}")
