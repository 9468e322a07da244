import importlib.util
import sys
from pathlib import Path
from types import MappingProxyType, ModuleType

import pytest

from mirror import CONTENT, SHA256, Mirror, entry, left
from wholebody.errors import WholebodyError
from wholebody.pose.load import onnx_file
from wholebody.weights import lookup


@pytest.fixture
def exports(monkeypatch, cache):
    """Stand-ins for the rooms that turn a checkpoint into ONNX; the list of what they were asked for."""
    asked = []

    def module(name, **functions):
        made = ModuleType(name)
        vars(made).update(functions)
        monkeypatch.setitem(sys.modules, name, made)

    def export(model, path, **kwargs):
        asked.append((model, kwargs))
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(b"onnx of " + Path(model).read_bytes())

    module("wholebody.export.convert", export_pose=export)
    module("wholebody.networks.checkpoints", load_pose=lambda path: path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    return asked


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_checkpoint_is_exported_once_for_each_content(tmp_path, cache, exports, suffix):
    path = tmp_path / f"student{suffix}"
    path.write_bytes(b"first")
    first = onnx_file(path, "pose")
    assert first.parent == cache and first.suffix == ".onnx" and first.read_bytes() == b"onnx of first"
    assert onnx_file(path, "pose") == first and len(exports) == 1
    path.write_bytes(b"second")
    second = onnx_file(path, "pose")
    assert second != first and second.read_bytes() == b"onnx of second" and len(exports) == 2


def test_checkpoint_of_the_other_kind_is_no_match_in_the_cache(tmp_path, exports, monkeypatch):
    path = tmp_path / "any.pth"
    path.write_bytes(b"x")
    pose = onnx_file(path, "pose")
    monkeypatch.setitem(sys.modules, "wholebody.networks.yolox", None)
    with pytest.raises(ImportError):  # the detector's room was asked, not the cache
        onnx_file(path, "detector")
    assert onnx_file(path, "pose") == pose and len(exports) == 1


@pytest.mark.parametrize("data", [b"", b"onnx of firsT"])
def test_a_damaged_export_is_made_again(tmp_path, exports, data):
    path = tmp_path / "student.safetensors"
    path.write_bytes(b"first")
    onnx_file(path, "pose").write_bytes(data)
    assert onnx_file(path, "pose").read_bytes() == b"onnx of first" and len(exports) == 2


def test_released_checkpoint_is_downloaded_and_exported(monkeypatch, cache, exports):
    monkeypatch.setenv("WHOLEBODY_TRUST", "1")  # eight digits of a hash are no promise
    with Mirror({"/z.pth": CONTENT}) as mirror:
        each = entry(f"{mirror.base}/z.pth", file="z.pth", bytes=None, sha256=SHA256[:8])
        monkeypatch.setattr(lookup, "MANIFEST", MappingProxyType({each.name: each}))
        path = onnx_file(each.name, "pose")
    assert path.read_bytes() == b"onnx of " + CONTENT and left(cache) == [path.name, f"{path.stem}.sha256", "z.pth"]


def test_checkpoint_without_the_extra(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    path = tmp_path / "student.pth"
    path.write_bytes(b"x")
    with pytest.raises(WholebodyError, match=r"pip install 'wholebody\[train\]'"):
        onnx_file(path, "pose")
