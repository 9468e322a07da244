"""`wholebody train` and `wholebody distill`."""

import difflib
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from wholebody.choices import Changes, TrainPrecision
from wholebody.commands.models import need
from wholebody.console import progress
from wholebody.errors import WholebodyError
from wholebody.files import check_folder

# What somebody may take --out for.
_WEIGHTS = (".safetensors", ".onnx", ".pth", ".pt", ".json")


def train(words: Sequence[str]) -> int:
    """Train a pose network by a recipe (needs the train extra). Run it again to resume."""
    from wholebody.train.recipes import RECIPES

    if words and words[0] == "detector":
        need("torch", "train")
        return _detector(words[1:])
    recipe, rest = _recipe("train", words, RECIPES)
    run = _configured("train", recipe, rest, RECIPES[recipe](), TRAIN_HELP)
    if run.check:
        return _check(run.recipe)
    need("torch", "train")
    check_folder(run.out, _WEIGHTS, "--out")
    from wholebody.train.loop import fit

    fit(run.recipe, run.out, changes=run.changes)
    return 0


def _check(*recipes: Any) -> int:
    """Print everything that the recipes need and that is missing; 1 if anything is."""
    from wholebody.train.check import missing

    found = list(dict.fromkeys(line for recipe in recipes for line in missing(recipe)))
    for line in found:
        print(line)
    verb = "thing is" if len(found) == 1 else "things are"
    print(f"{len(found)} {verb} missing: see docs/training-data.md." if found else "Nothing is missing.")
    return 1 if found else 0


TRAIN_HELP = """Train a pose network by a recipe (needs the train extra).

    "wholebody train teacher --out work/teacher" trains the bundled pose network, or resumes.

    "wholebody train teacher --out work/mine --data pool:photos=0.7 shards:work/synth=0.3 --optim.lr 1e-3" trains on
    other data at another learning rate.

    "torchrun --nproc-per-node 8 -m wholebody.cli train teacher --out work/teacher" trains in eight processes.

    "wholebody train detector --labels boxes.json --out work/detector" trains a person detector with the same loop.
    """


def _detector(words: Sequence[str]) -> int:
    """A YOLOX that finds people, from pictures with boxes."""
    from dataclasses import make_dataclass

    from wholebody.train.detector.recipe import DetectorConfig

    fields: list[Any] = [
        ("out", Annotated[Path, tyro.conf.arg(help="Folder for weights, state and figures.")]),
        ("recipe", Annotated[DetectorConfig, tyro.conf.arg(name="")], DetectorConfig()),
    ]
    described = "Train a person detector (YOLOX) on pictures with boxes. Run it again to resume."
    run: Any = tyro.cli(
        make_dataclass("Run", fields, frozen=True),
        prog="wholebody train detector",
        description=described,
        args=words,
        config=(tyro.conf.AvoidSubcommands,),
    )
    check_folder(run.out, _WEIGHTS, "--out")
    from wholebody.train.detector.fit import fit

    fit(run.recipe, run.out)
    return 0


def distill(words: Sequence[str]) -> int:
    """Distil a large network into a small one, in DWPose's two stages; or adapt one to pictures without labels."""
    from wholebody.train.recipes import DISTILLATIONS

    if words and words[0].startswith("--") and words[0] not in ("--help", "-h"):
        need("torch", "train")
        status: int = tyro.cli(_adapt, prog="wholebody distill", args=words)
        return status
    recipe, rest = _recipe("distill", words, DISTILLATIONS)
    run = _configured("distill", recipe, rest, DISTILLATIONS[recipe](), DISTILL_HELP)
    if run.check:
        return _check(run.recipe.first, run.recipe.second)
    need("torch", "train")
    check_folder(run.out, _WEIGHTS, "--out")
    from wholebody.train.engine.parallel import is_first
    from wholebody.train.stages import distil

    result = distil(run.recipe, run.out, run.stages, run.changes)
    if is_first():
        print(f"{result}: {result.stat().st_size / 1e6:.1f} MB")
    return 0


DISTILL_HELP = """Distil a large network into a small one, in DWPose's two stages (needs the train extra).

    "wholebody distill student-t --out work/student-t" runs stage 1, stage 2 and the export. Run it again to resume.

    "wholebody distill student-t --out work/student-t --stages 2" runs stage 2 on the result of stage 1.

    "wholebody distill dwpose-m --check" lists what a published pair needs and what is missing.

    "wholebody distill dwpose-m --out work/dwpose-m --first.distill.beta 0.2" trains that pair with another loss weight.
    """


def _adapt(
    images: tuple[Path, ...],
    teacher: tuple[str, ...],
    student: str,
    out: Path,
    detector: str = "person",
    steps: int = 600,
    batch: int = 32,
    lr: float = 5e-4,
    every: int = 5,
    threshold: float | None = None,
    precision: TrainPrecision = "fp32",
) -> int:
    """Adapt a small network to your own pictures or videos without labels, from a teacher's logits alone.

    "wholebody distill --images dance/ --teacher big.safetensors --student small.safetensors --out work/mine"

    Args:
        images: Pictures, videos, or folders of them.
        teacher: Names from `wholebody models` or files (.onnx, .pth, .safetensors); several are averaged.
        student: A checkpoint to start from, or t, s, m, l or x for random weights.
        out: Folder for the weights, the training state and the exported network.
        detector: Person detector: a name or a file, or "none" for pictures of one person each.
        steps: Training steps.
        batch: Crops per step.
        lr: Peak learning rate.
        every: Use every n-th frame of a video.
        threshold: Lowest score of a person.
        precision: bf16 needs a CPU with native support.
    """
    from wholebody.train.adapt import Footage, adapt

    check_folder(out, _WEIGHTS, "--out")
    footage = Footage(images, detector, every, threshold)
    result = adapt(footage, teacher, student, out, steps, batch, lr, precision, progress)
    print(f"{result}: {result.stat().st_size / 1e6:.1f} MB")
    return 0


def _recipe(command: str, words: Sequence[str], recipes: Mapping[str, object]) -> tuple[str, list[str]]:
    """The recipe's name, and the options after it."""
    known = ", ".join(recipes)
    if not words or words[0] in ("-h", "--help"):
        how = TRAIN_HELP if command == "train" else DISTILL_HELP
        print(f"usage: wholebody {command} RECIPE --out FOLDER [options]\n\n{inspect.cleandoc(how)}\n")
        more = " For a person detector: detector." if command == "train" else ""
        print(f"Recipes: {known}.{more}")
        print(f"wholebody {command} RECIPE --help lists the options and their values in the recipe.")
        if command == "distill":
            print("wholebody distill --images PATHS --teacher NAME --student NAME --out FOLDER needs no recipe.")
        raise SystemExit(0 if words else 2)
    if words[0] not in recipes:
        close = difflib.get_close_matches(words[0], recipes, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise WholebodyError(f"no recipe {words[0]!r}.{hint} There are {known}.")
    return words[0], list(words[1:])


# The options that people change. --help-all shows the rest.
_RUN = ("out", "data", "validate_on", "changes", "check")
_CHANGES = "If a stopped run began with another recipe or other data: refuse to resume, or record the change."
_COMMON = {
    "train": (
        *("network", "init", "input_size", "epochs", "steps", "batch", "seed", "precision", "workers"),
        *("optim.lr", "optim.warmup", "optim.backbone", "augment.close_up", "augment.rotation"),
        *("distill.teachers", "checkpoint_minutes"),
    ),
    "distill": (
        *("stages", "first.init", "first.batch", "first.epochs", "first.steps", "first.precision"),
        *("first.optim.lr", "first.distill.teachers", "first.distill.alpha", "first.distill.beta"),
        *("second.batch", "second.epochs", "second.steps", "second.optim.lr", "second.distill.gamma"),
    ),
}


def _common_help(command: str, name: str, recipe: Any, text: str) -> None:
    """Print the options that people change, with the recipe's values."""
    from docstring_parser import parse
    from rich.table import Table

    from wholebody.console import stdout_console

    said = {
        "out": "Folder for weights, state and figures (required).",
        "data": "Data instead of the recipe's: KIND:PATH[:IMAGES][=SHARE], several for a mixture.",
        "validate_on": "People to validate on, written in the same way, or none; by default a held-out part of --data.",
        "changes": _CHANGES,
        "check": "Only list what is missing: data, networks, packages.",
        "stages": "Stages to run.",
    }
    table = Table("option", "recipe", "", box=None, pad_edge=False)
    for option in (*_RUN, *_COMMON[command]):
        value, about = (1, 2) if option == "stages" else "", said.get(option, "")
        if not about:
            holder = recipe
            *path, last = option.split(".")
            for step in path:
                holder = getattr(holder, step)
            if holder is None:  # a run without a teacher
                continue
            value = getattr(holder, last)
            words = {each.arg_name: each.description or "" for each in parse(type(holder).__doc__ or "").params}
            about = " ".join(words.get(last, "").split())
        shown = " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
        table.add_row(f"--{option.replace('_', '-')}", shown, about)
    console = stdout_console()
    console.print(
        f"usage: wholebody {command} {name} --out FOLDER [OPTIONS]\n\n{inspect.cleandoc(text)}\n", markup=False
    )
    console.print(table, markup=False)
    console.print(f"\nwholebody {command} {name} --help-all shows every option.", markup=False)


def _configured(command: str, name: str, words: Sequence[str], recipe: Any, text: str) -> Any:
    """A recipe with single fields overridden: `out`, `recipe` and, of a distillation, `stages`."""
    if "--help" in words or "-h" in words:
        _common_help(command, name, recipe, text)
        raise SystemExit(0)
    words = ["--help" if word == "--help-all" else word for word in words]
    from dataclasses import make_dataclass, replace

    from wholebody.train.config import HELD_OUT, TwoStages, parse_source

    fields: list[Any] = [
        ("out", Annotated[Path, tyro.conf.arg(help="Folder for weights, state and figures.")]),
        (
            "data",
            Annotated[
                tuple[str, ...],
                tyro.conf.arg(help="Data instead of the recipe's: KIND:PATH[:IMAGES][=SHARE], several for a mixture."),
            ],
            (),
        ),
        (
            "validate_on",
            Annotated[
                tuple[str, ...],
                tyro.conf.arg(help="People to validate on, written in the same way, or none."),
            ],
            (),
        ),
        (
            "changes",
            Annotated[
                Changes,
                tyro.conf.arg(help=_CHANGES),
            ],
            "refuse",
        ),
        ("check", Annotated[bool, tyro.conf.arg(help="Only list what is missing: data, networks, packages.")], False),
    ]
    # --help and --check need no folder.
    if "--check" in words and "--out" not in words:
        words = [*words, "--out", "."]
    if isinstance(recipe, TwoStages):
        fields.append(("stages", Annotated[tuple[Literal[1, 2], ...], tyro.conf.arg(help="Stages to run.")], (1, 2)))
    # The recipe's class is known only at run time, which a type checker cannot follow.
    kind: Any = type(recipe)
    marker: Any = Annotated[kind, tyro.conf.arg(name="")]
    run: Any = tyro.cli(
        make_dataclass("Run", [*fields, ("recipe", marker, recipe)], frozen=True),
        prog=f"wholebody {command} {name}",
        description=inspect.cleandoc(text),
        args=words,
        config=(tyro.conf.AvoidSubcommands,),
    )
    changes: dict[str, Any] = {}
    if run.data:
        sources = tuple(map(parse_source, run.data))
        if not run.validate_on:  # on a held-out part of these data
            sources = tuple(replace(each, held_out=HELD_OUT) for each in sources)
            changes["validation"] = tuple(each for each in sources if each.kind != "views")
        changes["sources"] = sources
    if run.validate_on:
        changes["validation"] = () if run.validate_on == ("none",) else tuple(map(parse_source, run.validate_on))
    if isinstance(recipe, TwoStages):
        changed = TwoStages(replace(run.recipe.first, **changes), replace(run.recipe.second, **changes))
        return replace(run, recipe=changed)
    return replace(run, recipe=replace(run.recipe, **changes))
