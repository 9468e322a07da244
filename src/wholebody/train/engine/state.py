"""The state of a run on disk, written atomically and with a checksum.

The first line of the file is the SHA-256 of the rest, which torch wrote. The previous state is kept as
`state.previous.pt`: if the last one is damaged, a run resumes from there.
"""

import hashlib
import io
from pathlib import Path
from typing import Any

import torch

from wholebody.errors import WholebodyError
from wholebody.files import replacing, sync
from wholebody.reading import open_archive, reading


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a state; the previous one becomes `*.previous.pt`.

    Raises:
        WholebodyError: the disk is full or cannot be written; the existing state is unchanged.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    data = buffer.getvalue()
    with replacing(path, durable=True) as partial:
        with partial.open("wb") as file:
            file.write(hashlib.sha256(data).hexdigest().encode() + b"\n")
            file.write(data)
        sync(partial)  # before the existing state is renamed
        if path.exists():
            path.replace(previous(path))


def load(path: Path) -> dict[str, Any] | None:
    """The last intact state, or None if there is none.

    Raises:
        WholebodyError: all existing states are damaged.
    """
    found = [each for each in (path, previous(path)) if each.exists()]
    for each in found:
        checksum, _, data = each.read_bytes().partition(b"\n")
        if hashlib.sha256(data).hexdigest().encode() == checksum:
            with reading(each, "the state of a run", "Remove the folder and start again"):
                with open_archive(each, io.BytesIO(data)):  # check sizes before torch allocates memory
                    pass
                state = torch.load(io.BytesIO(data), weights_only=True)
                if not isinstance(state, dict):
                    raise ValueError("it has no names")
                return state
    if found:
        raise WholebodyError(f"{path}: damaged, and so is the one before. Remove the folder and start again.")
    return None


def previous(path: Path) -> Path:
    """The path of the previous state."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")
