"""The pictures of docs/howto that are made from the sample media: maps for artists, markers, a signer's points.

    python runs/align/pages.py docs/img

Media and licences: examples/README.md.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from wholebody import WholeBody, draw, read_image, write_image
from wholebody.arrays import Image
from wholebody.formats.opensim import marker_names
from wholebody.poses import Poses

ROOT = Path(__file__).parents[2]
MARKERS = (0, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 19, 20, 22)


def cut(image: Image, poses: Poses, margin: float) -> tuple[Image, Poses]:
    """The part of a picture around its first person."""
    x0, y0, x1, y1 = poses.boxes[0]
    side = margin * max(x1 - x0, y1 - y0)
    left, top = max(round(x0 - side), 0), max(round(y0 - side), 0)
    part = np.ascontiguousarray(image[top : round(y1 + side), left : round(x1 + side)])
    return part, poses[:1].scaled(1, shift=(-left, -top))


def beside(pictures: list[Image], height: int) -> Image:
    """Pictures in a row."""
    row = [
        cv2.resize(one, (round(one.shape[1] * height / one.shape[0]), height), interpolation=cv2.INTER_AREA)
        for one in pictures
    ]
    return np.hstack([cv2.copyMakeBorder(one, 0, 0, 0, 4, cv2.BORDER_CONSTANT, value=(255, 255, 255)) for one in row])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    model = WholeBody()
    photo = read_image(ROOT / "examples" / "parkour.jpg")
    people = model(photo)
    runner = people[[int(np.argmax(people.boxes[:, 3] - people.boxes[:, 1]))]]
    part, one = cut(photo, runner, 0.15)
    # Sticks have one width at every size, so that a map is drawn at the size that it is used at.
    factor = 1024 / part.shape[0]
    photo, large = cv2.resize(part, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC), one.scaled(factor)
    black = np.zeros_like(photo)
    maps = [draw.openpose(black, large), draw.openpose(black, large, hands=False, face=False)]
    maps.append(draw.openpose(black, large, stick_scale="xinsir"))
    write_image(out / "controlnet.jpg", beside([photo, *maps], 400))

    marked = draw.skeleton(part, one)
    marked = cv2.resize(marked, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    for row in MARKERS:
        x, y = (2 * one.keypoints[0, row]).round().astype(int).tolist()
        for color, width in (((0, 0, 0), 3), ((255, 255, 255), 1)):
            cv2.putText(marked, marker_names(one.schema)[row], (x + 6, y + 4), 0, 0.45, color, width, cv2.LINE_AA)
    write_image(out / "markers.jpg", cv2.resize(marked, None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA))

    signer = read_image(ROOT / "src" / "wholebody" / "sample.jpg")
    found = model(signer)[:1]
    large, points = cv2.resize(signer, None, fx=1.5, fy=1.5), found.scaled(1.5)
    shown = [draw.skeleton(large, points), draw.skeleton(np.zeros_like(large), points)]
    write_image(out / "signer.jpg", beside(shown, 360))


if __name__ == "__main__":
    main()
