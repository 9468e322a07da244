"""Poses: the people of one image as arrays. Every stage takes it or returns it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from wholebody.arrays import Floats, Index
from wholebody.schema import COCO_WHOLEBODY, Schema, conversion


@dataclass(frozen=True, eq=False)
class Poses:
    """N people in one image; N may be 0. Row n of every array is the same person.

    Attributes:
        keypoints: (N, K, 2) float32, x and y in pixels of the original image.
        scores: (N, K) float32, how sure the network is of each keypoint; about 0..1, a little above 1 is possible.
        boxes: (N, 4) float32, x0, y0, x1, y1 in pixels of the original image.
        box_scores: (N,) float32, how sure the detector is of each person; 1 where the box was given.
        schema: what the K keypoints are.
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
        """Nobody."""
        k = len(schema)
        shapes = ((0, k, 2), (0, k), (0, 4), (0,))
        keypoints, scores, boxes, box_scores = (np.zeros(shape, np.float32) for shape in shapes)
        return cls(keypoints, scores, boxes, box_scores, schema)

    def __len__(self) -> int:
        return len(self.keypoints)

    def __iter__(self) -> Iterator["Poses"]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: Index) -> "Poses":
        """Some of the people, as Poses: by number, slice, list or boolean mask. `poses[0]` has one row."""
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
        """Keypoints (N, k, 2) and scores (N, k) of one part: "body", "feet", "face", "left_hand", "right_hand"."""
        rows = self.schema.parts[name]
        return self.keypoints[:, rows], self.scores[:, rows]

    def to(self, schema: Schema) -> "Poses":
        """The same people as points of another schema; a point made of several has their mean and lowest score."""
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
