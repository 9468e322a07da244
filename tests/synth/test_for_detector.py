"""Scenes as what the detector's training reads."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_scenes import ToyScenes

from wholebody.data.shards import read_shards
from wholebody.synth.scenes import detector_row
from wholebody.synth.shards import write_shards

SCRIPT = Path(__file__).parents[2] / "runs/detector/synthetic.py"


@pytest.mark.slow
def test_scenes_become_examples(tmp_path):
    pytest.importorskip("torch")
    from wholebody.train.detector.scenes import read_examples

    write_shards(tmp_path / "set", count=24, seed=5, people=ToyScenes())
    subprocess.run([sys.executable, SCRIPT, tmp_path / "set", tmp_path / "out", "--count", "24"], check=True)
    examples = read_examples(tmp_path / "out/labels.json", 640)
    shards = read_shards(tmp_path / "set")
    assert len(examples) == 24
    for example, record in zip(examples, shards.records, strict=True):
        boxes, ignore = detector_row(record)
        np.testing.assert_allclose(example.boxes, np.array(boxes).reshape(-1, 4), atol=1e-3)
        np.testing.assert_allclose(example.ignore, np.array(ignore).reshape(-1, 4), atol=1e-3)
        assert example.image.shape[:2] == (record["height"], record["width"])
    assert any(not len(example.boxes) for example in examples) and any(len(example.boxes) > 2 for example in examples)
