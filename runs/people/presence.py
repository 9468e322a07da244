"""Fit the `Presence` of a trained two-scale network: is a hand in the picture, or cut off by its border?

    python runs/people/presence.py MODEL.safetensors OUT --data pseudo:work/people/labels.json:PHOTOS pool:POOL

Everyone with a labelled hand is cropped as a detector would crop them, and again from the photo cut beside or through
each hand. What the head's tokens say of the hand is stored once (OUT/hands.npz); then a logistic regression is fitted
to it. Its threshold keeps a share of the whole hands (`KEPT`), on people left out of the fit, a fifth at a time. OUT
gets model.safetensors: the same network with the presence.
"""

import argparse
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, cast

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from wholebody.arrays import Doubles, Image
from wholebody.geometry import Crop
from wholebody.networks.checkpoints import load_pose, save_pose
from wholebody.networks.two_scale import Presence, TwoScale, TwoScaleHead
from wholebody.train.config import parse_source
from wholebody.train.data.crops import people
from wholebody.train.data.people import LabelledPerson
from wholebody.train.engine.precision import native_bfloat16

Floats = npt.NDArray[np.float32]
# Points that a hand must have to be asked for, and their confidence.
LABELLED, CONFIDENT = 15, 0.3
# A hand with this many points in the picture is there.
THERE = 5
TRUNK = [5, 6, 11, 12]
# Chance that the border is beside the hand, not through it.
BESIDE = 0.65
# Share of whole hands that must be kept, and how steep the curve is made, so that they keep their scores.
KEPT, STEEPER = 0.93, 4.0
FOLDS, EPOCHS = 5, 40


Rectangle = tuple[int, int, int, int]


class Look(NamedTuple):
    """What the tokens say of a hand (512,), whether it is there and whole (0 or 1), and a number of its photo."""

    pooled: Floats
    there: int
    whole: int
    photo: int


def cut(sample: LabelledPerson, image: Image, hand: Doubles, rng: np.random.Generator) -> Rectangle | None:
    """Part of the photo (x0, y0, x1, y1) without the hand, or with some of it, that still shows the person's trunk."""
    height, width = image.shape[:2]
    low, high = hand.min(axis=0), hand.max(axis=0)
    extent = float((high - low).max())
    found = []
    for place in range(4):
        gap = extent * rng.uniform(0, 0.4) + 2 if rng.random() < BESIDE else -extent * rng.uniform(0.2, 0.8)
        kept = [0, 0, width, height]
        kept[place] = round((high[0] + gap, high[1] + gap, low[0] - gap, low[1] - gap)[place])
        x0, y0, x1, y1 = kept
        trunk = sample.keypoints[TRUNK]
        inside = ((trunk >= (x0, y0)) & (trunk < (x1, y1))).all(axis=1) & (sample.visible[TRUNK] > 0)
        if min(x0, y0) >= 0 and x1 <= width and y1 <= height and min(x1 - x0, y1 - y0) >= 32 and inside.sum() >= 2:
            found.append((x0, y0, x1, y1))
    return found[rng.integers(len(found))] if found else None


@torch.no_grad()
def pooled_tokens(network: TwoScale, crops: list[Image]) -> Floats:
    """What a presence reads of the hands in some crops (h, w, 3): (N, 2, 512)."""
    read = list[torch.Tensor]()
    head = cast(TwoScaleHead, network.head)
    with (
        head.cls_x.register_forward_pre_hook(lambda _, given: read.append(given[0])),
        torch.autocast("cpu", dtype=torch.bfloat16, enabled=native_bfloat16(torch.device("cpu"))),
    ):
        network(network.normalise(torch.from_numpy(np.stack(crops))))
    assert head.presence is not None
    return head.presence.pooled(read[0].float()).numpy()


def looks(network: TwoScale, sample: LabelledPerson, rng: np.random.Generator) -> Iterator[Look]:
    image, photo = sample.pixels(), zlib.crc32(sample.source.encode())
    sure = [sample.visible[part] > CONFIDENT for part in Presence.hands]
    asked = [rows.sum() >= LABELLED for rows in sure]
    if not any(asked):
        return
    hands = [sample.keypoints[part][rows] for part, rows in zip(Presence.hands, sure, strict=True)]
    whole = (0, 0, image.shape[1], image.shape[0])
    crops, shown = list[Image](), list[Rectangle]()
    for rectangle in (whole, *(cut(sample, image, hand, rng) for hand, ask in zip(hands, asked, strict=True) if ask)):
        if rectangle is None:
            continue
        x0, y0, x1, y1 = rectangle
        box = sample.box.clip((x0, y0, x0, y0), (x1, y1, x1, y1)) - (x0, y0, x0, y0)
        if (box[2:] - box[:2]).min() < 8:
            continue
        crops.append(Crop.from_box(box, network.codec.input_size).cut(np.ascontiguousarray(image[y0:y1, x0:x1])))
        shown.append(rectangle)
    for pooled, (x0, y0, x1, y1) in zip(pooled_tokens(network, crops) if crops else (), shown, strict=True):
        for n, hand in enumerate(hands):
            inside = int(((hand >= (x0, y0)) & (hand < (x1, y1))).all(axis=1).sum())
            if asked[n] and (inside == 0 or inside >= THERE):
                yield Look(pooled[n], inside > 0, (x0, y0, x1, y1) == whole, photo)


def fit(pooled: torch.Tensor, there: torch.Tensor) -> torch.nn.Linear:
    """Logistic regression, on standardised inputs, whose scale is then part of the weights."""
    mean, std = pooled.mean(dim=0), pooled.std(dim=0) + 1e-5
    layer, given = torch.nn.Linear(pooled.shape[1], 1), (pooled - mean) / std
    optimizer = torch.optim.AdamW(layer.parameters(), lr=2e-3, weight_decay=0.05)
    for epoch in range(EPOCHS):
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * (1 - epoch / EPOCHS)
        for rows in torch.randperm(len(given)).split(128):
            loss = F.binary_cross_entropy_with_logits(layer(given[rows])[:, 0], there[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        layer.weight /= std
        layer.bias -= layer.weight[0] @ mean
    return layer.requires_grad_(False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", nargs="+", required=True)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    options.out.mkdir(parents=True, exist_ok=True)
    network, kept = cast(TwoScale, load_pose(options.model).eval()), options.out / "hands.npz"
    head = cast(TwoScaleHead, network.head)
    head.presence = Presence()
    if not kept.exists():
        found = list[Look]()
        for source in map(parse_source, options.data):
            for group in people(source).values():
                for n in range(len(group)):
                    found += looks(network, group[n], np.random.default_rng((n, 5)))
        columns = dict(zip(Look._fields, map(np.array, zip(*found, strict=True)), strict=True))
        np.savez(kept, **columns | {"pooled": columns["pooled"].astype(np.float16)})
    stored = np.load(kept)
    pooled, there = (torch.from_numpy(stored[name].astype(np.float32)) for name in ("pooled", "there"))
    fold, chance = torch.from_numpy(stored["photo"].astype(np.int64) % FOLDS), torch.zeros(len(pooled))
    for n in range(FOLDS):
        layer = fit(pooled[fold != n], there[fold != n])
        chance[fold == n] = layer(pooled[fold == n])[:, 0]
    whole = (there > 0) & torch.from_numpy(stored["whole"] > 0)
    threshold = chance[whole].quantile(1 - KEPT)
    for name, rows in (("whole hands", whole), ("parts of hands", (there > 0) & ~whole), ("hands outside", there == 0)):
        print(f"{name} kept: {float((chance[rows] >= threshold).float().mean()):.3f} of {int(rows.sum())}")
    layer = fit(pooled, there)
    head.presence.read.weight.data = STEEPER * layer.weight
    head.presence.read.bias.data = STEEPER * (layer.bias - threshold)
    save_pose(network, options.out / "model.safetensors")


if __name__ == "__main__":
    main()
