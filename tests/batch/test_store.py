"""Parts are there whole or not at all, and an id is in one of them."""

import os
import pickle

import fsspec
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wholebody.batch.rows import Result, layout, to_table
from wholebody.batch.store import Store, part_name, read
from wholebody.errors import WholebodyError
from wholebody.schema import COCO_WHOLEBODY
from wholebody.synth.walkers import person, seen

ABOUT = {"pose": "fast"}


def table(*ids, error=None):
    poses = None if error else seen([person(50), person(150)])
    return to_table([Result(name, poses, (320, 240), error) for name in ids], layout(COCO_WHOLEBODY))


@pytest.fixture(params=["disk", "memory"])
def place(request, tmp_path):
    """A folder on a disk, and one in a bucket."""
    yield f"{tmp_path}/out" if request.param == "disk" else "memory://bucket/out"
    fsspec.filesystem("memory").store.clear()


def files(address):
    fs, path = fsspec.core.url_to_fs(address)
    return sorted(name.rpartition("/")[2] for name in fs.ls(path, detail=False)) if fs.exists(path) else []


@settings(max_examples=25)
@given(st.lists(st.text(), unique=True, min_size=2))
def test_a_part_is_called_after_its_ids(ids):
    assert part_name(ids) == part_name(reversed(ids)) != part_name(ids[1:])


def test_what_is_placed_is_done(place):
    store = Store(place, ABOUT)
    assert store.open() == set()
    store.place(["a", "b"], [table("a"), table("b")])
    store.place(["c"], [table("c", error="torn")])
    assert Store(place, ABOUT).open() == {"a", "b", "c"}
    assert [(r.id, r.error, r.poses and len(r.poses)) for r in sorted(read(place), key=lambda r: r.id)] == [
        ("a", None, 2),
        ("b", None, 2),
        ("c", "torn", None),
    ]


def test_the_same_ids_again_are_one_file(place):
    store = Store(place, ABOUT)
    store.open()
    for ids in (("a", "b"), ("b", "a")):
        store.place(ids, [table(*ids)])
    assert files(place) == [part_name(["a", "b"])]


def test_what_breaks_off_leaves_nothing(place):
    store = Store(place, ABOUT)
    store.open()

    def rows():
        yield table("a")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.place(["a", "b"], rows())
    assert files(place) == [] and store.open() == set()


def test_what_a_kill_leaves_is_no_part_and_goes(tmp_path):
    left = [tmp_path / f".part-{age}.parquet.0.partial" for age in ("young", "old")]
    for path in left:
        path.write_bytes(b"half")
    os.utime(left[1], (0, 0))
    assert Store(f"{tmp_path}", ABOUT).open() == set()
    assert list(tmp_path.iterdir()) == left[:1]


def test_while_it_is_written_nobody_takes_it_for_parquet(tmp_path):
    seen = []

    def rows():
        yield table("a")
        seen.extend(path.name for path in tmp_path.iterdir())

    Store(f"{tmp_path}", ABOUT).place(["a"], rows())
    assert [name.endswith(".partial") for name in seen] == [True]


def test_a_full_disk(tmp_path):
    def rows():
        yield table("a")
        raise OSError(28, "No space left on device")

    with pytest.raises(WholebodyError, match=r"cannot write \(No space left on device\)"):
        Store(f"{tmp_path}", ABOUT).place(["a"], rows())
    assert list(tmp_path.iterdir()) == []


def test_errors_can_be_forgotten(place):
    store = Store(place, ABOUT)
    store.open()
    store.place(["a", "b"], [table("a"), table("b", error="torn")])
    store.place(["c"], [table("c", error="gone")])
    store.place(["d"], [table("d")])
    assert store.forget_errors() == 2 and store.open() == {"a", "d"}
    assert store.forget_errors() == 0


def test_other_options_do_not_mix(place):
    store = Store(place, {"pose": "fast", "people": 1})
    store.open()
    store.place(["a"], [table("a")])
    assert Store(place, {"people": 1, "pose": "fast"}).open() == {"a"}
    with pytest.raises(WholebodyError, match=r"made with people 1\. Use the same options"):
        Store(place, {"pose": "fast", "people": None}).open()


def test_files_of_others_are_left_alone(tmp_path):
    (tmp_path / "table.parquet").write_bytes(b"theirs")
    (tmp_path / "part-0.parquet").write_bytes(b"broken")
    with pytest.raises(WholebodyError, match=r"part-0\.parquet: cannot be read"):
        Store(f"{tmp_path}", ABOUT).open()
    pq.write_table(table("a").replace_schema_metadata({"wholebody": "{}"}), tmp_path / "part-0.parquet")
    Store(f"{tmp_path}", {}).open()
    pq.write_table(table("a").replace_schema_metadata(None), tmp_path / "part-0.parquet")
    with pytest.raises(WholebodyError, match="something else"):
        Store(f"{tmp_path}", ABOUT).open()


def test_one_file(place):
    one = f"{place}/poses.parquet"
    store = pickle.loads(pickle.dumps(Store(one, ABOUT)))
    store.open()
    store.place(["a", "b"], [table("a", "b")])
    store.finish()
    assert files(place) == ["poses.parquet"] and store.open() == {"a", "b"}
    store.place(["c"], [table("c")])
    store.finish()
    assert files(place) == ["poses.parquet"]
    assert [result.id for result in read(one)] == ["a", "b", "c"]
    with fsspec.open(one) as file:
        assert pq.read_metadata(file).num_rows == 6


def test_killed_before_the_parts_are_gone(place):
    one = f"{place}/poses.parquet"
    store = Store(one, ABOUT)
    store.open()
    store.place(["a", "b"], [table("a", "b")])
    store.finish()
    # The parts that the one file was made of, back again, and one that is not in it yet.
    store.open()
    store.place(["a", "b"], [table("a", "b")])
    store.place(["b", "c"], [table("b", "c")])
    assert store.open() == {"a", "b", "c"}
    store.finish()
    assert [result.id for result in read(one)] == ["a", "b", "c"]


def test_nothing_is_no_file(place):
    store = Store(f"{place}/poses.parquet", ABOUT)
    store.open()
    store.finish()
    assert files(place) == []
    with pytest.raises(WholebodyError, match="no results here"):
        list(read(f"{place}/poses.parquet"))


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(WholebodyError, match="file/out"):
        Store(f"{tmp_path}/file/out", ABOUT).open()
