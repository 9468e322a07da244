"""Each example script runs as its first lines say, and each notebook from the first cell to the last."""

import csv
import json
import os
import runpy
import shutil
import subprocess
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from wholebody import formats, read_image, read_video, write_image, write_video

EXAMPLES = Path(__file__).parents[1] / "examples"
# A test of its own: tests/batch/test_example.py.
SCRIPTS = sorted(path.stem for path in EXAMPLES.glob("*.py") if path.stem != "collection")


@pytest.fixture(scope="session")
def short_clip(tmp_path_factory):
    """The first eight frames of the clip."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write_video(path, islice(read_video(EXAMPLES / "clip.mp4"), 8), fps=30)
    return path


@pytest.fixture
def run(tmp_path, monkeypatch, capsys, short_clip):
    """Runs an example where its files are, and gives what it printed."""
    for name in ("parkour.jpg", "astronaut.jpg"):
        shutil.copy(EXAMPLES / name, tmp_path)
    shutil.copy(short_clip, tmp_path)
    monkeypatch.chdir(tmp_path)

    def run(name, *words):
        monkeypatch.setattr(sys, "argv", [name, *words])
        runpy.run_path(f"{EXAMPLES / name}.py", run_name="__main__")
        return capsys.readouterr().out

    return run


def table(path):
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


def test_photo(run):
    assert "person 0: left wrist at" in run("photo", "parkour.jpg", "out")
    assert read_image("out/parkour_pose.jpg").shape == read_image("parkour.jpg").shape
    assert len(formats.read_coco("out/parkour_pose.json")["parkour.jpg"]) == 1


def test_controlnet_map(run):
    assert run("controlnet_map", "astronaut.jpg", "out", "384x512") == "1 people on 384 x 512\n"
    usual, wide, body = (read_image(f"out/{name}.png") for name in ("map", "map_xinsir", "map_body"))
    assert usual.shape == wide.shape == (512, 384, 3)
    assert (wide > 0).sum() > 1.2 * (usual > 0).sum() > 1.2 * (body > 0).sum() > 0


def test_folder_to_csv(run, tmp_path):
    (tmp_path / "torn.jpg").write_bytes(b"torn")
    assert run("folder_to_csv", ".", "poses.csv") == "2 people in 2 pictures\n"
    assert {row["image"] for row in table("poses.csv")} == {"astronaut.jpg", "parkour.jpg"}


def test_video_overlay(run):
    run("video_overlay", "clip.mp4", "overlay.mp4")
    before, after = list(read_video("clip.mp4")), list(read_video("overlay.mp4"))
    assert [frame.time for frame in after] == pytest.approx([frame.time for frame in before], abs=1e-3)
    assert np.abs(after[-1].image.astype(int) - before[-1].image).max() > 100


def test_align_to_character(run):
    assert run("align_to_character", "clip.mp4", "astronaut.jpg", "maps") == "8 maps of 512 x 512\n"
    maps = [read_image(path) for path in sorted(Path("maps").iterdir())]
    assert len(maps) == 8 and all(one.any() for one in maps)


def test_wrist_speed(run):
    assert "person 1: up to" in run("wrist_speed", "clip.mp4", "speeds.csv")
    rows = table("speeds.csv")
    assert len({row["id"] for row in rows}) >= 2 and all(0 <= float(row["left"]) < 20 for row in rows)


def test_two_in_front(run):
    image = next(iter(read_video("clip.mp4"))).image  # a third person is far behind them
    write_image("frame.png", image)
    assert ", 2 in front" in run("two_in_front", "frame.png", "front.png")
    assert (read_image("front.png") != image).any()


def test_own_detector(run):
    assert run("own_detector", "clip.mp4").startswith("1 moving, ")


def test_hands(run):
    count = int(run("hands", "parkour.jpg", "hands").split()[0])
    assert count == len(list(Path("hands").iterdir())) >= 1


def test_pose2sim(run):
    assert run("pose2sim", "clip.mp4", "project").startswith("8 files in")
    first = Path("project/pose/clip_json/clip_000000.json")
    assert {len(person["pose_keypoints_2d"]) for person in json.loads(first.read_text())["people"]} == {3 * 133}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_says_how_to_use_it(run, name):
    usage = (EXAMPLES / f"{name}.py").read_text().splitlines()[2]
    with pytest.raises(SystemExit) as end:
        run(name)
    assert end.value.code == f"usage: {usage}"
    with pytest.raises(SystemExit) as end:
        run(name, *["nowhere.jpg"] * (len(usage.split()) - 2))
    assert end.value.code == "nowhere.jpg: no such file"


def test_each_script_is_short_and_tested():
    assert len(SCRIPTS) >= 10
    for name in SCRIPTS:
        assert f"test_{name}" in globals(), f"{name}.py has no test"
        assert len((EXAMPLES / f"{name}.py").read_text().splitlines()) <= 40
        assert f"`{name}.py`" in (EXAMPLES / "README.md").read_text(), f"{name}.py is not in the README"


@pytest.mark.slow
@pytest.mark.parametrize("notebook", sorted(EXAMPLES.glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_runs(notebook, tmp_path, short_clip):
    """Its cells one after another in a process of their own, as a kernel would run them, on the shortened clip."""
    shutil.copytree(EXAMPLES, tmp_path, dirs_exist_ok=True)
    shutil.copy(short_clip, tmp_path)
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    (tmp_path / "cells.py").write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "cells.py"], cwd=tmp_path, env={**os.environ, "MPLBACKEND": "agg"}, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()
