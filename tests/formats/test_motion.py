"""Motion capture's files: each reader gives back what its writer was given; peers read them in test_motion_peers."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from test_formats import PIXEL, assert_close, people
from wholebody import formats
from wholebody.errors import WholebodyError
from wholebody.formats.common import row_ids
from wholebody.formats.opensim import axes_of, marker_names
from wholebody.schema import COCO_BODY, COCO_WHOLEBODY, HALPE_26, HAND_21


@st.composite
def videos(draw, schemas, rate=25.0):
    """Frames at a steady rate with people who come and go, some of whose points are missing."""
    schema = draw(st.sampled_from(schemas))
    frames = []
    for n in range(draw(st.integers(0, 5))):
        ids = sorted(draw(st.sets(st.integers(1, 20), max_size=3)))
        poses = people(len(ids), schema, np.array(ids, np.int64), seed=draw(st.integers(0, 99)))
        missing = draw(st.sets(st.integers(0, len(schema) - 1), max_size=4))
        poses.scores[:, list(missing)] = 0
        frames.append((n / rate, poses))
    return frames


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("motion")


def blank(poses):
    """What a format without points that have no score makes of it."""
    return replace(poses, keypoints=np.where(poses.scores[..., None] > 0, poses.keypoints, 0))


@settings(max_examples=15)
@given(frames=videos([COCO_WHOLEBODY, COCO_BODY, HALPE_26]))
def test_pose2sim(folder, frames):
    formats.write_pose2sim(folder / "cam01_json", frames)
    assert sorted(p.name for p in (folder / "cam01_json").iterdir()) == [
        f"cam01_{n:06d}.json" for n in range(len(frames))
    ]
    back = formats.read_pose2sim(folder / "cam01_json")
    for got, (_, want) in zip(back, frames, strict=True):
        assert len(got) == len(want) and row_ids(got) == row_ids(want)
        if len(want):
            assert_close(got, want)


@settings(max_examples=15)
@given(frames=videos([COCO_WHOLEBODY]))
def test_sign(folder, frames):
    formats.write_sign(folder / "a.pose", frames, (700, 480), 25.0)
    back = formats.read_sign(folder / "a.pose")
    columns = sorted({one for _, poses in frames for one in row_ids(poses)})
    for (at, got), (time, want) in zip(back, frames, strict=True):
        assert at == pytest.approx(time, abs=1e-6)
        assert [columns[one - 1] for one in row_ids(got)] == row_ids(want)
        np.testing.assert_array_equal(got.keypoints, blank(want).keypoints)
        np.testing.assert_array_equal(got.scores, want.scores)


@settings(max_examples=15)
@given(frames=videos([COCO_WHOLEBODY, COCO_BODY, HALPE_26]))
def test_deeplabcut(folder, frames):
    formats.write_deeplabcut(folder / "a.csv", frames)
    back = formats.read_deeplabcut(folder / "a.csv")
    alone = len({one for _, poses in frames for one in row_ids(poses)}) == 1
    for (at, got), (time, want) in zip(back, frames, strict=True):
        assert at == pytest.approx(time) and len(got) == len(want)
        assert row_ids(got) == ([1] * len(want) if alone else row_ids(want))
        if len(want):
            assert_close(got, blank(want))


AXES = [axes_of("mm", 0.001), axes_of("m", 0.001), axes_of("m", 0.0042), axes_of("mm", 0.0042), formats.SPORTS2D]


@settings(max_examples=15)
@given(frames=videos([COCO_WHOLEBODY, HAND_21]), axes=st.sampled_from(AXES))
def test_trc(folder, frames, axes):
    if not frames:
        return
    formats.write_trc(folder / "a.trc", frames, 3, 480, axes)
    times, names, points = formats.read_trc(folder / "a.trc", 480, axes)
    np.testing.assert_allclose(times, [time for time, _ in frames], atol=1e-6)
    schema = next((poses.schema for _, poses in frames if len(poses)), frames[-1][1].schema)
    assert names == marker_names(schema) and len(set(names)) == len(schema)
    for found, (_, poses) in zip(points, frames, strict=True):
        want = np.full((len(schema), 2), np.nan)
        if 3 in row_ids(poses):
            row = row_ids(poses).index(3)
            want = np.where(poses.scores[row, :, None] > 0, poses.keypoints[row], np.nan)
        np.testing.assert_allclose(found, want, atol=2 * PIXEL)


def test_the_units_of_trc(folder):
    frames = [(0.0, people(1, ids=np.array([1])))]
    x, y = frames[0][1].keypoints[0, 0]
    for axes, unit, expected in (
        (axes_of("mm", 0.001), "mm", (x, 480 - y)),
        (axes_of("m", 0.001), "m", (x / 1000, (480 - y) / 1000)),
        (axes_of("m", 0.005), "m", (x * 0.005, (480 - y) * 0.005)),
        (formats.SPORTS2D, "m", (x, y)),
    ):
        formats.write_trc(folder / "unit.trc", frames, 1, 480, axes)
        lines = (folder / "unit.trc").read_text().splitlines()
        assert lines[2].split("\t")[4] == unit
        np.testing.assert_allclose([float(cell) for cell in lines[6].split("\t")[2:4]], expected, atol=0.01)
    with pytest.raises(WholebodyError, match="metres per pixel"):
        axes_of("m", 0)


def test_what_pose2sim_and_sign_have_no_points_for_is_one_line(folder):
    frames = [(0.0, people(1, HAND_21, np.array([1])))]
    with pytest.raises(WholebodyError, match="hand_21"):
        formats.write_pose2sim(folder / "hand_json", frames)
    with pytest.raises(WholebodyError, match="hand_21"):
        formats.write_sign(folder / "hand.pose", frames, (10, 10))
    assert not (folder / "hand_json").exists() and not list(folder.glob(".hand*"))
    with pytest.raises(WholebodyError, match="65535"):
        formats.write_sign(folder / "wide.pose", frames, (70000, 10))


READERS = {"pose": formats.read_sign, "csv": formats.read_deeplabcut, "json": formats.read_pose2sim}


@pytest.mark.parametrize("content", [b"", b"dear all", b"\xff\x00" * 40, b'{"people": [{}]}'])
@pytest.mark.parametrize("suffix", READERS)
def test_other_files_are_one_line(tmp_path, suffix, content):
    place = tmp_path / f"file.{suffix}"
    if suffix == "json":
        place.mkdir()
        (place / "file_1.json").write_bytes(content)
    else:
        place.write_bytes(content)
    with pytest.raises(WholebodyError) as raised:
        READERS[suffix](place)
    assert "file" in str(raised.value) and "\n" not in str(raised.value)


def test_a_cut_pose_file_is_one_line(tmp_path):
    formats.write_sign(tmp_path / "a.pose", [(0.0, people(1, ids=np.array([1])))], (64, 64))
    whole = (tmp_path / "a.pose").read_bytes()
    (tmp_path / "a.pose").write_bytes(whole[:-5])
    with pytest.raises(WholebodyError, match="damaged"):
        formats.read_sign(tmp_path / "a.pose")


def test_json_of_a_cut_video_says_where_its_frames_are(tmp_path):
    frames = [(4.0, people(1, ids=np.array([1]))), (4.04, people(0, ids=np.zeros(0, int))), (4.08, people(1, ids=[1]))]
    numbers = [100, 101, 102]
    formats.write_coco_video(tmp_path / "coco.json", frames, numbers)
    rows = json.loads((tmp_path / "coco.json").read_text())
    assert [(row["image_id"], row["source_frame"], row["time"]) for row in rows] == [(0, 100, 4.0), (2, 102, 4.08)]
    assert formats.read_coco(tmp_path / "coco.json").keys() == {0, 2}
    formats.write_comfy_video(tmp_path / "comfy.json", frames, (64, 48), numbers)
    assert [(f["source_frame"], f["time"]) for f in json.loads((tmp_path / "comfy.json").read_text())] == [
        (100, 4.0),
        (101, 4.04),
        (102, 4.08),
    ]
    assert [len(poses) for poses in formats.read_comfy(tmp_path / "comfy.json")[0]] == [1, 0, 1]
    formats.write_pose2sim(tmp_path / "a_json", frames, numbers)
    assert json.loads((tmp_path / "a_json" / "a_000002.json").read_text())["source_frame"] == 102
    formats.write_npz_video(tmp_path / "a.npz", frames, numbers)
    assert formats.read_source_frames(tmp_path / "a.npz") == numbers
    # Where the numbers are not known there are only times.
    formats.write_coco_video(tmp_path / "coco.json", frames)
    assert "source_frame" not in json.loads((tmp_path / "coco.json").read_text())[0]
    formats.write_npz_video(tmp_path / "a.npz", frames)
    assert formats.read_source_frames(tmp_path / "a.npz") == []


def test_ids_of_pictures(tmp_path):
    names = ["000000397133.jpg", "COCO_train2014_000000000009.jpg", "7.png"]
    assert formats.image_ids(names) == dict(zip(names, (397133, 9, 7), strict=True))
    notes = tmp_path / "person_keypoints.json"
    notes.write_text(json.dumps({"images": [{"file_name": "val/cat.jpg", "id": 5}, {"file_name": "dog.jpg", "id": 6}]}))
    assert formats.image_ids(["dog.jpg", "cat.jpg"], notes) == {"dog.jpg": 6, "cat.jpg": 5}
    for wrong, given_notes, line in (
        (["cat.jpg"], None, "has no number"),
        (["a1.jpg", "b1.jpg"], None, "has the id 1, as a1.jpg has"),
        (["a1.jpg"], notes, "is not in"),
        (["a1.jpg"], tmp_path / "none.json", "cannot read"),
    ):
        with pytest.raises(WholebodyError, match=re.escape(line)):
            formats.image_ids(wrong, given_notes)
