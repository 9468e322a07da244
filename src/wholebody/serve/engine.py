"""Runs a picture through both networks, in batches with other requests."""

import asyncio
import math
import os
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np

from wholebody.arrays import Floats, Image
from wholebody.errors import WholebodyError
from wholebody.geometry import box_areas
from wholebody.images import MAX_SIDE, decode_image, encoded_size, is_picture
from wholebody.pose.detect import YOLOX
from wholebody.pose.topdown import check_boxes
from wholebody.poses import Poses
from wholebody.serve.batching import Batcher, Stage
from wholebody.serve.limits import Budget, Limits, Refused
from wholebody.wholebody import WholeBody

T = TypeVar("T")

# Boxes are kept down to this score, so that a request may use a lower threshold than the detector's file recommends.
LEAST_SCORE = 0.05
# Progressive JPEGs have about ten scans. Each one is a pass over the whole picture, so a file of a few megabytes with
# thousands of scans keeps a decoder busy for minutes.
_MOST_SCANS = 100


@dataclass(frozen=True)
class Batching:
    """Batch limits: most pictures per detector run, most people per pose network run, and the wait in seconds.

    Raises:
        WholebodyError: a number is invalid.
    """

    pictures: int = 8
    people: int = 16
    wait: float = 0.005

    def __post_init__(self) -> None:
        if self.pictures < 1 or self.people < 1 or not 0 <= self.wait <= 1:
            raise WholebodyError(f"{self}: give 1 or more pictures and people, and a wait of 0 to 1 seconds.")


@dataclass(frozen=True)
class Ask:
    """What a request wants to find.

    Attributes:
        threshold: lowest score of a person, at least LEAST_SCORE; None for the detector's recommendation.
        people: most people, the largest first.
        boxes: (N, 4) xyxy, to be used instead of the detector's.
    """

    threshold: float | None = None
    people: int | None = None
    boxes: Floats | None = None


@dataclass(frozen=True)
class Found:
    """The result for a picture.

    Attributes:
        image: the picture.
        poses: the people.
        seen: how many people there were before the limit on people.
        seconds: the time of each step.
    """

    image: Image
    poses: Poses
    seen: int
    seconds: dict[str, float] = field(default_factory=dict)


class Engine:
    """Both networks and their queues. Belongs to one event loop.

    Args:
        model: the networks.
        limits, batching: see there.
        told: as for `Batcher`.
    """

    def __init__(
        self,
        model: WholeBody,
        limits: Limits | None = None,
        batching: Batching | None = None,
        told: Callable[[str, int, float], None] = lambda *_: None,
    ) -> None:
        self.limits = limits or Limits()
        batching = batching or Batching()
        detector = model.detector
        self.threshold = 0.0
        if isinstance(detector, YOLOX):
            self.threshold = detector.least
            detector = replace(detector, threshold=min(LEAST_SCORE, detector.least))
        self.model = WholeBody(model.pose, detector)
        self._detector = Stage("detector", self.model.detect, batching.pictures)
        self._pose = Stage("pose", self._poses, batching.people, lambda item: len(item[1]))
        # On a CPU each network uses all cores: running them one after the other is faster than both at once.
        on_processor = model.pose.session.provider in ("CPUExecutionProvider", "OpenVINO")
        self._batches = Batcher(
            self._detector, self._pose, wait=batching.wait, threads=1 if on_processor else 2, told=told
        )
        # A thread per core, and two at least, so that pictures are decoded and encoded while the networks run.
        self._helpers = ThreadPoolExecutor(max(os.cpu_count() or 1, 2), "pictures")
        self._pixels = Budget(self.limits.held_pixels)
        self.inside = 0
        self._pace = 0.1  # seconds between responses while there is a queue
        self._last = 0.0

    async def __call__(self, data: bytes, ask: Ask, answer: Callable[[Found], T]) -> T:
        """Everyone in a picture.

        Args:
            data: the picture's file.
            ask: what to find.
            answer: makes the response; runs in a thread while the picture is still held.

        Raises:
            Refused: the queue is full (429), the picture is of an unsupported kind (415), too large (413) or damaged
                (400), or it took too long (503).
            WholebodyError: a box is invalid.
        """
        self.check_room()
        self.inside += 1
        try:
            async with asyncio.timeout(self.limits.seconds):
                return await self._answer(data, ask, answer)
        except TimeoutError as error:
            text = f"this took longer than {self.limits.seconds:g} seconds. Send a smaller picture, or try again later."
            raise self._refusal(503, text) from error
        finally:
            self.inside -= 1
            now = time.monotonic()
            self._pace += 0.1 * (min(now - self._last, 1.0) - self._pace)
            self._last = now

    def check_room(self) -> None:
        """Refuse another request if the queue is full.

        Raises:
            Refused: it is (429).
        """
        if self.inside >= self.limits.queue:
            raise self._refusal(429, f"{self.inside} requests are waiting already. Try again in a moment.")

    def _refusal(self, status: int, message: str) -> Refused:
        """A refusal with the time to retry: when the current queue should be done."""
        return Refused(status, message, max(math.ceil(self.inside * self._pace), 1))

    async def _answer(self, data: bytes, ask: Ask, answer: Callable[[Found], T]) -> T:
        seconds: dict[str, float] = {}
        begun = time.perf_counter()

        def step(name: str) -> None:
            nonlocal begun
            now = time.perf_counter()
            seconds[name] = now - begun
            begun = now

        with self._batches.visit() as visit:
            pixels = await asyncio.wrap_future(self._helpers.submit(self._measure, data))
            await self._pixels.take(pixels)
            step("wait")
            reading: Future[Any] | None = None
            try:
                reading = self._helpers.submit(_decode, data)
                image = await asyncio.wrap_future(reading)
                del data
                step("decode")
                if ask.boxes is None:
                    boxes, scores = await asyncio.wrap_future(visit.bring(self._detector, image))
                    boxes, scores, seen = self._wanted(boxes, scores, ask)
                    step("detect")
                else:
                    boxes = check_boxes(ask.boxes, image)
                    scores, seen = np.ones(len(boxes), np.float32), len(boxes)
                poses = Poses.empty(self.model.pose.schema)
                if len(boxes):
                    poses = await asyncio.wrap_future(visit.bring(self._pose, (image, boxes, scores)))
                step("pose")
                visit.leave()
                reading = self._helpers.submit(answer, Found(image, poses, seen, seconds))
                return await asyncio.wrap_future(reading)
            finally:
                # A thread cannot be stopped, so the picture of an abandoned request is held until it ends.
                give = _at_home(self._pixels.give, pixels)
                if reading is None:
                    give(None)
                else:
                    reading.add_done_callback(give)

    def _measure(self, data: bytes) -> int:
        """The number of pixels in a picture; refuses pictures that are too large or invalid."""
        if not data:
            raise Refused(400, "the picture is empty. Send a JPEG, PNG, WebP, TIFF, BMP or GIF file.")
        if not is_picture(data):
            raise Refused(415, "not a picture that can be read here. Send JPEG, PNG, WebP, TIFF, BMP or GIF.")
        if data[:2] == b"\xff\xd8" and data.count(b"\xff\xda") > _MOST_SCANS:
            raise Refused(400, f"this JPEG has more than {_MOST_SCANS} scans. Save it again as an ordinary JPEG.")
        try:
            width, height = encoded_size(data)
        except WholebodyError as error:
            raise Refused(400, str(error)) from error
        if width * height > self.limits.pixels or max(width, height) > MAX_SIDE:
            most = f"{self.limits.pixels / 1e6:g} million pixels or {MAX_SIDE} a side"
            raise Refused(413, f"the picture is {width} x {height}, more than {most}. Scale it down first.")
        return max(width * height, 1)

    def _wanted(self, boxes: Floats, scores: Floats, ask: Ask) -> tuple[Floats, Floats, int]:
        """The boxes of the requested people, their scores, and the number of people before the limit."""
        sure = scores >= (self.threshold if ask.threshold is None else max(ask.threshold, LEAST_SCORE))
        boxes, scores = boxes[sure], scores[sure]
        most = min(ask.people or self.limits.people, self.limits.people)
        largest = np.sort(box_areas(boxes).argsort(kind="stable")[::-1][:most])
        return boxes[largest], scores[largest], len(boxes)

    def _poses(self, items: list[tuple[Image, Floats, Floats]]) -> list[Poses]:
        images, boxes, scores = zip(*items, strict=True)
        return self.model.pose.images(images, boxes, scores)

    def close(self) -> None:
        """Finish the work in progress, then end all threads."""
        self._batches.close()
        self._helpers.shutdown(cancel_futures=True)


def _decode(data: bytes) -> Image:
    try:
        return decode_image(data)
    except WholebodyError as error:
        raise Refused(400, str(error)) from error


def _at_home(give: Callable[[int], None], amount: int) -> Callable[[Any], None]:
    """A callback for any thread that calls `give` in the event loop of this one."""
    loop = asyncio.get_running_loop()

    def back(_: Any) -> None:
        with suppress(RuntimeError):  # the loop has ended, so nothing can be waiting
            loop.call_soon_threadsafe(give, amount)

    return back
