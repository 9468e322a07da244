"""What a training cannot begin with is one line that says what to do."""

import io
import json
import re
import tarfile
import tomllib
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from wholebody.commands.train import distill, train
from wholebody.errors import WholebodyError
from wholebody.networks.checkpoints import save_pose
from wholebody.networks.kinds import new_network
from wholebody.schema import COCO_BODY
from wholebody.train import check
from wholebody.train.build import build_lesson
from wholebody.train.config import DataSource, Distill
from wholebody.train.data.crops import load_data, load_mixture
from wholebody.train.data.people import ShardedPeople
from wholebody.train.distill import StageOne
from wholebody.train.engine.precision import compute_type
from wholebody.train.recipes import debug

CPU = torch.device("cpu")


def shard(folder, label):
    folder.mkdir(exist_ok=True)
    picture = cv2.imencode(".jpg", np.zeros((20, 20, 3), np.uint8))[1].tobytes()
    with tarfile.open(folder / "00000.tar", "w") as archive:
        for name, content in (("000000.jpg", picture), ("000000.json", json.dumps(label).encode())):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return folder


GOOD = {"keypoints": [[1, 2, 2]] * 133, "box": [0, 0, 10, 10]}


@pytest.mark.parametrize(
    ("label", "told"),
    [
        ({"box": [0, 0, 9, 9]}, "sample 0: not a label, or a damaged one"),
        ({**GOOD, "keypoints": None}, "has no keypoints of three numbers and box of four"),
        ({**GOOD, "box": [1, 2]}, "has no keypoints of three numbers and box of four"),
        ([], "sample 0: not a label, or a damaged one"),
        ({**GOOD, "keypoints": [[1, float("nan"), 2]] * 133}, "holds NaN or an infinite number"),
        ({**GOOD, "keypoints": [[1, 2, 2]] * 17}, "has 17 keypoints"),
    ],
)
def test_a_shards_label_that_is_none(tmp_path, label, told):
    people = ShardedPeople(shard(tmp_path / "shards", label))
    with pytest.raises(WholebodyError, match=told) as error:
        people[0]
    assert "\n" not in str(error.value)


def lesson(tmp_path, distill):
    config = replace(debug(), input_size=(64, 64), distill=distill, batch=1)
    config = replace(config, sources=(DataSource("shards", str(shard(tmp_path / "shards", GOOD))),))
    data, _ = load_data(config, new_network("t", (64, 64), 133).codec)
    return build_lesson(config, data), data


def test_a_teacher_of_other_points_is_refused(tmp_path):
    teacher = new_network("t", (64, 64), 17)
    teacher.schema = COCO_BODY
    save_pose(teacher, tmp_path / "body.safetensors")
    with pytest.raises(WholebodyError, match=r"the teacher's logits are .*17.* the student's") as error:
        lesson(tmp_path, Distill(teachers=(str(tmp_path / "body.safetensors"),)))
    assert "\n" not in str(error.value)


def test_without_weights_of_a_teacher_none_is_asked(tmp_path):
    one, data = lesson(tmp_path, Distill(teachers=("not-there.pth",), alpha=0.0, beta=0.0))
    assert isinstance(one, StageOne) and one.teacher is None
    assert one(data.draw(range(1))).keys() == {"ori"}


def test_no_people_is_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(WholebodyError, match="no samples in tar shards"):
        load_mixture(replace(debug(), sources=(DataSource("shards", str(tmp_path / "empty")),)))


def test_bfloat16_is_taken_where_it_is_native_alone(monkeypatch):
    monkeypatch.setattr("wholebody.train.engine.precision.native_bfloat16", lambda device: False)
    assert compute_type("auto", CPU) is None and compute_type("fp16", CPU) is torch.float16
    assert compute_type("auto", torch.device("cuda")) is torch.float16
    with pytest.raises(WholebodyError, match="this processor has no bfloat16"):
        compute_type("bf16", CPU)
    monkeypatch.setattr("wholebody.train.engine.precision.native_bfloat16", lambda device: True)
    assert compute_type("auto", CPU) is compute_type("bf16", CPU) is torch.bfloat16


def test_check_lists_everything_that_is_missing_at_once(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WHOLEBODY_CACHE", str(tmp_path / "cache"))
    assert distill(["dwpose-m", "--check"]) == 1
    told = capsys.readouterr().out
    for name in (
        "cspnext-m_udp-aic-coco_210e-256x192-f2f7d6f6_20230130.pth", "rtmpose-l_ucoco_256x192-95bb32f5_20230822.pth",
        "coco_wholebody_train_v1.0.json", "train2017", "Movie/keypoint_annotation.json", "UBody/images",
        "COCO_val2017_detections_AP_H_56_person.json", "intra_scene_test_list.npy",
    ):  # fmt: skip
        assert name in told, name
    assert not [*tmp_path.iterdir()]
    shards = shard(tmp_path / "shards", GOOD)
    assert train(["debug", "--check", "--data", f"shards:{shards}"]) == 0
    assert capsys.readouterr().out == "Nothing is missing.\n"


def test_check_looks_for_every_package_of_the_extra(monkeypatch):
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    extra = project["optional-dependencies"]["train"]
    assert tuple(re.match(r"[\w-]+", line)[0] for line in extra) == check.PACKAGES
    monkeypatch.setattr(check, "find_spec", lambda name: None)
    told = check.missing(replace(debug(), init="thunder.tflite"))
    assert told[: len(check.PACKAGES)] == [f"package {name}: pip install 'wholebody[train]'" for name in check.PACKAGES]
    assert "package ai-edge-litert: pip install 'wholebody[thunder]'" in told


def test_own_data_are_validated_on_a_part_that_is_kept_back(tmp_path, monkeypatch):
    from wholebody.train import loop

    seen = []
    monkeypatch.setattr(loop, "fit", lambda config, out, **_: seen.append(config))
    train(["debug", "--out", "x", "--data", "coco:a.json:b"])
    train(["debug", "--out", "x", "--data", "coco:a.json:b", "--validate-on", "none"])
    train(["debug", "--out", "x", "--data", "coco:a.json:b", "--validate-on", "coco:c.json"])
    own, none, other = seen
    assert own.validation == own.sources and own.sources[0].held_out > 0
    assert none.validation == () and none.sources[0].held_out == 0
    assert other.validation[0].path == "c.json" and other.sources[0].held_out == 0
