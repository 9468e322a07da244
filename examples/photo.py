"""A photo: draw the skeleton over it, and write the keypoints as JSON.

python examples/photo.py photo.jpg out/
"""

import sys
from pathlib import Path

from wholebody import WholeBody, draw, formats, read_image, write_image

if len(sys.argv) != 3:
    sys.exit(f"usage: {__doc__.splitlines()[2]}")
if not Path(sys.argv[1]).exists():
    sys.exit(f"{sys.argv[1]}: no such file")
photo, out = Path(sys.argv[1]), Path(sys.argv[2])
out.mkdir(parents=True, exist_ok=True)

image = read_image(photo)  # (H, W, 3) uint8 BGR, upright
poses = WholeBody()(image)  # bundled networks, nothing is downloaded

write_image(out / f"{photo.stem}_pose.jpg", draw.skeleton(image, poses))
formats.write_coco(out / f"{photo.stem}_pose.json", {photo.name: poses})

wrist = poses.schema.names.index("left_wrist")
for person in range(len(poses)):
    x, y = poses.keypoints[person, wrist]
    print(f"person {person}: left wrist at {x:.0f}, {y:.0f}, right with a chance of {poses.scores[person, wrist]:.2f}")
