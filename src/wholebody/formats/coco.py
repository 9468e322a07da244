"""COCO's results format, extended to 133 points as COCO-WholeBody's evaluation expects it."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from wholebody.arrays import Floats, PathLike
from wholebody.errors import WholebodyError
from wholebody.formats.common import (
    NO_ID,
    PIXEL_DECIMALS,
    SCORE_DECIMALS,
    JsonFile,
    Timed,
    moment,
    poses_of,
    rounded,
    split,
    triplets_of,
    write_json_list,
)
from wholebody.poses import Poses
from wholebody.schema import COCO_WHOLEBODY

_COCO_FIELDS = {
    "keypoints": "body",
    "foot_kpts": "feet",
    "face_kpts": "face",
    "lefthand_kpts": "left_hand",
    "righthand_kpts": "right_hand",
}


def write_coco(
    path: PathLike, images: Mapping[int, Poses] | Mapping[str, Poses] | Iterable[tuple[int | str, Poses]]
) -> None:
    """Write pictures as COCO-WholeBody results: a row per person, with the box score as `score`, and track ids if any.

    Args:
        path: the file.
        images: image_id -> people, in COCO_WHOLEBODY or a schema that converts to it; or such pairs.

    Raises:
        WholebodyError: a schema cannot become COCO_WHOLEBODY, or the file cannot be written.
    """
    pairs = images.items() if isinstance(images, Mapping) else images
    write_json_list(path, _coco(path, ((image_id, poses, {}) for image_id, poses in pairs)))


def write_ranked(path: PathLike, images: Mapping[int, Poses], ranks: Mapping[int, Mapping[int, float]]) -> None:
    """Write the predictions of an evaluation as COCO-WholeBody results, unrounded: official tools print the same
    figures.

    `score` is the ranking score, and `box_score` the score of the box, which `read_coco` reads, so that another
    evaluation ranks in the same way. People who were excluded from the evaluation are not in the file.

    Args:
        path: the file.
        images: image id -> people, COCO_WHOLEBODY.
        ranks: image id -> the rows of the people that were evaluated, best first, and the score of each.

    Raises:
        WholebodyError: the file cannot be written.
    """

    def rows() -> Iterator[dict[str, Any]]:
        for number, scores in ranks.items():
            poses = images[number]
            triplets = np.concatenate([poses.keypoints, poses.scores[..., None]], axis=2).astype(np.float64)
            boxes = poses.boxes.astype(np.float64)
            boxes[:, 2:] -= boxes[:, :2]
            for n, score in scores.items():
                yield {
                    "image_id": int(number),
                    "category_id": 1,
                    **split(triplets[n], COCO_WHOLEBODY, _COCO_FIELDS),
                    # Not named `bbox`: pycocotools would use its area instead of that of the keypoints.
                    "box": boxes[n].tolist(),
                    "score": float(score),
                    "box_score": float(poses.box_scores[n]),
                }

    write_json_list(path, rows())


def is_ranked(path: PathLike) -> bool:
    """Whether a file was written by `write_ranked`, according to its first row."""
    with Path(path).open("rb") as file:
        return b'"box_score"' in file.read(1 << 16)


def write_coco_video(path: PathLike, frames: Iterable[Timed], numbers: Sequence[int] = ()) -> None:
    """Write a video as COCO-WholeBody results. The image ids number the processed frames from 0; `time` and
    `source_frame` in each row give the position in the video.

    Args:
        numbers: the numbers of the frames in the video, if known.

    Raises:
        WholebodyError: as `write_coco`.
    """
    images = ((n, poses, moment(time, numbers[n] if numbers else None)) for n, (time, poses) in enumerate(frames))
    write_json_list(path, _coco(path, images))


def image_ids(names: Sequence[str], annotations: PathLike | None = None) -> dict[str, int]:
    """COCO's integer id of each picture: from an annotation file, or else the last number in its name.

    Args:
        names: of the files, without folders.
        annotations: COCO JSON, of which `images` is read.

    Raises:
        WholebodyError: a picture has no id, two have the same one, or the annotations cannot be read.
    """
    if annotations is None:
        numbers = {name: re.findall(r"\d+", PurePath(name).stem) for name in names}
        found = {name: int(digits[-1]) for name, digits in numbers.items() if digits}
        missing, hint = "has no number in its name", "Give the file that has its id with --annotations"
    else:
        file = JsonFile(Path(annotations), "COCO annotations")
        found = {}
        for n, picture in enumerate(file.list(file.field(file.content(), "images", ""), "images")):
            name = str(file.field(picture, "file_name", f"images[{n}]."))
            found[PurePath(name).name] = file.integer(file.field(picture, "id", f"images[{n}]."), f"images[{n}].id")
        missing, hint = f"is not in {annotations}", "Leave it out, or give other annotations"
    ids: dict[str, int] = {}
    owners: dict[int, str] = {}
    for name in names:
        if name not in found:
            raise WholebodyError(f"{name}: {missing}. {hint}.")
        if (other := owners.setdefault(found[name], name)) != name or name in ids:
            raise WholebodyError(f"{name}: has the id {found[name]}, as {other} has. {hint}.")
        ids[name] = found[name]
    return ids


def _coco(path: PathLike, images: Iterable[tuple[int | str, Poses, Mapping[str, Any]]]) -> Iterator[dict[str, Any]]:
    for image_id, poses, about in images:
        triplets = triplets_of(poses, COCO_WHOLEBODY, path)
        boxes = np.where(np.isfinite(poses.boxes).all(axis=1, keepdims=True), poses.boxes, 0).astype(np.float64)
        boxes[:, 2:] -= boxes[:, :2]
        boxes = rounded(boxes, PIXEL_DECIMALS)
        box_scores = rounded(np.where(np.isfinite(poses.box_scores), poses.box_scores, 0), SCORE_DECIMALS)
        for n, person in enumerate(triplets):
            result = {
                "image_id": image_id if isinstance(image_id, str) else int(image_id),
                "category_id": 1,
                **split(person, COCO_WHOLEBODY, _COCO_FIELDS),
                "bbox": boxes[n].tolist(),
                "score": float(box_scores[n]),
                **about,
            }
            if poses.ids is not None:
                result["track_id"] = int(poses.ids[n])
            yield result


def read_coco(path: PathLike) -> dict[int | str, Poses]:
    """Read COCO-WholeBody results, with the points in five fields or all 133 in `keypoints`: image_id -> people.

    Fields other than image_id and keypoints may be absent: a part defaults to zeros, the box to the extent of the
        points, and the box score to 1. If a row has `box_score` and `box` (from `write_ranked`), they are used instead
        of `score` and `bbox`.

    Raises:
        WholebodyError: the file cannot be read, or is something else.
    """
    file = JsonFile(Path(path), "COCO-WholeBody results JSON")
    rows: dict[int | str, list[tuple[Floats, Floats | None, float, int]]] = {}
    for i, result in enumerate(file.list(file.content(), "")):
        where = f"[{i}]."
        image_id = file.field(result, "image_id", where)
        if not isinstance(image_id, str):
            image_id = file.integer(image_id, f"{where}image_id")
        flat = file.field(result, "keypoints", where)
        if isinstance(flat, list) and len(flat) == 3 * len(COCO_WHOLEBODY):
            triplets = file.numbers(flat, f"{where}keypoints", len(flat)).reshape(-1, 3)
        else:
            triplets = file.person(result, where, COCO_WHOLEBODY, _COCO_FIELDS)
        name = "box" if "box" in result else "bbox"
        box = result.get(name)
        if box is not None:
            box = file.numbers(box, f"{where}{name}", 4)
            box[2:] += box[:2]
        given = "box_score" if "box_score" in result else "score"
        score = float(file.numbers([result.get(given, 1)], f"{where}{given}", 1)[0])
        track_id = file.integer(result.get("track_id", NO_ID), f"{where}track_id")
        rows.setdefault(image_id, []).append((triplets, box, score, track_id))
    images: dict[int | str, Poses] = {}
    for image_id, people in rows.items():
        triplets = np.stack([person[0] for person in people])
        poses = poses_of(triplets, COCO_WHOLEBODY, ids=[person[3] for person in people])
        boxes = [extent if box is None else box for (_, box, _, _), extent in zip(people, poses.boxes, strict=True)]
        scores = np.array([person[2] for person in people], dtype=np.float32)
        images[image_id] = replace(poses, boxes=np.stack(boxes), box_scores=scores)
    return images
