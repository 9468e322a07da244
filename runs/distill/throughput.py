"""Images per second on one core: RTMPose-t at 256x192 in bf16, on labels alone and with a cached teacher.

    python runs/distill/throughput.py work/throughput SHARDS --thunder movenet_thunder_fp16.tflite

Both train on the same views, so that loading costs the same, and take turns within one run. Steps include loading,
averaging and logging. The first steps of each turn are left out. "live" runs the teacher at every step.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from wholebody.networks.checkpoints import save_pose
from wholebody.networks.rtmpose import simcc
from wholebody.train.build import build, build_lesson
from wholebody.train.config import DataSource, Distill, TrainConfig
from wholebody.train.data.crops import load_data
from wholebody.train.data.views import write_views
from wholebody.train.engine.batches import Batches
from wholebody.train.engine.parallel import keep_memory
from wholebody.train.engine.step import start, step
from wholebody.train.teachers import from_file

BATCH, VIEWS = 32, 256


def steps(config: TrainConfig) -> Iterator[None]:
    """The steps of a run, as `loop.fit` takes them, without its files."""
    data, _ = load_data(config, simcc(config.input_size))
    training = start(build_lesson(config, data), config.optim, config.batch, torch.bfloat16)
    batches = Batches(data, config.batch)
    for number in range(1_000_000):
        step(training, number, 1_000_000, [batches.read(number)])
        yield


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("shards")
    parser.add_argument("--thunder", required=True)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=4)
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_memory()
    options.out.mkdir(parents=True, exist_ok=True)
    teacher = options.out / "teacher.safetensors"
    sources = (DataSource("shards", options.shards),)
    thunder = TrainConfig("teacher", "thunder", sources, init=options.thunder)
    save_pose(build(thunder), teacher)
    codec = simcc((192, 256))
    if not (options.out / "views").exists():
        crops, _ = load_data(replace(thunder, batch=BATCH), codec)
        write_views(options.out / "views", crops.draw, VIEWS, BATCH, from_file(teacher, codec))
    views = (DataSource("views", str(options.out / "views")),)
    plain = TrainConfig("plain", "t", views, batch=BATCH)
    contestants = {
        "plain": plain,
        "cached teacher": replace(plain, distill=Distill()),
        "live teacher": replace(plain, sources=sources, distill=Distill(teachers=(str(teacher),))),
        "plain, fresh crops": replace(plain, sources=sources),
    }
    runs = {name: steps(config) for name, config in contestants.items()}
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for _ in range(options.rounds):
        for name, run in runs.items():
            next(run)
            wall, processor = time.perf_counter(), time.process_time()
            for _ in range(options.steps):
                next(run)
            seconds[name].append((time.perf_counter() - wall, time.process_time() - processor))
    print("| run | images/s of the clock | images/s of the processor | of plain |\n|---|---|---|---|")
    images = BATCH * options.steps
    base = np.median([p for _, p in seconds["plain"]])
    for name, rounds in seconds.items():
        clock, processor = (float(np.median(column)) for column in zip(*rounds, strict=True))
        print(f"| {name} | {images / clock:.1f} | {images / processor:.1f} | {base / processor:.2f} |")


if __name__ == "__main__":
    main()
