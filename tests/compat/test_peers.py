"""The packages themselves, on the same network files and pictures, and their own examples with one line changed.

`make test-peers` installs them and runs this, or by hand:

    pip install '.[dev,peers]' && pip install --no-deps -r tests/peers.txt

What is not installed is skipped.
"""

import importlib
import importlib.metadata
import re
import sys
import types

import cv2
import numpy as np
import pytest
from PIL import Image

from networks import people, save_detector, save_pose
from wholebody import WholeBody
from wholebody.compat import controlnet_aux, easy_dwpose, rtmlib
from wholebody.images import read_image
from wholebody.poses import Poses
from wholebody.schema import OPENPOSE

BOXES = np.array([[150, 40, 260, 210], [20, 30, 80, 200]])
PICTURE = people(BOXES)


def peer(name):
    """A module of another package, or a skip that says which one is missing."""
    return pytest.importorskip(name, reason=f"{name.split('.')[0]} is not installed", exc_type=ImportError)


@pytest.fixture(scope="module")
def aux():
    """controlnet_aux without its package file, which imports networks for depth, edges and much else."""
    try:
        folder = importlib.metadata.distribution("controlnet_aux").locate_file("controlnet_aux")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("controlnet_aux is not installed")
    pytest.importorskip("torch", reason="torch is not installed")
    package = types.ModuleType("controlnet_aux")
    package.__path__ = [str(folder)]
    sys.modules["controlnet_aux"] = package
    yield package
    for name in [name for name in sys.modules if name.split(".")[0] == "controlnet_aux"]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A detector that always sees BOXES in a picture of 320 x 240 with scores .9 and .8, and a pose network."""
    folder = tmp_path_factory.mktemp("networks")
    detector = save_detector(folder / "detector.onnx", BOXES * 0.4, [0.9, 0.8], fused=False)
    return {"det": str(detector), "pose": str(save_pose(folder / "pose.onnx", fused=False))}


@pytest.fixture(scope="module")
def photo(sample):
    return np.ascontiguousarray(read_image(sample)[..., ::-1])


def example(package, heading, count=1):
    """Python code of a README, as the package's own metadata have it."""
    try:
        readme = importlib.metadata.metadata(package).get_payload()
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{package} is not installed")
    blocks = re.findall(r"```python\n(.*?)```", readme[readme.index(heading) :], re.S | re.I)
    return blocks[:count] if count > 1 else blocks[0]


# --- rtmlib -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("to_openpose", [False, True])
def test_rtmlib_on_the_same_files(files, to_openpose):
    theirs = peer("rtmlib").Wholebody(
        **files, det_input_size=(128, 128), pose_input_size=(48, 64), to_openpose=to_openpose
    )
    ours = rtmlib.Wholebody(**files, det_input_size=(128, 128), pose_input_size=(48, 64), to_openpose=to_openpose)
    boxes = theirs.det_model(PICTURE)
    np.testing.assert_allclose(ours.det_model(PICTURE), boxes, atol=1e-3)
    # rtmlib hands BGR to a network that was trained on RGB: the same numbers come out where it gets RGB by mistake.
    rgb = np.ascontiguousarray(PICTURE[..., ::-1])
    keypoints, scores = theirs.pose_model(rgb, bboxes=boxes)
    got, got_scores = ours(PICTURE)
    assert (got.shape, got.dtype) == (keypoints.shape, keypoints.dtype)
    assert got_scores.shape == scores.shape and got_scores.dtype == np.float32
    np.testing.assert_allclose(got_scores, scores, rtol=2e-3)
    # Sums in another order decide near ties anew.
    assert (np.abs(got - keypoints).max(axis=2) < 1e-3).mean() > 0.9


def test_rtmlib_on_a_trained_network_and_a_photo(sample, tmp_path):
    theirs = peer("rtmlib").RTMPose
    pytest.importorskip("onnx", reason="onnx is not installed")
    from wholebody.export.plain import plain_layout
    from wholebody.weights.lookup import find

    path = tmp_path / "plain.onnx"
    plain_layout(find("dwpose-t", kind="pose"), path)
    image, boxes = read_image(sample), [[150, 40, 470, 460], [10.5, 20.25, 300, 200]]
    network = theirs(str(path), model_input_size=(192, 256))
    keypoints, scores = network(np.ascontiguousarray(image[..., ::-1]), bboxes=boxes)
    got, got_scores = rtmlib.RTMPose(path)(image, boxes)
    # One bin is half a pixel of the crop; the second box is of nobody, and its maxima are near ties.
    assert np.abs(got[0] - keypoints[0]).max() < 1.0 and np.median(np.abs(got - keypoints)) < 1e-3
    # Networks of this package carry a calibration that makes chances of their scores; rtmlib knows nothing of it.
    assert got_scores.max() <= 1 < scores.max() and np.corrcoef(got_scores.ravel(), scores.ravel())[0, 1] > 0.7


def test_rtmlib_scores_of_released_networks_are_the_mean(files):
    theirs = peer("rtmlib.tools.pose_estimation.post_processings")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 133, 96)).astype(np.float32), rng.normal(size=(2, 133, 128)).astype(np.float32)
    locations, scores = theirs.get_simcc_maximum(x, y)
    keypoints, got = rtmlib.MeanSimCC((48, 64)).decode(x, y)
    np.testing.assert_allclose(got, scores, rtol=1e-6)
    np.testing.assert_array_equal(keypoints, locations / 2)


@pytest.mark.parametrize("points", [17, 26, 133])
def test_rtmlib_draws_the_same_shapes(points):
    theirs = peer("rtmlib")
    rng = np.random.default_rng(points)
    keypoints, scores = rng.uniform(10, 190, (2, points, 2)), rng.random((2, points))
    one, other = np.zeros((200, 200, 3), np.uint8), np.zeros((200, 200, 3), np.uint8)
    theirs.draw_skeleton(one, keypoints, scores, kpt_thr=0.5, radius=3, line_width=2)
    rtmlib.draw_skeleton(other, keypoints, scores, kpt_thr=0.5, radius=3, line_width=2)
    # The colours are the same too, but rtmlib writes their red into the blue channel of a BGR picture.
    np.testing.assert_array_equal(other[..., ::-1], one)


def test_rtmlib_results_by_part():
    theirs = peer("rtmlib").Wholebody
    rng = np.random.default_rng(1)
    keypoints = np.concatenate([rng.uniform(0, 100, (3, 134, 2)), rng.uniform(0, 1, (3, 134, 1))], axis=2)
    keypoints[1, 92:113, 2] = 0.1
    for got, want in zip(rtmlib.Wholebody.format_result(keypoints), theirs.format_result(keypoints), strict=True):
        assert tuple(got) == tuple(want)


def test_rtmlib_first_example_with_one_line_changed(sample, tmp_path, monkeypatch):
    code = example("rtmlib", "## Quick Start")
    assert "from rtmlib import Wholebody, draw_skeleton" in code
    code = code.replace("from rtmlib import", "from wholebody.compat.rtmlib import")
    shown = run_in_a_window(code, sample, tmp_path, monkeypatch)
    assert shown["keypoints"].shape == (1, 133, 2)
    assert len(shown["windows"]) == 1 and (shown["windows"][0] != read_image(sample)).any()


def test_rtmlib_second_example_with_one_line_changed(sample, tmp_path, monkeypatch):
    code = example("rtmlib", "## Quick Start", count=2)[1]
    assert "from rtmlib import Body, Custom, PoseTracker" in code
    code = code.replace("from rtmlib import", "from wholebody.compat.rtmlib import")
    shown = run_in_a_window(code, sample, tmp_path, monkeypatch, frames=3)
    assert shown["keypoints"].shape == (1, 17, 2) and len(shown["windows"]) == 3


def run_in_a_window(code, sample, tmp_path, monkeypatch, frames=0):
    """The names that an example leaves behind, and the pictures that it showed; demo.jpg and a camera are the photo."""
    photo = read_image(sample)
    cv2.imwrite(str(tmp_path / "demo.jpg"), photo)
    windows = []

    class Camera:
        def __init__(self, _):
            self.left = frames

        def isOpened(self):
            return True

        def read(self):
            self.left -= 1
            return (True, photo.copy()) if self.left >= 0 else (False, None)

    monkeypatch.setattr(cv2, "imshow", lambda _, image: windows.append(image.copy()))
    monkeypatch.setattr(cv2, "waitKey", lambda _: -1)
    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(code, names)
    return {**names, "windows": windows}


# --- easy_dwpose ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def easy():
    """Its detector without the downloads; the pose is what our model sees."""
    module = peer("easy_dwpose.dwpose")
    peer("matplotlib")
    detector = object.__new__(module.DWposeDetector)
    model = WholeBody(device="cpu")

    def estimate(rgb):
        people = model(rgb, rgb=True)
        keypoints, scores = rtmlib.points_of(people, True)
        return keypoints, scores.astype(np.float64)

    detector.pose_estimation = estimate
    return detector


@pytest.mark.parametrize("resolution", [256, 512, 640])
def test_easy_dwpose_of_the_same_people(easy, photo, resolution):
    ours = easy_dwpose.DWposeDetector(device="cpu")
    theirs = easy(Image.fromarray(photo), detect_resolution=resolution, draw_pose=None)
    got = ours(Image.fromarray(photo), detect_resolution=resolution, draw_pose=None)
    assert theirs.keys() == got.keys()
    for name in theirs:
        assert (got[name].shape, got[name].dtype) == (theirs[name].shape, theirs[name].dtype), name
        np.testing.assert_allclose(got[name], theirs[name], atol=2e-6)
    drawn, wanted = (
        np.asarray(each(photo, detect_resolution=resolution, include_hands=False, include_face=False))
        for each in (ours, easy)
    )
    np.testing.assert_array_equal(drawn, wanted)


def test_easy_dwpose_on_the_same_files(tmp_path):
    module = peer("easy_dwpose.dwpose")
    peer("matplotlib")
    # The picture is looked at with 640 x 512 pixels, and the package's detector takes 640 x 640.
    scaled = BOXES * (640 / 320, 512 / 240, 640 / 320, 512 / 240)
    files = {
        "det": save_detector(tmp_path / "detector.onnx", scaled, [0.9, 0.8], (640, 640), fused=False),
        "pose": save_pose(tmp_path / "pose.onnx", fused=False),
    }
    theirs = object.__new__(module.DWposeDetector)
    theirs.pose_estimation = module.Wholebody(str(files["det"]), str(files["pose"]))
    ours = easy_dwpose.DWposeDetector("cpu", pose=files["pose"], detector=files["det"])
    rgb = np.ascontiguousarray(PICTURE[..., ::-1])
    want, got = theirs(rgb, draw_pose=None), ours(rgb, draw_pose=None)
    for name in ("bodies", "hands", "faces"):
        assert (got[name].shape, got[name].dtype) == (want[name].shape, want[name].dtype)
        # Sums in another order decide near ties anew.
        assert (np.abs(got[name] - want[name]) < 1e-5).mean() > 0.9
    for name in ("hands_scores", "faces_scores"):
        assert got[name].shape == want[name].shape
        np.testing.assert_allclose(got[name], want[name], rtol=2e-3)
    np.testing.assert_array_equal(got["body_scores"], want["body_scores"])
    assert ours(rgb).size == theirs(rgb).size == (320, 240)


def test_easy_dwpose_draws_the_same_where_all_is_sure(photo):
    theirs = peer("easy_dwpose.draw.openpose")
    peer("matplotlib")
    rng = np.random.default_rng(0)
    k = len(OPENPOSE)
    keypoints = rng.uniform(5, 250, (1, k, 2))
    poses = Poses(keypoints, np.ones((1, k)), np.zeros((1, 4)), np.ones(1), OPENPOSE)
    pose = easy_dwpose.pose_of(poses, (320, 256))
    theirs_drawn = theirs.draw_pose(pose, 256, 320)
    drawn = easy_dwpose.draw_openpose(pose, 256, 320)
    # The package draws the face under the hands: where they meet, another one of the two is on top.
    assert (drawn != theirs_drawn).any(axis=2).mean() < 0.03
    np.testing.assert_array_equal(drawn.any(axis=2), theirs_drawn.any(axis=2))


def test_easy_dwpose_example_with_one_line_changed(photo):
    code = example("controlnet_aux", "### DWPose")
    assert "from easy_dwpose import DWposeDetector" in code
    code = code.replace("from easy_dwpose import", "from wholebody.compat.easy_dwpose import")
    names = {"input_image": Image.fromarray(photo), "torch": peer("torch")}
    exec(code, names)
    assert names["skeleton"].size == (640, 480) and np.asarray(names["skeleton"]).any()


# --- controlnet_aux ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(480, 640), (640, 480), (333, 1000), (512, 544), (512, 608), (70, 90), (1080, 1920)])
@pytest.mark.parametrize("resolution", [256, 512, 768, 1000])
def test_controlnet_aux_sizes(aux, size, resolution):
    theirs = importlib.import_module("controlnet_aux.util")
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    np.testing.assert_array_equal(
        controlnet_aux.resize_image(image, resolution), theirs.resize_image(image, resolution)
    )


@pytest.mark.parametrize("channels", [None, 1, 3, 4])
def test_controlnet_aux_channels(aux, channels):
    theirs = importlib.import_module("controlnet_aux.util")
    shape = (20, 30) if channels is None else (20, 30, channels)
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    got, want = controlnet_aux.HWC3(image), theirs.HWC3(image)
    # Theirs cuts the fraction of a blend with white off, ours rounds.
    assert got.shape == want.shape and np.abs(got.astype(int) - want).max() <= (channels == 4)


@pytest.mark.parametrize(("detect", "image"), [(512, 512), (256, 768), (768, 512)])
def test_controlnet_aux_maps_of_the_same_people(aux, photo, detect, image):
    peer("matplotlib")
    module = importlib.import_module("controlnet_aux.dwpose")
    model = WholeBody(device="cpu")
    theirs = object.__new__(module.DWposeDetector)

    def estimate(bgr):
        keypoints, scores = rtmlib.points_of(model(bgr), True)
        return keypoints, scores.astype(np.float64)

    theirs.pose_estimation = estimate
    want = theirs(Image.fromarray(photo), detect_resolution=detect, image_resolution=image)
    got = controlnet_aux.DWposeDetector()(Image.fromarray(photo), detect_resolution=detect, image_resolution=image)
    assert got.size == want.size and got.mode == want.mode
    np.testing.assert_array_equal(np.asarray(got), np.asarray(want))


def test_controlnet_aux_example_with_one_line_changed(aux, photo):
    """The lines of the README's long example that make and call the two pose detectors."""
    code = example("controlnet_aux", "Each model can be loaded individually")
    wanted = ("open_pose = ", "dwpose = ", "processed_image_open_pose = ", "processed_image_dwpose = ")
    lines = [line for line in code.splitlines() if line.startswith(wanted)]
    assert len(lines) == 4
    names = {"img": Image.fromarray(photo), "device": peer("torch").device("cpu")}
    # The README names the files that are taken when these are left out.
    names |= dict.fromkeys(("det_config", "det_ckpt", "pose_config", "pose_ckpt"))
    exec("from wholebody.compat.controlnet_aux import OpenposeDetector, DWposeDetector\n" + "\n".join(lines), names)
    for name in ("processed_image_open_pose", "processed_image_dwpose"):
        assert names[name].size == (704, 512) and np.asarray(names[name]).any()
