"""How often a hand outside the picture is drawn, and how often a hand inside it is missed.

    python runs/pose/hands_cut_off.py ../shared/real [MODEL.onnx ...]

For each hand of a held-out person on whose points the teachers agree, the photo is cropped so that none of the hand's
points is left, but at least three of the person's shoulders and hips are. The box ends at the border of the photo. A
hand counts as drawn if five of its points within the picture reach the drawing threshold.
"""

import argparse
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from wholebody.arrays import Doubles, Image
from wholebody.pose.topdown import TopDown
from wholebody.runtime.choose import open_session
from wholebody.schema import COCO_WHOLEBODY
from wholebody.train.data.crops import pool_people
from wholebody.train.data.people import PersonFile
from wholebody.weights.lookup import find

HANDS = ("left_hand", "right_hand")
# Points that a hand must have to be asked for, their confidence, and how many make a drawn one.
LABELLED, CONFIDENT, DRAWN = 15, 0.3, 5
# The default threshold of drawing (wholebody.draw).
THRESHOLD = 0.3
TRUNK = [5, 6, 11, 12]
# Pixels between the hand and the new border, in shares of the hand's size.
BESIDE = 0.15


def cuts(person: PersonFile, size: tuple[int, int], hand: str) -> list[tuple[int, int, int, int]]:
    """The rectangles (x0, y0, x1, y1) of the photo, (width, height) large, that leave the hand out: the trunk stays."""
    part = COCO_WHOLEBODY.parts[hand]
    points = person.keypoints[part][person.visible[part] > 0]
    low, high = points.min(0), points.max(0)
    gap = BESIDE * (high - low).max() + 2
    width, height = size
    whole = [0, 0, width, height]
    found = []
    for place, value in ((0, high[0] + gap), (1, high[1] + gap), (2, low[0] - gap), (3, low[1] - gap)):
        kept = [*whole]
        kept[place] = round(value)
        if kept[2] - kept[0] < 32 or kept[3] - kept[1] < 32:
            continue
        seen = person.visible[TRUNK] > 0
        at = person.keypoints[TRUNK]
        inside = ((at >= kept[:2]) & (at < kept[2:])).all(axis=1) & seen
        if inside.sum() >= 3:
            found.append((kept[0], kept[1], kept[2], kept[3]))
    return found


def drawn(estimate: TopDown, image: Image, box: Doubles, hand: str) -> bool:
    found, part = estimate(image, box[None]), COCO_WHOLEBODY.parts[hand]
    points, size = found.keypoints[0, part], (image.shape[1], image.shape[0])
    inside = ((points >= 0) & (points < size)).all(axis=1)
    return bool((inside & (found.scores[0, part] >= THRESHOLD)).sum() >= DRAWN)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pool", type=Path)
    parser.add_argument("models", nargs="*", default=["wholebody-133", "fast", "dwpose-t"])
    options = parser.parse_args()
    people = [person for group in pool_people(options.pool, held_out=True).values() for person in group]
    table = Table("model", "cut off, drawn", "there, drawn", box=None)
    for model in options.models:
        estimate = TopDown(open_session(find(model, kind="pose"), "cpu", 1))
        gone, there = [], []
        for person in people:
            image = None
            for hand in HANDS:
                part = COCO_WHOLEBODY.parts[hand]
                if (person.visible[part] > CONFIDENT).sum() < LABELLED:
                    continue
                image = person.load().pixels() if image is None else image
                there.append(drawn(estimate, image, person.box, hand))
                for x0, y0, x1, y1 in cuts(person, (image.shape[1], image.shape[0]), hand):
                    box = np.array([x0, y0, x0, y0]) * -1 + person.box.clip([x0, y0, x0, y0], [x1, y1, x1, y1])
                    gone.append(drawn(estimate, np.ascontiguousarray(image[y0:y1, x0:x1]), box, hand))
        table.add_row(str(model), *(f"{sum(each)} of {len(each)} ({np.mean(each):.3f})" for each in (gone, there)))
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
