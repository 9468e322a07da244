import sys
import threading
import time
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from networks import K, _save, blue_detector, save_detector, save_pose, tensor
from wholebody.errors import WholebodyError
from wholebody.evaluate import rtmlib as adapter
from wholebody.evaluate.speed import image, sides
from wholebody.evaluate.speed.image import bench_image
from wholebody.evaluate.speed.sides import OURS, QUIET, RTMLIB
from wholebody.evaluate.speed.tables import TASKS, Timings, people_table, plot, print_timings, tables
from wholebody.geometry import iou
from wholebody.pose.detect import YOLOX
from wholebody.runtime.choose import open_session

# What the benchmark uses of rtmlib, as rtmlib has it: one session to a tool, replaceable, and people one by one.
RTMLIB_SOURCE = """
import numpy as np
import onnxruntime

calls = []

class Tool:
    def __init__(self, onnx_model, model_input_size, backend, device, **thresholds):
        print("load", onnx_model)
        assert (backend, device) == ("onnxruntime", "cpu")
        self.size = model_input_size
        self.session = onnxruntime.InferenceSession(onnx_model, providers=["CPUExecutionProvider"])

    def inference(self, w, h):
        outputs = [output.name for output in self.session.get_outputs()]
        return self.session.run(outputs, {self.session.get_inputs()[0].name: np.zeros((1, 3, h, w), np.float32)})

class YOLOX(Tool):
    def __call__(self, image):
        return self.inference(*self.size[::-1])[0]

class RTMPose(Tool):
    def __call__(self, image, bboxes=()):
        calls.append(np.array(bboxes))
        return [self.inference(*self.size) for _ in bboxes]

def draw_skeleton(image, keypoints, scores, openpose_skeleton=False, kpt_thr=0.5):
    assert keypoints.shape[1] == (134 if openpose_skeleton else 133)
    return image

class Wholebody:
    def __init__(self, det, det_input_size, pose, pose_input_size, backend):
        self.det, self.pose = YOLOX(det, det_input_size, backend, "cpu"), RTMPose(pose, pose_input_size, backend, "cpu")

    def __call__(self, image):
        self.det(image)
        return self.pose(image, [[0, 0, *image.shape[1::-1]]])
"""
CONVERSION_SOURCE = """
import numpy as np

def convert_coco_to_openpose(keypoints, scores):
    return np.pad(keypoints, ((0, 0), (0, 1), (0, 0))), np.pad(scores, ((0, 0), (0, 1)))
"""


@pytest.fixture
def rtmlib(tmp_path, monkeypatch):
    """A stand-in for rtmlib, for this process and those it starts."""
    package = tmp_path / "site" / "rtmlib"
    tools = package / "tools" / "pose_estimation"
    tools.mkdir(parents=True)
    (package / "__init__.py").write_text(RTMLIB_SOURCE)
    (package / "tools" / "__init__.py").touch()
    (tools / "__init__.py").touch()
    (tools / "post_processings.py").write_text(CONVERSION_SOURCE)
    for name in [name for name in sys.modules if name.partition(".")[0] == "rtmlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(package.parent)
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    yield adapter.library()
    # Not with monkeypatch, which would put the stand-in back for the tests that follow.
    for name in [name for name in sys.modules if name.partition(".")[0] == "rtmlib"]:
        del sys.modules[name]


@pytest.fixture
def files(tmp_path):
    """A pose network and a detector in the released layout, which answer the same to every picture."""
    rng = np.random.default_rng(0)
    x, y = (rng.random((1, K, bins), dtype=np.float32) for bins in (96, 128))
    found = image._candidates(image._boxes(4, (128, 72)), (128, 128))[None]
    pose = plain(tmp_path / "pose.onnx", 48, 64, simcc_x=x, simcc_y=y)
    return pose, plain(tmp_path / "detector.onnx", 128, 128, output=found)


def plain(path, w, h, **answers):
    """input (N, 3, h, w) float32 -> the answers (1, rows, columns), for each of N."""
    nodes = [("ReduceMean", ["input"], "mean", {"axes": [2, 3], "keepdims": 0})]
    nodes += [("ReduceMean", ["mean"], "each", {"axes": [1], "keepdims": 1}), ("Mul", ["each", "zero"], "none", {})]
    nodes += [("Unsqueeze", ["none", "last"], "wide", {})]
    nodes += [("Add", ["wide", f"{name}_answer"], name, {}) for name in answers]
    constants = {"zero": np.float32(0), "last": np.array([2], np.int64)}
    constants |= {f"{name}_answer": answer for name, answer in answers.items()}
    outputs = [tensor(name, None, *answer.shape[1:]) for name, answer in answers.items()]
    return _save(path, nodes, [tensor("input", None, 3, h, w)], outputs, constants, {})


def test_every_side_is_timed_at_every_task(rtmlib, files, capsys):
    threads = image.cv2.getNumThreads()
    report = bench_image(*files, people=(1, 3), threads=(1,), rounds=2, starts=0)

    sides = (RTMLIB, QUIET, OURS)
    # The maps are drawn once for both of rtmlib's sessions.
    wanted = {(task, side) for task in TASKS for side in sides if side != QUIET or "OpenPose" not in task}
    assert set(report.times) == {(1, n, *pair) for n in (1, 3) for pair in wanted}
    for key, times in report.times.items():
        assert times.shape == (2, 4) and np.isfinite(times).all() and (times[:, 0] > 0).all(), key
        # What passed inside the networks is a part of the whole, and nothing where only drawing is timed.
        inside, drawing = times[:, 2], key[2] in ("skeleton", "OpenPose map")
        assert (inside < times[:, 0]).all() and ((inside == 0) if drawing else (inside > 0)).all(), key
    for n in (1, 3):
        total, *parts = (report.times[1, n, task, OURS][:, 0] for task in ("pose + skeleton", "pose", "skeleton"))
        assert total == pytest.approx(np.sum(parts, axis=0))
    assert {len(boxes) for boxes in rtmlib.calls} == {1, 3}
    assert image.cv2.getNumThreads() == threads
    assert "load" not in capsys.readouterr().out

    (table,) = tables(report)
    assert table.row_count == 2 * len(TASKS) - 1  # the detector does not know how many people there are
    print_timings(report)
    printed = capsys.readouterr().out
    rows = [line.split("|")[1:-1] for line in printed.splitlines() if line.startswith("| ")]
    assert [cell.strip() for cell in rows[0][:5]] == ["task", "people", *sides]
    cells = [(row[3 if "OpenPose" not in row[0] else 2], row[2], row[4], row[5], row[8]) for row in rows[1:]]
    assert all(float(cell) > 0 for row in cells for cell in row)
    assert "input 48 x 64" in printed and "input 128 x 128" in printed and "random" not in printed


def test_networks_made_here_take_part_fused_too(rtmlib, files, tmp_path, monkeypatch):
    fused = save_pose(tmp_path / "fused.onnx"), save_detector(tmp_path / "fused_detector.onnx", [], [])
    made = {kind: (files[i], fused[i]) for i, kind in enumerate(("pose", "detector"))}
    monkeypatch.setattr(image, "_made", lambda size, kind: made[kind])
    report = bench_image("t", "nano", people=(2,), threads=(1,), rounds=1, starts=0)
    assert {side for _, _, _, side in report.times} == {RTMLIB, QUIET, OURS, sides.FUSED}
    assert "random weights" in report.networks["pose"]


@pytest.mark.slow
def test_cold_starts(rtmlib, files):
    report = bench_image(*files, people=(1,), threads=(1,), rounds=1, starts=1)
    assert [name.split("(")[0] for name in report.starts] == [
        "wholebody predict",
        "wholebody predict, bundled networks",
        "WholeBody",
        "rtmlib.Wholebody",
    ]
    for seconds in report.starts.values():
        assert seconds.shape == (1, 2) and (seconds > 0).all() and (seconds < 60).all()
    assert tables(report)[-1].row_count == 4


def test_a_cold_start_that_fails_says_why(rtmlib, files, monkeypatch):
    monkeypatch.setattr(image, "_API", "raise SystemExit('no luck')")
    monkeypatch.setattr(image, "_CLI", "pass")
    with pytest.raises(WholebodyError, match=r"cold start of WholeBody.* failed: no luck"):
        bench_image(*files, people=(1,), threads=(1,), rounds=1, starts=1)


def test_rtmlib_absent_is_one_line(files, monkeypatch):
    monkeypatch.setitem(sys.modules, "rtmlib", None)
    with pytest.raises(WholebodyError, match="pip install --no-deps rtmlib") as caught:
        bench_image(*files)
    assert "\n" not in str(caught.value)


def test_a_network_cannot_be_made_without_torch(rtmlib, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setenv("WHOLEBODY_CACHE", str(tmp_path / "empty"))
    with pytest.raises(WholebodyError, match=r"wholebody\[train\]"):
        bench_image("t")


def test_a_fused_file_is_not_for_rtmlib(rtmlib, files, tmp_path):
    with pytest.raises(WholebodyError, match="uint8"):
        bench_image(save_pose(tmp_path / "fused.onnx"), files[1])


@pytest.mark.parametrize("wrong", [{"people": ()}, {"people": (1, 0)}, {"threads": (0,)}, {"rounds": 0}])
def test_counts_begin_at_one(wrong):
    with pytest.raises(WholebodyError, match=next(iter(wrong))):
        bench_image(**wrong)


def test_ratio_is_of_medians_with_the_extremes_of_rounds():
    theirs, ours = np.array([10.0, 20, 90]), np.array([5.0, 10, 30])
    times = {(1, 1, "pose", side): np.stack([wall] * 4, axis=1) for side, wall in ((RTMLIB, theirs), (OURS, ours))}
    assert Timings({}, {}, times).ratio(1, 1, "pose", RTMLIB, OURS) == (2.0, 2.0, 3.0)


def test_the_plot_and_the_table_of_people():
    """A picture of n people takes rtmlib 20 n and us 10 n milliseconds, and drawing twice that."""
    tasks = {"detector + pose": 1, "all + skeleton": 2, "all + OpenPose map": 3}
    times = {
        (1, n, task, side): np.full((3, 4), base * n * factor)
        for n in (1, 2, 9)
        for task, factor in tasks.items()
        for side, base in ((RTMLIB, 20.0), (OURS, 10.0))
    }
    report = Timings({}, {}, times)
    table = people_table(report, 1)
    assert [column.header for column in table.columns] == ["people", "1", "2", "9"]
    assert next(iter(table.columns[3].cells)) == "180 / 90 (2.00)"
    root = ElementTree.fromstring(plot(report, 1))
    lines = [each for each in root.iter("{http://www.w3.org/2000/svg}polyline") if each.get("points").count(",") == 3]
    ends = [[float(point.split(",")[1]) for point in line.get("points").split()][-1] for line in lines]
    base = 380 - 46  # where 0 milliseconds are
    np.testing.assert_allclose((base - ends[1]) / (base - np.array(ends)), [2, 1, 4, 2], rtol=0.01)


@pytest.mark.parametrize("n", [1, 4, 9])
def test_people_stand_in_the_picture(n):
    boxes, poses = image._people(n)
    assert len(poses) == n and (poses.scores > 0.5).all()
    assert (poses.keypoints > 0).all() and (poses.keypoints < image.PICTURE).all()
    assert (boxes >= 0).all() and (boxes[:, 2:] <= image.PICTURE).all()
    inside = (poses.keypoints >= boxes[:, None, :2]) & (poses.keypoints <= boxes[:, None, 2:])
    assert inside.mean() > 0.95
    assert iou(boxes, boxes).sum() == pytest.approx(n)


def test_the_candidates_are_found_once_each(files):
    boxes, scores = YOLOX(open_session(files[1], "cpu"))(np.zeros((72, 128, 3), np.uint8))
    assert len(boxes) == 4 and (scores > 0.5).all()
    assert iou(boxes, image._boxes(4, (128, 72))).max(axis=1).min() > 0.95


def test_a_detector_of_random_weights_finds_people():
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        torch.manual_seed(0)
        raw = image._finding("nano").eval()(torch.zeros(1, 3, 416, 416))[0].numpy()
    boxes, _ = YOLOX(blue_detector((416, 416), classes=80)).decode(raw)
    assert len(boxes) == 4 and iou(boxes, image._boxes(4, (416, 234))).max(axis=1).min() > 0.5


def test_settle_waits_for_threads_that_spin():
    def spin():
        end = time.perf_counter() + 0.1
        while time.perf_counter() < end:
            pass

    thread = threading.Thread(target=spin)
    thread.start()
    sides._settle()
    assert not thread.is_alive()
