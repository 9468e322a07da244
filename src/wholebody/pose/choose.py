"""Choosing among the people of a picture or clip: by size, position, region or id.

    poses[order(poses, "left-to-right")[:2]]                          # the two leftmost, from left to right
    Choice(people=2, order="left-to-right")(poses)                    # the same
    ids = Choice(people=1).ids(frames)                                # in a tracked clip, the same person throughout

In a clip, people are chosen for all of it, by the median of all their observations; people who cross keep their places.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import get_args

import numpy as np
import numpy.typing as npt

from wholebody.choices import Order
from wholebody.errors import WholebodyError
from wholebody.formats.common import row_ids
from wholebody.geometry import box_areas
from wholebody.poses import Poses

ORDERS: tuple[Order, ...] = get_args(Order)
Region = tuple[float, float, float, float]


def order(poses: Poses, by: Order) -> npt.NDArray[np.int64]:
    """Row numbers (N,) sorted by box size, box score, or the centre of the box; ties keep their order."""
    return _rank(poses.boxes, poses.box_scores, by)


def _rank(boxes: npt.NDArray[np.floating], scores: npt.NDArray[np.floating], by: Order) -> npt.NDArray[np.int64]:
    x, y = (boxes[:, :2] + boxes[:, 2:]).T / 2
    keys: dict[Order, npt.NDArray[np.floating]] = {
        "size": -box_areas(boxes),
        "score": -scores,
        "left-to-right": x,
        "right-to-left": -x,
        "top-to-bottom": y,
    }
    return keys[by].argsort(kind="stable")


@dataclass(frozen=True)
class Choice:
    """Who is kept, and in which order.

    Attributes:
        people: at most this many, the first in the order; None for all. Without an order, the largest are kept.
        order: the order of the rows; None leaves them as they are.
        region: x, y, width, height in pixels; keeps people whose box has its centre inside. Values from 0 to 1 are
            fractions of the picture.
        keep: ids of a tracked clip, in the order of the rows; empty for everyone.

    Raises:
        WholebodyError: people is below 1, or the region has no area.
    """

    people: int | None = None
    order: Order | None = None
    region: Region | None = None
    keep: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.people is not None and self.people < 1:
            raise WholebodyError(f"people is {self.people}: give 1 or more, or leave it out.")
        if self.order is not None and self.order not in ORDERS:
            raise WholebodyError(f"order is {self.order!r}: choose {', '.join(ORDERS)}.")
        if self.region is not None and not (self.region[2] > 0 and self.region[3] > 0):
            raise WholebodyError(f"region is {self.region}: give x, y, width and height, as 100,50,400,600.")

    @property
    def is_all(self) -> bool:
        """Whether the choice changes nothing."""
        return self == Choice()

    def __call__(self, poses: Poses, size: tuple[int, int] | None = None) -> Poses:
        """The chosen people of one picture; `size` (width, height) is needed for a region in fractions."""
        if self.keep:
            ids = row_ids(poses)
            poses = poses[[ids.index(one) for one in self.keep if one in ids]]
        poses = poses[self._inside(poses.boxes, size)]
        rows = self._rows(poses.boxes, poses.box_scores)
        return poses if len(rows) == len(poses) and (rows == np.arange(len(poses))).all() else poses[rows]

    def ids(self, frames: Iterable[Poses], size: tuple[int, int] | None = None) -> list[int]:
        """The ids chosen from a tracked clip, in order, by the median of each person's boxes and box scores.

        Raises:
            WholebodyError: nobody has one of the ids of `keep`.
        """
        seen: defaultdict[int, list[npt.NDArray[np.float32]]] = defaultdict(list)
        for poses in frames:
            for n, one in enumerate(row_ids(poses)):
                seen[one].append(np.append(poses.boxes[n], poses.box_scores[n]))
        if missing := [one for one in self.keep if one not in seen]:
            raise WholebodyError(f"nobody has id {_listed(missing, 'or')}: {_there(sorted(seen))}.")
        people = list(self.keep) or sorted(seen)
        middle = np.array([np.median(seen[one], axis=0) for one in people]).reshape(len(people), 5)
        inside = np.flatnonzero(self._inside(middle[:, :4], size))
        rows = self._rows(middle[inside, :4], middle[inside, 4])
        return [people[n] for n in inside[rows]]

    def _inside(self, boxes: npt.NDArray[np.floating], size: tuple[int, int] | None) -> npt.NDArray[np.bool_]:
        if self.region is None:
            return np.ones(len(boxes), bool)
        x, y, width, height = self.region
        if max(self.region) <= 1 and size is not None:
            x, y, width, height = x * size[0], y * size[1], width * size[0], height * size[1]
        middles = (boxes[:, :2] + boxes[:, 2:]) / 2
        inside = (middles >= (x, y)) & (middles < (x + width, y + height))
        return np.logical_and(inside[:, 0], inside[:, 1])

    def _rows(self, boxes: npt.NDArray[np.floating], scores: npt.NDArray[np.floating]) -> npt.NDArray[np.int64]:
        if self.order is not None:
            return _rank(boxes, scores, self.order)[: self.people]
        if self.people is None or self.keep or len(boxes) <= self.people:
            return np.arange(len(boxes))[: self.people]
        return np.sort(_rank(boxes, scores, "size")[: self.people])


def _there(ids: list[int]) -> str:
    if not ids:
        return "nobody was found"
    return f"there {'is only' if len(ids) == 1 else 'are'} {_listed(ids, 'and')}"


def _listed(ids: list[int], last: str) -> str:
    *others, end = map(str, ids)
    return f"{', '.join(others)} {last} {end}" if others else end


def parsed_region(text: str) -> Region:
    """(100, 50, 400, 600) of "100,50,400,600".

    Raises:
        WholebodyError: it is not four numbers separated by commas.
    """
    try:
        x, y, width, height = (float(number) for number in text.split(","))
    except ValueError as error:
        raise WholebodyError(f"region is {text!r}: give x, y, width and height, as 100,50,400,600.") from error
    return x, y, width, height
