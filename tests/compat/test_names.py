import pytest

from wholebody.compat import names
from wholebody.errors import WholebodyError

_SDK = "https://download.openmmlab.com/mmpose/v1/projects"


@pytest.mark.parametrize(
    ("given", "want"),
    [
        (None, "usual"),
        ("fast", "fast"),
        (f"{_SDK}/rtmw/onnx_sdk/rtmw-dw-x-l_simcc-cocktail14_270e-384x288_20231122.zip", "rtmw-l-384"),
        (f"{_SDK}/rtmposev1/onnx_sdk/yolox_m_8xb8-300e_humanart-c2c7a14a.zip", "yolox-m-humanart"),
        ("https://huggingface.co/yzd-v/DWPose/resolve/main/dw-ll_ucoco_384.onnx", "dwpose-l-384"),
        ("https://huggingface.co/wanghaofan/dw-ll_ucoco_384/resolve/main/dw-ll_ucoco_384.pth", "dwpose-l-384"),
        (f"{_SDK}/rtmposev1/rtmpose-x_ucoco_384x288-f5b50679_20230822.pth", "rtmpose-x-384"),
        ("yolox_l.onnx", "yolox-l"),
        ("no-such-network", "no-such-network"),  # whoever opens it says what there is
    ],
)
def test_networks(given, want):
    assert names.network(given, "usual") == want


def test_a_file_that_is_there_is_taken_as_it_is(tmp_path):
    path = tmp_path / "yolox_l.onnx"
    path.write_bytes(b"mine")
    assert names.network(path, "usual") == str(path)


def test_unknown_addresses_are_not_opened():
    with pytest.raises(WholebodyError, match="Download it and give the path"):
        names.network("https://example.org/net.onnx?download=true", "usual")


@pytest.mark.parametrize(
    ("given", "want"),
    [(None, "auto"), ("cpu", "cpu"), ("cuda", "cuda"), ("cuda:0", "cuda"), ("mps", "coreml"), ("openvino", "openvino")],
)
def test_devices(given, want):
    assert names.device(given) == want


def test_the_second_card_is_chosen_elsewhere():
    with pytest.raises(WholebodyError, match="CUDA_VISIBLE_DEVICES=1"):
        names.device("cuda:1")
