"""A frame with its time, and a video file's metadata."""

from collections.abc import Callable
from dataclasses import dataclass

from wholebody.arrays import Image

Notice = Callable[[str], None]

# fmt: off
VIDEO_SUFFIXES = (
    ".mp4", ".mkv", ".avi", ".mov", ".webm", ".m4v", ".mpg", ".mpeg", ".vob", ".ts", ".mts", ".m2ts", ".wmv", ".asf",
    ".flv", ".f4v", ".3gp", ".3g2", ".mxf", ".ogv", ".y4m",
)

# fmt: on
# Seconds: no video is longer than four months, and file clocks overflow far beyond.
LONGEST = 1e7
# Time base of written timestamps, in ticks per second; customary for video, because common frame rates divide it.
CLOCK = 90_000
# The meaning of the pixels, as standard code points: sRGB's primaries and nearly its curve, the matrix of BT.601, and
# limited range.
BT709, BT601, LIMITED = 1, 6, 1


@dataclass(frozen=True, eq=False)
class Frame:
    """A picture of a video.

    Attributes:
        time: seconds since the start of the file.
        image: (H, W, 3) uint8 BGR, upright.
        number: of the frame in the file, counted from 0; None if there is no file, as with a camera.
    """

    time: float
    image: Image
    number: int | None = None


@dataclass(frozen=True)
class Info:
    """A video's metadata.

    Attributes:
        size: (width, height) of the first frame, upright.
        fps: mean frames per second.
        duration: seconds, or None if the file does not state it.
        audio: whether there is sound.
    """

    size: tuple[int, int]
    fps: float
    duration: float | None
    audio: bool


def silent(line: str) -> None:
    """Ignore notices."""


def reason(error: BaseException) -> str:
    return str(getattr(error, "strerror", None) or error)
