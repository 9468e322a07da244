"""The Open Inference Protocol (KServe v2, Triton) over HTTP: pictures as BYTES in, keypoints as FP32 out.

In:  image      BYTES [B]            picture files: base64 in JSON, raw in the binary extension
Out: keypoints  FP32 [N, 133, 3]     x, y in pixels of the picture, and score, of all people of all pictures
     boxes      FP32 [N, 5]          x0, y0, x1, y1 and score
     counts     INT64 [B]            the number of people in each picture

Parameters of a request: threshold, people.
https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol
"""

import asyncio
import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import FastAPI, Path, Request, Response

from wholebody.poses import Poses
from wholebody.serve.bodies import ROOM, arriving, from_base64, parsed, whole
from wholebody.serve.engine import LEAST_SCORE, Ask, Engine, Found
from wholebody.serve.limits import Limits, Refused
from wholebody.serve.service import Service, refusals
from wholebody.wholebody import WholeBody

MODEL, VERSION = "wholebody", "1"
HEADER_LENGTH = "Inference-Header-Content-Length"
Name = Annotated[Literal["wholebody"], Path()]
Number = Annotated[Literal["1"], Path()]
# Pictures in one request.
MOST = 16
_DTYPES = {"keypoints": "FP32", "boxes": "FP32", "counts": "INT64"}


def add_routes(app: FastAPI, service: Service, guard: Sequence[Any]) -> None:
    """Add the protocol's routes to an application; `guard` requires a key for inference."""

    async def server() -> dict[str, Any]:
        """The server's metadata."""
        return {"name": "wholebody", "version": version("wholebody"), "extensions": ["binary_tensor_data"]}

    async def live() -> dict[str, bool]:
        """Whether the process is alive."""
        return {"live": True}

    async def ready() -> dict[str, bool]:
        """Whether the networks are open."""
        service.opened()
        return {"ready": True}

    async def model(model: Name) -> dict[str, Any]:
        """What goes into the model, and what comes out."""
        return about(service.opened().model)

    async def model_ready(model: Name) -> dict[str, Any]:
        """Whether the networks are open."""
        service.opened()
        return {"name": model, "ready": True}

    async def infer(request: Request, model: Name) -> Response:
        """Everyone in a few pictures, as tensors."""
        engine = service.ready()
        most = service.limits.bytes * 4 // 3 + ROOM
        with service.bodies.share() as share:
            body = await arriving(whole(request, most, share), service.limits)
            asked = await asyncio.to_thread(read_request, body, request.headers.get(HEADER_LENGTH), service.limits)
            del body
            found = await service.while_there(request, _all(service, request, engine, asked))
        content, header_length = await asyncio.to_thread(write_response, asked, found)
        if header_length is None:
            return Response(content, media_type="application/json")
        return Response(content, media_type="application/octet-stream", headers={HEADER_LENGTH: str(header_length)})

    async def infer_version(request: Request, model: Name, version: Number) -> Response:
        """The same; there is one version."""
        return await infer(request, model)

    async def model_version(model: Name, version: Number) -> dict[str, Any]:
        """What goes into the model, and what comes out."""
        return about(service.opened().model)

    async def model_version_ready(model: Name, version: Number) -> dict[str, Any]:
        """Whether the networks are open."""
        return await model_ready(model)

    docs: dict[str, Any] = {"tags": ["Open Inference Protocol"]}
    is_open = {**docs, "responses": refusals(503)}
    named = {**docs, "responses": refusals(404, 503)}
    for path, answer, about_it in (
        ("/v2", server, docs),
        ("/v2/health/live", live, docs),
        ("/v2/health/ready", ready, is_open),
        ("/v2/models/{model}", model, named),
        ("/v2/models/{model}/ready", model_ready, named),
        ("/v2/models/{model}/versions/{version}", model_version, named),
        ("/v2/models/{model}/versions/{version}/ready", model_version_ready, named),
    ):
        app.add_api_route(path, answer, methods=["GET"], **about_it)
    docs |= {
        "dependencies": guard,
        "response_class": Response,
        "openapi_extra": {"requestBody": _BODY},
        "responses": {
            200: {
                "description": "The tensors.",
                "content": {
                    "application/json": {"schema": {"type": "object"}},
                    "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
                },
            },
            **refusals(400, 401, 404, 408, 413, 415, 429, 503),
        },
    }
    app.add_api_route("/v2/models/{model}/infer", infer, methods=["POST"], **docs)
    app.add_api_route("/v2/models/{model}/versions/{version}/infer", infer_version, methods=["POST"], **docs)


def about(model: WholeBody) -> dict[str, Any]:
    """The model's metadata."""
    points = len(model.pose.schema)
    return {
        "name": MODEL,
        "versions": [VERSION],
        "platform": "wholebody",
        "inputs": [{"name": "image", "datatype": "BYTES", "shape": [-1]}],
        "outputs": [
            {"name": "keypoints", "datatype": "FP32", "shape": [-1, points, 3]},
            {"name": "boxes", "datatype": "FP32", "shape": [-1, 5]},
            {"name": "counts", "datatype": "INT64", "shape": [-1]},
        ],
    }


@dataclass(frozen=True)
class Inference:
    """A request: the picture files, what to find, and the requested outputs, each with whether it is sent as bytes."""

    id: str | None
    pictures: list[bytes]
    ask: Ask
    outputs: dict[str, bool]


def read_request(body: bytes, header_length: str | None, limits: Limits) -> Inference:
    """Parse a request body.

    Raises:
        Refused: it violates the protocol or asks for something unsupported (400), or a picture is too large (413).
    """
    length = len(body)
    if header_length is not None:
        # Python refuses to parse thousands of digits.
        digits = len(header_length) < 20 and header_length.isascii() and header_length.isdecimal()
        if not (digits and int(header_length) <= len(body)):
            raise Refused(400, f"{HEADER_LENGTH} must be the length of the JSON at the start of the body.")
        length = int(header_length)
    content = parsed(body[:length])
    if not isinstance(content, dict):
        raise Refused(400, "the body must be an object with inputs.")
    asked, inputs = content.get("id"), content.get("inputs")
    if not isinstance(asked, str | None):
        raise Refused(400, "id must be a string.")
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise Refused(400, "inputs must be a list with one tensor, image.")
    tensor = inputs[0]
    if tensor.get("name") != "image" or tensor.get("datatype") != "BYTES":
        raise Refused(400, "the input must be named image and have the datatype BYTES.")
    shape = tensor.get("shape")
    if (
        not isinstance(shape, list)
        or not 0 < len(shape) <= MOST
        or not all(type(side) is int and 0 < side <= MOST for side in shape)
        or math.prod(shape) > MOST
    ):
        raise Refused(400, f"the shape of image must be [B], 1 to {MOST} pictures.")
    raw = _parameters(tensor).get("binary_data_size")
    pictures = _from_json(tensor.get("data"), limits) if raw is None else _from_binary(body[length:], raw, limits)
    if len(pictures) != math.prod(shape):
        raise Refused(400, f"the shape of image is {shape}, but there are {len(pictures)} pictures.")
    parameters = _parameters(content)
    return Inference(asked, pictures, _ask(parameters, limits), _outputs(content.get("outputs"), parameters))


def _parameters(holder: Mapping[str, Any]) -> dict[str, Any]:
    parameters = holder.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise Refused(400, "parameters must be an object.")
    return parameters


def _ask(parameters: Mapping[str, Any], limits: Limits) -> Ask:
    threshold, people = parameters.get("threshold"), parameters.get("people")
    if threshold is not None and not (type(threshold) in (int, float) and LEAST_SCORE <= threshold <= 1):
        raise Refused(400, f"the parameter threshold must be a number from {LEAST_SCORE} to 1.")
    if people is not None and not (type(people) is int and 1 <= people <= limits.people):
        raise Refused(400, f"the parameter people must be an integer from 1 to {limits.people}.")
    return Ask(threshold, people)


def _outputs(wanted: Any, parameters: Mapping[str, Any]) -> dict[str, bool]:
    usual = parameters.get("binary_data_output") is True
    if wanted is None or wanted == []:
        return dict.fromkeys(_DTYPES, usual)
    if not isinstance(wanted, list) or not all(isinstance(output, dict) for output in wanted):
        raise Refused(400, "outputs must be a list of objects.")
    names = [output.get("name") for output in wanted]
    if not all(isinstance(name, str) and name in _DTYPES for name in names):
        raise Refused(400, f"the outputs must be among {', '.join(_DTYPES)}.")
    return {output["name"]: _parameters(output).get("binary_data", usual) is True for output in wanted}


def _from_json(data: Any, limits: Limits) -> list[bytes]:
    while isinstance(data, list) and len(data) == 1 and isinstance(data[0], list):
        data = data[0]
    if not isinstance(data, list) or not all(isinstance(text, str) for text in data):
        raise Refused(400, "the data of image must be strings, each a picture in base64.")
    return [from_base64(text, limits) for text in data]


def _from_binary(raw: bytes, size: Any, limits: Limits) -> list[bytes]:
    if type(size) is not int or size != len(raw):
        raise Refused(400, f"binary_data_size is {size}, but {len(raw)} bytes follow the JSON.")
    pictures: list[bytes] = []
    at = 0
    while at < len(raw):
        (length,) = struct.unpack_from("<I", raw, at) if at + 4 <= len(raw) else (len(raw),)
        at += 4
        if at + length > len(raw) or len(pictures) == MOST:
            raise Refused(400, f"image must be 1 to {MOST} pictures, each after its length (4 bytes, little-endian).")
        if length > limits.bytes:
            raise Refused(413, f"a picture is larger than {limits.bytes / 2**20:.1f} MiB. Send a smaller one.")
        pictures.append(raw[at : at + length])
        at += length
    return pictures


async def _all(service: Service, request: Request, engine: Engine, asked: Inference) -> list[Poses]:
    def poses(found: Found) -> Poses:
        return found.poses

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(service.estimate(request, engine, data, asked.ask, poses)) for data in asked.pictures
            ]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result()[0] for task in tasks]


def write_response(asked: Inference, found: Sequence[Poses]) -> tuple[bytes, int | None]:
    """The body of a response, and the length of the JSON at its start if bytes follow."""
    people = Poses.concatenate(found)
    arrays = {
        "keypoints": np.concatenate([people.keypoints, people.scores[..., None]], axis=-1),
        "boxes": np.concatenate([people.boxes, people.box_scores[:, None]], axis=-1),
        "counts": np.array([len(poses) for poses in found], np.int64),
    }
    outputs, blobs = [], []
    for name, binary in asked.outputs.items():
        array = np.nan_to_num(arrays[name])
        output: dict[str, Any] = {"name": name, "datatype": _DTYPES[name], "shape": list(array.shape)}
        if binary:
            blobs.append(array.astype(array.dtype.newbyteorder("<")).tobytes())
            output["parameters"] = {"binary_data_size": len(blobs[-1])}
        else:
            output["data"] = np.round(array.astype(float), 4).ravel().tolist() if name != "counts" else array.tolist()
        outputs.append(output)
    content = {"model_name": MODEL, "model_version": VERSION, "outputs": outputs}
    if asked.id is not None:
        content["id"] = asked.id
    head = json.dumps(content, allow_nan=False, separators=(",", ":")).encode()
    return b"".join([head, *blobs]), len(head) if blobs else None


_TENSOR = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "enum": ["image"]},
        "datatype": {"type": "string", "enum": ["BYTES"]},
        "shape": {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": MOST}, "minItems": 1},
        "data": {"type": "array", "items": {"type": "string", "format": "byte"}, "minItems": 1, "maxItems": MOST},
        "parameters": {"type": ["object", "null"]},
    },
    "required": ["name", "datatype", "shape"],
}
_OUTPUT = {
    "type": "object",
    "properties": {"name": {"type": "string", "enum": list(_DTYPES)}, "parameters": {"type": ["object", "null"]}},
    "required": ["name"],
}
_BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "properties": {
                    "id": {"type": ["string", "null"]},
                    "parameters": {"type": ["object", "null"]},
                    "inputs": {"type": "array", "items": _TENSOR, "minItems": 1, "maxItems": 1},
                    "outputs": {"type": ["array", "null"], "items": _OUTPUT},
                },
                "required": ["inputs"],
            }
        },
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
    },
}
