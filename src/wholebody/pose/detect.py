"""YOLOX: a picture in, boxes of its people out.

The picture is fitted into the top left of the network's input, in BGR and 0..255. YOLOX is trained on that, whereas the
pose network expects RGB. A file may leave the sides of its input free and give a number of pixels instead. Then the
input has the picture's aspect ratio, because much of a square input would stay grey below a wide photo. Only the person
class is decoded, and only where its score passes the threshold. For people this gives the same result as the official
code, which decodes everything, in a twentieth of the time.
"""

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from wholebody.arrays import Floats, Image
from wholebody.errors import WholebodyError
from wholebody.images import as_image
from wholebody.runtime.session import Session, input_size, notes

Detections = tuple[Floats, Floats]

STRIDES = (8, 16, 32)

# Pictures per run: more would only cost memory.
BATCH = 8
# exp(12) strides are larger than any picture; without a limit, wild outputs overflow.
_MAX_LOG_SIDE = np.float32(12)
# A score is at most 1, plus rounding in half precision; a side of e^9 strides is 65,000 pixels.
_MOST_SCORE, _MOST_LOG_SIDE = 1.01, 9.0


def letterbox(image: Image, size: tuple[int, int]) -> tuple[Image, float]:
    """Fit a picture into the top left of a grey canvas (114, 114, 114), keeping its aspect ratio.

    Args:
        image: (H, W, 3) uint8.
        size: (w, h) of the canvas.

    Returns:
        canvas (h, w, 3) uint8 and ratio: canvas pixels = ratio * image pixels.
    """
    height, width = image.shape[:2]
    ratio = min(size[0] / width, size[1] / height)
    canvas: Image = np.full((size[1], size[0], 3), 114, np.uint8)
    # Sides are truncated to whole pixels as in YOLOX, but never to 0 for very narrow pictures.
    w, h = max(int(width * ratio), 1), max(int(height * ratio), 1)
    canvas[:h, :w] = image if (w, h) == (width, height) else cv2.resize(image, (w, h), interpolation=cv2.INTER_LINEAR)
    return canvas, ratio


@functools.lru_cache(maxsize=64)
def aspect_size(size: tuple[int, int], pixels: int) -> tuple[int, int]:
    """The input (w, h), with multiples of 32 and at most `pixels` in all, in which a picture of `size` is largest."""
    width, height = size
    widths = range(STRIDES[-1], pixels // STRIDES[-1] + 1, STRIDES[-1])
    ratio = max(min(w / width, pixels // w // STRIDES[-1] * STRIDES[-1] / height) for w in widths)
    # Unused margins are cut off again; the small tolerance covers rounding.
    w, h = (math.ceil(side * ratio / STRIDES[-1] - 1e-6) * STRIDES[-1] for side in size)
    return w, h


@functools.lru_cache(maxsize=64)
def grid(size: tuple[int, int]) -> tuple[Floats, Floats]:
    """The anchors of an input of `size` (w, h): their cells (A, 2), x and y, and strides (A, 1), finest level first."""
    cells, strides = [], []
    for stride in STRIDES:
        y, x = np.mgrid[: size[1] // stride, : size[0] // stride]
        cells.append(np.stack([x, y], axis=-1).reshape(-1, 2))
        strides.append(np.full((x.size, 1), stride))
    return np.concatenate(cells).astype(np.float32), np.concatenate(strides).astype(np.float32)


def nms(boxes: npt.NDArray[np.floating], scores: npt.NDArray[np.floating], threshold: float) -> npt.NDArray[np.int64]:
    """Rows of the boxes that are kept, highest score first; each suppresses lower ones with an IoU over `threshold`.

    Sides count pixels including both ends (x1 - x0 + 1), as in the official code.

    Args:
        boxes: (N, 4) xyxy. scores: (N,). threshold: intersection over union.
    """
    order = scores.argsort(kind="stable")[::-1]
    x0, y0, x1, y1 = boxes[order].T
    areas = (x1 - x0 + 1) * (y1 - y0 + 1)
    left = np.arange(len(order))
    kept = []
    while left.size:
        best, left = left[0], left[1:]
        kept.append(best)
        w = np.minimum(x1[best], x1[left]) - np.maximum(x0[best], x0[left]) + 1
        h = np.minimum(y1[best], y1[left]) - np.maximum(y0[best], y0[left]) + 1
        overlap = np.maximum(w, 0) * np.maximum(h, 0)
        left = left[overlap <= threshold * (areas[best] + areas[left] - overlap)]
    return order[np.array(kept, dtype=np.int64)]


class PersonFinder(Protocol):
    """Boxes (N, 4) xyxy and scores (N,) of the people in a picture (H, W, 3) uint8 BGR; `YOLOX` is one."""

    def __call__(self, image: Image, /) -> tuple[Floats, Floats]: ...


def _check_rows(rows: Floats) -> None:
    """Refuse output that no YOLOX gives: other networks, or another export of this one, would give hundreds of boxes.

    Args:
        rows: (n, 5 + classes) from a network without NMS.
    """
    if rows[:, 4:6].max() > _MOST_SCORE:
        raise WholebodyError(
            f"the detector gives scores of {rows[:, 4:6].max():.3g}, above 1: without its last sigmoid, or another "
            "network. Export it again as the released YOLOX."
        )
    if (rows[:, 2:4].max(axis=1) > _MOST_LOG_SIDE).mean() > 0.5:
        raise WholebodyError(
            "the detector gives boxes far larger than any picture: they are already decoded, or it is another network. "
            "Export it again as the released YOLOX, without decoding."
        )


def check_threshold(threshold: float) -> None:
    """Refuse a threshold that is no score.

    Raises:
        WholebodyError: it is not within 0 and 1.
    """
    if not 0 <= threshold <= 1:
        raise WholebodyError(f"threshold is {threshold:g}: scores of people lie between 0 and 1.")


@dataclass(frozen=True, eq=False)
class YOLOX:
    """A YOLOX network of any size; class 0 is the person.

    Attributes:
        session: takes uint8 (N, h, w, 3) or float32 (N, 3, h, w), BGR 0..255, and returns (N, anchors, 5 + classes):
            box offsets, objectness, classes. A network with built-in NMS works too: it returns (N, boxes, 5) in canvas
            pixels and optionally (N, boxes) class numbers.
        threshold: lowest score of a box; None takes what the file recommends, or 0.3.
        least: the threshold in use.
        size: (w, h) of the input; if it depends on the picture, the size for a 4:3 picture.
        pixels: the most pixels that the input has, if it depends on the picture (`aspect_size`); otherwise None.
        nms: intersection over union above which the lower-scored of two boxes is the same person.

    Raises:
        WholebodyError: the session is not a YOLOX network, or the threshold is not within 0 and 1.
    """

    session: Session
    threshold: float | None = None
    nms: float = 0.45
    least: float = field(init=False)
    size: tuple[int, int] = field(init=False)
    pixels: int | None = field(init=False)
    _outputs: tuple[str, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if notes(self.session).get("kind", "detector") != "detector":
            raise WholebodyError(f"a {notes(self.session)['kind']} network, not a detector. Choose a YOLOX file.")
        size = input_size(self.session)
        pixels = notes(self.session).get("pixels")
        anchors = len(grid(size)[0])
        output = self.session.outputs[0].shape
        rows, columns = output[1:] if len(output) == 3 else (None, 0)
        if columns is not None and columns != 5 and (columns < 5 or rows not in (None, anchors)):
            raise WholebodyError(
                f"not a YOLOX network: it gives {self.session.outputs[0].name} {output}, not "
                f"(N, {anchors}, 5 + classes) for an input of {size[0]} x {size[1]}. Choose a YOLOX file."
            )
        outputs = tuple(tensor.name for tensor in self.session.outputs[: 2 if columns == 5 else 1])
        # Networks differ in how they score; a bundled one stores the threshold that it was measured at.
        least = notes(self.session).get("threshold", 0.3) if self.threshold is None else self.threshold
        check_threshold(least)
        for name, value in (
            ("least", least),
            ("size", size),
            ("pixels", pixels),
            ("_outputs", outputs),
        ):
            object.__setattr__(self, name, value)

    def __call__(self, image: Image) -> Detections:
        """The people in one (H, W, 3) uint8 BGR picture.

        Returns:
            boxes (N, 4) float32 xyxy in pixels of the picture and inside it, and box_scores (N,), highest score first.
        """
        return self.images([image])[0]

    def images(self, images: Sequence[Image]) -> list[Detections]:
        """The people in each of several pictures of any size; BATCH at a time go through the network."""
        found: list[Detections] = []
        for size, group in itertools.groupby(map(as_image, images), self.size_for):
            alike = list(group)
            for i in range(0, len(alike), BATCH):
                found += self._batch(alike[i : i + BATCH], size)
        return found

    def size_for(self, image: Image) -> tuple[int, int]:
        """(w, h) of the network's input for a picture."""
        return self.size if self.pixels is None else aspect_size((image.shape[1], image.shape[0]), self.pixels)

    def _batch(self, images: Sequence[Image], size: tuple[int, int]) -> Iterator[Detections]:
        fitted = [letterbox(image, size) for image in images]
        canvases = np.stack([canvas for canvas, _ in fitted])
        if self.session.inputs[0].dtype != "uint8":
            canvases = np.ascontiguousarray(canvases.transpose(0, 3, 1, 2), dtype=np.float32)
        raw, *classes = self.session(canvases, self._outputs)
        if classes:
            raw = np.where(classes[0][..., None] == 0, raw, 0)
        for image, (_, ratio), rows in zip(images, fitted, raw, strict=True):
            boxes, scores = self.decode(rows, size)
            boxes /= np.float32(ratio)
            height, width = image.shape[:2]
            np.clip(boxes, 0, np.array([width, height, width, height], np.float32), out=boxes)
            # False for NaN, for slivers, and for boxes in the grey margin, which clipping leaves empty.
            seen = (boxes[:, 2:] - boxes[:, :2] >= 0.5).all(axis=1)
            yield boxes[seen], scores[seen]

    def decode(self, raw: Floats, size: tuple[int, int] | None = None) -> Detections:
        """The output for one picture -> boxes (N, 4) xyxy in canvas pixels and box_scores (N,), highest score first.

        Args:
            raw: (anchors, 5 + classes), or (boxes, 5) from a network with NMS inside.
            size: (w, h) of the input it came from; None means this detector's `size`.
        """
        if raw.shape[1] == 5:
            found = raw[raw[:, 4] > self.least]
            found = found[found[:, 4].argsort(kind="stable")[::-1]]
            return found[:, :4], found[:, 4]
        size = size or self.size
        cells, strides = grid(size)
        if raw.shape[0] != len(cells):
            raise WholebodyError(
                f"the detector gave {raw.shape[0]} anchors, a YOLOX of input {size} has {len(cells)}. "
                "Choose another detector file."
            )
        # Class scores are at most 1, so the objectness alone rules out most anchors.
        rows = np.flatnonzero(raw[:, 4] > self.least)
        scores = raw[rows, 4] * raw[rows, 5]
        # A NaN box would win over every other one.
        above = (scores > self.least) & np.isfinite(raw[rows, :4]).all(axis=1)
        rows, scores = rows[above], scores[above]
        if len(rows):
            _check_rows(raw[rows])
        centers = (raw[rows, :2] + cells[rows]) * strides[rows]
        half = np.exp(np.minimum(raw[rows, 2:4], _MAX_LOG_SIDE)) * (strides[rows] / 2)
        boxes = np.concatenate([centers - half, centers + half], axis=1)
        kept = nms(boxes, scores, self.nms)
        return boxes[kept], scores[kept]
