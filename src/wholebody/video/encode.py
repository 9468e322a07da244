"""Writing H.264 that browsers play."""

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

# The index goes to the front, so that a browser can start playing before it has the whole file.
FRONT = {"movflags": "+faststart"}


@contextmanager
def encoder(
    path: PathLike, size: tuple[int, int], fps: float, *, quality: int = 20
) -> Iterator[Callable[[Frame], None]]:
    """Yield a function that appends a frame to an H.264 MP4 file (yuv420p); the file appears at the end.

    The first frame is at time 0 in the file; differences between frame times are preserved. There are no B-frames, so
    files with equal settings can be joined packet by packet (`join`). Odd sides grow by one row or column, because the
    format subsamples colours. An error within the context leaves no file.

    Args:
        path: the .mp4 file. size: (width, height) of all frames.
        fps: approximate frame rate.
        quality: x264's constant rate factor: 18 looks like the original, 28 is small.

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
                # OpenCV converts to BT.601 in a tenth of FFmpeg's time, and rounds where FFmpeg truncates.
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
