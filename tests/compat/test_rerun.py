import sys
from dataclasses import replace

import numpy as np
import pytest

from wholebody.compat import rerun
from wholebody.errors import WholebodyError
from wholebody.schema import COCO_WHOLEBODY, OPENPOSE
from wholebody.synth.walkers import person, seen


@pytest.fixture
def logged(monkeypatch):
    """What is logged: the entity, and the archetype that the package itself made."""
    rr = pytest.importorskip("rerun", reason="rerun-sdk is not installed")
    calls = []
    monkeypatch.setattr(rr, "log", lambda entity, what, **_: calls.append((entity, what)))
    monkeypatch.setattr(rr, "set_time", lambda timeline, **options: calls.append((timeline, options["duration"])))
    return calls


def test_each_person_is_an_entity(logged):
    poses = replace(seen([person(100), person(300)]), ids=np.array([4, 9]))
    poses.scores[1, 23:] = 0.1
    rerun.log("people", poses, time=1.5)
    assert [entity for entity, _ in logged] == [
        "time", "people", "people/4/points", "people/4/box", "people/9/points", "people/9/box",
    ]  # fmt: skip
    content = dict(logged)
    assert content["time"] == 1.5 and type(content["people"]).__name__ == "Clear"
    points = content["people/9/points"]
    assert points.keypoint_ids.as_arrow_array().to_pylist() == list(range(23))
    np.testing.assert_allclose(points.positions.as_arrow_array().to_pylist(), poses.keypoints[1, :23])


def test_without_ids_the_rows_are_the_names(logged):
    rerun.log("a/b", seen([person(100)]))
    assert [entity for entity, _ in logged] == ["a/b", "a/b/0/points", "a/b/0/box"]
    del logged[:]
    rerun.log("a/b", seen([]))
    assert [entity for entity, _ in logged] == ["a/b"]


@pytest.mark.parametrize("schema", [COCO_WHOLEBODY, OPENPOSE])
def test_a_schema_as_a_context(schema):
    pytest.importorskip("rerun", reason="rerun-sdk is not installed")
    (described,) = rerun.skeleton(schema).context.as_arrow_array().to_pylist()[0]
    text = str(described)
    assert schema.names[0] in text and schema.names[-1] in text and "person" in text


def test_what_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "rerun", None)
    with pytest.raises(WholebodyError, match="pip install rerun-sdk"):
        rerun.log("people", seen([]))
