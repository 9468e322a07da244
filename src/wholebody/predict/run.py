"""`wholebody predict`: pictures and videos in, drawings and files of poses out.

Whatever is wrong with one file is said, and the others are done. Only what could not be done counts as failed: a fault
that a video survived is a note.

A video is worked off in parts (`parts`), kept in a folder beside the result while it is made. A run that is stopped or
killed leaves them, and `resume` goes on with the next frame and the same people. At the end the parts are joined,
without encoding again, and the sound is put beside them. A hidden file beside the results keeps the options they were
made with: `resume` takes them for done only where those are the same.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from wholebody.errors import WholebodyError
from wholebody.files import make_folder
from wholebody.formats.kinds import KINDS
from wholebody.predict.arrange import Character
from wholebody.predict.clip import Clip
from wholebody.predict.job import Done, Job
from wholebody.predict.names import find, result_names
from wholebody.predict.pictures import done_pictures
from wholebody.predict.tell import mistake, report
from wholebody.wholebody import WholeBody


def run_job(inputs: Sequence[Path], output: Path | None, model: Callable[[], WholeBody], job: Job) -> int:
    """Do everything that `inputs` stand for, print what was done, and return the exit status.

    Args:
        inputs: pictures, videos, and folders of them. With a rate (`Pace.fps`), a folder without videos is one video.
        output: folder for the results; None puts them beside each file.
        model: opens the networks, once it is known that there is something to do.

    Raises:
        WholebodyError: there is nothing to do, the folder cannot be written, or the networks cannot be opened.
    """
    pictures, videos = find(inputs, job.pace.fps is not None)
    if not pictures and not videos:
        raise WholebodyError("nothing to do: name at least one picture or video that is not itself a result.")
    failed: list[str] = []
    wrong = [name for name in dict.fromkeys(job.kinds) if KINDS[name].picture is None]
    if pictures and wrong:
        line = f"{', '.join(wrong)} {'is' if len(wrong) == 1 else 'are'} for videos. Choose other formats for pictures."
        if not videos:
            raise WholebodyError(line)
        failed += [f"{file}: {line}" for file in pictures]
        pictures = []
    if output is not None:
        make_folder(output)
    places = result_names([*pictures, *videos], output)
    if pictures and job.choice.keep:
        raise WholebodyError("ids are of videos: nobody in a picture has one. Leave --id out.")
    opened = model()
    character = None
    if job.align_to is not None:
        character = Character.read(*job.align_to, opened, job.choice.people)
    done: list[Done] = []
    notes: list[str] = []
    try:
        done += done_pictures(opened, pictures, places, job, character, failed)
        for file in videos:
            try:
                done.append(Clip(opened, file, places[file], job, character, notes).run())
            except WholebodyError as error:
                failed.append(str(error))
            except Exception as error:  # a mistake of ours: the other videos are done all the same
                failed.append(f"{file}: {mistake(error)}")
    finally:
        report(done, notes, failed)
    return 1 if failed else 0
