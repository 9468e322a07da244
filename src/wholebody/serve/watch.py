"""Monitoring: a line of JSON per request, and Prometheus metrics. Never pictures or keys."""

import json
import logging
import os
import re
import secrets
import sys
import time
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import prometheus_client.multiprocess
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

LOG = logging.getLogger("wholebody.serve")
# Where the processes of a service share their metrics; prometheus_client reads the same variable.
SHARED = "PROMETHEUS_MULTIPROC_DIR"
_shared: Any = prometheus_client.multiprocess
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1, 2, 5, 10, 30)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Metrics:
    """The metrics of /metrics."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self.requests = Counter("wholebody_requests", "Requests answered.", ("route", "status"), registry=registry)
        self.seconds = Histogram(
            "wholebody_request_seconds",
            "From the request's headers to the end of the response.",
            ("route",),
            buckets=_SECONDS,
            registry=registry,
        )
        self.steps = Histogram(
            "wholebody_step_seconds",
            "Steps of a response: wait, decode, detect, pose, write.",
            ("step",),
            buckets=_SECONDS,
            registry=registry,
        )
        self.people = Counter("wholebody_people", "People found.", registry=registry)
        self.batch = Histogram(
            "wholebody_batch_size",
            "Pictures (detector) or people (pose) in one run of a network.",
            ("network",),
            buckets=(1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64),
            registry=registry,
        )
        self.runs = Histogram(
            "wholebody_run_seconds", "One run of a network.", ("network",), buckets=_SECONDS, registry=registry
        )
        self.inside = Gauge(
            "wholebody_requests_inside",
            "Requests in progress or waiting.",
            multiprocess_mode="livesum",
            registry=registry,
        )

    def ran(self, network: str, size: int, seconds: float) -> None:
        """Count a run of a network."""
        self.batch.labels(network).observe(size)
        self.runs.labels(network).observe(seconds)

    def text(self) -> bytes:
        """All metrics in Prometheus's text format, for all processes of this service."""
        registry = self._registry
        if SHARED in os.environ:
            registry = CollectorRegistry()
            _shared.MultiProcessCollector(registry)
        numbers: bytes = generate_latest(registry)
        return numbers


def forget_the_dead() -> None:
    """Remove processes that died without cleaning up from the live metrics."""
    for file in Path(os.environ.get(SHARED, os.devnull)).glob("gauge_live*_*.db"):
        number = int(file.stem.rsplit("_", 1)[1])
        try:
            os.kill(number, 0)
        except ProcessLookupError:
            with suppress(OSError):
                _shared.mark_process_dead(number)
        except OSError:
            pass


class Watched:
    """ASGI middleware that counts and logs requests, and gives each an id.

    scope["state"]["note"], set by the application, is logged too.
    """

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]], metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()
        given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"").decode("latin-1")
        name = given if re.fullmatch(r"[\w.:-]{1,100}", given, re.ASCII) else secrets.token_hex(8)
        note: dict[str, Any] = {}
        scope.setdefault("state", {})["note"] = note
        status = 500

        async def answer(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", name.encode())]
            await send(message)

        try:
            await self._app(scope, receive, answer)
        finally:
            seconds = time.perf_counter() - begun
            # Unknown paths are arbitrary, so they share one label.
            route = getattr(scope.get("route"), "path", "") or "other"
            self._metrics.requests.labels(route, str(status)).inc()
            self._metrics.seconds.labels(route).observe(seconds)
            LOG.log(
                logging.DEBUG if route in QUIET else logging.INFO,
                "request",
                extra={
                    "about": {
                        "id": name,
                        "method": scope["method"],
                        "path": scope["path"],
                        "status": status,
                        "ms": round(seconds * 1000, 1),
                        **note,
                    }
                },
            )


# Polled every few seconds by machines.
QUIET = ("/metrics", "/v2/health/live", "/v2/health/ready")


class JsonLines(logging.Formatter):
    """Formats a log record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{record.msecs:03.0f}Z",
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            "process": record.process,
            **getattr(record, "about", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def log_to_stderr(level: str) -> None:
    """Write the service's log, and the server's, to stderr as lines of JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    for name in ("wholebody", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(level.upper())
        logger.propagate = False
    # Every request already has its own line.
    logging.getLogger("uvicorn.access").handlers = []
    logging.getLogger("uvicorn.access").propagate = False
