"""The code on the pages for those who come from another package runs as it stands there."""

import re
import shutil
from pathlib import Path

import cv2
import pytest
from PIL import Image

PAGES = Path(__file__).parents[2] / "docs" / "from"


@pytest.mark.parametrize("page", ["controlnet_aux", "easy_dwpose", "rtmlib", "mmpose", "openpose"])
def test_code_on_a_page(page, sample, tmp_path, monkeypatch):
    shutil.copy(sample, tmp_path / "photo.jpg")
    (tmp_path / "photos").mkdir()
    shutil.copy(sample, tmp_path / "photos" / "a.jpg")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (PAGES / f"{page}.md").read_text(encoding="utf-8"), re.S)
    assert blocks
    names = {"image": Image.open("photo.jpg"), "frame": cv2.imread("photo.jpg")}
    for block in blocks:
        exec(block.replace('device="cuda"', 'device="cpu"'), names)


def test_every_page_is_linked():
    start = (PAGES / "README.md").read_text(encoding="utf-8")
    assert all(f"({page.name})" in start for page in PAGES.glob("*.md") if page.stem != "README")
