import json

import cv2
import numpy as np
import pytest

from wholebody.data.sheet import LEFT, MIDDLE, RIGHT, LabelledPicture, draw, sheet, sides, view
from wholebody.errors import WholebodyError
from wholebody.schema import COCO_WHOLEBODY

NONE = np.zeros((0, 4))


def labelled(points, size=(100, 100), boxes=NONE):
    """One person on black: {row: (x, y, flag)}."""
    keypoints, visible = np.zeros((1, 133, 2)), np.zeros((1, 133))
    for row, (x, y, flag) in points.items():
        keypoints[0, row], visible[0, row] = (x, y), flag
    image = np.zeros((size[1], size[0], 3), np.uint8)
    return LabelledPicture(image, keypoints, visible, np.asarray(boxes, float).reshape(-1, 4), NONE)


def test_sides_are_the_persons_own():
    side = sides()
    flip = COCO_WHOLEBODY.flip
    np.testing.assert_array_equal(side[flip], -side)
    named = {name: side[row] for row, name in enumerate(COCO_WHOLEBODY.names)}
    assert named["left_wrist"] == 1 and named["right_big_toe"] == -1 and named["nose"] == 0
    assert (side[91:112] == 1).all() and (side[112:] == -1).all()
    # The right jaw, brow and eye come first; lips run to the left above and back below.
    face = dict(enumerate(side[23:91]))
    for right in (0, 7, 17, 21, 31, 36, 41, 48, 50, 58, 59, 60, 61, 67):
        assert face[right] == -1
    for left in (16, 9, 26, 22, 35, 45, 42, 54, 52, 55, 56, 64, 63, 65):
        assert face[left] == 1
    assert all(face[middle] == 0 for middle in (8, 27, 30, 33, 51, 57, 62, 66))


@pytest.mark.parametrize(
    ("row", "flag", "color", "filled"),
    [(9, 2, LEFT, True), (10, 2, RIGHT, True), (0, 2, MIDDLE, True), (9, 1, LEFT, False), (9, 0.9, LEFT, True),
     (9, 0.2, LEFT, False)],
)  # fmt: skip
def test_colour_says_the_side_and_filling_what_is_seen(row, flag, color, filled):
    canvas = draw(labelled({row: (50, 50, flag), 5: (0, 0, 2), 6: (99, 99, 2)}), 200)
    center = tuple(canvas[100, 100].tolist())
    assert center == (color if filled else (0, 0, 0))
    near = canvas[96:106, 96:106].reshape(-1, 3).astype(int)
    assert (np.abs(near - color).sum(axis=1) < 60).any()


def test_points_stand_where_they_are_whatever_the_zoom():
    for size in ((50, 20), (400, 300)):
        canvas = draw(labelled({0: (20, 10, 2)}, size), 200).astype(int)
        zoom = 200 / max(size)
        bright = np.argwhere(canvas[: int(size[1] * zoom)].sum(axis=2) > 600)
        np.testing.assert_allclose(bright.mean(axis=0), [10.5 * zoom - 0.5, 20.5 * zoom - 0.5], atol=0.6)


def test_points_can_be_left_out():
    example = labelled({0: (50, 50, 2)}, boxes=[[10, 10, 90, 90]])
    assert draw(example, 100).any() and not draw(example, 100, points=False).any()


def test_labels_far_outside_are_left_out():
    example = labelled({0: (50, 50, 2)}, boxes=[[10, 10, 1e10, 1e10], [-1e300, 0, 1e300, 20]])
    far = labelled({0: (50, 50, 2), 1: (1e12, 1e300, 2), 2: (-1e12, 0, 2)}, boxes=example.boxes)
    assert tuple(draw(far, 320)[200, 34]) == (80, 220, 80)  # the first box's left side
    assert tuple(draw(far, 320)[161, 161]) == MIDDLE


def test_a_sheet_holds_every_tile():
    tiles = [np.full((20, 20, 3), 100 + i, np.uint8) for i in range(7)]
    page = sheet(tiles)
    for i in range(7):
        assert (page == 100 + i).all(axis=2).sum() == 400


def annotations(folder):
    """Two pictures with a person each, one empty; the second person shows a hand."""
    people = []
    for number in (1, 2):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((60, 80, 3), 40 * number, np.uint8))
        hand = [value for i in range(21) for value in (30 + i % 7, 30 + i // 7, 2 if number == 2 else 0)]
        people.append({"id": number, "image_id": number, "category_id": 1, "bbox": [10, 5, 50, 50], "area": 2500,
                       "iscrowd": 0, "keypoints": [40, 20, 2] * 17, "lefthand_kpts": hand})  # fmt: skip
    images = [{"id": i, "file_name": f"{i}.png", "width": 80, "height": 60} for i in (1, 2, 3)]
    path = folder / "labels.json"
    path.write_text(json.dumps({"images": images, "annotations": people, "categories": [{"id": 1, "name": "person"}]}))
    return path


def test_an_annotation_file_becomes_a_sheet(tmp_path):
    path = annotations(tmp_path)
    assert view(path, tmp_path / "sheet.png", tmp_path) == 2
    whole = cv2.imread(str(tmp_path / "sheet.png"))
    assert (np.abs(whole.astype(int) - 40).max(axis=2) == 0).any() and (whole == 80).all(axis=2).any()
    assert view(path, tmp_path / "hands.png", tmp_path, part="hands") == 1
    assert not (cv2.imread(str(tmp_path / "hands.png")) == 40).all(axis=2).any()


def test_the_seed_chooses(tmp_path):
    path = annotations(tmp_path)
    sheets = set()
    for seed in range(8):
        view(path, tmp_path / "sheet.png", tmp_path, count=1, seed=seed)
        sheets.add((tmp_path / "sheet.png").read_bytes())
    assert len(sheets) == 2


def test_what_cannot_be_shown_is_a_clear_error(tmp_path):
    path = annotations(tmp_path)
    with pytest.raises(WholebodyError, match="--images"):
        view(path, tmp_path / "sheet.png")
    with pytest.raises(WholebodyError, match="no feet are visible"):
        view(path, tmp_path / "sheet.png", tmp_path, part="feet")
    with pytest.raises(WholebodyError, match="no shards"):
        view(tmp_path, tmp_path / "sheet.png")
    (tmp_path / "1.png").unlink()
    with pytest.raises(WholebodyError, match=r"1\.png"):
        view(path, tmp_path / "sheet.png", tmp_path)
    assert not (tmp_path / "sheet.png").exists()
