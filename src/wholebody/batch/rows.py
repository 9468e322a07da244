"""Results as an Arrow table with one row per person, and back.

| column        | type        |                                                                                     |
|---------------|-------------|-------------------------------------------------------------------------------------|
| id            | string      | the picture or video, see `sources`                                                 |
| error         | string      | what went wrong; null if nothing did                                                |
| width, height | int32       | of the picture in pixels                                                            |
| frame         | int32       | frame number in a video, from 0; null for a picture, as are time and track          |
| time          | float64     | seconds since the start of the video                                                |
| track         | int64       | the person's id, the same in all frames of a video                                  |
| people        | int32       | the number of people in this picture or frame                                       |
| person        | int32       | 0 to people - 1, highest box score first; null for zero people, as are the rest     |
| box           | float32 [4] | x0, y0, x1, y1 in pixels of the picture                                             |
| box_score     | float32     |                                                                                     |
| keypoints     | float32 [3 K] | x, y, score of each keypoint; reshape to (K, 3)                                   |

A picture without people is one row, and so is a picture that failed. Lists are flat and of fixed size, which DuckDB,
pandas, Polars and Spark can all read. The keypoints' names are in the metadata, under `keypoints`.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa

from wholebody.poses import Poses
from wholebody.schema import Schema, schema_named


@dataclass(frozen=True, eq=False)
class Result:
    """The result for one picture, or one frame of a video.

    Attributes:
        id: of the picture or video.
        poses: the people found; None if it failed.
        size: (width, height) in pixels; None if it failed before this was known.
        error: one line, if it failed.
        frame, time: of a video.
    """

    id: str
    poses: Poses | None = None
    size: tuple[int, int] | None = None
    error: str | None = None
    frame: int | None = None
    time: float | None = None


def layout(schema: Schema) -> pa.Schema:
    """The columns for the keypoints of a schema."""
    fields = {
        "id": pa.string(),
        "error": pa.string(),
        "width": pa.int32(),
        "height": pa.int32(),
        "frame": pa.int32(),
        "time": pa.float64(),
        "track": pa.int64(),
        "people": pa.int32(),
        "person": pa.int32(),
        "box": pa.list_(pa.float32(), 4),
        "box_score": pa.float32(),
        "keypoints": pa.list_(pa.float32(), 3 * len(schema)),
    }
    return pa.schema(fields, {"schema": schema.name, "keypoints": json.dumps(schema.names)})


def to_table(results: Iterable[Result], columns: pa.Schema) -> pa.Table:
    """The rows of results, in order."""
    rows: list[dict[str, Any]] = []
    for result in results:
        width, height = result.size or (None, None)
        row: dict[str, Any] = {"id": result.id, "error": result.error, "width": width, "height": height}
        row |= {"frame": result.frame, "time": result.time}
        poses = result.poses
        if poses is not None:
            row["people"] = len(poses)
        if poses is None or not len(poses):
            rows.append(row)
            continue
        points = np.concatenate([poses.keypoints, poses.scores[..., None]], axis=-1).reshape(len(poses), -1)
        tracks: Sequence[int | None] = [None] * len(poses) if poses.ids is None else poses.ids.tolist()
        for person, track in enumerate(tracks):
            found = {"box": poses.boxes[person], "box_score": float(poses.box_scores[person])}
            rows.append({**row, "track": track, "person": person, **found, "keypoints": points[person]})
    return pa.Table.from_pylist(rows, columns)


def from_table(table: pa.Table) -> Iterator[Result]:
    """The inverse: results in the order of the rows.

    Raises:
        ValueError: not a table of `to_table`.
    """
    schema = schema_named((table.schema.metadata or {}).get(b"schema", b"").decode())
    for (name, frame), group in groupby(_rows(table), lambda row: (row["id"], row["frame"])):
        people = list(group)
        head = people[0]
        size = None if head["width"] is None else (head["width"], head["height"])
        poses = None
        if head["people"] is not None:
            poses = _poses([row for row in people if row["person"] is not None], schema)
        yield Result(name, poses, size, head["error"], frame, head["time"])


def _rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    # A batch at a time: as Python's numbers, keypoints take eight times the memory.
    for batch in table.to_batches(max_chunksize=1024):
        yield from batch.to_pylist()


def _poses(rows: Sequence[Mapping[str, Any]], schema: Schema) -> Poses:
    points = np.array([row["keypoints"] for row in rows], np.float32).reshape(len(rows), len(schema), 3)
    boxes = np.array([row["box"] for row in rows], np.float32).reshape(len(rows), 4)
    scores = np.array([row["box_score"] for row in rows], np.float32)
    tracked = bool(rows) and rows[0]["track"] is not None
    ids = np.array([row["track"] for row in rows], np.int64) if tracked else None
    return Poses(points[..., :2], points[..., 2], boxes, scores, schema, ids)
