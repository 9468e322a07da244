"""Joining parts into one video, with the sound of the source."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from fractions import Fraction
from heapq import merge
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np

from wholebody.arrays import PathLike
from wholebody.errors import WholebodyError
from wholebody.files import as_result, replacing
from wholebody.video.container import address, open_container, read_file
from wholebody.video.encode import FRONT, encoder, writing
from wholebody.video.frame import Frame, Notice, reason, silent

# Sound that browsers play in an MP4 is copied; other sound is re-encoded as AAC.
_COPIED_AUDIO = ("aac", "mp3", "opus", "flac")

_AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)


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
        path: the .mp4 file.
        frames: at least one; all of one size.
        fps: approximate frame rate; the frames' own times are used.
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
    result: bool = False,
    notice: Notice = silent,
) -> None:
    """Concatenate files from `encoder` with equal settings, without re-encoding, and add sound.

    Args:
        path: the .mp4 file; it may be one of the parts.
        parts: each file and the time of its first frame.
        audio: a file whose sound from the first part's time to `end` is copied, or re-encoded as AAC if browsers cannot
            play it. Missing sound is skipped, and damaged sound is kept as far as it can be read.
        result: mark the file as a result, see `files.is_result`.
        notice: called with a line for each problem with the sound.

    Raises:
        WholebodyError: a part cannot be read, or the file cannot be written.
    """
    told: list[str] = []
    with replacing(path) as partial, writing(path):
        try:
            _join(partial, parts, audio, end, told.append)
        except (av.error.FFmpegError, ValueError) as error:
            if audio is None:
                raise
            _join(partial, parts, None, end, told.append)
            told = [f"{audio}: its sound cannot be written ({reason(error)}); the video is without it."]
        if result:
            with partial.open("ab") as file:
                file.write(as_result(b"", ".mp4"))
    for line in told:
        notice(line)


def _join(
    path: PathLike, parts: Sequence[tuple[PathLike, float]], audio: PathLike | None, end: float | None, notice: Notice
) -> None:
    start = parts[0][1]
    with ExitStack() as opened:
        target = opened.enter_context(av.open(address(path), "w", "mp4", options=FRONT))
        with read_file(parts[0][0]) as first:
            streams = [_part_packets(parts, target.add_stream_from_template(first.streams.video[0]))]
        source = None if audio is None or Path(audio).is_dir() else opened.enter_context(open_container(audio))
        if source is not None and source.streams.audio:
            streams.append(_sound(source, target, start, end, audio, notice))
        for _, packet in merge(*streams, key=lambda timed: timed[0]):
            target.mux(packet)


def _part_packets(parts: Sequence[tuple[PathLike, float]], stream: Any) -> Iterator[tuple[float, Any]]:
    """(seconds, packet) of all parts, shifted to their times.

    A part ends where the next one begins, although it may contain an extra frame if it was interrupted.
    """
    starts = [Fraction(time - parts[0][1]) for _, time in parts]
    for (path, _), start, until in zip(parts, starts, [*starts[1:], None], strict=True):
        with read_file(path) as container:
            for packet in container.demux(container.streams.video[0]):
                if packet.dts is None or packet.pts is None:  # the empty packet at the end
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
    """(seconds, packet) of the first readable audio stream of `source`, from `start` to `end`, shifted by -start."""
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
            notice(f"{name}: its sound is damaged ({reason(error)}); everything before that is kept.")

    return within()
