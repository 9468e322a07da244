import importlib.metadata
import importlib.util
import json
import logging
import re
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from wholebody import runtime
from wholebody.commands import doctor
from wholebody.commands.doctor import duplicates, providers
from wholebody.errors import WholebodyError
from wholebody.runtime import choose
from wholebody.runtime.choose import open_session
from wholebody.runtime.session import Tensor, notice


@pytest.fixture(autouse=True)
def _notices_again():
    notice.cache_clear()


def network(path, batch="n", dtype=TensorProto.FLOAT, inputs=1, **metadata):
    """doubled = 2 x, total = sum of each row of x (N, 3)."""
    values = [helper.make_tensor_value_info(f"x{i}", dtype, [batch, 3]) for i in range(inputs)]
    two = helper.make_tensor("two", dtype, [], [2])
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
    nodes = [
        helper.make_node("Mul", ["x0", "two"], ["doubled"]),
        helper.make_node("ReduceSum", ["x0", "axes"], ["total"], keepdims=0),
    ]
    outputs = [
        helper.make_tensor_value_info("doubled", dtype, [batch, 3]),
        helper.make_tensor_value_info("total", dtype, [batch]),
    ]
    graph = helper.make_graph(nodes, "test", values, outputs, [two, axes])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, metadata)
    onnx.save(model, path)
    return path


def numbers(n, dtype=np.float32):
    return np.arange(n * 3, dtype=dtype).reshape(n, 3)


@pytest.mark.parametrize(("batch", "n"), [("n", 1), ("n", 5), (1, 1), (1, 5), (4, 1), (4, 4), (4, 10), (4, 0), (1, 0)])
def test_any_number_of_rows_fits(tmp_path, batch, n):
    session = open_session(network(tmp_path / "a.onnx", batch))
    doubled, total = session(numbers(n))
    np.testing.assert_array_equal(doubled, 2 * numbers(n))
    np.testing.assert_array_equal(total, numbers(n).sum(axis=1))


def test_chosen_outputs_come_in_the_order_asked(tmp_path):
    session = open_session(network(tmp_path / "a.onnx"))
    total, doubled = session(numbers(2), ["total", "doubled"])
    assert total.shape == (2,) and doubled.shape == (2, 3)
    assert len(session(numbers(2), ["doubled"])) == 1


@pytest.mark.parametrize(
    ("batch", "dtype", "shape", "name"),
    [("n", TensorProto.FLOAT, (None, 3), "float32"), (2, TensorProto.DOUBLE, (2, 3), "float64")],
)
def test_description(tmp_path, batch, dtype, shape, name):
    session = open_session(network(tmp_path / "a.onnx", batch, dtype, wholebody='{"kind": "pose"}'))
    assert session.inputs == (Tensor("x0", shape, name),)
    assert session.outputs == (Tensor("doubled", shape, name), Tensor("total", shape[:1], name))
    assert json.loads(session.metadata["wholebody"]) == {"kind": "pose"}
    assert session.provider == "CPUExecutionProvider"
    assert session.fallback is None


def test_idle_threads_do_not_spin(tmp_path, monkeypatch):
    seen = []
    real = onnxruntime.InferenceSession

    def spy(path, options, **kwargs):
        seen.append(options)
        return real(path, options, **kwargs)

    monkeypatch.setattr(onnxruntime, "InferenceSession", spy)
    open_session(network(tmp_path / "a.onnx"), threads=1)
    (options,) = seen
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert options.get_session_config_entry("session.inter_op.allow_spinning") == "0"
    assert options.graph_optimization_level == onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    assert options.intra_op_num_threads == 1


@pytest.mark.parametrize("batch", [numbers(2, np.uint8), np.zeros((2, 4), np.float32), np.zeros(3, np.float32)])
def test_batch_that_does_not_fit(tmp_path, batch):
    session = open_session(network(tmp_path / "a.onnx"))
    with pytest.raises(WholebodyError, match=r"cannot run on .*takes float32 \(any, 3\)") as error:
        session(batch)
    assert "\n" not in str(error.value)


def missing(path): ...


def folder(path):
    path.mkdir()


def truncated(path):
    path.write_bytes(network(path).read_bytes()[:-20])


def two_inputs(path):
    network(path, inputs=2)


def written(content):
    return lambda path: path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("a.onnx", missing, "no such file"),
        ("a.onnx", folder, "is a folder"),
        ("a.onnx", written(b""), "is empty"),
        ("a.onnx", written(b"hello world"), "not a usable ONNX file"),
        ("a.onnx", written(b"\n <!DOCTYPE html><html>"), "web page"),
        ("a.onnx", written(b"version https://git-lfs.github.com/spec/v1\noid"), "git lfs pull"),
        ("a.onnx", truncated, "not a usable ONNX file"),
        ("a.onnx", two_inputs, "2 inputs"),
        ("a.onnx", written(b"PK\x03\x04rest of a zip"), "checkpoint or an archive"),
        ("a.pth", written(b"\x80\x02"), "checkpoint or an archive"),
    ],
)
def test_bad_file(tmp_path, name, make, message):
    make(tmp_path / name)
    with pytest.raises(WholebodyError, match=message) as error:
        open_session(tmp_path / name)
    assert str(error.value).startswith(str(tmp_path / name)) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"device": "cdua"}, "Did you mean 'cuda'"),
        ({"device": "cuda:0"}, "Did you mean 'cuda'"),
        ({"device": "gpu"}, "Did you mean 'cuda'"),
        ({"device": "mps"}, "Did you mean 'coreml'"),
        ({"device": "abacus"}, "Choose one of auto, cuda"),
        ({"threads": 0}, "threads is 0"),
    ],
)
def test_bad_request(tmp_path, kwargs, message):
    with pytest.raises(WholebodyError, match=message):
        open_session(network(tmp_path / "a.onnx"), **kwargs)


def test_openvino_names_its_extra(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(WholebodyError, match=r"wholebody\[openvino\]"):
        open_session(network(tmp_path / "a.onnx"), "openvino")


def pretend(monkeypatch, *providers):
    """As if ONNX Runtime had more providers. They fail when used, as a CUDA build does on a machine without CUDA."""
    everything = [*providers, "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: everything)


@pytest.mark.filterwarnings("ignore:Specified provider")
@pytest.mark.parametrize(
    ("device", "present", "reason"),
    [
        ("directml", (), "installed ONNX Runtime has no DmlExecutionProvider .onnxruntime-directml has it"),
        ("cuda", ("CUDAExecutionProvider",), "cuda is not used: CUDAExecutionProvider did not load"),
        ("tensorrt", ("TensorrtExecutionProvider",), "tensorrt is not used: TensorrtExecutionProvider did not load"),
        ("coreml", ("CoreMLExecutionProvider",), "coreml is not used: CoreMLExecutionProvider did not load"),
        ("auto", ("CUDAExecutionProvider", "DmlExecutionProvider"), "cuda is not used.*; directml is not used"),
    ],
)
def test_fallback_says_why_once(tmp_path, monkeypatch, caplog, device, present, reason):
    monkeypatch.setenv("WHOLEBODY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None)
    pretend(monkeypatch, *present)
    path = network(tmp_path / "a.onnx")
    sessions = [open_session(path, device) for _ in range(2)]
    for session in sessions:
        assert session.provider == "CPUExecutionProvider"
        np.testing.assert_array_equal(session(numbers(1))[0], 2 * numbers(1))
    (record,) = caplog.records
    assert record.levelno == logging.WARNING and record.name == "wholebody"
    assert record.getMessage() == f"{sessions[0].fallback}. Running on CPUExecutionProvider."
    assert re.search(reason, record.getMessage())


def test_provider_that_fails_when_it_runs(tmp_path, monkeypatch, caplog):
    class Broken:
        def __init__(self, path, options, providers, **kwargs):
            self.real = real(path, options, providers=["CPUExecutionProvider"], **kwargs)
            self.providers = [p if isinstance(p, str) else p[0] for p in providers]

        def get_providers(self):
            return self.providers

        def run(self, *args):
            if self.providers[0] != "CPUExecutionProvider":
                raise RuntimeError("[ONNXRuntimeError] : 1 : FAIL : no kernel image\nis available")
            return self.real.run(*args)

        def __getattr__(self, name):
            return getattr(self.real, name)

    real = onnxruntime.InferenceSession
    monkeypatch.setattr(onnxruntime, "InferenceSession", Broken)
    pretend(monkeypatch, "DmlExecutionProvider")
    session = open_session(network(tmp_path / "a.onnx"))
    assert session.provider == "CPUExecutionProvider"
    assert session.fallback == "directml is not used: no kernel image is available"
    np.testing.assert_array_equal(session(numbers(1))[0], 2 * numbers(1))


def test_auto_is_quiet_where_nothing_was_promised(tmp_path, monkeypatch, caplog):
    pretend(monkeypatch)
    assert open_session(network(tmp_path / "a.onnx")).fallback is None
    assert not caplog.records


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_providers(tmp_path, monkeypatch):
    pretend(monkeypatch, "DmlExecutionProvider")
    monkeypatch.setattr(doctor, "no_openvino", lambda: "needs an extra")
    listed = {provider.device: provider for provider in providers()}
    assert list(listed) == [*runtime.PROVIDERS, "openvino"]
    assert [device for device, provider in listed.items() if provider.available] == ["directml", "cpu"]
    assert "onnxruntime-gpu" in listed["cuda"].reason and listed["cpu"].reason == ""
    tried = {provider.device: provider for provider in providers(network(tmp_path / "a.onnx"))}
    assert [device for device, provider in tried.items() if provider.available] == ["cpu"]
    assert "did not load" in tried["directml"].reason


@pytest.mark.parametrize(
    ("installed", "expected"),
    [
        ({"onnxruntime": "onnxruntime", "opencv-python-headless": "cv2"}, {}),
        (
            {"onnxruntime": "onnxruntime", "onnxruntime-gpu": "onnxruntime", "opencv-python-headless": "cv2"},
            {"onnxruntime": ("onnxruntime", "onnxruntime-gpu")},
        ),
        (
            {"opencv-python": "cv2", "opencv-contrib-python": "cv2", "opencv-python-headless": "cv2", "numpy": "numpy"},
            {"cv2": ("opencv-contrib-python", "opencv-python", "opencv-python-headless")},
        ),
    ],
)
def test_duplicates(tmp_path, monkeypatch, installed, expected):
    for package, module in installed.items():
        info = tmp_path / f"{package.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "top_level.txt").write_text(module)
    monkeypatch.setattr(
        importlib.metadata, "distributions", lambda: importlib.metadata.Distribution.discover(path=[str(tmp_path)])
    )
    assert duplicates() == expected


@dataclass(frozen=True)
class Described:
    """A session as far as `notes` and `input_size` look at it."""

    shape: tuple[int | None, ...]
    dtype: str = "float32"
    text: str = "{}"

    @property
    def inputs(self):
        return (Tensor("images", self.shape, self.dtype),)

    @property
    def metadata(self):
        return {"wholebody": self.text}


@pytest.mark.parametrize(
    ("session", "size"),
    [
        (Described((None, 3, 256, 192)), (192, 256)),
        (Described((None, 256, 192, 3), "uint8"), (192, 256)),
        (Described((1, 3, None, None), text='{"input_size": [416, 320]}'), (416, 320)),
    ],
)
def test_input_size(session, size):
    assert runtime.input_size(session) == size


@pytest.mark.parametrize(
    ("session", "message"),
    [
        (Described((None, 3, None, None)), "not fixed"),
        (Described((None, 256, 192, 3)), r"not a network for pictures.*\(any, 256, 192, 3\)"),
        (Described((None, 133)), "not a network for pictures"),
    ],
)
def test_input_size_unknown(session, message):
    with pytest.raises(WholebodyError, match=message):
        runtime.input_size(session)


@pytest.mark.parametrize(
    ("text", "expected"), [("{}", {}), ('{"kind": "pose"}', {"kind": "pose"}), ("[1]", {}), ("not JSON", {})]
)
def test_notes(text, expected):
    assert runtime.notes(Described((), text=text)) == expected


@pytest.mark.parametrize("name", ["pose", "my.pose.v2", "a.int8.b", "p"])
def test_the_int8_file_and_back(tmp_path, name):
    path = tmp_path / f"{name}.onnx"
    small = runtime.int8_file(path)
    assert small.name == f"{name}.int8.onnx"
    assert runtime.float_file(small) == path
    assert runtime.int8_file(small) == small and runtime.float_file(path) == path


def test_a_runtime_from_outside(tmp_path, monkeypatch):
    """A row is all that a new runtime needs."""

    class Toy:
        inputs = outputs = ()
        metadata: ClassVar = {}
        provider, fallback = "toy", None

        def __init__(self, path, precision, threads):
            self.path, self.precision, self.threads = path, precision, threads

    missing = []
    monkeypatch.setitem(choose.RUNTIMES, "toy", choose.Runtime(lambda: missing[0] if missing else None, Toy))
    path = network(tmp_path / "a.onnx")
    session = open_session(path, "toy", 3)
    assert (session.path, session.precision, session.threads) == (path, "fp32", 3)
    missing.append("needs a toy")
    with pytest.raises(WholebodyError, match="device 'toy' needs a toy, or choose another device"):
        open_session(path, "toy")
