"""Crops a second that the loader alone prepares, with the published augmentation.

python runs/gpu/loader.py SHARDS WORKERS
"""

import sys
import time
from itertools import islice

from wholebody.networks.rtmpose import simcc
from wholebody.train.config import DataSource, TrainConfig
from wholebody.train.data.crops import load_data
from wholebody.train.engine.batches import Batches


def main() -> None:
    config = TrainConfig("loader", "t", (DataSource("shards", sys.argv[1]),), batch=64)
    data, _ = load_data(config, simcc(config.input_size))
    stream = Batches(data, config.batch).stream(0, 10_000, int(sys.argv[2]), pin_memory=False)
    next(stream)
    started = time.perf_counter()
    count = sum(len(batch.images) for batch in islice(stream, 40))
    print(f"{count / (time.perf_counter() - started):.0f} crops/s by {sys.argv[2]} workers")


if __name__ == "__main__":
    main()
