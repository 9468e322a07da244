"""Choosing people: by size, score, place, region and id, in pictures and over clips."""

from dataclasses import replace

import numpy as np
import pytest

from wholebody import WholebodyError
from wholebody.pose.choose import Choice, order
from wholebody.synth.walkers import person, seen


def three():
    """Ids 5, 6, 7: a tall one in the middle, a small one at the right, a middling one at the left."""
    poses = seen([person(200, height=300), person(350, height=100), person(60, height=200)])
    return replace(poses, ids=np.array([5, 6, 7]), box_scores=np.array([0.7, 0.9, 0.8]))


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("size", [5, 7, 6]),
        ("score", [6, 7, 5]),
        ("left-to-right", [7, 5, 6]),
        ("right-to-left", [6, 5, 7]),
        ("top-to-bottom", [6, 7, 5]),
    ],
)
def test_order(by, expected):
    poses = three()
    assert poses[order(poses, by)].ids.tolist() == expected
    assert Choice(order=by)(poses).ids.tolist() == expected
    assert Choice(order=by, people=2)(poses).ids.tolist() == expected[:2]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (Choice(), [5, 6, 7]),
        (Choice(people=2), [5, 7]),
        (Choice(region=(0, 0, 250, 400)), [5, 7]),
        (Choice(region=(0.5, 0, 0.5, 1)), [5, 6]),
        (Choice(region=(0, 0, 250, 400), people=1), [5]),
        (Choice(keep=(7, 5)), [7, 5]),
        (Choice(keep=(7, 5), people=1), [7]),
        (Choice(keep=(7, 5), order="size"), [5, 7]),
        (Choice(region=(900, 900, 10, 10)), []),
    ],
)
def test_choice(choice, expected):
    assert choice(three(), (400, 400)).ids.tolist() == expected
    assert choice.ids([three()] * 3, (400, 400)) == expected


def test_an_id_that_nobody_has_is_an_error_with_those_there_are():
    with pytest.raises(WholebodyError, match="nobody has id 9: there are 5, 6 and 7"):
        Choice(keep=(7, 9, 5)).ids([three()], (400, 400))


def test_everybody_is_the_same_object():
    poses = three()
    assert Choice()(poses) is not None and Choice().is_all and not Choice(people=1).is_all
    np.testing.assert_array_equal(Choice()(poses).keypoints, poses.keypoints)


def test_who_crosses_in_a_clip_keeps_the_place():
    def frame(n):
        poses = seen([person(100 + 30 * n), person(300 - 10 * n), person(500)])
        return replace(poses, ids=np.array([1, 2, 3]))

    frames = [frame(n) for n in range(12)]
    assert Choice(people=2, order="left-to-right").ids(frames) == [2, 1]
    # In the first frame alone it is the other way round.
    assert Choice(people=2, order="left-to-right")(frames[0]).ids.tolist() == [1, 2]


@pytest.mark.parametrize(
    "options", [{"people": 0}, {"order": "random"}, {"region": (0, 0, 0, 10)}, {"region": (0, 0, 10, -1)}]
)
def test_what_makes_no_sense(options):
    with pytest.raises(WholebodyError):
        Choice(**options)
