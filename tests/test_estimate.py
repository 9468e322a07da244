import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import opencv4
import oracle as formula
from networks import BLUE, K, Stub, bright_pose, notes, save_coordinates, save_heatmaps, tensor
from wholebody.codec import Heatmap, Regression, SimCC
from wholebody.errors import WholebodyError
from wholebody.geometry import Crop
from wholebody.pose.topdown import TopDown, check_boxes
from wholebody.poses import Poses
from wholebody.runtime.choose import open_session
from wholebody.schema import COCO_BODY, COCO_WHOLEBODY, OPENPOSE
from wholebody.weights.preprocess import PLAIN_BGR, Preprocessing, normalize

PICTURE = np.random.RandomState(0).randint(0, 255, (240, 320, 3), dtype=np.uint8)
BOXES = np.array([[20, 30, 80, 200], [150, 40, 260, 210], [-30, -20, 90, 100], [300, 200, 400, 300.5]])


def assert_same(a, b):
    for name in ("keypoints", "scores", "boxes", "box_scores"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


# --- The official pipeline's numbers ---------------------------------------------------------------------------------


def torch_session(network):
    import torch

    w, h = network.codec.input_size
    x, y = network.codec.bins

    def run(batch):
        with torch.inference_mode():
            return dict(
                zip(("simcc_x", "simcc_y"), (out.numpy() for out in network(torch.from_numpy(batch))), strict=True)
            )

    outputs = (tensor("simcc_x", None, K, x), tensor("simcc_y", None, K, y))
    return Stub((tensor("input", None, 3, h, w),), outputs, run)


LARGE = pytest.param(("l", (288, 384)), marks=pytest.mark.slow)


@pytest.fixture(scope="module", params=[("t", (192, 256)), LARGE], ids=["t", "l"])
def official(request, oracle):
    """A network with the weights of the golden numbers, its picture, boxes, and the numbers."""
    import torch

    from wholebody.networks.rtmpose import rtmpose

    torch.set_num_threads(1)
    size, input_size = request.param
    salts = json.loads((oracle / "02_forward_trace.json").read_text())
    network = rtmpose(size, input_size).eval()
    shapes = {name: value.shape for name, value in network.state_dict().items()}
    weights = formula.state_dict(shapes, salts["weights_salt"])
    network.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    golden = np.load(oracle / "09_end2end_predict.npz")
    name = f"rtmpose-{size}_{input_size[1]}x{input_size[0]}"
    return torch_session(network), formula.image(480, 640, 0, salts["image_salt"]), golden, name


@pytest.mark.parametrize("flip", [False, True])
def test_end_to_end_golden(official, flip, monkeypatch):
    """With the pixels of OpenCV 4, which made the golden numbers, every point and score is met."""
    session, image, golden, name = official
    monkeypatch.setattr(Crop, "cut", lambda crop, image: opencv4.cut(image, crop.matrix, crop.size))
    poses = TopDown(session, flip=flip)(image, golden["boxes"])
    off = np.abs(poses.keypoints - golden[f"{name}_flip{int(flip)}_keypoints"]).max(axis=2)
    # One of the 532 points may tie: random weights give flat logits, and float32 sums differ between processors.
    assert (off > 1e-3).sum() <= 1
    np.testing.assert_allclose(poses.scores, golden[f"{name}_flip{int(flip)}_scores"], atol=1e-3)


def test_end_to_end_nearly_golden_with_the_installed_opencv(official):
    """Other versions sample the crop a little differently (up to 7 of 255 levels in this steep picture): scores move
    by up to 6 %, and up to 4 of 266 points to another bin nearly as high."""
    session, image, golden, name = official
    poses = TopDown(session)(image, golden["boxes"])
    off = np.abs(poses.keypoints - golden[f"{name}_flip0_keypoints"]).max(axis=2)
    assert (off > 1e-3).sum() <= 0.04 * off.size
    np.testing.assert_allclose(poses.scores, golden[f"{name}_flip0_scores"], atol=0.15)


# --- What goes in ----------------------------------------------------------------------------------------------------


def test_normalize():
    crops = np.zeros((2, 3, 4, 3), np.uint8)
    crops[1] = (10, 20, 30)  # B, G, R
    planes = normalize(crops)
    assert planes.shape == (2, 3, 3, 4) and planes.dtype == np.float32 and planes.flags.c_contiguous
    red, green, blue = (30 - 123.675) / 58.395, (20 - 116.28) / 57.12, (10 - 103.53) / 57.375
    np.testing.assert_allclose(planes[1, :, 0, 0], [red, green, blue], rtol=1e-6)
    np.testing.assert_array_equal(normalize(crops, PLAIN_BGR)[1, :, 0, 0], [10, 20, 30])
    np.testing.assert_array_equal(
        normalize(crops, Preprocessing("RGB", (1, 2, 3), (2, 2, 7)))[1, :, 0, 0], [14.5, 9, 1]
    )


@pytest.mark.parametrize("fused", [True, False])
def test_the_network_sees_rgb(fused):
    """Each third of the keypoints looks at one channel; each colour has its spot."""
    mixture = np.eye(3, dtype=np.float32)[np.arange(K) % 3]
    image = np.zeros((64, 48, 3), np.uint8)
    spots = {0: (10, 20), 1: (30, 40), 2: (40, 12)}  # red, green, blue: x, y
    for channel, (x, y) in spots.items():
        image[y, x, 2 - channel] = 255
    poses = TopDown(bright_pose(fused=fused, mixture=mixture))(image, [[4.8, 6.4, 43.2, 57.6]])
    want = np.array([spots[k % 3] for k in range(K)])
    np.testing.assert_allclose(poses.keypoints[0], want, atol=0.5)


@pytest.mark.parametrize("flip", [False, True])
def test_every_kind_of_file_gives_the_same(flip):
    reference = TopDown(bright_pose(), flip=flip)(PICTURE, BOXES)
    for fused, decoded in ((True, False), (False, False)):
        poses = TopDown(bright_pose(fused=fused, decoded=decoded), flip=flip)(PICTURE, BOXES)
        np.testing.assert_allclose(poses.keypoints, reference.keypoints, atol=1e-4)
        np.testing.assert_allclose(poses.scores, reference.scores, atol=1e-5)


def test_input_size_bins_and_schema_come_from_the_file():
    model = TopDown(bright_pose((96, 128), fused=False))
    assert model.codec.input_size == (96, 128) and model.codec.split_ratio == 2 and model.schema is COCO_WHOLEBODY
    free = Stub(
        (tensor("crops", None, None, None, 3, dtype="uint8"),),
        (tensor("simcc_x", None, None, None), tensor("simcc_y", None, None, None)),
        dict,
        notes(kind="pose", input_size=[72, 96], schema="coco_wholebody", split_ratio=3.0),
    )
    assert TopDown(free).codec.bins == (216, 288)


# --- What comes out --------------------------------------------------------------------------------------------------


def test_points_are_in_pixels_of_the_picture():
    image = np.zeros((240, 320, 3), np.uint8)
    image[99:102, 199:202] = 255
    poses = TopDown(bright_pose())(image, [[150, 40, 260, 210]], [0.7])
    bin_width = 170 * 1.25 / 64 / 2
    assert np.abs(poses.keypoints - (200, 100)).max() < 2 + bin_width
    np.testing.assert_array_equal(poses.boxes, [[150, 40, 260, 210]])
    np.testing.assert_allclose(poses.box_scores, 0.7)
    assert poses.ids is None and poses.schema is COCO_WHOLEBODY


def test_deviations_are_in_pixels_of_the_picture():
    """The same spot, twice as large in a box twice as large, is as far off in bins and twice in pixels."""
    model = TopDown(bright_pose(), batch=1)
    small, large = np.zeros((2, 400, 400, 3), np.uint8)
    small[90:100, 90:100] = large[180:200, 180:200] = 255
    boxes = np.array([[50.0, 40, 146, 168]])
    one = model.deviations(small, np.repeat(boxes, 2, axis=0))
    assert one.shape == (2, K, 2) and (one > 0).all()
    np.testing.assert_array_equal(one[0], one[1])
    np.testing.assert_allclose(model.deviations(large, 2 * boxes), 2 * one[:1], rtol=0.1)
    assert model.deviations(small, []).shape == (0, K, 2)
    with pytest.raises(WholebodyError, match="no distributions"):
        TopDown(Stub((tensor("input", None, 3, 64, 48),), (tensor("maps", None, 17, 16, 12),), dict)).deviations(
            small, boxes
        )


@given(st.permutations(range(4)))
def test_the_order_of_people_does_not_matter(order):
    model = TopDown(bright_pose())
    assert_same(model(PICTURE, BOXES[list(order)]), model(PICTURE, BOXES)[list(order)])


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("batch", [1, 2, 3, 5, 32])
def test_pictures_share_batches_and_give_the_same(batch, flip):
    session = bright_pose()
    model = TopDown(session, flip=flip, batch=batch)
    images = [PICTURE, PICTURE[:100], PICTURE[:, ::-1], PICTURE[50:150, 20:200]]
    boxes = [BOXES, BOXES[:1], BOXES[:0], BOXES[[2, 0]]]
    together = model.images(images, boxes, [np.arange(len(rows)) for rows in boxes])
    assert sum(session.runs) == (14 if flip else 7) and max(session.runs) <= max(batch, 2 if flip else 1)
    assert [len(poses) for poses in together] == [4, 1, 0, 2]
    for poses, image, rows in zip(together, images, boxes, strict=True):
        assert_same(poses, TopDown(bright_pose(), flip=flip)(image, rows, np.arange(len(rows))))


def test_the_mirrored_picture_has_mirrored_points():
    """x' = W - x, but for a bin and for counting pixels from their corners."""
    image = np.zeros((240, 320, 3), np.uint8)
    for x, y in ((50, 120), (205, 100), (310, 230)):
        cv2.circle(image, (x, y), 12, (90, 90, 90), -1)
    image = cv2.GaussianBlur(image, (0, 0), 6)
    boxes = BOXES[[0, 1, 3]]
    mirrored = boxes[:, [2, 1, 0, 3]] * (-1, 1, -1, 1) + (320, 0, 320, 0)
    poses = TopDown(bright_pose())(image, boxes)
    other = TopDown(bright_pose())(np.ascontiguousarray(image[:, ::-1]), mirrored)
    pixel = np.array([1 / Crop.from_box(box, (48, 64)).matrix[0, 0] for box in boxes])
    assert (np.abs(320 - other.keypoints[..., 0] - poses.keypoints[..., 0]) <= 1.5 * pixel[:, None]).all()
    np.testing.assert_allclose(other.keypoints[..., 1], poses.keypoints[..., 1], atol=1e-3)


def test_a_flip_test_averages_the_crop_and_its_mirror_image():
    """A network that always says the left third is, with the flip test, undecided between left and right."""

    def left(batch):
        x = np.zeros((len(batch), K, 96), np.float32)
        x[:, :, 20] = 1.0
        x[:, 5, 20] = 2.0  # the left shoulder; its mirror image is row 6
        y = np.zeros((len(batch), K, 128), np.float32)
        y[:, :, 7] = 3.0
        return {"simcc_x": x, "simcc_y": y}

    shape = bright_pose(decoded=False)
    model = TopDown(Stub(shape.inputs, shape.outputs, left), flip=True)
    keypoints, scores = model.predict(np.zeros((1, 64, 48, 3), np.uint8))
    np.testing.assert_allclose(keypoints[0, [0, 5, 6], 0], [10, 10, (95 - 20) / 2])
    np.testing.assert_allclose(scores[0, [0, 5, 6]], [0.5, 1.0, 1.0])


def test_nobody_does_not_run_the_network():
    session = bright_pose()
    for boxes in ([], np.zeros((0, 4)), [[]]):
        assert_same(TopDown(session)(PICTURE, boxes), Poses.empty())
    assert TopDown(session).images([], []) == [] and session.runs == []


def test_several_threads_share_one_model():
    from concurrent.futures import ThreadPoolExecutor

    model = TopDown(bright_pose())
    want = [model(PICTURE, BOXES[[i % 4]]) for i in range(16)]
    with ThreadPoolExecutor(4) as pool:
        for got, expected in zip(pool.map(lambda i: model(PICTURE, BOXES[[i % 4]]), range(16)), want, strict=True):
            assert_same(got, expected)


# --- Networks of other families --------------------------------------------------------------------------------------

LIGHT = {"mean": [0, 0, 0], "std": [255, 255, 255]}
BOX = (100, 30, 220, 190)


def blob(x, y, sigma=10.0, image=(240, 320)):
    """A white spot that fades as a Gaussian, in black."""
    columns, rows = np.arange(image[1]), np.arange(image[0])[:, None]
    light = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))
    return np.rint(255 * light).astype(np.uint8)[..., None].repeat(3, axis=2)


def heatmaps(tmp_path, flip=False, **options):
    about = LIGHT | options.pop("about", {})
    return TopDown(open_session(save_heatmaps(tmp_path / "maps.onnx", about=about, **options), "cpu", 1), flip)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("style", ["msra", "dark", "udp"])
def test_heatmaps_find_the_spot(tmp_path, style, flip):
    """Between the pixels, in the way in and the way out that belong together. A crop pixel is 4 of the picture here."""
    model = heatmaps(tmp_path, flip, udp=style == "udp", about={"style": style})
    assert model.schema is COCO_BODY and model.codec == Heatmap((48, 64), 4.0, 0.5, style)
    pixel = 1 / Crop.from_box(BOX, (48, 64)).matrix[0, 0]
    for x, y in ((151.3, 108.8), (170.9, 92.1)):
        poses = model(blob(x, y, sigma=8 * pixel), [BOX])
        off = poses.keypoints[0] - (x, y)
        # The mirrored map is a pixel of the crop to the right, but for UDP: half of it remains.
        if style == "msra":
            assert np.abs(off).max() <= (1.5 if flip else 1) * pixel + 0.1
        else:
            shift = (pixel / 2 if flip and style == "dark" else 0, 0)
            np.testing.assert_allclose(off, np.broadcast_to(shift, off.shape), atol=0.05 * pixel)
        assert (poses.scores > 0.9).all() and (poses.scores <= 1).all()


def test_the_notes_and_the_arguments_say_the_same(tmp_path):
    image, boxes = blob(151.3, 108.8, 24), [BOX, (90, 10, 240, 200)]
    noted = heatmaps(tmp_path, udp=True, about={"style": "udp", "sigma": 1.5, "color": "BGR", "schema": "coco_body"})
    silent = open_session(save_heatmaps(tmp_path / "silent.onnx", udp=True), "cpu", 1)
    codec = Heatmap((48, 64), sigma=1.5, style="udp")
    light = Preprocessing("BGR", (0, 0, 0), (255, 255, 255))
    argued = TopDown(silent, codec=codec, schema=COCO_BODY, preprocessing=light)
    assert noted.codec == argued.codec and noted.preprocessing == argued.preprocessing
    assert_same(noted(image, boxes), argued(image, boxes))
    plain = TopDown(silent)
    assert plain.codec == Heatmap((48, 64), 4.0, 0.5, "msra") and plain.preprocessing.color == "RGB"


@pytest.mark.parametrize("color", ["RGB", "BGR"])
def test_a_foreign_network_sees_its_colours(tmp_path, color):
    image = np.zeros((240, 320, 3), np.uint8)
    spots = {0: (150, 60), 1: (160, 110), 2: (170, 160)}  # the network's channel: x, y
    for channel, at in spots.items():
        image[..., channel if color == "BGR" else 2 - channel] = blob(*at)[..., 0]
    poses = heatmaps(tmp_path, about={"style": "dark", "color": color})(image, [BOX])
    np.testing.assert_allclose(poses.keypoints[0], [spots[k % 3] for k in range(17)], atol=1)


@pytest.mark.parametrize(("k", "schema"), [(17, COCO_BODY), (133, COCO_WHOLEBODY)])
@pytest.mark.parametrize("stride", [2, 4, 8])
def test_stride_and_schema_come_from_the_shape(tmp_path, k, schema, stride):
    model = heatmaps(tmp_path, k=k, stride=stride, size=(96, 128))
    assert model.schema is schema and model.codec.stride == stride and model.codec.size == (96 // stride, 128 // stride)
    assert len(model(PICTURE, BOXES).keypoints[0]) == k and len(model(PICTURE, [])) == 0


@pytest.mark.parametrize("extra", [(), (0.7,), (0.0, 0.0)])
@pytest.mark.parametrize("flip", [False, True])
def test_coordinates_find_the_spot(tmp_path, extra, flip):
    path = save_coordinates(tmp_path / "points.onnx", extra=extra, about=LIGHT)
    model = TopDown(open_session(path, "cpu", 1), flip)
    poses = model(blob(151.3, 108.8), [BOX])
    assert model.codec == Regression((48, 64)) and poses.schema is COCO_BODY
    np.testing.assert_allclose(poses.keypoints[0], np.tile((151.3, 108.8), (17, 1)), atol=0.3)
    np.testing.assert_allclose(poses.scores, {0: 1, 1: 0.7, 2: 0.5}[len(extra)], rtol=1e-6)


def test_foreign_networks_share_batches_too(tmp_path):
    model = heatmaps(tmp_path, about={"style": "dark"})
    images = [PICTURE, PICTURE[:, ::-1]]
    few = TopDown(model.session, flip=True, batch=3)
    for poses, image in zip(few.images(images, [BOXES, BOXES]), images, strict=True):
        assert_same(poses, TopDown(model.session, flip=True)(image, BOXES))


def shapes(*outputs, about=None, size=(64, 48)):
    return Stub((tensor("input", None, 3, *size),), outputs, dict, notes(**about) if about else {})


MAPS, AUXILIARY = tensor("maps", None, 17, 16, 12), tensor("features", None, 48)
X, Y = tensor("a", None, 17, 96), tensor("b", None, 17, 128)
POINTS = tensor("points", None, 17, 2)


@pytest.mark.parametrize(
    ("outputs", "given", "codec", "read"),
    [
        ((X, Y), None, SimCC((48, 64)), ("a", "b")),
        (
            (tensor("simcc_y", None, 17, 128), MAPS, tensor("simcc_x", None, 17, 96)),
            None,
            SimCC,
            ("simcc_x", "simcc_y"),
        ),
        ((AUXILIARY, MAPS), None, Heatmap, ("maps",)),
        ((POINTS, MAPS), None, Heatmap, ("maps",)),
        ((POINTS, MAPS), Regression((48, 64)), Regression, ("points",)),
        ((X, Y, MAPS), Heatmap((48, 64)), Heatmap, ("maps",)),
        ((POINTS,), None, Regression, ("points",)),
    ],
)
def test_the_outputs_tell_the_codec(outputs, given, codec, read):
    model = TopDown(shapes(*outputs), codec=given)
    assert model._outputs == read
    assert model.codec == codec if isinstance(codec, SimCC) else type(model.codec) is codec


def test_a_codec_of_ones_own_and_a_size_only_it_knows():
    class First:
        input_size, udp = (48, 64), True

        def decode(self, maps):
            return np.full((len(maps), 17, 2), 9.0), maps.max(axis=(2, 3))

        def mirror(self, flip, maps):
            return (maps[:, flip, :, ::-1],)

    def ones(batch):
        return {"maps": np.ones((len(batch), 17, 16, 12), np.float32)}

    free = Stub((tensor("input", None, 3, None, None),), (tensor("maps", None, 17, None, None),), ones)
    poses = TopDown(free, flip=True, codec=First())(PICTURE, BOXES)
    want = [Crop.from_box(box, (48, 64), udp=True).to_image(np.array([9.0, 9.0])) for box in BOXES]
    np.testing.assert_allclose(poses.keypoints, np.repeat(np.float32(want)[:, None], 17, axis=1), rtol=1e-6)


@pytest.mark.parametrize(
    ("session", "given", "message"),
    [
        (shapes(MAPS, MAPS), {}, "not a pose network"),
        (shapes(X, Y), {"codec": Heatmap((48, 64))}, "not a network for Heatmap"),
        (shapes(MAPS), {"codec": Heatmap((192, 256))}, r"input of \(192, 256\), the network takes \(48, 64\)"),
        (shapes(MAPS), {"schema": COCO_WHOLEBODY}, "17 keypoints, coco_wholebody has 133"),
        (shapes(tensor("maps", None, 20, 16, 12)), {}, "20 keypoints, and nothing says which"),
        (shapes(MAPS, about={"style": "best"}), {}, "style 'best' is unknown"),
        (shapes(MAPS, about={"mean": [1, 2]}), {}, "metadata of the file cannot be used"),
        (shapes(MAPS, about={"color": "HSV"}), {}, "color is 'HSV'"),
        (shapes(MAPS, about={"sigma": [2, 2]}), {}, "metadata of the file cannot be used"),
    ],
)
def test_what_does_not_fit_together_is_said(session, given, message):
    with pytest.raises(WholebodyError, match=message) as caught:
        TopDown(session, **given)
    assert "\n" not in str(caught.value)


def test_a_network_of_a_schema_of_ones_own():
    k = len(OPENPOSE)
    assert TopDown(shapes(tensor("maps", None, k, 16, 12)), schema=OPENPOSE).schema is OPENPOSE


# --- What is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([[0, 0, 9, 9], [0, 0, np.nan, 9]], r"box 1 \(0, 0, nan, 9\) has a coordinate that is not a finite"),
        ([[0, 0, np.inf, 9]], "box 0 .* finite"),
        ([[-1e30, 0, 1e30, 9]], "box 0 .* finite"),
        ([[9, 0, 0, 9]], "box 0 .* reversed, or is x, y, width, height"),
        ([[0, 9, 9, 0]], "box 0 .* reversed"),
        ([[5, 0, 5, 9]], "box 0 .* no area"),
        ([[0, 5, 9, 5]], "box 0 .* no area"),
        ([[0, 0, 9, 9], [0, 0, 5, 5], [320, 0, 400, 9]], "box 2 .* outside the picture of 320 x 240"),
        ([[-9, 0, 0, 9]], "box 0 .* outside"),
        ([[0, 240, 9, 250]], "box 0 .* outside"),
        ([[0, -9, 9, -1]], "box 0 .* outside"),
        ([0, 0, 9, 9], r"shape \(4,\), expected \(N, 4\)"),
        ([[0, 0, 9]], r"shape \(1, 3\)"),
        ([[0, 0, 9, 9], [1]], "must be numbers"),
        ([["a", "b", "c", "d"]], "must be numbers"),
        (None, "must be numbers|shape"),
    ],
)
def test_bad_boxes_are_named(boxes, message):
    session = bright_pose()
    with pytest.raises(WholebodyError, match=message) as caught:
        TopDown(session)(PICTURE, boxes)
    assert "\n" not in str(caught.value) and session.runs == []


@given(st.tuples(st.floats(-400, 319), st.floats(-400, 239), st.floats(0.01, 1e6), st.floats(0.01, 1e6)))
def test_every_box_that_touches_the_picture_is_taken(box):
    x0, y0, w, h = box
    corners = [x0, y0, x0 + max(w, 1.5 - x0), y0 + max(h, 0.5 - y0)]
    np.testing.assert_allclose(check_boxes([corners], PICTURE), [corners], rtol=1e-6, atol=1e-6)
    assert np.isfinite(TopDown(bright_pose())(PICTURE, [corners]).keypoints).all()


def test_pictures_of_one_pixel_and_more_channels():
    model = TopDown(bright_pose())
    assert len(model(np.full((1, 1, 3), BLUE, np.uint8), [[0, 0, 1, 1]])) == 1
    grey = PICTURE[..., 0]
    assert_same(model(grey, BOXES), model(np.repeat(grey[..., None], 3, axis=2), BOXES))
    with pytest.raises(WholebodyError, match="float64 values"):
        model(PICTURE / 255.0, BOXES)


@pytest.mark.parametrize("flip", [False, True])
def test_a_calibration_makes_chances_of_scores(flip):
    curves = {part: [i + 1.0, -0.5 * i] for i, part in enumerate(COCO_WHOLEBODY.parts)}
    stub = bright_pose()
    told = Stub(stub.inputs, stub.outputs, stub.function, notes(kind="pose", split_ratio=2.0, calibration=curves))
    raw, calibrated = (TopDown(session, flip=flip)(PICTURE, BOXES) for session in (stub, told))
    np.testing.assert_array_equal(raw.keypoints, calibrated.keypoints)
    for part, (slope, offset) in curves.items():
        rows = COCO_WHOLEBODY.parts[part]
        expected = 1 / (1 + np.exp(-(slope * raw.scores[:, rows] + offset)))
        np.testing.assert_allclose(
            calibrated.scores[:, rows], np.where(raw.scores[:, rows] > 0, expected, 0), rtol=1e-5
        )


POSE = (tensor("simcc_x", None, K, 96), tensor("simcc_y", None, K, 128))
INPUT = (tensor("input", None, 3, 64, 48),)


@pytest.mark.parametrize(
    ("parts", "flip", "message"),
    [
        ({"outputs": (tensor("raw", None, 84, 85),)}, False, "not a pose network"),
        ({"outputs": (tensor("keypoints", None, K, 2), tensor("scores", None, K))}, True, "no flip test"),
        ({"outputs": (tensor("simcc_x", None, 20, 96), tensor("simcc_y", None, 20, 128))}, False, "20 keypoints"),
        ({"metadata": notes(kind="detector")}, False, "a detector network, not a pose network"),
        ({"metadata": notes(kind="pose", schema="halpe")}, False, "halpe"),
        ({"metadata": notes(kind="pose", calibration={"body": [1, 0]})}, False, "calibration"),
        ({"metadata": notes(kind="pose", calibration={"knees": [1, 0]})}, False, "calibration"),
        ({"metadata": notes(kind="pose", calibration=[1, 0])}, False, "calibration"),
        ({"metadata": notes(kind="pose", tolerances=[2.0] * 20)}, False, "20 tolerances for 133 keypoints"),
        ({"metadata": notes(kind="pose", tolerances=[0.0] * K)}, False, "positive"),
        ({"metadata": notes(kind="pose", tolerances=2.0)}, False, "metadata"),
        ({"inputs": (tensor("input", None, 3, None, None),)}, False, "not fixed"),
        ({"inputs": (tensor("tokens", None, 77),)}, False, "not a network for pictures"),
    ],
)
def test_other_networks_are_refused(parts, flip, message):
    with pytest.raises(WholebodyError, match=message) as caught:
        TopDown(Stub(**{"inputs": INPUT, "outputs": POSE, "function": dict, **parts}), flip=flip)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("k", "name"), [(17, "coco_body"), (26, "halpe_26"), (21, "hand_21"), (106, "face_106")])
def test_the_number_of_points_tells_the_schema(k, name):
    shapes = (tensor("simcc_x", None, k, 96), tensor("simcc_y", None, k, 128))
    network = TopDown(replace(bright_pose(fused=False), outputs=shapes))
    assert network.schema.name == name and len(network.schema) == k
