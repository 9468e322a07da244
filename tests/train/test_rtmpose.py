import json

import numpy as np
import pytest
import torch

import oracle as formula
from wholebody.networks.rtmpose import MEAN, SIZES, STD, GatedAttention, ScaleNorm, rtmpose, simcc

NETWORKS = [(size, (192, 256)) for size in SIZES] + [("l", (288, 384)), ("x", (288, 384))]


def name(size, input_size):
    return f"rtmpose-{size}_{input_size[1]}x{input_size[0]}"


def pixels(h, w, salt):
    """Two pictures as the networks want them."""
    rgb = np.stack([formula.image(h, w, i, salt) for i in range(2)])[..., ::-1].astype(np.float32)
    return torch.from_numpy((rgb - np.float32(MEAN)) / np.float32(STD)).permute(0, 3, 1, 2)


@pytest.mark.slow
@pytest.mark.parametrize(("size", "input_size"), NETWORKS)
def test_names_shapes_and_counts_are_the_released_ones(oracle, size, input_size):
    official = json.loads((oracle / "01_rtmpose_state_dicts.json").read_text())["models"][name(size, input_size)]
    with torch.device("meta"):
        model = rtmpose(size, input_size)
    ours = [
        [key, list(value.shape), str(value.dtype).removeprefix("torch.")] for key, value in model.state_dict().items()
    ]
    assert ours == official["state_dict"]
    for part, count in (("total", model), ("backbone", model.backbone), ("head", model.head)):
        assert sum(p.numel() for p in count.parameters()) == official["params"][part]
    assert model.backbone.channels == official["feature_shape_chw"][0]
    assert model.codec.bins == (official["simcc_x_len"], official["simcc_y_len"])


def pytest_generate_tests(metafunc):
    """One forward test per network in the folder: the repository's copy leaves out most of the large ones."""
    if "forward" in metafunc.fixturenames:
        files = sorted(metafunc.config.getoption("--oracle").glob("02_forward_*.npz"))
        assert files, "no golden forward passes"
        each = [pytest.param(file, marks=[pytest.mark.slow] if "-l_" in file.stem else []) for file in files]
        metafunc.parametrize("forward", each, ids=[file.stem.removeprefix("02_forward_") for file in files])


def test_forward_golden(oracle, forward):
    golden = np.load(forward)
    size, input_size = next(each for each in NETWORKS if forward.stem.endswith(name(*each)))
    facts = json.loads((oracle / "02_forward_trace.json").read_text())
    model = rtmpose(size, input_size).eval()
    weights = formula.state_dict({k: v.shape for k, v in model.state_dict().items()}, facts["weights_salt"])
    model.load_state_dict({key: torch.from_numpy(value) for key, value in weights.items()})
    with torch.inference_mode():
        feature = model.features(pixels(input_size[1], input_size[0], facts["image_salt"]))
        x, y = (logits.numpy() for logits in model.head(feature))
    np.testing.assert_allclose(x, golden["simcc_x"], atol=2e-4)
    np.testing.assert_allclose(y, golden["simcc_y"], atol=2e-4)
    want = golden["feat_img0"]
    np.testing.assert_allclose(feature[0].numpy(), want, atol=1e-4 * want.std())
    keypoints, scores = model.codec.decode(x, y)
    np.testing.assert_allclose(scores, golden["scores"], atol=2e-4)
    # A tie within the float error may fall to another bin.
    assert (np.abs(keypoints - golden["keypoints"]).max(axis=-1) == 0).mean() > 0.99


def test_codec_of_the_published_recipes():
    assert simcc((192, 256)).sigma == (4.9, 5.66)
    assert simcc((288, 384)).sigma == (6.0, 6.93)


@torch.no_grad()
def test_head_starts_as_published():
    torch.manual_seed(0)
    head = rtmpose("t").head
    assert float(head.final_layer.weight.std()) == pytest.approx(0.001, rel=0.05)
    for layer in (head.mlp[1], head.gau.uv, head.gau.o, head.cls_x, head.cls_y):
        assert float(layer.weight.std()) == pytest.approx(0.01, rel=0.05)
    assert not head.final_layer.bias.any()
    for uniform in (head.gau.gamma, head.gau.beta):
        assert 0 <= float(uniform.min()) < 0.1 and 0.9 < float(uniform.max()) < 1


def test_scale_norm_of_nothing_is_nothing():
    assert not ScaleNorm(8)(torch.zeros(2, 8)).any()
    torch.testing.assert_close(ScaleNorm(4)(torch.full((1, 4), 3.0)), torch.ones(1, 4))


def test_attention_does_not_know_the_order_of_keypoints():
    gau = GatedAttention().eval()
    tokens, order = torch.randn(1, 9, 256), torch.randperm(9)
    torch.testing.assert_close(gau(tokens)[:, order], gau(tokens[:, order]), rtol=1e-4, atol=1e-5)


def test_every_parameter_gets_a_gradient():
    model = rtmpose("t", (96, 128), keypoints=5)
    x, y = model(torch.randn(2, 3, 128, 96))
    assert x.shape == (2, 5, 192) and y.shape == (2, 5, 256)
    (x.square().mean() + y.square().mean()).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []
