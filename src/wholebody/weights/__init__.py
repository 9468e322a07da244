"""The list of networks, where their files come from, and downloading them safely."""

from wholebody.weights.lookup import find, locate, rows
from wholebody.weights.manifest import MANIFEST, NetworkKind, Weights

__all__ = ["MANIFEST", "NetworkKind", "Weights", "find", "locate", "rows"]
