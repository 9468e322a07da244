"""Turning pictures before people are looked for, and their poses back."""

from types import SimpleNamespace

import numpy as np
import pytest

from networks import BLUE
from wholebody.poses import Poses
from wholebody.predict.turn import TURNS, Turned, surest, turned, turned_back
from wholebody.schema import HAND_21
from wholebody.synth.walkers import person, seen


@pytest.mark.parametrize("degrees", TURNS)
def test_points_go_back_to_their_pixels(degrees):
    image = np.zeros((40, 60, 3), np.uint8)
    image[7, 52], image[30, 3] = 255, 128
    there = turned(image, degrees)
    assert there.shape[:2] == ((60, 40) if degrees % 180 else (40, 60))
    points = np.zeros((1, 133, 2))
    for row, value in enumerate((255, 128)):
        y, x = np.argwhere(there[..., 0] == value)[0]
        points[0, row] = x, y
    box = [[0, 0, *there.shape[1::-1]]]
    back = turned_back(Poses(points, np.ones((1, 133)), box, [1]), degrees, (60, 40))
    np.testing.assert_array_equal(back.keypoints[0, :2], [(52, 7), (3, 30)])
    np.testing.assert_array_equal(back.boxes, [(0, 0, 60, 40)])


@pytest.mark.parametrize("degrees", TURNS)
def test_four_quarters_are_none(degrees):
    image = np.random.default_rng(0).integers(0, 256, (5, 8, 3), dtype=np.uint8)
    np.testing.assert_array_equal(turned(turned(image, degrees), TURNS[-(degrees // 90) % 4]), image)


def test_a_hand_alone_is_turned_too():
    hand = Poses(np.full((1, 21, 2), 5.0), np.full((1, 21), 0.5), [[0, 0, 10, 20]], [1], HAND_21)
    model = SimpleNamespace(images=lambda pictures: [hand for _ in pictures])
    poses = Turned(model, 90)(np.zeros((40, 60, 3), np.uint8))
    np.testing.assert_array_equal(poses.keypoints[0], np.full((21, 2), (5, 34)))


def upright_model():
    """Finds the person whose head is a blue dot, and is sure only where that is at the top of the picture."""

    def images(pictures):
        found = []
        for picture in pictures:
            y = np.argwhere((picture == BLUE).all(axis=2))[0, 0]
            height, width = picture.shape[:2]
            poses = seen([person(width / 2, 5, height - 10)], 0.9 if y < height / 3 and width < height else 0.2)
            found.append(poses)
        return found

    return SimpleNamespace(images=images)


def standing():
    image = np.zeros((200, 100, 3), np.uint8)
    image[20, 50] = BLUE
    return image


@pytest.mark.parametrize("degrees", TURNS)
def test_auto_takes_the_surest(degrees):
    image = turned(standing(), degrees)
    poses = Turned(upright_model(), "auto")(image)
    assert poses.scores.min() == pytest.approx(0.9)
    y, x = np.argwhere((image == BLUE).all(axis=2))[0]
    assert np.hypot(*(poses.keypoints[0, 0] - (x, y))) < 10
    back = (360 - degrees) % 360
    assert surest(upright_model(), [image, image]) == back
    np.testing.assert_allclose(Turned(upright_model(), back)(image).keypoints, poses.keypoints)
