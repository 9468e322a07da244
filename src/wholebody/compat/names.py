"""Translating other packages' names of networks and devices to ours."""

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from wholebody import weights
from wholebody.errors import WholebodyError
from wholebody.files import expanded

# Released files that other packages refer to, and that we run in another form.
_SAME = {
    "dw-ll_ucoco_384": "dwpose-l-384",
    "yolox_l_8x8_300e_coco_20211126_140236-d3bd2b23": "yolox-l",
}


def network(given: str | os.PathLike[str] | None, default: str) -> str:
    """A manifest name or a path, for an argument as used with another package.

    Args:
        given: None for the default; one of our names; a file's path; or the URL of a released file, which is downloaded
            as listed in the manifest, verified and cached.

    Raises:
        WholebodyError: a URL that is not in the manifest.
    """
    if given is None:
        return default
    text = os.fspath(given)
    if text in weights.MANIFEST or expanded(text).is_file():
        return text
    stem = Path(urlsplit(text).path).stem
    if stem in _SAME:
        return _SAME[stem]
    for name, known in weights.MANIFEST.items():
        if stem in {Path(known.file).stem, *(Path(urlsplit(url).path).stem for url in known.urls)}:
            return name
    if "://" in text:
        raise WholebodyError(f"{text}: not a network of `wholebody models`. Download it and give the path.")
    return text


def device(given: Any) -> str:
    """A device of `runtime.open_session` for "cuda:0", "mps" or a `torch.device`; None is "auto".

    Raises:
        WholebodyError: a GPU other than the first.
    """
    if given is None:
        return "auto"
    name, _, number = str(given).partition(":")
    if number not in ("", "0"):
        raise WholebodyError(
            f"device {given}: only the first GPU is used. Choose it with CUDA_VISIBLE_DEVICES={number}."
        )
    return {"gpu": "cuda", "mps": "coreml"}.get(name, name)
