"""Complete human labels: with agreed keypoints where there are some, otherwise with the default network's own.

    python runs/people/complete.py work/people/human.json work/people/photos runs/people/keypoints.npz work/labels

`wholebody label` asks several networks, which takes more than a second per photo; this takes a tenth of one on a
processor with AMX. The network looks at each person plain and mirrored. Its confidence is the mean confidence of the
agreed keypoints at the same expected OKS, part by part. OUT gets coco.json (labelled by humans), lsp.json (ankles,
knees, wrists and elbows by humans: COCO has its hips and shoulders elsewhere) and rest.json.
"""

import argparse
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from wholebody.arrays import Doubles
from wholebody.codec import SimCC
from wholebody.data.coco import read_labels, write_labels
from wholebody.data.labels import Labels, parts_labelled
from wholebody.export.convert import tolerant
from wholebody.geometry import Crop, iou
from wholebody.images import read_image
from wholebody.networks.checkpoints import load_pose
from wholebody.schema import COCO_WHOLEBODY
from wholebody.train.engine.precision import native_bfloat16
from wholebody.weights.lookup import find

PARTS = COCO_WHOLEBODY.parts
HIPS_AND_SHOULDERS = [5, 6, 11, 12]
# LSP's joints were labelled by crowds, and some are wrong.
LSP_WEIGHT = 0.7
# A box is the same person from here on; less sure keypoints are left out.
SAME, LEAST = 0.6, 0.2
BINS, BATCH = 30, 32


@dataclass(frozen=True)
class Agreed:
    """Keypoints (M, 133, 2) in pixels and their confidences (M, 133), for the rows of some labels."""

    rows: npt.NDArray[np.int64]
    keypoints: Doubles
    scores: Doubles


@torch.no_grad()
def own(labels: Labels, photos: Path) -> tuple[Doubles, Doubles]:
    """The default network's keypoints (N, 133, 2) in pixels, and their expected OKS (N, 133)."""
    network = load_pose(find("wholebody-133", kind="pose")).eval()
    codec: SimCC = tolerant(network)
    # The people of a photo follow each other.
    picture = lru_cache(maxsize=1)(read_image)
    keypoints, merits = np.zeros((len(labels.boxes), 133, 2)), np.zeros((len(labels.boxes), 133))
    for start in range(0, len(keypoints), BATCH):
        rows = range(start, min(start + BATCH, len(keypoints)))
        crops = [Crop.from_box(labels.boxes[row], codec.input_size) for row in rows]
        files = [photos / labels.images[int(labels.image_ids[row])].file_name for row in rows]
        pixels = torch.from_numpy(np.stack([crop.cut(picture(file)) for crop, file in zip(crops, files, strict=True)]))
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=native_bfloat16(torch.device("cpu"))):
            plain, turned = (network(network.normalise(each)) for each in (pixels, pixels.flip(2)))
        back = codec.mirror(COCO_WHOLEBODY.flip, *(axis.float().numpy() for axis in turned))
        x, y = ((one.float().numpy() + other) / 2 for one, other in zip(plain, back, strict=True))
        found, _ = codec.decode(x, y)
        keypoints[rows.start : rows.stop] = [crop.to_image(each) for crop, each in zip(crops, found, strict=True)]
        merits[rows.start : rows.stop] = codec.merit(x).max(axis=-1) * codec.merit(y).max(axis=-1)
    return keypoints, merits


def agreed(labels: Labels, path: Path) -> Agreed:
    """The agreed keypoints of the people in `labels`, by photo and box."""
    stored = dict(np.load(path))
    by_photo: dict[str, list[int]] = {}
    for n, file in enumerate(stored["files"]):
        by_photo.setdefault(Path(str(file)).stem, []).append(n)
    rows, keypoints, scores = [], [], []
    for row, number in enumerate(labels.image_ids):
        picture = labels.images[int(number)]
        # photos.py puts a number in front.
        for n in by_photo.get(Path(picture.file_name).stem.partition("_")[2], ()):
            scale = np.array([picture.width, picture.height]) / stored["sizes"][n]
            box = stored["boxes"][n] * np.tile(scale, 2)
            if iou(box[None], labels.boxes[row][None])[0, 0] > SAME:
                rows.append(row)
                keypoints.append(stored["keypoints"][n] / 2 * scale)
                scores.append(stored["scores"][n] / 50)
                break
    return Agreed(np.array(rows), np.array(keypoints), np.array(scores))


def confidences(merits: Doubles, known: Agreed) -> Doubles:
    """The mean confidence of agreed keypoints with the same expected OKS, (N, 133)."""
    result = np.zeros_like(merits)
    for part in PARTS.values():
        given, score = merits[known.rows, part].ravel(), known.scores[:, part].ravel()
        edges = np.quantile(given, np.linspace(0, 1, BINS + 1))
        bins = np.clip(np.searchsorted(edges, given) - 1, 0, BINS - 1)
        middle = [np.median(given[bins == n]) for n in range(BINS)]
        mean = np.maximum.accumulate([score[bins == n].mean() for n in range(BINS)])
        result[:, part] = np.interp(merits[:, part], middle, mean)
    return np.where(result < LEAST, 0, result)


def complete(labels: Labels, photos: Path, path: Path) -> tuple[Labels, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """The labels with all keypoints, and which people are LSP's and which others have labels by humans."""
    keypoints, merits = own(labels, photos)
    known = agreed(labels, path)
    scores = confidences(merits, known)
    there = known.scores > 0
    keypoints[known.rows] = np.where(there[..., None], known.keypoints, keypoints[known.rows])
    scores[known.rows] = np.where(there, known.scores, scores[known.rows])
    human = labels.visible > 0
    lsp = np.array(["lspet" in labels.images[int(number)].file_name for number in labels.image_ids])
    coco = human.any(axis=1) & ~lsp
    human[np.ix_(lsp, HIPS_AND_SHOULDERS)] = False
    # COCO labels what can be seen or guessed: nobody knows where the rest of the body is.
    scores[coco, PARTS["body"]] = 0
    scores[human] = np.where(lsp, LSP_WEIGHT, 1)[:, None].repeat(133, axis=1)[human]
    keypoints[human] = labels.keypoints[human]
    visible = scores.astype(np.float32)
    return replace(labels, keypoints=keypoints, visible=visible, valid=parts_labelled(visible)), lsp, coco


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("agreed", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    labels, lsp, coco = complete(read_labels(options.labels), options.photos, options.agreed)
    options.out.mkdir(parents=True, exist_ok=True)
    for name, rows in (("coco", coco), ("lsp", lsp), ("rest", ~coco & ~lsp)):
        write_labels(options.out / f"{name}.json", labels[rows])
        print(f"{name}: {int(rows.sum())} people, {(labels.visible[rows] > 0).sum(axis=1).mean():.0f} keypoints each")


if __name__ == "__main__":
    main()
