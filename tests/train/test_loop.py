import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from people import shards_of_people
from wholebody import cli
from wholebody.errors import WholebodyError
from wholebody.train import labels, loop
from wholebody.train.build import build
from wholebody.train.config import DataSource, Optim, TrainConfig
from wholebody.train.data.augment import Augmentation
from wholebody.train.data.crops import Crops, pool_people
from wholebody.train.data.people import LabelledPerson, Mixture, read_coco_wholebody
from wholebody.train.engine import run as engine
from wholebody.train.engine.log import save_picture
from wholebody.train.engine.optim import learning_rate, parameter_groups
from wholebody.train.engine.parallel import Process
from wholebody.train.labels import Supervised
from wholebody.train.lesson import Batch
from wholebody.train.recipes import debug
from wholebody.train.targets import drawn
from wholebody.train.validate import Measured


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return shards_of_people(tmp_path_factory.mktemp("shards"))


@pytest.fixture
def config(shards):
    return replace(
        debug(),
        sources=(DataSource("shards", str(shards)),),
        steps=4,
        batch=2,
        input_size=(64, 64),
        checkpoint_minutes=0.0,
    )


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def rows(folder):
    return [row for row in map(json.loads, (folder / "metrics.jsonl").read_text().splitlines()) if "ori" in row]


def test_a_run_leaves_weights_recipe_figures_and_a_picture(config, tmp_path):
    network = loop.fit(config, tmp_path)
    assert [row["step"] for row in rows(tmp_path)] == [0, 1, 2, 3]
    assert all(np.isfinite(row["ori"]) for row in rows(tmp_path))
    assert json.loads((tmp_path / "recipe.json").read_text())["name"] == "debug"
    assert cv2.imread(str(tmp_path / "first_batch.jpg")) is not None
    stored = load_file(tmp_path / "model.safetensors")
    assert stored.keys() == network.state_dict().keys()
    assert all(torch.equal(stored[name], value) for name, value in network.state_dict().items())


@pytest.mark.slow
def test_a_two_scale_run_learns_heat_maps_with_its_own_head(config, tmp_path):
    loop.fit(replace(config, network="thunder-fine", heatmap=1.0, steps=2), tmp_path)
    assert all(np.isfinite(row["heatmap"]) for row in rows(tmp_path))
    assert "head.places.weight" in load_file(tmp_path / "model.safetensors")


@pytest.mark.parametrize("mirrored", [False, True])
def test_pseudo_labels_of_a_mirrored_head_are_dropped(tmp_path, mirrored):
    keypoints = np.random.default_rng(0).uniform(20, 180, (133, 3))
    keypoints[:, 2] = 0.9
    keypoints[:3, :2] = [[100, 60], [80, 40], [120, 40]] if mirrored else [[100, 60], [120, 40], [80, 40]]
    keypoints[23:91, 2] = 0.0
    about = {"id": 1, "image_id": 1, "bbox": [0, 0, 200, 200], "area": 4e4, "iscrowd": 0, "category_id": 1}
    parts = {"keypoints": 17, "foot_kpts": 6, "face_kpts": 68, "lefthand_kpts": 21, "righthand_kpts": 21}
    row, at = dict(about), 0
    for name, count in parts.items():
        row[name], at = keypoints[at : at + count].ravel().tolist(), at + count
    photo = {"file": "a.jpg", "license": "CC BY 4.0", "group": "g", "width": 200, "height": 200}
    (tmp_path / "index.json").write_text(json.dumps([photo]))
    image = {"id": 1, "file_name": "a.jpg", "width": 200, "height": 200}
    (tmp_path / "pseudo_mediapipe.json").write_text(json.dumps({"images": [image], "annotations": [row]}))
    (person,) = pool_people(tmp_path, held_out=False)["g"]
    assert (person.visible[:5] > 0).any() == (not mirrored)
    assert (person.visible[5:17] > 0).all()


@pytest.mark.slow
def test_a_killed_run_goes_on_as_if_unbroken(config, tmp_path, monkeypatch):
    whole = loop.fit(config, tmp_path / "whole")
    save, calls = engine.save_state, []

    def dies_after_two(*arguments):
        save(*arguments)
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(engine, "save_state", dies_after_two)
        with pytest.raises(KeyboardInterrupt):
            loop.fit(config, tmp_path / "broken")
    resumed = loop.fit(config, tmp_path / "broken")
    assert [row["ori"] for row in rows(tmp_path / "broken")] == [row["ori"] for row in rows(tmp_path / "whole")]
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


RUN = """
import sys, torch
from dataclasses import replace
from wholebody.train import loop
from wholebody.train.recipes import Optim, DataSource, debug
torch.set_num_threads(1)
loop.fit(
    replace(debug(), sources=(DataSource("shards", sys.argv[1]),), steps=12, batch=2, input_size=(64, 64),
            checkpoint_minutes=0.0, optim=Optim(warmup=2), workers=int(sys.argv[3])), sys.argv[2])
"""


def below(pid):
    """The processes that a process has started, and theirs, where the system tells."""
    told = Path(f"/proc/{pid}/task/{pid}/children")
    mine = [int(child) for child in told.read_text().split()] if told.exists() else []
    return [*mine, *(deeper for child in mine for deeper in below(child))]


def alive(pid):
    """Whether a process runs; one that only waits to be counted does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_a_run_killed_anywhere_ends_as_an_unbroken_one(shards, tmp_path, workers):
    """SIGKILL in the middle of a step or of a save, twice."""
    script = tmp_path / "run.py"
    script.write_text(f"if __name__ == '__main__':\n{textwrap.indent(RUN, '    ')}")

    def start(out):
        words = [sys.executable, str(script), str(shards), str(out), str(workers)]
        return subprocess.Popen(words, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL)

    assert start(tmp_path / "whole").wait() == 0
    log = tmp_path / "broken" / "metrics.jsonl"
    for steps in (3, 8):
        process = start(tmp_path / "broken")
        while process.poll() is None and (not log.exists() or len(log.read_bytes().splitlines()) < steps):
            time.sleep(0.005)
        helpers = below(process.pid)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        ends = time.monotonic() + 20
        while (left := [pid for pid in helpers if alive(pid)]) and time.monotonic() < ends:
            time.sleep(0.05)
        assert not left, "processes that prepare crops outlive a killed training"
    assert start(tmp_path / "broken").wait() == 0
    curves = [[(row["step"], row["ori"], row["norm"]) for row in rows(tmp_path / name)] for name in ("broken", "whole")]
    assert curves[0] == curves[1] and len(curves[0]) == 12
    broken, whole = (load_file(tmp_path / name / "model.safetensors") for name in ("broken", "whole"))
    for name, value in whole.items():
        assert torch.equal(value, broken[name]), name


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_picture_that_cannot_be_read_stops_in_one_line(config, shards, tmp_path, workers):
    loop.fit(replace(config, steps=2), tmp_path / "out")
    before = (tmp_path / "out" / "state.pt").read_bytes()
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    data = bytearray((shards / "00000.tar").read_bytes())
    for at in (i for i in range(len(data) - 1) if data[i : i + 2] == b"\xff\xd8"):
        data[at : at + 20] = bytes(20)
    (damaged / "00000.tar").write_bytes(data)
    config = replace(config, sources=(DataSource("shards", str(damaged)),), workers=workers)
    with pytest.raises(WholebodyError, match=r"00000\.tar: cannot be read as a picture") as error:
        loop.fit(config, tmp_path / "out", changes="record")
    assert "\n" not in str(error.value) and "last state" in str(error.value)
    assert (tmp_path / "out" / "state.pt").read_bytes() == before


def damage(shards, folder, samples):
    """The same shards with some pictures that cannot be read."""
    folder.mkdir()
    data = bytearray((shards / "00000.tar").read_bytes())
    starts = [i for i in range(len(data) - 1) if data[i : i + 3] == b"\xff\xd8\xff"]
    for at in (starts[i] for i in samples):
        data[at : at + 20] = bytes(20)
    (folder / "00000.tar").write_bytes(data)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_somebody_else_stands_for_a_picture_that_cannot_be_read(config, shards, tmp_path, capfd, workers):
    sources = (DataSource("shards", str(damage(shards, tmp_path / "damaged", [2]))),)
    loop.fit(replace(config, sources=sources, workers=workers), tmp_path / "out")
    told = capfd.readouterr().err
    assert told.count("cannot be read as a picture") == 1 and "Another person was used instead." in told
    assert len(rows(tmp_path / "out")) == 4


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"batch": 4}, "batch was 2, is 4"),
        pytest.param({"steps": 5}, "steps was 2, is 5", marks=pytest.mark.slow),
        ({"optim": Optim(warmup=3)}, "optim.warmup was 2, is 3"),
        ({"sources": ()}, "other sources"),
        ({"input_size": (96, 96)}, "input size that is not the recipe's"),
    ],
)
def test_a_run_that_began_otherwise_goes_on_by_choice_alone(config, shards, tmp_path, change, told):
    config = replace(config, steps=2)
    loop.fit(config, tmp_path / "out")
    if "sources" in change:
        other = damage(shards, tmp_path / "other", [])
        change = {"sources": (DataSource("shards", str(other)),)}
    with pytest.raises(WholebodyError, match=told) as error:
        loop.fit(replace(config, **change), tmp_path / "out")
    assert "\n" not in str(error.value)
    if "steps" in change:
        loop.fit(replace(config, **change), tmp_path / "out", changes="record")
        (noted,) = map(json.loads, (tmp_path / "out" / "changes.jsonl").read_text().splitlines())
        assert noted == {"step": 2, "changed": {"steps": [2, 5]}}
        assert json.loads((tmp_path / "out" / "recipe.json").read_text())["steps"] == 5


def test_what_changes_no_step_may_change(config, tmp_path):
    config = replace(config, steps=1)
    loop.fit(config, tmp_path)
    loop.fit(replace(config, workers=1, checkpoint_minutes=9, validate=3), tmp_path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"optim": Optim(freeze=5)}, "optim.freeze is 5, and CSPNeXt has 4 numbered blocks"),
        ({"optim": Optim(lr=float("nan"))}, "optim.lr is nan"),
        ({"optim": Optim(lr=-1.0)}, "optim.lr is -1.0"),
        ({"batch": 3, "accumulate": 1, "world": 2}, "cannot be shared by 2 parts"),
    ],
)
def test_a_run_that_cannot_start_says_why_and_leaves_no_folder(config, tmp_path, change, told, monkeypatch):
    if world := change.pop("world", 0):
        monkeypatch.setattr(loop, "this_process", lambda: Process(0, world, torch.device("cpu")))
    with pytest.raises(WholebodyError, match=told) as error:
        loop.fit(replace(config, **change), tmp_path / "deep" / "out")
    assert "\n" not in str(error.value) and not (tmp_path / "deep").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--batch", "0"], "batch must be at least 1, not 0"),
        (["--steps", "0"], "steps must be at least 1, not 0"),
        (["--epochs", "-1"], "epochs must be at least 0, not -1"),
        (["--workers", "-1"], "workers must be at least 0, not -1"),
        (["--seed", "-1"], "seed must be at least 0, not -1"),
        (["--validate", "0"], "validate must be at least 1, not 0"),
        (["--accumulate", "3"], "a batch of 4 cannot be cut into 3 parts"),
        (["--input-size", "100", "100"], "input_size must be multiples of 32, not (100, 100)"),
        (["--optim.clip", "-1"], "optim.clip must be at least 0, not -1.0"),
        (["--optim.warmup", "-3"], "optim.warmup must be at least 0, not -3"),
        (["--optim.backbone", "nan"], "optim.backbone must be at least 0, not nan"),
    ],
)
def test_numbers_that_no_training_has_are_one_line(words, told, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as done:
        cli.main(["train", "debug", "--out", "out", *words])
    error = capsys.readouterr().err
    assert done.value.code == 1 and told in error and len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_backbone_that_stays_keeps_its_statistics(config, tmp_path):
    before = build(config).state_dict()
    after = loop.fit(replace(config, optim=Optim(warmup=1, backbone=0.0)), tmp_path).state_dict()
    for name, value in before.items():
        if name.startswith("backbone."):
            assert torch.equal(value, after[name]), name
    assert any(not torch.equal(before[name], after[name]) for name in before if name.startswith("head."))


@pytest.mark.slow
def test_the_best_network_is_kept_beside_the_last(config, tmp_path, monkeypatch):
    scores = iter([0.2, 0.5, 0.3, 0.4])
    kept = []

    def measure(network, process):
        kept.append({name: value.clone() for name, value in network.state_dict().items()})
        return Measured(score := next(scores), {"AP": score})

    monkeypatch.setattr(loop, "validation", lambda config: measure)
    loop.fit(replace(config, validate=1), tmp_path)
    best, last = (load_file(tmp_path / f"{name}.safetensors") for name in ("best", "model"))
    assert all(torch.equal(value, kept[1][name]) for name, value in best.items())
    assert all(torch.equal(value, kept[3][name]) for name, value in last.items())
    assert any(not torch.equal(best[name], last[name]) for name in best)


def test_a_network_for_another_size_gives_its_backbone(config, tmp_path):
    from wholebody.networks.checkpoints import save_pose

    trained = build(replace(config, seed=5))
    save_pose(trained, tmp_path / "small.safetensors")
    start = replace(config, init=str(tmp_path / "small.safetensors"))
    same, larger = build(start), build(replace(start, input_size=(96, 128)))
    for network, whole in ((same, True), (larger, False)):
        mine, theirs = network.state_dict(), trained.state_dict()
        assert all(torch.equal(mine[name], theirs[name]) for name in mine if whole or name.startswith("backbone."))
    assert larger.codec.input_size == (96, 128)


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_state(config, tmp_path, monkeypatch):
    loop.fit(replace(config, steps=2), tmp_path)
    before = (tmp_path / "state.pt").read_bytes()
    monkeypatch.setattr(labels, "label_loss", lambda x, *_: x.sum() * float("nan"))
    with pytest.raises(WholebodyError, match="not finite at step 2"):
        loop.fit(config, tmp_path, changes="record")
    assert (tmp_path / "state.pt").read_bytes() == before


def test_another_recipes_state_is_not_taken(config, tmp_path):
    loop.fit(replace(config, steps=1), tmp_path)
    with pytest.raises(WholebodyError, match="belongs to recipe debug"):
        loop.fit(replace(config, name="other"), tmp_path)


def test_learning_rate_rises_stays_and_falls():
    optim = Optim(lr=1.0, lr_end=0.1, warmup=10, flat=0.5)
    rates = [learning_rate(step, 100, optim) for step in range(101)]
    assert rates[0] < 1e-4 and rates[9] == rates[50] == 1.0
    assert np.all(np.diff(rates[:10]) > 0) and np.all(np.diff(rates[50:]) < 0)
    assert rates[100] == pytest.approx(0.1)


def test_no_weight_decay_on_norms_and_biases():
    network = build(TrainConfig("x", "t", (DataSource("shards", ""),), input_size=(64, 64)))
    groups = parameter_groups(Supervised(network), Optim(backbone=0.5))
    decays = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    for name, p in network.named_parameters():
        assert (decays[id(p)] > 0) == (p.ndim > 1), name
    assert {group["factor"] for group in groups} == {0.5, 1.0}


def test_frozen_stages_of_a_backbone_are_not_trained():
    network = build(TrainConfig("x", "t", (DataSource("shards", ""),), input_size=(64, 64)))
    groups = parameter_groups(Supervised(network), Optim(freeze=1))
    trained = {id(p) for group in groups for p in group["params"]}
    for part, kept in (
        (network.backbone.stem, True),
        (network.backbone.stage1, True),
        (network.backbone.stage2, False),
    ):
        assert all((id(p) not in trained) == kept and p.requires_grad != kept for p in part.parameters())


def test_a_picture_that_cannot_be_written_says_why(tmp_path):
    resource = pytest.importorskip("resource")
    crops = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    batch = Batch(crops, torch.full((2, 133, 2), 9.0), torch.ones(2, 133))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(WholebodyError, match="File too large"):
            save_picture(tmp_path / "first_batch.jpg", batch)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not [*tmp_path.iterdir()]


def test_coco_wholebody_reader(tmp_path):
    row = {"id": 1, "image_id": 7, "bbox": [10, 20, 30, 40], "area": 700.0, "keypoints": [1, 2, 2] * 17}
    crowd = {**row, "id": 2, "iscrowd": 1}
    hands = {**row, "id": 3, "lefthand_kpts": [5, 6, 0.25] * 21, "righthand_kpts": None}
    content = {"images": [{"id": 7, "file_name": "a.jpg"}], "annotations": [row, crowd, hands]}
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(content))
    body_only, with_hand = read_coco_wholebody(path, tmp_path)
    assert body_only.visible.sum() == 17 and body_only.area == 700
    np.testing.assert_array_equal(body_only.box, [10, 20, 40, 60])
    np.testing.assert_array_equal(with_hand.keypoints[95], [5, 6])
    assert with_hand.visible[95] == 0.25 and with_hand.visible[120] == 0


@pytest.mark.parametrize("content", ["{", "[]", '{"images": [{"id": 1}], "annotations": []}'])
def test_bad_label_files_are_one_line(tmp_path, content):
    path = tmp_path / "labels.json"
    path.write_text(content)
    with pytest.raises(WholebodyError, match=r"labels\.json") as error:
        read_coco_wholebody(path, tmp_path)
    assert "\n" not in str(error.value)


def test_what_is_not_in_the_crop_gets_a_flat_label(config):
    """Half of a person is cut off, and one point lies outside of the picture itself; nobody knows of another."""
    points = np.stack([np.linspace(10, 300, 133), np.full(133, 50.0)], axis=1)
    visible = np.ones(133, np.float32)
    visible[:2] = -1, 0
    sample = LabelledPerson(np.zeros((100, 100, 3), np.uint8), points, visible, np.array([0, 0, 100.0, 100.0]), "")

    class One:
        def __len__(self):
            return 1

        def __getitem__(self, _):
            return sample

    codec = loop.simcc((64, 64))
    still = Augmentation(
        flip=0, half_body=0, scale=(1, 1), rotation=0, shift=0, hsv=(0, 0, 0), blur=0, cutout=0, shrink=0
    )
    for absent in (0.0, 0.25):
        crops = Crops(Mixture([(One(), 1.0)]), codec, np.full(133, 2, np.float32), absent, still, still, 10)
        batch = crops.draw(range(1))
        weight, (x, y) = batch.weight[0], (each[0] for each in drawn(batch.keypoints, codec))
        assert weight[0] == 2 * absent and weight[1] == 0
        # The crop shows 125 pixels around the middle of the picture.
        inside = (points[:, 0] < 110) & (visible > 0)
        outside = (points[:, 0] > 126) & (visible > 0)
        assert (weight[inside] == 2).all() and (weight[outside] == 2 * absent).all()
        assert (x[inside].amax(dim=1) == 1).all()
        assert not x[outside].any() and not y[outside].any() and (batch.keypoints[0, outside] < -1000).all()
