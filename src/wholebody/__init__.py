"""Whole-body pose estimation: 133 keypoints per person (see README.md).

    from wholebody import WholeBody
    poses = WholeBody()("photo.jpg")

The names below are imported when they are first used, so that `import wholebody` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wholebody.errors import WholebodyError as WholebodyError
    from wholebody.images import read_image as read_image
    from wholebody.images import write_image as write_image
    from wholebody.poses import Poses as Poses
    from wholebody.schema import COCO_WHOLEBODY as COCO_WHOLEBODY
    from wholebody.schema import OPENPOSE as OPENPOSE
    from wholebody.wholebody import WholeBody as WholeBody

_HOME = {
    "COCO_WHOLEBODY": "schema",
    "OPENPOSE": "schema",
    "Poses": "poses",
    "WholeBody": "wholebody",
    "WholebodyError": "errors",
    "read_image": "images",
    "write_image": "images",
}
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'wholebody' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"wholebody.{_HOME[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
