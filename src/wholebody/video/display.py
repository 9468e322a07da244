"""The step between the decoder and everything else: a frame as a video player displays it.

| the file has                     | what is displayed                                                            |
|----------------------------------|------------------------------------------------------------------------------|
| non-square pixels                | stretched horizontally to the aspect ratio of players                        |
| HDR with PQ or HLG               | tone-mapped: light above reference white is rolled off, colours become sRGB  |
| transparency                     | composited onto a background                                                 |
| interlaced frames                | lines of the second field are interpolated where they show combing           |
| rotation or mirroring            | upright                                                                      |

Keypoints are in pixels of this picture, and `info` returns its size.
"""

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from wholebody.arrays import Floats, Image
from wholebody.errors import WholebodyError

Color = tuple[int, int, int]
WHITE: Color = (255, 255, 255)

# Code points of H.273 for transfer curves, and for the primaries of BT.2020.
_PQ, _HLG, _BT2020 = 16, 18, 9
# Nits of reference white (BT.2408), and the fraction of it from which light is rolled off.
_PAPER, _KNEE = 203.0, 0.6
_TO_SRGB = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)  # of linear RGB with the primaries of BT.2020 (BT.2087)

# More extreme pixel aspect ratios are errors in the file.
_ASPECTS = (1 / 8, 8.0)
# Squared difference in levels between a line and both of its neighbours that counts as combing.
_COMB = 150


def aspect_of(stream: Any) -> float:
    """Pixel aspect ratio (width / height) of a PyAV stream; 1 if the file has none or an implausible one."""
    aspect = float(stream.sample_aspect_ratio or 1)
    return aspect if _ASPECTS[0] <= aspect <= _ASPECTS[1] else 1.0


def parsed_color(text: str) -> Color:
    """BGR of "white", "black" or "#rrggbb".

    Raises:
        WholebodyError: it is none of these.
    """
    named = {"white": WHITE, "black": (0, 0, 0)}
    digits = text.removeprefix("#")
    if text.lower() in named:
        return named[text.lower()]
    try:
        if len(digits) != 6:
            raise ValueError
        red, green, blue = bytes.fromhex(digits)
    except ValueError:
        raise WholebodyError(f"colour is {text!r}: give white, black, or #rrggbb.") from None
    return blue, green, red


def display(aspect: float = 1.0, background: Color = WHITE) -> Callable[[Any], Image]:
    """Converts the PyAV frames of one file to (H, W, 3) uint8 BGR, as a player displays them.

    Args:
        aspect: pixel aspect ratio (`aspect_of`). background: BGR colour behind transparent parts.
    """
    turn: float | None = None
    matrix: tuple[float, float, float, float] = (1, 0, 0, 1)

    def shown(frame: Any) -> Image:
        nonlocal turn, matrix
        # Accessing a frame's side data creates a reference cycle, which keeps the frame until garbage collection.
        now = float(getattr(frame, "rotation", 0))
        if now != turn:
            turn, matrix = now, _matrix(frame)
        image: Any = _pixels(frame, background)
        if getattr(frame, "interlaced_frame", False):
            image = woven(image)
        if aspect != 1:
            width = max(round(image.shape[1] * aspect), 1)
            image = cv2.resize(image, (width, image.shape[0]), interpolation=cv2.INTER_LINEAR)
        a, b, c, d = matrix
        if abs(b) > abs(a):
            image, a, d = cv2.transpose(image), c, b
        if a < 0 or d < 0:
            image = cv2.flip(image, -1 if a < 0 and d < 0 else 1 if a < 0 else 0)
        return np.asarray(image, np.uint8)

    return shown


def _matrix(frame: Any) -> tuple[float, float, float, float]:
    """a, b, c, d: a pixel (x, y) is displayed at (a x + c y, b x + d y), up to a shift."""
    try:
        matrix = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV fails on unknown kinds of side data, but still knows the rotation
        turn = math.radians(getattr(frame, "rotation", 0))
        return math.cos(turn), -math.sin(turn), math.sin(turn), math.cos(turn)
    if matrix is None:
        return 1, 0, 0, 1
    a, b, _, c, d, *_ = np.frombuffer(matrix, np.int32).tolist()
    return a, b, c, d


def _pixels(frame: Any, background: Color) -> Image:
    curve = int(getattr(frame, "color_trc", 0) or 0)
    if curve in (_PQ, _HLG):
        return tone_mapped(frame.to_ndarray(format="rgb48le"), curve == _HLG, int(frame.color_primaries) == _BT2020)
    form = getattr(frame, "format", None)
    if form is None or not _has_alpha(form.name):
        image: Image = frame.to_ndarray(format="bgr24")
        return image
    layers = frame.to_ndarray(format="bgra")
    if layers[..., 3].min(initial=255) == 255:
        return np.ascontiguousarray(layers[..., :3])
    alpha = layers[..., 3:].astype(np.uint16)
    behind = (255 - alpha) * np.array(background, np.uint16)
    laid: Image = ((layers[..., :3] * alpha + behind + 127) // 255).astype(np.uint8)
    return laid


@cache
def _has_alpha(name: str) -> bool:
    import av

    # A palette (GIF, PNG) may have transparent entries.
    return name == "pal8" or any(part.is_alpha for part in av.VideoFormat(name).components)


def woven(image: Image) -> Image:
    """Deinterlace (H, W, 3): lines of the second field that show combing are interpolated."""
    if image.shape[0] < 3:
        return image
    above, line, below = image[0:-2:2], image[1:-1:2], image[2::2]
    green = [rows[..., 1].astype(np.int16) for rows in (above, line, below)]
    comb = (green[1] - green[0]).astype(np.int32) * (green[1] - green[2]) > _COMB
    wide = cv2.dilate(comb.astype(np.uint8), np.ones((1, 5), np.uint8)).astype(bool)
    out: Image = image.copy()
    mean = cv2.addWeighted(above, 0.5, below, 0.5, 0)
    out[1:-1:2] = np.where(wide[..., None], mean, line)
    return out


def tone_mapped(signal: npt.NDArray[np.uint16], hlg: bool, wide: bool) -> Image:
    """(H, W, 3) 16-bit RGB in PQ or HLG -> sRGB in BGR. Light up to 0.6 of reference white is unchanged.

    Args:
        wide: whether the primaries are those of BT.2020.
    """
    light = _light(hlg)[signal]
    if hlg:  # the system gamma of a 1000-nit display, applied to the luminance
        luminance = light @ np.array([0.2627, 0.6780, 0.0593], np.float32)
        light *= (np.maximum(luminance, 1e-6) ** 0.2)[..., None] * np.float32(1000 / _PAPER)
    if wide:
        light = np.maximum(cv2.transform(light, _TO_SRGB), 0)
    most = light.max(axis=2, keepdims=True)
    over = np.maximum(most - _KNEE, 0)
    rolled = np.minimum(most, _KNEE) + (1 - _KNEE) * (1 - np.exp(-over / (1 - _KNEE)))
    light *= rolled / np.maximum(most, 1e-6)
    return np.ascontiguousarray(_to_bytes()[(light * 4095 + 0.5).astype(np.uint16)][..., ::-1])


@cache
def _light(hlg: bool) -> Floats:
    """(65536,) light for each signal value: PQ relative to reference white, HLG 0..1 of the scene."""
    e = np.linspace(0, 1, 65536)
    if hlg:
        a = 0.17883277
        b, c = 1 - 4 * a, 0.5 - a * math.log(4 * a)
        return np.where(e <= 0.5, e**2 / 3, (np.exp((e - c) / a) + b) / 12).astype(np.float32)
    root = e ** (32 / 2523)
    nits = 10000 * (np.maximum(root - 3424 / 4096, 0) / (2413 / 128 - 2392 / 128 * root)) ** (16384 / 2610)
    return (nits / _PAPER).astype(np.float32)


@cache
def _to_bytes() -> npt.NDArray[np.uint8]:
    """(4096,) the sRGB value for light from 0 to 1."""
    light = np.linspace(0, 1, 4096)
    curve = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    values: npt.NDArray[np.uint8] = np.rint(255 * curve).astype(np.uint8)
    return values
