"""Videos: frames in with their time stamps, frames out as H.264 that browsers play.

    for frame in read("clip.mp4"):        # Frame(time, image), BGR, upright, all of one size
        ...
    write("drawn.mp4", frames, fps=info("clip.mp4").fps, audio="clip.mp4")

A frame's time is in seconds since the start of the file and comes from the file: rates that vary stay as they vary,
and sound stays with its picture. A folder of pictures is a video too, in the order of their numbers.

What is wrong with a file is said through `notice`, one line for each fault, and frames go on as far as there are any:
a damaged packet costs its frames, a file that is cut off ends early. Frames that change size are fitted into the size
of the first. Pixels are taken as square.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from heapq import merge
from itertools import chain, islice
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from wholebody.arrays import Image, PathLike
from wholebody.errors import WholebodyError
from wholebody.files import is_result, replacing
from wholebody.images import MAX_PIXELS, find_images, read_image

Notice = Callable[[str], None]

# fmt: off
VIDEO_SUFFIXES = (
    ".mp4", ".mkv", ".avi", ".mov", ".webm", ".m4v", ".mpg", ".mpeg", ".vob", ".ts", ".mts", ".m2ts", ".wmv", ".asf",
    ".flv", ".f4v", ".3gp", ".3g2", ".mxf", ".ogv", ".y4m",
)
# fmt: on
# Time stamps of what is written count these in a second, as video does by custom: common rates divide it.
CLOCK = 90_000
SEQUENCE_FPS = 25.0

# Sound that browsers play in an MP4 is copied, all other is encoded again as AAC.
_COPIED_AUDIO = ("aac", "mp3", "opus", "flac")
_AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
# The table of contents goes to the front, so that a browser starts to play before it has the whole file.
_FRONT = {"movflags": "+faststart"}
# What the pixels mean, in the numbers of the standard: sRGB's primaries and nearly its curve, the matrix of BT.601, and
# 16 for black.
_BT709, _BT601, _LIMITED = 1, 6, 1


@dataclass(frozen=True, eq=False)
class Frame:
    """A picture of a video: `time` in seconds since the start of the file, `image` (H, W, 3) uint8 BGR, upright."""

    time: float
    image: Image


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


def is_video(path: PathLike) -> bool:
    """Whether a file's name says that it is a video, or it is a GIF of more than one frame."""
    suffix = Path(path).suffix.lower()
    if suffix != ".gif":
        return suffix in VIDEO_SUFFIXES
    try:
        with av.open(str(path)) as container:
            return sum(packet.size > 0 for packet in islice(container.demux(video=0), 2)) == 2
    except (av.error.FFmpegError, OSError, IndexError):
        return False  # whoever reads it as a picture says what is wrong


def _silent(line: str) -> None:
    """Nobody wants to know."""


# --- In -------------------------------------------------------------------------------------------------------------


def info(source: PathLike) -> Info:
    """Size, rate and length of a video, or of a folder of pictures.

    Raises:
        WholebodyError: as `read`.
    """
    if Path(source).is_dir():
        pictures = _sequence(source)
        height, width = read_image(pictures[0]).shape[:2]
        return Info((width, height), SEQUENCE_FPS, len(pictures) / SEQUENCE_FPS, False)
    with _open(source) as container:
        stream = _pictures(container, source)
        _, first = next(_decoded(container, stream, source, _silent))
        height, width = turner()(first).shape[:2]
        return Info((width, height), _fps(stream), _duration(container, stream), bool(container.streams.audio))


def read(
    source: PathLike,
    *,
    start: float = 0.0,
    end: float | None = None,
    fps: float | None = None,
    size: tuple[int, int] | None = None,
    notice: Notice = _silent,
) -> Iterator[Frame]:
    """The frames of a video in order.

    Args:
        source: a video file, or a folder of pictures in the order of their numbers.
        start, end: seconds; frames from `start` on and before `end`.
        fps: None gives every frame at its own time. A number gives a steady rate: at each tick the frame that is
            shown then, so that frames are left out or come twice. For a folder, its own rate (25 unless given).
        size: (width, height) that frames are fitted into; that of the first one unless given.
        notice: gets a line for each fault that frames survived.

    Raises:
        WholebodyError: there is no such file, it is empty, holds only sound, or no frame of it can be decoded.
    """
    if fps is not None and not 0 < fps <= 1000:
        raise WholebodyError(f"{fps:g} frames a second make no video. Give 1 to 1000.")
    if start < 0 or (end is not None and end <= start):
        raise WholebodyError(f"from {start:g} to {end if end is None else f'{end:g}'} seconds is no piece of a video.")
    if Path(source).is_dir():
        frames = _read_pictures(source, fps or SEQUENCE_FPS, start, end, notice)
    else:
        frames = _read_file(source, start, end, fps, notice)
    return _one_size(frames, size, source, notice)


def _read_file(source: PathLike, start: float, end: float | None, fps: float | None, notice: Notice) -> Iterator[Frame]:
    with _open(source) as container:
        stream = _pictures(container, source)
        timed = _decoded(container, stream, source, notice, start)
        if fps is not None:
            timed = _ticks(timed, start, fps, 1 / _fps(stream))
        last, upright = 0.0, turner()
        for last, frame in timed:
            # Half a millisecond: containers round times.
            if end is not None and last >= end - 5e-4:
                return
            if last >= start - 5e-4:
                yield Frame(last, upright(frame))
        length = _duration(container, stream)
        shown = 1 / min(_fps(stream), fps or 1000)
        if last < start - 5e-4:
            raise WholebodyError(f"{source}: ends before {start:g} s. Choose an earlier start.")
        if length is not None and last + shown < length - max(0.25, 2 * shown):
            notice(f"{source}: breaks off at {last + shown:.1f} s of {length:.1f} s; what was there is kept.")


def _open(source: PathLike) -> Any:
    path = Path(source)
    try:
        if path.is_file() and not path.stat().st_size:
            raise WholebodyError(f"{path}: the file is empty. Copy or download it again.")
        return av.open(str(source))
    except av.error.FileNotFoundError as error:
        raise WholebodyError(f"{path}: no such file. Check the path.") from error
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise WholebodyError(
            f"{path}: not a video that can be read ({_reason(error)}). Copy or download it again."
        ) from error


def _pictures(container: Any, source: PathLike) -> Any:
    """The stream of pictures; the cover of a song is none."""
    covers = av.stream.Disposition.attached_pic
    streams = [stream for stream in container.streams.video if not stream.disposition & covers]
    if not streams:
        raise WholebodyError(f"{source}: has no pictures, only sound. Use another file.")
    stream = streams[0]
    if stream.width * stream.height > MAX_PIXELS:
        raise WholebodyError(f"{source}: {stream.width} x {stream.height} is more than can be read. Scale it down.")
    stream.thread_type = "AUTO"
    return stream


def _decoded(
    container: Any, stream: Any, source: PathLike, notice: Notice, start: float = 0.0
) -> Iterator[tuple[float, Any]]:
    """(seconds since the start of the file, frame of PyAV) of all frames that can be decoded, from `start` or before.

    Times rise: a frame without one, or with an earlier one than its forerunner, comes a frame's length after it.
    """
    zero = stream.start_time * stream.time_base if stream.start_time is not None else Fraction(0)
    if start > 1:
        timed = _timed(_from(container, stream, start, zero), stream, zero, source, notice, math.inf)
        first = next(timed, None)
        if first is not None and first[0] <= start:
            yield from chain([first], timed)
            return
        # Not every file can be wound back.
        with _open(source) as again:
            yield from _decoded(again, _pictures(again, source), source, notice)
        return
    first = None
    for first in _timed(container.demux(stream), stream, zero, source, notice, 0.0):
        yield first
    if first is None:
        raise WholebodyError(f"{source}: has no frame that can be decoded. Copy or download it again.")


def _timed(
    packets: Iterator[Any], stream: Any, zero: Fraction, source: PathLike, notice: Notice, first: float
) -> Iterator[tuple[float, Any]]:
    """As `_decoded`, of these packets; `first` is the time of a first frame that has none."""
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
            notice(f"{source}: cannot be read beyond {at} ({_reason(error)}); what was before is kept.")
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
    """Packets but for a last one that is cut off: an error at the very end costs the frames that are still decoded."""
    cut: Any = None
    for packet in packets:
        if cut is not None and packet.size:
            yield cut
        cut = packet if packet.is_corrupt else None
        if cut is None:
            yield packet


def _from(container: Any, stream: Any, start: float, zero: Fraction) -> Iterator[Any]:
    """Packets from a key frame before `start` on; none where the file leads to no such frame."""
    # MPEG's streams have no index: a search in them ends within any frame, the next key frame may be after `start`, and
    # times are guessed up to the second packet that begins a piece of the file.
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


def _ticks(timed: Iterable[tuple[float, Any]], start: float, fps: float, length: float) -> Iterator[tuple[float, Any]]:
    """At each tick n / fps from `start` on, the last frame that is not after it, but for a thousandth of a second.

    The last frame of all is shown for `length` seconds.
    """
    tick, time, shown = 0, start, None
    for time, frame in timed:
        while shown is not None and start + tick / fps < time - 1e-3:
            yield start + tick / fps, shown
            tick += 1
        shown = frame
    while shown is not None and start + tick / fps < time + length - 1e-3:
        yield start + tick / fps, shown
        tick += 1


def turner() -> Callable[[Any], Image]:
    """Makes (H, W, 3) BGR of the frames of PyAV of one file, turned and mirrored as the file tells players to."""
    turn: float | None = None
    matrix: tuple[float, float, float, float] = (1, 0, 0, 1)

    def upright(frame: Any) -> Image:
        nonlocal turn, matrix
        # A frame whose side data was looked at is in a ring of references, and stays until the garbage is collected.
        now = float(getattr(frame, "rotation", 0))
        if now != turn:
            turn, matrix = now, _display(frame)
        image: Any = frame.to_ndarray(format="bgr24")
        a, b, c, d = matrix
        if abs(b) > abs(a):
            image, a, d = cv2.transpose(image), c, b
        if a < 0 or d < 0:
            image = cv2.flip(image, -1 if a < 0 and d < 0 else 1 if a < 0 else 0)
        return np.asarray(image, np.uint8)

    return upright


def _display(frame: Any) -> tuple[float, float, float, float]:
    """a, b, c, d: a pixel (x, y) is shown at (a x + c y, b x + d y), but for a shift."""
    try:
        matrix = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV stumbles over kinds of side data that it does not know, but tells the turn
        turn = math.radians(getattr(frame, "rotation", 0))
        return math.cos(turn), -math.sin(turn), math.sin(turn), math.cos(turn)
    if matrix is None:
        return 1, 0, 0, 1
    a, b, _, c, d, *_ = np.frombuffer(matrix, np.int32).tolist()
    return a, b, c, d


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
            frame = Frame(frame.time, _fitted(frame.image, size))
        yield frame


def _fitted(image: Image, size: tuple[int, int]) -> Image:
    """The picture in the middle of a black one of `size` (w, h), as large as its aspect allows."""
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
    # That of the container is the longest of its streams: with sound it says little of the pictures.
    return None if container.duration is None or container.streams.audio else container.duration / av.time_base


def _reason(error: BaseException) -> str:
    return str(getattr(error, "strerror", None) or error)


def _sequence(folder: PathLike) -> list[Path]:
    """The pictures of a folder, without results, in the order of the numbers in their names: 2.png before 10.png."""

    def order(path: Path) -> list[tuple[int, str]]:
        return [(int(word), "") if word.isdigit() else (-1, word) for word in re.split(r"(\d+)", path.name) if word]

    pictures = sorted((path for path in find_images([folder]) if not is_result(path)), key=order)
    if not pictures:
        raise WholebodyError(f"{folder}: its pictures are results of an earlier run. Name that of the frames.")
    return pictures


def _read_pictures(folder: PathLike, fps: float, start: float, end: float | None, notice: Notice) -> Iterator[Frame]:
    for number, path in enumerate(_sequence(folder)):
        time = number / fps
        if end is not None and time >= end - 5e-4:
            return
        if time >= start - 5e-4:
            try:
                yield Frame(time, read_image(path))
            except WholebodyError as error:
                notice(str(error))


# --- Out ------------------------------------------------------------------------------------------------------------


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
    with replacing(path) as partial, _writing(path), av.open(str(partial), "w", "mp4", options=_FRONT) as container:
        stream: Any = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
        stream.width, stream.height = size[0] + odd[0], size[1] + odd[1]
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": str(quality), "preset": "veryfast", "bf": "0"}
        context = stream.codec_context
        context.time_base = Fraction(1, CLOCK)
        context.color_primaries = context.color_trc = _BT709
        context.colorspace, context.color_range = _BT601, _LIMITED

        def write(frame: Frame) -> None:
            nonlocal first, last
            image = frame.image
            if any(odd):
                image = np.pad(image, ((0, odd[1]), (0, odd[0]), (0, 0)), mode="edge")
            first = frame.time if first is None else first
            with _writing(path):
                # OpenCV turns colours into BT.601 in a tenth of FFmpeg's time, and rounds where that cuts off.
                planes: Any = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_BGR2YUV_I420)
                coded = av.VideoFrame.from_ndarray(planes, format="yuv420p")
                last = coded.pts = max(round((frame.time - first) * CLOCK), last + 1)
                coded.time_base, coded.duration = Fraction(1, CLOCK), step
                container.mux(stream.encode(coded))

        yield write
        container.mux(stream.encode(None))


def write(
    path: PathLike,
    frames: Iterable[Frame],
    fps: float,
    *,
    audio: PathLike | None = None,
    quality: int = 20,
) -> None:
    """Write frames as one MP4 file that browsers play, with the sound of another file.

    Args:
        path: the .mp4 file. frames: at least one; all of one size.
        fps: about how many frames a second; their own times count.
        audio: a file whose sound between the first and the last frame's time is copied.
        quality: as for `encoder`.

    Raises:
        WholebodyError: there is no frame, or the file cannot be written.
    """
    frames = iter(frames)
    head = next(frames, None)
    if head is None:
        raise WholebodyError(f"{path}: no frame to write.")
    height, width = head.image.shape[:2]
    last = head.time
    with replacing(path) as partial:
        with encoder(partial, (width, height), fps, quality=quality) as append:
            for frame in chain([head], frames):
                append(frame)
                last = frame.time
        if audio is not None:
            join(partial, [(partial, head.time)], audio=audio, end=last + 1 / fps)


def join(
    path: PathLike,
    parts: Sequence[tuple[PathLike, float]],
    *,
    audio: PathLike | None = None,
    end: float | None = None,
    notice: Notice = _silent,
) -> None:
    """Put files of `encoder` with equal settings one after the other, without encoding again, and sound beside them.

    Args:
        path: the .mp4 file; it may be one of the parts.
        parts: each file and the time of its first frame.
        audio: a file whose sound from the first part's time to `end` is copied; encoded again as AAC where browsers
            do not know its kind. A file without sound, or whose sound is damaged, adds none or what there is; so does
            one whose sound cannot be read or written.
        notice: gets a line for each fault of the sound.

    Raises:
        WholebodyError: a part cannot be read, or the file not written.
    """
    told: list[str] = []
    with replacing(path) as partial, _writing(path):
        try:
            _join(partial, parts, audio, end, told.append)
        except (av.error.FFmpegError, ValueError) as error:
            if audio is None:
                raise
            _join(partial, parts, None, end, told.append)
            told = [f"{audio}: its sound cannot be written ({_reason(error)}); the video is without it."]
    for line in told:
        notice(line)


def _join(
    path: PathLike, parts: Sequence[tuple[PathLike, float]], audio: PathLike | None, end: float | None, notice: Notice
) -> None:
    start = parts[0][1]
    with ExitStack() as opened:
        target = opened.enter_context(av.open(str(path), "w", "mp4", options=_FRONT))
        with av.open(str(parts[0][0])) as first:
            streams = [_part_packets(parts, target.add_stream_from_template(first.streams.video[0]))]
        source = None if audio is None or Path(audio).is_dir() else opened.enter_context(_open(audio))
        if source is not None and source.streams.audio:
            streams.append(_sound(source, target, start, end, audio, notice))
        for _, packet in merge(*streams, key=lambda timed: timed[0]):
            target.mux(packet)


def _part_packets(parts: Sequence[tuple[PathLike, float]], stream: Any) -> Iterator[tuple[float, Any]]:
    """(seconds, packet) of all parts, each moved to its time.

    A part ends where the next one begins, though it may hold a frame more: it was stopped while it was written.
    """
    starts = [Fraction(time - parts[0][1]) for _, time in parts]
    for (path, _), start, until in zip(parts, starts, [*starts[1:], None], strict=True):
        with av.open(str(path)) as container:
            for packet in container.demux(container.streams.video[0]):
                if packet.dts is None or packet.pts is None:  # the empty one at the end
                    continue
                shift = round(start / packet.time_base)
                packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                if until is not None and packet.dts >= round(until / packet.time_base):
                    break
                packet.stream = stream
                yield float(packet.dts * packet.time_base), packet


def _sound(
    source: Any, target: Any, start: float, end: float | None, name: PathLike | None, notice: Notice
) -> Iterator[tuple[float, Any]]:
    """(seconds, packet) of the first sound of `source` that can be read, between `start` and `end`, moved by -start."""
    sound = next((stream for stream in source.streams.audio if stream.codec_context is not None), None)
    if sound is None:
        notice(f"{name}: its sound is of an unknown kind; the video is without it.")
        return iter(())
    covers = av.stream.Disposition.attached_pic
    video = next((stream for stream in source.streams.video if not stream.disposition & covers), None)
    zero = start + (0.0 if video is None or video.start_time is None else float(video.start_time * video.time_base))
    until = np.inf if end is None else end - start
    copied = sound.codec_context.name in _COPIED_AUDIO
    if copied:
        stream = target.add_stream_from_template(sound)
    else:
        layout = "mono" if sound.codec_context.channels == 1 else "stereo"
        rate = sound.codec_context.sample_rate
        nearest = 48000 if rate > 96000 else min(_AAC_RATES, key=lambda known: abs(known - rate))
        stream = target.add_stream("aac", rate=nearest, layout=layout)

    def packets() -> Iterator[tuple[float, Any]]:
        for packet in source.demux(sound):
            if copied:
                if packet.dts is not None and packet.pts is not None:
                    shift = round(zero / packet.time_base)
                    packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                    packet.stream = stream
                    yield float(packet.pts * packet.time_base), packet
                continue
            for frame in packet.decode():
                if frame.pts is not None:
                    time = frame.pts * frame.time_base - zero
                    if 0 <= time < until:
                        frame.pts = round(time / frame.time_base)
                        for coded in stream.encode(frame):
                            yield float(time), coded
        if not copied:
            for coded in stream.encode(None):
                yield float(coded.pts * coded.time_base), coded

    def within() -> Iterator[tuple[float, Any]]:
        try:
            for time, packet in packets():
                if time >= until:
                    return
                if time >= 0:
                    yield time, packet
        except av.error.FFmpegError as error:
            notice(f"{name}: its sound is damaged ({_reason(error)}); what was before is kept.")

    return within()


@contextmanager
def _writing(path: PathLike) -> Iterator[None]:
    try:
        yield
    except (av.error.FFmpegError, ValueError) as error:
        raise WholebodyError(
            f"{path}: cannot write ({_reason(error)}). Free some space or choose another folder."
        ) from error
