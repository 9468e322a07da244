"""The figures of an evaluation and the settings behind them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from wholebody.errors import WholebodyError
from wholebody.geometry import PADDING
from wholebody.reading import DAMAGED, in_short, parse_json
from wholebody.schema import COCO_WHOLEBODY, Schema

if TYPE_CHECKING:
    from rich.table import Table


def rows_of(schema: Schema) -> Mapping[str, slice]:
    """The evaluated parts, and the whole."""
    return {**schema.parts, "whole": slice(0, len(schema))}


# Of COCO_WHOLEBODY; another schema has its own parts and the whole.
ROWS = rows_of(COCO_WHOLEBODY)
PARTS = ("body", "feet", "face", "left_hand", "right_hand", "hands", "whole")

FIGURES = ("AP", "AP50", "AP75", "AP_M", "AP_L", "AR", "AR50", "AR75", "AR_M", "AR_L", "OKS", "PCK")
COCO_NAMES = {
    "body": "body",
    "feet": "foot",
    "face": "face",
    "left_hand": "lefthand",
    "right_hand": "righthand",
    "whole": "wholebody",
}

# COCO's constants.
THRESHOLDS = np.linspace(0.5, 0.95, 10)

RECALLS = np.linspace(0, 1, 101)

AREAS = np.array([[0, 1e10], [32**2, 96**2], [96**2, 1e10]])  # all, medium, large
MOST = 20  # predictions per image that count
# A person covers about this fraction of a box; for sets without outlines.
COVERED = 0.53

PCK_PERSON, PCK_PART = 0.05, 0.1


@dataclass(frozen=True)
class Settings:
    """Settings of the evaluation; the defaults are those of the published COCO-WholeBody figures.

    Attributes:
        score: the ranking score of a prediction: the box score times the mean of its keypoint scores above
            `keypoint_threshold` ("box_keypoint"), or the box score ("box").
        nms: suppress a prediction similar to a better one in its image ("oks": OKS above `nms_threshold`), lower its
            score and keep the first twenty ("soft"), or keep all ("none").
        use_area: whether OKS uses the outline's area, or 0.53 of the box's.
        input_size, padding: of the pose network; they determine the area for the OKS in the NMS.
    """

    score: Literal["box_keypoint", "box"] = "box_keypoint"
    keypoint_threshold: float = 0.2
    nms: Literal["oks", "soft", "none"] = "oks"
    nms_threshold: float = 0.9
    use_area: bool = True
    input_size: tuple[int, int] = (192, 256)
    padding: float = PADDING


@dataclass(frozen=True)
class Figure:
    """A figure and its 95 % bootstrap interval over images; NaN if nobody is labelled."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        if np.isnan(self.value):
            return "-"
        if np.isnan(self.low):
            return f"{100 * self.value:.1f}"
        return f"{100 * self.value:.1f} [{100 * self.low:.1f}, {100 * self.high:.1f}]"


@dataclass(frozen=True, eq=False)
class Report:
    """The result of `evaluate`.

    Attributes:
        figures: part ("body" ... "whole", PARTS or those of another schema) -> name ("AP" ... "PCK") -> figure, 0..1.
        people: part -> number of people with a labelled point of it.
        images: number of images.
        predictions: number of predictions after NMS.
        settings: the settings used.
    """

    figures: Mapping[str, Mapping[str, Figure]]
    people: Mapping[str, int]
    images: int
    predictions: int
    settings: Settings = field(default_factory=Settings)

    @property
    def parts(self) -> tuple[str, ...]:
        """The labelled parts, and the whole if there is more than one part."""
        there = tuple(part for part in self.figures if self.people[part])
        return there if len(there) > 2 else tuple(part for part in there if part != "whole")

    def coco(self) -> dict[str, dict[str, float]]:
        """AP and AR under their official names, -1 if nobody is labelled.

        `hand_mean_of_left_right` is the plain mean of both, even of a -1.
        """
        stats = {
            COCO_NAMES[part]: {
                name: -1.0 if np.isnan(figure.value) else figure.value
                for name, figure in self.figures[part].items()
                if name.startswith("A")
            }
            for part in COCO_NAMES
            if part in self.figures
        }
        if not {"lefthand", "righthand"} <= stats.keys():
            return stats
        left, right = stats["lefthand"], stats["righthand"]
        return stats | {"hand_mean_of_left_right": {name: (left[name] + right[name]) / 2 for name in left}}

    def rows(self, names: Sequence[str] = FIGURES, parts: Sequence[str] | None = None) -> Iterator[tuple[str, ...]]:
        """A table in per cent: the header (part, people, figures), then a row per part; all parts if None."""
        yield ("part", "people", *names)
        for part in self.figures if parts is None else parts:
            yield (part, str(self.people[part]), *(str(self.figures[part][name]) for name in names))

    def table(self, names: Sequence[str] = FIGURES, parts: Sequence[str] | None = None) -> "Table":
        """`rows` as a table for rich, in the form of Markdown."""
        from rich import box
        from rich.table import Table

        head, *rows = self.rows(names, parts)
        made = Table(box=box.MARKDOWN)
        for i, column in enumerate(head):
            made.add_column(column, justify="left" if i == 0 else "right", no_wrap=True)
        for row in rows:
            made.add_row(*row)
        return made

    def __str__(self) -> str:
        rows = [row for names in (FIGURES[:5], FIGURES[5:10], FIGURES[10:]) for row in (*self.rows(names), ())]
        return "\n".join("  ".join(f"{cell:<{10 if i < 2 else 19}}" for i, cell in enumerate(row)) for row in rows)

    def to_json(self) -> str:
        """The report as JSON for `from_json`; a figure over zero people is null."""
        figures = {
            part: {name: [None if np.isnan(v) else v for v in (f.value, f.low, f.high)] for name, f in row.items()}
            for part, row in self.figures.items()
        }
        return json.dumps(
            {
                "figures": figures,
                "people": dict(self.people),
                "images": self.images,
                "predictions": self.predictions,
                "settings": asdict(self.settings),
            },
            indent=1,
        )

    @classmethod
    def from_json(cls, text: str) -> "Report":
        """Read what `to_json` wrote.

        Raises:
            WholebodyError: it is something else.
        """
        try:
            read = parse_json(text)
            figures = {
                part: {
                    name: Figure(*(float("nan") if value is None else float(value) for value in figure))
                    for name, figure in row.items()
                }
                for part, row in read["figures"].items()
            }
            size = tuple(read["settings"].pop("input_size"))
            settings = Settings(**read["settings"], input_size=size)
            return cls(figures, read["people"], read["images"], read["predictions"], settings)
        except DAMAGED as error:
            raise WholebodyError(
                f"not a report of an evaluation ({in_short(error)}). Run the evaluation again."
            ) from error
