import json
import sys
from dataclasses import replace
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

from networks import bright_pose, save_pose
from test_measure import photos
from wholebody import cli
from wholebody.data.coco import read_labels, write_labels
from wholebody.errors import WholebodyError
from wholebody.evaluate.compare import difference, side_by_side
from wholebody.evaluate.entrant import Entrant
from wholebody.evaluate.published import PUBLISHED
from wholebody.evaluate.run import labelled_boxes
from wholebody.pose.topdown import TopDown
from wholebody.runtime.choose import open_session

# An estimator of somebody else: every point in the middle of the box.
MIDDLE = """
import json, sys
labels = json.load(open(sys.argv[1]))
counts = {"keypoints": 17, "foot_kpts": 6, "face_kpts": 68, "lefthand_kpts": 21, "righthand_kpts": 21}
rows = []
for person in labels["annotations"]:
    x, y, w, h = person["bbox"]
    points = {name: [x + w / 2, y + h / 2, 0.9] * count for name, count in counts.items()}
    rows.append({"image_id": person["image_id"], "category_id": 1, "score": 1.0, "bbox": person["bbox"], **points})
json.dump(rows, open(sys.argv[2], "w"))
print('{"seconds": 0.5, "processor": 0.25}', file=sys.stderr)
"""


@pytest.fixture
def folder(tmp_path):
    labels = photos(tmp_path)
    known = labels[:3]
    write_labels(tmp_path / "labels.json", known)
    save_pose(tmp_path / "bright.onnx")
    (tmp_path / "middle.py").write_text(MIDDLE)
    return tmp_path


def compare(folder, *more):
    arguments = ["compare", "--annotations", folder / "labels.json", "--images", folder, "--output", folder / "out"]
    with pytest.raises(SystemExit) as end:
        cli.main([str(word) for word in (*arguments, "--models", folder / "bright.onnx", *more)])
    return end.value.code


def test_networks_commands_and_files_stand_in_one_table(folder, capsys):
    command = f"middle={sys.executable} {folder / 'middle.py'} {{annotations}} {{out}}"
    assert compare(folder, "--run", command) == 0
    assert compare(folder, "--results", f"again={folder / 'out' / 'work' / 'middle.json'}", "--run", command) == 0
    read = json.loads((folder / "out" / "compare.json").read_text())
    assert list(read) == ["bright", "middle", "again"]
    assert read["bright"]["figures"]["whole"]["OKS"][0] == pytest.approx(1)
    assert read["middle"]["figures"]["whole"]["OKS"][0] < 0.5
    assert read["again"]["figures"] == read["middle"]["figures"]
    assert read["middle"]["milliseconds_per_person"] == pytest.approx(500 / 3)  # as the command says
    assert read["again"]["milliseconds_per_person"] is None
    assert read["middle"]["processor_milliseconds_per_person"] == pytest.approx(250 / 3)
    apart = read["middle"]["figures"]["whole"]["OKS"][0] - 1  # everyone is labelled where the network looks
    value, low, high = read["middle"]["OKS_minus_first"]["whole"]
    assert value == pytest.approx(apart, abs=1e-6) and low <= value <= high < 0
    assert read["bright"]["OKS_minus_first"] == {}
    page = (folder / "out" / "compare.md").read_text()
    assert f"| middle | {100 * read['middle']['OKS_minus_first']['body'][0]:+.1f} [" in page
    assert all(f"| {row.name} | {row.size} |" in page for row in PUBLISHED)
    assert "| bright | 100.0" in page and "| measured |" in capsys.readouterr().out
    assert ElementTree.parse(folder / "out" / "compare.svg").getroot().tag.endswith("svg")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--run", "broken=false"), "broken: the command failed with status 1"),
        (("--run", "none=no-such-command {out}"), "none: cannot run"),
        (("--run", "odd=true {nothing}"), "odd: cannot run"),
        (("--run", "odd=true {out.parent}"), "odd: cannot run"),
        (("--run", "odd=true {out[x]}"), "odd: cannot run"),
        (("--run", "no-equals-sign"), "is not NAME=VALUE"),
        (("--results", "gone=missing.json"), "missing.json"),
        (("--devices", "cpu", "abacus"), "'abacus' is unknown"),
        (("--devices", "coreml"), "Leave coreml out of --devices"),
        (("--run", "bright=true {out}"), "two estimators have the same name"),
        (("--output", "labels.json"), "labels.json: looks like a file"),
        (("--precisions", "fp32", "int8"), "bright.int8.onnx: no such file"),
    ],
)
def test_what_cannot_run_is_one_line(folder, capsys, monkeypatch, more, message):
    monkeypatch.chdir(folder)
    assert compare(folder, *more) == 1
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1 and message in said[0]


def test_a_command_that_says_nothing_is_timed_whole(folder):
    quiet = MIDDLE.replace("print(", "sum(range(3_000_000)); dict(seconds=")
    (folder / "quiet.py").write_text(quiet)
    assert compare(folder, "--run", f"quiet={sys.executable} {folder / 'quiet.py'} {{annotations}} {{out}}") == 0
    read = json.loads((folder / "out" / "compare.json").read_text())["quiet"]
    assert read["loading_included"] and read["processor_milliseconds_per_person"] > 5
    assert " with loading |" in (folder / "out" / "compare.md").read_text()


def test_results_of_an_earlier_run_are_not_taken(folder, capsys):
    command = f"middle={sys.executable} {folder / 'middle.py'} {{annotations}} {{out}}"
    assert compare(folder, "--run", command) == 0
    assert compare(folder, "--run", "middle=true {out}") == 1
    assert "it wrote nothing" in capsys.readouterr().err


def test_a_published_system_is_marked_where_it_took_part(folder):
    (folder / "bright.onnx").rename(folder / "HRNet-like.onnx")
    command = f"ViTPose+-S={sys.executable} {folder / 'middle.py'} {{annotations}} {{out}}"
    assert compare(folder, "--models", folder / "HRNet-like.onnx", "--run", command) == 0
    rows = {line.split(" | ")[0]: line for line in (folder / "out" / "compare.md").read_text().splitlines()}
    assert rows["| HRNet"].endswith("| HRNet-like: whole 100.0 / 100.0 |")
    assert "ViTPose+-S: whole" in rows["| ViTPose+-S"] and rows["| ViTPose+-H"].endswith("| no |")
    assert rows["| SN"].endswith("| no |")  # not a word of any name


@pytest.mark.parametrize(("name", "said"), [("dwpose-t", "no"), ("dwpose-t-official", "dwpose-t-official: whole")])
def test_the_bundled_student_is_not_the_released_one(folder, name, said):
    command = f"{name}={sys.executable} {folder / 'middle.py'} {{annotations}} {{out}}"
    assert compare(folder, "--run", command) == 0
    rows = {line.split(" | ")[0]: line for line in (folder / "out" / "compare.md").read_text().splitlines()}
    assert said in rows["| DWPose-t"].rsplit(" | ", 1)[1]


def test_differences_are_paired_and_people_of_a_picture_are_drawn_together():
    rng = np.random.default_rng(0)
    hard = rng.random(200)  # how hard people are, for everyone
    images = np.repeat(np.arange(100), 2)
    apart = difference(hard * 0.5 + 0.1, hard * 0.5, images)
    assert apart.value == pytest.approx(0.1) and apart.low == pytest.approx(0.1) == apart.high
    noise = np.repeat(rng.normal(0, 0.1, 100), 2)
    alone, together = difference(hard + noise, hard, np.arange(200)), difference(hard + noise, hard, images)
    assert together.high - together.low > 1.2 * (alone.high - alone.low)
    half = np.where(np.arange(200) < 100, np.nan, 1.0)
    assert difference(half, hard, images).value == pytest.approx(1 - hard[100:].mean())
    assert np.isnan(difference(np.full(3, np.nan), np.ones(3), np.arange(3)).value)


class Counting:
    def __init__(self, name, calls):
        self.network, self.name, self.calls = TopDown(bright_pose()), name, calls
        self.schema = self.network.schema

    def images(self, images, boxes, box_scores):
        self.calls.append(self.name)
        return self.network.images(images, boxes, box_scores)


def test_estimators_take_turns_on_each_picture(folder):
    labels = read_labels(folder / "labels.json")
    calls = []
    entrants = [Entrant(name, estimator=Counting(name, calls)) for name in "ab"]
    side_by_side(entrants, labels, folder, labelled_boxes(labels))
    assert calls == ["a", "b", "a", "b", "b", "a"]  # warm-up, first picture, second picture
    for entrant in entrants:
        assert entrant.people == 3 and len(entrant.seconds) == len(entrant.processor) == 2
        assert entrant.milliseconds == pytest.approx(1000 * sum(entrant.seconds) / 3)
        np.testing.assert_array_equal(entrant.predictions[2].keypoints[0], labels.keypoints[2].astype(np.float32))


def test_opencvs_threads_come_back_when_a_picture_cannot_be_read(folder):
    labels, before = read_labels(folder / "labels.json"), cv2.getNumThreads()
    with pytest.raises(WholebodyError):
        side_by_side([], labels, folder / "nowhere", labelled_boxes(labels), threads=before + 1)
    assert cv2.getNumThreads() == before


def test_rtmlib_gets_blue_first_unless_told(folder):
    pytest.importorskip("rtmlib")
    from wholebody.evaluate.rtmlib import Rtmlib

    save_pose(folder / "plain.onnx", fused=False)
    image, box = np.full((240, 320, 3), 20, np.uint8), [100, 60, 200, 200]
    image[90:110, 130:140], image[150:170, 160:170] = (255, 0, 0), (0, 0, 255)  # some points like red, others blue
    want = TopDown(open_session(folder / "plain.onnx", "cpu"))(image, [box]).keypoints
    theirs = Rtmlib.open(folder / "plain.onnx", 1)
    as_it_comes, told = (
        each.images([image], [[box]], [None])[0].keypoints for each in (theirs, replace(theirs, rgb=True))
    )
    np.testing.assert_allclose(told, want, atol=1e-3)
    assert np.abs(as_it_comes - want).max() > 1


def test_rtmlib_needs_the_released_layout(folder):
    pytest.importorskip("rtmlib")
    from wholebody.evaluate.rtmlib import Rtmlib

    with pytest.raises(WholebodyError, match="released layout"):
        Rtmlib.open(folder / "bright.onnx", 1)
