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
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from wholebody.codec import SimCC
from wholebody.data.check import mirrored_heads
from wholebody.data.ubody import read_ubody
from wholebody.errors import WholebodyError
from wholebody.evaluate.oks import part_oks
from wholebody.files import replacing
from wholebody.geometry import Crop
from wholebody.networks.checkpoints import load_backbone, load_pose, read_weights, save_pose
from wholebody.networks.rtmpose import RTMPose, RTMPoseHead, rtmpose, simcc
from wholebody.networks.thunder import Bodies, Thunder
from wholebody.networks.two_scale import TwoScale, TwoScaleHead
from wholebody.schema import COCO_WHOLEBODY
from wholebody.train import augment as aug
from wholebody.train.data import NOWHERE, Mixture, People, Person, Photographs, Shards, people_of, read_coco_wholebody
from wholebody.train.distill import Batch, Labels, Lesson, StageOne, StageTwo, WarmStart
from wholebody.train.engine import state
from wholebody.train.engine.log import figures, save_picture
from wholebody.train.engine.optim import average, learning_rate, parameter_groups
from wholebody.train.engine.parallel import Process, distributed, mean_of, this_process
from wholebody.train.pool import read_pool
from wholebody.train.recipes import Source, TrainConfig
from wholebody.train.teachers import from_files
from wholebody.train.views import Views

# A teacher's confidence below this says nothing about where the point is.
LEAST_CONFIDENCE = 0.2

# Pixels beside the crop where a keypoint is surely not in it.
_BESIDE = 6
# The body's five points of the head, and the face.
HEAD = [*range(5), *range(23, 91)]


@dataclass(frozen=True)
class Crops(Dataset[Batch]):
    """Fresh crops from people: draws of a mixture, augmented and encoded.

    Keypoints that are known not to be in the crop have the weight `absent` and a label of zeros.
    """

    mixture: Mixture
    codec: SimCC
    part_weights: npt.NDArray[np.float32]
    absent: float
    early: aug.Augmentation
    late: aug.Augmentation
    late_from: int

    def draw(self, numbers: range) -> Batch:
        """The batch of some draws."""
        images, keypoints, labels = [], [], []
        for n in numbers:
            sample, rng = self.mixture.draw(n)
            config = self.early if n < self.late_from else self.late
            crop, points, visible = aug.augment(sample, self.codec.input_size, config, rng)
            outside = (points < -_BESIDE) | (points > np.array(self.codec.input_size) - 1 + _BESIDE)
            absent = (visible < 0) | ((visible > 0) & outside.any(axis=1))
            x, y, weight = self.codec.encode(points, (visible > 0) & ~absent)
            weight = np.where(absent, np.float32(self.absent), weight * visible)
            images.append(crop)
            keypoints.append(np.where(absent[:, None], NOWHERE, points).astype(np.float32))
            labels.append((x, y, weight * self.part_weights))
        columns = [images, keypoints, *zip(*labels, strict=True)]
        return Batch(*(torch.from_numpy(np.stack(column)) for column in columns))


@dataclass(frozen=True)
class Batches(Dataset[Batch | str]):
    """What one process draws: item i is part i % accumulate of its share of step i // accumulate.

    All processes' shares of a step together are draws step * batch to (step + 1) * batch, however many there are. An
    item that cannot be read is its error's message, which a worker process can hand over in one line.
    """

    data: Crops | Views
    batch: int
    accumulate: int = 1
    rank: int = 0
    world: int = 1

    def __getitem__(self, item: int) -> Batch | str:
        step, part = divmod(item, self.accumulate)
        size = self.batch // (self.world * self.accumulate)
        first = step * self.batch + (self.rank * self.accumulate + part) * size
        try:
            return self.data.draw(range(first, first + size))
        except WholebodyError as error:
            return str(error)


def load_mixture(config: TrainConfig) -> Mixture:
    """The recipe's data sets with their shares."""
    sets: list[tuple[People, float]] = []
    for source in config.sources:
        found = people(source)
        weights = {group: len(each) * source.groups.get(group, 1.0) for group, each in found.items()}
        total = sum(weights.values())
        for group, each in found.items():
            sets.append((each, source.share * weights[group] / total if source.share else weights[group]))
    if len({bool(source.share) for source in config.sources}) > 1:
        raise WholebodyError(f"recipe {config.name}: give all sources a share of the draws, or none.")
    return Mixture(sets, config.seed)


def people(source: Source, held_out: bool = False) -> dict[str, People]:
    """The people of a source, by group; of a pool those of one side of its split."""
    if source.kind == "shards":
        return {"": Shards(source.path)}
    if source.kind == "pool":
        return {group: Photographs(each) for group, each in pool_people(source.path, held_out).items()}
    if source.kind == "ubody":
        folder = source.images or Path(source.path) / "images"
        return {"": Photographs(people_of(read_ubody(source.path, split="train"), folder))}
    return {"": Photographs(read_coco_wholebody(source.path, source.images))}


def pool_people(folder: str | os.PathLike[str], held_out: bool) -> dict[str, list[Person]]:
    """Pseudo-labelled people of one side of a pool's split, by group. Points a teacher was unsure of are unlabelled,
    and so is a head whose left and right a teacher has exchanged, as it does with the backs of heads."""
    photos = {photo.file: photo for photo in read_pool(folder) if photo.held_out == held_out}
    groups: dict[str, list[Person]] = {}
    for person in read_coco_wholebody(
        Path(folder) / "pseudo_mediapipe.json", folder, lambda image: image["file_name"] in photos
    ):
        visible = np.where(person.visible < LEAST_CONFIDENCE, 0, person.visible).astype(np.float32)
        if is_mirrored(dataclasses.replace(person, visible=visible)):
            visible[HEAD] = 0
        group = photos[person.file.relative_to(folder).as_posix()].group
        groups.setdefault(group, []).append(dataclasses.replace(person, visible=visible))
    return groups


def is_mirrored(person: Person) -> bool:
    """Whether the head's left and right are exchanged."""
    least = max(4.0, 0.02 * float(max(person.box[2:] - person.box[:2])))
    found = mirrored_heads(person.keypoints[None], person.visible[None] > 0, np.array([least]))
    return any(bool(wrong[0]) for _, _, wrong in found)


def validation_people(config: TrainConfig) -> list[Person]:
    """The labelled people that the recipe is evaluated on."""
    groups = [each for source in config.validation for each in people(source, held_out=True).values()]
    return [person for group in groups if isinstance(group, Photographs) for person in group.people]


def part_factors(config: TrainConfig) -> npt.NDArray[np.float32]:
    """(K,) the recipe's factors on keypoints."""
    weights = np.ones(len(COCO_WHOLEBODY), dtype=np.float32)
    for part, factor in config.parts.items():
        weights[COCO_WHOLEBODY.parts[part]] = factor
    return weights


def load_data(config: TrainConfig, codec: SimCC) -> tuple[Crops | Views, int]:
    """The recipe's data and the number of its steps."""
    if config.sources[0].kind == "views":
        views = Views(Path(config.sources[0].path), codec, config.seed, config.augment.camera)
        return views, config.epochs * len(views) // config.batch or config.steps
    mixture = load_mixture(config)
    steps = config.epochs * sum(len(each) for each, _ in mixture.sets) // config.batch or config.steps
    strengths = config.augment
    early = aug.Augmentation(
        close_up=strengths.close_up,
        scale=strengths.scale,
        rotation=strengths.rotation,
        cutout=strengths.cutout,
        shrink=strengths.shrink,
        camera=strengths.camera,
    )
    late = dataclasses.replace(early, shift=0.0, scale=(0.75, 1.25), rotation=60.0, cutout=0.5)
    late_from = math.ceil(strengths.late * steps) * config.batch
    return Crops(mixture, codec, part_factors(config), config.absent, early, late, late_from), steps


def build(config: TrainConfig) -> RTMPose:
    """The recipe's network with its starting weights."""
    torch.manual_seed(config.seed)
    if config.network == "thunder" or config.network == "thunder-fine":
        return _thunder(config)
    network = rtmpose(config.network, config.input_size)
    if config.calm:
        _calm(network.head)
    if config.init:
        target: nn.Module = network.backbone
        if any(name.startswith("head.") for name in read_weights(config.init)):
            found = load_pose(config.init)
            # A head belongs to its input size, a backbone takes any.
            same = found.codec == network.codec
            source: nn.Module = found if same else found.backbone
            target = network if same else network.backbone
        else:
            source = load_backbone(config.init)
        try:
            target.load_state_dict(source.state_dict())
        except RuntimeError as error:
            raise WholebodyError(f"{config.init}: not for a network of size {config.network}.") from error
    return network


def _thunder(config: TrainConfig) -> RTMPose:
    tflite = config.init.endswith(".tflite")
    backbone = Thunder.from_tflite(config.init) if tflite else Thunder()
    codec = simcc(config.input_size)
    w, h = config.input_size
    if config.network == "thunder-fine":
        bodies = Bodies.from_tflite(config.init) if tflite else Bodies()
        network: RTMPose = TwoScale(backbone, bodies, TwoScaleHead(codec))
    else:
        head = RTMPoseHead(backbone.channels, (w // 32, h // 32), codec.bins)
        network = RTMPose(backbone, head, codec, backbone.mean, backbone.std)
    if config.calm:
        _calm(network.head)
    if config.init and not tflite:
        network.load_state_dict(load_pose(config.init).state_dict())
    return network


@torch.no_grad()
def _calm(head: nn.Module) -> None:
    """Smaller first values of the attention, which else needs the thousand steps of the published warm-up."""
    attention = cast(RTMPoseHead, head).gau
    attention.gamma.mul_(0.3)
    attention.beta.mul_(0.1)


def build_lesson(config: TrainConfig, data: Crops | Views) -> Lesson:
    """What the recipe's steps follow."""
    distill = config.distill
    if distill is None:
        return Labels(build(config), config.heatmap)
    if distill.stage == 2:
        if len(distill.teachers) != 1:
            raise WholebodyError(f"recipe {config.name}: stage 2 needs one trained network as distill.teachers.")
        trained = load_pose(distill.teachers[0])
        return StageTwo(trained, cast(RTMPoseHead, build(dataclasses.replace(config, init="")).head), distill)
    student = build(config)
    if distill.stage == "warm":
        if len(distill.teachers) != 1:
            raise WholebodyError(f"recipe {config.name}: a warm start needs one checkpoint as distill.teachers.")
        return WarmStart(student, load_pose(distill.teachers[0]))
    if isinstance(data, Views):
        teacher, channels = None, data.channels
        if "x" not in data.arrays and (distill.alpha or distill.beta):
            raise WholebodyError(f"{data.folder}: has no teacher's outputs. Write the views with a teacher.")
    elif distill.teachers:
        teacher = from_files(distill.teachers, student.codec, distill.faithful)
        channels = teacher.channels
    else:
        raise WholebodyError(f"recipe {config.name}: name the teacher's file as distill.teachers.")
    if distill.alpha and not channels:
        raise WholebodyError(f"recipe {config.name}: the teacher has no features. Set distill.alpha to 0.")
    return StageOne(student, teacher, distill, channels, config.epochs)


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
