"""A service of tiny networks in this process, and pictures for it."""

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import replace

import cv2
import httpx

from networks import blue_detector, bright_pose, people
from wholebody.pose.detect import YOLOX
from wholebody.pose.topdown import TopDown
from wholebody.serve.app import make_app
from wholebody.wholebody import WholeBody

BOXES = [(20, 20, 60, 120), (100, 60, 150, 200), (200, 40, 230, 110)]


def tiny(slow=0.0):
    """A model whose networks note the sizes of their batches; `slow` seconds for each run of the detector."""
    detector, pose = blue_detector(), bright_pose()
    if slow:

        def late(batch):
            time.sleep(slow)
            return blue_detector().function(batch)

        detector = replace(detector, function=late)
    return WholeBody(TopDown(pose), YOLOX(detector, 0.3))


def photo(count=2, seed=0, suffix=".png"):
    """The file of a picture of so many people."""
    return cv2.imencode(suffix, people(BOXES[:count], seed=seed))[1].tobytes()


@asynccontextmanager
async def client(model=None, **options):
    """A client of a service that is ready, and the service."""
    app = make_app(lambda: model or tiny(), **options)
    async with app.router.lifespan_context(app):
        service = app.state.service
        while service.engine is None and service.problem is None:
            await asyncio.sleep(0.001)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as asking:
            asking.service = service
            yield asking


def ask(*requests, model=None, **options):
    """What a service answers to requests (method, path, keywords of httpx), all sent at once."""

    async def run():
        async with client(model, **options) as asking:
            return await asyncio.gather(*(asking.request(how, path, **more) for how, path, more in requests))

    return asyncio.run(run())


def post(data, path="/v1/pose", kind="image/png", model=None, headers=(), options=None, **query):
    """What a service answers to one picture."""
    more = {"content": data, "headers": {"content-type": kind, **dict(headers)}, "params": query}
    (answer,) = ask(("POST", path, more), model=model, **(options or {}))
    return answer
