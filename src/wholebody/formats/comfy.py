"""ComfyUI's POSE_KEYPOINT: a list of frames, each with its canvas size."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from wholebody.arrays import Doubles, PathLike, Size
from wholebody.formats.common import (
    NO_ID,
    JsonFile,
    Timed,
    moment,
    poses_of,
    row_ids,
    split,
    triplets_of,
    write_json_list,
)
from wholebody.formats.openpose import OPENPOSE_FIELDS
from wholebody.poses import Poses
from wholebody.schema import OPENPOSE, OPENPOSE_25

_FEET = ("left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe", "right_heel")
_FEET_FIELD = "foot_keypoints_2d"
_FEET_ROWS = slice(OPENPOSE_25.names.index(_FEET[0]), OPENPOSE_25.names.index(_FEET[-1]) + 1)
_KIND = "ComfyUI POSE_KEYPOINT JSON"


def write_comfy(
    path: PathLike,
    frames: Poses | Iterable[Poses],
    size: Size | Sequence[Size],
    *,
    threshold: float | None = 0.3,
) -> None:
    """Write pictures as a file of ComfyUI's POSE_KEYPOINT (see `pose_keypoint`).

    Raises:
        WholebodyError: a schema cannot become OPENPOSE, or the file cannot be written.
    """
    write_json_list(path, pose_keypoint(frames, size, threshold=threshold, name=path))


def write_comfy_video(
    path: PathLike,
    frames: Iterable[Timed],
    size: Size,
    numbers: Sequence[int] = (),
    *,
    threshold: float | None = 0.3,
) -> None:
    """Write a video as POSE_KEYPOINT; each frame also has its position in the video, `time` and `source_frame`.

    Args:
        numbers: the numbers of the frames in the video, if known.

    Raises:
        WholebodyError: as `write_comfy`.
    """
    times: list[float] = []

    def people() -> Iterator[Poses]:
        for time, poses in frames:
            times.append(time)
            yield poses

    rows = pose_keypoint(people(), size, threshold=threshold, name=path)
    write_json_list(path, ({**row, **moment(times[n], numbers[n] if numbers else None)} for n, row in enumerate(rows)))


def pose_keypoint(
    frames: Poses | Iterable[Poses],
    size: Size | Sequence[Size],
    *,
    threshold: float | None = 0.3,
    name: PathLike = "POSE_KEYPOINT",
) -> Iterator[dict[str, Any]]:
    """Pictures as POSE_KEYPOINT frames: 18 body points, 70 face points, two hands, and 6 foot points if available.

    A missing point is 0, 0, 0, and a part is never null, because several common nodes fail on null.

    Args:
        frames: the people of each picture; a single Poses is one picture.
        size: (width, height) of the canvas in pixels, one for all pictures or one per picture.
        threshold: common nodes drop points whose score is below 1. So a point that `draw.openpose` draws at this
            threshold has score 1, and others are missing. None keeps all points and their true scores.
        name: what errors start with.

    Raises:
        WholebodyError: a schema cannot become OPENPOSE.
    """
    frames = [frames] if isinstance(frames, Poses) else frames
    sizes: list[Size] = [(int(width), int(height)) for width, height in np.asarray(size, dtype=np.int64).reshape(-1, 2)]
    one = len(sizes) == 1
    for poses, (width, height) in zip(frames, repeat(sizes[0]) if one else sizes, strict=not one):
        yield {"people": _people(poses, threshold, name), "canvas_height": height, "canvas_width": width}


def _people(poses: Poses, threshold: float | None, name: PathLike) -> list[dict[str, Any]]:
    triplets = _shown(triplets_of(poses, OPENPOSE, name), threshold, OPENPOSE.parts["body"])
    people = [split(person, OPENPOSE, OPENPOSE_FIELDS) for person in triplets]
    if set(_FEET) <= set(poses.schema.names):
        rows = [poses.schema.names.index(point) for point in _FEET]
        feet = _shown(triplets_of(poses, poses.schema, name)[:, rows], threshold, slice(0, 6))
        for person, points in zip(people, feet, strict=True):
            person[_FEET_FIELD] = points.ravel().tolist()
    for person, one in zip(people, row_ids(poses), strict=False):
        person["person_id"] = [one]
    return people


def _shown(triplets: Doubles, threshold: float | None, body: slice) -> Doubles:
    """Score 1 for drawn points (the body above the threshold, other points at or above it); 0, 0, 0 for the rest."""
    if threshold is None:
        return triplets
    shown = triplets[..., 2] >= threshold
    shown[:, body] = triplets[:, body, 2] > threshold
    triplets[..., 2] = 1
    triplets[~shown] = 0
    return triplets


def read_comfy(path: PathLike) -> tuple[list[Poses], list[Size]]:
    """Read a POSE_KEYPOINT file, a list of pictures or a single one (see `from_pose_keypoint`).

    Raises:
        WholebodyError: the file cannot be read, or is something else.
    """
    file = JsonFile(Path(path), _KIND)
    return _frames(file, file.content())


def from_pose_keypoint(content: Any) -> tuple[list[Poses], list[Size]]:
    """POSE_KEYPOINT -> people; also reads that of other programs.

    A part that is null or absent becomes zeros. If all scored points of a picture lie within -1..1, the coordinates are
    taken as fractions of the canvas and scaled to pixels. Animals are ignored.

    Args:
        content: a list of frames, or one frame, as returned by `json.load`.

    Returns:
        the people of each picture, in OPENPOSE, or in OPENPOSE_25 if a person has feet, and each picture's (width,
        height). Ids if there are any.

    Raises:
        WholebodyError: it is something else.
    """
    return _frames(JsonFile(Path("POSE_KEYPOINT"), _KIND), content)


def _frames(file: JsonFile, content: Any) -> tuple[list[Poses], list[Size]]:
    frames: list[tuple[Doubles, Doubles, list[int]]] = []
    sizes: list[Size] = []
    for i, frame in enumerate([content] if isinstance(content, dict) else file.list(content, "")):
        where = f"[{i}]."
        width, height = (
            file.integer(file.field(frame, f"canvas_{side}", where), f"{where}canvas_{side}")
            for side in ("width", "height")
        )
        people = frame.get("people", []) if "animals" in frame else file.field(frame, "people", where)
        people = file.list(people, f"{where}people")
        triplets = file.people(people, f"{where}people", OPENPOSE, OPENPOSE_FIELDS).astype(np.float64)
        feet = np.zeros((len(people), len(_FEET), 3))
        ids = []
        for n, person in enumerate(people):
            at = f"{where}people[{n}]."
            if person.get(_FEET_FIELD) not in (None, []):
                feet[n] = file.numbers(person[_FEET_FIELD], at + _FEET_FIELD, 18).reshape(6, 3)
            value = person.get("person_id")
            ids.append(file.integer(value[0] if isinstance(value, list) and value else NO_ID, at + "person_id"))
        points = np.concatenate([triplets, feet], axis=1)
        if (np.abs(points[points[..., 2] > 0, :2]) <= 1).all():
            for array in (triplets, feet):
                array[..., :2] *= (width, height)
        frames.append((triplets, feet, ids))
        sizes.append((width, height))
    with_feet = any((feet[..., 2] > 0).any() for _, feet, _ in frames)
    return [_with_feet(*frame) if with_feet else _without_feet(*frame) for frame in frames], sizes


def _without_feet(triplets: Doubles, _: Doubles, ids: list[int]) -> Poses:
    return poses_of(triplets.astype(np.float32), OPENPOSE, ids)


def _with_feet(triplets: Doubles, feet: Doubles, ids: list[int]) -> Poses:
    """People with OPENPOSE's rows and feet as OPENPOSE_25; the mid-hip is the mean of the hips."""
    whole = np.zeros((len(triplets), len(OPENPOSE_25), 3))
    whole[:, [OPENPOSE_25.names.index(name) for name in OPENPOSE.names]] = triplets
    whole[:, _FEET_ROWS] = feet
    hips = triplets[:, [OPENPOSE.names.index(f"{side}_hip") for side in ("left", "right")]]
    both = hips[..., 2].min(axis=1) > 0
    middle = np.concatenate([hips[..., :2].mean(axis=1), hips[..., 2:].min(axis=1)], axis=1)
    whole[:, OPENPOSE_25.names.index("mid_hip")] = middle * both[:, None]
    return poses_of(whole.astype(np.float32), OPENPOSE_25, ids)


class Bodies(TypedDict):
    """`candidate` (18 N, 2) and `subset` (N, 18): the row of a point in `candidate`, or -1."""

    candidate: Doubles
    subset: Doubles


class PoseDict(TypedDict):
    """The dict that the official annotator and its descendants pass to their drawing functions."""

    bodies: Bodies
    hands: Doubles
    faces: Doubles


def pose_dict(poses: Poses, size: Size, threshold: float = 0.3) -> PoseDict:
    """The people as controlnet_aux's dict, with coordinates in fractions of the picture.

    Args:
        poses: N people, in any schema that converts to OPENPOSE.
        size: (width, height) of the picture in pixels.
        threshold: a body point needs a higher score, a face or hand point at least this one; else its row is -1.

    Returns:
        `bodies`: see Bodies; `hands` (2 N, 21, 2), all left hands, then all right hands; `faces` (N, 68, 2).
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
