"""The example does what it says, with the bundled networks."""

import runpy
import shutil
import sys
from pathlib import Path

import pytest

from wholebody.batch import read

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_example(tmp_path, capsys):
    (tmp_path / "photos").mkdir()
    shutil.copy(EXAMPLES / "parkour.jpg", tmp_path / "photos")
    (tmp_path / "photos" / "torn.jpg").write_bytes(b"torn")
    example = runpy.run_path(f"{EXAMPLES / 'collection.py'}")
    for done in ("2 done, 1 people, 1 failed", "\n0 s"):
        example["main"](f"{tmp_path / 'photos'}", f"{tmp_path / 'poses.parquet'}")
        out = capsys.readouterr().out
        assert done in out and "parkour.jpg: right_hand, 0." in out
    assert [result.id for result in read(f"{tmp_path / 'poses.parquet'}")] == ["parkour.jpg", "torn.jpg"]


@pytest.mark.parametrize(
    ("words", "said"), [((), "usage: python examples/collection.py"), (("nowhere", "poses.parquet"), "nowhere")]
)
def test_it_says_what_is_wrong(tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["collection.py", *words])
    with pytest.raises(SystemExit, match=said):
        runpy.run_path(f"{EXAMPLES / 'collection.py'}", run_name="__main__")
    assert not list(tmp_path.iterdir())
