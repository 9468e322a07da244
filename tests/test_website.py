"""The site: what is made from the code, where pages go, and whether the link checker finds what is broken."""

from pathlib import Path

import pytest
from website import build, links, reference

from wholebody import cli
from wholebody.formats.kinds import KINDS

ROOT = Path(__file__).parents[1]


def test_every_option_of_help_is_on_the_page():
    printed = reference.printed_help("predict")
    page = reference.help_as_markdown(printed)
    options = {word for word in printed.split() if word.startswith("--") and word.strip("-")}
    assert len(options) > 30 and all(option.strip(",.") in page for option in options)
    assert "| `--people {None}\\|INT` | Keep at most this many people" in page
    assert "│" not in page and "╭" not in page


def test_every_command_is_on_the_page():
    page = reference.command_line()["reference/cli.md"]
    for name in cli.COMMANDS:
        assert f"\n## {name}\n" in page and f"wholebody {name}" in page


def test_formats_are_what_is_written():
    pytest.importorskip("pyarrow")
    assert set(reference.LAYOUTS) == set(KINDS)
    page = reference.file_formats()["reference/formats.md"]
    assert '"pose_keypoints_2d": [' in page and "... 75 numbers]" in page  # openpose: 25 points
    assert "keypoints    float32  (4, 133, 2)" in page  # npz: people of all frames
    assert "keypoints: fixed_size_list<" in page  # parquet


def test_modules_of_the_reference_are_there():
    for _, names in reference.API.values():
        for name in names:
            path = ROOT / "src" / Path(*name.split("."))
            module = path if path.exists() or path.with_suffix(".py").exists() else path.parent
            assert module.with_suffix(".py").exists() or (module / "__init__.py").exists(), name


def test_places():
    assert build.place_of("docs/video.md") == "video.md"
    assert build.place_of("docs/from/README.md") == "from/index.md"
    assert build.place_of("runs/pose/README.md") == "benchmarks/pose.md"
    assert build.place_of("src/wholebody/codec.py") == "source/src/wholebody/codec.py.md"


def test_links_of_a_page_go_to_their_places_on_the_site():
    stage = build.Stage.__new__(build.Stage)
    stage.waiting, stage.done, stage.made = [], set(), {"reference/cli.md": ""}
    text = "[a](../src/wholebody/codec.py#L3) [b](from/README.md) [c](reference/cli.md#train) `[d](no.md)`"
    moved = stage.page(text, "docs/video.md")
    assert moved == (
        "[a](source/src/wholebody/codec.py.md#L3) [b](from/index.md) [c](reference/cli.md#train) `[d](no.md)`"
    )
    assert stage.waiting == ["src/wholebody/codec.py", "docs/from/README.md"]
    with pytest.raises(SystemExit, match="nowhere"):
        stage.page("[e](missing.md)", "docs/video.md")


def test_the_link_checker(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "index.html").write_text('<h1 id="top">x</h1><a href="a/b.html#there">1</a><a href="#top">2</a>')
    (tmp_path / "a" / "b.html").write_text('<p id="there"></p><a href="../index.html#top">3</a>')
    assert links.broken_links(tmp_path) == []
    (tmp_path / "a" / "b.html").write_text(
        '<a href="../index.html#bottom">1</a><a href="c.html">2</a><img src="d.png"><script src="https://e.org/f.js"></script>'
    )
    assert links.broken_links(tmp_path) == [
        "a/b.html: ../index.html#bottom: no such anchor",
        "a/b.html: c.html: no such file",
        "a/b.html: d.png: no such file",
        "a/b.html: loads https://e.org/f.js",
        "index.html: a/b.html#there: no such anchor",
    ]
