"""Ids: kept while people walk, cross, hide and come back; never given twice."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wholebody.poses import Poses
from wholebody.schema import FACE_106, HALPE_26, HAND_21
from wholebody.synth.walkers import person, seen
from wholebody.tracking.track import Tracker, distinct, extents, pairs, similarity, torsos, whole_body_oks

FPS = 25


def run(paths, hidden=lambda n, t: False, seconds=4.0, noise=1.0, seed=0):
    """Ids (T, N) of people n at x = paths[n](t), -1 where hidden; the order of rows is shuffled in each frame."""
    rs = np.random.RandomState(seed)
    tracker, ids = Tracker(), []
    for frame in range(int(seconds * FPS)):
        t = frame / FPS
        there = [n for n in range(len(paths)) if not hidden(n, t)]
        rs.shuffle(there)
        poses = seen([person(paths[n](t), stride=6 * t) for n in there], noise=noise, seed=seed + frame)
        row = np.full(len(paths), -1)
        row[there] = tracker.update(poses, t).ids
        ids.append(row)
    return np.array(ids)


def numbers(ids, n):
    return set(ids[:, n].tolist()) - {-1}


def test_people_keep_their_ids_whatever_their_order():
    ids = run([lambda t: 100 + 20 * t, lambda t: 400 - 10 * t, lambda t: 700])
    assert all(len(numbers(ids, n)) == 1 for n in range(3))
    assert len(set(ids[0].tolist())) == 3


@pytest.mark.parametrize("seed", range(5))
def test_ids_survive_a_crossing(seed):
    """Two people walk through one another; while they overlap, the one behind is not seen."""
    paths = [lambda t: 100 + 120 * t, lambda t: 580 - 120 * t]
    ids = run(paths, hidden=lambda n, t: n == 1 and abs(paths[0](t) - paths[1](t)) < 40, seed=seed)
    assert len(numbers(ids, 0)) == len(numbers(ids, 1)) == 1 and ids.max() == 2


def test_ids_survive_a_short_hiding():
    ids = run([lambda t: 100 + 100 * t, lambda t: 800], hidden=lambda n, t: n == 0 and 1.5 < t < 2.1)
    assert len(numbers(ids, 0)) == 1 and ids.max() == 2


def test_who_comes_back_late_is_new():
    ids = run([lambda t: 100, lambda t: 500], hidden=lambda n, t: n == 0 and 0.5 < t < 3.5)
    assert len(numbers(ids, 0)) == 2 and len(numbers(ids, 1)) == 1


def test_a_newcomer_gets_a_new_id_and_nobody_an_old_one():
    ids = run(
        [lambda t: 100, lambda t: 400, lambda t: 700], hidden=lambda n, t: (n == 1 and t > 1) or (n == 2 and t < 2)
    )
    assert all(len(numbers(ids, n)) == 1 for n in range(3)) and numbers(ids, 2) == {3}


def test_a_cut_forgets_everybody_but_not_the_numbers():
    tracker = Tracker()
    tracker.update(seen([person(100), person(300)]), 0.0)
    tracker.forget()
    assert tracker.update(seen([person(100)]), 0.04).ids.tolist() == [3]


def test_nobody_is_fine():
    tracker = Tracker()
    assert len(tracker.update(Poses.empty(), 0.0)) == 0 and tracker.boxes(0.0).shape == (0, 4)
    assert tracker.update(seen([person(100)]), 0.1).ids.tolist() == [1]
    assert tracker.update(Poses.empty(), 0.2).ids.tolist() == []


def test_boxes_go_on_with_the_person():
    tracker = Tracker()
    for frame in range(20):
        tracker.update(seen([person(100 + 8 * frame)]), frame / FPS)
    box = tracker.boxes(20 / FPS)
    np.testing.assert_allclose((box[0, 0] + box[0, 2]) / 2, 100 + 8 * 20, atol=4)
    assert len(tracker.boxes(19 / FPS + 1.0)) == 0


def test_whom_no_detector_confirms_is_given_up():
    tracker = Tracker()
    tracker.update(seen([person(100)]), 0.0)
    for frame in range(1, 60):
        tracker.update(seen([person(100)]), frame / FPS, confirmed=np.array([False]))
    assert len(tracker.boxes(60 / FPS)) == 0


@pytest.mark.parametrize(("box", "body", "there"), [(0.35, 0.1, False), (0.35, 0.6, True), (0.7, 0.1, True)])
def test_a_stranger_needs_one_network_that_is_sure(box, body, there):
    poses = seen([person(100)])
    stranger = replace(poses, box_scores=np.full(1, box, np.float32), scores=np.full_like(poses.scores, body))
    assert len(Tracker().update(stranger, 0.0)) == there
    # Somebody known may fade.
    tracker = Tracker()
    tracker.update(poses, 0.0)
    assert len(tracker.update(stranger, 0.1)) == 1


def test_going_on_with_an_earlier_run():
    """Following poses whose ids are known leaves a tracker that goes on with them."""
    first, second = Tracker(), Tracker()
    walk = [seen([person(100 + 5 * n), person(500 - 5 * n)]) for n in range(40)]
    named = [first.update(poses, n / FPS) for n, poses in enumerate(walk)]
    for n in range(10, 20):
        second.follow(named[n], n / FPS)
    assert [second.update(walk[n], n / FPS).ids.tolist() for n in range(20, 40)] == [p.ids.tolist() for p in named[20:]]


def test_two_crops_of_one_person_are_one():
    twice = seen([person(100), person(102), person(400)], scores=[0.6, 0.9, 0.8])
    assert distinct(twice).tolist() == [1, 2]
    assert distinct(Poses.empty()).tolist() == []


def test_likeness_is_one_for_the_same_and_small_for_another():
    a, b = seen([person(100)]), seen([person(100), person(300)])
    np.testing.assert_allclose(whole_body_oks(a, b), [[1, 0]], atol=1e-3)
    np.testing.assert_allclose(similarity(a, b), [[1, 0]], atol=1e-3)
    assert whole_body_oks(seen([person(100)], scores=0.1), b).tolist() == [[0, 0]]


def test_extents_need_points():
    sure, unsure = seen([person(100)]), seen([person(100)], scores=0.1)
    grown = extents(sure)
    assert (grown[:, :2] < sure.boxes[:, :2]).all() and (grown[:, 2:] > sure.boxes[:, 2:]).all()
    np.testing.assert_array_equal(extents(unsure), unsure.boxes)


@given(st.lists(st.lists(st.floats(0, 1), min_size=4, max_size=4), max_size=6), st.floats(0.1, 1))
def test_pairs_use_each_row_and_column_once(rows, least):
    scores = np.array(rows).reshape(-1, 4)
    found = pairs(scores, least)
    assert len({r for r, _ in found}) == len({c for _, c in found}) == len(found)
    values = [scores[pair] for pair in found]
    assert all(value >= least for value in values) and values == sorted(values, reverse=True)
    free = [r for r in range(len(scores)) if r not in {r for r, _ in found}]
    columns = [c for c in range(4) if c not in {c for _, c in found}]
    assert not (scores[np.ix_(free, columns)] >= least).any()


@pytest.mark.parametrize("fps", [5, 10, 60])
def test_the_rate_of_frames_does_not_matter(fps):
    tracker = Tracker()
    ids = {
        tuple(tracker.update(seen([person(100 + 90 * n / fps), person(600 - 90 * n / fps)]), n / fps).ids)
        for n in range(2 * fps)
    }
    assert ids == {(1, 2)}


@pytest.mark.parametrize("schema", [HAND_21, FACE_106, HALPE_26])
def test_hands_and_faces_alone_are_followed_too(schema):
    spread = np.random.default_rng(0).random((len(schema), 2)) * (40, 60)
    tracker, lefts = Tracker(), []
    for n in range(5):
        keypoints = np.stack([spread + np.array([20 + 3 * n, 30]), spread + np.array([200 - 3 * n, 40])])[
            :: 1 if n % 2 else -1
        ]
        boxes = np.concatenate([keypoints.min(axis=1), keypoints.max(axis=1)], axis=1)
        found = Poses(keypoints, np.full(keypoints.shape[:2], 0.9), boxes, np.ones(2), schema)
        named = tracker.update(found, n / 25)
        assert sorted(named.ids.tolist()) == [1, 2]
        lefts.append(int(named.ids[named.boxes[:, 0].argmin()]))
    # The one on the left, whichever row it is in, is always the same.
    assert len(set(lefts)) == 1


def dressed(people, colors, size=(640, 360)):
    """A picture in which the torso of each person (133, 2) has a colour; later ones are in front."""
    image = np.full((size[1], size[0], 3), 90, np.uint8)
    for points, color in zip(people, colors, strict=True):
        cv2.fillConvexPoly(image, cv2.convexHull(points[[5, 6, 12, 11]].astype(np.int32)), color)
    return image


def test_two_who_meet_and_turn_back_are_told_apart_by_their_clothes():
    """Where they were going says that they have crossed; nothing but colours says that they have not."""
    red, blue = (30, 30, 200), (200, 60, 40)

    def ids(with_looks):
        tracker, last = Tracker(), []
        for frame in range(50):
            t = frame / 25
            if 23 <= frame <= 27:  # both are hidden
                continue
            away = 8 * abs(25 - frame)
            people = [person(320 - away), person(320 + away)]
            poses = seen(people)
            looks = torsos(dressed(people, [red, blue]), poses) if with_looks else None
            last = tracker.update(poses, t, None, looks).ids.tolist()
        return last

    assert ids(True) == [1, 2]
    assert ids(False) == [2, 1]


def test_a_torso_has_the_colour_of_its_cloth_and_none_where_it_is_not_seen():
    people = [person(100), person(300), person(-60)]
    poses = seen(people, [0.9, 0.1, 0.9])
    image = dressed(people, [(30, 30, 200)] * 3)
    looks = torsos(image, poses)
    assert np.isfinite(looks[0]).all() and looks[0].argmax() == 2 and np.isnan(looks[1:]).all()
    darker = torsos((image * 0.7).astype(np.uint8), poses)
    other = torsos(dressed(people, [(200, 60, 40)] * 3), poses)
    assert np.linalg.norm(darker[0] - looks[0]) < 0.25 * np.linalg.norm(other[0] - looks[0])
    assert torsos(image, poses[:0]).shape == (0, 3)


def test_new_light_alone_does_not_end_a_track():
    tracker = Tracker()
    for frame in range(20):
        people = [person(100 + frame)]
        color = (200, 60, 40) if frame < 10 else (20, 20, 200)
        poses = seen(people)
        assert tracker.update(poses, frame / 25, None, torsos(dressed(people, [color]), poses)).ids.tolist() == [1]
