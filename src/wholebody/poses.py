"""Poses: the people of one image as arrays. Every stage takes it or returns it.

    poses.to_dict(), poses.to_json()     for a web service: plain numbers, and back with from_dict and from_json
    poses.to_supervision()               for roboflow's supervision
    poses.to_fiftyone((width, height))   for FiftyOne

Files are in `formats`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from wholebody.arrays import Floats, Index
from wholebody.errors import WholebodyError
from wholebody.schema import COCO_WHOLEBODY, Schema, conversion, schema_named


@dataclass(frozen=True, eq=False)
class Poses:
    """N people in one image; N may be 0. Row n of every array is the same person.

    Attributes:
        keypoints: (N, K, 2) float32, x and y in pixels of the original image.
        scores: (N, K) float32. For bundled networks the probability that the keypoint is right; for others its
            confidence, usually 0..1; slightly above 1 is possible.
        boxes: (N, 4) float32, x0, y0, x1, y1 in pixels of the original image.
        box_scores: (N,) float32, the detector's confidence in each person; 1 for given boxes.
        schema: the meaning of the K keypoints.
        ids: (N,) int64 track ids, or None outside a video.

    Raises:
        ValueError: shapes do not agree.
    """

    keypoints: Floats
    scores: Floats
    boxes: Floats
    box_scores: Floats
    schema: Schema = COCO_WHOLEBODY
    ids: npt.NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        for name in ("keypoints", "scores", "boxes", "box_scores"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.float32))
        if self.ids is not None:
            object.__setattr__(self, "ids", np.asarray(self.ids, dtype=np.int64))
        n, k = len(self.keypoints), len(self.schema)
        expected = {"keypoints": (n, k, 2), "scores": (n, k), "boxes": (n, 4), "box_scores": (n,), "ids": (n,)}
        for name, shape in expected.items():
            array = getattr(self, name)
            if array is not None and array.shape != shape:
                raise ValueError(f"Poses.{name} has shape {array.shape}, expected {shape}")

    @classmethod
    def empty(cls, schema: Schema = COCO_WHOLEBODY) -> "Poses":
        """Zero people."""
        k = len(schema)
        shapes = ((0, k, 2), (0, k), (0, 4), (0,))
        keypoints, scores, boxes, box_scores = (np.zeros(shape, np.float32) for shape in shapes)
        return cls(keypoints, scores, boxes, box_scores, schema)

    def __len__(self) -> int:
        return len(self.keypoints)

    def __iter__(self) -> Iterator["Poses"]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: Index) -> "Poses":
        """Some of the people, as Poses, by index, slice, list or boolean mask. `poses[0]` has one row."""
        if isinstance(index, (int, np.integer)):
            if not -len(self) <= index < len(self):
                raise IndexError(f"person {index} of {len(self)}")
            index = [int(index) % len(self)]
        rows = np.arange(len(self))[np.asarray(index) if isinstance(index, list) and index else index]
        return replace(
            self,
            keypoints=self.keypoints[rows],
            scores=self.scores[rows],
            boxes=self.boxes[rows],
            box_scores=self.box_scores[rows],
            ids=None if self.ids is None else self.ids[rows],
        )

    def part(self, name: str) -> tuple[Floats, Floats]:
        """Keypoints (N, k, 2) and scores (N, k) of one part: "body", "feet", "face", "left_hand", "right_hand".

        Raises:
            ValueError: the schema has no such part; the message lists its parts.
        """
        if name not in self.schema.parts:
            raise ValueError(f"no part {str(name)[:40]!r} in {self.schema.name}; known: {', '.join(self.schema.parts)}")
        rows = self.schema.parts[name]
        return self.keypoints[:, rows], self.scores[:, rows]

    def to(self, schema: Schema) -> "Poses":
        """The same people in another schema; a point computed from several has their mean and lowest score."""
        if schema is self.schema:
            return self
        sources = conversion(self.schema, schema)
        first = [rows[0] for rows in sources]
        keypoints, scores = self.keypoints[:, first], self.scores[:, first]
        for row, parents in enumerate(sources):
            if len(parents) > 1:
                keypoints[:, row] = self.keypoints[:, parents].mean(axis=1)
                scores[:, row] = self.scores[:, parents].min(axis=1)
        return replace(self, keypoints=keypoints, scores=scores, schema=schema)

    def scaled(self, x: float, y: float | None = None, shift: tuple[float, float] = (0.0, 0.0)) -> "Poses":
        """The same people on another picture: points and boxes scaled by `x` and `y`, then moved by `shift` pixels.

        poses.scaled(1024 / width)                      # on the picture enlarged to 1024 columns
        poses.scaled(w / width, h / height)             # to any width and height
        poses.scaled(ratio, shift=(left, top))          # enlarged and set into a larger canvas

        Args:
            x: scale factor of the width.
            y: scale factor of the height, by default `x`.
            shift: offset added afterwards, in pixels of the other picture.
        """
        factor = np.array([x, x if y is None else y], np.float32)
        away = np.array(shift, np.float32)
        return replace(
            self,
            keypoints=self.keypoints * factor + away,
            boxes=self.boxes * np.tile(factor, 2) + np.tile(away, 2),
        )

    # --- Plain numbers, and other packages' types ---------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """The people as plain lists and numbers, for any JSON writer.

        {"schema": "coco_wholebody",
         "people": [{"id": 3, "box": [x0, y0, x1, y1], "box_score": 0.9, "keypoints": [[x, y], ...], "scores": [...]}]}

        Pixels have two decimals, scores four. A number that is NaN or infinite is None. Without track ids there is no
        "id". `from_dict` is the inverse.
        """
        people = []
        for n in range(len(self)):
            person = {} if self.ids is None else {"id": int(self.ids[n])}
            people.append(
                {
                    **person,
                    "box": _plain(self.boxes[n], 2),
                    "box_score": _plain(self.box_scores[n], 4),
                    "keypoints": _plain(self.keypoints[n], 2),
                    "scores": _plain(self.scores[n], 4),
                }
            )
        return {"schema": self.schema.name, "people": people}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Poses":
        """The inverse of `to_dict`; None becomes NaN. "box_score" may be absent and is then 1.

        Raises:
            WholebodyError: a field is missing or of the wrong shape, or the schema is unknown.
        """
        try:
            schema = schema_named(content["schema"])
            people = list(content["people"])
            ids = [person["id"] for person in people if "id" in person]
            if len(ids) not in (0, len(people)):
                raise ValueError("some people have an id and others have none")
            shapes = {"keypoints": (len(schema), 2), "scores": (len(schema),), "box": (4,), "box_score": ()}
            columns = []
            for name, shape in shapes.items():
                rows = [person.get(name, 1.0) if name == "box_score" else person[name] for person in people]
                columns.append(np.array(rows, np.float32).reshape(len(people), *shape))
            keypoints, scores, boxes, box_scores = columns
            return cls(keypoints, scores, boxes, box_scores, schema, np.array(ids, np.int64) if ids else None)
        except KeyError as error:
            raise WholebodyError(f"{error.args[0]!r} is missing: pass what Poses.to_dict gave.") from error
        except (AttributeError, OverflowError, TypeError, ValueError) as error:
            raise WholebodyError(f"{error}: pass what Poses.to_dict gave.") from error

    def to_json(self, indent: int | None = None) -> str:
        """`to_dict` as JSON text, with `indent` spaces per level, or on one line."""
        separators = (",", ":") if indent is None else None
        return json.dumps(self.to_dict(), allow_nan=False, indent=indent, separators=separators)

    @classmethod
    def from_json(cls, text: str | bytes) -> "Poses":
        """The inverse of `to_json`.

        Raises:
            WholebodyError: it is not JSON, or as `from_dict`.
        """
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise WholebodyError(f"not JSON ({error}): pass what Poses.to_json gave.") from error
        return cls.from_dict(content)

    def to_supervision(self, threshold: float = 0.3) -> Any:
        """The people as `supervision.KeyPoints`; class 0, "person". Track ids are in its data as "tracker_id".

        Its annotators guess a skeleton from the number of points, so give them ours:
        `supervision.EdgeAnnotator(edges=poses.schema.edges_from_one)`.

        Args:
            threshold: a point with a lower score is not visible.

        Raises:
            WholebodyError: supervision is not installed.
        """
        try:
            from supervision import KeyPoints
        except ImportError as error:
            raise WholebodyError("supervision is not installed: pip install supervision.") from error
        data: dict[str, Any] = {"class_name": np.array(["person"] * len(self), dtype=str)}
        if self.ids is not None:
            data["tracker_id"] = self.ids
        return KeyPoints(
            xy=self.keypoints,
            class_id=np.zeros(len(self), int),
            keypoint_confidence=self.scores,
            detection_confidence=self.box_scores,
            visible=self.scores >= threshold,
            data=data,
        )

    def to_fiftyone(self, size: tuple[int, int], threshold: float = 0.0, label: str = "person") -> Any:
        """The people as `fiftyone.Keypoints`, in fractions of the picture; `index` is the track id.

        Args:
            size: (width, height) of the picture.
            threshold: a point with a lower score is missing, which is NaN in FiftyOne.
            label: the label of every person.

        Raises:
            WholebodyError: FiftyOne is not installed.
        """
        try:
            from fiftyone import Keypoint, Keypoints
        except ImportError as error:
            raise WholebodyError("FiftyOne is not installed: pip install fiftyone.") from error
        fractions = self.keypoints.astype(np.float64) / size
        fractions[self.scores < threshold] = np.nan
        return Keypoints(
            keypoints=[
                Keypoint(
                    label=label,
                    points=[(x, y) for x, y in points.tolist()],
                    confidence=scores.tolist(),
                    index=None if self.ids is None else int(self.ids[n]),
                )
                for n, (points, scores) in enumerate(zip(fractions, self.scores, strict=True))
            ]
        )

    @staticmethod
    def concatenate(parts: Sequence["Poses"]) -> "Poses":
        """All people of several Poses of one schema; ids survive if all have them."""
        if not parts:
            return Poses.empty()
        if any(part.schema is not parts[0].schema for part in parts):
            raise ValueError("cannot concatenate Poses of different schemas")
        ids = [part.ids for part in parts if part.ids is not None]
        return Poses(
            keypoints=np.concatenate([part.keypoints for part in parts]),
            scores=np.concatenate([part.scores for part in parts]),
            boxes=np.concatenate([part.boxes for part in parts]),
            box_scores=np.concatenate([part.box_scores for part in parts]),
            schema=parts[0].schema,
            ids=np.concatenate(ids) if len(ids) == len(parts) else None,
        )


def _plain(values: Any, decimals: int) -> Any:
    """Numbers as (lists of) Python floats, rounded; None if not finite."""
    # In double precision, so that the text has no more digits than asked; adding 0 turns -0.0 into 0.0.
    rounded = np.round(np.asarray(values, np.float64), decimals) + 0.0
    if not np.isfinite(rounded).all():
        numbers = rounded.astype(object)
        numbers[~np.isfinite(rounded)] = None
        return numbers.tolist()
    return rounded.tolist()
