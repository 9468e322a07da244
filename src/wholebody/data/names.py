"""Keypoints of other sets by name: which row of COCO_WHOLEBODY each is."""

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wholebody.arrays import Ints, PathLike
from wholebody.data.labels import KNOWN
from wholebody.data.stream import first_line
from wholebody.errors import WholebodyError
from wholebody.reading import parse_json, unreadable
from wholebody.schema import COCO_WHOLEBODY


def read_mapping(path: PathLike) -> dict[str, str]:
    """A mapping table: their keypoint name -> ours, in their order; "" for a point that is not among the 133.

    JSON, one object {"their name": "our name" or null}; or text, a line `their name -> our name` for each, where
    # starts a comment and `their name ->` alone means no such point.

    Raises:
        WholebodyError: the file cannot be read, is neither, or names a keypoint of ours that does not exist or twice.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
        table = parse_json(text) if text.lstrip().startswith(("{", "[")) else _arrows(path, text)
    except OSError as error:
        raise unreadable(path, error) from error
    except ValueError as error:
        raise WholebodyError(f"{path}: not valid JSON ({first_line(error)}). Correct the table.") from None
    if not isinstance(table, dict) or not all(isinstance(ours, str | None) for ours in table.values()):
        raise WholebodyError(f"{path}: not a mapping table: one JSON object of names, or lines `theirs -> ours`.")
    used: dict[int, str] = {}
    for theirs, ours in table.items():
        row = _row_named(ours) if ours else -1
        if ours and row < 0:
            close = difflib.get_close_matches(ours, COCO_WHOLEBODY.names, n=1)
            hint = f"Did you mean {close[0]!r}?" if close else "See wholebody.COCO_WHOLEBODY.names."
            raise WholebodyError(f"{path}: {theirs}: there is no keypoint {ours!r}. {hint}")
        if row >= 0 and row in used:
            raise WholebodyError(f"{path}: {ours!r} is given to both {used[row]} and {theirs}. Correct the table.")
        used[row] = theirs
    return {theirs: ours or "" for theirs, ours in table.items()}


def _plain(name: str) -> str:
    """A keypoint's name without case, spaces and dashes."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _row_named(name: str) -> int:
    """Our row of a keypoint; LEye and l_eye are left_eye. -1 if there is none."""
    return _BY_NAME.get(_plain(name), -1)


_BY_NAME = {_plain(name): row for row, name in enumerate(COCO_WHOLEBODY.names)}
_BY_NAME |= {_plain(re.sub("^(l|r)(eft|ight)_", r"\1", name)): row for row, name in enumerate(COCO_WHOLEBODY.names)}


def rows_of(
    path: Path, points: tuple[int, int] | None, names: Sequence[str], mapping: Mapping[str, str] | None
) -> Ints:
    """(n,) our row of each point in `keypoints`, -1 for a point that we do not have.

    Args:
        points: the length of `keypoints`, and an annotation that has it.
        names: the points' names in the file's category, or empty.
    """
    if points is None:
        return KNOWN[17]
    numbers, number = points
    n, rest = divmod(numbers, 3)
    where = f"{path}: annotation {number}: keypoints has {numbers} numbers"
    if rest:
        raise WholebodyError(f"{where}, not three for each point. Is this an annotation file in COCO's layout?")
    if len(names) != n:
        names = ()
    if mapping is not None:
        if not names and len(mapping) != n:
            raise WholebodyError(f"{where} ({n} points), but the mapping table names {len(mapping)}.")
        table = {_plain(theirs): _row_named(ours) if ours else -1 for theirs, ours in mapping.items()}
        strangers = [theirs for theirs in mapping if names and _plain(theirs) not in map(_plain, names)]
        if strangers:
            raise WholebodyError(f"{path}: has no keypoint {strangers[0]!r}, which the mapping table names.")
        return np.array([table.get(_plain(theirs), -1) for theirs in names or mapping])
    order = np.array([_row_named(name) for name in names])
    if n in (133, 136) or (n == 17 and not names):
        return KNOWN[n]
    if not names or (order < 0).any() or len(set(order.tolist())) < n:
        unknown = [name for name, row in zip(names, order, strict=True) if row < 0][:3]
        named = f" named {', '.join(unknown)}" if unknown else ""
        raise WholebodyError(f"{where}: {n} points{named}. Say which they are with a mapping table.")
    return order


def names_of(categories: Sequence[Mapping[str, Any]]) -> list[str]:
    """The keypoint names of the first category that has any."""
    for category in categories:
        names = category.get("keypoints")
        if isinstance(names, list) and names and all(isinstance(name, str) for name in names):
            return names
    return []


def _arrows(path: Path, text: str) -> dict[str, str]:
    table = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.split("#")[0].strip()
        theirs, arrow, ours = (part.strip() for part in line.partition("->"))
        if line and (not arrow or not theirs or theirs in table):
            what = f"{theirs} occurs twice" if theirs in table else f"{line!r} is not `their name -> our name`"
            raise WholebodyError(f"{path}: line {number}: {what}. Correct the table.")
        if line:
            table[theirs] = ours
    return table
