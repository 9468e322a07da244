"""What a person wears and how the skin, hair and eyes look: a list of textured layers over the body's mesh.

A layer's vertices hang on the body's: q = sum(w_i v[ref_i]) + offset. The base mesh, a garment cut from the body's
helper surfaces and a piece of clothing from the MakeHuman asset repository are the same thing to the renderer.
"""

import io
import os
import re
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import PurePosixPath

import cv2
import numba
import numpy as np
import numpy.typing as npt

from wholebody.arrays import Floats, Image, Ints32
from wholebody.errors import WholebodyError
from wholebody.synth.body import Body, used_vertices, vertex_normals

Color = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Texture:
    """An image (h, w, 4) BGRA that repeats, v upwards.

    Attributes:
        cut: alpha below a half is a hole.
        gloss: 0 dull .. 1 wet.
        closed: no one sees the back of this surface, so it need not be drawn.
    """

    image: Image
    cut: bool = False
    gloss: float = 0.05
    closed: bool = False


@dataclass(frozen=True, eq=False)
class Layer:
    """A textured surface: n vertices that hang on the body's, m faces.

    Attributes:
        refs, weights, offsets: (n, 3) body vertices, their weights, and metres added in the rest pose.
        faces: (m, 3) rows of this layer's vertices. uvs: (m, 3, 2), v upwards.
    """

    refs: Ints32
    weights: Floats
    offsets: Floats
    faces: Ints32
    uvs: Floats
    texture: Texture


@dataclass(frozen=True, eq=False)
class Piece:
    """A mesh fitted to the body, from the asset archive: clothes, shoes, hair, brows, lashes."""

    kind: str
    name: str
    refs: Ints32
    weights: Floats
    offsets: Floats
    scales: tuple[tuple[int, int, float], ...]
    faces: Ints32
    uvs: Floats
    hides: Ints32
    image: Image


@dataclass(frozen=True, eq=False)
class Assets:
    """Optional material: pieces by kind, skins (h, w, 4), and wallpapers (h, w, 3) BGR for backgrounds and prints."""

    pieces: dict[str, list[Piece]] = field(default_factory=dict)
    skins: list[tuple[str, Image]] = field(default_factory=list)
    wallpapers: Sequence[Image] = ()


# --- textures ------------------------------------------------------------

# BGR from light to dark; hues vary between olive and ruddy besides.
_TONES = np.array(
    [
        [196, 214, 244], [170, 197, 236], [145, 178, 225], [118, 156, 210], [92, 132, 192], [72, 106, 164],
        [58, 84, 134], [48, 64, 102],
    ]
)  # fmt: skip
_HAIR = np.array(
    [
        [16, 18, 22], [22, 28, 40], [30, 44, 70], [46, 74, 118], [90, 140, 190], [150, 190, 215], [32, 58, 140],
        [150, 150, 152], [220, 222, 225],
    ]
)  # fmt: skip
_IRISES = np.array([[30, 45, 70], [38, 62, 98], [60, 92, 110], [90, 110, 90], [150, 120, 80], [140, 135, 120]])


def _bgra(image: npt.NDArray[np.generic]) -> Image:
    alpha = np.full((*image.shape[:2], 1), 255, np.uint8)
    return np.concatenate([np.clip(image, 0, 255).astype(np.uint8), alpha], axis=2)


def _mix(rng: np.random.Generator, table: npt.NDArray[np.generic], spread: float = 8) -> npt.NDArray[np.float64]:
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
    return kind, Texture(_bgra(image), gloss=float(rng.choice([0.02, 0.05, 0.25])))


def _hair_texture(rng: np.random.Generator, color: npt.NDArray[np.float64]) -> Texture:
    streaks = cv2.resize(rng.normal(0, 1, (6, 128)).astype(np.float32), (128, 128), interpolation=cv2.INTER_LINEAR)
    return Texture(_bgra(color * (1 + 0.25 * streaks[..., None])), gloss=0.2)


def _eye_texture(rng: np.random.Generator) -> Texture:
    image = np.full((64, 64, 3), 225.0) + rng.normal(0, 3)
    iris = _mix(rng, _IRISES)
    radius = rng.uniform(12.5, 14)
    cv2.circle(image, (32, 32), round(radius * 8), tuple(iris * 0.55), -1, cv2.LINE_AA, 3)
    cv2.circle(image, (32 * 8, 32 * 8), round(radius * 8), tuple(iris * 0.55), -1, cv2.LINE_AA, 3)
    cv2.circle(image, (32 * 8, 32 * 8), round(radius * 6.8), tuple(iris), -1, cv2.LINE_AA, 3)
    cv2.circle(image, (32 * 8, 32 * 8), round(radius * rng.uniform(2.5, 4.5)), (12.0, 10.0, 10.0), -1, cv2.LINE_AA, 3)
    return Texture(_bgra(image), gloss=0.7)


def plain(color: npt.ArrayLike, gloss: float = 0.05) -> Texture:
    """One BGR colour, 0 to 255."""
    return Texture(_bgra(np.tile(np.asarray(color, np.float64), (2, 2, 1))), gloss=gloss)


# The window of the template's face that the painted texture covers: x0, x1, z0, z1 in metres.
_FACE = (-0.11, 0.11, 0.60, 0.88)


def _painted_skin(
    rng: np.random.Generator, body: Body, tone: npt.NDArray[np.float64], hair: npt.NDArray[np.float64], male: bool
) -> Texture:
    """Skin with lips, brows and lash lines, in front view; the corner pixel is plain skin."""
    size = 256
    image = tone * (1 + 0.03 * _noise(rng, size, 24)[..., None])
    points = body.template[_face_vertices(body)]
    x0, x1, z0, z1 = _FACE
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
    return Texture(_bgra(image), gloss=float(rng.uniform(0.05, 0.3)), closed=True)


@lru_cache(maxsize=2)
def _face_vertices(body: Body) -> Ints32:
    """(68,) the vertex of each face keypoint."""
    order = {int(row): int(vertex) for row, vertex in zip(body.point_rows, body.point_vertices, strict=True)}
    return np.array([order[row] for row in range(23, 91)], np.int32)


def _tinted_skin(rng: np.random.Generator, skin: Image, tone: npt.NDArray[np.float64]) -> Texture:
    """A photographic skin moved to another tone, contrasts kept."""
    center = skin[::8, ::8, :3].reshape(-1, 3).mean(axis=0) + 1
    image = _through(skin, np.arange(256)[:, None] * (tone / center) ** rng.uniform(0.6, 1.0))
    return Texture(image, gloss=float(rng.uniform(0.05, 0.3)), closed=True)


def _through(image: Image, table: npt.NDArray[np.float64]) -> Image:
    """A BGRA image through a colour table (256, 3), alpha kept."""
    full = np.column_stack([np.clip(table, 0, 255), np.arange(256)]).astype(np.uint8)
    return np.asarray(cv2.LUT(image, full[None]), np.uint8)


def recolored(image: Image, color: npt.ArrayLike) -> Image:
    """A BGRA image in one BGR colour, alpha kept. Whole pixels at a time: channel by channel takes ten times longer."""
    word = np.array([*np.clip(color, 0, 255).astype(np.uint8), 0], np.uint8).view(np.uint32)
    alpha = np.array([0, 0, 0, 255], np.uint8).view(np.uint32)
    return np.asarray((np.ascontiguousarray(image).view(np.uint32) & alpha | word).view(np.uint8))


@numba.njit(cache=True)
def _within(mask: npt.NDArray[np.bool_], faces: Ints32) -> npt.NDArray[np.bool_]:
    """(m,) faces all of whose vertices are in the mask."""
    found = np.zeros(len(faces), np.bool_)
    for f in range(len(faces)):
        found[f] = mask[faces[f, 0]] and mask[faces[f, 1]] and mask[faces[f, 2]]
    return found


# --- layers ------------------------------------------------------------


def _layer(faces: Ints32, uvs: Floats, texture: Texture, normals: Floats | None = None, push: float = 0.0) -> Layer:
    """A layer on the body's own vertices: `faces` are rows of the body, pushed out along its normals (V, 3)."""
    used = used_vertices(faces)
    lookup = np.zeros(int(used[-1]) + 1, np.int32)
    lookup[used] = np.arange(len(used), dtype=np.int32)
    weights = np.zeros((len(used), 3), np.float32)
    weights[:, 0] = 1
    offsets = np.zeros((len(used), 3), np.float32) if normals is None else np.float32(push) * normals[used]
    return Layer(np.repeat(used[:, None], 3, axis=1), weights, offsets, lookup[faces], uvs.astype(np.float32), texture)


def _fitted(piece: Piece, rest: Floats, texture: Texture) -> Layer:
    """A piece of the asset archive on this person: its offsets grow with the measured widths of the body."""
    axes = (0, 2, 1)  # the repository's x, y (up), z (front) are our x, z, -y
    scale = [abs(float(rest[a, axis] - rest[b, axis])) / length
             for (a, b, length), axis in zip(piece.scales, axes, strict=True)]  # fmt: skip
    x, y, z = (piece.offsets * np.array(scale, np.float32)).T
    return Layer(
        piece.refs, piece.weights, np.column_stack([x, -z, y]).astype(np.float32), piece.faces, piece.uvs, texture
    )


@dataclass(frozen=True)
class _Cut:
    """Where a garment ends, on the template: height range, share of the arm, whether legs and trunk are covered."""

    low: float
    high: float
    arm: float
    trunk: bool = True
    legs: bool = True
    feet: bool = False


_ARM = ("upperarm", "lowerarm", "wrist", "finger", "metacarpal")
_LEG = ("upperleg", "lowerleg")
_FOOT = ("foot", "toe")


@dataclass(frozen=True, eq=False)
class _Zones:
    """(V,) of each template vertex: its height, how far along the arm it is, and which limb it belongs to."""

    height: npt.NDArray[np.float32]
    along: npt.NDArray[np.float32]
    arm: npt.NDArray[np.bool_]
    leg: npt.NDArray[np.bool_]
    foot: npt.NDArray[np.bool_]
    trunk: npt.NDArray[np.bool_]


@lru_cache(maxsize=2)
def _zones(body: Body) -> _Zones:
    def of(prefixes: tuple[str, ...]) -> npt.NDArray[np.bool_]:
        return np.array([bone.startswith(prefixes) for bone in body.bones])[body.main_bone]

    arm, leg, foot = of(_ARM), of(_LEG), of(_FOOT)
    left = np.abs(body.template[:, :1]) * [1, 0, 0] + body.template * [0, 1, 1]
    shoulder, wrist = (body.heads[body.bone[name]] for name in ("upperarm01.L", "wrist.L"))
    along = (left - shoulder) @ (wrist - shoulder) / ((wrist - shoulder) ** 2).sum()
    trunk = ~(arm | leg | foot | of(("head", "eye")))
    return _Zones(body.template[:, 2], along.astype(np.float32), arm, leg, foot, trunk)


def _covered(body: Body, cut: _Cut, margin: float = 0.0) -> npt.NDArray[np.bool_]:
    """(V,) vertices under a garment, `margin` metres inside its edges."""
    zones = _zones(body)
    below = zones.height < cut.high - margin
    inside = (zones.height > cut.low + margin) & below
    covered = zones.trunk & inside if cut.trunk else np.zeros(len(inside), bool)
    if cut.arm > 0:
        covered |= zones.arm & (zones.along < cut.arm - margin / 0.4)
    if cut.legs:
        covered |= zones.leg & inside
    if cut.feet:
        covered |= zones.foot & below
    return np.asarray(covered)


def _garment(
    body: Body, rest: Floats, part: str, cut: _Cut, thickness: float, texture: Texture, scale: float
) -> Layer | None:
    """A garment cut from a helper surface and pushed out by `thickness` metres."""
    rows = body.part(part)
    covered = _covered(body, cut) if part == "tights" else (body.template[:, 2] > cut.low)
    if part == "hair":
        covered &= ~_before_face(body)
    rows = rows[_within(covered, body.faces[rows])]
    if not len(rows):
        return None
    faces = body.faces[rows]
    normals = vertex_normals(rest, body.faces[body.part(part)])
    flat = body.template[faces]
    uvs = np.stack([flat[..., 0] + 0.7 * flat[..., 1], flat[..., 2]], axis=-1) * np.float32(scale)
    return _layer(faces, uvs, texture, normals, thickness)


@lru_cache(maxsize=2)
def _before_face(body: Body) -> npt.NDArray[np.bool_]:
    """(V,) vertices in front of the face, where the helper hair would hang over it like a curtain."""
    face = body.template[_face_vertices(body)]
    x, y, z = body.template.T
    brows, cheeks = face[17:27, 2].max() + 0.015, np.abs(face[:17, 0]).max() - 0.004
    return np.asarray((np.abs(x) < cheeks) & (y < face[:17, 1].max() + 0.01) & (z < brows))


def dress(
    rng: np.random.Generator, body: Body, rest: Floats, phenotype: dict[str, float], assets: Assets, hat: bool = False
) -> tuple[list[Layer], dict[str, str]]:
    """Skin, eyes, hair and clothes of one person, and what was chosen.

    Args:
        rest: (V, 3) the person's rest vertices.
        phenotype: as in `body.rest_shape`; gender below 0.5 may have a beard.
        hat: something sits on the head, so hair lies flat under it.
    """
    kinds: dict[str, str] = {}
    male = phenotype.get("gender", 0.5) < 0.5
    size = float(np.ptp(rest[body.skin, 2])) / 1.7
    tone, hair = _mix(rng, _TONES), _mix(rng, _HAIR, 4)
    photographic = bool(assets.skins) and rng.random() < 0.6
    layers: list[Layer] = []
    hidden = np.zeros(len(body.template), bool)

    clothes, hides = _clothes(rng, body, rest, size, male, assets, kinds)
    for vertices in hides:
        hidden |= vertices
    layers += clothes
    layers += _hair(rng, body, rest, size, hair, assets, kinds, hat)

    if photographic:
        skin = _tinted_skin(rng, assets.skins[int(rng.integers(len(assets.skins)))][1], tone)
    else:
        skin = _painted_skin(rng, body, tone, hair, male)
    kinds["skin"] = "photographic" if photographic else "painted"
    rows = body.part("body")
    rows = rows[~_within(hidden, body.faces[rows])]
    cavity = ~_within(~_mouth_cavity(body), body.faces[rows])
    uvs = body.uvs[rows] if photographic else _front_uvs(body)[rows]
    layers.append(_layer(body.faces[rows[~cavity]], uvs[~cavity], skin))
    inner = [
        (rows[cavity], plain(tone * np.array([0.16, 0.14, 0.3]))),
        (body.part("teeth"), plain((205, 220, 228), 0.4)),
        (body.part("tongue"), plain((75, 70, 165), 0.4)),
    ]
    for faces, texture in inner:
        if len(faces):
            layers.append(_layer(body.faces[faces], body.uvs[faces], texture))
    rows = body.part("eyes")
    if len(rows):
        layers.append(_layer(body.faces[rows], _eye_uvs(body), _eye_texture(rng)))
    if photographic:
        for kind in ("eyebrows", "eyelashes"):
            pieces = assets.pieces.get(kind, [])
            if pieces:
                piece = pieces[int(rng.integers(len(pieces)))]
                dark = hair * 0.7 if kind == "eyebrows" else np.full(3, 14.0)
                layers.append(_fitted(piece, rest, Texture(recolored(piece.image, dark), cut=True)))
    return layers, kinds


def _clothes(
    rng: np.random.Generator, body: Body, rest: Floats, size: float, male: bool, assets: Assets, kinds: dict[str, str]
) -> tuple[list[Layer], list[npt.NDArray[np.bool_]]]:
    layers: list[Layer | None] = []
    hides: list[npt.NDArray[np.bool_]] = []

    def wear(piece: Piece) -> None:
        image = piece.image
        if rng.random() < 0.7:
            image = _through(image, np.arange(256)[:, None] * (0.35 + 0.65 * any_color(rng) / 150))
        layers.append(_fitted(piece, rest, Texture(image, cut=True)))
        mask = np.zeros(len(body.template), bool)
        mask[piece.hides] = True
        hides.append(mask)

    def cloth(part: str, cut: _Cut, thickness: float, texture: Texture) -> None:
        scale = float(rng.uniform(1.2, 5))
        layers.append(_garment(body, rest, part, cut, thickness * size, texture, scale))
        if part == "tights":
            hides.append(_covered(body, cut, 0.018))

    suits = [p for p in assets.pieces.get("clothes", []) if "suit" in p.name]
    suits = [p for p in suits if p.name.startswith("male" if male else "female")] or suits
    shoes = [p for p in assets.pieces.get("clothes", []) if p.name.startswith("shoes")]
    if suits and rng.random() < 0.35:
        piece = suits[int(rng.integers(len(suits)))]
        kinds["clothes"] = piece.name
        wear(piece)
    else:
        top, texture = fabric(rng, assets.wallpapers)
        bottom, other = (top, texture) if rng.random() < 0.15 else fabric(rng, assets.wallpapers)
        arm = float(rng.choice([-0.05, rng.uniform(0.2, 0.45), rng.uniform(0.55, 0.98)], p=[0.15, 0.45, 0.4]))
        hem, waist = rng.uniform(-0.06, 0.12), rng.uniform(0.1, 0.2)
        kinds["clothes"] = f"{top}/{bottom}"
        bare = rng.random()
        if bare < 0.04 and male:
            kinds["clothes"] = f"bare/{bottom}"
        elif bare < 0.1 and not male:
            cloth("tights", _Cut(0.28, 0.43, -1, legs=False), 0.004, texture)
        else:
            cloth(
                "tights",
                _Cut(hem, rng.uniform(0.57, 0.64), arm, legs=bool(hem < 0.05)),
                rng.uniform(0.009, 0.02),
                texture,
            )
        choice = rng.random()
        if choice < (0.06 if male else 0.4):
            cloth("tights", _Cut(-0.06, waist, 0), 0.004, other)
            cloth("skirt", _Cut(rng.uniform(-0.78, -0.12), 9, 0), rng.uniform(0.0, 0.01), other)
        else:
            length = rng.uniform(-0.78, -0.68) if rng.random() < 0.65 else rng.uniform(-0.6, 0.0)
            cloth("tights", _Cut(length, waist, 0), rng.uniform(0.004, 0.012), other)
    foot = rng.random()
    kinds["shoes"] = "none"
    if foot < 0.45 and shoes:
        piece = shoes[int(rng.integers(len(shoes)))]
        kinds["shoes"] = piece.name
        wear(piece)
    elif foot < 0.85:
        kinds["shoes"] = "cut"
        cut = _Cut(-9, rng.uniform(-0.77, -0.66), 0, trunk=False, feet=True)
        cloth("tights", cut, rng.uniform(0.006, 0.012), plain(any_color(rng), float(rng.choice([0.1, 0.4]))))
    if rng.random() < 0.05:
        glove = _hand_faces(body)
        if len(glove):
            normals = vertex_normals(rest, body.faces[body.part("body")])
            layers.append(_layer(body.faces[glove], body.uvs[glove], plain(any_color(rng)), normals, 0.003 * size))
            kinds["gloves"] = "yes"
    return [layer for layer in layers if layer is not None], hides


@lru_cache(maxsize=2)
def _hand_faces(body: Body) -> Ints32:
    rows = body.part("body")
    hand = np.array([b.startswith(("wrist", "finger", "metacarpal")) for b in body.bones])[body.main_bone]
    return rows[hand[body.faces[rows]].all(axis=1)]


def _hair(
    rng: np.random.Generator, body: Body, rest: Floats, size: float, color: npt.NDArray[np.float64], assets: Assets,
    kinds: dict[str, str], hat: bool,
) -> list[Layer]:  # fmt: skip
    choice = rng.uniform(0.72, 1) if hat else rng.random()
    pieces = assets.pieces.get("hair", [])
    layers: list[Layer] = []
    kinds["hair"] = "bald"
    if choice < 0.05:
        return layers
    if pieces and choice < 0.72:
        piece = pieces[int(rng.integers(len(pieces)))]
        kinds["hair"] = piece.name
        shade = np.clip(0.3 + 0.7 * np.arange(256) / 128, 0.2, 1.8)
        image = _through(piece.image, shade[:, None] * color)
        layers.append(_fitted(piece, rest, Texture(image, cut=True, gloss=0.2)))
    else:
        kinds["hair"] = "short" if choice < 0.86 else "long"
    # The scalp itself is hair-coloured under every cut.
    texture = _hair_texture(rng, color)
    rows = body.part("body")
    x, y, z = body.template.T
    above = z + 0.9 * y - 0.12 * np.abs(x) > rng.uniform(0.685, 0.71)
    head = body.main_bone == body.bone["head"]
    ears = (np.abs(x) > 0.072) & (z < 0.77)
    rows = rows[_within(head & above & ~ears, body.faces[rows])]
    if len(rows):
        normals = vertex_normals(rest, body.faces[body.part("body")])
        height = rng.uniform(0.008, 0.022) if kinds["hair"] == "short" and not hat else 0.003
        normals = normals * (1 + 0.25 * rng.normal(size=(len(normals), 1))).astype(np.float32)
        faces = body.faces[rows]
        layers.append(_layer(faces, body.template[faces][..., [0, 2]] * 12, texture, normals, height * size))
    if kinds["hair"] == "long":
        layer = _garment(body, rest, "hair", _Cut(rng.uniform(0.3, 0.74), 9, 0), 0.004 * size, texture, 9)
        layers += [layer] if layer else []
    return layers


@lru_cache(maxsize=2)
def _front_uvs(body: Body) -> Floats:
    """(F, 3, 2) texture coordinates of the painted skin: front view on the face, the plain corner elsewhere."""
    x0, x1, z0, z1 = _FACE
    corner = body.template[body.faces]
    uvs = np.stack([(corner[..., 0] - x0) / (x1 - x0), (corner[..., 2] - z0) / (z1 - z0)], axis=-1)
    normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-12
    heads = [body.bone[name] for name in ("head", "neck03") if name in body.bone]
    face = np.isin(body.main_bone, heads)[body.faces].all(axis=1) & (normal[:, 1] < 0.35)
    face &= (corner[..., 1].max(axis=1) < -0.02) & ((uvs > 0.02) & (uvs < 0.98)).all(axis=(1, 2))
    uvs[~face] = 0.004
    return uvs.astype(np.float32)


@lru_cache(maxsize=2)
def _eye_uvs(body: Body) -> Floats:
    """(m, 3, 2) texture coordinates of the faces of both eyes, front view."""
    rows = body.part("eyes")
    corner = body.template[body.faces[rows]]
    side = np.where(corner[..., 0].mean(axis=1) > 0, 1, -1)
    uvs = np.zeros((len(rows), 3, 2), np.float32)
    for sign in (1, -1):
        of = side == sign
        if of.any():
            eye = corner[of][..., [0, 2]].reshape(-1, 2)
            low, high = eye.min(axis=0), eye.max(axis=0)
            uvs[of] = 0.5 + 0.98 * (corner[of][..., [0, 2]] - (low + high) / 2) / (high - low)
    return uvs


@lru_cache(maxsize=2)
def _mouth_cavity(body: Body) -> npt.NDArray[np.bool_]:
    """(V,) vertices inside the mouth."""
    points = body.template[_face_vertices(body)]
    outer, inner = points[48:60], points[60:68]
    x, y, z = body.template.T
    reach = np.abs(outer[:, 0]).max() * 1.1
    front = inner[:, 1].max() + 0.022
    low, high = outer[:, 2].min() - 0.004, outer[:, 2].max() + 0.02
    return np.asarray((np.abs(x) < reach) & (y > front) & (y < front + 0.075) & (z > low) & (z < high))


# --- the asset archive ------------------------------------------------------------


def load_assets(
    archive: str | os.PathLike[str] | None = None, wallpapers: str | os.PathLike[str] | None = None
) -> Assets:
    """Read the optional material.

    Args:
        archive: tar of MakeHuman's CC0 assets: folders hair, eyebrows, eyelashes, clothes with .mhclo, .obj and .mhmat,
            and textures/.
        wallpapers: tar of pictures for backgrounds and prints.

    Raises:
        WholebodyError: a file is missing or no tar.
    """
    files = _untar(archive)
    images = {
        PurePosixPath(name).name: image
        for name, data in files.items()
        if "/textures/" in name and name.endswith(".png") and (image := _decode(data, cv2.IMREAD_UNCHANGED)) is not None
    }
    pieces: dict[str, list[Piece]] = {}
    for name in sorted(files):
        path = PurePosixPath(name)
        if path.suffix == ".mhclo" and "cocked" not in name:
            piece = _read_piece(files, path, images)
            if piece is not None:
                pieces.setdefault(piece.kind, []).append(piece)
    skins = [
        (n, _with_alpha(images[PurePosixPath(n).name])) for n in sorted(files) if "/skins/" in n and "suit" not in n
    ]
    papers = []
    for _, data in sorted(_untar(wallpapers).items()):
        image = _decode(data, cv2.IMREAD_COLOR)
        if image is not None:
            height = round(480 * image.shape[0] / image.shape[1])
            papers.append(cv2.resize(image, (480, height), interpolation=cv2.INTER_AREA).astype(np.uint8))
    return Assets(pieces, skins, papers)


def _untar(path: str | os.PathLike[str] | None) -> dict[str, bytes]:
    if path is None:
        return {}
    try:
        with tarfile.open(path) as archive:
            return {m.name: f.read() for m in archive if m.isfile() and (f := archive.extractfile(m)) is not None}
    except (OSError, tarfile.TarError) as error:
        raise WholebodyError(f"{path}: cannot read this archive ({error}).") from error


def _decode(data: bytes, flags: int) -> Image | None:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data[:4] != b"{\n  " else None
    return None if image is None else image.astype(np.uint8)


def _with_alpha(image: Image) -> Image:
    return (
        image
        if image.ndim == 3 and image.shape[2] == 4
        else _bgra(image if image.ndim == 3 else image[..., None].repeat(3, 2))
    )


def _read_piece(files: dict[str, bytes], path: PurePosixPath, images: dict[str, Image]) -> Piece | None:
    text = files[str(path)].decode("utf-8", "replace")
    header = dict(re.findall(r"^(name|obj_file|material|x_scale|y_scale|z_scale)\s+(.+?)\s*$", text, re.M))
    body, _, deleted = text.partition("delete_verts")
    rows: list[list[float]] = []
    started = False
    for line in body.splitlines():
        words = line.split()
        if words[:1] == ["verts"]:
            started = True
        elif started and words and re.fullmatch(r"-?[\d.]+", words[0]) and len(words) in (1, 9):
            numbers = [float(word) for word in words]
            rows.append(numbers if len(numbers) == 9 else [numbers[0]] * 3 + [1, 0, 0, 0, 0, 0])
    table = np.array(rows)
    vertices, coordinates, faces, corners = 0, [], [], []
    for line in io.StringIO(files[str(path.with_name(header["obj_file"]))].decode("utf-8", "replace")):
        words = line.split()
        if words[:1] == ["v"]:
            vertices += 1
        elif words[:1] == ["vt"]:
            coordinates.append([float(words[1]), float(words[2])])
        elif words[:1] == ["f"]:
            pairs = [[int(x) - 1 for x in word.split("/")[:2]] for word in words[1:]]
            for i in range(1, len(pairs) - 1):
                triangle = [pairs[0], pairs[i], pairs[i + 1]]
                faces.append([pair[0] for pair in triangle])
                corners.append([pair[-1] for pair in triangle])
    if len(table) != vertices or not faces:
        return None
    hides: list[int] = []
    for first, last in re.findall(r"(\d+)(?:\s*-\s*(\d+))?", deleted):
        hides += range(int(first), int(last or first) + 1)
    material = files.get(str(path.with_name(PurePosixPath(header["material"]).name)), b"").decode("utf-8", "replace")
    found = re.search(r"^diffuseTexture\s+(\S+)", material, re.M)
    image = images.get(PurePosixPath(found.group(1)).name) if found else None
    image = images.get(f"{path.stem}.png") if image is None else image
    if image is None:
        return None
    image = _with_alpha(image)
    if path.parent.parent.name == "hair":
        # Only the strands are kept; the colour comes later. 128 is the middle one.
        gray = image[..., :3].mean(axis=2, keepdims=True)
        middle = max(1.0, float(np.median(gray[image[..., 3] > 128])))
        image = np.concatenate([np.clip(gray * 128 / middle, 0, 255).astype(np.uint8).repeat(3, 2), image[..., 3:]], 2)
    scales = []
    for axis in "xyz":
        a, b, length = header[f"{axis}_scale"].split()[:3]
        scales.append((int(a), int(b), float(length)))
    return Piece(
        kind=path.parent.parent.name,
        name=path.stem,
        refs=table[:, :3].astype(np.int32),
        weights=table[:, 3:6].astype(np.float32),
        offsets=table[:, 6:9].astype(np.float32),
        scales=tuple(scales),
        faces=np.array(faces, np.int32),
        uvs=np.array(coordinates, np.float32)[np.array(corners)],
        hides=np.array(hides, np.int32),
        image=image,
    )
