"""Reading foreign files: sizes are checked before contents, and any error becomes one line.

    with reading(path, "a shard", "Write it again"):    # whatever foreign content raises becomes a WholebodyError
        label = parse_json(path.read_bytes())
        arrays = load_arrays(path)

A small file may claim to be a large one. So the unpacked size is computed from the headers first, and limited to
`MOST`, or for large files to what numbers can expand to (`check_room`).
"""

import csv
import json
import math
import pickle
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from wholebody.arrays import PathLike
from wholebody.errors import WholebodyError

MOST = 2**30
# Numbers compress to about half their size; data that compress much further carry little information.
_SHRINKS = 4

# The exceptions that Python's own readers raise for invalid content.
DAMAGED = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    NotImplementedError,
    RecursionError,
    RuntimeError,
    SystemError,  # from NumPy, for invalid characters
    TypeError,
    ValueError,
    csv.Error,
    pickle.UnpicklingError,
    struct.error,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)


@contextmanager
def reading(path: PathLike, kind: str, hint: str = "Copy or write it again") -> Iterator[None]:
    """Turn the exceptions of a file's reader into one line.

    Args:
        kind: the expected kind of file, such as "an NPZ file of poses".
        hint: what to do about it, without a full stop.

    Raises:
        WholebodyError: the file cannot be read, or its content is something else.
    """
    try:
        yield
    except WholebodyError:
        raise
    except OSError as error:
        raise unreadable(path, error) from error
    except DAMAGED as error:
        raise WholebodyError(f"{path}: not {kind}, or a damaged one ({in_short(error)}). {hint}.") from error


def unreadable(path: PathLike, error: OSError) -> WholebodyError:
    """The error for a file that cannot be opened."""
    reason = error.strerror or in_short(error)
    return WholebodyError(f"{path}: cannot read ({reason}). Check the name and the permissions.")


def in_short(error: BaseException) -> str:
    """An error's message in one line of limited length."""
    text = " ".join(str(error).split()) or type(error).__name__
    text = f"{text} is missing" if isinstance(error, KeyError) else text
    return text if len(text) <= 200 else f"{text[:200]} ..."


def check_room(path: PathLike, size: int) -> None:
    """Refuse `size` unpacked bytes if that is more than `MOST` and more than the file can plausibly contain.

    Raises:
        ValueError: it is too large.
    """
    if size > max(MOST, _SHRINKS * Path(path).stat().st_size):
        raise ValueError(f"it would take {size / 1e9:.1f} GB unpacked")


def parse_json(text: str | bytes) -> Any:
    """Parse JSON; an integer beyond the range of doubles becomes infinite, like a float.

    Raises:
        ValueError: it is not JSON, nested too deeply, or not UTF-8.
    """
    try:
        return json.loads(text, parse_int=_integer)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _integer(digits: str) -> float:
    return int(digits) if len(digits) < 300 else float(digits)


# --- Arrays -----------------------------------------------------------------------------------------------------------


def load_arrays(path: PathLike) -> dict[str, npt.NDArray[Any]]:
    """The arrays of an NPZ file by name, without executing anything in it.

    Raises:
        OSError: the file cannot be read.
        any of DAMAGED: it is not an NPZ file, its arrays do not match their headers, or they are too large unpacked.
    """
    with open_archive(path) as archive:
        arrays = {}
        for name in archive.namelist():
            with archive.open(name) as file:
                arrays[name.removesuffix(".npy")] = read_array(file, archive.getinfo(name).file_size)
        return arrays


def load_array(path: PathLike) -> npt.NDArray[Any]:
    """The array of an NPY file; raises as `load_arrays` does."""
    with Path(path).open("rb") as file:
        return read_array(file, Path(path).stat().st_size)


def map_array(path: PathLike) -> npt.NDArray[Any]:
    """The array of an NPY file, memory-mapped; raises as `load_arrays` does."""
    with Path(path).open("rb") as file:
        shape, dtype, order = array_header(file, Path(path).stat().st_size)
        return np.memmap(path, dtype, "r", file.tell(), shape, order)


class ArrayHeader(NamedTuple):
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    order: Literal["C", "F"]


def array_header(file: IO[bytes], size: int) -> ArrayHeader:
    """Parse the header of an NPY file of `size` bytes; the file is then positioned at the data.

    Raises:
        ValueError: an invalid header, Python objects, or more or less data than `size` allows.
    """
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"NPY version {version}")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    try:
        shape, fortran, dtype = read(file)
    except Exception as error:  # it is a Python literal, which may be invalid in many ways
        raise ValueError(in_short(error)) from error
    if dtype.hasobject:
        raise ValueError("Python objects, which would have to be run")
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != size - file.tell():
        raise ValueError(f"an array {shape} of {dtype} in {size} bytes")
    return ArrayHeader(shape, dtype, "F" if fortran else "C")


def read_array(file: IO[bytes], size: int) -> npt.NDArray[Any]:
    """The array of an NPY file of `size` bytes; raises as `load_arrays` does."""
    shape, dtype, order = array_header(file, size)
    array: npt.NDArray[Any] = np.empty(shape, dtype, order)
    # In the order of the file, without a copy.
    flat = (array.T if order == "F" else array).reshape(-1)
    room = flat.view(np.uint8) if array.size and dtype.itemsize else np.empty(0, np.uint8)
    done = 0
    while done < len(room):
        piece = file.read(min(len(room) - done, 2**20))
        if not piece:
            raise EOFError("cut off")
        room[done : done + len(piece)] = np.frombuffer(piece, np.uint8)
        done += len(piece)
    file.read(1)  # reading to the end makes a ZIP file verify its checksum
    return array


# --- Archives ---------------------------------------------------------------------------------------------------------


@contextmanager
def open_archive(path: PathLike, data: IO[bytes] | None = None) -> Iterator[zipfile.ZipFile]:
    """Open a ZIP file, or `data` from one, after checking its unpacked size, see `check_room`.

    Raises:
        OSError: the file cannot be read.
        ValueError, zipfile.BadZipFile: it is not a ZIP file, or too large unpacked.
    """
    with zipfile.ZipFile(path if data is None else data) as archive:
        check_room(path, sum(member.file_size for member in archive.infolist()))
        yield archive


def tar_members(archive: tarfile.TarFile, path: PathLike) -> Iterator[tarfile.TarInfo]:
    """The files in a tar file.

    Raises:
        tarfile.TarError: the archive is damaged, or contains a sparse file.
        ValueError: it is too large unpacked, see `check_room`.
    """
    whole = 0
    for member in archive:
        if member.isfile():
            whole += member.size
            if member.size < 0 or member.issparse():
                raise tarfile.ReadError(f"{in_line(member.name)} has holes")
            check_room(path, whole)
            yield member


def in_line(name: str) -> str:
    """A name from a file, for a message: without line breaks and of limited length."""
    return re.sub(r"\s+", " ", name)[:100]
