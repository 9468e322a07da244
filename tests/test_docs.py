"""README and docs: the Python runs as it stands there, every command line parses, every link leads somewhere.

Links of the built site, with anchors, are checked when it is built (`make docs`).
"""

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
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "runs").rglob("*.md")])
SAMPLE = Path(wholebody.__file__).with_name("sample.jpg")
# Pages whose code needs a server, or a package that the tests do not install; their rooms have tests of their own, and
# so has docs/from (tests/compat/test_pages.py).
ELSEWHERE = ("docs/serve.md", "docs/batch.md", "docs/howto/bucket.md")


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.S)


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder with what the pages' code reads."""
    shutil.copy(SAMPLE, tmp_path / "photo.jpg")
    (tmp_path / "torn.jpg").write_bytes(b"torn")
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


def name(page):
    return page.relative_to(ROOT).as_posix()


def runs_here(page):
    return blocks(page, "python") and name(page) not in ELSEWHERE and page.parent.name not in ("from", "runs")


@pytest.mark.parametrize("page", [page for page in PAGES if runs_here(page)], ids=name)
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
                    yield pytest.param(words[1:], id=f"{name(page)}: {' '.join(words[1:])}"[:80])


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


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
        place = (page.parent / target).resolve()
        # What is made from the code is on the site alone.
        if "://" not in target and ROOT / "docs" / "reference" not in place.parents:
            assert place.exists(), f"{name(page)}: {target}"


def test_every_page_is_in_the_menu():
    menu = (ROOT / "zensical.toml").read_text(encoding="utf-8")
    for page in (ROOT / "docs").rglob("*.md"):
        place = page.relative_to(ROOT / "docs").as_posix().replace("README.md", "index.md")
        assert f'"{place}"' in menu, place


@pytest.mark.parametrize("folder", [path for path in (ROOT / "runs").iterdir() if path.is_dir()], ids=lambda p: p.name)
def test_the_readme_of_a_run_names_its_scripts(folder):
    """And the overview names the folder."""
    readme = (folder / "README.md").read_text(encoding="utf-8")
    for script in [*folder.rglob("*.py"), *folder.glob("*.sh")]:
        assert script.name in readme, script.name
    assert f"({folder.name}/README.md)" in (ROOT / "runs" / "README.md").read_text(encoding="utf-8")
