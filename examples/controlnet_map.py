"""A map for ControlNet at a given size, and one with wide sticks for the xinsir SDXL networks.

python examples/controlnet_map.py photo.jpg out/ 768x1344
"""

import sys
from pathlib import Path

import numpy as np

from wholebody import WholeBody, draw, read_image, write_image

if len(sys.argv) != 4:
    sys.exit(f"usage: {__doc__.splitlines()[2]}")
if not Path(sys.argv[1]).exists():
    sys.exit(f"{sys.argv[1]}: no such file")
photo, out = Path(sys.argv[1]), Path(sys.argv[2])
width, height = map(int, sys.argv[3].split("x"))
out.mkdir(parents=True, exist_ok=True)

image = read_image(photo)
poses = WholeBody()(image)
black = np.zeros_like(image)

# Scaled to fit and padded, never stretched: lengths keep their ratios.
usual = draw.openpose(black, poses, size=(width, height))
write_image(out / "map.png", usual)
write_image(out / "map_xinsir.png", draw.openpose(black, poses, size=(width, height), stick_scale="xinsir"))
write_image(out / "map_body.png", draw.openpose(black, poses, size=(width, height), hands=False, face=False))
print(f"{len(poses)} people on {width} x {height}")
