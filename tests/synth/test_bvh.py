import numpy as np
import pytest
from toy_body import Toys, toy_body

from wholebody.errors import WholebodyError
from wholebody.synth import bvh, posture
from wholebody.synth.body import bone_transforms
from wholebody.synth.people import PersonGenerator
from wholebody.synth.rotations import turn

Y_UP = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # x left, y up, z to the front, as most files have it
Z_UP = np.eye(3)
ZXY = ("Zrotation", "Xrotation", "Yrotation")


def angles(rotation):
    """Degrees about z, x and y, in this order, of a rotation Rz Rx Ry."""
    x = np.arcsin(np.clip(rotation[2, 1], -1, 1))
    z, y = np.arctan2(-rotation[0, 1], rotation[1, 1]), np.arctan2(-rotation[2, 0], rotation[2, 2])
    return np.rad2deg([z, x, y])


def write(names, parents, heads, rotations, axes=Z_UP):
    """BVH text of poses (T, J, 3, 3) of a skeleton, in other axes if wanted: rows of `axes` are our axes there."""
    lines = ["HIERARCHY"]

    def joint(row, depth):
        pad = "\t" * depth
        offset = axes.T @ (heads[row] - heads[parents[row]] if parents[row] >= 0 else heads[row])
        channels = ("Xposition", "Yposition", "Zposition", *ZXY) if depth == 0 else ZXY
        lines.extend(
            [
                f"{pad}{'JOINT' if depth else 'ROOT'} {names[row]}",
                f"{pad}{{",
                f"{pad}\tOFFSET {' '.join(f'{x:.6f}' for x in offset)}",
                f"{pad}\tCHANNELS {len(channels)} {' '.join(channels)}",
            ]
        )
        order.append(row)
        children = [i for i, parent in enumerate(parents) if parent == row]
        for child in children:
            joint(child, depth + 1)
        if not children:
            lines.extend([f"{pad}\tEnd Site", f"{pad}\t{{", f"{pad}\t\tOFFSET 0 0 0", f"{pad}\t}}"])
        lines.append(f"{pad}}}")

    order = []
    joint(0, 0)
    lines += ["MOTION", f"Frames: {len(rotations)}", "Frame Time: 0.04"]
    for frame in rotations:
        numbers = np.concatenate([np.zeros(3), *(angles(axes.T @ frame[row] @ axes) for row in order)])
        lines.append(" ".join(f"{number:.8f}" for number in numbers))
    return "\n".join(lines) + "\n"


def some_poses(body, count=3):
    rng = np.random.default_rng(4)
    return np.array([posture.sample_pose(rng, body, body.template, body.heads).rotations for _ in range(count)])


@pytest.mark.parametrize("axes", [Z_UP, Y_UP], ids=["z up", "y up"])
def test_poses_come_back_from_a_file(tmp_path, axes):
    body = toy_body()
    wanted = some_poses(body)
    path = tmp_path / "moves.bvh"
    path.write_text(write(body.bones, body.parents, body.heads, wanted, axes))
    found = bvh.read_bvh(path, body)
    assert len(found) == 3 and found[0].kinds["motion"] == "moves"
    np.testing.assert_allclose([pose.rotations for pose in found], wanted, atol=1e-4)


def test_another_rig_in_a_t_pose_points_its_limbs_alike(tmp_path):
    """Names as in CMU's files, arms stretched out at rest, the left forearm then bent to the front."""
    body = toy_body()
    joints = [
        ("Hips", -1, (0, 0, 1.0)), ("LeftUpLeg", 0, (0.1, 0, 1)), ("LeftLeg", 1, (0.1, 0, 0.5)),
        ("LeftFoot", 2, (0.1, 0, 0.05)), ("RightUpLeg", 0, (-0.1, 0, 1)), ("RightLeg", 4, (-0.1, 0, 0.5)),
        ("RightFoot", 5, (-0.1, 0, 0.05)), ("Spine", 0, (0, 0, 1.1)), ("Head", 7, (0, 0, 1.6)),
        ("LeftArm", 7, (0.2, 0, 1.45)), ("LeftForeArm", 9, (0.5, 0, 1.45)), ("LeftHand", 10, (0.75, 0, 1.45)),
    ]  # fmt: skip
    names, parents, heads = zip(*joints, strict=True)
    rotations = np.tile(np.eye(3), (2, len(names), 1, 1))
    rotations[1, 10] = turn((0, 0, 1), -90)
    path = tmp_path / "arm.bvh"
    path.write_text(write(names, parents, np.array(heads), rotations, Y_UP))
    for pose, fore in zip(bvh.read_bvh(path, body), ((1, 0, 0), (0, -1, 0)), strict=True):
        transforms = bone_transforms(body.parents, body.heads, pose.rotations)
        places = np.einsum("bij,bj->bi", transforms[:, :, :3], body.heads) + transforms[:, :, 3]
        for start, end, direction in (
            ("upperarm01.L", "lowerarm01.L", (1, 0, 0)),
            ("lowerarm01.L", "wrist.L", fore),
            ("upperleg01.R", "lowerleg01.R", (0, 0, -1)),
        ):
            limb = places[body.bone[end]] - places[body.bone[start]]
            np.testing.assert_allclose(limb / np.linalg.norm(limb), direction, atol=1e-3)


def test_given_poses_are_used_and_their_still_hands_shaped(tmp_path):
    body = toy_body()
    still = posture.Posture(np.tile(np.eye(3, dtype=np.float32), (len(body.bones), 1, 1)), {"stance": "bvh"})
    people = PersonGenerator(body, size=64, bvh=(still,), bvh_share=1.0)
    persons = [people._person(1, group) for group in range(8)]
    assert all(person.record["stance"] == "bvh" for person in persons)
    assert len({person.record["hands_shape"] for person in persons}) > 2
    assert {Toys(64)()._person(1, group).record["stance"] for group in range(8)}.isdisjoint({"bvh"})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "HIERARCHY ROOT hips { OFFSET 0 0 }",
        "HIERARCHY ROOT a { OFFSET 0 0 0 CHANNELS 1 Xrotation } MOTION Frames: 2 Frame Time: 0.1 5",
        "HIERARCHY ROOT a { OFFSET 0 0 0 CHANNELS 1 Wrotation } MOTION Frames: 1 Frame Time: 0.1 5",
        "HIERARCHY ROOT a { OFFSET 0 0 0 CHANNELS 1 Xrotation } MOTION Frames: 1 Frame Time: 0.1 5",
    ],
)
def test_what_is_no_motion_of_a_person_is_a_clear_error(tmp_path, text):
    path = tmp_path / "bad.bvh"
    path.write_text(text)
    with pytest.raises(WholebodyError, match=r"bad\.bvh"):
        bvh.read_bvh(path, toy_body())
    with pytest.raises(WholebodyError, match="cannot read"):
        bvh.read_bvh(tmp_path / "none.bvh", toy_body())


def test_rotations_multiply_in_the_order_of_the_channels():
    text = """HIERARCHY ROOT a { OFFSET 1 2 3 CHANNELS 3 Zrotation Xrotation Yrotation
    JOINT b { OFFSET 0 1 0 CHANNELS 1 Yrotation End Site { OFFSET 0 1 0 } } }
    MOTION Frames: 1 Frame Time: 0.5 90 90 0 30"""
    motion = bvh.parse(text)
    assert motion.names == ("a", "b") and motion.parents == (-1, 0) and motion.interval == 0.5
    np.testing.assert_allclose(motion.rotations[0, 0], turn((0, 0, 1), 90) @ turn((1, 0, 0), 90), atol=1e-9)
    np.testing.assert_allclose(motion.global_rotations()[0, 1], motion.rotations[0, 0] @ turn((0, 1, 0), 30), atol=1e-9)
    np.testing.assert_allclose(motion.places()[1] - motion.places()[0], [0, 1, 0])
