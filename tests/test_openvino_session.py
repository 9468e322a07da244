import subprocess
import sys
import threading

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from networks import people, save_pose
from test_runtime import network, numbers
from wholebody import runtime
from wholebody.errors import WholebodyError
from wholebody.runtime import choose
from wholebody.runtime.choose import open_session
from wholebody.runtime.ov import batch_sizes, pieces, read_metadata
from wholebody.runtime.session import int8_file

openvino = pytest.importorskip("openvino")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("WHOLEBODY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "openvino"


@given(count=st.integers(0, 40), threads=st.integers(1, 20))
def test_pieces_add_up(count, threads):
    found = pieces(count, batch_sizes(threads))
    assert sum(found) == count and found == sorted(found, reverse=True)


def test_a_network_of_one_size_is_filled_up():
    assert pieces(10, (4,)) == [4, 4, 4]


@pytest.mark.parametrize(
    ("batch", "n"), [("n", 1), ("n", 5), (1, 1), (1, 5), (4, 1), (4, 4), (4, 10), (4, 0), ("n", 0)]
)
@pytest.mark.parametrize("threads", [1, 2])
def test_any_number_of_rows_fits(tmp_path, batch, n, threads):
    session = open_session(network(tmp_path / "a.onnx", batch), "openvino", threads)
    doubled, total = session(numbers(n))
    np.testing.assert_array_equal(doubled, 2 * numbers(n))
    np.testing.assert_allclose(total, numbers(n).sum(axis=1))


def test_it_says_what_onnx_runtime_says(tmp_path):
    path = network(tmp_path / "a.onnx", wholebody='{"kind": "pose"}', other="Ω" * 200)
    ours, theirs = open_session(path, "openvino"), open_session(path, "cpu")
    for name in ("inputs", "outputs", "metadata"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert (ours.provider, ours.precision, ours.fallback) == ("OpenVINO", "fp32", None)


def test_a_file_without_notes(tmp_path):
    assert read_metadata(network(tmp_path / "a.onnx")) == {}


def test_float32_agrees_with_onnx_runtime(tmp_path):
    path = save_pose(tmp_path / "pose.onnx")
    ours, theirs = open_session(path, "openvino", 1), open_session(path, "cpu", 1)
    _, h, w, _ = ours.inputs[0].shape  # (any, 64, 48, 3)
    crops = np.stack([people([[10, 5, 40, 60]], (h, w)), people([[2, 2, 30, 50]], (h, w))])
    for a, b in zip(ours(crops), theirs(crops), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_chosen_outputs_come_in_the_order_asked(tmp_path):
    total, doubled = open_session(network(tmp_path / "a.onnx"), "openvino")(numbers(2), ["total", "doubled"])
    assert total.shape == (2,) and doubled.shape == (2, 3)


def test_results_are_not_written_over_by_the_next_run(tmp_path):
    session = open_session(network(tmp_path / "a.onnx"), "openvino", 1)
    first = session(numbers(1))[0]
    kept = first.copy()
    session(numbers(1) + 5)
    np.testing.assert_array_equal(first, kept)


def test_threads_may_share_it(tmp_path):
    session = open_session(network(tmp_path / "a.onnx"), "openvino", 1)
    wrong = []

    def work(n):
        for _ in range(50):
            batch = np.full((3, 3), n, np.float32)
            if not (session(batch)[0] == 2 * batch).all():
                wrong.append(n)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_compiled_networks_are_kept(tmp_path, cache):
    open_session(network(tmp_path / "a.onnx"), "openvino", 1)
    assert list((cache / "fp32").iterdir())


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("WHOLEBODY_CACHE", str(tmp_path / "file"))
    assert open_session(network(tmp_path / "a.onnx"), "openvino", 1)(numbers(1))


@pytest.mark.parametrize(
    "batch", [numbers(1).astype(np.float64), np.zeros((1, 4), np.float32), np.zeros(3, np.float32)]
)
def test_a_batch_that_does_not_fit(tmp_path, batch):
    session = open_session(network(tmp_path / "a.onnx"), "openvino", 1)
    with pytest.raises(WholebodyError, match=r"cannot run on .* takes float32 \(any, 3\)"):
        session(batch)


def test_two_inputs_and_no_onnx_are_refused(tmp_path):
    with pytest.raises(WholebodyError, match="2 inputs"):
        open_session(network(tmp_path / "a.onnx", inputs=2), "openvino")
    (tmp_path / "b.onnx").write_bytes(b"\x08\x08 not a network")
    with pytest.raises(WholebodyError, match="OpenVINO rejects it"):
        open_session(tmp_path / "b.onnx", "openvino")


# --- Which precision --------------------------------------------------------------------------------------------------


@pytest.fixture
def machine(monkeypatch):
    """A machine that can do what is named."""

    def can(*words):
        monkeypatch.setattr(choose, "int8_is_fast", lambda: "int8" in words)
        monkeypatch.setattr(choose, "_computes_bf16", lambda: "bf16" in words)
        monkeypatch.setattr(choose, "no_openvino", lambda: None if "openvino" in words else "needs an extra")

    return can


@pytest.mark.parametrize(
    ("words", "device", "expected"),
    [
        ("int8 bf16 openvino", "auto", ("CPUExecutionProvider", "int8")),
        ("int8 bf16 openvino", "openvino", ("OpenVINO", "int8")),
        ("int8", "cpu", ("CPUExecutionProvider", "int8")),
        ("openvino", "auto", ("CPUExecutionProvider", "fp32")),
        ("bf16", "auto", ("CPUExecutionProvider", "fp32")),
        ("openvino", "openvino", ("OpenVINO", "fp32")),
        ("", "cpu", ("CPUExecutionProvider", "fp32")),
    ],
)
def test_auto_is_the_fastest_that_is_there(tmp_path, machine, words, device, expected):
    path = network(tmp_path / "a.onnx")
    network(int8_file(path))
    machine(*words.split())
    session = open_session(path, device, 1, "auto")
    assert (session.provider, session.precision) == expected


@pytest.mark.parametrize(("device", "precision"), [("auto", "bf16"), ("openvino", "bf16"), ("cpu", "fp32")])
def test_without_a_file_for_int8_auto_is_what_else_is_there(tmp_path, machine, monkeypatch, device, precision):
    machine("int8", "bf16", "openvino")
    # Also on a processor without bf16, where OpenVINO computes the same in float32.
    monkeypatch.setattr("wholebody.runtime.ov.computes_bf16", lambda: True)
    session = open_session(network(tmp_path / "a.onnx"), device, 1, "auto")
    assert session.precision == precision
    assert session(numbers(1))[0].shape == (1, 3)


def test_the_file_for_int8_is_the_one_that_runs(tmp_path):
    path = network(tmp_path / "a.onnx", which="float")
    network(int8_file(path), which="int8")
    assert int8_file(int8_file(path)) == int8_file(path) == tmp_path / "a.int8.onnx"
    assert open_session(path, "cpu", 1, "int8").metadata["which"] == "int8"
    assert open_session(path, "cpu", 1).metadata["which"] == "float"


@pytest.mark.parametrize(
    ("words", "device", "precision", "says"),
    [
        ("int8", "auto", "bf16", "bf16 needs an extra"),
        ("openvino", "auto", "bf16", "does not support bfloat16"),
        ("openvino bf16", "cpu", "bf16", "choose device openvino"),
        ("int8", "cpu", "int8", r"a\.int8\.onnx: no such file"),
        ("int8", "cuda", "int8", "int8 is only for the CPU"),
        ("", "openvino", "fp32", "needs an extra"),
        ("", "cpu", "fp64", "Choose one of auto, fp32, bf16, int8"),
    ],
)
def test_what_is_not_to_be_had_says_why(tmp_path, machine, monkeypatch, words, device, precision, says):
    machine(*words.split())
    monkeypatch.setattr("wholebody.runtime.ov.computes_bf16", lambda: "bf16" in words)
    with pytest.raises(WholebodyError, match=says):
        open_session(network(tmp_path / "a.onnx"), device, 1, precision)


def test_the_processor_is_read_once(monkeypatch):
    assert runtime.int8_is_fast() in (True, False)
    assert runtime.int8_is_fast.cache_info().currsize == 1


def test_metadata_comes_through_a_large_file(tmp_path):
    """Whatever else the file holds is stepped over."""
    path = network(tmp_path / "a.onnx", wholebody="{}")
    model = onnx.load(path)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(300_000, np.float32), "unused"))
    model.producer_name, model.model_version = "somebody", 2**40
    onnx.save(model, path)
    assert read_metadata(path) == {"wholebody": "{}"}


def test_a_signal_is_survived_after_sessions_are_closed(tmp_path):
    # In a process of its own, which would die of it.
    code = """
import signal, sys
from wholebody.runtime import open_session
first, second = (open_session(sys.argv[1], "openvino", 1) for _ in range(2))
del first
del second
signal.signal(signal.SIGINT, lambda *_: print("heard"))
signal.raise_signal(signal.SIGINT)
"""
    path = network(tmp_path / "a.onnx", 1)
    told = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
    assert (told.returncode, told.stdout) == (0, "heard\n"), told.stderr
