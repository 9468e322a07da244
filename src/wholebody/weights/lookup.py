"""From a name to a file: `find("dwpose-m", kind="pose")` returns its path, and downloads it if necessary.

WHOLEBODY_CACHE    folder for downloads and exported files (default: the user's cache folder)
WHOLEBODY_OFFLINE  if 1, nothing is downloaded
WHOLEBODY_TRUST    if 1, networks without a published SHA-256 are downloaded too, unverified
WHOLEBODY_MIRROR   a base URL; <base>/<file> is tried before the public mirrors
"""

import difflib
import os
from pathlib import Path

from wholebody.errors import WholebodyError
from wholebody.files import cache_folder, expanded
from wholebody.weights.download import download, is_here
from wholebody.weights.manifest import CHECKPOINT, MANIFEST, NetworkKind, Weights

_MODELS = Path(__file__).parents[1] / "models"

CHECKPOINTS = (".pth", ".pt", ".safetensors")


def find(name_or_path: str | os.PathLike[str], *, kind: NetworkKind) -> Path:
    """The file of a network, as released: bundled, cached, downloaded or given.

    Args:
        name_or_path: a name from `MANIFEST`, the path of an .onnx file or a checkpoint (`CHECKPOINTS`), or the name
            of a released file in `MANIFEST`.
        kind: the purpose of the network.

    Raises:
        WholebodyError: unknown name or missing file, a name of the other kind, no mirror works, or offline.
    """
    text = os.fspath(name_or_path)
    weights = entry(text)
    if weights is None:
        path = expanded(text)
        if not path.is_file():
            raise WholebodyError(_unknown(text, kind))
        return path
    if weights.kind != kind:
        article = {"pose": "a pose network", "detector": "a detector", "backbone": "a backbone to start from"}
        raise WholebodyError(f"{text!r} is {article[weights.kind]}, not {article[kind]}: use {_names(kind)}.")
    return locate(weights)


def entry(text: str) -> Weights | None:
    """The entry of `MANIFEST` for a name, or for the name of a released file if there is no such file here."""
    if text in MANIFEST or expanded(text).is_file():
        return MANIFEST.get(text)
    return next((each for each in MANIFEST.values() if each.file == text and not each.bundled), None)


def trainable(name: str) -> str:
    """The name under which a network can be trained further: of its checkpoint, if it has one beside an ONNX file."""
    return f"{name}{CHECKPOINT}" if f"{name}{CHECKPOINT}" in MANIFEST else name


def locate(weights: Weights) -> Path:
    """The file of a manifest entry as released (.onnx or .pth), downloaded if necessary.

    Raises:
        WholebodyError: a bundled file is missing, no mirror works, the file cannot be verified, or offline.
    """
    if weights.bundled:
        path = _MODELS / weights.file
        if not path.is_file():
            raise WholebodyError(f"{path}: the bundled file of {weights.name!r} is missing. Install wholebody again.")
        return path
    path = cache_folder() / weights.file
    return path if is_here(path, weights) else download(weights, path)


def rows() -> list[dict[str, str]]:
    """`MANIFEST` as text for a table: name, kind, input, size, here, licence, about.

    `here`: bundled, cached, empty where it is downloaded on first use, "--trust" where that takes this option.
    """
    return [
        {
            "name": weights.name,
            "kind": weights.kind,
            "input": "x".join(map(str, weights.input_size)),
            "size": f"{size / 1e6:.1f} MB" if (size := _size(weights)) else "?",
            "here": _where(weights),
            "licence": weights.licence,
            "about": weights.about,
        }
        for weights in MANIFEST.values()
    ]


def _where(weights: Weights) -> str:
    if weights.bundled:
        return "bundled" if (_MODELS / weights.file).is_file() else "missing"
    if is_here(cache_folder() / weights.file, weights):
        return "cached"
    return "" if weights.verifiable else "--trust"


def _size(weights: Weights) -> int | None:
    path = (_MODELS if weights.bundled else cache_folder()) / weights.file
    return path.stat().st_size if path.is_file() else weights.bytes


def _names(kind: NetworkKind) -> str:
    return ", ".join(name for name, weights in MANIFEST.items() if weights.kind == kind)


def _unknown(text: str, kind: NetworkKind) -> str:
    looks_like_a_path = Path(text).suffix.lower() in (".onnx", *CHECKPOINTS) or "/" in text or os.sep in text
    if looks_like_a_path:
        return f"{text}: no such file. Check the path, or see `wholebody models` for the names of networks."
    names = [name for name, weights in MANIFEST.items() if weights.kind == kind]
    close = [name for name in names if name.startswith(text.lower())] or difflib.get_close_matches(text.lower(), names)
    if close:
        return f"no network is called {text!r}. Did you mean {' or '.join(map(repr, close))}?"
    return f"no network is called {text!r}. Use one of {_names(kind)}, or the path of a file."
