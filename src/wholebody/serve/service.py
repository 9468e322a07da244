"""What all requests of a process share: the engine, the limits, the keys, the numbers."""

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
    400: "The picture is broken, or the request is invalid.",
    401: "An API key is needed.",
    404: "There is no such model.",
    408: "The request arrives too slowly.",
    413: "The picture is too large.",
    415: "This kind of body or picture is not read here.",
    429: "The queue is full. Retry-After says when to come again.",
    503: "The networks are still being opened, or the answer took too long.",
}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a route's documentation says of these."""
    return {
        status: {"description": _REFUSALS[status], "content": {"application/json": {"schema": _ERROR}}}
        for status in statuses
    }


class Service:
    """What all requests of a process share.

    Attributes:
        engine: None until the networks are open. problem: why they never will be.
        limits, metrics: see there. bodies: the bytes that all requests may hold.
    """

    def __init__(self, limits: Limits, keys: Collection[str]) -> None:
        self.engine: Engine | None = None
        self.problem: str | None = None
        self.limits = limits
        self.metrics = Metrics()
        self.bodies = Allowance(limits.held_bytes)
        self._keys = [key.encode() for key in keys]

    @property
    def needs_key(self) -> bool:
        return bool(self._keys)

    def check_key(self, request: Request, given: str | None) -> None:
        """Let nobody pass without a key, if there are any.

        Raises:
            Refused: there are, and this is none of them.
        """
        if not self._keys:
            return
        sent = (given or "").encode()
        # All are compared, each in constant time: how long this takes tells nothing.
        if not sum(hmac.compare_digest(sent, key) for key in self._keys):
            raise Refused(401, "an API key is needed. Send it as Authorization: Bearer KEY, or as X-API-Key.")
        request.state.note["key"] = hashlib.sha256(sent).hexdigest()[:8]

    def opened(self) -> Engine:
        """The engine.

        Raises:
            Refused: it is not there yet (503).
        """
        if self.engine is None:
            raise Refused(503, self.problem or "the networks are still being opened. Try again in a moment.", 1)
        return self.engine

    def ready(self) -> Engine:
        """The engine, if it has room.

        Raises:
            Refused: it is not there yet (503), or has no room (429).
        """
        engine = self.opened()
        engine.check_room()
        return engine

    async def while_there(self, request: Request, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, which is given up as soon as whoever asked has gone. The body must have been read."""
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
        """`engine(...)`, noted for the log and counted."""
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
