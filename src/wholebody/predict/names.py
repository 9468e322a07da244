"""The input files of a run, and the names of its output files."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from wholebody import video
from wholebody.errors import WholebodyError
from wholebody.files import RESULT, is_folder, is_link, is_result
from wholebody.images import find_images


def find(inputs: Sequence[Path], sequences: bool) -> tuple[list[Path], list[Path]]:
    """Pictures and videos without duplicates. Results of earlier runs are skipped in folders, but not if named."""
    pictures: dict[Path, None] = {}
    videos: dict[Path, None] = {}
    for path in inputs:
        if is_folder(path):
            files = (file for file in sorted(path.iterdir()) if file.name[0] != "." and file.is_file())
            inside = dict.fromkeys(file for file in files if video.is_video(file))
            own = [file for file in inside if not is_result(file)]
            if sequences and not own:
                # The results of the current folder need its name.
                videos[path.resolve() if path.name in ("", "..") else path] = None
                continue
            videos.update(dict.fromkeys(own))
            try:
                pictures.update(dict.fromkeys(file for file in _pictures(path) if file not in inside))
            except WholebodyError:
                if not inside:
                    raise
        elif video.is_video(path):
            videos[path] = None
        else:
            pictures[path] = None
    return list(pictures), list(videos)


def _pictures(folder: Path) -> list[Path]:
    return [file for file in find_images([folder]) if is_link(file) or not is_result(file)]


def result_name(file: Path) -> str:
    """The stem of the result's name: a folder's name has no suffix."""
    return file.name if is_folder(file) else file.stem


def result_names(files: Sequence[Path], output: Path | None) -> dict[Path, Path]:
    """The path of each file's results, without suffix; files with the same stem include their own suffix."""
    places = {file: (output or file.parent) / f"{result_name(file)}{RESULT}" for file in files}
    count = Counter(places.values())
    taken = Counter[Path]()
    for file, place in places.items():
        if count[place] > 1 and not is_folder(file):
            place = place.with_name(f"{file.stem}_{file.suffix.lstrip('.').lower()}{RESULT}")
        taken[place] += 1
        places[file] = place if taken[place] == 1 else place.with_name(f"{place.name}{taken[place]}")
    return places
