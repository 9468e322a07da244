"""A video's results while they are made: parts of it in a folder, each a file that can be opened.

NUMBER.npz holds who is in the frames from NUMBER on, as found (`formats.write_npz_video`); NUMBER.mp4 is what is drawn
of them. A part is there once its NPZ file is, which is written last. A run that is killed loses the part it was at.
size.json holds the size of all frames, and the folder png what is drawn as pictures.
"""

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from wholebody import formats
from wholebody.errors import WholebodyError
from wholebody.files import make_folder, replacing
from wholebody.formats.common import row_ids
from wholebody.poses import Poses
from wholebody.tracking.smooth import Smoother, Strength, smooth_track
from wholebody.video.frame import Frame

# A part begins with a key frame, so that it is also how far apart those are.
PART_FRAMES = 60

# Who is seen for less than this many seconds of a longer video is a mistake of the detector.
_FLASH = 0.25


def begin(folder: Path, settings: Mapping[str, Any], resume: bool) -> None:
    """Make an empty folder, or clean up that of the run to continue, which had the same `settings` (as in JSON).

    Raises:
        WholebodyError: the run that is to continue had other settings, or the folder cannot be written.
    """
    note = folder / "settings.json"
    if resume and folder.exists():
        try:
            same = json.loads(note.read_text()) == settings
        except (OSError, ValueError):
            same = False
        if not same:
            why = "begun with other settings, or of another file"
            raise WholebodyError(f"{folder}: {why}. Give the same ones, or leave --resume out to start again.")
        for left in folder.rglob(".*"):  # of a run that was killed while it wrote
            left.unlink()
        return
    make_folder(folder.parent)
    shutil.rmtree(folder, ignore_errors=True)
    with replacing(note) as partial:
        partial.write_text(json.dumps(settings))


def note_size(folder: Path, size: tuple[int, int]) -> None:
    """Keep the (width, height) that all frames are fitted into, for a run that resumes."""
    with replacing(folder / "size.json") as partial:
        partial.write_text(json.dumps(size))


def size_in(folder: Path) -> tuple[int, int] | None:
    """The size that `note_size` kept, None if no frame was read yet."""
    try:
        width, height = json.loads((folder / "size.json").read_text())
    except FileNotFoundError:
        return None
    return width, height


def parts_in(folder: Path) -> list[Path]:
    """The NPZ files of a folder, in order."""
    return sorted(path for path in folder.glob("*.npz") if path.name[0] != ".")


class Stored:
    """The poses of a video's parts, smoothed: pairs of time and people, which may be gone through again and again.

    Attributes:
        parts: the NPZ files. starts: the time of the first frame of each. times: of all frames. ids: of all people.
        numbers: of all frames in the video, [] where one is not known.
    """

    def __init__(self, folder: Path, strength: Strength | None, both_ways: bool) -> None:
        self.parts = parts_in(folder)
        self.strength = strength
        self.both_ways = both_ways
        self.starts: list[float] = []
        self.times: list[float] = []
        spans: dict[int, tuple[float, float]] = {}
        for part in self.parts:
            frames = formats.read_npz_video(part)
            self.starts.append(frames[0][0])
            for at, poses in frames:
                self.times.append(at)
                for person in row_ids(poses):
                    spans[person] = (spans.get(person, (at, at))[0], at)
        long = both_ways and len(self.times) > 1 and self.times[-1] - self.times[0] > 2
        numbers = [formats.read_source_frames(part) for part in self.parts]
        self.numbers = [number for some in numbers for number in some] if all(numbers) else []
        self.ids = sorted(key for key, (a, b) in spans.items() if not long or b - a >= _FLASH)

    def __iter__(self) -> Iterator[formats.Timed]:
        return self.frames(0)

    def frames(self, first: int) -> Iterator[formats.Timed]:
        """The frames from a part on (with live smoothing, from the first)."""
        if self.both_ways:
            return chain.from_iterable(self._smoothed(n) for n in range(first, len(self.parts)))
        smoother = Smoother(self.strength)
        raw = (timed for part in self.parts for timed in formats.read_npz_video(part))
        return ((at, smoother(poses, at)) for at, poses in raw)

    def _smoothed(self, n: int) -> list[formats.Timed]:
        """The frames of part n, smoothed with those around it."""
        own = formats.read_npz_video(self.parts[n])
        if self.strength is None:
            return [(at, self._kept(poses)) for at, poses in own]
        low, high = own[0][0] - 4 * self.strength.window, own[-1][0] + 4 * self.strength.window
        around = [formats.read_npz_video(self.parts[m]) for m in (n - 1, n + 1) if 0 <= m < len(self.parts)]
        near = [timed for timed in chain(own, *around) if low <= timed[0] <= high]
        near.sort(key=lambda timed: timed[0])
        rows: dict[int, list[tuple[int, int]]] = {}
        for frame, (_, poses) in enumerate(near):
            for row, person in enumerate(row_ids(poses)):
                rows.setdefault(person, []).append((frame, row))
        points = [poses.keypoints.copy() for _, poses in near]
        for places in rows.values():
            times = np.array([near[frame][0] for frame, _ in places])
            keypoints = np.array([near[frame][1].keypoints[row] for frame, row in places])
            scores = np.array([near[frame][1].scores[row] for frame, row in places])
            for (frame, row), smoothed in zip(
                places, smooth_track(times, keypoints, scores, self.strength), strict=True
            ):
                points[frame][row] = smoothed
        inside = {at for at, _ in own}
        return [
            (at, self._kept(replace(poses, keypoints=moved)))
            for (at, poses), moved in zip(near, points, strict=True)
            if at in inside
        ]

    def _kept(self, poses: Poses) -> Poses:
        return poses[np.isin(row_ids(poses), self.ids)]


def same_times(frames: Iterable[Frame], people: Iterable[formats.Timed]) -> Iterator[tuple[Frame, Poses]]:
    """Frames and people of equal times: reading a damaged file again may give other frames."""
    waiting = iter(people)
    ahead_of = next(waiting, None)
    for frame in frames:
        while ahead_of is not None and ahead_of[0] < frame.time - 1e-3:
            ahead_of = next(waiting, None)
        if ahead_of is None:
            return
        if ahead_of[0] <= frame.time + 1e-3:
            yield frame, ahead_of[1]
            ahead_of = next(waiting, None)
