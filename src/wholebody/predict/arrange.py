"""Between finding people and writing them: who is kept, which way up they are looked for, whom they are aligned to."""

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

# Frames of a video that "auto" looks at, spread over it.
_LOOKS = 5


@dataclass(frozen=True, eq=False)
class Character:
    """Whom people are aligned to: the picture, (H, W, 3) BGR, its people, and the formula."""

    image: Image
    poses: Poses
    mode: AlignMode

    @staticmethod
    def read(file: Path, mode: AlignMode, model: WholeBody, people: int | None) -> "Character":
        """The largest `people` of a picture, or all.

        Raises:
            WholebodyError: the picture cannot be read, or shows nobody.
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
        """The people of one picture of `size`, aligned; nobody stays nobody."""
        if not len(poses):
            return poses
        return align(poses, self.poses, self.mode, size=size, reference_size=self.size)

    def clip(self, frames: Iterable[Poses], size: Size) -> Alignment:
        """How a clip of `size` is aligned, from one look at all of it."""
        return fit(frames, self.poses, self.mode, size=size, reference_size=self.size)


@dataclass(frozen=True, eq=False)
class Arranged:
    """A video's people as they are drawn and written; like `resume.Stored`, may be gone through again and again.

    Attributes:
        stored: as they were found. ids: of those kept, in the order of the rows. change: what happens to each frame.
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
        """The frames from a part on."""
        return ((at, self.change(poses)) for at, poses in self.stored.frames(first))


def _among(poses: Poses, ids: list[int]) -> Poses:
    return poses[np.isin(row_ids(poses), ids)]


def turned_frames(frames: Iterator[Frame], degrees: Turn) -> Generator[Frame]:
    """The frames, each turned clockwise."""
    for frame in frames:
        yield replace(frame, image=turned(frame.image, degrees))


def surest_turn(model: WholeBody, file: Path, start: float, end: float | None, fps: float | None) -> Turn:
    """The turn at which people of a video are found best, by some frames spread over it."""
    length = video.info(file).duration
    last = end if end is not None else length if length is not None else start
    pictures = []
    for at in np.unique(np.linspace(start, max(last, start), _LOOKS, endpoint=False)):
        try:
            pictures += [frame.image for frame in islice(video.read(file, start=float(at), fps=fps), 1)]
        except WholebodyError:  # the file says that it is longer than it is
            break
    return surest(model, pictures) if pictures else 0
