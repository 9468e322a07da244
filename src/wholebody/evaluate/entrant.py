"""Who takes part in a comparison, and under which conditions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wholebody.choices import Precision
from wholebody.evaluate.report import Figure
from wholebody.evaluate.run import Estimator
from wholebody.poses import Poses

COMPARED_PARTS = ("body", "feet", "face", "left_hand", "right_hand", "whole")


@dataclass(eq=False)
class Entrant:
    """One estimator and what became of it.

    Attributes:
        name: in the table.
        parts: those it has points of.
        estimator: None for one that runs elsewhere.
        predictions: image id -> people.
        seconds: of each picture, for `people`; or one number for all.
        processor: the same of the processor, all threads together, which other work on the machine disturbs less.
        loading: whether the seconds have the start of a program in them.
        ranked: the box scores are what ranks predictions already, as in the results files of others.
    """

    name: str
    parts: tuple[str, ...] = COMPARED_PARTS
    estimator: Estimator | None = None
    predictions: dict[int, Poses] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    people: int = 0
    loading: bool = False
    ranked: bool = False

    @property
    def milliseconds(self) -> float | None:
        """For a person, all pictures together; None if nobody timed it."""
        return 1000 * sum(self.seconds) / self.people if self.people and self.seconds else None

    @property
    def processor_milliseconds(self) -> float | None:
        """The same of the processor."""
        return 1000 * sum(self.processor) / self.people if self.people and self.processor else None


@dataclass(frozen=True)
class CompareOptions:
    """What `wholebody compare` was asked for; `runs` and `results` are "name=value"."""

    annotations: Path
    images: Path
    output: Path
    models: tuple[str, ...] = ("wholebody-133",)
    devices: tuple[str, ...] = ("cpu",)
    rtmlib: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    results: tuple[str, ...] = ()
    boxes: str = "gt"
    threads: int = 1
    precisions: Sequence[Precision] = ("fp32",)
    mapping: Path | None = None


Differences = Mapping[str, Mapping[str, Figure]]  # entrant -> part -> from the first entrant
