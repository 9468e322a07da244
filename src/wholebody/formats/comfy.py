"""POSE_KEYPOINT of ComfyUI: a list of frames with a canvas each."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from wholebody.arrays import Doubles, PathLike, Size
from wholebody.formats.common import JsonFile, poses_of, split, triplets_of, write_json_list
from wholebody.formats.openpose import OPENPOSE_FIELDS
from wholebody.poses import Poses
from wholebody.schema import OPENPOSE


def write_comfy(
    path: PathLike, frames: Poses | Iterable[Poses], size: Size | Sequence[Size], *, threshold: float | None = None
) -> None:
    """Write pictures as ComfyUI's POSE_KEYPOINT: 18 body points, 70 face points, two hands.

    A face or hand that has only missing points is null.

    Args:
        path: the file.
        frames: the people of each picture; a single Poses is one picture.
        size: (width, height) of the canvas in pixels, for all pictures or one for each.
        threshold: None keeps every score. The usual nodes that draw from such a file ignore points whose score is
            below 1, so a number writes what they write: 1 for a point that reaches it, 0, 0, 0 for another.

    Raises:
        WholebodyError: a schema cannot become OPENPOSE, or the file cannot be written.
    """
    frames = [frames] if isinstance(frames, Poses) else frames
    sizes: list[Size] = [(int(width), int(height)) for width, height in np.asarray(size, dtype=np.int64).reshape(-1, 2)]
    each = len(sizes) == 1
    write_json_list(path, _comfy(path, frames, repeat(sizes[0]) if each else sizes, not each, threshold))


def _comfy(
    path: PathLike, frames: Iterable[Poses], sizes: Iterable[Size], strict: bool, threshold: float | None
) -> Iterator[dict[str, Any]]:
    for poses, (width, height) in zip(frames, sizes, strict=strict):
        triplets = triplets_of(poses, OPENPOSE, path)
        if threshold is not None:
            shown = triplets[..., 2] >= threshold
            triplets[..., 2] = 1
            triplets[~shown] = 0
        people = [split(person, OPENPOSE, OPENPOSE_FIELDS) for person in triplets]
        for person in people:
            for field in person.keys() - {"pose_keypoints_2d"}:
                person[field] = person[field] if any(person[field]) else None
        yield {"people": people, "canvas_height": height, "canvas_width": width}


def read_comfy(path: PathLike) -> tuple[list[Poses], list[Size]]:
    """Read a POSE_KEYPOINT file, a list of pictures or a single one.

    A part that is null or absent becomes zeros. Coordinates in fractions of the canvas are scaled to pixels: those
    of a picture all of whose points with a score lie within -1..1. Animals are passed over.

    Returns:
        the people of each picture, in OPENPOSE, and each picture's (width, height).

    Raises:
        WholebodyError: the file cannot be read, or is something else.
    """
    file = JsonFile(Path(path), "ComfyUI POSE_KEYPOINT JSON")
    content = file.content()
    frames, sizes = [], []
    for i, frame in enumerate([content] if isinstance(content, dict) else file.list(content, "")):
        where = f"[{i}]."
        width, height = (
            file.integer(file.field(frame, f"canvas_{side}", where), f"{where}canvas_{side}")
            for side in ("width", "height")
        )
        people = frame.get("people", []) if "animals" in frame else file.field(frame, "people", where)
        people = file.list(people, f"{where}people")
        triplets = file.people(people, f"{where}people", OPENPOSE, OPENPOSE_FIELDS)
        if (np.abs(triplets[triplets[..., 2] > 0, :2]) <= 1).all():
            triplets[..., :2] *= (width, height)
        frames.append(poses_of(triplets, OPENPOSE))
        sizes.append((width, height))
    return frames, sizes


class Bodies(TypedDict):
    """`candidate` (18 N, 2) and `subset` (N, 18): the row of a point in `candidate`, or -1."""

    candidate: Doubles
    subset: Doubles


class PoseDict(TypedDict):
    """What the official annotator and its descendants pass to their drawing functions."""

    bodies: Bodies
    hands: Doubles
    faces: Doubles


def pose_dict(poses: Poses, size: Size, threshold: float = 0.3) -> PoseDict:
    """The people as controlnet_aux's dict, in fractions of the picture.

    Args:
        poses: N people, in any schema that converts to OPENPOSE.
        size: (width, height) of the picture in pixels.
        threshold: a body point needs a higher score, a face or hand point at least this one; else its row is -1.

    Returns:
        `bodies`: see Bodies; `hands` (2 N, 21, 2), all left ones, then all right ones; `faces` (N, 68, 2).
    """
    people = poses.to(OPENPOSE)
    n = len(people)
    fractions = people.keypoints.astype(np.float64) / size
    body = OPENPOSE.parts["body"]
    subset = np.where(people.scores[:, body] > threshold, np.arange(18 * n).reshape(n, 18), -1)
    shown = np.where((people.scores >= threshold)[..., None], fractions, -1.0)
    return {
        "bodies": {"candidate": fractions[:, body].reshape(-1, 2), "subset": subset.astype(np.float64)},
        "hands": np.concatenate([shown[:, OPENPOSE.parts[part]] for part in ("left_hand", "right_hand")]),
        "faces": shown[:, OPENPOSE.parts["face"]][:, :68],
    }
