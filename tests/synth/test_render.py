import numpy as np
import pytest

from wholebody.synth.layers import Texture
from wholebody.synth.render import Camera, Light, Mesh, join, render, visibility

SIZE = (40, 30)
# Looks along +y from the origin: image x is world x, image y is world -z.
AHEAD = Camera(np.array([[1, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0]], np.float32), 20.0, (19.5, 14.5), SIZE)
NOON = Light(np.array([0.0, -1.0, 0.0]), np.zeros(3), np.ones(3), np.ones(3))


def flat(color, alpha=255):
    return np.full((2, 2, 4), [*color, alpha], np.uint8)


def quad(y, x0, x1, z0, z1, color=(255, 255, 255), owner=0, **settings):
    """A rectangle at depth y that faces the camera."""
    corners = np.array([[x0, y, z0], [x1, y, z0], [x1, y, z1], [x0, y, z1]], np.float32)
    image = settings.pop("image", flat(color))
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    uv = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    return Mesh(
        corners, np.tile(np.float32([[0, -1, 0]]), (4, 1)), faces, uv[faces], np.zeros(2, np.int32),
        np.full(2, owner, np.int32), (Texture(image, gloss=0, **settings),),
    )  # fmt: skip


def test_projection_centres_the_optical_axis():
    points = AHEAD.project(np.array([[0, 2, 0], [1, 2, 0], [0, 4, 1]], np.float32))
    np.testing.assert_allclose(points, [[19.5, 14.5, 2], [29.5, 14.5, 2], [19.5, 9.5, 4]])


def test_a_rectangle_covers_exactly_its_pixels():
    # x from -0.5 to 0.5 at depth 2 and focal 20: pixels 15 to 24, whose borders are 14.5 and 24.5.
    frame = render(quad(2, -0.5, 0.5, -0.25, 0.25), AHEAD, NOON)
    rows = frame.color[..., 3]
    assert rows.sum() == pytest.approx(50, abs=1e-4)
    np.testing.assert_allclose(rows[14, 13:26], [0, 0, *[1] * 10, 0], atol=1e-6)
    np.testing.assert_allclose(frame.color[14, 20, :3], 1, atol=1e-5)


def test_the_nearer_surface_wins_whatever_the_order():
    near, far = quad(2, -0.2, 0.2, -0.2, 0.2, (255, 0, 0), owner=1), quad(3, -2, 2, -2, 2, (0, 0, 255), owner=0)
    for meshes in ((near, far), (far, near)):
        frame = render(join(meshes), AHEAD, NOON)
        np.testing.assert_allclose(frame.color[14, 20, :3], [1, 0, 0], atol=1e-5)
        np.testing.assert_allclose(frame.color[9, 9, :3], [0, 0, 1], atol=1e-5)
        assert frame.owner[29, 40] == 1 and frame.owner[18, 18] == 0
        assert frame.depth[29, 40] == pytest.approx(2, abs=1e-4) and frame.depth[18, 18] == pytest.approx(3, abs=1e-4)


def test_visibility_in_a_known_scene():
    wall = quad(2, -0.5, 0.5, -0.5, 0.5)
    frame = render(wall, AHEAD, NOON)
    points = np.array(
        [
            [0, 2, 0],  # on the wall
            [0, 1, 0.2],  # before it
            [0, 2.05, 0.2],  # behind it, within the tolerance
            [0, 2.2, 0.2],  # behind it
            [1.2, 3, 0],  # beside it
            [9, 2, 0],  # outside the picture
            [0, -2, 0],  # behind the camera
        ],
        np.float32,
    )
    flags = visibility(points, np.full(len(points), 0.1, np.float32), AHEAD, frame.depth)
    assert flags.tolist() == [2, 2, 2, 1, 2, 0, 0]
    covered = np.zeros_like(frame.depth, bool)
    covered[:, :44] = True
    flags = visibility(points, np.full(len(points), 0.1, np.float32), AHEAD, frame.depth, covered)
    assert flags.tolist() == [1, 1, 1, 1, 2, 0, 0]


def test_holes_are_cut_where_the_texture_is_clear():
    image = np.full((4, 4, 4), 255, np.uint8)
    image[:, :2, 3] = 0
    fence = quad(2, -1, 1, -1, 1, (0, 255, 0), image=image, cut=True)
    frame = render(fence, AHEAD, NOON)
    assert frame.color[15, 12, 3] == 0 and frame.color[15, 27, 3] == 1
    assert np.isinf(frame.depth[30, 24]) and frame.depth[30, 54] == pytest.approx(2, abs=1e-4)


def test_textures_run_right_and_up():
    image = np.zeros((2, 2, 4), np.uint8)
    image[0, 0], image[0, 1] = (255, 0, 0, 255), (0, 255, 0, 255)
    image[1, 0], image[1, 1] = (0, 0, 255, 255), (255, 255, 255, 255)
    frame = render(quad(2, -1, 1, -1, 1, image=image), AHEAD, NOON)
    for (row, column), color in {(9, 14): [1, 0, 0], (9, 24): [0, 1, 0], (20, 14): [0, 0, 1]}.items():
        assert frame.color[row, column, :3].argmax() == np.argmax(color)


def test_perspective_is_undone_inside_a_triangle():
    # A floor that runs away from the camera, striped along its depth: the middle stripe's edge lies at half its depth.
    corners = np.array([[-1, 1, -0.5], [1, 1, -0.5], [1, 5, -0.5], [-1, 5, -0.5]], np.float32)
    image = np.zeros((64, 1, 4), np.uint8)
    image[:32], image[32:, :, 3] = 255, 255  # the far half is white
    floor = quad(0, 0, 1, 0, 1, image=image)
    floor = Mesh(corners, np.tile(np.float32([[0, 0, 1]]), (4, 1)), *[getattr(floor, n) for n in (
        "faces", "uvs", "face_textures", "owners", "textures")])  # fmt: skip
    frame = render(floor, AHEAD, NOON)
    middle = 14.5 + 20 * 0.5 / 3
    column = frame.color[:, 23, 0] / np.maximum(frame.color[:, 23, 3], 1e-6)
    edge = np.flatnonzero(column[17:] < 0.5)[0] + 17
    assert abs(edge - middle) < 1


def test_a_closed_surface_has_no_back():
    front = quad(2, -0.5, 0.5, -0.5, 0.5, closed=True)
    back = Mesh(front.vertices, front.normals, front.faces[:, ::-1].copy(), front.uvs[:, ::-1].copy(), *[
        getattr(front, n) for n in ("face_textures", "owners", "textures")])  # fmt: skip
    assert render(front, AHEAD, NOON).color[..., 3].sum() > 0
    assert render(back, AHEAD, NOON).color[..., 3].sum() == 0


def test_what_stands_before_the_sun_throws_a_shadow():
    sun = Light(np.array([0.0, -1.0, 1.0]), np.ones(3), np.zeros(3), np.zeros(3))
    wall, bar = quad(3, -1, 1, -1, 1), quad(2, -1, 1, 0.7, 0.9)
    lit = render(wall, AHEAD, sun).color[..., 0]
    shaded = render(join([wall, bar]), AHEAD, sun).color[..., 0]
    # One metre before the wall and lit from 45 degrees above: the shadow falls one metre lower.
    row = round(14.5 - 20 * (0.8 - 1.0) / 3)
    assert lit[row, 20] == pytest.approx(np.sqrt(0.5), abs=0.01)
    assert shaded[row, 20] < 0.1 * lit[row, 20]
    assert shaded[row + 6, 20] == pytest.approx(lit[row + 6, 20], abs=0.01)


def test_a_mirrored_scene_is_a_mirrored_picture():
    mesh = join([quad(2, -0.3, 0.7, -0.3, 0.4, (200, 30, 90)), quad(1.5, 0.1, 0.4, -0.4, 0.1, (10, 220, 60), owner=1)])
    flip = np.array([-1, 1, 1], np.float32)
    # Mirroring turns triangles inside out, so their corners are taken the other way round.
    mirrored = Mesh(
        mesh.vertices * flip, mesh.normals * flip, mesh.faces[:, ::-1].copy(), mesh.uvs[:, ::-1].copy(),
        mesh.face_textures, mesh.owners, mesh.textures,
    )  # fmt: skip
    a, b = render(mesh, AHEAD, NOON), render(mirrored, AHEAD, NOON)
    np.testing.assert_allclose(a.color[:, ::-1, 3], b.color[..., 3], atol=0.26)
    assert np.abs(a.color[:, ::-1] - b.color).mean() < 0.01
    points = np.random.default_rng(0).uniform([-0.8, 1, -0.5], [0.8, 3, 0.5], (200, 3)).astype(np.float32)
    tolerances = np.full(200, 0.05, np.float32)
    here, there = visibility(points, tolerances, AHEAD, a.depth), visibility(points * flip, tolerances, AHEAD, b.depth)
    assert (here != there).mean() < 0.02 and set(here) >= {1, 2}
