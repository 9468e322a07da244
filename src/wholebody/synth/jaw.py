"""Jaw points where annotators place them: on the jaw where it is visible, and otherwise on the contour of the face.

A turned head hides its far jaw. Annotators then mark the edge of the cheek instead, at the height of the hidden point.
So each jaw point has a path: a horizontal line over the skin from the point forwards to the middle of the face. For a
given camera, the point moves along its path until the surface faces the camera.
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from wholebody.arrays import Floats, Ints32
from wholebody.synth.body import Body, outermost

FIRST, COUNT = 23, 17  # rows of the jaw in COCO-WholeBody
STEPS = 25


@lru_cache(maxsize=2)
def jaw_paths(body: Body) -> tuple[Ints32, Floats]:
    """(17, S, 3) skin vertices and their weights: the paths of the jaw points, the first step being the point itself.

    A path that meets no skin stays at its start, and so does that of the chin.
    """
    at = {int(row): int(vertex) for row, vertex in zip(body.point_rows, body.point_vertices, strict=True)}
    starts = np.array([at[FIRST + i] for i in range(COUNT)], np.int32)
    points = body.template[starts].astype(np.float64)
    # Rays leave an upright axis between the jaw's ends: none of them meets an ear.
    axis_y = points[[0, -1], 1].mean()
    head = np.isin(body.main_bone, [body.bone[name] for name in ("head", "neck03") if name in body.bone])
    faces = body.faces[body.part("body")]
    faces = faces[head[faces].all(axis=1)]
    vertices = np.repeat(np.repeat(starts[:, None, None], STEPS, 1), 3, 2)
    weights = np.zeros((COUNT, STEPS, 3), np.float32)
    weights[..., 0] = 1
    heights = body.template[faces, 2]
    lowest, highest = heights.min(axis=1), heights.max(axis=1)
    for i, (x, y, z) in enumerate(points):
        level = faces[(lowest <= z) & (highest >= z)]
        outwards = np.arctan2(x, axis_y - y)
        for step in range(1, STEPS):
            angle = outwards * (1 - step / (STEPS - 1))
            hit = outermost(body.template, level, (0, axis_y, z), (np.sin(angle), -np.cos(angle), 0))
            if hit is not None and i != COUNT // 2:
                vertices[i, step], weights[i, step] = hit
    return vertices.astype(np.int32), weights


def slide(paths: Floats, normals: Floats, eye: npt.ArrayLike) -> Floats:
    """Points as an annotator sees them from `eye`.

    Args:
        paths: (N, S, 3) positions along each point's path, first the point itself.
        normals: (N, S, 3) outward surface normals there, of any length.
        eye: (3,) the camera's position.

    Returns:
        (N, 3): the first position on each path where the surface faces the camera, interpolated between steps. If it
        never does, the position where it comes closest to that.
    """
    facing = (normals * (np.asarray(eye, np.float32) - paths)).sum(axis=2)
    rows = np.arange(len(paths))
    seen = facing >= 0
    first = np.where(seen.any(axis=1), seen.argmax(axis=1), facing.argmax(axis=1))
    before = np.maximum(first - 1, 0)
    low, high = facing[rows, before], facing[rows, first]
    between = (low < 0) & (high >= 0)
    share = np.where(between, -low / np.where(between, high - low, 1), 1)[:, None]
    found: Floats = ((1 - share) * paths[rows, before] + share * paths[rows, first]).astype(np.float32)
    return found
