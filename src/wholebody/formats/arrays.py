"""Poses as NPZ: one picture, several frames, or a video with ids and times."""

import math
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt

from wholebody.arrays import PathLike
from wholebody.errors import WholebodyError
from wholebody.files import replacing
from wholebody.formats.common import Timed, video_index
from wholebody.poses import Poses
from wholebody.reading import array_header, check_room, load_arrays, read_array, reading
from wholebody.schema import schema_named

_NPZ_ARRAYS = ("keypoints", "scores", "boxes", "box_scores")
_OURS = ("an NPZ file of poses", "Write it again")
# Memory for a frame without people, in bytes: an archive can hold very many of them.
_FRAME = 1000


def write_npz(path: PathLike, poses: Poses) -> None:
    """Write the arrays of one picture under their names, `schema`, the schema's name, and `ids` if there are any.

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
    with reading(path, *_OURS):
        arrays = load_arrays(path)
    if "counts" in arrays:
        raise WholebodyError(f"{path}: counts: this file holds several frames. Read it with read_npz_frames.")
    return _from_arrays(path, arrays)


def write_npz_frames(path: PathLike, frames: Sequence[Poses]) -> None:
    """Write pictures in order: the concatenated arrays of all people, and `counts`, the people in each (frames,).

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
    """Read what `write_npz_frames` wrote; a file from `write_npz` is one frame.

    Raises:
        WholebodyError: the file cannot be read, or is something else.
    """
    with reading(path, *_OURS):
        arrays = load_arrays(path)
        return _split(path, arrays, _from_arrays(path, arrays))


def _split(path: PathLike, arrays: Mapping[str, npt.NDArray[Any]], poses: Poses) -> list[Poses]:
    counts = arrays.get("counts", np.array([len(poses)]))
    people = counts.tolist() if counts.ndim == 1 and counts.dtype.kind in "iu" else [-1]
    if min(people, default=0) < 0 or sum(people) != len(poses):
        raise WholebodyError(f"{path}: counts does not add up to the {len(poses)} people of keypoints. Write it again.")
    check_room(path, _FRAME * len(people))
    ends = list(accumulate(people))
    return [poses[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)] if ends else []


def _arrays(poses: Poses) -> dict[str, Any]:
    arrays = {name: getattr(poses, name) for name in _NPZ_ARRAYS}
    if poses.ids is not None:
        arrays["ids"] = poses.ids
    return {**arrays, "schema": np.array(poses.schema.name)}


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
    """Write a video of T frames as compressed arrays: N rows of people, frame by frame, lowest id first in a frame.

    `times` (T,) seconds; `counts` (T,) people in each frame; `ids` (N,); `keypoints` (N, K, 2), `scores` (N, K),
    `boxes` (N, 4), `box_scores` (N,); `schema`, its name. `source_frames` (T,): the frames' numbers in the video.

    Args:
        numbers: these numbers; omitted if not given.

    Raises:
        WholebodyError: a person has no id, or the file cannot be written.
    """
    times, ids, schema = video_index(path, frames)
    by_id = [np.argsort(each, kind="stable") for each in ids]
    counts = np.array([len(each) for each in ids], np.int64)
    people = int(counts.sum())
    shapes = {"keypoints": (len(schema), 2), "scores": (len(schema),), "boxes": (4,), "box_scores": ()}
    with replacing(path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, shape in shapes.items():
            header = {"descr": "<f4", "fortran_order": False, "shape": (people, *shape)}
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array_header_1_0(file, header)
                for (_, poses), rows in zip(frames, by_id, strict=True):
                    file.write(np.ascontiguousarray(getattr(poses, name)[rows], "<f4").tobytes())
        small = {
            "ids": np.array([key for each in ids for key in sorted(each)], np.int64),
            "times": np.array(times, np.float64),
            "counts": counts,
            "schema": schema.name,
        }
        if numbers:
            small["source_frames"] = np.array(numbers, np.int64)
        for name, array in small.items():
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, np.asanyarray(array), allow_pickle=False)


def read_npz_video(path: PathLike) -> list[Timed]:
    """Read what `write_npz_video` wrote, and files of version 0.1, which had a row for every id in every frame.

    Raises:
        WholebodyError: the file cannot be read, or is something else.
    """
    with reading(path, *_OURS):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            for name in (*_NPZ_ARRAYS, "times", "ids", "schema"):
                if f"{name}.npy" not in names:
                    raise WholebodyError(f"{path}: {name} is missing. Is this an NPZ file of a video's poses?")
            if "counts.npy" not in names:
                return list(_dense(path, archive))
        arrays = load_arrays(path)
        poses = _split(path, arrays, _from_arrays(path, arrays))
        return list(zip(_times(arrays["times"]), poses, strict=True))


def read_source_frames(path: PathLike) -> list[int]:
    """The numbers of a video's frames in a file from `write_npz_video`, [] if they are unknown.

    Raises:
        WholebodyError: the file cannot be read, or is something else.
    """
    with reading(path, *_OURS), zipfile.ZipFile(path) as archive:
        if "source_frames.npy" not in archive.namelist():
            return []
        info = archive.getinfo("source_frames.npy")
        check_room(path, 5 * info.file_size)
        with archive.open(info) as file:
            numbers = read_array(file, info.file_size)
        if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
            raise ValueError("source_frames is not a row of whole numbers")
        found: list[int] = numbers.tolist()
        return found


def _times(times: npt.NDArray[Any]) -> list[float]:
    if times.ndim != 1 or times.dtype.kind not in "fiu":
        raise ValueError("times is not a row of numbers")
    return [float(time) for time in times.tolist()]


def _dense(path: PathLike, archive: zipfile.ZipFile) -> Iterator[Timed]:
    """The frames of `keypoints` (T, I, K, 2), `boxes` (T, I, 4) and so on; absent people have NaN boxes.

    They are read frame by frame, because many frames with many ids, of which few are present, are large as a whole.
    """
    small = {}
    for name in ("times", "ids", "schema"):
        info = archive.getinfo(f"{name}.npy")
        check_room(path, info.file_size)
        with archive.open(info) as file:
            small[name] = read_array(file, info.file_size)
    times, ids, schema = _times(small["times"]), small["ids"], schema_named(str(small["schema"]))
    check_room(path, _FRAME * len(times))
    if ids.ndim != 1 or ids.dtype.kind not in "iu":
        raise ValueError("ids is not a row of whole numbers")
    shapes = {"keypoints": (len(schema), 2), "scores": (len(schema),), "boxes": (4,), "box_scores": ()}
    with ExitStack() as stack:
        files, kinds = {}, {}
        for name, shape in shapes.items():
            info = archive.getinfo(f"{name}.npy")
            files[name] = stack.enter_context(archive.open(info))
            found, kinds[name], order = array_header(files[name], info.file_size)
            if order == "F":
                raise ValueError("an array in Fortran's order, which has no rows to read one by one")
            if found != (len(times), len(ids), *shape) or kinds[name].kind != "f":
                raise ValueError("the arrays do not agree on frames and people")
            check_room(path, math.prod(found[1:]) * kinds[name].itemsize)
        for time in times:
            rows = {}
            for name, shape in shapes.items():
                size = math.prod((len(ids), *shape)) * kinds[name].itemsize
                rows[name] = np.frombuffer(files[name].read(size), kinds[name]).reshape(len(ids), *shape)
            here = ~np.isnan(rows["boxes"]).any(axis=-1)
            keypoints, scores, boxes, box_scores = (rows[name][here] for name in _NPZ_ARRAYS)
            yield time, Poses(keypoints, scores, boxes, box_scores, schema, ids[here])
