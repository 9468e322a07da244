"""The figures of COCO-WholeBody with pycocotools, one evaluation per part, to check and time `evaluate` against.

It has no NMS and ranks by box score. Needs pycocotools.
"""

import contextlib
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from wholebody.arrays import AnyFloats, Doubles
from wholebody.data.labels import Labels, PictureFile
from wholebody.evaluate.report import COCO_NAMES, ROWS
from wholebody.poses import Poses
from wholebody.schema import COCO_WHOLEBODY

STATS = ("AP", "AP50", "AP75", "AP_M", "AP_L", "AR", "AR50", "AR75", "AR_M", "AR_L")


def reference(labels: Labels, predictions: Mapping[int, Poses]) -> dict[str, dict[str, float]]:
    """Official part -> figure -> value, -1 if nobody is labelled."""
    with contextlib.redirect_stdout(io.StringIO()):
        return {COCO_NAMES[part]: _part(labels, predictions, rows) for part, rows in ROWS.items()}


def _triplets(keypoints: AnyFloats, visible: AnyFloats) -> Doubles:
    triplets = np.concatenate([keypoints, visible[..., None]], axis=2, dtype=np.float64)
    return triplets.reshape(len(triplets), 3 * triplets.shape[1])


def _part(labels: Labels, predictions: Mapping[int, Poses], rows: slice) -> dict[str, float]:
    sizes = labels.boxes[:, 2:] - labels.boxes[:, :2]
    people = _triplets(labels.keypoints[:, rows], labels.visible[:, rows]).tolist()
    truth = COCO()
    truth.dataset = {
        "images": [{"id": i} for i in labels.images],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [
            {
                "id": m + 1,
                "image_id": int(labels.image_ids[m]),
                "category_id": 1,
                "iscrowd": int(labels.iscrowd[m]),
                "area": float(labels.areas[m]),
                "bbox": [*labels.boxes[m, :2].tolist(), *sizes[m].tolist()],
                "keypoints": people[m],
                "num_keypoints": int((labels.visible[m, rows] > 0).sum()),
            }
            for m in range(len(labels))
        ],
    }
    truth.createIndex()
    results: list[dict[str, Any]] = []
    for image, poses in predictions.items():
        extent = np.ptp(poses.keypoints[:, ROWS["body"]].astype(np.float64), axis=1).prod(axis=1)
        for n, points in enumerate(_triplets(poses.keypoints[:, rows], poses.scores[:, rows]).tolist()):
            if (poses.scores[n, rows] > 0).any():
                entry = {"id": len(results) + 1, "image_id": image, "category_id": 1, "keypoints": points}
                results.append(entry | {"score": float(poses.box_scores[n]), "area": float(extent[n])})
    found = COCO()
    found.dataset = truth.dataset | {"annotations": results}
    found.createIndex()
    judge = COCOeval(truth, found, "keypoints")
    judge.params.kpt_oks_sigmas = COCO_WHOLEBODY.sigmas[rows]
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    return dict(zip(STATS, judge.stats.tolist(), strict=True))


def random_set(
    rng: np.random.Generator, images: int, people: int, spare: float = 1.0, ties: bool = False
) -> tuple[Labels, dict[int, Poses]]:
    """Random labels and predictions of `people` in `images` pictures, with unlabelled parts, crowds, points without a
    score, missed people, and `spare` extra detections per person; with `ties`, also equal scores and equal people."""
    k = len(COCO_WHOLEBODY)
    size = rng.lognormal(4.2, 0.8, people)
    boxes = rng.uniform(0, 300, (people, 4))
    boxes[:, 2:] = boxes[:, :2] + size[:, None] * (0.6, 1.5)
    keypoints = boxes[:, None, :2] + rng.random((people, k, 2)) * (boxes[:, 2:] - boxes[:, :2])[:, None]
    visible = rng.choice([0, 1, 2], (people, k), p=[0.1, 0.2, 0.7]).astype(np.float32)
    for rows in ROWS.values():
        visible[rng.random(people) < (0.1 if rows.stop == k else 0.3), rows] = 0
    image_ids = rng.integers(1, images + 1, people) * 7
    twins = np.flatnonzero(rng.random(people) < 0.2) if ties else np.zeros(0, dtype=np.int64)
    for array in (boxes, keypoints, visible, size, image_ids):
        array[twins] = array[np.maximum(twins - 1, 0)]
    labels = Labels(
        ids=np.arange(1, people + 1),
        image_ids=image_ids,
        keypoints=keypoints,
        visible=visible,
        boxes=boxes,
        areas=0.6 * (boxes[:, 2:] - boxes[:, :2]).prod(axis=1),
        iscrowd=rng.random(people) < 0.1,
        valid=np.ones((people, 4), dtype=bool),
        images={7 * i: PictureFile(f"{i}.jpg") for i in rng.permutation(images) + 1},
    )
    who = rng.integers(0, people, int(people * (1 + spare)))
    noise = rng.gamma(1.0, 0.03, len(who)) * size[who]
    guess = keypoints[who] + noise[:, None, None] * rng.standard_normal((len(who), k, 2))
    guess += np.where(rng.random(len(who)) < 0.2, 500.0, 0.0)[:, None, None] * rng.uniform(-1, 1, (len(who), 1, 2))
    scores = rng.random((len(who), k))
    for rows in COCO_WHOLEBODY.parts.values():
        scores[rng.random(len(who)) < 0.1, rows] = 0
    ranks = rng.integers(1, 5, len(who)) / 4 if ties else rng.uniform(0.01, 1, len(who))
    predictions = {}
    for image in np.unique(image_ids):
        mine = image_ids[who] == image
        predictions[int(image)] = Poses(guess[mine], scores[mine], boxes[who[mine]], ranks[mine])
    return labels, predictions
