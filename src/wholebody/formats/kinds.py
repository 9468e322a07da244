"""Every format by name: its suffix, whether pictures or videos have it, and its writer."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

Format = Literal["coco", "openpose", "comfy", "npz", "csv", "parquet", "trc", "png"]

VIDEO_ONLY = ("parquet", "trc", "png")
_JSON = ("coco", "openpose", "comfy")


def place_of(place: Path, kind: Format, kinds: Sequence[Format]) -> Path:
    """One JSON layout is <name>.json; of several each says which it is."""
    several = sum(other in _JSON for other in set(kinds)) > 1
    end = f".{kind}" if kind not in _JSON else f"_{kind}.json" if several else ".json"
    return place.with_name(place.name + end)
