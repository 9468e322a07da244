"""Whole-body pose estimation: 133 keypoints per person (see README.md).

    from wholebody import WholeBody, follow, read_video

    poses = WholeBody()("photo.jpg")
    for frame, poses in follow(read_video("clip.mp4"), WholeBody()):
        print(frame.time, poses.ids)

The names below are imported on first use, so `import wholebody` is fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wholebody import draw as draw
    from wholebody import evaluate as evaluate
    from wholebody import formats as formats
    from wholebody.errors import WholebodyError as WholebodyError
    from wholebody.images import read_image as read_image
    from wholebody.images import write_image as write_image
    from wholebody.poses import Poses as Poses
    from wholebody.schema import COCO_BODY as COCO_BODY
    from wholebody.schema import COCO_WHOLEBODY as COCO_WHOLEBODY
    from wholebody.schema import OPENPOSE as OPENPOSE
    from wholebody.schema import OPENPOSE_25 as OPENPOSE_25
    from wholebody.schema import Schema as Schema
    from wholebody.tracking.pipeline import Follower as Follower
    from wholebody.tracking.pipeline import follow as follow
    from wholebody.tracking.smooth import Smoother as Smoother
    from wholebody.tracking.track import Tracker as Tracker
    from wholebody.video import decode, mux
    from wholebody.wholebody import WholeBody as WholeBody

    read_video, write_video = decode.read, mux.write
    __version__: str

# Public name -> its module and its name there; the module itself if there is no name.
_HOME = {
    "COCO_BODY": "schema.COCO_BODY",
    "COCO_WHOLEBODY": "schema.COCO_WHOLEBODY",
    "Follower": "tracking.pipeline.Follower",
    "OPENPOSE": "schema.OPENPOSE",
    "OPENPOSE_25": "schema.OPENPOSE_25",
    "Poses": "poses.Poses",
    "Schema": "schema.Schema",
    "Smoother": "tracking.smooth.Smoother",
    "Tracker": "tracking.track.Tracker",
    "WholeBody": "wholebody.WholeBody",
    "WholebodyError": "errors.WholebodyError",
    "draw": "draw",
    "evaluate": "evaluate",
    "follow": "tracking.pipeline.follow",
    "formats": "formats",
    "read_image": "images.read_image",
    "read_video": "video.decode.read",
    "write_image": "images.write_image",
    "write_video": "video.mux.write",
}
__all__ = [*_HOME, "__version__"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("wholebody")
    if name not in _HOME:
        raise AttributeError(f"module 'wholebody' has no attribute {name!r}")
    module, _, attribute = _HOME[name].rpartition(".")
    if module:
        value = getattr(import_module(f"wholebody.{module}"), attribute)
    else:
        value = import_module(f"wholebody.{attribute}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
