"""What addresses stand for, on a disk and in a bucket."""

import gzip
import io
import tarfile
from pathlib import PureWindowsPath
from types import SimpleNamespace

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from wholebody.batch import sources
from wholebody.batch.sources import Columns, Item, Source, braces, check_columns, fetch, find, items
from wholebody.errors import WholebodyError


@pytest.fixture
def bucket():
    """A bucket in memory, empty."""
    fs = fsspec.filesystem("memory")
    fs.store.clear()
    fs.pseudo_dirs[:] = [""]
    yield "memory://bucket"
    fs.store.clear()


def put(address, data=b"x"):
    with fsspec.open(address, "wb", auto_mkdir=True) as file:
        file.write(data)


def tar_of(names, compression=""):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=f"w:{compression}") as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(name)
            tar.addfile(member, io.BytesIO(name.encode()))
    return data.getvalue()


def parquet_of(**columns):
    data = io.BytesIO()
    pq.write_table(pa.table(columns), data)
    return data.getvalue()


def test_a_folder_is_like_a_bucket(tmp_path, bucket):
    names = ["b.jpg", "a/c.PNG", "a/film.mp4", "x.tar", "y.tar.gz", "z.parquet", "no.heic"]
    for root in (f"{tmp_path}", bucket):
        for name in [*names, "notes.md", ".hidden.jpg", "a/.cache/d.jpg"]:
            put(f"{root}/{name}")
    here, there = find(f"{tmp_path}"), find(bucket)
    assert [(source.id, source.kind) for source in here] == [(source.id, source.kind) for source in there]
    assert {source.id: source.kind for source in here} == {
        **dict.fromkeys(("b.jpg", "a/c.PNG", "no.heic"), "picture"),
        "a/film.mp4": "video",
        **dict.fromkeys(("x.tar", "y.tar.gz"), "tar"),
        "z.parquet": "parquet",
    }
    assert here[0].address == f"{tmp_path}/{here[0].id}" and there[0].address == f"memory:///bucket/{there[0].id}"


@pytest.mark.parametrize(
    ("address", "ids"),
    [
        ("", ["a/1.jpg", "a/2.jpg", "b/1.jpg"]),
        ("/a", ["1.jpg", "2.jpg"]),
        ("/a/", ["1.jpg", "2.jpg"]),
        ("/*/1.jpg", ["a/1.jpg", "b/1.jpg"]),
        ("/a/*.jpg", ["1.jpg", "2.jpg"]),
        ("/a/[2-9].jpg", ["2.jpg"]),
        ("/{b,a}/1.jpg", ["b/1.jpg", "a/1.jpg"]),
        ("/a/{1..2}.jpg", ["1.jpg", "2.jpg"]),
        ("/a/1.jpg", ["1.jpg"]),
        ("/a/raw", ["raw"]),
    ],
)
def test_addresses(tmp_path, bucket, address, ids):
    for root in (f"{tmp_path}", bucket):
        for name in ("a/1.jpg", "a/2.jpg", "b/1.jpg", "a/raw"):
            put(f"{root}/{name}")
        assert [source.id for source in find(root + address)] == ids


def test_hidden_files_are_left_out_but_where_they_are_named(tmp_path):
    for name in ("a.jpg", "._a.jpg", ".cache/b.jpg"):
        put(f"{tmp_path}/{name}")
    assert [source.id for source in find(f"{tmp_path}")] == ["a.jpg"]
    assert [source.id for source in find(f"{tmp_path}/._a.jpg")] == ["._a.jpg"]


def test_special_characters_in_the_name_of_a_file(tmp_path):
    for name in ("a{1,2}.jpg", "b[1].jpg", "ü 1.jpg"):
        (tmp_path / name).touch()
        assert [source.id for source in find(f"{tmp_path}/{name}")] == [name]


def test_numbers_in_braces():
    assert braces("a-{08..11}.tar") == ["a-08.tar", "a-09.tar", "a-10.tar", "a-11.tar"]
    assert braces("{x,y}{1..2}") == ["x1", "x2", "y1", "y2"]
    assert braces("plain") == ["plain"]


def test_a_list_of_addresses(tmp_path):
    (tmp_path / "list.txt").write_text("a.jpg\n\nmemory://bucket/b.jpg\n/elsewhere/c.tar\nmemory://bucket/noname\n")
    assert find(f"{tmp_path}/list.txt") == [
        Source("a.jpg", f"{tmp_path}/a.jpg", "picture"),
        Source("memory://bucket/b.jpg", "memory://bucket/b.jpg", "picture"),
        Source("/elsewhere/c.tar", "/elsewhere/c.tar", "tar"),
        Source("memory://bucket/noname", "memory://bucket/noname", "picture"),
    ]


def test_a_list_that_begins_with_a_mark(tmp_path):
    (tmp_path / "list.txt").write_text("a.jpg\n", encoding="utf-8-sig")
    assert find(f"{tmp_path}/list.txt") == [Source("a.jpg", f"{tmp_path}/a.jpg", "picture")]


def test_a_list_from_windows(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "os", SimpleNamespace(sep="\\"))
    monkeypatch.setattr(sources, "PurePath", PureWindowsPath)
    (tmp_path / "list.txt").write_text("a.jpg\r\nC:\\photos\\b.jpg\r\n")
    assert list(sources._listed(f"{tmp_path}/list.txt")) == [
        Source("a.jpg", f"{tmp_path}/a.jpg", "picture"),
        Source("C:\\photos\\b.jpg", "C:\\photos\\b.jpg", "picture"),
    ]


def test_results_are_no_input(tmp_path):
    for name in ("a.jpg", "out/part-0.parquet", "one.parquet", "one.parquet.parts/part-0.parquet"):
        put(f"{tmp_path}/{name}")
    assert len(find(f"{tmp_path}")) == 4
    left = ["a.jpg", "one.parquet", "one.parquet.parts/part-0.parquet"]
    assert [source.id for source in find(f"{tmp_path}", f"{tmp_path}/out/")] == left
    assert [source.id for source in find(f"{tmp_path}", f"{tmp_path}/one.parquet")] == ["a.jpg", "out/part-0.parquet"]


@pytest.mark.parametrize("address", ["/nothing", "/nothing*.jpg", "/empty"])
def test_nothing_to_do(tmp_path, address):
    (tmp_path / "empty").mkdir()
    with pytest.raises(WholebodyError, match=r"no such file|nothing to do"):
        find(f"{tmp_path}{address}")


def test_what_fsspec_does_not_know():
    with pytest.raises(WholebodyError, match="nowhere://x: "):
        find("nowhere://x")


# --- Archives ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "compression"), [("a.tar", ""), ("a.tar.gz", "gz"), ("a.tgz", "gz")])
def test_pictures_of_a_tar(bucket, name, compression):
    inside = ["0.jpg", "0.json", "./1.png", "d/2.jpg", "d/._2.jpg"]
    put(f"{bucket}/{name}", tar_of(inside, compression))
    found = list(items(find(f"{bucket}/{name}")[0]))
    assert [(item.id, item.data) for item in found] == [
        (f"{name}/0.jpg", b"0.jpg"),
        (f"{name}/1.png", b"./1.png"),
        (f"{name}/d/2.jpg", b"d/2.jpg"),
    ]


@pytest.mark.parametrize(("cut", "whole"), [(10, 0), (514, 0), (1024, 1), (1024 + 100, 1), (1024 + 514, 1)])
def test_a_tar_that_is_cut_off_gives_what_was_there(bucket, cut, whole):
    put(f"{bucket}/a.tar", tar_of(["0.jpg", "1.jpg"])[:cut])
    *there, last = items(find(f"{bucket}/a.tar")[0])
    assert isinstance(last.data, WholebodyError) and "cut off or damaged" in str(last.data) and last.id == "a.tar"
    assert [item.id for item in there] == [f"a.tar/{n}.jpg" for n in range(whole)]


@pytest.mark.parametrize("compression", ["", "gz"])
@pytest.mark.parametrize("name", ["note.txt", "1.jpg"])
def test_a_tar_with_a_member_as_large_as_no_disk_comes_to_an_end(bucket, name, compression):
    """Python would go on reading blocks behind the end of the file, for years."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for each, size in (("0.jpg", 5), (name, 2**60)):
            member = tarfile.TarInfo(each)
            member.size = size
            tar.addfile(member, io.BytesIO(b"abcde") if size == 5 else None)
    packed = gzip.compress(data.getvalue()) if compression else data.getvalue()
    put(f"{bucket}/a.tar", packed)
    first, *large, last = items(find(f"{bucket}/a.tar")[0])
    assert first.data == b"abcde" and "cut off or damaged" in str(last.data)
    assert len(large) == (name == "1.jpg") and all("may have up to" in str(item.data) for item in large)


def test_pictures_of_a_parquet_file(bucket):
    put(f"{bucket}/a.parquet", parquet_of(key=["x", "y"], jpg=[b"1", None], text=["p", "q"]))
    source = find(f"{bucket}/a.parquet")[0]
    assert list(items(source)) == [Item("a.parquet/0", data=b"1"), Item("a.parquet/1", data=b"")]
    assert [item.id for item in items(source, Columns("jpg", "key"))] == ["x", "y"]


def test_rows_without_an_id_are_numbered(bucket):
    put(f"{bucket}/a.parquet", parquet_of(key=[None, "x", None], jpg=[b"1", b"2", b"3"]))
    found = items(find(f"{bucket}/a.parquet")[0], Columns(id="key"))
    assert [item.id for item in found] == ["a.parquet/0", "x", "a.parquet/2"]


def test_hugging_faces_pictures(bucket):
    rows = [{"bytes": b"1", "path": "1.jpg"}, {"bytes": None, "path": "memory://bucket/2.jpg"}]
    put(f"{bucket}/a.parquet", parquet_of(image=rows, label=[0, 1]))
    found = list(items(find(f"{bucket}/a.parquet")[0]))
    assert found == [Item("a.parquet/0", data=b"1"), Item("a.parquet/1", "memory://bucket/2.jpg")]


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        (Columns(), "several such columns"),
        (Columns("c"), "no column 'c' of bytes"),
        (Columns("a", "none"), "no column 'none'"),
    ],
)
def test_columns_that_are_not_there(bucket, columns, problem):
    put(f"{bucket}/x.parquet", parquet_of(a=[b"1"], b=[b"2"], c=[1]))
    with pytest.raises(WholebodyError, match=problem) as caught:
        check_columns(find(f"{bucket}/x.parquet")[0], columns)
    assert "a (binary)" in str(caught.value)


def test_a_file_that_only_says_that_it_is_parquet(bucket):
    put(f"{bucket}/x.parquet", b"no")
    (item,) = items(Source("x.parquet", f"{bucket}/x.parquet", "parquet"))
    assert "cut off or damaged" in str(item.data)


# --- Bytes ------------------------------------------------------------------------------------------------------------


def test_bytes_come_in_order_and_what_is_missing_is_said(tmp_path, bucket):
    put(f"{bucket}/a", b"a")
    put(f"{tmp_path}/b", b"b")
    own = WholebodyError("torn")
    b, none, c, a, missing, torn, again, nowhere = fetch(
        [
            Item("1", f"{tmp_path}/b"),
            Item("2", f"{bucket}/none"),
            Item("3", data=b"c"),
            Item("4", f"{bucket}/a"),
            Item("5", f"{tmp_path}/none"),
            Item("6", data=own),
            Item("7", f"{bucket}/a"),
            Item("8", "nowhere://x"),
        ]
    )
    assert (a, b, c, again, torn) == (b"a", b"b", b"c", b"a", own)
    for error in (none, missing):
        assert "no such file" in str(error)
    assert "nowhere" in str(nowhere)
    assert fetch([Item("1", f"{bucket}/a")]) == [b"a"]
