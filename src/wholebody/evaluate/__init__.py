"""Evaluation: the figures of COCO-WholeBody, from arrays."""

from wholebody.evaluate.intervals import BLOCKS, CHUNK, PLACES
from wholebody.evaluate.metric import People, Ranking, evaluate, match, rank
from wholebody.evaluate.oks import Labelled, part_oks
from wholebody.evaluate.report import (
    AREAS,
    COCO_NAMES,
    COVERED,
    FIGURES,
    MOST,
    PARTS,
    PCK_PART,
    PCK_PERSON,
    RECALLS,
    ROWS,
    THRESHOLDS,
    Figure,
    Report,
    Settings,
)

__all__ = [
    "AREAS",
    "BLOCKS",
    "CHUNK",
    "COCO_NAMES",
    "COVERED",
    "FIGURES",
    "MOST",
    "PARTS",
    "PCK_PART",
    "PCK_PERSON",
    "PLACES",
    "RECALLS",
    "ROWS",
    "THRESHOLDS",
    "Figure",
    "Labelled",
    "People",
    "Ranking",
    "Report",
    "Settings",
    "evaluate",
    "match",
    "part_oks",
    "rank",
]
