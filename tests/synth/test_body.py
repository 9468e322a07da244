import numpy as np
import pytest
from toy_body import toy_body

from wholebody.errors import WholebodyError
from wholebody.schema import COCO_WHOLEBODY
from wholebody.synth.body import (
    bone_transforms,
    keypoints_of,
    load_body,
    rest_shape,
    save_body,
    shape_weights,
    transform,
    vertex_normals,
    vertex_transforms,
)
from wholebody.synth.rotations import turn

MIRROR = np.diag([-1, 1, 1]).astype(np.float32)


def posed(body, rotations):
    transforms = bone_transforms(body.parents, body.heads, rotations.astype(np.float32))
    matrices = vertex_transforms(transforms, body.skin_bones, body.skin_weights)
    heads = np.einsum("bij,bj->bi", transforms[:, :, :3], body.heads) + transforms[:, :, 3]
    return transform(matrices, body.template), heads


def still(body):
    return np.tile(np.eye(3), (len(body.bones), 1, 1))


def test_a_body_without_rotations_rests():
    body = toy_body()
    vertices, heads = posed(body, still(body))
    np.testing.assert_allclose(vertices, body.template, atol=1e-6)
    np.testing.assert_allclose(heads, body.heads, atol=1e-6)


def test_a_bent_elbow_moves_what_hangs_on_it_and_nothing_else():
    body = toy_body()
    rotations = still(body)
    rotations[body.bone["lowerarm01.L"]] = turn((1, 0, 0), 90)
    vertices, heads = posed(body, rotations)
    elbow, wrist = body.heads[body.bone["lowerarm01.L"]], body.heads[body.bone["wrist.L"]]
    expected = elbow + turn((1, 0, 0), 90) @ (wrist - elbow)
    np.testing.assert_allclose(heads[body.bone["wrist.L"]], expected, atol=1e-6)
    moved = np.abs(vertices - body.template).max(axis=1) > 1e-6
    names = {body.bones[bone].split("-")[0] for bone in body.main_bone[moved]}
    assert names == {"lowerarm01.L", "wrist.L", *(f"finger{i}" for i in range(1, 6))}
    assert not moved[body.template[:, 0] < 0].any()


def test_transforms_chain_from_parent_to_child():
    body = toy_body()
    rotations = still(body)
    rotations[body.bone["root"]] = turn((0, 0, 1), 90)
    rotations[body.bone["spine01"]] = turn((1, 0, 0), 30)
    _, heads = posed(body, rotations)
    root, chest, head = (body.heads[body.bone[name]] for name in ("root", "spine01", "head"))
    expected = root + turn((0, 0, 1), 90) @ (chest - root + turn((1, 0, 0), 30) @ (head - chest))
    np.testing.assert_allclose(heads[body.bone["head"]], expected, atol=1e-6)


def test_the_mirrored_pose_has_mirrored_keypoints():
    body = toy_body()
    rng = np.random.default_rng(3)
    rotations = np.stack([turn(rng.normal(size=3), rng.uniform(-50, 50)) for _ in body.bones])
    twin = [body.bone[name[:-1] + {"L": "R", "R": "L"}.get(name[-1], name[-1])] for name in body.bones]
    mirrored = MIRROR @ rotations[twin] @ MIRROR
    points = keypoints_of(body, *posed(body, rotations))
    other = keypoints_of(body, *posed(body, mirrored))
    np.testing.assert_allclose(other, points[COCO_WHOLEBODY.flip] @ MIRROR, atol=1e-5)


@pytest.mark.parametrize(
    ("phenotype", "expected"),
    [({"gender": 0.0}, [1, 0]), ({"gender": 1.0}, [0, 1]), ({"gender": 0.25}, [0.75, 0.25]), ({}, [0.5, 0.5])],
)
def test_phenotypes_become_weights_of_shapes(phenotype, expected):
    np.testing.assert_allclose(shape_weights(toy_body(), phenotype), expected, atol=1e-6)


def test_shapes_and_changes_add_to_the_template():
    body = toy_body()
    rest, heads = rest_shape(body, {"gender": 0.0}, {"jawOpen": 0.5})
    jaw = body.shape_rows[0]
    np.testing.assert_allclose(np.delete(rest, jaw, 0), np.delete(body.template, jaw, 0) * 1.05, atol=1e-6)
    np.testing.assert_allclose(rest[jaw], body.template[jaw] * 1.05 + [0, 0, -0.01], atol=1e-6)
    np.testing.assert_allclose(heads, body.heads * 1.05, atol=1e-6)
    with pytest.raises(KeyError):
        rest_shape(body, {}, {"wings": 1.0})


def test_normals_point_out_of_a_box():
    body = toy_body()
    normals = vertex_normals(body.template, body.faces[body.part("body")])
    head = body.skin[body.main_bone[body.skin] == body.bone["head"]]
    outward = body.template[head] - body.heads[body.bone["head"]]
    assert (np.einsum("ij,ij->i", normals[head], outward) > 0).all()


def test_a_body_file_keeps_the_body(tmp_path):
    body = toy_body()
    save_body(tmp_path / "body.npz", body)
    loaded = load_body(tmp_path / "body.npz")
    assert loaded.bones == body.bones and loaded.shapes == body.shapes and loaded.parts == body.parts
    np.testing.assert_array_equal(loaded.faces, body.faces)
    np.testing.assert_array_equal(loaded.template, body.template)
    np.testing.assert_allclose(loaded.basis, body.basis, atol=2e-4)


@pytest.mark.parametrize("content", [None, b"", b"not a zip"])
def test_no_body_file_is_a_clear_error(tmp_path, content):
    path = tmp_path / "body.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WholebodyError, match=r"body\.npz: (not a body file|cannot read)"):
        load_body(path)
