"""Training a pose network on labels: one story from data to weights.

    wholebody train teacher --out work/teacher          # start, or go on where a stopped run ended
    wholebody train debug --out work/debug              # seconds

A step draws a batch (draw n depends on the seed and n alone, so a resumed run sees what an unbroken one would), encodes
it, and follows the label loss, plus a heat-map loss where the recipe asks for one. Saved are `model.safetensors` (the
averaged weights), `recipe.json`, `metrics.jsonl`, TensorBoard's events, the first batch as a picture, and `state.pt`
(weights, average, optimizer, step) from which a run resumes; every file lands whole or not at all.
"""

import dataclasses
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

import cv2
import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from wholebody.codec import SimCC
from wholebody.datacheck import mirrored_heads
from wholebody.draw import skeleton
from wholebody.errors import WholebodyError
from wholebody.evaluate import part_oks
from wholebody.files import replacing
from wholebody.geometry import Crop
from wholebody.poses import Poses
from wholebody.schema import COCO_WHOLEBODY
from wholebody.train import augment as aug
from wholebody.train.checkpoints import load_pose
from wholebody.train.data import Mixture, People, Person, Photographs, Shards, read_coco_wholebody
from wholebody.train.losses import heatmap_loss, label_loss
from wholebody.train.pool import read_pool
from wholebody.train.recipes import Optim, TrainConfig
from wholebody.train.rtmpose import RTMPose, RTMPoseHead, rtmpose, simcc
from wholebody.train.thunder import Bodies, Pyramid, Thunder
from wholebody.train.two_scale import TwoScale, TwoScaleHead

# A teacher's confidence below this says nothing about where the point is.
LEAST_CONFIDENCE = 0.2
# The body's five points of the head, and the face.
HEAD = [*range(5), *range(23, 91)]


class Batch(NamedTuple):
    """Crops and labels of N people; `images` are uint8 BGR (N, h, w, 3), the network normalises them."""

    images: Tensor
    keypoints: Tensor  # (N, K, 2) input pixels
    x: Tensor  # (N, K, X)
    y: Tensor  # (N, K, Y)
    weight: Tensor  # (N, K)


class HasPyramid(Protocol):
    """A backbone with finer maps than its feature."""

    def pyramid(self, images: Tensor) -> Pyramid: ...


class HeatmapHead(nn.Module):
    """A map of stride 8 to one heat map per keypoint. Used in training only."""

    def __init__(self, channels: int, keypoints: int, hidden: int = 64) -> None:
        super().__init__()
        self.mix = nn.Conv2d(channels, hidden, 3, padding=1)
        self.out = nn.Conv2d(hidden, keypoints, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.out(nn.functional.relu(self.mix(x)))
        return out


@dataclass(frozen=True)
class Crops(Dataset[Batch]):
    """Item i is the batch of step i."""

    mixture: Mixture
    codec: SimCC
    batch: int
    steps: int
    part_weights: npt.NDArray[np.float32]
    early: aug.Augmentation
    late: aug.Augmentation
    late_from: float

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> Batch:
        config = self.early if step < self.late_from * self.steps else self.late
        images, keypoints, labels = [], [], []
        for n in range(step * self.batch, (step + 1) * self.batch):
            sample, rng = self.mixture.draw(n)
            crop, points, visible = aug.augment(sample, self.codec.input_size, config, rng)
            x, y, weight = self.codec.encode(points, visible > 0)
            images.append(crop)
            keypoints.append(points.astype(np.float32))
            labels.append((x, y, weight * visible * self.part_weights))
        columns = [images, keypoints, *zip(*labels, strict=True)]
        return Batch(*(torch.from_numpy(np.stack(column)) for column in columns))


def build(config: TrainConfig) -> RTMPose:
    """The recipe's network with its starting weights."""
    torch.manual_seed(config.seed)
    if config.network != "thunder" and config.network != "thunder-fine":
        network = rtmpose(config.network, config.input_size)
        if config.init:
            network.load_state_dict(load_pose(config.init).state_dict())
        return network
    backbone = Thunder.from_tflite(config.init) if config.init else Thunder()
    codec = simcc(config.input_size)
    w, h = config.input_size
    if config.network == "thunder-fine":
        bodies = Bodies.from_tflite(config.init) if config.init else Bodies()
        network = TwoScale(backbone, bodies, TwoScaleHead(codec))
    else:
        head = RTMPoseHead(backbone.channels, (w // 32, h // 32), codec.bins)
        network = RTMPose(backbone, head, codec, backbone.mean, backbone.std)
    attention = cast(RTMPoseHead, network.head).gau
    # The released recipes warm the attention up over a thousand steps; smaller first values do without.
    with torch.no_grad():
        attention.gamma.mul_(0.3)
        attention.beta.mul_(0.1)
    return network


def load_mixture(config: TrainConfig) -> Mixture:
    """The recipe's data sets with their shares."""
    sets: list[tuple[People, float]] = []
    for source in config.sources:
        if source.kind == "shards":
            sets.append((Shards(source.path), source.share))
        elif source.kind == "coco":
            sets.append((Photographs(read_coco_wholebody(source.path, source.images)), source.share))
        else:
            groups = pool_people(source.path, held_out=False)
            weights = {group: len(people) * source.groups.get(group, 1.0) for group, people in groups.items()}
            total = sum(weights.values())
            sets += [(Photographs(groups[g]), source.share * weights[g] / total) for g in groups]
    return Mixture(sets, config.seed)


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


def learning_rate(step: int, steps: int, optim: Optim) -> float:
    """Linear warm-up, flat, then a cosine to `lr_end`."""
    if step < optim.warmup:
        return optim.lr * max(1e-5, step / optim.warmup)
    start = max(optim.warmup, int(optim.flat * steps))
    phase = min(1.0, max(0.0, (step - start) / max(1, steps - start)))
    return optim.lr_end + (optim.lr - optim.lr_end) * 0.5 * (1 + math.cos(math.pi * phase))


def parameter_groups(network: RTMPose, extra: nn.Module | None, optim: Optim) -> list[dict[str, Any]]:
    """Head and backbone at their own rates; no weight decay on norms, biases and other vectors."""
    frozen = list(cast(Any, network.backbone).blocks[: optim.freeze]) if optim.freeze else []
    if frozen:
        frozen.append(cast(Any, network.backbone).stem)
    if optim.backbone == 0:
        frozen = [network.backbone]
    for module in frozen:
        module.requires_grad_(False)
    parts = [(network.backbone, optim.backbone), (network.head, 1.0), *([(extra, 1.0)] if extra else [])]
    groups: list[dict[str, Any]] = []
    for module, factor in parts:
        parameters = [p for p in module.parameters() if p.requires_grad]
        for decay in (True, False):
            chosen = [p for p in parameters if (p.ndim > 1) == decay]
            groups.append({"params": chosen, "factor": factor, "weight_decay": optim.weight_decay if decay else 0.0})
    return groups


def normalise(images: Tensor, network: RTMPose) -> Tensor:
    """uint8 BGR (N, h, w, 3) -> the network's float RGB (N, 3, h, w), channels last in memory."""
    rgb = images.flip(-1).float()
    rgb = (rgb - torch.tensor(network.mean, device=images.device)) / torch.tensor(network.std, device=images.device)
    return rgb.permute(0, 3, 1, 2)


def terms(network: RTMPose, heatmap: HeatmapHead | None, batch: Batch, factor: float) -> dict[str, Tensor]:
    """The loss terms of a batch by name; their sum is what the step follows. Independent of the batch size."""
    images, n = normalise(batch.images, network), len(batch.images)
    if isinstance(network, TwoScale):
        x, y, heat = network.both(images)
        return {
            "ori": label_loss(x.float(), y.float(), batch.x, batch.y, batch.weight) / n,
            "heatmap": factor * heatmap_loss(heat.float(), batch.keypoints, batch.weight, stride=network.stride) / n,
        }
    if heatmap is None:
        x, y = network(images)
        return {"ori": label_loss(x.float(), y.float(), batch.x, batch.y, batch.weight) / n}
    maps = cast(HasPyramid, network.backbone).pyramid(images)
    x, y = network.head(maps.stride32)
    heat = heatmap(maps.stride8).float()
    return {
        "ori": label_loss(x.float(), y.float(), batch.x, batch.y, batch.weight) / n,
        "heatmap": factor * heatmap_loss(heat, batch.keypoints, batch.weight, stride=8) / n,
    }


@torch.no_grad()
def average(ema: nn.Module, network: nn.Module, step: int, optim: Optim) -> None:
    """Move the averaged weights and buffers towards the network's."""
    momentum = optim.ema_momentum + (1 - optim.ema_momentum) * math.exp(-(step + 1) / optim.ema_gamma)
    for kept, now in zip(ema.state_dict().values(), network.state_dict().values(), strict=True):
        if kept.dtype.is_floating_point:
            kept.lerp_(now, momentum)
        else:
            kept.copy_(now)


@torch.no_grad()
def predict(network: RTMPose, people: list[Person], batch: int = 16) -> list[npt.NDArray[np.float32]]:
    """Keypoints (K, 2) of each person in image pixels, from the labelled boxes, without flip test."""
    network.eval()
    found = []
    for start in range(0, len(people), batch):
        samples = [person.load() for person in people[start : start + batch]]
        crops = [Crop.from_box(sample.box, network.codec.input_size) for sample in samples]
        images = np.stack([crop.cut(sample.image) for crop, sample in zip(crops, samples, strict=True)])
        x, y = network(normalise(torch.from_numpy(images), network))
        keypoints, _ = network.codec.decode(x.float().numpy(), y.float().numpy())
        found += [crop.to_image(points).astype(np.float32) for crop, points in zip(crops, keypoints, strict=True)]
    return found


def fit(config: TrainConfig, out: str | os.PathLike[str], validation: list[Person] | None = None) -> RTMPose:
    """Run a recipe to its end, from its last state in `out` if there is one.

    Returns:
        the network with the averaged weights.

    Raises:
        WholebodyError: the loss is not finite, or the state in `out` belongs to another recipe.
    """
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    network = build(config).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    ema = build(config)
    has_heatmaps = isinstance(network, TwoScale)
    heatmap = HeatmapHead(24, len(COCO_WHOLEBODY)) if config.heatmap and not has_heatmaps else None
    optimizer = torch.optim.AdamW(parameter_groups(network, heatmap, config.optim), lr=config.optim.lr)
    trained = nn.ModuleDict({"network": network, **({"heatmap": heatmap} if heatmap else {})})
    first = resume(folder / "state.pt", config, trained, ema, optimizer)
    if first == 0:
        with replacing(folder / "recipe.json") as path:
            path.write_text(json.dumps(dataclasses.asdict(config), indent=1))

    data = crops(config, network.codec)
    loader = DataLoader(
        data,
        batch_size=None,
        sampler=range(first, config.steps),
        num_workers=config.workers,
        worker_init_fn=_one_thread,
        prefetch_factor=4 if config.workers else None,
        # A forked worker would inherit the locks of OpenCV's thread pool and wait for ever.
        multiprocessing_context="forkserver" if config.workers else None,
    )
    if first == 0:
        save_picture(folder / "first_batch.jpg", data[0])
    saved, started = time.monotonic(), time.monotonic()
    with progress(config, first) as step_done, (folder / "metrics.jsonl").open("a", buffering=1) as log:
        for step, batch in enumerate(loader, first):
            trained.train()
            rate = learning_rate(step, config.steps, config.optim)
            for group in optimizer.param_groups:
                group["lr"] = rate * group["factor"]
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=config.precision == "bf16"):
                losses = terms(network, heatmap, Batch(*batch), config.heatmap)
            loss = torch.stack(list(losses.values())).sum()
            if not torch.isfinite(loss):
                raise WholebodyError(
                    f"{folder}: the loss is not finite at step {step}. The last good state is kept; "
                    "lower optim.lr and run again."
                )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            norm = nn.utils.clip_grad_norm_(trained.parameters(), config.optim.clip)
            optimizer.step()
            average(ema, network, step, config.optim)

            row = {"step": step, "lr": rate, "norm": float(norm), **{k: float(v.detach()) for k, v in losses.items()}}
            seconds = time.monotonic() - started
            row["images_per_second"] = round((step - first + 1) * config.batch / seconds, 2)
            log.write(json.dumps(row) + "\n")
            step_done(row)
            last = step + 1 == config.steps
            if last or time.monotonic() - saved > config.checkpoint_minutes * 60:
                if validation:
                    figures = part_oks(validation, predict(ema, validation))
                    log.write(json.dumps({"step": step, "validation": figures}) + "\n")
                log.flush()
                save_state(folder / "state.pt", config, step + 1, trained, ema, optimizer)
                save_model(folder / "model.safetensors", ema)
                saved = time.monotonic()
    return ema.eval()


@contextmanager
def progress(config: TrainConfig, first: int) -> Iterator[Callable[[Mapping[str, float]], None]]:
    """A bar with the loss, images a second and the time left."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(config.name, total=config.steps, completed=first, figures="")

        def done(row: Mapping[str, float]) -> None:
            bar.update(task, advance=1, figures=f"loss {row['ori']:.4f}  {row['images_per_second']:.1f} images/s")

        yield done


def crops(config: TrainConfig, codec: SimCC) -> Crops:
    """The recipe's data, augmented and encoded."""
    weights = np.ones(len(COCO_WHOLEBODY), dtype=np.float32)
    for part, factor in config.parts.items():
        weights[COCO_WHOLEBODY.parts[part]] = factor
    strengths = config.augment
    early = aug.Augmentation(
        close_up=strengths.close_up,
        scale=strengths.scale,
        rotation=strengths.rotation,
        cutout=strengths.cutout,
        shrink=strengths.shrink,
    )
    late = dataclasses.replace(early, shift=0.0, scale=(0.75, 1.25), rotation=60.0, cutout=0.5)
    return Crops(load_mixture(config), codec, config.batch, config.steps, weights, early, late, strengths.late)


def _one_thread(_: int) -> None:
    cv2.setNumThreads(1)


def save_state(
    path: Path, config: TrainConfig, step: int, trained: nn.Module, ema: nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    """Everything a run needs to go on."""
    state = {
        "recipe": json.dumps(dataclasses.asdict(config)),
        "step": step,
        "trained": trained.state_dict(),
        "ema": ema.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    with replacing(path) as partial:
        torch.save(state, partial)


def resume(
    path: Path, config: TrainConfig, trained: nn.Module, ema: nn.Module, optimizer: torch.optim.Optimizer
) -> int:
    """Load a state if there is one; the step to go on with."""
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    before = json.loads(state["recipe"])
    if before["name"] != config.name or before["network"] != config.network:
        raise WholebodyError(f"{path}: belongs to recipe {before['name']}. Choose another --out or remove the folder.")
    trained.load_state_dict(state["trained"])
    ema.load_state_dict(state["ema"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])


def save_model(path: Path, network: nn.Module) -> None:
    """The weights alone, as safetensors."""
    with replacing(path) as partial:
        save_file({name: value.contiguous() for name, value in network.state_dict().items()}, partial)


def save_picture(path: Path, batch: Batch, columns: int = 8) -> None:
    """The first crops of a batch with the labels they are trained on."""
    tiles = []
    for image, points, weight in zip(batch.images[:32], batch.keypoints, batch.weight, strict=False):
        crop = image.numpy()
        h, w = crop.shape[:2]
        scores = (weight > 0).numpy().astype(np.float32)
        poses = Poses(points.numpy()[None], scores[None], np.array([[0, 0, w, h]], np.float32), np.ones(1, np.float32))
        tiles.append(skeleton(crop, poses))
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)]
    with replacing(path) as partial:
        cv2.imwrite(str(partial), np.vstack(rows))
