"""Kill each command at many moments, start it again, and compare what it ends with to a run that nobody disturbed.

    python runs/reliability/kills.py WORK [--commands video synth ...] [--trials 3] [--kills 3] [--body BODY]

In a trial a command is started and killed `kills` times in a row, each time at a random moment (every other time with
SIGTERM, otherwise with SIGKILL), and then left alone. After each kill every file that has its final name is read to its
end. At the end all files are compared with those of the undisturbed run, and nothing temporary may be left.

What is compared: pictures, shards, networks and texts by their bytes, arrays bit by bit, JSON without times, rows of
Parquet in any order; films by their number of frames and times. BODY is the file that `wholebody synth body` makes;
without it synth is left out.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from wholebody import WholeBody, video
from wholebody.data.coco import write_labels
from wholebody.data.labels import Labels, PictureFile
from wholebody.video.frame import Frame

ROOT = Path(__file__).parents[2]
_TIMES = ("milliseconds_per_person",)
# Logs, which say how long things took.
_LOGS = (".jsonl", ".html", ".tfevents", ".pt")


@dataclass(frozen=True)
class Command:
    """A command of this package; `words` are given the folder that it writes into."""

    name: str
    words: Callable[[Path], Sequence[str]]


def material(work: Path) -> None:
    """Pictures of somebody, a film of them, labels, and a student, all small."""
    if (work / "labels.json").exists():
        return
    (work / "pictures").mkdir(parents=True, exist_ok=True)
    photo = cv2.imread(str(ROOT / "examples/parkour.jpg"))
    photo = cv2.resize(photo, None, fx=420 / photo.shape[1], fy=420 / photo.shape[1], interpolation=cv2.INTER_AREA)
    h, w = photo.shape[:2]
    for n in range(8):
        shown = photo[n * 2 : h - 16 + n * 2, n * 4 : w - 32 + n * 4]
        cv2.imwrite(str(work / f"pictures/{n}.jpg"), shown[:, ::-1] if n % 2 else shown)
    pan = (photo[n // 12 : h - 16 + n // 12, n // 6 : w - 32 + n // 6] for n in range(190))
    video.write(work / "clip.mp4", (Frame(n / 25, image.copy()) for n, image in enumerate(pan)), 25)
    model = WholeBody("fast", device="cpu", threads=1)
    poses = [model(cv2.imread(str(work / f"pictures/{n}.jpg"))) for n in range(8)]
    people = [(n + 1, found[i]) for n, found in enumerate(poses) for i in range(len(found))]
    m = len(people)
    boxes = np.array([one.boxes[0] for _, one in people], np.float64)
    write_labels(
        work / "labels.json",
        Labels(
            ids=np.arange(1, m + 1),
            image_ids=np.array([n for n, _ in people]),
            keypoints=np.array([one.keypoints[0] for _, one in people], np.float64),
            visible=np.full((m, 133), 2, np.float32),
            boxes=boxes,
            areas=(boxes[:, 2:] - boxes[:, :2]).prod(axis=1),
            iscrowd=np.zeros(m, bool),
            valid=np.ones((m, 4), bool),
            images={n + 1: PictureFile(f"{n}.jpg", w - 32, h - 16) for n in range(8)},
        ),
    )


def commands(work: Path, body: Path | None) -> list[Command]:
    """What is killed, the smallest settings that still take some steps."""
    main = [sys.executable, "-m", "wholebody"]
    pictures, clip, labels = str(work / "pictures"), str(work / "clip.mp4"), str(work / "labels.json")
    cpu = ["--device", "cpu", "--threads", "1", "--precision", "fp32"]
    small = ["--pose", "fast", *cpu]
    coco = f"coco:{labels}:{pictures}"
    found = [
        Command("predict", lambda out: [*main, "predict", pictures, "--output", str(out), *small]),
        Command(
            "video",
            lambda out: [*main, "predict", clip, "--output", str(out), "--resume", "--formats", "npz", "csv", *small],
        ),
        Command(
            "video, two passes",
            lambda out: [*main, "predict", clip, "--output", str(out), "--resume", "--two-pass", *small],
        ),
        Command(
            "evaluate",
            lambda out: [
                *(*main, "evaluate", "fast", "--annotations", labels, "--images", pictures),
                *("--output", str(out), *cpu),
            ],
        ),
        Command("batch", lambda out: [*main, "batch", pictures, "--output", str(out / "rows"), "--part", "2", *small]),
        Command(
            "train",
            lambda out: [
                *(*main, "train", "debug", "--out", str(out), "--data", coco, "--steps", "6", "--batch", "2"),
                *("--input-size", "64", "64", "--checkpoint-minutes", "0"),
            ],
        ),
        Command(
            "distill",
            lambda out: [
                *(*main, "distill", "--images", pictures, "--teacher", "fast", "--student", "t"),
                *("--out", str(out), "--steps", "4", "--batch", "2"),
            ],
        ),
    ]
    if body is not None:
        found.insert(
            3, Command("synth", lambda out: [sys.executable, __file__, str(work), "--synth", str(out), str(body)])
        )
    return found


def synth(out: str, body: str) -> None:
    """`wholebody synth` with shards of three pictures: those of 500 would take too long here."""
    from wholebody.signals import ended_by_signals
    from wholebody.synth.shards import GeneratorFactory, write_shards

    with ended_by_signals():
        write_shards(out, 12, 1, people=GeneratorFactory(body, size=160), per_shard=3)


def files(out: Path) -> list[Path]:
    return sorted(path for path in out.rglob("*") if path.is_file())


def hidden(path: Path, out: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(out).parts)


def contents(path: Path, out: Path) -> object:
    """A file of the folder `out`, read to its end; raises where it is not whole."""
    suffix = path.suffix
    if suffix == ".json":
        found = json.loads(path.read_text().replace(str(out), "OUT"))  # recipes name their folder
        return {key: value for key, value in found.items() if key not in _TIMES} if isinstance(found, dict) else found
    if suffix == ".npz":
        with np.load(path) as archive:
            return {name: (array.dtype.str, array.shape, array.tobytes()) for name, array in archive.items()}
    if suffix == ".mp4":
        return [round(frame.time, 3) for frame in video.read(path)]
    if suffix == ".parquet":
        import pyarrow.parquet as pq

        return sorted(map(repr, pq.read_table(path).to_pylist()))
    if suffix in (".jpg", ".png"):
        assert cv2.imread(str(path)) is not None
    if suffix == ".tar":
        with tarfile.open(path) as archive:
            archive.getmembers()
    if suffix == ".safetensors":
        from safetensors.numpy import load_file

        load_file(path)
    return path.read_bytes()


def snapshot(out: Path) -> dict[str, object]:
    found: dict[str, object] = {}
    for path in files(out):
        if hidden(path, out) or any(end in path.name for end in _LOGS):
            continue
        value = contents(path, out)
        if path.suffix == ".parquet":  # which rows share a file depends on the moments
            found["rows"] = sorted([*found.get("rows", []), *value])
        else:
            found[str(path.relative_to(out))] = value
    return found


def apart(got: dict[str, object], want: dict[str, object]) -> list[str]:
    """Names of files that differ."""
    return sorted(name for name in set(got) | set(want) if got.get(name) != want.get(name))


def started(command: Command, out: Path) -> subprocess.Popen:
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command.words(out), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=env)


def finished(command: Command, out: Path) -> float:
    begun = time.monotonic()
    run = started(command, out)
    errors = run.communicate()[1]
    assert run.returncode == 0, f"{command.name}: {errors.decode()[-2000:]}"
    return time.monotonic() - begun


def tried(command: Command, work: Path, trials: int, kills: int, rng: random.Random) -> list[str]:
    """A row of the table."""
    slug = command.name.replace(", ", "-").replace(" ", "-")
    seconds = finished(command, work / slug / "whole")
    want = snapshot(work / slug / "whole")
    dead, equal, wrong, half, left = 0, 0, [], [], 0
    for trial in range(trials):
        out = work / slug / f"trial{trial}"
        for n in range(kills):
            run = started(command, out)
            try:
                # Half of a run is Python that loads; what it writes comes after that.
                run.wait(seconds * rng.uniform(0.25, 1.0))
            except subprocess.TimeoutExpired:
                run.send_signal(signal.SIGTERM if n % 2 else signal.SIGKILL)
                dead += 1
            run.communicate()
            for path in files(out) if out.exists() else []:
                if not hidden(path, out) and path.suffix != ".jsonl":
                    try:
                        contents(path, out)
                    except Exception as error:
                        half.append(f"{path.name}: {error}")
        finished(command, out)
        differ = apart(snapshot(out), want)
        left += sum(".unfinished" in path.name for path in files(out))
        wrong += differ
        equal += not differ
    print(command.name, "differ:", wrong, "half:", half, flush=True)
    return [command.name, f"{seconds:.1f}", str(dead), f"{equal} / {trials}", str(len(half)), str(left)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--commands", nargs="*")
    parser.add_argument("--trials", type=int, default=3)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--body", type=Path)
    parser.add_argument("--synth", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.synth:
        synth(*options.synth)
        return
    material(options.work)
    table = Table("command", "seconds", "kills", "equal", "half files", "left", box=box.MARKDOWN)
    for command in commands(options.work, options.body):
        if not options.commands or command.name in options.commands:
            table.add_row(*tried(command, options.work, options.trials, options.kills, random.Random(options.seed)))
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
