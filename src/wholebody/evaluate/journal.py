"""A journal of predictions on disk, one line per picture, so that a kill loses at most one line.

Each line has a checksum: a truncated or changed line is dropped, and its picture is processed again.
"""

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from wholebody.errors import WholebodyError
from wholebody.files import digest, replacing
from wholebody.poses import Poses
from wholebody.schema import schema_named


def journal_line(number: int, poses: Poses, failed: str = "") -> str:
    """A picture's line; `failed` says what could not be used of it."""
    row = {name: getattr(poses, name).astype(float).tolist() for name in ("keypoints", "scores", "boxes", "box_scores")}
    row |= {"failed": failed} if failed else {}
    text = json.dumps({"image_id": number, "schema": poses.schema.name, **row}, separators=(",", ":"))
    return f"{zlib.crc32(text.encode()):08x} {text}\n"


def _row(line: bytes) -> dict[str, Any] | None:
    """Parse a line from `journal_line`; None if it is damaged."""
    checksum, _, text = line.partition(b" ")
    if checksum != f"{zlib.crc32(text):08x}".encode():
        return None
    found: dict[str, Any] = json.loads(text)
    return found


def read_journal(path: Path, about: Mapping[str, object], images: set[int]) -> tuple[dict[int, Poses], list[str]]:
    """The results of an earlier run, and what it said of boxes that could not be used.

    Creates the file if there is none, and drops damaged lines from it.

    Raises:
        WholebodyError: the file is for another model, set or setting, or cannot be read or written.
    """
    head = json.dumps({"about": dict(about)}, sort_keys=True) + "\n"
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(head, encoding="utf-8")
            return {}, []
        data = path.read_bytes()
    except OSError as error:
        raise WholebodyError(f"{path}: cannot be used ({error}). Choose another --output.") from error
    first, *lines = data.split(b"\n")
    if not first.startswith(b'{"about"') or not first.endswith(b"}"):
        first, lines = head.strip().encode(), []  # the header is damaged, so the predictions' origin is unknown
    if first + b"\n" != head.encode():
        raise WholebodyError(f"{path}: predictions of another model, set or setting. Choose another --output.")
    found: dict[int, Poses] = {}
    failed: dict[int, str] = {}
    kept = [first]
    for line in lines:
        row = _row(line)
        if row is None:
            continue
        kept.append(line)
        if row["image_id"] in images:
            schema = schema_named(row["schema"])
            count, k = len(row["boxes"]), len(schema)
            shapes = {"keypoints": (count, k, 2), "scores": (count, k), "boxes": (count, 4), "box_scores": (count,)}
            keypoints, scores, boxes, box_scores = (np.array(row[n], np.float32).reshape(s) for n, s in shapes.items())
            found[row["image_id"]] = Poses(keypoints, scores, boxes, box_scores, schema)
            if "failed" in row:  # older versions did not note it
                failed[row["image_id"]] = row["failed"]
    whole = b"\n".join([*kept, b""])
    if whole != data:
        with replacing(path, durable=True) as partial:
            partial.write_bytes(whole)
    return found, list(failed.values())


def fingerprint(file: str | Path) -> str:
    """A short hash of a file's contents, which identifies the network that made the predictions."""
    return digest(Path(file))[:16]
