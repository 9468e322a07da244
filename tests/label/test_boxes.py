"""One box for each person out of several detectors'."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from wholebody.label.boxes import fuse

LEFT, RIGHT = [10, 10, 50, 110], [200, 20, 260, 140]
NONE = (np.zeros((0, 4)), [])


def moved(box, by):
    return [each + by for each in box]


def test_two_detectors_meet_in_the_middle_weighted_by_their_scores():
    fused = fuse([([LEFT], [0.9]), ([moved(LEFT, 4)], [0.3])])
    np.testing.assert_allclose(fused.boxes, [moved(LEFT, 1)])
    np.testing.assert_allclose(fused.scores, [0.6])
    np.testing.assert_allclose(fused.votes, [[0.9, 0.3]])


def test_who_is_seen_by_one_of_two_gets_half_of_its_score():
    fused = fuse([([LEFT, RIGHT], [0.8, 0.6]), ([LEFT], [0.8])])
    np.testing.assert_allclose(fused.boxes, [LEFT, RIGHT])
    np.testing.assert_allclose(fused.scores, [0.8, 0.3])


def test_a_detector_has_one_vote_for_a_person():
    fused = fuse([([LEFT, moved(LEFT, 2)], [0.8, 0.7]), NONE])
    np.testing.assert_allclose(fused.boxes, [LEFT])


def test_a_detector_that_is_believed_more_moves_the_box_more():
    fused = fuse([([LEFT], [0.5]), ([moved(LEFT, 4)], [0.5])], weights=[3, 1])
    np.testing.assert_allclose(fused.boxes, [moved(LEFT, 1)])


def test_nobody():
    assert len(fuse([NONE, NONE]).boxes) == 0


@given(st.lists(st.tuples(st.floats(0, 300), st.floats(0, 300), st.floats(5, 90), st.floats(0.05, 1)), max_size=12))
def test_fused_boxes_lie_within_what_was_said_and_scores_fall(rows):
    boxes = np.array([[x, y, x + w, y + 2 * w] for x, y, w, _ in rows]).reshape(-1, 4)
    scores = [score for *_, score in rows]
    fused = fuse([(boxes[::2], scores[::2]), (boxes[1::2], scores[1::2])])
    assert len(fused.boxes) <= len(rows)
    assert (np.diff(fused.scores) <= 1e-12).all()
    if rows:
        assert (fused.boxes >= boxes.min(axis=0) - 1e-6).all() and (fused.boxes <= boxes.max(axis=0) + 1e-6).all()
