"""The table of formats, and the door: a format from outside the package needs a row and nothing else."""

import numpy as np
import pytest

from wholebody import Poses, formats, write_image
from wholebody.errors import WholebodyError
from wholebody.files import replacing
from wholebody.formats.kinds import KINDS, Kind, Origin, check_kinds, place_of
from wholebody.predict.job import Job, Look
from wholebody.predict.run import run_job
from wholebody.schema import COCO_WHOLEBODY

READERS = {
    "coco": lambda path: formats.read_coco(path)["a.jpg"],
    "openpose": formats.read_openpose,
    "comfy": lambda path: formats.read_comfy(path)[0][0],
    "npz": formats.read_npz,
    "csv": lambda path: formats.read_csv(path)["a.jpg"],
}


def people(n=2):
    rng = np.random.default_rng(n)
    keypoints = rng.uniform(10, 90, (n, 133, 2)).astype(np.float32)
    boxes = np.tile(np.array([0, 0, 99, 99], np.float32), (n, 1))
    scores = rng.uniform(0.4, 0.9, (n, 133)).astype(np.float32)
    return Poses(keypoints, scores, boxes, np.ones(n, np.float32), COCO_WHOLEBODY)


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.picture])
def test_what_the_table_writes_of_a_picture_is_read_back(tmp_path, name):
    path, poses = tmp_path / "a", people()
    KINDS[name].picture(path, poses, Origin("a.jpg", (100, 100)))
    found = READERS[name](path)
    assert len(found) == 2
    np.testing.assert_allclose(found.keypoints[:, :1], poses.keypoints[:, :1], atol=0.01)


def test_places(tmp_path):
    place = tmp_path / "photo_pose"
    assert place_of(place, "coco", ["coco"]).name == "photo_pose.json"
    assert place_of(place, "coco", ["coco", "openpose"]).name == "photo_pose_coco.json"
    assert place_of(place, "npz", ["coco", "npz", "npz"]).name == "photo_pose.npz"
    assert place_of(place, "openpose", ["openpose"], video=True).name == "photo_pose_openpose"


def test_a_format_with_a_place_of_its_own_renames_no_other(tmp_path):
    place = tmp_path / "clip_pose"
    asked = ["coco", "pose2sim", "openpose", "trc", "sports2d", "csv", "deeplabcut", "coco-results"]
    for name, at in (
        ("coco", "clip_pose.json"),
        ("trc", "clip_pose.trc"),
        ("csv", "clip_pose.csv"),
        ("sports2d", "clip_pose_px.trc"),
        ("deeplabcut", "clip_pose_deeplabcut.csv"),
        ("openpose", "clip_pose_openpose"),
        ("pose2sim", "pose/clip_json"),
    ):
        assert place_of(place, name, asked, video=True) == tmp_path / at
    assert place_of(place, "comfy", ["coco", "comfy"], video=True).name == "clip_pose_comfy.json"
    # Two videos of one name, in one folder of results.
    assert place_of(tmp_path / "clip_pose2", "pose2sim", asked, video=True).name == "clip2_json"


@pytest.mark.parametrize("end", ["", "_px"])
def test_marker_files_of_people_of_an_earlier_run_go_and_nothing_else(tmp_path, end):
    kind = KINDS["sports2d" if end else "trc"]
    others = ["clip_pose_2_px.trc", "clip_pose_2.trc", "clip_pose_of_mine_2.trc", "clip_pose_mine.trc"]
    for name in others:
        (tmp_path / name).write_text("")
    one = people(1)
    frames = [(0.0, Poses(one.keypoints, one.scores, one.boxes, one.box_scores, ids=np.array([1])))]
    written = kind.video(tmp_path / f"clip_pose{end}.trc", frames, Origin("clip", (100, 100)))
    assert [path.name for path in written] == [f"clip_pose_1{end}.trc"]
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {f"clip_pose_1{end}.trc", *others} - {f"clip_pose_2{end}.trc"}


def test_an_unknown_format_is_one_line_that_names_them_all():
    with pytest.raises(WholebodyError, match=r"no format is called 'json'\. Choose one of coco, openpose"):
        check_kinds(["coco", "json"])


def test_a_format_from_outside_goes_through_predict(tmp_path, monkeypatch):
    def write(path, poses, source):
        with replacing(path) as partial:
            partial.write_text(f"{source.name} {source.size[0]}x{source.size[1]}: {len(poses)}")

    monkeypatch.setitem(KINDS, "toy", Kind(".toy", write))

    class Model:
        def images(self, images):
            return [people(3) for _ in images]

    write_image(tmp_path / "a.png", np.zeros((60, 80, 3), np.uint8))
    job = Job(Look("none", ("body",), 0.3, False), kinds=("toy", "npz"))
    assert run_job([tmp_path / "a.png"], None, Model, job) == 0
    assert (tmp_path / "a_pose.toy").read_text() == "a.png 80x60: 3"
    assert len(formats.read_npz(tmp_path / "a_pose.npz")) == 3
