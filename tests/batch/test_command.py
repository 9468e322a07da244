"""`wholebody batch`: options, what it prints, and its exit status."""

import cv2
import pytest

import readers
from walkers import model, picture
from wholebody.batch import Settings, read
from wholebody.cli import main
from wholebody.commands import batch as command
from wholebody.errors import WholebodyError

BOXES = ((20, 20, 50, 110), (90, 30, 115, 105))


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A folder of four pictures to stand in, and networks that find blue rectangles."""
    monkeypatch.setattr(Settings, "open", lambda self: model())
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    for n in range(4):
        cv2.imwrite(f"in/{n}.png", picture(BOXES[: n % 3], (160, 120)))


def status(*words):
    with pytest.raises(SystemExit) as caught:
        main(["batch", *words])
    return caught.value.code


def test_a_folder_into_one_file(capsys):
    words = ("in", "--output", "poses.parquet", "--readers", "0")
    assert status(*words) == 0
    assert capsys.readouterr().out.startswith("poses.parquet: 4 done, 3 people in ")
    assert [len(result.poses) for result in read("poses.parquet")] == [0, 1, 2, 0]
    assert status(*words) == 0
    assert capsys.readouterr().out == "poses.parquet: 0 done, 0 people, 4 done before\n"


def test_a_refused_run_leaves_no_folder_of_parts(tmp_path, capsys, monkeypatch):
    words = ("in", "--output", "poses.parquet", "--readers", "0")

    def absent(self):
        raise WholebodyError("no such network")

    with monkeypatch.context() as patch:
        patch.setattr(Settings, "open", absent)
        assert status(*words) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    assert status(*words) == 0 and status(*words, "--threshold", "0.4") == 1
    assert "was made with threshold None" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "poses.parquet"]


def test_a_folder_that_looks_like_a_file_is_refused(tmp_path, capsys):
    assert status("in", "--output", "out.csv") == 1
    assert "--output out.csv: looks like a file" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_errors_are_counted(tmp_path, capsys):
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "in" / name).write_bytes(b"no picture")
    assert status("in", "--output", "out", "--readers", "0") == 1
    out, err = capsys.readouterr()
    assert "6 done, 3 people" in out and out.endswith("2 failed:\n")
    assert err.startswith("2 x not a picture that can be read here") and err.endswith("First: a.jpg\n")


@pytest.mark.parametrize("readers_", ["0", "1"])
def test_damaged_pictures_are_errors_when_it_is_strict(tmp_path, capsys, readers_):
    data = readers.picture(".jpg", size=(320, 240))
    (tmp_path / "in" / "bad.jpg").write_bytes(data[: len(data) // 2] + b"\xff\xd9")
    assert status("in", "--output", "kept", "--readers", readers_) == 0
    assert status("in", "--output", "refused", "--readers", readers_, "--strict") == 1
    assert capsys.readouterr().err.startswith("1 x damaged")
    assert [result.id for result in read("refused") if result.error] == ["bad.jpg"]
    assert status("in", "--output", "kept", "--readers", readers_, "--strict") == 1  # results of both kinds do not mix
    assert "strict" in capsys.readouterr().err


def test_lines_where_there_is_no_terminal(capsys, monkeypatch):
    monkeypatch.setattr(command, "_LINE_SECONDS", 0)
    status("in", "--output", "out", "--readers", "0")
    assert capsys.readouterr().err.startswith("4 of 4 done, 3 people, ")


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("none",), "no such file"),
        (("in", "--shard", "x"), "write 3/16"),
        (("in", "--shard", "²/3"), "write 3/16"),
        (("in", "--shard", "2/2"), "the first of 2 is 0/2"),
        (("in", "--part", "0"), "1 or more"),
        (("in", "--workers", "2"), "are for --engine ray"),
        (("in", "--engine", "ray", "--shard", "0/2"), "Ray distributes the work itself"),
        (("in", "--people", "0"), "people is 0"),
    ],
)
def test_what_cannot_be(words, problem, capsys):
    assert status(*words, "--output", "out") == 1
    assert problem in capsys.readouterr().err


def test_the_extra(monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert status("in", "--output", "out") == 1
    assert "needs pyarrow: pip install 'wholebody[batch]'" in capsys.readouterr().err
