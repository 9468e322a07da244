"""`wholebody synth` and `wholebody data view` from outside, with the toy body as body file."""

import json

import cv2
import numpy as np
import pytest
from test_bvh import write
from toy_body import toy_body

from wholebody import cli
from wholebody.data.shards import read_manifest, read_shards
from wholebody.synth.body import save_body
from wholebody.synth.shards import sha256


@pytest.fixture
def run(capsys):
    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            cli.main([str(a) for a in arguments])
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        return end.value.code, printed.out, printed.err

    return run


@pytest.fixture(scope="module")
def body(tmp_path_factory):
    path = tmp_path_factory.mktemp("body") / "body.npz"
    save_body(path, toy_body())
    return path


@pytest.mark.slow
def test_a_set_is_made_and_looked_at(run, body, tmp_path):
    out, preview = tmp_path / "set", tmp_path / "sheet.png"
    words = ("synth", out, "--size", "64x64", "--seed", 3, "--workers", 1, "--body", body)
    status, printed, _ = run(*words, "--count", 4, "--preview", preview)
    assert status == 0 and "4 pictures in 1 shards" in printed
    shards = read_shards(out)
    assert len(shards) == 4 and max(shards.image(0).shape) == 80
    assert cv2.imread(str(preview)) is not None
    manifest = read_manifest(out)
    assert manifest["options"] == {
        "kind": "crops", "size": 80, "held_out": False, "body": sha256(body), "assets": None, "backgrounds": None,
    }  # fmt: skip
    before = (out / "00000.tar").read_bytes()
    assert run(*words, "--count", 4)[0] == 0 and (out / "00000.tar").read_bytes() == before
    status, _, errors = run(*words, "--count", 4, "--held-out")
    assert status == 1 and "another set: its held_out is False, not True" in errors
    status, printed, _ = run("data", "view", out, "--output", tmp_path / "view.jpg", "--count", 2)
    assert status == 0 and "2 pictures" in printed


@pytest.mark.slow
def test_people_move_as_a_motion_file_says(run, body, tmp_path):
    rig = toy_body()
    rest = np.tile(np.eye(3), (2, len(rig.bones), 1, 1))
    motion, out = tmp_path / "still.bvh", tmp_path / "moved"
    motion.write_text(write(rig.bones, rig.parents, rig.heads, rest, np.eye(3)))
    words = ("synth", out, "--count", 40, "--size", "64x64", "--workers", 1, "--body", body)
    assert run(*words, "--bvh", motion)[0] == 0
    assert {"bvh"} < {record["sampled"]["stance"] for record in read_shards(out).records}
    assert read_manifest(out)["options"]["bvh"] == [sha256(motion)]
    motion.write_text("HIERARCHY")
    status, _, errors = run(*words, "--bvh", motion)
    assert status == 1 and str(motion) in errors


@pytest.mark.slow
def test_scenes_are_a_size_of_their_own(run, body, tmp_path):
    out = tmp_path / "scenes"
    status, _, _ = run("synth", out, "--count", 3, "--size", "scenes", "--workers", 1, "--body", body)
    assert status == 0
    assert all(
        "people" in record and max(record["width"], record["height"]) == 640 for record in read_shards(out).records
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--count", "0"), "--count 0: must be 1 or more"),
        (("--count", "3", "--size", "256"), "give height x width"),
        (("--count", "3", "--size", "9x9"), "give height x width"),
        (("--count", "3", "--workers", "0"), "--workers 0: must be 1 or more"),
        (("--count", "3", "--preview", "sheet.gif"), "name a .jpg or .png"),
        (("--count", "3", "--backgrounds", "nowhere"), "nowhere: cannot read"),
        (("--count", "3", "--assets", "nowhere.tar"), "nowhere.tar: cannot read"),
        (("--count", "3", "--body", "nowhere.npz"), "wholebody synth body"),
    ],
)
def test_what_cannot_be_done_is_one_line(run, body, tmp_path, words, message):
    extra = () if "--body" in words else ("--body", body)
    status, _, errors = run("synth", tmp_path / "set", *words, *extra)
    assert status == 1 and message in errors and len(errors.strip().splitlines()) == 1
    assert not (tmp_path / "set").exists()


def test_a_body_file_that_is_none_is_one_line(run, tmp_path):
    (tmp_path / "body.npz").write_bytes(b"nothing")
    status, _, errors = run("synth", tmp_path / "set", "--count", 3, "--workers", 1, "--body", tmp_path / "body.npz")
    assert status == 1 and "not a body file" in errors and len(errors.strip().splitlines()) == 1


def test_the_body_command_names_the_extra(run, tmp_path, monkeypatch):
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "anny" else found(name))
    status, _, errors = run("synth", "body", tmp_path / "body.npz")
    assert status == 1 and "wholebody[anny]" in errors


@pytest.mark.slow
def test_records_of_crops_say_how_they_are_framed(run, body, tmp_path):
    run("synth", tmp_path, "--count", 60, "--size", "64x64", "--workers", 1, "--body", body)
    framings = [record["sampled"]["framing"] for record in read_shards(tmp_path).records]
    assert 0 < framings.count("hand") < 15 and 0 < framings.count("head") < 15 and framings.count("full") > 12
    json.dumps(read_shards(tmp_path).records)
