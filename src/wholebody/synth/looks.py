"""A person's clothes, skin, hair and eyes: a list of textured layers over the body's mesh.

A layer's vertices are attached to the body's: q = sum(w_i v[ref_i]) + offset. The base mesh, a garment cut from the
body's helper surfaces, and a piece of clothing from the MakeHuman assets are all layers to the renderer.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from wholebody.arrays import Floats, Ints32
from wholebody.synth.body import Body, used_vertices, vertex_normals
from wholebody.synth.layers import Assets, Layer, Piece, Texture
from wholebody.synth.textures import (
    FACE,
    HAIR,
    TONES,
    any_color,
    eye_texture,
    fabric,
    face_vertices,
    hair_texture,
    mix,
    painted_skin,
    plain,
    recolored,
    through,
    tinted_skin,
    within,
)


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
    """A piece from the asset archive fitted to this person: its offsets scale with the measured widths of the body."""
    axes = (0, 2, 1)  # the repository's x, y (up), z (front) are our x, z, -y
    scale = [abs(float(rest[a, axis] - rest[b, axis])) / length
             for (a, b, length), axis in zip(piece.scales, axes, strict=True)]  # fmt: skip
    x, y, z = (piece.offsets * np.array(scale, np.float32)).T
    return Layer(
        piece.refs, piece.weights, np.column_stack([x, -z, y]).astype(np.float32), piece.faces, piece.uvs, texture
    )


@dataclass(frozen=True)
class _Cut:
    """The extent of a garment on the template: height range, fraction of the arm, whether it covers legs and trunk."""

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
    rows = rows[within(covered, body.faces[rows])]
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
    face = body.template[face_vertices(body)]
    x, y, z = body.template.T
    brows, cheeks = face[17:27, 2].max() + 0.015, np.abs(face[:17, 0]).max() - 0.004
    return np.asarray((np.abs(x) < cheeks) & (y < face[:17, 1].max() + 0.01) & (z < brows))


def dress(
    rng: np.random.Generator, body: Body, rest: Floats, phenotype: dict[str, float], assets: Assets, hat: bool = False
) -> tuple[list[Layer], dict[str, str]]:
    """Skin, eyes, hair and clothes of one person, and the choices made.

    Args:
        rest: (V, 3) the person's rest vertices.
        phenotype: as in `body.rest_shape`; gender below 0.5 may have a beard.
        hat: whether something is on the head, so that the hair must lie flat.
    """
    kinds: dict[str, str] = {}
    male = phenotype.get("gender", 0.5) < 0.5
    size = float(np.ptp(rest[body.skin, 2])) / 1.7
    tone, hair = mix(rng, TONES), mix(rng, HAIR, 4)
    photographic = bool(assets.skins) and rng.random() < 0.6
    layers: list[Layer] = []
    hidden = np.zeros(len(body.template), bool)

    clothes, hides = _clothes(rng, body, rest, size, male, assets, kinds)
    for vertices in hides:
        hidden |= vertices
    layers += clothes
    layers += _hair(rng, body, rest, size, hair, assets, kinds, hat)

    if photographic:
        skin = tinted_skin(rng, assets.skins[int(rng.integers(len(assets.skins)))][1], tone)
    else:
        skin = painted_skin(rng, body, tone, hair, male)
    kinds["skin"] = "photographic" if photographic else "painted"
    rows = body.part("body")
    rows = rows[~within(hidden, body.faces[rows])]
    cavity = ~within(~_mouth_cavity(body), body.faces[rows])
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
        layers.append(_layer(body.faces[rows], _eye_uvs(body), eye_texture(rng)))
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
            image = through(image, np.arange(256)[:, None] * (0.35 + 0.65 * any_color(rng) / 150))
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
        image = through(piece.image, shade[:, None] * color)
        layers.append(_fitted(piece, rest, Texture(image, cut=True, gloss=0.2)))
    else:
        kinds["hair"] = "short" if choice < 0.86 else "long"
    # The scalp itself is hair-coloured under every cut.
    texture = hair_texture(rng, color)
    rows = body.part("body")
    x, y, z = body.template.T
    above = z + 0.9 * y - 0.12 * np.abs(x) > rng.uniform(0.685, 0.71)
    head = body.main_bone == body.bone["head"]
    ears = (np.abs(x) > 0.072) & (z < 0.77)
    rows = rows[within(head & above & ~ears, body.faces[rows])]
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
    x0, x1, z0, z1 = FACE
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
    points = body.template[face_vertices(body)]
    outer, inner = points[48:60], points[60:68]
    x, y, z = body.template.T
    reach = np.abs(outer[:, 0]).max() * 1.1
    front = inner[:, 1].max() + 0.022
    low, high = outer[:, 2].min() - 0.004, outer[:, 2].max() + 0.02
    return np.asarray((np.abs(x) < reach) & (y > front) & (y < front + 0.075) & (z > low) & (z < high))
