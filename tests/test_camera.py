"""The live page: what it serves, what is recorded, and what is said without a camera."""

import http.client
import os
import signal
import threading
from urllib.parse import urlparse

import cv2
import numpy as np
import pytest

from walkers import model, picture
from wholebody import video
from wholebody.draw import skeleton
from wholebody.errors import WholebodyError
from wholebody.serve.camera import Board, newest, served, watch
from wholebody.tracking.pipeline import Follower
from wholebody.video.frame import Frame


def test_the_page_shows_the_pictures():
    board, stop = Board(), threading.Event()

    def show():
        while not stop.wait(0.02):
            board.show(picture([(20, 20, 60, 120)]))

    with served(board, 0) as address:
        threading.Thread(target=show, daemon=True).start()
        host = urlparse(address).netloc
        page = http.client.HTTPConnection(host, timeout=10)
        page.request("GET", "/")
        assert b"<img" in page.getresponse().read()
        stream = http.client.HTTPConnection(host, timeout=10)
        stream.request("GET", "/stream")
        answer = stream.getresponse()
        assert answer.headers["Content-Type"].startswith("multipart/x-mixed-replace")
        data = answer.read(20000)
        stop.set()
    start = data.index(b"\xff\xd8")
    image = cv2.imdecode(np.frombuffer(data[start : data.index(b"\xff\xd9", start) + 2], np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(image.astype(int) - picture([(20, 20, 60, 120)])).mean() < 3


def recorded(folder, look, tell=lambda _: None):
    """Watch clip.mp4 of a folder and record out.mp4; how many pictures were shown."""
    follower = Follower(model(), latency="low")
    return watch(str(folder / "clip.mp4"), follower, look, port=0, output=str(folder / "out.mp4"), tell=tell)


def test_a_file_plays_and_is_recorded(tmp_path):
    boxes = [(20, 60, 60, 170)]
    video.write(tmp_path / "clip.mp4", [Frame(n / 25, picture(boxes)) for n in range(20)], 25, quality=5)
    told = []
    shown = recorded(tmp_path, skeleton, told.append)
    assert 1 <= shown <= 20 and "http://127.0.0.1:" in told[0]
    frames = list(video.read(tmp_path / "out.mp4"))
    assert len(frames) == shown and all(np.abs(f.image.astype(int) - picture(boxes)).max() > 100 for f in frames)


@pytest.mark.skipif(os.name == "nt", reason="Windows ends a process without asking it")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_recording_that_is_ended_from_outside_is_there(tmp_path, name, request):
    number = getattr(signal, name)
    # Under nohup it is ignored, and stays so.
    before = signal.signal(number, signal.SIG_DFL)
    request.addfinalizer(lambda: signal.signal(number, before))
    video.write(tmp_path / "clip.mp4", [Frame(n / 25, picture([])) for n in range(100)], 25, quality=5)
    seen = []

    def look(image, poses):
        seen.append(image)
        if len(seen) == 4:
            assert signal.getsignal(number) != signal.SIG_DFL
            try:
                signal.raise_signal(number)
            finally:
                signal.raise_signal(number)  # as a shell and a terminal do that both send it
        return image

    shown = recorded(tmp_path, look)
    assert shown == 3 and len(list(video.read(tmp_path / "out.mp4"))) == 3
    assert signal.getsignal(number) == signal.SIG_DFL


def test_without_a_camera_there_is_one_line(tmp_path):
    with pytest.raises(WholebodyError, match="cannot be opened"):
        watch(str(tmp_path / "no.mp4"), Follower(model()), skeleton, port=0)
    with pytest.raises(WholebodyError, match="²: cannot be opened"):
        next(newest("²"))


def test_a_taken_port_is_one_line():
    with served(Board(), 0) as address:
        taken = served(Board(), int(address.rsplit(":", 1)[1]))
        with pytest.raises(WholebodyError, match="port"), taken:
            pass
