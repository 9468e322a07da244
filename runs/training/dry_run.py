"""The published recipe's data at full size, without the data: how long a start takes, and how much memory.

    python runs/training/dry_run.py make work/dry --coco 150000 --ubody 1100000
    python -m torch.distributed.run --standalone --nproc-per-node 2 runs/training/dry_run.py measure work/dry

`make` writes annotations in the layouts of COCO-WholeBody and UBody with made-up people, and links a few pictures under
all the names. `measure` is what each process of a training does before its first step and for the batches of the first
hundred: run it twice, the second time from the cache. `train` takes those steps, with RTMPose-t at 128x96.
"""

import argparse
import json
import os
import shutil
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch.distributed as dist

from wholebody.data.ubody import UBODY_SCENES
from wholebody.networks.rtmpose import simcc
from wholebody.train.config import DataSource, TrainConfig
from wholebody.train.data.crops import load_data
from wholebody.train.engine.batches import Batches
from wholebody.train.engine.parallel import this_process
from wholebody.train.loop import fit
from wholebody.train.recipes import labelled

FIELDS = {"keypoints": 17, "foot_kpts": 6, "face_kpts": 68, "lefthand_kpts": 21, "righthand_kpts": 21}
FRAMES = 1000  # of a video


def person(rng: np.random.Generator, size: tuple[int, int]) -> str:
    """The fields of somebody in a picture of a size (w, h), without ids."""
    corner, extent = rng.integers((0, 0), (300, 150)), rng.integers((80, 120), (300, 320))
    (x, y), (w, h) = (np.rint(each * size / (640, 480)).astype(int) for each in (corner, extent))
    row: dict[str, object] = {"category_id": 1, "iscrowd": 0, "bbox": [int(x), int(y), int(w), int(h)]}
    row["area"] = float(0.6 * w * h)
    for name, count in FIELDS.items():
        points = np.column_stack([x + w * rng.random(count), y + h * rng.random(count), rng.integers(0, 3, count)])
        row[name] = points.round(1).ravel().tolist()
    return json.dumps(row)[1:]


def write(path: Path, names: list[str], people: int, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    bodies = [person(rng, size) for _ in range(200)]
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
        cv2.imwrite(str(pictures[-1]), cv2.resize(rough, options.size, interpolation=cv2.INTER_CUBIC))
    names = [f"{n:012d}.jpg" for n in range(max(1, options.coco // 2))]
    write(folder / "coco.json", names, options.coco, options.size)
    link(pictures, folder / "train2017", names)
    share = options.ubody // len(UBODY_SCENES)
    for scene in UBODY_SCENES:
        frames = [f"/{scene}_{n // FRAMES}_Trim1/{n % FRAMES + 1:06d}.png" for n in range(share)]
        write(folder / "UBody/annotations" / scene / "keypoint_annotation.json", frames, share, options.size)
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


def recipe(options: argparse.Namespace, world: int) -> TrainConfig:
    """A small network on labels alone, with the sets and the augmentation of the published recipe."""
    folder: Path = options.folder
    sources = (
        DataSource("coco", str(folder / "coco.json"), str(folder / "train2017")),
        DataSource("ubody", str(folder / "UBody"), every=10),
    )
    small = replace(labelled("t"), input_size=(96, 128), init="", epochs=0, steps=options.steps, validation=())
    return replace(small, sources=sources, batch=options.batch * world, workers=1)


class Peak(threading.Thread):
    """The most memory that this process and its largest child had."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.own = self.shared = 0.0
        self.child = (0.0, 0.0)

    def run(self) -> None:
        while True:
            with suppress(OSError):  # a child that ends meanwhile
                own, shared = memory(os.getpid())
                self.own, self.shared = max(self.own, own), max(self.shared, shared)
                self.child = max([self.child, *map(memory, descendants(os.getpid()))])
            time.sleep(0.5)


def descendants(pid: int) -> list[int]:
    """The processes that a process started, and theirs."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            found += [child, *descendants(child)]
    return found


def measure(options: argparse.Namespace) -> None:
    """What a training does before its first step, and its data for the first steps."""
    dist.init_process_group("gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    before, started = memory(os.getpid())[0], time.perf_counter()
    config = recipe(options, world)
    data, steps = load_data(config, simcc(config.input_size))
    dist.barrier()
    ready = time.perf_counter() - started
    peak = Peak()
    stream = Batches(data, config.batch, 1, rank, world).stream(0, steps, 1, pin_memory=False)
    next(stream)
    first = time.perf_counter() - started
    peak.start()
    for _ in stream:
        time.sleep(0.01)
    more = time.perf_counter() - started - first
    row = f"| {rank} | {sum(len(each) for each, _ in data.mixture.sets):,} | {ready:.1f} | {first:.1f} | {more:.1f} | "
    row += f"{peak.own - before:.0f} | {peak.shared:.0f} | {peak.child[0]:.0f} | {peak.child[1]:.0f} |"
    head = f"rank | people | data read, s | first batch, s | {steps - 1} more, s"
    tell(f"| {head} | MB own | shared | worker own | shared |", row)
    dist.destroy_process_group()


def train(options: argparse.Namespace) -> None:
    """The first steps themselves."""
    peak, started = Peak(), time.time()
    peak.start()
    process = this_process()
    config, out = recipe(options, process.world), options.folder / "run"
    if process.first:
        shutil.rmtree(out, ignore_errors=True)
    process.wait()
    fit(config, out)
    steps = len((out / "metrics.jsonl").read_text().splitlines())
    begun = (out / "first_batch.jpg").stat().st_mtime
    row = f"| {process.rank} | {begun - started:.1f} | {steps} | {(time.time() - begun) / steps:.2f} | "
    row += f"{peak.own:.0f} | {peak.shared:.0f} | {peak.child[0]:.0f} | {peak.child[1]:.0f} |"
    tell("| rank | first batch, s | steps | s a step | MB own | shared | worker own | shared |", row)


def tell(head: str, row: str) -> None:
    """Print the rows of all processes as a table."""
    rows: list[str] = [""] * dist.get_world_size()
    dist.all_gather_object(rows, row)
    if dist.get_rank() == 0:
        print(head, "|---" * (head.count("|") - 1) + "|", *rows, sep="\n")
    dist.barrier()


DOES = {"make": make, "measure": measure, "train": train}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=DOES)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--coco", type=int, default=150_000)
    parser.add_argument("--ubody", type=int, default=1_100_000)
    parser.add_argument("--size", type=int, nargs=2, default=(640, 480), help="width and height of the pictures")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--batch", type=int, default=16, help="crops of a process and step")
    options = parser.parse_args()
    DOES[options.what](options)


if __name__ == "__main__":
    main()
