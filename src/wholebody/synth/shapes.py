"""Small meshes: grids, lathed solids, tubes, boxes."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from wholebody.arrays import Floats, Ints32


@dataclass(frozen=True, eq=False)
class Shape:
    """n vertices (n, 3), m faces (m, 3) and their texture coordinates (m, 3, 2)."""

    vertices: Floats
    faces: Ints32
    uvs: Floats

    def at(self, origin: npt.ArrayLike, axes: npt.ArrayLike | None = None) -> "Shape":
        """Moved to an origin (3,), with x, y, z along the rows of `axes` (3, 3)."""
        turned = self.vertices if axes is None else self.vertices @ np.asarray(axes, np.float32)
        return Shape((turned + np.asarray(origin, np.float32)).astype(np.float32), self.faces, self.uvs)


def grid(points: npt.ArrayLike) -> Shape:
    """The surface through a grid of points (R, C, 3); u runs along columns, v along rows, 0 to 1."""
    vertices = np.asarray(points, np.float32)
    faces, uvs = _quads(*vertices.shape[:2])
    return Shape(vertices.reshape(-1, 3), faces, uvs)


@lru_cache(maxsize=64)
def _quads(rows: int, columns: int) -> tuple[Ints32, Floats]:
    """The faces of a grid, two per cell, and their texture coordinates."""
    at = np.arange(rows * columns, dtype=np.int32).reshape(rows, columns)
    a, b, c, d = at[:-1, :-1].ravel(), at[:-1, 1:].ravel(), at[1:, 1:].ravel(), at[1:, :-1].ravel()
    faces = np.concatenate([np.column_stack([a, b, c]), np.column_stack([a, c, d])])
    v, u = np.meshgrid(np.linspace(0, 1, rows), np.linspace(0, 1, columns), indexing="ij")
    uv = np.stack([u.ravel(), v.ravel()], axis=1).astype(np.float32)
    return faces, uv[faces]


def merge(shapes: Sequence[Shape]) -> Shape:
    """Several shapes merged into one."""
    starts = np.cumsum([0, *(len(shape.vertices) for shape in shapes)])
    faces = [shape.faces + start for shape, start in zip(shapes, starts[:-1], strict=True)]
    return Shape(
        np.concatenate([shape.vertices for shape in shapes]),
        np.concatenate(faces).astype(np.int32),
        np.concatenate([shape.uvs for shape in shapes]),
    )


def lathe(profile: npt.ArrayLike, segments: int = 16) -> Shape:
    """A profile of radii and heights (P, 2) turned about the z axis."""
    radius, height = np.asarray(profile, float).T
    angle = np.linspace(0, 2 * np.pi, segments + 1)
    round_ = np.stack([np.outer(radius, np.cos(angle)), np.outer(radius, np.sin(angle))], axis=-1)
    return grid(np.dstack([round_, np.repeat(height[:, None], segments + 1, 1)]))


def ball(radius: float, low: float = -90, segments: int = 16) -> Shape:
    """A sphere about the origin, or the cap of it above the latitude `low` (degrees)."""
    latitude = np.deg2rad(np.linspace(low, 90, 10))
    return lathe(radius * np.column_stack([np.cos(latitude), np.sin(latitude)]), segments)


def rod(length: float, radius: float, start: float = 0.0, segments: int = 10) -> Shape:
    """A closed cylinder about the z axis from z = start."""
    end = start + length
    return lathe([(0, start), (radius, start), (radius, end), (0, end)], segments)


def tube(path: npt.ArrayLike, radius: float, sides: int = 6) -> Shape:
    """A round tube along a path (P, 3)."""
    line = np.asarray(path, float)
    along = np.gradient(line, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True) + 1e-12
    # The axis that the path follows least keeps the rings from twisting.
    reference = np.eye(3)[np.abs(along).sum(axis=0).argmin()]
    first = np.cross(along, reference)
    first /= np.linalg.norm(first, axis=1, keepdims=True) + 1e-12
    second = np.cross(along, first)
    angle = np.linspace(0, 2 * np.pi, sides + 1)[:, None]
    return grid(line[:, None] + radius * (np.cos(angle) * first[:, None] + np.sin(angle) * second[:, None]))


def box(size: npt.ArrayLike) -> Shape:
    """A box about the origin with sharp edges; `size` (3,) are its full lengths."""
    cube = _cube()
    return Shape((cube.vertices * np.asarray(size, np.float32)).astype(np.float32), cube.faces, cube.uvs)


@lru_cache(maxsize=1)
def _cube() -> Shape:
    square = np.array([[[-1, -1, 1], [1, -1, 1]], [[-1, 1, 1], [1, 1, 1]]]) / 2
    orders = ([0, 1, 2], [2, 0, 1], [1, 2, 0])
    return merge([grid((square * [1, 1, sign])[..., order]) for order in orders for sign in (1, -1)])
