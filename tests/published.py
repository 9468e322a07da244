"""COCO-WholeBody and UBody in small: the published layout of files, with made-up people and released files' names."""

import json
from pathlib import Path

import av
import cv2
import numpy as np
import torch

from wholebody.data.ubody import UBODY_SCENES
from wholebody.networks.kinds import new_network
from wholebody.synth.walkers import UNIT
from wholebody.weights.manifest import MANIFEST

FIELDS = {"keypoints": 17, "foot_kpts": 6, "face_kpts": 68, "lefthand_kpts": 21, "righthand_kpts": 21}
SIZE = (96, 128)


def noise(seed: int) -> np.ndarray:
    return cv2.resize(np.random.default_rng(seed).integers(0, 256, (12, 9, 3), dtype=np.uint8), SIZE)


def somebody(number: int, image: int) -> dict:
    """A person of an annotation file; hands have fractions as third numbers, as in COCO-WholeBody."""
    rng, at = np.random.default_rng(number), 0
    x, y = rng.uniform(0, 20, 2).round(1)
    row = {"id": number, "image_id": image, "category_id": 1, "iscrowd": 0, "bbox": [x, y, 70, 100], "area": 5000.0}
    for name, count in FIELDS.items():
        third = rng.uniform(0.1, 1, count) if "hand" in name else rng.integers(1, 3, count)
        points = np.column_stack([UNIT[at : at + count] * (70, 100) + (x, y), third])
        row[name], at = points.round(3).ravel().tolist(), at + count
        row |= {} if name == "keypoints" else {f"{name.removesuffix('_kpts')}_valid": True}
    row["num_keypoints"] = 17
    return row


def write(path: Path, names: dict[int, str], people: int) -> None:
    """Annotations of this many people in each picture."""
    rows = [somebody(1 + people * i + n, image) for i, image in enumerate(names) for n in range(people)]
    w, h = SIZE
    images = [{"id": image, "file_name": name, "width": w, "height": h} for image, name in names.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"images": images, "annotations": rows, "categories": [{"id": 1, "name": "person"}]}))


def published_layout(root: Path) -> None:
    """The tree of docs/training-data.md in `root`, but for UBody's extracted frames."""
    coco = root / "coco"
    for part, count in (("train", 8), ("val", 3)):
        names = {i: f"{i:012d}.jpg" for i in range(1, count + 1)}
        write(coco / f"annotations/coco_wholebody_{part}_v1.0.json", names, people=2)
        (coco / f"{part}2017").mkdir()
        for i, name in names.items():
            cv2.imwrite(str(coco / f"{part}2017" / name), noise(i))
    found = [
        {"image_id": i, "category_id": 1, "bbox": [7, 9, 72, 103], "score": score}
        for i in range(1, 4)
        for score in (0.9, 0.4)
    ]
    (coco / "person_detection_results").mkdir()
    detected = coco / "person_detection_results/COCO_val2017_detections_AP_H_56_person.json"
    detected.write_text(json.dumps(found))
    ubody = root / "UBody"
    for scene in UBODY_SCENES:
        # The video ends before the annotations do.
        names = {i: f"/{scene}_S1_Trim1/{i:06d}.png" for i in range(1, 32)} if scene == "Movie" else {}
        write(ubody / "annotations" / scene / "keypoint_annotation.json", names, people=1)
    (ubody / "videos/Movie").mkdir(parents=True)
    with av.open(str(ubody / "videos/Movie/Movie_S1_Trim1.mp4"), "w") as container:
        stream = container.add_stream("mjpeg", rate=30)
        (stream.width, stream.height), stream.pix_fmt = SIZE, "yuvj420p"
        for i in range(25):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noise(i), format="bgr24")))
        container.mux(stream.encode())
    (ubody / "splits").mkdir()
    np.save(ubody / "splits/intra_scene_test_list.npy", np.array(["Movie_S9"]))


def released_files(cache: Path, *names: str, input_size: tuple[int, int] = (192, 256)) -> None:
    """Untrained networks under the names of the released files, as a download would leave them."""
    cache.mkdir(parents=True, exist_ok=True)
    for name in names:
        torch.manual_seed(len(name))
        kept = new_network(name.split("-")[1], input_size, 133).state_dict()
        prefix = "backbone." if MANIFEST[name].kind == "backbone" else ""
        weights = {key: value for key, value in kept.items() if key.startswith(prefix)}
        torch.save({"state_dict": weights, "meta": {}}, cache / MANIFEST[name].file)
