"""`wholebody batch`: collections of pictures and videos to Parquet."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from wholebody.choices import Device, Precision
from wholebody.commands.models import need
from wholebody.console import say
from wholebody.errors import WholebodyError

if TYPE_CHECKING:
    from wholebody.batch import Tally

# Where nobody looks at a bar, a line after so many seconds.
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
    engine: Literal["local", "ray"] = "local",
    address: str | None = None,
    workers: int | None = None,
    device: Device = "auto",
    precision: Precision = "auto",
    threads: int | None = None,
) -> int:
    """Find everyone in a collection of pictures and videos, of any size, and keep it as Parquet.

    "wholebody batch photos/ --output poses.parquet" does a folder, with the folders in it, into one file.

    "wholebody batch s3://bucket/photos --output s3://bucket/poses" reads from a bucket and writes files into one.

    "wholebody batch 'shards-{0000..0099}.tar' --output poses" takes WebDataset's tars.

    "wholebody batch list.txt --output poses --engine ray --address auto" shares a list among a Ray cluster.

    Stopped or killed, run it again: what is done is not done again. A picture that cannot be read is a row with an
    error, and the exit status is then 1. docs/batch.md describes the columns.

    Args:
        source: A folder, a glob, a .tar, a .parquet file with pictures in a column, a .txt file of addresses; on this
            machine or wherever fsspec reaches (s3://, gs://, az://, hf://).
        output: A folder, here or in a bucket; or a .parquet file.
        pose: Pose network: a name from `wholebody models`, or an .onnx file.
        detector: Person detector: the same, or none.
        threshold: Lowest score of a person. What the detector's file recommends, or 0.3, unless given.
        people: Most people of a picture, the largest first.
        flip: Average with the mirror image: a little more accurate, twice the time.
        fps: Frames a second of a video; all of them unless given.
        image_column: Column of a Parquet file that has the pictures' bytes, if there are several such columns.
        id_column: Column whose values are the ids. Rows are numbered unless given.
        part: Most pictures in a file of the output.
        readers: Processes that fetch and decode.
        shard: Take the n-th of so many shares, 3/16 for the fourth of sixteen: machines without Ray share the work.
        retry_errors: Do those again that failed.
        engine: local computes in this process; ray on a cluster.
        address: Of the Ray cluster; auto is the one that this machine belongs to. Without it Ray starts here.
        workers: Ray actors, each with the networks. As many as there are processors or graphics cards unless given.
        device: What to compute on.
        precision: On a processor: fp32 as the model cards were measured, bf16 (OpenVINO), int8, or the fastest here.
        threads: CPU threads; all cores by default, with Ray one for each worker.
    """
    need("pyarrow", "batch")
    need("fsspec", "batch")
    from wholebody.batch import Columns, Settings, run

    settings = Settings(pose, detector, threshold, flip, people, fps, device, precision, threads)
    columns = Columns(image_column, id_column)
    if part < 1 or (readers is not None and readers < 0) or (workers is not None and workers < 1):
        raise WholebodyError("--part and --workers are 1 or more, --readers 0 or more.")
    if engine == "ray":
        if shard != "0/1" or readers is not None:
            raise WholebodyError("--shard and --readers are for one machine: Ray shares the work itself.")
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
    if not (slash and number.isdigit() and of.isdigit()):
        raise WholebodyError(f"--shard {text}: write 3/16 for the fourth of sixteen.")
    return int(number), int(of)


@contextmanager
def _telling() -> Iterator[Callable[["Tally"], None]]:
    """What shows how far a run is: a bar, or lines where standard error is no terminal."""
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
    before = f", {tally.before:,} were done before" if tally.before else ""
    speed = f" in {tally.seconds:.0f} s ({tally.frames / tally.seconds:.1f}/s)" if tally.seconds else ""
    failed = f", {tally.failed:,} failed:" if tally.failed else ""
    print(f"{output}: {tally.done:,} done, {tally.people:,} people{speed}{before}{failed}")
    ordered = sorted(tally.errors.items(), key=lambda row: -row[1][0])
    for text, (count, first) in ordered[:20]:
        say(f"{count:,} x {text} First: {first}")
    if len(ordered) > 20:
        print(f"... and {len(ordered) - 20:,} more kinds: they are in the column error.", file=sys.stderr)
