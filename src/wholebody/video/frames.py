"""`wholebody data frames`: extract the numbered pictures that video annotations refer to.

A video SCENE/NAME.mp4 becomes SCENE/NAME/000001.jpg, 000002.jpg and so on, at a constant rate: picture n shows the
video at (n - 1) / fps seconds. UBody's annotations use 30. If the video has another rate, some frames are repeated or
dropped, and the authors' tool may then be one frame off from ours.

A stopped run resumes where it stopped: existing pictures are kept, and a finished video has a frames.json.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import av

from wholebody.arrays import Image, PathLike
from wholebody.errors import WholebodyError
from wholebody.files import is_hidden, replacing
from wholebody.images import write_image
from wholebody.video.container import open_container
from wholebody.video.decode import picture_stream
from wholebody.video.display import aspect_of, display
from wholebody.video.frame import VIDEO_SUFFIXES

_DONE = "frames.json"


def find_videos(folder: PathLike) -> dict[Path, Path]:
    """The videos below a folder, and the relative path of each one's pictures: the video's path up to the first dot.

    Raises:
        WholebodyError: the folder has none, or two videos would share a folder of pictures.
    """
    folder = Path(folder)
    inside = (path for path in folder.rglob("*") if not is_hidden(path.relative_to(folder)))
    videos = sorted(path for path in inside if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file())
    if not videos:
        raise WholebodyError(f"{folder}: no videos below this folder ({', '.join(VIDEO_SUFFIXES)}).")
    places: dict[Path, Path] = {}
    for video in videos:
        place = video.relative_to(folder).with_name(video.name.split(".")[0])
        if place in places.values():
            raise WholebodyError(f"{video}: another video's pictures go to {place} too. Rename one of them.")
        places[video] = place
    return places


def extract(
    video: PathLike,
    folder: PathLike,
    *,
    fps: float = 30.0,
    every: int = 1,
    suffix: str = ".jpg",
) -> int:
    """Write the pictures of one video into a folder; existing ones are kept.

    Args:
        fps: rate at which pictures are numbered.
        every: write only pictures 1, 1 + every, 1 + 2 every ...; their numbers are unchanged.
        suffix: .jpg (quality 95) or .png.

    Returns:
        the number of pictures written now.

    Raises:
        WholebodyError: the video cannot be decoded to its end, or a picture not written.
    """
    folder = Path(folder)
    done = {"fps": fps, "every": every, "suffix": suffix}
    try:
        if json.loads((folder / _DONE).read_text()).items() >= done.items():
            return 0
    except (OSError, ValueError, AttributeError):
        pass  # not finished, or truncated while being written
    written, number = 0, 0
    for number, frame in steady(video, fps):
        path = folder / f"{number:06d}{suffix}"
        if (number - 1) % every == 0 and not path.exists():
            write_image(path, frame())
            written += 1
    with replacing(folder / _DONE) as note:
        note.write_text(json.dumps({**done, "counted": number}))
    return written


def steady(video: PathLike, fps: float) -> Iterator[tuple[int, Callable[[], Image]]]:
    """The frames of a video at a constant rate: (number from 1, a function that returns the upright BGR picture).

    Number n is the last frame whose time, rounded to 1 / fps, is not after (n - 1) / fps seconds.

    Raises:
        WholebodyError: the video cannot be decoded.
    """
    try:
        with open_container(video) as container:
            stream = picture_stream(container, video)
            start, number, last, shown = None, 1, None, display(aspect_of(stream))
            for frame in container.decode(stream):
                start = frame.time if start is None else start
                due = 1 + round((frame.time - start) * fps)
                while last is not None and number < due:
                    yield number, last
                    number += 1
                last = partial(shown, frame)
            if last is None:
                raise WholebodyError(f"{video}: has no frame that can be decoded. Copy or download it again.")
            yield number, last
    except (av.error.FFmpegError, TypeError) as error:  # TypeError: a frame without a time
        reason = getattr(error, "strerror", None) or "a frame without a time"
        raise WholebodyError(f"{video}: cannot be decoded ({reason}). Copy or download it again.") from error


def extract_all(
    videos: PathLike,
    images: PathLike,
    *,
    fps: float = 30.0,
    every: int = 1,
    suffix: str = ".jpg",
    advance: Callable[[], None] = lambda: None,
) -> tuple[int, Sequence[str]]:
    """Write the pictures of all videos below a folder into folders of the same names below another.

    A video that cannot be decoded does not stop the others.

    Args:
        fps, every, suffix: as for `extract`.
        advance: called after each video.

    Returns:
        the number of pictures written, and a line for each video that failed.

    Raises:
        WholebodyError: as for `find_videos`.
    """
    if not 0 < fps <= 1000 or every < 1:
        raise WholebodyError(
            f"fps {fps:g} and every {every}: fps must be above 0 and at most 1000, and every 1 or more."
        )
    written, failed = 0, []
    for video, place in find_videos(videos).items():
        try:
            written += extract(video, Path(images) / place, fps=fps, every=every, suffix=suffix)
        except WholebodyError as error:
            failed.append(str(error))
        advance()
    return written, failed
