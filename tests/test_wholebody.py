import io
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from networks import MIXTURE, blue_detector, bright_pose, people, save_detector, save_pose
from wholebody.errors import WholebodyError
from wholebody.images import to_rgb, write_image
from wholebody.pose.detect import YOLOX
from wholebody.pose.topdown import TopDown
from wholebody.schema import COCO_WHOLEBODY
from wholebody.weights.manifest import MANIFEST
from wholebody.wholebody import MODES, WholeBody

BOXES = np.array([[150, 40, 260, 210], [20, 30, 80, 200]])
PICTURE = people(BOXES)


@pytest.fixture
def model():
    return WholeBody(TopDown(bright_pose()), YOLOX(blue_detector()))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A detector file that always sees BOXES in a picture of 320 x 240, and a pose file."""
    folder = tmp_path_factory.mktemp("networks")
    detector = save_detector(folder / "detector.onnx", BOXES * 0.4, [0.9, 0.6])
    return {"detector": detector, "pose": save_pose(folder / "pose.onnx")}


def assert_same(a, b, atol=0.0):
    for name in ("keypoints", "scores", "boxes", "box_scores"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=0, atol=atol)


def test_a_picture_in_everyone_out(model):
    poses = model(PICTURE)
    np.testing.assert_allclose(poses.boxes, BOXES, atol=3)
    assert poses.scores.shape == (2, 133) and poses.schema is COCO_WHOLEBODY and poses.ids is None
    for person, (x0, y0, x1, y1) in enumerate(BOXES):
        white = np.argwhere((PICTURE[y0:y1, x0:x1] == 255).all(axis=2))[:, ::-1]
        spot = white.mean(axis=0) + np.array([x0, y0])
        # Keypoints that look at red and green more than at blue find the white spot in the blue rectangle.
        warm = MIXTURE[:, 2] < 0.3 * MIXTURE.sum(axis=1)
        assert np.median(np.abs(poses.keypoints[person, warm] - spot)) < 5


def test_onnx_files_give_what_the_formula_gives(files):
    poses = WholeBody(files["pose"], files["detector"], threads=1)(PICTURE)
    np.testing.assert_allclose(poses.boxes, BOXES, atol=1e-3)
    np.testing.assert_allclose(poses.box_scores, [0.9, 0.6], atol=1e-6)
    want = TopDown(bright_pose())(PICTURE, poses.boxes, poses.box_scores)
    np.testing.assert_allclose(poses.scores, want.scores, rtol=1e-4)
    # Sums in another order decide near ties anew.
    assert (np.abs(poses.keypoints - want.keypoints).max(axis=2) < 1e-3).mean() > 0.95


def test_names_paths_and_options_reach_the_networks(files):
    model = WholeBody(str(files["pose"]), str(files["detector"]), threads=1, threshold=0.7, flip=True)
    assert model.pose.flip and len(model(PICTURE)) == 1
    assert all(part in repr(model) for part in ("WholeBody", "TopDown", "YOLOX"))


@pytest.mark.parametrize("source", ["path", "text", "pil", "bgra", "bytes", "file", "stream"])
def test_sources_of_a_picture(model, source, tmp_path):
    path = tmp_path / "p.png"
    write_image(path, PICTURE)
    image = {
        "path": path,
        "text": str(path),
        "pil": Image.open(path),
        "bgra": np.dstack([PICTURE, np.full(PICTURE.shape[:2], 255, np.uint8)]),
        "bytes": path.read_bytes(),
        "file": path.open("rb"),
        "stream": io.BytesIO(path.read_bytes()),
    }[source]
    assert_same(model(image), model(PICTURE))


def test_rgb_is_said_and_floats_and_tensors_follow(model):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    want = model(PICTURE)
    rgb = np.ascontiguousarray(PICTURE[..., ::-1])
    floats = to_rgb(PICTURE)
    for image in (rgb, floats, torch.from_numpy(rgb), torch.from_numpy(floats)):
        assert_same(model(image, rgb=True), want)
    batch = torch.from_numpy(to_rgb(np.stack([PICTURE, np.zeros_like(PICTURE)])))
    first, second = model.images(batch, rgb=True)
    assert_same(first, want)
    assert len(second) == 0
    with pytest.raises(WholebodyError, match="rgb=True"):
        model(floats)


def test_nobody_is_an_empty_result_not_a_ghost(model):
    poses = model(np.zeros((50, 80, 3), np.uint8))
    assert len(poses) == 0 and poses.keypoints.shape == (0, 133, 2) and model.pose.session.runs == []


def test_given_boxes_take_the_detectors_place(model):
    poses = model(PICTURE, [[10, 10, 100, 100]])
    np.testing.assert_array_equal(poses.boxes, [[10, 10, 100, 100]])
    np.testing.assert_array_equal(poses.box_scores, [1])
    assert model.detector.session.runs == []
    assert len(model(PICTURE, [])) == 0 and model.detector.session.runs == []
    with pytest.raises(WholebodyError, match=r"box 0 .* outside"):
        model(PICTURE, [[500, 10, 600, 100]])
    with pytest.raises(WholebodyError, match="must be numbers"):
        model(PICTURE, [[1, 2], [3]])


@pytest.mark.parametrize("nothing", [None, "none"])
def test_the_whole_picture_only_on_request(nothing):
    poses = WholeBody(TopDown(bright_pose()), nothing)(PICTURE)
    np.testing.assert_array_equal(poses.boxes, [[0, 0, 320, 240]])
    np.testing.assert_array_equal(poses.box_scores, [1])


def test_several_pictures_share_batches_and_give_the_same(model):
    images = [people(BOXES[:1], seed=1), people([], seed=2), PICTURE, people(BOXES, (220, 400), seed=3)]
    boxes = [None, None, [[5, 5, 90, 90]], None]
    together = model.images(images, boxes)
    assert model.detector.session.runs == [3] and model.pose.session.runs == [4]
    for poses, image, rows in zip(together, images, boxes, strict=True):
        assert_same(poses, model(image, rows), atol=1e-4)
    assert model.images([]) == []
    with pytest.raises(WholebodyError, match="2 images and 1 lists of boxes"):
        model.images(images[:2], [None])


def test_a_mirrored_picture_has_mirrored_boxes(model):
    boxes = model(np.ascontiguousarray(PICTURE[:, ::-1])).boxes
    mirrored = BOXES[:, [2, 1, 0, 3]] * (-1, 1, -1, 1) + (320, 0, 320, 0)
    np.testing.assert_allclose(boxes, mirrored, atol=3)


def test_threads_share_a_model(files):
    model = WholeBody(files["pose"], files["detector"], threads=1)
    images = [people(BOXES, seed=seed) for seed in range(6)]
    want = [model(image) for image in images]
    with ThreadPoolExecutor(3) as pool:
        for got, expected in zip(pool.map(model, images), want, strict=True):
            assert_same(got, expected)


class Middle:
    """Somebody's own detector."""

    def images(self, images):
        return [(np.array([[100.0, 50.0, 200.0, 200.0]]), np.array([0.5])) for _ in images]


def test_any_detector_will_do():
    poses = WholeBody(TopDown(bright_pose()), Middle())(PICTURE)
    np.testing.assert_array_equal(poses.boxes, [[100, 50, 200, 200]])
    np.testing.assert_array_equal(poses.box_scores, [0.5])


def test_files_of_the_wrong_kind_are_named(files, tmp_path):
    with pytest.raises(WholebodyError, match=r"detector\.onnx: a detector network, not a pose network"):
        WholeBody(files["detector"], files["detector"])
    with pytest.raises(WholebodyError, match=r"pose\.onnx: a pose network, not a detector"):
        WholeBody(files["pose"], files["pose"])
    (tmp_path / "odd.onnx").write_bytes(b"no network at all")
    with pytest.raises(WholebodyError, match=r"odd\.onnx"):
        WholeBody(tmp_path / "odd.onnx", files["detector"])
    with pytest.raises(WholebodyError, match=r"gone\.onnx"):
        WholeBody(files["pose"], tmp_path / "gone.onnx")


@pytest.mark.parametrize("image", [np.zeros((4, 4, 3)), np.zeros((0, 0, 3), np.uint8), 7, "gone.jpg"])
def test_what_is_no_picture_is_one_line(model, image):
    with pytest.raises(WholebodyError) as caught:
        model(image)
    assert "\n" not in str(caught.value)


def test_pickles_as_its_names_and_options(files, tmp_path, monkeypatch):
    monkeypatch.chdir(files["pose"].parent)
    model = WholeBody("pose.onnx", files["detector"], threads=1, threshold=0.7, flip=True)
    stored = pickle.dumps(model)
    assert len(stored) < 1000
    monkeypatch.chdir(tmp_path)  # a relative path still names the same file
    again = pickle.loads(stored)
    assert again.pose.flip and again.detector.least == 0.7
    assert_same(again(PICTURE), model(PICTURE))
    assert pickle.dumps(again) == stored
    with pytest.raises(pickle.PicklingError, match="path"):
        pickle.dumps(WholeBody(TopDown(bright_pose()), files["detector"]))


def test_a_pickle_opens_in_another_process(files, tmp_path):
    (tmp_path / "model.pickle").write_bytes(pickle.dumps(WholeBody(files["pose"], None, threads=1)))
    code = "import pickle, sys; print(len(pickle.load(open(sys.argv[1], 'rb'))('picture.png')))"
    write_image(tmp_path / "picture.png", PICTURE)
    command = [sys.executable, "-c", code, "model.pickle"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=os.environ)
    assert done.stdout == "1\n", done.stderr


def test_a_mode_is_a_pair_of_networks(monkeypatch):
    light = WholeBody(mode="lightweight", threads=1)
    assert light.pose.codec.input_size == (96, 128)
    assert pickle.loads(pickle.dumps(light)).pose.codec.input_size == (96, 128)
    with pytest.raises(WholebodyError, match="mode 'best' is unknown"):
        WholeBody(mode="best")
    with pytest.raises(WholebodyError, match="either a mode"):
        WholeBody("fast", mode="balanced")
    assert all(name in MANIFEST for pair in MODES.values() for name in pair)
    monkeypatch.setenv("WHOLEBODY_OFFLINE", "1")
    monkeypatch.setenv("WHOLEBODY_CACHE", "nowhere")
    with pytest.raises(WholebodyError, match=r"'rtmw-l-384' is not .* the end2end\.onnx of https://.*\.zip at "):
        WholeBody(mode="performance")


@pytest.mark.parametrize("image", [PICTURE, PICTURE[..., 0], PICTURE[..., :1]])
def test_one_picture_where_several_are_expected(model, image):
    with pytest.raises(WholebodyError, match=r"Pass \[image\]"):
        model.images(image)
    assert len(model.images(PICTURE[None])) == 1


def test_boxes_in_fractions_of_the_picture(model):
    with pytest.raises(WholebodyError, match="fractions"):
        model(PICTURE, [[0.1, 0.2, 0.5, 0.9]])
    assert len(model(PICTURE, [[0.1, 0.2, 1.5, 9]])) == 1
