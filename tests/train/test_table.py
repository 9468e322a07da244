"""People of COCO-WholeBody and UBody in memory-mapped arrays, read once."""

import json
import os
import pickle

import cv2
import numpy as np
import pytest

from wholebody.data.ubody import UBODY_SCENES
from wholebody.errors import WholebodyError
from wholebody.train.config import DataSource, TrainConfig
from wholebody.train.data import crops
from wholebody.train.data.crops import load_mixture, people
from wholebody.train.data.table import Table


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("WHOLEBODY_CACHE", str(tmp_path / "cache"))


def row(number, image, value=2.0, **more):
    """Somebody with a body, and with hands whose third numbers are fractions."""
    return {
        "id": number, "image_id": image, "category_id": 1, "iscrowd": 0, "bbox": [10, 20, 30, 40], "area": 700.0,
        "keypoints": [number, 30, value] * 17, "lefthand_kpts": [5.25, 6, 0.37] * 21, **more,
    }  # fmt: skip


def write(folder, rows, names, pictures=None):
    folder.mkdir(parents=True, exist_ok=True)
    content = {"images": [{"id": i, "file_name": name} for i, name in names.items()], "annotations": rows}
    (folder / "labels.json").write_text(json.dumps(content))
    for name in names.values() if pictures is None else pictures:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name), np.full((90, 80, 3), 100, np.uint8))
    return DataSource("coco", str(folder / "labels.json"), str(folder))


def test_a_label_is_there_where_its_third_number_is_above_zero(tmp_path):
    source = write(tmp_path, [row(1, 7), row(2, 7, 0.0)], {7: "a.jpg"})
    (found,) = people(source).values()
    first, second = found[0], found[1]
    assert (first.visible[:17] == 1).all() and (first.visible[91:112] == 1).all() and first.visible.sum() == 38
    assert second.visible.sum() == 21
    np.testing.assert_array_equal(first.keypoints[95], [5.25, 6])
    np.testing.assert_array_equal(first.box, [10, 20, 40, 60])
    assert first.pixels().shape == (90, 80, 3) and found.person(0).area == 700


def test_confidences_are_weights_of_pseudo_labels(tmp_path):
    source = write(tmp_path, [row(1, 7, 0.5)], {7: "a.jpg"})
    (found,) = people(DataSource("pseudo", source.path, source.images)).values()
    np.testing.assert_allclose(found[0].visible[[0, 91]], [0.5, 0.37])


def test_a_set_is_parsed_once_and_workers_map_its_files(tmp_path, monkeypatch):
    source = write(tmp_path, [row(1, 7), row(2, 8)], {7: "a.jpg", 8: "sub/b.jpg"})
    (first,) = people(source).values()
    monkeypatch.setattr(crops, "read_labels", lambda *_, **__: pytest.fail("parsed again"))
    (second,) = people(source).values()
    assert isinstance(second, Table) and second.folder == first.folder and second[1].source == first[1].source
    assert isinstance(second._columns["keypoints"].base, np.memmap)
    sent = pickle.dumps(second)
    assert len(sent) < 1000 and pickle.loads(sent)[1].source == first[1].source
    monkeypatch.undo()
    monkeypatch.setenv("WHOLEBODY_CACHE", str(tmp_path / "cache"))
    other = json.loads((tmp_path / "labels.json").read_text())
    other["annotations"].pop()
    (tmp_path / "labels.json").write_text(json.dumps(other))
    (third,) = people(source).values()
    assert len(third) == 1


def test_pictures_that_are_missing_are_left_out_until_they_are_there(tmp_path):
    names = {1: "a.png", 2: "b.jpg", 3: "c.jpg"}
    source = write(tmp_path, [row(1, 1), row(2, 2), row(3, 3)], names, pictures=["a.jpg", "c.jpg"])
    (found,) = people(source).values()
    assert found.missing == 1 and [int(found[i].keypoints[0, 0]) for i in range(2)] == [1, 3]
    assert found[0].source.endswith("a.jpg") and found[0].pixels().any()
    cv2.imwrite(str(tmp_path / "b.jpg"), np.zeros((9, 9, 3), np.uint8))
    os.utime(tmp_path, ns=(1, 1))
    (found,) = people(source).values()
    assert found.missing == 0 and len(found) == 3


@pytest.mark.parametrize(
    ("rows", "names", "told"),
    [
        ([], {1: "a.jpg"}, "nobody is labelled"),
        ([row(1, 1, 0.0, lefthand_kpts=None)], {1: "a.jpg"}, "nobody is labelled"),
        ([row(1, 1, float("nan"))], {1: "a.jpg"}, "holds NaN"),
        ([row(1, 1)], {1: "b/a.jpg"}, "none of 1 pictures is there, b/a.jpg for one"),
    ],
)
def test_a_set_that_cannot_be_trained_on_is_one_line(tmp_path, rows, names, told):
    source = write(tmp_path, rows, names, pictures=[])
    with pytest.raises(WholebodyError, match=told) as error:
        load_mixture(TrainConfig("x", "t", (source,)))
    assert "\n" not in str(error.value)
    assert not [path for path in (tmp_path / "cache" / "people").iterdir() if path.is_dir()]


def test_every_tenth_frame_of_ubody(tmp_path):
    for scene in UBODY_SCENES:
        names = {i: f"/{scene}_clip_Trim1/{i:06d}.png" for i in range(1, 22)} if scene == "Movie" else {}
        folder = tmp_path / "annotations" / scene
        folder.mkdir(parents=True)
        content = {
            "images": [{"id": i, "file_name": name} for i, name in names.items()],
            "annotations": [row(i, i) for i in names],
        }
        (folder / "keypoint_annotation.json").write_text(json.dumps(content))
    frames = tmp_path / "images" / "Movie" / "Movie_clip_Trim1"
    frames.mkdir(parents=True)
    for i in (1, 21):
        cv2.imwrite(str(frames / f"{i:06d}.jpg"), np.zeros((9, 9, 3), np.uint8))
    (tmp_path / "splits").mkdir()
    np.save(tmp_path / "splits" / "intra_scene_test_list.npy", np.array(["other"]))
    (found,) = people(DataSource("ubody", str(tmp_path), every=10)).values()
    assert len(found) == 2 and found.missing == 1
    assert [int(found[i].keypoints[0, 0]) for i in range(2)] == [1, 21]
