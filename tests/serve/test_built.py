"""The page as it is shipped: built from the sources that are here, with the package's tables and golden numbers."""

import hashlib
import importlib.util
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from wholebody import WholeBody, draw
from wholebody.poses import Poses

ROOT = Path(__file__).parents[2]
WEB, PAGE = ROOT / "web", ROOT / "src/wholebody/serve/page"
GOLDEN = ROOT / "tests/golden/web"


@pytest.fixture(scope="module")
def goldens():
    """runs/web/goldens.py."""
    spec = importlib.util.spec_from_file_location("goldens", ROOT / "runs/web/goldens.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pictures():
    return json.loads((GOLDEN / "pictures.json").read_text())


def test_the_page_was_built_from_these_sources():
    names = [f"{folder}/{path.name}" for folder in ("src", "public") for path in (WEB / folder).iterdir()]
    digest = hashlib.sha256()
    for name in sorted([*names, "index.html", "package-lock.json", "vite.config.ts"]):
        digest.update(name.encode() + (WEB / name).read_bytes())
    assert (PAGE / "sources.txt").read_text().strip() == digest.hexdigest(), "run `make page` and commit what it builds"


def test_every_file_is_stored_for_later():
    """The service worker's list is the folder's, and no file asks for one that is not there."""
    listed = json.loads(re.search(r"const FILES = (\[.*?\]);", (PAGE / "sw.js").read_text()).group(1))
    there = {path.relative_to(PAGE).as_posix() for path in PAGE.rglob("*") if path.is_file()}
    assert {"./", *there} - {"index.html", "sw.js", "sources.txt"} == set(listed)
    page = (PAGE / "index.html").read_text()
    asked = re.findall(r'(?:src|href)="([^"#]+)"', page)
    assert asked and {name.removeprefix("./") for name in asked} <= there
    assert not re.search(r"https?://", page)


def test_the_lock_file_is_for_every_registry():
    packages = json.loads((WEB / "package-lock.json").read_text())["packages"]
    assert not [name for name, package in packages.items() if "resolved" in package]
    assert all("integrity" in package for name, package in packages.items() if name)


def test_the_schemas_are_the_package_s(goldens):
    assert json.loads(goldens.SCHEMA.read_text()) == json.loads(json.dumps(goldens.schema_tables()))


@pytest.mark.skipif(cv2.__version__ < "5", reason="crops of OpenCV 4 differ a little")
@pytest.mark.parametrize("name", ["fast", "wholebody-133"])
def test_golden_pictures(goldens, pictures, name):
    base, model = cv2.imread(str(GOLDEN / "base.png")), WholeBody(name)
    apart = []
    for golden in pictures["pictures"]:
        if golden["network"] != name:
            continue
        expected = goldens.poses_of(golden["people"])
        found = model(goldens.derived(base, **golden["recipe"]))
        assert len(found) == len(expected)
        np.testing.assert_allclose(found.boxes, expected.boxes, atol=0.05)
        np.testing.assert_allclose(found.scores, expected.scores, atol=0.02)
        apart.append(np.abs(found.keypoints - expected.keypoints).max(axis=-1).ravel())
    # Where two places are equally likely for a point, the last bit decides between them.
    assert (np.concatenate(apart) < 0.05).mean() > 0.99


def test_golden_maps(goldens, pictures):
    for n, golden in enumerate(pictures["maps"]):
        poses = goldens.poses_of(pictures["pictures"][golden["picture"]]["people"])
        drawn = goldens.drawn(poses, tuple(golden["size"]), golden["style"])
        np.testing.assert_array_equal(drawn, cv2.imread(str(GOLDEN / f"map{n}.png")))


def test_golden_files(goldens, pictures, tmp_path):
    goldens.write_formats(tmp_path, pictures["pictures"][0]["people"], (320, 376))
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (GOLDEN / path.name).read_bytes(), path.name


def test_nobody_has_an_empty_map():
    assert not draw.openpose(np.zeros((8, 8, 3), np.uint8), Poses.empty()).any()


def test_the_service_hands_it_out_isolated():
    pytest.importorskip("fastapi", reason="the serve extra is not installed")
    pytest.importorskip("httpx", reason="httpx is not installed")
    from fastapi import FastAPI
    from starlette.testclient import TestClient

    from wholebody.serve.static import add_page

    app = FastAPI()
    add_page(app)
    visitor = TestClient(app)
    names = [path.relative_to(PAGE).as_posix() for path in PAGE.rglob("*") if path.is_file()]
    for name in ("", "models/fast.onnx", *names):
        answer = visitor.get(f"/{name}")
        assert answer.status_code == 200, name
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"
        assert answer.headers["cross-origin-embedder-policy"] == "require-corp"
        if name.endswith(".js"):
            assert "javascript" in answer.headers["content-type"], name
        # Compressed by us, not for the way: a browser must not unpack it, or may, as the page looks itself.
        assert "content-encoding" not in answer.headers
