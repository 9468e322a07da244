"""A run on one machine: worker processes fetch and decode, this one computes and writes.

    tally = run("s3://bucket/photos", "poses/", Settings(pose="fast"))

If it is stopped or killed, it resumes when started again with the same paths and options. Several machines without Ray
can each take a share of the files: `shard=(3, 16)` is the fourth of sixteen.
"""

import os
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from wholebody.batch.decode import GROUP, decoded
from wholebody.batch.estimate import BatchEstimator, Settings
from wholebody.batch.rows import Result, layout, to_table
from wholebody.batch.sources import Columns, Item, Source, check_columns, find, items
from wholebody.batch.store import Store
from wholebody.errors import WholebodyError
from wholebody.signals import ended_by_signals
from wholebody.tracking.ahead import ahead

# A part is written when it has this many pictures, or after this many seconds, which bounds the loss by a kill.
PART, PART_SECONDS = 2000, 120.0


@dataclass(frozen=True)
class Tally:
    """The summary of a run.

    Attributes:
        found: number of pictures and videos; None while it is unknown because of archives.
        before: ids finished earlier.
        done: ids finished now.
        frames: their pictures and video frames.
        people: in all frames.
        errors: message -> number of ids with it, and the first of them.
        seconds: time since the networks were loaded.
    """

    found: int | None = None
    before: int = 0
    done: int = 0
    frames: int = 0
    people: int = 0
    errors: dict[str, tuple[int, str]] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def failed(self) -> int:
        """Number of ids with an error."""
        return sum(count for count, _ in self.errors.values())

    @classmethod
    def of(cls, results: Iterable[Result]) -> "Tally":
        """The tally of these results; an id counts with its picture, or with the first frame of its video."""
        done = frames = people = 0
        errors: dict[str, tuple[int, str]] = {}
        for result in results:
            if result.error is not None:
                count, first = errors.get(result.error, (0, result.id))
                errors[result.error] = (count + 1, first)
            done += result.frame is None or result.frame == 0
            frames += result.poses is not None
            people += 0 if result.poses is None else len(result.poses)
        return cls(done=done, frames=frames, people=people, errors=errors)

    def __add__(self, more: "Tally") -> "Tally":
        """The sum of two tallies."""
        errors = dict(self.errors)
        for text, (count, first) in more.errors.items():
            before, earliest = errors.get(text, (0, first))
            errors[text] = (before + count, earliest)
        done, frames, people = self.done + more.done, self.frames + more.frames, self.people + more.people
        return replace(self, done=done, frames=frames, people=people, errors=errors)


Watch = Callable[[Tally], None]


def prepare(
    address: str, store: Store, columns: Columns, shard: tuple[int, int], retry_errors: bool
) -> tuple[list[Source], set[str]]:
    """The files of this share, and the finished ids; reports everything that can be wrong from the start.

    Raises:
        WholebodyError: nothing is found, a column is missing, or the results cannot be written there.
    """
    number, shards = shard
    if not 0 <= number < shards:
        raise WholebodyError(f"shard {number}/{shards}: the first of {shards} is 0/{shards}.")
    if shards > 1 and store.single:
        raise WholebodyError(f"{store.address}: several machines cannot write one file. Name a folder.")
    sources = find(address, store.address)
    for source in sources:
        if source.kind == "parquet":
            check_columns(source, columns)
            break
    done = store.open()  # refuses other options before anything is deleted
    if retry_errors:
        store.forget_errors()
        done = store.open()
    # By name rather than position in the list: machines that start at different times may see different lists.
    return [source for source in sources if zlib.crc32(source.id.encode()) % shards == number], done


def run(
    address: str,
    output: str,
    settings: Settings = Settings(),  # noqa: B008
    *,
    columns: Columns = Columns(),  # noqa: B008
    readers: int | None = None,
    part: int = PART,
    shard: tuple[int, int] = (0, 1),
    retry_errors: bool = False,
    watch: Watch = lambda tally: None,
) -> Tally:
    """Find the people in a collection, and store the results.

    Args:
        address: the input, see `sources`.
        output: a folder or a .parquet file, see `store`; existing results are kept
            and not computed again.
        columns: the columns of Parquet input.
        readers: worker processes that fetch and decode; None chooses a number, and 0 decodes in this process. With
            workers, a script needs the usual `if __name__ == "__main__":`.
        part: most pictures per file of a folder.
        shard: (n, of): each machine gets its own n, from 0, and the same `of`.
        retry_errors: process failed pictures again.
        watch: called with the current tally after each group of pictures.

    Raises:
        WholebodyError: nothing is found, a network cannot be loaded, or results cannot be written.
    """
    store = Store(output, settings.about)
    sources, done = prepare(address, store, columns, shard, retry_errors)
    before = len(done)
    videos = [source for source in sources if source.kind == "video"]
    others = [source for source in sources if source.kind != "video"]
    plain = all(source.kind == "picture" for source in others)
    tally = Tally(len(sources) if plain else None, before)
    groups = _groups(others, done, columns)
    first = next(groups, None)
    left = [source for source in videos if source.id not in done]
    if first is None and not left:
        store.finish()
        return tally
    estimator = BatchEstimator.open(settings)
    schema = layout(estimator.model.pose.schema)
    started = time.perf_counter()

    def said(tally: Tally) -> Tally:
        tally = replace(tally, seconds=time.perf_counter() - started)
        watch(tally)
        return tally

    with ended_by_signals():
        results: list[Result] = []
        last = started
        processes = _readers() if readers is None else readers
        try:
            with (
                closing(ahead(_chained(first, groups), 2)) as upcoming,
                closing(decoded(upcoming, processes, settings.strict)) as ready,
            ):
                for pictures in ready:
                    fresh = estimator(pictures)
                    results += fresh
                    tally = said(tally + Tally.of(fresh))
                    if len(results) >= part or time.perf_counter() - last >= PART_SECONDS:
                        _place(store, results, schema)
                        results, last = [], time.perf_counter()
        finally:  # if stopped, finished results are kept
            if results:
                _place(store, results, schema)
        for source in left:

            def counted(source: Source = source) -> Iterator[Result]:
                nonlocal tally
                for result in estimator.video(source):
                    tally = said(tally + Tally.of([result]))
                    yield result

            store.place([source.id], tables(counted(), schema))
    store.finish()
    return tally


def tables(results: Iterable[Result], schema: Any) -> Iterator[Any]:
    """Tables of a thousand results each."""
    results = iter(results)
    while some := list(islice(results, 1000)):
        yield to_table(some, schema)


def _place(store: Store, results: Sequence[Result], schema: Any) -> None:
    store.place([result.id for result in results], tables(results, schema))


def _groups(sources: Iterable[Source], done: set[str], columns: Columns) -> Iterator[list[Item]]:
    """The remaining work. Groups are formed by position in the whole, so that a resumed run has the same groups as an
    uninterrupted one: the last bit of a result depends on who shares a batch."""
    every = (item for source in sources for item in items(source, columns))
    while group := list(islice(every, GROUP)):
        left: list[Item] = []
        for item in group:
            if item.id not in done:
                done.add(item.id)
                left.append(item)
        if left:
            yield left


def _chained(first: list[Item] | None, groups: Iterator[list[Item]]) -> Iterator[list[Item]]:
    if first is not None:
        yield first
    yield from groups


def _readers() -> int:
    # On a CPU, decoding takes a tenth of the time; a GPU needs more decoders.
    return min(max((os.cpu_count() or 1) // 4, 1), 8)
