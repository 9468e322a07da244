from functools import partial

import cv2
import numpy as np
import pytest

from networks import people, save_detector, save_heatmaps, save_pose
from wholebody import Poses, WholeBody, draw
from wholebody.compat.rtmlib import (
    YOLOX,
    Body,
    BodyWithFeet,
    Custom,
    PoseTracker,
    RTMPose,
    Wholebody,
    draw_bbox,
    draw_skeleton,
    points_of,
)
from wholebody.errors import WholebodyError
from wholebody.images import read_image
from wholebody.schema import COCO_BODY, COCO_WHOLEBODY, OPENPOSE

BOXES = np.array([[150, 40, 260, 210], [20, 30, 80, 200]])
PICTURE = people(BOXES)


@pytest.fixture(scope="module")
def photo(sample):
    return read_image(sample)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A detector that always sees BOXES in a picture of 320 x 240 with scores .9 and .6, and a pose network."""
    folder = tmp_path_factory.mktemp("networks")
    detector = save_detector(folder / "detector.onnx", BOXES * 0.4, [0.9, 0.6])
    return {"det": str(detector), "pose": str(save_pose(folder / "pose.onnx", fused=False))}


@pytest.fixture(scope="module")
def wholebody(files):
    return Wholebody(**files)


def test_arrays_and_their_types(wholebody):
    keypoints, scores = wholebody(PICTURE)
    assert keypoints.shape == (2, 133, 2) and keypoints.dtype == np.float64
    assert scores.shape == (2, 133) and scores.dtype == np.float32
    boxes = wholebody.det_model(PICTURE)
    np.testing.assert_allclose(boxes, BOXES, atol=1e-3)
    for given in (boxes, boxes.tolist()):
        again, _ = wholebody.pose_model(PICTURE, bboxes=given)
        np.testing.assert_allclose(again, keypoints, atol=1e-3)


def test_without_boxes_the_picture_is_a_person_and_no_boxes_are_nobody(wholebody):
    keypoints, _ = wholebody.pose_model(PICTURE)
    whole, _ = wholebody.pose_model(PICTURE, [[0, 0, 320, 240]])
    np.testing.assert_array_equal(keypoints, whole)
    keypoints, scores = wholebody.pose_model(PICTURE, [])
    assert keypoints.shape == (0, 133, 2) and scores.shape == (0, 133)


def test_scores_are_the_mean_of_both_maxima_of_released_files_alone(files, photo):
    model = RTMPose(files["pose"])
    crops = np.full((1, 64, 48, 3), 90, np.uint8)
    x, y = model.network.logits(crops)
    _, scores = model.network.predict(crops)
    np.testing.assert_allclose(scores, (x.max(axis=2) + y.max(axis=2)) / 2)
    # The bundled network's scores are calibrated, and stay what they are.
    _, scores = Wholebody(mode="lightweight")(photo)
    np.testing.assert_allclose(scores, WholeBody("fast", device="cpu")(photo).scores, atol=1e-5)


def test_networks_of_26_points(tmp_path, files, monkeypatch):
    monkeypatch.setenv("WHOLEBODY_OFFLINE", "1")
    monkeypatch.setenv("WHOLEBODY_CACHE", str(tmp_path))
    with pytest.raises(WholebodyError, match="rtmpose-body26-m"):
        BodyWithFeet()
    path = save_heatmaps(tmp_path / "halpe.onnx", k=26)
    keypoints, scores = BodyWithFeet(det=files["det"], pose=str(path))(PICTURE)
    assert keypoints.shape == (2, 26, 2) and scores.shape == (2, 26)
    image = np.zeros_like(PICTURE)
    assert draw_skeleton(image, keypoints, np.ones((2, 26))).any()


def test_orders_for_openpose(photo, files):
    poses = WholeBody("fast", device="cpu")(photo)
    keypoints, scores = Wholebody(to_openpose=True, mode="lightweight")(photo)
    assert keypoints.shape == (1, 134, 2)
    theirs = poses.to(OPENPOSE)
    for part, first in (("left_hand", 92), ("right_hand", 113)):
        points, sure = theirs.part(part)
        np.testing.assert_allclose(keypoints[:, first : first + 21], points, atol=1e-3)
        np.testing.assert_allclose(scores[:, first : first + 21], sure, atol=1e-5)
    np.testing.assert_allclose(keypoints[:, :18], theirs.keypoints[:, :18], atol=1e-3)
    np.testing.assert_allclose(scores[:, :18], theirs.scores[:, :18], atol=1e-5)
    np.testing.assert_allclose(keypoints[:, 18:24], poses.part("feet")[0], atol=1e-3)
    np.testing.assert_allclose(keypoints[:, 24:92], poses.part("face")[0], atol=1e-3)
    body, body_scores = Body(to_openpose=True, mode="lightweight")(photo)
    np.testing.assert_array_equal(body, keypoints[:, :18])
    np.testing.assert_array_equal(body_scores, scores[:, :18])
    np.testing.assert_allclose(Body(mode="lightweight")(photo)[0], poses.to(COCO_BODY).keypoints, atol=1e-3)
    with pytest.raises(WholebodyError, match="no OpenPose order"):
        points_of(theirs, True)


def test_results_by_part():
    rng = np.random.default_rng(0)
    keypoints = np.concatenate([rng.uniform(0, 100, (2, 134, 2)), rng.uniform(0.3, 1, (2, 134, 1))], axis=2)
    keypoints[0, 0, 2] = keypoints[1, 92:113, 2] = 0.1
    first, second = Wholebody.format_result(keypoints)
    assert first.body.keypoints[0] is None and first.body.total_parts == 18
    assert first.body.total_score == pytest.approx(keypoints[0, 1:18, 2].sum())
    assert second.left_hand is None and len(second.right_hand) == 21
    assert second.right_hand[3] == (*keypoints[1, 116].tolist(), 3)
    assert len(first.face) == 70 and first.face[68:] == first.body.keypoints[14:16]
    assert Wholebody.format_result(np.zeros((1, 134, 3)))[0].face is None
    assert Wholebody.format_result(np.zeros((0, 134, 3))) == []


def test_nobody(wholebody):
    keypoints, scores = Wholebody(mode="lightweight")(np.zeros((90, 120, 3), np.uint8))
    assert keypoints.shape == (0, 133, 2) and scores.shape == (0, 133)
    picture = np.zeros((9, 9, 3), np.uint8)
    assert draw_skeleton(picture, keypoints, scores) is picture and not picture.any()


def test_thresholds(files):
    assert len(YOLOX(files["det"], score_thr=0.7)(PICTURE)) == 1
    assert len(YOLOX(files["det"], score_thr=0.95)(PICTURE)) == 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Wholebody(mode="best"), "mode 'best' is unknown"),
        (lambda: Wholebody(backend="tensorflow"), "backend 'tensorflow' is unknown"),
        (lambda: Wholebody(device="cuda:1"), "CUDA_VISIBLE_DEVICES=1"),
        (lambda: Wholebody(pose="https://example.org/some/other-net.zip"), "not a network of `wholebody models`"),
        (lambda: YOLOX("person", det_mode="multiclass"), "only people"),
        (lambda: Custom(pose_class="RTMO"), "RTMO: networks of this kind"),
        (lambda: Custom(det_categories=[0]), "only people"),
        (lambda: PoseTracker(Body, det_frequency=0), "det_frequency is 0"),
        (lambda: draw_skeleton(PICTURE, np.zeros((1, 25, 2)), np.zeros((1, 25))), "25 points"),
        (lambda: draw_skeleton(PICTURE, np.zeros((1, 17, 2)), np.zeros((1, 17)), True), "to_openpose=True"),
    ],
)
def test_what_does_not_run_is_said(make, message):
    with pytest.raises(WholebodyError, match=message):
        make()


@pytest.mark.parametrize(
    ("kind", "stem", "name"),
    [
        (YOLOX, "yolox_m_8xb8-300e_humanart-c2c7a14a", "yolox-m-humanart"),
        (YOLOX, "yolox_tiny_8xb8-300e_humanart-6f3252f9", "yolox-tiny-humanart"),
        (RTMPose, "rtmpose-m_simcc-ucoco_dw-ucoco_270e-256x192-c8b76419_20230728", "dwpose-m"),
    ],
)
def test_addresses_of_released_files_are_known(kind, stem, name, tmp_path, monkeypatch):
    monkeypatch.setenv("WHOLEBODY_OFFLINE", "1")
    monkeypatch.setenv("WHOLEBODY_CACHE", str(tmp_path))
    with pytest.raises(WholebodyError, match=f"'{name}' is not in the cache"):
        kind(f"https://download.openmmlab.com/mmpose/v1/projects/rtmposev1/onnx_sdk/{stem}.zip")


# --- Video ------------------------------------------------------------------------------------------------------------


def walk(n, cross=True):
    """Two people who walk past each other: boxes (2, 4), in the order of the largest; the order swaps half way."""
    a = np.array([20 + 6 * n, 40, 80 + 6 * n, 200])
    b = np.array([220 - 6 * n, 42, 280 - 6 * n, 198])
    return np.stack([a, b] if n < 15 or not cross else [b, a])


class Scripted(Wholebody):
    """Detections from a script, and keypoints that lie in the box."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.frame, self.searches = 0, 0

    def poses(self, image, boxes=None):
        self.searches += boxes is None
        boxes = walk(self.frame) if boxes is None else np.asarray(boxes)
        rng = np.random.default_rng(0)
        spread = rng.random((133, 2))
        keypoints = boxes[:, None, :2] + spread * (boxes[:, None, 2:] - boxes[:, None, :2])
        return Poses(keypoints, np.full((len(boxes), 133), 0.9), boxes, np.full(len(boxes), 0.9))


@pytest.mark.parametrize("every", [1, 4])
def test_ids_hold_and_rows_keep_their_order(files, every):
    tracker = PoseTracker(partial(Scripted, **files), det_frequency=every, mode="lightweight")
    image = np.zeros((240, 320, 3), np.uint8)
    lefts = []
    for n in range(30):
        tracker.solution.frame = n
        keypoints, scores = tracker(image)
        assert keypoints.shape == (2, 133, 2) and scores.shape == (2, 133)
        assert tracker.ids.tolist() == [1, 2] and len(tracker.poses) == 2
        lefts.append(keypoints[:, :, 0].min(axis=1))
    # Row 0 walks to the right all along, row 1 to the left.
    steps = np.diff(np.array(lefts)[::every], axis=0)
    assert (steps[:, 0] > 0).all() and (steps[:, 1] < 0).all()
    assert tracker.solution.searches == np.ceil(30 / every)


def test_a_reset_begins_again_and_tracking_can_be_left_out(files):
    tracker = PoseTracker(partial(Scripted, **files), det_frequency=10)
    image = np.zeros((240, 320, 3), np.uint8)
    for _ in range(3):
        tracker(image)
    tracker.reset()
    tracker(image)
    assert tracker.solution.searches == 2 and tracker.frame_cnt == 1 and tracker.ids.tolist() == [1, 2]
    loose = PoseTracker(partial(Scripted, **files), tracking=False)
    keypoints, _ = loose(image)
    assert loose.ids is None and keypoints.shape == (2, 133, 2)


def test_real_networks_are_tracked(photo):
    tracker = PoseTracker(Body, det_frequency=3, mode="lightweight", to_openpose=False)
    empty = np.zeros_like(photo)
    assert tracker(empty)[0].shape == (0, 17, 2) and tracker.ids.tolist() == []
    tracker.reset()
    for _ in range(4):
        keypoints, _ = tracker(photo)
        assert tracker.ids.tolist() == [1] and keypoints.shape == (1, 17, 2)
    wanted, _ = Body(mode="lightweight")(photo)
    assert np.abs(keypoints - wanted).max() < 5


# --- Drawing ----------------------------------------------------------------------------------------------------------


def test_mmpose_style_draws_in_place():
    image = np.zeros((100, 100, 3), np.uint8)
    keypoints, scores = np.zeros((1, 17, 2)), np.zeros((1, 17))
    keypoints[0, [5, 7]], scores[0, [5, 7]] = [[20.9, 30.9], [80.2, 30.2]], 0.5
    assert draw_skeleton(image, keypoints, scores, kpt_thr=0.5, radius=3, line_width=1) is image
    want = np.zeros_like(image)
    for x in (20, 80):
        cv2.circle(want, (x, 30), 3, (0, 255, 0), cv2.FILLED)
    cv2.line(want, (20, 30), (80, 30), (0, 255, 0), 1)
    np.testing.assert_array_equal(image, want)
    untouched = np.zeros_like(image)
    draw_skeleton(untouched, keypoints[0], scores[0], kpt_thr=0.51)
    assert not untouched.any()


def test_sides_have_colours(photo):
    for side, color in (("left", (0, 255, 0)), ("right", (0, 128, 255))):
        image = np.zeros((50, 50, 3), np.uint8)
        scores = np.zeros(133)
        scores[COCO_WHOLEBODY.names.index(f"{side}_wrist")] = 1
        draw_skeleton(image, np.full((133, 2), 25.0), scores)
        assert image[25, 25].tolist() == list(color)


@pytest.mark.parametrize("parts", [18, 134])
def test_openpose_style_is_the_map(photo, parts):
    poses = WholeBody(device="cpu")(photo)
    keypoints, scores = points_of(poses if parts == 134 else poses.to(COCO_BODY), True)
    drawn = draw_skeleton(photo, keypoints, scores, openpose_skeleton=True, kpt_thr=0.3)
    want = draw.openpose(photo, poses, hands=parts == 134, face=parts == 134)
    assert np.mean((drawn != want).any(axis=2)) < 1e-4  # scores of exactly 0.3, fractions of a pixel
    np.testing.assert_array_equal(drawn, draw_skeleton(photo, keypoints, scores, kpt_thr=0.3, to_openpose=True))


def test_boxes_are_drawn():
    image = np.zeros((50, 50, 3), np.uint8)
    assert draw_bbox(image, [[10.7, 10.2, 30, 40]], (1, 2, 3)) is image
    assert image[10, 10].tolist() == [1, 2, 3] and not image[25, 20].any()
    draw_bbox(image, [])
