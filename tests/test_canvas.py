"""Sizes of maps: the sides asked for, and where the picture comes to lie."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wholebody import WholebodyError
from wholebody.draw.canvas import Canvas, Sizing, parsed_size
from wholebody.synth.walkers import person, seen

SIDES = st.integers(16, 2000)


@pytest.mark.parametrize(
    ("sizing", "size", "scale", "shift"),
    [
        (Sizing(), (640, 480), (1, 1), (0, 0)),
        (Sizing(size=(320, 320)), (320, 320), (0.5, 0.5), (0, 40)),
        (Sizing(size=(320, 320), how="crop"), (320, 320), (2 / 3, 2 / 3), (-54, 0)),
        (Sizing(size=(320, 320), how="fit"), (320, 240), (0.5, 0.5), (0, 0)),
        (Sizing(size=(320, 320), how="stretch"), (320, 320), (0.5, 2 / 3), (0, 0)),
        (Sizing(short_side=240), (320, 240), (0.5, 0.5), (0, 0)),
        (Sizing(short_side=512, multiple=64), (704, 512), (1.1, 512 / 480), (0, 0)),
        (Sizing(multiple=64), (640, 512), (1, 512 / 480), (0, 0)),
        (Sizing(size=(500, 300), multiple=64), (512, 320), (320 / 480, 320 / 480), (42, 0)),
    ],
)
def test_canvas(sizing, size, scale, shift):
    canvas = sizing.canvas((640, 480))
    assert canvas.size == size
    np.testing.assert_allclose(canvas.scale, scale, atol=2e-3)
    assert canvas.shift == shift


@given(SIDES, SIDES, SIDES, SIDES, st.sampled_from(["pad", "crop", "fit", "stretch"]), st.sampled_from([1, 8, 64]))
def test_sizes_and_corners(width, height, wide, high, how, multiple):
    canvas = Sizing(size=(wide, high), how=how, multiple=multiple).canvas((width, height))
    assert all(side % multiple == 0 for side in canvas.size)
    corners = np.array([(0, 0), (width, height)]) * canvas.scale + canvas.shift
    low, high_corner = corners
    if how == "crop":
        assert (low <= 0).all() and (high_corner >= np.array(canvas.size) - 1e-6).all()
    else:
        assert (low >= 0).all() and (high_corner <= np.array(canvas.size) + 1e-6).all()
    if how in ("pad", "crop"):
        assert min(canvas.size[0] - np.ptp(corners[:, 0]), canvas.size[1] - np.ptp(corners[:, 1])) < 1 + 1e-6
        assert canvas.size == Sizing(size=(wide, high), how="stretch", multiple=multiple).canvas((width, height)).size


def test_points_lie_on_the_picture():
    """A white dot of the photo is where its keypoint is, whatever was padded or cut off."""
    photo = np.zeros((480, 640, 3), np.uint8)
    poses = seen([person(320, 100, 250)])
    x, y = poses.keypoints[0, 0].round().astype(int)
    photo[y - 6 : y + 7, x - 6 : x + 7] = 255
    for how in ("pad", "crop", "fit", "stretch"):
        canvas = Sizing(size=(300, 500), how=how).canvas((640, 480))
        ys, xs = np.nonzero(canvas.image(photo).max(axis=2) > 127)
        np.testing.assert_allclose(canvas.poses(poses).keypoints[0, 0], (xs.mean() + 0.5, ys.mean() + 0.5), atol=1.2)
        assert canvas.image(photo).shape == (*canvas.size[::-1], 3)


def test_the_same_size_changes_nothing():
    poses, photo = seen([person(100)]), np.zeros((480, 640, 3), np.uint8)
    canvas = Sizing().canvas((640, 480))
    assert canvas == Canvas((640, 480)) and canvas.poses(poses) is poses and canvas.image(photo) is photo
    assert Sizing().is_same and not Sizing(multiple=8).is_same


@pytest.mark.parametrize(
    "options",
    [{"size": (10, 10), "short_side": 5}, {"size": (0, 5)}, {"short_side": 0}, {"multiple": 0}, {"size": (99999, 5)}],
)
def test_what_makes_no_sense(options):
    with pytest.raises(WholebodyError):
        Sizing(**options)


def test_sizes_as_text():
    assert parsed_size("768x1344") == parsed_size("768X1344") == (768, 1344)
    for text in ("768", "768x", "axb", "1x2x3", "-1x5", ""):
        with pytest.raises(WholebodyError, match="768x1344"):
            parsed_size(text)
