import numpy as np
import pytest
from toy_body import toy_body

from wholebody.synth import props, shapes
from wholebody.synth.body import bone_transforms, keypoints_of
from wholebody.synth.hands import GRIPS
from wholebody.synth.layers import Assets
from wholebody.synth.people import make_person
from wholebody.synth.render import Camera, Light, join, render, visibility
from wholebody.synth.textures import plain

GRAY = plain((128, 128, 128))
LIGHT = Light(np.array([0, -1.0, 1]), np.ones(3), np.ones(3), np.ones(3))


def looking_at(target, distance=3.0, size=(120, 120), focal=240.0):
    """A camera before the target, which faces -y."""
    matrix = np.array([[1, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0]], np.float32)
    matrix[:, 3] = -matrix[:, :3] @ (np.asarray(target, float) - [0, distance, 0])
    return Camera(matrix, focal, ((size[0] - 1) / 2, (size[1] - 1) / 2), size)


def resting(body):
    return bone_transforms(body.parents, body.heads, np.tile(np.eye(3, dtype=np.float32), (len(body.bones), 1, 1)))


@pytest.mark.parametrize(
    ("shape", "low", "high"),
    [
        (shapes.box((0.2, 0.4, 0.6)), (-0.1, -0.2, -0.3), (0.1, 0.2, 0.3)),
        (shapes.rod(0.5, 0.1, -0.1, 16), (-0.1, -0.1, -0.1), (0.1, 0.1, 0.4)),
        (shapes.ball(0.3, segments=16), (-0.3, -0.3, -0.3), (0.3, 0.3, 0.3)),
        (shapes.tube([(0, 0, 0), (0, 0, 1)], 0.05, 8), (-0.05, -0.05, 0), (0.05, 0.05, 1)),
    ],
)
def test_shapes_have_their_sizes(shape, low, high):
    np.testing.assert_allclose(shape.vertices.min(axis=0), low, atol=0.02)
    np.testing.assert_allclose(shape.vertices.max(axis=0), high, atol=0.02)
    assert shape.faces.max() < len(shape.vertices) and shape.uvs.shape == (len(shape.faces), 3, 2)


def test_the_surface_of_a_box_is_that_of_a_box():
    corners = shapes.box((1, 2, 3)).vertices[shapes.box((1, 2, 3)).faces]
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2
    assert areas.sum() == pytest.approx(22)


@pytest.mark.slow
def test_a_thing_hides_what_is_behind_it_and_is_no_one():
    wall = props.solid(shapes.box((0.4, 0.02, 0.4)), GRAY)
    camera = looking_at((0, 0, 0))
    frame = render(wall, camera, LIGHT)
    points = np.array([[0, 0.3, 0], [0, -0.3, 0], [0.5, 0.3, 0]], np.float32)
    assert visibility(points, np.full(3, 0.02, np.float32), camera, frame.depth).tolist() == [1, 2, 2]
    assert np.isfinite(frame.depth).any() and (frame.owner == -1).all()


@pytest.mark.parametrize("kind", props.HELD)
@pytest.mark.parametrize("side", "LR")
def test_what_a_hand_holds_is_at_the_hand(kind, side):
    body = toy_body()
    assert props.GRIPS[kind] in GRIPS
    meshes = props.held_thing(np.random.default_rng(3), kind, body, body.heads, resting(body), side)
    center, axes, _ = props.hand_axes(body, body.heads, side)
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-6)
    vertices = np.concatenate([mesh.vertices for mesh in meshes])
    # The knuckles are in the thing's shadow, a hand's breadth away at most; a bag is tied to them by its straps.
    assert np.linalg.norm(vertices - center, axis=1).min() < 0.12
    low, high = vertices.min(axis=0) - 0.08, vertices.max(axis=0) + 0.08
    assert ((low < center) & (center < high)).all()


def test_sunglasses_hide_the_eyes_and_glasses_do_not():
    body = toy_body()
    points = keypoints_of(body, body.template, body.heads)
    camera = looking_at(points[59:71].mean(axis=0), distance=1.0, size=(160, 160), focal=600.0)
    eyes = points[59:71]
    hidden = {}
    for kind in ("glasses", "sunglasses"):
        worn = props.headwear(np.random.default_rng(0), kind, body, body.template, resting(body), points)
        frame = render(join(worn), camera, LIGHT)
        hidden[kind] = (visibility(eyes, np.full(12, 0.004, np.float32), camera, frame.depth) == 1).mean()
    assert hidden["sunglasses"] > 0.9 and hidden["glasses"] < 0.5


@pytest.mark.parametrize("kind", ["cap", "beanie", "hat", "helmet"])
def test_a_hat_covers_the_top_of_the_head(kind):
    body = toy_body()
    points = keypoints_of(body, body.template, body.heads)
    worn = props.headwear(np.random.default_rng(1), kind, body, body.template, resting(body), points)
    top = body.template[body.skin[body.main_bone[body.skin] == body.bone["head"]], 2].max()
    assert np.concatenate([mesh.vertices for mesh in worn])[:, 2].max() > top


def test_people_with_things_are_the_same_people_twice():
    body = toy_body()
    found = {"held": 0, "worn": 0}
    for seed in range(30):
        first, second = (make_person(np.random.default_rng(seed), body, Assets()) for _ in range(2))
        np.testing.assert_array_equal(first.mesh.vertices, second.mesh.vertices)
        assert first.record == second.record
        for name in found:
            found[name] += name in first.record
        things = first.mesh.owners == props.NO_ONE
        assert things.any() == (len({"held", "worn", "seat", "table"} & set(first.record)) > 0) or first.record.get(
            "worn"
        ) in ("mask",)
    assert min(found.values()) >= 4


def test_a_masked_mouth_is_hidden():
    body = toy_body()
    masked = next(
        person
        for seed in range(200)
        if "mask" in (person := make_person(np.random.default_rng(seed), body, Assets())).record.get("worn", "")
    )
    assert (masked.tolerances[props.MASKED] < 0.5 * np.delete(masked.tolerances, props.MASKED).min()).all()
