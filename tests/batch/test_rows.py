"""Rows of results, and the way back."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wholebody.batch.rows import Result, from_table, layout, to_table
from wholebody.poses import Poses
from wholebody.schema import COCO_BODY, COCO_WHOLEBODY
from wholebody.synth.walkers import person, seen


@st.composite
def made_up(draw, name):
    """Results of one id: a picture, the frames of a video, or an error."""
    size = draw(st.none() | st.tuples(st.integers(1, 9999), st.integers(1, 9999)))
    if draw(st.booleans()):
        return [Result(name, None, size, draw(st.text(min_size=1)))]
    frames = draw(st.integers(0, 3))
    several = []
    for frame in range(max(frames, 1)):
        n = draw(st.integers(0, 3))
        rng = np.random.default_rng(draw(st.integers(0, 99)))
        arrays = [rng.normal(size=shape) for shape in ((n, 133, 2), (n, 133), (n, 4), (n,))]
        poses = Poses(*arrays, ids=rng.permutation(9)[:n] if frames else None)
        several.append(Result(name, poses, size, None, *((frame, frame / 25) if frames else (None, None))))
    return several


@settings(max_examples=25)
@given(st.data())
def test_everything_comes_back(data):
    names = data.draw(st.lists(st.text(), unique=True, max_size=4))
    results = [result for name in names for result in data.draw(made_up(name))]
    back = list(from_table(to_table(results, layout(COCO_WHOLEBODY))))

    def plain(result):
        return result.id, result.size, result.error, result.frame, result.time

    assert list(map(plain, back)) == list(map(plain, results))
    for one, other in zip(back, results, strict=True):
        assert (one.poses is None) == (other.poses is None)
        if one.poses is not None:
            for field in ("keypoints", "scores", "boxes", "box_scores"):
                np.testing.assert_array_equal(getattr(one.poses, field), getattr(other.poses, field))
            if len(one.poses):
                np.testing.assert_equal(one.poses.ids, other.poses.ids)


def test_a_row_for_each_person_and_flat_lists_of_fixed_size():
    two = seen([person(50), person(150)])
    results = [Result("a.jpg", two, (320, 240)), Result("b.jpg", Poses.empty(), (32, 24)), Result("c", error="gone")]
    table = to_table(results, layout(COCO_WHOLEBODY))
    assert table["id"].to_pylist() == ["a.jpg", "a.jpg", "b.jpg", "c"]
    assert table["people"].to_pylist() == [2, 2, 0, None]
    assert table["person"].to_pylist() == [0, 1, None, None]
    assert table.schema.field("keypoints").type == pa.list_(pa.float32(), 399)
    points = np.stack(table["keypoints"].to_numpy(zero_copy_only=False)[:2]).reshape(2, 133, 3)
    np.testing.assert_array_equal(points[..., :2], two.keypoints)
    np.testing.assert_array_equal(points[..., 2], two.scores)


def test_other_keypoints_and_other_tables():
    table = to_table([Result("a", Poses.empty(COCO_BODY))], layout(COCO_BODY))
    assert table.schema.field("keypoints").type.list_size == 51
    assert next(from_table(table)).poses.schema is COCO_BODY
    with pytest.raises(ValueError, match="no schema"):
        next(from_table(pa.table({"id": ["a"]})))
