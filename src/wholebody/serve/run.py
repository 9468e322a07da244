"""Processes, sockets and signals: what `wholebody serve` runs.

A single process loads the networks and serves. With several, the first only supervises the others, which each load the
networks, share the port, and are restarted if they die. SIGTERM and Ctrl-C shut the service down gracefully: no new
connections, and requests in progress are finished.
"""

import asyncio
import json
import os
import signal
import socket
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from tempfile import TemporaryDirectory
from typing import Any

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from wholebody.choices import Precision
from wholebody.errors import WholebodyError
from wholebody.serve.app import make_app
from wholebody.serve.engine import Batching
from wholebody.serve.limits import Limits
from wholebody.serve.watch import SHARED, log_to_stderr
from wholebody.wholebody import WholeBody

# Comma-separated API keys; if unset, everyone has access.
KEYS = "WHOLEBODY_API_KEYS"
# How the first process configures the others.
_SETTINGS = "WHOLEBODY_SERVE"
# Seconds for a request's headers to arrive, for a client to read more of a response, and between two requests. The last
# is longer than most clients and proxies keep a connection, because a request that meets its end is lost.
_HEAD, _STALLED, _IDLE = 10, 30, 75
# Seconds until an unresponsive worker counts as hung. It cannot respond while Python starts, which on a busy machine
# takes longer than uvicorn's 5 seconds, so workers would be killed and restarted for ever.
_WORKER = 120


@dataclass(frozen=True)
class Networks:
    """The networks and where to run them, as for `WholeBody`."""

    pose: str
    detector: str
    device: str = "auto"
    precision: Precision = "auto"
    threads: int | None = None

    def open(self) -> WholeBody:
        """Open them.

        Raises:
            WholebodyError: as `WholeBody`.
        """
        return WholeBody(self.pose, self.detector, device=self.device, precision=self.precision, threads=self.threads)


def serve(
    networks: Networks,
    limits: Limits,
    batching: Batching,
    host: str = "127.0.0.1",
    port: int = 8000,
    workers: int = 1,
    log_level: str = "info",
    tell: Callable[[str], None] = print,
) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Args:
        networks, limits, batching: see there.
        host: the address to listen on; 0.0.0.0 for all. port: 0 takes a free one.
        workers: processes.
        log_level: debug, info, warning or error.
        tell: called with the URL.

    Raises:
        WholebodyError: a network cannot be loaded, or the port cannot be used.
    """
    if workers < 1:
        raise WholebodyError(f"{workers} workers: give 1 or more.")
    keys = keys_from_environment()
    load = _opened(networks, workers == 1)
    log_to_stderr(log_level)
    common: dict[str, Any] = {
        "http": Impatient,
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "timeout_keep_alive": _IDLE,
        "timeout_worker_healthcheck": _WORKER,
        "timeout_graceful_shutdown": round(limits.seconds) + 5,
    }
    with _kindly_ended():
        with _listening(host, port) as listener:
            port = listener.getsockname()[1]
            address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
            tell(f"{address}; how to use it: {address}/docs. Ctrl-C ends it.")
            if workers == 1:
                app = make_app(load, limits, batching, keys)
                uvicorn.Server(uvicorn.Config(app, **common)).run([listener])
                return
        with TemporaryDirectory(prefix="wholebody-") as shared:
            os.environ[SHARED] = shared
            settings = (asdict(networks), asdict(limits), asdict(batching), log_level)
            os.environ[_SETTINGS] = json.dumps(settings)
            uvicorn.run(f"{__name__}:worker", factory=True, workers=workers, host=host, port=port, **common)


def _opened(networks: Networks, keep: bool) -> Callable[[], WholeBody]:
    """A function that returns the networks. They are loaded once in any case, to report errors immediately."""
    model = networks.open()
    return (lambda: model) if keep else networks.open


def worker() -> FastAPI:
    """The application of one of several processes, configured by the first one through the environment."""
    networks, limits, batching, log_level = json.loads(os.environ[_SETTINGS])
    log_to_stderr(log_level)
    return make_app(Networks(**networks).open, Limits(**limits), Batching(**batching), keys_from_environment())


def keys_from_environment() -> Collection[str]:
    """The API keys of WHOLEBODY_API_KEYS.

    Raises:
        WholebodyError: it is set but has no key, which would give everyone access.
    """
    keys = [key.strip() for key in os.environ.get(KEYS, "").split(",") if key.strip()]
    if KEYS in os.environ and not keys:
        raise WholebodyError(f"{KEYS} is set but has no key. Give comma-separated keys, or unset it.")
    return keys


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=1024)
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        raise WholebodyError(f"{host}:{port} cannot be used ({why}). Choose another with --port or --host.") from error
    with listener:
        yield listener


@contextmanager
def _kindly_ended() -> Iterator[None]:
    """Let the process outlive the server after SIGTERM and Ctrl-C, so that it can end in its own way."""
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Impatient(H11Protocol):
    """uvicorn's connection with time limits: by default it waits for ever for headers and for clients that do not read.

    Reading the body has its own limits (see bodies).
    """

    _waits: float | None = None
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._watch()

    def handle_events(self) -> None:
        super().handle_events()
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._allow(_STALLED)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._allow(None)

    def _watch(self) -> None:
        """Set the time limit for what is awaited now."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._allow(None)  # the request is being read or answered
        elif self.cycle is None or self.conn.trailing_data[0]:
            self._allow(_HEAD)  # the next headers, of which at most a part has arrived
        elif self.conn.their_state is h11.SEND_BODY:
            self._allow(_STALLED)  # a refused body is still arriving
        else:
            self._allow(_IDLE)

    def _allow(self, seconds: float | None) -> None:
        """Close the connection after this many seconds, unless something else is awaited before."""
        if seconds == self._waits:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._waits = seconds
        self._timer = None if seconds is None else self.loop.call_later(seconds, self.transport.abort)
