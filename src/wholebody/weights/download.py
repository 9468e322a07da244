"""Downloading a file safely: mirrors, broken connections, checksums, one process at a time."""

import errno
import hashlib
import http.client
import logging
import os
import re
import shutil
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from wholebody.errors import WholebodyError
from wholebody.files import digest, replacing
from wholebody.reading import DAMAGED, in_short, open_archive
from wholebody.weights.manifest import Weights

_TIMEOUT = 30.0  # seconds without a byte
_TRIES = 4  # per mirror, each continuing where the last one broke off
# After this many seconds a request must have averaged this many bytes per second, so that a trickle is aborted.
_PATIENCE, _SLOWEST = 60.0, 2**13
# No network is larger: where the size is not published, a server cannot send without end.
_LARGEST = 2**31


def is_here(path: Path, weights: Weights) -> bool:
    # Files were verified when downloaded, and hashing 200 MB at every start is not worth it. The size check catches a
    # partly copied file that a user put there.
    return path.is_file() and weights.bytes in (None, path.stat().st_size)


def sha256(path: Path) -> str:
    try:
        return digest(path)
    except OSError as error:
        raise WholebodyError(f"{path}: cannot read ({error.strerror}). Check the path and its permissions.") from error


# With urllib, because pooch neither resumes a broken download nor tries a second mirror.


class _MirrorFailed(Exception):
    """This mirror failed; another may work."""


class _Broken(Exception):
    """The connection failed; a retry may help. Distinguishes network OSErrors from disk errors."""

    def __init__(self, cause: str | BaseException) -> None:
        cause = cause.reason if isinstance(cause, urllib.error.URLError) else cause
        said = "timed out" if isinstance(cause, TimeoutError) else getattr(cause, "strerror", None) or str(cause)
        super().__init__(" ".join(said.split()) or type(cause).__name__)


def download(weights: Weights, target: Path) -> Path:
    """Fetch, verify and install the file of a manifest entry.

    Raises:
        WholebodyError: no mirror works, the file cannot be verified and --trust was not given, or offline.
    """
    urls = weights.urls
    if base := os.environ.get("WHOLEBODY_MIRROR"):
        urls = (f"{base.rstrip('/')}/{weights.file}", *urls)
    if os.environ.get("WHOLEBODY_OFFLINE", "0") not in ("", "0"):
        what = f"{'the end2end.onnx of ' * weights.urls[0].endswith('.zip')}{weights.urls[0]}"
        raise WholebodyError(
            f"{weights.name!r} is not in the cache and WHOLEBODY_OFFLINE is set. Unset it, or put {what} at {target}."
        )
    if not weights.verifiable and os.environ.get("WHOLEBODY_TRUST", "0") in ("", "0"):
        raise WholebodyError(
            f"the full SHA-256 of {weights.name!r} has not been published, so a download cannot be verified. Give "
            f"--trust or WHOLEBODY_TRUST=1 to accept it unverified, or put {weights.urls[0]} at {target} yourself."
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _alone(target):
            if is_here(target, weights):  # another process was faster
                return target
            failures = []
            with _progress(weights) as show:
                for url in urls:
                    try:
                        _from_mirror(url, weights, target, show)
                        return target
                    except (_MirrorFailed, ValueError) as failure:  # ValueError: not a URL
                        failures.append(f"{_host(url)}: {failure}")
    except OSError as error:
        raise WholebodyError(
            f"{target}: cannot write ({error.strerror or error}). Free space, or set WHOLEBODY_CACHE to another folder."
        ) from error
    raise WholebodyError(
        f"cannot download {weights.name!r} ({'; '.join(failures)}). "
        f"Check the network, or put {weights.urls[0]} at {target} yourself."
    )


def _host(url: str) -> str:
    with suppress(ValueError):
        return urllib.parse.urlsplit(url).netloc or url
    return url


class _NoWayDown(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but not from https to an insecure URL."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if req.type == "https" and urllib.parse.urlsplit(newurl).scheme != "https":
            raise _MirrorFailed("redirects from https to an insecure address")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _from_mirror(url: str, weights: Weights, target: Path, show: Callable[[int, int | None], None]) -> None:
    """Download, verify and install one file.

    Raises:
        _MirrorFailed: with the reason; a partial download is kept for the next attempt unless it was wrong.
        OSError: this machine's disk failed.
    """
    zipped = urllib.parse.urlsplit(url).path.endswith(".zip")
    # One mirror may continue another's download only if a hash can confirm that both have the same file.
    whose = weights.sha256 if weights.sha256 and not zipped else hashlib.sha256(url.encode()).hexdigest()
    part = target.with_name(f".{target.name}.{whose[:8]}.part")
    expected = None if zipped else weights.bytes  # of an archive, that of what is in it
    resumed = part.exists()
    _fetch(url, part, expected, show)
    wrong = _install(part, zipped, weights, target)
    if wrong and resumed:
        # The rest may have been appended to the beginning of another file: start again, once.
        _fetch(url, part, expected, show)
        wrong = _install(part, zipped, weights, target)
    if wrong:
        raise _MirrorFailed(wrong)


def _fetch(url: str, part: Path, expected: int | None, show: Callable[[int, int | None], None]) -> None:
    """Complete `part`, continuing from its current size."""
    for _ in range(_TRIES):
        before = _length(part)
        try:
            return _fetch_once(url, part, expected, show)
        except _Broken as broken:
            reason = str(broken)
        if _length(part) <= before:  # no byte arrived: this mirror is down, not just unreliable
            break
    raise _MirrorFailed(reason)


def _fetch_once(url: str, part: Path, expected: int | None, show: Callable[[int, int | None], None]) -> None:
    """One request; what arrived before a break is in `part`."""
    scheme = urllib.parse.urlsplit(url).scheme
    if scheme not in ("http", "https"):
        raise _MirrorFailed("the address must begin with http:// or https://")
    have = _length(part)
    request = urllib.request.Request(url, headers={"User-Agent": "wholebody", "Accept-Encoding": "identity"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        opener = urllib.request.build_opener(_NoWayDown, urllib.request.HTTPSHandler(context=_tls()))
        response = opener.open(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE or not have:
            raise _MirrorFailed(f"HTTP {error.code} {error.reason}") from error
        # Nothing is left to send: the part is complete, or belongs to another file.
        if error.headers.get("Content-Range", "").endswith(f"/{have}"):
            return
        part.unlink()
        return _fetch_once(url, part, expected, show)
    except (OSError, http.client.HTTPException) as error:
        raise _Broken(error) from error
    with response:
        total = None
        if response.status == http.client.PARTIAL_CONTENT:
            span = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
            if not span or int(span[1]) != have:
                part.unlink()
                raise _MirrorFailed("sends another part of the file than requested")
            total = None if span[2] == "*" else int(span[2])
        else:  # the server ignores the range and sends the whole file
            have = 0
            if (length := response.headers.get("Content-Length", "")).isdecimal():
                total = int(length)
        if response.headers.get_content_type() == "text/html":
            raise _MirrorFailed("sends a web page instead of the file")
        if expected is not None and total is not None and total != expected:
            raise _MirrorFailed(f"has a file of {total} bytes, not {expected}")
        most = _LARGEST if expected is None else expected
        started, before = time.monotonic(), have
        with part.open("ab" if have else "wb") as stream:
            while (total is None or have < total) and (chunk := _receive(response)):
                stream.write(chunk)
                have += len(chunk)
                seconds = time.monotonic() - started
                if seconds > _PATIENCE and have - before < _SLOWEST * seconds:
                    raise _MirrorFailed(f"sends less than {_SLOWEST} bytes per second")
                if have > most:
                    break
                show(have, total)
    if have > most:
        part.unlink()
        raise _MirrorFailed(f"sends more than {'the ' * (expected is not None)}{most} bytes of the file")
    if total is not None and have < total:
        raise _Broken(f"the connection broke after {have} of {total} bytes")


def _receive(response: http.client.HTTPResponse) -> bytes:
    # read1 returns what has arrived, whereas read would lose it if the connection breaks before the block is full.
    try:
        return response.read1(1 << 18)
    except (OSError, http.client.HTTPException) as error:
        raise _Broken(error) from error


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _install(part: Path, zipped: bool, weights: Weights, target: Path) -> str | None:
    """Move a complete download into place, or discard it and report what is wrong."""
    try:
        if zipped:
            with replacing(target) as temporary:
                _extract(part, temporary)
                _verify(temporary, weights)
        else:
            _verify(part, weights)
            part.replace(target)
    except _MirrorFailed as failure:
        part.unlink()
        return str(failure)
    part.unlink(missing_ok=True)
    return None


def _extract(archive: Path, target: Path) -> None:
    try:
        with open_archive(archive) as opened:
            members = [name for name in opened.namelist() if name.rpartition("/")[2] == "end2end.onnx"]
            if len(members) != 1:
                raise _MirrorFailed("the archive has no end2end.onnx")
            with opened.open(members[0]) as source, target.open("wb") as stream:
                shutil.copyfileobj(source, stream)  # also checks the member's CRC
    except DAMAGED as error:
        raise _MirrorFailed(f"the archive is damaged ({in_short(error)})") from error
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):  # a disk error; EINVAL means offsets before the start
            raise
        raise _MirrorFailed("the archive is damaged") from error


def _verify(path: Path, weights: Weights) -> None:
    size = path.stat().st_size
    if weights.bytes not in (None, size):
        raise _MirrorFailed(f"the file has {size} bytes, not {weights.bytes}")
    if not size:
        raise _MirrorFailed("the file is empty")
    if weights.sha256 and not (found := sha256(path)).startswith(weights.sha256):
        raise _MirrorFailed(f"the file's SHA-256 begins with {found[:8]}, not {weights.sha256[:8]}")


def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    with suppress(ImportError):  # Python without the system's certificates, as on a fresh macOS
        import certifi

        context.load_verify_locations(certifi.where())
    return context


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Lock a file's download for this process; others wait. The lock ends with the process, however it ends."""
    with target.with_name(f".{target.name}.lock").open("ab") as stream:
        told = False
        while not _lock(stream):
            if not told:
                logging.getLogger("wholebody").warning("waiting for another process that downloads %s", target.name)
            told = True
            time.sleep(0.2)
        yield


def _lock(stream: IO[bytes]) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


@contextmanager
def _progress(weights: Weights) -> Iterator[Callable[[int, int | None], None]]:
    """A progress bar on stderr; yields show(bytes so far, total bytes)."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, TransferSpeedColumn(), TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        task = progress.add_task(f"download {weights.name}", total=weights.bytes)
        yield lambda have, total: progress.update(task, completed=have, total=total)
