"""The store of results: Parquet files in a folder, local or in a bucket, each with the rows of some ids.

A file is named after the hash of its ids and appears atomically. So whatever stops a run, the rows of an id are all in
one file or nowhere; a restarted run reads the existing ids and processes the others. Writing the same ids again, as a
cluster does when it believes a machine is lost, replaces the file with an identical one.

An address that ends in .parquet is one file: parts are kept in a folder next to it, <name>.parquet.parts, and are
merged at the end.
"""

import hashlib
import json
import os
import re
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from wholebody.batch.rows import Result, from_table
from wholebody.batch.sources import reaching
from wholebody.errors import WholebodyError
from wholebody.files import make_folder

# Writes there are atomic; elsewhere a file is written under another name first.
_WHOLE = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "hf", "memory"}
_PARTIAL, _LEFT_SECONDS = ".partial", 86400
_AT_ONCE = 16  # files that are read in parallel


def part_name(ids: Iterable[str]) -> str:
    """The name of the file for these ids, independent of their order."""
    digest = hashlib.sha256()
    for name in sorted(ids):
        digest.update(name.encode("utf-8", "surrogateescape") + b"\0")
    return f"part-{digest.hexdigest()[:24]}.parquet"


class Store:
    """The results of one or more runs with the same options. Can be pickled.

    Attributes:
        address: as given.
        folder: the folder of the parts.
        about: the settings of the results.
    """

    def __init__(self, address: str, about: Mapping[str, Any]) -> None:
        self.address = address.rstrip("/")
        self.about = dict(about)
        self.single = self.address.endswith(".parquet")
        self.folder = f"{self.address}.parts" if self.single else self.address

    def __repr__(self) -> str:
        return f"Store({self.address!r})"

    def open(self) -> set[str]:
        """Create the folder, and return the finished ids.

        Raises:
            WholebodyError: it cannot be written or read, or holds results made with other options.
        """
        with reaching(self.address):
            fs, folder = fsspec.core.url_to_fs(self.folder)
            # A single file has no folder until its first part, so that a run refused before leaves none.
            _try(fs, folder.rpartition("/")[0] if self.single else folder)
            if "file" in fs.protocol:
                _sweep(Path(folder))
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                done: set[str] = set()
                for table in pool.map(lambda path: self._read(path, ["id"]), self._files()):
                    self._check(table)
                    done.update(pc.unique(table["id"]).to_pylist())
        return done

    def place(self, ids: Iterable[str], tables: Iterable[pa.Table]) -> str:
        """Write a file with all rows of these ids; returns its path.

        Raises:
            WholebodyError: it cannot be written; nothing is left behind.
        """
        with reaching(self.address):
            fs, folder = fsspec.core.url_to_fs(self.folder)
            path = f"{folder}/{part_name(ids)}"
            _write(fs, path, (table.replace_schema_metadata(self._metadata(table)) for table in tables))
        return path

    def forget_errors(self) -> int:
        """Remove the rows of failed ids, so that they are retried; returns their number."""
        forgotten = 0
        with reaching(self.address):
            fs, _ = fsspec.core.url_to_fs(self.folder)
            for path in self._files():
                errors = pc.is_valid(self._read(path, ["error"])["error"])
                if not pc.any(errors).as_py():
                    continue
                table = self._read(path)
                failed = pc.unique(table.filter(errors)["id"])
                forgotten += len(failed)
                # In place, under the same name: otherwise two files would briefly have the same ids.
                left = table.filter(pc.invert(pc.is_in(table["id"], value_set=failed)))
                if len(left):
                    _write(fs, path, [left])
                else:
                    fs.rm_file(path)
        return forgotten

    def finish(self) -> None:
        """Merge the parts into one file, if requested."""
        if not self.single:
            return
        with reaching(self.address):
            fs, folder = fsspec.core.url_to_fs(self.folder)
            _, final = fsspec.core.url_to_fs(self.address)
            files = self._files()
            if files and files != [final]:
                _write(fs, final, self._each_once(files))
            if fs.exists(folder):
                fs.rm(folder, recursive=True)

    def _each_once(self, files: Sequence[str]) -> Iterator[pa.Table]:
        """All rows; a run killed between writing the one file and deleting the parts leaves both."""
        seen: set[str] = set()
        for path in files:
            names = set(pc.unique(self._read(path, ["id"])["id"]).to_pylist())
            if not names <= seen:
                table = self._read(path)
                yield table.filter(pc.invert(pc.is_in(table["id"], value_set=pa.array(seen & names, pa.string()))))
            seen |= names

    def _files(self) -> list[str]:
        """The one file, if it exists, and the parts."""
        fs, folder = fsspec.core.url_to_fs(self.folder)
        fs.invalidate_cache()
        inside = fs.ls(folder, detail=False) if fs.exists(folder) else []
        files = sorted(path for path in inside if re.fullmatch(r"part-\w+\.parquet", path.rpartition("/")[2]))
        final = fsspec.core.url_to_fs(self.address)[1]
        return [final, *files] if self.single and fs.exists(final) else files

    def _read(self, path: str, columns: Sequence[str] | None = None) -> pa.Table:
        fs, _ = fsspec.core.url_to_fs(self.folder)
        try:
            with fs.open(path, "rb") as file:
                return pq.read_table(file, columns=None if columns is None else list(columns))
        except (pa.ArrowException, OSError) as error:
            what = " ".join(str(error).split())
            raise WholebodyError(f"{path}: cannot be read ({what}). Delete it, and run again.") from error

    def _metadata(self, table: pa.Table) -> dict[bytes, bytes]:
        return {**(table.schema.metadata or {}), b"wholebody": json.dumps(self.about).encode()}

    def _check(self, table: pa.Table) -> None:
        before = json.loads((table.schema.metadata or {}).get(b"wholebody", b"null"))
        if before is None:
            raise WholebodyError(f"{self.address}: holds Parquet files of something else. Choose another folder.")
        other = [key for key in {**before, **self.about} if before.get(key) != self.about.get(key)]
        if other:
            was = ", ".join(f"{key} {before.get(key)}" for key in other)
            raise WholebodyError(f"{self.address}: was made with {was}. Use the same options, or another --output.")


def _try(fs: Any, folder: str) -> None:
    """Check that the folder is writable now, rather than when the first part is ready."""
    if "file" in fs.protocol:
        make_folder(Path(folder))
    elif _kept_whole(fs):
        # No makedirs: a bucket has no folders, and a mistyped bucket would be created.
        fs.pipe_file(f"{folder}/.wholebody", b"")
        with suppress(Exception):  # writing may be allowed but not deleting
            fs.rm_file(f"{folder}/.wholebody")
    else:
        fs.makedirs(folder, exist_ok=True)


def _kept_whole(fs: Any) -> bool:
    return bool(_WHOLE & ({fs.protocol} if isinstance(fs.protocol, str) else set(fs.protocol)))


def _write(fs: Any, path: str, tables: Iterable[pa.Table]) -> None:
    """Write a Parquet file of these tables atomically."""
    parent, _, name = path.rpartition("/")
    # Not .parquet, because DuckDB's globs match hidden files, and a kill may leave this one behind.
    partial = f"{parent}/.{name}.{uuid.uuid4().hex[:8]}{_PARTIAL}"
    if "file" in fs.protocol:
        try:
            Path(parent).mkdir(parents=True, exist_ok=True)
            _write_file(Path(partial), tables)
            with Path(partial).open("rb") as file:
                os.fsync(file.fileno())  # otherwise a power failure could leave a name without its bytes
            Path(partial).replace(path)
        except BaseException as error:
            Path(partial).unlink(missing_ok=True)
            if isinstance(error, OSError):
                reason = error.strerror or str(error)
                raise WholebodyError(f"{path}: cannot write ({reason}). Free some space, and run it again.") from error
            raise
        return
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "part.parquet"
        _write_file(whole, tables)
        if _kept_whole(fs):
            fs.put_file(str(whole), path)
        else:
            fs.makedirs(parent, exist_ok=True)
            fs.put_file(str(whole), partial)
            fs.mv(partial, path)


def _sweep(folder: Path) -> None:
    """Remove partial files of killed runs, but not recent ones, which another machine may be writing."""
    for left in folder.glob(f".*{_PARTIAL}"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > _LEFT_SECONDS:
                left.unlink()


def _write_file(path: Path, tables: Iterable[pa.Table]) -> None:
    writer: Any = None
    try:
        for table in tables:
            if writer is None:
                # Floats rarely repeat, so dictionary encoding costs time and saves nothing.
                names = ["id", "error"]
                writer = pq.ParquetWriter(path, table.schema, compression="zstd", use_dictionary=names)
            writer.write_table(table)
    finally:
        if writer is not None:
            writer.close()


def read(address: str) -> Iterator[Result]:
    """Read the results of a run, a folder or a file, one picture (or video frame) at a time.

    Raises:
        WholebodyError: it cannot be read, or is something else.
    """
    store = Store(address, {})
    with reaching(address):
        files = store._files()
        if not files:
            raise WholebodyError(f"{address}: no results here. Check the address.")
        for path in files:
            try:
                yield from from_table(store._read(path))
            except (ValueError, KeyError) as error:
                raise WholebodyError(f"{path}: not results of this command ({error}).") from error
