"""The training loop for any network: steps, logs and states; it resumes from the last state of a stopped run.

It saves `model.safetensors` (the averaged weights), `best.safetensors` (those of the best validation), `recipe.json`,
`metrics.jsonl`, TensorBoard events, the first batch as a picture, and `state.pt` (weights, average, optimizer, step),
from which a run resumes. Every file is written atomically.
"""

import dataclasses
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from wholebody.choices import Changes, TrainPrecision
from wholebody.errors import WholebodyError
from wholebody.files import replacing
from wholebody.reading import parse_json, reading
from wholebody.train.config import Optim
from wholebody.train.engine import state
from wholebody.train.engine.batches import Batches, Draws
from wholebody.train.engine.log import figures
from wholebody.train.engine.parallel import Process
from wholebody.train.engine.precision import compute_type, quick_kernels
from wholebody.train.engine.step import Training, start, step


class Recipe(Protocol):
    """The fields of a recipe that the loop uses; `wholebody.train.config.TrainConfig` documents them."""

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
    def compile(self) -> bool: ...
    @property
    def tf32(self) -> bool: ...
    @property
    def checkpoint_minutes(self) -> float: ...
    @property
    def validate(self) -> int: ...


class Found(Protocol):
    """The result of a validation, such as `wholebody.train.validate.Measured`."""

    @property
    def score(self) -> float: ...
    @property
    def figures(self) -> Mapping[str, float]: ...


@dataclass(frozen=True, eq=False)
class TrainingJob:
    """A training.

    Attributes:
        recipe: the configuration.
        lesson: the objective; its `network` is the result.
        data: the data to sample from.
        steps: number of steps.
        save: writes a network to a path.
        picture: writes a batch to a path as a picture, for inspection.
        measure: validates a network on people never trained on, with all processes together; None for no validation.
        encoder: the part with its own learning rate, as for `parameter_groups`.
    """

    recipe: Recipe
    lesson: nn.Module
    data: Draws
    steps: int
    save: Callable[[Any, Path], None]
    picture: Callable[[Path, Any], None]
    measure: Callable[[Any, Process], Found | None] | None = None
    encoder: nn.Module | None = None


def check_shares(recipe: Recipe, process: Process) -> int:
    """The number of items that one process computes at a time.

    Raises:
        WholebodyError: the batch cannot be divided like this.
    """
    parts = process.world * recipe.accumulate
    if recipe.batch < 1 or recipe.batch % parts:
        raise WholebodyError(f"a batch of {recipe.batch} cannot be shared by {parts} parts. Choose a multiple.")
    return recipe.batch // parts


def run(job: TrainingJob, folder: Path, process: Process, changes: Changes = "refuse") -> nn.Module:
    """Train to the end, resuming from the last state in `folder` if there is one.

    Args:
        changes: what to do if that state belongs to a recipe or data that give other steps: "refuse" to continue, or
            continue and "record" in `changes.jsonl` what changed at which step.

    Returns:
        the network with the averaged weights.

    Raises:
        WholebodyError: the loss is not finite, data cannot be read, the disk is full, or the state in `folder` belongs
            to another recipe. The last good state is kept; an empty folder is removed.
    """
    with _no_empty(folder):
        return _run(job, folder, process, changes)


def _run(job: TrainingJob, folder: Path, process: Process, changes: Changes) -> nn.Module:
    recipe, steps = job.recipe, job.steps
    check_shares(recipe, process)
    if not 0 <= recipe.optim.lr < math.inf:
        raise WholebodyError(f"optim.lr is {recipe.optim.lr}. Give a number that is not negative.")
    if process.device.type == "cuda":
        quick_kernels(recipe.tf32)
    precision = compute_type(recipe.precision, process.device)
    training = start(
        job.lesson, recipe.optim, recipe.batch, precision, process, recipe.shared_norms, job.encoder, recipe.compile
    )
    known = _described(recipe, steps)
    first, best, before = resume(folder / "state.pt", recipe, training)
    if before and (differing := changed(before, known)):
        if changes == "refuse":
            told = "; ".join(
                f"other {name}" if isinstance(old, list) else f"{name} was {old}, is {new}"
                for name, (old, new) in differing.items()
            )
            raise WholebodyError(
                f"{folder}: the run was started with other settings: {told}. Restore them, use --changes record, "
                "or choose another --out."
            )
        if process.first:
            with (folder / "changes.jsonl").open("a") as file:
                file.write(json.dumps({"step": first, "changed": differing}) + "\n")
            _save_recipe(folder, recipe)
    batches = Batches(job.data, recipe.batch, recipe.accumulate, process.rank, process.world)
    if process.first and first == 0:
        shown = batches.read(0)
        folder.mkdir(parents=True, exist_ok=True)
        _save_recipe(folder, recipe)
        job.picture(folder / "first_batch.jpg", shown)
    parts = batches.stream(first, steps, recipe.workers, process.device.type == "cuda", _Unreadable())
    saved = started = time.monotonic()
    with figures(folder, recipe.name, first, steps, process) as note:
        for number in range(first, steps):
            row = step(training, number, steps, islice(parts, recipe.accumulate), recipe.accumulate)
            speed = round((number - first + 1) * recipe.batch / (time.monotonic() - started), 2)
            note({"step": number, **row, "images_per_second": speed})
            last = number + 1 == steps
            if job.measure and (last or (number + 1) % recipe.validate == 0):
                found = job.measure(training.ema, process)
                if found:
                    note({"step": number, "validation": dict(found.figures)})
                    if found.score > best:
                        best = found.score
                        job.save(training.ema, folder / "best.safetensors")
            if process.first and (last or time.monotonic() - saved > recipe.checkpoint_minutes * 60):
                save_state(folder / "state.pt", recipe, number + 1, training, steps, best)
                job.save(training.ema, folder / "model.safetensors")
                saved = time.monotonic()
    # Other processes may read what the first one has written.
    process.wait()
    return training.ema.eval()


class _Unreadable:
    """Reports each unreadable picture once, and that another person replaces it."""

    def __init__(self) -> None:
        self.told: set[str] = set()

    def __call__(self, line: str) -> None:
        if line not in self.told:
            self.told.add(line)
            print(f"{line} Another person was used instead.", file=sys.stderr)


@contextmanager
def _no_empty(folder: Path) -> Iterator[None]:
    """Remove folders that were created in vain."""
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        yield
    except BaseException:
        for each in made:
            with suppress(OSError):
                each.rmdir()
        raise


def _save_recipe(folder: Path, recipe: Recipe) -> None:
    with replacing(folder / "recipe.json") as path:
        path.write_text(json.dumps(dataclasses.asdict(recipe), indent=1))  # type: ignore[call-overload]


# Fields of a recipe that do not change the steps, except for rounding.
_HARMLESS = {"accumulate", "workers", "checkpoint_minutes", "validation", "validate", "compile", "tf32", "precision"}


def _described(recipe: Recipe, steps: int) -> dict[str, Any]:
    """The recipe as JSON, with the number of steps that follows from the data."""
    known: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(recipe)))  # type: ignore[call-overload]
    return {**known, "steps": steps}


def changed(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> dict[str, tuple[Any, Any]]:
    """Changed fields of a recipe that lead to other steps: name -> before and now."""
    found: dict[str, tuple[Any, Any]] = {}
    for name in [name for name in before if name in now and name not in _HARMLESS]:
        old, new = before[name], now[name]
        if isinstance(old, dict) and isinstance(new, dict):
            found |= changed(old, new, f"{prefix}{name}.")
        elif old != new:
            found[prefix + name] = (old, new)
    return found


def save_state(path: Path, recipe: Recipe, step: int, training: Training, steps: int, best: float) -> None:
    """Everything a run needs to resume."""
    state.save(
        path,
        {
            "recipe": json.dumps(_described(recipe, steps)),
            "step": step,
            "best": best,
            "trained": training.lesson.state_dict(),
            "ema": training.ema.state_dict(),
            "optimizer": training.optimizer.state_dict(),
            "scaler": training.scaler.state_dict(),
        },
    )


def resume(path: Path, recipe: Recipe, training: Training) -> tuple[int, float, dict[str, Any]]:
    """Load a state if there is one.

    Returns:
        the next step, the best validation so far, and the previous recipe, empty if there is no state.
    """
    found = state.load(path)
    if found is None:
        return 0, -math.inf, {}
    with reading(path, "the state of this run", "Choose another --out or remove the folder"):
        before: dict[str, Any] = parse_json(found["recipe"])
        if (before["name"], before["network"]) != (recipe.name, recipe.network):
            raise WholebodyError(
                f"{path}: belongs to recipe {before['name']} and network {before['network']}. "
                "Choose another --out or remove the folder."
            )
        try:
            training.lesson.load_state_dict(found["trained"])
            training.ema.load_state_dict(found["ema"])
            training.optimizer.load_state_dict(found["optimizer"])
        except (RuntimeError, ValueError) as error:
            raise WholebodyError(
                f"{path}: of a network or an input size that is not the recipe's. Choose another --out."
            ) from error
        training.scaler.load_state_dict(found.get("scaler", {}))
        return int(found["step"]), float(found.get("best", -math.inf)), before
