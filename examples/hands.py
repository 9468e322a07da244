"""Cut both hands out of a picture, as input for a recogniser of signs or gestures.

python examples/hands.py photo.jpg hands/
"""

import sys
from pathlib import Path

import cv2

from wholebody import WholeBody, read_image, write_image

if len(sys.argv) != 3:
    sys.exit(f"usage: {__doc__.splitlines()[2]}")
if not Path(sys.argv[1]).exists():
    sys.exit(f"{sys.argv[1]}: no such file")
image, out = read_image(sys.argv[1]), Path(sys.argv[2])
out.mkdir(parents=True, exist_ok=True)
poses = WholeBody()(image)

count = 0
for side in ("left_hand", "right_hand"):
    points, scores = poses.part(side)  # (N, 21, 2) and (N, 21)
    for person, (hand, sure) in enumerate(zip(points, scores, strict=True)):
        seen = hand[sure > 0.3]
        if len(seen) < 11:  # most of a hand, or none
            continue
        x, y = (seen.min(axis=0) + seen.max(axis=0)) / 2
        half = max((seen.max(axis=0) - seen.min(axis=0)).max() * 0.7, 8)
        crop = cv2.getRectSubPix(image, (round(2 * half), round(2 * half)), (float(x), float(y)))
        write_image(out / f"{person}_{side}.png", cv2.resize(crop, (224, 224)))
        count += 1
print(f"{count} hands of {len(poses)} people")
