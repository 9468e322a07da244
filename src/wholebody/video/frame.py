"""A frame with its time, and what a video's file says of itself."""

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
# Seconds: no video is longer than four months, and clocks of files overflow far beyond.
LONGEST = 1e7
# Time stamps of what is written count these in a second, as video does by custom: common rates divide it.
CLOCK = 90_000
# What the pixels mean, in the numbers of the standard: sRGB's primaries and nearly its curve, the matrix of BT.601, and
# 16 for black.
BT709, BT601, LIMITED = 1, 6, 1


@dataclass(frozen=True, eq=False)
class Frame:
    """A picture of a video.

    Attributes:
        time: seconds since the start of the file.
        image: (H, W, 3) uint8 BGR, upright.
        number: of the frame in the file, which counts from 0; None where there is no file, as with a camera.
    """

    time: float
    image: Image
    number: int | None = None


@dataclass(frozen=True)
class Info:
    """What a video says of itself.

    Attributes:
        size: (width, height) of the first frame, upright.
        fps: mean frames in a second.
        duration: seconds, or None where the file does not say.
        audio: whether there is sound.
    """

    size: tuple[int, int]
    fps: float
    duration: float | None
    audio: bool


def silent(line: str) -> None:
    """Nobody wants to know."""


def reason(error: BaseException) -> str:
    return str(getattr(error, "strerror", None) or error)
