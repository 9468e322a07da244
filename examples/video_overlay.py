"""A video: everyone keeps an id, points are smoothed, and the overlay keeps the sound.

python examples/video_overlay.py clip.mp4 clip_overlay.mp4
"""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from wholebody import Smoother, WholeBody, draw, follow, read_video, write_video
from wholebody.video.decode import info
from wholebody.video.frame import Frame

if len(sys.argv) != 3:
    sys.exit(f"usage: {__doc__.splitlines()[2]}")
if not Path(sys.argv[1]).exists():
    sys.exit(f"{sys.argv[1]}: no such file")
clip, result = sys.argv[1:3]


def drawn() -> Iterator[Frame]:
    smoother = Smoother()
    for frame, poses in follow(read_video(clip), WholeBody("fast")):
        steady = smoother(poses, frame.time)
        yield replace(frame, image=draw.skeleton(frame.image, steady, boxes=True))


# Frames are drawn while they are written, so an hour needs no more memory than a second.
write_video(result, drawn(), info(clip).fps, audio=clip if info(clip).audio else None)
print(result)
