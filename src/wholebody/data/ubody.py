"""UBody: fifteen folders of annotations of video frames."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from wholebody.arrays import PathLike
from wholebody.data.coco import read_labels
from wholebody.data.labels import Labels
from wholebody.errors import WholebodyError
from wholebody.reading import load_array, reading

UBODY_SCENES = (
    "Magic_show", "Entertainment", "ConductMusic", "Online_class", "TalkShow", "Speech", "Fitness", "Interview",
    "Olympic", "TVShow", "Singing", "SignLanguage", "Movie", "LiveVlog", "VideoConference",
)  # fmt: skip

# The videos that the authors reserve for testing.
TEST_LIST = "intra_scene_test_list.npy"


def read_ubody(
    folder: PathLike,
    scenes: Sequence[str] = UBODY_SCENES,
    *,
    split: str = "all",
    every: int = 1,
    strict: bool = True,
) -> Labels:
    """The people of UBody's scenes, file names relative to `folder`/images, ids renumbered.

    Args:
        folder: holds annotations/SCENE/keypoint_annotation.json and, for a split, splits/intra_scene_test_list.npy.
        scenes: which of them.
        split: "all", "train" or "test", by the videos that the data set's authors reserve for testing.
        every: only frames 1, 1 + every, 1 + 2 every ... of each video.
        strict: as in `read_labels`.

    Raises:
        WholebodyError: a file is missing, or one of `read_labels`' reasons.
    """
    return Labels.concatenate(list(ubody_scenes(folder, scenes, split=split, every=every, strict=strict)))


def ubody_scenes(
    folder: PathLike,
    scenes: Sequence[str] = UBODY_SCENES,
    *,
    split: str = "all",
    every: int = 1,
    strict: bool = True,
) -> Iterator[Labels]:
    """As `read_ubody`, one scene at a time, each with the ids of its file."""
    folder = Path(folder)
    if split not in ("all", "train", "test"):
        raise WholebodyError(f"no split {split!r} of UBody; there are all, train, test.")
    test = set() if split == "all" else _test_videos(folder / "splits" / TEST_LIST)

    def keep(image: Mapping[str, Any]) -> bool:
        name = Path(str(image.get("file_name")))
        number = int(name.stem) if name.stem.isdecimal() else 1
        wanted = split == "all" or (name.parent.name.split("_Trim")[0] in test) == (split == "test")
        return wanted and (number - 1) % every == 0

    for path, scene in zip(ubody_files(folder, scenes), scenes, strict=True):
        part = read_labels(path, strict=strict, keep=keep)
        pictures = {
            # `wholebody data frames` writes .jpg, the annotations say .png.
            number: picture._replace(
                file_name=f"{scene}/{Path(picture.file_name.lstrip('/')).with_suffix('.jpg').as_posix()}"
            )
            for number, picture in part.images.items()
        }
        yield replace(part, images=pictures)


def ubody_files(folder: PathLike, scenes: Sequence[str] = UBODY_SCENES) -> list[Path]:
    """The annotation file of each scene."""
    return [Path(folder) / "annotations" / scene / "keypoint_annotation.json" for scene in scenes]


def _test_videos(path: Path) -> set[str]:
    with reading(path, "the list of test videos"):
        return {str(name) for name in load_array(path).ravel()}
