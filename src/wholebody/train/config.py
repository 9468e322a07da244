"""A training run as a frozen description. No torch here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal, cast, get_args

import tyro

from wholebody.choices import TrainPrecision
from wholebody.errors import WholebodyError
from wholebody.schema import COCO_WHOLEBODY, Schema, schema_named

DataKind = Literal["coco", "pseudo", "ubody", "pool", "shards", "views"]


@dataclass(frozen=True)
class Optim:
    """AdamW with a linear warm-up and a cosine.

    Attributes:
        lr: learning rate at the top.
        lr_end: at the end of the cosine.
        lr_batch: the batch that `lr` and `lr_end` are for; both grow in proportion to the real one. 0: for any.
        warmup: steps of the linear rise.
        flat: share of the steps before the cosine starts; 1 never starts it.
        backbone: factor on the backbone's learning rate; 0 keeps it as it is, weights and statistics.
        freeze: how many of the backbone's first blocks stay as they are.
        clip: greatest gradient norm; 0 clips nothing.
        ema_momentum: of the averaged weights in the end: m = momentum + (1 - momentum) exp(-(step + 1) / gamma).
        ema_gamma: steps in which it gets there.
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


@dataclass(frozen=True)
class Augment:
    """Strengths of the augmentations; see `wholebody.train.data.augment.Augmentation`.

    Attributes:
        close_up: chance of a crop around the head or one hand.
        scale: factors on the crop's extent.
        rotation: degrees to either side.
        cutout: chance of a black rectangle.
        shrink: chance of a crop as of a person far away.
        camera: chance of the crop as from another camera, in other light and other clothes. A teacher that was asked
            beforehand saw the plain one.
        late: share of the run after which the weaker late augmentation is used.
        late_scale, late_rotation: of that.
    """

    close_up: float = 0.0
    scale: tuple[float, float] = (0.6, 1.4)
    rotation: float = 80.0
    cutout: float = 1.0
    shrink: float = 0.0
    camera: float = 0.0
    late: float = 240 / 270
    late_scale: tuple[float, float] = (0.75, 1.25)
    late_rotation: float = 60.0


@dataclass(frozen=True)
class DataSource:
    """A data set and its share of the draws.

    Attributes:
        kind: "coco" reads annotations and images in COCO-WholeBody's layout, where a point whose third number is above
            0 is labelled; "pseudo" the same layout with confidences there, which are weights of the labels; "ubody" the
            folder of UBody; "pool" a folder of freely licensed photos with pseudo-labels (`wholebody.train.data.pool`);
            "shards" a folder of tar shards; "views" crops that were cut beforehand, with what a teacher says of them
            (`wholebody.train.data.views`).
        path: the annotation file or the folder.
        images: folder of the pictures, for "coco", "pseudo" and "ubody"; beside the labels where none is named.
        boxes: for an evaluation on "coco", a file of detected boxes (COCO's results); the labelled boxes if empty.
        every: of "ubody", frames 1, 1 + every, 1 + 2 every ... of each video.
        share: of the draws; 0 draws each person equally often, whatever the set, as a concatenation of sets does.
        groups: share of each group of a pool; groups not named have 1.
        held_out: per cent of the pictures, by a hash of their names, that are not trained on: a validation on the same
            source uses them alone. Pools and UBody have a split of their own.
    """

    kind: DataKind
    path: str
    images: str = ""
    boxes: str = ""
    every: int = 1
    share: float = 0.0
    groups: Mapping[str, float] = field(default_factory=dict)
    held_out: float = 0.0


# Per cent of somebody's own data that a run keeps back to validate on.
HELD_OUT = 5.0

# alpha and beta were chosen beside a label loss that is the sum over this many people, the batch of one process.
RELEASED_PEOPLE = 64


@dataclass(frozen=True)
class Distill:
    """What a teacher adds to a run, in the paper's letters (`wholebody.train.distill`).

    Attributes:
        stage: "warm": a backbone with random weights learns the maps of the teacher's, and nothing else. 1: a larger
            teacher guides features and logits beside the labels. 2: the trained network itself teaches a fresh head on
            its frozen backbone, with logits alone.
        teachers: files, each a checkpoint or an ONNX file; several are averaged. Stage 2 takes one, its own network.
            Empty for "views", which bring what the teacher said.
        ori: factor on the label loss; 0 leaves labels out.
        alpha: weight of the feature loss; 0 leaves it out.
        beta: weight of the logit loss in stage 1; 0 leaves it out.
        gamma: weight of the logit loss in stage 2.
        decay: r(t) falls as published; otherwise it stays 1.
        masked: count only labelled keypoints in the logit loss (`released.MaskedStageOne`); the paper found that to be
            worse.
        sharpness: factor on logits before the softmax of the logit loss.
        faithful: as the released code does it and against its own description (`wholebody.train.released`): the
            teacher's batch norms (in stage 2 the frozen backbone's) use and update batch statistics, and the label loss
            is a sum over the batch of one process, so that the balance of the terms depends on it. The default is a
            teacher in evaluation mode and the balance that the released code has at 64 people, at any batch.
    """

    stage: Literal["warm", 1, 2] = 1
    teachers: tuple[str, ...] = ()
    ori: float = 1.0
    alpha: float = 7e-5
    beta: float = 0.1
    gamma: float = 1.0
    decay: bool = True
    masked: bool = False
    sharpness: float = 10.0
    faithful: bool = False


@dataclass(frozen=True)
class TrainConfig:
    """One training run.

    Attributes:
        name: of the run; a folder holds one.
        network: a name of `wholebody.networks.kinds.NETWORKS`: "thunder" is MoveNet Thunder's encoder with an RTMPose
            head; the letters are RTMPose's sizes.
        schema: the keypoints, a name of `wholebody.schema.SCHEMAS`; the data must have them.
        init: weights to start from: a .tflite file for "thunder", otherwise a backbone or a whole network; only the
            backbone is taken if its input has another size.
        input_size: (w, h).
        epochs: passes over the data; the decay of a distillation is constant within one. 0: `steps` says how long.
        steps: where there are no epochs.
        batch: crops per step, over all processes.
        sources: the data; on the command line they are given with --data.
        accumulate: parts in which a process computes its share of the batch, where memory is short.
        seed: of first weights, draws and augmentations.
        parts: factors on the loss of each part's keypoints.
        absent: weight of keypoints that are known not to be in the crop: their label is a flat distribution, so that
            their scores become low. 0 leaves them out, as published.
        heatmap: factor on the training-only heat-map loss; 0 leaves it out. Needs a backbone with a pyramid.
        distill: what a teacher adds; None trains on labels alone.
        calm: start the attention with smaller values, so that a short warm-up will do; not so published.
        label: factor on the label loss of a training on labels alone, a mean over people. The released code sums over
            the people of a process, 64, so that its gradient is that much larger before it is clipped.
        precision: what is safe in half precision is computed in it: "auto" takes bf16 where it is native, on a graphics
            card without it fp16 (with a scaled loss), else fp32.
        compile: let torch.compile make kernels for the network.
        tf32: on graphics cards, multiply float32 with 10 bits fewer, as PyTorch convolves by default.
        shared_norms: in several processes, batch norms see the batch of all, as published. Otherwise each its own,
            which on processors is twice as fast.
        workers: processes that prepare crops; 0: none but the training itself.
        checkpoint_minutes: from one saved state to the next.
        validation: sets of people never trained on (`wholebody.train.validate`); `validate` steps lie between two
            evaluations. The best network is kept as `best.safetensors`.
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
        if not self.sources:
            raise ValueError(f"recipe {self.name}: name at least one data source")
        if any(side % 32 for side in self.input_size):
            raise ValueError(f"recipe {self.name}: input_size must be multiples of 32, not {self.input_size}")
        if self.batch < 1:
            raise ValueError(f"recipe {self.name}: batch must be at least 1, not {self.batch}")
        if self.accumulate < 1 or self.batch % self.accumulate:
            raise ValueError(f"recipe {self.name}: a batch of {self.batch} cannot be cut into {self.accumulate} parts")
        views = [source.kind == "views" for source in self.sources]
        if any(views) and len(views) > 1:
            raise ValueError(f"recipe {self.name}: views cannot be mixed with other data; write them from a mixture")

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
    """A set as it is named on the command line: `KIND:PATH[@EVERY][:IMAGES[:BOXES]][=SHARE]`.

        pool:photos=0.5   shards:work/synth/train=0.5   coco:labels.json:pictures   ubody:UBody@10   views:work/views

    Raises:
        WholebodyError: another kind, or a share or an interval that is no number.
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
