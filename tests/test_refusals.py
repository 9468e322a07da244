"""What is refused, and that the rest goes on: odd modes of PIL, numbers out of bounds, downloads that go astray."""

import io
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from wholebody.errors import WholebodyError
from wholebody.images import as_image, read_image, write_image
from wholebody.predict.job import Pace
from wholebody.predict.names import find
from wholebody.runtime.choose import MOST_THREADS, open_session
from wholebody.video import read
from wholebody.video.frames import extract_all
from wholebody.weights import download

GREY = np.linspace(0, 255, 48 * 64).reshape(48, 64).astype(np.uint8)
WIDE = Image.fromarray(GREY.astype(np.uint16) * 257)


def outcome(read, source):
    try:
        return read(source)
    except WholebodyError as error:
        assert "\n" not in str(error)
        return None


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I;16B", "I", "F"])
def test_a_path_and_its_pil_image_are_the_same_picture(tmp_path, mode, suffix):
    path = tmp_path / f"picture{suffix}"
    image = WIDE.convert("I") if mode in ("I;16B", "I") else WIDE
    image = image.convert(mode) if mode[0] == "I" else Image.fromarray(GREY).convert(mode)
    try:
        image.save(path)
    except (OSError, ValueError):
        pytest.skip("this kind of file cannot hold the mode")
    from_path, from_pil = outcome(read_image, path), outcome(as_image, Image.open(path))
    assert (from_path is None) == (from_pil is None) == (mode == "F" or (mode == "I" and suffix == ".tif"))
    if from_path is not None:
        np.testing.assert_array_equal(from_path, from_pil)


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I"])
def test_sixteen_bits_of_grey_in_memory(mode):
    image = WIDE.convert("I") if mode != "I;16" else WIDE
    np.testing.assert_array_equal(as_image(image.convert(mode)), np.repeat(GREY[..., None], 3, -1))


def test_pil_images_that_cannot_be_read_are_one_line():
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(buffer, "PNG")
    for image in (
        Image.open(io.BytesIO(buffer.getvalue()[:3000])),
        Image.new("LAB", (9, 9)),
        Image.new("F", (9, 9)),
        Image.new("I", (9, 9), 70000),
        Image.new("RGB", (0, 9)),
    ):
        assert outcome(as_image, image) is None
    assert as_image(Image.new("La", (9, 9), (100, 255)))[0, 0].tolist() == [100, 100, 100]


@pytest.mark.parametrize("number", [1e300, float("nan"), float("inf"), -1])
def test_a_start_that_no_video_has(tmp_path, number):
    with pytest.raises(WholebodyError):
        Pace(start=number)
    with pytest.raises(WholebodyError):
        list(read(tmp_path / "clip.mp4", start=number))


@pytest.mark.parametrize("threads", [0, -3, MOST_THREADS + 1, 2**40, 1.5])
def test_threads_that_no_machine_has(threads):
    with pytest.raises(WholebodyError, match="threads is"):
        open_session("any.onnx", threads=threads)


def test_a_rate_that_is_no_number(tmp_path):
    with pytest.raises(WholebodyError, match="fps nan"):
        extract_all(tmp_path, tmp_path / "out", fps=float("nan"))


def test_a_result_is_left_out_of_a_folder_but_not_where_it_is_named(tmp_path):
    for name in ("yoga.png", "dance_pose.png"):  # one's own, beside a file of one's own
        write_image(tmp_path / name, np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "dance_pose.json").write_text("{}")
    write_image(tmp_path / "yoga_pose.png", np.zeros((8, 8, 3), np.uint8), result=True)
    assert find([tmp_path], False)[0] == [tmp_path / "dance_pose.png", tmp_path / "yoga.png"]
    assert find([tmp_path / "yoga_pose.png"], False)[0] == [tmp_path / "yoga_pose.png"]


def test_no_redirect_from_https_to_http():
    handler = download._NoWayDown()
    request = urllib.request.Request("https://here/a.onnx")
    with pytest.raises(download._MirrorFailed, match="from https"):
        handler.redirect_request(request, None, 302, "Found", {}, "http://elsewhere/a.onnx")
    onward = handler.redirect_request(request, None, 302, "Found", {}, "https://elsewhere/a.onnx")
    assert onward.full_url == "https://elsewhere/a.onnx"


def test_a_server_that_never_ends_is_left(tmp_path):
    class Endless(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            for _ in range(4096):
                try:
                    self.wfile.write(bytes(1 << 16))
                except OSError:
                    return

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Endless)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    most = []
    with pytest.raises(download._MirrorFailed, match="more than the 1000 bytes"):
        download._fetch_once(
            f"http://127.0.0.1:{server.server_port}/x", tmp_path / "part", 1000, lambda have, total: most.append(have)
        )
    server.shutdown()
    server.server_close()
    assert not (tmp_path / "part").exists()


def test_a_mirror_that_is_no_address_does_not_stop_the_next(tmp_path, monkeypatch):
    wanted = SimpleNamespace(
        name="x", file="x.onnx", bytes=4, sha256=None, verifiable=True, urls=("http://[bad/x.onnx",)
    )
    monkeypatch.setenv("WHOLEBODY_MIRROR", "http://[worse")
    monkeypatch.delenv("WHOLEBODY_OFFLINE", raising=False)
    with pytest.raises(WholebodyError, match=r"worse.*bad"):
        download.download(wanted, tmp_path / "x.onnx")
