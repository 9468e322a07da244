"""Procedural textures: skin, fabric, hair, eyes."""

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numba
import numpy as np
import numpy.typing as npt

from wholebody.arrays import Image, Ints32
from wholebody.synth.body import Body
from wholebody.synth.layers import Texture

# BGR from light to dark; hues vary between olive and ruddy besides.
TONES = np.array(
    [
        [196, 214, 244], [170, 197, 236], [145, 178, 225], [118, 156, 210], [92, 132, 192], [72, 106, 164],
        [58, 84, 134], [48, 64, 102],
    ]
)  # fmt: skip


HAIR = np.array(
    [
        [16, 18, 22], [22, 28, 40], [30, 44, 70], [46, 74, 118], [90, 140, 190], [150, 190, 215], [32, 58, 140],
        [150, 150, 152], [220, 222, 225],
    ]
)  # fmt: skip
_IRISES = np.array([[30, 45, 70], [38, 62, 98], [60, 92, 110], [90, 110, 90], [150, 120, 80], [140, 135, 120]])


def bgra(image: npt.NDArray[np.generic]) -> Image:
    alpha = np.full((*image.shape[:2], 1), 255, np.uint8)
    return np.concatenate([np.clip(image, 0, 255).astype(np.uint8), alpha], axis=2)


def mix(rng: np.random.Generator, table: npt.NDArray[np.generic], spread: float = 8) -> npt.NDArray[np.float64]:
    """A colour between two neighbours of a table."""
    at = rng.uniform(0, len(table) - 1)
    low = int(at)
    color = table[low] * (1 - at + low) + table[min(low + 1, len(table) - 1)] * (at - low)
    return np.asarray(np.clip(color + rng.normal(0, spread, 3), 4, 250))


def any_color(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """A garment's colour: often dark, white or grey, otherwise any."""
    if rng.random() < 0.4:
        return np.clip(np.full(3, rng.choice([25, 60, 120, 190, 235])) + rng.normal(0, 8, 3), 5, 250)
    hue, saturation, value = rng.uniform(0, 180), rng.uniform(40, 240), rng.uniform(50, 240)
    pixel = np.array([[[hue, saturation, value]]], np.uint8)
    return np.asarray(cv2.cvtColor(pixel, cv2.COLOR_HSV2BGR)[0, 0], np.float64)


def _noise(rng: np.random.Generator, size: int, cells: int) -> npt.NDArray[np.float64]:
    """(size, size) smooth noise about 0 that repeats without a seam."""
    grid = rng.normal(0, 1, (cells, cells)).astype(np.float32)
    big = cv2.resize(np.tile(grid, (3, 3)), (3 * size, 3 * size), interpolation=cv2.INTER_CUBIC)
    return np.asarray(big[size : 2 * size, size : 2 * size], np.float64)


def fabric(rng: np.random.Generator, wallpapers: Sequence[Image] = ()) -> tuple[str, Texture]:
    """A garment's cloth: solid, stripes, checks, dots, blotches or a print."""
    size = 128
    kind = str(rng.choice(["solid", "solid", "solid", "stripes", "checks", "dots", "blotches", "print"]))
    a, b = any_color(rng), any_color(rng)
    y, x = np.mgrid[0:size, 0:size]
    if kind == "stripes":
        period, turned = size // int(rng.choice([2, 4, 8])), rng.random() < 0.5
        mask = ((x if turned else y) % period) < period * rng.uniform(0.2, 0.7)
    elif kind == "checks":
        period = size // int(rng.choice([2, 4, 8]))
        mask = (x % period < period / 2).astype(float) * 0.5 + (y % period < period / 2) * 0.5
    elif kind == "dots":
        period = size // int(rng.choice([2, 4, 8]))
        mask = (x % period - period / 2) ** 2 + (y % period - period / 2) ** 2 < (period * rng.uniform(0.15, 0.4)) ** 2
    elif kind in ("blotches", "print"):
        mask = _noise(rng, size, int(rng.integers(4, 14))) > rng.uniform(-0.3, 0.8)
    else:
        mask = np.zeros((size, size))
    image = a + np.asarray(mask, float)[..., None] * (b - a)
    if kind == "print" and len(wallpapers):
        source = wallpapers[int(rng.integers(len(wallpapers)))]
        image = cv2.resize(source, (size, size), interpolation=cv2.INTER_AREA).astype(np.float64)
    image = image * (1 + 0.05 * _noise(rng, size, 32)[..., None] + 0.06 * _noise(rng, size, 6)[..., None])
    return kind, Texture(bgra(image), gloss=float(rng.choice([0.02, 0.05, 0.25])))


def hair_texture(rng: np.random.Generator, color: npt.NDArray[np.float64]) -> Texture:
    streaks = cv2.resize(rng.normal(0, 1, (6, 128)).astype(np.float32), (128, 128), interpolation=cv2.INTER_LINEAR)
    return Texture(bgra(color * (1 + 0.25 * streaks[..., None])), gloss=0.2)


def eye_texture(rng: np.random.Generator) -> Texture:
    image = np.full((64, 64, 3), 225.0) + rng.normal(0, 3)
    iris = mix(rng, _IRISES)
    radius = rng.uniform(12.5, 14)
    cv2.circle(image, (32, 32), round(radius * 8), tuple(iris * 0.55), -1, cv2.LINE_AA, 3)
    cv2.circle(image, (32 * 8, 32 * 8), round(radius * 8), tuple(iris * 0.55), -1, cv2.LINE_AA, 3)
    cv2.circle(image, (32 * 8, 32 * 8), round(radius * 6.8), tuple(iris), -1, cv2.LINE_AA, 3)
    cv2.circle(image, (32 * 8, 32 * 8), round(radius * rng.uniform(2.5, 4.5)), (12.0, 10.0, 10.0), -1, cv2.LINE_AA, 3)
    return Texture(bgra(image), gloss=0.7)


def plain(color: npt.ArrayLike, gloss: float = 0.05) -> Texture:
    """One BGR colour, 0 to 255."""
    return Texture(bgra(np.tile(np.asarray(color, np.float64), (2, 2, 1))), gloss=gloss)


# The window of the template's face that the painted texture covers: x0, x1, z0, z1 in metres.
FACE = (-0.11, 0.11, 0.60, 0.88)


def painted_skin(
    rng: np.random.Generator, body: Body, tone: npt.NDArray[np.float64], hair: npt.NDArray[np.float64], male: bool
) -> Texture:
    """Skin with lips, brows and lash lines, in front view; the corner pixel is plain skin."""
    size = 256
    image = tone * (1 + 0.03 * _noise(rng, size, 24)[..., None])
    points = body.template[face_vertices(body)]
    x0, x1, z0, z1 = FACE
    pixels = np.column_stack([(points[:, 0] - x0) / (x1 - x0), 1 - (points[:, 2] - z0) / (z1 - z0)]) * size
    at = np.round(pixels * 16).astype(np.int32)

    def blend(mask: npt.NDArray[np.uint8], color: npt.NDArray[np.float64], strength: float, blur: float = 0.8) -> None:
        x, y, w, h = cv2.boundingRect(mask)
        margin = int(3 * blur) + 1
        span = slice(max(0, y - margin), y + h + margin), slice(max(0, x - margin), x + w + margin)
        soft = cv2.GaussianBlur(mask[span], (0, 0), blur).astype(np.float64)[..., None] / 255 * strength
        image[span] = image[span] * (1 - soft) + color * soft

    def empty() -> npt.NDArray[np.uint8]:
        return np.zeros((size, size), np.uint8)

    if male and hair.sum() < 0.8 * tone.sum() and rng.random() < 0.4:
        mask = empty()
        jaw = np.concatenate([at[2:15], at[[14, 35, 33, 31, 2]]])
        cv2.fillPoly(mask, [jaw], 255, cv2.LINE_AA, 4)
        blend(mask, hair, rng.uniform(0.1, 0.75), 3.0)
    mask = empty()
    cv2.fillPoly(mask, [at[48:60]], 255, cv2.LINE_AA, 4)
    redder = np.clip(tone * np.array([0.72, 0.62, 0.92]) + np.array([10, 0, 12]), 0, 255)
    lips = redder if male or rng.random() < 0.5 else np.array([70, 50, 170]) * rng.uniform(0.6, 1.2)
    blend(mask, lips, rng.uniform(0.5, 0.95))
    for brow in (at[17:22], at[22:27]):
        mask = empty()
        cv2.polylines(mask, [brow], False, 255, int(rng.integers(4, 9)), cv2.LINE_AA, 4)
        blend(mask, hair * 0.8, rng.uniform(0.5, 0.95), 1.2)
    for eye in (at[36:42], at[42:48]):
        mask = empty()
        cv2.polylines(mask, [eye], True, 255, int(rng.integers(2, 5)), cv2.LINE_AA, 4)
        blend(mask, np.full(3, 18.0), rng.uniform(0.5, 0.95))
    for nostril in (at[32], at[34]):
        mask = empty()
        cv2.circle(mask, (int(nostril[0]), int(nostril[1])), 3 * 16, 255, -1, cv2.LINE_AA, 4)
        blend(mask, tone * 0.4, 0.7, 1.5)
    image[-4:, :4] = tone
    return Texture(bgra(image), gloss=float(rng.uniform(0.05, 0.3)), closed=True)


@lru_cache(maxsize=2)
def face_vertices(body: Body) -> Ints32:
    """(68,) the vertex of each face keypoint."""
    order = {int(row): int(vertex) for row, vertex in zip(body.point_rows, body.point_vertices, strict=True)}
    return np.array([order[row] for row in range(23, 91)], np.int32)


def tinted_skin(rng: np.random.Generator, skin: Image, tone: npt.NDArray[np.float64]) -> Texture:
    """A photographic skin in another tone, with the same contrasts."""
    center = skin[::8, ::8, :3].reshape(-1, 3).mean(axis=0) + 1
    image = through(skin, np.arange(256)[:, None] * (tone / center) ** rng.uniform(0.6, 1.0))
    return Texture(image, gloss=float(rng.uniform(0.05, 0.3)), closed=True)


def through(image: Image, table: npt.NDArray[np.float64]) -> Image:
    """A BGRA image mapped through a colour table (256, 3), with its alpha channel."""
    full = np.column_stack([np.clip(table, 0, 255), np.arange(256)]).astype(np.uint8)
    return np.asarray(cv2.LUT(image, full[None]), np.uint8)


def recolored(image: Image, color: npt.ArrayLike) -> Image:
    """A BGRA image in one BGR colour, with its alpha channel. Whole pixels: channel by channel is ten times slower."""
    word = np.array([*np.clip(color, 0, 255).astype(np.uint8), 0], np.uint8).view(np.uint32)
    alpha = np.array([0, 0, 0, 255], np.uint8).view(np.uint32)
    return np.asarray((np.ascontiguousarray(image).view(np.uint32) & alpha | word).view(np.uint8))


@numba.njit(cache=True)
def within(mask: npt.NDArray[np.bool_], faces: Ints32) -> npt.NDArray[np.bool_]:
    """(m,) faces all of whose vertices are in the mask."""
    found = np.zeros(len(faces), np.bool_)
    for f in range(len(faces)):
        found[f] = mask[faces[f, 0]] and mask[faces[f, 1]] and mask[faces[f, 2]]
    return found
