"""Mapping landmarks of other networks (MoveNet, BlazePose, Face Mesh, Halpe) to COCO_WHOLEBODY."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from wholebody.arrays import Floats
from wholebody.data.labels import HALPE_136
from wholebody.schema import COCO_WHOLEBODY

K = len(COCO_WHOLEBODY)


# For each of the 133 keypoints, the landmarks whose mean it is; keypoints not listed do not exist in that network.
Landmarks = Mapping[int, tuple[int, ...]]


MOVENET_17: Landmarks = MappingProxyType({i: (i,) for i in range(17)})

# MediaPipe Pose. The eyes are the middle ones of three; the foot index is near the big toe, and there is no small toe.
_BLAZEPOSE = (0, 2, 5, 7, 8, *range(11, 17), *range(23, 29), 31, -1, 29, 32, -1, 30)
BLAZEPOSE_33: Landmarks = MappingProxyType({i: (row,) for i, row in enumerate(_BLAZEPOSE) if row >= 0})
# MediaPipe Face Mesh: the jaw is that of a mesh, which does not follow the visible contour of a turned head.
_JAW = (127, 234, 93, (132, 58), (58, 172), 136, 150, 176, 152, 400, 379, 365, (397, 288), 361, 323, 454, 356)
_BROWS = (
    (70, 46),
    (63, 53),
    (105, 52),
    (66, 65),
    (107, 55),
    (336, 285),
    (296, 295),
    (334, 282),
    (293, 283),
    (300, 276),
)
_NOSE = ((168, 6), (197, 195), 5, 4, 75, 97, 2, 326, 305)
_EYES = (33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380)
_MOUTH = (61, 39, 37, 0, 267, 269, 291, 321, 314, 17, 84, 91, 78, 82, 13, 312, 308, 317, 14, 87)
FACE_MESH_468: Landmarks = MappingProxyType(
    {
        23 + i: rows if isinstance(rows, tuple) else (rows,)
        for i, rows in enumerate((*_JAW, *_BROWS, *_NOSE, *_EYES, *_MOUTH))
    }
)
HALPE: Landmarks = MappingProxyType({int(row): (i,) for i, row in enumerate(HALPE_136) if row >= 0})


def to_wholebody(points: Floats, scores: Floats, landmarks: Landmarks) -> tuple[Floats, Floats]:
    """Landmarks of another network as the 133 keypoints.

    Args:
        points: (N, L, 2); scores: (N, L).

    Returns:
        keypoints (N, 133, 2) and scores (N, 133), 0 for keypoints that the network does not have.
    """
    n = len(points)
    keypoints, known = np.zeros((n, K, 2), np.float32), np.zeros((n, K), np.float32)
    for row, chosen in landmarks.items():
        keypoints[:, row] = points[:, list(chosen)].mean(axis=1)
        known[:, row] = scores[:, list(chosen)].min(axis=1)
    return keypoints, known
