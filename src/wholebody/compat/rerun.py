"""People in Rerun's viewer: points with names, bones, boxes, over time.

    import rerun as rr
    from wholebody.compat import rerun

    rr.init("dance", spawn=True)
    rr.log("people", rerun.skeleton(COCO_WHOLEBODY), static=True)      # once: names, bones and colours
    for frame, poses in follow(read("dance.mp4"), follower):
        rr.log("people", rr.Image(frame.image, color_model="BGR"))
        rerun.log("people", poses, time=frame.time)

Each person is a separate entity, people/ID (people/0, 1, ... without ids), so that the viewer draws bones only between
the points of one person. People who are not in a frame are cleared there.
"""

from typing import Any

import numpy as np

from wholebody.errors import WholebodyError
from wholebody.poses import Poses
from wholebody.schema import Schema


def log(entity: str, poses: Poses, *, time: float | None = None, threshold: float = 0.3, recording: Any = None) -> None:
    """Log the people of a picture or a frame. Their bones are shown once `skeleton` is logged for the same entity.

    Args:
        entity: path of the entity that the people are under.
        poses: people in pixels of the picture that is shown there.
        time: seconds, on the timeline "time"; None leaves the timelines unchanged.
        threshold: a point with a lower score is left out.
        recording: a `rerun.RecordingStream`; None is the current one.

    Raises:
        WholebodyError: rerun is not installed.
    """
    rr = _rerun()
    if time is not None:
        rr.set_time("time", duration=time, recording=recording)
    rr.log(entity, rr.Clear(recursive=True), recording=recording)
    for n in range(len(poses)):
        name = n if poses.ids is None else int(poses.ids[n])
        seen = (poses.scores[n] >= threshold) & np.isfinite(poses.keypoints[n]).all(axis=1)
        points = rr.Points2D(poses.keypoints[n, seen], class_ids=0, keypoint_ids=np.flatnonzero(seen))
        rr.log(f"{entity}/{name}/points", points, recording=recording)
        box = rr.Boxes2D(array=poses.boxes[n : n + 1], array_format=rr.Box2DFormat.XYXY, labels=[str(name)])
        rr.log(f"{entity}/{name}/box", box, recording=recording)


def skeleton(schema: Schema) -> Any:
    """Rerun's annotation context for a schema: names and bones of class 0, "person"."""
    rr = _rerun()
    return rr.AnnotationContext(
        rr.ClassDescription(
            info=rr.AnnotationInfo(0, "person", (255, 255, 255)),
            keypoint_annotations=[
                rr.AnnotationInfo(row, name, color) for row, (name, color) in enumerate(_colored(schema))
            ],
            keypoint_connections=[(edge.a, edge.b) for edge in schema.edges],
        )
    )


def _colored(schema: Schema) -> list[tuple[str, tuple[int, int, int]]]:
    colors = dict.fromkeys(range(len(schema)), (255, 255, 255))
    for edge in schema.edges:
        colors[edge.a] = colors[edge.b] = edge.color
    return list(zip(schema.names, colors.values(), strict=True))


def _rerun() -> Any:
    try:
        import rerun
    except ImportError as error:
        raise WholebodyError("Rerun is not installed: pip install rerun-sdk.") from error
    return rerun
