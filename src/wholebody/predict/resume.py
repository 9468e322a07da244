"""A video's results while they are made: parts of it in a folder, each a file that can be opened.

NUMBER.npz holds who is in the frames from NUMBER on, as found (`formats.write_npz_video`); NUMBER.mp4 is what is drawn
of them, and the folder png what is drawn as pictures. parts.jsonl has a line for each file that is there as a whole,
written when the disk has the file: how many frames it has, and its SHA-256. A run that goes on keeps what is as its
line says, and makes anew from the first part that is cut, emptied, changed or gone. A run that is killed loses the part
that it was at.
"""

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from wholebody import formats
from wholebody.errors import WholebodyError
from wholebody.files import digest, make_folder, replacing, sync
from wholebody.formats.common import row_ids
from wholebody.poses import Poses
from wholebody.tracking.smooth import Smoother, Strength, smooth_track
from wholebody.video.frame import Frame

# A part begins with a key frame, so that it is also how far apart those are.
PART_FRAMES = 60

# Who is seen for less than this many seconds of a longer video is a mistake of the detector.
_FLASH = 0.25

_PNG, _LINES = "png", "parts.jsonl"


@dataclass(frozen=True)
class _Line:
    """A file that is whole. "00000060.png" are the pictures from frame 60 on, "png" says that all have been moved."""

    file: str
    frames: int
    sha256: str


@dataclass(frozen=True)
class Parts:
    """The parts in a folder. What is drawn of one are the files with the suffixes of `drawings`: .mp4, .png, both.

    Attributes:
        drawn_later: drawings are made when all people are found, so that a part may have none yet.
    """

    folder: Path
    drawings: Sequence[str]
    drawn_later: bool

    @property
    def pictures(self) -> Path:
        """The folder of what is drawn as pictures, numbered by frames."""
        return self.folder / _PNG

    def begin(self, settings: Mapping[str, Any], resume: bool) -> str | None:
        """Make an empty folder, or clean up that of a run that is to go on, which had the same `settings` (as in JSON).

        Returns:
            a line on what was lost and is made again, if anything.

        Raises:
            WholebodyError: the run that is to go on had other settings, or the folder cannot be written.
        """
        note = self.folder / "settings.json"
        told = None
        if resume and self.folder.exists():
            try:
                same = json.loads(note.read_text()) == settings
            except (OSError, ValueError):
                told = f"{self.folder}: does not say any more what it was begun with; begun again."
            else:
                if not same:
                    why = "begun with other settings, or of another file"
                    raise WholebodyError(
                        f"{self.folder}: {why}. Give the same ones, or leave --resume out to start again."
                    )
                return self._keep_whole()
        make_folder(self.folder.parent)
        shutil.rmtree(self.folder, ignore_errors=True)
        with replacing(note, durable=True) as partial:
            partial.write_text(json.dumps(settings))
        return told

    def in_order(self) -> list[Path]:
        """The NPZ files."""
        return sorted(path for path in self.folder.glob("*.npz") if path.name[0] != ".")

    def is_drawn(self, part: Path) -> bool:
        """Whether everything that is to be drawn of a part is there."""
        lines = self._lines()
        return all(part.with_suffix(suffix).name in lines for suffix in self.drawings)

    def seal(self, number: int, count: int, suffixes: Iterable[str]) -> None:
        """Note that the files of a part with these suffixes are whole, once the disk has them: now they count."""
        files = [f"{number:08d}{suffix}" for suffix in suffixes]
        for file in files:
            for path in self._paths(file, count):
                sync(path)
            sync(self.pictures if file.endswith(".png") else self.folder)
        self._note([_Line(file, count, self._digest(file, count)) for file in files])

    def seal_moved(self) -> None:
        """Note that the pictures are about to be moved to where they belong."""
        self._note([_Line(_PNG, 0, "")])

    def _note(self, lines: Iterable[_Line]) -> None:
        with (self.folder / _LINES).open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(asdict(line)) + "\n" for line in lines)
            file.flush()
            os.fsync(file.fileno())

    def _lines(self) -> dict[str, _Line]:
        """What was noted, by file; a line that is damaged costs its file."""
        try:
            text = (self.folder / _LINES).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return {}
        found: dict[str, _Line] = {}
        for row in text.splitlines():
            with suppress(ValueError, TypeError):
                line = _Line(**json.loads(row))
                found[line.file] = line
        return found

    def _paths(self, file: str, count: int) -> list[Path]:
        if not file.endswith(".png"):
            return [self.folder / file]
        first = int(file[:-4])
        return [self.pictures / f"{n:06d}.png" for n in range(first, first + count)]

    def _digest(self, file: str, count: int) -> str:
        paths = self._paths(file, count)
        return digest(paths[0]) if len(paths) == 1 else sha256(" ".join(map(digest, paths)).encode()).hexdigest()

    def _is_whole(self, line: _Line) -> bool:
        try:
            return 0 < line.frames < 10**6 and self._digest(line.file, line.frames) == line.sha256
        except (OSError, TypeError, ValueError):
            return False

    def _keep_whole(self) -> str | None:
        for left in self.folder.rglob(".*"):  # of a run that was killed while it wrote
            left.unlink()
        lines = self._lines()
        moved = _PNG in lines and not self.pictures.exists()
        kept = [lines[_PNG]] if moved else []
        number = 0
        while (own := lines.get(f"{number:08d}.npz")) is not None and self._is_whole(own):
            drawn = [lines.get(f"{number:08d}{suffix}") for suffix in self.drawings]
            whole = [
                line
                for line in drawn
                if line is not None
                and line.frames == own.frames
                and (self._is_whole(line) or (moved and line.file.endswith(".png")))
            ]
            if len(whole) < len(drawn) and not self.drawn_later:
                break
            kept += [own, *whole]
            number += own.frames
        names = {line.file for line in kept}
        wanted = {path for line in kept for path in self._paths(line.file, line.frames)}
        for path in (*self.folder.glob("*.npz"), *self.folder.glob("*.mp4"), *self.pictures.glob("*.png")):
            if path not in wanted:
                path.unlink()
        with replacing(self.folder / _LINES, durable=True) as partial:
            partial.write_text("".join(json.dumps(asdict(line)) + "\n" for line in kept), encoding="utf-8")
        lost = sorted(int(file[:8]) for file in set(lines) - names if file[:8].isdecimal())
        return f"{self.folder}: damaged from frame {lost[0]} on; made again from there." if lost else None


class Stored:
    """The poses of a video's parts, smoothed: pairs of time and people, which may be gone through again and again.

    Attributes:
        parts: the NPZ files. starts: the time of the first frame of each. times: of all frames. ids: of all people.
        numbers: of all frames in the video, [] where one is not known.
    """

    def __init__(self, parts: Sequence[Path], strength: Strength | None, both_ways: bool) -> None:
        self.parts = list(parts)
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
