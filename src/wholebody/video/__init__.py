"""Videos: reading frames with their timestamps, and writing H.264 that browsers play."""

from wholebody.video.decode import SEQUENCE_FPS, info, is_video, read
from wholebody.video.display import display
from wholebody.video.encode import encoder
from wholebody.video.frame import CLOCK, VIDEO_SUFFIXES, Frame, Info, Notice
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
