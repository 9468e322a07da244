"""Alignment: the published numbers, and what holds for every mode."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wholebody import WholebodyError
from wholebody.align import align, fit
from wholebody.align.joints import JointFrames
from wholebody.align.muse import knuckle_ratios, muse
from wholebody.poses import Poses
from wholebody.schema import COCO_WHOLEBODY, OPENPOSE, OPENPOSE_25
from wholebody.synth.walkers import person, seen

MODES = ("linear", "muse", "uni", "wan")
ROW = {name: n for n, name in enumerate(COCO_WHOLEBODY.names)}


@pytest.fixture(scope="module")
def golden(oracle):
    return json.loads((oracle / "10_retarget.json").read_text())


def of_joints(joints, size, hands=None):
    """Poses of one frame of the golden file: (20, 3) in fractions, of two toes each; hands (2, 21, 2) in pixels."""
    points, scores = np.zeros((133, 2)), np.zeros(133)
    for name, (x, y, score) in zip(OPENPOSE.names[:18], joints[:18], strict=True):
        if name != "neck":
            points[ROW[name]], scores[ROW[name]] = (x, y), score
    for side, (x, y, score) in zip(("left", "right"), joints[18:], strict=True):
        for toe in ("big_toe", "small_toe"):
            points[ROW[f"{side}_{toe}"]], scores[ROW[f"{side}_{toe}"]] = (x, y), score
    points *= size
    if hands is not None:
        points[91:133], scores[91:133] = np.reshape(hands, (42, 2)), 0.9
    return Poses(points[None], scores[None], [[0, 0, *size]], [1])


def clip_of(golden, with_hands=False):
    frames = []
    for joints in golden["input"]["src"]:
        frame = of_joints(joints, golden["input"]["src_wh"])
        if with_hands:
            step = np.arange(21)[:, None]
            wrists = [frame.keypoints[0, ROW[f"{side}_wrist"]] for side in ("left", "right")]
            hands = [wrists[0] + step * (1, 2), wrists[1] + step * (-1, 2)]
            frame = of_joints(joints, golden["input"]["src_wh"], hands)
        frames.append(frame)
    return frames, of_joints(golden["input"]["ref"], golden["input"]["ref_wh"])


def aligned_to_golden(golden, mode, **options):
    frames, reference = clip_of(golden, **options)
    sizes = {"size": tuple(golden["input"]["src_wh"]), "reference_size": tuple(golden["input"]["ref_wh"])}
    return align(frames, reference, mode, **sizes)


@pytest.mark.parametrize(("mode", "name"), [("linear", "mimicmotion"), ("muse", "musepose")])
def test_published_bodies(golden, mode, name):
    for poses, body in zip(aligned_to_golden(golden, mode), golden[name]["body"], strict=True):
        fractions = poses.to(OPENPOSE).keypoints[0, :18] / golden["input"]["ref_wh"]
        np.testing.assert_allclose(fractions, body, atol=1e-5)


def test_published_numbers_of_linear(golden):
    frames, reference = clip_of(golden)
    move = fit(frames, reference, "linear").lead.move
    source, target = np.array(golden["input"]["src_wh"]), np.array(golden["input"]["ref_wh"])
    np.testing.assert_allclose(move.scale * source / target, golden["mimicmotion"]["a"], atol=1e-5)
    np.testing.assert_allclose(move.offset / target, golden["mimicmotion"]["b"], atol=1e-5)


def test_published_numbers_of_muse(golden):
    frames, reference = clip_of(golden)
    heights = (golden["input"]["src_wh"][1], golden["input"]["ref_wh"][1])
    move = muse(JointFrames.of(frames[0], 0.3), JointFrames.of(reference, 0.3), heights)
    scales = golden["musepose"]["scales"]
    names = {0: "neck", 2: "shoulder", 3: "arm_upper", 4: "arm_lower", 8: "body_len", 9: "leg_upper", 10: "leg_lower"}
    for joint, name in (*names.items(), (16, "face")):
        assert move.limbs[joint, 0] * heights[0] / heights[1] == pytest.approx(scales[f"scale_{name}"], abs=1e-5)
    assert move.offset[1] / heights[1] == pytest.approx(golden["musepose"]["offset"][1], abs=1e-5)


def test_the_hand_of_muse_is_the_mean_of_hand_and_both_arms(golden):
    frames, reference = clip_of(golden, with_hands=True)
    wrists = [reference.keypoints[0, ROW[f"{side}_wrist"]] for side in ("left", "right")]
    step = np.arange(21)[:, None]
    reference = of_joints(
        golden["input"]["ref"], golden["input"]["ref_wh"], [wrists[0] + step * (2, 4), wrists[1] + step * (-2, 4)]
    )
    clip, target = JointFrames.of(frames[0], 0.3), JointFrames.of(reference, 0.3)
    np.testing.assert_allclose(knuckle_ratios(clip, target), 2, atol=1e-5)
    move = muse(clip, target)
    np.testing.assert_allclose(move.hands, (2 + move.limbs[3, 0] + move.limbs[4, 0]) / 3, atol=1e-5)


def test_published_wan(golden):
    frames, reference = clip_of(golden, with_hands=True)
    sizes = {"size": tuple(golden["input"]["src_wh"]), "reference_size": tuple(golden["input"]["ref_wh"])}
    for poses, truth in zip(align(frames, reference, "wan", **sizes), golden["wan"], strict=True):
        joints = JointFrames.of(poses, 0.3).joints[0] / truth["wh"]
        np.testing.assert_allclose(joints, np.array(truth["body"])[:, :2], atol=1e-5)
        # Its left hand stands at the right wrist, in whole pixels.
        for part, name in (("right_hand", "left"), ("left_hand", "right")):
            points = poses.part(part)[0][0]
            np.testing.assert_allclose(points, np.array(truth[name])[:, :2] + 0.5, atol=0.5 + 1e-3)


# --- What holds for every mode ----------------------------------------------------------------------------------------


def dance(frames=5, **options):
    return [seen([person(100 + 5 * n, stride=0.4 * n, **options)]) for n in range(frames)]


@pytest.mark.parametrize("mode", ["linear", "muse", "uni"])
def test_who_is_the_reference_stays(mode):
    frames = dance(1)
    (aligned,) = align(frames, frames[0], mode)
    np.testing.assert_allclose(aligned.keypoints, frames[0].keypoints, atol=1e-3)
    np.testing.assert_allclose(aligned.boxes, frames[0].boxes, atol=1e-2)


def test_wan_stands_on_the_middle_of_the_foot():
    """Published so: the lower ankle goes to halfway between the reference's ankle and toes."""
    frames = dance(1)
    (aligned,) = align(frames, frames[0], "wan")
    change = aligned.keypoints - frames[0].keypoints
    np.testing.assert_allclose(change[..., 0], 0, atol=1e-3)
    joints = JointFrames.of(frames[0], 0.3).joints[0]
    np.testing.assert_allclose(change[0, :17, 1], (joints[18, 1] - joints[13, 1]) / 2, atol=1e-2)


@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=15)
@given(st.floats(0.6, 1.6), st.floats(-300, 300), st.floats(-300, 300))
def test_the_first_frame_becomes_a_reference_of_its_own_shape(mode, size, x, y):
    frames = dance(3)
    reference = seen([frames[0].keypoints[0].astype(float) * size + (x, y)])
    fitted = frames[:1] if mode == "linear" else frames
    first = fit(fitted, reference, mode)(frames[0])
    change = first.keypoints - reference.keypoints
    if mode == "wan":
        change -= change[0, 0]
    np.testing.assert_allclose(change, 0, atol=0.01)


@pytest.mark.parametrize("mode", ["muse", "uni", "wan"])
@settings(max_examples=15)
@given(st.floats(0.6, 1.6), st.floats(0.6, 1.6))
def test_limbs_get_the_length_of_the_reference(mode, arms, legs):
    """Of a reference who differs in the length of arms and legs, not in where they point."""
    frames = dance(1)
    points = frames[0].keypoints[0].astype(float)
    other = points.copy()
    for side in ("left", "right"):
        shoulder, elbow, wrist = (ROW[f"{side}_{name}"] for name in ("shoulder", "elbow", "wrist"))
        hip, knee, ankle = (ROW[f"{side}_{name}"] for name in ("hip", "knee", "ankle"))
        for a, b, c, factor in ((shoulder, elbow, wrist, arms), (hip, knee, ankle, legs)):
            other[b] = other[a] + factor * (points[b] - points[a])
            other[c] = other[b] + factor * (points[c] - points[b])
        for toe in ("big_toe", "small_toe", "heel"):
            other[ROW[f"{side}_{toe}"]] += other[ankle] - points[ankle]
    aligned = align(frames, seen([other]), mode)[0].keypoints[0].astype(float)
    np.testing.assert_allclose(aligned[5:17] - aligned[5], other[5:17] - other[5], atol=0.02)


@pytest.mark.parametrize("mode", MODES)
def test_hands_feet_and_face_stay_on_their_limbs(mode):
    frames = dance(6)
    reference = seen([person(500, 50, height=420) * (1.2, 1)])
    for before, after in zip(frames, align(frames, reference, mode), strict=True):
        for part, joint in (("left_hand", "left_wrist"), ("right_hand", "right_wrist")):
            old, new = (poses.part(part)[0][0] - poses.keypoints[0, ROW[joint]] for poses in (before, after))
            grown = np.linalg.norm(new) / np.linalg.norm(old)
            assert 1 < grown < 3.5
            np.testing.assert_allclose(new[0], 0, atol=1e-3)
        for row in (ROW["left_heel"], ROW["left_big_toe"]):
            old, new = (poses.keypoints[0, row] - poses.keypoints[0, ROW["left_ankle"]] for poses in (before, after))
            assert (np.sign(old) == np.sign(new)).all()
        face, nose = after.part("face")[0][0], after.keypoints[0, 0]
        assert (np.abs(face.mean(axis=0) - nose) < 0.1 * (np.ptp(after.keypoints[0, :, 1]))).all()


@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=15)
@given(st.sets(st.integers(0, 132), max_size=60))
def test_missing_points_stay_missing_and_move_nobody(mode, gone):
    gone = gone - {ROW["left_shoulder"], ROW["right_shoulder"]}
    whole = dance(3)
    scores = whole[1].scores.copy()
    scores[0, list(gone)] = 0
    keypoints = whole[1].keypoints.copy()
    keypoints[0, list(gone)] = 0
    holed = replace(whole[1], keypoints=keypoints, scores=scores)
    reference = seen([person(500, 50, height=420)])
    aligned = fit(whole, reference, mode)(holed)
    np.testing.assert_array_equal(aligned.keypoints[0, list(gone)], 0)
    np.testing.assert_array_equal(aligned.scores, holed.scores)
    # All proportions are equal here, so what hangs on a missing joint must be where it would have been.
    rest = [row for row in range(133) if row not in gone]
    there = fit(whole, reference, mode)(whole[1])
    np.testing.assert_allclose(aligned.keypoints[0, rest], there.keypoints[0, rest], atol=0.05)


@pytest.mark.parametrize("mode", MODES)
def test_a_frame_without_shoulders_keeps_its_place(mode):
    frames = dance(4)
    scores = frames[3].scores.copy()
    scores[0, [ROW["left_shoulder"], ROW["right_shoulder"]]] = 0.1
    hidden = [*frames[:3], replace(frames[3], scores=scores)]
    reference = seen([person(500, 50, height=420)])
    aligned, there = align(hidden, reference, mode)[3], align(frames, reference, mode)[3]
    assert np.abs(aligned.keypoints - there.keypoints).max() < 40


@pytest.mark.parametrize("mode", MODES)
def test_a_limb_towards_the_camera_does_not_explode(mode):
    points = person(100).copy()
    points[ROW["left_elbow"]] = points[ROW["left_shoulder"]] + (0.1, 0)
    points[ROW["left_wrist"]] = points[ROW["left_elbow"]] + (0.1, 0)
    points[91:112] = points[ROW["left_wrist"]]
    side = points.copy()
    side[ROW["right_shoulder"]] = side[ROW["left_shoulder"]] + (0.5, 0)
    reference = seen([person(500, 50, height=420)])
    for first in (points, side):
        frames = [seen([first]), *dance(2)]
        for poses in align(frames, reference, mode):
            assert np.isfinite(poses.keypoints).all()
            assert np.ptp(poses.keypoints[0, :17], axis=0).max() < 3 * 420


@pytest.mark.parametrize("schema", [OPENPOSE, OPENPOSE_25])
@pytest.mark.parametrize("mode", MODES)
def test_every_schema_goes_the_same_way(mode, schema):
    frames = dance(3)
    reference = seen([person(500, 50, height=420) * (1.1, 1)])
    through = [poses.to(schema) for poses in align(frames, reference, mode)]
    direct = align([poses.to(schema) for poses in frames], reference.to(schema), mode)
    # OPENPOSE has no toes: Wan then stands on the ankles.
    shift = through[0].keypoints[0, 1] - direct[0].keypoints[0, 1] if mode == "wan" and schema is OPENPOSE else 0
    for a, b in zip(through, direct, strict=True):
        np.testing.assert_allclose(a.keypoints - shift, b.keypoints, atol=0.01)
        assert b.schema is schema


# --- Several people ---------------------------------------------------------------------------------------------------


def test_people_are_paired_from_left_to_right():
    frames = [
        replace(seen([person(400 + n), person(100 - n)]), ids=np.array([7, 3]))[[0, 1] if n % 2 else [1, 0]]
        for n in range(4)
    ]
    reference = seen([person(300, height=100), person(50, height=300)])
    for poses in align(frames, reference, "muse"):
        assert sorted(poses.ids.tolist()) == [3, 7]
        places = dict(zip(poses.ids.tolist(), poses.keypoints[:, 5:7, 0].mean(axis=1), strict=True))
        assert abs(places[3] - 50) < 10 and abs(places[7] - 300) < 10


def test_the_crowd_goes_along_with_the_lead():
    frames = [replace(seen([person(100), person(300)]), ids=np.array([1, 2])) for _ in range(3)]
    frames += [frames[0][[0]]]
    reference = seen([person(50, 20, height=400)])
    aligned = align(frames, reference, "linear")[0]
    np.testing.assert_allclose(aligned.keypoints[0], reference.keypoints[0], atol=0.5)
    np.testing.assert_allclose(aligned.keypoints[1] - aligned.keypoints[0], [(400, 0)] * 133, atol=0.5)


def test_one_picture_is_poses_in_and_poses_out():
    poses = seen([person(100)])
    assert isinstance(align(poses, seen([person(50)])), Poses)
    assert align(poses, seen([person(50)]), "none") is poses


def test_nobody():
    reference = seen([person(50)])
    frames = [Poses.empty(), *dance(2), Poses.empty()]
    assert [len(poses) for poses in align(frames, reference)] == [0, 1, 1, 0]
    with pytest.raises(WholebodyError, match="reference"):
        align(frames, Poses.empty())
    with pytest.raises(WholebodyError, match="clip"):
        align([Poses.empty()], reference)
    with pytest.raises(WholebodyError, match="mode"):
        align(frames, reference, "other")


def turning(count=24):
    """Somebody who is seen from the side at first and turns to the camera, and comes nearer by half."""
    frames = []
    for n in range(count):
        points = person(200.0)
        middle = points[[5, 6], 0].mean()
        points[:, 0] = middle + (points[:, 0] - middle) * (0.2 + 0.8 * min(n / (count // 2), 1))
        frames.append(seen(points * (1 + 0.5 * n / count)))
    return frames


@pytest.mark.parametrize("mode", ["muse", "uni", "wan"])
def test_who_is_seen_from_the_side_at_first_does_not_get_the_shoulders_of_a_giant(mode):
    reference = seen(person(300.0, height=300.0))
    for poses in align(turning(), reference, mode)[12:]:
        widths, trunks = [], []
        for points in (poses.keypoints[0], reference.keypoints[0]):
            widths.append(np.hypot(*(points[5] - points[6])))
            trunks.append(np.hypot(*(points[[5, 6]].mean(axis=0) - points[[11, 12]].mean(axis=0))))
        assert widths[0] / trunks[0] == pytest.approx(widths[1] / trunks[1], rel=0.12)
