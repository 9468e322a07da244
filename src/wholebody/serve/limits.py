"""The limits of the service, and how requests are refused."""

import asyncio
import math
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields

from wholebody.errors import WholebodyError


class Refused(Exception):
    """A refused request: an HTTP status, one line, and the seconds to wait before retrying."""

    def __init__(self, status: int, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.retry_after = retry_after


@dataclass(frozen=True)
class Limits:
    """The limits of one process.

    Attributes:
        bytes: size of a picture's file.
        pixels: number of pixels in a picture: a few kilobytes can decode to gigabytes.
        people: people in a picture; the largest are kept.
        seconds: time from the arrival of a picture to its response.
        upload_seconds: time for the request to arrive.
        queue: requests in progress or waiting; further ones are told to retry.
        held_bytes: total size of all bodies that are arriving or waiting.
        held_pixels: total pixels of all decoded pictures; the others wait undecoded.

    Raises:
        WholebodyError: a limit is not a finite number above 0, or one picture alone would not fit.
    """

    bytes: int = 20 * 2**20
    pixels: int = 50_000_000
    people: int = 64
    seconds: float = 30
    upload_seconds: float = 20
    queue: int = 64
    held_bytes: int = 256 * 2**20
    held_pixels: int = 100_000_000

    def __post_init__(self) -> None:
        for field in fields(self):
            limit = getattr(self, field.name)
            if not 0 < limit < math.inf:
                raise WholebodyError(f"the limit {field.name} is {limit}: give a finite number above 0.")
        for held, one in (("held_bytes", "bytes"), ("held_pixels", "pixels")):
            if getattr(self, held) < getattr(self, one):
                raise WholebodyError(f"the limit {held} is below the limit {one}: no such picture would ever fit.")


class Budget:
    """A shared budget for all requests; a request that needs more than is left waits its turn.

    For one event loop: only its thread may call.
    """

    def __init__(self, total: int) -> None:
        self.left = total
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def take(self, amount: int) -> None:
        """Take `amount` as soon as it is available. A cancelled wait takes nothing."""
        if not self._waiting and amount <= self.left:
            self.left -= amount
            return
        turn = (amount, asyncio.get_running_loop().create_future())
        self._waiting.append(turn)
        try:
            await turn[1]
        except asyncio.CancelledError:
            if turn in self._waiting:
                self._waiting.remove(turn)
            self.give(0 if turn[1].cancelled() else amount)  # in any case, later waiters may fit now
            raise

    def give(self, amount: int) -> None:
        """Give back what was taken."""
        self.left += amount
        while self._waiting and self._waiting[0][0] <= self.left:
            needed, turn = self._waiting.popleft()
            if turn.cancelled():
                continue
            self.left -= needed
            turn.set_result(None)


class Allowance:
    """A shared allowance for all requests; a request that needs more than is left is refused."""

    def __init__(self, total: int) -> None:
        self.left = total

    @contextmanager
    def share(self) -> Iterator["Share"]:
        """The share of one request, returned at the end."""
        share = Share(self)
        try:
            yield share
        finally:
            self.left += share.taken


@dataclass
class Share:
    """One request's share of an allowance."""

    allowance: Allowance
    taken: int = 0

    def take(self, amount: int) -> bool:
        """Take more, if available."""
        if amount > self.allowance.left:
            return False
        self.allowance.left -= amount
        self.taken += amount
        return True
