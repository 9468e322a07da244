"""Training a YOLOX to find people: pictures with boxes in, weights out.

    from wholebody.train.detector import Recipe, fit
    fit(Recipe(labels=("boxes.json",), samples=120_000), "work/detector")     # run again to go on after a stop

A sample is a canvas of one to nine pictures at different scales (mosaic), or people pasted onto a picture without any;
then flip, colour and resolution change. Sample n depends on the seed and n alone. Canvases are small at first and reach
the input size later, because early steps learn as much from small ones at a third of the time; the last part of the
run shows whole pictures only. Anchors are assigned by SimOTA, the losses are those of the paper, and regions marked
"ignore" count neither as person nor as background.

Left out on purpose: mixup and strong rotation, which the paper itself leaves out for its smallest networks or which
blur the few boxes a small data set has.
"""

import dataclasses
import json
import math
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from wholebody.arrays import Floats, Image
from wholebody.errors import WholebodyError
from wholebody.files import replacing
from wholebody.geometry import box_areas, iou
from wholebody.networks.thunder import Thunder
from wholebody.networks.yolox import STRIDES, YOLOX, ThunderTrunk, from_checkpoint, yolox
from wholebody.train.augment import compressed
from wholebody.train.parallel import keep_memory

GREY = 114
# Visible share below which a cut-off person is ignored, and shortest side, as a share of the canvas.
LEAST_VISIBLE = 0.2
LEAST_SIDE = 0.012


@dataclass(frozen=True)
class Recipe:
    """A run.

    Attributes:
        labels: JSON files of `read_examples`.
        network: a size of `yolox`; one class, person.
        init: for "thunder", the .tflite file its encoder starts from.
        backbone: factor on the learning rate of "thunder"'s encoder; freeze: how many of its first blocks stay as
            they are.
        samples: canvases in the whole run. A resumed run may name another number to end earlier or later.
        batch: canvases a step.
        sizes: (share of the run, side of the canvas) from that share on; multiples of 32.
        plain_from: share of the run after which pictures come alone and a plain L1 loss on the boxes joins in.
        lr, lr_end: AdamW's rate after warm-up and at the end of the cosine; warmup in steps.
        ema: decay of the averaged weights, which are the result; reached gradually.
        longest: pictures are kept in memory with their longer side at most this.
        minutes: time between checkpoints.
        precision: "bf16" only where the processor computes in it; elsewhere it is many times slower.
    """

    labels: tuple[str, ...]
    network: str = "nano"
    init: str = ""
    backbone: float = 1.0
    freeze: int = 0
    samples: int = 120_000
    batch: int = 16
    sizes: tuple[tuple[float, int], ...] = ((0.0, 256), (0.5, 320), (0.7, 416))
    plain_from: float = 0.85
    lr: float = 2e-3
    lr_end: float = 2e-5
    warmup: int = 300
    weight_decay: float = 0.05
    clip: float = 10.0
    ema: float = 0.999
    longest: int = 640
    minutes: float = 4.0
    seed: int = 0
    precision: Literal["fp32", "bf16"] = "fp32"


class Example(NamedTuple):
    """A picture and its people."""

    image: Image  # (H, W, 3) uint8 BGR
    boxes: Floats  # (N, 4) xyxy pixels
    ignore: Floats  # (M, 4) regions nobody is sure about


class Maps(NamedTuple):
    """The anchors of one canvas size."""

    cells: Tensor  # (A, 2) x, y of each cell in units of its stride
    strides: Tensor  # (A, 1)


class Losses(NamedTuple):
    """Terms of a batch, each a sum over its anchors divided by the number of anchors that hold a person."""

    iou: Tensor
    objectness: Tensor
    classes: Tensor
    l1: Tensor


# Data


def read_examples(labels: str | os.PathLike[str], longest: int) -> list[Example]:
    """The pictures of a JSON list of {"file", "boxes", "ignore"}, shrunk to `longest` pixels at most, in memory.

    Floats are xyxy in pixels of the file; "file" is relative to the JSON's folder or absolute. A picture without boxes
    shows what is not a person.

    Raises:
        WholebodyError: the JSON or one of its pictures cannot be read.
    """
    path = Path(labels)
    try:
        rows = [
            (row["file"], _boxes(row["boxes"]), _boxes(row.get("ignore", []))) for row in json.loads(path.read_text())
        ]
    except OSError as error:
        raise WholebodyError(f"{path}: {error.strerror}. Name a JSON file of pictures and boxes.") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise WholebodyError(f"{path}: not a list of rows with file, boxes and ignore (x0, y0, x1, y1).") from error
    pictures: dict[str, tuple[Image, float]] = {}  # a row may stand there several times to be drawn more often
    examples = []
    for file, boxes, ignore in rows:
        if file not in pictures:
            pictures[file] = _read(path.parent / file, longest)
        image, ratio = pictures[file]
        examples.append(Example(image, boxes * np.float32(ratio), ignore * np.float32(ratio)))
    return examples


def _read(path: Path, longest: int) -> tuple[Image, float]:
    """A picture and how much it was shrunk."""
    image = cv2.imread(str(path))
    if image is None:
        raise WholebodyError(f"{path}: missing or not a picture. Put it there or take its row out of the list.")
    ratio = min(1.0, longest / max(image.shape[:2]))
    if ratio < 1:
        image = cv2.resize(image, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA)
    return image.astype(np.uint8, copy=False), ratio


def _boxes(rows: Sequence[Sequence[float]]) -> Floats:
    boxes = np.array(rows, dtype=np.float32).reshape(-1, 4)
    if not (np.isfinite(boxes).all() and (boxes[:, 2:] > boxes[:, :2]).all()):
        raise ValueError("a box is empty or not a number")
    return boxes


def draw(examples: Sequence[Example], size: int, rng: np.random.Generator, plain: bool = False) -> Example:
    """One training canvas of `size` x `size`.

    Args:
        plain: one picture on the canvas, never several.
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
        scale: range of the pictures' size relative to fitting the cell, drawn evenly on a logarithmic scale.
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
    """Write a picture into a cell, in place, and cut its boxes to what is seen there."""
    (height, width), (h, w) = cell.shape[:2], example.image.shape[:2]
    fit, fill = min(width / w, height / h), max(width / w, height / h)
    base = fit * (fill / fit) ** rng.choice([0, 0, rng.random(), 1])
    ratio = base * math.exp(rng.uniform(*np.log(scale)))
    aspect = math.exp(rng.uniform(-0.2, 0.2) / 2)
    shown_w, shown_h = max(round(w * ratio * aspect), 2), max(round(h * ratio / aspect), 2)
    # Linear without averaging is what a large photo meets at inference; areas are what it should meet. Both are seen.
    how = cv2.INTER_AREA if ratio < 1 and rng.random() < 0.5 else cv2.INTER_LINEAR
    shown = cv2.resize(example.image, (shown_w, shown_h), interpolation=how)
    x, y = (round(rng.uniform(min(0, room), max(0, room))) for room in (width - shown_w, height - shown_h))
    visible = shown[max(0, -y) : height - y, max(0, -x) : width - x]
    cell[max(0, y) : max(0, y) + visible.shape[0], max(0, x) : max(0, x) + visible.shape[1]] = visible
    factor, shift = np.array([[shown_w / w, shown_h / h] * 2, [x, y, x, y]], np.float32)
    return Example(cell, *cut(example.boxes * factor + shift, example.ignore * factor + shift, (width, height), least))


def cut(boxes: Floats, ignore: Floats, size: tuple[int, int], least: float) -> tuple[Floats, Floats]:
    """Boxes and ignored regions limited to a canvas of `size` (w, h).

    A person of whom too little is left, by LEAST_VISIBLE or by a side shorter than `least` pixels, is ignored.
    """
    limit = np.array([*size, *size], np.float32)
    seen, area = np.clip(boxes, 0, limit), box_areas(boxes)
    sides = seen[:, 2:] - seen[:, :2]
    kept = (sides.prod(axis=1) >= LEAST_VISIBLE * area) & (sides.min(axis=1, initial=np.inf) >= least)
    ignore = np.concatenate([np.clip(ignore, 0, limit), seen[~kept]])
    return seen[kept], ignore[(ignore[:, 2:] > ignore[:, :2]).all(axis=1)]


def paste(canvas: Example, example: Example, rng: np.random.Generator) -> Example:
    """One person of another picture, with a soft margin of what was around, put where nobody is yet."""
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
    # A neighbour who comes along would be an unlabelled person.
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
    """Random hue, saturation, brightness and contrast; now and then grey."""
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
    """Now and then as if taken at a lower resolution or compressed hard."""
    kind = rng.random()
    if kind < 0.08:
        size = image.shape[1::-1]
        factor = rng.uniform(0.3, 0.8)
        image = cv2.resize(cv2.resize(image, None, fx=factor, fy=factor), size).astype(np.uint8, copy=False)
    elif kind < 0.16:
        image = compressed(image, int(rng.integers(20, 80)))
    return image


# Losses


def maps(size: tuple[int, int]) -> Maps:
    """The anchors of a canvas of `size` (w, h): strides 8, 16, 32, each row-major."""
    cells, strides = [], []
    for stride in STRIDES:
        y, x = torch.meshgrid(torch.arange(size[1] // stride), torch.arange(size[0] // stride), indexing="ij")
        cells.append(torch.stack([x, y], dim=2).reshape(-1, 2))
        strides.append(torch.full((x.numel(), 1), stride))
    return Maps(torch.cat(cells).float(), torch.cat(strides).float())


def decode(reg: Tensor, anchors: Maps) -> Tensor:
    """The network's box numbers (..., A, 4) -> boxes (..., A, 4) xyxy in canvas pixels."""
    center = (reg[..., :2] + anchors.cells) * anchors.strides
    half = reg[..., 2:].clamp(max=12).exp() * anchors.strides / 2
    return torch.cat((center - half, center + half), dim=-1)


def encode(boxes: Tensor, anchors: Maps) -> Tensor:
    """The inverse of `decode`: boxes (A, 4), one for each anchor -> (A, 4)."""
    center, side = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    return torch.cat((center / anchors.strides - anchors.cells, (side / anchors.strides).log()), dim=1)


def overlaps(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of boxes (..., 4), broadcast over the leading axes."""
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    area_a, area_b = ((boxes[..., 2:] - boxes[..., :2]).prod(-1) for boxes in (a, b))
    return shared / (area_a + area_b - shared + 1e-9)


@torch.no_grad()
def assign(boxes: Tensor, scores: Tensor, truth: Tensor, anchors: Maps) -> tuple[Tensor, Tensor, Tensor]:
    """SimOTA (section 2.2 of the paper): which anchors shall find which person.

    A person takes anchors within 1.5 strides of its centre, as many as the sum of the ten best IoU, those of lowest
    cost first (log-loss of the score + 3 log-loss of the IoU). An anchor wanted by two goes to the cheaper.

    Args:
        boxes: (A, 4) predicted. scores: (A,) predicted. truth: (G, 4), G > 0.

    Returns:
        rows (P,) of the chosen anchors, person (P,) of each, and their IoU (P,).
    """
    centers = (anchors.cells + 0.5) * anchors.strides
    middle = (truth[:, :2] + truth[:, 2:]) / 2
    near = ((centers[None] - middle[:, None]).abs() < 1.5 * anchors.strides[None]).all(dim=2)  # (G, A)
    rows = near.any(dim=0).nonzero()[:, 0]
    near = near[:, rows]
    quality = overlaps(truth[:, None], boxes[rows][None])  # (G, R)
    surprise = -scores[rows].clamp(1e-8, 1).log()
    cost = surprise[None] - 3 * (quality + 1e-8).log() + 1e6 * ~near
    count = quality.topk(min(10, len(rows)), dim=1).values.sum(dim=1).int().clamp(min=1)
    rank = cost.argsort(dim=1).argsort(dim=1)
    wanted = (rank < count[:, None]) & near
    person = torch.where(wanted, cost, torch.inf).argmin(dim=0)
    chosen = wanted.any(dim=0)
    return rows[chosen], person[chosen], quality[person[chosen], chosen.nonzero()[:, 0]]


def losses(logits: Tensor, boxes: Sequence[Tensor], ignore: Sequence[Tensor], anchors: Maps) -> Losses:
    """The terms of a batch.

    Args:
        logits: (N, A, 6) of `YOLOX.logits` with one class.
        boxes, ignore: of each canvas, (G, 4) and (M, 4) xyxy canvas pixels.
    """
    predicted = decode(logits[..., :4], anchors)
    probability = logits[..., 4:].sigmoid()
    scores = (probability[..., 0] * probability[..., 1]).sqrt()
    centers = (anchors.cells + 0.5) * anchors.strides
    target, weight = torch.zeros_like(scores), torch.ones_like(scores)
    zero = logits.sum() * 0
    iou_term, class_term, l1_term, positives = zero, zero, zero, 0
    for n, (truth, unsure) in enumerate(zip(boxes, ignore, strict=True)):
        inside = (centers[:, None] > unsure[None, :, :2]) & (centers[:, None] < unsure[None, :, 2:])
        weight[n, inside.all(dim=2).any(dim=1)] = 0
        if not len(truth):
            continue
        rows, person, quality = assign(predicted[n], scores[n], truth, anchors)
        target[n, rows], weight[n, rows] = 1, 1
        positives += len(rows)
        iou_term = iou_term + (1 - overlaps(predicted[n, rows], truth[person]) ** 2).sum()
        class_term = class_term + F.binary_cross_entropy_with_logits(logits[n, rows, 5], quality, reduction="sum")
        wanted = encode(truth[person], Maps(anchors.cells[rows], anchors.strides[rows]))
        l1_term = l1_term + (logits[n, rows, :4] - wanted).abs().sum()
    objectness = F.binary_cross_entropy_with_logits(logits[..., 4], target, weight, reduction="sum")
    total = max(positives, 1)
    return Losses(iou_term / total, objectness / total, class_term / total, l1_term / total)


# The run


def at_share(recipe: Recipe, share: float) -> tuple[int, bool]:
    """Canvas side, and whether pictures come alone, at a share of the run."""
    return next(size for start, size in reversed(recipe.sizes) if share >= start), share >= recipe.plain_from


def learning_rate(recipe: Recipe, step: int, share: float) -> float:
    """Linear warm-up on a cosine."""
    cosine = recipe.lr_end + (recipe.lr - recipe.lr_end) * 0.5 * (1 + math.cos(math.pi * min(share, 1)))
    return cosine * min(1.0, (step + 1) / max(recipe.warmup, 1))


def fit(recipe: Recipe, out: str | os.PathLike[str]) -> YOLOX:
    """Run a recipe to its end, from its last state in `out` if there is one.

    Writes `recipe.json`, `metrics.jsonl`, `first_batch.jpg`, `state.pt` and `model.safetensors` (the averaged weights).

    Returns:
        the network with the averaged weights, in eval mode.

    Raises:
        WholebodyError: data cannot be read, the loss is not finite, or the state in `out` is of another network.
    """
    keep_memory()
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    model, ema = yolox(recipe.network, classes=1), yolox(recipe.network, classes=1)
    if isinstance(trunk := model.backbone.backbone, ThunderTrunk) and recipe.init:
        trunk.start_from(Thunder.from_tflite(recipe.init))
    ema.load_state_dict(model.state_dict())
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(_groups(model, recipe), lr=recipe.lr)
    step, seconds = _resume(folder / "state.pt", recipe, model, ema, optimizer)
    with replacing(folder / "recipe.json") as path:
        path.write_text(json.dumps(dataclasses.asdict(recipe), indent=1) + "\n")

    examples = [example for file in recipe.labels for example in read_examples(file, recipe.longest)]
    if not examples:
        raise WholebodyError(f"{', '.join(recipe.labels)}: no pictures. Name a file with rows of file, boxes, ignore.")
    started = saved = time.monotonic()
    with (folder / "metrics.jsonl").open("a") as log:
        while step * recipe.batch < recipe.samples:
            share = step * recipe.batch / recipe.samples
            size, plain = at_share(recipe, share)
            batch = [
                draw(examples, size, np.random.default_rng([recipe.seed, step * recipe.batch + n]), plain)
                for n in range(recipe.batch)
            ]
            if step == 0:
                _picture(folder / "first_batch.jpg", batch)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(recipe, step, share) * group["factor"]
            terms = _step(model, optimizer, batch, recipe, plain)
            if terms is None:
                raise WholebodyError(f"{folder}: the loss is not finite at step {step}. Lower lr and run again.")
            _average(ema, model, recipe.ema, step)
            step += 1
            if step % 10 == 0:
                row = {
                    "step": step,
                    "samples": step * recipe.batch,
                    "size": size,
                    "lr": optimizer.param_groups[-1]["lr"],
                }
                spent = seconds + time.monotonic() - started
                log.write(json.dumps(row | terms._asdict() | {"seconds": round(spent, 1)}, default=float) + "\n")
                log.flush()
            if step * recipe.batch >= recipe.samples or time.monotonic() - saved > recipe.minutes * 60:
                spent = seconds + time.monotonic() - started
                _save(folder, recipe, model, ema, optimizer, step, spent)
                saved = time.monotonic()
    return ema.eval()


def load(path: str | os.PathLike[str]) -> YOLOX:
    """The network of a `model.safetensors` that `fit` wrote."""
    try:
        return from_checkpoint(load_file(path))
    except OSError as error:
        raise WholebodyError(f"{path}: {error.strerror or error}. Name a model.safetensors of a run.") from error


def _step(
    model: YOLOX, optimizer: torch.optim.Optimizer, batch: Sequence[Example], recipe: Recipe, plain: bool
) -> Losses | None:
    """One update; None, and nothing updated, if the loss is not finite."""
    model.train()
    pixels = torch.from_numpy(np.stack([example.image for example in batch]))
    boxes, ignore = ([torch.from_numpy(example[i]) for example in batch] for i in (1, 2))
    height, width = pixels.shape[1:3]
    # As (N, H, W, 3) in memory, which the view below makes channels last.
    with torch.autocast("cpu", torch.bfloat16, enabled=recipe.precision == "bf16"):
        logits = model.logits(pixels.float().permute(0, 3, 1, 2))
    terms = losses(logits.float(), boxes, ignore, maps((width, height)))
    loss = 5 * terms.iou + terms.objectness + terms.classes + (terms.l1 if plain else 0)
    if not torch.isfinite(loss):
        return None
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
    optimizer.step()
    return Losses(*(term.detach() for term in terms))


def _groups(model: YOLOX, recipe: Recipe) -> Iterator[dict[str, object]]:
    """A pretrained encoder at its own rate, the rest at the full one; no weight decay on vectors."""
    trunk, known = model.backbone.backbone, []
    if isinstance(trunk, ThunderTrunk):
        for module in (trunk.stem, *trunk.blocks[: recipe.freeze]) if recipe.freeze else ():
            module.requires_grad_(False)
        known = [*trunk.stem.parameters(), *trunk.blocks.parameters()]
    others = [p for p in model.parameters() if id(p) not in set(map(id, known))]
    for parameters, factor in ((known, recipe.backbone), (others, 1.0)):
        for decays in (True, False):
            chosen = [p for p in parameters if p.requires_grad and (p.ndim > 1) == decays]
            if chosen:
                decay = recipe.weight_decay if decays else 0.0
                yield {"params": chosen, "weight_decay": decay, "factor": factor}


@torch.no_grad()
def _average(ema: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    decay = min(decay, (step + 1) / (step + 10))
    for kept, now in zip(ema.state_dict().values(), model.state_dict().values(), strict=True):
        if kept.dtype.is_floating_point:
            kept.lerp_(now, 1 - decay)
        else:
            kept.copy_(now)


def _save(
    folder: Path,
    recipe: Recipe,
    model: YOLOX,
    ema: YOLOX,
    optimizer: torch.optim.Optimizer,
    step: int,
    seconds: float,
) -> None:
    state = {
        "network": recipe.network,
        "step": step,
        "seconds": seconds,
        "model": model.state_dict(),
        "ema": ema.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    with replacing(folder / "state.pt") as path:
        torch.save(state, path)
    with replacing(folder / "model.safetensors") as path:
        save_file({name: value.contiguous() for name, value in ema.state_dict().items()}, path)


def _resume(
    path: Path, recipe: Recipe, model: YOLOX, ema: YOLOX, optimizer: torch.optim.Optimizer
) -> tuple[int, float]:
    """Load a state if there is one; the step to go on with and the seconds spent so far."""
    if not path.exists():
        return 0, 0.0
    state = torch.load(path, weights_only=True)
    if state["network"] != recipe.network:
        raise WholebodyError(f"{path}: a run of YOLOX-{state['network']}. Choose another folder or remove it.")
    model.load_state_dict(state["model"])
    ema.load_state_dict(state["ema"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"]), float(state["seconds"])


def _picture(path: Path, batch: Sequence[Example]) -> None:
    """The canvases of a batch with boxes in green and ignored regions in red."""
    tiles = []
    for example in batch:
        tile = example.image.copy()
        for boxes, colour in ((example.ignore, (0, 0, 255)), (example.boxes, (0, 255, 0))):
            for x0, y0, x1, y1 in boxes.astype(int):
                cv2.rectangle(tile, (int(x0), int(y0)), (int(x1), int(y1)), colour, 1)
        tiles.append(tile)
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % 4)
    with replacing(path) as partial:
        cv2.imwrite(str(partial), np.vstack([np.hstack(tiles[i : i + 4]) for i in range(0, len(tiles), 4)]))
