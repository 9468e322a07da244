"""Write views: crops of a recipe's data, with a teacher's output.

    python runs/distill/views.py RECIPE OUT --teacher FILE [--count 10000] [--size W H] [--trains] [--data ...]
        [--augment rotation=20 cutout=0 scale=0.8,1.25]
    python runs/distill/views.py student-t OUT --teacher FILE --size 192 256 --people work/packed/*.npz

RECIPE is a single run, or a distillation, of which the first stage is used. With `--trains` the teacher is in training
mode, batch by batch, as in the released distiller by mistake. `--augment` changes strengths of the recipe
(`wholebody.train.config.Augment`): a short run learns more from ordinary crops, on which its teacher is right.
`--people` takes packed people (runs/gpu/people.py) and their changes instead of the recipe's.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress

from wholebody.networks.rtmpose import simcc
from wholebody.train.config import parse_source
from wholebody.train.data.crops import load_data, part_factors
from wholebody.train.data.packed import PackedPeople
from wholebody.train.data.views import write_views
from wholebody.train.engine.parallel import keep_memory
from wholebody.train.lesson import Batch
from wholebody.train.recipes import DISTILLATIONS, RECIPES
from wholebody.train.released import in_train_mode
from wholebody.train.teachers import from_file


def strength(text: str) -> tuple[str, Any]:
    """A field of `Augment` and its value, from a text such as scale=0.8,1.25."""
    name, _, value = text.partition("=")
    numbers = tuple(map(float, value.split(",")))
    return name, numbers if name in ("scale", "late_scale") else numbers[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", choices=[*RECIPES, *DISTILLATIONS])
    parser.add_argument("out", type=Path)
    parser.add_argument("--teacher", required=True)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--trains", action="store_true")
    parser.add_argument("--size", type=int, nargs=2, default=(96, 128))
    parser.add_argument("--data", nargs="+", default=[])
    parser.add_argument("--people", nargs="+", type=Path, default=[])
    parser.add_argument("--augment", nargs="+", default=[], metavar="NAME=VALUE")
    parser.add_argument("--seed", type=int, default=77)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_memory()
    named = RECIPES[options.recipe]() if options.recipe in RECIPES else DISTILLATIONS[options.recipe]().first
    # The camera changes when views are read, as often as they are.
    plain = replace(named.augment, camera=0.0, **dict(map(strength, options.augment)))
    config = replace(named, input_size=tuple(options.size), batch=32, seed=options.seed, augment=plain)
    if options.data:
        config = replace(config, sources=tuple(map(parse_source, options.data)))
    codec = simcc(config.input_size)
    if options.people:
        torch.manual_seed(options.seed)
        people = PackedPeople.read(options.people, torch.device("cpu"), part_factors(config))

        def draw(numbers: range) -> Batch:
            return people.draw(len(numbers))
    else:
        draw = load_data(config, codec)[0].draw
    teacher = from_file(options.teacher, codec)
    teacher = in_train_mode(teacher) if options.trains else teacher
    half = torch.autocast("cpu", dtype=torch.bfloat16, enabled=options.precision == "bf16")
    with Progress() as bar, half:
        task = bar.add_task("views", total=options.count)
        write_views(
            options.out, draw, options.count, config.batch, teacher, lambda done: bar.update(task, completed=done)
        )


if __name__ == "__main__":
    main()
