"""`wholebody batch`: collections of pictures and videos to Parquet."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from wholebody.choices import Device, Precision
from wholebody.commands.models import need
from wholebody.console import say
from wholebody.errors import WholebodyError
from wholebody.files import check_folder

if TYPE_CHECKING:
    from wholebody.batch import Tally

# Seconds between lines of progress where the output is no terminal.
_LINE_SECONDS = 30.0


def batch(
    source: Annotated[str, tyro.conf.Positional],
    /,
    output: str,
    pose: str = "wholebody-133",
    detector: str = "person",
    threshold: float | None = None,
    people: int | None = None,
    flip: bool = False,
    fps: float | None = None,
    image_column: str | None = None,
    id_column: str | None = None,
    part: int = 2000,
    readers: int | None = None,
    shard: str = "0/1",
    retry_errors: bool = False,
    strict: bool = False,
    engine: Literal["local", "ray"] = "local",
    address: str | None = None,
    workers: int | None = None,
    device: Device = "auto",
    precision: Precision = "auto",
    threads: int | None = None,
) -> int:
    """Find everyone in a collection of pictures and videos of any size, and write Parquet.

    "wholebody batch photos/ --output poses.parquet" processes a folder and its subfolders into one file.

    "wholebody batch s3://bucket/photos --output s3://bucket/poses" reads from a bucket and writes to one.

    "wholebody batch 'shards-{0000..0099}.tar' --output poses" reads WebDataset tars.

    "wholebody batch list.txt --output poses --engine ray --address auto" processes a list on a Ray cluster.

    If it is stopped or killed, run it again: finished work is not repeated. A picture that cannot be read becomes a row
    with an error, and the exit status is 1. docs/batch.md describes the columns.

    Args:
        source: A folder, a glob, a .tar, a .parquet file with a column of pictures, or a .txt file of paths or
            URLs; on this machine or any file system that fsspec supports (s3://, gs://, az://, hf://).
        output: A folder, local or in a bucket; or a .parquet file.
        pose: Pose network: a name from `wholebody models`, or an .onnx file.
        detector: Person detector: likewise, or none to take each picture as one person.
        threshold: Lowest score of a person; by default what the detector's file recommends, or 0.3.
        people: Keep at most this many people of a picture, the largest.
        flip: Flip test: average with the mirror image. A little more accurate, twice the time.
        fps: Frames per second to process of a video; by default all.
        image_column: Column of a Parquet file with the pictures' bytes, if there are several such columns.
        id_column: Column with the ids; by default rows are numbered.
        part: Most pictures in one file of the output.
        readers: Processes that fetch and decode.
        shard: N/M: process share N of M, counted from 0 (3/16 is the fourth of sixteen), to split work without Ray.
        retry_errors: Retry what failed before.
        strict: Refuse a partly damaged JPEG, instead of warning.
        engine: local computes in this process; ray on a cluster.
        address: Address of the Ray cluster; auto is the one that this machine belongs to. By default Ray starts here.
        workers: Ray actors, each with its own networks; by default one per CPU core or GPU.
        device: What to compute on.
        precision: On the CPU: fp32 as in the model cards, bf16 (OpenVINO), int8, or auto for the fastest available.
        threads: CPU threads; all cores by default, with Ray one per worker.
    """
    need("pyarrow", "batch")
    need("fsspec", "batch")
    from wholebody.batch import Columns, Settings, run
    from wholebody.batch.sources import FILE_SUFFIXES

    if not output.rstrip("/").endswith(".parquet"):
        check_folder(PurePath(output), FILE_SUFFIXES)
    settings = Settings(pose, detector, threshold, flip, people, fps, device, precision, threads, strict)
    columns = Columns(image_column, id_column)
    if part < 1 or (readers is not None and readers < 0) or (workers is not None and workers < 1):
        raise WholebodyError("--part and --workers must be 1 or more, --readers 0 or more.")
    if engine == "ray":
        if shard != "0/1" or readers is not None:
            raise WholebodyError("--shard and --readers are for one machine: Ray distributes the work itself.")
        from wholebody.batch.ray import run as run_on_ray

        tally = run_on_ray(
            source,
            output,
            settings,
            cluster=address,
            workers=workers,
            columns=columns,
            part=part,
            retry_errors=retry_errors,
        )
    else:
        if address is not None or workers is not None:
            raise WholebodyError("--address and --workers are for --engine ray.")
        with _telling() as watch:
            tally = run(
                source,
                output,
                settings,
                columns=columns,
                readers=readers,
                part=part,
                shard=_shard(shard),
                retry_errors=retry_errors,
                watch=watch,
            )
    _say(tally, output)
    return 1 if tally.failed else 0


def _shard(text: str) -> tuple[int, int]:
    number, slash, of = text.partition("/")
    if not (slash and number.isdecimal() and of.isdecimal()):
        raise WholebodyError(f"--shard {text}: write 3/16 for the fourth of sixteen.")
    return int(number), int(of)


@contextmanager
def _telling() -> Iterator[Callable[["Tally"], None]]:
    """Progress of a run: a bar, or lines if standard error is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    last = time.monotonic()
    columns = (TextColumn("people"), BarColumn(), TextColumn("{task.fields[text]}"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("people", total=None, text="")

        def watch(tally: "Tally") -> None:
            nonlocal last
            bar.update(task, completed=tally.before + tally.done, total=tally.found, text=_progress(tally))
            if not console.is_terminal and time.monotonic() - last >= _LINE_SECONDS:
                last = time.monotonic()
                print(_progress(tally), file=sys.stderr, flush=True)

        yield watch


def _progress(tally: "Tally") -> str:
    of = "" if tally.found is None else f" of {tally.found:,}"
    speed = tally.frames / tally.seconds if tally.seconds else 0
    failed = f", {tally.failed:,} failed" if tally.failed else ""
    return f"{tally.before + tally.done:,}{of} done, {tally.people:,} people{failed}, {speed:.1f}/s"


def _say(tally: "Tally", output: str) -> None:
    before = f", {tally.before:,} done before" if tally.before else ""
    speed = f" in {tally.seconds:.0f} s ({tally.frames / tally.seconds:.1f}/s)" if tally.seconds else ""
    failed = f", {tally.failed:,} failed:" if tally.failed else ""
    print(f"{output}: {tally.done:,} done, {tally.people:,} people{speed}{before}{failed}")
    ordered = sorted(tally.errors.items(), key=lambda row: -row[1][0])
    for text, (count, first) in ordered[:20]:
        say(f"{count:,} x {text} First: {first}")
    if len(ordered) > 20:
        print(f"... and {len(ordered) - 20:,} more kinds: see the column error.", file=sys.stderr)
