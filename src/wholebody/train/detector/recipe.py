"""The configuration of a detector training as a frozen dataclass. No torch here."""

from dataclasses import dataclass

from wholebody.choices import TrainPrecision
from wholebody.train.config import Optim

_OPTIM = Optim(lr=2e-3, lr_end=2e-5, flat=0.0, warmup=300, clip=10.0, ema_momentum=1e-3, ema_gamma=300)


@dataclass(frozen=True)
class DetectorConfig:
    """One training run of a detector; the other fields are as in `wholebody.train.config.TrainConfig`.

    Attributes:
        labels: JSON files of `wholebody.train.detector.scenes.read_examples`.
        network: a size of `wholebody.networks.yolox.yolox`; one class, person.
        init: initial weights: for "thunder", the .tflite file of its encoder; otherwise a model.safetensors of the same
            network.
        keep_norms: batch norms keep the statistics of `init`, instead of updating them with each batch.
        batch: canvases per step.
        sizes: (fraction of the run, side of the canvas from there on); multiples of 32.
        plain_from: fraction of the run after which each canvas is a single picture, and an L1 loss on the boxes is
            added.
        optim: `backbone` and `freeze` apply to the encoder: "thunder" has six or more blocks, the others four stages.
        longest: pictures are kept in memory with at most this longer side.
        workers: processes that prepare canvases, each with all pictures in memory; 0 uses the training process.
    """

    labels: tuple[str, ...] = ()
    name: str = "detector"
    network: str = "nano"
    init: str = ""
    keep_norms: bool = False
    steps: int = 7_500
    batch: int = 16
    accumulate: int = 1
    seed: int = 0
    sizes: tuple[tuple[float, int], ...] = ((0.0, 256), (0.5, 320), (0.7, 416))
    plain_from: float = 0.85
    optim: Optim = _OPTIM
    longest: int = 640
    precision: TrainPrecision = "fp32"
    compile: bool = False
    tf32: bool = True
    shared_norms: bool = False
    workers: int = 0
    checkpoint_minutes: float = 4.0
    validate: int = 1000
