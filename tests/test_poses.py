import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wholebody.poses import Poses
from wholebody.schema import COCO_WHOLEBODY, OPENPOSE, OPENPOSE_25, conversion


def make(n, schema=COCO_WHOLEBODY, ids=True, seed=0):
    """N people whose numbers are all different."""
    rs, k = np.random.RandomState(seed), len(schema)
    arrays = (rs.random_sample(shape) * 100 for shape in ((n, k, 2), (n, k), (n, 4), (n,)))
    return Poses(*arrays, schema, np.arange(n) + 7 if ids else None)


def assert_same(a, b):
    assert a.schema is b.schema
    for name in ("keypoints", "scores", "boxes", "box_scores"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    if a.ids is None or b.ids is None:
        assert a.ids is b.ids
    else:
        np.testing.assert_array_equal(a.ids, b.ids)


@pytest.mark.parametrize("change", [
    {"keypoints": np.zeros((2, 133, 3))}, {"keypoints": np.zeros((2, 17, 2))}, {"keypoints": np.zeros((3, 133, 2))},
    {"scores": np.zeros((2, 132))}, {"boxes": np.zeros((2, 5))}, {"boxes": np.zeros((1, 4))},
    {"box_scores": np.zeros(3)}, {"box_scores": np.zeros((2, 1))}, {"ids": np.zeros(1)}, {"schema": OPENPOSE},
])  # fmt: skip
def test_shapes_are_checked(change):
    fields = {"keypoints": np.zeros((2, 133, 2)), "scores": np.zeros((2, 133)), "boxes": np.zeros((2, 4))}
    Poses(**fields, box_scores=np.zeros(2))
    with pytest.raises(ValueError, match="has shape"):
        Poses(**{**fields, "box_scores": np.zeros(2), **change})


def test_types_are_fixed():
    poses = Poses(np.zeros((1, 133, 2)), np.zeros((1, 133), int), [[0, 0, 1, 1]], [1], ids=[3])
    assert {a.dtype for a in (poses.keypoints, poses.scores, poses.boxes, poses.box_scores)} == {np.dtype(np.float32)}
    assert poses.ids.dtype == np.int64


@pytest.mark.parametrize("schema", [COCO_WHOLEBODY, OPENPOSE])
def test_nobody(schema):
    empty = Poses.empty(schema)
    assert len(empty) == 0 and list(empty) == [] and empty.keypoints.shape == (0, len(schema), 2)
    assert_same(empty[np.zeros(0, bool)], empty)
    assert_same(empty[[]], empty)
    assert len(Poses.concatenate([])) == 0
    if schema is COCO_WHOLEBODY:
        assert len(empty.to(OPENPOSE)) == 0


@pytest.mark.parametrize(
    ("index", "rows"),
    [
        (0, [0]), (-1, [3]), (np.int64(2), [2]), (slice(1, 3), [1, 2]), (slice(None, None, -1), [3, 2, 1, 0]),
        ([2, 0], [2, 0]), ([], []), (np.array([1, 1]), [1, 1]), (np.array([True, False, False, True]), [0, 3]),
        ([False, True, False, False], [1]), (slice(9, 12), []),
    ],
)  # fmt: skip
def test_indexing(index, rows):
    poses = make(4)
    picked = poses[index]
    np.testing.assert_array_equal(picked.ids, poses.ids[rows])
    np.testing.assert_array_equal(picked.keypoints, poses.keypoints[rows])
    np.testing.assert_array_equal(picked.box_scores, poses.box_scores[rows])


@pytest.mark.parametrize("index", [4, -5])
def test_nobody_there(index):
    with pytest.raises(IndexError, match=f"person {index} of 4"):
        make(4)[index]


def test_parts():
    poses = make(2)
    for name, rows in COCO_WHOLEBODY.parts.items():
        keypoints, scores = poses.part(name)
        np.testing.assert_array_equal(keypoints, poses.keypoints[:, rows])
        np.testing.assert_array_equal(scores, poses.scores[:, rows])


@pytest.mark.parametrize("target", [OPENPOSE, OPENPOSE_25], ids=lambda schema: schema.name)
def test_to_another_schema(target):
    poses = make(3)
    moved = poses.to(target)
    assert moved.schema is target and poses.to(COCO_WHOLEBODY) is poses
    for row, sources in enumerate(conversion(COCO_WHOLEBODY, target)):
        np.testing.assert_allclose(moved.keypoints[:, row], poses.keypoints[:, sources].mean(axis=1), rtol=1e-6)
        np.testing.assert_array_equal(moved.scores[:, row], poses.scores[:, sources].min(axis=1))
    np.testing.assert_array_equal(moved.ids, poses.ids)


@given(st.lists(st.integers(0, 3), max_size=4))
def test_concatenate_and_take_apart(counts):
    parts = [make(n, seed=i) for i, n in enumerate(counts)]
    whole = Poses.concatenate(parts)
    assert len(whole) == sum(counts)
    start = 0
    for part in parts:
        assert_same(whole[start : start + len(part)], part)
        start += len(part)
    if len(whole):
        assert_same(Poses.concatenate(list(whole)), whole)


def test_concatenate_needs_one_schema_and_all_ids():
    with pytest.raises(ValueError, match="different schemas"):
        Poses.concatenate([make(1), make(1, OPENPOSE)])
    assert Poses.concatenate([make(1), make(2, ids=False)]).ids is None


def test_a_worker_process_gets_the_same():
    poses = make(2)
    assert_same(pickle.loads(pickle.dumps(poses)), poses)
