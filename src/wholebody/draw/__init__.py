"""Drawing: functions (image, Poses) -> image. Every image is (H, W, 3) uint8 BGR, and none is changed in place.

`figures` has the skeleton and OpenPose's map; `canvas` has drawings of a requested size.
"""

from wholebody.draw.canvas import Canvas, Sizing, parsed_size
from wholebody.draw.figures import FINGER_COLORS, JOINT_COLORS, Color, dark, dots, drawable, openpose, skeleton, sticks

__all__ = [
    "FINGER_COLORS",
    "JOINT_COLORS",
    "Canvas",
    "Color",
    "Sizing",
    "dark",
    "dots",
    "drawable",
    "openpose",
    "parsed_size",
    "skeleton",
    "sticks",
]
