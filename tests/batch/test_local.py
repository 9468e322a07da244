"""A run on one machine: everything once, whatever stops it, and nothing stops for a picture."""

import re
import shutil
import signal
import subprocess
import sys
import tarfile
from dataclasses import replace

import cv2
import numpy as np
import pytest

from walkers import model, picture
from wholebody import video
from wholebody.batch import Columns, Settings, local, read, run
from wholebody.batch.store import Store, part_name
from wholebody.errors import WholebodyError
from wholebody.video.frame import Frame

SIZE = (160, 120)
BOXES = ((20, 20, 50, 110), (90, 30, 115, 105))


@pytest.fixture(autouse=True)
def networks(monkeypatch):
    """Networks that find blue rectangles."""
    monkeypatch.setattr(Settings, "open", lambda self: model())


def pictures(folder, count=20):
    """Pictures of nobody, of one and of two people in turn; where they stand depends on the number."""
    folder.mkdir(exist_ok=True)
    for n in range(count):
        boxes = [np.add(box, (n % 5, 0, n % 5, 0)) for box in BOXES[: n % 3]]
        cv2.imwrite(f"{folder}/{n:03}.png", picture(boxes, SIZE))
    return folder


def go(source, output, **options):
    return run(f"{source}", f"{output}", **{"readers": 0, **options})


def known(output):
    """id -> what is known of it, in numbers; an id that comes twice is an error."""
    found = {}
    for result in read(f"{output}"):
        key = (result.id, result.frame)
        assert key not in found
        people = None if result.poses is None else (result.poses.boxes.tolist(), result.poses.keypoints.tolist())
        found[key] = (result.error, people)
    return found


def test_a_folder(tmp_path):
    reports = []
    report = go(pictures(tmp_path / "in"), tmp_path / "out", watch=reports.append)
    assert (report.found, report.before, report.done, report.frames, report.people) == (20, 0, 20, 20, 19)
    assert [r.done for r in reports] == [8, 16, 20] and replace(reports[-1], seconds=report.seconds) == report
    found = {r.id: r for r in read(f"{tmp_path / 'out'}")}
    assert list(found) == [f"{n:03}.png" for n in range(20)]
    assert {r.size for r in found.values()} == {SIZE}
    for n, result in enumerate(found.values()):
        expected = np.array(BOXES[: n % 3]).reshape(-1, 4) + np.array((n % 5, 0, n % 5, 0))
        order = result.poses.boxes[:, 0].argsort()
        np.testing.assert_allclose(result.poses.boxes[order], expected, atol=2)
    again = go(tmp_path / "in", tmp_path / "out")
    assert (again.before, again.done) == (20, 0)


def test_new_pictures_only(tmp_path):
    folder = pictures(tmp_path / "in", 5)
    go(folder, tmp_path / "out")
    before = known(tmp_path / "out")
    pictures(folder, 9)
    assert go(folder, tmp_path / "out").done == 4
    after = known(tmp_path / "out")
    assert len(after) == 9 and before.items() <= after.items()


def test_one_file_and_parts_of_bounded_size(tmp_path):
    folder = pictures(tmp_path / "in")
    go(folder, tmp_path / "out", part=8)
    go(folder, tmp_path / "one.parquet", part=8)
    assert len(list((tmp_path / "out").iterdir())) == 3
    assert (tmp_path / "out" / part_name(f"{n:03}.png" for n in range(8))).exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "one.parquet", "out"]
    assert known(tmp_path / "out") == known(tmp_path / "one.parquet")


def test_the_seconds_of_a_part(tmp_path, monkeypatch):
    monkeypatch.setattr(local, "PART_SECONDS", 0)
    go(pictures(tmp_path / "in"), tmp_path / "out")
    assert len(list((tmp_path / "out").iterdir())) == 3


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_stopped_it_keeps_what_is_ready_and_goes_on(tmp_path, stop):
    folder = pictures(tmp_path / "in")

    def stopping(report):
        if report.done >= 8:
            raise stop

    with pytest.raises(stop):
        go(folder, tmp_path / "out", watch=stopping)
    assert len(known(tmp_path / "out")) == 8
    report = go(folder, tmp_path / "out")
    assert (report.before, report.done) == (8, 12)
    go(folder, tmp_path / "whole")
    assert known(tmp_path / "out") == known(tmp_path / "whole")


def test_a_full_disk_is_an_error_and_no_half_part(tmp_path, monkeypatch):
    def full(*_):
        raise WholebodyError("out: cannot write (No space left on device).")

    folder = pictures(tmp_path / "in")
    with monkeypatch.context() as patched:
        patched.setattr(Store, "place", full)
        with pytest.raises(WholebodyError, match="No space left"):
            go(folder, tmp_path / "out")
    assert go(folder, tmp_path / "out").done == 20


def test_sigterm_stops_as_ctrl_c_does(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        go(pictures(tmp_path / "in"), tmp_path / "out", watch=lambda report: signal.raise_signal(signal.SIGTERM))
    assert len(known(tmp_path / "out")) == 8 and signal.getsignal(signal.SIGTERM) == before


KILLED = """
import os, sys
sys.path[:0] = {path!r}
from walkers import model
from wholebody.batch import Settings, run
Settings.open = lambda self: model()
if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2], readers=1, watch=lambda report: os.kill(os.getpid(), {signal}))
"""


@pytest.mark.slow
def test_killed_it_leaves_nothing_half_done_and_no_process(tmp_path):
    folder = pictures(tmp_path / "in")
    script = tmp_path / "script.py"
    script.write_text(KILLED.format(path=[p for p in sys.path if p], signal=int(signal.SIGKILL)))
    words = [sys.executable, f"{script}", f"{folder}", f"{tmp_path / 'out'}"]
    # It comes back when the last process that has its output is gone.
    killed = subprocess.run(words, capture_output=True, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert go(folder, tmp_path / "out").before == 0
    assert len(known(tmp_path / "out")) == 20


# --- What is wrong with some --------------------------------------------------------------------------------------


def test_bad_pictures_are_rows(tmp_path):
    folder = pictures(tmp_path / "in", 3)
    for name in ("a.jpg", "b.jpg"):
        (folder / name).write_bytes(b"no picture")
    (folder / "cut.png").write_bytes((folder / "000.png").read_bytes()[:-20])
    report = go(folder, tmp_path / "out")
    assert (report.done, report.frames, report.failed) == (6, 3, 3)
    assert sorted(report.errors.values()) == [(1, "cut.png"), (2, "a.jpg")]
    assert {name for (name, _), (error, _) in known(tmp_path / "out").items() if error} == {"a.jpg", "b.jpg", "cut.png"}


def test_a_network_that_fails_on_one_picture(tmp_path, monkeypatch):
    class Failing:
        def __init__(self):
            self.pose, self.detector = model().pose, model().detector

        def images(self, images):
            if any(image.shape == (7, 7, 3) for image in images):
                raise RuntimeError("no\nmemory")
            return model().images(images)

    monkeypatch.setattr(Settings, "open", lambda self: Failing())
    folder = pictures(tmp_path / "in", 4)
    cv2.imwrite(f"{folder}/002b.png", np.zeros((7, 7, 3), np.uint8))
    report = go(folder, tmp_path / "out")
    assert report.errors == {"RuntimeError: no memory": (1, "002b.png")} and report.frames == 4


def test_errors_are_final_until_they_are_to_be_tried_again(tmp_path):
    folder = pictures(tmp_path / "in", 4)
    good = (folder / "001.png").read_bytes()
    (folder / "001.png").write_bytes(b"")
    assert go(folder, tmp_path / "out").failed == 1
    (folder / "001.png").write_bytes(good)
    assert go(folder, tmp_path / "out").done == 0
    report = go(folder, tmp_path / "out", retry_errors=True)
    assert (report.before, report.done, report.failed) == (3, 1, 0)
    assert [error for error, _ in known(tmp_path / "out").values()] == [None] * 4


def test_a_refused_run_forgets_no_errors(tmp_path):
    folder = pictures(tmp_path / "in", 2)
    (folder / "000.png").write_bytes(b"")
    go(folder, tmp_path / "out")
    before = known(tmp_path / "out")
    with pytest.raises(WholebodyError, match="was made with people None"):
        go(folder, tmp_path / "out", settings=Settings(people=2), retry_errors=True)
    assert known(tmp_path / "out") == before


def test_names_that_are_not_utf8(tmp_path):
    folder = pictures(tmp_path / "in", 2)
    try:
        (folder / "001.png").rename(folder / "\udcff.png")
    except OSError:
        pytest.skip("this file system has no such names")
    with tarfile.open(folder / "x.tar", "w") as tar:
        tar.add(folder / "000.png", "a\udcff.png")
    for output in ("out", "one.parquet"):
        report = go(folder, tmp_path / output)
        assert (report.done, report.failed) == (3, 0)
        assert {name for name, _ in known(tmp_path / output)} == {"000.png", "\\udcff.png", "x.tar/a\\udcff.png"}
        assert go(folder, tmp_path / output).done == 0


def test_an_id_that_comes_twice_is_done_once(tmp_path):
    folder = pictures(tmp_path / "in", 3)
    (tmp_path / "list.txt").write_text("in/000.png\nin/001.png\nin/000.png\nin/x.tar\n")
    with tarfile.open(folder / "x.tar", "w") as tar:
        for name in ("000.png", "000.png", "002.png"):
            tar.add(folder / name, name)
    assert go(tmp_path / "list.txt", tmp_path / "out").done == 4
    assert len(known(tmp_path / "out")) == 4


# --- Other sources --------------------------------------------------------------------------------------------------


def test_an_archive_is_not_done_again(tmp_path):
    folder = pictures(tmp_path / "in", 20)
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        tar.add(folder, ".")
    report = go(tmp_path / "x.tar", tmp_path / "out")
    assert (report.found, report.done) == (None, 20)
    go(folder, tmp_path / "plain")
    in_tar = {name.removeprefix("x.tar/"): found for (name, _), found in known(tmp_path / "out").items()}
    assert in_tar == {name: found for (name, _), found in known(tmp_path / "plain").items()}
    assert go(tmp_path / "x.tar", tmp_path / "out").done == 0


def test_a_video_has_a_row_for_each_frame_and_person(tmp_path):
    frames = [Frame(n / 10, picture([np.add(BOXES[0], (n, 0, n, 0))], SIZE)) for n in range(12)]
    (tmp_path / "in").mkdir()
    video.write(tmp_path / "in" / "walk.mp4", frames, 10)
    (tmp_path / "in" / "torn.mp4").write_bytes(b"torn")
    report = go(tmp_path / "in", tmp_path / "out")
    assert (report.done, report.frames, report.people, report.failed) == (2, 12, 12, 1)
    results = [result for result in read(f"{tmp_path / 'out'}") if result.id == "walk.mp4"]
    assert [result.frame for result in results] == list(range(12))
    np.testing.assert_allclose([result.time for result in results], np.arange(12) / 10, atol=1e-3)
    assert {result.poses.ids.item() for result in results} == {1}
    assert go(tmp_path / "in", tmp_path / "out").before == 2


def test_shards_share_the_pictures(tmp_path):
    folder = pictures(tmp_path / "in")
    done = [go(folder, tmp_path / "out", shard=(n, 3)).done for n in range(3)]
    assert sum(done) == 20 and min(done) > 2 and len(known(tmp_path / "out")) == 20


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"shard": (3, 3)}, "shard 3/3"),
        ({"shard": (0, 2), "output": "one.parquet"}, "cannot write one file"),
        ({"settings": Settings(people=2)}, "made with people None"),
        ({"source": "nothing"}, "no such file"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_done(tmp_path, options, problem):
    go(pictures(tmp_path / "in", 2), tmp_path / "out")
    options = {"source": "in", "output": "out", **options}
    with pytest.raises(WholebodyError, match=problem):
        go(tmp_path / options.pop("source"), tmp_path / options.pop("output"), **options)


def test_settings_that_make_no_sense():
    for options in ({"people": 0}, {"fps": 0}):
        with pytest.raises(WholebodyError, match="give 1"):
            Settings(**options)


def test_a_parquet_file_of_pictures(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = pictures(tmp_path / "in", 3)
    files = sorted(folder.iterdir())
    columns = {"name": [path.stem for path in files], "data": [path.read_bytes() for path in files]}
    pq.write_table(pa.table(columns), tmp_path / "x.parquet")
    go(tmp_path / "x.parquet", tmp_path / "out", columns=Columns(id="name"))
    assert [name for name, _ in known(tmp_path / "out")] == ["000", "001", "002"]


def test_people_are_the_largest(tmp_path):
    go(pictures(tmp_path / "in", 6), tmp_path / "out", settings=Settings(people=1))
    assert [len(r.poses) for r in read(f"{tmp_path / 'out'}")] == [0, 1, 1, 0, 1, 1]
    shutil.rmtree(tmp_path / "out")


def test_other_readers_read_it(tmp_path):
    """DuckDB and pandas, where they are installed."""
    duckdb, pandas = pytest.importorskip("duckdb"), pytest.importorskip("pandas")
    go(pictures(tmp_path / "in", 6), tmp_path / "out")
    query = (
        f"select id, people, keypoints[1], len(keypoints) from '{tmp_path}/out/*.parquet' where person = 0 order by id"
    )
    rows = duckdb.sql(query).fetchall()
    assert [(row[0], row[1], row[3]) for row in rows] == [(f"{n:03}.png", n % 3, 399) for n in range(6) if n % 3]
    frame = pandas.read_parquet(tmp_path / "out")
    points = np.stack(frame[frame.person == 0].sort_values("id").keypoints).reshape(-1, 133, 3)
    np.testing.assert_allclose(points[:, 0, 0], [row[2] for row in rows])
    assert re.fullmatch(r"[0-9]{3}\.png", frame.id[0])
