"""Scenes with boxes: mosaics, pasted crowds, flips, colour changes."""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from wholebody.arrays import Floats, Image
from wholebody.geometry import box_areas, iou
from wholebody.images import read_image, write_image
from wholebody.reading import parse_json, reading
from wholebody.train.data.augment import compressed

GREY = 114

# Visible fraction below which a truncated person is ignored, and shortest side relative to the canvas.
LEAST_VISIBLE = 0.2
LEAST_SIDE = 0.012


class Example(NamedTuple):
    """A picture and its people."""

    image: Image  # (H, W, 3) uint8 BGR
    boxes: Floats  # (N, 4) xyxy pixels
    ignore: Floats  # (M, 4) ignored regions


# Data


def read_examples(labels: str | os.PathLike[str], longest: int) -> list[Example]:
    """The pictures of a JSON list of {"file", "boxes", "ignore"}, shrunk to `longest` pixels at most, in memory.

    Boxes are floats, xyxy in pixels of the file; "file" is relative to the JSON's folder or absolute. A picture without
    boxes is a negative example.

    Raises:
        WholebodyError: the JSON or one of its pictures cannot be read.
    """
    path = Path(labels)
    with reading(path, "a list of rows with file, boxes and ignore (x0, y0, x1, y1)", "Name another JSON file"):
        rows = [
            (Path(row["file"]), _boxes(row["boxes"]), _boxes(row.get("ignore", [])))
            for row in parse_json(path.read_bytes())
        ]
    pictures: dict[Path, tuple[Image, float]] = {}  # a row may be repeated to be sampled more often
    examples = []
    for file, boxes, ignore in rows:
        if file not in pictures:
            pictures[file] = _read(path.parent / file, longest)
        image, ratio = pictures[file]
        examples.append(Example(image, boxes * np.float32(ratio), ignore * np.float32(ratio)))
    return examples


def _read(path: Path, longest: int) -> tuple[Image, float]:
    """A picture and the factor by which it was shrunk."""
    image = read_image(path)
    ratio = min(1.0, longest / max(image.shape[:2]))
    if ratio < 1:
        image = cv2.resize(image, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    return image, ratio


def _boxes(rows: Sequence[Sequence[float]]) -> Floats:
    boxes = np.array(rows, dtype=np.float32).reshape(-1, 4)
    if not (np.isfinite(boxes).all() and (boxes[:, 2:] > boxes[:, :2]).all()):
        raise ValueError("a box is empty or not a number")
    return boxes


def draw(examples: Sequence[Example], size: int, rng: np.random.Generator, plain: bool = False) -> Example:
    """One training canvas of `size` x `size`.

    Args:
        plain: a single picture on the canvas.
    """
    empty = [example for example in examples if not len(example.boxes) and not len(example.ignore)]
    kind = rng.random()
    if empty and not plain and kind < 0.12:
        canvas = compose([empty[int(rng.integers(len(empty)))]], size, rng, (1.0, 1.6))
        for _ in range(rng.integers(0, 4)):
            canvas = paste(canvas, examples[int(rng.integers(len(examples)))], rng)
    else:
        cells = 1 if plain or kind < 0.42 else 4 if kind < 0.87 else 9
        chosen = [examples[i] for i in rng.integers(len(examples), size=cells)]
        canvas = compose(chosen, size, rng, (0.4, 1.6) if cells == 1 else (0.7, 2.2))
    canvas = flip(canvas) if rng.random() < 0.5 else canvas
    return canvas._replace(image=recolour(coarsen(canvas.image, rng), rng))


def compose(examples: Sequence[Example], size: int, rng: np.random.Generator, scale: tuple[float, float]) -> Example:
    """1, 4 or 9 pictures in the cells of a grid with random lines; grey where a picture does not fill its cell.

    Args:
        scale: range of the pictures' size relative to fitting the cell, sampled log-uniformly.
    """
    side = math.isqrt(len(examples))
    lines = [np.concatenate([[0], _inner_lines(side, size, rng), [size]]) for _ in range(2)]
    canvas = np.full((size, size, 3), GREY, np.uint8)
    boxes, ignore = [np.zeros((0, 4), np.float32)], [np.zeros((0, 4), np.float32)]
    for i, example in enumerate(examples):
        left, top, right, bottom = (int(lines[axis][i // side**axis % side + end]) for end in (0, 1) for axis in (0, 1))
        placed = _place(example, canvas[top:bottom, left:right], rng, scale, LEAST_SIDE * size)
        corner = np.array([left, top, left, top], np.float32)
        boxes.append(placed.boxes + corner)
        ignore.append(placed.ignore + corner)
    return Example(canvas, np.concatenate(boxes), np.concatenate(ignore))


def _inner_lines(parts: int, size: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    even = np.arange(1, parts) / parts
    return np.asarray((even + rng.uniform(-0.4, 0.4, parts - 1) / parts) * size)


def _place(
    example: Example, cell: Image, rng: np.random.Generator, scale: tuple[float, float], least: float
) -> Example:
    """Draw a picture into a cell, in place, and clip its boxes to the visible part."""
    (height, width), (h, w) = cell.shape[:2], example.image.shape[:2]
    fit, fill = min(width / w, height / h), max(width / w, height / h)
    base = fit * (fill / fit) ** rng.choice([0, 0, rng.random(), 1])
    ratio = base * math.exp(rng.uniform(*np.log(scale)))
    aspect = math.exp(rng.uniform(-0.2, 0.2) / 2)
    shown_w, shown_h = max(round(w * ratio * aspect), 2), max(round(h * ratio / aspect), 2)
    # Inference shrinks large photos with linear interpolation; area averaging would be better. Use both.
    how = cv2.INTER_AREA if ratio < 1 and rng.random() < 0.5 else cv2.INTER_LINEAR
    shown = cv2.resize(example.image, (shown_w, shown_h), interpolation=how)
    x, y = (round(rng.uniform(min(0, room), max(0, room))) for room in (width - shown_w, height - shown_h))
    visible = shown[max(0, -y) : height - y, max(0, -x) : width - x]
    cell[max(0, y) : max(0, y) + visible.shape[0], max(0, x) : max(0, x) + visible.shape[1]] = visible
    factor, shift = np.array([[shown_w / w, shown_h / h] * 2, [x, y, x, y]], np.float32)
    return Example(cell, *cut(example.boxes * factor + shift, example.ignore * factor + shift, (width, height), least))


def cut(boxes: Floats, ignore: Floats, size: tuple[int, int], least: float) -> tuple[Floats, Floats]:
    """Boxes and ignored regions limited to a canvas of `size` (w, h).

    A person with too little left, by LEAST_VISIBLE or with a side shorter than `least` pixels, is ignored.
    """
    limit = np.array([*size, *size], np.float32)
    seen, area = np.clip(boxes, 0, limit), box_areas(boxes)
    sides = seen[:, 2:] - seen[:, :2]
    kept = (sides.prod(axis=1) >= LEAST_VISIBLE * area) & (sides.min(axis=1, initial=np.inf) >= least)
    ignore = np.concatenate([np.clip(ignore, 0, limit), seen[~kept]])
    return seen[kept], ignore[(ignore[:, 2:] > ignore[:, :2]).all(axis=1)]


def paste(canvas: Example, example: Example, rng: np.random.Generator) -> Example:
    """Paste one person of another picture, with a soft margin, where nobody is yet."""
    if not len(example.boxes):
        return canvas
    size = canvas.image.shape[0]
    h, w = example.image.shape[:2]
    x0, y0, x1, y1 = box = example.boxes[rng.integers(len(example.boxes))]
    margin = rng.uniform(0.03, 0.15) * (box[2:] - box[:2])
    low = np.maximum(np.floor(box[:2] - margin), 0).astype(int)
    high = np.minimum(np.ceil(box[2:] + margin), [w, h]).astype(int)
    ratio = size * math.exp(rng.uniform(math.log(0.12), math.log(0.95))) / max(high - low)
    sides = np.maximum((ratio * (high - low)).astype(int), 2)
    at = np.array([rng.integers(0, room) for room in size - sides + 1])
    person = ((np.stack([x0, y0, x1, y1]).reshape(2, 2) - low) * (sides / (high - low)) + at).astype(np.float32)
    person = person.reshape(1, 4)
    taken = np.concatenate([at, at + sides])[None]
    crowded = iou(taken, np.concatenate([canvas.boxes, canvas.ignore])).max(initial=0) > 0.1
    others = np.delete(example.boxes, np.flatnonzero((example.boxes == box).all(axis=1)), axis=0)
    # A neighbour within the margin would become an unlabelled person.
    if crowded or iou(box[None], np.concatenate([others, example.ignore])).max(initial=0) > 0.02:
        return canvas
    if (person[0, 2:] - person[0, :2]).min() < LEAST_SIDE * size:
        return canvas
    crop = cv2.resize(
        example.image[low[1] : high[1], low[0] : high[0]], (int(sides[0]), int(sides[1])), interpolation=cv2.INTER_AREA
    )
    edge = [np.minimum(np.arange(side) + 1, side - np.arange(side)) / max(1, 0.06 * side) for side in sides]
    alpha = np.minimum(np.minimum(edge[1][:, None], edge[0][None]), 1).astype(np.float32)[..., None]
    image = canvas.image.copy()
    under = image[at[1] : at[1] + sides[1], at[0] : at[0] + sides[0]]
    under[:] = (alpha * crop + (1 - alpha) * under).astype(np.uint8)
    return Example(image, np.concatenate([canvas.boxes, person]), canvas.ignore)


def flip(example: Example) -> Example:
    """The mirror image."""
    width = example.image.shape[1]
    mirrored = [np.stack([width - b[:, 2], b[:, 1], width - b[:, 0], b[:, 3]], axis=1) for b in example[1:]]
    return Example(np.ascontiguousarray(example.image[:, ::-1]), *mirrored)


def recolour(image: Image, rng: np.random.Generator) -> Image:
    """Random hue, saturation, brightness and contrast; occasionally grey."""
    if rng.random() < 0.06:
        return np.repeat(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[..., None], 3, axis=2)
    hue, saturation, value = rng.uniform(-1, 1, 3) * (10, 0.5, 0.4)
    ramp = np.arange(256, dtype=np.float32)
    gamma = math.exp(rng.uniform(-0.3, 0.3))
    tables = (
        (np.arange(256) + round(hue)) % 180,
        np.clip(ramp * (1 + saturation), 0, 255),
        np.clip(255 * (ramp / 255) ** gamma * (1 + value), 0, 255),
    )
    hsv = cv2.LUT(cv2.cvtColor(image, cv2.COLOR_BGR2HSV), np.stack(tables, axis=-1).astype(np.uint8)[None])
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR).astype(np.uint8, copy=False)


def coarsen(image: Image, rng: np.random.Generator) -> Image:
    """Occasionally reduce the resolution or compress strongly."""
    kind = rng.random()
    if kind < 0.08:
        size = image.shape[1::-1]
        factor = rng.uniform(0.3, 0.8)
        image = cv2.resize(cv2.resize(image, None, fx=factor, fy=factor), size).astype(np.uint8, copy=False)
    elif kind < 0.16:
        image = compressed(image, int(rng.integers(20, 80)))
    return image


def picture(path: Path, batch: Sequence[Example]) -> None:
    """The canvases of a batch with boxes in green and ignored regions in red."""
    tiles = []
    for example in batch:
        tile = example.image.copy()
        for boxes, colour in ((example.ignore, (0, 0, 255)), (example.boxes, (0, 255, 0))):
            for x0, y0, x1, y1 in boxes.astype(int):
                cv2.rectangle(tile, (int(x0), int(y0)), (int(x1), int(y1)), colour, 1)
        tiles.append(tile)
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % 4)
    write_image(path, np.vstack([np.hstack(tiles[i : i + 4]) for i in range(0, len(tiles), 4)]))
