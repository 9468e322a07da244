"""Mean OKS of bodies in COCO's photos with COCO's labels and given boxes, and differences with intervals.

    python runs/pose/bodies.py PHOTOS person_keypoints_val2017.json ... [--models wholebody-133 fast MODEL.onnx]

PHOTOS is searched recursively; labels of other photos are left out. People with at least five labelled points count,
crowds do not. Large people cover more than 96x96 pixels. Differences are from the first model, person by person, with
95 % bootstrap intervals.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from wholebody.pose.topdown import TopDown
from wholebody.runtime.choose import open_session
from wholebody.schema import COCO_WHOLEBODY
from wholebody.train.data.people import PersonFile
from wholebody.weights.lookup import find

BODY = COCO_WHOLEBODY.parts["body"]
LARGE = 96.0**2


def labelled(photos: Path, labels: Sequence[Path]) -> list[PersonFile]:
    """The people of all label files whose photos are there, each once."""
    files = {file.name: file for file in sorted(photos.rglob("*.jpg"))}
    found = {}
    for path in labels:
        content = json.loads(path.read_text())
        names = {image["id"]: image["file_name"] for image in content["images"]}
        for row in content["annotations"]:
            file = files.get(names[row["image_id"]])
            if file is None or row["iscrowd"] or row["num_keypoints"] < 5:
                continue
            points = np.array(row["keypoints"], np.float64).reshape(-1, 3)
            x, y, width, height = row["bbox"]
            box = np.array([x, y, x + width, y + height])
            found[row["id"]] = PersonFile(file, points[:, :2], (points[:, 2] > 0).astype(np.float32), box, row["area"])
    return list(found.values())


def body_oks(person: PersonFile, keypoints: npt.NDArray[np.float32]) -> float:
    seen = person.visible > 0
    off = ((keypoints[BODY] - person.keypoints) ** 2).sum(axis=1)
    oks = np.exp(-off / (2 * person.area * (2 * COCO_WHOLEBODY.sigmas[BODY]) ** 2))
    return float(oks[seen].mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("labels", type=Path, nargs="+")
    parser.add_argument("--models", nargs="+", default=["wholebody-133", "fast", "dwpose-t"])
    options = parser.parse_args()
    people = labelled(options.photos, options.labels)
    large = np.array([person.area > LARGE for person in people])
    table = Table("model", "all", "large", "smaller", "difference", box=None)
    rng, first = np.random.default_rng(0), None
    draws = rng.integers(len(people), size=(1000, len(people)))
    for model in options.models:
        estimate = TopDown(open_session(find(model, kind="pose"), "cpu", 1))
        figures = []
        for person in people:
            image = cv2.imread(str(person.file))
            figures.append(body_oks(person, estimate(np.asarray(image, np.uint8), person.box[None]).keypoints[0]))
        oks = np.array(figures)
        first = oks if first is None else first
        low, high = np.percentile((oks - first)[draws].mean(axis=1), [2.5, 97.5])
        change = f"{(oks - first).mean():+.3f} [{low:+.3f}, {high:+.3f}]" if oks is not first else ""
        parts = (oks, oks[large], oks[~large])
        table.add_row(str(model), *(f"{each.mean():.3f} ({len(each)})" for each in parts), change)
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
