"""Training a pose network: one story from data to weights.

    wholebody train teacher --out work/teacher          # start, or go on where a stopped run ended
    wholebody train debug --out work/debug              # seconds
    torchrun --nproc-per-node 8 -m wholebody.cli train teacher --out work/teacher

A step draws a batch (draw n depends on the seed and n alone, so a resumed run sees what an unbroken one would), encodes
it, and follows the terms of its lesson (`distill`): labels, a teacher, or both. Saved are `model.safetensors` (the
averaged weights), `recipe.json`, `metrics.jsonl`, TensorBoard's events, the first batch as a picture, and `state.pt`
(weights, average, optimizer, step) from which a run resumes; every file lands whole or not at all.
"""

import copy
import dataclasses
import json
import math
import multiprocessing
import os
import threading
import time
from contextlib import nullcontext
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.utils.data import DataLoader

from wholebody.errors import WholebodyError
from wholebody.evaluate.oks import part_oks
from wholebody.files import replacing
from wholebody.geometry import Crop
from wholebody.networks.checkpoints import save_pose
from wholebody.networks.exported import measure_norms, wants_measuring
from wholebody.networks.rtmpose import RTMPose, simcc
from wholebody.train.build import build_lesson
from wholebody.train.config import TrainConfig
from wholebody.train.data.crops import Batches, load_data, validation_people
from wholebody.train.data.people import Person
from wholebody.train.engine import state
from wholebody.train.engine.log import figures, save_picture
from wholebody.train.engine.optim import average, learning_rate, parameter_groups
from wholebody.train.engine.parallel import Process, distributed, mean_of, this_process
from wholebody.train.lesson import Batch

# Crops that give a network from an exported file the statistics of its batch norms.
_NORM_CROPS = 64


@torch.no_grad()
def predict(network: RTMPose, people: list[Person], batch: int = 16) -> list[npt.NDArray[np.float32]]:
    """Keypoints (K, 2) of each person in image pixels, from the labelled boxes, without flip test."""
    network.eval()
    device = next(network.parameters()).device
    found = []
    for start in range(0, len(people), batch):
        samples = [person.load() for person in people[start : start + batch]]
        crops = [Crop.from_box(sample.box, network.codec.input_size) for sample in samples]
        images = np.stack([crop.cut(sample.image) for crop, sample in zip(crops, samples, strict=True)])
        x, y = network(network.normalise(torch.from_numpy(images).to(device)))
        keypoints, _ = network.codec.decode(x.float().cpu().numpy(), y.float().cpu().numpy())
        found += [crop.to_image(points).astype(np.float32) for crop, points in zip(crops, keypoints, strict=True)]
    return found


def fit(config: TrainConfig, out: str | os.PathLike[str]) -> RTMPose:
    """Run a recipe to its end, from its last state in `out` if there is one.

    Returns:
        the network with the averaged weights.

    Raises:
        WholebodyError: the loss is not finite, a picture cannot be read, the disk is full, or the state in `out`
            belongs to another recipe. The last good state stays.
    """
    return _fit(config, Path(out), this_process())


def _fit(config: TrainConfig, folder: Path, process: Process) -> RTMPose:
    shared = process.world * config.accumulate
    if config.batch % shared:
        raise WholebodyError(f"a batch of {config.batch} cannot be shared by {shared} parts. Choose a multiple.")
    folder.mkdir(parents=True, exist_ok=True)
    device = process.device
    codec = simcc(config.input_size)
    data, steps = load_data(config, codec)
    lesson = cast(nn.Module, build_lesson(config, data)).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    network = cast(RTMPose, lesson.network)
    if network.codec != codec:
        raise WholebodyError(f"the network takes {network.codec.input_size}, the recipe is for {codec.input_size}.")
    if wants_measuring(network):
        measure_norms(network, data.draw(range(_NORM_CROPS)).images.to(device))
    ema = copy.deepcopy(network)
    groups = parameter_groups(lesson, config.optim, config.batch)
    optimizer = torch.optim.AdamW(groups, lr=config.optim.lr)
    first = resume(folder / "state.pt", config, lesson, ema, optimizer)
    together = distributed(lesson, process, config.shared_norms)
    learnt = [p for group in groups for p in group["params"]]
    validation = validation_people(config) if process.first else []

    batches = Batches(data, config.batch, config.accumulate, process.rank, process.world)
    loader = DataLoader(
        batches,
        batch_size=None,
        sampler=range(first * config.accumulate, steps * config.accumulate),
        num_workers=config.workers,
        worker_init_fn=_worker,
        prefetch_factor=4 if config.workers else None,
        pin_memory=device.type == "cuda",
        # A forked worker would inherit the locks of OpenCV's thread pool and wait for ever.
        multiprocessing_context="forkserver" if config.workers else None,
    )
    if process.first and first == 0:
        with replacing(folder / "recipe.json") as path:
            path.write_text(json.dumps(dataclasses.asdict(config), indent=1))
        save_picture(folder / "first_batch.jpg", _read(batches[0], folder))
    parts = iter(loader)
    saved = started = time.monotonic()
    with figures(folder, config, first, steps, process) as note:
        for step in range(first, steps):
            together.train()
            rate = learning_rate(step, steps, config.optim)
            for group in optimizer.param_groups:
                group["lr"] = rate * group["factor"]
            optimizer.zero_grad(set_to_none=True)
            terms: dict[str, float] = {}
            for part in range(config.accumulate):
                batch = _read(next(parts), folder).to(device)
                # Gradients are exchanged once a step, with the last part.
                wait = process.world > 1 and part + 1 < config.accumulate
                with together.no_sync() if wait else nullcontext():  # type: ignore[operator]
                    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=config.precision == "bf16"):
                        losses = together(batch, step / steps)
                    loss = torch.stack(list(losses.values())).sum() / config.accumulate
                    loss.backward()  # type: ignore[no-untyped-call]
                for name, term in losses.items():
                    value = mean_of(float(term.detach()), process) / config.accumulate
                    terms[name] = terms.get(name, 0.0) + value
            norm = nn.utils.clip_grad_norm_(learnt, config.optim.clip)
            if not math.isfinite(sum(terms.values())) or not torch.isfinite(norm):
                raise WholebodyError(
                    f"{folder}: the loss is not finite at step {step}. The last good state is kept; "
                    "lower optim.lr and run again."
                )
            optimizer.step()
            average(ema, network, step, config.optim)

            seconds = time.monotonic() - started
            speed = round((step - first + 1) * config.batch / seconds, 2)
            note({"step": step, "lr": rate, "norm": float(norm), **terms, "images_per_second": speed})
            last = step + 1 == steps
            if not process.first:
                continue
            if validation and (last or (step + 1) % config.validate == 0):
                note({"step": step, "validation": part_oks(validation, predict(ema, validation))})
            if last or time.monotonic() - saved > config.checkpoint_minutes * 60:
                save_state(folder / "state.pt", config, step + 1, lesson, ema, optimizer)
                save_pose(ema, folder / "model.safetensors")
                saved = time.monotonic()
    # Whoever goes on from here may read what the first has written.
    process.wait()
    return ema.eval()


def _read(item: Batch | str, folder: Path) -> Batch:
    if isinstance(item, str):
        raise WholebodyError(f"{item} The run in {folder} can then go on from its last state.")
    return Batch(*item)


def _worker(_: int) -> None:
    """A process that prepares crops: OpenCV has one thread there, and it ends when the training is killed, of which
    nobody else tells a process of a fork server."""
    cv2.setNumThreads(1)
    training = multiprocessing.parent_process()
    if training is not None:

        def leave() -> None:
            training.join()
            os._exit(1)

        threading.Thread(target=leave, daemon=True).start()


def save_state(
    path: Path, config: TrainConfig, step: int, lesson: nn.Module, ema: nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    """Everything a run needs to go on."""
    recipe = json.dumps(dataclasses.asdict(config))
    state.save(
        path,
        {
            "recipe": recipe,
            "step": step,
            "trained": lesson.state_dict(),
            "ema": ema.state_dict(),
            "optimizer": optimizer.state_dict(),
        },
    )


def resume(path: Path, config: TrainConfig, lesson: nn.Module, ema: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Load a state if there is one; the step to go on with."""
    found = state.load(path)
    if found is None:
        return 0
    before = json.loads(found["recipe"])
    if before["name"] != config.name or before["network"] != config.network:
        raise WholebodyError(f"{path}: belongs to recipe {before['name']}. Choose another --out or remove the folder.")
    lesson.load_state_dict(found["trained"])
    ema.load_state_dict(found["ema"])
    optimizer.load_state_dict(found["optimizer"])
    return int(found["step"])
