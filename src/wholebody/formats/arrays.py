"""Poses as NPZ: of one picture, of frames, and of a video with ids and times."""

import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from wholebody.arrays import PathLike
from wholebody.errors import WholebodyError
from wholebody.files import replacing
from wholebody.formats.common import Timed, row_ids, unreadable, video_index
from wholebody.poses import Poses
from wholebody.schema import schema_named

_NPZ_ARRAYS = ("keypoints", "scores", "boxes", "box_scores")


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
        raise unreadable(path, error) from error
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


def write_npz_video(path: PathLike, frames: Iterable[Timed], numbers: Sequence[int] = ()) -> None:
    """Write a video of T frames and I people as arrays, compressed.

    `times` (T,) seconds; `ids` (I,); `keypoints` (T, I, K, 2), `scores` (T, I, K), `boxes` (T, I, 4), `box_scores`
    (T, I); `schema`, its name. Who is not in a frame has NaN keypoints and boxes, and scores 0. `source_frames` (T,):
    the frames' numbers in the video.

    Args:
        numbers: those numbers; without them they are left out.

    Raises:
        WholebodyError: a person has no id, or the file cannot be written.
    """
    times, ids, schema = video_index(path, frames)
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
                    here[[columns[track_id] for track_id in row_ids(poses)]] = getattr(poses, name)
                    file.write(here.tobytes())
        small = {"times": np.array(times), "ids": np.array(ids, np.int64), "schema": schema.name}
        if numbers:
            small["source_frames"] = np.array(numbers, np.int64)
        for name, array in small.items():
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


def read_source_frames(path: PathLike) -> list[int]:
    """The numbers of a video's frames in what `write_npz_video` wrote, [] where they are not known.

    Raises:
        WholebodyError: the file cannot be read, or is something else.
    """
    numbers: list[int] = _load_npz(path).get("source_frames", np.zeros(0, np.int64)).tolist()
    return numbers
