"""The service in this process: what it answers, what it refuses, and that requests share runs of the networks."""

import asyncio
import base64
import json
import struct
import threading
import zlib
from pathlib import Path

import cv2
import httpx
import numpy as np

from networks import people
from serve.clients import BOXES, ask, client, photo, post, tiny
from wholebody import formats
from wholebody.draw import openpose, skeleton
from wholebody.poses import Poses
from wholebody.serve import static
from wholebody.serve.app import make_app
from wholebody.serve.engine import Batching
from wholebody.serve.limits import Limits

PHOTO = photo(2)
EXPECTED = tiny()(people(BOXES[:2]))
BASE64 = base64.b64encode(PHOTO).decode()


def same(answer, poses=EXPECTED):
    assert answer.status_code == 200, answer.text
    found = Poses.from_dict(answer.json())
    np.testing.assert_allclose(found.keypoints, poses.keypoints, atol=0.006)
    np.testing.assert_allclose(found.scores, poses.scores, atol=6e-5)
    np.testing.assert_allclose(found.boxes, poses.boxes, atol=0.006)


def error(answer, status, says):
    assert answer.status_code == status, answer.text
    assert answer.json().keys() == {"error"} and says in answer.json()["error"], answer.text


def test_every_way_to_send_a_picture():
    assert len(EXPECTED) == 2
    for answer in ask(
        ("POST", "/v1/pose", {"content": PHOTO, "headers": {"content-type": "image/png"}}),
        ("POST", "/v1/pose", {"content": PHOTO, "headers": {"content-type": "application/octet-stream"}}),
        ("POST", "/v1/pose", {"content": PHOTO}),
        ("POST", "/v1/pose", {"files": {"image": ("a.png", PHOTO)}}),
        ("POST", "/v1/pose", {"files": {"file": ("a.png", PHOTO)}}),
        ("POST", "/v1/pose", {"json": {"image": BASE64}}),
        ("POST", "/v1/pose", {"json": {"image": f"data:image/png;base64,{BASE64}"}}),
    ):
        same(answer)
        assert answer.headers["wholebody-people"] == answer.headers["wholebody-seen"] == "2"
        assert answer.json()["width"] == 320 and answer.json()["height"] == 240


def test_every_format_is_that_of_the_files(tmp_path):
    kinds = ("coco", "openpose", "comfy", "csv", "npz", "png", "jpg")
    files = {"image": ("me & you.png", PHOTO)}
    answers = dict(
        zip(kinds, ask(*(("POST", f"/v1/pose?format={kind}", {"files": files}) for kind in kinds)), strict=True)
    )
    for kind, answer in answers.items():
        assert answer.status_code == 200, answer.text
        (tmp_path / kind).write_bytes(answer.content)
    (got,) = formats.read_coco(tmp_path / "coco").items()
    assert got[0] == "me & you"
    np.testing.assert_allclose(got[1].keypoints, EXPECTED.keypoints, atol=0.006)
    np.testing.assert_array_equal(formats.read_npz(tmp_path / "npz").keypoints, EXPECTED.keypoints)
    assert list(formats.read_csv(tmp_path / "csv")) == ["me & you"]
    assert len(formats.read_openpose(tmp_path / "openpose")) == 2
    assert formats.read_comfy(tmp_path / "comfy")[1] == [(320, 240)]
    for kind in ("png", "jpg"):
        assert answers[kind].headers["content-type"] == f"image/{kind.replace('jpg', 'jpeg')}"
        assert cv2.imread(str(tmp_path / kind)).shape == (240, 320, 3)


def test_a_picture_shows_what_is_asked_for():
    def drawn(**query):
        return cv2.imdecode(np.frombuffer(post(PHOTO, format="png", **query).content, np.uint8), cv2.IMREAD_COLOR)

    photo = people(BOXES[:2])
    np.testing.assert_array_equal(drawn(draw="skeleton"), skeleton(photo, EXPECTED))
    np.testing.assert_array_equal(drawn(), openpose(np.zeros_like(photo), EXPECTED))
    np.testing.assert_array_equal(
        drawn(parts="face"), openpose(np.zeros_like(photo), EXPECTED, body=False, hands=False)
    )


def test_parts_that_are_not_asked_for_are_zeros():
    found = Poses.from_dict(post(PHOTO, parts="hands,face").json())
    rows = np.r_[23:133]
    np.testing.assert_allclose(found.keypoints[:, rows], EXPECTED.keypoints[:, rows], atol=0.006)
    assert not found.keypoints[:, :23].any() and not found.scores[:, :23].any()


def test_the_largest_people_are_kept():
    answer = post(photo(3), people=1)
    found = Poses.from_dict(answer.json())
    assert len(found) == 1 and answer.headers["wholebody-seen"] == "3"
    np.testing.assert_allclose(found.boxes[0], BOXES[1], atol=1)


def test_a_threshold_lower_than_the_detectors_own_finds_more():
    model = tiny()
    sure = model.detector.images([people(BOXES)])[0][1]
    least = tiny()
    least = type(model)(model.pose, type(model.detector)(model.detector.session, float(sure.max()) - 1e-3))
    counts = [len(post(photo(3), model=least, **query).json()["people"]) for query in ({}, {"threshold": 0.05})]
    assert counts == [1, 3]


def test_known_boxes_take_the_detectors_place():
    box = [10, 10, 90, 130]
    poses = tiny()(people(BOXES[:2]), [box])
    model = tiny()
    for answer in ask(
        ("POST", "/v1/pose", {"json": {"image": BASE64, "boxes": [box]}}),
        ("POST", "/v1/pose", {"files": {"image": PHOTO}, "data": {"boxes": json.dumps([box])}}),
        model=model,
    ):
        same(answer, poses)
    assert len(model.detector.session.runs) == 1  # the one that warms up
    same(ask(("POST", "/v1/pose", {"json": {"image": BASE64, "boxes": []}}))[0], EXPECTED[[]])


def test_nobody_is_no_error():
    assert post(photo(0)).json()["people"] == []


def test_requests_share_runs_and_find_the_same():
    model = tiny()
    counts = [0, 1, 2, 3, 1, 2, 3, 0, 2, 1]
    pictures = [photo(count, seed) for seed, count in enumerate(counts)]
    requests = [("POST", "/v1/pose", {"content": data}) for data in pictures]
    answers = ask(*requests, model=model, batching=Batching(pictures=8, people=6, wait=1.0))
    for seed, (count, answer) in enumerate(zip(counts, answers, strict=True)):
        same(answer, tiny()(people(BOXES[:count], seed=seed)))
    assert max(model.detector.session.runs) > 1 and max(model.pose.session.runs) > 1
    assert max(model.detector.session.runs) <= 8 and max(model.pose.session.runs) <= 6
    assert sum(model.pose.session.runs) == sum(counts) + 1  # and one that warmed it up


def png_of(width, height):
    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


JPEG = photo(1, suffix=".jpg")
BAD = {
    "empty": (b"", 400, "empty"),
    "text": (b"dear all", 415, "not a picture"),
    "heic": (b"\0\0\0\x18ftypheic" + bytes(99), 415, "not a picture"),
    "cut": (JPEG[: len(JPEG) // 2], 400, "the picture: cut off"),
    "a head alone": (PHOTO[:30], 400, ""),
    "noise inside": (PHOTO[:60] + bytes(range(256)) + PHOTO[316:], 400, "damaged"),
    "a bomb": (png_of(30000, 30000), 413, "30000 x 30000"),
    "a long bomb": (png_of(200000, 1), 413, "200000 x 1"),
    "no pixels": (png_of(0, 5), 400, "no pixels"),
    "more bytes than allowed": (bytes(200_001), 413, "0.2 MiB"),
    "scan upon scan": (JPEG[:-2] + b"\xff\xda\x00" * 200 + b"\xff\xd9", 400, "scans"),
}


def test_bad_pictures_are_refused():
    requests = [("POST", "/v1/pose", {"content": data}) for data, _, _ in BAD.values()]
    for answer, (_, status, says) in zip(ask(*requests, limits=Limits(bytes=200_000)), BAD.values(), strict=True):
        error(answer, status, says)


def test_one_bad_picture_does_not_hurt_the_others():
    requests = [("POST", "/v1/pose", {"content": data}) for data in (PHOTO, JPEG[:500], PHOTO, b"x")]
    boxes = {"image": BASE64, "boxes": [[900, 900, 950, 950]]}
    good, bad, fine, worse, outside = ask(*requests, ("POST", "/v1/pose", {"json": boxes}))
    same(good)
    same(fine)
    error(bad, 400, "cut off")
    error(worse, 415, "not a picture")
    error(outside, 400, "outside the picture")


BAD_BODIES = [
    ({"content": PHOTO, "headers": {"content-type": "application/x-www-form-urlencoded"}}, 415, "is not supported"),
    ({"content": b"{", "headers": {"content-type": "application/json"}}, 400, "not valid JSON"),
    ({"content": b"[" * 100_000, "headers": {"content-type": "application/json"}}, 400, "not valid JSON"),
    ({"json": []}, 400, "base64"),
    ({"json": {"image": "http://10.0.0.1/secret.png"}}, 400, "URLs are not fetched"),
    ({"json": {"image": BASE64, "format": "coco"}}, 400, "options in the query"),
    ({"json": {"image": BASE64, "name": ""}}, 400, "name"),
    ({"json": {"image": BASE64, "boxes": [[1, 2, 3]]}}, 400, "boxes"),
    ({"json": {"image": BASE64, "boxes": [[1, 2, 3, "4"]]}}, 400, "boxes"),
    ({"json": {"image": BASE64, "boxes": [[1, 2, 3, 10**400]]}}, 400, "boxes"),
    ({"json": {"image": BASE64, "boxes": [[9, 9, 3, 3]]}}, 400, "reversed"),
    ({"json": {"image": BASE64, "boxes": [[1, 2, 3, 4]] * 65}}, 413, "boxes"),
    ({"data": {"image": BASE64}, "files": {"other": b""}}, 400, "field image"),
    ({"files": [("image", PHOTO), ("image", PHOTO)]}, 400, "form"),
    ({"content": b"nothing", "headers": {"content-type": "multipart/form-data"}}, 400, "boundary"),
    ({"content": b"x" * 99, "headers": {"content-type": "multipart/form-data; boundary=b"}}, 400, ""),
]


def test_bad_bodies_are_refused():
    answers = ask(*(("POST", "/v1/pose", more) for more, _, _ in BAD_BODIES))
    for answer, (_, status, says) in zip(answers, BAD_BODIES, strict=True):
        error(answer, status, says)


def test_bad_options_are_refused():
    queries = ("format=gif", "threshold=nan", "threshold=2", "people=0", "people=65", "parts=legs", "parts=")
    queries += ("draw_threshold=-1", "draw=nothing")
    answers = ask(*(("POST", f"/v1/pose?{query}", {"content": PHOTO}) for query in queries))
    for query, answer in zip(queries, answers, strict=True):
        error(answer, 400, query.partition("=")[0])


def test_what_is_not_there():
    wrong = {"/nothing": 404, "/v1/pose": 405, "/v2/models/other": 404, "/v2/models/wholebody/versions/2": 404}
    for answer, status in zip(ask(*(("GET", path, {}) for path in wrong)), wrong.values(), strict=True):
        error(answer, status, "")


def test_a_full_queue_says_when_to_come_again():
    requests = [("POST", "/v1/pose", {"content": PHOTO})] * 12
    answers = ask(*requests, model=tiny(slow=0.05), limits=Limits(queue=4))
    refused = [answer for answer in answers if answer.status_code != 200]
    assert 1 <= len(refused) <= 8
    for answer in refused:
        error(answer, 429, "waiting")
        assert 1 <= int(answer.headers["retry-after"]) <= 60
    for answer in answers:
        if answer.status_code == 200:
            same(answer)


def test_bodies_together_are_bounded():
    limits = Limits(bytes=30_000, held_bytes=31_000)

    async def run():
        async with client(limits=limits) as asking:
            arrived = asyncio.Event()

            async def slowly():
                yield bytes(20_000)
                await arrived.wait()

            first = asyncio.ensure_future(asking.post("/v1/pose", content=slowly()))
            while asking.service.bodies.left == limits.held_bytes:
                await asyncio.sleep(0)
            second = await asking.post("/v1/pose", content=bytes(20_000))
            arrived.set()
            await first
            assert asking.service.bodies.left == limits.held_bytes
            return second

    error(asyncio.run(run()), 429, "at once")


def test_a_sender_who_is_too_slow_is_sent_away():
    async def slowly():
        yield PHOTO[:10]
        await asyncio.sleep(60)

    error(ask(("POST", "/v1/pose", {"content": slowly()}), limits=Limits(upload_seconds=0.05))[0], 408, "arrive")


def test_what_takes_too_long_is_given_up():
    model = tiny(slow=0.3)
    late, *_ = ask(("POST", "/v1/pose", {"content": PHOTO}), model=model, limits=Limits(seconds=0.1))
    error(late, 503, "longer than 0.1 seconds")
    assert len(model.pose.session.runs) == 1  # only the one that warms up: nothing more is done for it


def test_pictures_wait_until_there_is_room_for_them():
    """Of many pictures at once only as many are decoded as fit; all are answered."""
    limits = Limits(pixels=320 * 240, held_pixels=2 * 320 * 240)
    for answer in ask(*[("POST", "/v1/pose", {"content": PHOTO})] * 20, limits=limits):
        same(answer)


def test_a_length_that_no_number_holds():
    (answer,) = ask(("POST", "/v1/pose", {"content": PHOTO, "headers": {"content-length": "9" * 5000}}))
    error(answer, 413, "larger")


def test_keys():
    keys = {"keys": ("first", "second", "schlüssel")}
    tries = [
        ({}, 401),
        ({"authorization": "Bearer wrong"}, 401),
        ({"authorization": "Basic second"}, 401),
        ({"x-api-key": "fïrst".encode()}, 401),
        ({"authorization": "Bearer second"}, 200),
        ({"x-api-key": "first"}, 200),
        ({"x-api-key": "schlüssel".encode()}, 200),
    ]
    requests = [("POST", "/v1/pose", {"content": PHOTO, "headers": headers}) for headers, _ in tries]
    for answer, (headers, status) in zip(ask(*requests, **keys), tries, strict=True):
        assert answer.status_code == status, headers
        assert ("www-authenticate" in answer.headers) == (status == 401)
    open_ones = ("/v2/health/live", "/v2/health/ready", "/metrics", "/docs", "/openapi.json")
    for answer in ask(*(("GET", path, {}) for path in open_ones), **keys):
        assert answer.status_code == 200
    assert "security" in ask(("GET", "/openapi.json", {}), **keys)[0].json()["paths"]["/v1/pose"]["post"]
    assert "security" not in ask(("GET", "/openapi.json", {}))[0].json()["paths"]["/v1/pose"]["post"]


def test_the_log_says_what_was_done_and_keeps_secrets(caplog):
    caplog.set_level("INFO", "wholebody.serve")
    headers = {"x-request-id": "mine-7", "x-api-key": "very-secret"}
    answer = post(PHOTO, headers=headers, options={"keys": ("very-secret",)})
    assert answer.headers["x-request-id"] == "mine-7"
    (about,) = [record.about for record in caplog.records if record.getMessage() == "request"]
    assert about["id"] == "mine-7" and about["status"] == 200 and about["people"] == 2 and about["width"] == 320
    assert "very-secret" not in caplog.text + str([record.__dict__ for record in caplog.records])
    strange = post(PHOTO, headers={"x-request-id": 'a"{}'}).headers["x-request-id"]
    assert len(strange) == 16


def test_metrics_count():
    async def run():
        async with client() as asking:
            for data in (PHOTO, PHOTO, b"x"):
                await asking.post("/v1/pose", content=data)
            await asking.get("/wp-admin")
            return (await asking.get("/metrics")).text

    text = asyncio.run(run())
    for line in (
        'wholebody_requests_total{route="/v1/pose",status="200"} 2.0',
        'wholebody_requests_total{route="/v1/pose",status="415"} 1.0',
        'wholebody_requests_total{route="other",status="404"} 1.0',
        "wholebody_people_total 4.0",
        'wholebody_batch_size_sum{network="detector"} 2.0',
        'wholebody_batch_size_sum{network="pose"} 4.0',
        "wholebody_requests_inside 0.0",
    ):
        assert line in text.splitlines(), line


def test_a_fault_is_500_without_its_details(caplog):
    model = tiny()

    def broken(batch):
        raise ValueError("secret detail")

    async def run():
        async with client(model) as asking:
            object.__setattr__(model.pose.session, "function", broken)
            return await asking.post("/v1/pose", content=PHOTO)

    answer = asyncio.run(run())
    error(answer, 500, "internal error of the service")
    assert "secret detail" not in answer.text


def test_networks_that_do_not_open_are_said_to_be():
    def load():
        raise ValueError("no such file")

    async def run():
        app = make_app(load)
        asking = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service")
        async with app.router.lifespan_context(app), asking:
            while app.state.service.problem is None:
                await asyncio.sleep(0.001)
            return [await asking.get("/v2/health/live"), await asking.get("/v2/health/ready")]

    live, ready = asyncio.run(run())
    assert live.status_code == 200
    error(ready, 503, "no such file")


def test_nothing_runs_on_when_the_service_has_ended():
    async def run():
        async with client() as asking:
            answer = await asking.post("/v1/pose", content=PHOTO)
        return answer

    same(asyncio.run(run()))
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith(("batches", "pictures"))]


def test_the_documentation_needs_no_other_server():
    docs, schema = ask(("GET", "/docs", {}), ("GET", "/openapi.json", {}))
    assert "://" not in docs.text.replace("http://www.w3.org", "")
    responses = schema.json()["paths"]["/v1/pose"]["post"]["responses"]
    assert sorted(responses) == ["200", "400", "408", "413", "415", "429", "503"]


def test_the_page_is_isolated_and_its_networks_are_there():
    page, network, docs, missing = ask(
        ("GET", "/", {}), ("GET", "/models/fast.onnx", {}), ("GET", "/docs", {}), ("GET", "/models/none.onnx", {})
    )
    assert "<title>" in page.text and page.headers["cache-control"] == "no-cache"
    assert network.content == (Path(static.MODELS) / "fast.onnx").read_bytes()
    for answer in (page, network):
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"
        assert answer.headers["cross-origin-embedder-policy"] == "require-corp"
    assert "cross-origin-embedder-policy" not in docs.headers
    error(missing, 404, "Not Found")
    assets = [f"/{path.relative_to(static.PAGE)}" for path in static.PAGE.glob("assets/*")]
    for path, answer in zip(assets, ask(*(("GET", path, {}) for path in assets)), strict=True):
        assert answer.status_code == 200 and "immutable" in answer.headers["cache-control"]
        if path.endswith(("js", "css")):
            assert answer.headers["content-type"].split(";")[0].rsplit("/", 1)[1] in ("javascript", "css"), path
