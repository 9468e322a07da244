"""Shared by the formats: rounding, missing points, ids, and JSON that is checked field by field."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wholebody.arrays import Doubles, Floats, PathLike
from wholebody.errors import WholebodyError
from wholebody.files import replacing
from wholebody.poses import Poses
from wholebody.reading import parse_json, unreadable
from wholebody.schema import COCO_WHOLEBODY, Schema

LARGEST = float(np.finfo(np.float32).max)
NO_ID = -1

# A video's poses are pairs (time, people): seconds since its start, and Poses with ids. Writers take any iterable of
# them that can be iterated repeatedly, such as a list, and hold one frame at a time.

Timed = tuple[float, Poses]


def row_ids(poses: Poses) -> list[int]:
    """The ids of the people, in the order of the rows; empty if they have none."""
    return [] if poses.ids is None else poses.ids.tolist()


def video_index(path: PathLike, frames: Iterable[Timed]) -> tuple[list[float], list[list[int]], Schema]:
    """The times of all frames, the ids of the people in each, and the schema.

    A pass over the frames of a resumable run reads them from disk and smooths them again, so take all that is needed
    from one.
    """
    times, ids, schema = [], list[list[int]](), None
    for time, poses in frames:
        if poses.ids is None and len(poses):
            raise WholebodyError(f"{path}: people without ids cannot be told apart over time. Track them first.")
        times.append(float(time))
        ids.append(row_ids(poses))
        schema = poses.schema if schema is None or len(poses) else schema
    return times, ids, schema or COCO_WHOLEBODY


def mean_rate(times: Sequence[float], fps: float | None) -> float:
    """Frames per second: the video's own rate, if the times, which some files round, agree with it within 1 %."""
    if len(times) < 2:
        return fps or 1.0
    rate = (len(times) - 1) / (times[-1] - times[0])
    return fps if fps is not None and abs(rate / fps - 1) < 0.01 else rate


def moment(time: float, number: int | None) -> dict[str, Any]:
    """The JSON fields for a frame's position in its video: its number, if known, and its time in seconds."""
    return ({} if number is None else {"source_frame": number}) | {"time": round(float(time), 6)}


PIXEL_DECIMALS, SCORE_DECIMALS = 2, 4


def triplets_of(poses: Poses, schema: Schema, path: PathLike) -> Doubles:
    """(N, K, 3) rounded x, y and score in another schema, all zero where one of them is not finite."""
    try:
        people = poses.to(schema)
    except ValueError as error:
        raise WholebodyError(f"{path}: {error}. Choose another format.") from error
    finite = np.isfinite(people.keypoints).all(axis=-1) & np.isfinite(people.scores)
    x_y = rounded(np.where(finite[..., None], people.keypoints, 0), PIXEL_DECIMALS)
    scores = rounded(np.where(finite, people.scores, 0), SCORE_DECIMALS)
    return np.concatenate([x_y, scores[..., None]], axis=-1)


def rounded(values: npt.NDArray[np.floating], decimals: int) -> Doubles:
    # In double precision, so that the text has no more digits than asked; adding 0 turns -0.0 into 0.0.
    return np.asarray(np.round(values.astype(np.float64), decimals) + 0.0)


def split(person: Doubles, schema: Schema, fields: Mapping[str, str]) -> dict[str, Any]:
    return {field: person[schema.parts[part]].ravel().tolist() for field, part in fields.items()}


def poses_of(triplets: Floats, schema: Schema, ids: Sequence[int] = ()) -> Poses:
    """Poses from (N, K, 3), boxes from the extent of their points; ids if one of them is not -1."""
    keypoints, scores = triplets[..., :2], triplets[..., 2]
    seen = (scores > 0)[..., None]
    corners = [
        np.where(seen, keypoints, np.inf).min(axis=1, initial=np.inf),
        np.where(seen, keypoints, -np.inf).max(axis=1, initial=-np.inf),
    ]
    boxes = np.where(seen.any(axis=1), np.concatenate(corners, axis=-1), 0)
    known = any(track_id != NO_ID for track_id in ids)
    return Poses(
        keypoints, scores, boxes, np.ones(len(keypoints), np.float32), schema, np.array(ids) if known else None
    )


def _json(content: object) -> bytes:
    return json.dumps(content, allow_nan=False, separators=(",", ":")).encode()


def write_json(path: PathLike, content: object) -> None:
    with replacing(path) as partial:
        partial.write_bytes(_json(content) + b"\n")


def write_json_list(path: PathLike, rows: Iterable[object]) -> None:
    """Write row by row: a long video's poses need not fit into memory."""
    with replacing(path) as partial, partial.open("wb") as file:
        file.write(b"[")
        for n, row in enumerate(rows):
            file.write(b"," * (n > 0) + _json(row))
        file.write(b"]\n")


@dataclass(frozen=True)
class JsonFile:
    """A JSON file being read: each method takes a value and its path in the file, and returns the checked value."""

    path: Path
    kind: str

    def wrong(self, where: str, problem: str) -> WholebodyError:
        return WholebodyError(f"{self.path}: {where or 'top level'} {problem}. Is this {self.kind}?")

    def content(self) -> Any:
        try:
            return parse_json(self.path.read_bytes())
        except OSError as error:
            raise unreadable(self.path, error) from error
        except ValueError as error:
            raise self.wrong("", "is not valid JSON") from error

    def field(self, holder: Any, name: str, where: str) -> Any:
        if not isinstance(holder, dict):
            raise self.wrong(where.rstrip("."), "is not an object")
        if name not in holder:
            raise self.wrong(where + name, "is missing")
        return holder[name]

    def list(self, value: Any, where: str) -> list[Any]:
        if not isinstance(value, list):
            raise self.wrong(where, "is not a list")
        return value

    def integer(self, value: Any, where: str) -> int:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not -(2**63) <= value < 2**63:
            raise self.wrong(where, "is not a whole number")
        return value

    def numbers(self, value: Any, where: str, count: int) -> Floats:
        """(count,) finite float32."""
        if not isinstance(value, list) or len(value) != count:
            found = f"{len(value)} numbers" if isinstance(value, list) else type(value).__name__
            raise self.wrong(where, f"has {found} instead of {count}")
        if not {type(number) for number in value} <= {int, float}:
            raise self.wrong(where, "holds something that is not a number")
        try:
            with np.errstate(over="ignore"):
                array = np.array(value, dtype=np.float64).astype(np.float32)
        except OverflowError:
            array = np.array([np.inf], dtype=np.float32)
        if not np.isfinite(array).all():
            raise self.wrong(where, "holds NaN or a number out of range")
        return array

    def person(self, holder: Any, where: str, schema: Schema, fields: Mapping[str, str]) -> Floats:
        """(K, 3) x, y and score from the fields of one person; absent, null or empty fields become zeros."""
        if not isinstance(holder, dict):
            raise self.wrong(where.rstrip("."), "is not an object")
        triplets = np.zeros((len(schema), 3), dtype=np.float32)
        for field, part in fields.items():
            if holder.get(field) not in (None, []):
                rows = schema.parts[part]
                numbers = self.numbers(holder[field], where + field, 3 * (rows.stop - rows.start))
                triplets[rows] = numbers.reshape(-1, 3)
        return triplets

    def people(self, holders: Sequence[Any], where: str, schema: Schema, fields: Mapping[str, str]) -> Floats:
        """(N, K, 3)."""
        people = [self.person(holder, f"{where}[{n}].", schema, fields) for n, holder in enumerate(holders)]
        return np.array(people, dtype=np.float32).reshape(len(people), len(schema), 3)
