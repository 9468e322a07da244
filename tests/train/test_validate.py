"""A validation gives the figures of `wholebody evaluate`, however many processes share it."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from wholebody.data.coco import read_labels
from wholebody.errors import WholebodyError
from wholebody.evaluate.metric import evaluate
from wholebody.networks.rtmpose import rtmpose
from wholebody.poses import Poses
from wholebody.train import validate
from wholebody.train.config import DataSource, TrainConfig
from wholebody.train.engine.parallel import Process

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return rtmpose("t", (64, 64)).eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Five pictures; the labels are what the network itself finds, moved a little, so that AP is neither 0 nor 1."""
    folder, rng = tmp_path_factory.mktemp("val"), np.random.default_rng(0)
    images, rows, found = [], [], []
    for i in range(1, 6):
        picture = cv2.resize(rng.integers(0, 256, (12, 9, 3), dtype=np.uint8), (90, 120))
        cv2.imwrite(str(folder / f"{i}.jpg"), picture)
        images.append({"id": i, "file_name": f"{i}.jpg", "width": 90, "height": 120})
        for n in range(2):
            box = [5 + 3 * n, 8, 60 + 10 * n, 90]
            found.append({"image_id": i, "category_id": 1, "bbox": box, "score": 0.5 + 0.1 * n})
            points = np.column_stack([rng.uniform(5, 70, 133), rng.uniform(8, 98, 133), np.full(133, 2)])
            fields = {"keypoints": 17, "foot_kpts": 6, "face_kpts": 68, "lefthand_kpts": 21, "righthand_kpts": 21}
            row, at = {"id": len(rows) + 1, "image_id": i, "bbox": box, "area": 5400.0, "category_id": 1}, 0
            for name, count in fields.items():
                row[name], at = points[at : at + count].ravel().tolist(), at + count
            rows.append(row)
    (folder / "labels.json").write_text(json.dumps({"images": images, "annotations": rows}))
    (folder / "boxes.json").write_text(json.dumps(found))
    return folder


def config(folder, **changes):
    source = DataSource("coco", str(folder / "labels.json"), str(folder), str(folder / "boxes.json"))
    return TrainConfig("x", "t", (source,), validation=(replace(source, **changes),), input_size=(64, 64))


def test_figures_are_those_of_the_evaluation_with_detected_boxes_and_flip(network, folder, monkeypatch):
    labels = read_labels(folder / "labels.json")

    def near(network, labels, images, boxes, numbers, flip=True):
        """Predictions near the labels, in the detected boxes."""
        rng = np.random.default_rng(1)
        scores = rng.uniform(0.3, 1, (len(labels), 133)).astype(np.float32)
        points = (labels.keypoints + rng.normal(0, 1.5, labels.keypoints.shape)).astype(np.float32)
        return {
            n: Poses(points[rows], scores[rows], *boxes[n])
            for n in numbers
            for rows in [np.flatnonzero(labels.image_ids == n)]
        }

    monkeypatch.setattr(validate, "estimated", near)
    alone = validate.validation(config(folder))(network, Process(0, 1, CPU))
    boxes = validate.read_boxes(str(folder / "boxes.json"))
    report = evaluate(labels, near(network, labels, folder, boxes, sorted(boxes)), resamples=0)
    assert alone.figures["AP"] == alone.score == report.figures["whole"]["AP"].value
    assert 0 < alone.score < 1 and alone.figures["AP_body"] == report.figures["body"]["AP"].value


def shared(measure, network, monkeypatch):
    """What the first of two processes gets when both have had their turn."""
    monkeypatch.setattr(validate.dist, "broadcast", lambda *_: None)
    sent = []
    monkeypatch.setattr(validate, "_gathered", lambda mine, process: sent.append(mine) or [mine, mine])
    assert measure(network, Process(1, 2, CPU)) is None
    theirs = iter(sent)
    monkeypatch.setattr(validate, "_gathered", lambda mine, process: [mine, next(theirs)])
    return measure(network, Process(0, 2, CPU))


@pytest.mark.parametrize("kind", ["coco", "pseudo"])
def test_two_processes_find_what_one_finds(network, folder, monkeypatch, kind, tmp_path):
    monkeypatch.setenv("WHOLEBODY_CACHE", str(tmp_path))
    measure = validate.validation(config(folder, kind=kind))
    alone = measure(network, Process(0, 1, CPU))
    both = shared(measure, network, monkeypatch)
    assert alone.figures and both.figures.keys() == alone.figures.keys()
    for name, value in alone.figures.items():
        assert both.figures[name] == pytest.approx(value, rel=1e-4, nan_ok=True), name


def test_the_flip_test_is_a_mean_with_the_mirror_image(network, folder):
    labels = read_labels(folder / "labels.json")
    boxes = validate.read_boxes(str(folder / "boxes.json"))
    plain, flipped = (validate.estimated(network, labels, folder, boxes, [1, 2], flip) for flip in (False, True))
    assert plain.keys() == flipped.keys() == {1, 2} and len(plain[1]) == 2
    np.testing.assert_array_equal(plain[1].box_scores, np.array([0.5, 0.6], np.float32))
    assert not np.array_equal(plain[1].scores, flipped[1].scores)
    low, high = plain[1].boxes[:, None, :2] - 30, plain[1].boxes[:, None, 2:] + 30
    assert ((flipped[1].keypoints > low) & (flipped[1].keypoints < high)).all()


def test_a_picture_that_cannot_be_read_has_nobody(network, folder):
    labels = read_labels(folder / "labels.json")
    boxes = validate.read_boxes(str(folder / "boxes.json"))
    labels.images[9] = labels.images[1]._replace(file_name="lost.jpg")
    assert set(validate.estimated(network, labels, folder, {**boxes, 9: boxes[1]}, [1, 9])) == {1}


def test_nobody_to_validate_on_is_one_line(folder, tmp_path):
    (tmp_path / "labels.json").write_text(json.dumps({"images": [], "annotations": []}))
    with pytest.raises(WholebodyError, match="nobody is labelled there"):
        validate.validation(config(folder, path=str(tmp_path / "labels.json")))
    assert validate.validation(replace(config(folder), validation=())) is None
