"""COCO's keypoints from YOLO's label files, in COCO's layout, for photos.py.

    python runs/people/yolo.py LABELS/train2017 OUT.json

LABELS/train2017 has a file per photo, 000000000036.txt: a line per person with the class, the box (middle, width,
height) and 17 keypoints (x, y, flag), all in fractions of the photo. So the photos in OUT.json are 1 wide and 1 high.
Crowds are not marked there, and areas are 0.53 of the boxes.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from wholebody.evaluate.report import COVERED
from wholebody.files import replacing

POINTS = 17


def annotation(numbers: list[float], photo: int, number: int) -> dict[str, Any]:
    _, x, y, width, height, *points = numbers
    if len(points) != 3 * POINTS:
        raise SystemExit(f"photo {photo:012d}: a line has {len(points)} numbers after the box, not {3 * POINTS}.")
    return {
        "id": number,
        "image_id": photo,
        "category_id": 1,
        "iscrowd": 0,
        "bbox": [x - width / 2, y - height / 2, width, height],
        "area": COVERED * width * height,
        "num_keypoints": sum(flag > 0 for flag in points[2::3]),
        "keypoints": points,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    images, people = [], list[dict[str, Any]]()
    for file in sorted(options.labels.glob("*.txt")):
        images.append({"id": int(file.stem), "file_name": f"{file.stem}.jpg", "width": 1, "height": 1})
        for line in filter(None, map(str.split, file.read_text().splitlines())):
            people.append(annotation([float(number) for number in line], int(file.stem), len(people) + 1))
    content = {"images": images, "annotations": people, "categories": [{"id": 1, "name": "person"}]}
    with replacing(options.out) as partial:
        partial.write_text(json.dumps(content))
    print(f"{len(images)} photos, {len(people)} people")


if __name__ == "__main__":
    main()
