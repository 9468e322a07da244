import numpy as np
import pytest
import torch
from torch.nn import functional as F

from wholebody.errors import WholebodyError
from wholebody.networks.rtmpose import simcc
from wholebody.networks.thunder import MoveNetHeads, MoveNetOutput, Thunder, _Conv
from wholebody.networks.two_scale import Presence, TwoScale, TwoScaleHead
from wholebody.schema import COCO_WHOLEBODY


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return Thunder().eval()


def test_maps_have_the_shapes_of_rtmpose_x(network):
    with torch.no_grad():
        maps = network.pyramid(torch.randn(1, 3, 256, 192))
    assert [tuple(m.shape) for m in maps] == [(1, 1280, 8, 6), (1, 24, 32, 24), (1, 24, 64, 48)]


def test_feature_is_the_top_of_the_pyramid(network):
    images = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(network.features(images), network.pyramid(images).stride32)


@pytest.mark.parametrize(("size", "before", "after"), [(8, 0, 1), (9, 1, 1)])
def test_stride_two_pads_as_tensorflow_does(size, before, after):
    layer = _Conv(2, 3, 3, stride=2)
    x = torch.randn(1, 2, size, size)
    padded = F.pad(x, (before, after, before, after))
    expected = F.conv2d(padded, layer.weight, layer.bias, stride=2)
    torch.testing.assert_close(layer(x), expected)
    assert layer(x).shape[-1] == -(-size // 2)


def test_every_weight_is_filled_from_the_file(network):
    layers = list(network._in_file_order())
    in_file = {id(p) for layer in layers for p in layer.parameters()}
    assert len(layers) == len(set(map(id, layers))) and in_file == {id(p) for p in network.parameters()}
    assert sum(np.prod(layer.weight.shape) for layer in layers) == sum(
        p.numel() for name, p in network.named_parameters() if name.endswith("weight")
    )


def test_other_files_are_refused(tmp_path):
    pytest.importorskip("ai_edge_litert")
    path = tmp_path / "other.tflite"
    path.write_bytes(b"not a network")
    with pytest.raises(WholebodyError, match=r"other\.tflite"):
        Thunder.from_tflite(path)


def test_the_answer_is_the_person_in_the_middle():
    """Two people whose joints glow alike: the one nearer to the middle is found, moved by the offset."""
    heads = MoveNetHeads()
    h, w = 16, 12
    maps = {name: torch.full((1, n, h, w), -8.0) for name, n in (("center", 1), ("heat", 17))}
    maps |= {name: torch.zeros(1, 34, h, w) for name in ("regress", "offset")}
    for row, column in ((8, 5), (2, 10)):
        maps["center"][0, 0, row, column] = 4.0
        maps["heat"][0, :, row + 2, column + 1] = 3.0 if row == 8 else 4.0
        maps["regress"][0, 0::2, row, column], maps["regress"][0, 1::2, row, column] = 2.0, 1.0
    maps["offset"][0, 0::2, 10, 6], maps["offset"][0, 1::2, 10, 6] = 0.25, -0.5
    for name, value in maps.items():
        setattr(heads, name, _Constant(value))
    answer = heads(torch.zeros(1, 24, h, w))
    assert torch.equal(answer.keypoints[0], torch.tensor([[5.5 * 4, 10.25 * 4]]).expand(17, 2))
    torch.testing.assert_close(answer.scores, torch.full((1, 17), 3.0).sigmoid())


class _Constant(torch.nn.Module):
    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, x):
        return self.value


@pytest.fixture(scope="module")
def two_scale(network):
    torch.manual_seed(3)
    return TwoScale(network, MoveNetHeads(), TwoScaleHead(simcc((64, 64)), keypoints=20)).eval()


def test_a_fine_map_moves_the_two_scale_heads_answer(two_scale):
    """What the coarse feature does not show, the fine ones may."""
    stages = two_scale.backbone.stages(torch.randn(2, 3, 64, 64))
    stages = stages._replace(stride32=stages.stride32[:1].expand(2, -1, -1, -1))
    answer = MoveNetOutput(torch.full((2, 17, 2), 20.0), torch.ones(2, 17))
    with torch.no_grad():
        x, y, axes = two_scale.head.both(stages, answer)
    assert x.shape == (2, 20, 128) and y.shape == (2, 20, 128) and axes.x.shape == axes.y.shape == (2, 20, 16)
    assert (x[0] - x[1]).abs().max() > 1e-4 * x.std()


def test_the_two_scale_head_starts_from_the_answer(two_scale):
    """Untrained, it says for the body what MoveNet says."""
    stages = two_scale.backbone.stages(torch.randn(1, 3, 64, 64))
    keypoints = torch.rand(1, 17, 2, generator=torch.Generator().manual_seed(2)) * 60
    with torch.no_grad():
        x, y, _ = two_scale.head.both(stages, MoveNetOutput(keypoints, torch.full((1, 17), 0.9)))
    found, scores = two_scale.codec.decode(x.numpy(), y.numpy())
    np.testing.assert_allclose(found[:, :17], keypoints, atol=2.0)
    assert scores[:, :17].min() > scores[:, 17:].max()


def test_two_scale_has_the_coarse_feature_for_distillation(two_scale):
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert two_scale.features(images).shape == (2, 1280, 2, 2)
        assert torch.equal(two_scale(images)[0], two_scale.both(images)[0])


def test_presence_scales_the_logits_of_each_hand_alone(network):
    """Its factor is the same for all points of a hand, 1 elsewhere, and moves no keypoint."""
    torch.manual_seed(5)
    whole = TwoScale(network, MoveNetHeads(), TwoScaleHead(simcc((64, 64)))).eval()
    images = torch.randn(3, 3, 64, 64)
    with torch.no_grad():
        plain = whole(images)
        whole.head.presence = Presence()
        torch.nn.init.normal_(whole.head.presence.read.weight)
        gated = whole(images)
    left, right = (COCO_WHOLEBODY.parts[hand] for hand in ("left_hand", "right_hand"))
    for before, after in zip(plain, gated, strict=True):
        factor = (after / before).median(dim=2).values
        torch.testing.assert_close(after, before * factor[..., None])
        assert (factor[:, : left.start] == 1).all()
        for part in (left, right):
            torch.testing.assert_close(factor[:, part], factor[:, part][:, :1].expand(-1, 21))
        assert (factor[:, left.start] - factor[:, right.start]).abs().min() > 1e-3
    found, scores = whole.codec.decode(*(axis.numpy() for axis in plain))
    moved, fewer = whole.codec.decode(*(axis.numpy() for axis in gated))
    shown = fewer > 0
    np.testing.assert_array_equal(found[shown], moved[shown])
    assert (fewer[:, left] < scores[:, left])[scores[:, left] > 0].all()
