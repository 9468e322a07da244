"""Poses as tables: CSV and Parquet, one row per keypoint or per person."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wholebody.arrays import PathLike
from wholebody.errors import WholebodyError
from wholebody.files import replacing
from wholebody.formats.common import (
    LARGEST,
    NO_ID,
    PIXEL_DECIMALS,
    SCORE_DECIMALS,
    Timed,
    poses_of,
    rounded,
    row_ids,
    triplets_of,
    video_index,
)
from wholebody.poses import Poses
from wholebody.reading import check_room, in_short, reading
from wholebody.schema import COCO_WHOLEBODY, SCHEMAS, Schema, schema_named

_CSV_HEADER = ["image", "person", "id", "keypoint", "x", "y", "score"]


def write_csv(path: PathLike, images: Mapping[str, Poses]) -> None:
    """Write a row per person and keypoint: image, person (0, 1, ...), id, keypoint, x, y, score.

    `id` is empty without track ids. A picture without people is one row with only its name.

    Raises:
        WholebodyError: the file cannot be written.
    """
    with replacing(path) as partial, partial.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_CSV_HEADER)
        for image, poses in images.items():
            for n, person in enumerate(triplets_of(poses, poses.schema, path).tolist()):
                track_id = "" if poses.ids is None else int(poses.ids[n])
                writer.writerows(
                    (image, n, track_id, name, x, y, score)
                    for name, (x, y, score) in zip(poses.schema.names, person, strict=True)
                )
            if not len(poses):
                writer.writerow([image, *[""] * 6])


def read_csv(path: PathLike) -> dict[str, Poses]:
    """Read what `write_csv` wrote: image -> people. The schema follows from the keypoints' names.

    A picture without people gets the schema of the other pictures, or COCO_WHOLEBODY if there are none.

    Raises:
        WholebodyError: the file cannot be read, or is something else.
    """
    people: dict[str, dict[str, dict[str, tuple[float, ...]]]] = {}
    ids: dict[tuple[str, str], int] = {}
    with (
        reading(path, "a CSV file of poses", "Write it again"),
        Path(path).open(encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        reader = csv.reader(file, strict=True)
        if next(reader, None) != _CSV_HEADER:
            raise WholebodyError(f"{path}: line 1 is not {','.join(_CSV_HEADER)}. Is this a CSV file of poses?")
        for row in reader:
            where = f"{path}: line {reader.line_num}"
            if len(row) != len(_CSV_HEADER):
                raise WholebodyError(f"{where} has {len(row)} fields instead of {len(_CSV_HEADER)}. Correct it.")
            image, person, track_id, name, *numbers = row
            points = people.setdefault(image, {})
            if person:
                if name in points.setdefault(person, {}):
                    raise WholebodyError(f"{where}: person {person} has keypoint {name!r} twice. Correct it.")
                points[person][name] = _csv_numbers(numbers, where)
                ids[image, person] = _csv_id(track_id, where)
    schemas = {image: _csv_schema(path, image, persons) for image, persons in people.items() if persons}
    usual = next(iter(schemas.values()), COCO_WHOLEBODY)
    images = {}
    for image, persons in people.items():
        schema = schemas.get(image, usual)
        triplets = [[points[name] for name in schema.names] for points in persons.values()]
        array = np.array(triplets, dtype=np.float32).reshape(len(persons), len(schema), 3)
        images[image] = poses_of(array, schema, ids=[ids[image, person] for person in persons])
    return images


def _csv_numbers(fields: Sequence[str], where: str) -> tuple[float, ...]:
    for name, text in zip(_CSV_HEADER[-3:], fields, strict=True):
        try:
            finite = abs(float(text)) < LARGEST
        except ValueError:
            finite = False
        if not finite:
            raise WholebodyError(f"{where}: {name} is {text!r}, not a number. Correct it.")
    return tuple(float(text) for text in fields)


def _csv_id(text: str, where: str) -> int:
    try:
        return int(np.int64(int(text or NO_ID)))
    except (ValueError, OverflowError) as error:
        raise WholebodyError(f"{where}: id is {text!r}, not a whole number. Correct it.") from error


def _csv_schema(path: PathLike, image: str, persons: Mapping[str, Mapping[str, object]]) -> Schema:
    for schema in SCHEMAS:
        if all(points.keys() == set(schema.names) for points in persons.values()):
            return schema
    raise WholebodyError(
        f"{path}: keypoint: the names at image {image!r} are not those of a known schema. Correct them."
    )


def write_parquet(path: PathLike, frames: Iterable[Timed]) -> None:
    """Write a row for each person in each frame: frame, time, id, box (4), box_score, keypoints (3 K: x, y, score).

    A frame without people is one row with only its number and time. The schema's name is in the metadata.

    Raises:
        WholebodyError: pyarrow is not installed, a person has no id, or the file cannot be written.
    """
    arrow, parquet = _pyarrow(path)
    _, _, schema = video_index(path, frames)
    fields = [
        arrow.field("frame", arrow.int32()),
        arrow.field("time", arrow.float64()),
        arrow.field("id", arrow.int64()),
        arrow.field("box", arrow.list_(arrow.float32(), 4)),
        arrow.field("box_score", arrow.float32()),
        arrow.field("keypoints", arrow.list_(arrow.float32(), 3 * len(schema))),
    ]
    layout = arrow.schema(fields, metadata={"schema": schema.name})
    rows: list[dict[str, Any]] = []
    with replacing(path) as partial, parquet.ParquetWriter(partial, layout) as writer:
        for frame, (time, poses) in enumerate(frames):
            triplets = np.concatenate([poses.keypoints, poses.scores[..., None]], axis=-1).reshape(
                len(poses), 3 * len(schema)
            )
            rows += [
                {
                    "frame": frame,
                    "time": time,
                    "id": track_id,
                    "box": poses.boxes[n],
                    "box_score": float(poses.box_scores[n]),
                    "keypoints": triplets[n],
                }
                for n, track_id in enumerate(row_ids(poses))
            ] or [{"frame": frame, "time": time}]
            if len(rows) >= 2000:
                writer.write_table(arrow.Table.from_pylist(rows, layout))
                rows = []
        writer.write_table(arrow.Table.from_pylist(rows, layout))


def read_parquet(path: PathLike) -> list[Timed]:
    """Read what `write_parquet` wrote.

    Raises:
        WholebodyError: pyarrow is not installed, or the file cannot be read or is something else.
    """
    arrow, parquet = _pyarrow(path)
    with reading(path, "a Parquet file of poses"):
        try:
            return _parquet_frames(path, parquet)
        except arrow.ArrowException as error:  # not all of them derive from Python's errors
            raise ValueError(in_short(error)) from error


def _parquet_frames(path: PathLike, parquet: Any) -> list[Timed]:
    people: dict[int, tuple[float, list[dict[str, Any]]]] = {}
    with parquet.ParquetFile(path) as file:
        schema = schema_named((file.schema_arrow.metadata or {}).get(b"schema", b"").decode())
        check_room(path, file.metadata.num_rows * (1000 + 12 * len(schema)))
        for batch in file.iter_batches(256):  # as lists, numbers take eight times the memory
            for row in batch.to_pylist():
                found = people.setdefault(row["frame"], (row["time"], []))[1]
                if row["id"] is not None:
                    arrays = {name: np.array(row[name], np.float32) for name in ("box", "keypoints")}
                    found.append({"id": row["id"], "box_score": row["box_score"], **arrays})
    return [(float(time), _person_rows(schema, found)) for _, (time, found) in sorted(people.items())]


def _person_rows(schema: Schema, rows: Sequence[Mapping[str, Any]]) -> Poses:
    """Poses from rows with box, box_score, keypoints (3 K) and id."""
    triplets = np.array([row["keypoints"] for row in rows], np.float32).reshape(len(rows), len(schema), 3)
    boxes = np.array([row["box"] for row in rows], np.float32).reshape(len(rows), 4)
    box_scores = np.array([row["box_score"] for row in rows], np.float32)
    # Not via floats, which hold integers only up to 2**53.
    ids = np.array([row["id"] for row in rows], np.int64)
    return Poses(triplets[..., :2], triplets[..., 2], boxes, box_scores, schema, ids)


def _pyarrow(path: PathLike) -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise WholebodyError(f"{path}: Parquet needs an extra: pip install 'wholebody[parquet]'.") from error
    return pyarrow, pyarrow.parquet


_CSV_VIDEO_HEADER = ["frame", "time", "id", "x0", "y0", "x1", "y1", "box_score"]


def write_csv_video(path: PathLike, frames: Iterable[Timed]) -> None:
    """Write a row for each person in each frame: frame, time, id, box, box score, then x, y, score of each keypoint.

    A frame without people is one row with only its number and time.

    Raises:
        WholebodyError: a person has no id, or the file cannot be written.
    """
    _, _, schema = video_index(path, frames)
    points = [f"{name}_{axis}" for name in schema.names for axis in ("x", "y", "score")]
    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*_CSV_VIDEO_HEADER, *points])
        for frame, (time, poses) in enumerate(frames):
            boxes = rounded(np.where(np.isfinite(poses.boxes), poses.boxes, 0), PIXEL_DECIMALS).tolist()
            scores = rounded(np.where(np.isfinite(poses.box_scores), poses.box_scores, 0), SCORE_DECIMALS).tolist()
            for track_id, box, score, person in zip(
                row_ids(poses), boxes, scores, triplets_of(poses, schema, path), strict=True
            ):
                writer.writerow([frame, f"{time:.6f}", track_id, *box, score, *person.ravel().tolist()])
            if not len(poses):
                writer.writerow([frame, f"{time:.6f}", *[""] * (len(_CSV_VIDEO_HEADER) + len(points) - 2)])


def read_csv_video(path: PathLike) -> list[Timed]:
    """Read what `write_csv_video` wrote.

    Raises:
        WholebodyError: the file cannot be read, or is something else.
    """
    fixed = len(_CSV_VIDEO_HEADER)
    people: dict[int, tuple[float, list[dict[str, Any]]]] = {}
    with (
        reading(path, "a CSV file of a video's poses", "Write it again"),
        Path(path).open(encoding="utf-8", newline="") as file,
    ):
        reader = csv.reader(file, strict=True)
        header = next(reader, [])
        names = tuple(name.removesuffix("_x") for name in header[fixed::3])
        schema = next((schema for schema in SCHEMAS if schema.names == names), None)
        if header[:fixed] != _CSV_VIDEO_HEADER or schema is None:
            raise WholebodyError(f"{path}: line 1 is not that of a video's poses. Is this another CSV file?")
        for row in reader:
            try:
                frame, time, track_id, *numbers = row
                found = people.setdefault(int(frame), (float(time), []))[1]
                if track_id:
                    found.append(_csv_person(int(track_id), numbers, fixed + 3 * len(schema) - 3))
            except (ValueError, OverflowError) as error:
                where = f"{path}: line {reader.line_num}"
                raise WholebodyError(f"{where} cannot be read ({in_short(error)}). Correct it.") from error
        return [(time, _person_rows(schema, found)) for _, (time, found) in sorted(people.items())]


def _csv_person(track_id: int, numbers: Sequence[str], count: int) -> dict[str, Any]:
    values = np.array([float(number) for number in numbers])
    if len(values) != count or not (abs(values) < LARGEST).all():
        raise ValueError(f"{count} finite numbers are expected after the id")
    return {"id": np.int64(track_id), "box": values[:4], "box_score": values[4], "keypoints": values[5:]}
