"""Only the two people in front: those with the largest boxes, from left to right.

python examples/two_in_front.py photo.jpg out.jpg
"""

import sys
from pathlib import Path

import numpy as np

from wholebody import WholeBody, draw, read_image, write_image
from wholebody.geometry import box_areas

if len(sys.argv) != 3:
    sys.exit(f"usage: {__doc__.splitlines()[2]}")
if not Path(sys.argv[1]).exists():
    sys.exit(f"{sys.argv[1]}: no such file")
image = read_image(sys.argv[1])
poses = WholeBody()(image)

largest = box_areas(poses.boxes).argsort()[::-1][:2]
front = poses[largest]
front = front[front.boxes[:, 0].argsort()]  # Poses can be indexed like an array

sure = front[front.box_scores > 0.5]  # also with a mask
middle = np.nanmean(front.keypoints, axis=1)
write_image(sys.argv[2], draw.skeleton(image, front))
print(
    f"{len(poses)} people, {len(front)} in front, {len(sure)} of them surely people; centres {middle.round().tolist()}"
)
