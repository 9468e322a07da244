"""Golden data for the page: tables of the schemas for its sources, and numbers and maps for its tests.

    python runs/web/goldens.py

writes web/src/schema.json and tests/golden/web/. Run it again when a schema, a bundled network or the drawing changes;
tests/serve/test_built.py fails if it is needed.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from wholebody import WholeBody, draw, formats
from wholebody.arrays import Image
from wholebody.draw import FINGER_COLORS
from wholebody.poses import Poses
from wholebody.schema import COCO_WHOLEBODY, HAND_EDGES, OPENPOSE, OPENPOSE_25, OPENPOSE_COLORS, Schema, conversion

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests/golden/web"
SCHEMA = ROOT / "web/src/schema.json"
NETWORKS = ("fast", "wholebody-133")

# Ten pictures of one: a part (x, y, w, h) of it, mirrored, beside its mirror image, every n-th pixel, quarter turns,
# brightness in 1/256.
PICTURES: tuple[dict[str, Any], ...] = (
    {},
    {"flip": True},
    {"step": 2},
    {"part": [0, 0, 200, 300]},
    {"pair": True},
    {"part": [60, 0, 161, 211]},
    {"gain": 120},
    {"gain": 400},
    {"turns": 1},
    {"flip": True, "step": 3},
)


def derived(
    base: Image,
    part: Any = None,
    flip: bool = False,
    pair: bool = False,
    step: int = 1,
    turns: int = 0,
    gain: int = 256,
) -> Image:
    """One of the ten pictures; the same in web/test/pictures.ts."""
    x, y, w, h = part or (0, 0, base.shape[1], base.shape[0])
    image = base[y : y + h, x : x + w]
    image = image[:, ::-1] if flip else image
    image = np.concatenate([image, image[:, ::-1]], axis=1) if pair else image
    image = np.rot90(image[::step, ::step], turns)
    return np.ascontiguousarray(np.minimum(image.astype(int) * gain >> 8, 255).astype(np.uint8))


def schema_tables() -> dict[str, Any]:
    """What web/src/poses.ts reads."""
    return {
        "schemas": {schema.name: _table(schema) for schema in (COCO_WHOLEBODY, OPENPOSE, OPENPOSE_25)},
        "conversions": {schema.name: conversion(COCO_WHOLEBODY, schema) for schema in (OPENPOSE, OPENPOSE_25)},
        "hand_edges": HAND_EDGES,
        "finger_colors": [color[::-1] for color in FINGER_COLORS],
        "openpose_colors": OPENPOSE_COLORS,
    }


def _table(schema: Schema) -> dict[str, Any]:
    return {
        "name": schema.name,
        "names": schema.names,
        "parts": {part: (rows.start, rows.stop) for part, rows in schema.parts.items()},
        "edges": [(edge.a, edge.b, edge.color) for edge in schema.edges],
        "sigmas": [None if np.isnan(sigma) else float(sigma) for sigma in schema.sigmas],
    }


def people_in(poses: Poses) -> dict[str, Any]:
    """Keypoints to 1/10,000 pixel, scores and boxes."""
    return {
        "keypoints": np.round(poses.keypoints.astype(float), 4).reshape(len(poses), -1).tolist(),
        "scores": np.round(poses.scores.astype(float), 5).tolist(),
        "boxes": np.round(poses.boxes.astype(float), 4).tolist(),
        "box_scores": np.round(poses.box_scores.astype(float), 5).tolist(),
    }


def poses_of(people: dict[str, Any]) -> Poses:
    """Poses of what `people_in` wrote."""
    n = len(people["scores"])
    keypoints = np.array(people["keypoints"], np.float32).reshape(n, -1, 2)
    scores, boxes = np.array(people["scores"], np.float32), np.array(people["boxes"], np.float32)
    return Poses(keypoints, scores.reshape(n, -1), boxes.reshape(n, 4), np.array(people["box_scores"], np.float32))


def drawn(poses: Poses, size: tuple[int, int], style: dict[str, Any]) -> Image:
    """The map as `maps` has it."""
    return draw.openpose(np.zeros((size[1], size[0], 3), np.uint8), poses, **style)


# Sizes (w, h) and styles of the maps; each is of the people of the picture of that number.
MAPS: tuple[tuple[int, dict[str, Any]], ...] = (
    (0, {}),
    (1, {"feet": True, "face": False}),
    (4, {"stick_scale": "xinsir", "threshold": 0.5}),
    (8, {"body": False}),
)


def write_formats(folder: Path, people: dict[str, Any], size: tuple[int, int]) -> None:
    """One person in all layouts that are text: as a picture, and as the second of two frames at half a second."""
    poses = replace(poses_of(people), ids=np.array([7]))
    clip = [(0.0, poses[:0]), (0.5, poses)]
    formats.write_openpose(folder / "openpose.json", poses)
    formats.write_comfy(folder / "comfy.json", [each for _, each in clip], size)
    formats.write_coco(folder / "coco.json", {"a picture, \u00e9.png": poses})
    formats.write_csv(folder / "picture.csv", {"a picture, \u00e9.png": poses})
    formats.write_csv_video(folder / "clip.csv", clip)


def main() -> None:
    GOLDEN.mkdir(parents=True, exist_ok=True)
    SCHEMA.write_text(json.dumps(schema_tables(), separators=(",", ":")) + "\n")
    base = cv2.imread(str(GOLDEN / "base.png"))
    networks = {name: WholeBody(name) for name in NETWORKS}
    results = []
    for n, recipe in enumerate(PICTURES):
        image = derived(base, **recipe)
        model = networks[NETWORKS[n % 2]]
        assert model.detector is not None
        boxes, box_scores = model.detector.images([image])[0]
        # The page's tests start from these very boxes too: a network may find two places equally likely for a point,
        # and the last bit of a box decides between them.
        boxes = np.round(boxes.astype(float), 4).astype(np.float32)
        poses = model.pose(image, boxes, box_scores)
        print(n, recipe, image.shape, len(poses), "people")
        results.append({"recipe": recipe, "network": NETWORKS[n % 2], "people": people_in(poses)})
    maps = []
    for n, (picture, style) in enumerate(MAPS):
        height, width = derived(base, **PICTURES[picture]).shape[:2]
        poses = poses_of(results[picture]["people"])
        cv2.imwrite(str(GOLDEN / f"map{n}.png"), drawn(poses, (width, height), style))
        maps.append({"picture": picture, "style": style, "size": [width, height]})
    write_formats(GOLDEN, results[0]["people"], (base.shape[1], base.shape[0]))
    content = {"pictures": results, "maps": maps}
    (GOLDEN / "pictures.json").write_text(json.dumps(content, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
