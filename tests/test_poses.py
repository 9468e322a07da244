import json
import pickle
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wholebody.errors import WholebodyError
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


@pytest.mark.parametrize("name", ["lefthand", "feet ", None])
def test_a_part_that_is_not_there(name):
    with pytest.raises(ValueError, match="known: body, feet, face, left_hand, right_hand"):
        Poses.empty().part(name)


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


@pytest.mark.parametrize("ids", [True, False])
@pytest.mark.parametrize(("schema", "n"), [(COCO_WHOLEBODY, 2), (OPENPOSE, 1), (OPENPOSE_25, 0)])
def test_plain_numbers_and_back(schema, n, ids):
    poses = make(n, schema, ids)
    content = poses.to_dict()
    assert json.loads(json.dumps(content)) == content == json.loads(poses.to_json(indent=2))
    for back in (Poses.from_dict(content), Poses.from_json(poses.to_json().encode())):
        assert back.schema is schema
        np.testing.assert_allclose(back.keypoints, poses.keypoints, atol=0.0051)
        np.testing.assert_allclose(back.boxes, poses.boxes, atol=0.0051)
        np.testing.assert_allclose(back.scores, poses.scores, atol=0.000051)
        np.testing.assert_allclose(back.box_scores, poses.box_scores, atol=0.000051)
        assert (back.ids is None) == (not ids or n == 0)
        assert back.ids is None or back.ids.tolist() == poses.ids.tolist()
        # What is rounded once stays as it is.
        assert back.to_dict() == ({"schema": schema.name, "people": []} if n == 0 else content)


def test_what_is_no_number_is_null_and_comes_back():
    poses = make(2)
    poses.keypoints[1, 5] = np.nan
    poses.boxes[0, 2] = np.inf
    content = poses.to_dict()
    assert content["people"][1]["keypoints"][5] == [None, None] and content["people"][0]["box"][2] is None
    back = Poses.from_json(poses.to_json())
    assert np.isnan(back.keypoints[1, 5]).all() and np.isnan(back.boxes[0, 2]) and np.isnan(back.boxes).sum() == 1


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (lambda content: content.pop("schema"), "'schema' is missing"),
        (lambda content: content.update(schema="dog"), "no schema 'dog'"),
        (lambda content: content["people"][0].pop("scores"), "'scores' is missing"),
        (lambda content: content["people"][0].pop("id"), "some people have an id"),
        (lambda content: content["people"][1]["scores"].pop(), "pass what Poses.to_dict gave"),
        (lambda content: content["people"][1].update(box="here"), "pass what Poses.to_dict gave"),
        (lambda content: content.update(people=[3]), "pass what Poses.to_dict gave"),
    ],
)
def test_other_dicts_are_refused_by_name(change, names):
    content = make(2).to_dict()
    change(content)
    with pytest.raises(WholebodyError, match=names):
        Poses.from_dict(content)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": "coco_wholebody"}', "[" * 100_000])
def test_other_texts_are_refused(text):
    with pytest.raises(WholebodyError):
        Poses.from_json(text)


@given(st.floats(0.1, 10), st.floats(0.1, 10), st.floats(-500, 500), st.floats(-500, 500))
def test_scaling_there_and_back(x, y, dx, dy):
    poses = make(2)
    other = poses.scaled(x, y, (dx, dy))
    np.testing.assert_allclose(other.keypoints[0, 3], poses.keypoints[0, 3] * (x, y) + (dx, dy), rtol=1e-4, atol=1e-3)
    back = other.scaled(1 / x, 1 / y, (-dx / x, -dy / y))
    np.testing.assert_allclose(back.keypoints, poses.keypoints, atol=2e-2)
    np.testing.assert_allclose(back.boxes, poses.boxes, atol=2e-2)
    assert back.ids is poses.ids and back.scores is poses.scores
    assert_same(poses.scaled(x), poses.scaled(x, x))


def test_to_supervision():
    supervision = pytest.importorskip("supervision", reason="supervision is not installed")
    poses = make(2)
    points = poses.to_supervision(threshold=0.5)
    np.testing.assert_array_equal(points.xy, poses.keypoints)
    np.testing.assert_array_equal(points.visible, poses.scores >= 0.5)
    np.testing.assert_array_equal(points.data["tracker_id"], poses.ids)
    assert len(points) == 2 and points.data["class_name"].tolist() == ["person", "person"]
    assert len(Poses.empty().to_supervision()) == 0 and "tracker_id" not in make(1, ids=False).to_supervision().data
    # The skeleton is ours: a person who shows one bone gives one line there.
    edge = COCO_WHOLEBODY.edges[0]
    one = replace(make(1), scores=np.zeros((1, 133)))
    one.scores[0, [edge.a, edge.b]] = 1
    one.keypoints[0, edge.a], one.keypoints[0, edge.b] = (10, 10), (10, 90)
    canvas = np.zeros((100, 100, 3), np.uint8)
    annotator = supervision.EdgeAnnotator(edges=COCO_WHOLEBODY.edges_from_one, thickness=1)
    rows, columns = np.nonzero(annotator.annotate(canvas, one.to_supervision()).any(axis=2))
    assert rows.min() == 10 and rows.max() == 90 and set(columns.tolist()) == {10}


def test_to_fiftyone():
    pytest.importorskip("fiftyone", reason="FiftyOne is not installed")
    poses = make(2)
    found = poses.to_fiftyone((200, 100), threshold=0.5).keypoints
    assert [person.index for person in found] == poses.ids.tolist() and found[0].label == "person"
    points = np.array(found[1].points)
    seen = poses.scores[1] >= 0.5
    np.testing.assert_allclose(points[seen] * (200, 100), poses.keypoints[1, seen], atol=1e-4)
    assert np.isnan(points[~seen]).all()


@pytest.mark.parametrize("name", ["supervision", "fiftyone"])
def test_what_is_not_installed_is_named(name, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    convert = {"supervision": Poses.to_supervision, "fiftyone": lambda poses: poses.to_fiftyone((8, 8))}[name]
    with pytest.raises(WholebodyError, match=f"pip install {name}"):
        convert(make(1))
