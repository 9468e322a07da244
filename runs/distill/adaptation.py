"""Measure label-free adaptation: a student is adapted to the first part of a clip and tested on the last part.

    python runs/distill/adaptation.py CLIP --teacher T.safetensors --student S.safetensors --out work/adapted

There is a gap between the two parts, so that no test frame resembles a training frame. On the people of the second part
(the bundled detector's boxes), the student's keypoints before and after are compared with the teacher's: mean OKS by
part, with intervals of the differences (people resampled). Agreement is not truth, but it is what adaptation promises.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from wholebody import video
from wholebody.geometry import Crop, oks
from wholebody.networks.checkpoints import load_pose
from wholebody.schema import COCO_WHOLEBODY
from wholebody.train.adapt import Footage, adapt, find_people
from wholebody.train.data.people import read_coco_wholebody
from wholebody.train.measure import interval
from wholebody.train.validate import predict

FIRST, LAST = 0.6, 0.7
PARTS = {**COCO_WHOLEBODY.parts, "all": slice(0, 133)}
# Points that the teacher itself hardly sees say nothing of the student.
SURE = 0.3


def cut(clip: Path, out: Path) -> tuple[Path, Path]:
    """The parts of a clip before and after the gap."""
    end = video.info(clip).duration or max(frame.time for frame in video.read(clip))
    parts = out / "first.mp4", out / "last.mp4"
    for path, start, stop in ((parts[0], 0.0, FIRST * end), (parts[1], LAST * end, end + 1)):
        if not path.exists():
            video.write(path, video.read(clip, start=start, end=stop), 25)
    return parts


def seen(network, people) -> np.ndarray:
    """(N, K) scores of a network for people, in their boxes."""
    scores = []
    for person in people:
        sample = person.load()
        crop = Crop.from_box(sample.box, network.codec.input_size)
        with torch.no_grad():
            x, y = network(network.normalise(torch.from_numpy(crop.cut(sample.pixels())[None])))
        scores.append(network.codec.decode(x.numpy(), y.numpy())[1][0])
    return np.array(scores)


def agreement(people, mine, theirs, scores) -> dict[str, np.ndarray]:
    """OKS of each part with the teacher's keypoints, in per cent; NaN where the teacher saw fewer than three points."""
    figures = {}
    for part, rows in PARTS.items():
        values = []
        for person, own, taught, score in zip(people, mine, theirs, scores, strict=True):
            sure = (score[rows] > SURE).astype(float)
            area = np.array([person.area])
            one = oks(own[None, rows], taught[None, rows], sure[None], area, COCO_WHOLEBODY.sigmas[rows])[0, 0]
            values.append(100 * one if sure.sum() >= 3 else np.nan)
        figures[part] = np.array(values)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--teacher", required=True)
    parser.add_argument("--student", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--every", type=int, default=3)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    first, last = cut(options.clip, options.out)
    adapt(
        Footage((first,), every=options.every),
        (options.teacher,),
        options.student,
        options.out / "run",
        options.steps,
        32,
        5e-4,
        options.precision,
    )
    held_out = options.out / "held_out"
    if not (held_out / "labels.json").exists():
        find_people(Footage((last,), every=options.every), held_out)
    people = read_coco_wholebody(held_out / "labels.json", held_out)
    teacher = load_pose(options.teacher)
    theirs, scores = predict(teacher, people), seen(teacher, people)
    figures = {
        name: agreement(people, predict(load_pose(path), people), theirs, scores)
        for name, path in (("before", options.student), ("after", options.out / "run" / "model.safetensors"))
    }
    print(f"{options.clip.name}: {len(people)} people of the last part\n")
    print("| part | before | after | difference |\n|---|---|---|---|")
    for part in PARTS:
        there = ~np.isnan(figures["before"][part])
        before, after = (figures[name][part][there][None] for name in ("before", "after"))
        if before.size:
            mean, low, high = interval(after - before)
            print(f"| {part} | {before.mean():.1f} | {after.mean():.1f} | {mean:+.1f} [{low:+.1f}, {high:+.1f}] |")


if __name__ == "__main__":
    main()
