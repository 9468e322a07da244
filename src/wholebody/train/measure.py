"""Measuring trained networks on held-out people, person by person, for tables that compare runs."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wholebody.arrays import Doubles, Image
from wholebody.evaluate.oks import part_oks
from wholebody.networks.checkpoints import load_pose
from wholebody.schema import COCO_WHOLEBODY
from wholebody.train.data.people import LabelledPerson, PersonFile
from wholebody.train.validate import predict

FIGURES = (*COCO_WHOLEBODY.parts, "all")


def measure(
    weights: str | os.PathLike[str], people: Mapping[str, Sequence[tuple[PersonFile, Image]]]
) -> dict[str, list[dict[str, float | None]]]:
    """OKS of each part of each person, None if fewer than five of its points (three of the feet) are labelled.

    Args:
        weights: a checkpoint.
        people: by kind, each with its picture; `held_out.held_out_people` has them.
    """
    network, figures = load_pose(weights), {}
    for kind, pairs in people.items():
        found = predict(network, [_Read(*pair) for pair in pairs])
        figures[kind] = [_row(person, points) for (person, _), points in zip(pairs, found, strict=True)]
    return figures


def _row(person: PersonFile, points: npt.NDArray[np.float32]) -> dict[str, float | None]:
    found = part_oks([person], [points])
    return {part: round(found[part], 4) if part in found else None for part in FIGURES}


@dataclass(frozen=True, eq=False)
class _Read:
    """A person whose picture is already in memory."""

    person: PersonFile
    image: Image

    def load(self) -> LabelledPerson:
        person = self.person
        return LabelledPerson(self.image, person.keypoints, person.visible, person.box, str(person.file))


def change(difference: float, low: float, high: float) -> str:
    """A difference and its interval as the second line of a Markdown cell; bold if the interval excludes 0."""
    sure = "**" if low > 0 or high < 0 else ""
    return f"<br>{sure}{difference:+.1f} [{low:+.1f}, {high:+.1f}]{sure}"


def interval(values: Doubles, resamples: int = 2000) -> tuple[float, float, float]:
    """Mean of (seeds, people), and the ends of the 95 % bootstrap interval over people (all seeds of a person together)
    and seeds."""
    rng = np.random.default_rng(0)
    seeds, people = values.shape
    means = np.empty(resamples)
    for i in range(resamples):
        chosen = values[rng.integers(seeds, size=seeds)].mean(axis=0)
        means[i] = chosen[rng.integers(people, size=people)].mean()
    low, high = np.percentile(means, [2.5, 97.5])
    return float(values.mean()), float(low), float(high)
