"""Both stages, the export and label-free adaptation, from the command line's door to the files."""

import json

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from networks import save_detector
from people import shards_of_people
from wholebody import cli, video
from wholebody.data.coco import read_labels
from wholebody.errors import WholebodyError
from wholebody.networks.checkpoints import load_pose, save_pose
from wholebody.networks.kinds import kind_of
from wholebody.networks.rtmpose import rtmpose
from wholebody.pose.topdown import TopDown
from wholebody.runtime.choose import open_session
from wholebody.train import recipes, stages
from wholebody.train.adapt import Footage, _pictures, adapt, find_people
from wholebody.train.config import DataSource, Distill, Optim, TrainConfig, TwoStages, parse_source
from wholebody.train.recipes import second_stage

SIZE = (64, 64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Shards, a teacher and a trained student."""
    made = tmp_path_factory.mktemp("stages")
    shards_of_people(made)
    torch.manual_seed(0)
    save_pose(rtmpose("s", SIZE), made / "teacher.safetensors")
    save_pose(rtmpose("t", SIZE), made / "student.safetensors")
    return made


@pytest.fixture
def two(folder):
    first = TrainConfig(
        name="tiny", network="t", sources=(DataSource("shards", str(folder)),), input_size=SIZE, steps=5, batch=2,
        optim=Optim(warmup=1), distill=Distill(teachers=(str(folder / "teacher.safetensors"),)), workers=0,
    )  # fmt: skip
    return TwoStages(first, second_stage(first, 0.4))


@pytest.mark.slow
def test_stage_one_then_two_then_export(two, tmp_path):
    result = stages.distil(two, tmp_path)
    one, both = (load_file(tmp_path / each / "model.safetensors") for each in ("stage1", "stage2"))
    for name in one:
        same = torch.equal(one[name], both[name])
        assert same == (name.startswith("backbone.")) or not one[name].is_floating_point(), name
    final = load_file(tmp_path / "model.safetensors")
    assert all(torch.equal(final[name], both[name]) for name in both)
    rows = [json.loads(line) for line in (tmp_path / "stage2" / "metrics.jsonl").read_text().splitlines()]
    assert len(rows) == 2 and all(row.keys() >= {"logit"} and "ori" not in row for row in rows)
    model = TopDown(open_session(result, "cpu", 1))
    keypoints, scores = model.predict(np.zeros((1, 64, 64, 3), np.uint8))
    assert keypoints.shape == (1, 133, 2) and scores.shape == (1, 133)


def test_stage_two_alone_needs_stage_one(two, tmp_path):
    with pytest.raises(WholebodyError, match="Run stage 1 first"):
        stages.distil(two, tmp_path, stages=(2,))


@pytest.mark.slow
def test_recipes_from_the_command_line(two, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(recipes, "DISTILLATIONS", {"tiny": lambda: two})
    words = ["distill", "tiny", "--out", str(tmp_path / "out"), "--stages", "1", "--first.steps", "2"]
    with pytest.raises(SystemExit) as done:
        cli.main([*words, "--first.distill.beta", "0.3", "--data", f"shards:{folder}"])
    assert done.value.code == 0
    saved = json.loads((tmp_path / "out" / "stage1" / "recipe.json").read_text())
    assert saved["steps"] == 2 and saved["distill"]["beta"] == 0.3
    # What was not named keeps the recipe's value.
    assert saved["optim"]["warmup"] == 1 and saved["distill"]["alpha"] == 7e-5
    assert not (tmp_path / "out" / "stage2").exists() and (tmp_path / "out" / "model.onnx").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train", "teecher", "--out", "x"], "Did you mean 'teacher'"),
        (["distill", "dwpose-tt", "--out", "x"], "Did you mean 'dwpose-t'"),
        (["train", "debug", "--out", "x", "--data", "photos"], "is not a data set"),
    ],
)
def test_slips_on_the_command_line_are_one_line(words, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as done:
        cli.main(words)
    error = capsys.readouterr().err
    assert done.value.code == 1 and said in error and len(error.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("pool:photos=0.5", DataSource("pool", "photos", share=0.5)),
        ("coco:labels.json:pictures", DataSource("coco", "labels.json", "pictures")),
        ("shards:a/b", DataSource("shards", "a/b")),
    ],
)
def test_data_on_the_command_line(text, source):
    assert parse_source(text) == source


@pytest.mark.slow
def test_adapting_without_labels(folder, tmp_path):
    detector = save_detector(tmp_path / "detector.onnx", [[10, 10, 90, 120]], [0.9])
    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(3):
        picture = np.random.default_rng(i).integers(0, 256, (130, 110, 3), dtype=np.uint8)
        cv2.imwrite(str(photos / f"{i}.png"), picture)
    (photos / "broken.jpg").write_bytes(b"no picture")
    footage = Footage((photos,), str(detector))
    student, teacher = str(folder / "student.safetensors"), str(folder / "teacher.safetensors")
    result = adapt(footage, (teacher,), student, tmp_path / "out", steps=3, batch=2, lr=1e-3)
    labels = read_labels(tmp_path / "out" / "people" / "labels.json")
    assert len(labels) == 3 and len(labels.images) == 3
    rows = [json.loads(line) for line in (tmp_path / "out" / "stage1" / "metrics.jsonl").read_text().splitlines()]
    assert len(rows) == 3 and "logit" in rows[0] and not {"ori", "fea"} & rows[0].keys()
    before, after = load_pose(student).state_dict(), load_pose(tmp_path / "out" / "model.safetensors").state_dict()
    assert not torch.equal(before["head.cls_x.weight"], after["head.cls_x.weight"])
    assert open_session(result, "cpu", 1).inputs[0].dtype == "uint8"


def test_adapting_to_nobody_says_so(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(WholebodyError, match="no person was found"):
        find_people(Footage((tmp_path / "empty",), "none"), tmp_path / "people")


def test_a_video_gives_every_so_many_frames(tmp_path):
    frames = (video.Frame(i / 25, np.full((64, 64, 3), 20 * i, np.uint8)) for i in range(10))
    video.write(tmp_path / "clip.mp4", frames, 25)
    names = [name for name, _ in _pictures(tmp_path / "clip.mp4", 4)]
    assert names == ["clip_000000", "clip_000004", "clip_000008"]


def test_the_kind_of_a_student(folder):
    assert kind_of(load_pose(folder / "student.safetensors")) == "t"
    assert kind_of(load_pose(folder / "teacher.safetensors")) == "s"
