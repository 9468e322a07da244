"""Pictures: people of several pictures share batches, then drawings and pose files are written."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from wholebody.arrays import Image
from wholebody.console import progress
from wholebody.errors import WholebodyError
from wholebody.formats.kinds import KINDS, USUAL_PICTURE, Origin, place_of
from wholebody.images import WRITE_SUFFIXES, read_image, write_image
from wholebody.poses import Poses
from wholebody.predict.arrange import Character
from wholebody.predict.job import Done, Job
from wholebody.predict.tell import mistake, told
from wholebody.predict.turn import Turned
from wholebody.wholebody import WholeBody

# Pictures are processed in small groups: people of a group share batches, and memory stays bounded.
GROUP_PIXELS = 2**23

GROUP_PICTURES = 8


def done_pictures(
    model: WholeBody,
    files: Sequence[Path],
    places: Mapping[Path, Path],
    job: Job,
    character: Character | None,
    failed: list[str],
    found: dict[Path, Poses],
) -> Iterator[Done]:
    """Write the results of each picture; `found` receives the people of those that succeeded."""
    finder = Turned(model, job.turn) if job.turn else model
    with progress("people", len(files)) as advance:
        for group in _groups(files, failed, advance, job.strict):
            started = time.perf_counter()
            for (file, image), poses in zip(group, _estimate(finder, group, failed), strict=True):
                if poses is not None:
                    try:
                        size = (image.shape[1], image.shape[0])
                        poses = job.choice(poses, size)
                        if character is not None:
                            poses, image = character.picture(poses, size), character.image
                        written = _write_picture(places[file], file, image, poses, job)
                        found[file] = poses
                        yield Done(file, len(poses), written, (time.perf_counter() - started) / len(group))
                    except Exception as error:  # the other pictures are still processed
                        failed.append(told(file, error))
                advance()


def _groups(
    files: Iterable[Path], failed: list[str], advance: Callable[[], None], strict: bool
) -> Iterator[list[tuple[Path, Image]]]:
    """Pictures in groups of bounded size; unreadable ones are reported instead."""
    group: list[tuple[Path, Image]] = []
    for file in files:
        try:
            group.append((file, read_image(file, strict=strict)))
        except Exception as error:
            failed.append(told(file, error))
            advance()
        pixels = sum(image.shape[0] * image.shape[1] for _, image in group)
        if len(group) == GROUP_PICTURES or pixels > GROUP_PIXELS:
            yield group
            group = []
    if group:
        yield group


def _estimate(
    model: WholeBody | Turned, group: Sequence[tuple[Path, Image]], failed: list[str]
) -> Iterator[Poses | None]:
    """Poses of each picture, None if it failed: one failure does not affect the rest of the group."""
    try:
        yield from model.images([image for _, image in group])
    except Exception:
        for file, image in group:
            poses = None
            try:
                poses = model(image)
            except Exception as error:
                failed.append(f"{file}: {error if isinstance(error, WholebodyError) else mistake(error)}")
            yield poses


def _write_picture(place: Path, file: Path, image: Image, poses: Poses, job: Job) -> list[Path]:
    """Write the drawing and the pose files of one picture; returns the paths written."""
    written = []
    size = (image.shape[1], image.shape[0])
    if job.look.picture != "none":
        # Maps are for machines, so no JPEG noise. A photo keeps its format if that can be written.
        kept = job.look.picture == "skeleton" and file.suffix.lower() in WRITE_SUFFIXES
        written.append(place.with_name(place.name + (file.suffix.lower() if kept else ".png")))
        write_image(written[-1], job.look(image, poses), result=True)
    names = job.kinds or USUAL_PICTURE
    for name in dict.fromkeys(names):
        if (write := KINDS[name].picture) is not None:
            written.append(place_of(place, name, names))
            write(written[-1], poses, Origin(file.name, size, job.comfy_threshold))
    return written
