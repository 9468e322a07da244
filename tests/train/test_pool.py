import json

import pytest

from wholebody.errors import WholebodyError
from wholebody.train.data.pool import is_free, read_pool


def row(file, licence="CC BY 4.0", group="hagrid", **more):
    return {"file": file, "license": licence, "group": group, "width": 4, "height": 3, **more}


def write(folder, rows):
    (folder / "index.json").write_text(json.dumps(rows))
    return read_pool(folder)


@pytest.mark.parametrize(
    ("licence", "free"),
    [
        ("COCO/Flickr: CC BY 2.0", True),
        ("COCO/Flickr: CC BY-SA 2.0", True),
        ("COCO/Flickr: no known copyright restrictions", True),
        ("BSD-3-Clause (repo)", True),
        ("COCO/Flickr: CC BY-NC 2.0", False),
        ("COCO/Flickr: CC BY-NC-SA 2.0", False),
        ("COCO/Flickr: CC BY-ND 2.0", False),
        ("COCO/Flickr: CC BY-NC-ND 2.0", False),
        ("COCO/Flickr: per-image CC licence, id not recorded in the source repo", False),
        ("", False),
    ],
)
def test_licences(licence, free):
    assert is_free(licence) is free


def test_photos_keep_their_order_and_fields(tmp_path):
    photos = write(tmp_path, [row("images/b.jpg", sequence="juggle"), row("images/a.jpg", "CC BY-NC 2.0")])
    assert [photo.file for photo in photos] == ["images/b.jpg", "images/a.jpg"]
    assert (photos[0].sequence, photos[0].width, photos[0].height, photos[0].trainable) == ("juggle", 4, 3, True)
    assert all(photo.held_out for photo in photos)
    assert not photos[1].trainable


def test_the_split_is_by_share_and_never_inside_a_clip(tmp_path):
    hagrid = write(tmp_path, [row(f"images/h{i}.jpg") for i in range(2000)])
    assert 0.07 < sum(photo.held_out for photo in hagrid) / 2000 < 0.13
    coco = write(tmp_path, [row(f"images/c{i}.jpg", group="coco_train2017") for i in range(2000)])
    assert 0.11 < sum(photo.held_out for photo in coco) / 2000 < 0.19
    clip = write(tmp_path, [row(f"images/v{i}.jpg", group="hagrid", sequence="parkour-2") for i in range(200)])
    assert {photo.held_out for photo in clip} == {False}


@pytest.mark.parametrize("content", [None, "{", "3", '[{"file": "a.jpg"}]', "[1]"])
def test_a_bad_index_is_one_line(tmp_path, content):
    if content is not None:
        (tmp_path / "index.json").write_text(content)
    with pytest.raises(WholebodyError, match=r"index\.json") as error:
        read_pool(tmp_path)
    assert "\n" not in str(error.value)
