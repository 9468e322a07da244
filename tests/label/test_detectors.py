"""Released detectors told apart by what they give, and their outputs turned into boxes of the picture."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from wholebody.errors import WholebodyError
from wholebody.label.closeups import close_up
from wholebody.label.detectors import CenterNet, MultiPose, NanoDet, detector
from wholebody.label.looks import MoveNet, TopDownCrops, estimator
from wholebody.label.tflite import open_tflite
from wholebody.pose.detect import YOLOX
from wholebody.runtime.choose import open_session
from wholebody.runtime.session import Tensor
from wholebody.weights.lookup import find

# Twice as wide as high: a network's square of 416 shows it at half its size, in the upper half.
PICTURE = np.zeros((416, 832, 3), np.uint8)
BOX = [100.0, 60.0, 180.0, 260.0]


@dataclass
class Given:
    """A session that gives what it was made with, and keeps what it was given."""

    inputs: tuple
    outputs: tuple
    arrays: list
    seen: list = field(default_factory=list)
    metadata: dict = field(default_factory=dict)
    path: str = "given"

    def __call__(self, batch, outputs=None):
        self.seen.append(batch)
        return self.arrays


def nanodet(half):
    """Somebody whose box is `half` in canvas pixels, seen by one cell of stride 32."""
    arrays = []
    for stride in (8, 16, 32):
        cells = (416 // stride) ** 2
        arrays += [np.zeros((1, cells, 80), np.float32), np.zeros((1, cells, 44), np.float32)]
    column, row = int((half[0] + half[2]) / 2 // 32), int((half[1] + half[3]) / 2 // 32)
    x, y = (column + 0.5) * 32, (row + 0.5) * 32
    at = row * 13 + column
    arrays[4][0, at, 0] = 0.8
    for side, distance in enumerate((x - half[0], y - half[1], half[2] - x, half[3] - y)):
        low, part = int(distance // 32), distance / 32 % 1
        logits = np.full(11, -1e9, np.float32)
        logits[low], logits[low + 1] = np.log(max(1 - part, 1e-12)), np.log(max(part, 1e-12))
        arrays[5][0, at, 11 * side : 11 * side + 11] = logits
    outputs = tuple(Tensor(str(i), each.shape, "float32") for i, each in enumerate(arrays))
    return Given((Tensor("x", (1, 3, 416, 416), "float32"),), outputs, arrays)


def multipose(half):
    rows = np.zeros((1, 6, 56), np.float32)
    rows[0, 0, 51:] = [half[1] / 416, half[0] / 416, half[3] / 416, half[2] / 416, 0.8]
    given = (Tensor("x", (1, 416, 416, 3), "int32"),)
    return Given(given, (Tensor("y", (1, 6, 56), "float32"),), [rows])


def centernet(half):
    rows = np.zeros((1, 100, 6), np.float32)
    rows[0, :2] = [[*half, 0.8, 0], [*half, 0.9, 17]]  # and a dog
    given = (Tensor("x", (1, 416, 416, 3), "float32"),)
    return Given(given, (Tensor("y", (1, 100, 6), "float32"),), [rows])


@pytest.mark.parametrize(("make", "kind"), [(nanodet, NanoDet), (multipose, MultiPose), (centernet, CenterNet)])
def test_a_detector_is_known_by_its_outputs_and_says_where_people_are(make, kind):
    find = detector(make([value / 2 for value in BOX]))
    boxes, scores = find(PICTURE)
    assert isinstance(find, kind)
    np.testing.assert_allclose(boxes, [BOX], atol=0.05)
    np.testing.assert_allclose(scores, [0.8], atol=1e-6)


def test_each_gets_the_colours_that_it_was_trained_on():
    blue = np.zeros_like(PICTURE)
    blue[..., 0] = 200
    for make, channel in ((multipose, 2), (centernet, 2)):
        session = make(BOX)
        detector(session)(blue)
        assert session.seen[0][0, 0, 0].argmax() == channel and session.seen[0][0, 400].max() == 0
    session = nanodet(BOX)
    detector(session)(blue)
    assert session.seen[0].shape == (1, 3, 416, 416) and session.seen[0][0, :, 0, 0].argmax() == 0


def test_boxes_stay_inside_the_picture_and_empty_ones_go():
    rows = np.zeros((1, 100, 6), np.float32)
    rows[0, :2] = [[-20, -20, 600, 100, 0.8, 0], [30, 300, 60, 380, 0.9, 0]]  # the second lies below the picture
    session = Given((Tensor("x", (1, 416, 416, 3), "float32"),), (Tensor("y", (1, 100, 6), "float32"),), [rows])
    boxes, _ = detector(session)(PICTURE)
    np.testing.assert_allclose(boxes, [[0, 0, 832, 200]])


def test_our_own_detector_is_a_yolox_with_a_low_threshold():
    find_people = detector(open_session(find("person", kind="detector"), "cpu", 1))
    assert isinstance(find_people, YOLOX) and find_people.least < 0.1


def test_movenet_is_known_by_its_output_and_answers_in_pixels():
    rows = np.zeros((1, 1, 17, 3), np.float32)
    rows[0, 0, 9] = [0.25, 0.75, 0.6]
    session = Given((Tensor("x", (1, 256, 256, 3), "int32"),), (Tensor("y", (1, 1, 17, 3), "float32"),), [rows])
    see = estimator(session)
    said = see.predict(np.zeros((1, 256, 256, 3), np.uint8))
    assert isinstance(see, MoveNet)
    np.testing.assert_allclose(said.keypoints[0, 9], [192, 64])
    assert said.scores[0, 9] == pytest.approx(0.6) and (said.scores[0, 17:] == 0).all()


def test_the_bundled_network_is_an_estimator():
    see = estimator(open_session(find("fast", kind="pose"), "cpu", 1))
    assert isinstance(see, TopDownCrops) and see.size == (96, 128)


def test_what_is_none_of_them_is_refused_in_one_line(tmp_path):
    odd = Given((Tensor("x", (1, 3, 8, 8), "float32"),), (Tensor("y", (1, 7), "float32"),), [])
    with pytest.raises(WholebodyError, match="not a detector"):
        detector(odd)
    with pytest.raises(WholebodyError, match="faces"):
        close_up(odd)
    with pytest.raises(WholebodyError, match="no such file"):
        open_tflite(tmp_path / "missing.tflite")


def test_a_broken_tflite_file_is_refused_in_one_line(tmp_path):
    pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed")
    (tmp_path / "broken.tflite").write_bytes(b"no network")
    with pytest.raises(WholebodyError, match="TensorFlow Lite"):
        open_tflite(tmp_path / "broken.tflite")
