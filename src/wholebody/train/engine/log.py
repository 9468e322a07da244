"""The logs of a training."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from wholebody.draw import skeleton
from wholebody.files import replacing
from wholebody.images import write_image
from wholebody.poses import Poses
from wholebody.schema import COCO_WHOLEBODY, Schema
from wholebody.train.engine.parallel import Process
from wholebody.train.lesson import Batch

# The fields of a row of figures besides the loss terms.
_NO_TERMS = ("step", "lr", "norm", "images_per_second")


@contextmanager
def figures(
    folder: Path, name: str, first: int, steps: int, process: Process
) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """A function that logs a row: to metrics.jsonl, TensorBoard, and a progress bar with the time left."""
    if not process.first:
        yield lambda row: None
        return
    from torch.utils.tensorboard import SummaryWriter

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "metrics.jsonl"
    if path.exists():
        # Steps that a killed run took after its last state are repeated.
        rows = [line for line in path.read_text().splitlines() if _step(line) < first]
        with replacing(path) as partial:
            partial.write_text("".join(f"{line}\n" for line in rows))
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"),
        TimeRemainingColumn(),
    )
    writer = SummaryWriter(str(folder), purge_step=first)
    with Progress(*columns, console=Console(stderr=True)) as bar, path.open("a", buffering=1) as log:
        task = bar.add_task(name, total=steps, completed=first, figures="")
        if first == 0 and (picture := cv2.imread(str(folder / "first_batch.jpg"))) is not None:
            writer.add_image("first_batch", picture[..., ::-1].copy(), 0, dataformats="HWC")

        def note(row: Mapping[str, Any]) -> None:
            log.write(json.dumps(row) + "\n")
            step = row["step"]
            for name, value in (row.get("validation") or row).items():
                if isinstance(value, float) and (step % 10 == 0 or "validation" in row):
                    prefix = "validation/" if "validation" in row else ""
                    writer.add_scalar(prefix + name, value, step)
            if "validation" not in row:
                shown = [f"{name} {value:.4g}" for name, value in row.items() if name not in _NO_TERMS]
                speed = f"{row['images_per_second']:.1f} images/s"
                bar.update(task, completed=step + 1, figures="  ".join([*shown, speed]))

        try:
            yield note
        finally:
            writer.close()


def _step(line: str) -> int:
    """The step of a row; a row truncated by a kill sorts last."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return 1 << 62


def save_picture(path: Path, batch: Batch, schema: Schema = COCO_WHOLEBODY, columns: int = 8) -> None:
    """The first crops of a batch with the labels they are trained on."""
    tiles = []
    for image, points, weight in zip(batch.images[:32], batch.keypoints, batch.weight, strict=False):
        crop = image.numpy()
        h, w = crop.shape[:2]
        scores = (weight > 0).numpy().astype(np.float32)
        box, one = np.array([[0, 0, w, h]], np.float32), np.ones(1, np.float32)
        poses = Poses(points.numpy()[None], scores[None], box, one, schema)
        tiles.append(skeleton(crop, poses))
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)]
    write_image(path, np.vstack(rows))
