"""CMU OpenPose's JSON: one file per frame; 25 or 18 body points, hands and face."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wholebody.arrays import PathLike
from wholebody.formats.common import NO_ID, JsonFile, poses_of, split, triplets_of, write_json
from wholebody.poses import Poses
from wholebody.schema import OPENPOSE, OPENPOSE_25

# JSON field -> part of the schema, in the order of the files.
OPENPOSE_FIELDS = {
    "pose_keypoints_2d": "body",
    "face_keypoints_2d": "face",
    "hand_left_keypoints_2d": "left_hand",
    "hand_right_keypoints_2d": "right_hand",
}


def openpose_name(stem: str, frame: int) -> str:
    """OpenPose's name for the file of a video's frame, numbered from 0."""
    return f"{stem}_{frame:012d}_keypoints.json"


def write_openpose(path: PathLike, poses: Poses, moment: Mapping[str, Any] | None = None) -> None:
    """Write the people of one picture as OpenPose 1.3 does: BODY_25, 70 face points, two hands, all scores.

    Args:
        moment: additional fields, such as `formats.common.moment` for a frame of a video.

    Raises:
        WholebodyError: the schema has no feet (OPENPOSE), or the file cannot be written.
    """
    triplets = triplets_of(poses, OPENPOSE_25, path)
    ids = [NO_ID] * len(poses) if poses.ids is None else poses.ids.tolist()
    people = [
        {
            "person_id": [track_id],
            **split(person, OPENPOSE_25, OPENPOSE_FIELDS),
            **{field.replace("2d", "3d"): [] for field in OPENPOSE_FIELDS},
        }
        for track_id, person in zip(ids, triplets, strict=True)
    ]
    write_json(path, {"version": 1.3, "people": people, **(moment or {})})


def read_openpose(path: PathLike) -> Poses:
    """Read an OpenPose file: BODY_25 as OPENPOSE_25, the older 18-point body as OPENPOSE.

    A part that is absent, null or empty becomes zeros. Ids are None if every person_id is -1 or absent.

    Raises:
        WholebodyError: the file cannot be read, or is something else.
    """
    file = JsonFile(Path(path), "OpenPose JSON")
    people = file.list(file.field(file.content(), "people", ""), "people")
    lengths = {
        len(body) for p in people if isinstance(p, dict) and isinstance(body := p.get("pose_keypoints_2d"), list)
    }
    schema = OPENPOSE if 3 * 18 in lengths else OPENPOSE_25
    triplets = file.people(people, "people", schema, OPENPOSE_FIELDS)
    ids = []
    for n, person in enumerate(people):
        value = person.get("person_id")
        ids.append(file.integer(value[0] if isinstance(value, list) and value else NO_ID, f"people[{n}].person_id"))
    return poses_of(triplets, schema, ids=ids)
