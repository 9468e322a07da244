"""From a recipe's sources to batches of crops."""

import dataclasses
import math
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from wholebody.codec import SimCC
from wholebody.console import say
from wholebody.data.check import mirrored_heads
from wholebody.data.coco import read_labels
from wholebody.data.labels import Labels
from wholebody.data.ubody import TEST_LIST, ubody_files, ubody_scenes
from wholebody.errors import WholebodyError
from wholebody.schema import COCO_WHOLEBODY, Schema
from wholebody.train.config import DataSource, TrainConfig
from wholebody.train.data import augment as aug
from wholebody.train.data.people import (
    NOWHERE,
    Mixture,
    PersonFile,
    PersonSource,
    Photographs,
    ShardedPeople,
    read_coco_wholebody,
)
from wholebody.train.data.pool import read_pool
from wholebody.train.data.table import Table, table
from wholebody.train.data.views import Views
from wholebody.train.engine.parallel import is_first
from wholebody.train.lesson import Batch

# A teacher's confidence below this is ignored.
LEAST_CONFIDENCE = 0.2

# Attempts per sample: more unreadable people in a row are no coincidence.
_ATTEMPTS = 8

# Margin in pixels outside the crop beyond which a keypoint is certainly not in it.
_BESIDE = 6

# The five head points of the body, and the face.
HEAD = [*range(5), *range(23, 91)]


@dataclass(frozen=True)
class Crops(Dataset[Batch]):
    """Crops of people, sampled from a mixture and augmented.

    Keypoints that are known to be outside the crop are `NOWHERE` and have the weight `absent`. If a person's picture
    cannot be read, another person of the same set is used, and the batch reports it.
    """

    mixture: Mixture
    codec: SimCC
    part_weights: npt.NDArray[np.float32]
    absent: float
    early: aug.Augmentation
    late: aug.Augmentation
    late_from: int
    schema: Schema = COCO_WHOLEBODY

    def draw(self, numbers: range) -> Batch:
        """The batch of some samples.

        Raises:
            WholebodyError: several in a row cannot be read.
        """
        rows, unreadable = [], []
        for n in numbers:
            for attempt in range(_ATTEMPTS):
                try:
                    rows.append(self._crop(n, attempt))
                    break
                except WholebodyError as error:
                    if attempt + 1 == _ATTEMPTS:
                        raise
                    unreadable.append(str(error))
        images, keypoints, weight = (torch.from_numpy(np.stack(column)) for column in zip(*rows, strict=True))
        return Batch(images, keypoints, weight, unreadable=tuple(unreadable))

    def _crop(self, n: int, attempt: int) -> tuple[npt.NDArray[Any], ...]:
        """Picture, keypoints and weights of a sample."""
        sample, rng = self.mixture.draw(n, attempt)
        config = self.early if n < self.late_from else self.late
        crop, points, visible = aug.augment(sample, self.codec.input_size, config, rng, self.schema)
        outside = (points < -_BESIDE) | (points > np.array(self.codec.input_size) - 1 + _BESIDE)
        absent = (visible < 0) | ((visible > 0) & outside.any(axis=1))
        weight = self.codec.weight(points, (visible > 0) & ~absent)
        weight = np.where(absent, np.float32(self.absent), weight * visible)
        return crop, np.where(absent[:, None], NOWHERE, points).astype(np.float32), weight * self.part_weights


def load_mixture(config: TrainConfig) -> Mixture:
    """The recipe's data sets with their shares.

    Raises:
        WholebodyError: one cannot be read, has nobody to train on, or lacks a share that others have.
    """
    sets: list[tuple[PersonSource, float]] = []
    for source in config.sources:
        found = people(source, config.points)
        if not any(map(len, found.values())):
            raise WholebodyError(f"{source.path}: has nobody to train on. Choose labels with people.")
        for each in found.values():
            if isinstance(each, Table) and each.missing and is_first():
                of = each.missing + each.pictures
                say(f"{source.path}: {each.missing} of {of} pictures are missing. Their people are left out.")
        weights = {group: len(each) * source.groups.get(group, 1.0) for group, each in found.items()}
        total = sum(weights.values())
        share = source.share or (total if source.groups else 0.0)
        sets += [(each, share * weights[group] / total) for group, each in found.items()]
    if len({bool(share) for _, share in sets}) > 1:
        raise WholebodyError(f"recipe {config.name}: give all sources a share of the draws, or none.")
    return Mixture(sets, config.seed)


def people(source: DataSource, schema: Schema = COCO_WHOLEBODY, held_out: bool = False) -> dict[str, PersonSource]:
    """The people of a source, by group: those for training, or those held out."""
    if source.kind in ("pool", "ubody") and schema is not COCO_WHOLEBODY:
        raise WholebodyError(f"{source.path}: has {COCO_WHOLEBODY.name}, not {schema.name}. Use coco or shards.")
    if source.kind == "pool":
        return {group: Photographs(each) for group, each in pool_people(source.path, held_out).items()}

    def keep(name: str) -> bool:
        return not source.held_out or is_held_out(name, source.held_out) == held_out

    if source.kind == "shards":
        return {"": ShardedPeople(source.path, schema, keep)}
    path = Path(source.path)
    about: dict[str, object] = {"kind": source.kind, "every": source.every, "schema": schema.name}
    about |= {"side": [source.held_out, held_out] if source.held_out or source.kind == "ubody" else []}
    if source.kind == "ubody":
        files, images = [*ubody_files(path), path / "splits" / TEST_LIST], Path(source.images or path / "images")
        split = "test" if held_out else "train"
        return {"": table(about, files, lambda: ubody_scenes(path, split=split, every=source.every), images, True)}

    def labels() -> list[Labels]:
        return [read_labels(path, schema=schema, keep=lambda image: keep(str(image.get("file_name"))))]

    return {"": table(about, [path], labels, Path(source.images or path.parent), source.kind == "coco")}


def is_held_out(name: str, percent: float) -> bool:
    """Whether a picture is held out, the same on every machine."""
    return zlib.crc32(name.encode()) % 10_000 < 100 * percent


def pool_people(folder: str | os.PathLike[str], held_out: bool) -> dict[str, list[PersonFile]]:
    """Pseudo-labelled people on one side of a pool's split, by group. Points with a low confidence count as unlabelled,
    and so does a head whose left and right the teacher swapped, as happens with the backs of heads."""
    photos = {photo.file: photo for photo in read_pool(folder) if photo.held_out == held_out}
    groups: dict[str, list[PersonFile]] = {}
    for person in read_coco_wholebody(
        Path(folder) / "pseudo_mediapipe.json", folder, lambda image: image["file_name"] in photos
    ):
        visible = np.where(person.visible < LEAST_CONFIDENCE, 0, person.visible).astype(np.float32)
        if is_mirrored(dataclasses.replace(person, visible=visible)):
            visible[HEAD] = 0
        group = photos[person.file.relative_to(folder).as_posix()].group
        groups.setdefault(group, []).append(dataclasses.replace(person, visible=visible))
    return groups


def is_mirrored(person: PersonFile) -> bool:
    """Whether the head's left and right are swapped."""
    least = max(4.0, 0.02 * float(max(person.box[2:] - person.box[:2])))
    found = mirrored_heads(person.keypoints[None], person.visible[None] > 0, np.array([least]))
    return any(bool(wrong[0]) for _, _, wrong in found)


def validation_people(config: TrainConfig, sources: Sequence[DataSource]) -> list[PersonFile]:
    """The labelled people of some of the recipe's sets; for pools, the held-out ones."""
    found: list[PersonFile] = []
    for source in sources:
        for group in people(source, config.points, held_out=True).values():
            if isinstance(group, Photographs):
                found += group.people
            elif isinstance(group, (Table, ShardedPeople)):
                found += map(group.person, range(len(group)))
    return found


def part_factors(config: TrainConfig) -> npt.NDArray[np.float32]:
    """(K,) the recipe's weights of keypoints."""
    schema = config.points
    weights = np.ones(len(schema), dtype=np.float32)
    for part, factor in config.parts.items():
        if part not in schema.parts:
            known = ", ".join(schema.parts)
            raise WholebodyError(f"recipe {config.name}: {schema.name} has no part {part!r}. There are {known}.")
        weights[schema.parts[part]] = factor
    return weights


def load_data(config: TrainConfig, codec: SimCC) -> tuple[Crops | Views, int]:
    """The recipe's data and its number of steps."""
    if config.sources[0].kind == "views":
        path, look = Path(config.sources[0].path), config.augment
        views = Views(path, codec, config.seed, look.camera, look.mirror, look.zoom, config.points)
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
    late = dataclasses.replace(
        early, shift=0.0, scale=strengths.late_scale, rotation=strengths.late_rotation, cutout=0.5
    )
    late_from = math.ceil(strengths.late * steps) * config.batch
    return Crops(mixture, codec, part_factors(config), config.absent, early, late, late_from, config.points), steps
