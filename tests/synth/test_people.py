import json

import cv2
import numpy as np
import pytest
from toy_body import Toys, toy_body

from wholebody.schema import COCO_WHOLEBODY
from wholebody.synth import face, hands, posture, props
from wholebody.synth.body import bone_transforms
from wholebody.synth.layers import Assets
from wholebody.synth.people import FRAMINGS, _beside, aim, make_person
from wholebody.synth.rotations import _angle, limited, turn, twist_of


def heads_of(body, rotations):
    transforms = bone_transforms(body.parents, body.heads, rotations)
    return np.einsum("bij,bj->bi", transforms[:, :, :3], body.heads) + transforms[:, :, 3]


def angle(a, b, c):
    """Degrees at b, 180 when straight."""
    u, v = a - b, c - b
    return np.rad2deg(np.arccos(np.clip(u @ v / np.linalg.norm(u) / np.linalg.norm(v), -1, 1)))


def test_poses_are_rotations_within_joint_limits():
    body = toy_body()
    bends = []
    for seed in range(40):
        pose = posture.sample_pose(np.random.default_rng(seed), body, body.template, body.heads)
        product = pose.rotations @ pose.rotations.transpose(0, 2, 1)
        np.testing.assert_allclose(product, np.broadcast_to(np.eye(3), product.shape), atol=1e-5)
        np.testing.assert_allclose(np.linalg.det(pose.rotations), 1, atol=1e-5)
        heads = heads_of(body, pose.rotations)
        for side in "LR":
            elbow = angle(*(heads[body.bone[f"{n}.{side}"]] for n in ("upperarm01", "lowerarm01", "wrist")))
            knee = angle(*(heads[body.bone[f"{n}.{side}"]] for n in ("upperleg01", "lowerleg01", "foot")))
            assert elbow > 25 and knee > 15
            bends.append((elbow, knee))
    assert np.ptp(bends, axis=0).min() > 80


def test_limbs_keep_their_lengths():
    body = toy_body()
    pose = posture.sample_pose(np.random.default_rng(5), body, body.template, body.heads)
    heads = heads_of(body, pose.rotations)
    for bone, parent in enumerate(body.parents):
        if parent >= 0:
            length = np.linalg.norm(body.heads[bone] - body.heads[parent])
            assert np.linalg.norm(heads[bone] - heads[parent]) == pytest.approx(length, abs=1e-5)


@pytest.mark.parametrize("target", [(0.3, -0.3, 0.3), (0.1, -0.2, 0.6), (0.5, 0.0, 0.1)])
def test_an_arm_reaches_its_goal(target):
    shoulder, upper, fore = np.array([0.17, -0.01, 0.52]), 0.3, 0.3
    u, f = posture._reach(shoulder, np.array(target), np.array([1.0, 0.5, -1]), upper, fore)
    np.testing.assert_allclose(shoulder + upper * u + fore * f, target, atol=1e-6)


def test_an_arm_stretches_towards_a_goal_too_far():
    u, f = posture._reach(np.zeros(3), np.array([0, -9.0, 0]), np.array([1.0, 0, 0]), 0.3, 0.2)
    reached = 0.3 * u + 0.2 * f
    assert reached[1] == pytest.approx(-0.995 * 0.5, abs=1e-6) and abs(reached[0]) < 1e-6


def test_seven_in_ten_faces_move():
    body = toy_body()
    kinds = [face.sample_expression(np.random.default_rng(i), body)[0] for i in range(400)]
    assert 0.62 < np.mean([kind != "neutral" for kind in kinds]) < 0.78


def test_hands_close_towards_the_palm():
    body = toy_body()
    stretched = {}
    for name in ("flat", "fist"):
        found = {}
        posture._hand(np.random.default_rng(0), found.__setitem__, body, body.heads, "L", name)
        rotations = np.tile(np.eye(3, dtype=np.float32), (len(body.bones), 1, 1))
        for bone, rotation in found.items():
            rotations[body.bone[bone]] = rotation
        heads = heads_of(body, rotations)
        stretched[name] = np.linalg.norm(heads[body.bone["finger3-3.L"]] - heads[body.bone["wrist.L"]])
    assert stretched["fist"] < 0.85 * stretched["flat"]


def test_a_person_stands_on_the_floor_with_133_points():
    person = make_person(np.random.default_rng(1), toy_body(), Assets())
    assert person.keypoints.shape == (133, 3)
    assert person.regions["full"][:, 2].min() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("framing", FRAMINGS)
def test_the_camera_shows_what_it_frames(framing):
    person = make_person(np.random.default_rng(2), toy_body(), Assets())
    for seed in range(5):
        camera, _ = aim(np.random.default_rng(seed), person, framing, 96)
        assert max(camera.size) == 96
        region = person.regions["left" if framing == "hand" else {"random": "full"}.get(framing, framing)]
        points = camera.project(region)
        inside = ((points[:, :2] > -0.5) & (points[:, :2] < np.array(camera.size) - 0.5)).all(axis=1)
        if framing != "hand":  # of two hands one is framed
            assert inside.mean() > (0.15 if framing == "random" else 0.3)
        assert (points[:, 2] > 0).all()


def test_the_same_numbers_give_the_same_picture():
    here, there = Toys()(), Toys()()
    for index in (0, 1, 7):
        a, b = here(4, index), there(4, index)
        assert a.jpeg == b.jpeg and a.record == b.record
    assert here(4, 8).jpeg != here(4, 9).jpeg != here(5, 9).jpeg


def test_a_label_says_what_training_needs():
    people = Toys()()
    for index in range(12):
        sample = people(9, index)
        record = json.loads(json.dumps(sample.record))
        image = cv2.imdecode(np.frombuffer(sample.jpeg, np.uint8), cv2.IMREAD_COLOR)
        assert image.shape == (record["height"], record["width"], 3)
        points = np.array(record["keypoints"])
        assert points.shape == (len(COCO_WHOLEBODY), 3)
        inside = (
            (points[:, :2] >= -0.51) & (points[:, :2] <= np.array([record["width"], record["height"]]) - 0.49)
        ).all(1)
        np.testing.assert_array_equal(points[:, 2] > 0, inside)
        x0, y0, x1, y1 = record["box"]
        assert -0.5 <= x0 <= x1 <= record["width"] - 0.5 and -0.5 <= y0 <= y1 <= record["height"] - 0.5


def hand_angles(name, body, side="L"):
    """(15,) degrees of the joints of a hand in a shape, drawn without chance."""

    class Middle:
        """Draws the mean of everything."""

        def normal(self, mean, _, size=None):
            return np.full(size, float(mean)) if size else float(mean)

    found = {}
    posture._hand(Middle(), found.__setitem__, body, body.heads, side, name)
    return {bone: _angle(rotation) for bone, rotation in found.items()}, found


def test_every_letter_is_a_hand_of_its_own():
    body = toy_body()
    assert len(hands.LETTERS) == 24 and not {"J", "Z"} & set(hands.LETTERS)
    shapes = {name: hand_angles(name, body)[1] for name in hands.LETTERS}
    for a in shapes:
        for b in shapes:
            if a < b:
                apart = max(_angle(shapes[a][bone].T @ shapes[b][bone]) for bone in shapes[a])
                assert apart > 8, (a, b)


@pytest.mark.parametrize("name", [*hands.HANDS, *hands.GRIPS, *hands.LETTERS])
@pytest.mark.parametrize("side", "LR")
def test_hand_shapes_keep_within_the_limits_of_joints(name, side):
    angles, _ = hand_angles(name, toy_body(), side)
    assert len(angles) == 15
    for bone, degrees in angles.items():
        finger, joint = int(bone[6]), int(bone[8])
        limit = 75 if finger == 1 else {1: 92, 2: 105, 3: 75}[joint]
        assert degrees <= limit, (bone, degrees)


def test_outer_joints_follow_the_middle_ones():
    body = toy_body()
    for name in hands.LETTERS:
        angles, _ = hand_angles(name, body)
        for finger in range(2, 6):
            middle, outer = angles[f"finger{finger}-2.L"], angles[f"finger{finger}-3.L"]
            assert abs(outer - 0.69 * middle) < 2


def test_hands_together_meet_palm_to_palm():
    body = toy_body()
    apart = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        rotations = np.tile(np.eye(3), (len(body.bones), 1, 1))

        def put(bone, rotation, rotations=rotations):
            if bone in body.bone:
                rotations[body.bone[bone]] = rotation

        for side in "LR":
            posture._arm(rng, put, body, body.heads, side, "together", 1, "stand", np.array([0.5, 0.5, 0.5]))
        heads = heads_of(body, rotations.astype(np.float32))
        left, right = (heads[body.bone[f"wrist.{side}"]] for side in "LR")
        apart.append(np.linalg.norm(left - right))
        assert left[1] < body.heads[body.bone["upperarm01.L"], 1] - 0.1  # before the chest
    assert np.max(apart) < 0.12


@pytest.mark.parametrize("angle", [0, 30, 120, 178])
def test_a_rotation_is_its_twist_after_its_swing(angle):
    axis = np.array([0.0, -0.6, 0.8])
    rotation = turn((1, 0.2, 0), 40) @ turn(axis, angle)
    twist, swing = twist_of(rotation, axis)
    np.testing.assert_allclose(turn(axis, twist) @ swing, rotation, atol=1e-9)
    bounded = limited(rotation, 25)
    assert _angle(bounded) == pytest.approx(min(25, _angle(rotation)), abs=1e-6)


def test_others_stand_before_and_behind_the_labelled_person():
    person = make_person(np.random.default_rng(2), toy_body(), Assets())
    camera, _ = aim(np.random.default_rng(0), person, "full", 96)
    middle = person.mesh.vertices.mean(axis=0, keepdims=True)
    here = camera.project(middle)[0]
    nearer, overlapping = [], []
    for seed in range(200):
        other = _beside(np.random.default_rng(seed), person.mesh, camera, person.size)
        there = camera.project(other.vertices)
        nearer.append(np.median(there[:, 2]) < here[2])
        overlapping.append(there[:, 0].min() < here[0] < there[:, 0].max())
        assert set(other.owners) <= {1, props.NO_ONE}
    assert 0.25 < np.mean(nearer) < 0.55
    assert np.sum(np.array(nearer) & overlapping) >= 15
