import numpy as np
import pytest

from networks import save_pose
from test_runtime import network
from wholebody import cli
from wholebody.errors import WholebodyError
from wholebody.evaluate.speed import precision
from wholebody.evaluate.speed.precision import Speed, fastest, open_all, time_precisions
from wholebody.runtime.session import int8_file
from wholebody.weights.lookup import find
from wholebody.weights.manifest import MANIFEST


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("WHOLEBODY_CACHE", str(tmp_path / "cache"))


def test_everything_that_is_there_takes_part(tmp_path):
    path = save_pose(tmp_path / "a.onnx")
    without = set(open_all(path, 1))
    assert ("ONNX Runtime", "fp32") in without and ("ONNX Runtime", "int8") not in without
    save_pose(int8_file(path))
    found = time_precisions(path, 1, (1, 3), rounds=2)
    assert {("ONNX Runtime", "fp32"), ("ONNX Runtime", "int8")} <= {(s.runtime, s.precision) for s in found}
    for speed in found:
        assert list(speed.wall) == list(speed.cpu) == [1, 3]
        assert all(np.isfinite(ms) and ms > 0 for ms in speed.wall.values())


@pytest.mark.parametrize("name", [name for name, weights in MANIFEST.items() if weights.bundled])
def test_every_bundled_network_can_be_timed(name, monkeypatch):
    """The detectors' inputs have free sides."""
    monkeypatch.setattr(precision, "CONTESTANTS", precision.CONTESTANTS[:1])
    (speed,) = time_precisions(find(name, kind=MANIFEST[name].kind), 1, rounds=1)
    assert speed.wall[1] > 0


def test_the_fastest_has_the_least_processor_time():
    slow = Speed("ONNX Runtime", "fp32", {1: 1.0, 8: 1.0}, {1: 9.0, 8: 1.0})
    fast = Speed("ONNX Runtime", "int8", {1: 5.0, 8: 5.0}, {1: 3.0, 8: 8.0})
    assert fastest([slow, fast]) is fast


@pytest.mark.parametrize("options", [{"batches": ()}, {"batches": (0,)}, {"rounds": 0}])
def test_senseless_requests_are_refused(tmp_path, options):
    with pytest.raises(WholebodyError, match="cannot time"):
        time_precisions(network(tmp_path / "a.onnx"), 1, **options)


def test_the_command_prints_a_table_for_each_number_of_threads(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(precision, "CONTESTANTS", precision.CONTESTANTS[:1])
    path = save_pose(tmp_path / "a.onnx")
    with pytest.raises(SystemExit) as end:
        cli.main(["bench", "precision", "--models", str(path), "--threads", "1", "2", "--rounds", "1"])
    out = " ".join(capsys.readouterr().out.split())  # a long path breaks the line of the title
    assert end.value.code == 0 and "1 threads" in out and "2 threads" in out and "fp32" in out
