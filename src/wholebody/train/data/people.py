"""People to train on: a data set is `__len__` and `__getitem__ -> Sample`."""

import io
import json
import os
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from wholebody.data.coco import read_labels
from wholebody.data.labels import Labels
from wholebody.errors import WholebodyError
from wholebody.schema import COCO_WHOLEBODY, Schema

# Where the label of a keypoint is put that is known not to be in the crop.
NOWHERE = -1e4


@dataclass(frozen=True, eq=False)
class LabelledPerson:
    """One person in one picture, before augmentation.

    Attributes:
        image: (H, W, 3) uint8 BGR.
        keypoints: (K, 2) image pixels.
        visible: (K,) 0 unlabelled, -1 known to be outside of the picture, else the weight of the label: 1, or a
            teacher's confidence below it.
        box: (4,) x0, y0, x1, y1.
        source: where it came from, for messages.
    """

    image: npt.NDArray[np.uint8]
    keypoints: npt.NDArray[np.float64]
    visible: npt.NDArray[np.float32]
    box: npt.NDArray[np.float64]
    source: str


class PersonSource(Protocol):
    """A data set."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> LabelledPerson: ...


@dataclass(frozen=True, eq=False)
class PersonFile:
    """A labelled person whose picture is still on disk; `area` in square pixels, for OKS."""

    file: Path
    keypoints: npt.NDArray[np.float64]
    visible: npt.NDArray[np.float32]
    box: npt.NDArray[np.float64]
    area: float

    def load(self) -> LabelledPerson:
        """Read the picture.

        Raises:
            WholebodyError: it cannot be read.
        """
        image = cv2.imread(str(self.file), cv2.IMREAD_COLOR)
        if image is None:
            raise WholebodyError(f"{self.file}: cannot be read as a picture. Restore it or drop it from the labels.")
        return LabelledPerson(
            image.astype(np.uint8, copy=False), self.keypoints, self.visible, self.box, str(self.file)
        )


def read_coco_wholebody(
    annotations: str | os.PathLike[str],
    images: str | os.PathLike[str],
    keep: Callable[[Mapping[str, Any]], bool] = lambda image: True,
    schema: Schema = COCO_WHOLEBODY,
) -> list[PersonFile]:
    """People of an annotation file of `wholebody.data.coco.read_labels`, or of pseudo-labels in the same layout.

    The third number of a point may be COCO's flag (0, 1, 2) or a confidence between 0 and 1; flags become weight 1.
    Crowds, boxes without area and people without any labelled point are left out.

    Args:
        annotations: the JSON file.
        images: the folder its `file_name`s are relative to.
        keep: which of its image records to use.
        schema: of its keypoints.

    Raises:
        WholebodyError: the file is not in that layout, or a row of it cannot be read.
    """
    return people_of(read_labels(annotations, keep=keep, schema=schema), images)


def people_of(labels: Labels, images: str | os.PathLike[str]) -> list[PersonFile]:
    """The labelled people that can be trained on; see `read_coco_wholebody` for those that are left out."""
    sides = labels.boxes[:, 2:] - labels.boxes[:, :2]
    weights = np.minimum(labels.visible, 1)
    good = ~labels.iscrowd & (sides > 1).all(axis=1) & (weights > 0).any(axis=1)
    files = {number: Path(images) / picture.file_name for number, picture in labels.images.items()}
    return [
        PersonFile(
            files[int(labels.image_ids[m])],
            labels.keypoints[m],
            weights[m],
            labels.boxes[m],
            float(labels.areas[m] or sides[m].prod()),
        )
        for m in np.flatnonzero(good)
    ]


@dataclass(frozen=True)
class Photographs:
    """Labelled photos as a data set; pictures are read when asked for."""

    people: Sequence[PersonFile]

    def __len__(self) -> int:
        return len(self.people)

    def __getitem__(self, index: int) -> LabelledPerson:
        return self.people[index].load()


class ShardedPeople:
    """A folder of tar shards in the WebDataset convention: N.jpg and N.json with keypoints (K, 3) and box.

    The archives are indexed once; a sample is then two reads.
    """

    def __init__(self, folder: str | os.PathLike[str], schema: Schema = COCO_WHOLEBODY) -> None:
        self.schema = schema
        self.rows: list[tuple[Path, int, int, int, int]] = []
        # A hidden file is a shard that is still being written.
        for shard in sorted(path for path in Path(folder).glob("*.tar") if not path.name.startswith(".")):
            try:
                with tarfile.open(shard) as archive:
                    members = {member.name: (member.offset_data, member.size) for member in archive if member.isfile()}
            except tarfile.TarError as error:
                raise WholebodyError(f"{shard}: damaged ({error}). Remove it and make the shards again.") from error
            for name in sorted(members):
                if name.endswith(".jpg") and (label := f"{name[:-4]}.json") in members:
                    self.rows.append((shard, *members[name], *members[label]))
        if not self.rows:
            raise WholebodyError(f"{folder}: no samples in tar shards. Make some with `wholebody synth`.")

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> LabelledPerson:
        shard, at_image, image_bytes, at_label, label_bytes = self.rows[index]
        with io.FileIO(shard) as file:
            file.seek(at_image)
            encoded = file.read(image_bytes)
            file.seek(at_label)
            label = json.loads(file.read(label_bytes))
        image = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
        if image is None:
            raise WholebodyError(f"{shard}: sample {index} is damaged. Make the shard again.")
        if "people" in label:
            raise WholebodyError(f"{shard}: scenes of many people, for a detector. Name a folder of crops.")
        points = np.asarray(label["keypoints"], dtype=np.float64)
        if len(points) != len(self.schema):
            raise WholebodyError(
                f"{shard}: sample {index} has {len(points)} keypoints, {self.schema.name} has {len(self.schema)}. "
                "Name other shards or another schema."
            )
        visible = np.where(points[:, 2] > 0, 1, -1).astype(np.float32)
        box = np.asarray(label["box"], dtype=np.float64)
        return LabelledPerson(image.astype(np.uint8, copy=False), points[:, :2], visible, box, f"{shard}#{index}")


@dataclass(frozen=True)
class Mixture:
    """Draws from several data sets with given shares. Draw number n is a function of `seed` and n alone."""

    sets: Sequence[tuple[PersonSource, float]]
    seed: int = 0

    def draw(self, n: int) -> tuple[LabelledPerson, np.random.Generator]:
        """The n-th sample and the generator with which to augment it."""
        rng = np.random.default_rng((self.seed, n))
        shares = np.array([share for _, share in self.sets])
        people = self.sets[int(rng.choice(len(shares), p=shares / shares.sum()))][0]
        return people[int(rng.integers(len(people)))], rng
