"""A small z-buffer renderer in numba: textured triangles, one sun with a shadow map, sky light, 2x2 supersampling.

As everywhere in the package, the centre of the first pixel is (0, 0). Depth is in metres along the optical axis. OpenGL
is not used, so the same seed gives the same picture on all machines of one CPU family.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

from wholebody.arrays import Floats, Image, Ints32
from wholebody.synth.body import vertex_normals
from wholebody.synth.layers import Layer, Texture

SUPERSAMPLING = 2
NEAR = 0.05


@dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole camera.

    Attributes:
        matrix: (3, 4) world -> camera; x right, y down, z forward.
        focal: pixels. center: (x, y) pixel of the optical axis; may lie outside the picture, as after cropping a photo.
        size: (w, h) pixels.
    """

    matrix: Floats
    focal: float
    center: tuple[float, float]
    size: tuple[int, int]

    @property
    def eye(self) -> Floats:
        """(3,) the position of the camera."""
        place: Floats = -self.matrix[:, :3].T @ self.matrix[:, 3]
        return place

    def project(self, points: Floats) -> Floats:
        """(N, 3) world -> (N, 3) x, y in pixels and depth in metres."""
        local = points @ self.matrix[:, :3].T + self.matrix[:, 3]
        depth = np.where(np.abs(local[:, 2]) < 1e-6, 1e-6, local[:, 2])
        scale = self.focal / depth
        x, y = local[:, 0] * scale + self.center[0], local[:, 1] * scale + self.center[1]
        return np.column_stack([x, y, depth]).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Light:
    """Sun and sky. `direction` points to the sun; colours are linear BGR factors on a white surface."""

    direction: Floats
    sun: Floats
    sky: Floats
    ground: Floats


@dataclass(frozen=True, eq=False)
class Mesh:
    """N posed vertices, M faces. `face_textures` (M,) are rows of `textures`, `owners` (M,) numbers of owners."""

    vertices: Floats
    normals: Floats
    faces: Ints32
    uvs: Floats
    face_textures: Ints32
    owners: Ints32
    textures: tuple[Texture, ...]


@dataclass(frozen=True, eq=False)
class Render:
    """A rendered picture.

    Attributes:
        color: (h, w, 4) float32, linear BGR premultiplied by coverage, and coverage 0..1.
        depth: (2h, 2w) float32 metres of the nearest surface, infinite where there is none.
        owner: (2h, 2w) int32 owner of the nearest surface, -1 where there is none or it has no owner.
    """

    color: Floats
    depth: Floats
    owner: Ints32


def assemble(layers: Sequence[Layer], rest: Floats, matrices: Floats, owner: int = 0) -> Mesh:
    """Pose the layers of one person: rest vertices (V, 3) and their blended transforms (V, 3, 4)."""
    vertices, normals, faces, uvs, textures = [], [], [], [], []
    start = 0
    for i, layer in enumerate(layers):
        hung = _hang(layer.refs, layer.weights, layer.offsets, rest, matrices)
        vertices.append(hung)
        normals.append(vertex_normals(hung, layer.faces))
        faces.append(layer.faces + start)
        uvs.append(layer.uvs)
        textures.append(np.full(len(layer.faces), i, np.int32))
        start += len(hung)
    joined = np.concatenate(faces).astype(np.int32)
    owners = np.full(len(joined), owner, np.int32)
    return Mesh(
        vertices=np.concatenate(vertices),
        normals=np.concatenate(normals),
        faces=joined,
        uvs=np.concatenate(uvs),
        face_textures=np.concatenate(textures),
        owners=owners,
        textures=tuple(layer.texture for layer in layers),
    )


def join(meshes: Sequence[Mesh]) -> Mesh:
    """Several meshes joined into one."""
    if len(meshes) == 1:
        return meshes[0]
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    firsts = np.cumsum([0, *(len(mesh.textures) for mesh in meshes)])
    return Mesh(
        np.concatenate([mesh.vertices for mesh in meshes]),
        np.concatenate([mesh.normals for mesh in meshes]),
        np.concatenate([mesh.faces + start for mesh, start in zip(meshes, starts[:-1], strict=True)]).astype(np.int32),
        np.concatenate([mesh.uvs for mesh in meshes]),
        np.concatenate([mesh.face_textures + n for mesh, n in zip(meshes, firsts[:-1], strict=True)]).astype(np.int32),
        np.concatenate([mesh.owners for mesh in meshes]),
        tuple(texture for mesh in meshes for texture in mesh.textures),
    )


def render(mesh: Mesh, camera: Camera, light: Light, shadow_size: int = 320) -> Render:
    """Draw a mesh. Depth and owners keep the supersampled resolution, for the visibility test."""
    width, height = camera.size[0] * SUPERSAMPLING, camera.size[1] * SUPERSAMPLING
    points = camera.project(mesh.vertices)
    near = points[:, 2] < NEAR
    points[:, :2] = (points[:, :2] + 0.5) * SUPERSAMPLING
    points[:, 2] = np.where(near, -1, 1 / np.maximum(points[:, 2], NEAR))
    pixels, places, settings = _pack(mesh.textures)
    buffer = np.zeros((height, width), np.float32)
    face = np.full((height, width), -1, np.int32)
    _raster(points, mesh.faces, mesh.uvs, mesh.face_textures, pixels, places, buffer, face)

    lit, extent = _light_space(mesh.vertices, light.direction, shadow_size)
    shadow = np.zeros((shadow_size, shadow_size), np.float32)
    hit = np.full((shadow_size, shadow_size), -1, np.int32)
    _raster(lit, mesh.faces, mesh.uvs, mesh.face_textures, pixels, places, shadow, hit)
    color = np.zeros((camera.size[1], camera.size[0], 4), np.float32)
    direction, sun, sky, ground, view = (
        np.ascontiguousarray(vector, np.float32)
        for vector in (
            light.direction / np.linalg.norm(light.direction),
            light.sun,
            light.sky,
            light.ground,
            -camera.matrix[2, :3],
        )
    )
    _shade(
        points, mesh.normals, lit, mesh.faces, mesh.uvs, mesh.face_textures, pixels, places, settings,
        buffer, face, shadow, direction, sun, sky, ground, view, 0.012 * extent, color,
    )  # fmt: skip
    depth, owner = np.empty((height, width), np.float32), np.empty((height, width), np.int32)
    _resolve(buffer, face, mesh.owners, depth, owner)
    return Render(color, depth, owner)


def visibility(
    points: Floats, tolerances: Floats, camera: Camera, depth: Floats, covered: npt.NDArray[np.bool_] | None = None
) -> npt.NDArray[np.int64]:
    """COCO's flags of (K, 3) world points: 2 visible, 1 inside the picture but hidden, 0 outside the picture.

    A point is hidden if the surface at its pixel is nearer by more than its tolerance (K,), or if something is drawn in
    front of everything there (`covered`, of the size of `depth`).
    """
    projected = camera.project(points)
    at = np.floor((projected[:, :2] + 0.5) * SUPERSAMPLING).astype(int)
    height, width = depth.shape
    inside = (at >= 0).all(axis=1) & (at[:, 0] < width) & (at[:, 1] < height) & (projected[:, 2] > NEAR)
    x, y = np.clip(at[:, 0], 0, width - 1), np.clip(at[:, 1], 0, height - 1)
    hidden = depth[y, x] < projected[:, 2] - tolerances
    if covered is not None:
        hidden |= covered[y, x]
    return np.where(inside, np.where(hidden, 1, 2), 0)


def _pack(textures: Sequence[Texture]) -> tuple[Image, npt.NDArray[np.int64], Floats]:
    """All textures in one flat buffer: pixels (n, 4), places (T, 5) start, h, w, cut, closed; settings (T,) gloss."""
    places = np.zeros((len(textures), 5), np.int64)
    start = 0
    for i, texture in enumerate(textures):
        h, w = texture.image.shape[:2]
        places[i] = start, h, w, texture.cut, texture.closed
        start += h * w
    pixels = np.concatenate([texture.image.reshape(-1, 4) for texture in textures])
    return pixels, places, np.array([texture.gloss for texture in textures], np.float32)


def _light_space(vertices: Floats, direction: Floats, size: int) -> tuple[Floats, float]:
    """Vertices seen from the sun: x, y in shadow pixels and closeness to the sun, all positive; and the extent."""
    forward = direction / np.linalg.norm(direction)
    side = np.cross(forward, [0, 0, 1]) if abs(forward[2]) < 0.9 else np.cross(forward, [1, 0, 0])
    side /= np.linalg.norm(side)
    axes = np.stack([side, np.cross(side, forward), forward]).astype(np.float32)
    local = axes @ vertices.T
    low, high = local.min(axis=1), local.max(axis=1)
    extent = float((high - low)[:2].max()) + 1e-6
    scale = np.array([(size - 2) / extent] * 2 + [1], np.float32)
    start = np.array([1, 1, 0.1], np.float32)
    return np.ascontiguousarray(((local - low[:, None]) * scale[:, None] + start[:, None]).T), extent


@numba.njit(cache=True)
def _hang(refs: Ints32, weights: Floats, offsets: Floats, rest: Floats, matrices: Floats) -> Floats:
    moved = np.empty((len(refs), 3), np.float32)
    matrix = np.empty((3, 4), np.float32)
    point = np.empty(3, np.float32)
    for n in range(len(refs)):
        single = weights[n, 0] == 1
        for i in range(3):
            if single:
                point[i] = rest[refs[n, 0], i] + offsets[n, i]
            else:
                point[i] = (
                    weights[n, 0] * rest[refs[n, 0], i]
                    + weights[n, 1] * rest[refs[n, 1], i]
                    + weights[n, 2] * rest[refs[n, 2], i]
                    + offsets[n, i]
                )
            for j in range(4):
                if single:
                    matrix[i, j] = matrices[refs[n, 0], i, j]
                else:
                    matrix[i, j] = (
                        weights[n, 0] * matrices[refs[n, 0], i, j]
                        + weights[n, 1] * matrices[refs[n, 1], i, j]
                        + weights[n, 2] * matrices[refs[n, 2], i, j]
                    )
        for i in range(3):
            moved[n, i] = matrix[i, 0] * point[0] + matrix[i, 1] * point[1] + matrix[i, 2] * point[2] + matrix[i, 3]
    return moved


@numba.njit(cache=True)
def _resolve(buffer: Floats, face: Ints32, owners: Ints32, depth: Floats, owner: Ints32) -> None:
    """Depth and owner of every sample."""
    for y in range(buffer.shape[0]):
        for x in range(buffer.shape[1]):
            hit = face[y, x] >= 0
            depth[y, x] = 1 / buffer[y, x] if hit else np.inf
            owner[y, x] = owners[face[y, x]] if hit else -1


@numba.njit(cache=True, fastmath=True, error_model="numpy")
def _raster(
    points: Floats, faces: Ints32, uvs: Floats, face_textures: Ints32, pixels: Image, places: npt.NDArray[np.int64],
    buffer: Floats, face: Ints32,
) -> None:  # fmt: skip
    """Keep the closest face of every pixel.

    `points` are x, y and closeness, which is positive, linear on the screen and larger when nearer.
    """
    height, width = buffer.shape
    for f in range(len(faces)):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        ax, ay, bx, by, cx, cy = points[a, 0], points[a, 1], points[b, 0], points[b, 1], points[c, 0], points[c, 1]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        texture = face_textures[f]
        # With y downwards a front face turns clockwise: its area is negative here.
        if abs(area) < 1e-9 or (area > 0 and places[texture, 4] != 0):
            continue
        x0 = max(0, int(np.ceil(min(ax, bx, cx) - 0.5)))
        x1 = min(width - 1, int(np.floor(max(ax, bx, cx) - 0.5)))
        y0 = max(0, int(np.ceil(min(ay, by, cy) - 0.5)))
        y1 = min(height - 1, int(np.floor(max(ay, by, cy) - 0.5)))
        if x0 > x1 or y0 > y1:
            continue
        wa, wb, wc = points[a, 2], points[b, 2], points[c, 2]
        if wa <= 0 or wb <= 0 or wc <= 0:
            continue
        inverse = 1 / area
        cut = places[texture, 3] != 0
        # Barycentric u and v and closeness w are linear on the screen: one step right or down adds a constant.
        du, dv = (by - cy) * inverse, (cy - ay) * inverse
        eu, ev = (cx - bx) * inverse, (ax - cx) * inverse
        dw, ew = du * wa + dv * wb - (du + dv) * wc, eu * wa + ev * wb - (eu + ev) * wc
        px, py = x0 + 0.5, y0 + 0.5
        u_first = ((bx - px) * (cy - py) - (by - py) * (cx - px)) * inverse
        v_first = ((cx - px) * (ay - py) - (cy - py) * (ax - px)) * inverse
        w_first = u_first * wa + v_first * wb + (1 - u_first - v_first) * wc
        long = x1 - x0 > 5
        dt = -(du + dv)
        across_u = 1 / du if du != 0 else 0.0
        across_v = 1 / dv if dv != 0 else 0.0
        across_t = 1 / dt if dt != 0 else 0.0
        for y in range(y0, y1 + 1):
            u_left, v_left = u_first + (y - y0) * eu, v_first + (y - y0) * ev
            w_left = w_first + (y - y0) * ew
            first, last = x0, x1
            if long:
                # Where the row enters and leaves the triangle; a pixel more, as the test below has the last word.
                at_u, at_v, at_t = -u_left * across_u, -v_left * across_v, (u_left + v_left - 1) * across_t
                low, high = 0.0, float(x1 - x0)
                if du > 0:
                    low = max(low, at_u)
                elif du < 0:
                    high = min(high, at_u)
                if dv > 0:
                    low = max(low, at_v)
                elif dv < 0:
                    high = min(high, at_v)
                if dt > 0:
                    low = max(low, at_t)
                elif dt < 0:
                    high = min(high, at_t)
                if high < low - 1:
                    continue
                first, last = x0 + int(low), min(x1, x0 + int(high) + 1)
            for x in range(first, last + 1):
                u, v, w = u_left + (x - x0) * du, v_left + (x - x0) * dv, w_left + (x - x0) * dw
                # One condition, one branch to guess wrong.
                if not ((u >= 0) & (v >= 0) & (u + v <= 1) & (w > buffer[y, x])):
                    continue
                if cut:
                    t = 1 - u - v
                    s = u * uvs[f, 0, 0] + v * uvs[f, 1, 0] + t * uvs[f, 2, 0]
                    r = u * uvs[f, 0, 1] + v * uvs[f, 1, 1] + t * uvs[f, 2, 1]
                    h, wide = places[texture, 1], places[texture, 2]
                    column = min(int((s - np.floor(s)) * wide), wide - 1)
                    row = min(int((1 - (r - np.floor(r))) * h), h - 1)
                    if pixels[places[texture, 0] + row * wide + column, 3] < 110:
                        continue
                buffer[y, x] = w
                face[y, x] = f


@numba.njit(cache=True, fastmath=True, error_model="numpy")
def _shade(
    points: Floats, normals: Floats, lit: Floats, faces: Ints32, uvs: Floats, face_textures: Ints32,
    pixels: Image, places: npt.NDArray[np.int64], settings: Floats, buffer: Floats, face: Ints32, shadow: Floats,
    direction: Floats, sun: Floats, sky: Floats, ground: Floats, view: Floats, bias: float, color: Floats,
) -> None:  # fmt: skip
    """Light every supersample of (2h, 2w) and average them into `color` (h, w, 4)."""
    height, width = color.shape[:2]
    reach = shadow.shape[0]
    share = np.float32(1.0 / (SUPERSAMPLING * SUPERSAMPLING))
    hx, hy, hz = direction[0] + view[0], direction[1] + view[1], direction[2] + view[2]
    half = np.sqrt(hx * hx + hy * hy + hz * hz) + 1e-6
    last = np.zeros(3, np.float32)
    for y in range(height):
        for x in range(width):
            shaded = -1
            for k in range(SUPERSAMPLING * SUPERSAMPLING):
                sy, sx = y * SUPERSAMPLING + k // SUPERSAMPLING, x * SUPERSAMPLING + k % SUPERSAMPLING
                f = face[sy, sx]
                if f < 0:
                    continue
                if f == shaded:
                    # The same triangle again: coverage and edges are supersampled, its light is not.
                    for channel in range(3):
                        color[y, x, channel] += last[channel]
                    color[y, x, 3] += share
                    continue
                shaded = f
                a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
                # One triangle in all samples is lit at the middle of the pixel.
                px, py = sx + 0.5, sy + 0.5
                upper, lower = face[2 * y], face[2 * y + 1]
                if f == upper[2 * x] == upper[2 * x + 1] == lower[2 * x] == lower[2 * x + 1]:
                    px, py = 2 * x + 1.0, 2 * y + 1.0
                ax, ay, bx, by = points[a, 0], points[a, 1], points[b, 0], points[b, 1]
                cx, cy = points[c, 0], points[c, 1]
                inverse = 1 / ((bx - ax) * (cy - ay) - (by - ay) * (cx - ax))
                u = ((bx - px) * (cy - py) - (by - py) * (cx - px)) * inverse
                v = ((cx - px) * (ay - py) - (cy - py) * (ax - px)) * inverse
                # Divide by depth again: what is linear on the screen is not linear on the surface.
                u, v, t = u * points[a, 2], v * points[b, 2], (1 - u - v) * points[c, 2]
                w = 1 / (u + v + t)
                u *= w
                v *= w
                t = 1 - u - v
                nx = u * normals[a, 0] + v * normals[b, 0] + t * normals[c, 0]
                ny = u * normals[a, 1] + v * normals[b, 1] + t * normals[c, 1]
                nz = u * normals[a, 2] + v * normals[b, 2] + t * normals[c, 2]
                length = np.sqrt(nx * nx + ny * ny + nz * nz) + 1e-6
                if nx * view[0] + ny * view[1] + nz * view[2] < -0.15 * length:
                    length = -length  # the back of an open surface
                nx, ny, nz = nx / length, ny / length, nz / length

                texture = face_textures[f]
                start, h, wide = places[texture, 0], places[texture, 1], places[texture, 2]
                s = u * uvs[f, 0, 0] + v * uvs[f, 1, 0] + t * uvs[f, 2, 0]
                r = u * uvs[f, 0, 1] + v * uvs[f, 1, 1] + t * uvs[f, 2, 1]
                s, r = (s - np.floor(s)) * wide - 0.5, (1 - (r - np.floor(r))) * h - 0.5
                column, row = int(np.floor(s)), int(np.floor(r))
                fs, fr = s - column, r - row
                # Both lie between -1 and the last one; a remainder would take longer than all the rest.
                c0, r0 = column + wide if column < 0 else column, row + h if row < 0 else row
                c1, r1 = column + 1 if column + 1 < wide else 0, row + 1 if row + 1 < h else 0
                i00, i01 = start + r0 * wide + c0, start + r0 * wide + c1
                i10, i11 = start + r1 * wide + c0, start + r1 * wide + c1

                facing = nx * direction[0] + ny * direction[1] + nz * direction[2]
                bright = np.float32(0)
                if facing > 0:
                    lx = u * lit[a, 0] + v * lit[b, 0] + t * lit[c, 0]
                    ly = u * lit[a, 1] + v * lit[b, 1] + t * lit[c, 1]
                    lz = u * lit[a, 2] + v * lit[b, 2] + t * lit[c, 2] + bias * (2 - facing)
                    open_taps = 0
                    for tap in range(4):
                        tx = min(max(int(lx - 0.5 + tap % 2), 0), reach - 1)
                        ty = min(max(int(ly - 0.5 + tap // 2), 0), reach - 1)
                        if lz >= shadow[ty, tx]:
                            open_taps += 1
                    bright = np.float32(facing * open_taps * 0.25)
                up = np.float32(0.5 + 0.5 * nz)
                shine = np.float32(0)
                if bright > 0 and settings[texture] > 0:
                    cosine = max(0.0, (nx * hx + ny * hy + nz * hz) / half)
                    power = cosine * cosine
                    power *= power
                    power *= power
                    power *= power
                    shine = np.float32(settings[texture] * power * power * bright * 0.6)
                for channel in range(3):
                    value = (1 - fr) * ((1 - fs) * pixels[i00, channel] + fs * pixels[i01, channel]) + fr * (
                        (1 - fs) * pixels[i10, channel] + fs * pixels[i11, channel]
                    )
                    value *= np.float32(1 / 255)
                    amount = sun[channel] * bright + sky[channel] * up + ground[channel] * (1 - up)
                    last[channel] = share * (value * value * amount + shine * sun[channel])
                    color[y, x, channel] += last[channel]
                color[y, x, 3] += share
