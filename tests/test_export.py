import hashlib
import json
from dataclasses import replace
from functools import partial

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import oracle as formula
from wholebody import cli
from wholebody.codec import oks_tolerances
from wholebody.errors import WholebodyError
from wholebody.export.convert import export_detector, export_pose
from wholebody.export.narrow import low_rank
from wholebody.export.plain import plain_layout
from wholebody.export.quantise import quantise
from wholebody.networks.rtmpose import RTMPose, RTMPoseHead, rtmpose, simcc
from wholebody.networks.yolox import yolox
from wholebody.pose.detect import YOLOX
from wholebody.pose.topdown import TopDown
from wholebody.runtime.choose import int8_is_fast, open_session
from wholebody.runtime.session import int8_file
from wholebody.schema import COCO_WHOLEBODY
from wholebody.weights.lookup import find


def filled(model):
    """The network with weights that make its outputs lively."""
    weights = formula.state_dict({name: value.shape for name, value in model.state_dict().items()})
    model.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    return model


class ToyDetector(nn.Module):
    """A convolution and a matrix: quick to export."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 32, stride=32)
        self.linear = nn.Linear(16, 96, bias=False)

    def forward(self, images):
        return self.linear((self.conv(images) / 255).flatten(2).transpose(1, 2))


class Deceiver(ToyDetector):
    """Another network while it is exported than when it runs."""

    def forward(self, images):
        return super().forward(images) * (1.01 if torch.compiler.is_exporting() else 1.0)


def crops(count, w, h):
    return np.stack([formula.image(h, w, i) for i in range(count)])


def by_hand(model, batch):
    """uint8 BGR crops through torch."""
    rgb = (batch[..., ::-1].astype(np.float32) - np.float32(model.mean)) / np.float32(model.std)
    with torch.inference_mode():
        x, y = model.eval()(torch.from_numpy(rgb).permute(0, 3, 1, 2))
    return x.numpy(), y.numpy()


slow = partial(pytest.param, marks=pytest.mark.slow)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """The smallest released size and its file, with a normalisation of its own; the first keypoint is never seen."""
    model = filled(rtmpose("t"))
    model.mean, model.std = (110.0, 120.0, 130.0), (50.0, 60.0, 70.0)
    with torch.no_grad():
        model.head.final_layer.weight[0] = model.head.final_layer.bias[0] = 0
    path = tmp_path_factory.mktemp("export") / "t.onnx"
    assert export_pose(model, path, notes={"name": "a test"}) < 1e-3
    return model, path


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2, 5])
def test_fused_pose(tiny, count):
    model, path = tiny
    session = open_session(path, "cpu")
    batch = crops(count, 192, 256)
    keypoints, scores, x, y = session(batch)
    for got, want in zip((x, y), by_hand(model, batch), strict=True):
        np.testing.assert_allclose(got, want, atol=2e-4)
    # The same arithmetic on the same logits: not even ties may differ.
    want_keypoints, want_scores = model.codec.decode(x, y)
    np.testing.assert_array_equal(keypoints, want_keypoints)
    np.testing.assert_array_equal(scores, want_scores)
    assert (scores[:, 0] == 0).all() and (keypoints[:, 0] == -0.5).all()
    assert (scores[:, 1:] > 0).all()


@pytest.mark.slow
def test_a_tolerant_graph_returns_the_highest_expected_oks(tiny, tmp_path):
    model, tolerances = tiny[0], oks_tolerances(COCO_WHOLEBODY.sigmas, (192, 256))
    plain, codec = model.codec, replace(model.codec, tolerances=tolerances)
    model.codec = codec
    export_pose(model, tmp_path / "t.onnx", storage="float16")
    model.codec = plain
    estimate = TopDown(open_session(tmp_path / "t.onnx", "cpu"))
    assert estimate.codec.tolerances == tolerances
    batch = crops(3, 192, 256)
    keypoints, scores = estimate.predict(batch)
    x, y = estimate.logits(batch)
    for axis, logits in enumerate((x, y)):
        merit = codec.merit(logits)[:, 1:]
        reached = np.take_along_axis(merit, (keypoints[:, 1:, axis] * 2).astype(int)[..., None], axis=-1)
        assert (reached[..., 0] >= merit.max(axis=-1) * 0.995).all()
    assert (np.abs(keypoints - plain.decode(x, y)[0]) > 2).any(), "nothing to decide"
    np.testing.assert_array_equal(scores, plain.decode(x, y)[1])
    assert (keypoints[:, 0] == -0.5).all()


@pytest.mark.slow
def test_fused_pose_describes_itself(tiny):
    session = open_session(tiny[1], "cpu")
    assert [(t.name, t.shape, t.dtype) for t in session.inputs] == [("crops", (None, 256, 192, 3), "uint8")]
    assert [(t.name, t.shape, t.dtype) for t in session.outputs] == [
        ("keypoints", (None, 133, 2), "float32"),
        ("scores", (None, 133), "float32"),
        ("simcc_x", (None, 133, 384), "float32"),
        ("simcc_y", (None, 133, 512), "float32"),
    ]
    assert json.loads(session.metadata["wholebody"]) == {
        "kind": "pose",
        "input_size": [192, 256],
        "schema": "coco_wholebody",
        "split_ratio": 2.0,
        "mean": [110.0, 120.0, 130.0],
        "std": [50.0, 60.0, 70.0],
        "name": "a test",
    }


@pytest.mark.slow
def test_file_is_valid_and_tells_nothing_of_the_machine(tiny):
    proto = onnx.load(tiny[1])
    onnx.checker.check_model(proto, full_check=True)
    assert proto.ir_version <= 10 and proto.opset_import[0].version <= 21  # what onnxruntime 1.18 reads
    for word in (b".py", b"stack_trace", b"class_hierarchy"):
        assert word not in proto.SerializeToString()


def test_plain_pose(tmp_path):
    codec = simcc((64, 96))
    head = RTMPoseHead(8, (2, 3), codec.bins, keypoints=5, hidden=32, s=16)
    model = filled(RTMPose(nn.Conv2d(3, 8, 32, stride=32), head, codec))
    export_pose(model, tmp_path / "m.onnx", fused=False)
    session = open_session(tmp_path / "m.onnx", "cpu")
    assert [(t.name, t.shape, t.dtype) for t in session.inputs] == [("input", (None, 3, 96, 64), "float32")]
    assert [t.name for t in session.outputs] == ["simcc_x", "simcc_y"]
    for count in (1, 4):
        batch = crops(count, 64, 96)
        rgb = (batch[..., ::-1].astype(np.float32) - np.float32(model.mean)) / np.float32(model.std)
        for got, want in zip(session(rgb.transpose(0, 3, 1, 2)), by_hand(model, batch), strict=True):
            np.testing.assert_allclose(got, want, atol=2e-4)


@pytest.mark.slow
def test_the_released_layout_of_a_fused_file(tiny, tmp_path, capsys):
    model, fused = tiny
    assert plain_layout(fused, tmp_path / "plain.onnx") < 1e-3
    export_pose(model, tmp_path / "torch.onnx", fused=False)
    got, want = (open_session(tmp_path / name, "cpu") for name in ("plain.onnx", "torch.onnx"))
    assert got.inputs == want.inputs and {t.name: t.shape for t in got.outputs} == {
        t.name: t.shape for t in want.outputs
    }
    batch = np.random.default_rng(0).standard_normal((3, 3, 256, 192), dtype=np.float32)
    for a, b in zip(got(batch, ("simcc_x", "simcc_y")), want(batch, ("simcc_x", "simcc_y")), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-4)
    assert got.metadata == open_session(fused, "cpu").metadata  # mean and deviation above all
    onnx.checker.check_model(onnx.load(tmp_path / "plain.onnx"), full_check=True)
    with pytest.raises(SystemExit) as end:
        cli.main(["export", str(fused), str(tmp_path / "again.onnx"), "--plain"])
    assert end.value.code == 0 and "official layout" in capsys.readouterr().out
    assert (tmp_path / "again.onnx").read_bytes() == (tmp_path / "plain.onnx").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("which", ["detector", "plain"])
def test_only_a_fused_pose_network_is_taken_apart(which, detector, tiny, tmp_path):
    source = detector[1]
    if which == "plain":
        plain_layout(tiny[1], tmp_path / "plain.onnx")
        source = tmp_path / "plain.onnx"
    with pytest.raises(WholebodyError, match="not a pose network in the fused layout"):
        plain_layout(source, tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()


@pytest.mark.slow
def test_a_file_with_wrong_notes_leaves_no_plain_file(tiny, tmp_path):
    proto = onnx.load(tiny[1])
    about = json.loads(proto.metadata_props[0].value) | {"mean": [1.0, 2.0, 3.0]}
    proto.metadata_props[0].value = json.dumps(about)
    onnx.save(proto, tmp_path / "fused.onnx")
    with pytest.raises(WholebodyError, match="cannot be split"):
        plain_layout(tmp_path / "fused.onnx", tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "d.onnx"
    model = filled(ToyDetector())
    export_detector(model, path, input_size=(96, 64))
    return model, path


def raw(model, batch):
    planes = torch.from_numpy(batch.transpose(0, 3, 1, 2).astype(np.float32))
    with torch.inference_mode():
        return model(planes).numpy()


def test_fused_detector(detector):
    model, path = detector
    session = open_session(path, "cpu")
    assert [(t.name, t.shape, t.dtype) for t in session.inputs] == [("images", (None, 64, 96, 3), "uint8")]
    assert [(t.name, t.shape) for t in session.outputs] == [("raw", (None, 6, 96))]
    assert json.loads(session.metadata["wholebody"]) == {"kind": "detector", "input_size": [96, 64]}
    for count in (1, 3):
        np.testing.assert_allclose(session(crops(count, 96, 64))[0], raw(model, crops(count, 96, 64)), atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("fused", [True, False])
def test_a_detector_for_pictures_of_any_aspect(tmp_path, fused):
    model = filled(yolox("nano", classes=1)).eval()
    export_detector(model, tmp_path / "d.onnx", input_size=(96, 64), pixels=6144, fused=fused)
    session = open_session(tmp_path / "d.onnx", "cpu")
    assert json.loads(session.metadata["wholebody"]) == {"kind": "detector", "input_size": [96, 64], "pixels": 6144}
    detector = YOLOX(session)
    for size in ((96, 64), (64, 96), (160, 32)):
        pictures = crops(2, *size)
        assert detector.size_for(pictures[0]) == size
        given = pictures if fused else pictures.transpose(0, 3, 1, 2).astype(np.float32)
        np.testing.assert_allclose(session(given)[0], raw(model, pictures), rtol=1e-3, atol=1e-3 * 500)


@pytest.mark.slow
def test_calibrated_scores(tmp_path):
    class Scores(nn.Module):
        """Blue is the objectness of each square of 32 pixels, green the class."""

        def forward(self, images):
            x = F.avg_pool2d(images / 255, 32).flatten(2).transpose(1, 2)
            return torch.cat((x, x[..., :1], x[..., :1], x[..., 1:2]), dim=-1)[..., [0, 1, 2, 0, 4, 5]]

    export_detector(Scores(), tmp_path / "d.onnx", input_size=(96, 64), calibration=(0.8, -0.5))
    pictures = np.random.default_rng(0).integers(0, 256, (2, 64, 96, 3), dtype=np.uint8)
    pictures[0, :32, :32], pictures[0, 32:, :32] = 0, 255  # certain either way, and still a number
    got, plain = open_session(tmp_path / "d.onnx", "cpu")(pictures)[0], raw(Scores(), pictures)
    score = np.clip(plain[..., 4].astype(float) * plain[..., 5], 1e-6, 1 - 1e-6)
    np.testing.assert_allclose(got[..., :4], plain[..., :4], atol=1e-6)
    np.testing.assert_allclose(got[..., 4], 1 / (1 + np.exp(0.5) * ((1 - score) / score) ** 0.8), atol=1e-4)
    assert (got[..., 5] == 1).all() and np.isfinite(got).all()


def test_plain_detector_quietly_and_leaving_the_model_alone(tmp_path, capfd, recwarn):
    model = filled(ToyDetector()).double().train()
    export_detector(model, tmp_path / "d.onnx", input_size=(96, 64), fused=False)
    assert capfd.readouterr() == ("", "") and not recwarn.list
    assert model.training and model.conv.weight.dtype == torch.float64 and model.conv.weight.requires_grad
    session = open_session(tmp_path / "d.onnx", "cpu")
    assert (session.inputs[0].name, session.outputs[0].name) == ("images", "output")
    planes = crops(3, 96, 64).transpose(0, 3, 1, 2).astype(np.float32)
    np.testing.assert_allclose(session(planes)[0], raw(model.float(), crops(3, 96, 64)), atol=1e-4)


@pytest.mark.parametrize(
    ("options", "names", "factor", "difference"),
    [
        slow({"storage": "float16"}, ("conv.weight.half", "linear.weight.half"), 0.51, 0.002),
        slow({"int8": ("conv",)}, ("conv.weight.int8", "linear.weight"), 0.3, 0.05),
        ({"storage": "float16", "int8": ("linear",)}, ("conv.weight.half", "linear.weight.int8"), 0.5, 0.05),
    ],
)
def test_narrow_storage(tmp_path, detector, options, names, factor, difference):
    import onnxruntime as ort

    model, wide = detector
    path = tmp_path / "narrow.onnx"
    assert 1e-5 < export_detector(model, path, input_size=(96, 64), **options) < 5 * difference
    assert path.stat().st_size < factor * wide.stat().st_size
    assert set(names) <= {each.name for each in onnx.load(path).graph.initializer}
    batch = crops(2, 96, 64)
    got, want = open_session(path, "cpu")(batch)[0], raw(model, batch)
    assert 0 < np.abs(got - want).mean() < difference * want.std()
    # ONNX Runtime widens everything while it loads the file: nothing of it is left to do in a run.
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "loaded.onnx")
    options.log_severity_level = 3
    ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    left = onnx.load(tmp_path / "loaded.onnx").graph.initializer
    assert {each.data_type for each in left} <= {onnx.TensorProto.FLOAT, onnx.TensorProto.INT64}


def test_disagreement_raises_and_leaves_the_old_file(tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(b"old")
    with pytest.raises(WholebodyError, match="differs between ONNX Runtime and torch") as caught:
        export_detector(filled(Deceiver()), path, input_size=(64, 64))
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_not_a_number_raises(tmp_path):
    model = filled(ToyDetector())
    with torch.no_grad():
        model.linear.weight[0, 0] = torch.nan
    with pytest.raises(WholebodyError, match="differs"):
        export_detector(model, tmp_path / "m.onnx", input_size=(64, 64))
    assert list(tmp_path.iterdir()) == []


# --- low rank ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [True, False])
def test_a_convolution_of_full_rank_is_the_same_function(bias):
    layer = nn.Conv2d(12, 7, 5, padding=2, bias=bias)
    x = torch.randn(2, 12, 9, 8)
    with torch.no_grad():
        torch.testing.assert_close(low_rank(layer, 12)(x), layer(x), rtol=1e-4, atol=1e-5)


def test_a_low_rank_loses_the_least_directions():
    layer = nn.Conv2d(16, 8, 3, padding=1)
    mixing = torch.randn(4, 16)
    with torch.no_grad():
        # Four directions carry all but a hundredth of the layer.
        layer.weight.copy_(torch.einsum("okhw,kc->ochw", torch.randn(8, 4, 3, 3), mixing) + 0.01 * layer.weight)
        x = torch.randn(2, 16, 9, 8)
        errors = [float((low_rank(layer, rank)(x) - layer(x)).std() / layer(x).std()) for rank in (2, 4, 8)]
    mix, read = low_rank(layer, 4)
    assert mix.weight.shape == (4, 16, 1, 1) and read.weight.shape == (8, 4, 3, 3)
    assert errors[0] > 0.1 > 0.02 > errors[1] > errors[2]


def test_groups_and_no_rank_are_refused():
    for groups, rank in ((2, 2), (1, 0)):
        with pytest.raises(ValueError, match="cannot mix"):
            low_rank(nn.Conv2d(4, 4, 3, groups=groups), rank)


# --- int8 -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(tiny, tmp_path_factory):
    """The tiny pose network with its largest weights in eight bits, its int8 variant, and what stayed in float."""
    model, _ = tiny
    path = tmp_path_factory.mktemp("int8") / "t.onnx"
    export_pose(model, path, storage="float16", int8=("backbone.stage4",), notes={"name": "a test"})
    return path, quantise(path, int8_file(path), crops(8, 192, 256))


@pytest.mark.slow
def test_int8_says_nearly_the_same(small):
    path, _ = small
    batch = crops(6, 192, 256)
    exact, quick = (open_session(path, "cpu", 1, precision)(batch) for precision in ("fp32", "int8"))
    for a, b in zip(exact[2:], quick[2:], strict=True):  # the logits: keypoints jump where two maxima are close
        assert a.shape == b.shape
        assert 0 < np.abs(a - b).mean() < 0.2 * a.std()


@pytest.mark.slow
def test_int8_computes_in_eight_bits_but_for_the_head(small):
    path, kept = small
    graph = onnx.load(int8_file(path), load_external_data=False).graph
    made = {output: node for node in graph.node for output in node.output}
    for node in graph.node:
        if node.op_type == "Conv":
            assert all(made[name].op_type == "DequantizeLinear" for name in node.input[:2])
        if node.op_type == "MatMul":
            assert made[node.input[0]].op_type != "DequantizeLinear"
    # The attention and both classifiers.
    assert {name.split(".")[1] for name in kept} == {"mlp", "gau", "cls_x", "cls_y"}


@pytest.mark.slow
def test_int8_reads_what_is_there_already_from_the_float_file(small):
    path, _ = small
    graph = onnx.load(int8_file(path), load_external_data=False).graph
    shared = [stored for stored in graph.initializer if stored.external_data]
    assert shared and all({e.key: e.value for e in stored.external_data}["location"] == "t.onnx" for stored in shared)
    about = json.loads(open_session(path, "cpu", 1, "int8").metadata["wholebody"])
    assert about["float_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest() and about["name"] == "a test"


@pytest.mark.slow
def test_int8_of_another_float_file_is_refused(small, tmp_path):
    path, _ = small
    for name in (path, int8_file(path)):
        (tmp_path / name.name).write_bytes(name.read_bytes())
    open_session(tmp_path / path.name, "cpu", 1, "int8")
    with (tmp_path / path.name).open("ab") as file:
        file.write(b"\0")
    with pytest.raises(WholebodyError, match=r"made from another t\.onnx"):
        open_session(tmp_path / path.name, "cpu", 1, "auto" if int8_is_fast() else "int8")


@pytest.mark.slow
def test_int8_elsewhere_stands_alone(small, tmp_path):
    path, _ = small
    quantise(path, tmp_path / "alone.int8.onnx", crops(2, 192, 256))
    assert not any(s.external_data for s in onnx.load(tmp_path / "alone.int8.onnx").graph.initializer)
    assert len(open_session(tmp_path / "alone.int8.onnx", "cpu", 1)(crops(1, 192, 256))) == 4


@pytest.mark.slow
def test_a_detectors_predictions_stay_in_float(tmp_path):
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.prediction = nn.Conv2d(3, 16, 32, stride=32), nn.Conv2d(16, 6, 1)

        def forward(self, images):
            return self.prediction(self.body(images / 255).relu()).flatten(2).transpose(1, 2)

    torch.manual_seed(0)
    export_detector(Two(), tmp_path / "d.onnx", input_size=(64, 64))
    kept = quantise(tmp_path / "d.onnx", tmp_path / "d.int8.onnx", crops(4, 64, 64))
    assert kept == ["prediction.weight"]
    kept = quantise(tmp_path / "d.onnx", tmp_path / "d.int8.onnx", crops(4, 64, 64), keep=["body."])
    assert kept == ["body.weight", "prediction.weight"]


@pytest.mark.slow
def test_int8_needs_pictures(small, tmp_path):
    with pytest.raises(WholebodyError, match="no picture"):
        quantise(small[0], tmp_path / "a.int8.onnx", [])
    assert not list(tmp_path.iterdir())


def test_the_bundled_network_in_the_official_layout(tmp_path):
    """It asks for the number of crops in its middle, and reads it from another input then."""
    assert plain_layout(find("wholebody-133", kind="pose"), tmp_path / "plain.onnx") < 1e-3
