"""The published recipe's data at full size, without the data: how long a start takes, and how much memory.

    python runs/training/dry_run.py make work/dry --coco 150000 --ubody 1100000
    python -m torch.distributed.run --standalone --nproc-per-node 2 runs/training/dry_run.py measure work/dry

`make` writes annotations in the layouts of COCO-WholeBody and UBody with made-up people, and links a few pictures under
all the names. `measure` is what each process of a training does before its first step and for the batches of the first
hundred: run it twice, the second time from the cache.
"""

import argparse
import json
import os
import time
from dataclasses import replace
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch.distributed as dist

from wholebody.data.ubody import UBODY_SCENES
from wholebody.networks.rtmpose import simcc
from wholebody.train.config import DataSource
from wholebody.train.data.crops import load_data
from wholebody.train.engine.batches import Batches
from wholebody.train.recipes import published

FIELDS = {"keypoints": 17, "foot_kpts": 6, "face_kpts": 68, "lefthand_kpts": 21, "righthand_kpts": 21}
FRAMES = 1000  # of a video


def person(rng: np.random.Generator) -> str:
    """The fields of somebody, without ids."""
    x, y = rng.integers(0, 300), rng.integers(0, 150)
    w, h = rng.integers(80, 300), rng.integers(120, 320)
    row: dict[str, object] = {"category_id": 1, "iscrowd": 0, "bbox": [int(x), int(y), int(w), int(h)]}
    row["area"] = float(0.6 * w * h)
    for name, count in FIELDS.items():
        points = np.column_stack([x + w * rng.random(count), y + h * rng.random(count), rng.integers(0, 3, count)])
        row[name] = points.round(1).ravel().tolist()
    return json.dumps(row)[1:]


def write(path: Path, names: list[str], people: int) -> None:
    rng = np.random.default_rng(0)
    bodies = [person(rng) for _ in range(200)]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        file.write('{"images": [')
        file.write(",".join(json.dumps({"id": i, "file_name": name}) for i, name in enumerate(names, 1)))
        file.write('], "annotations": [')
        for n in range(people):
            file.write(f'{"," * (n > 0)}{{"id": {n + 1}, "image_id": {n % len(names) + 1}, {bodies[n % len(bodies)]}')
        file.write('], "categories": [{"id": 1, "name": "person"}]}')


def link(sources: list[Path], folder: Path, names: list[str]) -> None:
    for n, name in enumerate(names):
        target = folder / name.lstrip("/")
        if n == 0 or not target.parent.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
        os.link(sources[n % len(sources)], target)


def make(options: argparse.Namespace) -> None:
    folder, rng = options.folder, np.random.default_rng(1)
    folder.mkdir(parents=True, exist_ok=True)
    pictures = []
    for n in range(8):
        pictures.append(folder / f"picture{n}.jpg")
        rough = rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)
        cv2.imwrite(str(pictures[-1]), cv2.resize(rough, (640, 480), interpolation=cv2.INTER_CUBIC))
    names = [f"{n:012d}.jpg" for n in range(max(1, options.coco // 2))]
    write(folder / "coco.json", names, options.coco)
    link(pictures, folder / "train2017", names)
    share = options.ubody // len(UBODY_SCENES)
    for scene in UBODY_SCENES:
        frames = [f"/{scene}_{n // FRAMES}_Trim1/{n % FRAMES + 1:06d}.png" for n in range(share)]
        write(folder / "UBody/annotations" / scene / "keypoint_annotation.json", frames, share)
        tenth = [frame.replace(".png", ".jpg") for frame in frames if (int(frame[-10:-4]) - 1) % 10 == 0]
        link(pictures, folder / "UBody/images" / scene, tenth)
    (folder / "UBody/splits").mkdir()
    np.save(folder / "UBody/splits/intra_scene_test_list.npy", np.array(["none"]))


def memory(pid: int) -> tuple[float, float]:
    """MB that are a process's own, and MB of files that the system holds once for all who map them."""
    lines = (line.split() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    kilobytes = {words[0].rstrip(":"): int(words[1]) for words in lines}
    own = kilobytes["Private_Dirty"]
    return own / 1024, (kilobytes["Rss"] - own) / 1024


def measure(options: argparse.Namespace) -> None:
    dist.init_process_group("gloo")
    rank, world, folder = dist.get_rank(), dist.get_world_size(), options.folder
    before, started = memory(os.getpid())[0], time.perf_counter()
    sources = (
        DataSource("coco", str(folder / "coco.json"), str(folder / "train2017")),
        DataSource("ubody", str(folder / "UBody"), every=10),
    )
    config = replace(published("m", "l").first, sources=sources, batch=options.batch * world)
    data, steps = load_data(config, simcc(config.input_size))
    dist.barrier()
    ready = time.perf_counter() - started
    stream = Batches(data, config.batch, 1, rank, world).stream(0, steps, 1, pin_memory=False)
    next(stream)
    first = time.perf_counter() - started
    for _ in islice(stream, 99):
        pass
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    deeper = [c for child in children for c in Path(f"/proc/{child}/task/{child}/children").read_text().split()]
    largest = max((memory(int(pid)) for pid in (*children, *deeper)), default=(0.0, 0.0))
    own, shared = memory(os.getpid())
    hundred = time.perf_counter() - started - first
    told = [None] * world
    line = (
        f"| {rank} | {sum(len(each) for each, _ in data.mixture.sets):,} | {ready:.1f} | {first:.1f} | {hundred:.1f} | "
        f"{own - before:.0f} | {shared:.0f} | {largest[0]:.0f} | {largest[1]:.0f} |"
    )
    dist.all_gather_object(told, line)
    if rank == 0:
        print("| rank | people | data read, s | first batch, s | 99 more, s | MB own | shared | worker own | shared |")
        print("|---|---|---|---|---|---|---|---|---|", *told, sep="\n")
    dist.barrier()
    dist.destroy_process_group()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("make", "measure"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--coco", type=int, default=150_000)
    parser.add_argument("--ubody", type=int, default=1_100_000)
    parser.add_argument("--batch", type=int, default=16, help="crops of a process and step")
    options = parser.parse_args()
    (make if options.what == "make" else measure)(options)


if __name__ == "__main__":
    main()
