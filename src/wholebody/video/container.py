"""Opening video files, and only files: names are never treated as URLs, nor files as playlists."""

from functools import cache
from pathlib import Path
from typing import Any

import av

from wholebody.arrays import PathLike
from wholebody.errors import WholebodyError
from wholebody.video.frame import reason

# fmt: off
# Formats that refer to other files or URLs, and FFmpeg inputs that are not files.
_NOT_FILES = frozenset((
    "concat", "concatf", "dash", "fbdev", "ffmetadata", "hls", "imf", "image2", "image2pipe", "kmsgrab", "lavfi", "rtp",
    "rtsp", "sap", "sdp", "tty", "webm_dash_manifest", "x11grab", "xcbgrab",
))
# fmt: on


def address(path: PathLike) -> str:
    """The name passed to FFmpeg for a file: `12:30.mp4` and `concat:a|b` are file names here, not URLs."""
    return f"file:{Path(path).absolute()}"


def read_file(path: PathLike) -> Any:
    """PyAV's container of a video file, with FFmpeg's own errors. Text in it that is not UTF-8 is replaced."""
    only_files = {"format_whitelist": _files(), "protocol_whitelist": "file"}
    return av.open(address(path), metadata_errors="replace", container_options=only_files)


def open_container(source: PathLike) -> Any:
    """As `read_file`.

    Raises:
        WholebodyError: the file does not exist, is empty, or is not a readable video.
    """
    path = Path(source)
    try:
        if path.is_file() and not path.stat().st_size:
            raise WholebodyError(f"{path}: the file is empty. Copy or download it again.")
        return read_file(path)
    except av.error.FileNotFoundError as error:
        raise WholebodyError(f"{path}: no such file. Check the path.") from error
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise WholebodyError(
            f"{path}: not a video that can be read ({reason(error)}). Copy or download it again."
        ) from error


@cache
def _files() -> str:
    names = (name for group in av.formats_available for name in group.split(","))
    return ",".join(sorted(set(names) - _NOT_FILES))
