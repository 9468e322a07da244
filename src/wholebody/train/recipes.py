"""Recipes: functions that return the frozen configuration of a training run. No torch here.

A variant is a `dataclasses.replace`; the command line overrides single fields; the resolved recipe is saved with the
weights. `RECIPES` are single runs (`wholebody train`), `DISTILLATIONS` are pairs of runs, stage 1 and stage 2
(`wholebody distill`).
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import get_args

from wholebody.choices import NetworkSize
from wholebody.train.config import (
    HELD_OUT,
    RELEASED_PEOPLE,
    Augment,
    DataSource,
    Distill,
    Optim,
    TrainConfig,
    TwoStages,
)

POOL = DataSource(
    "pool",
    "data/pool",
    share=0.5,
    groups={"coco_train2017": 8.0, "davis": 3.0, "video_frames": 1.0, "hagrid": 0.6},
)


SYNTHETIC = DataSource("shards", "work/synth/train", share=0.5)
# Pseudo-labels are less accurate on faces than real labels, and bodies matter most.
PARTS = {"body": 3.0, "feet": 2.0, "face": 0.7, "left_hand": 1.0, "right_hand": 1.0}


def teacher() -> TrainConfig:
    """The bundled model and the students' teacher: Thunder as released under a two-scale head.

    The pool and MoveNet's file are the user's (docs/training-data.md says from where).
    """
    return TrainConfig(
        name="teacher",
        network="thunder-fine",
        init="data/movenet_thunder_fp16.tflite",
        sources=(POOL, SYNTHETIC),
        steps=3_600,
        batch=32,
        optim=Optim(lr=2e-3, lr_end=1e-5, flat=0.3, warmup=200, backbone=0.0, ema_momentum=1e-3, ema_gamma=300),
        augment=Augment(close_up=0.15, scale=(0.7, 1.35), rotation=50, cutout=0.5, shrink=0.25, late=1.0),
        # MoveNet's prediction already locates bodies.
        parts={"body": 2.0, "feet": 2.0, "left_hand": 1.5, "right_hand": 1.5},
        absent=0.3,
        heatmap=1.0,
        precision="auto",
        validation=(POOL,),
    )


def small_teacher() -> TrainConfig:
    """A teacher at 128x96 whose encoder is trained too, for ablations on two cores."""
    return TrainConfig(
        name="small-teacher",
        network="thunder",
        init=teacher().init,
        sources=(POOL, SYNTHETIC),
        input_size=(96, 128),
        steps=900,
        batch=32,
        optim=Optim(
            lr=2e-3, lr_end=1e-5, flat=0.05, warmup=60, backbone=0.15, freeze=6, ema_momentum=2e-3, ema_gamma=100
        ),
        augment=Augment(scale=(0.7, 1.35), rotation=50, cutout=0.5, shrink=0.25, late=1.0),
        parts=PARTS,
        heatmap=1.0,
        precision="auto",
    )


def warm_start(size: NetworkSize = "t") -> TrainConfig:
    """A randomly initialised backbone for students: it learns the teacher's feature maps and nothing else.

    The published students start from backbones pretrained on bodies, with data that are not free.
    """
    return TrainConfig(
        name=f"warm-{size}",
        network=size,
        sources=(POOL, SYNTHETIC),
        steps=2_400,
        batch=32,
        optim=Optim(lr=2e-3, lr_end=1e-4, flat=0.3, warmup=100, ema_momentum=2e-3, ema_gamma=200),
        augment=Augment(close_up=0.1, scale=(0.7, 1.35), rotation=50, cutout=0.5, shrink=0.25, late=1.0),
        distill=Distill(stage="warm", teachers=("work/teacher/model.safetensors",)),
        precision="auto",
    )


def student(size: NetworkSize, name: str, input_size: tuple[int, int] = (192, 256)) -> TwoStages:
    """A bundled student: both stages from the bundled teacher, on the pool and on synthetic people."""
    warm = warm_start(size)
    first = replace(
        warm,
        name=name,
        init=f"work/{warm.name}/model.safetensors",
        input_size=input_size,
        # The teacher's output is equally good on rendered people, and there are more of them.
        sources=(replace(POOL, share=0.4), replace(SYNTHETIC, share=0.6)),
        steps=8_000,
        optim=Optim(lr=2e-3, lr_end=2e-5, flat=0.3, warmup=100, ema_momentum=2e-3, ema_gamma=200),
        distill=Distill(teachers=("work/teacher/model.safetensors",)),
        augment=replace(warm.augment, camera=0.7, mirror=0.5),
        shared_norms=False,
        parts=PARTS,
        absent=0.3,
        validation=(POOL,),
    )
    return TwoStages(first, second_stage(first, 0.2))


def second_stage(first: TrainConfig, part: float) -> TrainConfig:
    """Stage 2 of a run: the same data for a fraction of its length, with a new head on the frozen backbone."""
    return replace(
        first,
        name=f"{first.name}-2",
        init="",
        epochs=round(first.epochs * part),
        steps=max(1, round(first.steps * part)),
        heatmap=0.0,
        distill=Distill(stage=2, faithful=first.distill is not None and first.distill.faithful),
    )


COCO = DataSource("coco", "data/coco/annotations/coco_wholebody_train_v1.0.json", "data/coco/train2017")
COCO_VAL = DataSource(
    "coco",
    "data/coco/annotations/coco_wholebody_val_v1.0.json",
    "data/coco/val2017",
    boxes="data/coco/person_detection_results/COCO_val2017_detections_AP_H_56_person.json",
)
UBODY = DataSource("ubody", "data/UBody", "data/UBody/images", every=10)


def released_people(large: bool) -> int:
    """The batch of one process in the released code."""
    return RELEASED_PEOPLE // 2 if large else RELEASED_PEOPLE


def released(
    size: NetworkSize, name: str, large: bool = False, sources: tuple[DataSource, ...] = (COCO, UBODY)
) -> TrainConfig:
    """The common settings of all published runs: eight processes, 270 epochs, from a backbone pretrained on bodies."""
    people = released_people(large)
    return TrainConfig(
        name=name,
        network=size,
        init=f"cspnext-{size}",
        sources=sources,
        input_size=(288, 384) if large else (192, 256),
        epochs=270,
        batch=8 * people,
        optim=Optim(lr_batch=8 * people),
        calm=False,
        label=people,
        precision="auto",
        workers=8,
        validation=(COCO_VAL,),
        validate=5_000,
    )


def labelled(size: NetworkSize, large: bool = False) -> TrainConfig:
    """RTMPose on labels alone, as released: on COCO-WholeBody, and the x at 256x192 on UBody too. Gradients are clipped
    only for the x, which also uses stronger augmentation."""
    name = f"rtmpose-{size}" + ("-384" if large else "")
    config = released(size, name, large, (COCO, UBODY) if size == "x" and not large else (COCO,))
    if size == "x":
        strong = Augment(scale=(0.5, 1.5), rotation=90, late_scale=(0.5, 1.5), late_rotation=90)
        return replace(config, optim=replace(config.optim, clip=35.0), augment=strong)
    return replace(config, optim=replace(config.optim, clip=0.0))


def published(size: NetworkSize, taught_by: NetworkSize, large: bool = False) -> TwoStages:
    """A published pair on COCO-WholeBody and UBody: eight processes, 270 epochs and 60.

    Where the paper and its code disagree, it follows the code only if `distill.faithful` is set; see `Distill`.
    """
    suffix = "-384" if large else ""
    distill = Distill(teachers=(f"rtmpose-{taught_by}{suffix}",), people=released_people(large))
    first = replace(released(size, f"dwpose-{size}{suffix}", large), distill=distill)
    # Stage 2 inherits the schedules of 270 epochs, so its 60 reach neither the cosine nor the late augmentation.
    second = replace(
        second_stage(first, 60 / 270), optim=replace(first.optim, flat=1.0), augment=replace(first.augment, late=1.0)
    )
    return TwoStages(first, second)


def debug() -> TrainConfig:
    """A run of seconds on generated shards: for tests, and to see a run from start to end."""
    return TrainConfig(
        name="debug",
        network="t",
        sources=(DataSource("shards", "work/debug"),),
        input_size=(96, 128),
        steps=8,
        batch=4,
        optim=Optim(warmup=2),
        workers=0,
    )


def example() -> TwoStages:
    """Both stages in minutes on two cores, on synthetic people: an example, which does not give a good network."""
    people = DataSource("shards", "work/synth", held_out=HELD_OUT)
    first = TrainConfig(
        name="example",
        network="t",
        init="dwpose-t",
        sources=(people,),
        input_size=(96, 128),
        steps=40,
        batch=16,
        optim=Optim(lr=1e-3, lr_end=1e-4, warmup=10, ema_momentum=0.1, ema_gamma=10),
        distill=Distill(teachers=("wholebody-133",)),
        precision="auto",
        workers=0,
        validation=(people,),
    )
    return TwoStages(first, second_stage(first, 0.25))


RECIPES: Mapping[str, Callable[[], TrainConfig]] = {
    "teacher": teacher,
    "small-teacher": small_teacher,
    "warm-t": partial(warm_start, "t"),
    "warm-s": partial(warm_start, "s"),
    "debug": debug,
    "example": lambda: replace(example().first, distill=None),
    **{f"rtmpose-{size}": partial(labelled, size) for size in get_args(NetworkSize)},
    "rtmpose-l-384": partial(labelled, "l", large=True),
    "rtmpose-x-384": partial(labelled, "x", large=True),
}


DISTILLATIONS: Mapping[str, Callable[[], TwoStages]] = {
    "example": example,
    "student-fast": partial(student, "t", "student-fast", (96, 128)),
    "student-t": partial(student, "t", "student-t"),
    "student-s": partial(student, "s", "student-s"),
    "dwpose-t": partial(published, "t", "l"),
    "dwpose-s": partial(published, "s", "l"),
    "dwpose-m": partial(published, "m", "l"),
    "dwpose-l": partial(published, "l", "x"),
    "dwpose-l-384": partial(published, "l", "x", large=True),
}
