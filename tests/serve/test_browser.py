"""The page in a real browser: a static copy on a host without special headers, driven in Debian's Chromium."""

import base64
import functools
import http.server
import json
import shutil
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from wholebody import WholeBody, draw, formats
from wholebody.files import make_folder
from wholebody.video.encode import encoder
from wholebody.video.frame import Frame

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium")
if CHROMIUM is None:
    pytest.skip("chromium is not installed", allow_module_level=True)

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src/wholebody"
GOLDEN = ROOT / "tests/golden/web"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]
PATIENCE = 240_000  # milliseconds: a busy machine loads the networks slowly


class Server(http.server.ThreadingHTTPServer):
    """A plain static host of one folder."""

    daemon_threads = True

    def __init__(self, folder):
        class Handler(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *_):
                pass

        super().__init__(("127.0.0.1", 0), functools.partial(Handler, directory=folder))
        threading.Thread(target=self.serve_forever, daemon=True).start()


@pytest.fixture(scope="module")
def frames():
    """A short clip: somebody goes a little to the right; (T, H, W, 3) BGR."""
    base = cv2.imread(str(GOLDEN / "base.png"))[:, 20:300]
    room = [np.full((376, 480, 3), 128, np.uint8) for _ in range(12)]
    for n, frame in enumerate(room):
        frame[:, 10 * n : 10 * n + 280] = base
    return np.stack(room)


@pytest.fixture(scope="module")
def page(tmp_path_factory, frames):
    """The page, its networks loaded; `page.server` is its host."""
    folder = tmp_path_factory.mktemp("host")
    shutil.copytree(PACKAGE / "serve/page", folder, dirs_exist_ok=True)
    make_folder(folder / "models")
    for name in ("detector", "fast", "pose"):
        (folder / f"models/{name}.onnx").symlink_to(PACKAGE / f"models/{name}.onnx")
    camera = folder / "camera.y4m"
    with camera.open("wb") as file:
        file.write(b"YUV4MPEG2 W480 H376 F10:1 Ip A1:1 C420jpeg\n")
        for frame in frames:
            file.write(b"FRAME\n" + cv2.cvtColor(frame, cv2.COLOR_BGR2YUV_I420).tobytes())
    server = Server(folder)
    with playwright.sync_playwright() as browsers:
        context = browsers.chromium.launch_persistent_context(
            str(tmp_path_factory.mktemp("profile")),
            executable_path=CHROMIUM,
            headless=True,
            args=[*FLAGS, f"--use-file-for-fake-video-capture={camera}"],
            viewport={"width": 1280, "height": 800},
            accept_downloads=True,
        )
        # Counts what the networks are asked. One thread: several wait for each other where others compute too.
        context.add_init_script(
            "Object.defineProperty(navigator, 'hardwareConcurrency', { get: () => 1 });"
            "window.asked = [];"
            "const post = Worker.prototype.postMessage;"
            "Worker.prototype.postMessage = function (message, ...rest) {"
            "  if (message?.job) window.asked.push(message.job.kind); return post.call(this, message, ...rest); };"
        )
        page = context.pages[0]
        page.set_default_timeout(PATIENCE)
        page.problems = []
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.server = server
        page.goto(f"http://127.0.0.1:{server.server_port}/")
        ready(page)
        yield page
        assert page.problems == []
        context.close()
    server.shutdown()


def ready(page):
    # The service worker brings the headers for threads and loads the page once more.
    page.wait_for_function("crossOriginIsolated && document.documentElement.dataset.ready")


def opened(page, path):
    page.evaluate("delete document.documentElement.dataset.done")
    page.set_input_files("#file", path)
    page.wait_for_function(f"document.documentElement.dataset.done === '{path.name}'")


def canvas(page):
    """(H, W, 3) BGR: what is on the stage."""
    data = page.evaluate(
        "(() => { const c = document.getElementById('canvas');"
        "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
        "let s = ''; for (let i = 0; i < d.length; i += 8190) s += String.fromCharCode(...d.subarray(i, i + 8190));"
        "return [c.width, c.height, btoa(s)]; })()"
    )
    pixels = np.frombuffer(base64.b64decode(data[2]), np.uint8).reshape(data[1], data[0], 4)
    return pixels[..., 2::-1]


def saved(page, tmp_path, button, form=None):
    if form:
        page.select_option("#format", form)
    with page.expect_download() as download:
        page.click(button)
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    return path


@pytest.fixture(scope="module")
def expected():
    """What the package finds in the picture that the tests open."""
    return WholeBody()(str(GOLDEN / "base.png"))


def close(found, wanted):
    """Keypoints equal to 1/50 pixel, but for a few that two places are equally likely for."""
    assert len(found) == len(wanted)
    apart = np.abs(found.keypoints - wanted.keypoints).max(axis=-1)
    assert (apart < 0.02).mean() > 0.98
    np.testing.assert_allclose(found.scores, wanted.scores, atol=0.02)


def test_a_photo_shows_its_skeleton(page, expected):
    opened(page, GOLDEN / "base.png")
    assert "1 person" in page.inner_text("#status")
    picture = cv2.imread(str(GOLDEN / "base.png"))
    drawn = canvas(page)
    ours = draw.skeleton(picture, expected)
    changed, wanted = ((image != picture).any(axis=-1) for image in (drawn, ours))
    assert 0.9 < changed.sum() / wanted.sum() < 1.2
    assert (changed & wanted).sum() > 0.9 * wanted.sum()
    assert np.abs(drawn.astype(int) - ours)[wanted].mean() < 30


def test_the_map_is_the_package_s(page, expected, tmp_path):
    opened(page, GOLDEN / "base.png")
    page.keyboard.press("3")
    ours = draw.openpose(np.zeros((376, 320, 3), np.uint8), expected, feet=True)
    for drawn in (canvas(page), cv2.imread(str(saved(page, tmp_path, "#save-map")))):
        painted = drawn.any(axis=-1) | ours.any(axis=-1)
        assert (drawn != ours).any(axis=-1).sum() < 0.01 * painted.sum()
    page.keyboard.press("1")


def test_files_are_the_package_s(page, expected, tmp_path):
    opened(page, GOLDEN / "base.png")
    close(formats.read_npz(saved(page, tmp_path, "#save-data", "npz")), expected)
    close(formats.read_csv(saved(page, tmp_path, "#save-data", "csv"))["base.png"], expected)
    close(formats.read_coco(saved(page, tmp_path, "#save-data", "coco"))["base.png"], expected)
    ours = tmp_path / "ours.json"
    path = saved(page, tmp_path, "#save-data", "openpose")
    assert path.name == "base_keypoints.json"
    formats.write_openpose(ours, expected)
    theirs, own = (json.loads(file.read_text()) for file in (path, ours))
    assert theirs.keys() == own.keys() and theirs["people"][0].keys() == own["people"][0].keys()
    for field, numbers in own["people"][0].items():
        if field.endswith("2d"):
            apart = np.abs(np.array(theirs["people"][0][field]) - numbers)
            assert (apart < 0.03).mean() > 0.98, field
    people, sizes = formats.read_comfy(saved(page, tmp_path, "#save-data", "comfy"))
    assert sizes == [(320, 376)] and len(people[0]) == 1


def test_settings_draw_again_without_estimating(page):
    opened(page, GOLDEN / "base.png")
    before, asked = canvas(page), page.evaluate("asked.length")
    page.fill("#threshold", "0.9")
    fewer = canvas(page)
    page.uncheck("[value=body]")
    none = canvas(page)
    page.fill("#least", "0.95")
    page.wait_for_function("!document.querySelector('#people').children.length")
    nobody = canvas(page)
    assert page.evaluate("asked.length") == asked
    picture = cv2.imread(str(GOLDEN / "base.png"))
    amounts = [(image != picture).any(axis=-1).sum() for image in (before, fewer, none, nobody)]
    assert amounts[0] > amounts[1] > amounts[2] > amounts[3] == 0
    page.fill("#least", "0.3")
    page.fill("#threshold", "0.3")
    page.check("[value=body]")
    page.wait_for_function("document.querySelector('#people').children.length")
    np.testing.assert_array_equal(canvas(page), before)


def test_a_video_has_ids(page, frames, tmp_path):
    clip = tmp_path / "clip.mp4"
    with encoder(str(clip), (480, 376), 10) as write:
        for n, frame in enumerate(frames):
            write(Frame(n / 10, frame))
    page.select_option("#network", "fast")
    page.select_option("#rate", "10")
    opened(page, clip)
    found = formats.read_npz_video(saved(page, tmp_path, "#save-data", "npz"))
    assert len(found) in (11, 12, 13)
    assert {tuple(poses.ids) for _, poses in found} == {(1,)}
    noses = np.array([poses.keypoints[0, 0, 0] for _, poses in found])
    assert np.diff(noses).mean() == pytest.approx(10, abs=1)
    rows = formats.read_csv_video(saved(page, tmp_path, "#save-data", "csv"))
    np.testing.assert_allclose([time for time, _ in rows], np.arange(len(rows)) / 10)


def test_a_camera_has_ids(page, tmp_path):
    page.evaluate("delete document.documentElement.dataset.done")
    page.click("#camera")
    page.wait_for_function("/camera ([5-9]|..)/.test(document.documentElement.dataset.done ?? '')")
    page.wait_for_function("document.querySelector('#people')?.innerText.startsWith('1')")
    page.click("#camera")
    found = formats.read_npz_video(saved(page, tmp_path, "#save-data", "npz"))
    assert len(found) >= 5 and any(1 in poses.ids.tolist() for _, poses in found)


def test_small_screens_need_no_scrolling_aside(page):
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.set_viewport_size({"width": 1280, "height": 800})


def test_without_a_connection(page):
    """Last of all: the host goes away."""
    page.server.shutdown()
    page.server.server_close()
    page.reload()
    ready(page)
    page.select_option("#network", "fast")
    opened(page, GOLDEN / "base.png")
    assert "1 person" in page.inner_text("#status")
