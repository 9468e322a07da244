"""Hooks for schemathesis: the pictures that it sends are real, damaged, or noise.

    wholebody serve --port 8000 &
    SCHEMATHESIS_HOOKS=runs/serve/hooks.py schemathesis run http://127.0.0.1:8000/openapi.json --max-examples 700 \\
        --exclude-checks positive_data_acceptance

The excluded check would expect 200 for any bytes, but only pictures are accepted.
"""

import base64
import struct
import zlib

import cv2
import numpy as np
import schemathesis
from hypothesis import strategies as st


def encoded(suffix: str, size: tuple[int, int], seed: int) -> bytes:
    """A picture of blobs."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return cv2.imencode(suffix, cv2.resize(noise, size, interpolation=cv2.INTER_CUBIC))[1].tobytes()


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims a size."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")


whole = st.builds(
    encoded,
    st.sampled_from([".png", ".jpg", ".webp", ".tiff", ".bmp"]),
    st.tuples(st.integers(1, 200), st.integers(1, 200)),
    st.integers(0, 9),
)
sides = st.sampled_from([0, 1, 7, 3000, 40000, 2**31 - 1, 2**32 - 1])


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A picture in which some bytes are others, or are missing."""
    data = bytearray(draw(whole))
    for at in draw(st.lists(st.integers(0, len(data) - 1), max_size=8)):
        data[at] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.integers(0, len(data)))]) if draw(st.booleans()) else bytes(data)


pictures = st.one_of(whole, damaged(), st.builds(bomb, sides, sides), st.binary(max_size=300))
for kind in ("image/jpeg", "image/png", "image/webp", "application/octet-stream"):
    schemathesis.openapi.media_type(kind, pictures)
schemathesis.openapi.format("binary", pictures.map(lambda data: data.decode("latin-1")))
schemathesis.openapi.format("byte", pictures.map(lambda data: base64.b64encode(data).decode()))
