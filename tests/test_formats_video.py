"""Files of a video's poses: each reader gives back what its writer was given."""

import sys
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from test_formats import PIXEL, assert_close, assert_same, people
from wholebody import formats
from wholebody.errors import WholebodyError
from wholebody.formats import opensim
from wholebody.poses import Poses
from wholebody.schema import COCO_BODY, COCO_WHOLEBODY

WRITERS = {
    "npz": (formats.write_npz_video, formats.read_npz_video, True),
    "parquet": (formats.write_parquet, formats.read_parquet, True),
    "csv": (formats.write_csv_video, formats.read_csv_video, False),
}


@st.composite
def videos(draw):
    """Frames with people who come and go, in one schema."""
    schema = draw(st.sampled_from([COCO_WHOLEBODY, COCO_BODY]))
    steps = draw(st.lists(st.floats(0.001, 2), max_size=6))
    frames = []
    for n, time in enumerate(np.cumsum([0.0, *steps])):
        ids = sorted(draw(st.sets(st.integers(1, 9), max_size=3)))
        frames.append((float(time), people(len(ids), schema, np.array(ids, np.int64), seed=n)))
    return frames


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("videos")


@pytest.mark.parametrize("kind", WRITERS)
@settings(max_examples=15)
@given(frames=videos())
def test_round_trip(folder, kind, frames):
    write, read, exact = WRITERS[kind]
    write(folder / "file", frames)
    back = read(folder / "file")
    np.testing.assert_allclose([t for t, _ in back], [t for t, _ in frames], atol=0 if exact else 1e-6, rtol=0)
    for (_, got), (_, want) in zip(back, frames, strict=True):
        if not len(want):
            assert len(got) == 0
        elif exact:
            assert_same(got, want)
        else:
            assert_close(got, want, boxes=True)
            assert got.ids.tolist() == want.ids.tolist()


def test_the_arrays_have_a_row_for_everybody_in_each_frame(tmp_path):
    frames = [(0.0, people(2, ids=[3, 8])), (0.5, people(0, ids=[])), (0.7, people(1, ids=[8], seed=2))]
    formats.write_npz_video(tmp_path / "clip.npz", frames)
    with np.load(tmp_path / "clip.npz") as file:
        assert file["keypoints"].shape == (3, 133, 2) and file["scores"].shape == (3, 133)
        assert file["times"].tolist() == [0, 0.5, 0.7] and file["counts"].tolist() == [2, 0, 1]
        assert file["ids"].tolist() == [3, 8, 8]
        np.testing.assert_array_equal(file["keypoints"][2], frames[2][1].keypoints[0])


def test_arrays_of_frames_by_people_as_version_0_1_wrote_them(tmp_path):
    both, one = people(2, ids=[3, 8]), people(1, ids=[8], seed=2)
    arrays = {
        "keypoints": np.full((3, 2, 133, 2), np.nan, np.float32),
        "scores": np.zeros((3, 2, 133), np.float32),
        "boxes": np.full((3, 2, 4), np.nan, np.float32),
        "box_scores": np.zeros((3, 2), np.float32),
    }
    for name, array in arrays.items():
        array[0], array[2, 1] = getattr(both, name), getattr(one, name)[0]
    times = np.array([0, 0.5, 0.7])
    path = tmp_path / "old.npz"
    np.savez_compressed(path, **arrays, times=times, ids=np.array([3, 8]), schema="coco_wholebody")
    back = formats.read_npz_video(path)
    assert [time for time, _ in back] == times.tolist() and len(back[1][1]) == 0
    assert_same(back[0][1], both)
    assert_same(back[2][1], one)


@pytest.mark.parametrize("kind", ["npz", "parquet"])
def test_nobody_is_lost(tmp_path, kind):
    """A person without a box, and two people of one id, are three people."""
    if kind == "parquet":
        pytest.importorskip("pyarrow")
    poses = people(3, ids=[1, 7, 7])
    poses.boxes[0] = np.nan
    write, read, _ = WRITERS[kind]
    write(tmp_path / "file", [(0.0, poses)])
    assert_same(read(tmp_path / "file")[0][1], poses)


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("number", [2**53 + 1, 2**63 - 1, -(2**63)])
def test_ids_are_whole_numbers_of_any_size(tmp_path, kind, number):
    write, read, _ = WRITERS[kind]
    write(tmp_path / "file", [(0.0, people(2, ids=[number, number - 1 if number > 0 else 5]))])
    assert number in read(tmp_path / "file")[0][1].ids.tolist()


def test_many_frames_of_many_people_are_not_larger_than_who_is_there(tmp_path):
    frames = [(n / 25, people(1, ids=[n])) for n in range(300)]
    formats.write_npz_video(tmp_path / "clip.npz", frames)
    with zipfile.ZipFile(tmp_path / "clip.npz") as archive:
        assert sum(member.file_size for member in archive.infolist()) < 300 * 2000


@pytest.mark.parametrize("kind", WRITERS)
def test_people_without_ids_are_refused(tmp_path, kind):
    with pytest.raises(WholebodyError, match="ids"):
        WRITERS[kind][0](tmp_path / "file", [(0.0, people(2))])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("content", [b"", b"dear all", None])
def test_other_files_are_one_line(tmp_path, kind, content):
    if content is not None:
        (tmp_path / "file").write_bytes(content)
    with pytest.raises(WholebodyError) as raised:
        WRITERS[kind][1](tmp_path / "file")
    assert "file" in str(raised.value) and "\n" not in str(raised.value)


def test_a_video_of_nobody(tmp_path):
    for write, read, _ in WRITERS.values():
        write(tmp_path / "file", [(0.0, Poses.empty()), (0.1, Poses.empty())])
        assert [(t, len(poses)) for t, poses in read(tmp_path / "file")] == [(0.0, 0), (0.1, 0)]


def test_trc_is_upright_and_blank_where_nobody_is(tmp_path):
    frames = [(n / 25, people(2, ids=[1, 2], seed=n) if n != 1 else people(1, ids=[1])) for n in range(4)]
    frames[2][1].scores[1, 5] = 0
    formats.write_trc(tmp_path / "two.trc", frames, 2, height=480)
    lines = (tmp_path / "two.trc").read_text().splitlines()
    assert lines[0].startswith("PathFileType\t4") and lines[2].split("\t")[:5] == ["25", "25", "4", "133", "mm"]
    assert {len(line.split("\t")) for line in lines[6:]} == {2 + 3 * 133}
    times, names, points = formats.read_trc(tmp_path / "two.trc", height=480)
    np.testing.assert_allclose(times, np.arange(4) / 25, atol=1e-6)
    assert names == opensim.marker_names(COCO_WHOLEBODY) and len(set(names)) == 133
    assert names[11:13] == ("LHip", "RHip") and names[17] == "LBigToe"
    np.testing.assert_allclose(points[0], frames[0][1].keypoints[1], atol=2 * PIXEL)
    assert np.isnan(points[1]).all() and np.isnan(points[2, 5]).all() and np.isfinite(points[3]).all()
    # Y is up: a point at the top of the picture has the largest.
    first = float(lines[6].split("\t")[3])
    assert first == pytest.approx(480 - frames[0][1].keypoints[1, 0, 1], abs=0.01)


def test_arrays_are_written_in_few_passes(tmp_path):
    """Each pass of a resumable run reads its parts and smooths them again: one to count, one for each large array."""
    passes = []

    class Video(list):
        def __iter__(self):
            passes.append(1)
            return super().__iter__()

    frames = Video((n / 25, people(n % 3, ids=[7, 2][: n % 3], seed=n)) for n in range(6))
    formats.write_npz_video(tmp_path / "a.npz", frames)
    assert len(passes) == 5
    assert [poses.ids.tolist() for _, poses in formats.read_npz_video(tmp_path / "a.npz")] == [[], [7], [2, 7]] * 2


def test_trcs_of_many_are_those_of_each_in_few_passes(tmp_path, monkeypatch):
    monkeypatch.setattr(opensim, "_TRC_OPEN", 2)
    passes = []

    class Video(list):
        def __iter__(self):
            passes.append(1)
            return super().__iter__()

    frames = Video((n / 25, people(3, ids=[1, 2, 3 + n % 2], seed=n)) for n in range(4))
    paths = {person: tmp_path / "all" / f"{person}.trc" for person in (1, 2, 3, 4)}
    formats.write_trcs(paths, frames, 480)
    assert len(passes) == 3
    for person, path in paths.items():
        formats.write_trc(tmp_path / path.name, frames, person, 480)
        assert path.read_bytes() == (tmp_path / path.name).read_bytes()


def test_parquet_without_its_library_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(WholebodyError, match="parquet"):
        formats.write_parquet(tmp_path / "file", [])


@pytest.mark.parametrize(("fps", "written"), [(24000 / 1001, "23.976"), (None, "23.9796"), (50.0, "23.9796")])
def test_the_rate_of_marker_files_is_the_videos_where_its_times_are_rounded(tmp_path, fps, written):
    times = [round(n * 1001 / 24000, 3) for n in range(48)]
    times[-1] = 47 / 23.9796  # as far off as a file with times in milliseconds can be
    frames = [(time, people(1, ids=[1], seed=n)) for n, time in enumerate(times)]
    formats.write_trcs({1: tmp_path / "a.trc"}, frames, 480, fps)
    assert (tmp_path / "a.trc").read_text().splitlines()[2].split("\t")[0] == written
