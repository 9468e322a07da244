"""A web server on this machine that stands for the mirrors of released networks, whole or misbehaving."""

import hashlib
import io
import re
import socket
import threading
import zipfile
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

from wholebody.weights.manifest import Weights

CONTENT = np.random.default_rng(0).bytes(1_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Mirror:
    """A web server on this machine. `files`: path -> content; `cuts`: how many answers break after half of the rest."""

    files: dict[str, bytes]
    cuts: int = 0
    ranges: bool = True
    content_type: str = "application/octet-stream"
    status: int = 200
    range_shift: int = 0
    slow: float = 0.0
    requests: list[tuple[str, str | None]] = field(default_factory=list)

    def __enter__(self):
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                mirror.answer(self)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *args):
        self.server.shutdown()
        self.server.server_close()

    @property
    def base(self):
        return f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, request):
        asked = request.headers.get("Range")
        self.requests.append((request.path, asked))
        content = self.files.get(request.path)
        if content is None or self.status != 200:
            request.send_error(404 if content is None else self.status)
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked and self.ranges else 0
        if asked and self.ranges and start >= len(content):
            request.send_response(416)
            request.send_header("Content-Range", f"bytes */{len(content)}")
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        rest = content[start:]
        request.send_response(206 if asked and self.ranges else 200)
        if asked and self.ranges:
            request.send_header("Content-Range", f"bytes {start + self.range_shift}-{len(content) - 1}/{len(content)}")
        request.send_header("Content-Length", str(len(rest)))
        request.send_header("Content-Type", self.content_type)
        request.end_headers()
        if self.cuts:
            self.cuts -= 1
            rest = rest[: len(rest) // 2]
        threading.Event().wait(self.slow)
        request.wfile.write(rest)


def entry(*urls, **changes):
    return Weights(
        **{
            "name": "dwpose-z",
            "kind": "pose",
            "file": "z.onnx",
            "input_size": (192, 256),
            "licence": "none",
            "about": "a test",
            "urls": urls,
            "bytes": len(CONTENT),
            "sha256": SHA256,
        }
        | changes
    )


def zipped(member="20230831/rtmpose_onnx/z/end2end.onnx", content=CONTENT):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("20230831/rtmpose_onnx/z/deploy.json", "{}")
        archive.writestr(member, content)
    return buffer.getvalue()


def dead():
    """The address of a port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def left(folder):
    """Names in the cache but for the empty lock files."""
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")
