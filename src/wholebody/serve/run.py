"""Processes, sockets and signals: what `wholebody serve` runs.

One process opens the networks and serves. Of several, the first only watches the others, which each open the networks,
share the port, and are started again when they die. SIGTERM and Ctrl-C end the service gracefully: no new connections,
what was begun is answered.
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

# Keys that let in, with commas between them; none: everybody may.
KEYS = "WHOLEBODY_API_KEYS"
# How the first process tells the others what to do.
_SETTINGS = "WHOLEBODY_SERVE"
# Seconds for a request's head to arrive, for a client to take some more of an answer, and between two requests: longer
# than most clients and proxies keep a connection, as a request that meets its end is lost.
_HEAD, _STALLED, _IDLE = 10, 30, 75
# Seconds until a worker that says nothing counts as hung. It says nothing while Python starts, which on a busy machine
# takes longer than uvicorn's 5 seconds: workers would be killed and started for ever.
_WORKER = 120


@dataclass(frozen=True)
class Networks:
    """Which networks, and on what: as for `WholeBody`."""

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
        host: the address to listen at; 0.0.0.0 is all of them. port: 0 takes a free one.
        workers: processes.
        log_level: debug, info, warning or error.
        tell: gets the address.

    Raises:
        WholebodyError: a network cannot be opened, or the port cannot be used.
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
    """What gives the networks, which are opened once in any case, so that what is wrong is said at once."""
    model = networks.open()
    return (lambda: model) if keep else networks.open


def worker() -> FastAPI:
    """The application of one of several processes, as the first one told it in the environment."""
    networks, limits, batching, log_level = json.loads(os.environ[_SETTINGS])
    log_to_stderr(log_level)
    return make_app(Networks(**networks).open, Limits(**limits), Batching(**batching), keys_from_environment())


def keys_from_environment() -> Collection[str]:
    """The API keys of WHOLEBODY_API_KEYS.

    Raises:
        WholebodyError: it is set and holds none, which would let everybody in.
    """
    keys = [key.strip() for key in os.environ.get(KEYS, "").split(",") if key.strip()]
    if KEYS in os.environ and not keys:
        raise WholebodyError(f"{KEYS} is set but holds no key. Give keys with commas between them, or unset it.")
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
    """Let the process live on after SIGTERM and Ctrl-C have ended the server, to end in its own way."""
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Impatient(H11Protocol):
    """uvicorn's connection, which waits for ever for a head's end and for a client that does not read: not so here.

    The body has limits of its own while it is read (see bodies).
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
        """Allow the time that what is awaited now may take."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._allow(None)  # the request is being read or answered
        elif self.cycle is None or self.conn.trailing_data[0]:
            self._allow(_HEAD)  # of the next head, if the first, only some is here
        elif self.conn.their_state is h11.SEND_BODY:
            self._allow(_STALLED)  # what was refused still arrives
        else:
            self._allow(_IDLE)

    def _allow(self, seconds: float | None) -> None:
        """Cut the connection in so many seconds, unless something else is awaited before."""
        if seconds == self._waits:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._waits = seconds
        self._timer = None if seconds is None else self.loop.call_later(seconds, self.transport.abort)
