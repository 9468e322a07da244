"""The loop, whatever is trained: steps, figures, states, from the last one on where a stopped run left some.

Saved are `model.safetensors` (the averaged weights), `recipe.json`, `metrics.jsonl`, TensorBoard's events, the first
batch as a picture, and `state.pt` (weights, average, optimizer, step) from which a run resumes; every file lands whole
or not at all.
"""

import dataclasses
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from wholebody.choices import TrainPrecision
from wholebody.errors import WholebodyError
from wholebody.files import replacing
from wholebody.train.config import Optim
from wholebody.train.engine import state
from wholebody.train.engine.batches import Batches, Draws
from wholebody.train.engine.log import figures
from wholebody.train.engine.parallel import Process
from wholebody.train.engine.step import Training, start, step


class Recipe(Protocol):
    """What the loop reads of a recipe, a frozen dataclass; `wholebody.train.config.TrainConfig` says what each is."""

    @property
    def name(self) -> str: ...
    @property
    def network(self) -> str: ...
    @property
    def optim(self) -> Optim: ...
    @property
    def batch(self) -> int: ...
    @property
    def accumulate(self) -> int: ...
    @property
    def precision(self) -> TrainPrecision: ...
    @property
    def shared_norms(self) -> bool: ...
    @property
    def workers(self) -> int: ...
    @property
    def checkpoint_minutes(self) -> float: ...
    @property
    def validate(self) -> int: ...


@dataclass(frozen=True, eq=False)
class TrainingJob:
    """A training.

    Attributes:
        recipe: how.
        lesson: what the steps follow; its `network` is what is wanted.
        data: what they draw.
        steps: how many.
        save: writes a network to a path.
        picture: writes a batch to a path, for a human to look at.
        measure: figures of a network on people never trained on; None: nobody is kept back.
        encoder: the part with a learning rate of its own, as `parameter_groups` takes it.
    """

    recipe: Recipe
    lesson: nn.Module
    data: Draws
    steps: int
    save: Callable[[Any, Path], None]
    picture: Callable[[Path, Any], None]
    measure: Callable[[Any], Mapping[str, float]] | None = None
    encoder: nn.Module | None = None


def check_shares(recipe: Recipe, process: Process) -> int:
    """How many of a batch one process computes at a time.

    Raises:
        WholebodyError: the batch cannot be shared so.
    """
    parts = process.world * recipe.accumulate
    if recipe.batch % parts:
        raise WholebodyError(f"a batch of {recipe.batch} cannot be shared by {parts} parts. Choose a multiple.")
    return recipe.batch // parts


def run(job: TrainingJob, folder: Path, process: Process) -> nn.Module:
    """Train to the end, from the last state in `folder` if there is one.

    Returns:
        the network with the averaged weights.

    Raises:
        WholebodyError: the loss is not finite, data cannot be read, the disk is full, or the state in `folder` belongs
            to another recipe. The last good state stays.
    """
    recipe, steps = job.recipe, job.steps
    check_shares(recipe, process)
    folder.mkdir(parents=True, exist_ok=True)
    bf16 = recipe.precision == "bf16"
    training = start(job.lesson, recipe.optim, recipe.batch, bf16, process, recipe.shared_norms, job.encoder)
    first = resume(folder / "state.pt", recipe, training)
    batches = Batches(job.data, recipe.batch, recipe.accumulate, process.rank, process.world)
    if process.first and first == 0:
        with replacing(folder / "recipe.json") as path:
            path.write_text(json.dumps(dataclasses.asdict(recipe), indent=1))  # type: ignore[call-overload]
        job.picture(folder / "first_batch.jpg", batches.read(0))
    parts = batches.stream(first, steps, recipe.workers, process.device.type == "cuda")
    saved = started = time.monotonic()
    with figures(folder, recipe.name, first, steps, process) as note:
        for number in range(first, steps):
            row = step(training, number, steps, islice(parts, recipe.accumulate), recipe.accumulate)
            speed = round((number - first + 1) * recipe.batch / (time.monotonic() - started), 2)
            note({"step": number, **row, "images_per_second": speed})
            last = number + 1 == steps
            if not process.first:
                continue
            if job.measure and (last or (number + 1) % recipe.validate == 0):
                note({"step": number, "validation": job.measure(training.ema)})
            if last or time.monotonic() - saved > recipe.checkpoint_minutes * 60:
                save_state(folder / "state.pt", recipe, number + 1, training)
                job.save(training.ema, folder / "model.safetensors")
                saved = time.monotonic()
    # Whoever resumes from here may read what the first has written.
    process.wait()
    return training.ema.eval()


def save_state(path: Path, recipe: Recipe, step: int, training: Training) -> None:
    """Everything a run needs to continue."""
    state.save(
        path,
        {
            "recipe": json.dumps(dataclasses.asdict(recipe)),  # type: ignore[call-overload]
            "step": step,
            "trained": training.lesson.state_dict(),
            "ema": training.ema.state_dict(),
            "optimizer": training.optimizer.state_dict(),
        },
    )


def resume(path: Path, recipe: Recipe, training: Training) -> int:
    """Load a state if there is one; the step to continue with."""
    found = state.load(path)
    if found is None:
        return 0
    before = json.loads(found["recipe"])
    if (before["name"], before["network"]) != (recipe.name, recipe.network):
        raise WholebodyError(
            f"{path}: belongs to recipe {before['name']} and network {before['network']}. "
            "Choose another --out or remove the folder."
        )
    training.lesson.load_state_dict(found["trained"])
    training.ema.load_state_dict(found["ema"])
    training.optimizer.load_state_dict(found["optimizer"])
    return int(found["step"])
