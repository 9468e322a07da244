"""Pack all people of some data sets for a training on a graphics card (train.py).

    python runs/gpu/people.py OUT --data pseudo:work/labels/coco.json:work/people/photos=.4 shards:work/synth/train=.6

OUT gets files of about `--megabytes`, which can be sent one by one; each has people of all sources. 31,000 people take
200 MB and five minutes on one core.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from wholebody.console import say
from wholebody.errors import WholebodyError
from wholebody.train.config import TrainConfig, parse_source
from wholebody.train.data.crops import load_mixture
from wholebody.train.data.packed import Packed, pack, write_packed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", nargs="+", required=True)
    parser.add_argument("--megabytes", type=float, default=50.0)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    if list(options.out.glob("*.npz")):
        raise SystemExit(f"{options.out}: has packed people already. Name another folder.")
    config = TrainConfig("packed", "t", tuple(map(parse_source, options.data)))
    wanted = [
        (people, n, share / len(people) or 1.0)
        for people, share in load_mixture(config).sets
        for n in range(len(people))
    ]
    packed, size, number = list[Packed](), 0, 0
    for at, which in enumerate(np.random.default_rng(0).permutation(len(wanted))):
        people, n, chance = wanted[which]
        try:
            packed.append(pack(people[n], chance))
            size += sum(column.nbytes for column in packed[-1][:4])
        except WholebodyError as error:
            say(f"{error} Left out.")
        if packed and (size > options.megabytes * 1e6 or at + 1 == len(wanted)):
            write_packed(options.out / f"{number:02}.npz", packed)
            say(f"{options.out / f'{number:02}.npz'}: {len(packed)} people")
            packed, size, number = [], 0, number + 1


if __name__ == "__main__":
    main()
