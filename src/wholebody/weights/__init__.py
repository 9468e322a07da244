"""Which networks there are, where their files come from, and how a file gets here whole."""

from wholebody.weights.lookup import find, locate, rows
from wholebody.weights.manifest import MANIFEST, NetworkKind, Weights

__all__ = ["MANIFEST", "NetworkKind", "Weights", "find", "locate", "rows"]
