"""Crops turned and mirrored, and what is said of them put back into the picture."""

import numpy as np
import pytest

from wholebody.label.closeups import MESH_68, CloseUp
from wholebody.label.looks import Cut, K, Opinion, look
from wholebody.runtime.session import Tensor
from wholebody.schema import COCO_WHOLEBODY


class Brightest:
    """Says that each of the 133 points is the brightest pixel of the crop."""

    size = (48, 64)

    def predict(self, crops):
        n, _, w, _ = crops.shape
        at = crops[..., 0].reshape(n, -1).argmax(axis=1)
        points = np.stack([at % w, at // w], axis=1).astype(float)
        return Opinion(np.repeat(points[:, None], K, axis=1), np.ones((n, K)))


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("turn", [0.0, 90.0, 180.0, 35.0])
def test_points_come_back_to_where_they_are_in_the_picture(turn, mirrored):
    image = np.zeros((120, 100, 3), np.uint8)
    image[67:70, 41:44] = 255
    found = look(Brightest(), image, np.array([[20.0, 20, 80, 100]]), Cut(turn=turn, mirrored=mirrored))
    assert np.abs(found.keypoints - [42, 68]).max() < 3.5


def test_left_is_left_after_mirroring():
    class Sides:
        size = (48, 64)

        def predict(self, crops):
            scores = np.tile(np.arange(K) / K, (len(crops), 1))
            return Opinion(np.zeros((len(crops), K, 2)), scores)

    found = look(Sides(), np.zeros((50, 50, 3), np.uint8), np.array([[0.0, 0, 50, 50]]), Cut(mirrored=True))
    np.testing.assert_allclose(found.scores[0], COCO_WHOLEBODY.flip / K)


class Hand:
    """A session that sees the same upright hand in every crop of 224 pixels."""

    inputs = (Tensor("x", (1, 224, 224, 3), "float32"),)
    outputs = (Tensor("a", (1, 63), "float32"), Tensor("b", (1, 1), "float32"))

    def __init__(self, presence=0.9):
        self.presence, self.crops = presence, []
        fingers = [[60 + 25 * f, 130 - 18 * j] for f in range(5) for j in range(4)]
        self.points = np.array([[112.0, 190], *fingers])

    def __call__(self, batch, outputs=None):
        self.crops.append(batch[0])
        flat = np.column_stack([self.points, np.zeros(21)]).reshape(1, 63)
        return [flat.astype(np.float32), np.array([[self.presence]], np.float32)]


def arm():
    """Somebody whose left forearm points upwards."""
    people = Opinion(np.zeros((1, K, 2)), np.zeros((1, K)))
    people.keypoints[0, [7, 9]] = [[100, 160], [100, 100]]
    people.scores[0, [7, 9]] = 0.9
    return people


def test_a_hand_is_looked_for_at_the_end_of_the_forearm_and_looked_at_twice():
    session, image = Hand(), np.zeros((240, 240, 3), np.uint8)
    image[70:90, 95:105] = 255
    found = CloseUp(session, "hand")(image, arm())
    assert len(session.crops) == 2
    assert session.crops[0][100:124, 100:124].max() == 1.0  # the bright spot is about in the middle
    left = found.keypoints[0, COCO_WHOLEBODY.parts["left_hand"]]
    assert left[:, 1].mean() < 110 and (found.scores[0, COCO_WHOLEBODY.parts["right_hand"]] == 0).all()


def test_no_hand_no_points():
    found = CloseUp(Hand(presence=0.1), "hand")(np.zeros((240, 240, 3), np.uint8), arm())
    assert (found.scores == 0).all()


def test_the_mesh_has_68_points_and_mirrors_as_ours():
    assert len(MESH_68) == 68 and max(max(rows) for rows in MESH_68) < 468
