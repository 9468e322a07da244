"""Predictions on disk while a set is worked through, a line a picture, so that a kill costs one line."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from wholebody.errors import WholebodyError
from wholebody.files import replacing
from wholebody.poses import Poses
from wholebody.schema import schema_named


def journal_line(number: int, poses: Poses) -> str:
    row = {name: getattr(poses, name).astype(float).tolist() for name in ("keypoints", "scores", "boxes", "box_scores")}
    return json.dumps({"image_id": number, "schema": poses.schema.name, **row}, separators=(",", ":")) + "\n"


def read_journal(path: Path, about: Mapping[str, object], images: set[int]) -> dict[int, Poses]:
    """What an earlier run has finished; starts the file if there is none. A line that was cut off is dropped.

    Raises:
        WholebodyError: the file is of another model, set or setting, or cannot be read or written.
    """
    head = json.dumps({"about": dict(about)}, sort_keys=True) + "\n"
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(head, encoding="utf-8")
            return {}
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise WholebodyError(f"{path}: cannot be used ({error}). Choose another --output.") from error
    whole = text[: text.rfind("\n") + 1]
    first, *lines = whole.splitlines() or [""]
    if first + "\n" != head:
        raise WholebodyError(f"{path}: predictions of another model, set or setting. Choose another --output.")
    found = {}
    for line in lines:
        row = json.loads(line)
        if row["image_id"] in images:
            schema = schema_named(row["schema"])
            count, k = len(row["boxes"]), len(schema)
            shapes = {"keypoints": (count, k, 2), "scores": (count, k), "boxes": (count, 4), "box_scores": (count,)}
            keypoints, scores, boxes, box_scores = (np.array(row[n], np.float32).reshape(s) for n, s in shapes.items())
            found[row["image_id"]] = Poses(keypoints, scores, boxes, box_scores, schema)
    if whole != text:
        with replacing(path) as partial:
            partial.write_text(whole, encoding="utf-8")
    return found


def fingerprint(*files: str | Path) -> str:
    """A short hash of the contents of files: the same predictions can be expected of the same files."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(Path(file).read_bytes())
    return digest.hexdigest()[:16]
