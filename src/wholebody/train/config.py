"""The configuration of a training run as frozen dataclasses. No torch here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal, cast, get_args

import tyro

from wholebody.choices import TrainPrecision
from wholebody.codec import SHARPNESS
from wholebody.errors import WholebodyError
from wholebody.schema import COCO_WHOLEBODY, Schema, schema_named

DataKind = Literal["coco", "pseudo", "ubody", "pool", "shards", "views"]


@dataclass(frozen=True)
class Optim:
    """AdamW with a linear warm-up and a cosine.

    Attributes:
        lr: peak learning rate.
        lr_end: learning rate at the end of the cosine.
        lr_batch: batch size that `lr` and `lr_end` refer to; both scale in proportion to the actual one. 0: no scaling.
        warmup: number of warm-up steps.
        flat: fraction of the steps before the cosine starts; 1 means never.
        backbone: factor on the backbone's learning rate; 0 freezes it, weights and statistics.
        freeze: number of the backbone's first blocks that are frozen, with its stem; of CSPNeXt, stages.
        clip: maximum gradient norm; 0 disables clipping.
        ema_momentum: final momentum of the averaged weights: m = momentum + (1 - momentum) exp(-(step + 1) / gamma).
        ema_gamma: time constant of that schedule, in steps.
    """

    lr: float = 4e-3
    lr_end: float = 2e-4
    lr_batch: int = 0
    flat: float = 0.5
    warmup: int = 1000
    weight_decay: float = 0.05
    clip: float = 1.0
    backbone: float = 1.0
    freeze: int = 0
    ema_momentum: float = 2e-4
    ema_gamma: float = 2000.0

    def __post_init__(self) -> None:
        for name in ("clip", "warmup", "freeze", "backbone", "weight_decay", "lr_batch"):
            if not getattr(self, name) >= 0:
                raise WholebodyError(f"optim.{name} must be at least 0, not {getattr(self, name)}.")


@dataclass(frozen=True)
class Augment:
    """Strengths of the augmentations; see `wholebody.train.data.augment.Augmentation`.

    Attributes:
        close_up: probability of a crop around the head or one hand.
        scale: factors on the crop's extent.
        rotation: maximum degrees in either direction.
        cutout: probability of a black rectangle.
        shrink: probability of a low-resolution crop, as of a distant person.
        camera: probability of changing camera, lighting and clothing colours. A teacher whose output is stored saw the
            plain crop.
        mirror: probability of mirroring a prepared view; other crops are mirrored half the time.
        zoom: the largest change of a prepared view's scale (as a logarithm) and position; other crops have `scale`.
        late: fraction of the run after which the weaker late augmentation is used.
        late_scale, late_rotation: the same for the late augmentation.
    """

    close_up: float = 0.0
    scale: tuple[float, float] = (0.6, 1.4)
    rotation: float = 80.0
    cutout: float = 1.0
    shrink: float = 0.0
    camera: float = 0.0
    mirror: float = 0.0
    zoom: float = 0.0
    late: float = 240 / 270
    late_scale: tuple[float, float] = (0.75, 1.25)
    late_rotation: float = 60.0


@dataclass(frozen=True)
class DataSource:
    """A data set and its share of the samples.

    Attributes:
        kind: "coco" reads annotations and images in COCO-WholeBody's layout, where a point is labelled if its third
            number is above 0; "pseudo" the same layout with confidences, which become weights of the labels; "ubody"
            the folder of UBody; "pool" a folder of freely licensed photos with pseudo-labels
            (`wholebody.train.data.pool`); "shards" a folder of tar shards; "views" prepared crops with a teacher's
            output (`wholebody.train.data.views`).
        path: the annotation file or the folder.
        images: folder of the pictures, for "coco", "pseudo" and "ubody"; by default the folder of the labels.
        boxes: for evaluation on "coco", a file of detected boxes (COCO results); by default the labelled boxes.
        every: for "ubody", use frames 1, 1 + every, 1 + 2 every ... of each video.
        share: share of the samples; 0 samples each person equally often, as if the sets were concatenated.
        groups: share of each group of a pool, by default 1.
        held_out: percentage of the pictures, chosen by a hash of their names, that are held out for validation on the
            same source. Pools and UBody have their own split.
    """

    kind: DataKind
    path: str
    images: str = ""
    boxes: str = ""
    every: int = 1
    share: float = 0.0
    groups: Mapping[str, float] = field(default_factory=dict)
    held_out: float = 0.0


# Percentage of a user's own data that is held out for validation.
HELD_OUT = 5.0

# alpha and beta were chosen with a label loss summed over the batch of one process: this many people, at 384x288 half.
RELEASED_PEOPLE = 64


@dataclass(frozen=True)
class Distill:
    """The distillation part of a run, in the paper's notation (`wholebody.train.distill`).

    Attributes:
        stage: "warm": a randomly initialised backbone learns the teacher's feature maps, and nothing else. 1: a larger
            teacher guides features and logits in addition to the labels. 2: the trained network teaches a new head on
            its own frozen backbone, with logits alone.
        teachers: checkpoints or ONNX files; several are averaged. Stage 2 takes one, its own network. Empty for
            "views", which include the teacher's output.
        ori: weight of the label loss; 0 ignores labels.
        alpha: weight of the feature loss; 0 disables it.
        beta: weight of the logit loss in stage 1; 0 disables it.
        gamma: weight of the logit loss in stage 2.
        decay: whether r(t) decays as published; otherwise it stays 1.
        masked: use only labelled keypoints in the logit loss (`released.MaskedStageOne`); worse according to the paper.
        sharpness: factor on the logits before the softmax in the logit loss.
        people: the label loss in stage 1 is a mean over people times this number.
        faithful: follow the released code where it contradicts the paper (`wholebody.train.released`): the teacher's
            batch norms (in stage 2 the frozen backbone's) use and update batch statistics, and the label loss is a sum
            over the batch of one process, so the balance of the terms depends on it. By default the teacher is in
            evaluation mode, and the balance is that of the released code for `people`, whatever the batch size.
    """

    stage: Literal["warm", 1, 2] = 1
    teachers: tuple[str, ...] = ()
    ori: float = 1.0
    alpha: float = 7e-5
    beta: float = 0.1
    gamma: float = 1.0
    decay: bool = True
    masked: bool = False
    sharpness: float = SHARPNESS
    people: int = RELEASED_PEOPLE
    faithful: bool = False


@dataclass(frozen=True)
class TrainConfig:
    """One training run.

    Attributes:
        name: name of the run; one run per folder.
        network: a name from `wholebody.networks.kinds.NETWORKS`: "thunder" is MoveNet Thunder's encoder with an RTMPose
            head; the letters are RTMPose's sizes.
        schema: the keypoints, a name from `wholebody.schema.SCHEMAS`; the data must have them.
        init: initial weights: a .tflite file for "thunder", otherwise a backbone or a whole network; only the backbone
            is used if its input size differs.
        input_size: (w, h).
        epochs: passes over the data; the decay of a distillation is constant within one. 0: use `steps` instead.
        steps: training steps, if there are no epochs.
        batch: crops per step, over all processes.
        sources: the data; on the command line, use --data.
        accumulate: number of parts in which a process computes its share of the batch, to save memory.
        seed: random seed of initial weights, sampling and augmentation.
        parts: weights of each part's keypoints in the loss.
        absent: weight of keypoints that are known to be outside the crop: their label is a flat distribution, so that
            their scores become low. 0 ignores them, as published.
        heatmap: weight of the training-only heatmap loss; 0 disables it. Needs a backbone with a pyramid.
        distill: the distillation; None trains on labels alone.
        calm: initialise the attention with smaller values, so that a short warm-up suffices; differs from the published
            code.
        label: factor on the label loss of a training on labels alone, a mean over people. The released code sums over
            the 64 people of a process, so its gradient is that much larger before clipping.
        precision: mixed precision: "auto" uses bf16 if it is native, fp16 (with loss scaling) on a GPU without it, and
            otherwise fp32.
        compile: use torch.compile.
        tf32: on GPUs, use TF32 for matrix products, as PyTorch does for convolutions by default.
        shared_norms: with several processes, synchronise batch norms, as published. Otherwise each process uses its own
            batch, which is twice as fast on CPUs.
        workers: processes that prepare crops; 0 uses the training process.
        checkpoint_minutes: minutes between saved states.
        validation: sets of people never trained on (`wholebody.train.validate`), evaluated every `validate` steps. The
            best network is saved as `best.safetensors`.
    """

    name: str
    network: str
    sources: Annotated[tuple[DataSource, ...], tyro.conf.Suppress]
    schema: str = COCO_WHOLEBODY.name
    init: str = ""
    input_size: tuple[int, int] = (192, 256)
    epochs: int = 0
    steps: int = 10_000
    batch: int = 64
    accumulate: int = 1
    seed: int = 21
    optim: Optim = Optim()
    augment: Augment = Augment()
    parts: Mapping[str, float] = field(default_factory=dict)
    absent: float = 0.0
    heatmap: float = 0.0
    distill: Distill | None = None
    calm: bool = True
    label: float = 1.0
    precision: TrainPrecision = "fp32"
    compile: bool = False
    tf32: bool = True
    shared_norms: bool = True
    workers: int = 1
    checkpoint_minutes: float = 4.0
    validation: Annotated[tuple[DataSource, ...], tyro.conf.Suppress] = ()
    validate: int = 1000

    def __post_init__(self) -> None:
        def refuse(what: str) -> None:
            raise WholebodyError(f"recipe {self.name}: {what}.")

        least = {"batch": 1, "accumulate": 1, "validate": 1, "epochs": 0, "workers": 0, "seed": 0}
        least |= {} if self.epochs else {"steps": 1}
        for name, lowest in least.items():
            if getattr(self, name) < lowest:
                refuse(f"{name} must be at least {lowest}, not {getattr(self, name)}")
        if not self.sources:
            refuse("name at least one data source")
        if any(side < 32 or side % 32 for side in self.input_size):
            refuse(f"input_size must be multiples of 32, not {self.input_size}")
        if self.batch % self.accumulate:
            refuse(f"a batch of {self.batch} cannot be cut into {self.accumulate} parts")
        views = [source.kind == "views" for source in self.sources]
        if any(views) and len(views) > 1:
            refuse("views cannot be mixed with other data; write them from a mixture")

    @property
    def points(self) -> Schema:
        """The keypoints.

        Raises:
            WholebodyError: there is no such schema.
        """
        try:
            return schema_named(self.schema)
        except ValueError as error:
            raise WholebodyError(f"recipe {self.name}: {error}.") from error


def parse_source(text: str) -> DataSource:
    """Parse a data set given on the command line: `KIND:PATH[@EVERY][:IMAGES[:BOXES]][=SHARE]`.

        pool:photos=0.5   shards:work/synth/train=0.5   coco:labels.json:pictures   ubody:UBody@10   views:work/views

    Raises:
        WholebodyError: unknown kind, or a share or interval that is not a number.
    """
    named, _, share = text.rpartition("=") if "=" in text else (text, "", "0")
    kind, path, *more = [*named.split(":"), ""]
    images, boxes = [*more[:-1], "", ""][:2]
    every = "1"
    if kind == "ubody" and "@" in path:
        path, _, every = path.rpartition("@")
    try:
        if kind not in get_args(DataKind) or not path or float(share) < 0 or int(every) < 1 or len(more) > 3:
            raise ValueError
        return DataSource(cast(DataKind, kind), path, images, boxes, int(every), float(share))
    except ValueError:
        raise WholebodyError(
            f"{text!r} is not a data set. Write KIND:PATH[:IMAGES[:BOXES]][=SHARE], with "
            f"{', '.join(get_args(DataKind))}; ubody:PATH@10 takes every tenth frame."
        ) from None


@dataclass(frozen=True)
class TwoStages:
    """A distillation: stage 1, then stage 2 on its result."""

    first: TrainConfig
    second: TrainConfig
