"""Poses in files: a writer and a reader for each layout that other programs understand.

| writer           | one file holds       | keypoints                  | boxes | ids | feet | scores   | nobody    |
|------------------|----------------------|----------------------------|-------|-----|------|----------|-----------|
| write_openpose   | a picture            | OPENPOSE_25 (CMU 1.3)      | no    | yes | yes  | yes      | kept      |
| write_comfy      | pictures in order    | OPENPOSE (POSE_KEYPOINT)   | no    | no  | no   | yes      | kept      |
| write_coco       | pictures by id       | COCO_WHOLEBODY (results)   | yes   | yes | yes  | yes      | no row    |
| write_npz        | a picture            | any schema, every bit      | yes   | yes | yes  | yes      | kept      |
| write_npz_frames | pictures in order    | any schema, every bit      | yes   | yes | yes  | yes      | kept      |
| write_csv        | pictures by name     | any schema                 | no    | yes | yes  | yes      | kept      |
| pose_dict        | (a dict, one way)    | OPENPOSE (controlnet_aux)  | no    | no  | no   | no       | kept      |
| write_npz_video  | a video              | any schema, every bit      | yes   | yes | yes  | yes      | kept      |
| write_parquet    | a video              | any schema, every bit      | yes   | yes | yes  | yes      | kept      |
| write_csv_video  | a video              | any schema                 | yes   | yes | yes  | yes      | kept      |
| write_trc(s)     | a person of a video  | any schema (OpenSim)       | no    | no  | yes  | no       | kept      |

In memory: `to_bytes(write_openpose, poses)` and `from_bytes(read_openpose, data)`, and so for each of them.

Where boxes are not kept, a reader gives the extent of the points with a score above 0, and box score 1.

JSON and CSV hold pixels with 2 decimals and scores with 4. A point with a number that is NaN or infinite is written as
0, 0, 0, these formats' way to say "missing"; such a box as 0, 0, 0, 0, such a box score as 0. The same Poses always
give the same bytes, and a file is replaced in one step. A file that cannot be read raises a WholebodyError naming the
file and the field.
"""

import csv
import json
import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import islice, repeat
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

from wholebody.errors import WholebodyError
from wholebody.files import from_bytes as from_bytes
from wholebody.files import replacing
from wholebody.files import to_bytes as to_bytes
from wholebody.poses import Floats, Poses
from wholebody.schema import COCO_WHOLEBODY, OPENPOSE, OPENPOSE_25, SCHEMAS, Schema, schema_named

PathLike = str | os.PathLike[str]
Doubles = npt.NDArray[np.float64]
Size = tuple[int, int]

# JSON field -> part of the schema, in the order of the files.
_OPENPOSE_FIELDS = {
    "pose_keypoints_2d": "body",
    "face_keypoints_2d": "face",
    "hand_left_keypoints_2d": "left_hand",
    "hand_right_keypoints_2d": "right_hand",
}
_COCO_FIELDS = {
    "keypoints": "body",
    "foot_kpts": "feet",
    "face_kpts": "face",
    "lefthand_kpts": "left_hand",
    "righthand_kpts": "right_hand",
}
_CSV_HEADER = ["image", "person", "id", "keypoint", "x", "y", "score"]
_NPZ_ARRAYS = ("keypoints", "scores", "boxes", "box_scores")
_LARGEST = float(np.finfo(np.float32).max)
_NO_ID = -1
# Marker files that are written at a time: systems allow a few hundred open files.
_TRC_OPEN = 100


# --- OpenPose JSON, CMU 1.3 -------------------------------------------------------------------------------------------


def openpose_name(stem: str, frame: int) -> str:
    """The name OpenPose gives to the file of a video's frame, counted from 0."""
    return f"{stem}_{frame:012d}_keypoints.json"


def write_openpose(path: PathLike, poses: Poses) -> None:
    """Write the people of one picture as OpenPose 1.3 does: BODY_25, 70 face points, two hands, all scores.

    Raises:
        WholebodyError: the schema has no feet (OPENPOSE), or the file cannot be written.
    """
    triplets = _triplets(poses, OPENPOSE_25, path)
    ids = [_NO_ID] * len(poses) if poses.ids is None else poses.ids.tolist()
    people = [
        {
            "person_id": [track_id],
            **_split(person, OPENPOSE_25, _OPENPOSE_FIELDS),
            **{field.replace("2d", "3d"): [] for field in _OPENPOSE_FIELDS},
        }
        for track_id, person in zip(ids, triplets, strict=True)
    ]
    _write_json(path, {"version": 1.3, "people": people})


def read_openpose(path: PathLike) -> Poses:
    """Read an OpenPose file: BODY_25 as OPENPOSE_25, the older 18-point body as OPENPOSE.

    A part that is absent, null or empty becomes zeros. Ids are None where every person_id is -1 or absent.

    Raises:
        WholebodyError: the file cannot be read, or is something else.
    """
    file = _JsonFile(Path(path), "OpenPose JSON")
    people = file.list(file.field(file.content(), "people", ""), "people")
    lengths = {
        len(body) for p in people if isinstance(p, dict) and isinstance(body := p.get("pose_keypoints_2d"), list)
    }
    schema = OPENPOSE if 3 * 18 in lengths else OPENPOSE_25
    triplets = file.people(people, "people", schema, _OPENPOSE_FIELDS)
    ids = []
    for n, person in enumerate(people):
        value = person.get("person_id")
        ids.append(file.integer(value[0] if isinstance(value, list) and value else _NO_ID, f"people[{n}].person_id"))
    return _poses(triplets, schema, ids=ids)


# --- ComfyUI's POSE_KEYPOINT ------------------------------------------------------------------------------------------


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
    _write_json_list(path, _comfy(path, frames, repeat(sizes[0]) if each else sizes, not each, threshold))


def _comfy(
    path: PathLike, frames: Iterable[Poses], sizes: Iterable[Size], strict: bool, threshold: float | None
) -> Iterator[dict[str, Any]]:
    for poses, (width, height) in zip(frames, sizes, strict=strict):
        triplets = _triplets(poses, OPENPOSE, path)
        if threshold is not None:
            shown = triplets[..., 2] >= threshold
            triplets[..., 2] = 1
            triplets[~shown] = 0
        people = [_split(person, OPENPOSE, _OPENPOSE_FIELDS) for person in triplets]
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
    file = _JsonFile(Path(path), "ComfyUI POSE_KEYPOINT JSON")
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
        triplets = file.people(people, f"{where}people", OPENPOSE, _OPENPOSE_FIELDS)
        if (np.abs(triplets[triplets[..., 2] > 0, :2]) <= 1).all():
            triplets[..., :2] *= (width, height)
        frames.append(_poses(triplets, OPENPOSE))
        sizes.append((width, height))
    return frames, sizes


# --- COCO-WholeBody results -------------------------------------------------------------------------------------------


def write_coco(
    path: PathLike, images: Mapping[int, Poses] | Mapping[str, Poses] | Iterable[tuple[int | str, Poses]]
) -> None:
    """Write pictures as COCO-WholeBody results: a row per person, `score` the box score, track ids where there are.

    Args:
        path: the file.
        images: image_id -> people, in COCO_WHOLEBODY or a schema that converts to it; or pairs of both.

    Raises:
        WholebodyError: a schema cannot become COCO_WHOLEBODY, or the file cannot be written.
    """
    _write_json_list(path, _coco(path, images.items() if isinstance(images, Mapping) else images))


def _coco(path: PathLike, images: Iterable[tuple[int | str, Poses]]) -> Iterator[dict[str, Any]]:
    for image_id, poses in images:
        triplets = _triplets(poses, COCO_WHOLEBODY, path)
        boxes = np.where(np.isfinite(poses.boxes).all(axis=1, keepdims=True), poses.boxes, 0).astype(np.float64)
        boxes[:, 2:] -= boxes[:, :2]
        boxes = _rounded(boxes, _PIXEL_DECIMALS)
        box_scores = _rounded(np.where(np.isfinite(poses.box_scores), poses.box_scores, 0), _SCORE_DECIMALS)
        for n, person in enumerate(triplets):
            result = {
                "image_id": image_id if isinstance(image_id, str) else int(image_id),
                "category_id": 1,
                **_split(person, COCO_WHOLEBODY, _COCO_FIELDS),
                "bbox": boxes[n].tolist(),
                "score": float(box_scores[n]),
            }
            if poses.ids is not None:
                result["track_id"] = int(poses.ids[n])
            yield result


def read_coco(path: PathLike) -> dict[int | str, Poses]:
    """Read COCO-WholeBody results, with the points in five fields or all 133 in `keypoints`: image_id -> people.

    Fields other than image_id and keypoints may be absent: a part becomes zeros, the box the extent of the points,
    the box score 1.

    Raises:
        WholebodyError: the file cannot be read, or is something else.
    """
    file = _JsonFile(Path(path), "COCO-WholeBody results JSON")
    rows: dict[int | str, list[tuple[Floats, Floats | None, float, int]]] = {}
    for i, result in enumerate(file.list(file.content(), "")):
        where = f"[{i}]."
        image_id = file.field(result, "image_id", where)
        if not isinstance(image_id, str):
            image_id = file.integer(image_id, f"{where}image_id")
        flat = file.field(result, "keypoints", where)
        if isinstance(flat, list) and len(flat) == 3 * len(COCO_WHOLEBODY):
            triplets = file.numbers(flat, f"{where}keypoints", len(flat)).reshape(-1, 3)
        else:
            triplets = file.person(result, where, COCO_WHOLEBODY, _COCO_FIELDS)
        box = result.get("bbox")
        if box is not None:
            box = file.numbers(box, f"{where}bbox", 4)
            box[2:] += box[:2]
        score = float(file.numbers([result.get("score", 1)], f"{where}score", 1)[0])
        track_id = file.integer(result.get("track_id", _NO_ID), f"{where}track_id")
        rows.setdefault(image_id, []).append((triplets, box, score, track_id))
    images: dict[int | str, Poses] = {}
    for image_id, people in rows.items():
        triplets = np.stack([person[0] for person in people])
        poses = _poses(triplets, COCO_WHOLEBODY, ids=[person[3] for person in people])
        boxes = [extent if box is None else box for (_, box, _, _), extent in zip(people, poses.boxes, strict=True)]
        scores = np.array([person[2] for person in people], dtype=np.float32)
        images[image_id] = replace(poses, boxes=np.stack(boxes), box_scores=scores)
    return images


# --- NPZ --------------------------------------------------------------------------------------------------------------


def write_npz(path: PathLike, poses: Poses) -> None:
    """Write the arrays of one picture under their names, and `schema`, the schema's name. `ids` only if there are.

    Raises:
        WholebodyError: the file cannot be written.
    """
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez(file, **_arrays(poses))


def read_npz(path: PathLike) -> Poses:
    """Read what `write_npz` wrote.

    Raises:
        WholebodyError: the file cannot be read, or is something else.
    """
    arrays = _load_npz(path)
    if "counts" in arrays:
        raise WholebodyError(f"{path}: counts: this file holds several frames. Read it with read_npz_frames.")
    return _from_arrays(path, arrays)


def write_npz_frames(path: PathLike, frames: Sequence[Poses]) -> None:
    """Write pictures in order: the arrays of all people one after another, and `counts`, (frames,) people in each.

    Ids are kept if all frames have them.

    Raises:
        ValueError: the frames' schemas differ.
        WholebodyError: the file cannot be written.
    """
    counts = np.array([len(poses) for poses in frames], dtype=np.int64)
    arrays = _arrays(Poses.concatenate(frames))
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez(file, counts=counts, **arrays)


def read_npz_frames(path: PathLike) -> list[Poses]:
    """Read what `write_npz_frames` wrote; what `write_npz` wrote is one frame.

    Raises:
        WholebodyError: the file cannot be read, or is something else.
    """
    arrays = _load_npz(path)
    poses = _from_arrays(path, arrays)
    counts = arrays.get("counts", np.array([len(poses)]))
    if counts.ndim != 1 or counts.dtype.kind not in "iu" or (counts < 0).any() or counts.sum() != len(poses):
        raise WholebodyError(f"{path}: counts does not add up to the {len(poses)} people of keypoints. Write it again.")
    ends = np.cumsum(counts).tolist()
    return [poses[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)] if ends else []


def _arrays(poses: Poses) -> dict[str, Any]:
    arrays = {name: getattr(poses, name) for name in _NPZ_ARRAYS}
    if poses.ids is not None:
        arrays["ids"] = poses.ids
    return {**arrays, "schema": np.array(poses.schema.name)}


def _load_npz(path: PathLike) -> dict[str, npt.NDArray[Any]]:
    try:
        file = np.load(path, allow_pickle=False)
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise ValueError("a single array")
        with file:
            return {name: file[name] for name in file.files}
    except OSError as error:
        raise _unreadable(path, error) from error
    except (ValueError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise WholebodyError(f"{path}: not an NPZ file of poses, or a damaged one. Write it again.") from error


def _from_arrays(path: PathLike, arrays: Mapping[str, npt.NDArray[Any]]) -> Poses:
    for name in (*_NPZ_ARRAYS, "schema"):
        if name not in arrays:
            raise WholebodyError(f"{path}: {name} is missing. Is this an NPZ file of poses?")
    ids = arrays.get("ids")
    keypoints, scores, boxes, box_scores = (arrays[name] for name in _NPZ_ARRAYS)
    for name, array, kinds in (*((name, arrays[name], "fiu") for name in _NPZ_ARRAYS), ("ids", ids, "iu")):
        if array is not None and (array.dtype.kind not in kinds or not array.ndim):
            raise WholebodyError(f"{path}: {name} is not an array of numbers. Write it again.")
    try:
        return Poses(keypoints, scores, boxes, box_scores, schema_named(str(arrays["schema"])), ids)
    except ValueError as error:
        raise WholebodyError(f"{path}: {error}. Write it again.") from error


# --- CSV --------------------------------------------------------------------------------------------------------------


def write_csv(path: PathLike, images: Mapping[str, Poses]) -> None:
    """Write a row per person and keypoint: image, person (0, 1, ...), id, keypoint, x, y, score.

    `id` is empty without track ids. A picture of nobody is one row with nothing but its name.

    Raises:
        WholebodyError: the file cannot be written.
    """
    with replacing(path) as partial, partial.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_CSV_HEADER)
        for image, poses in images.items():
            for n, person in enumerate(_triplets(poses, poses.schema, path).tolist()):
                track_id = "" if poses.ids is None else int(poses.ids[n])
                writer.writerows(
                    (image, n, track_id, name, x, y, score)
                    for name, (x, y, score) in zip(poses.schema.names, person, strict=True)
                )
            if not len(poses):
                writer.writerow([image, *[""] * 6])


def read_csv(path: PathLike) -> dict[str, Poses]:
    """Read what `write_csv` wrote: image -> people. The keypoints' names tell the schema.

    A picture of nobody gets the schema of the other pictures, or COCO_WHOLEBODY if there are none.

    Raises:
        WholebodyError: the file cannot be read, or is something else.
    """
    people: dict[str, dict[str, dict[str, tuple[float, ...]]]] = {}
    ids: dict[tuple[str, str], int] = {}
    try:
        with Path(path).open(encoding="utf-8", errors="surrogateescape", newline="") as file:
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
    except OSError as error:
        raise _unreadable(path, error) from error
    except csv.Error as error:
        raise WholebodyError(f"{path}: not a CSV file ({error}). Write it again.") from error
    schemas = {image: _csv_schema(path, image, persons) for image, persons in people.items() if persons}
    usual = next(iter(schemas.values()), COCO_WHOLEBODY)
    images = {}
    for image, persons in people.items():
        schema = schemas.get(image, usual)
        triplets = [[points[name] for name in schema.names] for points in persons.values()]
        array = np.array(triplets, dtype=np.float32).reshape(len(persons), len(schema), 3)
        images[image] = _poses(array, schema, ids=[ids[image, person] for person in persons])
    return images


def _csv_numbers(fields: Sequence[str], where: str) -> tuple[float, ...]:
    for name, text in zip(_CSV_HEADER[-3:], fields, strict=True):
        try:
            finite = abs(float(text)) < _LARGEST
        except ValueError:
            finite = False
        if not finite:
            raise WholebodyError(f"{where}: {name} is {text!r}, not a number. Correct it.")
    return tuple(float(text) for text in fields)


def _csv_id(text: str, where: str) -> int:
    try:
        return int(text or _NO_ID)
    except ValueError as error:
        raise WholebodyError(f"{where}: id is {text!r}, not a whole number. Correct it.") from error


def _csv_schema(path: PathLike, image: str, persons: Mapping[str, Mapping[str, object]]) -> Schema:
    for schema in SCHEMAS:
        if all(points.keys() == set(schema.names) for points in persons.values()):
            return schema
    raise WholebodyError(
        f"{path}: keypoint: the names at image {image!r} are not those of a known schema. Correct them."
    )


# --- Videos -----------------------------------------------------------------------------------------------------------
#
# A video's poses are pairs (time, people): seconds since its start, and Poses with ids. Writers take any iterable of
# them that can be gone through again and again, such as a list, and hold a frame at a time.

Timed = tuple[float, Poses]


def write_npz_video(path: PathLike, frames: Iterable[Timed]) -> None:
    """Write a video of T frames and I people as arrays, compressed.

    `times` (T,) seconds; `ids` (I,); `keypoints` (T, I, K, 2), `scores` (T, I, K), `boxes` (T, I, 4), `box_scores`
    (T, I); `schema`, its name. Who is not in a frame has NaN keypoints and boxes, and scores 0.

    Raises:
        WholebodyError: somebody has no id, or the file cannot be written.
    """
    times, ids, schema = _video_index(path, frames)
    columns = {track_id: column for column, track_id in enumerate(ids)}
    shapes = {"keypoints": (len(schema), 2), "scores": (len(schema),), "boxes": (4,), "box_scores": ()}
    with replacing(path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, shape in shapes.items():
            header = {"descr": "<f4", "fortran_order": False, "shape": (len(times), len(ids), *shape)}
            row = np.full((len(ids), *shape), np.nan if name in ("keypoints", "boxes") else 0, "<f4")
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array_header_1_0(file, header)
                for _, poses in frames:
                    here = row.copy()
                    here[[columns[track_id] for track_id in _ids(poses)]] = getattr(poses, name)
                    file.write(here.tobytes())
        for name, array in (("times", np.array(times)), ("ids", np.array(ids, np.int64)), ("schema", schema.name)):
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, np.asanyarray(array), allow_pickle=False)


def read_npz_video(path: PathLike) -> list[Timed]:
    """Read what `write_npz_video` wrote; people come in the order of their ids.

    Raises:
        WholebodyError: the file cannot be read, or is something else.
    """
    arrays = _load_npz(path)
    for name in (*_NPZ_ARRAYS, "times", "ids", "schema"):
        if name not in arrays:
            raise WholebodyError(f"{path}: {name} is missing. Is this an NPZ file of a video's poses?")
    keypoints, scores, boxes, box_scores = (arrays[name] for name in _NPZ_ARRAYS)
    times, ids = arrays["times"], arrays["ids"]
    lead = (len(times), len(ids)) if times.ndim == ids.ndim == 1 else ()
    if any(array.shape[:2] != lead or array.dtype.kind != "f" for array in (keypoints, scores, boxes, box_scores)):
        raise WholebodyError(f"{path}: the arrays do not agree on frames and people. Write it again.")
    here = ~np.isnan(boxes).any(axis=-1)
    try:
        schema = schema_named(str(arrays["schema"]))
        return [
            (
                float(time),
                Poses(keypoints[t, seen], scores[t, seen], boxes[t, seen], box_scores[t, seen], schema, ids[seen]),
            )
            for t, (time, seen) in enumerate(zip(times, here, strict=True))
        ]
    except ValueError as error:
        raise WholebodyError(f"{path}: {error}. Write it again.") from error


def write_parquet(path: PathLike, frames: Iterable[Timed]) -> None:
    """Write a row for each person in each frame: frame, time, id, box (4), box_score, keypoints (3 K: x, y, score).

    A frame of nobody is a row with its number and time alone. The schema's name is in the metadata.

    Raises:
        WholebodyError: pyarrow is not installed, somebody has no id, or the file cannot be written.
    """
    arrow, parquet = _pyarrow(path)
    _, _, schema = _video_index(path, frames)
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
                for n, track_id in enumerate(_ids(poses))
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
    try:
        table = parquet.read_table(path)
        schema = schema_named((table.schema.metadata or {}).get(b"schema", b"").decode())
        rows = table.to_pylist()
        people: dict[int, tuple[float, list[dict[str, Any]]]] = {}
        for row in rows:
            people.setdefault(row["frame"], (row["time"], []))[1].extend([row] if row["id"] is not None else [])
        return [(time, _person_rows(schema, found)) for _, (time, found) in sorted(people.items())]
    except OSError as error:
        raise _unreadable(path, error) from error
    except (arrow.ArrowException, ValueError, KeyError, TypeError) as error:
        raise WholebodyError(f"{path}: not a Parquet file of poses ({' '.join(str(error).split())}).") from error


def _person_rows(schema: Schema, rows: Sequence[Mapping[str, Any]]) -> Poses:
    """Poses of rows with box, box_score, keypoints (3 K) and id."""
    triplets = np.array([row["keypoints"] for row in rows], np.float32).reshape(len(rows), len(schema), 3)
    boxes = np.array([row["box"] for row in rows], np.float32).reshape(len(rows), 4)
    box_scores, ids = (np.array([row[name] for row in rows], float) for name in ("box_score", "id"))
    return Poses(
        triplets[..., :2], triplets[..., 2], boxes, box_scores.astype(np.float32), schema, ids.astype(np.int64)
    )


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

    A frame of nobody is a row with its number and time alone.

    Raises:
        WholebodyError: somebody has no id, or the file cannot be written.
    """
    _, _, schema = _video_index(path, frames)
    points = [f"{name}_{axis}" for name in schema.names for axis in ("x", "y", "score")]
    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*_CSV_VIDEO_HEADER, *points])
        for frame, (time, poses) in enumerate(frames):
            boxes = _rounded(np.where(np.isfinite(poses.boxes), poses.boxes, 0), _PIXEL_DECIMALS).tolist()
            scores = _rounded(np.where(np.isfinite(poses.box_scores), poses.box_scores, 0), _SCORE_DECIMALS).tolist()
            for track_id, box, score, person in zip(
                _ids(poses), boxes, scores, _triplets(poses, schema, path), strict=True
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
    try:
        with Path(path).open(encoding="utf-8", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            names = tuple(name.removesuffix("_x") for name in header[fixed::3])
            schema = next((schema for schema in SCHEMAS if schema.names == names), None)
            if header[:fixed] != _CSV_VIDEO_HEADER or schema is None:
                raise WholebodyError(f"{path}: line 1 is not that of a video's poses. Is this another CSV file?")
            for row in reader:
                frame, time, track_id, *numbers = row
                found = people.setdefault(int(frame), (float(time), []))[1]
                if track_id:
                    values = [float(number) for number in numbers]
                    found.append(
                        {"id": int(track_id), "box": values[:4], "box_score": values[4], "keypoints": values[5:]}
                    )
            return [(time, _person_rows(schema, found)) for _, (time, found) in sorted(people.items())]
    except OSError as error:
        raise _unreadable(path, error) from error
    except (csv.Error, ValueError) as error:
        raise WholebodyError(f"{path}: line {reader.line_num} cannot be read ({error}). Correct it.") from error


def write_trc(path: PathLike, frames: Iterable[Timed], person: int, height: int) -> None:
    """Write one person of a video as OpenSim's marker file, a marker for each keypoint.

    X is to the right and Y up, from the lower left corner of the picture, Z is 0. The format knows millimetres and
    metres only: a pixel stands as a millimetre. A frame without the person, and a point without a score, is blank.

    Args:
        path: the .trc file. frames: the video. person: the id. height: of the picture in pixels.

    Raises:
        WholebodyError: the file cannot be written.
    """
    write_trcs({person: path}, frames, height)


def write_trcs(paths: Mapping[int, PathLike], frames: Iterable[Timed], height: int) -> None:
    """`write_trc` of many people, ids and their files, in one pass for a hundred of them."""
    if not paths:
        return
    times, _, schema = _video_index(next(iter(paths.values())), frames)
    rate = (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 1.0
    counts = f"{len(times)}\t{len(schema)}\tmm\t{rate:.6g}\t1\t{len(times)}"
    nobody = ["\t\t"] * len(schema)
    for first in range(0, len(paths), _TRC_OPEN):
        some = dict(islice(paths.items(), first, first + _TRC_OPEN))
        with ExitStack() as opened:
            files = {}
            for person, path in some.items():
                partial = opened.enter_context(replacing(path))
                file = files[person] = opened.enter_context(partial.open("w", encoding="utf-8", newline=""))
                file.write(f"PathFileType\t4\t(X/Y/Z)\t{Path(path).name}\n")
                file.write("DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\t")
                file.write(f"OrigNumFrames\n{rate:.6g}\t{rate:.6g}\t{counts}\n")
                file.write("Frame#\tTime\t" + "\t\t\t".join(schema.names) + "\t\t\n\t\t")
                file.write("\t".join(f"{axis}{n}" for n in range(1, len(schema) + 1) for axis in "XYZ") + "\n\n")
            for number, (time, poses) in enumerate(frames, 1):
                rows = {track_id: row for row, track_id in enumerate(_ids(poses))}
                for person, file in files.items():
                    cells = nobody
                    if person in rows:
                        points = _triplets(poses[[rows[person]]], schema, some[person])[0].tolist()
                        cells = [f"{x:.2f}\t{height - y:.2f}\t0.00" if score > 0 else "\t\t" for x, y, score in points]
                    file.write("\t".join([str(number), f"{time:.6f}", *cells]) + "\n")


def read_trc(path: PathLike, height: int) -> tuple[Doubles, tuple[str, ...], Doubles]:
    """Read what `write_trc` wrote: times (T,), the markers' names, and pixels (T, K, 2), NaN where blank.

    Raises:
        WholebodyError: the file cannot be read, or is something else.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
        names = tuple(name for name in lines[3].split("\t")[2:] if name)
        rows = [line.split("\t") for line in lines[5:] if line.strip()]
        values = np.array([[float(cell) if cell else np.nan for cell in row[1:]] for row in rows])
        points = values[:, 1:].reshape(len(rows), len(names), 3)[..., :2]
    except OSError as error:
        raise _unreadable(path, error) from error
    except (ValueError, IndexError) as error:
        raise WholebodyError(f"{path}: not a TRC file, or a damaged one. Write it again.") from error
    return values[:, 0], names, np.stack([points[..., 0], height - points[..., 1]], axis=-1)


def _ids(poses: Poses) -> list[int]:
    return [] if poses.ids is None else poses.ids.tolist()


def _video_index(path: PathLike, frames: Iterable[Timed]) -> tuple[list[float], list[int], Schema]:
    """The times of all frames, everybody's id, and the schema."""
    times, ids, schema = [], set[int](), None
    for time, poses in frames:
        if poses.ids is None and len(poses):
            raise WholebodyError(f"{path}: people without ids cannot be told apart over time. Track them first.")
        times.append(float(time))
        ids.update(_ids(poses))
        schema = poses.schema if schema is None or len(poses) else schema
    return times, sorted(ids), schema or COCO_WHOLEBODY


# --- controlnet_aux's dict --------------------------------------------------------------------------------------------


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


# --- Shared -----------------------------------------------------------------------------------------------------------

_PIXEL_DECIMALS, _SCORE_DECIMALS = 2, 4


def _triplets(poses: Poses, schema: Schema, path: PathLike) -> Doubles:
    """(N, K, 3) rounded x, y and score in another schema, all zero where one of them is not finite."""
    try:
        people = poses.to(schema)
    except ValueError as error:
        raise WholebodyError(f"{path}: {error}. Choose another format.") from error
    finite = np.isfinite(people.keypoints).all(axis=-1) & np.isfinite(people.scores)
    x_y = _rounded(np.where(finite[..., None], people.keypoints, 0), _PIXEL_DECIMALS)
    scores = _rounded(np.where(finite, people.scores, 0), _SCORE_DECIMALS)
    return np.concatenate([x_y, scores[..., None]], axis=-1)


def _rounded(values: npt.NDArray[np.floating], decimals: int) -> Doubles:
    # In double precision, so that the text has no more digits than asked; adding 0 turns -0.0 into 0.0.
    return np.asarray(np.round(values.astype(np.float64), decimals) + 0.0)


def _split(person: Doubles, schema: Schema, fields: Mapping[str, str]) -> dict[str, Any]:
    return {field: person[schema.parts[part]].ravel().tolist() for field, part in fields.items()}


def _poses(triplets: Floats, schema: Schema, ids: Sequence[int] = ()) -> Poses:
    """Poses from (N, K, 3), boxes from the extent of their points; ids if one of them is not -1."""
    keypoints, scores = triplets[..., :2], triplets[..., 2]
    seen = (scores > 0)[..., None]
    corners = [
        np.where(seen, keypoints, np.inf).min(axis=1, initial=np.inf),
        np.where(seen, keypoints, -np.inf).max(axis=1, initial=-np.inf),
    ]
    boxes = np.where(seen.any(axis=1), np.concatenate(corners, axis=-1), 0)
    known = any(track_id != _NO_ID for track_id in ids)
    return Poses(
        keypoints, scores, boxes, np.ones(len(keypoints), np.float32), schema, np.array(ids) if known else None
    )


def _json(content: object) -> bytes:
    return json.dumps(content, allow_nan=False, separators=(",", ":")).encode()


def _write_json(path: PathLike, content: object) -> None:
    with replacing(path) as partial:
        partial.write_bytes(_json(content) + b"\n")


def _write_json_list(path: PathLike, rows: Iterable[object]) -> None:
    """Row by row: a long video's poses need not fit into memory."""
    with replacing(path) as partial, partial.open("wb") as file:
        file.write(b"[")
        for n, row in enumerate(rows):
            file.write(b"," * (n > 0) + _json(row))
        file.write(b"]\n")


def _unreadable(path: PathLike, error: OSError) -> WholebodyError:
    return WholebodyError(f"{path}: cannot read ({error.strerror or error}). Check the name and the permissions.")


@dataclass(frozen=True)
class _JsonFile:
    """A JSON file being read: each method takes a value and its place in the file, and returns it checked."""

    path: Path
    kind: str

    def wrong(self, where: str, problem: str) -> WholebodyError:
        return WholebodyError(f"{self.path}: {where or 'top level'} {problem}. Is this {self.kind}?")

    def content(self) -> Any:
        try:
            return json.loads(self.path.read_bytes())
        except OSError as error:
            raise _unreadable(self.path, error) from error
        except (ValueError, RecursionError) as error:
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
        """(K, 3) x, y and score from the fields of one person; a field that is absent, null or empty is zeros."""
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
