"""Teachers: callables from crops to predictions.

    teacher = from_file("rtmpose-l.pth", student.codec)            # a checkpoint: features and logits
    teacher = from_file("vitpose.onnx", student.codec)             # any ONNX pose network: logits, through its codec
    teacher = Average((one, other))
    teacher = Landmarker(ask, BLAZEPOSE_33, student.codec)         # any function that finds other landmarks
    fit(config, out, teacher=lambda crops: Taught(*mine(crops)))   # any callable

A teacher gets the student's crops, uint8 BGR, and converts them to what its own network needs: input size, colour
order, normalisation, number of bins. It is frozen: it runs without gradients, and is never trained or saved. Labels
that teachers have written to a file, with confidences, are a data set rather than a teacher (`data.coco.read_labels`).
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from wholebody.arrays import Floats
from wholebody.codec import SimCC
from wholebody.errors import WholebodyError
from wholebody.networks.checkpoints import load_pose
from wholebody.networks.rtmpose import RTMPose
from wholebody.pose.load import open_estimator
from wholebody.pose.topdown import TopDown
from wholebody.train.landmarks import K, Landmarks, to_wholebody
from wholebody.train.lesson import Batch
from wholebody.weights.lookup import CHECKPOINTS, find, trainable


class Taught(NamedTuple):
    """A teacher's output for N crops, in the student's bins."""

    x: Tensor  # (N, K, X) logits
    y: Tensor  # (N, K, Y)
    feature: Tensor | None = None  # (N, C, h / 32, w / 32) for crops of (h, w), if available
    weight: Tensor | None = None  # (N, K) confidence for each keypoint; None means 1


# Crops (N, h, w, 3) uint8 BGR of the student's input size -> the teacher's output.
Teacher = Callable[[Tensor], Taught]


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A network of this package, from a checkpoint: features and logits."""

    network: RTMPose
    codec: SimCC

    def __post_init__(self) -> None:
        self.network.requires_grad_(False).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Taught:
        network = self.network.to(images.device)
        own = network.codec.input_size
        feature, x, y = network.outputs(network.normalise(resized(images, own)))
        w, h = self.codec.input_size
        if own != self.codec.input_size:
            feature = F.adaptive_avg_pool2d(feature, (h // 32, w // 32))
        return Taught(*rebinned(x, y, self.codec), feature)


@dataclass(frozen=True, eq=False)
class Onnx:
    """Any pose network as ONNX; see `wholebody.pose.topdown.TopDown` for what can be read.

    SimCC's logits are used directly. Heatmaps and coordinates are decoded and encoded again like labels, with a height
    that depends on the score.
    """

    model: TopDown
    codec: SimCC
    landmarks: Landmarks | None = None

    def __call__(self, images: Tensor) -> Taught:
        model = self.model
        crops = resized(images, model.codec.input_size).round().to(torch.uint8).cpu().numpy()
        if isinstance(model.codec, SimCC) and self.landmarks is None and len(model.schema) == K:
            x, y = (torch.from_numpy(each).to(images.device) for each in model.logits(crops))
            return Taught(*rebinned(x, y, self.codec))
        keypoints, scores = model.predict(crops)
        keypoints = keypoints * np.divide(self.codec.input_size, model.codec.input_size).astype(np.float32)
        table = self.landmarks or {row: (row,) for row in range(len(model.schema))}
        return spread(*to_wholebody(keypoints, scores, table), self.codec, images.device)


@dataclass(frozen=True, eq=False)
class Landmarker:
    """Any function from crops (N, h, w, 3) uint8 BGR to landmarks (N, L, 2) in crop pixels and scores (N, L)."""

    ask: Callable[[npt.NDArray[np.uint8]], tuple[Floats, Floats]]
    landmarks: Landmarks
    codec: SimCC

    def __call__(self, images: Tensor) -> Taught:
        points, scores = self.ask(images.cpu().numpy())
        return spread(*to_wholebody(points, scores, self.landmarks), self.codec, images.device)


@dataclass(frozen=True, eq=False)
class Average:
    """Several teachers: the mean of their logits, for each keypoint over those that have it. Features come from the
    first that has any."""

    teachers: Sequence[Teacher]

    def __call__(self, images: Tensor) -> Taught:
        taught = [teacher(images) for teacher in self.teachers]
        ones = torch.ones(taught[0].x.shape[:2], device=images.device)
        weights = [ones if each.weight is None else each.weight for each in taught]
        known = torch.stack(weights).sum(dim=0)
        share = [(weight / known.clamp(min=1e-6))[..., None] for weight in weights]
        x = torch.stack([part * each.x for part, each in zip(share, taught, strict=True)]).sum(dim=0)
        y = torch.stack([part * each.y for part, each in zip(share, taught, strict=True)]).sum(dim=0)
        feature = next((each.feature for each in taught if each.feature is not None), None)
        return Taught(x, y, feature, known / len(taught))


def from_file(path: str | os.PathLike[str], codec: SimCC) -> Teacher:
    """The teacher from a file or a name from `wholebody models`: a checkpoint (.pth, .safetensors) or an ONNX file.

    Files exported by this package, so all bundled networks, also give features; other ONNX files only logits.

    Args:
        codec: the student's.

    Raises:
        WholebodyError: no such file, or not a pose network.
    """
    file = find(trainable(os.fspath(path)), kind="pose")
    if file.suffix in CHECKPOINTS:
        return Checkpoint(load_pose(file), codec)
    try:
        network = load_pose(file)
    except WholebodyError:  # an ONNX file from elsewhere
        return Onnx(open_estimator(file), codec)
    return Checkpoint(network, codec)


def from_files(paths: Sequence[str], codec: SimCC) -> Teacher:
    """One teacher, or the average of several."""
    teachers = [from_file(path, codec) for path in paths]
    return teachers[0] if len(teachers) == 1 else Average(teachers)


def said(teacher: Teacher | None, batch: Batch) -> Taught:
    """The teacher's output for a batch, in float32; taken from the batch if it is stored there."""
    if batch.teacher_x is not None and batch.teacher_y is not None:
        taught = Taught(batch.teacher_x, batch.teacher_y, batch.teacher_feature)
    elif teacher is not None:
        taught = teacher(batch.images)
    else:
        raise ValueError("there is no teacher, and the batch has no stored teacher output")
    feature, weight = (None if each is None else each.float() for each in (taught.feature, taught.weight))
    return Taught(taught.x.float(), taught.y.float(), feature, weight)


def channels_of(teacher: Teacher, codec: SimCC, keypoints: int) -> int:
    """The channels of a teacher's feature map, 0 if it has none; determined by running it on a black crop.

    Raises:
        WholebodyError: its output does not match the student's keypoints and bins.
    """
    w, h = codec.input_size
    taught = teacher(torch.zeros(1, h, w, 3, dtype=torch.uint8))
    wanted = [(1, keypoints, bins) for bins in codec.bins]
    if (found := [tuple(axis.shape) for axis in taught[:2]]) != wanted:
        raise WholebodyError(f"the teacher's logits are {found} for one crop, the student's {wanted}. Make them equal.")
    return 0 if taught.feature is None else taught.feature.shape[1]


def resized(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Crops (N, h, w, 3) at the size (w, h), unchanged or as floats."""
    w, h = size
    if images.shape[1:3] == (h, w):
        return images
    planes = images.permute(0, 3, 1, 2).float()
    return F.interpolate(planes, size=(h, w), mode="bilinear", align_corners=False, antialias=True).permute(0, 2, 3, 1)


def rebinned(x: Tensor, y: Tensor, codec: SimCC) -> tuple[Tensor, Tensor]:
    """Logits with as many bins as the codec has, by linear interpolation."""
    along = [
        each if each.shape[-1] == bins else F.interpolate(each.float(), size=bins, mode="linear", align_corners=False)
        for each, bins in zip((x, y), codec.bins, strict=True)
    ]
    return along[0], along[1]


def spread(keypoints: Floats, scores: Floats, codec: SimCC, device: torch.device) -> Taught:
    """Convert keypoints (N, 133, 2) in input pixels and scores (N, 133) to a teacher's logits and weights.

    Each becomes a label's Gaussian with the height of its score, at most 1: after the softmax a lower one is flatter.
    """
    scores = scores.clip(0, 1)
    x, y, weight = codec.encode(keypoints, scores > 0)
    height = scores[..., None].astype(np.float32)
    known = torch.from_numpy((weight * scores).astype(np.float32)).to(device)
    return Taught(torch.from_numpy(x * height).to(device), torch.from_numpy(y * height).to(device), weight=known)
