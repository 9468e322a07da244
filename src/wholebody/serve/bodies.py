"""The picture in a request: multipart, raw, or base64 in JSON; memory use stays within the limits.

URLs are not fetched: that would give callers access to the service's network.
"""

import asyncio
import base64
import binascii
import json
from collections.abc import AsyncGenerator, Awaitable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, TypeVar

import numpy as np
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from wholebody.arrays import Floats
from wholebody.serve.limits import Limits, Refused, Share

T = TypeVar("T")

# Extra bytes around the picture: headers of the parts, boxes.
ROOM = 2**16
_KINDS = "Send multipart/form-data, application/json, image/* or application/octet-stream."


@dataclass(frozen=True)
class Upload:
    """data: the picture's file. name: the name given by the sender. boxes: (N, 4) xyxy of the people, if known."""

    data: bytes
    name: str = "image"
    boxes: Floats | None = None


async def read_upload(request: Request, limits: Limits, share: Share) -> Upload:
    """The picture in a request to /v1/pose.

    Args:
        share: this request's part of the bytes that all requests may hold.

    Raises:
        Refused: the body is invalid (400), arrives too slowly (408), is too large (413) or of an unsupported kind
            (415), or too many bodies arrive at once (429).
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return await arriving(_form(request, limits, share), limits)
    if kind == "application/json":
        body = await arriving(whole(request, limits.bytes * 4 // 3 + ROOM, share), limits)
        return await asyncio.to_thread(_json, body, limits)
    if kind in ("", "application/octet-stream") or kind.startswith("image/"):
        return Upload(await arriving(whole(request, limits.bytes, share), limits))
    raise Refused(415, f"the content type {kind[:100]} is not supported. {_KINDS}")


async def arriving(body: Awaitable[T], limits: Limits) -> T:
    """Wait for a body, with a time limit.

    Raises:
        Refused: it takes too long (408), or the client has disconnected (499, which is never sent).
    """
    try:
        async with asyncio.timeout(limits.upload_seconds):
            return await body
    except TimeoutError as error:
        raise Refused(408, f"the request did not arrive within {limits.upload_seconds:g} seconds.") from error
    except ClientDisconnect as error:
        raise Refused(499, "the client has disconnected.") from error


async def whole(request: Request, most: int, share: Share) -> bytes:
    """A body of at most `most` bytes."""
    body = bytearray()
    async for chunk in _chunks(request, most, share):
        body += chunk
    return bytes(body)


async def _chunks(request: Request, most: int, share: Share) -> AsyncGenerator[bytes]:
    declared = request.headers.get("content-length", "")
    total = 0
    too_large = Refused(413, f"the body is larger than {most / 2**20:.1f} MiB. Send a smaller picture.")
    # Python refuses to parse thousands of digits.
    if declared.isdecimal() and (len(declared) > 19 or int(declared) > most):
        raise too_large
    async for chunk in request.stream():
        total += len(chunk)
        if total > most:
            raise too_large
        if not share.take(len(chunk)):
            raise Refused(429, "too many pictures arrive at once. Try again in a moment.", 1)
        yield chunk


async def _form(request: Request, limits: Limits, share: Share) -> Upload:
    parser = MultiPartParser(
        request.headers, _chunks(request, limits.bytes + ROOM, share), max_files=1, max_fields=4, max_part_size=ROOM
    )
    parser.spool_max_size = limits.bytes + 2 * ROOM  # pictures are never written to disk
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise Refused(400, f"the form cannot be read ({error.message})") from error
    try:
        fields = dict(form.multi_items())
        image = fields.pop("image", None) or fields.pop("file", None)
        boxes = fields.pop("boxes", None)
        if not isinstance(image, UploadFile) or isinstance(boxes, UploadFile) or fields:
            raise Refused(400, "send the picture as a file in the field image, known boxes as JSON in the field boxes.")
        data = await image.read()
        if len(data) > limits.bytes:
            raise Refused(413, f"the picture is larger than {limits.bytes / 2**20:.1f} MiB. Send a smaller one.")
        name = PurePosixPath((image.filename or "").replace("\\", "/")).stem[:200]
        known = None if boxes is None else _boxes(parsed(boxes), limits)
        return Upload(data, name.encode(errors="replace").decode() or "image", known)
    finally:
        await form.close()


def _json(body: bytes, limits: Limits) -> Upload:
    content = parsed(body)
    if not isinstance(content, dict) or not isinstance(content.get("image"), str):
        raise Refused(400, 'send {"image": "..."}, the picture in base64.')
    if other := sorted(content.keys() - {"image", "boxes", "name"}):
        raise Refused(
            400, f"there is no field {other[0][:50]!r}: send image, boxes and name here, and options in the query."
        )
    name = content.get("name", "image")
    if not isinstance(name, str) or not 1 <= len(name) <= 200:
        raise Refused(400, "name must be a string of 1 to 200 characters.")
    known = None if content.get("boxes") is None else _boxes(content["boxes"], limits)
    return Upload(from_base64(content["image"], limits), name.encode(errors="replace").decode(), known)


def from_base64(text: str, limits: Limits) -> bytes:
    """A picture's file from base64 or a data URL.

    Raises:
        Refused: it is not base64 (400), or too large (413).
    """
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        data = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused(400, "the image is not base64. URLs are not fetched: send the picture itself.") from error
    if len(data) > limits.bytes:
        raise Refused(413, f"the picture is larger than {limits.bytes / 2**20:.1f} MiB. Send a smaller one.")
    return data


def parsed(body: str | bytes) -> Any:
    """The parsed JSON.

    Raises:
        Refused: it is not JSON (400).
    """
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(400, "this is not valid JSON.") from error


def _boxes(value: Any, limits: Limits) -> Floats:
    """(N, 4) from a list of lists of four numbers; whether they lie in the picture is checked later."""
    wrong = Refused(400, "boxes must be a list of [x0, y0, x1, y1] in pixels, one per person.")
    if not isinstance(value, list) or not all(isinstance(box, list) and len(box) == 4 for box in value):
        raise wrong
    if len(value) > limits.people:
        raise Refused(413, f"{len(value)} boxes are more than {limits.people}. Send fewer.")
    if not {type(number) for box in value for number in box} <= {int, float}:
        raise wrong
    try:
        # Doubles: values beyond single precision are rejected later, when the picture is known.
        return np.array([[float(number) for number in box] for box in value]).reshape(-1, 4)
    except OverflowError as error:
        raise wrong from error
