"""Reading videos: frames with their timestamps.

    for frame in read("clip.mp4"):        # Frame(time, image, number), BGR, upright, all of one size
        ...
    write("drawn.mp4", frames, fps=info("clip.mp4").fps, audio="clip.mp4")

A frame's time is in seconds since the start of the file and comes from the file, so variable frame rates are preserved
and sound stays in sync. A folder of numbered pictures is a video too. A frame's number counts the frames of the whole
file, wherever reading began.

Problems with a file are reported through `notice`, one line each, and reading continues as far as possible: a damaged
packet loses its frames, a truncated file ends early. Frames that change size are fitted into the size of the first.
`display` defines how a frame is displayed.
"""

import math
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from wholebody.arrays import Image, PathLike
from wholebody.errors import WholebodyError
from wholebody.files import is_result
from wholebody.images import MAX_PIXELS, find_images, read_image
from wholebody.video.container import open_container
from wholebody.video.display import WHITE, Color, aspect_of, display
from wholebody.video.frame import LONGEST, Frame, Info, Notice, reason, silent

SEQUENCE_FPS = 25.0


def info(source: PathLike, fps: float | None = None) -> Info:
    """Size, frame rate and length of a video, or of a folder of pictures.

    Args:
        source: as for `read`.
        fps: the rate of a folder, as for `read`; a video has its own.

    Raises:
        WholebodyError: as `read`.
    """
    if Path(source).is_dir():
        pictures = _sequence(source)
        height, width = read_image(pictures[0]).shape[:2]
        fps = fps or SEQUENCE_FPS
        return Info((width, height), fps, len(pictures) / fps, False)
    with open_container(source) as container:
        stream = picture_stream(container, source)
        _, _, first = next(_decoded(container, stream, source, silent))
        height, width = display(aspect_of(stream))(first).shape[:2]
        return Info((width, height), _fps(stream), _duration(container, stream), bool(container.streams.audio))


def read(
    source: PathLike,
    *,
    start: float = 0.0,
    end: float | None = None,
    after: float | None = None,
    fps: float | None = None,
    size: tuple[int, int] | None = None,
    background: Color = WHITE,
    notice: Notice = silent,
) -> Iterator[Frame]:
    """The frames of a video in order.

    Args:
        source: a video file, or a folder of pictures in the order of their numbers.
        start, end: seconds; frames from `start` on and before `end`.
        after: the time of one of these frames: read only the frames behind it, each as it would be without this.
        fps: None returns every frame at its own time. A number gives a constant rate: at each tick the frame displayed
            then, so frames may be dropped or repeated. For a folder, it is the folder's own rate (25 by default).
        size: (width, height) that frames are fitted into; by default that of the first frame.
        background: BGR colour behind the transparent parts of a video.
        notice: called with a line for each problem that did not stop the reading.

    Raises:
        WholebodyError: the file does not exist, is empty, has only sound, or no frame can be decoded.
    """
    if fps is not None and not 0 < fps <= 1000:
        raise WholebodyError(f"{fps:g} frames per second is not a frame rate. Give 1 to 1000.")
    if not 0 <= start <= LONGEST or not (end is None or end > start):
        to = "the end" if end is None else f"{end:g}"
        raise WholebodyError(f"{start:g} to {to} seconds is not a part of a video. Give an end after the start.")
    if Path(source).is_dir():
        frames = _read_pictures(source, fps or SEQUENCE_FPS, start, end, after, notice)
    else:
        frames = _read_file(source, start, end, after, fps, background, notice)
    return _one_size(frames, size, source, notice)


def _read_file(
    source: PathLike,
    start: float,
    end: float | None,
    after: float | None,
    fps: float | None,
    background: Color,
    notice: Notice,
) -> Iterator[Frame]:
    with open_container(source) as container:
        stream = picture_stream(container, source)
        if fps is None:
            timed = _decoded(container, stream, source, notice, start if after is None else after)
        else:
            first = 0 if after is None else math.floor((after - start) * fps + 1e-6) + 1
            timed = _decoded(container, stream, source, notice, start + first / fps)
            timed = _ticks(timed, start, fps, 1 / _fps(stream), first)
        if stream.metadata.get("alpha_mode") == "1" and stream.codec_context.name in ("vp8", "vp9"):
            notice(f"{source}: its transparency is in a second stream, which is not read.")
        last, shown = after or 0.0, display(aspect_of(stream), background)
        # Times that are counted from another frame may differ in the last bits.
        from_here = start - 5e-4 if after is None else after + 1e-5
        for last, number, frame in timed:
            # Tolerance of half a millisecond: containers round times.
            if end is not None and last >= end - 5e-4:
                return
            if last >= from_here:
                yield Frame(last, shown(frame), number)
        length = _duration(container, stream)
        lasts = 1 / min(_fps(stream), fps or 1000)
        if last < start - 5e-4:
            raise WholebodyError(f"{source}: ends before {start:g} s. Choose an earlier start.")
        if length is not None and last + lasts < length - max(0.25, 2 * lasts):
            notice(f"{source}: breaks off at {last + lasts:.1f} s of {length:.1f} s; everything before that is kept.")


def picture_stream(container: Any, source: PathLike) -> Any:
    """The video stream; cover art does not count.

    Raises:
        WholebodyError: there is none, or it cannot be decoded here.
    """
    covers = av.stream.Disposition.attached_pic
    streams = [stream for stream in container.streams.video if not stream.disposition & covers]
    if Path(source).suffix.lower() == ".webp":
        raise WholebodyError(f"{source}: animated WebP files cannot be read. Convert it to an animated PNG or an MP4.")
    if not streams:
        raise WholebodyError(f"{source}: has no pictures, only sound. Use another file.")
    stream = streams[0]
    if stream.codec_context is None:
        raise WholebodyError(f"{source}: its pictures are of a kind that cannot be decoded here. Convert it to H.264.")
    if stream.width * stream.height * max(aspect_of(stream), 1) > MAX_PIXELS:
        raise WholebodyError(f"{source}: {stream.width} x {stream.height} is more than can be read. Scale it down.")
    stream.thread_type = "AUTO"
    return stream


def _decoded(
    container: Any, stream: Any, source: PathLike, notice: Notice, start: float = 0.0
) -> Iterator[tuple[float, int, Any]]:
    """(seconds since the start of the file, number, PyAV frame) for all decodable frames, from `start` or before.

    Times increase: a frame without a time, or with an earlier one than its predecessor, gets the predecessor's time
        plus a frame's duration.
    """
    zero = stream.start_time * stream.time_base if stream.start_time is not None else Fraction(0)
    number = -1
    if start > 1:
        timed = _timed(_from(container, stream, start, zero), stream, zero, source, notice, math.inf)
        first = next(timed, None)
        if first is not None and first[0] <= start:
            stamps, counted = _stamps(source), False
            for time, frame in chain([first], timed):
                # Before `start`, timestamps may be guesses and frames missing; from there on frames are consecutive.
                number = number + 1 if counted or frame.pts is None else bisect_left(stamps, frame.pts)
                counted = time >= start - 5e-4
                yield time, number, frame
            return
        # Not every file is seekable.
        with open_container(source) as again:
            yield from _decoded(again, picture_stream(again, source), source, notice)
        return
    for number, (time, frame) in enumerate(_timed(container.demux(stream), stream, zero, source, notice, 0.0)):
        yield time, number, frame
    if number < 0:
        raise WholebodyError(f"{source}: has no frame that can be decoded. Copy or download it again.")


def _timed(
    packets: Iterator[Any], stream: Any, zero: Fraction, source: PathLike, notice: Notice, first: float
) -> Iterator[tuple[float, Any]]:
    """As `_decoded`, without numbers, for these packets; `first` is the time of a first frame without one."""
    step = 1 / _fps(stream)
    last: float | None = None
    damaged, ended = 0, False
    packets = _whole(packets)
    while not ended:
        try:
            packet = next(packets)
        except StopIteration:
            break
        except av.error.FFmpegError as error:
            at = "its start" if last is None else f"{last:.1f} s"
            notice(f"{source}: cannot be read beyond {at} ({reason(error)}); everything before that is kept.")
            packet, ended = None, True  # the decoder still holds some frames
        try:
            frames = stream.decode(packet)
        except av.error.FFmpegError:
            damaged += 1
            continue
        for frame in frames:
            damaged += bool(frame.is_corrupt)
            time = None if frame.pts is None else float(frame.pts * stream.time_base - zero)
            if time is None or (last is not None and time <= last):
                time = first if last is None else last + step
            last = time
            yield time, frame
    if damaged:
        notice(f"{source}: {damaged} damaged frames; they are left out or look wrong, the others are fine.")


def _whole(packets: Iterator[Any]) -> Iterator[Any]:
    """Packets except a truncated last one: an error at the very end would lose frames that are still in the decoder."""
    cut: Any = None
    for packet in packets:
        if cut is not None and packet.size:
            yield cut
        cut = packet if packet.is_corrupt else None
        if cut is None:
            yield packet


def _from(container: Any, stream: Any, start: float, zero: Fraction) -> Iterator[Any]:
    """Packets from a key frame before `start` on; empty if seeking does not find one."""
    # MPEG streams have no index: a seek may end within any frame, the next key frame may be after `start`, and times
    # are guesses until the second packet with a file position.
    unknown = 2 if container.format.name in ("mpeg", "mpegts") else 0
    for back in (0, 5, 15, 60):
        if back >= start:
            break
        try:
            container.seek(int((Fraction(start - back) + zero) / stream.time_base), stream=stream, backward=True)
            packets = container.demux(stream)
            pieces = 0
            for packet in packets:
                if packet.pts is None or packet.pts * stream.time_base - zero > start:
                    break
                pieces += packet.pos is not None
                if packet.is_keyframe and pieces >= unknown:
                    return chain([packet], packets)
        except av.error.FFmpegError:
            break
    return iter(())


def _stamps(source: PathLike) -> list[int]:
    """The timestamps of all frames of a file, in order; packets are read but not decoded."""
    with open_container(source) as container:
        packets = container.demux(picture_stream(container, source))
        return sorted(packet.pts for packet in packets if packet.pts is not None and not packet.is_discard)


def _ticks(
    timed: Iterable[tuple[float, int, Any]], start: float, fps: float, length: float, tick: int
) -> Iterator[tuple[float, int, Any]]:
    """At each tick n / fps from `start` on, the last frame that is not after it, with a tolerance of a millisecond.

    The first tick has the number `tick`. The very last frame is displayed for `length` seconds.
    """
    time = start
    shown: tuple[int, Any] | None = None
    for time, number, frame in timed:
        while shown is not None and start + tick / fps < time - 1e-3:
            yield start + tick / fps, *shown
            tick += 1
        shown = number, frame
    while shown is not None and start + tick / fps < time + length - 1e-3:
        yield start + tick / fps, *shown
        tick += 1


def _one_size(
    frames: Iterator[Frame], size: tuple[int, int] | None, source: PathLike, notice: Notice
) -> Iterator[Frame]:
    told = False
    for frame in frames:
        own = (frame.image.shape[1], frame.image.shape[0])
        size = size or own
        if own != size:
            if not told:
                change = f"from {size[0]} x {size[1]} to {own[0]} x {own[1]} at {frame.time:.1f} s"
                notice(f"{source}: changes {change}; fitted into the first size.")
            told = True
            frame = replace(frame, image=_fitted(frame.image, size))
        yield frame


def _fitted(image: Image, size: tuple[int, int]) -> Image:
    """The picture centred on black, scaled to fit `size` (w, h)."""
    height, width = image.shape[:2]
    ratio = min(size[0] / width, size[1] / height)
    w, h = max(round(width * ratio), 1), max(round(height * ratio), 1)
    canvas: Image = np.zeros((size[1], size[0], 3), np.uint8)
    x, y = (size[0] - w) // 2, (size[1] - h) // 2
    canvas[y : y + h, x : x + w] = cv2.resize(image, (w, h), interpolation=cv2.INTER_AREA)
    return canvas


def _fps(stream: Any) -> float:
    rate = stream.average_rate or stream.guessed_rate
    return float(rate) if rate and 0 < rate <= 1000 else SEQUENCE_FPS


def _duration(container: Any, stream: Any) -> float | None:
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    # The container's duration is that of its longest stream, so with sound it says little about the pictures.
    return None if container.duration is None or container.streams.audio else container.duration / av.time_base


def _sequence(folder: PathLike) -> list[Path]:
    """The pictures in a folder, without results, sorted by the numbers in their names: 2.png before 10.png."""

    def order(path: Path) -> list[tuple[int, str]]:
        return [(int(word), "") if word.isdecimal() else (-1, word) for word in re.split(r"(\d+)", path.name) if word]

    pictures = sorted((path for path in find_images([folder]) if not is_result(path)), key=order)
    if not pictures:
        raise WholebodyError(f"{folder}: its pictures are results of an earlier run. Name the folder of the frames.")
    return pictures


def _read_pictures(
    folder: PathLike, fps: float, start: float, end: float | None, after: float | None, notice: Notice
) -> Iterator[Frame]:
    for number, path in enumerate(_sequence(folder)):
        time = number / fps
        if end is not None and time >= end - 5e-4:
            return
        if time >= start - 5e-4 and (after is None or time > after):
            try:
                yield Frame(time, read_image(path), number)
            except WholebodyError as error:
                notice(str(error))
