"""The README's Train section, line by line, on people that the package makes itself."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from people import shards_of_people
from wholebody.train.recipes import DISTILLATIONS, RECIPES

README = (Path(__file__).parents[1] / "README.md").read_text()
SECTION = README[README.index("\n## Train\n") : README.index("\n## Read these first\n")]


def commands():
    """The commands of the section, without their comments."""
    text = "\n".join(re.findall(r"```sh\n(.*?)```", SECTION, re.DOTALL)).replace("\\\n", " ")
    return [shlex.split(line, comments=True) for line in text.splitlines() if "wholebody" in line and "pip" not in line]


def test_every_recipe_of_the_section_exists():
    named = [words[words.index(verb) + 1] for words in commands() for verb in ("train", "distill") if verb in words]
    recipes = [name for name in named if not name.startswith("-") and name != "detector"]
    assert len(recipes) >= 9
    for name in recipes:
        assert name in {*RECIPES, *DISTILLATIONS}, name


@pytest.mark.slow
def test_the_example_runs_line_by_line(tmp_path):
    """As written, but for fewer steps; the people are made up where `wholebody synth` would need anny."""
    (tmp_path / "work/synth").mkdir(parents=True)
    shards_of_people(tmp_path / "work/synth", 40)
    example = [words for words in commands() if "work/synth" in " ".join(words) or "example" in words]
    assert [words[1:3] for words in example[1:]] == [
        ["train", "example"],
        ["distill", "example"],
        ["train", "rtmpose-t"],
    ]
    fewer = (["--steps", "2"], ["--first.steps", "2", "--second.steps", "2"], ["--batch", "4"])
    for words, change in zip(example[1:], fewer, strict=True):
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(
            [sys.executable, "-m", "wholebody", *words[1:], *change],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
    for folder in ("labels", "example/stage1", "example/stage2", "mine"):
        assert (tmp_path / "work" / folder / "model.safetensors").exists(), folder
    assert (tmp_path / "work/example/model.onnx").exists()
    assert (tmp_path / "work/labels/best.safetensors").exists()
