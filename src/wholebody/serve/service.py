"""State shared by all requests of a process: engine, limits, keys, metrics."""

import asyncio
import hashlib
import hmac
from collections.abc import Callable, Collection, Coroutine
from typing import Any, TypeVar

from starlette.requests import Request

from wholebody.serve.engine import Ask, Engine, Found
from wholebody.serve.limits import Allowance, Limits, Refused
from wholebody.serve.watch import Metrics

T = TypeVar("T")

_ERROR = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}
_REFUSALS = {
    400: "The picture is damaged, or the request is invalid.",
    401: "An API key is required.",
    404: "There is no such model.",
    408: "The request arrived too slowly.",
    413: "The picture is too large.",
    415: "This kind of body or picture is not supported.",
    429: "The queue is full. Retry-After says when to try again.",
    503: "The networks are still loading, or the response took too long.",
}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The documentation of these statuses for a route."""
    return {
        status: {"description": _REFUSALS[status], "content": {"application/json": {"schema": _ERROR}}}
        for status in statuses
    }


class Service:
    """State shared by all requests of a process.

    Attributes:
        engine: None until the networks are loaded. problem: why they cannot be loaded.
        limits, metrics: see there. bodies: the bytes that all requests may hold.
    """

    def __init__(self, limits: Limits, keys: Collection[str]) -> None:
        self.engine: Engine | None = None
        self.problem: str | None = None
        self.limits = limits
        self.metrics = Metrics()
        self.bodies = Allowance(limits.held_bytes)
        self._keys = [key.encode("utf-8", "surrogateescape") for key in keys]

    @property
    def needs_key(self) -> bool:
        return bool(self._keys)

    def check_key(self, request: Request, given: str | None) -> None:
        """Require a key, if any are set.

        Raises:
            Refused: keys are set, and this is not one of them.
        """
        if not self._keys:
            return
        sent = (given or "").encode("latin-1", "replace")  # the bytes that came: Starlette decodes headers so
        # All keys are compared, each in constant time, so the duration reveals nothing.
        if not sum(hmac.compare_digest(sent, key) for key in self._keys):
            raise Refused(401, "an API key is required. Send it as Authorization: Bearer KEY, or as X-API-Key.")
        request.state.note["key"] = hashlib.sha256(sent).hexdigest()[:8]

    def opened(self) -> Engine:
        """The engine.

        Raises:
            Refused: it is not there yet (503).
        """
        if self.engine is None:
            raise Refused(503, self.problem or "the networks are still loading. Try again in a moment.", 1)
        return self.engine

    def ready(self) -> Engine:
        """The engine, if it has room.

        Raises:
            Refused: it is not ready yet (503), or its queue is full (429).
        """
        engine = self.opened()
        engine.check_room()
        return engine

    async def while_there(self, request: Request, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, which is cancelled if the client disconnects. The body must have been read."""
        task, gone = asyncio.ensure_future(work), asyncio.ensure_future(_gone(request))
        try:
            await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise Refused(499, "the sender has gone.")
            return task.result()
        finally:
            gone.cancel()
            task.cancel()

    async def estimate(
        self, request: Request, engine: Engine, data: bytes, ask: Ask, answer: Callable[[Found], T]
    ) -> tuple[T, Found]:
        """`engine(...)`, logged and counted."""
        with self.metrics.inside.track_inprogress():
            result, found = await engine(data, ask, lambda found: (answer(found), found))
        self.metrics.people.inc(len(found.poses))
        for step, seconds in found.seconds.items():
            self.metrics.steps.labels(step).observe(seconds)
        height, width = found.image.shape[:2]
        request.state.note.update(
            width=width,
            height=height,
            people=len(found.poses),
            **{f"{step}_ms": round(seconds * 1000, 1) for step, seconds in found.seconds.items()},
        )
        return result, found


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
