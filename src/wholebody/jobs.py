"""`wholebody predict`: pictures and videos in, drawings and files of poses out.

Whatever is wrong with one file is said, and the others are done. Only what could not be done counts as failed: a fault
that a video survived is a note.

A video is worked off in parts (`parts`), kept in a folder beside the result while it is made. A run that is stopped or
killed leaves them, and `resume` goes on with the next frame and the same people. At the end the parts are joined,
without encoding again, and the sound is put beside them. A hidden file beside the results keeps the options they were
made with: `resume` takes them for done only where those are the same.
"""

import json
import math
import re
import shutil
import signal
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal

import numpy as np

from wholebody import draw, formats, video
from wholebody.arrays import Image
from wholebody.console import progress
from wholebody.errors import WholebodyError
from wholebody.files import RESULT, about, is_result, make_folder, replace_folder, replacing
from wholebody.formats.kinds import VIDEO_ONLY, Format, place_of
from wholebody.geometry import box_areas
from wholebody.images import WRITE_SUFFIXES, find_images, read_image, write_image
from wholebody.parts import PART_FRAMES, Stored, begin, ids_of, note_size, parts_in, same_times, size_in
from wholebody.poses import Poses
from wholebody.tracking.ahead import ahead, depth_for
from wholebody.tracking.pipeline import Follower, Latency, follow
from wholebody.tracking.smooth import STRENGTHS, Smoother
from wholebody.tracking.track import Tracker
from wholebody.video.frame import Frame
from wholebody.wholebody import WholeBody

Picture = Literal["skeleton", "openpose", "none"]

Part = Literal["body", "hands", "face", "feet"]
Smooth = Literal["off", "light", "strong"]

# Pictures are read and estimated in small groups: people of a group share batches, and memory stays bounded.
GROUP_PIXELS = 2**23

GROUP_PICTURES = 8


@dataclass(frozen=True)
class Look:
    """How results are drawn."""

    picture: Picture
    parts: Sequence[Part]
    threshold: float
    xinsir: bool

    def __call__(self, image: Image, poses: Poses) -> Image:
        if self.picture == "none":
            return image
        if self.picture == "skeleton":
            return draw.skeleton(image, poses, self.threshold)
        shown = {part: part in self.parts for part in ("body", "hands", "face", "feet")}
        scale: Literal["official", "xinsir"] = "xinsir" if self.xinsir else "official"
        canvas = np.zeros_like(image)
        try:
            return draw.openpose(canvas, poses, **shown, stick_scale=scale, threshold=self.threshold)
        except ValueError as error:  # a network of the body alone
            raise WholebodyError(f"{error}. Choose another picture, such as the skeleton.") from error


@dataclass(frozen=True)
class Pace:
    """What of a video is done, and how.

    Attributes:
        fps: steady rate; None keeps the video's own times. start, end: seconds.
        every: the detector runs on every `every`-th frame at least.
        latency: as for `pipeline.Follower`.
        smooth: how much keypoints are smoothed.
        two_pass: smooth with a look both ways, after everybody is found, and leave out who flashes up.
        resume: go on with a run that was stopped.

    Raises:
        WholebodyError: a number makes no sense.
    """

    fps: float | None = None
    start: float = 0.0
    end: float | None = None
    every: int = 8
    latency: Latency = "high"
    smooth: Smooth = "light"
    two_pass: bool = False
    resume: bool = False

    def __post_init__(self) -> None:
        if self.fps is not None and not 0 < self.fps <= 1000:
            raise WholebodyError(f"fps is {self.fps:g}: give 1 to 1000, or leave it out.")
        if not 0 <= self.start < math.inf:
            raise WholebodyError(f"start is {self.start:g}: give seconds from the beginning, 0 or more.")
        if self.end is not None and not self.end > self.start:
            raise WholebodyError(f"end is {self.end:g}: give a second after the start, {self.start:g}.")
        if self.every < 1:
            raise WholebodyError(f"every is {self.every}: give 1 or more.")


@dataclass(frozen=True)
class Job:
    """What is to be made of each file.

    Attributes:
        look: what is drawn. kinds: files of poses; empty for the usual ones. people: most people, the largest first.
        networks: what they are called and how they run, in a word each: a stopped run goes on with the same ones.

    Raises:
        WholebodyError: people is below 1.
    """

    look: Look
    kinds: Sequence[Format]
    people: int | None = None
    pace: Pace = field(default_factory=Pace)
    networks: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.people is not None and self.people < 1:
            raise WholebodyError(f"people is {self.people}: give 1 or more, or leave it out.")


@dataclass(frozen=True)
class Done:
    """One finished file: how many people it has, what was written, how long it took; of a video how many frames."""

    file: Path
    people: int
    written: Sequence[Path]
    seconds: float
    frames: int | None = None


def predict(inputs: Sequence[Path], output: Path | None, model: Callable[[], WholeBody], job: Job) -> int:
    """Do everything that `inputs` stand for, print what was done, and return the exit status.

    Args:
        inputs: pictures, videos, and folders of them. With a rate (`Pace.fps`), a folder without videos is one video.
        output: folder for the results; None puts them beside each file.
        model: opens the networks, once it is known that there is something to do.

    Raises:
        WholebodyError: there is nothing to do, the folder cannot be written, or the networks cannot be opened.
    """
    pictures, videos = _find(inputs, job.pace.fps is not None)
    if not pictures and not videos:
        raise WholebodyError("nothing to do: name at least one picture or video that is not itself a result.")
    if pictures and any(kind in VIDEO_ONLY for kind in job.kinds):
        raise WholebodyError(f"{', '.join(VIDEO_ONLY)} are for videos. Choose other formats for pictures.")
    if output is not None:
        make_folder(output)
    places = _result_names([*pictures, *videos], output)
    opened = model()
    done: list[Done] = []
    failed: list[str] = []
    notes: list[str] = []
    try:
        done += _pictures(opened, pictures, places, job, failed)
        for file in videos:
            try:
                done.append(_Clip(opened, file, places[file], job, notes).run())
            except WholebodyError as error:
                failed.append(str(error))
            except Exception as error:  # a mistake of ours: the other videos are done all the same
                failed.append(f"{file}: {_mistake(error)}")
    finally:
        _report(done, notes, failed)
    return 1 if failed else 0


def _mistake(error: Exception) -> str:
    """One line about an error that nobody foresaw, with its place."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    what = " ".join(f"{type(error).__name__} {error}".split())
    return f"failed ({what}; {Path(place.filename).name}, line {place.lineno}). Report it, or go on with --resume."


def _find(inputs: Sequence[Path], sequences: bool) -> tuple[list[Path], list[Path]]:
    """Pictures and videos, each once."""
    pictures: dict[Path, None] = {}
    videos: dict[Path, None] = {}
    for path in inputs:
        if path.is_dir():
            files = (file for file in sorted(path.iterdir()) if file.name[0] != "." and file.is_file())
            inside = dict.fromkeys(file for file in files if video.is_video(file))
            own = [file for file in inside if not is_result(file)]
            if sequences and not own:
                # What is made of the folder one is in needs its name.
                videos[path.resolve() if path.name in ("", "..") else path] = None
                continue
            videos.update(dict.fromkeys(own))
            try:
                pictures.update(dict.fromkeys(file for file in find_images([path]) if file not in inside))
            except WholebodyError:
                if not inside:
                    raise
        elif video.is_video(path):
            videos[path] = None
        else:
            pictures[path] = None
    return [file for file in pictures if file.is_symlink() or not is_result(file)], list(videos)


def _name(file: Path) -> str:
    """What results are named after: a folder's name has no suffix."""
    return file.name if file.is_dir() else file.stem


def _result_names(files: Sequence[Path], output: Path | None) -> dict[Path, Path]:
    """Where each file's results go, without suffix; files that share a name get their own suffix into it."""
    places = {file: (output or file.parent) / f"{_name(file)}{RESULT}" for file in files}
    count = Counter(places.values())
    taken = Counter[Path]()
    for file, place in places.items():
        if count[place] > 1 and not file.is_dir():
            place = place.with_name(f"{file.stem}_{file.suffix.lstrip('.').lower()}{RESULT}")
        taken[place] += 1
        places[file] = place if taken[place] == 1 else place.with_name(f"{place.name}{taken[place]}")
    return places


def _pictures(
    model: WholeBody, files: Sequence[Path], places: Mapping[Path, Path], job: Job, failed: list[str]
) -> Iterator[Done]:
    with progress("people", len(files)) as advance:
        for group in _groups(files, failed, advance):
            started = time.perf_counter()
            for (file, image), poses in zip(group, _estimate(model, group, failed), strict=True):
                if poses is not None:
                    poses = _largest(poses, job.people)
                    try:
                        written = _write_picture(places[file], file, image, poses, job)
                        yield Done(file, len(poses), written, (time.perf_counter() - started) / len(group))
                    except WholebodyError as error:
                        failed.append(str(error))
                advance()


def _groups(
    files: Iterable[Path], failed: list[str], advance: Callable[[], None]
) -> Iterator[list[tuple[Path, Image]]]:
    """Pictures in groups of bounded size; those that cannot be read are noted instead."""
    group: list[tuple[Path, Image]] = []
    for file in files:
        try:
            group.append((file, read_image(file)))
        except WholebodyError as error:
            failed.append(str(error))
            advance()
        pixels = sum(image.shape[0] * image.shape[1] for _, image in group)
        if len(group) == GROUP_PICTURES or pixels > GROUP_PIXELS:
            yield group
            group = []
    if group:
        yield group


def _estimate(model: WholeBody, group: Sequence[tuple[Path, Image]], failed: list[str]) -> Iterator[Poses | None]:
    """Poses of each picture, None where it failed: one that fails does not take the group with it."""
    try:
        yield from model.images([image for _, image in group])
    except WholebodyError:
        for file, image in group:
            try:
                yield model(image)
            except WholebodyError as error:
                failed.append(f"{file}: {error}")
                yield None


def _largest(poses: Poses, people: int | None) -> Poses:
    if people is None or len(poses) <= people:
        return poses
    return poses[np.sort(box_areas(poses.boxes).argsort(kind="stable")[::-1][:people])]


def _write_picture(place: Path, file: Path, image: Image, poses: Poses, job: Job) -> list[Path]:
    """Write the picture and the files of one image; the paths written."""
    written = []
    size = (image.shape[1], image.shape[0])
    if job.look.picture != "none":
        # A map is read by machines: no JPEG noise. A photo keeps its kind where that can be written.
        kept = job.look.picture == "skeleton" and file.suffix.lower() in WRITE_SUFFIXES
        written.append(place.with_name(place.name + (file.suffix.lower() if kept else ".png")))
        write_image(written[-1], job.look(image, poses))
    kinds = job.kinds or ("coco",)
    for kind in dict.fromkeys(kinds):
        path = place_of(place, kind, kinds)
        match kind:
            case "coco":
                formats.write_coco(path, {file.name: poses})
            case "openpose":
                formats.write_openpose(path, poses)
            case "comfy":
                formats.write_comfy(path, poses, size)
            case "npz":
                formats.write_npz(path, poses)
            case "csv":
                formats.write_csv(path, {file.name: poses})
        written.append(path)
    return written


@dataclass(frozen=True, eq=False)
class _Clip:
    """One video on its way."""

    model: WholeBody
    file: Path
    place: Path
    job: Job
    notes: list[str]

    @property
    def kinds(self) -> Sequence[Format]:
        """The formats asked for, or what a video gets unasked."""
        return self.job.kinds or ("npz",)

    @property
    def folder(self) -> Path:
        return self.place.with_name(f"{self.place.name}.parts")

    @property
    def drawn(self) -> bool:
        return self.job.look.picture != "none"

    def run(self) -> Done:
        started = time.perf_counter()
        pace = self.job.pace
        source = video.info(self.file)
        fps = pace.fps or source.fps
        if pace.resume and not self.folder.exists() and (finished := self._finished()):
            return finished
        begin(self.folder, self._settings(), pace.resume)
        length = None if source.duration is None else min(source.duration, pace.end or np.inf) - pace.start
        total = None if length is None else max(round(length * fps), 1)
        before = sum(len(formats.read_npz_video(part)) for part in parts_in(self.folder))
        with progress(f"{self.file.name}: people", total, "frames", before) as advance:
            self._find_people(fps, pace.two_pass, advance)
        size = size_in(self.folder) or source.size
        stored = Stored(self.folder, STRENGTHS[pace.smooth], pace.two_pass)
        if not stored.times:
            raise WholebodyError(f"{self.file}: no frame from {pace.start:g} s on. Choose an earlier start.")
        if pace.two_pass and (self.drawn or "png" in self.job.kinds):
            with progress(f"{self.file.name}: drawing", len(stored.times), "frames") as advance:
                self._draw(stored, size, fps, advance)
        written = self._finish(stored, size, fps)
        seconds = time.perf_counter() - started
        done = Done(self.file, len(stored.ids), written, seconds, len(stored.times))
        self._keep(done)
        shutil.rmtree(self.folder)
        return done

    def _finished(self) -> Done | None:
        """What an earlier run has done with the same options, if it came to its end."""
        try:
            kept = json.loads(about(self.place).read_text())
            same = kept["options"] == self._options()
            written = [self.place.with_name(name) for name in kept["written"]]
            done = Done(self.file, kept["people"], written, 0.0, kept["frames"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if not same:
            self.notes.append(f"{self.file}: was done with other options, or was another file; done again.")
        return done if same and all(path.exists() for path in written) else None

    def _keep(self, done: Done) -> None:
        """Note what is done, for `_finished`."""
        names = [path.name for path in done.written]
        kept = {"options": self._options(), "people": done.people, "frames": done.frames, "written": names}
        with replacing(about(self.place)) as partial:
            partial.write_text(json.dumps(kept))

    def _mp4(self) -> Path:
        return self.place.with_name(f"{self.place.name}.mp4")

    def _kind_path(self, kind: Format) -> Path:
        if kind == "png" or kind == "openpose":
            return self.place.with_name(f"{self.place.name}_{kind}")
        return place_of(self.place, kind, self.job.kinds)

    def _settings(self) -> dict[str, Any]:
        """What parts are made with."""
        settings = {
            **{name: value for name, value in asdict(self.job.pace).items() if name != "resume"},
            "look": asdict(self.job.look),
            "people": self.job.people,
            "networks": list(self.job.networks),
            "pictures": "png" in self.job.kinds,
            "bytes": None if self.file.is_dir() else self.file.stat().st_size,
        }
        plain: dict[str, Any] = json.loads(json.dumps(settings))
        return plain

    def _options(self) -> dict[str, Any]:
        """What results are made with."""
        return {**self._settings(), "formats": sorted(set(self.kinds))}

    def _find_people(self, fps: float, hidden: bool, advance: Callable[[], None]) -> None:
        """The people of all frames that are not yet there; drawn at once unless that is for a second pass."""
        pace, done = self.job.pace, parts_in(self.folder)
        tracker, smoother = Tracker(), Smoother(STRENGTHS[pace.smooth])
        start, number = pace.start, 0
        for part in done:
            frames = formats.read_npz_video(part)
            number += len(frames)
            start = frames[-1][0] + (1 / pace.fps if pace.fps else 1e-3)
            tracker.next_id = max(tracker.next_id, *(int(key) + 1 for _, poses in frames for key in ids_of(poses)), 1)
            if part in done[-3:]:
                for at, poses in frames:
                    tracker.follow(poses, at)
                    smoother(poses, at)
        if pace.end is not None and start >= pace.end:
            return
        follower = Follower(self.model, pace.every, self.job.people, pace.latency, tracker)
        # A video may change its size: all frames are fitted into that of the first, whichever run read it.
        size = size_in(self.folder)
        frames_in = video.read(self.file, start=start, end=pace.end, fps=pace.fps, size=size, notice=self.notes.append)
        if number:
            frames_in = _nothing_left(frames_in)

        def drawn() -> Generator[tuple[Frame, Poses]]:
            with closing(follow(frames_in, follower)) as followed:
                for frame, poses in followed:
                    shown = frame.image if hidden else self.job.look(frame.image, smoother(poses, frame.time))
                    yield Frame(frame.time, shown), poses

        first = next(frames_in, None)
        if first is None:
            return
        if size is None:
            note_size(self.folder, (first.image.shape[1], first.image.shape[0]))
        frames_in = chain([first], frames_in)
        with closing(ahead(drawn(), depth_for(first.image))) as found:
            while self._part(found, number, fps, hidden, advance):
                number += PART_FRAMES

    def _part(
        self, found: Iterator[tuple[Frame, Poses]], number: int, fps: float, hidden: bool, advance: Callable[[], None]
    ) -> bool:
        """Write the next part; whether there was one. What is done when an error comes is kept."""
        head = next(found, None)
        if head is None:
            return False
        failure: BaseException | None = None
        people: list[formats.Timed] = []
        with ExitStack() as opened:
            write = opened.enter_context(self._writer(number, head[0].image, fps, hidden))
            try:
                for frame, poses in chain([head], islice(found, PART_FRAMES - 1)):
                    with _undivided():
                        write(frame)
                        people.append((frame.time, poses))
                    advance()
            except BaseException as error:
                if not people:
                    raise
                failure = error
            with _undivided():
                opened.close()
                formats.write_npz_video(self.folder / f"{number:08d}.npz", people)
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
                path, size = self.folder / f"{number:08d}.mp4", (image.shape[1], image.shape[0])
                append = stack.enter_context(video.encoder(path, size, fps))

            def write(frame: Frame) -> None:
                # The picture first: one too many is written over, one too many in the film stays.
                if "png" in self.job.kinds and not hidden:
                    write_image(self.folder / "png" / f"{next(counted):06d}.png", frame.image)
                if append is not None:
                    append(frame)

            yield write

    def _draw(self, stored: Stored, size: tuple[int, int], fps: float, advance: Callable[[], None]) -> None:
        """The second pass: decode again and draw the smoothed people, from the first part that has no drawing."""
        parts = [part for part in stored.parts if self.drawn and not part.with_suffix(".mp4").exists()]
        if not parts and self.drawn:
            return
        first = stored.parts.index(parts[0]) if parts else 0
        counts = [len(formats.read_npz_video(part)) for part in stored.parts]
        for _ in range(sum(counts[:first])):
            advance()
        people = stored.frames(first)
        head = next(people)
        pace = self.job.pace
        frames = video.read(self.file, start=max(head[0] - 2e-4, 0), end=pace.end, fps=pace.fps, size=size)

        def drawn() -> Generator[tuple[Frame, Poses]]:
            for frame, poses in same_times(frames, chain([head], people)):
                yield Frame(frame.time, self.job.look(frame.image, poses)), poses

        with closing(ahead(drawn(), 2)) as found:
            for n in range(first, len(stored.parts)):
                some = next(found, None)
                if some is None:
                    return
                with self._writer(sum(counts[:n]), some[0].image, fps, False) as write:
                    for frame, _ in chain([some], islice(found, counts[n] - 1)):
                        write(frame)
                        advance()

    def _finish(self, stored: Stored, size: tuple[int, int], fps: float) -> list[Path]:
        """Write the files of poses and join the drawings; the paths written."""
        about(self.place).unlink(missing_ok=True)
        written: list[Path] = []
        for kind in dict.fromkeys(self.kinds):
            path = self._kind_path(kind)
            match kind:
                case "coco":
                    formats.write_coco(path, ((n, poses) for n, (_, poses) in enumerate(stored)))
                case "openpose":
                    fresh = self.folder / "openpose"
                    for n, (_, poses) in enumerate(stored):
                        formats.write_openpose(fresh / formats.openpose_name(_name(self.file), n), poses)
                    replace_folder(path, fresh)
                case "comfy":
                    formats.write_comfy(path, (poses for _, poses in stored), size)
                case "npz":
                    formats.write_npz_video(path, stored)
                case "csv":
                    formats.write_csv_video(path, stored)
                case "parquet":
                    formats.write_parquet(path, stored)
                case "trc":
                    each = {person: path.with_name(f"{self.place.name}_{person}.trc") for person in stored.ids}
                    formats.write_trcs(each, stored, size[1])
                    written += each.values()
                    name = re.compile(re.escape(self.place.name) + r"_\d+\.trc")
                    for left in set(path.parent.glob("*.trc")) - set(each.values()):
                        if name.fullmatch(left.name):
                            left.unlink()  # of somebody whom an earlier run had
                    continue
                case "png":
                    # None where an earlier run, stopped since, has put them there.
                    if (self.folder / "png").exists():
                        replace_folder(path, self.folder / "png")
            written.append(path)
        # Last: sound that cannot be joined costs no poses.
        if self.drawn:
            parts = [(part.with_suffix(".mp4"), at) for part, at in zip(stored.parts, stored.starts, strict=True)]
            parts = [(path, at) for path, at in parts if path.exists()]
            end = stored.times[-1] + 1 / fps
            video.join(self._mp4(), parts, audio=self.file, end=end, notice=self.notes.append)
            written.insert(0, self._mp4())
        return written


@contextmanager
def _undivided() -> Iterator[None]:
    """Ctrl-C waits for the end of this: what belongs together is written together or not at all."""
    before = signal.getsignal(signal.SIGINT)
    if before is None or threading.current_thread() is not threading.main_thread():
        yield  # no key press comes here
        return
    pressed: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if pressed:
            signal.raise_signal(signal.SIGINT)


def _nothing_left(frames: Iterator[Frame]) -> Iterator[Frame]:
    """The frames after those of an earlier run: that there are none is no error then."""
    try:
        yield from frames
    except WholebodyError as error:
        if "ends before" not in str(error):
            raise


def _report(done: Sequence[Done], notes: Sequence[str], failed: Sequence[str]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    pictures = [row for row in done if row.frames is None]
    videos = [row for row in done if row.frames is not None]
    for rows, columns in ((pictures, ("picture", "people", "ms")), (videos, ("video", "people", "frames", "frames/s"))):
        table = Table(*columns, "written", box=None, pad_edge=False)
        for row in rows[:40]:
            if row.frames is None:
                figures = [f"{row.seconds * 1e3:.0f}"]
            else:
                figures = [str(row.frames), f"{row.frames / row.seconds:.1f}" if row.seconds else "done before"]
            names = ", ".join(path.name for path in row.written)
            table.add_row(escape(str(row.file)), str(row.people), *figures, escape(names))
        if rows:
            console.print(table)
        if len(rows) > 40:
            console.print(f"... and {len(rows) - 40} more")
    for line in notes:
        print(line, file=sys.stderr)
    sums = [_count(len(rows), word) for rows, word in ((pictures, "picture"), (videos, "video")) if rows] or ["0 done"]
    people = _count(sum(row.people for row in done), "person", "people")
    console.print(f"{', '.join(sums)}, {people}" + (f", {len(failed)} failed:" if failed else ""))
    for line in failed:
        print(line, file=sys.stderr)


def _count(number: int, word: str, many: str | None = None) -> str:
    return f"{number} {word if number == 1 else many or word + 's'}"
