"""Validation during training, on people never trained on; the work is shared by all processes.

For sets in COCO-WholeBody's layout the figures are those of papers: AP and AR of each part by the official metric, with
detected boxes if the recipe names a file of them, and with the flip test. For others it is the mean OKS of people in
their labelled boxes.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar, cast

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from torch import nn

from wholebody.arrays import Floats, Image
from wholebody.codec import merge_flipped
from wholebody.console import say
from wholebody.data.coco import read_labels
from wholebody.data.labels import Labels, picture_path
from wholebody.errors import WholebodyError
from wholebody.evaluate.metric import evaluate
from wholebody.evaluate.oks import part_oks
from wholebody.evaluate.run import Boxes, labelled_boxes, read_boxes
from wholebody.geometry import Crop
from wholebody.networks.rtmpose import RTMPose
from wholebody.poses import Poses
from wholebody.schema import Schema
from wholebody.train.config import DataSource, TrainConfig
from wholebody.train.data.crops import is_held_out, validation_people
from wholebody.train.data.people import Encoded, LabelledPerson
from wholebody.train.engine.parallel import Process, is_first

# Crops per run of the network.
_BATCH = 32

Each = TypeVar("Each")


class Measured(NamedTuple):
    """The result of a validation: the figure that selects the best network, and all figures."""

    score: float
    figures: Mapping[str, float]


# Network and process -> the result in the first process; the others do their share and return None.
Measure = Callable[[Any, Process], Measured | None]


def validation(config: TrainConfig) -> Measure | None:
    """How the recipe's networks are validated; None without held-out people.

    Raises:
        WholebodyError: the people cannot be read, or nobody is labelled.
    """
    if not config.validation:
        return None
    ranked = [_ranked(source, config.points) for source in config.validation if source.kind == "coco"]
    ranked = [each for each in ranked if each[2]]  # a small set may have no held-out people
    others = tuple(source for source in config.validation if source.kind != "coco")
    people = validation_people(config, others)
    if not people and any(not source.held_out for source in others):
        raise WholebodyError(f"{others[0].path}: it has nobody to validate on. Name another set, or none.")
    if not people and not ranked:
        return None

    def measure(network: RTMPose, process: Process) -> Measured | None:
        network.eval()
        if process.world > 1:  # unsynchronised batch norms differ; use those of the first process
            for buffer in network.buffers():
                dist.broadcast(buffer, 0)
        figures: dict[str, float] = {}
        for labels, images, boxes in ranked:
            mine = sorted(set(boxes) & set(labels.images))[process.rank :: process.world]
            found = estimated(network, labels, images, boxes, mine)
            together = {n: poses for part in _gathered(found, process) for n, poses in part.items()}
            if process.first:
                figures = {**_precision(labels, together), **figures}
        if people:
            points = predict(network, people[process.rank :: process.world])
            parts = _gathered(points, process)
            if process.first:
                whole: list[npt.NDArray[np.float32]] = [points[0]] * len(people)
                for rank, part in enumerate(parts):
                    whole[rank :: process.world] = part
                figures |= part_oks(people, whole, config.points)
        return Measured(figures.get("AP", figures.get("all", 0.0)), figures) if process.first else None

    return measure


def _ranked(source: DataSource, schema: Schema) -> tuple[Labels, Path, Boxes]:
    """Labels, the folder of their pictures, and the people's boxes."""

    def keep(image: Mapping[str, Any]) -> bool:
        return not source.held_out or is_held_out(str(image.get("file_name")), source.held_out)

    labels = read_labels(source.path, schema=schema, keep=keep)
    boxes: Boxes = read_boxes(source.boxes) if source.boxes else labelled_boxes(labels)
    if not labelled_boxes(labels) and not source.held_out:
        raise WholebodyError(f"{source.path}: nobody is labelled there. Validate on another set, or on none.")
    images = Path(source.images or Path(source.path).parent)
    names = [each.file_name for each in labels.images.values()]
    missing = [name for name in names if not picture_path(images, name).exists()]
    if missing and len(missing) == len(names):
        raise WholebodyError(f"{images}: none of {len(names)} pictures is there, {names[0]} for one. Name the folder.")
    if missing and is_first():
        say(f"{source.path}: {len(missing)} of {len(names)} pictures are missing. Nobody is found in them.")
    return labels, images, boxes


def _precision(labels: Labels, found: Mapping[int, Poses]) -> dict[str, float]:
    """AP and AR of all points, and AP of each part."""
    report = evaluate(labels, found, resamples=0)
    whole = report.figures["whole"]
    return {"AP": whole["AP"].value, "AR": whole["AR"].value} | {
        f"AP_{part}": report.figures[part]["AP"].value for part in report.parts if part != "whole"
    }


def _gathered(mine: Each, process: Process) -> list[Each]:
    """Gather the results of all processes."""
    if process.world == 1:
        return [mine]
    found: list[Any] = [None] * process.world
    dist.all_gather_object(found, mine)
    return found


def estimated(
    network: RTMPose, labels: Labels, images: Path, boxes: Boxes, numbers: Sequence[int], flip: bool = True
) -> dict[int, Poses]:
    """The people in the boxes of some pictures; an unreadable picture has nobody.

    Args:
        boxes: image id -> boxes and their scores.
        flip: average the outputs for each crop and its mirror image.
    """
    schema = labels.schema
    found: dict[int, Poses] = {}

    def crops() -> Iterator[tuple[int, Crop, Image]]:
        for number in numbers:
            try:
                image = Encoded(str(picture_path(images, labels.images[number].file_name))).decode()
            except WholebodyError:
                continue
            for box in boxes[number][0]:
                crop = Crop.from_box(box, network.codec.input_size)
                yield number, crop, crop.cut(image)

    points: dict[int, list[tuple[Floats, Floats]]] = {}
    for number, crop, keypoints, scores in _decoded(network, crops(), schema if flip else None):
        points.setdefault(number, []).append((crop.to_image(keypoints).astype(np.float32), scores))
    for number, people in points.items():
        keypoints, scores = (np.stack(column) for column in zip(*people, strict=True))
        found[number] = Poses(keypoints, scores, *boxes[number], schema)
    return found


@torch.no_grad()
def _decoded(
    network: RTMPose, crops: Iterable[tuple[int, Crop, Image]], flip: Schema | None
) -> Iterator[tuple[int, Crop, Floats, Floats]]:
    """Keypoints (K, 2) in crop pixels and scores (K,) of each crop."""
    device = next(network.parameters()).device
    crops = iter(crops)
    while batch := list(islice(crops, _BATCH)):
        images = torch.from_numpy(np.stack([image for _, _, image in batch])).to(device)
        outputs = _outputs(network, images)
        if flip is not None:
            outputs = merge_flipped(network.codec, outputs, _outputs(network, images.flip(2)), flip.flip)
        keypoints, scores = network.codec.decode(*outputs)
        yield from ((n, crop, k, s) for (n, crop, _), k, s in zip(batch, keypoints, scores, strict=True))


def _outputs(network: RTMPose, images: torch.Tensor) -> tuple[Floats, ...]:
    return tuple(each.float().cpu().numpy() for each in cast(nn.Module, network)(network.normalise(images)))


class Loads(Protocol):
    """A person with a picture, such as `PersonFile`."""

    def load(self) -> LabelledPerson: ...


def predict(network: RTMPose, people: Sequence[Loads]) -> list[npt.NDArray[np.float32]]:
    """Keypoints (K, 2) of each person in image pixels, with the labelled boxes and no flip test.

    An unreadable picture is replaced by black, so that it does not end the training.
    """
    network.eval()

    def crops() -> Iterator[tuple[int, Crop, Image]]:
        for number, person in enumerate(people):
            sample = person.load()
            crop = Crop.from_box(sample.box, network.codec.input_size)
            try:
                picture = sample.pixels()
            except WholebodyError:
                picture = np.zeros((1, 1, 3), np.uint8)
            yield number, crop, crop.cut(picture)

    return [crop.to_image(points).astype(np.float32) for _, crop, points, _ in _decoded(network, crops(), None)]
