"""Recipes: functions that return a frozen description of a training run. No torch here.

A variant is a `dataclasses.replace`; the command line overrides single fields; the resolved recipe is saved beside the
weights.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Network = Literal["thunder", "thunder-fine", "t", "s", "m", "l", "x"]


@dataclass(frozen=True)
class Optim:
    """AdamW with a linear warm-up and a cosine.

    Attributes:
        lr, lr_end: at the top and at the end of the cosine.
        flat: share of the steps before the cosine starts.
        backbone: factor on the backbone's learning rate.
        freeze: how many of the backbone's first blocks stay as they are.
        clip: greatest gradient norm.
        ema_momentum, ema_gamma: the average's momentum is momentum + (1 - momentum) exp(-(step + 1) / gamma).
    """

    lr: float = 4e-3
    lr_end: float = 2e-4
    flat: float = 0.5
    warmup: int = 1000
    weight_decay: float = 0.05
    clip: float = 1.0
    backbone: float = 1.0
    freeze: int = 0
    ema_momentum: float = 2e-4
    ema_gamma: float = 2000.0


@dataclass(frozen=True)
class Augment:
    """Strengths of the augmentations; see `wholebody.train.augment.Augmentation`. `late` is the share of the run
    after which the weaker late augmentation is used."""

    close_up: float = 0.0
    scale: tuple[float, float] = (0.6, 1.4)
    rotation: float = 80.0
    cutout: float = 1.0
    shrink: float = 0.0
    late: float = 240 / 270


@dataclass(frozen=True)
class Source:
    """A data set and its share of the draws.

    Attributes:
        kind: "coco" reads annotations and images in COCO-WholeBody's layout; "pool" a folder of freely licensed photos
            with pseudo-labels (`wholebody.train.pool`); "shards" a folder of tar shards.
        path: the annotation file or the folder.
        images: folder of the pictures, for "coco".
        groups: share of each group of a pool; groups not named have 1.
    """

    kind: Literal["coco", "pool", "shards"]
    path: str
    images: str = ""
    share: float = 1.0
    groups: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainConfig:
    """One training run.

    Attributes:
        network: "thunder" is MoveNet Thunder's encoder with an RTMPose head; the letters are RTMPose's sizes.
        init: weights to start from: a .tflite file for "thunder", a backbone or whole network otherwise.
        input_size: (w, h).
        batch: crops per step.
        parts: factors on the loss of each part's keypoints.
        heatmap: factor on the training-only heat-map loss; 0 leaves it out. Needs a backbone with a pyramid.
        precision: "bf16" only where the processor computes in it; elsewhere it is many times slower.
    """

    name: str
    network: Network
    sources: tuple[Source, ...]
    init: str = ""
    input_size: tuple[int, int] = (192, 256)
    steps: int = 10_000
    batch: int = 64
    seed: int = 21
    optim: Optim = Optim()
    augment: Augment = Augment()
    parts: Mapping[str, float] = field(default_factory=dict)
    heatmap: float = 0.0
    precision: Literal["fp32", "bf16"] = "fp32"
    workers: int = 1
    checkpoint_minutes: float = 4.0

    def __post_init__(self) -> None:
        if not self.sources:
            raise ValueError(f"recipe {self.name}: name at least one data source")
        if any(side % 32 for side in self.input_size):
            raise ValueError(f"recipe {self.name}: input_size must be multiples of 32, not {self.input_size}")


def teacher() -> TrainConfig:
    """The first bundled model and future teacher: Thunder's encoder, a 133-point head, 85 minutes on one core."""
    return TrainConfig(
        name="teacher",
        network="thunder",
        init="../shared/mediapipe/models/movenet_thunder_fp16.tflite",
        sources=(
            Source(
                "pool",
                "../shared/real",
                share=0.5,
                groups={"coco_train2017": 8.0, "davis": 3.0, "video_frames": 1.0, "hagrid": 0.6},
            ),
            Source("shards", "work/synth/train", share=0.5),
        ),
        steps=1_750,
        batch=16,
        optim=Optim(
            lr=1.5e-3, lr_end=1e-5, flat=0.05, warmup=100, backbone=0.15, freeze=6, ema_momentum=2e-3, ema_gamma=100
        ),
        augment=Augment(scale=(0.7, 1.35), rotation=50, cutout=0.5, shrink=0.25, late=1.0),
        parts={"body": 3.0, "feet": 2.0, "face": 0.7, "left_hand": 1.0, "right_hand": 1.0},
        heatmap=1.0,
    )


def debug() -> TrainConfig:
    """Seconds on generated shards: for tests, and to see a run from end to end."""
    return TrainConfig(
        name="debug",
        network="t",
        sources=(Source("shards", "work/debug"),),
        input_size=(96, 128),
        steps=8,
        batch=4,
        optim=Optim(warmup=2),
        workers=0,
    )


RECIPES: Mapping[str, Callable[[], TrainConfig]] = {"teacher": teacher, "debug": debug}
