"""A detector's training as a frozen description. No torch here."""

from dataclasses import dataclass
from typing import Literal


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
