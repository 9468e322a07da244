"""One pose out of several opinions, and what people labelled."""

import numpy as np
import pytest

from wholebody.label.keypoints import LSP_14, agreement, from_rows, fuse, with_people
from wholebody.label.looks import K, Opinion
from wholebody.schema import COCO_WHOLEBODY

BOX = np.array([[0.0, 0, 100, 200]])
NAMES = list(COCO_WHOLEBODY.names)


def person(seed=0, shift=0.0, score=0.9):
    points = np.random.default_rng(seed).uniform(10, 90, (1, K, 2)) * [1, 2]
    return Opinion(points + shift, np.full((1, K), score))


def test_opinions_that_are_the_same_keep_their_place_and_score():
    fused = fuse([person(), person()], BOX)
    np.testing.assert_allclose(fused.keypoints, person().keypoints)
    np.testing.assert_allclose(fused.scores, 0.9)


def test_two_of_three_win_and_the_third_lowers_the_confidence():
    wrong = person(score=0.95)
    wrong.keypoints[:, 7] += 60
    fused = fuse([person(), person(), wrong], BOX)
    np.testing.assert_allclose(fused.keypoints[0, 7], person().keypoints[0, 7], atol=1)
    assert fused.scores[0, 7] == pytest.approx(0.6, abs=0.02)
    assert fused.scores[0, 8] == pytest.approx((0.9 + 0.9 + 0.95) / 3, abs=0.01)


def test_who_knows_nothing_of_a_point_has_no_say():
    body = person()
    body.scores[:, 17:] = 0
    fused = fuse([person(), body], BOX)
    np.testing.assert_allclose(fused.scores, 0.9)


def test_what_nobody_knows_stays_unlabelled():
    nothing = person(score=0.0)
    assert (fuse([nothing, nothing], BOX).scores == 0).all()


def test_agreement_falls_with_distance_and_with_smaller_people():
    near = agreement(person().keypoints, person(shift=2).keypoints, BOX)
    far = agreement(person().keypoints, person(shift=8).keypoints, BOX)
    small = agreement(person().keypoints, person(shift=2).keypoints, BOX / 4)
    assert (far < near).all() and (small < near).all() and near.max() <= 1


def lsp(opinion):
    rows = np.where(LSP_14 >= 0, LSP_14, 0)
    return np.dstack([opinion.keypoints[:, rows], np.ones((1, 14))])


def test_labels_of_people_are_kept_and_others_filled_in():
    human = from_rows(lsp(person(shift=1)), LSP_14)
    both = with_people(person(), human, BOX)
    np.testing.assert_allclose(both.keypoints[0, 16], person(shift=1).keypoints[0, 16])
    np.testing.assert_allclose(both.keypoints[0, 0], person().keypoints[0, 0])
    assert both.scores[0, 16] > 0.9


def test_lsp_names_what_we_name():
    right = ["right_ankle", "right_knee", "right_hip"]
    arm = ["right_wrist", "right_elbow", "right_shoulder"]
    for names, rows in ((right, LSP_14[:3]), (arm, LSP_14[6:9])):
        assert [NAMES[row] for row in rows] == names
    # The left side follows from the body outwards.
    assert (LSP_14[3:6] == COCO_WHOLEBODY.flip[LSP_14[:3]][::-1]).all()
    assert (LSP_14[9:12] == COCO_WHOLEBODY.flip[LSP_14[6:9]][::-1]).all()


def test_left_and_right_that_were_exchanged_are_put_right():
    mirrored = Opinion(person().keypoints[:, COCO_WHOLEBODY.flip], person().scores)
    both = with_people(person(), from_rows(lsp(mirrored), LSP_14), BOX)
    np.testing.assert_allclose(both.keypoints[0, 5:17], person().keypoints[0, 5:17])


def test_a_click_that_went_wrong_counts_little():
    human = from_rows(lsp(person()), LSP_14)
    human.keypoints[0, 9] += 70
    both = with_people(person(), human, BOX)
    assert both.scores[0, 9] < 0.3 < both.scores[0, 10]
