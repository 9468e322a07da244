"""Pose2Sim's project folder: <trial>/pose/<video>_json/<video>_000000.json; a folder per camera, a file per frame.

The layout is OpenPose's, but all points of a person are in `pose_keypoints_2d`, in the order of Pose2Sim's skeletons:
COCO_133 for COCO_WHOLEBODY, HALPE_26, COCO_17 for COCO_BODY.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from wholebody.arrays import PathLike
from wholebody.errors import WholebodyError
from wholebody.files import RESULT, replacing_folder
from wholebody.formats.common import (
    NO_ID,
    JsonFile,
    Timed,
    moment,
    poses_of,
    row_ids,
    triplets_of,
    write_json,
)
from wholebody.formats.openpose import OPENPOSE_FIELDS
from wholebody.poses import Poses
from wholebody.reading import unreadable
from wholebody.schema import COCO_BODY, COCO_WHOLEBODY, HALPE_26, schema_with

_POINTS, *_EMPTY = OPENPOSE_FIELDS
_KNOWN = (COCO_WHOLEBODY, HALPE_26, COCO_BODY)


def pose2sim_folder(place: Path) -> Path:
    """Pose2Sim's folder for the results of a video at `place` (<trial>/<video>_pose): <trial>/pose/<video>_json."""
    return place.parent / "pose" / f"{''.join(place.name.rsplit(RESULT, 1))}_json"


def write_pose2sim(folder: PathLike, frames: Iterable[Timed], numbers: Sequence[int] = ()) -> None:
    """Write the video of one camera. Files are numbered from 0, because Pose2Sim treats equal numbers of all cameras as
    the same moment; `source_frame` and `time` in each file give the position in the video.

    Args:
        folder: its name must contain "json", as that of `pose2sim_folder` does. An older one is replaced entirely.
        numbers: the numbers of the frames in the video, if known.

    Raises:
        WholebodyError: Pose2Sim has no skeleton of the schema, or the folder cannot be written.
    """
    folder = Path(folder)
    name = folder.name.removesuffix("_json")
    with replacing_folder(folder) as fresh:
        for n, (time, poses) in enumerate(frames):
            if poses.schema not in _KNOWN:
                raise WholebodyError(f"{folder}: Pose2Sim has no skeleton {poses.schema.name}. Choose another format.")
            ids = row_ids(poses) or [NO_ID] * len(poses)
            people = [
                {
                    "person_id": [track_id],
                    _POINTS: person.ravel().tolist(),
                    **{field: [] for field in _EMPTY},
                    **{field.replace("2d", "3d"): [] for field in OPENPOSE_FIELDS},
                }
                for track_id, person in zip(ids, triplets_of(poses, poses.schema, folder), strict=True)
            ]
            where = moment(time, numbers[n] if numbers else None)
            write_json(fresh / f"{name}_{n:06d}.json", {"version": 1.3, "people": people, **where})


def read_pose2sim(folder: PathLike) -> list[Poses]:
    """Read what `write_pose2sim` or Pose2Sim itself wrote for a camera: the people of each frame, in order.

    Ids are None if every person_id is -1. The schema follows from the number of points.

    Raises:
        WholebodyError: the folder cannot be read, or holds something else.
    """
    try:
        paths = [path for path in Path(folder).iterdir() if path.suffix == ".json" and re.search(r"\d", path.stem)]
    except OSError as error:
        raise unreadable(folder, error) from error
    return [_read(path) for path in sorted(paths, key=lambda path: int(re.findall(r"\d+", path.stem)[-1][-300:]))]


def _read(path: Path) -> Poses:
    file = JsonFile(path, "Pose2Sim's JSON")
    rows, ids = [], []
    people = file.list(file.field(file.content(), "people", ""), "people")
    for n, person in enumerate(people):
        where = f"people[{n}]."
        flat = file.list(file.field(person, _POINTS, where), where + _POINTS)
        rows.append(file.numbers(flat, where + _POINTS, len(flat)))
        value = person.get("person_id")
        ids.append(file.integer(value[0] if isinstance(value, list) and value else NO_ID, where + "person_id"))
    schema = schema_with(len(rows[0]) // 3) if rows else COCO_WHOLEBODY
    if schema not in _KNOWN or any(len(row) != 3 * len(schema) for row in rows):
        raise file.wrong("people", "has a number of points that no skeleton here has")
    return poses_of(np.array(rows, np.float32).reshape(len(rows), len(schema), 3), schema, ids)
