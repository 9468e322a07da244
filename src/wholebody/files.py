"""Writing files so that a reader never meets half of one, and knowing what was written again."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from wholebody.errors import WholebodyError

Result = TypeVar("Result")

# The results of a file are named after it and this.
RESULT = "_pose"
_BESIDE = (".json", "_coco.json", "_openpose.json", "_comfy.json", ".npz", ".csv", ".parquet")


def about(place: Path) -> Path:
    """The hidden file that says what the results of a video at `place` (without suffix) were made with."""
    return place.with_name(f".{place.name}.json")


def is_result(file: Path) -> bool:
    """Whether an earlier run wrote this picture or video: then it is not read again."""
    if not file.stem.endswith(RESULT):
        return False
    return about(file.with_name(file.stem)).exists() or any(file.with_name(file.stem + end).exists() for end in _BESIDE)


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it becomes `path`, on any error it is removed.

    The rename is atomic, so a crash or a full disk leaves either the old file or the new one, never a part.

    Raises:
        WholebodyError: the folder cannot be created or written, or the disk is full.
    """
    final = Path(path)
    partial: Path | None = None
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=final.parent, prefix=f".{final.stem}.", suffix=final.suffix)
        os.close(handle)
        partial = Path(name)
        partial.chmod(0o666 & ~_umask())
        yield partial
        partial.replace(final)
    except BaseException as error:
        if partial is not None:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
        if isinstance(error, OSError):
            reason = error.strerror or str(error)
            message = f"{final}: cannot write ({reason}). Free some space or choose another folder."
            raise WholebodyError(message) from error
        raise


def to_bytes(write: Callable[..., object], *args: Any, **options: Any) -> bytes:
    """What a writer of files writes, in memory: `to_bytes(formats.write_openpose, poses)`. Text is UTF-8.

    Args:
        write: takes the path first. args, options: the rest of its arguments.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        write(path, *args, **options)
        return path.read_bytes()


def from_bytes(read: Callable[..., Result], data: bytes | str, *args: Any, **options: Any) -> Result:
    """The way back: `from_bytes(formats.read_openpose, data)`. Messages say "the file".

    Args:
        read: takes the path first. args, options: the rest of its arguments.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        try:
            return read(path, *args, **options)
        except WholebodyError as error:
            raise WholebodyError(str(error).replace(str(path), "the file")) from error


def make_folder(folder: Path) -> None:
    """Make a folder for results, if it is not there.

    Raises:
        WholebodyError: it cannot be made, or nothing can be written into it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        reason = error.strerror or str(error)
        raise WholebodyError(f"{folder}: cannot be written ({reason}). Choose another folder with --output.") from error


def replace_folder(final: Path, fresh: Path) -> None:
    """Make the folder `fresh`, which is on the same disk, to `final`; nothing of an older one is left in it.

    Raises:
        WholebodyError: the older one cannot be removed.
    """
    old = final.with_name(f".{final.name}.old")
    try:
        if old.exists():  # of a run that was killed right here
            shutil.rmtree(old)
        if final.exists():
            final.rename(old)
        fresh.rename(final)
        if old.exists():
            shutil.rmtree(old)
    except OSError as error:
        reason = error.strerror or str(error)
        raise WholebodyError(f"{final}: cannot be replaced ({reason}). Close it, or choose another folder.") from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def cache_folder() -> Path:
    """WHOLEBODY_CACHE, or the platform's cache folder of the user. It need not exist yet."""
    if chosen := os.environ.get("WHOLEBODY_CACHE"):
        return Path(chosen).expanduser()
    import pooch

    return Path(pooch.os_cache("wholebody"))
