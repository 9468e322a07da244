"""Objects that people wear, carry, hold and sit on, as small procedural meshes.

Almost every mesh is a grid of points: a surface of revolution, a tube along a path, or a ribbon. Objects that are worn
or held are built on the person at rest (metres, z up, facing -y) and moved by one bone. Straps and masks are attached
to the skin like clothes, and furniture stands in the world. Objects have no owner (-1): they hide keypoints, but do not
enlarge boxes.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from wholebody.arrays import Doubles, Floats, Ints32
from wholebody.synth.body import Body, outermost, vertex_normals
from wholebody.synth.jaw import jaw_paths
from wholebody.synth.layers import Layer, Texture
from wholebody.synth.render import Mesh, join
from wholebody.synth.shapes import Shape, ball, box, grid, lathe, merge, rod, tube
from wholebody.synth.textures import any_color, fabric, plain

NO_ONE = -1

# What a hand may hold, how often, and the shape of the hand (rows of poses.HANDS).
HELD = {
    "phone": 0.22, "cup": 0.12, "bottle": 0.1, "ball": 0.14, "stick": 0.14, "racket": 0.08, "book": 0.08,
    "handbag": 0.08, "microphone": 0.04,
}  # fmt: skip

GRIPS = {
    "phone": "hold", "cup": "wrap", "bottle": "wrap", "ball": "bowl", "stick": "rod", "racket": "rod", "book": "clamp",
    "handbag": "hook", "microphone": "rod",
}  # fmt: skip


def solid(shape: Shape, texture: Texture, transform: Floats | None = None) -> Mesh:
    """A mesh without an owner; `transform` (3, 4) moves it from the rest pose."""
    vertices = shape.vertices
    if transform is not None:
        vertices = (vertices @ transform[:, :3].T + transform[:, 3]).astype(np.float32)
    count = len(shape.faces)
    return Mesh(
        vertices=vertices,
        normals=vertex_normals(vertices, shape.faces),
        faces=shape.faces,
        uvs=shape.uvs,
        face_textures=np.zeros(count, np.int32),
        owners=np.full(count, NO_ONE, np.int32),
        textures=(texture,),
    )


def sample_held(rng: np.random.Generator) -> tuple[str, str]:
    """The objects in the left and the right hand; "" for nothing, the most frequent case."""
    held = ["", ""]
    if rng.random() < 0.26:
        weights = np.array(list(HELD.values()))
        for side in (0, 1) if rng.random() < 0.15 else (int(rng.random() < 0.65),):
            held[side] = str(rng.choice(list(HELD), p=weights / weights.sum()))
    return held[0], held[1]


def hand_axes(body: Body, heads: Floats, side: str) -> tuple[Doubles, Doubles, float]:
    """The grip of a hand at rest: the middle of its knuckles (3,), axes (3, 3), and its size (1 for an adult's).

    Rows of the axes: across the palm towards the thumb, from the wrist to the fingers, out of the palm.
    """
    wrist = heads[body.bone[f"wrist.{side}"]].astype(float)
    knuckles = np.array([heads[body.bone[f"finger{i}-1.{side}"]] for i in (2, 3, 4, 5)], float)
    tips = np.array([heads[body.bone[f"finger{i}-3.{side}"]] for i in (2, 3, 4, 5)], float)
    center = knuckles.mean(axis=0)
    along = center - wrist
    length = float(np.linalg.norm(along))
    along /= length
    out = np.cross(along, knuckles[0] - knuckles[3])
    out /= np.linalg.norm(out)
    out *= 1 if out @ (tips - knuckles).mean(axis=0) > 0 else -1
    across = np.cross(along, out)
    across *= 1 if across @ (knuckles[0] - knuckles[3]) > 0 else -1
    return center, np.stack([across, along, out]), length / 0.09


_UP_ACROSS = np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]])  # turns a shape's z axis to x: across the palm


def held_thing(
    rng: np.random.Generator, kind: str, body: Body, heads: Floats, transforms: Floats, side: str
) -> list[Mesh]:
    """The mesh of an object in a hand.

    Args:
        kind: a row of HELD.
        heads: (J, 3) rest bone heads. transforms: (J, 3, 4) rest -> posed.
        side: "L" or "R".
    """
    center, axes, scale = hand_axes(body, heads, side)
    transform = transforms[body.bone[f"wrist.{side}"]]
    uniform = rng.uniform
    paint = plain(any_color(rng), float(rng.choice([0.05, 0.3])))

    def put(shape: Shape, texture: Texture, x: float, y: float, z: float, turned: bool = False) -> Mesh:
        local = shape.at((0, 0, 0), _UP_ACROSS) if turned else shape
        placed = local.at(np.array([x, y, z]), None)
        return solid(Shape(placed.vertices * np.float32(scale), placed.faces, placed.uvs).at(center, axes), texture,
                     transform)  # fmt: skip

    if kind in ("stick", "racket", "microphone"):
        radius = uniform(0.009, 0.015)
        z = radius + 0.016
        if kind == "stick":
            return [put(rod(uniform(0.3, 1.3), radius, -uniform(0.06, 0.4)), paint, 0, 0.004, z, True)]
        handle = put(rod(0.3 if kind == "racket" else 0.16, radius, -0.07), paint, 0, 0.004, z, True)
        if kind == "microphone":
            return [handle, put(ball(0.026), plain((60, 60, 60), 0.3), 0.11, 0.004, z)]
        width, length = uniform(0.1, 0.13), uniform(0.13, 0.17)
        angle = np.linspace(0, 2 * np.pi, 25)
        ring = np.column_stack([length * np.cos(angle), 0 * angle, width * np.sin(angle)])
        strings = np.array([[[-length, 0, -width], [length, 0, -width]], [[-length, 0, width], [length, 0, width]]])
        return [
            handle,
            put(tube(ring, 0.008), paint, 0.23 + length, 0.004, z),
            put(grid(strings * 0.78), _net(), 0.23 + length, 0.004, z),
        ]
    if kind in ("cup", "bottle"):
        radius = uniform(0.028, 0.04)
        tall = uniform(0.09, 0.13) if kind == "cup" else uniform(0.18, 0.26)
        profile = [(0, -tall / 2), (radius * uniform(0.75, 1), -tall / 2), (radius, tall / 2)]
        if kind == "bottle":
            profile = [(0, -tall / 2), (radius, -tall / 2), (radius, tall * 0.2), (radius * 0.4, tall * 0.38),
                       (radius * 0.4, tall / 2), (0, tall / 2)]  # fmt: skip
        return [put(lathe(profile), paint, 0.01, 0.0, radius + 0.014, True)]
    if kind == "ball":
        radius = float(rng.choice([0.034, uniform(0.04, 0.08), uniform(0.1, 0.12)]))
        texture = paint if rng.random() < 0.5 else fabric(rng)[1]
        return [put(ball(radius, segments=20), texture, 0, 0.0, radius + 0.015)]
    if kind == "phone":
        tilt = np.deg2rad(uniform(5, 40))
        turn = np.array([[np.cos(tilt), np.sin(tilt), 0], [-np.sin(tilt), np.cos(tilt), 0], [0, 0, 1]])
        body_, screen = box((0.15, 0.072, 0.009)), box((0.14, 0.066, 0.001)).at((0, 0, 0.005))
        glow = plain(any_color(rng) if rng.random() < 0.4 else (20, 18, 18), 0.5)
        return [put(s.at((0, 0, 0), turn), t, 0.02, -0.005, 0.026) for s, t in ((body_, paint), (screen, glow))]
    if kind == "book":
        size = np.array([uniform(0.12, 0.3), uniform(0.12, 0.22), uniform(0.003, 0.03)])
        return [put(box(size), fabric(rng)[1], 0.0, size[1] / 2 - 0.01, 0.018 + size[2] / 2)]
    # A bag hangs straight down from the fingers, whatever the hand does.
    grip = transform[:, :3] @ (center + scale * (0.01 * axes[1] + 0.02 * axes[2])) + transform[:, 3]
    wide, deep, tall = scale * np.array([uniform(0.18, 0.4), uniform(0.08, 0.16), uniform(0.16, 0.35)])
    drop = scale * uniform(0.06, 0.22)
    swing = np.linspace(-1, 1, 13)
    strap = np.column_stack([0.35 * wide * swing, 0 * swing, -drop * np.abs(swing) ** 1.5])
    heading = uniform(0, np.pi)
    axes_ = np.array([[np.cos(heading), np.sin(heading), 0], [-np.sin(heading), np.cos(heading), 0], [0, 0, 1]])
    texture = fabric(rng)[1]
    return [
        solid(tube(strap, 0.006 * scale).at(grip, axes_), texture),
        solid(box((wide, deep, tall)).at((0, 0, -drop - tall / 2)).at(grip, axes_), texture),
    ]


@lru_cache(maxsize=1)
def _net() -> Texture:
    """The strings of a racket: grid lines on a transparent texture."""
    image = np.full((64, 64, 4), 230, np.uint8)
    image[..., 3] = 0
    image[::8, :, 3] = image[:, ::8, 3] = 255
    return Texture(image, cut=True)


def headwear(
    rng: np.random.Generator, kind: str, body: Body, rest: Floats, transforms: Floats, points: Floats
) -> list[Mesh]:
    """Glasses, sunglasses, cap, beanie, hat, helmet or headphones.

    Args:
        rest: (V, 3) rest vertices. transforms: (J, 3, 4) rest -> posed.
        points: (K, 3) the keypoints at rest.
    """
    transform = transforms[body.bone["head"]]
    rows = _skull(body)
    low, high = rest[rows].min(axis=0).astype(float), rest[rows].max(axis=0).astype(float)
    # The skull as half an ellipsoid that stands above the eyes.
    center, half = (low + high) / 2 * [1, 1, 0] + low * [0, 0, 1], (high - low) * [0.5, 0.5, 1]
    eyes = np.stack([points[59:65].mean(axis=0), points[65:71].mean(axis=0)]).astype(float)
    unit = float(np.linalg.norm(eyes[1] - eyes[0])) / 0.062
    color = plain(any_color(rng), float(rng.choice([0.05, 0.4])))

    def put(shape: Shape, texture: Texture = color) -> Mesh:
        return solid(shape, texture, transform)

    if kind in ("glasses", "sunglasses"):
        wide, tall = unit * rng.uniform(0.021, 0.027), unit * rng.uniform(0.014, 0.023)
        power = rng.choice([2.0, 4.0])
        bridge = points[23 + 27].astype(float)
        front = min(eyes[:, 1].min() - 0.017 * unit, bridge[1] - 0.004 * unit)
        angle = np.linspace(0, 2 * np.pi, 25)
        c, s = np.cos(angle), np.sin(angle)
        rim = np.column_stack(
            [wide * np.sign(c) * np.abs(c) ** (2 / power), 0 * angle, tall * np.sign(s) * np.abs(s) ** (2 / power)]
        )
        thick = unit * rng.uniform(0.0012, 0.003)
        meshes = []
        for eye in eyes:
            lens = np.array([eye[0], front, eye[2] - 0.002 * unit])
            meshes.append(put(tube(rim, thick).at(lens)))
            if kind == "sunglasses":
                glass = plain(np.full(3, rng.uniform(5, 50)) + rng.uniform(0, 30, 3), 0.7)
                meshes.append(put(grid(np.stack([rim, 0 * rim])).at(lens), glass))
        level = eyes[:, 2].mean()
        inner = [np.array([np.sign(x) * (abs(x) - wide), front, level]) for x in eyes[:, 0]]
        meshes.append(
            put(tube(np.stack([inner[0], np.array([0, front - 0.002 * unit, level + 0.002]), inner[1]]), thick))
        )
        for eye, ear in zip(eyes, points[[4, 3]].astype(float), strict=True):
            hinge = np.array([np.sign(eye[0]) * (abs(eye[0]) + wide), front, level + 0.3 * tall])
            side = np.sign(eye[0]) * max(abs(ear[0]) - 0.004, abs(hinge[0]))
            meshes.append(
                put(tube(np.array([hinge, (side, front + 0.02, hinge[2]), (side, ear[1], hinge[2])], float), thick))
            )
        return meshes
    if kind == "headphones":
        ears = points[[4, 3]].astype(float)
        angle = np.linspace(0, np.pi, 17)
        reach, top = abs(ears[:, 0]).mean() + 0.012 * unit, high[2] + 0.018 * unit
        level = ears[:, 2].mean()
        arch = level + (top - level) * np.sin(angle)
        band = np.column_stack([-reach * np.cos(angle), np.full(17, ears[:, 1].mean()), arch])
        cup = lathe(unit * np.array([(0, 0.0), (0.036, 0), (0.036, 0.018), (0.028, 0.03), (0, 0.032)]))
        outward = [np.array([[0, 1, 0], [0, 0, 1], [sign, 0, 0]]) for sign in (-1, 1)]
        cups = [cup.at(ear, axes) for ear, axes in zip(ears, outward, strict=True)]
        return [put(merge([tube(band, 0.008 * unit), *cups]))]
    # Hats: the upper part of an ellipsoid a finger wider than the skull.
    wool = fabric(rng)[1]
    loose = unit * (0.03 if kind == "helmet" else 0.014)
    edge = {"helmet": -15, "beanie": 6, "cap": 14, "hat": 20}[kind] + rng.uniform(-6, 6)
    dome = ball(1.0, edge, 20)
    radii = (half + loose) * [1, 1, 1.1 if kind == "beanie" else 1.02]
    shell = Shape((dome.vertices * radii).astype(np.float32), dome.faces, dome.uvs * 2).at(center)
    level = center[2] + radii[2] * np.sin(np.deg2rad(edge))
    ring = np.cos(np.deg2rad(edge))
    if kind == "cap":
        back = rng.random() < 0.15
        angle = np.linspace(-1.05, 1.05, 13) + (np.pi if back else 0)
        arc = np.column_stack([radii[0] * ring * np.sin(angle), -radii[1] * ring * np.cos(angle), 0 * angle])
        reach = np.array([0.0, (0.075 if back else -0.075) * unit, -0.012 * unit])
        visor = grid([arc, arc + reach * np.cos(np.linspace(-1.2, 1.2, 13))[:, None]])
        return [put(merge([shell, visor.at((center[0], center[1], level))]), wool)]
    if kind == "hat":
        wide = ring + np.array([0, 1.0]) * unit * rng.uniform(0.04, 0.12) / radii[0]
        angle = np.linspace(0, 2 * np.pi, 25)
        brim = [np.column_stack([radii[0] * w * np.cos(angle), radii[1] * w * np.sin(angle), 0 * angle]) for w in wide]
        return [put(merge([shell, grid(brim).at((center[0], center[1], level))]), wool)]
    return [put(shell, wool if kind == "beanie" else color)]


@lru_cache(maxsize=2)
def _skull(body: Body) -> Ints32:
    """Skin vertices of the head above the eyes; ears and nose are lower or stick out."""
    head = body.skin[body.main_bone[body.skin] == body.bone["head"]]
    z = body.template[head, 2]
    upper = head[z > z.min() + 0.6 * np.ptp(z)]
    return np.asarray(upper if len(upper) >= 4 else head)


def mask(rng: np.random.Generator, body: Body, rest: Floats, normals: Floats) -> Layer:
    """A face mask over nose, mouth and chin; `normals` (V, 3) of the skin at rest."""
    vertices, weights = jaw_paths(body)
    # Each row runs from the right jaw over the middle of the face to the left jaw.
    upper = int(rng.integers(1, 3))
    rows = [(i, 16 - i) for i in range(upper, 8)]
    refs = np.stack([np.concatenate([vertices[a], vertices[b][-2::-1]]) for a, b in rows])[:, 3:-3:2]
    shares = np.stack([np.concatenate([weights[a], weights[b][-2::-1]]) for a, b in rows])[:, 3:-3:2]
    skin, out = ((shares[..., None] * values[refs]).sum(axis=2) for values in (rest, normals))
    cloth = skin + 0.007 * out
    for _ in range(3):
        spread = cloth.copy()
        spread[1:-1, 1:-1] = (cloth[:-2, 1:-1] + cloth[2:, 1:-1] + cloth[1:-1, :-2] + cloth[1:-1, 2:]) / 4
        # Cloth bridges hollows but never enters the face.
        spread[..., 1] = np.minimum(spread[..., 1], skin[..., 1] - 0.005)
        cloth = spread
    usual = np.array([[235, 235, 235], [225, 200, 150], [25, 25, 25]])[int(rng.integers(3))]
    texture = plain(any_color(rng) if rng.random() < 0.5 else usual)
    surface = grid(cloth)
    return Layer(
        refs.reshape(-1, 3).astype(np.int32), shares.reshape(-1, 3).astype(np.float32),
        (cloth - skin).reshape(-1, 3).astype(np.float32), surface.faces, surface.uvs, texture,
    )  # fmt: skip


def strap(body: Body, normals: Floats, plane: str, texture: Texture, size: float) -> Layer | None:
    """A ribbon around the trunk: "left" or "right" over one shoulder and under the arm, "sash" across to the hip."""
    loop = _loop(body, plane)
    if loop is None:
        return None
    refs, weights, across = loop
    out = (weights[..., None] * normals[refs]).sum(axis=1)
    sides = [size * (0.022 * out + sign * 0.02 * across) for sign in (-1, 1)]
    surface = grid(np.stack([np.zeros_like(out), np.ones_like(out)]))
    return Layer(
        np.concatenate([refs, refs]), np.concatenate([weights, weights]), np.concatenate(sides).astype(np.float32),
        surface.faces, surface.uvs, texture,
    )  # fmt: skip


@lru_cache(maxsize=8)
def _loop(body: Body, plane: str) -> tuple[Ints32, Floats, Doubles] | None:
    """The loop where a plane cuts the skin of the trunk: vertices (n, 3), weights (n, 3), the plane's normal (3,)."""
    prefixes = ("spine", "clavicle", "shoulder", "pelvis", "root", "neck", "upperarm01", "upperleg")
    trunk = np.array([bone.startswith(prefixes) for bone in body.bones])
    faces = body.faces[body.part("body")]
    faces = faces[trunk[body.main_bone][faces].all(axis=1)]
    chest = body.heads[body.bone["spine03"]].astype(float) * [0, 1, 1]
    side = body.heads[body.bone["upperarm01.L"]].astype(float) * [0.55, 0, 0]
    if plane == "sash":
        u, angles = np.array([-0.5, 0, 0.87]), np.linspace(0, 2 * np.pi, 49)
        origin = chest
    else:
        u, angles = np.array([0, 0, 1.0]), np.linspace(-0.15 * np.pi, 1.12 * np.pi, 33)
        origin = chest + side * (1 if plane == "left" else -1)
    v = np.array([0, 1.0, 0])
    hits = [outermost(body.template, faces, origin, np.sin(a) * u + np.cos(a) * v) for a in angles]
    found = [hit for hit in hits if hit is not None]
    if len(found) < 0.8 * len(hits):
        return None
    return np.array([hit[0] for hit in found], np.int32), np.array([hit[1] for hit in found]), np.cross(u, v)


def carried(rng: np.random.Generator, kind: str, body: Body, rest: Floats, transforms: Floats, size: float) -> Mesh:
    """The bag itself: "backpack" on the back or "shoulder bag" at the hip, moved by a bone of the trunk."""
    chest = body.heads[body.bone["spine03"]]
    trunk = body.skin[np.abs(body.template[body.skin, 2] - chest[2]) < 0.15]
    inner = rest[trunk[np.abs(body.template[trunk, 0]) < 0.12]]
    texture = fabric(rng)[1]
    if kind == "backpack":
        wide, deep, tall = size * np.array([rng.uniform(0.24, 0.36), rng.uniform(0.1, 0.22), rng.uniform(0.34, 0.55)])
        place = np.array([0, inner[:, 1].max() + deep / 2 + 0.01, inner[:, 2].max() - 0.3 * tall])
        main = box((wide, deep, tall)).at(place)
        pocket = box((0.8 * wide, 0.35 * deep, 0.4 * tall)).at(place + np.array([0, 0.6 * deep, -0.2 * tall]))
        return solid(merge([main, pocket]), texture, transforms[body.bone["spine03"]])
    wide, deep, tall = size * np.array([rng.uniform(0.08, 0.14), rng.uniform(0.22, 0.36), rng.uniform(0.18, 0.3)])
    hip = rest[body.skin[np.abs(body.template[body.skin, 2] - body.heads[body.bone["root"], 2]) < 0.06]]
    hip = hip[np.abs(hip[:, 0]) < 0.25 * size]
    place = np.array([hip[:, 0].max() + wide / 2, rng.normal(0, 0.04), hip[:, 2].mean()])
    return solid(box((wide, deep, tall)).at(place), texture, transforms[body.bone["root"]])


@lru_cache(maxsize=2)
def _seated(body: Body) -> tuple[Ints32, Ints32, Ints32]:
    """The skin vertices of the seat, of the back, and of arms and hands."""
    main = body.main_bone[body.skin]

    def of(*prefixes: str) -> Ints32:
        return np.asarray(body.skin[np.array([bone.startswith(prefixes) for bone in body.bones])[main]])

    return of("root", "pelvis", "upperleg01"), of("spine"), of("lowerarm", "wrist", "finger", "metacarpal")


def seat(rng: np.random.Generator, body: Body, posed: Floats) -> tuple[str, Mesh] | None:
    """A seat for a sitting person, whose posed vertices (V, 3) stand on z = 0; None if they sit on the floor."""
    sitting, back, _ = _seated(body)
    if not len(sitting) or not len(back):
        return None
    low, high = posed[sitting].min(axis=0).astype(float), posed[sitting].max(axis=0).astype(float)
    top = low[2] + 0.008
    if top < 0.12:
        return None
    kind = str(rng.choice(["chair", "stool", "bench", "sofa", "office"], p=[0.4, 0.15, 0.15, 0.15, 0.15]))
    middle = float(low[0] + high[0]) / 2
    # The seat ends before the hollows of the knees.
    front, rear = low[1] + 0.25 * (high[1] - low[1]), high[1] + 0.03
    wide = (high[0] - low[0]) * rng.uniform(0.85, 1.2)
    cloth = fabric(rng)[1]
    behind = max(rear, float(posed[back, 1].max()) + 0.02)
    deep, center_y = behind - front, (behind + front) / 2
    if kind == "stool":
        radius = min(wide, deep) * 0.45
        place = (middle, rear - radius, 0)
        parts = [rod(0.04, radius, top - 0.04, 20), *(
            tube([(0, 0, top - 0.02), (radius * np.cos(a), radius * np.sin(a), 0)], 0.014) for a in (0.8, 2.4, 3.9, 5.5)
        )]  # fmt: skip
        return kind, solid(merge(parts).at(place), plain(any_color(rng), 0.2))
    if kind == "office":
        place = (middle, center_y, 0)
        feet = [tube([(0, 0, 0.08), (0.28 * np.cos(a), 0.28 * np.sin(a), 0.03)], 0.018) for a in np.arange(5) * 1.257]
        parts = [box((wide, deep, 0.07)).at((0, 0, top - 0.035)), rod(top, 0.025), *feet]
        parts.append(box((0.9 * wide, 0.05, 0.45)).at((0, deep / 2 + 0.03, top + 0.4)))
        return kind, solid(merge(parts).at(place), cloth)
    if kind == "bench":
        long = rng.uniform(0.9, 1.8)
        place = (middle + rng.uniform(-0.3, 0.3) * (long - wide), center_y, 0)
        legs = [box((0.06, 0.9 * deep, top - 0.04)).at((x * long * 0.42, 0, (top - 0.04) / 2)) for x in (-1, 1)]
        return kind, solid(merge([box((long, deep, 0.045)).at((0, 0, top - 0.022)), *legs]).at(place), cloth)
    if kind == "sofa":
        wide += 0.3
        place = (middle, center_y, 0)
        arms = [box((0.12, deep, top + 0.18)).at((x * (wide / 2 + 0.08), 0, (top + 0.18) / 2)) for x in (-1, 1)]
        back_ = box((wide + 0.28, 0.16, top + 0.45)).at((0, deep / 2 + 0.08, (top + 0.45) / 2))
        return kind, solid(merge([box((wide, deep, top)).at((0, 0, top / 2)), back_, *arms]).at(place), cloth)
    place = (middle, center_y, 0)
    tall = top + rng.uniform(0.3, 0.55)
    x, y = wide / 2 - 0.02, deep / 2
    parts = [box((wide, deep, 0.035)).at((0, 0, top - 0.018))]
    parts += [box((0.035, 0.035, top)).at((sx * x, -y + 0.03, top / 2)) for sx in (-1, 1)]
    parts += [box((0.035, 0.035, tall)).at((sx * x, y + 0.02, tall / 2)) for sx in (-1, 1)]
    if rng.random() < 0.5:
        parts.append(box((wide, 0.025, 0.6 * (tall - top))).at((0, y + 0.02, tall - 0.3 * (tall - top))))
    else:
        parts += [box((wide, 0.025, 0.05)).at((0, y + 0.02, top + h * (tall - top))) for h in (0.35, 0.65, 0.95)]
    return kind, solid(merge(parts).at(place), plain(any_color(rng), 0.2) if rng.random() < 0.6 else cloth)


def table(rng: np.random.Generator, body: Body, posed: Floats, size: float, sits: bool) -> Mesh | None:
    """A table in front of a person; None if its top would cut through an arm."""
    sitting, back, arms = _seated(body)
    if not len(sitting) or not len(back) or not len(arms):
        return None
    level = float(posed[sitting, 2].max()) + 0.03 if sits else size * rng.uniform(0.75, 1.05)
    near = float(posed[back, 1].min()) - rng.uniform(0.02, 0.2)
    wide, deep = rng.uniform(0.6, 1.7), rng.uniform(0.4, 0.9)
    x = float(posed[back, 0].mean()) + rng.uniform(-0.25, 0.25)
    over = posed[arms]
    over = over[(np.abs(over[:, 0] - x) < wide / 2 + 0.02) & (over[:, 1] < near + 0.01) & (over[:, 1] > near - deep)]
    if len(over) and over[:, 2].min() < level + 0.005 and over[:, 2].max() > level - 0.045:
        return None
    top = box((wide, deep, 0.035)).at((0, 0, level - 0.018))
    corners = [(sx * (wide / 2 - 0.05), sy * (deep / 2 - 0.05)) for sx in (-1, 1) for sy in (-1, 1)]
    legs = [box((0.05, 0.05, level)).at((cx, cy, level / 2)) for cx, cy in corners]
    if rng.random() < 0.3:
        legs = [box((wide, 0.03, level)).at((0, -deep / 2 + 0.02, level / 2))]
    texture = plain(any_color(rng), 0.2) if rng.random() < 0.6 else fabric(rng)[1]
    return solid(merge([top, *legs]).at((x, near - deep / 2, 0)), texture)


@dataclass(frozen=True)
class Plan:
    """A person's objects, sampled before the pose and the clothes, which have to make room for them.

    Attributes:
        held: in the left and the right hand, "" for nothing. worn: on head and face. bag: the bag, or "".
    """

    held: tuple[str, str] = ("", "")
    worn: tuple[str, ...] = ()
    bag: str = ""

    @property
    def hat(self) -> bool:
        """Whether the hair must lie flat."""
        return any(kind in ("cap", "beanie", "hat", "helmet") for kind in self.worn)


def sample_plan(rng: np.random.Generator) -> Plan:
    """Sample a plan; about half of all people have an object."""
    worn = []
    if (choice := rng.random()) < 0.22:
        worn.append("glasses" if choice < 0.13 else "sunglasses")
    if rng.random() < 0.05:
        worn.append("mask")
    if (choice := rng.random()) < 0.19:
        worn.append(str(rng.choice(["cap", "cap", "beanie", "hat", "helmet"])) if choice < 0.15 else "headphones")
    bag = str(rng.choice(["backpack", "shoulder bag"])) if rng.random() < 0.12 else ""
    return Plan(sample_held(rng), tuple(worn), bag)


# Nose tip, lips and chin: what a mask hides although it lies close to them.
MASKED = np.array([23 + i for i in (*range(4, 13), *range(30, 36), *range(48, 68))])


def skin_layers(rng: np.random.Generator, plan: Plan, body: Body, rest: Floats, size: float) -> list[Layer]:
    """The objects of a plan that are attached to the skin: the mask and the straps of bags."""
    if "mask" not in plan.worn and not plan.bag:
        return []
    normals = vertex_normals(rest, body.faces[body.part("body")])
    layers: list[Layer | None] = []
    if "mask" in plan.worn:
        layers.append(mask(rng, body, rest, normals))
    if plan.bag:
        texture = plain(any_color(rng))
        layers += [
            strap(body, normals, p, texture, size) for p in {"backpack": ("left", "right")}.get(plan.bag, ("sash",))
        ]
    return [layer for layer in layers if layer is not None]


def things(
    rng: np.random.Generator, plan: Plan, body: Body, rest: Floats, heads: Floats, transforms: Floats, posed: Floats,
    points: Floats, stance: str, size: float,
) -> tuple[Mesh | None, dict[str, str]]:  # fmt: skip
    """The meshes of a plan and of the furniture around the person, and the choices made.

    Args:
        rest, heads: (V, 3), (J, 3) at rest. transforms: (J, 3, 4) rest -> posed. posed: (V, 3) standing on z = 0.
        points: (K, 3) keypoints at rest.
    """
    meshes: list[Mesh] = []
    kinds = {}
    for side, kind in zip("LR", plan.held, strict=True):
        if kind and f"wrist.{side}" in body.bone:
            meshes += held_thing(rng, kind, body, heads, transforms, side)
    for kind in plan.worn:
        if kind != "mask":
            meshes += headwear(rng, kind, body, rest, transforms, points)
    if plan.bag:
        meshes.append(carried(rng, plan.bag, body, rest, transforms, size))
    if stance == "sit" and rng.random() < 0.8 and (found := seat(rng, body, posed)) is not None:
        kinds["seat"] = found[0]
        meshes.append(found[1])
    wanted = {"sit": 0.25, "stand": 0.07}.get(stance, 0.0)
    if rng.random() < wanted and (top := table(rng, body, posed, size, stance == "sit")) is not None:
        kinds["table"] = "yes"
        meshes.append(top)
    if any(plan.held):
        kinds["held"] = "/".join(plan.held)
    if plan.worn or plan.bag:
        kinds["worn"] = "/".join([*plan.worn, *([plan.bag] if plan.bag else [])])
    return (join(meshes) if meshes else None), kinds
