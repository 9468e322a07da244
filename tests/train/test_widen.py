"""A larger network starts where a smaller one ended."""

import pytest
import torch

from wholebody.errors import WholebodyError
from wholebody.export.convert import export_pose
from wholebody.networks.checkpoints import save_pose
from wholebody.networks.exported import measure_norms, wants_measuring
from wholebody.networks.rtmpose import rtmpose
from wholebody.networks.widen import widen
from wholebody.train.build import build
from wholebody.train.config import DataSource, TrainConfig

SIZE = (96, 128)


@pytest.fixture(scope="module")
def small():
    """A network of size "t" whose norms have statistics and scales of their own, as after training."""
    torch.manual_seed(0)
    network = rtmpose("t", SIZE, 17).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.5, 0.5)
    # Equal arrays are stored once in an exported file, under one name: after training no two are.
    network.head.gau.ln.g.data.fill_(0.9)
    return network


def test_it_computes_the_same_and_learns_with_all_that_it_has_besides(small):
    large = rtmpose("s", SIZE, 17).eval()
    widen(small, large)
    pictures = torch.randn(2, 3, *SIZE[::-1])
    with torch.no_grad():
        wanted = small.outputs(pictures)
    found = large.outputs(pictures)
    channels = small.backbone.channels
    for one, other in zip((found[0][:, :channels], *found[1:]), wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    assert found[0][:, channels:].std() > 0
    (found[1].square().sum() + found[2].square().sum()).backward()
    for name, weight in large.named_parameters():
        if weight.ndim == 4 and ".blocks.1." not in name:
            # What reads a channel that is new learns at once.
            assert weight.grad.abs().flatten(2).sum(dim=(0, 2)).count_nonzero() == weight.shape[1], name
    for block in (large.backbone.stage2[-1].blocks[1], large.backbone.stage3[-1].blocks[1]):
        assert block.conv2.pointwise_conv.bn.weight.grad.count_nonzero() > 0


def starting_from(path, network):
    nobody = DataSource("pool", "none")
    return TrainConfig("grown", network, (nobody,), schema="coco_body", init=str(path), input_size=SIZE)


def test_a_run_starts_from_a_smaller_network_by_its_file(small, tmp_path):
    save_pose(small, tmp_path / "t.safetensors")
    large = build(starting_from(tmp_path / "t.safetensors", "s")).eval()
    pictures = torch.randn(1, 3, *SIZE[::-1])
    with torch.no_grad():
        for one, other in zip(large(pictures), small(pictures), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_run_from_a_smaller_bundled_file_measures_its_norms(small, tmp_path):
    """An exported file has no batch norms: in training, its channels need statistics of their own."""
    export_pose(small, tmp_path / "t.onnx")
    large = build(starting_from(tmp_path / "t.onnx", "s"))
    pictures = torch.randint(0, 256, (24, *SIZE[::-1], 3), dtype=torch.uint8)
    assert wants_measuring(large)
    measure_norms(large, pictures)
    with torch.no_grad():
        wanted = small(small.normalise(pictures))
        for one, other in zip(large.eval()(large.normalise(pictures)), wanted, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-2, atol=1e-3 * float(other.std()))
        # In training the statistics are those of this batch.
        for one, other in zip(large.train()(large.normalise(pictures)), wanted, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-2, atol=2e-2 * float(other.std()))


def test_what_does_not_extend_the_other_is_refused_and_left_alone(small, tmp_path):
    narrower = rtmpose("t", SIZE, 17)
    before = {name: value.clone() for name, value in narrower.state_dict().items()}
    with pytest.raises(ValueError, match="does not extend"):
        widen(rtmpose("s", SIZE, 17), narrower)
    assert all(torch.equal(value, before[name]) for name, value in narrower.state_dict().items())
    # The last stage of "m" has one more block, without a shortcut.
    with pytest.raises(ValueError, match="does not extend"):
        widen(small, rtmpose("m", SIZE, 17))
    save_pose(rtmpose("s", SIZE, 17), tmp_path / "s.safetensors")
    with pytest.raises(WholebodyError, match="not for a network of kind t"):
        build(starting_from(tmp_path / "s.safetensors", "t"))
