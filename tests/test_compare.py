import json
import sys
from xml.etree import ElementTree

import numpy as np
import pytest

from networks import bright_pose, save_pose
from test_measure import photos
from wholebody import cli
from wholebody.annotations import read_labels, write_labels
from wholebody.compare import PUBLISHED, Entrant, side_by_side
from wholebody.errors import WholebodyError
from wholebody.estimate import TopDown
from wholebody.measure import labelled_boxes

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
print('{"seconds": 0.5}', file=sys.stderr)
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
    page = (folder / "out" / "compare.md").read_text()
    assert all(f"| {row.name} | {row.size} |" in page for row in PUBLISHED)
    assert "| bright | 100.0" in page and "| measured |" in capsys.readouterr().out
    assert ElementTree.parse(folder / "out" / "compare.svg").getroot().tag.endswith("svg")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--run", "broken=false"), "broken: the command failed with status 1"),
        (("--run", "none=no-such-command {out}"), "none: cannot run"),
        (("--run", "odd=true {nothing}"), "odd: cannot run"),
        (("--run", "no-equals-sign"), "is not NAME=VALUE"),
        (("--results", "gone=missing.json"), "missing.json"),
        (("--precisions", "fp32", "int8"), "bright.int8.onnx: no such file"),
    ],
)
def test_what_cannot_run_is_one_line(folder, capsys, more, message):
    assert compare(folder, *more) == 1
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1 and message in said[0]


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
        assert entrant.people == 3 and len(entrant.seconds) == 2
        assert entrant.milliseconds == pytest.approx(1000 * sum(entrant.seconds) / 3)
        np.testing.assert_array_equal(entrant.predictions[2].keypoints[0], labels.keypoints[2].astype(np.float32))


def test_rtmlib_needs_the_released_layout(folder):
    pytest.importorskip("rtmlib")
    from wholebody.compare import Rtmlib

    with pytest.raises(WholebodyError, match="released layout"):
        Rtmlib.open(folder / "bright.onnx", 1)
