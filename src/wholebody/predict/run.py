"""`wholebody predict`: pictures and videos in, drawings and files of poses out.

Problems with one file are reported, and the others are processed. Only a file without results counts as failed; damage
that a video survives is a note.

A video is processed in parts (`parts`), which are kept in a folder next to the result meanwhile. A run that is stopped
or killed leaves them there, and `resume` continues with the next frame and the same people. At the end the parts are
joined without re-encoding, and the sound is added. A hidden file next to the results records their options: `resume`
accepts results as finished only if these are the same.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from wholebody.errors import WholebodyError
from wholebody.files import check_folder, make_folder
from wholebody.formats.coco import image_ids
from wholebody.formats.kinds import KINDS, refused
from wholebody.images import READ_SUFFIXES
from wholebody.poses import Poses
from wholebody.predict.arrange import Character
from wholebody.predict.clip import Clip
from wholebody.predict.job import Done, Job
from wholebody.predict.names import find, result_names
from wholebody.predict.pictures import done_pictures
from wholebody.predict.tell import report, told
from wholebody.video.frame import VIDEO_SUFFIXES
from wholebody.wholebody import WholeBody

# The suffixes of pictures, videos and results.
_FILES = frozenset((*READ_SUFFIXES, *VIDEO_SUFFIXES, *(kind.suffix for kind in KINDS.values())))


def run_job(inputs: Sequence[Path], output: Path | None, model: Callable[[], WholeBody], job: Job) -> int:
    """Process everything that `inputs` stand for, print a summary, and return the exit status.

    Args:
        inputs: pictures, videos, and folders of them. With a frame rate (`Pace.fps`), a folder without videos is one
            video.
        output: folder for the results; None puts them next to each file.
        model: loads the networks; called only if there is something to do.

    Raises:
        WholebodyError: there is nothing to do, the folder cannot be written, or the networks cannot be loaded.
    """
    if not inputs:
        raise WholebodyError("nothing to do: name a picture, a folder or a video.")
    pictures, videos = find(inputs, job.pace.fps is not None)
    if not pictures and not videos:
        raise WholebodyError("nothing to do: name at least one picture or video that is not itself a result.")
    failed: list[str] = []
    pictures, videos = _wanted(pictures, videos, job, failed)
    if output is not None:
        check_folder(output, _FILES)
        make_folder(output)
    places = result_names([*pictures, *videos], output)
    if pictures and job.choice.keep:
        raise WholebodyError("only people in videos have ids. Leave --id out.")
    together = _together(pictures, output, job)
    opened = model()
    character = None
    if job.align_to is not None:
        character = Character.read(*job.align_to, opened, job.choice.people)
    done: list[Done] = []
    notes: list[str] = []
    found: dict[Path, Poses] = {}
    try:
        done += done_pictures(opened, pictures, places, job, character, failed, found)
        for name, (path, ids) in together.items():
            write = KINDS[name].together
            assert write is not None
            write(path, {ids[file.name]: poses for file, poses in found.items()})
            notes.append(f"{path}: the results of {len(found)} pictures.")
        for file in videos:
            try:
                done.append(Clip(opened, file, places[file], job, character, notes).run())
            except Exception as error:  # the other videos are still processed
                failed.append(told(file, error))
    finally:
        report(done, notes, failed, job.advice)
    return 1 if failed else 0


def _wanted(pictures: list[Path], videos: list[Path], job: Job, failed: list[str]) -> tuple[list[Path], list[Path]]:
    """The pictures and videos for which all requested formats exist; the others fail.

    Raises:
        WholebodyError: none is left.
    """
    lines = [refused(job.kinds) if pictures else None, refused(job.kinds, video=True) if videos else None]
    wanted = [files if line is None else [] for files, line in zip((pictures, videos), lines, strict=True)]
    if not any(wanted):
        raise WholebodyError(next(line for line in lines if line is not None))
    for files, line in zip((pictures, videos), lines, strict=True):
        failed += [f"{file}: {line}" for file in files if line is not None]
    return wanted[0], wanted[1]


def _together(pictures: list[Path], output: Path | None, job: Job) -> dict[str, tuple[Path, dict[str, int]]]:
    """Format -> its one file for all pictures, and their ids; determined before any detection.

    Raises:
        WholebodyError: a picture has no id of its own, or the place of the file is unclear.
    """
    names = [name for name in dict.fromkeys(job.kinds) if KINDS[name].together is not None]
    if job.annotations is not None and not names:
        raise WholebodyError("--annotations is only for --formats coco-results. Add that format, or leave it out.")
    if not names or not pictures:
        return {}
    folders = {file.parent for file in pictures}
    if output is None and len(folders) > 1:
        raise WholebodyError(
            f"{names[0]} is one file for pictures of several folders. Choose a folder for it with --output."
        )
    ids = image_ids([file.name for file in pictures], job.annotations)
    folder = output or folders.pop()
    return {name: (folder / f"{name.replace('-', '_')}{KINDS[name].suffix}", ids) for name in names}
