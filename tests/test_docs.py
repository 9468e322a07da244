"""README and docs: the Python runs as it stands there, every command line parses, every link leads somewhere."""

import functools
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

import wholebody
from wholebody import COCO_WHOLEBODY, Poses, cli, formats, video
from wholebody.commands import train as training
from wholebody.data.coco import write_labels
from wholebody.data.labels import Labels, PictureFile
from wholebody.train.recipes import DISTILLATIONS, RECIPES
from wholebody.video.frame import Frame

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
SAMPLE = Path(wholebody.__file__).with_name("sample.jpg")
# Pages whose code needs a server, or a package that the tests do not install; their rooms have tests of their own, and
# so have the pages of docs/from.
ELSEWHERE = {ROOT / "docs" / "serve.md", ROOT / "docs" / "batch.md", *(ROOT / "docs" / "from").glob("*.md")}


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.S)


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder with what the pages' code reads."""
    shutil.copy(SAMPLE, tmp_path / "photo.jpg")
    image = wholebody.read_image(SAMPLE)
    video.write(tmp_path / "clip.mp4", [Frame(n / 10, image[: len(image) // 2 * 2]) for n in range(3)], fps=10)
    someone = Poses(np.full((1, 133, 2), 50.0), np.ones((1, 133)), [[10, 10, 90, 90]], [1.0], ids=np.array([1]))
    formats.write_npz_video(tmp_path / "clip_pose.npz", [(n / 10, someone) for n in range(3)])
    (tmp_path / "val2017").mkdir()
    shutil.copy(SAMPLE, tmp_path / "val2017" / "1.jpg")
    person = Labels.empty()
    person = Labels(
        ids=np.array([1]),
        image_ids=np.array([1]),
        keypoints=np.full((1, 133, 2), 50.0),
        visible=np.ones((1, 133), np.float32),
        boxes=np.array([[10.0, 10, 90, 90]]),
        areas=np.array([6400.0]),
        iscrowd=np.array([False]),
        valid=np.ones((1, 4), bool),
        images={1: PictureFile("1.jpg", image.shape[1], image.shape[0])},
    )
    write_labels(tmp_path / "coco_wholebody_val_v1.0.json", person)
    monkeypatch.chdir(tmp_path)
    return image


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python") and p not in ELSEWHERE], ids=lambda p: p.stem)
def test_the_python_on_a_page_runs(page, desk):
    poses = Poses.empty(COCO_WHOLEBODY)
    names = {
        "image": desk,
        "a": desk,
        "b": desk,
        "c": desk,
        "black": np.zeros_like(desk),
        "boxes": [[10, 10, 90, 90]],
        "predictions": {1: poses},
    }
    for block in blocks(page, "python"):
        exec(block, names)


def lines():
    for page in PAGES:
        for block in blocks(page, "sh"):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                if words[:1] == ["wholebody"]:
                    yield pytest.param(words[1:], id=f"{page.stem}: {' '.join(words[1:])}"[:70])


@pytest.mark.parametrize("words", list(lines()))
def test_a_command_line_parses(words, monkeypatch, capsys):
    """Each is taken apart as it would be; nothing is done."""
    ran = []

    def stub(command):
        return functools.wraps(command)(lambda *args, **kwargs: ran.append(command) or 0)

    for name, command in cli.COMMANDS.items():
        if name != "distill":
            monkeypatch.setitem(cli.COMMANDS, name, stub(command))
    monkeypatch.setattr(training, "_adapt", stub(training._adapt))
    for name, recipes in (("train", RECIPES), ("distill", DISTILLATIONS)):
        if words[0] == name and not words[1].startswith("--"):
            assert words[1] in {**recipes, "detector": None}
            return
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    assert ended.value.code == 0 and ran, capsys.readouterr().err


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"
