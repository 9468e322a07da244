import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from networks import bright_pose, people, save_heatmaps, save_pose
from wholebody import cli
from wholebody.data.coco import write_labels
from wholebody.data.labels import Labels, PictureFile
from wholebody.errors import WholebodyError
from wholebody.evaluate.html import TILE, error_bars, person_tile, size_plot
from wholebody.evaluate.journal import read_journal
from wholebody.evaluate.run import (
    as_wholebody,
    check_comparable,
    labelled_boxes,
    parts_of,
    predict,
    read_boxes,
    read_set,
)
from wholebody.pose.topdown import TopDown
from wholebody.poses import Poses
from wholebody.schema import COCO_BODY, COCO_WHOLEBODY, HAND_21

ABOUT = {"model": "bright"}
BOXES = {1: [[20, 10, 80, 90], [120, 60, 200, 180]], 2: [[40, 40, 120, 160]], 4: [[30, 30, 90, 110]]}


def photos(folder):
    """Four pictures, one of them without people and one that is not a picture; labels where the networks look."""
    estimator = TopDown(bright_pose())
    boxes, keypoints, images = [], [], []
    for number, rows in {**BOXES, 3: []}.items():
        picture = people(rows)
        cv2.imwrite(str(folder / f"{number}.png"), picture)
        found = estimator(picture, rows)
        keypoints.append(found.keypoints)
        boxes += rows
        images += [number] * len(rows)
    (folder / "4.png").write_bytes(b"no picture")
    m = len(boxes)
    xyxy = np.array(boxes, float)
    return Labels(
        ids=np.arange(m) + 100,
        image_ids=np.array(images),
        keypoints=np.concatenate(keypoints).astype(float),
        visible=np.full((m, 133), 2, np.float32),
        boxes=xyxy,
        areas=(xyxy[:, 2:] - xyxy[:, :2]).prod(axis=1),
        iscrowd=np.zeros(m, bool),
        valid=np.ones((m, 4), bool),
        images={number: PictureFile(f"{number}.png", 320, 240) for number in (1, 2, 3, 4)},
    )


def run(labels, folder, journal, estimator=None, boxes=None):
    return predict(estimator or TopDown(bright_pose()), labels, folder, boxes or labelled_boxes(labels), journal, ABOUT)


def test_every_labelled_box_is_estimated_and_bad_pictures_are_noted(tmp_path):
    labels = photos(tmp_path)
    measured = run(labels, tmp_path, tmp_path / "out" / "predictions.jsonl")
    assert {number: len(poses) for number, poses in measured.predictions.items()} == {1: 2, 2: 1, 3: 0}
    np.testing.assert_array_equal(measured.predictions[2].keypoints[0], labels.keypoints[2])
    assert len(measured.failed) == 1 and "4.png" in measured.failed[0]
    assert measured.people == 3 and measured.seconds > 0


class Dies:
    """A network that is killed in its second group of pictures."""

    def __init__(self, network):
        self.network, self.schema, self.calls = network, network.schema, []

    def images(self, images, boxes, box_scores):
        self.calls.append(len(images))
        if len(self.calls) == 2:
            raise KeyboardInterrupt
        return self.network.images(images, boxes, box_scores)


def test_a_run_that_goes_on_repeats_what_could_not_be_used(tmp_path):
    labels = photos(tmp_path)
    labels.boxes[0] = 1000, 10, 1060, 90
    first, again = (run(labels, tmp_path, tmp_path / "out" / "predictions.jsonl") for _ in range(2))
    assert "image 1: 1 boxes have no area in the picture." in again.failed
    assert sorted(first.failed) == sorted(again.failed) and not again.people


def test_a_killed_run_goes_on_and_gives_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr("wholebody.evaluate.run.GROUP", 1)
    labels, journal = photos(tmp_path), tmp_path / "predictions.jsonl"
    whole = run(labels, tmp_path, tmp_path / "whole.jsonl")
    with pytest.raises(KeyboardInterrupt):
        run(labels, tmp_path, journal, Dies(TopDown(bright_pose())))
    with journal.open("a") as file:
        file.write('{"image_id": 2, "keyp')  # what a stop in the middle of a line leaves
    again = run(labels, tmp_path, journal)
    assert again.people == 1  # image 1 was done
    for number, poses in whole.predictions.items():
        np.testing.assert_array_equal(again.predictions[number].keypoints, poses.keypoints)
    third = run(labels, tmp_path, journal)
    assert third.people == 0 and len(third.predictions[1]) == 2


@pytest.mark.parametrize("old, new", [(b"5", b"6"), (b'"scores"', b'"scored"'), (b",", b"\xff"), (b"[", b"\n")])
def test_a_line_that_was_damaged_anywhere_costs_its_picture(tmp_path, monkeypatch, old, new):
    monkeypatch.setattr("wholebody.evaluate.run.GROUP", 1)
    labels, journal = photos(tmp_path), tmp_path / "predictions.jsonl"
    whole = run(labels, tmp_path, journal)
    head, first, *others = journal.read_bytes().splitlines(keepends=True)
    place = first.index(old, 20)
    journal.write_bytes(b"".join([head, first[:place] + new + first[place + len(old) :], *others]))
    again = run(labels, tmp_path, journal)
    assert again.people == len(whole.predictions[1]) > 0
    for number, poses in whole.predictions.items():
        np.testing.assert_array_equal(again.predictions[number].keypoints, poses.keypoints)
    assert run(labels, tmp_path, journal).people == 0
    journal.write_bytes(b"\0" * 50 + journal.read_bytes()[50:])
    assert run(labels, tmp_path, journal).people == whole.people


def test_a_full_disk_is_one_line_and_the_run_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr("wholebody.evaluate.run.GROUP", 1)
    labels, journal = photos(tmp_path), tmp_path / "predictions.jsonl"
    whole = run(labels, tmp_path, tmp_path / "whole.jsonl")
    open_file, written = Path.open, []

    def full(path, mode="r", **options):
        if mode == "a":
            written.append(path)
            if len(written) == 2:
                raise OSError(28, "No space left on device")
        return open_file(path, mode, **options)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(WholebodyError, match="No space left on device") as error:
        run(labels, tmp_path, journal)
    assert "\n" not in str(error.value) and str(journal) in str(error.value)
    again = run(labels, tmp_path, journal)
    assert again.people == 1  # image 1 was done
    np.testing.assert_array_equal(again.predictions[2].keypoints, whole.predictions[2].keypoints)


def test_predictions_of_something_else_are_not_gone_on_with(tmp_path):
    read_journal(tmp_path / "predictions.jsonl", {"model": "a"}, {1})
    with pytest.raises(WholebodyError, match="another model"):
        read_journal(tmp_path / "predictions.jsonl", {"model": "b"}, {1})


def test_boxes_from_a_file_of_detections(tmp_path):
    rows = [
        {"image_id": 1, "category_id": 1, "bbox": [20, 10, 60, 80], "score": 0.9},
        {"image_id": 1, "category_id": 3, "bbox": [0, 0, 10, 10], "score": 0.9},
        {"image_id": 9, "category_id": 1, "bbox": [0, 0, 10, 10], "score": 0.5},
    ]
    (tmp_path / "boxes.json").write_text(json.dumps(rows))
    boxes = read_boxes(tmp_path / "boxes.json")
    np.testing.assert_allclose(boxes[1][0], [[20, 10, 80, 90]])
    assert boxes[1][1].tolist() == [pytest.approx(0.9)] and set(boxes) == {1, 9}
    labels = photos(tmp_path)
    measured = run(labels, tmp_path, tmp_path / "p.jsonl", boxes=boxes)
    assert {number: len(poses) for number, poses in measured.predictions.items()} == {1: 1, 2: 0, 3: 0, 4: 0}


@pytest.mark.parametrize(
    "content", [None, "{", "{}", "[1]", '[{"image_id": 1, "bbox": [1, 2], "score": 1}]',
                '[{"image_id": 1, "bbox": [1, 2, 3, NaN], "score": 1}]']
)  # fmt: skip
def test_bad_detections_are_one_line(tmp_path, content):
    if content is not None:
        (tmp_path / "boxes.json").write_text(content)
    with pytest.raises(WholebodyError, match=r"boxes\.json") as error:
        read_boxes(tmp_path / "boxes.json")
    assert "\n" not in str(error.value)


def test_seventeen_points_become_a_wholebody_that_claims_no_more():
    rng = np.random.default_rng(0)
    small = Poses(
        rng.random((2, 17, 2)) * 99, np.full((2, 17), 0.8), [[0, 0, 10, 20], [5, 5, 50, 90]], [1, 1], COCO_BODY
    )
    large = as_wholebody(small)
    np.testing.assert_array_equal(large.keypoints[:, :17], small.keypoints)
    assert not large.scores[:, 17:].any() and (large.keypoints[1, 17:] == (27.5, 47.5)).all()
    assert parts_of(COCO_BODY) == ("body",) and parts_of(COCO_WHOLEBODY)[-2:] == ("hands", "whole")


def test_evaluate_writes_figures_predictions_and_a_report(tmp_path, capsys):
    labels = photos(tmp_path)
    write_labels(tmp_path / "labels.json", labels)
    save_pose(tmp_path / "bright.onnx")
    arguments = ["evaluate", str(tmp_path / "bright.onnx"), "--annotations", str(tmp_path / "labels.json")]
    arguments += ["--images", str(tmp_path), "--output", str(tmp_path / "out"), "--device", "cpu"]
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    assert end.value.code == 1  # one picture was none
    assert "4.png" in capsys.readouterr().out
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    value, low, high = results["figures"]["whole"]["OKS"]
    assert value == pytest.approx(0.75, abs=1e-3) and low <= value <= high  # three of four exactly, one not found
    assert results["about"]["boxes"] == "gt" and len(results["failed"]) == 1
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 6 and "not a picture" in page.lower()
    assert len(json.loads((tmp_path / "out" / "predictions.json").read_text())) == 3


def test_other_points_than_the_labels_are_refused_before_anything_is_predicted(tmp_path, capsys):
    write_labels(tmp_path / "labels.json", photos(tmp_path))
    save_heatmaps(tmp_path / "sports.onnx", k=26)
    arguments = ["--annotations", str(tmp_path / "labels.json"), "--images", str(tmp_path), "--output"]
    out = str(tmp_path / "out")
    for command in ["evaluate", str(tmp_path / "sports.onnx")], ["compare", "--models", str(tmp_path / "sports.onnx")]:
        with pytest.raises(SystemExit) as end:
            cli.main([*command, *arguments, out])
        said = capsys.readouterr().err.strip().splitlines()
        assert end.value.code == 1 and len(said) == 1 and "finds halpe_26, whose points are not" in said[0]
    assert not (tmp_path / "out" / "predictions.jsonl").exists()
    with pytest.raises(WholebodyError, match="hand_21"):
        check_comparable("hands", HAND_21)
    check_comparable("body", COCO_BODY)


@pytest.mark.parametrize("box", [(200, 10, 300, 90), (-90, -90, -20, -30), (10, 1e6, 1e12, 2e12), (10, 10, 90, 1e15)])
def test_what_is_labelled_outside_of_its_picture_does_not_end_the_report(box, tmp_path):
    labels = photos(tmp_path)
    labels.boxes[0], labels.keypoints[0, 3] = box, 1e12
    pose = TopDown(bright_pose())(people(BOXES[1]), BOXES[1][:1])
    for image in (np.zeros((100, 100, 3), np.uint8), np.zeros((20, 9000, 3), np.uint8)):
        for found in (None, pose):
            tile = person_tile(image, labels, 0, found)
            assert 0 < tile.shape[0] <= TILE and 0 < tile.shape[1] <= 4 * TILE


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("bbox", [40, 40, 0, 120], "annotation 102: bbox is 0 x 120. `wholebody data check` lists"),
        ("bbox", [40, 40, 80, -3], "annotation 102: bbox is 80 x -3"),
        ("area", 0, "annotation 102: area is 0"),
        ("area", -4.5, "annotation 102: area is -4.5"),
    ],
)
def test_people_of_no_size_are_refused_in_one_line(tmp_path, field, value, message):
    write_labels(tmp_path / "labels.json", photos(tmp_path))
    written = json.loads((tmp_path / "labels.json").read_text())
    written["annotations"][2][field] = value
    (tmp_path / "labels.json").write_text(json.dumps(written))
    with pytest.raises(WholebodyError, match=r"labels\.json") as error:
        read_set(tmp_path / "labels.json", tmp_path)
    assert message in str(error.value) and "\n" not in str(error.value)
    for name in ("keypoints", "foot_kpts", "face_kpts", "lefthand_kpts", "righthand_kpts"):
        written["annotations"][2][name] = [0] * len(written["annotations"][2][name])
    (tmp_path / "labels.json").write_text(json.dumps(written))
    assert (
        len(read_set(tmp_path / "labels.json", tmp_path)) == 4
    )  # nobody is measured there: what its box says is no matter


def test_damaged_pictures_fail_when_it_is_strict(tmp_path, capsys):
    write_labels(tmp_path / "labels.json", photos(tmp_path))
    save_pose(tmp_path / "bright.onnx")
    data = cv2.imencode(".jpg", people(BOXES[4]))[1].tobytes()
    (tmp_path / "4.png").write_bytes(data[: len(data) // 2] + b"\xff\xd9")
    arguments = ["evaluate", str(tmp_path / "bright.onnx"), "--annotations", str(tmp_path / "labels.json")]
    arguments += ["--images", str(tmp_path), "--device", "cpu", "--output"]
    for words, status in (["kept"], 0), (["refused", "--strict"], 1), (["kept", "--strict"], 1):
        with pytest.raises(SystemExit) as end:
            cli.main([*arguments, str(tmp_path / words[0]), *words[1:]])
        assert end.value.code == status
    out, err = capsys.readouterr()
    assert "4.png: damaged" in out and "4.png" in (tmp_path / "refused" / "results.json").read_text()
    assert "predictions.jsonl" in err  # of a run that took it


def test_a_missing_folder_of_pictures_is_one_line(tmp_path):
    write_labels(tmp_path / "labels.json", photos(tmp_path))
    with pytest.raises(WholebodyError, match="nowhere: no such folder"):
        read_set(tmp_path / "labels.json", tmp_path / "nowhere")


def test_plots_survive_nothing_and_one():
    assert "<svg" in error_bars(np.full((1, 133), np.nan), [("body", slice(0, 17))])
    assert size_plot(np.zeros(0), np.zeros(0)) == "<p>Nobody.</p>"
    assert "polyline" in size_plot(np.array([50.0]), np.array([0.5]))


def test_ids_by_name_are_refused_as_pycocotools_does(tmp_path):
    written = _written(tmp_path)
    for row in written["annotations"]:
        row["image_id"] = f"{row['image_id']}.jpg"
    (tmp_path / "labels.json").write_text(json.dumps(written))
    with pytest.raises(WholebodyError, match="image_id is a name"):
        read_set(tmp_path / "labels.json", tmp_path)
    (tmp_path / "boxes.json").write_text(json.dumps([{"image_id": "a.jpg", "bbox": [1, 2, 3, 4], "score": 1}]))
    with pytest.raises(WholebodyError, match="image_id is a name"):
        read_boxes(tmp_path / "boxes.json")


def _written(tmp_path):
    write_labels(tmp_path / "labels.json", photos(tmp_path))
    return json.loads((tmp_path / "labels.json").read_text())
