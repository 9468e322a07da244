"""docs/howto/training.md as a newcomer follows it, on a small set in the published layout."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from published import published_layout, released_files
from wholebody.commands.data import data_frames
from wholebody.commands.train import distill
from wholebody.errors import WholebodyError
from wholebody.train import validate
from wholebody.train.data.crops import load_mixture
from wholebody.train.recipes import COCO_VAL, DISTILLATIONS
from wholebody.weights.manifest import MANIFEST

PAGE = (Path(__file__).parents[2] / "docs/howto/training.md").read_text()
SECTION = PAGE[PAGE.index("\n## On COCO-WholeBody") : PAGE.index("\n## On your own photos")]
RECIPE = DISTILLATIONS["dwpose-t"]().first


def commands() -> list[list[str]]:
    text = "\n".join(re.findall(r"```sh\n(.*?)```", SECTION, re.DOTALL)).replace("\\\n", " ")
    return [shlex.split(line) for line in text.splitlines() if line.startswith("wholebody ")]


@pytest.fixture
def layout(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WHOLEBODY_CACHE", str(tmp_path / "cache"))
    published_layout(tmp_path / "data")
    return tmp_path


def test_what_is_missing_is_counted_and_left_out(layout, capsys):
    data_frames(Path("data/UBody/videos"), Path("data/UBody/images"), every=10)
    frames = sorted(path.name for path in (layout / "data/UBody/images/Movie/Movie_S1_Trim1").glob("*.jpg"))
    assert frames == ["000001.jpg", "000011.jpg", "000021.jpg"]  # of 31 in the annotations
    (layout / "data/coco/train2017/000000000003.jpg").unlink()
    capsys.readouterr()
    mixture = load_mixture(RECIPE)
    assert [len(people) for people, _ in mixture.sets] == [14, 3]
    told = capsys.readouterr().err
    assert "coco_wholebody_train_v1.0.json: 1 of 8 pictures are missing. Their people are left out." in told
    assert "data/UBody: 1 of 4 pictures are missing." in told
    # Fractions of hands count as labelled.
    person = mixture.sets[0][0][0]
    assert set(np.unique(person.visible)) == {1.0}


def test_missing_pictures_of_a_validation_are_counted(layout, capsys):
    (layout / "data/coco/val2017/000000000002.jpg").unlink()
    assert validate.validation(RECIPE) is not None
    told = capsys.readouterr().err
    assert f"{COCO_VAL.path}: 1 of 3 pictures are missing. Nobody is found in them." in told
    for path in (layout / "data/coco/val2017").iterdir():
        path.unlink()
    with pytest.raises(WholebodyError, match=r"none of 3 pictures is there, 000000000001\.jpg for one") as error:
        validate.validation(RECIPE)
    assert "\n" not in str(error.value)


def test_the_layout_lacks_frames_and_networks_alone(layout, capsys):
    assert distill(["dwpose-m", "--check"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines[:-1]] == ["cspnext-m", "rtmpose-l", "data/UBody/images"]
    assert all("--trust" in line for line in lines[:2])


@pytest.mark.slow
def test_the_page_trains_line_by_line(layout):
    """As written, but for the smallest student and the steps; the networks are untrained ones under released names."""
    released_files(layout / "cache", "cspnext-t", "rtmpose-l")
    fewer = [f"--{stage}.{name}" for stage in ("first", "second") for name in ("epochs", "steps", "batch", "workers")]
    values = ["0", "2", "4", "1", "0", "2", "4", "0"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    environment["WHOLEBODY_OFFLINE"] = "1"
    said = []
    for words in commands():
        words = [word.replace("dwpose-m", "dwpose-t") for word in words]
        runs = words[1] == "distill" and "--check" not in words
        short = [each for pair in zip(fewer, values, strict=True) for each in pair] if runs else []
        short += ["--stages", "1"] if "work/dwpose-t-beta" in words else []
        done = subprocess.run(
            [sys.executable, "-m", "wholebody", *words[1:], *short],
            cwd=layout, env=environment, capture_output=True, text=True, timeout=900, check=False,
        )  # fmt: skip
        # Before the frames are extracted, they are missing.
        assert done.returncode == ("--check" in words), (words, done.stderr[-2000:])
        said.append(done.stdout + done.stderr)
    assert len(said) == 6 and "data/UBody/images: no pictures" in said[0]
    assert "data/UBody: 1 of 4 pictures are missing." in said[3]
    out = layout / "work/dwpose-t"
    recipe = json.loads((out / "stage1/recipe.json").read_text())
    assert recipe["init"] == "cspnext-t" and recipe["distill"]["teachers"] == ["rtmpose-l"]
    changed = json.loads((layout / "work/dwpose-t-beta/stage1/recipe.json").read_text())
    assert (changed["distill"]["beta"], changed["optim"]["lr"]) == (0.2, 2e-3)
    for stage, terms in (("stage1", {"ori", "fea", "logit"}), ("stage2", {"logit"})):
        rows = [json.loads(line) for line in (out / stage / "metrics.jsonl").read_text().splitlines()]
        assert terms <= rows[0].keys() and "AP" in rows[-1]["validation"]
    assert (out / "model.onnx").exists() and "whole" in said[4]
    assert distill(["dwpose-t", "--check"]) == 0


def test_a_student_and_its_teacher_can_be_released_networks(layout):
    from wholebody.networks.rtmpose import simcc
    from wholebody.train.build import weights_file
    from wholebody.train.teachers import Checkpoint, from_file

    released_files(layout / "cache", "dwpose-s-checkpoint", "cspnext-t")
    teacher = from_file("dwpose-s", simcc((192, 256)))
    assert isinstance(teacher, Checkpoint)
    for name in ("dwpose-s-checkpoint", "cspnext-t"):
        assert weights_file(name) == weights_file(MANIFEST[name].file) == str(layout / "cache" / MANIFEST[name].file)
    assert weights_file("dwpose-s") == weights_file("dwpose-s-checkpoint")
    with pytest.raises(WholebodyError, match="no such file"):
        weights_file("mine.pth")
