import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from wholebody.draw import openpose, skeleton
from wholebody.poses import Poses
from wholebody.schema import COCO_BODY, COCO_WHOLEBODY, OPENPOSE, OPENPOSE_25

GREEN, ORANGE, BLUE = (0, 255, 0), (0, 128, 255), (255, 153, 51)  # BGR
SWITCHES = {
    "body": {"hands": False, "face": False},
    "hands": {"body": False, "face": False},
    "face": {"body": False, "hands": False},
    "full": {},
}
BODY = {
    "nose": (50, 18), "left_eye": (53, 15), "right_eye": (47, 15), "left_ear": (57, 17), "right_ear": (43, 17),
    "left_shoulder": (64, 36), "right_shoulder": (36, 36), "left_elbow": (74, 60), "right_elbow": (26, 60),
    "left_wrist": (80, 84), "right_wrist": (20, 84), "left_hip": (60, 90), "right_hip": (40, 90),
    "left_knee": (61, 130), "right_knee": (39, 130), "left_ankle": (62, 170), "right_ankle": (38, 170),
    "left_big_toe": (66, 180), "left_small_toe": (70, 179), "left_heel": (61, 174),
    "right_big_toe": (34, 180), "right_small_toe": (30, 179), "right_heel": (39, 174),
}  # fmt: skip


def person(scale=1.0, at=(0.0, 0.0), score=0.9):
    """Somebody about 100 x 190 times `scale` pixels, facing us; the face is a ring and the hands are fans."""
    points = np.zeros((133, 2))
    points[:23] = list(BODY.values())
    turn = np.linspace(0, 2 * np.pi, 68)
    points[23:91] = np.stack([50 + 8 * np.cos(turn), 20 + 10 * np.sin(turn)], axis=-1)
    for root, wrist, side in ((91, "left_wrist", 1), (112, "right_wrist", -1)):
        points[root] = BODY[wrist]
        for i in range(20):
            finger, joint = divmod(i, 4)
            points[root + 1 + i] = points[root] + ((finger - 2) * (joint + 1) * side, 4 + 4 * joint)
    points = points * scale + at
    box = [*points.min(axis=0), *points.max(axis=0)]
    return Poses(points[None], np.full((1, 133), score), np.array([box]), np.ones(1))


def only(poses, *names, score=0.9):
    """The same people with nothing but these points to be seen."""
    scores = np.zeros_like(poses.scores)
    scores[:, [poses.schema.names.index(name) for name in names]] = score
    return replace(poses, scores=scores)


def black(height=240, width=160):
    return np.zeros((height, width, 3), np.uint8)


def drawn_pixels(image, before=0):
    return (image != before).any(axis=-1)


# --- OpenPose map -----------------------------------------------------------------------------------------------------


def golden_people(archive):
    """The people of a golden drawing, in float32 but in the same pixels: the drawing is on trial, not rounding."""
    exact = archive["keypoints133"]
    keypoints = exact.astype(np.float32)
    keypoints = np.where(np.floor(keypoints) > exact, np.nextafter(keypoints, np.float32(-np.inf)), keypoints)
    n = len(keypoints)
    return Poses(keypoints, archive["scores133"], np.zeros((n, 4)), np.ones(n))


@pytest.mark.parametrize("part", SWITCHES)
def test_openpose_golden(oracle, part):
    sets = json.loads((oracle / "08_draw.json").read_text())["sets"]
    assert sets
    for entry in sets:
        stem = f"08_draw_set{entry['set']}"
        want = cv2.imread(str(oracle / f"{stem}_{part}.png"))
        got = openpose(black(entry["H"], entry["W"]), golden_people(np.load(oracle / f"{stem}.npz")), **SWITCHES[part])
        assert drawn_pixels(got).sum() == entry["nonzero_pixels"][part]
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("schema", [OPENPOSE, OPENPOSE_25])
def test_openpose_draws_every_schema_alike(schema):
    poses = Poses.concatenate([person(), person(0.6, at=(70, 30))])
    np.testing.assert_array_equal(openpose(black(), poses.to(schema)), openpose(black(), poses))


def test_openpose_colours_are_bgr():
    drawn = openpose(black(), only(person(), "nose"))
    assert drawn[18, 50].tolist() == [0, 0, 255]  # joint 0 is (255, 0, 0) in the official RGB canvas
    drawn = openpose(black(), only(person(), "left_hand_root"))
    assert drawn[84, 80].tolist() == [255, 0, 0]


@pytest.mark.parametrize(
    ("name", "at", "score", "drawn"),
    [
        ("nose", (40, 40), 0.3, False),  # a body point needs more than the threshold
        ("nose", (40, 40), 0.31, True),
        ("face-3", (40, 40), 0.3, True),  # the others are content with it
        ("face-3", (40, 40), 0.29, False),
        ("left_thumb1", (40, 40), 0.3, True),
        ("left_thumb1", (0.9, 40), 0.9, False),  # column 0
        ("right_thumb1", (40, 0.9), 0.9, False),  # row 0
        ("face-3", (1, 1), 0.9, True),
        ("nose", (0.5, 0.5), 0.9, True),
        ("nose", (-2, 40), 0.9, True),  # a disc that reaches into the canvas
        ("nose", (-40, 40), 0.9, False),
        ("nose", (np.nan, 40), 0.9, False),
        ("nose", (40, 40), np.nan, False),
        ("face-3", (np.inf, 40), 0.9, False),
        ("left_thumb1", (40, -1e30), 0.9, False),
    ],
)
def test_openpose_thresholds_and_quirks(name, at, score, drawn):
    poses = only(person(), name, score=score)
    poses.keypoints[0, COCO_WHOLEBODY.names.index(name)] = at
    assert drawn_pixels(openpose(black(), poses)).any() == drawn


def test_openpose_bones_need_both_ends():
    whole = only(person(), "left_knee", "left_ankle")
    broken = replace(whole, scores=np.where(whole.scores > 0, whole.scores, 0).copy())
    broken.scores[0, COCO_WHOLEBODY.names.index("left_ankle")] = 0.2
    assert openpose(black(), whole)[150, 61].any()
    assert not openpose(black(), broken)[150, 61].any()
    broken.keypoints[0, COCO_WHOLEBODY.names.index("left_ankle")] = np.nan
    assert not openpose(black(), broken)[150, 61].any()


def test_openpose_threshold_is_a_choice():
    poses = person(score=0.5)
    assert drawn_pixels(openpose(black(), poses, threshold=0.4)).any()
    assert not drawn_pixels(openpose(black(), poses, threshold=0.6)).any()


def test_openpose_over_a_picture_touches_only_what_it_draws():
    picture = np.full((240, 160, 3), 200, np.uint8)
    drawn = openpose(picture, person())
    assert (picture == 200).all()
    on_black = openpose(black(), person())
    changed = drawn_pixels(on_black)
    np.testing.assert_array_equal(drawn[changed], on_black[changed])
    assert (drawn[~changed] == 200).all()


@pytest.mark.parametrize(
    ("side", "scale"), [(499, 1), (500, 2), (999, 2), (1000, 3), (1999, 3), (2000, 4), (4999, 6), (5000, 7), (9000, 7)]
)
def test_xinsir_sticks(side, scale):
    poses = only(person(), "left_shoulder", "left_elbow")
    poses.keypoints[0, [5, 7]] = (50, 70), (450, 70)
    official = openpose(black(140, side), poses)
    wide = openpose(black(140, side), poses, stick_scale="xinsir")
    assert drawn_pixels(official)[:, 250].sum() == 2 * 4 + 1
    assert drawn_pixels(wide)[:, 250].sum() == 2 * 4 * scale + 1
    dot = openpose(black(140, side), only(poses, "left_shoulder"))
    np.testing.assert_array_equal(openpose(black(140, side), only(poses, "left_shoulder"), stick_scale="xinsir"), dot)


def test_openpose_feet():
    plain, feet = (openpose(black(), person(), feet=feet) for feet in (False, True))
    rows = np.flatnonzero((plain != feet).any(axis=(1, 2)))
    assert rows.min() > 160 and len(rows) > 10
    # The toes take the colour of their ankle, left and right apart.
    assert feet[180, 66].tolist() == plain[170, 62].tolist() != plain[170, 38].tolist() == feet[180, 34].tolist()
    alone = openpose(black(), person(), body=False, hands=False, face=False, feet=True)
    assert drawn_pixels(alone)[:160].sum() == 0 and drawn_pixels(alone).sum() > 100
    with pytest.raises(ValueError, match="toe"):
        openpose(black(), person().to(OPENPOSE), feet=True)


# --- Overlay ----------------------------------------------------------------------------------------------------------


def middle(a, b, scale):
    """Row and column between two named points of `person`."""
    x, y = (np.array(BODY[a]) + BODY[b]) / 2 * scale
    return round(y), round(x)


@pytest.mark.parametrize("ground", [0, 128, 255])
def test_skeleton_has_sides_in_their_colours_and_a_dark_rim(ground):
    image = np.full((720, 480, 3), ground, np.uint8)
    drawn = skeleton(image, person(3.5))
    assert (image == ground).all() and drawn.shape == image.shape and drawn.dtype == np.uint8
    for a, b, color in (
        ("left_knee", "left_ankle", GREEN),
        ("right_knee", "right_ankle", ORANGE),
        ("left_hip", "right_hip", BLUE),
    ):
        row, column = middle(a, b, 3.5)
        assert drawn[row, column].tolist() == list(color)
    row, column = middle("left_knee", "left_ankle", 3.5)
    across = drawn[row, column - 12 : column + 13].max(axis=1)
    assert (across[:10] < 90).any() and (across[-10:] < 90).any()
    assert (across[[0, -1]] == ground).all()


def stroke(drawn, row):
    """How many pixels of a row are painted in the left side's green."""
    return (drawn[row] == GREEN).all(axis=-1).sum()


def test_skeleton_widths_follow_the_person():
    image = black(1400, 1000)
    shin = [stroke(skeleton(image, person(scale)), middle("left_knee", "left_ankle", scale)[0]) for scale in (1, 3, 7)]
    assert 1 <= shin[0] < shin[1] < shin[2] <= 20
    hand_only = only(person(7), *COCO_WHOLEBODY.names[91:112])
    finger = stroke(skeleton(image, hand_only), 7 * 90)
    assert 1 <= finger < shin[2]


def test_skeleton_of_a_tiny_person_stays_small():
    poses = person(0.15, at=(40, 40))
    rows, columns = np.nonzero(drawn_pixels(skeleton(black(), poses)))
    x0, y0, x1, y1 = poses.boxes[0]
    assert rows.min() >= y0 - 4 and rows.max() <= y1 + 4 and columns.min() >= x0 - 4 and columns.max() <= x1 + 4


@pytest.mark.parametrize("schema", [COCO_WHOLEBODY, COCO_BODY, OPENPOSE, OPENPOSE_25])
def test_skeleton_leaves_out_what_is_below_the_threshold(schema):
    poses = person(score=0.5).to(schema)
    assert drawn_pixels(skeleton(black(), poses, 0.5)).any()
    assert not drawn_pixels(skeleton(black(), poses, 0.51)).any()
    poses.scores[0, schema.parts["body"]] = 0.2
    poses.scores[0, schema.names.index("left_knee")] = 0.5
    rows, columns = np.nonzero(drawn_pixels(skeleton(black(), poses, 0.5))[110:160])
    assert len(rows) and np.ptp(rows) < 12 and np.ptp(columns) < 12  # the knee's dot, no bone


def test_skeleton_leaves_out_what_is_outside_the_picture():
    """And what is inside looks as it does in a larger picture, where everything is drawn."""
    poses = person(2.0, at=(-100.0, 0.0))  # the right half of the body is left of the picture
    drawn = skeleton(black(400, 200), poses)
    x = poses.keypoints[0, :, 0]
    seen = replace(poses, scores=np.where(x >= -0.5, poses.scores, 0).astype(np.float32))
    np.testing.assert_array_equal(drawn[:, 30:], skeleton(black(400, 200), seen)[:, 30:])
    edge = only(person(at=(-20.0, 0.0)), "right_wrist", "right_elbow")  # at (0, 84) and (6, 60)
    assert drawn_pixels(skeleton(black(), edge)).any()
    for away in (-1.0, -300.0):
        assert not drawn_pixels(skeleton(black(), only(person(at=(away - 20, 0.0)), "right_wrist"))).any()
    low = only(person(), "left_ankle", "left_knee")  # at (62, 170) and (61, 130)
    assert skeleton(black(171, 160), low)[140:].any() and not skeleton(black(170, 160), low)[140:].any()


def test_skeleton_draws_the_larger_person_last():
    near, far = person(1.4), person(0.7)
    near.keypoints[:] += np.array(BODY["left_hip"]) * (0.7 - 1.4)  # hips on the same spot
    together = [skeleton(black(400, 300), Poses.concatenate(order)) for order in ([near, far], [far, near])]
    np.testing.assert_array_equal(*together)
    alone = skeleton(black(400, 300), near)
    solid = (alone == GREEN).all(axis=-1) | (alone == ORANGE).all(axis=-1)
    assert solid.sum() > 100
    np.testing.assert_array_equal(together[0][solid], alone[solid])


def test_boxes_and_ids():
    poses = replace(person(at=(20, 20)), scores=np.zeros((1, 133)))
    assert not drawn_pixels(skeleton(black(), poses)).any()
    boxed = skeleton(black(), poses, boxes=True)
    x0, y0, x1, y1 = np.rint(poses.boxes[0]).astype(int)
    assert (boxed[y0, x0 : x1 + 1] == 255).all() and (boxed[y0 : y1 + 1, x1] == 255).all()
    numbered = skeleton(black(), replace(poses, ids=[8]), boxes=True)
    assert (numbered != boxed).any() and (numbered != skeleton(black(), replace(poses, ids=[9]), boxes=True)).any()


@pytest.mark.parametrize("draw", [openpose, skeleton])
def test_nobody_and_nothing_to_see(draw):
    picture = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    for poses in (Poses.empty(), Poses.empty(OPENPOSE), person(score=0.1)):
        drawn = draw(picture, poses)
        np.testing.assert_array_equal(drawn, picture)
        assert not np.shares_memory(drawn, picture)


@pytest.mark.parametrize("draw", [openpose, skeleton, lambda image, poses: skeleton(image, poses, boxes=True)])
@pytest.mark.parametrize("value", [np.nan, np.inf, -1e38, 3e6, -50000])
def test_wild_numbers_are_survived(draw, value):
    poses = Poses.concatenate([person(), person(0.5)])
    poses.keypoints[1], poses.boxes[1] = value, value
    np.testing.assert_array_equal(draw(black(), poses), draw(black(), poses[0]))
    poses.keypoints[0, 7:9] = value
    poses.scores[1] = np.nan
    assert drawn_pixels(draw(black(), poses)).any()


def test_views_and_thin_pictures_are_fine():
    wide = np.zeros((240, 320, 3), np.uint8)
    for image in (wide[:, ::2], wide[::-1, :160], np.zeros((1, 1, 3), np.uint8), wide[..., ::-1]):
        assert skeleton(image, person()).shape == openpose(image, person()).shape == image.shape


def test_a_map_of_another_size_has_sticks_of_the_same_width():
    poses = person()
    drawn = openpose(black(), poses, size=(320, 480))
    np.testing.assert_array_equal(drawn, openpose(black(480, 320), poses.scaled(2)))
    assert openpose(black(), poses, size=(500, 100)).shape == (100, 500, 3)
    for canvas in (np.zeros((10, 10)), np.zeros((10, 10, 4), np.uint8), np.zeros((10, 10, 3))):
        with pytest.raises(ValueError, match="canvas"):
            openpose(canvas, poses)
