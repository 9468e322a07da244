import functools
import json
import os
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import oracle as formula
from wholebody.errors import WholebodyError
from wholebody.networks import checkpoints
from wholebody.networks.checkpoints import load_backbone, load_pose, read_weights, save_pose
from wholebody.networks.rtmpose import RTMPose, RTMPoseHead, rtmpose, simcc
from wholebody.networks.thunder import MoveNetHeads, Thunder
from wholebody.networks.two_scale import Presence, TwoScale, TwoScaleHead


@pytest.fixture(scope="module")
def shapes():
    """Names and shapes of a small network: the smallest released one with few keypoints."""
    return {key: tuple(value.shape) for key, value in rtmpose("t", (64, 64), keypoints=4).state_dict().items()}


@functools.cache
def _drawn(shapes, salt):
    return {name: torch.from_numpy(value) for name, value in formula.state_dict(dict(shapes), salt).items()}


def weights(shapes, salt="", prefix=""):
    """Drawn once for all tests: a test may change the dict, not the tensors in it."""
    drawn = _drawn(tuple((name, tuple(shape)) for name, shape in shapes.items()), salt)
    return {prefix + name: value for name, value in drawn.items()}


def same(model, expected):
    found = model.state_dict()
    assert found.keys() == expected.keys()
    return all(torch.equal(found[name], expected[name]) for name in expected)


def distilled(student, teacher, adaptor=False):
    both = {f"student.{k}": v for k, v in student.items()} | {f"teacher.{k}": v for k, v in teacher.items()}
    align = {"distill_losses.loss_fea.align.weight": torch.zeros(8, 4, 1, 1)} if adaptor else {}
    return both | align | {"student.data_preprocessor.mean": torch.zeros(3, 1, 1)}


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "older format"])
def test_plain(tmp_path, shapes, zipped):
    want = weights(shapes)
    preprocessor = {"data_preprocessor.mean": torch.zeros(3, 1, 1)}
    file = {"meta": {"epoch": 270, "cfg": "model = 1"}, "state_dict": want | preprocessor}
    torch.save(file, tmp_path / "m.pth", _use_new_zipfile_serialization=zipped)
    model = load_pose(tmp_path / "m.pth")
    assert same(model, want) and not model.training
    assert model.codec == simcc((64, 64)) and model.head.final_layer.out_channels == 4


@pytest.mark.parametrize("layout", ["bare", "module."])
def test_bare_state_dict(tmp_path, shapes, layout):
    want = weights(shapes)
    torch.save({layout.replace("bare", "") + k: v for k, v in want.items()}, tmp_path / "m.pth")
    assert same(load_pose(tmp_path / "m.pth"), want)


def test_averaged_weights_win(tmp_path, shapes):
    """mmengine exchanges the two when it saves: the average is under `state_dict`."""
    average, last = weights(shapes, "average"), weights(shapes, "last")
    shadow = {f"module.{k}": v for k, v in last.items()} | {"steps": torch.tensor(9)}
    torch.save({"state_dict": average, "ema_state_dict": shadow}, tmp_path / "both.pth")
    assert same(load_pose(tmp_path / "both.pth"), average)
    shadow = {f"module.{k}": v for k, v in average.items()} | {"steps": torch.tensor(9)}
    torch.save({"ema_state_dict": shadow}, tmp_path / "alone.pth")
    assert same(load_pose(tmp_path / "alone.pth"), average)


def test_first_stage_takes_the_student(tmp_path, shapes):
    student, teacher = weights(shapes, "s"), weights(shapes, "t")
    torch.save({"state_dict": distilled(student, teacher, adaptor=True)}, tmp_path / "shapes.pth")
    assert same(load_pose(tmp_path / "shapes.pth"), student)
    notes = {"cfg": "a = 1\ntwo_dis = False\n"}
    torch.save({"state_dict": distilled(student, teacher), "meta": notes}, tmp_path / "cfg.pth")
    assert same(load_pose(tmp_path / "cfg.pth"), student)
    torch.save({"state_dict": distilled(student, teacher)}, tmp_path / "said.pth")
    assert same(load_pose(tmp_path / "said.pth", stage=1), student)
    wider = {k: torch.zeros(2, *v.shape) for k, v in teacher.items()}
    torch.save({"state_dict": distilled(student, wider)}, tmp_path / "wider.pth")
    assert same(load_pose(tmp_path / "wider.pth"), student)


def test_second_stage_takes_the_old_backbone_and_the_new_head(tmp_path, shapes):
    student, teacher = weights(shapes, "s"), weights(shapes, "t")
    want = {k: (teacher if k.startswith("backbone.") else student)[k] for k in shapes}
    torch.save({"state_dict": distilled(student, teacher)}, tmp_path / "shapes.pth")
    assert same(load_pose(tmp_path / "shapes.pth"), want)
    torch.save({"state_dict": distilled(student, teacher), "meta": {"cfg": "two_dis = True"}}, tmp_path / "cfg.pth")
    assert same(load_pose(tmp_path / "cfg.pth"), want)
    torch.save({"state_dict": distilled(student, teacher, adaptor=True)}, tmp_path / "said.pth")
    assert same(load_pose(tmp_path / "said.pth", stage=2), want)


def test_distiller_prefixes_are_the_official_ones(tmp_path, oracle):
    """The names of the golden list, with the prefixes of a distillation, load as the student."""
    facts = json.loads((oracle / "01_rtmpose_state_dicts.json").read_text())
    official = {name: shape for name, shape, _ in facts["models"]["rtmpose-t_256x192"]["state_dict"]}
    prefix = facts["distiller_checkpoint_prefixes"]["student"]
    torch.save({"state_dict": weights(official, prefix=prefix)}, tmp_path / "m.pth")
    model = load_pose(tmp_path / "m.pth")
    assert same(model, weights(official)) and model.codec == simcc((192, 256))


def test_safetensors_round_trip_keeps_the_preprocessing(tmp_path):
    model = rtmpose("s", (96, 64), keypoints=3)
    model.mean, model.std = (1.0, 2.0, 3.0), (4.0, 5.0, 6.5)
    save_pose(model, tmp_path / "m.safetensors")
    loaded = load_pose(tmp_path / "m.safetensors")
    assert same(loaded, model.state_dict())
    assert (loaded.mean, loaded.std, loaded.codec) == (model.mean, model.std, model.codec)


def test_thunder_round_trip(tmp_path):
    encoder = Thunder()
    codec = simcc((64, 64))
    model = RTMPose(
        encoder, RTMPoseHead(encoder.channels, (2, 2), codec.bins, 5), codec, encoder.mean, encoder.std, None
    )
    save_pose(model, tmp_path / "m.safetensors")
    loaded = load_pose(tmp_path / "m.safetensors")
    assert isinstance(loaded.backbone, Thunder) and loaded.mean == Thunder.mean
    assert same(loaded, model.state_dict())


@pytest.mark.parametrize(("keypoints", "presence"), [(19, False), (133, True)])
def test_two_scale_round_trip(tmp_path, keypoints, presence):
    codec = simcc((64, 64))
    model = TwoScale(Thunder(), MoveNetHeads(), TwoScaleHead(codec, keypoints))
    model.head.presence = Presence() if presence else None
    save_pose(model, tmp_path / "m.safetensors")
    loaded = load_pose(tmp_path / "m.safetensors")
    assert isinstance(loaded, TwoScale) and loaded.mean == Thunder.mean
    assert (loaded.head.presence is not None) == presence
    assert same(loaded, model.state_dict())


def test_backbone_of_another_task(tmp_path, shapes):
    want = weights({k: v for k, v in shapes.items() if k.startswith("backbone.")})
    torch.save({"state_dict": want | {"head.fc.weight": torch.zeros(1000, 384)}}, tmp_path / "m.pth")
    backbone = load_backbone(tmp_path / "m.pth")
    assert same(backbone, {k.removeprefix("backbone."): v for k, v in want.items()})
    torch.save(backbone.state_dict(), tmp_path / "bare.pth")
    assert same(load_backbone(tmp_path / "bare.pth"), backbone.state_dict())


@pytest.fixture
def framework(monkeypatch):
    """A module that exists while a file is written and is gone when the file is read."""
    package, module = types.ModuleType("mmengine.logging"), types.ModuleType("mmengine.logging.history_buffer")

    class HistoryBuffer:
        def __init__(self):
            self._log_history = np.arange(4.0)
            self._methods = {"mean": HistoryBuffer.mean}

        def mean(self): ...

    HistoryBuffer.__module__ = module.__name__
    HistoryBuffer.__qualname__ = "HistoryBuffer"
    HistoryBuffer.mean.__module__ = module.__name__
    HistoryBuffer.mean.__qualname__ = "HistoryBuffer.mean"
    module.HistoryBuffer = HistoryBuffer
    for each in (types.ModuleType("mmengine"), package, module):
        monkeypatch.setitem(sys.modules, each.__name__, each)
    return HistoryBuffer


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "older format"])
def test_notes_of_the_training_framework_are_left_unread(tmp_path, shapes, framework, monkeypatch, zipped):
    want = weights(shapes)
    file = {
        "meta": {"dataset_meta": {"sigmas": np.array([0.1, 0.2]), "best": np.float64(3)}, "when": tmp_path},
        "state_dict": want,
        "message_hub": {"log_scalars": {"train/lr": framework()}},
    }
    torch.save(file, tmp_path / "m.pth", _use_new_zipfile_serialization=zipped)
    for name in [name for name in sys.modules if name.startswith("mmengine")]:
        monkeypatch.delitem(sys.modules, name)
    before = set(torch.serialization.get_safe_globals())
    assert same(load_pose(tmp_path / "m.pth"), want)
    assert set(torch.serialization.get_safe_globals()) == before


class Attack:
    """Pickles as a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call

    def __call__(self): ...


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "older format"])
@pytest.mark.parametrize("function", [os.system, eval, exec])
def test_hostile_pickle_is_refused(tmp_path, shapes, function, zipped):
    mark = tmp_path / "harm"
    code = f"touch {mark}" if function is os.system else f"open({str(mark)!r}, 'w').close()"
    attack = Attack(function, code)
    torch.save({"state_dict": weights(shapes), "x": attack}, tmp_path / "m.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(WholebodyError, match=r"refused, because it names .*\.safetensors") as caught:
        load_pose(tmp_path / "m.pth")
    assert "\n" not in str(caught.value)
    assert not mark.exists()


def test_a_stand_in_cannot_be_called_for_its_result(tmp_path, shapes):
    """Harmless names, `getattr(Path, "touch")(mark)`, do harm together: the emptied getattr finds no function."""
    mark = tmp_path / "harm"
    torch.save({"state_dict": weights(shapes), "x": Attack(Attack(getattr, Path, "touch"), mark)}, tmp_path / "m.pth")
    with pytest.raises(WholebodyError, match="damaged"):
        load_pose(tmp_path / "m.pth")
    assert not mark.exists()


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "older format"])
@pytest.mark.parametrize("keep", [0, 2, 100, 5000, 0.5, 0.999])
def test_truncated_file(tmp_path, shapes, zipped, keep):
    torch.save({"state_dict": weights(shapes)}, tmp_path / "m.pth", _use_new_zipfile_serialization=zipped)
    whole = (tmp_path / "m.pth").read_bytes()
    (tmp_path / "m.pth").write_bytes(whole[: int(keep * len(whole)) if isinstance(keep, float) else keep])
    with pytest.raises(WholebodyError, match="cut short") as caught:
        load_pose(tmp_path / "m.pth")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint at all", b"{}"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_other_files(tmp_path, content, suffix):
    (tmp_path / f"m{suffix}").write_bytes(content)
    with pytest.raises(WholebodyError, match="damaged"):
        load_pose(tmp_path / f"m{suffix}")


def test_missing_file(tmp_path):
    with pytest.raises(WholebodyError, match="no such file"):
        load_pose(tmp_path / "m.pth")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("head.gau.ln.g"), r"missing: head\.gau\.ln\.g"),
        (lambda w: w.update({f"extra{i}": torch.zeros(1) for i in range(5)}), r"unexpected: extra0.* and 2 more"),
        (
            lambda w: w.update({"backbone.stem.0.bn.bias": torch.zeros(3)}),
            r"another shape: backbone\.stem\.0\.bn\.bias",
        ),
        (lambda w: w.update({"backbone.stem.0.conv.weight": torch.zeros(7, 3, 3, 3)}), "of another shape: backbone"),
        (lambda w: w.update({"head.mlp.1.weight": torch.zeros(256, 5)}), "two bins per pixel"),
        (lambda w: w.pop("head.cls_x.weight"), r"no head\.cls_x\.weight; it has backbone"),
        (lambda w: w.clear(), "not an RTMPose"),
    ],
)
def test_other_weights(tmp_path, shapes, change, message):
    values = weights(shapes)
    change(values)
    torch.save({"state_dict": values}, tmp_path / "m.pth")
    with pytest.raises(WholebodyError, match=message) as caught:
        load_pose(tmp_path / "m.pth")
    assert "\n" not in str(caught.value)


def test_a_whole_module_is_refused(tmp_path):
    torch.save(nn.Linear(2, 2), tmp_path / "m.pth")
    with pytest.raises(WholebodyError, match="refused"):
        load_pose(tmp_path / "m.pth")


def test_read_weights_gives_plain_tensors(tmp_path):
    torch.save({"model": {"a": torch.ones(2)}, "start_epoch": 3}, tmp_path / "yolox.pth")
    assert read_weights(tmp_path / "yolox.pth").keys() == {"a"}
    torch.save([torch.ones(2)], tmp_path / "list.pth")
    with pytest.raises(WholebodyError, match="no named weights"):
        read_weights(tmp_path / "list.pth")


def test_torch_is_never_asked_to_run_pickles(monkeypatch, tmp_path, shapes):
    asked = []
    real = torch.load
    monkeypatch.setattr(checkpoints.torch, "load", lambda *a, **k: asked.append(k) or real(*a, **k))
    torch.save(weights(shapes), tmp_path / "m.pth")
    load_pose(tmp_path / "m.pth")
    assert [k["weights_only"] for k in asked] == [True]
