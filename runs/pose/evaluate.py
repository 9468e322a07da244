"""The figures of the pose model's card: mean OKS by part on people never trained on.

    python runs/pose/evaluate.py ../shared/real work/synth/held_out [--thunder THUNDER.tflite] [MODEL.onnx ...]

With given boxes and no flip test. "COCO" are the held-out photos with COCO's body labels (at least five points).
"teachers" compares with the pseudo-labels of the held-out photos: agreement with MediaPipe, not truth. "synthetic" are
rendered people with exact labels, and with other bodies and backgrounds than in training.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from wholebody.evaluate.oks import part_oks
from wholebody.pose.topdown import TopDown
from wholebody.runtime.choose import open_session
from wholebody.train.data.held_out import held_out_people
from wholebody.train.data.people import PersonFile
from wholebody.weights.lookup import find

PARTS = ("body", "feet", "face", "left_hand", "right_hand", "all")


def thunder(path: str, people: Sequence[PersonFile], images: Sequence[np.ndarray]) -> list[np.ndarray]:
    """MoveNet Thunder as released: its 17 points, the other 116 put at its nose (they are not scored)."""
    from ai_edge_litert.interpreter import Interpreter

    network = Interpreter(path, num_threads=1)
    network.allocate_tensors()
    taken, given = network.get_input_details()[0]["index"], network.get_output_details()[0]["index"]
    found = []
    for person, image in zip(people, images, strict=True):
        center, side = (person.box[:2] + person.box[2:]) / 2, 1.25 * (person.box[2:] - person.box[:2]).max()
        matrix = np.array(
            [[256 / side, 0, 128 - center[0] * 256 / side], [0, 256 / side, 128 - center[1] * 256 / side]]
        )
        crop = cv2.cvtColor(cv2.warpAffine(image, matrix, (256, 256)), cv2.COLOR_BGR2RGB)
        network.set_tensor(taken, crop[None].astype(np.int32))
        network.invoke()
        points = network.get_tensor(given)[0, 0, :, 1::-1] * 256
        points = (points - 128) * side / 256 + center
        found.append(np.concatenate([points, np.repeat(points[:1], 116, axis=0)]))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pool", type=Path)
    parser.add_argument("synthetic", type=Path)
    parser.add_argument("models", nargs="*", default=["wholebody-133"])
    parser.add_argument("--thunder")
    options = parser.parse_args()
    sets = held_out_people(options.pool, options.synthetic)
    table = Table("model", "people", *PARTS, box=None)
    for name, pairs in sets.items():
        people, images = zip(*pairs, strict=True)
        for model in options.models:
            estimate = TopDown(open_session(find(model, kind="pose"), "cpu", 1))
            found = [
                estimate(image, person.box[None]).keypoints[0] for person, image in zip(people, images, strict=True)
            ]
            row(table, str(model), name, part_oks(people, found))
        if options.thunder:
            found = thunder(options.thunder, people, images)
            row(
                table,
                "Thunder as released",
                name,
                {"body": part_oks(people, found)["body"], "body_people": len(people)},
            )
    Console(width=140).print(table)


def row(table: Table, model: str, name: str, figures: dict[str, float]) -> None:
    cells = [f"{figures[part]:.3f} ({figures[f'{part}_people']})" if part in figures else "" for part in PARTS]
    table.add_row(model, name, *cells)


if __name__ == "__main__":
    main()
