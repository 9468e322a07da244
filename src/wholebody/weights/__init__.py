"""Which networks there are, where their files come from, and how a file gets here whole."""

from wholebody.weights.lookup import find, locate, rows
from wholebody.weights.manifest import MANIFEST, Kind, Weights

__all__ = ["MANIFEST", "Kind", "Weights", "find", "locate", "rows"]
