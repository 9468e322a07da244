"""The steps between detection and writing: choosing people, rotating pictures, aligning to a character."""

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from wholebody import formats, video
from wholebody.align import Alignment, align, fit
from wholebody.arrays import Image, Size
from wholebody.choices import AlignMode
from wholebody.errors import WholebodyError
from wholebody.formats.common import row_ids
from wholebody.images import read_image
from wholebody.pose.choose import Choice
from wholebody.poses import Poses
from wholebody.predict.resume import Stored
from wholebody.predict.turn import Turn, surest, turned
from wholebody.video.frame import Frame
from wholebody.wholebody import WholeBody

# Number of frames of a video, spread over it, that "auto" tries.
_LOOKS = 5


@dataclass(frozen=True, eq=False)
class Character:
    """The character that people are aligned to: its picture, (H, W, 3) BGR, its people, and the method."""

    image: Image
    poses: Poses
    mode: AlignMode

    @staticmethod
    def read(file: Path, mode: AlignMode, model: WholeBody, people: int | None) -> "Character":
        """The largest `people` of a picture, or all.

        Raises:
            WholebodyError: the picture cannot be read, or shows no person.
        """
        image = read_image(file)
        poses = Choice(people=people)(model(image))
        if not len(poses):
            raise WholebodyError(f"{file}: no person found in it to align to. Choose another picture.")
        return Character(image, poses, mode)

    @property
    def size(self) -> Size:
        """(width, height)."""
        return self.image.shape[1], self.image.shape[0]

    def picture(self, poses: Poses, size: Size) -> Poses:
        """The people of one picture of `size`, aligned; empty in, empty out."""
        if not len(poses):
            return poses
        return align(poses, self.poses, self.mode, size=size, reference_size=self.size)

    def clip(self, frames: Iterable[Poses], size: Size) -> Alignment:
        """The alignment for a clip of `size`, measured over all of it."""
        return fit(frames, self.poses, self.mode, size=size, reference_size=self.size)


@dataclass(frozen=True, eq=False)
class Arranged:
    """A video's people as they are drawn and written. Like `resume.Stored`, it can be iterated repeatedly.

    Attributes:
        stored: the people as found. ids: the ids to keep, in the order of the rows. change: a function for each frame.
    """

    stored: Stored
    ids: list[int]
    change: Callable[[Poses], Poses]

    @staticmethod
    def of(stored: Stored, choice: Choice, character: Character | None, size: Size) -> "Arranged":
        """Choose and align; `size` is (width, height) of the video."""
        ids = stored.ids if choice.is_all else choice.ids((_among(poses, stored.ids) for _, poses in stored), size)
        kept = Choice(keep=tuple(ids))

        def chosen(poses: Poses) -> Poses:
            return poses if choice.is_all else kept(poses) if ids else poses[:0]

        if character is None or not ids:
            return Arranged(stored, ids, chosen)
        alignment = character.clip((chosen(poses) for _, poses in stored), size)
        return Arranged(stored, ids, lambda poses: alignment(chosen(poses)))

    def __iter__(self) -> Iterator[formats.Timed]:
        return self.frames(0)

    def frames(self, first: int) -> Iterator[formats.Timed]:
        """The frames from a given part on."""
        return ((at, self.change(poses)) for at, poses in self.stored.frames(first))


def _among(poses: Poses, ids: list[int]) -> Poses:
    return poses[np.isin(row_ids(poses), ids)]


def turned_frames(frames: Iterator[Frame], degrees: Turn) -> Generator[Frame]:
    """The frames, each rotated clockwise."""
    for frame in frames:
        yield replace(frame, image=turned(frame.image, degrees))


def surest_turn(model: WholeBody, file: Path, start: float, end: float | None, fps: float | None) -> Turn:
    """The rotation at which people of a video are found best, from a few frames spread over it."""
    length = video.info(file, fps).duration
    last = min((at for at in (end, length) if at is not None), default=start)
    pictures = []
    for at in np.unique(np.linspace(start, max(last, start), _LOOKS, endpoint=False)):
        try:
            pictures += [frame.image for frame in islice(video.read(file, start=float(at), fps=fps), 1)]
        except WholebodyError:  # the file claims to be longer than it is
            break
    return surest(model, pictures) if pictures else 0
