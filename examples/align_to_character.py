"""A dancer's video as maps with a character's proportions, for animating that character.

python examples/align_to_character.py dance.mp4 character.png maps/
"""

import sys
from pathlib import Path

import numpy as np

from wholebody import WholeBody, draw, follow, read_image, read_video, write_image
from wholebody.align import align
from wholebody.video.decode import info

if len(sys.argv) != 4:
    sys.exit(f"usage: {__doc__.splitlines()[2]}")
for path in sys.argv[1:3]:
    if not Path(path).exists():
        sys.exit(f"{path}: no such file")
dance, character, out = sys.argv[1], read_image(sys.argv[2]), Path(sys.argv[3])
out.mkdir(parents=True, exist_ok=True)
model = WholeBody("fast")

reference = model(character)[:1]
frames = [poses for _, poses in follow(read_video(dance), model)]
height, width = character.shape[:2]

# "linear" moves and scales as a whole; "muse", "uni" and "wan" fit limb by limb, as those projects do.
aligned = align(frames, reference, "muse", size=info(dance).size, reference_size=(width, height))
for number, poses in enumerate(aligned):
    write_image(out / f"{number:05d}.png", draw.openpose(np.zeros_like(character), poses))
print(f"{len(aligned)} maps of {width} x {height}")
