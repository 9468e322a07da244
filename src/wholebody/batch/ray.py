"""A run on many machines with Ray Data (the `ray` extra).

    tally = run("s3://bucket/photos", "s3://bucket/poses", Settings(pose="fast", device="cuda"), cluster="auto")

There are three steps: CPU tasks fetch and decode, actors run the networks, and tasks write parts. Ray moves pictures
between the first two, and finished rows between the last two. Errors are rows, because an exception would stop
everything. As on one machine, a restarted run goes by ids: both kinds of runs can read and continue each other's
results.

Every machine needs this package and direct access to input and output. An id that is in two archives is processed
twice.
"""

import os
import pickle
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from wholebody import weights
from wholebody.batch.decode import GROUP, Picture, decode
from wholebody.batch.estimate import BatchEstimator, Settings
from wholebody.batch.local import PART, Tally, prepare, tables
from wholebody.batch.rows import layout, to_table
from wholebody.batch.sources import Columns, Item, Source, items
from wholebody.batch.store import Store
from wholebody.errors import WholebodyError

# The share of an actor's CPUs that is left to the tasks that read and write.
_BESIDE = 0.1
# Pictures per block: the driver tracks blocks, and a lost block is processed again.
_BLOCK = 512
_FLAT = pa.schema(
    {
        "id": pa.string(),
        "address": pa.binary(),  # a file's name need not be UTF-8
        "kind": pa.string(),
        "error": pa.string(),
        "height": pa.int32(),
        "width": pa.int32(),
        "image": pa.large_binary(),
    }
)


def run(
    address: str,
    output: str,
    settings: Settings = Settings(),  # noqa: B008
    *,
    cluster: str | None = None,
    workers: int | None = None,
    columns: Columns = Columns(),  # noqa: B008
    part: int = PART,
    retry_errors: bool = False,
) -> Tally:
    """`local.run` on a cluster.

    Args:
        address, output, settings, columns, part, retry_errors: as there. `settings.threads` is the number of CPUs per
            actor, 1 by default; with `device` cuda or tensorrt each actor has a GPU.
        cluster: the cluster's address, as for `ray.init`; "auto" for the one that this machine belongs to. None starts
            Ray on this machine only, unless it is already running.
        workers: number of actors. None lets Ray use one per CPU or GPU.

    Raises:
        WholebodyError: Ray is not installed, nothing is found, a network cannot be loaded, or results cannot be
            written.
    """
    try:
        import ray
        import ray.data
        from ray.exceptions import RayError
    except ImportError as error:
        raise WholebodyError("--engine ray needs an extra: pip install 'wholebody[ray]'.") from error
    store = Store(output, settings.about)
    sources, done = prepare(address, store, columns, (0, 1), retry_errors)
    archives = any(source.kind in ("tar", "parquet") for source in sources)
    tally = Tally(None if archives else len(sources), len(done))
    left = [source for source in sources if source.id not in done]
    if not left:
        store.finish()
        return tally
    # Load the networks here first, because Ray would restart a failing actor again and again.
    weights.find(settings.pose, kind="pose")
    if settings.detector != "none":
        weights.find(settings.detector, kind="detector")
    threads = settings.threads or 1
    graphics = settings.device in ("cuda", "tensorrt")
    _join(ray, cluster, (workers or os.cpu_count() or 1) * threads)
    most = workers or int(ray.cluster_resources().get("GPU" if graphics else "CPU", 1)) // (1 if graphics else threads)
    most = max(most, 1)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = os.isatty(2)
    known = ray.put(done) if archives else None
    sink = _sink(store, part)
    estimator = {"fn_constructor_args": (replace(settings, threads=None if graphics else threads), store)}
    started = time.perf_counter()
    try:
        blocks = ray.data.from_arrow(list(_blocks(left, max(min(len(left) // (8 * most), _BLOCK), GROUP))))
        pictures = blocks.map_batches(
            partial(_decoded, columns=columns, known=known, strict=settings.strict),
            batch_size=GROUP,
            batch_format="pyarrow",
            num_cpus=1 if graphics else _BESIDE,
        )
        rows = pictures.map_batches(
            _Actor,
            batch_size=GROUP,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(min_size=workers or 1, max_size=most),
            num_gpus=1 if graphics else 0,
            num_cpus=_BESIDE if graphics else threads * (1 - _BESIDE),
            **estimator,
        )
        rows.write_datasink(sink, ray_remote_args={"num_cpus": _BESIDE})
    except RayError as error:
        raise _own(error) from error
    store.finish()
    total: Tally = tally + sink.tally
    return replace(total, seconds=time.perf_counter() - started)


def _own(error: BaseException) -> WholebodyError:
    """Our error wrapped by Ray, or Ray's own error."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, WholebodyError):
            return WholebodyError(str(cause))
        cause = getattr(cause, "cause", None) or cause.__cause__
    what = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return WholebodyError(f"Ray stopped: {what}. Run it again to continue; finished work is kept.")


def _join(ray: Any, cluster: str | None, processors: int) -> None:
    if ray.is_initialized():
        return
    try:
        if cluster is None and "RAY_ADDRESS" not in os.environ:
            # One more than needed: without a free CPU Ray warns that it may wait for ever.
            ray.init(address="local", num_cpus=processors + 1, include_dashboard=False, log_to_driver=False)
        else:
            ray.init(address=cluster, log_to_driver=False)
    except Exception as error:  # of many kinds
        what = " ".join(str(error).split())
        raise WholebodyError(f"Ray cannot be started or reached ({what}). Check the address of the cluster.") from error


def _blocks(sources: Sequence[Source], size: int) -> Iterator[pa.Table]:
    """Tables of `_FLAT` without pictures; an archive or a video is its own block."""
    alone = [source for source in sources if source.kind != "picture"]
    plain = (source for source in sources if source.kind == "picture")
    for source in alone:
        yield _flat([source])
    while some := list(islice(plain, size)):
        yield _flat(some)


def _flat(sources: Sequence[Source]) -> pa.Table:
    rows = [
        {"id": source.id, "address": source.address.encode("utf-8", "surrogateescape"), "kind": source.kind}
        for source in sources
    ]
    return pa.Table.from_pylist(rows, _FLAT)


def _source(row: Mapping[str, Any]) -> Source:
    return Source(row["id"], row["address"].decode("utf-8", "surrogateescape"), row["kind"])


def _decoded(batch: pa.Table, columns: Columns, known: Any, strict: bool = False) -> Iterator[pa.Table]:
    """A Ray Data step: files in, decoded pictures out; videos are passed through."""
    for row in batch.select(["id", "address", "kind"]).to_pylist():
        source = _source(row)
        if source.kind == "video":
            yield _flat([source])
        elif source.kind != "picture":
            import ray

            fresh = _new(items(source, columns), set(ray.get(known)))
            while group := list(islice(fresh, GROUP)):
                yield from _pictures(group, strict)
    plain = batch.filter(pc.equal(batch["kind"], "picture")).to_pylist()
    yield from _pictures([Item(source.id, source.address) for source in map(_source, plain)], strict)


def _new(found: Iterator[Item], done: set[str]) -> Iterator[Item]:
    for item in found:
        if item.id not in done:
            done.add(item.id)
            yield item


def _pictures(group: Sequence[Item], strict: bool) -> Iterator[pa.Table]:
    while group:
        pictures, group = decode(group, strict)
        rows = []
        for picture in pictures:
            row: dict[str, Any] = {"id": picture.id, "kind": "picture", "error": picture.error}
            if picture.image is not None:
                height, width = picture.image.shape[:2]
                row |= {"height": height, "width": width, "image": picture.image.tobytes()}
            rows.append(row)
        yield pa.Table.from_pylist(rows, _FLAT)


class _Actor:
    """A Ray Data step that holds the networks: pictures in, one row with the finished rows of all of them out, because
    Ray may split a block anywhere except within a row."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self.estimator = BatchEstimator.open(settings)
        self.columns = layout(self.estimator.model.pose.schema)
        self.store = store

    def __call__(self, batch: pa.Table) -> pa.Table:
        import numpy as np

        pictures, tally = [], Tally()
        for row, image in zip(batch.drop_columns(["image"]).to_pylist(), batch["image"], strict=True):
            if row["kind"] == "video":
                tally += self._video(_source(row))
            elif row["error"] is not None:
                pictures.append(Picture(row["id"], error=row["error"]))
            else:
                pixels = np.frombuffer(image.as_buffer(), np.uint8).reshape(row["height"], row["width"], 3)
                pictures.append(Picture(row["id"], pixels))
        results = self.estimator(pictures)
        rows = _packed(to_table(results, self.columns))
        return pa.table(
            {"rows": pa.array([rows], pa.large_binary()), "tally": [pickle.dumps(tally + Tally.of(results))]}
        )

    def _video(self, source: Source) -> Tally:
        """Process a video. It may be hours long, so its rows go to the store from here."""
        tally = Tally()

        def counted() -> Iterator[Any]:
            nonlocal tally
            for result in self.estimator.video(source):
                tally += Tally.of([result])
                yield result

        self.store.place([source.id], tables(counted(), self.columns))
        return tally


def _packed(table: pa.Table) -> bytes:
    out = pa.BufferOutputStream()
    with pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table)
    return bytes(out.getvalue())


def _sink(store: Store, part: int) -> Any:
    """Ray Data's sink."""
    from ray.data import Datasink

    class Sink(Datasink[Tally]):  # type: ignore[misc]
        tally = Tally()

        @property
        def min_rows_per_write(self) -> int:
            return max(part // GROUP, 1)

        def write(self, blocks: Iterable[Any], ctx: Any) -> Tally:
            return _written(store, [row for block in blocks for row in block.to_pylist()])

        def on_write_complete(self, write_result: Any) -> None:
            for tally in write_result.write_returns:
                self.tally += tally

    return Sink()


def _written(store: Store, rows: Sequence[dict[str, bytes]]) -> Tally:
    """Write one part. If it is written again because a machine was lost, it has the same ids and so the same name."""
    tally = Tally()
    found = [pa.ipc.open_stream(row["rows"]).read_all() for row in rows]
    found = [table for table in found if len(table)]
    if found:
        store.place((name for table in found for name in pc.unique(table["id"]).to_pylist()), found)
    for row in rows:
        tally += pickle.loads(row["tally"])
    return tally
