"""`wholebody camera`: skeletons over a camera's live picture, on a page in the browser.

The page is served to this machine only (http://127.0.0.1:8000). Only the newest picture is processed; pictures that
arrive while the networks are busy are skipped, so the display never lags.
"""

import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import cv2
import numpy as np

from wholebody.arrays import Image
from wholebody.errors import WholebodyError
from wholebody.poses import Poses
from wholebody.signals import ended_by_signals
from wholebody.tracking.pipeline import Follower
from wholebody.tracking.smooth import Smoother
from wholebody.video.encode import encoder
from wholebody.video.frame import Frame

_PAGE = b"""<!doctype html><title>wholebody camera</title>
<style>body{margin:0;background:#111;display:grid;place-items:center;height:100vh}img{max-width:100%;max-height:100vh}</style>
<img src="stream" alt="the camera's picture with skeletons">"""

_BOUNDARY = "frame"


def newest(source: str) -> Generator[Frame]:
    """The newest frame of a camera each time; for a file, the frame that would be playing now.

    Args:
        source: a camera's number, or a file or stream URL that OpenCV can open.

    Raises:
        WholebodyError: there is no such camera, or it delivers no picture.
    """
    number = int(source) if source.isdecimal() else None
    capture = cv2.VideoCapture(source if number is None else number)
    if not capture.isOpened():
        what = f"camera {number}" if number is not None else source
        raise WholebodyError(f"{what}: cannot be opened. Is it plugged in, allowed, and not in use elsewhere?")
    pause = 1 / (capture.get(cv2.CAP_PROP_FPS) or 25) if number is None and "://" not in source else 0
    fresh = threading.Condition()
    latest: list[Frame | None] = []
    stop = threading.Event()
    started = time.perf_counter()

    def work() -> None:
        while not stop.is_set():
            there, image = capture.read()
            with fresh:
                latest[:] = [Frame(time.perf_counter() - started, np.asarray(image, np.uint8)) if there else None]
                fresh.notify()
            if not there:
                break
            stop.wait(pause)
        capture.release()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    some = False
    try:
        while True:
            with fresh:
                fresh.wait_for(lambda: bool(latest))
                frame = latest.pop()
            if frame is None:
                break
            some = True
            yield frame
    finally:
        stop.set()
        thread.join()
    if not some:
        raise WholebodyError(f"{source}: gives no picture. Is it in use elsewhere?")


class Board:
    """The displayed picture: set by one thread, awaited by the viewers."""

    def __init__(self) -> None:
        self._fresh = threading.Condition()
        self._jpeg = b""
        self._number = 0

    def show(self, image: Image) -> None:
        """Show a picture (H, W, 3) BGR."""
        jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()
        with self._fresh:
            self._jpeg, self._number = jpeg, self._number + 1
            self._fresh.notify_all()

    def after(self, number: int) -> tuple[int, bytes]:
        """The first picture after a number, as (its number, JPEG); empty if none comes for two seconds."""
        with self._fresh:
            there = self._fresh.wait_for(lambda: self._number > number, timeout=2)
            return (self._number, self._jpeg) if there else (number, b"")


@contextmanager
def served(board: Board, port: int) -> Iterator[str]:
    """Serve the board on this machine; yields the address. Port 0 takes a free one.

    Raises:
        WholebodyError: the port is taken.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/":
                self._answer("text/html; charset=utf-8")
                self.wfile.write(_PAGE)
            elif self.path == "/stream":
                self._answer(f"multipart/x-mixed-replace; boundary={_BOUNDARY}")
                number = 0
                with suppress(OSError):  # the viewer has disconnected
                    while not stop.is_set():
                        number, jpeg = board.after(number)
                        if jpeg:
                            head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                            self.wfile.write(head.encode() + jpeg + b"\r\n")
            else:
                self.send_error(404)

        def _answer(self, kind: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Cache-Control", "no-store")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing: the terminal shows the speed."""

    stop = threading.Event()
    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except OSError as error:
        raise WholebodyError(f"port {port} cannot be used ({error.strerror}). Choose another with --port.") from error
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        stop.set()
        server.shutdown()
        server.server_close()


def watch(
    source: str,
    follower: Follower,
    look: Callable[[Image, Poses], Image],
    *,
    smoother: Smoother | None = None,
    port: int = 8000,
    output: str | None = None,
    tell: Callable[[str], None] = print,
) -> int:
    """Show a camera's people until it ends or the user stops it (Ctrl-C); returns the number of pictures shown.

    SIGTERM and SIGHUP also stop it cleanly, so that a recording is complete.

    Args:
        follower: with latency "low". look: draws people over a picture. smoother: None for no smoothing.
        port: of the page. output: an .mp4 file to record what is shown.
        tell: called with lines for the user: first the URL, then the speed about every second.

    Raises:
        WholebodyError: the camera, the port or the file cannot be opened.
    """
    board, shown, told = Board(), 0, 0.0
    with ExitStack() as stack:
        address = stack.enter_context(served(board, port))
        frames = stack.enter_context(closing(newest(source)))
        # No threads in between: a queued picture would be an old one.
        found = (pair for chunk in follower.chunks(frames) for pair in follower(chunk))
        record: Callable[[Frame], None] | None = None
        begun = time.perf_counter()
        with suppress(KeyboardInterrupt):
            for frame, poses in found:
                if not shown:
                    tell(f"{address} shows {source}. Ctrl-C ends it.")
                drawn = look(frame.image, smoother(poses, frame.time) if smoother else poses)
                board.show(drawn)
                if output and record is None:
                    stack.enter_context(ended_by_signals())
                    size = (drawn.shape[1], drawn.shape[0])
                    record = stack.enter_context(encoder(output, size, 15))
                if record is not None:
                    record(Frame(frame.time, drawn))
                shown += 1
                now = time.perf_counter() - begun
                if now - told >= 1:
                    tell(f"{shown / now:.1f} pictures/s, {len(poses)} people")
                    told = now
    return shown
