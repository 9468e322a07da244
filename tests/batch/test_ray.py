"""The steps that Ray runs, one after the other without Ray; and all of it, where Ray is installed."""

import tarfile

import cv2
import numpy as np
import pyarrow as pa
import pytest

from walkers import model, picture
from wholebody import video
from wholebody.batch import Columns, Settings, read, run
from wholebody.batch import ray as adapter
from wholebody.batch.sources import Source, find
from wholebody.batch.store import Store
from wholebody.errors import WholebodyError
from wholebody.video.frame import Frame

SIZE = (160, 120)
BOXES = ((20, 20, 50, 110), (90, 30, 115, 105))


@pytest.fixture
def folder(tmp_path):
    """Pictures, one of them torn, a tar of the same, and a video."""
    made = tmp_path / "in"
    made.mkdir()
    for n in range(11):
        cv2.imwrite(f"{made}/{n:02}.png", picture(BOXES[: n % 3], SIZE))
    (made / "torn.png").write_bytes(b"torn")
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        tar.add(made, "d")
    (tmp_path / "x.tar").rename(made / "x.tar")
    video.write(made / "walk.mp4", [Frame(n / 10, picture(BOXES[:1], SIZE)) for n in range(3)], 10)
    return made


def known(output):
    """What is known of each picture and frame, in an order that no engine changes."""
    found = [(r.id, r.frame, r.error, r.size, None if r.poses is None else r.poses) for r in read(f"{output}")]
    found.sort(key=lambda row: (row[0], row[1] or 0))
    assert len({row[:2] for row in found}) == len(found)
    return found


def same(one, other):
    assert [row[:4] for row in one] == [row[:4] for row in other]
    for (*_, a), (*_, b) in zip(one, other, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            # Who shares a batch moves the last bits.
            np.testing.assert_allclose(a.boxes, b.boxes, atol=1e-2)
            np.testing.assert_allclose(a.keypoints, b.keypoints, atol=1e-2)
            np.testing.assert_allclose(a.scores, b.scores, atol=1e-4)


def test_addresses_that_are_not_utf8_reach_the_steps():
    source = Source("\\udcff.png", "in/\udcff.png", "picture")
    (row,) = adapter._flat([source]).select(["id", "address", "kind"]).to_pylist()
    assert adapter._source(row) == source


@pytest.mark.parametrize("size", [1, 5, 100])
def test_the_steps_one_after_the_other(tmp_path, folder, monkeypatch, size):
    monkeypatch.setattr(Settings, "open", lambda self: model())
    settings = Settings()
    run(f"{folder}", f"{tmp_path / 'local'}", settings, readers=0)

    class NoRay:
        get = staticmethod(lambda known: known)

    monkeypatch.setitem(__import__("sys").modules, "ray", NoRay)
    store = Store(f"{tmp_path / 'steps'}", settings.about)
    done = store.open()
    actor = adapter._Actor(settings, store)
    rows = [
        row
        for block in adapter._blocks(find(f"{folder}"), size)
        for batch in adapter._decoded(block, Columns(), done)
        for row in actor(batch).to_pylist()
    ]
    middle = len(rows) // 2
    report = adapter._written(store, rows[:middle]) + adapter._written(store, rows[middle:])
    assert (report.done, report.frames, report.failed) == (25, 25, 2)
    same(known(tmp_path / "steps"), known(tmp_path / "local"))
    # A machine was lost after it had written: its part is written again.
    adapter._written(store, rows[:middle])
    same(known(tmp_path / "steps"), known(tmp_path / "local"))


def test_what_is_done_is_not_read_again(folder):
    archive = next(source for source in find(f"{folder}") if source.kind == "tar")
    done = {f"x.tar/d/{n:02}.png" for n in range(9)}
    (block,) = adapter._blocks([archive], 8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(__import__("sys").modules, "ray", type("NoRay", (), {"get": staticmethod(lambda known: known)}))
        found = pa.concat_tables(adapter._decoded(block, Columns(), done))
    assert sorted(found["id"].to_pylist()) == ["x.tar/d/09.png", "x.tar/d/10.png", "x.tar/d/torn.png"]
    assert done == {f"x.tar/d/{n:02}.png" for n in range(9)}


def test_errors_of_ours_are_found_in_rays():
    class Task(Exception):
        cause = None

    inner, outer = Task("inner"), Task("outer\nsecond line")
    assert "Ray stopped: outer. Run it again" in str(adapter._own(outer))
    outer.cause = inner
    inner.__cause__ = WholebodyError("no such network.")
    assert str(adapter._own(outer)) == "no such network."


def test_a_cluster_that_is_not_there():
    class Ray:
        is_initialized = staticmethod(lambda: False)

        @staticmethod
        def init(address, **_):
            raise ConnectionError(f"nobody at\n{address}")

    with pytest.raises(WholebodyError, match=r"\(nobody at 10\.0\.0\.1:6379\)\. Check the address"):
        adapter._join(Ray, "10.0.0.1:6379", 2)


def test_without_ray(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(WholebodyError, match=r"wholebody\[ray\]"):
        adapter.run(f"{tmp_path}", f"{tmp_path / 'out'}")


def test_on_two_workers(tmp_path, folder):
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    settings = Settings("fast", "none", threads=1, precision="fp32")
    try:
        report = adapter.run(f"{folder}", f"{tmp_path / 'ray'}", settings, workers=2, part=16)
        assert (report.done, report.frames, report.failed) == (25, 25, 2)
        assert adapter.run(f"{folder}", f"{tmp_path / 'ray'}", settings, workers=2).done == 0
        with pytest.raises(WholebodyError, match=r"none\.onnx"):
            adapter.run(f"{folder}", f"{tmp_path / 'bad'}", Settings("none.onnx"), workers=1)
    finally:
        ray.shutdown()
    local = run(f"{folder}", f"{tmp_path / 'local'}", settings, readers=0)
    assert local.people == report.people
    same(known(tmp_path / "ray"), known(tmp_path / "local"))
