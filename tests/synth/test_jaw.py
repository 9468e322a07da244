import numpy as np
import pytest
from toy_body import toy_body

from wholebody.synth.jaw import COUNT, FIRST, STEPS, jaw_paths, slide


def circle(radius=0.1, steps=200):
    """A level path on a sphere about the origin, from the left side (+x) to the front (-y), and its normals."""
    angles = np.linspace(np.pi / 2, 0, steps)
    normals = np.column_stack([np.sin(angles), -np.cos(angles), 0 * angles]).astype(np.float32)[None]
    return radius * normals, normals


@pytest.mark.parametrize("yaw", [-70, -60, -30, -10])
@pytest.mark.parametrize("distance", [0.5, 5.0])
def test_the_far_side_slides_to_the_silhouette_of_a_sphere(yaw, distance):
    paths, normals = circle()
    eye = distance * np.array([np.sin(np.deg2rad(yaw)), -np.cos(np.deg2rad(yaw)), 0])
    point = slide(paths, normals, eye)[0]
    # A sphere is seen up to where its normal and the way to the eye part by arccos(radius / distance).
    azimuth = np.deg2rad(yaw) + np.arccos(0.1 / distance)
    np.testing.assert_allclose(point, 0.1 * np.array([np.sin(azimuth), -np.cos(azimuth), 0]), atol=2e-4)


def test_the_near_side_stays():
    paths, normals = circle()
    for yaw in (30, 60, 90):
        eye = 5 * np.array([np.sin(np.deg2rad(yaw)), -np.cos(np.deg2rad(yaw)), 0])
        np.testing.assert_allclose(slide(paths, normals, eye)[0], paths[0, 0])


def test_a_path_behind_the_silhouette_ends_where_it_turns_most():
    paths, normals = circle()
    point = slide(paths, normals, (0, 5.0, 0))[0]
    np.testing.assert_allclose(point, paths[0, 0], atol=1e-6)


def test_paths_begin_at_the_points_and_end_in_the_middle():
    body = toy_body()
    vertices, weights = jaw_paths(body)
    assert vertices.shape == weights.shape == (COUNT, STEPS, 3)
    np.testing.assert_allclose(weights.sum(axis=2), 1, atol=1e-5)
    assert weights.min() > -1e-4
    places = (weights[..., None] * body.template[vertices]).sum(axis=2)
    of_jaw = (body.point_rows >= FIRST) & (body.point_rows < FIRST + COUNT)
    points = body.template[body.point_vertices[of_jaw]]
    np.testing.assert_allclose(places[:, 0], points, atol=1e-6)
    # Level lines over the box that is this body's head, to the middle of its front.
    np.testing.assert_allclose(places[..., 2], np.broadcast_to(points[:, None, 2], places.shape[:2]), atol=1e-5)
    others = np.arange(COUNT) != COUNT // 2
    np.testing.assert_allclose(places[others, -1, 0], 0, atol=1e-5)
    np.testing.assert_allclose(places[others, -1, 1], -0.12, atol=1e-5)
