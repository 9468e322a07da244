"""Crops a second and core with the full published augmentation, before and after, in one run.

    git worktree add ../before 5054a12
    python runs/training/loader.py ../before/src work/dry/coco.json work/dry/train2017

Two processes of one thread, one with each version of the package, take turns; a turn is a batch of 64. Only processor
time counts, so that other work on the machine disturbs both alike. `after` makes points, and the labels are drawn on
the device; `after + labels` draws them too, on this processor. `decoding alone` reads and decodes the same pictures,
at the sizes that `after` does, and nothing else.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

BATCH, KINDS = 64, ("before", "after", "after + labels", "decoding alone")


def work(annotations: str, images: str, kind: str) -> None:
    """Answer each line on standard input with the processor seconds of a batch."""
    import cv2
    import torch

    from wholebody.networks.rtmpose import simcc
    from wholebody.train import config as module
    from wholebody.train.data.crops import load_data

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    if kind != KINDS[0]:
        from wholebody.train.engine.parallel import keep_memory

        keep_memory()  # as in the worker processes of a training
    source = getattr(module, "DataSource", None) or module.Source
    codec = simcc((192, 256))
    config = module.TrainConfig("loader", "t", (source("coco", annotations, images),), batch=BATCH, steps=10_000)
    data, _ = load_data(config, codec)
    decoding = [0.0]
    if kind == KINDS[3]:
        from wholebody.train.data.people import Encoded

        decode = Encoded.decode

        def timed(picture: Encoded, parts: int = 1) -> Any:
            started = time.process_time()
            decoded = decode(picture, parts)
            decoding[0] += time.process_time() - started
            return decoded

        Encoded.decode = timed
    for number, _ in enumerate(sys.stdin):
        started, decoding[0] = time.process_time(), 0.0
        batch = data.draw(range(number * BATCH, (number + 1) * BATCH))
        if kind == KINDS[2]:
            from wholebody.train.targets import drawn

            drawn(batch.keypoints, codec)
        print(decoding[0] or time.process_time() - started, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", help="the src folder of the older version")
    parser.add_argument("annotations")
    parser.add_argument("images")
    parser.add_argument("--turns", type=int, default=8)
    parser.add_argument("--work", choices=KINDS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        return work(options.annotations, options.images, options.work)
    here = str(Path(__file__).parents[2] / "src")
    workers = {}
    for kind in KINDS:
        environment = {**os.environ, "PYTHONPATH": options.before if kind == KINDS[0] else here, "OMP_NUM_THREADS": "1"}
        words = [sys.executable, __file__, options.before, options.annotations, options.images, "--work", kind]
        workers[kind] = subprocess.Popen(
            words, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
    seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for turn in range(options.turns + 1):
        for kind, process in workers.items():
            assert process.stdin and process.stdout
            process.stdin.write("\n")
            seconds[kind].append(float(process.stdout.readline()))
            if turn == 0:
                seconds[kind].clear()
    for process in workers.values():
        process.communicate()
    base = BATCH / float(np.median(seconds[KINDS[0]]))
    print("| | crops/s and core | of before |\n|---|---|---|")
    for kind in KINDS:
        rate = BATCH / float(np.median(seconds[kind]))
        print(f"| {kind} | {rate:.0f} | {rate / base:.2f} |")
    print(json.dumps({kind: [round(each, 3) for each in row] for kind, row in seconds.items()}))


if __name__ == "__main__":
    main()
