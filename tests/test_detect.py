import dataclasses
import hashlib
import json

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracle as formula
from networks import Stub, blue_detector, notes, people, raw_of, tensor
from wholebody.errors import WholebodyError
from wholebody.pose.detect import BATCH, YOLOX, aspect_size, grid, letterbox, nms


def constant(raw, size, name="raw"):
    """A detector that answers `raw` (anchors, columns) to every picture."""
    shape = (None, 3, size[1], size[0])
    return Stub(
        (tensor("images", *shape),),
        (tensor(name, None, *raw.shape),),
        lambda batch: {name: np.stack([raw] * len(batch))},
    )


@pytest.fixture
def golden(oracle):
    """The official post-processing's input and output at 640 x 640, and its thresholds."""
    arrays = np.load(oracle / "07_yolox_nms.npz")
    raw = np.zeros((8400, 85), np.float32)
    raw[arrays["sel_anchor"], :8] = arrays["sel_raw"]
    return arrays, raw, json.loads((oracle / "07_yolox_pre_nms.json").read_text())["nms"]


def test_letterbox_golden(oracle):
    salt = json.loads((oracle / "02_forward_trace.json").read_text())["image_salt"]
    cases = json.loads((oracle / "07_yolox_pre_nms.json").read_text())["preprocess"]
    for name, case in cases.items():
        shape, side = name.split("_to_")
        h, w = map(int, shape.split("x"))
        canvas, ratio = letterbox(formula.image(h, w, 0, salt), (int(side), int(side)))
        planes = np.ascontiguousarray(canvas.transpose(2, 0, 1))
        assert ratio == case["ratio"] and list(planes.shape) == case["shape"]
        rh, rw = case["resized_hw"]
        assert (canvas[rh:] == 114).all() and (canvas[:, rw:] == 114).all()
        # The digest is of OpenCV 4's pixels; the sum allows for another version's rounding.
        same = hashlib.sha256(planes.tobytes()).hexdigest() == case["sha256_uint8_chw"]
        assert same or abs(planes.sum(dtype=np.float64) - case["sum"]) < 0.02 * planes.size
        np.testing.assert_allclose(planes[:, 0, :4], case["corner"], atol=1)
        picture = oracle / f"07_letterbox_{name}.png"
        if picture.exists():
            assert np.abs(cv2.imread(str(picture)).astype(int) - canvas).max() <= 1


@pytest.mark.parametrize(
    ("shape", "filled"), [((1, 1), (64, 64)), ((1, 5000), (1, 64)), ((5000, 1), (64, 1)), ((32, 64), (32, 64))]
)
def test_letterbox_of_odd_shapes(shape, filled):
    canvas, ratio = letterbox(np.zeros((*shape, 3), np.uint8), (64, 64))
    assert canvas.shape == (64, 64, 3) and canvas.dtype == np.uint8
    assert (canvas == 0).all(axis=2).sum() == filled[0] * filled[1]
    assert ratio == 64 / max(shape)


def test_decode_golden(golden):
    """Centres and sides as the official decoding has them, for anchors all over the grid."""
    arrays, raw, _ = golden
    cells, strides = grid((640, 640))
    for rows, want in (("sel_anchor", "decoded_sel"), ("zero_rows_index", "decoded_zero_rows")):
        at = arrays[rows]
        boxes = np.concatenate([(raw[at, :2] + cells[at]) * strides[at], np.exp(raw[at, 2:4]) * strides[at]], axis=1)
        np.testing.assert_allclose(boxes, arrays[want][:, :4], rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize(("recommended", "asked", "least"), [({}, None, 0.3), (0.5, None, 0.5), (0.5, 0.2, 0.2)])
def test_a_file_may_recommend_its_threshold(recommended, asked, least):
    said = notes(kind="detector", threshold=recommended) if recommended else {}
    session = dataclasses.replace(constant(np.zeros((84, 6), np.float32), (64, 64)), metadata=said)
    assert YOLOX(session, asked).least == least


def test_person_boxes_golden(golden):
    arrays, raw, facts = golden
    model = YOLOX(constant(raw, (640, 640)), threshold=facts["final_score_gt"], nms=facts["nms_thr"])
    boxes, scores = model.decode(raw)
    people = arrays["all_dets"]
    people = people[(people[:, 5] == facts["final_class"]) & (people[:, 4] > facts["final_score_gt"])]
    np.testing.assert_allclose(boxes / arrays["ratio"], people[:, :4], atol=1e-3)
    np.testing.assert_allclose(scores, people[:, 4], atol=1e-6)
    np.testing.assert_allclose(boxes / arrays["ratio"], arrays["final_boxes"], atol=1e-3)

    # Through the whole detector the same boxes come out, cut at the picture's border; those beyond it are gone.
    width = round(640 / float(arrays["ratio"]))
    height = width * 3 // 5
    clipped, again = model(np.zeros((height, width, 3), np.uint8))
    inside = np.clip(boxes / (640 / width), 0, [width, height, width, height])
    seen = (inside[:, 2:] - inside[:, :2] >= 0.5).all(axis=1)
    assert seen.any() and not seen.all()
    np.testing.assert_allclose(clipped, inside[seen], atol=1e-3)
    np.testing.assert_array_equal(again, scores[seen])


@given(st.integers(0, 2**32 - 1), st.integers(0, 40), st.floats(0, 1))
def test_nms_keeps_no_overlap_and_drops_nothing_alone(seed, n, threshold):
    rs = np.random.RandomState(seed)
    low = rs.randint(0, 60, (n, 2)).astype(np.float32)
    boxes = np.concatenate([low, low + rs.randint(1, 40, (n, 2))], axis=1)
    scores = rs.permutation(n).astype(np.float32)
    kept = nms(boxes, scores, threshold)

    def overlap(a, b):
        w, h = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]) + 1
        both = max(w, 0) * max(h, 0)
        return both / ((a[2:] - a[:2] + 1).prod() + (b[2:] - b[:2] + 1).prod() - both)

    assert (np.diff(scores[kept]) <= 0).all() and len(set(kept)) == len(kept)
    for i in range(n):
        better = [j for j in kept if scores[j] > scores[i]]
        covered = any(overlap(boxes[i], boxes[j]) > threshold + 1e-6 for j in better)
        free = all(overlap(boxes[i], boxes[j]) < threshold - 1e-6 for j in better)
        assert not (i in kept and covered) and not (i not in kept and free)


BOXES = np.array([[20, 30, 80, 200], [150, 40, 260, 210]])


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("classes", [1, 80])
def test_blue_is_found_where_it_is(fused, classes):
    model = YOLOX(blue_detector(fused=fused, classes=classes))
    boxes, scores = model(people(BOXES))
    np.testing.assert_allclose(boxes, BOXES[::-1], atol=3)  # the larger one first; one canvas pixel is 2.5
    assert boxes.dtype == scores.dtype == np.float32 and scores[0] > scores[1]


def test_the_detector_sees_bgr():
    red = people(BOXES)[..., ::-1].copy()
    for fused in (True, False):
        assert len(YOLOX(blue_detector(fused=fused))(red)[0]) == 0


def test_nobody_is_an_empty_result():
    boxes, scores = YOLOX(blue_detector())(np.zeros((9, 5, 3), np.uint8))
    assert boxes.shape == (0, 4) and scores.shape == (0,) and boxes.dtype == scores.dtype == np.float32
    assert YOLOX(blue_detector()).images([]) == []


def test_several_pictures_share_batches_and_give_the_same():
    session = blue_detector()
    model = YOLOX(session)
    images = [people(BOXES[: i % 3], (200 + 20 * i, 300), seed=i) for i in range(BATCH + 3)]
    together = model.images(images)
    assert session.runs == [BATCH, 3]
    for image, (boxes, scores) in zip(images, together, strict=True):
        alone = model(image)
        np.testing.assert_array_equal(boxes, alone[0])
        np.testing.assert_array_equal(scores, alone[1])


@pytest.mark.parametrize("fused", [True, False])
def test_an_input_of_the_pictures_own_aspect(fused):
    model = YOLOX(blue_detector(fused=fused, pixels=16384))
    shapes = [(300, 300), (200, 300), (220, 330), (300, 200), (90, 400)]
    box = np.array([[20, 30, 80, 80]])
    images = [people(box, shape) for shape in shapes]
    together = model.images(images)
    assert [model.size_for(image) for image in images] == [(128, 128), (160, 96), (160, 96), (96, 160), (256, 64)]
    assert model.session.runs == [1, 2, 1, 1]  # those alike share a run
    for image, (boxes, scores) in zip(images, together, strict=True):
        ratio = min(side / other for side, other in zip(model.size_for(image), image.shape[1::-1], strict=True))
        alone = model(image)
        np.testing.assert_array_equal(boxes, alone[0])
        np.testing.assert_array_equal(scores, alone[1])
        np.testing.assert_allclose(boxes, box, atol=1.5 / ratio)


@given(st.integers(1, 9000), st.integers(1, 9000), st.integers(1024, 2**20))
def test_no_other_input_of_as_many_pixels_shows_more(width, height, pixels):
    w, h = aspect_size((width, height), pixels)
    assert w % 32 == h % 32 == 0 and 0 < w * h <= pixels
    shown = min(w / width, h / height)
    for other in range(32, pixels // 32 + 1, 32):
        assert min(other / width, pixels // other // 32 * 32 / height) <= shown * (1 + 1e-6)
    # And none of it is wasted: with a row or a column of cells less the picture is smaller.
    assert min((w - 32) / width, h / height) < shown > min(w / width, (h - 32) / height)


@given(st.integers(10, 140), st.integers(10, 100), st.integers(20, 150), st.integers(20, 120))
def test_a_mirrored_picture_has_mirrored_boxes(x, y, w, h):
    image = people([[x, y, x + w, y + h]])
    model = YOLOX(blue_detector((320, 320)))
    (boxes, _), (mirrored, _) = model(image), model(np.ascontiguousarray(image[:, ::-1]))
    np.testing.assert_allclose(mirrored, 320 - boxes[:, [2, 1, 0, 3]] * [1, -1, 1, -1] + [0, -320, 0, -320], atol=1e-3)


def test_boxes_are_inside_the_picture_or_gone():
    size = (64, 64)
    boxes = [[-9, -9, 20, 20], [40, 4, 90, 25], [35, 33, 60, 60], [10, 40, 30, 70]]
    raw = raw_of(boxes, [0.9, 0.8, 0.7, 0.6], size)
    raw[60] = [np.nan, 0, 0, 0, 0.95, 1]
    raw[61] = [np.inf, 0, 0, 0, 0.95, 1]
    raw[62] = [0, 0, 1e9, 1e9, 0.31, 1]
    found, scores = YOLOX(constant(raw, size), nms=1.0)(np.zeros((32, 64, 3), np.uint8))
    # The third lies in the grey margin, the fourth too; the endless one becomes the whole picture.
    np.testing.assert_allclose(found, [[0, 0, 20, 20], [40, 4, 64, 25], [0, 0, 64, 32]], atol=1e-3)
    np.testing.assert_allclose(scores, [0.9, 0.8, 0.31])


def test_a_network_with_nms_inside():
    dets = np.array([[0, 0, 10, 10, 0.2], [4, 4, 30, 30, 0.6], [20, 8, 60, 40, 0.9]], np.float32)
    boxes, scores = YOLOX(constant(dets, (64, 64), "dets"))(np.zeros((128, 128, 3), np.uint8))
    np.testing.assert_allclose(boxes, [[40, 16, 120, 80], [8, 8, 60, 60]])
    np.testing.assert_allclose(scores, [0.9, 0.6])

    labelled = Stub(
        (tensor("x", None, 3, 64, 64),),
        (tensor("dets", None, None, 5), tensor("labels", None, None, dtype="int64")),
        lambda batch: {"dets": dets[None], "labels": np.array([[0, 0, 7]])},
    )
    boxes, scores = YOLOX(labelled)(np.zeros((128, 128, 3), np.uint8))
    np.testing.assert_allclose(boxes, [[8, 8, 60, 60]])
    np.testing.assert_allclose(scores, [0.6])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"outputs": (tensor("simcc_x", None, 133, 384), tensor("simcc_y", None, 133, 512))}, "not a YOLOX"),
        ({"outputs": (tensor("out", None, 1000),)}, "not a YOLOX"),
        ({"outputs": (tensor("raw", None, 84, 4),)}, "not a YOLOX"),
        ({"inputs": (tensor("x", None, 10),)}, "not a network for pictures"),
        ({"inputs": (tensor("x", None, 1, 64, 64),)}, "not a network for pictures"),
        ({"inputs": (tensor("x", None, 3, None, None),)}, "not fixed"),
        ({"metadata": notes(kind="pose", input_size=[192, 256])}, "a pose network, not a detector"),
    ],
)
def test_other_networks_are_refused(change, message):
    parts = {"inputs": (tensor("x", None, 3, 64, 64),), "outputs": (tensor("raw", None, 84, 6),), **change}
    with pytest.raises(WholebodyError, match=message) as caught:
        YOLOX(Stub(function=dict, **parts))
    assert "\n" not in str(caught.value)


def test_an_answer_of_another_size_is_refused():
    session = Stub(
        (tensor("x", None, 3, 64, 64),), (tensor("raw", None, None, 85),), lambda b: {"raw": np.zeros((1, 21, 85))}
    )
    with pytest.raises(WholebodyError, match="21 anchors"):
        YOLOX(session)(np.zeros((5, 5, 3), np.uint8))


@pytest.mark.parametrize(("column", "value", "message"), [(4, 3.5, "above 1"), (2, 80.0, "already decoded")])
def test_the_output_of_another_network_is_one_line(column, value, message):
    """Without a sigmoid, or with boxes in pixels, hundreds of people would be found."""
    model = YOLOX(blue_detector())
    raw = raw_of([[10, 10, 50, 90], [60, 20, 100, 100]], [0.9, 0.8], model.size)
    assert len(model.decode(raw)[0]) == 2
    raw[raw[:, 4] > 0.5, column] = value
    with pytest.raises(WholebodyError, match=message):
        model.decode(raw)
