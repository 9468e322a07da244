"""The service as an ASGI application: POST /v1/pose, the Open Inference Protocol under /v2, /metrics, /docs, the page.

    uvicorn.run(make_app(WholeBody))

Every error response is {"error": "one line"}. Pictures are never written to disk.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Annotated, Any

import numpy as np
from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import APIKeyHeader, HTTPBearer
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from wholebody.errors import WholebodyError
from wholebody.serve import kserve, static
from wholebody.serve.answers import ANSWERS, PARTS, Answer, AnswerDrawing, Format
from wholebody.serve.bodies import read_upload
from wholebody.serve.engine import LEAST_SCORE, Ask, Batching, Engine
from wholebody.serve.limits import Limits, Refused
from wholebody.serve.service import Service, refusals
from wholebody.serve.watch import LOG, Watched, forget_the_dead
from wholebody.wholebody import WholeBody


def make_app(
    load: Callable[[], WholeBody],
    limits: Limits | None = None,
    batching: Batching | None = None,
    keys: Collection[str] = (),
) -> FastAPI:
    """The application.

    Args:
        load: loads the networks, in a thread while the application already reports that it is not ready.
        limits, batching: see there.
        keys: API keys, required except for health, metrics, docs and the page; if empty, everyone has access.
    """
    limits = limits or Limits()
    service = Service(limits, keys)

    async def open_networks() -> None:
        loop = asyncio.get_running_loop()
        try:
            model = await loop.run_in_executor(None, _warm, load)
        except Exception as error:
            service.problem = f"the networks cannot be loaded: {error}"
            LOG.critical(service.problem, exc_info=not isinstance(error, WholebodyError))
        else:
            service.engine = Engine(model, limits, batching, service.metrics.ran)
            LOG.info("ready")

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        forget_the_dead()
        opening = asyncio.ensure_future(open_networks())
        try:
            yield
        finally:
            await asyncio.wait((opening,))
            if service.engine:
                service.engine.close()

    app: FastAPI = FastAPIOffline(
        title="wholebody",
        version=version("wholebody"),
        summary="Whole-body pose estimation: 133 keypoints for everyone in a picture.",
        lifespan=lifespan,
        redoc_url=None,
    )
    app.state.service = service
    _describe(app, service.needs_key)
    app.add_middleware(Watched, metrics=service.metrics)
    _add_errors(app)
    guard = [Depends(_guard(service))]

    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    app.add_api_route("/v1/pose", _pose_route(service), methods=["POST"], dependencies=guard, **_POSE_DOCS)
    kserve.add_routes(app, service, guard)
    app.add_api_route("/metrics", metrics, methods=["GET"], include_in_schema=False)
    static.add_page(app)
    return app


def _warm(load: Callable[[], WholeBody]) -> WholeBody:
    """The model, after a first run of both networks, which is slower than later runs."""
    model = load()
    model(np.zeros((64, 48, 3), np.uint8), [[0, 0, 48, 64]])
    model(np.zeros((64, 48, 3), np.uint8))
    return model


def _guard(service: Service) -> Callable[..., Any]:
    bearer, header = HTTPBearer(auto_error=False), APIKeyHeader(name="X-API-Key", auto_error=False)

    async def guard(
        request: Request, token: Annotated[Any, Depends(bearer)], key: Annotated[str | None, Depends(header)]
    ) -> None:
        service.check_key(request, token.credentials if token else key)

    return guard


def _pose_route(service: Service) -> Callable[..., Any]:
    most = service.limits.people

    async def pose(
        request: Request,
        format: Annotated[Format, Query(description="Format of the response; png and jpg are drawings.")] = "wholebody",
        threshold: Annotated[
            float | None,
            Query(ge=LEAST_SCORE, le=1, description="Lowest score of a person; by default as the file recommends."),
        ] = None,
        people: Annotated[int | None, Query(ge=1, le=most, description="Most people, the largest first.")] = None,
        parts: Annotated[
            str | None,
            Query(
                pattern=f"^({'|'.join(PARTS)})(,({'|'.join(PARTS)}))*$",
                max_length=60,
                description="Some of body,hands,face,feet; keypoints of other parts are zeros.",
                examples=["body,hands"],
            ),
        ] = None,
        draw: Annotated[
            AnswerDrawing, Query(description="For png and jpg: a ControlNet map on black, or skeletons over the photo.")
        ] = "openpose",
        draw_threshold: Annotated[
            float, Query(ge=0, le=1, description="Lowest score of a keypoint that is drawn.")
        ] = 0.3,
    ) -> Response:
        """Find everyone in a picture: 133 keypoints each.

        The picture is the request body, or the file `image` in a form, or `{"image": "<base64>"}` in JSON. To pass
        known boxes and skip the detector, use the form field `boxes` with JSON, or `"boxes": [[x0, y0, x1, y1], ...]`
        in a JSON body.
        """
        engine = service.ready()
        with service.bodies.share() as share:
            upload = await read_upload(request, service.limits, share)
            answer = Answer(format, upload.name, tuple(parts.split(",")) if parts else None, draw, draw_threshold)
            ask = Ask(threshold, people, upload.boxes)
            work = service.estimate(request, engine, upload.data, ask, answer)
            body, found = await service.while_there(request, work)
        timing = ", ".join(f"{step};dur={1000 * seconds:.1f}" for step, seconds in found.seconds.items())
        headers = {
            "Wholebody-People": f"{len(found.poses)}",
            "Wholebody-Seen": f"{found.seen}",
            "Server-Timing": timing,
        }
        return Response(body, media_type=answer.media_type, headers=headers)

    return pose


def _add_errors(app: FastAPI) -> None:
    def said(status: int, message: str, retry_after: int | None = None) -> JSONResponse:
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        if status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return JSONResponse({"error": message}, status, headers)

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, Refused)
        request.state.note["error"] = error.message
        return said(error.status, error.message, error.retry_after)

    async def wrong(request: Request, error: Exception) -> Response:
        request.state.note["error"] = str(error)
        return said(400, str(error))

    async def invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        return said(404 if first["loc"][0] == "path" else 400, f"{first['loc'][-1]}: {first['msg']}")

    async def http(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        answer = said(error.status_code, error.detail)
        answer.headers.update(error.headers or {})
        return answer

    async def failed(_: Request, error: Exception) -> Response:
        return said(500, "internal error of the service; see its log.")

    app.add_exception_handler(Refused, refused)
    app.add_exception_handler(WholebodyError, wrong)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, failed)


_BINARY = {"type": "string", "format": "binary"}
_BOX = {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 4}
_BODY = {
    "required": True,
    "content": {
        "image/jpeg": {"schema": _BINARY},
        "image/png": {"schema": _BINARY},
        "image/webp": {"schema": _BINARY},
        "application/octet-stream": {"schema": _BINARY},
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {"image": _BINARY, "boxes": {"type": "string"}},
                "required": ["image"],
                "additionalProperties": False,
            }
        },
        "application/json": {
            "schema": {
                "type": "object",
                "properties": {
                    "image": {"type": "string", "format": "byte"},
                    "name": {"type": "string", "minLength": 1, "maxLength": 200},
                    "boxes": {"type": ["array", "null"], "items": _BOX},
                },
                "required": ["image"],
                "additionalProperties": False,
            }
        },
    },
}
_PERSON = {
    "type": "object",
    "properties": {
        "box": _BOX,
        "box_score": {"type": "number"},
        "keypoints": {"type": "array", "items": {"type": "array", "items": {"type": "number"}}},
        "scores": {"type": "array", "items": {"type": "number"}},
    },
    "required": ["box", "box_score", "keypoints", "scores"],
}
_PEOPLE = {
    "type": "object",
    "properties": {
        "width": {"type": "integer"},
        "height": {"type": "integer"},
        "schema": {"type": "string"},
        "people": {"type": "array", "items": _PERSON},
    },
    "required": ["width", "height", "schema", "people"],
}
_ANY_JSON = {"anyOf": [_PEOPLE, {"type": "object"}, {"type": "array", "items": {"type": "object"}}]}
_MEDIA = dict.fromkeys((media.partition(";")[0] for media, _ in ANSWERS.values()), _BINARY) | {
    "application/json": _ANY_JSON,
    "text/csv": {"type": "string"},
}


_POSE_DOCS: dict[str, Any] = {
    "tags": ["Poses"],
    "response_class": Response,
    "openapi_extra": {"requestBody": _BODY},
    "responses": {
        200: {"description": "The people.", "content": {kind: {"schema": schema} for kind, schema in _MEDIA.items()}},
        **refusals(400, 401, 408, 413, 415, 429, 503),
    },
}


def _describe(app: Any, needs_key: bool) -> None:
    """Correct the OpenAPI schema: invalid requests get 400, and keys are required if there are any."""
    usual = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = usual()
            for operation in (operation for path in schema["paths"].values() for operation in path.values()):
                operation["responses"].pop("422", None)
                if not needs_key:
                    operation.pop("security", None)
                    operation["responses"].pop("401", None)
            if not needs_key:
                schema["components"].pop("securitySchemes", None)
            for name in ("HTTPValidationError", "ValidationError"):
                schema["components"].get("schemas", {}).pop(name, None)
        document: dict[str, Any] = app.openapi_schema
        return document

    app.openapi = openapi
