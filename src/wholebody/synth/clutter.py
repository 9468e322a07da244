"""Objects that a detector may mistake for a person: poles with round tops, vases, clothes on hangers, statues.

An object is a mesh that stands on z = 0 over the origin, like a person. Images of people (statues, cut-outs, busts) are
`doubtful`: training should treat them neither as people nor as background.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from wholebody.arrays import Doubles, Floats, Image, Ints32
from wholebody.synth.body import Body, rest_shape, used_vertices, vertex_normals
from wholebody.synth.layers import Texture
from wholebody.synth.render import Mesh, join
from wholebody.synth.textures import fabric, recolored


@dataclass(frozen=True, eq=False)
class Thing:
    """An object: its name, its mesh, and whether it is an image of a person."""

    kind: str
    mesh: Mesh
    doubtful: bool = False


def make_thing(rng: np.random.Generator, body: Body, papers: Sequence[Image]) -> Thing:
    """An object of about a person's size.

    Args:
        papers: pictures for prints and posters.
    """
    name = str(rng.choice(list(_MAKERS)))
    return Thing(name, _MAKERS[name](rng, body, papers), doubtful=name == "bust")


def image_of(rng: np.random.Generator, mesh: Mesh) -> Thing:
    """A statue or shop dummy of one material, or a cardboard cut-out, made of a person's mesh."""
    if rng.random() < 0.3:
        flat = mesh.vertices * np.array([1, 0.03, 1], np.float32)
        return Thing("cutout", replace(mesh, vertices=flat), doubtful=True)
    material = _material(rng)
    textures = tuple(replace(texture, image=recolored(texture.image, material.image[0, 0, :3]), gloss=material.gloss)
                     for texture in mesh.textures)  # fmt: skip
    return Thing("statue", replace(mesh, textures=textures), doubtful=True)


def _material(rng: np.random.Generator) -> Texture:
    """Plaster, stone, bronze, wood, black or coloured plastic, in one colour."""
    table = np.array([[225, 228, 232], [150, 155, 160], [50, 85, 110], [90, 130, 175], [28, 28, 30], [60, 120, 90]])
    color = table[int(rng.integers(len(table)))] * rng.uniform(0.75, 1.15) + rng.normal(0, 8, 3)
    return _plain(color, float(rng.choice([0.0, 0.1, 0.5])))


def _plain(color: npt.ArrayLike, gloss: float = 0.05) -> Texture:
    image = np.full((2, 2, 4), 255, np.uint8)
    image[..., :3] = np.clip(np.asarray(color, float), 0, 255)
    return Texture(image, gloss=gloss)


def _paint(rng: np.random.Generator, papers: Sequence[Image]) -> Texture:
    return fabric(rng, papers)[1] if rng.random() < 0.4 else _plain(rng.uniform(15, 240) + rng.normal(0, 35, 3))


# --- surfaces ------------------------------------------------------------


def sheet(grid: npt.ArrayLike, texture: Texture, repeat: float = 1.0) -> Mesh:
    """A grid of points (n, m, 3) as a surface; the texture repeats `repeat` times along m and, upwards, along n."""
    points = np.asarray(grid, np.float32)
    n, m = points.shape[:2]
    rows = np.arange(n * m).reshape(n, m)
    a, b, c, d = (part.ravel() for part in (rows[:-1, :-1], rows[:-1, 1:], rows[1:, 1:], rows[1:, :-1]))
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]).astype(np.int32)
    v, u = np.meshgrid(np.linspace(0, 1, n), np.linspace(0, 1, m), indexing="ij")
    uvs = (np.stack([u, v], -1).reshape(-1, 2) * repeat).astype(np.float32)
    return _mesh(points.reshape(-1, 3), faces, uvs[faces], texture)


def _mesh(vertices: Floats, faces: Ints32, uvs: Floats, texture: Texture) -> Mesh:
    none = np.zeros(len(faces), np.int32)
    return Mesh(vertices, vertex_normals(vertices, faces), faces, uvs, none, none, (texture,))


def _turned(profile: npt.ArrayLike, texture: Texture, at: tuple[float, float] = (0, 0), around: int = 18) -> Mesh:
    """A surface of revolution: rows of radius and height, from the bottom up."""
    r, z = np.asarray(profile, float).T
    angle = np.linspace(0, 2 * np.pi, around + 1)
    x, y = at[0] + np.outer(r, np.cos(angle)), at[1] + np.outer(r, np.sin(angle))
    return sheet(np.stack([x, y, np.repeat(z[:, None], around + 1, 1)], -1), texture)


def _ball(center: float, radius: float, squeeze: float = 1.0) -> list[tuple[float, float]]:
    """The profile of a ball centred at a height."""
    return [(radius * float(np.sin(t)), center - radius * squeeze * float(np.cos(t))) for t in np.linspace(0, np.pi, 9)]


def _rod(start: Doubles, end: Doubles, radius: float, texture: Texture) -> Mesh:
    """A thin round bar between two points."""
    along = end - start
    side = np.cross(along, [0.3, 0.9, 0.2])
    side /= np.linalg.norm(side)
    other = np.cross(along / np.linalg.norm(along), side)
    angle = np.linspace(0, 2 * np.pi, 9)
    ring = radius * (np.cos(angle)[:, None] * side + np.sin(angle)[:, None] * other)
    return sheet(np.stack([start + ring, end + ring]), texture)


def _box(low: Sequence[float], high: Sequence[float], front: Texture, rest: Texture) -> Mesh:
    (x0, y0, z0), (x1, y1, z1) = low, high
    sides = [
        [[x0, y0], [x1, y0]], [[x1, y0], [x1, y1]], [[x1, y1], [x0, y1]], [[x0, y1], [x0, y0]],
    ]  # fmt: skip
    walls = [
        sheet([[[*a, z0], [*b, z0]], [[*a, z1], [*b, z1]]], front if i == 0 else rest) for i, (a, b) in enumerate(sides)
    ]
    top = sheet([[[x0, y0, z1], [x1, y0, z1]], [[x0, y1, z1], [x1, y1, z1]]], rest)
    return join([*walls, top])


# --- things ------------------------------------------------------------


def _pole(rng: np.random.Generator, body: Body, papers: Sequence[Image]) -> Mesh:
    """A lamp, a sign or a round-headed post: a thin stem with something round or flat on top."""
    height, stem = rng.uniform(1.1, 2.2), rng.uniform(0.02, 0.13)
    head = rng.uniform(0.08, 0.2)
    paint = _paint(rng, papers)
    foot = [(0, 0), (rng.uniform(0.1, 0.3), 0), (stem, 0.05)] if rng.random() < 0.5 else [(stem, 0)]
    trunk = _turned([*foot, (stem, height)], paint)
    if rng.random() < 0.65:
        shape = rng.uniform(0.7, 1.5)
        return join([trunk, _turned(_ball(height + head * shape * 0.9, head, shape), _paint(rng, papers))])
    width = rng.uniform(0.15, 0.35)
    angle = np.linspace(0, 2 * np.pi, 17)
    disc = np.stack([np.outer([0, width], np.cos(angle)), np.full((2, 17), -0.05),
                     height + np.outer([0, width], np.sin(angle))], -1)  # fmt: skip
    return join([trunk, sheet(disc, _paint(rng, papers))])


def _vessel(rng: np.random.Generator, body: Body, papers: Sequence[Image]) -> Mesh:
    """A vase, pawn, bottle or hydrant: a smooth surface of revolution with a head."""
    height, width = rng.uniform(0.7, 1.9), rng.uniform(0.15, 0.35)
    knots = np.concatenate([rng.uniform(0.4, 1, 4), rng.uniform(0.2, 0.5, 1), rng.uniform(0.4, 0.8, 1), [0.0]])
    z = np.linspace(0, 1, 25)
    r = np.interp(z, np.linspace(0, 1, len(knots)), knots)
    r[1:-1] = (r[:-2] + 2 * r[1:-1] + r[2:]) / 4
    return _turned(np.column_stack([r * width, z * height]), _paint(rng, papers), around=24)


def _stack(rng: np.random.Generator, body: Body, papers: Sequence[Image]) -> Mesh:
    """Two or three balls on top of each other."""
    radius, z, parts = rng.uniform(0.25, 0.45), 0.0, []
    paint = _paint(rng, papers)
    for _ in range(int(rng.integers(2, 4))):
        parts.append(_turned(_ball(z + radius, radius), paint))
        z += 1.75 * radius
        radius *= rng.uniform(0.6, 0.8)
    return join(parts)


def _board(rng: np.random.Generator, body: Body, papers: Sequence[Image]) -> Mesh:
    """A door, a fridge, a bin, a poster on a stand."""
    width, height, depth = rng.uniform(0.35, 1.1), rng.uniform(0.6, 2.1), rng.uniform(0.03, 0.6)
    front = rest = _paint(rng, papers)
    if len(papers) and rng.random() < 0.6:
        paper = papers[int(rng.integers(len(papers)))]
        front = Texture(np.dstack([paper, np.full(paper.shape[:2], 255, np.uint8)]), gloss=0.1)
    return _box((-width / 2, -depth / 2, 0), (width / 2, depth / 2, height), front, rest)


def _plant(rng: np.random.Generator, body: Body, papers: Sequence[Image]) -> Mesh:
    """A pot, a stem and a rough ball of leaves."""
    height, crown = rng.uniform(0.6, 1.5), rng.uniform(0.2, 0.5)
    pot, green = _paint(rng, papers), np.array([50, 110, 60]) * rng.uniform(0.5, 1.5) + rng.normal(0, 15, 3)
    profile = np.array(_ball(height + 0.8 * crown, crown, rng.uniform(0.7, 1.6)))
    leaves = _turned(profile, _plain(green), around=20)
    rough = leaves.vertices + rng.normal(0, 0.09 * crown, leaves.vertices.shape).astype(np.float32)
    leaves = replace(leaves, vertices=rough, normals=vertex_normals(rough, leaves.faces))
    stem = _turned([(0.03, 0.2), (0.03, height)], _plain((40, 70, 95)))
    return join([_turned([(0, 0), (0.12, 0), (0.18, 0.32)], pot), stem, leaves])


def _tripod(rng: np.random.Generator, body: Body, papers: Sequence[Image]) -> Mesh:
    """Three legs and a head, or a coat stand with arms."""
    height, spread, thick = rng.uniform(0.9, 1.7), rng.uniform(0.25, 0.5), rng.uniform(0.012, 0.035)
    paint = _paint(rng, papers)
    top = np.array([0, 0, height])
    turns = rng.uniform(0, 6.3) + np.arange(3) * 2 * np.pi / 3
    parts = [_rod(np.array([spread * np.cos(t), spread * np.sin(t), 0]), top, thick, paint) for t in turns]
    if rng.random() < 0.5:
        size = rng.uniform(0.06, 0.16)
        parts.append(_box((-size, -size, height), (size, size, height + 1.6 * size), paint, paint))
    else:
        for t in turns + 0.5:
            parts.append(_rod(top, top + np.array([0.3 * np.cos(t), 0.3 * np.sin(t), 0.22]), thick, paint))
        parts.append(_rod(np.zeros(3), top + np.array([0, 0, 0.3]), 1.4 * thick, paint))
    return join(parts)


def _part(body: Body, rest: Floats, part: str, bones: tuple[str, ...], texture: Texture, grown: float) -> Mesh | None:
    """The surface over some bones of a resting body, expanded by `grown` metres."""
    kept = np.array([bone.startswith(bones) for bone in body.bones])[body.main_bone]
    rows = body.part(part)
    rows = rows[kept[body.faces[rows]].all(axis=1)]
    if not len(rows):
        return None
    faces = body.faces[rows]
    used = used_vertices(faces)
    lookup = np.zeros(len(rest), np.int32)
    lookup[used] = np.arange(len(used), dtype=np.int32)
    vertices = (rest + grown * vertex_normals(rest, faces))[used].astype(np.float32)
    return _mesh(vertices, lookup[faces], body.template[faces][..., [0, 2]].astype(np.float32) * 3, texture)


def _raised(mesh: Mesh, height: float) -> Mesh:
    """The mesh moved so that its lowest point is at a height and its middle over the origin."""
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    shift = np.array([-(low[0] + high[0]) / 2, -(low[1] + high[1]) / 2, height - low[2]], np.float32)
    return replace(mesh, vertices=mesh.vertices + shift)


def _shape(rng: np.random.Generator, body: Body) -> Floats:
    phenotype = {"gender": float(rng.random()), "age": 0.6, "weight": float(rng.random())}
    return rest_shape(body, phenotype, {})[0]


_TRUNK = ("root", "pelvis", "spine", "clavicle", "breast", "shoulder")


def _hanging(rng: np.random.Generator, body: Body, papers: Sequence[Image]) -> Mesh:
    """An empty jacket, shirt or pair of trousers, on a hanger or a rail."""
    arms = ("upperarm", "lowerarm") if rng.random() < 0.6 else ("upperarm",)
    bones = (*_TRUNK, *arms) if rng.random() < 0.75 else ("root", "pelvis", "upperleg", "lowerleg")
    cloth = _part(body, _shape(rng, body), "tights", bones, fabric(rng, papers)[1], rng.uniform(0.005, 0.03))
    if cloth is None:
        return _pole(rng, body, papers)
    # Empty clothes are flat.
    cloth = _raised(replace(cloth, vertices=cloth.vertices * np.array([1, rng.uniform(0.25, 0.7), 1], np.float32)), 0.5)
    top = float(cloth.vertices[:, 2].max())
    metal = _plain((120, 120, 125), 0.4)
    hook = _rod(np.array([0, 0, top - 0.05]), np.array([0, 0, top + 0.2]), 0.008, metal)
    rail = _rod(np.array([-0.8, 0, top + 0.2]), np.array([0.8, 0, top + 0.2]), 0.015, metal)
    return join([cloth, hook, rail] if rng.random() < 0.6 else [cloth, hook])


def _torso(rng: np.random.Generator, body: Body, papers: Sequence[Image]) -> Mesh:
    """A tailor's dummy: a trunk on a stand, without head, arms or legs."""
    cover = fabric(rng, papers)[1] if rng.random() < 0.5 else _material(rng)
    trunk = _part(body, _shape(rng, body), "body", _TRUNK, cover, 0.002)
    if trunk is None:
        return _vessel(rng, body, papers)
    trunk = _raised(trunk, rng.uniform(0.6, 0.9))
    stand = _turned([(0, 0), (0.22, 0), (0.03, 0.05), (0.03, 0.95)], _plain((50, 60, 70)))
    return join([trunk, stand])


def _bust(rng: np.random.Generator, body: Body, papers: Sequence[Image]) -> Mesh:
    """A head on a column."""
    head = _part(body, _shape(rng, body), "body", ("head", "neck"), _material(rng), 0.002)
    if head is None:
        return _pole(rng, body, papers)
    height = rng.uniform(0.7, 1.4)
    column = _turned([(0.16, 0), (0.16, height - 0.04), (0.2, height)], _paint(rng, papers))
    return join([column, _raised(head, height)])


_MAKERS: dict[str, Callable[[np.random.Generator, Body, Sequence[Image]], Mesh]] = {
    "pole": _pole,
    "vessel": _vessel,
    "stack": _stack,
    "board": _board,
    "plant": _plant,
    "tripod": _tripod,
    "hanging": _hanging,
    "torso": _torso,
    "bust": _bust,
}
