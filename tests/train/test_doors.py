"""What somebody adds from outside of the package: a backbone, a teacher, a keypoint schema."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from people import person, shards_of_people
from wholebody import draw
from wholebody.data.coco import read_labels, write_labels
from wholebody.data.labels import Labels, PictureFile
from wholebody.errors import WholebodyError
from wholebody.evaluate.metric import evaluate
from wholebody.evaluate.report import Report
from wholebody.images import write_image
from wholebody.networks.checkpoints import load_pose
from wholebody.networks.kinds import NETWORKS, kind_of
from wholebody.networks.rtmpose import RTMPose, RTMPoseHead, simcc
from wholebody.pose.topdown import TopDown
from wholebody.runtime.choose import open_session
from wholebody.schema import HAND_21, SCHEMAS, Edge, Schema
from wholebody.train.config import Augment, DataSource, Distill, Optim, TrainConfig, TwoStages
from wholebody.train.loop import fit
from wholebody.train.recipes import second_stage
from wholebody.train.stages import distil
from wholebody.train.teachers import Taught

SIZE = (64, 64)


class Patches(nn.Module):
    """The least backbone there is: one convolution."""

    channels = 8

    def __init__(self):
        super().__init__()
        self.look = nn.Conv2d(3, self.channels, 32, stride=32)

    def forward(self, images):
        return self.look(images)


def patches(input_size, keypoints):
    head = RTMPoseHead(Patches.channels, (input_size[0] // 32, input_size[1] // 32), simcc(input_size).bins, keypoints)
    return RTMPose(Patches(), head, simcc(input_size))


@pytest.fixture(autouse=True)
def backbone(monkeypatch):
    monkeypatch.setitem(NETWORKS, "patches", patches)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return shards_of_people(tmp_path_factory.mktemp("shards"))


@pytest.fixture
def config(shards):
    return TrainConfig(
        name="toy", network="patches", sources=(DataSource("shards", str(shards)),), input_size=SIZE, steps=2, batch=2,
        optim=Optim(warmup=1), workers=0,
    )  # fmt: skip


def rows(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_a_backbone_is_trained_distilled_loaded_and_exported(config, tmp_path):
    fit(config, tmp_path / "teacher")
    trained = load_pose(tmp_path / "teacher" / "model.safetensors")
    assert isinstance(trained.backbone, Patches) and kind_of(trained) == "patches"
    taught = Distill(teachers=(str(tmp_path / "teacher" / "model.safetensors"),))
    first = replace(config, init=taught.teachers[0], distill=taught)
    result = distil(TwoStages(first, second_stage(first, 0.5)), tmp_path / "out")
    assert isinstance(load_pose(tmp_path / "out" / "model.safetensors").backbone, Patches)
    one, two = (load_file(tmp_path / "out" / stage / "model.safetensors") for stage in ("stage1", "stage2"))
    assert torch.equal(one["backbone.look.weight"], two["backbone.look.weight"])
    keypoints, _ = TopDown(open_session(result, "cpu", 1)).predict(np.zeros((3, 64, 64, 3), np.uint8))
    assert keypoints.shape == (3, 133, 2)


def test_an_unknown_network_is_one_line(config, tmp_path):
    with pytest.raises(WholebodyError, match=r"no network 'petals'.*patches"):
        fit(replace(config, network="petals"), tmp_path)


@pytest.mark.parametrize("channels", [0, 5])
def test_any_callable_teaches(config, tmp_path, channels):
    asked = []

    def teacher(crops):
        asked.append(tuple(crops.shape))
        x = torch.zeros(len(crops), 133, 128)
        x[..., 40] = 1
        feature = torch.ones(len(crops), channels, 2, 2) if channels else None
        return Taught(x, x, feature)

    distill = Distill(ori=0, alpha=7e-5 if channels else 0, decay=False)
    fit(replace(config, distill=distill, steps=30, optim=Optim(lr=1e-2, warmup=1)), tmp_path, teacher=teacher)
    found = rows(tmp_path)
    assert asked[-1] == (2, 64, 64, 3) and found[-1]["logit"] < 0.9 * found[0]["logit"]
    assert ("fea" in found[0]) == bool(channels)


def test_a_teacher_of_other_bins_is_one_line(config, tmp_path):
    with pytest.raises(WholebodyError, match="logits are") as error:
        fit(replace(config, distill=Distill()), tmp_path, teacher=lambda crops: Taught(*torch.zeros(2, 1, 9, 9)))
    assert "\n" not in str(error.value)
    with pytest.raises(WholebodyError, match="a teacher is for stage 1"):
        fit(config, tmp_path, teacher=lambda crops: None)


# A snake: 21 points along it, the middle seven as a part of their own.
SNAKE = Schema(
    name="snake",
    names=tuple(f"vertebra-{n}" for n in range(21)),
    flip=np.arange(21),
    sigmas=np.full(21, 0.05),
    parts={"front": slice(0, 7), "middle": slice(7, 14), "back": slice(14, 21)},
    edges=tuple(Edge(n, n + 1, (0, 255, 0)) for n in range(20)),
)


@pytest.fixture
def snakes(tmp_path, monkeypatch):
    """A folder of six pictures, their labels, and the schema known by name."""
    monkeypatch.setattr("wholebody.schema.SCHEMAS", [*SCHEMAS, SNAKE])
    m, folder = 6, tmp_path / "snakes"
    rng = np.random.default_rng(0)
    for n in range(m):
        write_image(folder / f"{n}.png", person(n)[0])
    labels = Labels(
        ids=np.arange(1, m + 1),
        image_ids=np.arange(m),
        keypoints=rng.uniform(20, 80, (m, 21, 2)),
        visible=rng.integers(1, 3, (m, 21)).astype(np.float32),
        boxes=np.tile([10.0, 10, 90, 150], (m, 1)),
        areas=np.full(m, 80.0 * 140),
        iscrowd=np.zeros(m, bool),
        valid=np.zeros((m, 4), bool),
        images={n: PictureFile(f"{n}.png", 100, 160) for n in range(m)},
        schema=SNAKE,
    )
    write_labels(folder / "labels.json", labels)
    return folder, labels


def test_labels_of_a_schema_come_back(snakes, tmp_path):
    folder, labels = snakes
    found = read_labels(folder / "labels.json", schema=SNAKE)
    for name in ("ids", "image_ids", "keypoints", "visible", "boxes", "areas", "valid"):
        np.testing.assert_array_equal(getattr(found, name), getattr(labels, name))
    assert found.schema is SNAKE and Labels.concatenate([found[:2], found[2:]]).schema is SNAKE
    with pytest.raises(WholebodyError, match="not those of hand_21"):
        read_labels(folder / "labels.json", schema=HAND_21)
    # The category's names say the order.
    content = json.loads((folder / "labels.json").read_text())
    content["categories"][0]["keypoints"].reverse()
    (folder / "other.json").write_text(json.dumps(content))
    turned = read_labels(folder / "other.json", schema=SNAKE)
    np.testing.assert_array_equal(turned.keypoints, labels.keypoints[:, ::-1])
    with pytest.raises(ValueError, match="several schemas"):
        Labels.concatenate([labels, Labels.empty()])


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_schema_is_trained_evaluated_exported_and_drawn(config, snakes, tmp_path, workers):
    folder, labels = snakes
    source = DataSource("coco", str(folder / "labels.json"), str(folder))
    own = replace(
        config, schema="snake", sources=(source,), validation=(source,), parts={"middle": 2.0}, workers=workers,
        augment=Augment(close_up=1.0),
    )  # fmt: skip
    network = fit(own, tmp_path / "out")
    assert network.schema is SNAKE and len(network.head.final_layer.bias) == 21
    (validation,) = [row["validation"] for row in rows(tmp_path / "out") if "validation" in row]
    assert {"AP", "AR", "AP_front", "AP_middle", "AP_back"} == validation.keys()
    from wholebody.export.convert import export_pose

    loaded = load_pose(tmp_path / "out" / "model.safetensors")
    assert loaded.schema is SNAKE
    export_pose(loaded, tmp_path / "snake.onnx")
    image = person(0)[0]
    model = TopDown(open_session(tmp_path / "snake.onnx", "cpu", 1))

    def network_on(image):
        return model(image, [[10, 10, 90, 150]])

    poses = network_on(image)
    assert poses.schema is SNAKE and poses.keypoints.shape == (1, 21, 2)
    report = evaluate(labels, {n: network_on(image) for n in labels.images}, resamples=20)
    assert report.parts == ("front", "middle", "back", "whole") and report.people["whole"] == 6
    right = {n: replace(poses, keypoints=labels.keypoints[n : n + 1].astype(np.float32)) for n in labels.images}
    assert evaluate(labels, right, resamples=0).figures["middle"]["AP"].value == pytest.approx(1)
    assert set(report.coco()) == {"wholebody"} and Report.from_json(report.to_json()).people == report.people
    shown = replace(poses, scores=np.ones_like(poses.scores))
    assert (draw.skeleton(image, shown) != image).any()


def test_data_of_another_schema_are_one_line(config, tmp_path, snakes):
    with pytest.raises(WholebodyError, match="133 keypoints, snake has 21"):
        fit(replace(config, schema="snake"), tmp_path / "out")
    with pytest.raises(WholebodyError, match="no part 'face'"):
        fit(replace(config, schema="snake", parts={"face": 1.0}), tmp_path / "out")
    with pytest.raises(WholebodyError, match="no schema 'eel'"):
        fit(replace(config, schema="eel"), tmp_path / "out")
