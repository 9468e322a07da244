"""The one step between the decoder and everything else: a frame as a player shows it.

| what a file may have             | what is shown                                                                |
|----------------------------------|------------------------------------------------------------------------------|
| pixels that are not square       | stretched in width, so that the aspect is that of players                    |
| the curves PQ and HLG            | light above paper white is rolled off, the colours are sRGB's                |
| transparency                     | laid on a background                                                         |
| interlaced lines                 | those of the second field are interpolated where they stick out like a comb  |
| a turn or a mirror               | upright                                                                      |

Keypoints are in pixels of this picture, and `info` tells its size.
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

# The numbers of the standard (H.273) for transfer curves, and for the primaries of BT.2020.
_PQ, _HLG, _BT2020 = 16, 18, 9
# Nits of paper white (BT.2408): what is brighter shines. It is rolled off from this share of paper white on.
_PAPER, _KNEE = 203.0, 0.6
_TO_SRGB = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)  # of linear RGB with the primaries of BT.2020 (BT.2087)

# Wider or narrower pixels are a mistake in the file.
_ASPECTS = (1 / 8, 8.0)
# Square of the levels by which a line sticks out from both of its neighbours where something moves.
_COMB = 150


def aspect_of(stream: Any) -> float:
    """Width over height of the pixels of a stream of PyAV; 1 where the file does not say, or nonsense."""
    aspect = float(stream.sample_aspect_ratio or 1)
    return aspect if _ASPECTS[0] <= aspect <= _ASPECTS[1] else 1.0


def parsed_color(text: str) -> Color:
    """BGR of "white", "black" or "#rrggbb".

    Raises:
        WholebodyError: it is none of them.
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
    """Makes (H, W, 3) uint8 BGR of the frames of PyAV of one file, as a player shows them.

    Args:
        aspect: width over height of a pixel (`aspect_of`). background: BGR of what is behind transparent parts.
    """
    turn: float | None = None
    matrix: tuple[float, float, float, float] = (1, 0, 0, 1)

    def shown(frame: Any) -> Image:
        nonlocal turn, matrix
        # A frame whose side data was looked at is in a ring of references, and stays until the garbage is collected.
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
    """a, b, c, d: a pixel (x, y) is shown at (a x + c y, b x + d y), but for a shift."""
    try:
        matrix = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV stumbles over kinds of side data that it does not know, but tells the turn
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
    """An interlaced picture (H, W, 3) without combs: lines of the second field that stick out are interpolated."""
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
    """(H, W, 3) 16-bit RGB of PQ or HLG -> BGR of sRGB. Up to 0.6 of paper white light stays as it is.

    Args:
        wide: the primaries are those of BT.2020.
    """
    light = _light(hlg)[signal]
    if hlg:  # what a display of 1000 nits does: its gamma follows the light of all three colours
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
    """(65536,) light of each value of a signal: PQ in shares of paper white, HLG 0..1 of the scene."""
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
    """(4096,) sRGB's value for light from 0 to 1."""
    light = np.linspace(0, 1, 4096)
    curve = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    values: npt.NDArray[np.uint8] = np.rint(255 * curve).astype(np.uint8)
    return values
