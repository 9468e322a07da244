"""Frames out as H.264 that browsers play."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import av
import cv2
import numpy as np

from wholebody.arrays import PathLike
from wholebody.errors import WholebodyError
from wholebody.files import replacing
from wholebody.video.container import address
from wholebody.video.frame import BT601, BT709, CLOCK, LIMITED, Frame, reason

# The table of contents goes to the front, so that a browser starts to play before it has the whole file.
FRONT = {"movflags": "+faststart"}


@contextmanager
def encoder(
    path: PathLike, size: tuple[int, int], fps: float, *, quality: int = 20
) -> Iterator[Callable[[Frame], None]]:
    """Yield a function that appends a frame to an MP4 file of H.264 (yuv420p); the file is there at the end.

    The first frame is at 0 in the file, each other one later than the one before it by the difference of their times.
    Without B-frames, so that files of equal settings can be joined packet by packet (`join`). Odd sides grow by one row
    or column, as the format halves its colours. An error within leaves no file.

    Args:
        path: the .mp4 file. size: (width, height) of all frames.
        fps: about how many frames a second.
        quality: x264's constant rate factor: 18 looks as the original, 28 is small.

    Raises:
        WholebodyError: the file cannot be encoded or written.
    """
    odd = (size[0] % 2, size[1] % 2)
    step = max(round(CLOCK / fps), 1)
    first: float | None = None
    last = -1
    with replacing(path) as partial, writing(path), av.open(address(partial), "w", "mp4", options=FRONT) as container:
        stream: Any = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
        stream.width, stream.height = size[0] + odd[0], size[1] + odd[1]
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": str(quality), "preset": "veryfast", "bf": "0"}
        context = stream.codec_context
        context.time_base = Fraction(1, CLOCK)
        context.color_primaries = context.color_trc = BT709
        context.colorspace, context.color_range = BT601, LIMITED

        def write(frame: Frame) -> None:
            nonlocal first, last
            image = frame.image
            if any(odd):
                image = np.pad(image, ((0, odd[1]), (0, odd[0]), (0, 0)), mode="edge")
            first = frame.time if first is None else first
            with writing(path):
                # OpenCV turns colours into BT.601 in a tenth of FFmpeg's time, and rounds where that cuts off.
                planes: Any = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_BGR2YUV_I420)
                coded = av.VideoFrame.from_ndarray(planes, format="yuv420p")
                last = coded.pts = max(round((frame.time - first) * CLOCK), last + 1)
                coded.time_base, coded.duration = Fraction(1, CLOCK), step
                container.mux(stream.encode(coded))

        yield write
        container.mux(stream.encode(None))


@contextmanager
def writing(path: PathLike) -> Iterator[None]:
    try:
        yield
    except (av.error.FFmpegError, ValueError) as error:
        raise WholebodyError(
            f"{path}: cannot write ({reason(error)}). Free some space or choose another folder."
        ) from error
