"""From pictures to results, the same on every machine of a run.

No picture stops the run. A problem with one becomes its error; the others are processed.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import fsspec
import numpy as np

from wholebody.batch.decode import Picture, in_a_line
from wholebody.batch.rows import Result
from wholebody.batch.sources import Source, reaching
from wholebody.choices import Precision
from wholebody.errors import WholebodyError
from wholebody.geometry import box_areas
from wholebody.poses import Poses
from wholebody.tracking.pipeline import Follower, follow
from wholebody.video.decode import read
from wholebody.wholebody import WholeBody


@dataclass(frozen=True)
class Settings:
    """How people are found. `pose` to `flip` are as for `WholeBody`. Can be pickled.

    Attributes:
        people: most people in a picture, the largest first; None for all.
        fps: frames per second to process of a video; None for all.
        strict: a partly damaged JPEG is an error, see `read_image`.

    Raises:
        WholebodyError: a number is invalid.
    """

    pose: str = "wholebody-133"
    detector: str = "person"
    threshold: float | None = None
    flip: bool = False
    people: int | None = None
    fps: float | None = None
    device: str = "auto"
    precision: Precision = "auto"
    threads: int | None = None
    strict: bool = False

    def __post_init__(self) -> None:
        if self.people is not None and self.people < 1:
            raise WholebodyError(f"people is {self.people}: give 1 or more, or leave it out.")
        if self.fps is not None and not 0 < self.fps <= 1000:
            raise WholebodyError(f"fps is {self.fps:g}: give 1 to 1000, or leave it out.")

    def open(self) -> WholeBody:
        """The networks."""
        return WholeBody(
            self.pose,
            self.detector,
            device=self.device,
            threads=self.threads,
            precision=self.precision,
            threshold=self.threshold,
            flip=self.flip,
        )

    @property
    def about(self) -> dict[str, Any]:
        """The settings that results depend on, without those of where they are computed."""
        found = {name: value for name, value in asdict(self).items() if name not in ("device", "threads", "strict")}
        return {**found, "strict": True} if self.strict else found  # results of older versions do not say it


@dataclass(frozen=True, eq=False)
class BatchEstimator:
    """The loaded networks."""

    model: WholeBody
    settings: Settings

    @classmethod
    def open(cls, settings: Settings) -> "BatchEstimator":
        """Load them; a WholebodyError names the one that fails."""
        return cls(settings.open(), settings)

    def __call__(self, pictures: Sequence[Picture]) -> list[Result]:
        """Everyone in each picture, in order; people of all pictures share batches."""
        there = [picture for picture in pictures if picture.image is not None]
        found = dict(zip((picture.id for picture in there), self._found(there), strict=True))
        return [found.get(picture.id) or Result(picture.id, error=picture.error) for picture in pictures]

    def _found(self, pictures: Sequence[Picture]) -> list[Result]:
        try:
            several = self.model.images([picture.image for picture in pictures]) if pictures else []
        except Exception as error:
            if len(pictures) > 1:  # retry each alone to find the faulty one
                return [result for picture in pictures for result in self._found([picture])]
            return [Result(pictures[0].id, None, _size(pictures[0]), in_a_line(error))]
        return [
            Result(picture.id, _largest(poses, self.settings.people), _size(picture))
            for picture, poses in zip(pictures, several, strict=True)
        ]

    def video(self, source: Source) -> Iterator[Result]:
        """The frames of a video with people's ids; an error comes last, with the number of the next frame."""
        size, number = None, -1
        try:
            with tempfile.TemporaryDirectory() as folder:
                path = _local(source, Path(folder))
                follower = Follower(self.model, people=self.settings.people)
                with closing(follow(read(path, fps=self.settings.fps), follower)) as frames:
                    for number, (frame, poses) in enumerate(frames):
                        size = (frame.image.shape[1], frame.image.shape[0])
                        yield Result(source.id, poses, size, None, number, frame.time)
        except Exception as error:
            text = in_a_line(error, source.id, source.address)
            yield Result(source.id, None, size, text, number + 1)


def _local(source: Source, folder: Path) -> Path:
    """The video as a local file, because decoders need to seek."""
    with reaching(source.address):
        fs, path = fsspec.core.url_to_fs(source.address)
        if "file" in fs.protocol:
            return Path(path)
        copy = folder / Path(path).name
        fs.get_file(path, str(copy))
        return copy


def _size(picture: Picture) -> tuple[int, int] | None:
    return None if picture.image is None else (picture.image.shape[1], picture.image.shape[0])


def _largest(poses: Poses, people: int | None) -> Poses:
    if people is None or len(poses) <= people:
        return poses
    return poses[np.sort(box_areas(poses.boxes).argsort(kind="stable")[::-1][:people])]
