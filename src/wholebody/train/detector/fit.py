"""Training a YOLOX person detector: a lesson for the common loop (`wholebody.train.engine.run`).

    wholebody train detector --labels boxes.json --out work/detector        # run again to resume after a stop

A sample is a canvas of one to nine pictures at different scales (mosaic), or people pasted onto a picture without
people, followed by flip, colour and resolution changes. Sample n depends on the seed and n alone. Canvases are small at
first and reach the input size later, because early steps learn as much from small ones in a third of the time; the last
part of the run uses single pictures only. Anchors are assigned with SimOTA, the losses are those of the paper, and
regions marked "ignore" count neither as person nor as background.

Mixup and strong rotation are omitted on purpose: the paper omits mixup for its smallest networks, and rotation makes
the boxes of a small data set inaccurate.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self, cast

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from wholebody.errors import WholebodyError
from wholebody.files import replacing
from wholebody.networks.thunder import Thunder
from wholebody.networks.yolox import CSPDarknet, ThunderTrunk, YOLOXNetwork, load_yolox, yolox
from wholebody.train.detector.losses import losses, maps
from wholebody.train.detector.recipe import DetectorConfig
from wholebody.train.detector.scenes import Example, draw, picture, read_examples
from wholebody.train.engine.parallel import this_process
from wholebody.train.engine.run import TrainingJob, run


class Canvases(NamedTuple):
    """A batch: N canvases with their people."""

    images: Tensor  # (N, H, W, 3) uint8 BGR
    boxes: Sequence[Tensor]  # per canvas (G, 4) xyxy canvas pixels
    ignore: Sequence[Tensor]  # per canvas (M, 4) ignored regions
    plain: bool  # single pictures, with an L1 loss on their boxes

    def to(self, device: torch.device) -> "Canvases":
        """The same on another device."""
        boxes, ignore = ([each.to(device) for each in rows] for rows in (self.boxes, self.ignore))
        return Canvases(self.images.to(device), boxes, ignore, self.plain)


@dataclass(frozen=True)
class SceneDraws:
    """Canvases composed of some pictures."""

    examples: Sequence[Example]
    config: DetectorConfig

    def draw(self, numbers: range) -> Canvases:
        """The batch of some samples of one step."""
        size, plain = at_share(self.config, numbers.start // self.config.batch / self.config.steps)
        drawn = [draw(self.examples, size, np.random.default_rng([self.config.seed, n]), plain) for n in numbers]
        boxes, ignore = ([torch.from_numpy(example[i]) for example in drawn] for i in (1, 2))
        return Canvases(torch.from_numpy(np.stack([example.image for example in drawn])), boxes, ignore, plain)


class FindPeople(nn.Module):
    """The lesson: YOLOX's losses."""

    def __init__(self, network: YOLOXNetwork, keep_norms: bool = False) -> None:
        super().__init__()
        self.network = network
        self.keep_norms = keep_norms

    def train(self, mode: bool = True) -> Self:
        """As `torch.nn.Module.train`, except for batch norms that keep their statistics."""
        super().train(mode)
        for module in self.modules():
            if self.keep_norms and isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def forward(self, batch: Canvases, done: float = 0.0) -> dict[str, Tensor]:
        """Terms "iou" (times 5, as published), "objectness", "classes", and in the run's last part "l1"."""
        height, width = batch.images.shape[1:3]
        # As (N, H, W, 3) in memory, which the view below makes channels last.
        logits = self.network.logits(batch.images.float().permute(0, 3, 1, 2)).float()
        terms = losses(logits, batch.boxes, batch.ignore, maps((width, height), logits.device))
        weighted = {"iou": 5 * terms.iou, "objectness": terms.objectness, "classes": terms.classes}
        return weighted | ({"l1": terms.l1} if batch.plain else {})


def at_share(config: DetectorConfig, share: float) -> tuple[int, bool]:
    """Canvas side, and whether canvases are single pictures, at a fraction of the run."""
    return next(size for start, size in reversed(config.sizes) if share >= start), share >= config.plain_from


def build(config: DetectorConfig) -> YOLOXNetwork:
    """The recipe's network with its initial weights."""
    torch.manual_seed(config.seed)
    network = yolox(config.network, classes=1)
    if isinstance(trunk := network.backbone.backbone, ThunderTrunk) and config.init:
        trunk.start_from(Thunder.from_tflite(config.init))
    elif config.init:
        known = load_yolox(config.init).state_dict()
        if [(name, value.shape) for name, value in known.items()] != [
            (name, value.shape) for name, value in network.state_dict().items()
        ]:
            raise WholebodyError(f"{config.init}: not a YOLOX-{config.network} with one class. Name one, or none.")
        network.load_state_dict(known)
    return network


def encoder(network: YOLOXNetwork) -> nn.ModuleDict:
    """The pretrained part: its stem, and the blocks of which the first may be frozen."""
    trunk = cast("ThunderTrunk | CSPDarknet", network.backbone.backbone)
    blocks = trunk.blocks if isinstance(trunk, ThunderTrunk) else trunk.stages()
    return nn.ModuleDict({"stem": trunk.stem, "blocks": blocks})


def fit(config: DetectorConfig, out: str | os.PathLike[str]) -> YOLOXNetwork:
    """Run a recipe to its end, resuming from its last state in `out`; `engine.run` documents the files.

    Returns:
        the network with the averaged weights, in eval mode.

    Raises:
        WholebodyError: data cannot be read, the loss is not finite, or the state in `out` is of another recipe.
    """
    process = this_process()
    network = build(config)
    examples = [example for file in config.labels for example in read_examples(file, config.longest)]
    if not examples:
        named = ", ".join(config.labels) or "labels"
        raise WholebodyError(f"{named}: no pictures. Name a file with rows of file, boxes, ignore.")
    job = TrainingJob(
        recipe=config,
        lesson=FindPeople(network, config.keep_norms),
        data=SceneDraws(examples, config),
        steps=config.steps,
        save=save,
        picture=lambda path, batch: picture(path, _examples(batch)),
        encoder=encoder(network),
    )
    return cast(YOLOXNetwork, run(job, Path(out), process))


def _examples(batch: Canvases) -> list[Example]:
    rows = zip(batch.images, batch.boxes, batch.ignore, strict=True)
    return [Example(*(each.numpy() for each in row)) for row in rows]


def save(network: YOLOXNetwork, path: Path) -> None:
    """Write a network as .safetensors, to be read by `load_yolox`."""
    with replacing(path) as partial:
        save_file({name: value.cpu().contiguous() for name, value in network.state_dict().items()}, partial)
