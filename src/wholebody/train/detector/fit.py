"""Training a YOLOX to find people: pictures with boxes in, weights out.

    from wholebody.train.detector import Recipe, fit
    fit(Recipe(labels=("boxes.json",), samples=120_000), "work/detector")     # run again to go on after a stop

A sample is a canvas of one to nine pictures at different scales (mosaic), or people pasted onto a picture without any;
then flip, colour and resolution change. Sample n depends on the seed and n alone. Canvases are small at first and reach
the input size later, because early steps learn as much from small ones at a third of the time; the last part of the
run shows whole pictures only. Anchors are assigned by SimOTA, the losses are those of the paper, and regions marked
"ignore" count neither as person nor as background.

Left out on purpose: mixup and strong rotation, which the paper itself leaves out for its smallest networks or which
blur the few boxes a small data set has.
"""

import dataclasses
import json
import math
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from wholebody.errors import WholebodyError
from wholebody.files import replacing
from wholebody.networks.thunder import Thunder
from wholebody.networks.yolox import YOLOX, ThunderTrunk, from_checkpoint, yolox
from wholebody.train.detector.losses import Losses, losses, maps
from wholebody.train.detector.recipe import Recipe
from wholebody.train.detector.scenes import Example, draw, picture, read_examples
from wholebody.train.engine.parallel import keep_memory

# The run


def at_share(recipe: Recipe, share: float) -> tuple[int, bool]:
    """Canvas side, and whether pictures come alone, at a share of the run."""
    return next(size for start, size in reversed(recipe.sizes) if share >= start), share >= recipe.plain_from


def learning_rate(recipe: Recipe, step: int, share: float) -> float:
    """Linear warm-up on a cosine."""
    cosine = recipe.lr_end + (recipe.lr - recipe.lr_end) * 0.5 * (1 + math.cos(math.pi * min(share, 1)))
    return cosine * min(1.0, (step + 1) / max(recipe.warmup, 1))


def fit(recipe: Recipe, out: str | os.PathLike[str]) -> YOLOX:
    """Run a recipe to its end, from its last state in `out` if there is one.

    Writes `recipe.json`, `metrics.jsonl`, `first_batch.jpg`, `state.pt` and `model.safetensors` (the averaged weights).

    Returns:
        the network with the averaged weights, in eval mode.

    Raises:
        WholebodyError: data cannot be read, the loss is not finite, or the state in `out` is of another network.
    """
    keep_memory()
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    model, ema = yolox(recipe.network, classes=1), yolox(recipe.network, classes=1)
    if isinstance(trunk := model.backbone.backbone, ThunderTrunk) and recipe.init:
        trunk.start_from(Thunder.from_tflite(recipe.init))
    ema.load_state_dict(model.state_dict())
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(_groups(model, recipe), lr=recipe.lr)
    step, seconds = _resume(folder / "state.pt", recipe, model, ema, optimizer)
    with replacing(folder / "recipe.json") as path:
        path.write_text(json.dumps(dataclasses.asdict(recipe), indent=1) + "\n")

    examples = [example for file in recipe.labels for example in read_examples(file, recipe.longest)]
    if not examples:
        raise WholebodyError(f"{', '.join(recipe.labels)}: no pictures. Name a file with rows of file, boxes, ignore.")
    started = saved = time.monotonic()
    with (folder / "metrics.jsonl").open("a") as log:
        while step * recipe.batch < recipe.samples:
            share = step * recipe.batch / recipe.samples
            size, plain = at_share(recipe, share)
            batch = [
                draw(examples, size, np.random.default_rng([recipe.seed, step * recipe.batch + n]), plain)
                for n in range(recipe.batch)
            ]
            if step == 0:
                picture(folder / "first_batch.jpg", batch)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(recipe, step, share) * group["factor"]
            terms = _step(model, optimizer, batch, recipe, plain)
            if terms is None:
                raise WholebodyError(f"{folder}: the loss is not finite at step {step}. Lower lr and run again.")
            _average(ema, model, recipe.ema, step)
            step += 1
            if step % 10 == 0:
                row = {
                    "step": step,
                    "samples": step * recipe.batch,
                    "size": size,
                    "lr": optimizer.param_groups[-1]["lr"],
                }
                spent = seconds + time.monotonic() - started
                log.write(json.dumps(row | terms._asdict() | {"seconds": round(spent, 1)}, default=float) + "\n")
                log.flush()
            if step * recipe.batch >= recipe.samples or time.monotonic() - saved > recipe.minutes * 60:
                spent = seconds + time.monotonic() - started
                _save(folder, recipe, model, ema, optimizer, step, spent)
                saved = time.monotonic()
    return ema.eval()


def load(path: str | os.PathLike[str]) -> YOLOX:
    """The network of a `model.safetensors` that `fit` wrote."""
    try:
        return from_checkpoint(load_file(path))
    except OSError as error:
        raise WholebodyError(f"{path}: {error.strerror or error}. Name a model.safetensors of a run.") from error


def _step(
    model: YOLOX, optimizer: torch.optim.Optimizer, batch: Sequence[Example], recipe: Recipe, plain: bool
) -> Losses | None:
    """One update; None, and nothing updated, if the loss is not finite."""
    model.train()
    pixels = torch.from_numpy(np.stack([example.image for example in batch]))
    boxes, ignore = ([torch.from_numpy(example[i]) for example in batch] for i in (1, 2))
    height, width = pixels.shape[1:3]
    # As (N, H, W, 3) in memory, which the view below makes channels last.
    with torch.autocast("cpu", torch.bfloat16, enabled=recipe.precision == "bf16"):
        logits = model.logits(pixels.float().permute(0, 3, 1, 2))
    terms = losses(logits.float(), boxes, ignore, maps((width, height)))
    loss = 5 * terms.iou + terms.objectness + terms.classes + (terms.l1 if plain else 0)
    if not torch.isfinite(loss):
        return None
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
    optimizer.step()
    return Losses(*(term.detach() for term in terms))


def _groups(model: YOLOX, recipe: Recipe) -> Iterator[dict[str, object]]:
    """A pretrained encoder at its own rate, the rest at the full one; no weight decay on vectors."""
    trunk, known = model.backbone.backbone, []
    if isinstance(trunk, ThunderTrunk):
        for module in (trunk.stem, *trunk.blocks[: recipe.freeze]) if recipe.freeze else ():
            module.requires_grad_(False)
        known = [*trunk.stem.parameters(), *trunk.blocks.parameters()]
    others = [p for p in model.parameters() if id(p) not in set(map(id, known))]
    for parameters, factor in ((known, recipe.backbone), (others, 1.0)):
        for decays in (True, False):
            chosen = [p for p in parameters if p.requires_grad and (p.ndim > 1) == decays]
            if chosen:
                decay = recipe.weight_decay if decays else 0.0
                yield {"params": chosen, "weight_decay": decay, "factor": factor}


@torch.no_grad()
def _average(ema: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    decay = min(decay, (step + 1) / (step + 10))
    for kept, now in zip(ema.state_dict().values(), model.state_dict().values(), strict=True):
        if kept.dtype.is_floating_point:
            kept.lerp_(now, 1 - decay)
        else:
            kept.copy_(now)


def _save(
    folder: Path,
    recipe: Recipe,
    model: YOLOX,
    ema: YOLOX,
    optimizer: torch.optim.Optimizer,
    step: int,
    seconds: float,
) -> None:
    state = {
        "network": recipe.network,
        "step": step,
        "seconds": seconds,
        "model": model.state_dict(),
        "ema": ema.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    with replacing(folder / "state.pt") as path:
        torch.save(state, path)
    with replacing(folder / "model.safetensors") as path:
        save_file({name: value.contiguous() for name, value in ema.state_dict().items()}, path)


def _resume(
    path: Path, recipe: Recipe, model: YOLOX, ema: YOLOX, optimizer: torch.optim.Optimizer
) -> tuple[int, float]:
    """Load a state if there is one; the step to go on with and the seconds spent so far."""
    if not path.exists():
        return 0, 0.0
    state = torch.load(path, weights_only=True)
    if state["network"] != recipe.network:
        raise WholebodyError(f"{path}: a run of YOLOX-{state['network']}. Choose another folder or remove it.")
    model.load_state_dict(state["model"])
    ema.load_state_dict(state["ema"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"]), float(state["seconds"])
