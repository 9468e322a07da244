"""One video: detected, drawn and written part by part, so that a kill loses only the last part."""

import json
import shutil
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from wholebody import formats, video
from wholebody.arrays import Image
from wholebody.console import progress
from wholebody.errors import WholebodyError
from wholebody.files import about, identity, replace_folder, replacing
from wholebody.formats.kinds import KINDS, USUAL_VIDEO, Origin, place_of
from wholebody.images import write_image
from wholebody.pose.choose import Choice
from wholebody.poses import Poses
from wholebody.predict.arrange import Arranged, Character, surest_turn, turned_frames
from wholebody.predict.job import Done, Job
from wholebody.predict.names import result_name
from wholebody.predict.resume import BOOKMARK, PART_FRAMES, Parts, Stored, same_times
from wholebody.predict.turn import TURNS, Turn, turned, turned_back
from wholebody.signals import undivided
from wholebody.tracking.ahead import ahead, depth_for
from wholebody.tracking.bookmark import Bookmark, write_bookmark
from wholebody.tracking.pipeline import Follower, follow
from wholebody.tracking.smooth import STRENGTHS, Smoother
from wholebody.video.display import parsed_color
from wholebody.video.frame import Frame, Notice, silent
from wholebody.wholebody import WholeBody

# A drawn frame, its people as found, and how to continue after it.
_Drawn = tuple[Frame, Poses, Bookmark]


@dataclass(frozen=True, eq=False)
class Clip:
    """One video in progress."""

    model: WholeBody
    file: Path
    place: Path
    job: Job
    character: Character | None
    notes: list[str]

    @property
    def kinds(self) -> Sequence[str]:
        """The requested formats, or the default for a video."""
        return self.job.kinds or USUAL_VIDEO

    @property
    def parts(self) -> Parts:
        drawings = [*([".mp4"] if self.drawn else []), *([".png"] if "png" in self.job.kinds else [])]
        return Parts(self.place.with_name(f"{self.place.name}.parts"), drawings, self.afterwards)

    @property
    def drawn(self) -> bool:
        return self.job.look.picture != "none"

    @property
    def afterwards(self) -> bool:
        """Whether drawing has to wait until everyone has been found."""
        return self.job.pace.two_pass or self.character is not None or self._chosen

    @property
    def _chosen(self) -> bool:
        """Whether people are chosen by more than their size within a frame."""
        choice = self.job.choice
        return choice.order is not None or choice.region is not None or bool(choice.keep)

    def run(self) -> Done:
        started = time.perf_counter()
        pace = self.job.pace
        source = video.info(self.file, pace.fps)
        fps = pace.fps or source.fps
        parts = self.parts
        if pace.resume and not parts.folder.exists() and (finished := self._finished()):
            return finished
        size = self._size(source.size)
        if lost := parts.begin(self._settings(), pace.resume):
            self.notes.append(lost)
        length = None if source.duration is None else min(source.duration, pace.end or np.inf) - pace.start
        total = None if length is None else max(round(length * fps), 1)
        before = sum(len(formats.read_npz_video(part)) for part in parts.in_order())
        try:
            with progress(f"{self.file.name}: people", total, "frames", before) as advance:
                self._find_people(fps, size, self.afterwards, advance)
        except WholebodyError:
            if not parts.in_order():  # nothing to resume
                shutil.rmtree(parts.folder)
            raise
        stored = Stored(parts.in_order(), STRENGTHS[pace.smooth], pace.two_pass)
        try:
            if not stored.times:
                raise WholebodyError(f"no frame from {pace.start:g} s on. Choose an earlier start.")
            people = Arranged.of(stored, self.job.choice if self.afterwards else Choice(), self.character, size)
        except WholebodyError as error:
            # These options fail with these parts every time, so there is nothing to resume.
            shutil.rmtree(parts.folder)
            raise WholebodyError(f"{self.file}: {error}") from error
        if self.afterwards and parts.drawings:
            with progress(f"{self.file.name}: drawing", len(stored.times), "frames") as advance:
                self._draw(people, size, fps, advance)
        written = self._finish(people, size if self.character is None else self.character.size, fps)
        seconds = time.perf_counter() - started
        done = Done(self.file, len(people.ids), written, seconds, len(stored.times))
        self._keep(done)
        shutil.rmtree(parts.folder)
        return done

    def _size(self, first: tuple[int, int]) -> tuple[int, int]:
        """(width, height) that all frames are fitted into: a video may change its size, and the part may begin
        later."""
        if not self.job.pace.start:
            return first
        with closing(self._read(None, silent)) as frames:
            head = next(frames, None)
        return first if head is None else (head.image.shape[1], head.image.shape[0])

    def _read(self, size: tuple[int, int] | None, notice: Notice, after: float | None = None) -> Generator[Frame]:
        pace = self.job.pace
        yield from video.read(
            self.file,
            start=pace.start,
            end=pace.end,
            after=after,
            fps=pace.fps,
            size=size,
            background=parsed_color(pace.background),
            notice=notice,
        )

    def _finished(self) -> Done | None:
        """The results of an earlier run with the same options, if it finished."""
        try:
            kept = json.loads(about(self.place).read_text())
            same = kept["options"] == self._options()
            written = [self.place.parent / name for name in kept["written"]]
            whole = all(identity(self.place.parent / name) == found for name, found in kept["written"].items())
            done = Done(self.file, kept["people"], written, 0.0, kept["frames"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if not same:
            self.notes.append(f"{self.file}: was done with other options, or from another file; processed again.")
        elif not whole:
            self.notes.append(f"{self.file}: its earlier results have been changed; processed again.")
        return done if same and whole else None

    def _keep(self, done: Done) -> None:
        """Record what has been done, for `_finished`."""
        written = {path.relative_to(self.place.parent).as_posix(): identity(path) for path in done.written}
        kept = {"options": self._options(), "people": done.people, "frames": done.frames, "written": written}
        with replacing(about(self.place), durable=True) as partial:
            partial.write_text(json.dumps(kept))

    def _mp4(self) -> Path:
        return self.place.with_name(f"{self.place.name}.mp4")

    def _kind_path(self, kind: str) -> Path:
        return place_of(self.place, kind, self.kinds, video=True)

    def _settings(self) -> dict[str, Any]:
        """The settings that the parts depend on."""
        settings = {
            **{name: value for name, value in asdict(self.job.pace).items() if name != "resume"},
            "look": asdict(self.job.look),
            "choice": asdict(self.job.choice),
            "turn": self.job.turn,
            "align_to": None if self.job.align_to is None else [*map(str, self.job.align_to)],
            "networks": list(self.job.networks),
            "pictures": "png" in self.job.kinds,
            "file": [identity(self.file), self.file.stat().st_mtime_ns],
            "reference": None if self.job.align_to is None else identity(self.job.align_to[0]),
        }
        plain: dict[str, Any] = json.loads(json.dumps(settings))
        return plain

    def _options(self) -> dict[str, Any]:
        """The settings that the results depend on."""
        files = {"formats": sorted(set(self.kinds)), "true_scores": self.job.true_scores, "axes": asdict(self.job.axes)}
        return {**self._settings(), **files}

    def _find_people(self, fps: float, size: tuple[int, int], hidden: bool, advance: Callable[[], None]) -> None:
        """Find the people in all remaining frames; draw them at once unless a second pass does."""
        pace = self.job.pace
        number, begun = self.parts.bookmark()
        turn = self._turn()
        back = TURNS[-(turn // 90) % 4]
        # A choice by position or id needs everyone.
        people = None if self._chosen else self.job.choice.people
        follower = Follower(self.model, pace.every, people, pace.latency, memory=begun.memory)
        smoother = Smoother(STRENGTHS[pace.smooth], begun.states)
        frames_in: Iterator[Frame] = self._read(size, self.notes.append, begun.memory.before)

        def drawn() -> Generator[_Drawn]:
            bookmark = replace(begun, beyond=0)
            with closing(follow(turned_frames(frames_in, turn), follower)) as followed:
                for n, (frame, found) in enumerate(followed):
                    image = turned(frame.image, back)
                    poses = turned_back(found, turn, (image.shape[1], image.shape[0]))
                    smooth = poses if hidden else smoother(poses, frame.time)
                    if follower.memory is bookmark.memory:  # within a chunk
                        bookmark = replace(bookmark, beyond=bookmark.beyond + 1)
                    else:
                        bookmark = Bookmark(follower.memory, smoother.states)
                    if n >= begun.beyond:
                        shown = image if hidden else self.job.look(image, smooth)
                        yield replace(frame, image=shown), poses, bookmark

        first = next(frames_in, None)
        if first is None:
            return
        frames_in = chain([first], frames_in)
        with closing(ahead(drawn(), depth_for(first.image))) as found:
            while self._part(found, number, fps, hidden, advance):
                number += PART_FRAMES

    def _part(
        self, found: Iterator[_Drawn], number: int, fps: float, hidden: bool, advance: Callable[[], None]
    ) -> bool:
        """Write the next part; whether there was one. If an error occurs, finished work is kept."""
        head = next(found, None)
        if head is None:
            return False
        failure: BaseException | None = None
        people: list[formats.Timed] = []
        numbers: list[int | None] = []
        bookmark = head[2]
        with ExitStack() as opened:
            write = opened.enter_context(self._writer(number, head[0].image, fps, hidden))
            try:
                for frame, poses, after in chain([head], islice(found, PART_FRAMES - 1)):
                    with undivided():
                        write(frame)
                        people.append((frame.time, poses))
                        numbers.append(frame.number)
                        bookmark = after
                    advance()
            except BaseException as error:
                if not people:
                    raise
                failure = error
            with undivided():
                opened.close()
                known = [one for one in numbers if one is not None]
                known = known if len(known) == len(numbers) else []
                formats.write_npz_video(self.parts.folder / f"{number:08d}.npz", people, known)
                write_bookmark(self.parts.folder / f"{number:08d}{BOOKMARK}", bookmark)
                self.parts.seal(number, len(people), (BOOKMARK, ".npz", *(() if hidden else self.parts.drawings)))
        if failure is not None:
            raise failure
        return True

    @contextmanager
    def _writer(self, number: int, image: Image, fps: float, hidden: bool) -> Iterator[Callable[[Frame], None]]:
        """A function that takes the next drawn frame, from `number` on."""
        counted = iter(range(number, sys.maxsize))
        with ExitStack() as stack:
            append = None
            if self.drawn and not hidden:
                path, size = self.parts.folder / f"{number:08d}.mp4", (image.shape[1], image.shape[0])
                append = stack.enter_context(video.encoder(path, size, fps))

            def write(frame: Frame) -> None:
                # The picture first: a surplus picture is overwritten later, a surplus frame in the video would stay.
                if "png" in self.job.kinds and not hidden:
                    write_image(self.parts.pictures / f"{next(counted):06d}.png", frame.image)
                if append is not None:
                    append(frame)

            yield write

    def _turn(self) -> Turn:
        """The requested degrees, or those at which people are found best."""
        if self.job.turn != "auto":
            return self.job.turn
        pace = self.job.pace
        return surest_turn(self.model, self.file, pace.start, pace.end, pace.fps)

    def _draw(self, people: Arranged, size: tuple[int, int], fps: float, advance: Callable[[], None]) -> None:
        """The second pass: decode again and draw the arranged people, from the first part that has no drawing."""
        stored = people.stored
        parts = self.parts
        first = next((n for n, part in enumerate(stored.parts) if not parts.is_drawn(part)), None)
        if first is None:
            return
        counts = [len(formats.read_npz_video(part)) for part in stored.parts]
        done = sum(counts[:first])
        for _ in range(done):
            advance()
        frames = self._read(size, silent, stored.times[done - 1] if done else None)

        def drawn() -> Generator[tuple[Frame, Poses]]:
            for frame, poses in same_times(frames, people.frames(first)):
                behind = frame.image if self.character is None else self.character.image
                yield replace(frame, image=self.job.look(behind, poses)), poses

        with closing(ahead(drawn(), 2)) as shown:
            for n in range(first, len(stored.parts)):
                some = next(shown, None)
                if some is None:
                    return
                with self._writer(sum(counts[:n]), some[0].image, fps, False) as write:
                    for frame, _ in chain([some], islice(shown, counts[n] - 1)):
                        write(frame)
                        advance()
                parts.seal(sum(counts[:n]), counts[n], parts.drawings)

    def _finish(self, people: Arranged, size: tuple[int, int], fps: float) -> list[Path]:
        """Write the pose files and join the drawings; returns the paths written."""
        stored = people.stored
        about(self.place).unlink(missing_ok=True)
        written: list[Path] = []
        source = Origin(result_name(self.file), size, self.job.comfy_threshold, fps, stored.numbers, self.job.axes)
        for name in dict.fromkeys(self.kinds):
            path, kind = self._kind_path(name), KINDS[name]
            if kind.video is not None:
                paths = kind.video(path, people, source)
                written += [path] if paths is None else paths
                if paths is not None and not paths:
                    self.notes.append(f"{self.file}: {name} has a file for each person, and nobody was found.")
            elif kind.drawn:
                # None if an earlier run, stopped since, has already moved them.
                if self.parts.pictures.exists():
                    self.parts.seal_moved()
                    replace_folder(path, self.parts.pictures)
                written.append(path)
        # Last, so that sound that cannot be muxed costs no poses.
        if self.drawn:
            parts = [(part.with_suffix(".mp4"), at) for part, at in zip(stored.parts, stored.starts, strict=True)]
            parts = [(path, at) for path, at in parts if path.exists()]
            end = stored.times[-1] + 1 / fps
            video.join(self._mp4(), parts, audio=self.file, end=end, result=True, notice=self.notes.append)
            written.insert(0, self._mp4())
        return written
