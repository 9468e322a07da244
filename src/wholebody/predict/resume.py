"""Intermediate results of a video: a folder of parts, each a file that can be opened.

NUMBER.npz holds the people in the frames from NUMBER on, as found (`formats.write_npz_video`). NUMBER.mp4 is their
drawing, and the folder png has drawings as pictures. NUMBER.bookmark is the state of the tracking after these frames
(`tracking.bookmark`). parts.jsonl has a line for each complete file, written once the file is on disk: its number of
frames and its SHA-256. A resumed run keeps the files that match their lines, and starts again from the first part that
is truncated, changed or missing. A killed run loses only the part in progress. The result equals that of a run that
was never stopped.
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
from wholebody.tracking.bookmark import Bookmark, read_bookmark
from wholebody.tracking.smooth import Smoother, Strength, smooth_track
from wholebody.video.frame import Frame

# A part begins with a key frame, so this is also the distance between key frames.
PART_FRAMES = 60

# In a longer video, people seen for fewer seconds than this are false positives.
_FLASH = 0.25

_PNG, _LINES = "png", "parts.jsonl"
BOOKMARK = ".bookmark"


@dataclass(frozen=True)
class _Line:
    """A complete file. "00000060.png" stands for the pictures from frame 60 on; "png" means that all have been
    moved."""

    file: str
    frames: int
    sha256: str


@dataclass(frozen=True)
class Parts:
    """The parts in a folder. The drawings of a part are files with the suffixes of `drawings`: .mp4, .png or both.

    Attributes:
        drawn_later: drawings are made after all people are found, so a part may have none yet.
    """

    folder: Path
    drawings: Sequence[str]
    drawn_later: bool

    @property
    def pictures(self) -> Path:
        """The folder of drawings as pictures, numbered by frame."""
        return self.folder / _PNG

    def begin(self, settings: Mapping[str, Any], resume: bool) -> str | None:
        """Create an empty folder, or clean up that of a run to be resumed, which must have the same `settings` (JSON).

        Returns:
            a line about what was lost and has to be redone, if anything.

        Raises:
            WholebodyError: the run to be resumed had other settings, or the folder cannot be written.
        """
        note = self.folder / "settings.json"
        told = None
        if resume and self.folder.exists():
            try:
                same = json.loads(note.read_text()) == settings
            except (OSError, ValueError):
                told = f"{self.folder}: the settings of the interrupted run are lost; started again."
            else:
                if not same:
                    why = "the interrupted run had other settings, or another file"
                    raise WholebodyError(
                        f"{self.folder}: {why}. Give the same ones, or leave out --resume to start again."
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

    def bookmark(self) -> tuple[int, Bookmark]:
        """The number of finished frames, and how to continue after them."""
        last = max(self.folder.glob(f"*{BOOKMARK}"), default=None)
        if last is None:
            return 0, Bookmark()
        return int(last.stem) + self._lines()[last.name].frames, read_bookmark(last)

    def is_drawn(self, part: Path) -> bool:
        """Whether all drawings of a part exist."""
        lines = self._lines()
        return all(part.with_suffix(suffix).name in lines for suffix in self.drawings)

    def seal(self, number: int, count: int, suffixes: Iterable[str]) -> None:
        """Record that the files of a part with these suffixes are complete, once they are on disk."""
        files = [f"{number:08d}{suffix}" for suffix in suffixes]
        for file in files:
            for path in self._paths(file, count):
                sync(path)
            sync(self.pictures if file.endswith(".png") else self.folder)
        self._note([_Line(file, count, self._digest(file, count)) for file in files])

    def seal_moved(self) -> None:
        """Record that the pictures are about to be moved to their final place."""
        self._note([_Line(_PNG, 0, "")])

    def _note(self, lines: Iterable[_Line]) -> None:
        with (self.folder / _LINES).open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(asdict(line)) + "\n" for line in lines)
            file.flush()
            os.fsync(file.fileno())

    def _lines(self) -> dict[str, _Line]:
        """The records by file; a damaged line invalidates its file."""
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
        for left in self.folder.rglob(".*"):  # left by a run that was killed while writing
            left.unlink()
        lines = self._lines()
        kept: list[_Line] = []
        if _PNG in lines and not self.pictures.exists():
            kept = [lines[_PNG], *self._whole(lines, moved=True)]
        # Pictures that have been moved are either all kept or all drawn again.
        if not {file for file in lines if not file.endswith(BOOKMARK)} <= {line.file for line in kept}:
            kept = self._whole(lines, moved=False)
        names = {line.file for line in kept}
        wanted = {path for line in kept for path in self._paths(line.file, line.frames)}
        ours = (self.folder.glob(f"*{suffix}") for suffix in (".npz", ".mp4", BOOKMARK))
        for path in (*chain.from_iterable(ours), *self.pictures.glob("*.png")):
            if path not in wanted:
                path.unlink()
        with replacing(self.folder / _LINES, durable=True) as partial:
            partial.write_text("".join(json.dumps(asdict(line)) + "\n" for line in kept), encoding="utf-8")
        lost = sorted(int(file[:8]) for file in set(lines) - names if file[:8].isdecimal())
        if lost and not any(file.endswith(BOOKMARK) for file in lines):
            return f"{self.folder}: from an older version, which kept too little to continue exactly; started again."
        return f"{self.folder}: damaged from frame {lost[0]} on; processed again from there." if lost else None

    def _whole(self, lines: Mapping[str, _Line], moved: bool) -> list[_Line]:
        """The lines of complete files, from the first part to the last one that a run can continue after.

        Args:
            moved: the pictures have been moved to their place, and count as complete.
        """
        kept: list[_Line] = []
        whole: list[_Line] = []
        number = 0
        while (own := lines.get(f"{number:08d}.npz")) is not None and self._is_whole(own):
            drawn = [lines.get(f"{number:08d}{suffix}") for suffix in self.drawings]
            there = [
                line
                for line in drawn
                if line is not None
                and line.frames == own.frames
                and (self._is_whole(line) or (moved and line.file.endswith(".png")))
            ]
            if len(there) < len(drawn) and not self.drawn_later:
                break
            whole += [own, *there]
            mark = lines.get(f"{number:08d}{BOOKMARK}")
            if mark is not None and mark.frames == own.frames and self._is_whole(mark):
                whole.append(mark)
                kept = [*whole]
            number += own.frames
        return kept


class Stored:
    """The smoothed poses of a video's parts: pairs of time and people, which can be iterated repeatedly.

    Attributes:
        parts: the NPZ files. starts, ends: the times of the first and the last frame of each. times: of all frames.
        ids: of all people.
        numbers: the numbers of all frames in the video, [] if any is unknown.
    """

    def __init__(self, parts: Sequence[Path], strength: Strength | None, both_ways: bool) -> None:
        self.parts = list(parts)
        self.strength = strength
        self.both_ways = both_ways
        self.starts: list[float] = []
        self.ends: list[float] = []
        self.times: list[float] = []
        spans: dict[int, tuple[float, float]] = {}
        for part in self.parts:
            frames = formats.read_npz_video(part)
            self.starts.append(frames[0][0])
            self.ends.append(frames[-1][0])
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
        """The frames of part n, smoothed together with the neighbouring parts."""
        own = formats.read_npz_video(self.parts[n])
        if self.strength is None:
            return [(at, self._kept(poses)) for at, poses in own]
        low, high = own[0][0] - 4 * self.strength.window, own[-1][0] + 4 * self.strength.window
        # A stopped run leaves short parts: the result must not depend on where they end.
        around = [m for m in range(len(self.parts)) if m != n and self.ends[m] >= low and self.starts[m] <= high]
        nearby = chain(own, *(formats.read_npz_video(self.parts[m]) for m in around))
        near = sorted((timed for timed in nearby if low <= timed[0] <= high), key=lambda timed: timed[0])
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
    """Pair frames and people with equal times: decoding a damaged file again may give other frames."""
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
