"""Videos: reading frames with their timestamps, and writing H.264 that browsers play.

What needs FFmpeg's libraries is imported on first use, so a run over pictures does not wait for them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from wholebody.video.display import display
from wholebody.video.frame import CLOCK, VIDEO_SUFFIXES, Frame, Info, Notice
from wholebody.video.kind import is_video

if TYPE_CHECKING:
    from wholebody.video.decode import SEQUENCE_FPS, info, read
    from wholebody.video.encode import encoder
    from wholebody.video.mux import join, write

__all__ = [
    "CLOCK",
    "SEQUENCE_FPS",
    "VIDEO_SUFFIXES",
    "Frame",
    "Info",
    "Notice",
    "display",
    "encoder",
    "info",
    "is_video",
    "join",
    "read",
    "write",
]
# Public name -> its module.
_HOME = {
    "SEQUENCE_FPS": "decode",
    "encoder": "encode",
    "info": "decode",
    "join": "mux",
    "read": "decode",
    "write": "mux",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'wholebody.video' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"wholebody.video.{_HOME[name]}"), name)
    return value
