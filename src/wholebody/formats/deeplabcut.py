"""DeepLabCut's tables: one row per frame; x, y and likelihood of each body part; multi-level column names.

With one person the levels are scorer, bodyparts and coords; with several there is also individuals. CSV files can be
read here. H5 files are pandas' own: reading one executes pickled code, so this is left to DeepLabCut and pandas.
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wholebody.arrays import PathLike
from wholebody.errors import WholebodyError
from wholebody.files import replacing
from wholebody.formats.common import Timed, poses_of, row_ids, triplets_of, video_index
from wholebody.reading import reading
from wholebody.schema import SCHEMAS

_SCORER = "wholebody"
_COORDS = ("x", "y", "likelihood")
_PERSON = "person"


def _levels(ids: Sequence[int], names: Sequence[str]) -> dict[str, list[str]]:
    """Level -> its value for each column."""
    columns = [(f"{_PERSON}{track_id}", name, coord) for track_id in ids for name in names for coord in _COORDS]
    people, parts, coords = (list(words) for words in zip(*columns, strict=True))
    levels = {"scorer": [_SCORER] * len(columns), "individuals": people, "bodyparts": parts, "coords": coords}
    return {level: words for level, words in levels.items() if level != "individuals" or len(ids) > 1}


def _rows(path: PathLike, frames: Iterable[Timed], ids: Sequence[int], width: int) -> Iterator[np.ndarray[Any, Any]]:
    """(people * keypoints * 3,) for each frame, NaN where a person or a point is missing."""
    columns = {track_id: column for column, track_id in enumerate(ids)}
    for _, poses in frames:
        row = np.full((len(ids), width, 3), np.nan)
        for track_id, person in zip(row_ids(poses), triplets_of(poses, poses.schema, path), strict=True):
            row[columns[track_id]] = np.where(person[:, 2:] > 0, person, np.nan)
        yield row.ravel()


def _table(path: PathLike, frames: Iterable[Timed]) -> tuple[list[int], dict[str, list[str]], int]:
    _, rows, schema = video_index(path, frames)
    ids = sorted(set().union(*rows)) or [1]
    return ids, _levels(ids, schema.names), len(schema)


def write_deeplabcut(path: PathLike, frames: Iterable[Timed]) -> None:
    """Write a video as DeepLabCut's CSV. A point without a score is empty. If there are several people, the names of
    the individuals contain the ids; times are not stored.

    Raises:
        WholebodyError: a person has no id, or the file cannot be written.
    """
    ids, levels, width = _table(path, frames)
    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([level, *words] for level, words in levels.items())
        for n, row in enumerate(_rows(path, frames, ids, width)):
            writer.writerow([n, *("" if np.isnan(number) else number for number in row.tolist())])


def write_deeplabcut_h5(path: PathLike, frames: Iterable[Timed]) -> None:
    """Write the same table as DeepLabCut's H5, under its key `df_with_missing`. It is held in memory.

    Raises:
        WholebodyError: pandas or PyTables are not installed, a person has no id, or the file cannot be written.
    """
    try:
        import pandas
        import tables  # noqa: F401, pandas' own message is less clear
    except ImportError as error:
        raise WholebodyError(f"{path}: H5 needs an extra: pip install 'wholebody[deeplabcut]'.") from error
    ids, levels, width = _table(path, frames)
    columns = pandas.MultiIndex.from_arrays(list(levels.values()), names=list(levels))
    values = np.array(list(_rows(path, frames, ids, width))).reshape(-1, len(columns))
    with replacing(path) as partial:
        pandas.DataFrame(values, columns=columns).to_hdf(partial, key="df_with_missing", mode="w")


def read_deeplabcut(path: PathLike, fps: float = 25.0) -> list[Timed]:
    """Read a CSV file in DeepLabCut's layout; times come from the row number and `fps`. A single person has the id 1;
    individuals have the number in their name, or else their position.

    Raises:
        WholebodyError: the file cannot be read, has body parts of no known schema, or is something else.
    """
    with reading(path, "a CSV file of DeepLabCut"):
        with Path(path).open(encoding="utf-8", newline="") as file:
            lines = list(csv.reader(file, strict=True))
        levels = {}
        while lines and lines[0] and lines[0][0] in ("scorer", "individuals", "bodyparts", "coords"):
            level, *words = lines.pop(0)
            levels[level] = words
        if not {"bodyparts", "coords"} <= levels.keys() or levels["coords"][:3] != list(_COORDS):
            raise WholebodyError(f"{path}: has no levels bodyparts and coords. Is this a CSV file of DeepLabCut?")
        columns = levels.get("individuals", [_PERSON + "1"] * len(levels["coords"]))[::3]
        people = list(dict.fromkeys(columns))
        names = tuple(levels["bodyparts"][::3][: len(columns) // len(people)])
        schema = next((schema for schema in SCHEMAS if schema.names == names), None)
        if schema is None:
            raise WholebodyError(f"{path}: bodyparts are not those of a known schema. Correct them.")
        values = [[float(cell) if cell else np.nan for cell in line[1:]] for line in lines]
        table = np.array(values, np.float32).reshape(len(lines), len(people), len(schema), 3)
        numbers = ["".join(filter(str.isdecimal, person)) for person in people]
        ids = np.array([int(number) if number else n for n, number in enumerate(numbers, 1)], np.int64).tolist()
    frames: list[Timed] = []
    for n, row in enumerate(np.nan_to_num(table)):
        seen = np.flatnonzero((row[..., 2] > 0).any(axis=1))
        frames.append((n / fps, poses_of(row[seen], schema, ids=[ids[column] for column in seen])))
    return frames
