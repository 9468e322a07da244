"""A run on one machine: processes fetch and decode, this one computes and writes.

    tally = run("s3://bucket/photos", "poses/", Settings(pose="fast"))

Stopped or killed, it resumes when it is started again with the same addresses and options. Where there are several
machines without Ray, each takes its share of the files: `shard=(3, 16)` is the fourth of sixteen.
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

# A part is put in place when it has so many pictures, or after so many seconds: more is not lost to a kill.
PART, PART_SECONDS = 2000, 120.0


@dataclass(frozen=True)
class Tally:
    """What a run did.

    Attributes:
        found: how many pictures and videos there are; None while archives hide it.
        before: ids that were done already. done: ids done now. frames: of them, pictures and frames of videos.
        people: in all frames.
        errors: text -> how many ids have it, and the first of them.
        seconds: since networks were opened.
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
        """How many ids have an error."""
        return sum(count for count, _ in self.errors.values())

    @classmethod
    def of(cls, results: Iterable[Result]) -> "Tally":
        """Of these results; an id is done with its picture, or with the first frame of its video."""
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
        """With what `more` did besides."""
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
    """The files of this share, and the ids that are done; all that can be wrong from the start is said here.

    Raises:
        WholebodyError: nothing is found, a column is missing, or the results cannot be kept there.
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
    if retry_errors:
        store.forget_errors()
    done = store.open()
    # By the name and not by the place in the list: machines that start at other times may see other lists.
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
    """Find the people of a collection, and keep what was found.

    Args:
        address: what is read, see `sources`. output: a folder or a .parquet file, see `store`; what is in it is kept,
            and is not done again.
        columns: of Parquet files that are read.
        readers: processes that fetch and decode; None chooses, and 0 does it in this one. With them, a script needs
            the usual `if __name__ == "__main__":`.
        part: most pictures in a file of a folder.
        shard: (n, of): every machine takes its own n from 0, and the same `of`.
        retry_errors: do those again that have an error.
        watch: called with the tally so far, after each group of pictures.

    Raises:
        WholebodyError: nothing is found, a network cannot be opened, or results cannot be written.
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
            with closing(ahead(_chained(first, groups), 2)) as upcoming, closing(decoded(upcoming, processes)) as ready:
                for pictures in ready:
                    fresh = estimator(pictures)
                    results += fresh
                    tally = said(tally + Tally.of(fresh))
                    if len(results) >= part or time.perf_counter() - last >= PART_SECONDS:
                        _place(store, results, schema)
                        results, last = [], time.perf_counter()
        finally:  # stopped, what is ready is kept
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
    """What is left to do. A group is cut by the place in the whole, so that a run that resumes has the groups of one
    that was never stopped: the last bit of a result depends on who shares a batch."""
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
    # On a processor decoding takes a tenth of the time; beside a graphics card more of them are needed, and there.
    return min(max((os.cpu_count() or 1) // 4, 1), 8)
