import json
import struct
import zlib
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracle as formulas
from wholebody.errors import WholebodyError
from wholebody.geometry import Crop
from wholebody.schema import COCO_WHOLEBODY
from wholebody.train.data import augment as aug
from wholebody.train.data.people import Encoded, LabelledPerson

SIZE = (192, 256)
PLAIN = aug.Augmentation(flip=0, half_body=0, scale=(1, 1), rotation=0, shift=0, hsv=(0, 0, 0), blur=0, cutout=0)


def sample(seed: int = 0, labelled: int = 133) -> LabelledPerson:
    rng = np.random.default_rng(seed)
    keypoints = rng.uniform([100, 50], [300, 350], (133, 2))
    visible = (np.arange(133) < labelled).astype(np.float32)
    image = rng.integers(0, 256, (400, 400, 3), dtype=np.uint8)
    return LabelledPerson(image, keypoints, visible, np.array([100.0, 50, 300, 350]), "test")


def test_hsv_golden(oracle):
    import hashlib

    golden = json.loads((oracle / "09_misc.json").read_text())["hsv"]
    salt = json.loads((oracle / "02_forward_trace.json").read_text())["image_salt"]
    picture = formulas.image(64, 48, 1, salt)
    for change, want in golden["cases"].items():
        got = aug.hsv(picture, tuple(json.loads(change.replace("(", "[").replace(")", "]"))))
        if hashlib.sha256(got.tobytes()).hexdigest() != want["sha256"]:
            # Versions of OpenCV convert colours a little differently: the sum then still agrees within 0.2 levels.
            assert abs(int(got.sum()) - want["sum"]) < 0.2 * got.size


def test_half_body_golden(oracle):
    golden = json.loads((oracle / "09_misc.json").read_text())["half_body"]
    keypoints = np.array(golden["keypoints"])
    for case in golden["cases"].values():
        center, scale = aug.half_body_box(keypoints, np.array(case["ids"]), golden["padding"])
        np.testing.assert_allclose(center, case["center"], atol=1e-3)
        np.testing.assert_allclose(scale, case["scale"], atol=1e-3)


def test_without_strength_the_crop_is_the_plain_one():
    one = sample()
    image, keypoints, visible = aug.augment(one, SIZE, PLAIN, np.random.default_rng(0))
    crop = Crop.from_box(one.box, SIZE)
    np.testing.assert_array_equal(image, crop.cut(one.image))
    np.testing.assert_allclose(keypoints, crop.to_input(one.keypoints))
    np.testing.assert_array_equal(visible, one.visible)


def test_flip_twice_is_nothing_and_moves_points_with_their_pixels():
    one = sample()
    flipped = aug.flip(one)
    back = aug.flip(flipped)
    np.testing.assert_array_equal(back.image, one.image)
    np.testing.assert_allclose(back.keypoints, one.keypoints)
    np.testing.assert_allclose(back.box, one.box)
    left, right = COCO_WHOLEBODY.names.index("left_wrist"), COCO_WHOLEBODY.names.index("right_wrist")
    np.testing.assert_allclose(flipped.keypoints[right], [-one.keypoints[left, 0], one.keypoints[left, 1]])


def jpeg(image, folder):
    path = folder / "picture.jpg"
    cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, 98])
    return Encoded(str(path))


@pytest.mark.parametrize("factor", [1.0, 0.5])
def test_a_mirrored_crop_is_a_crop_of_the_mirrored_picture(factor):
    """The flip is in the warp's matrix; turning the picture round first gives the same within rounding."""
    one = sample()
    image = cv2.GaussianBlur(one.image, (0, 0), 3)
    box = np.array([100.3, 50.2, 280.9, 350.4])
    turned = np.ascontiguousarray(image[:, ::-1])
    plain = Crop.from_box([399 - box[2], box[1], 399 - box[0], box[3]], SIZE, rotation=30)
    of_labels = Crop.from_box([-box[2], box[1], -box[0], box[3]], SIZE, rotation=30)
    difference = np.abs(
        aug.cut(image, of_labels, True, factor).astype(int) - aug.cut(turned, plain, False, factor).astype(int)
    )
    assert difference.max() <= 2 and difference.mean() < 0.2


@pytest.mark.parametrize("parts", [1, 2, 4, 8])
def test_a_picture_that_claims_to_be_huge_is_one_line(tmp_path, parts):
    data = cv2.imencode(".png", np.zeros((4, 4, 3), np.uint8))[1].tobytes()
    head = data[12:16] + struct.pack(">II", 60000, 60000) + data[24:29]
    path = tmp_path / "huge.png"
    path.write_bytes(data[:12] + head + struct.pack(">I", zlib.crc32(head)) + data[33:])
    with pytest.raises(WholebodyError, match=r"huge\.png"):
        Encoded(str(path)).decode(parts)


@pytest.mark.parametrize("parts", [2, 4, 8])
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_picture_decoded_smaller_gives_the_same_crop(tmp_path, parts, mirrored):
    rng = np.random.default_rng(parts)
    image = cv2.resize(rng.integers(0, 256, (12, 9, 3), dtype=np.uint8), (1537, 2049), interpolation=cv2.INTER_CUBIC)
    size = (48, 64) if parts == 8 else SIZE
    extent = 1.05 * parts * size[0] / 1.25
    box = np.array([300, 200, 300 + extent, 200 + extent * size[1] / size[0]])
    box = np.array([-box[2], box[1], -box[0], box[3]]) if mirrored else box
    crop = Crop.from_box(box, size)
    small, whole = aug.cut(jpeg(image, tmp_path), crop, mirrored), aug.cut(image, crop, mirrored)
    assert np.abs(small.astype(int) - whole.astype(int)).mean() < 1.5
    # A shift by a pixel of the picture would be seen.
    shifted = aug.cut(image, Crop(crop.matrix + np.array([[0, 0, 0.5], [0, 0, 0]]), size), mirrored)
    assert np.abs(small.astype(int) - shifted.astype(int)).mean() > np.abs(small.astype(int) - whole).mean()


def test_a_picture_is_decoded_smaller_only_where_the_crop_has_fewer_pixels(tmp_path, monkeypatch):
    asked = []
    picture = jpeg(sample().image, tmp_path)
    decode = Encoded.decode
    monkeypatch.setattr(Encoded, "decode", lambda self, parts=1: asked.append(parts) or decode(self, parts))
    for extent in (150, 300, 310, 620, 1240, 5000):
        aug.cut(picture, Crop.from_box([0, 0, extent, extent * 4 / 3], SIZE))
    assert asked == [1, 1, 2, 4, 8, 8]


@given(st.integers(0, 2**32 - 1))
def test_marked_pixels_stay_under_their_keypoints(seed):
    """A bright dot drawn at a keypoint is found at the augmented keypoint, whatever the geometry."""
    one = sample(3)
    image = np.zeros_like(one.image)
    x, y = 200, 180
    image[y - 3 : y + 4, x - 3 : x + 4] = 255
    keypoints = one.keypoints.copy()
    keypoints[0] = x, y
    config = replace(PLAIN, flip=0.5, half_body=0.5, scale=(0.6, 1.4), rotation=80, shift=0.16)
    crop, points, _ = aug.augment(
        replace(one, image=image, keypoints=keypoints), SIZE, config, np.random.default_rng(seed)
    )
    at = points[0]
    if 8 < at[0] < SIZE[0] - 8 and 8 < at[1] < SIZE[1] - 8:
        ys, xs = np.nonzero(crop[..., 0] > 127)
        assert np.hypot(xs.mean() - at[0], ys.mean() - at[1]) < 1.0


def test_the_same_seed_gives_the_same_crop():
    config = aug.Augmentation(shrink=0.5)
    first, second = (aug.augment(sample(), SIZE, config, np.random.default_rng(5)) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
    image, keypoints, _ = aug.augment(sample(), SIZE, config, np.random.default_rng(6))
    assert not np.array_equal(image, first[0]) and not np.allclose(keypoints, first[1])


@pytest.mark.parametrize("labelled", [0, 3, 8])
def test_half_body_needs_enough_points(labelled):
    one, rng = sample(labelled=labelled), np.random.default_rng(0)
    center, scale = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    got = aug.half_body(one.keypoints, one.visible, center, scale, rng)
    np.testing.assert_array_equal(got, (center, scale))


@pytest.mark.parametrize("seed", range(8))
def test_a_close_up_holds_a_whole_head_or_hand(seed):
    one = sample(seed)
    rng = np.random.default_rng(seed)
    center, scale = aug.close_up(one.keypoints, one.visible, np.zeros(2), np.ones(2), rng)
    inside = (np.abs(one.keypoints - center) <= scale / 2).all(axis=1)
    parts = COCO_WHOLEBODY.parts
    assert any(inside[parts[name]].all() for name in ("face", "left_hand", "right_hand"))


def test_a_close_up_of_too_little_is_none():
    center, scale = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    few, tiny = sample(labelled=3), sample()
    tiny = replace(tiny, keypoints=tiny.keypoints / 20)
    for one in (few, tiny):
        got = aug.close_up(one.keypoints, one.visible, center, scale, np.random.default_rng(0))
        np.testing.assert_array_equal(got, (center, scale))


def test_cutout_blackens_the_stated_share():
    for seed in range(20):
        dark = (aug.cutout(np.full((256, 192, 3), 200, np.uint8), np.random.default_rng(seed)) == 0).mean()
        assert 0.2 * 0.2 * 0.95 <= dark <= 0.4 * 0.4


def test_truncated_normal_stays_within_one():
    draws = np.concatenate([aug.truncated_normal(np.random.default_rng(i), 3) for i in range(300)])
    assert np.abs(draws).max() <= 1 and abs(draws.mean()) < 0.06 and draws.std() > 0.4


def test_flip_golden(oracle):
    cases = json.loads((oracle / "04_transforms.json").read_text())
    boxes = {tuple(case["bbox_xyxy"]): None for case in cases["cases"]}
    width, height = cases["flip_keypoints"]["image_wh"]
    blank = np.zeros((height, width, 3), np.uint8)
    points = np.zeros((133, 2))
    points[:6] = cases["flip_keypoints"]["inp"]
    for box, want in zip(boxes, cases["flip_bbox_xyxy"], strict=True):
        flipped = aug.flip(LabelledPerson(blank, points, np.ones(133, np.float32), np.array(box), "test"))
        # Here x = 0 stays where it is, and not the middle of the picture.
        np.testing.assert_allclose(flipped.box + np.array([1, 0, 1, 0]) * (width - 1), want)
    mirrored = points[:6][cases["flip_keypoints"]["flip_indices"]]
    mirrored[:, 0] = width - 1 - mirrored[:, 0]
    np.testing.assert_allclose(mirrored, cases["flip_keypoints"]["out"], atol=1e-4)
    # The same rule on our schema: every row comes from its mirror's row.
    np.testing.assert_allclose(flipped.keypoints[:, 1], points[aug.COCO_WHOLEBODY.flip][:, 1])


@given(st.integers(0, 10_000))
def test_another_camera_leaves_everything_where_it_is(seed):
    picture = np.full((64, 48, 3), 60, np.uint8)
    picture[40:50, 8:18] = 190
    same = aug.other_camera(picture, 0.0, np.random.default_rng(seed))
    np.testing.assert_array_equal(same, picture)
    other = aug.other_camera(picture, 1.0, np.random.default_rng(seed))
    assert other.shape == picture.shape and other.dtype == np.uint8
    light = other.astype(float).mean(axis=2)
    assert light[42:48, 10:16].mean() > light[:36].mean()


@given(st.integers(0, 10_000))
def test_other_surfaces_leave_edges_where_they_are(seed):
    picture = np.full((64, 48, 3), 60, np.uint8)
    picture[40:50, 8:18] = 190
    np.testing.assert_array_equal(aug.other_surfaces(picture, 0.0, np.random.default_rng(seed)), picture)
    other = aug.other_surfaces(picture, 1.0, np.random.default_rng(seed))
    assert other.shape == picture.shape and other.dtype == np.uint8
    np.testing.assert_array_equal(other, aug.other_surfaces(picture, 1.0, np.random.default_rng(seed)))
    # The square may be darker than what is around it, but its sides are still the steepest place of its row.
    step = np.abs(np.diff(other.astype(float).sum(axis=2)[45]))
    assert not step.any() or abs(int(step[4:14].argmax()) + 4 - 7) <= 2
