"""The interface of Wan-Animate: POSEDATA, the map, key points, face pictures. And SCAIL's DWPOSES."""

import json
import math

import cv2
import numpy as np
import pytest

from wholebody.compat.aapose import aapose, joints
from wholebody.compat.scail import dwposes
from wholebody.compat.wan_animate import face_boxes, face_crop, held, key_points, pose_data, pose_meta
from wholebody.poses import Poses
from wholebody.schema import OPENPOSE, OPENPOSE_25
from wholebody.synth.walkers import person, seen

FIRST = [0, 6, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3, 17, 20]
SECOND = [0, 5, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3, 18, 21]


def somebody(**options):
    return seen([person(200, 20, 350, **options)], noise=3.0)


def test_the_twenty_joints_are_the_published_ones():
    poses = somebody()
    at, scores = joints(poses)
    points = poses.keypoints[0].astype(float)
    np.testing.assert_allclose(at, (points[FIRST] + points[SECOND]) / 2, atol=1e-4)
    np.testing.assert_allclose(scores, 0.9, atol=1e-6)


def test_pose_data():
    frames = [somebody(), somebody(stride=0.5)]
    data = pose_data(frames, (400, 400))
    assert set(data) == {"retarget_image", "pose_metas", "refer_pose_meta", "pose_metas_original"}
    meta, as_dict = data["pose_metas"][1], data["pose_metas_original"][1]
    assert (meta.width, meta.height, as_dict["width"], as_dict["height"]) == (400, 400, 400, 400)
    points = frames[1].keypoints[0]
    for name, key, rows in (
        ("kps_lhand", "keypoints_left_hand", slice(91, 112)),
        ("kps_rhand", "keypoints_right_hand", slice(112, 133)),
        ("kps_face", "keypoints_face", slice(22, 91)),
    ):
        np.testing.assert_allclose(getattr(meta, name), points[rows], atol=1e-4)
        np.testing.assert_allclose(as_dict[key][:, :2] * 400, points[rows], atol=1e-3)
        np.testing.assert_allclose(as_dict[key][:, 2], getattr(meta, f"{name}_p"))
    assert as_dict["keypoints_body"].shape == (20, 3)


def test_pose_data_of_a_character():
    frames, character = [somebody()], seen([person(100, 10, 200)])
    data = pose_data(
        frames, (400, 400), aligned=[character], aligned_size=(300, 600), reference=character, reference_size=(300, 600)
    )
    assert (data["pose_metas"][0].width, data["pose_metas"][0].height) == (300, 600)
    np.testing.assert_allclose(data["refer_pose_meta"]["keypoints_body"][0, :2] * (300, 600), character.keypoints[0, 0])


@pytest.mark.parametrize("schema", [OPENPOSE, OPENPOSE_25])
def test_other_schemas(schema):
    meta, whole = pose_meta(somebody().to(schema), (400, 400)), pose_meta(somebody(), (400, 400))
    np.testing.assert_allclose(meta.kps_body[:18], whole.kps_body[:18], atol=1e-3)
    np.testing.assert_allclose(meta.kps_face[1:], whole.kps_face[1:], atol=1e-3)
    assert (meta.kps_body_p[18:] > 0).all() == (schema is OPENPOSE_25)


def test_a_frame_without_anybody_repeats_the_last():
    a, b, nobody = somebody(), somebody(stride=1), Poses.empty()
    assert [poses is a for poses in held([nobody, a, nobody, b])] == [True, True, True, False]
    assert all(len(poses) == 0 for poses in held([nobody, nobody]))
    assert pose_data([nobody], (10, 10))["pose_metas"][0].kps_body_p.max() == 0


def test_key_points():
    points = json.loads(key_points([somebody()] * 8))
    assert len(points) == 8 * 4 and set(points[0]) == {"x", "y"}
    assert points[0] == {"x": int(somebody().keypoints[0, 0, 0]), "y": int(somebody().keypoints[0, 0, 1])}
    assert [len(json.loads(key_points([somebody()] * n))) // 8 for n in (1, 3, 4, 7, 11)] == [1, 1, 4, 7, 6]
    assert json.loads(key_points([Poses.empty()])) == []


# --- Faces ------------------------------------------------------------------------------------------------------------


def test_the_face_box_has_the_asked_area_and_aspect():
    poses = seen([person(500, 300, 600)])
    points = poses.part("face")[0][0]
    width, height = np.ptp(points, axis=0)
    x0, y0, x1, y1 = face_boxes([poses], (1000, 1000))[0]
    assert (x1 - x0) * (y1 - y0) == pytest.approx(1.3 * width * height, rel=0.03)
    assert (x1 - x0) / (y1 - y0) == pytest.approx(width / height, rel=0.03)
    above, below = points[:, 1].min() - y0, y1 - points[:, 1].max()
    assert above == pytest.approx(3 * below, abs=3)


def test_faces_stay_inside_and_hold_on():
    edge = seen([person(5, -15, 300)])
    nobody = Poses.empty()
    boxes = face_boxes([nobody, edge, nobody], (200, 200))
    assert boxes[0] == boxes[1] == boxes[2] and boxes[1][:2] == (0, 0)
    assert face_boxes([nobody], (200, 200)) == [(0, 0, 0, 0)]


def test_face_crop():
    image = np.random.default_rng(0).integers(0, 256, (100, 100, 3), dtype=np.uint8)
    assert face_crop(image, (10, 20, 42, 70)).shape == (512, 512, 3)
    np.testing.assert_array_equal(face_crop(image, (10, 20, 42, 52), 32), image[20:52, 10:42])
    assert face_crop(image, (0, 0, 0, 0)).max() == 0


# --- The map ----------------------------------------------------------------------------------------------------------

LIMBS = [
    (2, 3), (2, 6), (3, 4), (4, 5), (6, 7), (7, 8), (2, 9), (9, 10), (10, 11), (2, 12), (12, 13), (13, 14), (2, 1),
    (1, 15), (15, 17), (1, 16), (16, 18), (14, 19), (11, 20),
]  # fmt: skip
RGB = [
    (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0), (0, 255, 0), (0, 255, 85),
    (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255), (0, 0, 255), (85, 0, 255), (170, 0, 255), (255, 0, 255),
    (255, 0, 170), (255, 0, 85), (200, 200, 0), (100, 100, 0),
]  # fmt: skip


def by_the_rule(canvas, at, scores, threshold=0.5):
    """The body as the rule is written down, joint numbers from 1, in RGB."""
    stick = max(int(min(canvas.shape[:2]) / 200) - 1, 1)
    for (a, b), color in zip(LIMBS, RGB, strict=False):
        if scores[a - 1] >= threshold and scores[b - 1] >= threshold:
            (x0, y0), (x1, y1) = at[a - 1], at[b - 1]
            axes = (int(math.hypot(x0 - x1, y0 - y1) / 2), stick)
            angle = int(math.degrees(math.atan2(y0 - y1, x0 - x1)))
            outline = cv2.ellipse2Poly((int((x0 + x1) / 2), int((y0 + y1) / 2)), axes, angle, 0, 360, 1)
            cv2.fillConvexPoly(canvas, outline, [int(channel * 0.6) for channel in color])
    for (x, y), score, color in zip(at, scores, RGB, strict=True):
        if score >= threshold:
            cv2.circle(canvas, (int(x), int(y)), stick, color, -1)
    return canvas


@pytest.mark.parametrize("size", [(400, 400), (1300, 900)])
def test_the_map_follows_the_rule(size):
    poses = seen([person(size[0] / 2, 20, size[1] - 60)], noise=4.0)
    scores = poses.scores.copy()
    scores[0, [7, 16]] = 0.4
    poses = Poses(poses.keypoints, scores, poses.boxes, poses.box_scores)
    truth = by_the_rule(np.zeros((size[1], size[0], 3), np.uint8), *joints(poses))
    drawn = aapose(np.zeros((size[1], size[0], 3), np.uint8), poses, hands=False)
    np.testing.assert_array_equal(drawn[..., ::-1], truth)


def test_hands_and_head_are_switched_alone():
    poses, black = somebody(), np.zeros((400, 400, 3), np.uint8)
    full, no_hands, no_head = aapose(black, poses), aapose(black, poses, hands=False), aapose(black, poses, head=False)
    x, y = poses.keypoints[0, 0].astype(int)
    assert full[y, x].any() and not no_head[y, x].any()
    changed = np.argwhere((full != no_hands).any(axis=2))
    assert len(changed) and changed[:, 0].min() > 100
    assert not black.any() and not aapose(black, Poses.empty()).any()


# --- SCAIL ------------------------------------------------------------------------------------------------------------


def test_dwposes():
    poses = seen([person(100), person(250)], scores=[0.9, 0.2])
    found = dwposes([poses, Poses.empty()], [(400, 300)])
    assert found["swap_hands"] is False and len(found["poses"]) == 2
    frame = found["poses"][0]
    people = poses.to(OPENPOSE)
    np.testing.assert_allclose(frame["bodies"]["candidate"] * (400, 300), people.keypoints[:, :18], atol=1e-3)
    np.testing.assert_array_equal(frame["bodies"]["subset"], [np.arange(18), np.full(18, -1)])
    # Left and right of the first person, then of the second.
    for n, part in enumerate(("left_hand", "right_hand") * 2):
        np.testing.assert_allclose(frame["hands"][n] * (400, 300), people.part(part)[0][n // 2], atol=1e-3)
    shapes = {key: frame[key].shape for key in ("faces", "body_score", "hand_score", "face_score")}
    assert shapes == {"faces": (2, 70, 2), "body_score": (2, 18), "hand_score": (4, 21), "face_score": (2, 70)}
    empty = found["poses"][1]
    assert empty["bodies"]["candidate"].shape == (0, 18, 2) and empty["hands"].shape == (0, 21, 2)
