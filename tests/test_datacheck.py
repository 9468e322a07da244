"""`wholebody data check`: each kind of wrong label is found, and right ones are left alone."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from wholebody import cli
from wholebody.data import check
from wholebody.data.check import findings
from wholebody.data.coco import write_labels
from wholebody.data.labels import Labels, PictureFile, Problem
from wholebody.schema import COCO_WHOLEBODY

NAMES = COCO_WHOLEBODY.names
SIDE = {"left": 1, "right": -1}


def standing(x, facing=1):
    """(133, 2) a person around x who looks into the camera: the left side is on the right of the picture."""
    points = np.zeros((133, 2))
    heights = {
        "nose": 60, "eye": 55, "ear": 58, "shoulder": 100, "elbow": 150, "wrist": 200, "hip": 210, "knee": 300,
        "ankle": 380, "toe": 395, "heel": 390,
    }  # fmt: skip
    widths = {"eye": 10, "ear": 16, "shoulder": 35, "elbow": 45, "wrist": 50, "hip": 25, "knee": 25, "ankle": 25}
    for row, name in enumerate(NAMES[:23]):
        side = SIDE.get(name.split("_")[0], 0) * facing
        kind = name.split("_")[-1]
        points[row] = x + side * widths.get(kind, 28 if kind in ("toe", "heel") else 0), heights[kind]
    # Face points go around from the right to the left, so they are on the right side first.
    angle = np.linspace(np.pi, 0, 17)
    points[23:40] = np.column_stack([x + facing * 20 * np.cos(angle), 58 + 25 * np.sin(angle)])
    points[40:91] = (x, 65)
    points[59:65], points[65:71] = (x - facing * 10, 55), (x + facing * 10, 55)
    points[91:112] = points[9] + np.column_stack([np.zeros(21), np.arange(21)])
    points[112:133] = points[10] + np.column_stack([np.zeros(21), np.arange(21)])
    return points


def good(people=3, flag=2):
    """Labels in which nothing is wrong: everyone in a picture of their own."""
    points = np.stack([standing(150 + 40 * n) for n in range(people)])
    boxes = np.stack([[150 + 40 * n - 60, 30, 150 + 40 * n + 60, 400] for n in range(people)]).astype(np.float64)
    return Labels(
        ids=np.arange(1, people + 1) * 10,
        image_ids=np.arange(1, people + 1),
        keypoints=points,
        visible=np.full((people, 133), flag, dtype=np.float32),
        boxes=boxes,
        areas=np.full(people, 20000.0),
        iscrowd=np.zeros(people, dtype=bool),
        valid=np.ones((people, 4), dtype=bool),
        images={n: PictureFile(f"{n}.png", 640, 480) for n in range(1, people + 1)},
    )


def with_row(labels, name, value, row=1):
    array = getattr(labels, name).copy()
    array[row] = value
    return replace(labels, **{name: array})


def with_points(labels, rows, value, row=1):
    points = labels.keypoints.copy()
    points[row, rows] = value
    return replace(labels, keypoints=points)


def exchanged(labels, part_a, part_b, row=1):
    points = labels.keypoints.copy()
    points[row, part_a], points[row, part_b] = labels.keypoints[row, part_b], labels.keypoints[row, part_a]
    return replace(labels, keypoints=points)


@pytest.mark.parametrize("flag", [1, 2, 0.9])
def test_right_labels_are_left_alone(flag):
    assert findings(good(flag=flag)) == []


def test_nobody_and_nothing():
    assert findings(good()[:0]) == []
    assert findings(Labels.concatenate([])) == []


PARTS = COCO_WHOLEBODY.parts
HEAD = [0, 1, 2, 3, 4]
# The kind that is found, whether it is broken, and the labels, wrong at the second person, annotation 20.
WRONG = {
    "box smaller than a pixel": (True, lambda labels: with_row(labels, "boxes", [130, 30, 130, 400])),
    "box outside the picture": (True, lambda labels: with_row(labels, "boxes", [-9, 30, 250, 400])),
    "area does not fit the box": (True, lambda labels: with_row(labels, "areas", 0)),
    "third number above 2": (True, lambda labels: with_row(labels, "visible", 3)),
    "labelled at 0, 0": (True, lambda labels: with_points(labels, 15, 0)),
    "point outside the picture": (True, lambda labels: with_points(labels, 13, (180, 485))),
    "point far from the box": (False, lambda labels: with_points(labels, 13, (600, 380))),
    "face_valid is false, but points are labelled": (False, lambda labels: with_row(labels, "valid", [1, 0, 1, 1])),
    "lefthand_kpts is at the right_wrist": (
        True,
        lambda labels: exchanged(labels, PARTS["left_hand"], PARTS["right_hand"]),
    ),
    "right foot_kpts is at the left_ankle": (True, lambda labels: exchanged(labels, slice(17, 20), slice(20, 23))),
    "left eye of face_kpts is at the right_eye": (
        True,
        lambda labels: with_points(labels, PARTS["face"], standing(190, facing=-1)[PARTS["face"]]),
    ),
    "eyes and chin of face_kpts mirrored": (
        True,
        lambda labels: with_points(labels, PARTS["face"], standing(190, facing=-1)[PARTS["face"]]),
    ),
    "eyes and nose of keypoints mirrored": (
        True,
        lambda labels: with_points(labels, HEAD, standing(190, facing=-1)[HEAD]),
    ),
}


@pytest.mark.parametrize("kind", WRONG)
def test_each_kind_is_found_at_its_person(kind):
    broken, make = WRONG[kind]
    found = {finding.what: finding for finding in findings(make(good()))}
    assert kind in found, list(found)
    assert found[kind].broken == broken and list(found[kind].records) == ["annotation 20"]
    assert all(finding.records for finding in found.values())


def test_a_mirrored_person_as_a_whole_is_found_by_the_face():
    found = {finding.what for finding in findings(with_row(good(), "keypoints", standing(190, facing=-1)))}
    assert found == {"eyes and nose of keypoints mirrored", "eyes and chin of face_kpts mirrored"}


def test_a_guess_from_behind_is_no_mirror_image():
    """From behind, left is on the left; someone who labels occluded eyes there is right."""
    behind = with_row(good(), "keypoints", standing(190, facing=-1))
    assert findings(with_row(behind, "visible", 1)) == []


@pytest.mark.parametrize("turn", [40, 180, -100])
def test_a_leaning_person_is_no_mirror_image(turn):
    angle = np.deg2rad(turn)
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    labels = good()
    centre = np.array([190, 215])
    labels = with_row(labels, "keypoints", (labels.keypoints[1] - centre) @ matrix.T + centre + (100, 0))
    labels = with_row(labels, "boxes", [*labels.keypoints[1].min(axis=0), *labels.keypoints[1].max(axis=0)])
    labels = with_row(labels, "areas", 5000)
    assert findings(labels) == []


def test_unsure_points_of_a_teacher_do_not_count():
    labels = with_points(good(flag=0.9), 13, (180, 900))
    (found,) = findings(labels)
    assert found.what == "point outside the picture" and not found.broken
    visible = labels.visible.copy()
    visible[1, 13] = 0.1
    assert findings(replace(labels, visible=visible)) == []


@pytest.mark.parametrize(("shift", "same_image", "points", "twice"), [
    (0, True, True, True), (1, True, True, True), (40, True, True, False), (0, False, True, False),
    (0, True, False, True),
])  # fmt: skip
def test_people_labelled_twice(shift, same_image, points, twice):
    labels = good(2)
    labels = replace(
        labels,
        keypoints=np.stack([standing(150), standing(150 + shift)]),
        boxes=labels.boxes[:1] + np.array([[0.0] * 4, [shift, 0, shift, 0]]),
        visible=labels.visible * points,
        valid=labels.valid & points,
        image_ids=np.array([1, 1 if same_image else 2]),
    )
    found = findings(labels)
    assert [(f.what, list(f.records)) for f in found] == (
        [("person labelled twice", ["annotation 20"])] if twice else []
    )
    assert findings(with_row(labels, "iscrowd", True)) == []


def test_kinds_are_counted_over_all_slices(monkeypatch):
    monkeypatch.setattr(check, "_SOME", 2)
    labels = good(5)
    (found,) = findings(replace(labels, areas=labels.areas * 0))
    assert len(found.records) == len(found.details) == found.of == 5


def test_rows_that_cannot_be_read_are_found():
    problems = (Problem("annotation 4", "bbox", "is missing"), Problem("annotations[2]", "", "is not an object"))
    found = findings(replace(good(), dropped=problems))
    assert [(f.what, f.details, f.of) for f in found] == [
        ("bbox cannot be read", ["bbox is missing"], 5),
        ("row cannot be read", ["is not an object"], 5),
    ]


# --- With pictures, and as a command ----------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    for n in (1, 2, 3):
        cv2.imwrite(str(tmp_path / f"{n}.png"), np.zeros((480, 640, 3), np.uint8))
    write_labels(tmp_path / "labels.json", good())
    return tmp_path


@pytest.fixture
def run(capsys):
    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            cli.main(["data", "check", *map(str, arguments)])
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        return end.value.code, printed.out, printed.err

    return run


def test_a_good_file_passes(run, folder):
    status, out, _ = run(folder / "labels.json", "--images", folder)
    assert status == 0 and "3 pictures, 3 people" in out and "nothing wrong was found" in out


def test_pictures_are_looked_at(run, folder):
    (folder / "1.png").unlink()
    (folder / "2.png").write_text("dear all")
    cv2.imwrite(str(folder / "3.png"), np.zeros((500, 640, 3), np.uint8))
    status, out, _ = run(folder / "labels.json", "--images", folder, "--every-line")
    lines = [line for line in out.splitlines() if line.startswith(str(folder / "labels.json") + ": image")]
    assert status == 1 and len(lines) == 3
    assert "image 1: file_name 1.png is not in" in lines[0]
    assert "image 2" in lines[1] and "2.png" in lines[1]
    assert "image 3: width and height are 640 x 480, the picture has 640 x 500" in lines[2]
    status, out, _ = run(folder / "labels.json")
    assert status == 0


def test_sizes_come_from_the_pictures_where_the_file_has_none(folder):
    labels = with_points(good(), 13, (180, 485))
    unsized = {n: PictureFile(picture.file_name) for n, picture in labels.images.items()}
    labels = replace(labels, images=unsized)
    assert [f.what for f in findings(labels)] == ["picture has no size"]
    assert [f.what for f in findings(labels, folder)] == ["point outside the picture", "picture has no size"]


def test_two_records_of_one_picture():
    labels = good()
    (found,) = findings(replace(labels, images={n: PictureFile("a.png", 640, 480) for n in labels.images}))
    assert found.what == "picture is listed twice" and list(found.records) == ["image 2", "image 3"]


def test_every_lie_of_a_file_is_listed(run, tmp_path):
    path = tmp_path / "[labels].json"
    write_labels(path, good(8))
    content = json.loads(path.read_text())
    rows = content["annotations"]
    rows[0]["bbox"][0] = float("nan")
    rows[1]["face_kpts"].pop()
    rows[2]["image_id"] = 99
    rows[3]["id"] = rows[4]["id"]
    rows[5]["bbox"][2] = 0
    del rows[6]["image_id"]
    path.write_text(json.dumps(content))
    status, out, _ = run(path, "--every-line")
    lines = [line for line in out.splitlines() if line.startswith(f"{path}: annotation")]
    told = ["10: bbox", "20: face_kpts", "30: image_id", "50: id", "60: bbox", "70: image_id"]
    assert status == 1 and "broken" in out
    for begin in told:
        assert any(line.startswith(f"{path}: annotation {begin} ") for line in lines), begin
    assert len(lines) == len(told) and "6 broken, 0 odd" in out


def test_odd_things_alone_pass(run, tmp_path):
    write_labels(tmp_path / "labels.json", WRONG["point far from the box"][1](good()))
    status, out, _ = run(tmp_path / "labels.json")
    assert status == 0 and "0 broken, 1 odd" in out


@pytest.mark.parametrize("content", ["{", '{"images": []}', None])
def test_a_file_that_is_something_else_is_one_line(run, tmp_path, content):
    path = tmp_path / "labels.json"
    if content is not None:
        path.write_text(content)
    status, _, errors = run(path)
    assert status == 1 and "labels.json" in errors and len(errors.splitlines()) == 1


def test_a_mapping_table_as_an_option(run, tmp_path):
    row = {"id": 1, "image_id": 1, "bbox": [1, 2, 30, 40], "keypoints": [9, 10, 2, 3, 4, 2]}
    labels, table = tmp_path / "labels.json", tmp_path / "table.txt"
    labels.write_text(json.dumps({"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [row]}))
    table.write_text("beak -> nose\ntail ->\n")
    status, _, errors = run(labels)
    assert status == 1 and "mapping table" in errors
    status, out, _ = run(labels, "--mapping", table)
    assert status == 0 and "picture has no size" in out
