import numpy as np
import pytest
from PIL import Image

from wholebody import WholeBody
from wholebody.compat.controlnet_aux import DWposeDetector as Aux
from wholebody.compat.controlnet_aux import resize_image
from wholebody.compat.easy_dwpose import DWposeDetector, draw_openpose, pose_of, poses_of
from wholebody.images import read_image
from wholebody.poses import Poses
from wholebody.schema import OPENPOSE


@pytest.fixture(scope="module")
def photo(sample):
    return np.ascontiguousarray(read_image(sample)[..., ::-1])


@pytest.fixture(scope="module")
def detector():
    return DWposeDetector(device="cpu")


def test_the_map_has_the_size_of_the_picture(photo, detector):
    drawn = detector(Image.fromarray(photo))
    assert drawn.size == (640, 480) and drawn.mode == "RGB" and np.asarray(drawn).any()
    small = detector(photo, detect_resolution=256, output_type="np")
    assert small.shape == (480, 640, 3) and small.dtype == np.uint8
    # At the size where people are looked for it is the map of everybody else.
    scaled = resize_image(photo, 512)
    np.testing.assert_array_equal(detector(scaled, output_type="np"), Aux()(scaled, output_type="np"))


def test_toggles(photo, detector):
    whole, body = (detector(photo, output_type="np", include_hands=on, include_face=on) for on in (True, False))
    assert whole.any(axis=2).sum() > body.any(axis=2).sum() > 0


def test_the_dict(photo, detector):
    pose = detector(photo, draw_pose=None)
    shapes = {name: array.shape for name, array in pose.items()}
    assert shapes == {
        "bodies": (18, 2),
        "body_scores": (1, 18),
        "hands": (2, 21, 2),
        "hands_scores": (2, 21),
        "faces": (1, 68, 2),
        "faces_scores": (1, 68),
    }
    assert all(array.dtype == np.float64 for array in pose.values())
    scaled = resize_image(photo, 512)
    people = WholeBody(device="cpu")(scaled[..., ::-1]).to(OPENPOSE)
    size = (scaled.shape[1], scaled.shape[0])
    np.testing.assert_allclose(pose["bodies"] * size, people.keypoints[0, :18], atol=1e-3)
    sure = people.scores[0, :18] > 0.3
    np.testing.assert_array_equal(pose["body_scores"][0], np.where(sure, np.arange(18), -1))
    np.testing.assert_allclose(pose["hands_scores"], people.scores[:, 88:].reshape(2, 21))


@pytest.mark.parametrize("n", [0, 1, 3])
def test_the_dict_and_back(n):
    rng = np.random.default_rng(n)
    k = len(OPENPOSE)
    scores = rng.random((n, k)).astype(np.float32)
    keypoints = rng.uniform(0, 400, (n, k, 2)).astype(np.float32)
    keypoints[:, 86:88], scores[:, 86:88] = keypoints[:, 14:16], scores[:, 14:16]
    poses = Poses(keypoints, scores, np.zeros((n, 4)), np.ones(n), OPENPOSE)
    back = poses_of(pose_of(poses, (640, 480)), (640, 480))
    np.testing.assert_allclose(back.keypoints, poses.keypoints, atol=1e-3)
    np.testing.assert_array_equal(back.scores[:, :18] == 1, scores[:, :18] > np.float32(0.3))
    np.testing.assert_allclose(back.scores[:, 88:], scores[:, 88:])


def test_nobody(detector):
    black = np.zeros((100, 200, 3), np.uint8)
    assert not detector(black, output_type="np").any()
    assert {name: len(array) for name, array in detector(black, draw_pose=None).items()} == dict.fromkeys(
        ("bodies", "body_scores", "hands", "hands_scores", "faces", "faces_scores"), 0
    )


def test_a_drawing_of_ones_own(photo, detector):
    seen = {}

    def red(pose, height, width, bold):
        seen.update(size=(width, height), bold=bold, people=len(pose["faces"]))
        return np.full((height, width, 3), (255, 0, 0), np.uint8)

    drawn = detector(Image.fromarray(photo), draw_pose=red, bold=True)
    assert seen == {"size": (704, 512), "bold": True, "people": 1}
    assert drawn.size == (640, 480) and drawn.getpixel((3, 4)) == (255, 0, 0)
    assert draw_openpose(detector(photo, draw_pose=None), 96, 128).shape == (96, 128, 3)


def test_other_types_are_refused(photo, detector):
    with pytest.raises(ValueError, match="output_type"):
        detector(photo, output_type="torch")
