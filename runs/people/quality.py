"""The quality of labels by agreement: body points of held-out people compared with COCO's labels, with given boxes.

    python runs/people/quality.py POOL --estimators wholebody-133 movenet_thunder_fp16.tflite [--turns]

POOL is the folder of photos that runs/pose/evaluate.py measures on. A point is found at an OKS of 0.5 or more.
"""

import argparse
from pathlib import Path

import numpy as np

from wholebody.evaluate.oks import part_oks
from wholebody.label.run import Labeller
from wholebody.schema import COCO_WHOLEBODY
from wholebody.train.data.held_out import held_out_coco


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pool", type=Path)
    parser.add_argument("--estimators", nargs="+", default=["wholebody-133"])
    parser.add_argument("--turns", action="store_true")
    options = parser.parse_args()
    labeller = Labeller.of(estimators=options.estimators, turns=options.turns, device="cpu", threads=1)
    people = held_out_coco(options.pool)
    opinions = [labeller.look(person.load().image, person.box[None]) for person in people]
    found = [opinion.keypoints[0].astype(np.float32) for opinion in opinions]
    print(f"body {part_oks(people, found)['body']:.3f} ({len(people)})")
    body = COCO_WHOLEBODY.parts["body"]
    scores = np.array([opinion.scores[0, body] for opinion in opinions])
    away = np.array([((f[body] - p.keypoints[body]) ** 2).sum(axis=1) for f, p in zip(found, people, strict=True)])
    areas = np.array([person.area for person in people])[:, None]
    near = np.exp(-away / (2 * (2 * COCO_WHOLEBODY.sigmas[body]) ** 2 * areas)) >= 0.5
    labelled = np.array([person.visible[body] > 0 for person in people])
    for low in (0.0, 0.2, 0.4, 0.6, 0.8):
        rows = labelled & (scores >= low) & (scores < low + 0.2)
        if rows.any():
            print(f"{low:.1f}: {rows.sum() / labelled.sum():.2f} of points, {near[rows].mean():.2f} found")


if __name__ == "__main__":
    main()
