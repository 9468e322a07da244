"""The entrants of a comparison, and its conditions."""

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
    """One estimator and its results.

    Attributes:
        name: in the table.
        parts: the parts that it has points for.
        estimator: None if it runs elsewhere.
        predictions: image id -> people.
        seconds: per picture, for `people`; or one number for all.
        processor: the same in CPU time over all threads, which is less affected by other work on the machine.
        loading: whether the seconds include the start of a program.
        ranked: whether the box scores are already the ranking scores, as in results files of other systems.
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
        """Milliseconds per person over all pictures; None if not timed."""
        return 1000 * sum(self.seconds) / self.people if self.people and self.seconds else None

    @property
    def processor_milliseconds(self) -> float | None:
        """The same in CPU time."""
        return 1000 * sum(self.processor) / self.people if self.people and self.processor else None


@dataclass(frozen=True)
class CompareOptions:
    """The options of `wholebody compare`; `runs` and `results` are "name=value"."""

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


Differences = Mapping[str, Mapping[str, Figure]]  # entrant -> part -> difference from the first entrant
