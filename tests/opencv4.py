"""The bilinear warp of OpenCV 4, which the golden crops were cut with; version 5 samples at exact positions instead.

Positions are rounded to 1/32 pixel, which changes a pixel by up to seven grey levels in the steep test picture and
moves the argmax of a few flat, random-weight logits. With these pixels the golden numbers are met exactly.
"""

import numpy as np


def cut(image: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W, C) uint8 -> (h, w, C), black outside; `matrix` is image -> crop, `size` (w, h)."""
    determinant = matrix[0, 0] * matrix[1, 1] - matrix[0, 1] * matrix[1, 0]
    a, b, c, d = np.array([matrix[1, 1], -matrix[0, 1], -matrix[1, 0], matrix[0, 0]]) / determinant
    tx, ty = -a * matrix[0, 2] - b * matrix[1, 2], -c * matrix[0, 2] - d * matrix[1, 2]
    columns, rows = np.arange(size[0]), np.arange(size[1])[:, None]
    # 10 bits of fraction while adding, 5 bits of it kept, rounded.
    x, y = (
        (np.rint((v * rows + t) * 1024).astype(int) + 16 + np.rint(u * columns * 1024).astype(int)) >> 5
        for u, v, t in ((a, b, tx), (c, d, ty))
    )
    padded = np.pad(image.astype(int), ((1, 2), (1, 2), (0, 0)))
    inside = (x >> 5 >= -1) & (x >> 5 < image.shape[1]) & (y >> 5 >= -1) & (y >> 5 < image.shape[0])
    left, top = (np.where(inside, v >> 5, -1) + 1 for v in (x, y))
    fx, fy = ((v & 31)[..., None] for v in (x, y))
    upper = padded[top, left] * (32 - fx) + padded[top, left + 1] * fx
    lower = padded[top + 1, left] * (32 - fx) + padded[top + 1, left + 1] * fx
    mixed = (upper * (32 - fy) + lower * fy + 512) >> 10
    return np.where(inside[..., None], mixed, 0).astype(np.uint8)
