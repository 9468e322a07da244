"""Resolving an address to pictures, videos and archives of pictures, local or in a bucket.

    photos/                                 a folder with its subfolders
    s3://bucket/photos/*.jpg                a glob, on any fsspec file system: gs://, az://, hf://, https:// ...
    shards-{0000..0099}.tar                 numbered files in WebDataset's notation; {a,b} works too
    gs://bucket/data.parquet                Parquet with a column of picture bytes
    list.txt                                one path or URL per line, relative to the list's folder

Every picture has an id that does not depend on the run or on where the folder is mounted: its path relative to the
given folder, or to the fixed prefix of a glob; or the line of a list. A picture in an archive has the archive's id, a
slash and its name there, or its row number.
"""

import itertools
import os
import re
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import PurePath, PurePosixPath
from typing import IO, Any, Literal, cast

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from wholebody.errors import WholebodyError
from wholebody.files import is_hidden
from wholebody.images import FOREIGN_SUFFIXES, READ_SUFFIXES
from wholebody.reading import MOST, in_line
from wholebody.video.frame import VIDEO_SUFFIXES

SourceKind = Literal["picture", "video", "tar", "parquet"]

_KINDS: dict[str, SourceKind] = {
    # Unsupported kinds become errors, whereas skipping them would lose them silently.
    **dict.fromkeys((*READ_SUFFIXES, *FOREIGN_SUFFIXES), "picture"),
    **dict.fromkeys(VIDEO_SUFFIXES, "video"),
    **dict.fromkeys((".tar", ".tgz", ".tar.gz"), "tar"),
    ".parquet": "parquet",
}
# What a name with such a suffix means is a file.
FILE_SUFFIXES = frozenset((*_KINDS, ".txt", ".csv", ".json"))
_SPECIAL = re.compile(r"[*?\[{]")


@dataclass(frozen=True, slots=True)
class Source:
    """A file: its address, and the id of the picture or video, or the prefix of the ids of an archive."""

    id: str
    address: str
    kind: SourceKind


@dataclass(frozen=True, slots=True)
class Item:
    """A picture to be decoded: its bytes, or its address, or an error."""

    id: str
    address: str = ""
    data: bytes | Exception | None = None


@dataclass(frozen=True)
class Columns:
    """Where a Parquet file keeps pictures.

    Attributes:
        image: the column of bytes, or of structs with a field `bytes` (as in Hugging Face's datasets). None takes the
            only such column.
        id: the column with the ids, used unchanged. None numbers the rows, and so does a null in it.
    """

    image: str | None = None
    id: str | None = None


def storable(text: str) -> str:
    """The text for Arrow, which stores UTF-8 only: other bytes of a file's name are escaped (\\udcff)."""
    return text.encode("utf-8", "backslashreplace").decode()


def find(address: str, apart: str | None = None) -> list[Source]:
    """The files that an address stands for, without duplicates, in a stable order.

    Args:
        address: see above.
        apart: an address to exclude with everything in it, that of the results.

    Raises:
        WholebodyError: there is no such file, nothing of a supported kind, or the location cannot be reached.
    """
    found: dict[str, Source] = {}
    with reaching(address):
        if address.endswith((".txt", ".lst")):
            sources: Iterator[Source] = _listed(address)
        else:
            several = [address] if _exists(address) else braces(address)
            base = _base(address) if len(several) > 1 else None
            sources = itertools.chain.from_iterable(_matching(each, base) for each in several)
        avoided = None if apart is None else _absolute(apart)
        for source in sources:
            if avoided is None or not _within(_absolute(source.address), avoided):
                found.setdefault(source.address, source)
    if not found:
        known = "pictures, videos, .tar or .parquet files"
        raise WholebodyError(f"{address}: nothing to do: no {known} here that are not results. Check the address.")
    return list(found.values())


def _listed(address: str) -> Iterator[Source]:
    folder = address.replace(os.sep, "/").rpartition("/")[0]
    with fsspec.open(address, "rt", encoding="utf-8-sig") as lines:  # Windows begins a file with a mark
        for line in filter(None, map(str.strip, lines)):
            whole = "://" in line or line.startswith("/") or PurePath(line).is_absolute() or not folder
            yield Source(line, line if whole else f"{folder}/{line}", _kind(line) or "picture")


def _matching(address: str, base: str | None) -> Iterator[Source]:
    """The files of one address; ids are paths relative to `base`, which is derived from the address by default."""
    fs, path = fsspec.core.url_to_fs(address)
    named = False
    if fs.isdir(path):
        root, paths = path, sorted(fs.find(path))
    elif named := fs.exists(path):
        root, paths = fs._parent(path), [path]
    elif _SPECIAL.search(path):
        root, paths = _base(path), sorted(fs.glob(path))
    else:
        raise WholebodyError(f"{address}: no such file or folder. Check the address.")
    root = (root if base is None else fs._strip_protocol(base)).rstrip("/")
    for path in paths:
        name = path.removeprefix(root).lstrip("/")
        # A file named explicitly is used whatever its suffix.
        kind = _kind(path) or ("picture" if named else None)
        if kind and (named or not is_hidden(PurePosixPath(name))):
            yield Source(storable(name), _address(fs, path), kind)


def _exists(address: str) -> bool:
    fs, path = fsspec.core.url_to_fs(address)
    return bool(fs.exists(path))


def _address(fs: Any, path: str) -> str:
    return path if "file" in fs.protocol else str(fs.unstrip_protocol(path))


def _base(address: str) -> str:
    """The folder before the first special character, which is not part of ids."""
    special = _SPECIAL.search(address)
    return address[: special.start()].rpartition("/")[0] if special else ""


def _kind(path: str) -> SourceKind | None:
    suffixes = PurePosixPath(path.lower()).suffixes
    return _KINDS.get("".join(suffixes[-2:])) or _KINDS.get("".join(suffixes[-1:]))


def _absolute(address: str) -> str:
    fs, path = fsspec.core.url_to_fs(address)
    return _address(fs, path).rstrip("/")


def _within(address: str, folder: str) -> bool:
    return address == folder or address.startswith(f"{folder}/") or address.startswith(f"{folder}.parts/")


def braces(address: str) -> list[str]:
    """ "{00..11}" and "{a,b}" expanded, from the left."""
    match = re.search(r"\{([^{}]*)\}", address)
    if match is None:
        return [address]
    inner = match[1]
    numbers = re.fullmatch(r"(\d+)\.\.(\d+)", inner)
    if numbers:
        first, last = numbers.groups()
        words = [str(n).zfill(len(first)) for n in range(int(first), int(last) + 1)]
    else:
        words = inner.split(",")
    before, after = address[: match.start()], address[match.end() :]
    return [whole for word in words for whole in braces(f"{before}{word}{after}")]


def items(source: Source, columns: Columns = Columns()) -> Iterator[Item]:
    """The pictures of a file, in order; those in an archive include their bytes.

    If an archive cannot be read to its end, an error with the archive's id follows the readable pictures.
    """
    if source.kind == "picture":
        yield Item(source.id, source.address)
        return
    try:
        with reaching(source.address):
            yield from _in_tar(source) if source.kind == "tar" else _in_parquet(source, columns)
    except WholebodyError as error:
        yield Item(source.id, source.address, error)


def check_columns(source: Source, columns: Columns) -> None:
    """Raise a WholebodyError if a Parquet file has no such columns."""
    with reaching(source.address), fsspec.open(source.address, "rb") as file, closing(pq.ParquetFile(file)) as parquet:
        _image_column(parquet.schema_arrow, columns.image, source.address)
        if columns.id is not None and columns.id not in parquet.schema_arrow.names:
            raise WholebodyError(f"{source.address}: has no column {columns.id!r}. {_has(parquet.schema_arrow)}")


class _Member(tarfile.TarInfo):
    """Check that a tar ends with a block of zeros; Python accepts one that is truncated between members."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> "_Member":
        try:
            return super().fromtarfile(tarfile_)
        except (tarfile.EmptyHeaderError, tarfile.TruncatedHeaderError) as error:  # type: ignore[attr-defined]
            raise tarfile.ReadError("unexpected end of data") from error


class _Ending:
    """A file that raises an error when it is read on and on after its end.

    To skip a member, Python reads as many blocks as its header claims, which can be 10^14 in a file of ten.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.empty = file, 0

    def read(self, size: int) -> bytes:
        data = self.file.read(size)
        self.empty += not data
        if self.empty > 16:  # a few are usual: decompressors look for more
            raise tarfile.ReadError("unexpected end of data")
        return data


def _in_tar(source: Source) -> Iterator[Item]:
    # As a stream: compressed or not, a bucket is read sequentially.
    with (
        fsspec.open(source.address, "rb") as file,
        tarfile.open(fileobj=cast(IO[bytes], _Ending(file)), mode="r|*", tarinfo=_Member) as tar,
    ):
        for member in tar:
            hidden = PurePosixPath(member.name).name.startswith(".")
            if member.isfile() and not hidden and _kind(member.name) == "picture":
                name = storable(f"{source.id}/{member.name.removeprefix('./')}")
                if member.size > MOST:
                    large = f"{in_line(name)}: is said to have {member.size} bytes. A picture may have up to {MOST}."
                    yield Item(name, data=WholebodyError(large))
                    continue
                data = tar.extractfile(member)
                assert data is not None
                yield Item(name, data=data.read())


def _in_parquet(source: Source, columns: Columns) -> Iterator[Item]:
    with fsspec.open(source.address, "rb") as file, closing(pq.ParquetFile(file)) as parquet:
        image = _image_column(parquet.schema_arrow, columns.image, source.address)
        names = [image] if columns.id is None else [image, columns.id]
        number = 0
        for batch in parquet.iter_batches(64, columns=names):
            for row in batch.to_pylist():
                own = None if columns.id is None else row[columns.id]
                name = f"{source.id}/{number}" if own is None else str(own)
                value = row[image]
                if isinstance(value, dict):
                    value = value["bytes"] if value["bytes"] is not None else (value.get("path") or b"")
                number += 1
                yield Item(name, value) if isinstance(value, str) else Item(name, data=value or b"")


def _image_column(schema: Any, wanted: str | None, address: str) -> str:
    def holds(kind: Any) -> bool:
        if pa.types.is_struct(kind):
            return any(field.name == "bytes" and holds(field.type) for field in kind)
        return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))

    able = [field.name for field in schema if holds(field.type)]
    if wanted is None and len(able) == 1:
        return str(able[0])
    if wanted in able:
        return str(wanted)
    what = "no column of bytes" if not able else f"no column {wanted!r} of bytes" if wanted else "several such columns"
    raise WholebodyError(f"{address}: has {what}. {_has(schema)} Name it with --image-column.")


def _has(schema: Any) -> str:
    return f"There are {', '.join(f'{field.name} ({field.type})' for field in schema)}."


def fetch(items: Sequence[Item]) -> list[bytes | Exception]:
    """The bytes of each, or an error; files in one bucket are fetched together."""
    found: dict[str, bytes | Exception] = {}
    places: dict[int, tuple[Any, dict[str, str]]] = {}
    for item in items:
        if item.data is None:
            try:
                with reaching(item.address):
                    fs, path = fsspec.core.url_to_fs(item.address)
                places.setdefault(id(fs), (fs, {}))[1][path] = item.address
            except WholebodyError as error:
                found[item.address] = error
    for fs, paths in places.values():
        try:
            read = fs.cat(list(paths), on_error="return")
        except Exception as error:  # not every file system supports returning errors
            read = dict.fromkeys(paths, error)
        # For a single path without special characters, the bytes are returned directly.
        read = read if isinstance(read, dict) else {next(iter(paths)): read}
        for path, address in paths.items():
            got = read.get(path, FileNotFoundError(2, "no such file"))
            found[address] = got if isinstance(got, bytes) else WholebodyError(f"{address}: {_reason(got)}")
    return [found[item.address] if item.data is None else item.data for item in items]


@contextmanager
def reaching(address: str) -> Iterator[None]:
    """Turn a file system's errors into one line with the address.

    Raises:
        WholebodyError: the location cannot be reached.
    """
    try:
        yield
    except WholebodyError:
        raise
    except (tarfile.TarError, EOFError, zlib.error, pa.ArrowInvalid) as error:
        text = " ".join(str(error).split())
        raise WholebodyError(f"{address}: cut off or damaged ({text}). Copy or make it again.") from error
    except ImportError as error:
        raise WholebodyError(f"{address}: {error}.") from error
    except OSError as error:
        if error.errno is None:  # from Arrow, about the content
            text = " ".join(str(error).split())
            raise WholebodyError(f"{address}: cut off or damaged ({text}). Copy or make it again.") from error
        raise WholebodyError(f"{address}: {_reason(error)}") from error
    except ValueError as error:
        raise WholebodyError(f"{address}: {_reason(error)}. Check the address.") from error
    except Exception as error:  # each kind of bucket has its own exceptions
        raise WholebodyError(f"{address}: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file. Check the name."
    if isinstance(error, PermissionError):
        return "access denied. Check permissions and credentials."
    text = " ".join(str(error).split())
    return f"failed ({f'{type(error).__name__}: {text}' if text else type(error).__name__})."
