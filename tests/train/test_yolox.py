import json
import pickle

import numpy as np
import pytest
import torch

import oracle as golden
from wholebody.errors import WholebodyError
from wholebody.networks.thunder import Thunder
from wholebody.networks.yolox import SIZES, ThunderTrunk, from_checkpoint, load_yolox, yolox

RELEASED = [size for size in SIZES if size != "thunder"]


@pytest.fixture(scope="module")
def released(oracle):
    """size -> the released networks' facts, with `shapes` as name -> shape."""
    models = json.loads((oracle / "07_yolox_state_dicts.json").read_text())["models"]
    return {
        size: facts | {"shapes": {name: tuple(shape) for name, shape, _ in facts["state_dict"]}}
        for size, facts in models.items()
    }


def weights(shapes, salt, size):
    return {name: torch.from_numpy(value) for name, value in golden.state_dict(shapes, salt, size).items()}


@pytest.mark.parametrize("size", RELEASED)
def test_names_shapes_and_order_are_the_released_ones(released, size):
    with torch.device("meta"):
        state = yolox(size).state_dict()
    assert list(state) == list(released[size]["shapes"])
    assert {name: tuple(value.shape) for name, value in state.items()} == released[size]["shapes"]


@pytest.mark.slow
@pytest.mark.parametrize("size", RELEASED)
@torch.inference_mode()
def test_forward_golden(oracle, released, size):
    facts = json.loads((oracle / "07_yolox_forward.json").read_text())
    rows = np.load(oracle / "07_yolox_forward.npz")[f"{size}_raw_rows_step37"]
    model = from_checkpoint({"model": weights(released[size]["shapes"], facts["weights_salt"], size)})
    height, width = released[size]["test_size"]
    images = torch.from_numpy(golden.image(height, width)).permute(2, 0, 1)[None].float()
    for got, want in zip(model.features(images), facts["trace"][size]["fpn"], strict=True):
        assert list(got.shape) == want["shape"]
        np.testing.assert_allclose(got.flatten()[:8], want["first8"], atol=2e-4 * want["std"])
        np.testing.assert_allclose(got.mean(), want["mean"], atol=1e-4 * want["std"])
    raw = model(images)
    assert list(raw.shape) == released[size]["out_shape"]
    np.testing.assert_allclose(raw[0, ::37], rows, atol=5e-4, rtol=1e-5)


def test_one_class_has_six_columns_and_starts_nearly_silent():
    with torch.inference_mode():
        raw = yolox("nano", classes=1).eval()(torch.zeros(2, 3, 64, 96))
    assert raw.shape == (2, 8 * 12 + 4 * 6 + 2 * 3, 6)
    assert raw[..., 4:].max() < 0.05


@torch.inference_mode()
def test_thunders_trunk_is_its_encoder_read_at_three_strides():
    encoder, model = Thunder().eval(), yolox("thunder", classes=1).eval()
    trunk = model.backbone.backbone
    assert isinstance(trunk, ThunderTrunk)
    trunk.start_from(encoder)
    images = torch.rand(2, 3, 64, 96) * 255
    read = {}
    for at in ThunderTrunk.READ:
        encoder.blocks[at].register_forward_hook(lambda _, __, out, at=at: read.setdefault(at, out))
    encoder((images.flip(1) - 127.5) / 127.5)  # the encoder takes RGB
    for got, lateral, want, stride in zip(trunk(images), trunk.laterals, read.values(), (8, 16, 32), strict=True):
        assert got.shape[-2:] == (64 // stride, 96 // stride)
        torch.testing.assert_close(got, lateral(want))
    assert model(images).shape == (2, 8 * 12 + 4 * 6 + 2 * 3, 6)


def test_a_file_of_thunders_size_loads_as_such(tmp_path):
    model = yolox("thunder", classes=1)
    torch.save({"model": model.state_dict()}, tmp_path / "yolox.pth")
    loaded = load_yolox(tmp_path / "yolox.pth")
    assert list(loaded.state_dict()) == list(model.state_dict())


def test_the_logits_are_what_forward_squashes():
    model = yolox("nano", classes=2).eval()
    images = torch.rand(1, 3, 64, 64) * 255
    with torch.inference_mode():
        logits, raw = model.logits(images), model(images)
    torch.testing.assert_close(raw[..., :4], logits[..., :4])
    torch.testing.assert_close(raw[..., 4:], logits[..., 4:].sigmoid())


@pytest.mark.slow
def test_a_released_file_loads_strictly(tmp_path):
    model = yolox("nano", classes=3)
    torch.save({"start_epoch": 300, "model": model.state_dict(), "optimizer": {}}, tmp_path / "yolox.pth")
    loaded = load_yolox(tmp_path / "yolox.pth")
    assert not loaded.training
    for name, value in model.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], value)


class _Hostile:
    def __reduce__(self):
        return print, ("this code was run",)


def _hostile(path):
    torch.save({"model": _Hostile()}, path)


def _foreign(path):
    torch.save({"model": {"weight": torch.zeros(3)}}, path)


@pytest.mark.parametrize(
    "write",
    [
        _hostile,
        _foreign,
        lambda path: path.write_bytes(pickle.dumps(_Hostile())),
        lambda path: path.write_bytes(b"PK\x03\x04 cut off"),
        lambda path: path.write_bytes(b""),
        lambda path: torch.save([1, 2], path),
        lambda path: None,
    ],
)
def test_a_file_that_is_not_yolox_is_refused_in_one_line(tmp_path, capsys, write):
    path = tmp_path / "yolox.pth"
    write(path)
    with pytest.raises(WholebodyError, match=r"yolox\.pth") as error:
        load_yolox(path)
    assert "\n" not in str(error.value)
    assert "this code was run" not in capsys.readouterr().out


def test_an_unknown_size_names_the_known_ones():
    with pytest.raises(WholebodyError, match="thunder, nano, tiny, s, m, l, x"):
        yolox("huge")
