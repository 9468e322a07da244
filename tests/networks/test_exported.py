"""From a bundled or exported ONNX file back to a network that says the same and can be trained."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import wholebody
from wholebody.errors import WholebodyError
from wholebody.export.convert import export_pose
from wholebody.export.narrow import low_rank
from wholebody.images import read_image
from wholebody.networks.checkpoints import load_backbone, load_pose
from wholebody.networks.exported import measure_norms, wants_measuring
from wholebody.networks.rtmpose import rtmpose
from wholebody.networks.thunder import Thunder
from wholebody.runtime.choose import open_session
from wholebody.weights.lookup import find

SAMPLE = Path(wholebody.__file__).with_name("sample.jpg")
CROPS = np.random.default_rng(0).integers(0, 256, (6, 256, 192, 3), np.uint8)


def alive(network, seed=0):
    """Norms that have seen something, so that folding them changes weights."""
    torch.manual_seed(seed)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(std=0.3)
            module.running_mean.normal_(std=0.3)
            module.running_var.uniform_(0.5, 2)
    # Equal arrays are stored once, under one name: after training no two are.
    network.head.gau.ln.g.data.fill_(0.9)
    return network.eval()


@torch.no_grad()
def logits(network, crops=CROPS):
    return [axis.numpy() for axis in network(network.normalise(torch.from_numpy(crops)))]


def same(one, other, tolerance=1e-4):
    for a, b in zip(one, other, strict=True):
        assert np.abs(a - b).max() < tolerance * max(np.abs(b).max(), 1e-3)


@pytest.mark.parametrize(
    "name", [*(pytest.param(name, marks=pytest.mark.slow) for name in ("wholebody-133", "fast")), "dwpose-t"]
)
def test_a_bundled_network_by_its_file_says_what_the_file_says(name):
    path = find(name, kind="pose")
    network = load_pose(path)
    w, h = network.codec.input_size
    # On noise MoveNet's maps are so flat that rounding decides which cell is the highest.
    photo = read_image(SAMPLE)
    parts = (
        photo[y : y + 320, x : x + 240] for x, y in ((0, 0), (40, 20), (120, 60), (200, 100), (300, 160), (400, 0))
    )
    crops = np.stack([cv2.resize(part, (w, h)) for part in parts])
    same(logits(network, crops), open_session(path, "cpu", 1)(crops, ("simcc_x", "simcc_y")))


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 16])
def test_a_network_comes_back_from_its_own_export(tmp_path, rank):
    network = alive(rtmpose("t", (96, 128)))
    if rank:
        network.head.final_layer = low_rank(network.head.final_layer, rank)
    export_pose(network, tmp_path / "t.onnx")
    crops = CROPS[:, :128, :96].copy()
    same(logits(load_pose(tmp_path / "t.onnx"), crops), logits(network, crops))


@pytest.mark.slow
def test_measured_norms_change_nothing_and_then_the_network_trains(tmp_path):
    network = alive(rtmpose("t", (96, 128)))
    export_pose(network, tmp_path / "t.onnx")
    crops = CROPS[:, :128, :96].copy()
    back = load_pose(tmp_path / "t.onnx")
    assert wants_measuring(back)
    measure_norms(back, torch.from_numpy(crops))
    assert not wants_measuring(back)
    same(logits(back, crops), logits(network, crops))
    # In training, norms use the statistics of the batch: with these very crops that is no change either.
    same(logits(back.train(), crops), logits(network, crops), 1e-3)


def test_a_fresh_network_has_nothing_to_measure():
    assert not wants_measuring(rtmpose("t", (96, 128)))


def test_the_backbone_of_a_bundled_network_alone():
    assert load_backbone(find("dwpose-t", kind="pose")).channels == 384
    assert isinstance(load_backbone(find("wholebody-133", kind="pose")), Thunder)


def test_a_file_without_names_is_refused_in_one_line(tmp_path):
    with pytest.raises(WholebodyError, match="lost their names"):
        load_pose(_nameless(tmp_path))


def _nameless(folder):
    import onnx
    from onnx import TensorProto, helper

    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3])
    made = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [given], [made])
    onnx.save(helper.make_model(graph), folder / "other.onnx")
    return folder / "other.onnx"
