import os

import pytest
import torch

from wholebody.errors import WholebodyError
from wholebody.train.engine import state


def test_what_was_saved_is_loaded(tmp_path):
    path = tmp_path / "state.pt"
    assert state.load(path) is None
    for step in (1, 2):
        state.save(path, {"step": step, "weights": torch.full((3,), float(step))})
    loaded = state.load(path)
    assert loaded["step"] == 2 and torch.equal(loaded["weights"], torch.full((3,), 2.0))


@pytest.mark.parametrize("damage", ["cut", "flipped", "gone"])
def test_a_damaged_state_gives_way_to_the_one_before(tmp_path, damage):
    path = tmp_path / "state.pt"
    for step in (1, 2):
        state.save(path, {"step": step, "weights": torch.zeros(100)})
    data = bytearray(path.read_bytes())
    if damage == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "flipped":
        data[-20] ^= 1
        path.write_bytes(data)
    else:
        path.unlink()
    assert state.load(path)["step"] == 1
    state.previous(path).write_bytes(b"")
    if damage != "gone":
        with pytest.raises(WholebodyError, match="damaged"):
            state.load(path)


def test_a_full_disk_keeps_the_last_state(tmp_path, monkeypatch):
    path = tmp_path / "state.pt"
    state.save(path, {"step": 1})
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WholebodyError, match="No space left on device"):
        state.save(path, {"step": 2})
    assert path.read_bytes() == before and [each.name for each in tmp_path.iterdir()] == ["state.pt"]
