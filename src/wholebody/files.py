"""Writing files atomically, and recognising what was written before."""

import errno
import hashlib
import os
import re
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path, PurePath
from typing import Any, TypeVar

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

from wholebody.errors import WholebodyError

T = TypeVar("T")

# A temporary file keeps this many letters of its final name: systems allow 255 bytes, and a letter may take four.
_STEM = 40

# Between a temporary file's name and its suffix; it marks our files.
_MARK = ".unfinished"
_TEMPORARY = re.compile(rf"\..*\.[a-z0-9_]{{8}}\{_MARK}(\.[^.]*)?")
# If a system cannot tell whether a temporary file is still being written, it counts as abandoned after a day.
_LEFT_SECONDS = 86400

# How much of each end of a large file `identity` reads.
_ENDS = 2**20

# The results of a file are named after it and this, and of several of one name, a number.
RESULT = "_pose"
_RESULT = re.compile(rf".*{RESULT}\d*", re.DOTALL)
# What drawn pictures and films carry, near their beginning or at their end.
_OURS = b"wholebody result"
_NEAR = 512


def about(place: Path) -> Path:
    """The hidden file that records how the results of a video at `place` (without suffix) were made."""
    return place.with_name(f".{place.name}.json")


def is_result(file: Path) -> bool:
    """Whether an earlier run drew this picture or video, so that it must not be read as an input: see `as_result`."""
    if not _RESULT.fullmatch(file.stem):
        return False
    try:
        with file.open("rb") as opened:
            head = opened.read(_NEAR)
            opened.seek(max(opened.seek(0, os.SEEK_END) - _NEAR, 0))
            return _OURS in head or _OURS in opened.read(_NEAR)
    except OSError:  # whoever reads it says what is wrong
        return False


def as_result(data: bytes, suffix: str) -> bytes:
    """The bytes of a picture or video file with this suffix, marked as a result.

    The mark is where other programs skip it: a comment in JPEG, a text chunk in PNG, a chunk in WebP, a free box in
    MP4, and after the end in TIFF and BMP.
    """
    if suffix in (".jpg", ".jpeg"):
        after = 4 + int.from_bytes(data[4:6])  # the head of JFIF comes first
        return data[:after] + b"\xff\xfe" + (len(_OURS) + 2).to_bytes(2) + _OURS + data[after:]
    if suffix == ".png":
        text = b"tEXtSoftware\0" + _OURS
        chunk = (len(text) - 4).to_bytes(4) + text + zlib.crc32(text).to_bytes(4)
        return data[:33] + chunk + data[33:]
    if suffix == ".webp":  # lossless, without a head that allows more chunks
        bits = int.from_bytes(data[21:25], "little")
        width, height, alpha = bits & 0x3FFF, bits >> 14 & 0x3FFF, bits >> 28 & 1
        head = bytes([alpha << 4, 0, 0, 0]) + width.to_bytes(3, "little") + height.to_bytes(3, "little")
        chunks = b"VP8X" + (10).to_bytes(4, "little") + head + data[12:]
        chunks += b"NOTE" + len(_OURS).to_bytes(4, "little") + _OURS
        return b"RIFF" + (len(chunks) + 4).to_bytes(4, "little") + b"WEBP" + chunks
    if suffix == ".mp4":
        return data + (len(_OURS) + 8).to_bytes(4) + b"free" + _OURS
    return data + _OURS


def is_hidden(inside: PurePath) -> bool:
    """Whether a name in the path, below the folder that is searched, begins with a dot, like macOS's ._clip.mp4.

    Searches of folders skip these; files named by the user are always used.
    """
    return any(part.startswith(".") for part in inside.parts)


def expanded(path: str | os.PathLike[str]) -> Path:
    """A path with ~ expanded; an unknown user's stays as it is, so that it is reported as missing."""
    return Path(os.path.expanduser(path))  # noqa: PTH111, Path.expanduser raises


def is_folder(path: Path) -> bool:
    """Path.is_dir, but False instead of an error if the name is too long."""
    return os.path.isdir(path)  # noqa: PTH112


def is_link(path: Path) -> bool:
    """Path.is_symlink, likewise."""
    return os.path.islink(path)  # noqa: PTH114


@contextmanager
def replacing(path: str | os.PathLike[str], *, durable: bool = False) -> Iterator[Path]:
    """Yield a temporary path next to `path`; on success it becomes `path`, on any error it is removed.

    The rename is atomic, so a crash or a full disk leaves either the old file or the new one, never a partial one.
    Temporary files left in the folder by a killed process are removed by the next process that writes there.

    Args:
        durable: return only when the file and its name are on disk, so that they survive a power failure.

    Raises:
        WholebodyError: the folder cannot be created or written, or the disk is full.
    """
    final = Path(path)
    partial: Path | None = None
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        _sweep(final.parent)
        with _temporary(final) as partial:
            partial.chmod(0o666 & ~_umask())
            yield partial
            if durable:
                sync(partial)
            partial.replace(final)
            if durable:
                sync(final.parent)
    except BaseException as error:
        if partial is not None:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
        if isinstance(error, OSError):
            reason = error.strerror or str(error)
            hint = "Free some space or choose another folder"
            if error.errno == errno.ENAMETOOLONG:
                hint = "Use a shorter name"
            raise WholebodyError(f"{final}: cannot write ({reason}). {hint}.") from error
        raise


@contextmanager
def _temporary(final: Path) -> Iterator[Path]:
    """An empty file next to `final`, locked while this process is inside the context."""
    while True:
        handle, name = tempfile.mkstemp(
            dir=final.parent, prefix=f".{final.stem[:_STEM]}.", suffix=f"{_MARK}{final.suffix}"
        )
        try:
            _lock(handle)
            # Another process may have removed it before it was locked.
            if not Path(name).exists():
                continue
            if fcntl is None:  # Windows does not replace a file that is open
                os.close(handle)
                handle = -1
            yield Path(name)
            return
        finally:
            if handle >= 0:
                os.close(handle)


def _lock(handle: int) -> bool:
    """Lock an open file; False if it is locked already or locking is unsupported. The lock ends with the process."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@cache
def _sweep(folder: Path) -> None:
    """Remove the temporary files of killed processes; only once per process, because the search takes time."""
    with suppress(OSError):
        for entry in os.scandir(folder):
            if _TEMPORARY.fullmatch(entry.name):
                with suppress(OSError):
                    _remove_left(Path(entry.path))


def _remove_left(path: Path) -> None:
    with path.open("rb+") as file:
        left = _lock(file.fileno()) if fcntl is not None else time.time() - path.stat().st_mtime > _LEFT_SECONDS
    if left:
        path.unlink()


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on disk, if the system supports it."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:  # Windows cannot open folders
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise
    finally:
        os.close(handle)


def digest(path: Path) -> str:
    """SHA-256 of a file's bytes.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def identity(path: Path) -> str:
    """A file's identity without reading all of it: its length, and the SHA-256 of its first and last MiB.

    For a folder, the names and lengths of its files.

    Raises:
        OSError: it cannot be read.
    """
    found = hashlib.sha256()
    if path.is_dir():
        for entry in sorted(os.scandir(path), key=lambda entry: entry.name):
            if entry.name[0] != "." and entry.is_file():
                found.update(f"{entry.name}\0{entry.stat().st_size}\0".encode("utf-8", "surrogateescape"))
        return found.hexdigest()
    with path.open("rb") as file:
        length = file.seek(0, os.SEEK_END)
        for start in (0, max(length - _ENDS, 0)):
            file.seek(start)
            found.update(file.read(_ENDS))
    return f"{length} {found.hexdigest()}"


def to_bytes(write: Callable[..., object], *args: Any, **options: Any) -> bytes:
    """The bytes that a writer would write to a file: `to_bytes(formats.write_openpose, poses)`. Text is UTF-8.

    Args:
        write: a function whose first argument is the path. args, options: its other arguments.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        write(path, *args, **options)
        return path.read_bytes()


def from_bytes(read: Callable[..., T], data: bytes | str, *args: Any, **options: Any) -> T:
    """The inverse: `from_bytes(formats.read_openpose, data)`. Error messages call it "the file".

    Args:
        read: a function whose first argument is the path. args, options: its other arguments.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        try:
            return read(path, *args, **options)
        except WholebodyError as error:
            raise WholebodyError(str(error).replace(str(path), "the file")) from error


def make_folder(folder: Path) -> None:
    """Create a folder for results if it does not exist.

    Raises:
        WholebodyError: it cannot be created or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        reason = error.strerror or str(error)
        raise WholebodyError(f"{folder}: cannot be written ({reason}). Choose another folder with --output.") from error


def check_folder(folder: PurePath, suffixes: Iterable[str], option: str = "--output") -> None:
    """Refuse a name that is meant as a file, where results go to a folder.

    Args:
        suffixes: of files that somebody may mean. A folder that exists may have any name.
        option: what the name was given to.

    Raises:
        WholebodyError: the name has one of the suffixes, and is no folder yet.
    """
    if folder.suffix.lower() in suffixes and not is_folder(Path(folder)):
        raise WholebodyError(f"{option} {folder}: looks like a file, and results go to a folder. Name a folder.")


def replace_folder(final: Path, fresh: Path) -> None:
    """Rename the folder `fresh`, on the same disk, to `final`, and replace an older one entirely.

    Raises:
        WholebodyError: the older one cannot be removed.
    """
    old = final.with_name(f".{final.name}.old")
    try:
        if old.exists():  # left by a run that was killed right here
            shutil.rmtree(old)
        if final.exists():
            final.rename(old)
        fresh.rename(final)
        if old.exists():
            shutil.rmtree(old)
    except OSError as error:
        reason = error.strerror or str(error)
        raise WholebodyError(f"{final}: cannot be replaced ({reason}). Close it, or choose another folder.") from error


@contextmanager
def replacing_folder(final: Path) -> Iterator[Path]:
    """Yield an empty folder next to `final`; on success it becomes `final`, on any error it is removed.

    Remains of a killed run are removed first.

    Raises:
        WholebodyError: it cannot be created, or the older one cannot be removed.
    """
    fresh = final.with_name(f".{final.name[:_STEM]}{_MARK}")
    try:
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise WholebodyError(f"{final}: cannot write ({reason}). Choose another folder.") from error
    try:
        yield fresh
        replace_folder(final, fresh)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def cache_folder() -> Path:
    """WHOLEBODY_CACHE, or the user's cache folder on this platform. It need not exist yet."""
    if chosen := os.environ.get("WHOLEBODY_CACHE"):
        try:
            return Path(chosen).expanduser()
        except RuntimeError as error:
            raise WholebodyError(f"WHOLEBODY_CACHE is {chosen}: there is no such user. Name a folder.") from error
    import pooch

    return Path(pooch.os_cache("wholebody"))
