"""Which files are videos."""

from itertools import islice
from pathlib import Path

from wholebody.arrays import PathLike
from wholebody.video.frame import VIDEO_SUFFIXES


def is_video(path: PathLike) -> bool:
    """Whether a file is a video according to its name, or a GIF, PNG or WebP with more than one frame."""
    suffix = Path(path).suffix.lower()
    if suffix in (".png", ".apng", ".webp"):
        return _moves(path)
    if suffix != ".gif":
        return suffix in VIDEO_SUFFIXES
    import av  # 60 ms, which no run over pictures should wait for

    from wholebody.video.container import read_file

    try:
        with read_file(path) as container:
            return bool(sum(packet.size > 0 for packet in islice(container.demux(video=0), 2)) == 2)
    except (av.error.FFmpegError, OSError, ValueError, IndexError):
        return False  # reading it as a picture reports the problem


def _moves(path: PathLike) -> bool:
    """Whether a PNG or WebP has several frames according to its header."""
    try:
        with Path(path).open("rb") as file:
            head = file.read(21)
            if head[:4] == b"RIFF":
                return head[12:16] == b"VP8X" and bool(head[20] & 2)
            file.seek(8)
            while len(chunk := file.read(8)) == 8 and chunk[4:] != b"IDAT":
                if chunk[4:] == b"acTL":
                    return int.from_bytes(file.read(4)) > 1
                file.seek(int.from_bytes(chunk[:4]) + 4, 1)
    except (OSError, IndexError):
        pass  # reading it as a picture reports the problem
    return False
