import json

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wholebody.codec import Heatmap, Regression, SimCC, merge_flipped, oks_tolerances
from wholebody.errors import WholebodyError
from wholebody.schema import COCO_BODY, COCO_WHOLEBODY

CODECS = {
    "256x192": SimCC((192, 256), sigma=(4.9, 5.66)),
    "384x288": SimCC((288, 384), sigma=(6.0, 6.93)),
}


# --- SimCC -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def golden(oracle):
    return np.load(oracle / "03_codec.npz")


@pytest.mark.parametrize("size", CODECS)
def test_encode_golden(golden, size):
    encoded = CODECS[size].encode(golden[f"{size}_enc_keypoints"], golden[f"{size}_enc_visible"])
    for got, name in zip(encoded, ("x", "y", "weights"), strict=True):
        np.testing.assert_allclose(got, golden[f"{size}_enc_{name}"], atol=1e-6)


@pytest.mark.parametrize("size", CODECS)
def test_decode_golden(golden, size):
    keypoints, scores = CODECS[size].decode(golden[f"{size}_dec_x"], golden[f"{size}_dec_y"])
    np.testing.assert_array_equal(keypoints, golden[f"{size}_dec_keypoints"])
    np.testing.assert_array_equal(scores, golden[f"{size}_dec_scores"])
    x, y, _ = CODECS[size].encode(golden[f"{size}_enc_keypoints"], golden[f"{size}_enc_visible"])
    keypoints, scores = CODECS[size].decode(x, y)
    np.testing.assert_array_equal(keypoints, golden[f"{size}_roundtrip_keypoints"])
    np.testing.assert_allclose(scores, golden[f"{size}_roundtrip_scores"], atol=1e-6)


def test_normalized_label_golden(golden):
    codec = SimCC((192, 256), normalize=True)
    x, y, _ = codec.encode(golden["256x192_enc_keypoints"], golden["256x192_enc_visible"])
    # The stored row is one point's label; it is found again by its peak.
    for got, want in ((x, golden["256x192_encnorm_x_kpt0"]), (y, golden["256x192_encnorm_y_kpt0"])):
        np.testing.assert_allclose(got[0, 0], want, atol=1e-6)


def test_flip_golden(golden, oracle):
    assert json.loads((oracle / "03_codec_index.json").read_text())["flip_keypoints"]["shape"] == [1, 133, 2]
    rs = np.random.RandomState(int(golden["flip_seed"]))
    draws = [rs.standard_normal((1, 133, bins)).astype(np.float32) for bins in (384, 512, 384, 512)]
    x, y = merge_flipped(CODECS["256x192"], draws[:2], draws[2:], COCO_WHOLEBODY.flip)
    np.testing.assert_allclose(x, golden["flip_merged_x"], atol=1e-6)
    np.testing.assert_allclose(y, golden["flip_merged_y"], atol=1e-6)
    keypoints, scores = CODECS["256x192"].decode(x, y)
    np.testing.assert_array_equal(keypoints, golden["flip_keypoints"])
    np.testing.assert_allclose(scores, golden["flip_scores"], atol=1e-6)


@given(
    st.lists(st.tuples(st.floats(0, 191.2), st.floats(0, 255.2)), min_size=1, max_size=8),
)
def test_round_trip_is_within_half_a_bin(points):
    keypoints = np.array(points)
    x, y, weight = CODECS["256x192"].encode(keypoints, np.ones(len(points)))
    decoded, scores = CODECS["256x192"].decode(x, y)
    assert np.abs(decoded - keypoints).max() <= 0.25 + 1e-5
    np.testing.assert_allclose(scores, 1)
    np.testing.assert_array_equal(weight, 1)


@given(st.floats(2, 12), st.floats(2, 12), st.floats(60, 130), st.floats(60, 130))
def test_a_gaussian_s_deviation_is_found(across, down, x, y):
    """Logits whose softmax is a Gaussian, in bins; half a bin is a quarter of a pixel."""
    codec = CODECS["256x192"]
    logits = [
        -((np.arange(bins) - 2 * at) ** 2) / (2 * sigma**2) / 10
        for bins, at, sigma in zip(codec.bins, (x, y), (across, down), strict=True)
    ]
    # The range that holds 68 % of a Gaussian is 1.989 of its deviations.
    np.testing.assert_allclose(codec.deviation(*logits), [0.9945 * across / 2, 0.9945 * down / 2], rtol=0.04)
    flat, sharp = np.zeros(384), np.full(384, -1e4)
    sharp[[0, 383]] = [0, 1e-3]
    assert codec.deviation(flat, sharp)[0] == pytest.approx(0.68 * 384 / 4, abs=0.3)
    assert np.isfinite(codec.deviation(sharp, sharp[::-1])).all()


TOLERANT = SimCC((192, 256), tolerances=oks_tolerances(COCO_WHOLEBODY.sigmas, (192, 256)))


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_merit_is_the_expected_oks(seed):
    """By the definition: the sum over all places of their probability times OKS's Gaussian of the distance."""
    rng = np.random.default_rng(seed)
    logits = np.cumsum(rng.normal(0, 0.03, (133, 384)), axis=1)
    chances = np.exp(10 * (logits - logits.max(axis=1, keepdims=True)))
    chances /= chances.sum(axis=1, keepdims=True)
    bins = np.arange(384)
    # At the borders the distribution is mirrored.
    beyond = np.stack([bins, -1 - bins, 767 - bins])
    wanted = [
        np.exp(-((bins[:, None, None] - beyond) ** 2) / (2 * (2 * tolerance) ** 2)).sum(axis=1) @ row
        for row, tolerance in zip(chances, TOLERANT.tolerances, strict=True)
    ]
    merit = TOLERANT.merit(logits)
    scale = np.array(TOLERANT.tolerances)[:, None] * 2 * np.sqrt(2 * np.pi)
    np.testing.assert_allclose(merit * scale, wanted, atol=0.03)
    keypoints, scores = TOLERANT.decode(logits, np.concatenate([logits, logits[:, :128]], axis=1))
    best = np.array(wanted)[np.arange(133), (keypoints[:, 0] * 2).astype(int)]
    assert (best >= np.max(wanted, axis=1) - 0.03)[scores > 0].all()


def test_a_broad_place_beats_a_narrow_one_that_is_barely_higher():
    """Nine tenths of the probability are around 60, but the highest bin is at 150."""
    bins = np.arange(384) / 2
    density = 0.9 * np.exp(-((bins - 60) ** 2) / (2 * 8**2)) / 8 + 0.1 * np.exp(-((bins - 150) ** 2) / 2 / 0.5**2) / 0.5
    logits = np.tile(np.log(density + 1e-12) / 10, (133, 1))
    logits += 1 - logits.max()
    both = logits, np.concatenate([logits, logits[:, :128]], axis=1)
    hips = slice(11, 13)
    assert (CODECS["256x192"].decode(*both)[0][hips, 0] == 150).all()
    np.testing.assert_allclose(TOLERANT.decode(*both)[0][hips, 0], 60, atol=1)
    np.testing.assert_array_equal(TOLERANT.decode(*both)[1], CODECS["256x192"].decode(*both)[1])


@given(st.integers(0, 2**32 - 1))
def test_a_sure_network_is_decoded_alike(seed):
    keypoints = np.random.default_rng(seed).uniform([20, 20], [171, 235], (1, 133, 2))
    x, y, _ = TOLERANT.encode(keypoints, np.ones((1, 133)))
    assert np.abs(TOLERANT.decode(x, y)[0] - keypoints).max() <= 0.75


@pytest.mark.parametrize("wrong", [0, -1, np.nan, np.inf])
def test_a_tolerance_is_a_positive_number(wrong):
    with pytest.raises(ValueError, match="positive"):
        SimCC((192, 256), tolerances=(1.0, wrong))


def test_far_away_and_nan_points_have_no_weight():
    keypoints = np.array([[-100.0, 50.0], [np.nan, 50.0], [50.0, 1e9]])
    x, y, weight = CODECS["256x192"].encode(keypoints, np.ones(3))
    assert not weight.any() and not x.any() and not y.any()


# --- Heatmaps --------------------------------------------------------------------------------------------------------

STYLES = ("msra", "dark", "udp")
MSRA, DARK, UDP = MAPS = [Heatmap((192, 256), style=style) for style in STYLES]
EXACT = pytest.mark.parametrize("codec", [DARK, UDP, Heatmap((288, 384), sigma=3, style="dark")], ids=str)
# Points whose smoothing sees no border: 2.5 sigma and the cells of the derivatives, 4 pixels each.
INNER = st.lists(st.tuples(st.floats(36, 155), st.floats(36, 219)), min_size=1, max_size=5).map(np.array)


def gaussian(codec, x, y, covariance=((4, 0), (0, 4))):
    """A map (h, w) of any Gaussian around a point in input pixels, by its formula."""
    w, h = codec.size
    distance = np.stack(np.meshgrid(np.arange(w), np.arange(h)), axis=-1) - np.array([x, y]) / codec.cell
    return np.exp(-np.einsum("hwi,ij,hwj->hw", distance, np.linalg.inv(covariance), distance) / 2)


def test_a_map_has_cells_and_their_distance():
    assert [codec.size for codec in MAPS] == [(48, 64)] * 3
    np.testing.assert_allclose(MSRA.cell, 4)
    np.testing.assert_allclose(UDP.cell, (191 / 47, 255 / 63))
    np.testing.assert_allclose(Heatmap((192, 256), stride=8).cell, 8)


def test_labels_by_formula():
    """The Gaussian stands on the nearest cell, on the point, or on the point but cut off around the nearest cell."""
    x, y = 81.3, 120.9  # cells 20.325, 30.225; with UDP 20.005, 29.869
    msra, dark, udp = (codec.encode(np.array([[x, y]]), np.ones(1))[0][0] for codec in MAPS)
    near = np.abs(np.arange(48) - 20) <= 6
    near = near & (np.abs(np.arange(64) - 30) <= 6)[:, None]
    np.testing.assert_allclose(msra, np.where(near, gaussian(MSRA, 80, 120), 0), atol=1e-6)
    np.testing.assert_allclose(dark, gaussian(DARK, x, y), atol=1e-6)
    np.testing.assert_allclose(udp, np.where(near, gaussian(UDP, x, y), 0), atol=1e-6)
    assert msra.dtype == dark.dtype == udp.dtype == np.float32


@pytest.mark.parametrize("codec", MAPS, ids=STYLES)
def test_hidden_and_far_points(codec):
    keypoints = np.array([[50, 50], [50, 50], [-36, 50], [-24, 50], [50, 282], [np.nan, 50], [50, 1e30]])
    maps, weight = codec.encode(keypoints, np.array([0.4, 0.5, 1, 1, 1, 1, 0]))
    np.testing.assert_allclose(weight, np.float32([0.4, 0.5, 0, 1, 0, 0, 0]))
    np.testing.assert_array_equal(maps.any(axis=(1, 2))[[0, 1, 2, 4, 5, 6]], [False, True, *[False] * 4])
    decoded, scores = codec.decode(maps[[0, 2, 5]])
    np.testing.assert_allclose(decoded, np.tile(-codec.cell, (3, 1)), rtol=1e-6)
    np.testing.assert_array_equal(scores, 0)


@EXACT
@given(INNER)
def test_a_gaussian_is_found_between_the_cells(codec, points):
    maps, weight = codec.encode(points, np.ones(len(points)))
    decoded, scores = codec.decode(maps)
    assert np.abs(decoded - points).max() < 0.05
    np.testing.assert_array_equal(scores, maps.max(axis=(1, 2)))
    np.testing.assert_array_equal(weight, 1)


@EXACT
@given(INNER, st.floats(1.2, 3), st.floats(1.2, 3), st.floats(-0.6, 0.6))
def test_a_gaussian_of_another_shape_is_found_too(codec, points, a, b, lean):
    """A network's humps are wider, narrower, longer and aslant: the mixed derivative has to be right."""
    shape = [[a * a, lean * a * b], [lean * a * b, b * b]]
    maps = np.stack([gaussian(codec, *point, shape) for point in points])
    assert np.abs(codec.decode(maps)[0] - points).max() < 0.1


def expanded(heat, x, y, codec):
    """Where the released codes would put the maximum (x, y) of a map (h, w) smoothed as a whole, in cells."""
    ends = {"top": 8, "bottom": 8, "left": 8, "right": 8, "borderType": cv2.BORDER_CONSTANT, "value": 0}
    smooth = cv2.GaussianBlur(cv2.copyMakeBorder(heat, **ends), (11, 11), 0)[8:-8, 8:-8].astype(float)
    log = np.log(np.maximum(smooth, 1e-10))
    near = log[y - 2 : y + 3, x - 2 : x + 3]
    gradient = np.array([near[2, 3] - near[2, 1], near[3, 2] - near[1, 2]]) / 2
    if codec.udp:
        xx, yy = near[2, 1:4] @ (1, -2, 1), near[1:4, 2] @ (1, -2, 1)
        xy = (near[1:4, 1:4] * [[1, -1, 0], [-1, 2, -1], [0, -1, 1]]).sum() / 2
    else:
        xx, yy = near[2, ::2] @ (1, -2, 1) / 4, near[::2, 2] @ (1, -2, 1) / 4
        xy = (near[1:4:2, 1:4:2] * [[1, -1], [-1, 1]]).sum() / 4
    return (x, y) - np.linalg.solve([[xx, xy], [xy, yy]], gradient)


@pytest.mark.parametrize("codec", [DARK, UDP], ids=["dark", "udp"])
@given(st.integers(0, 2**32 - 1))
def test_the_expansion_is_that_of_the_released_codes(codec, seed):
    """On maps as networks give them: a hump and a lower one beside it, noise over both."""
    rs = np.random.RandomState(seed)
    x, y = rs.uniform((40, 40), (150, 200))
    heat = gaussian(codec, x, y) + 0.4 * gaussian(codec, x + rs.uniform(-12, 12), y + rs.uniform(-12, 12))
    heat = (heat + rs.uniform(0, 0.03, heat.shape)).astype(np.float32)
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    want = expanded(heat, column, row, codec) * codec.cell
    np.testing.assert_allclose(codec.decode(heat[None])[0][0], want, atol=0.01)


@given(INNER)
def test_the_nearest_cell_comes_back(points):
    maps, _ = MSRA.encode(points, np.ones(len(points)))
    decoded, _ = MSRA.decode(maps)
    np.testing.assert_array_equal(decoded, np.floor(points / 4 + 0.5) * 4)


@given(INNER)
def test_a_quarter_offset_halves_the_error(points):
    maps, _ = DARK.encode(points, np.ones(len(points)))
    decoded, _ = MSRA.decode(maps)
    assert np.abs(decoded - points).max() <= 4 / 4 + 1e-3


@pytest.mark.parametrize("codec", MAPS, ids=STYLES)
@given(st.lists(st.tuples(st.floats(0, 191), st.floats(0, 255)), min_size=1, max_size=5).map(np.array))
def test_no_point_is_lost_at_the_border(codec, points):
    maps, weight = codec.encode(points, np.ones(len(points)))
    decoded, _ = codec.decode(maps)
    assert weight.all() and np.abs(decoded - points).max() < 2.5 * codec.cell.max()


# The left, right, upper and lower neighbour of a maximum of 1; where it goes, in cells.
QUARTERS = [
    ((0.2, 0.5, 0.2, 0.2), (0.25, 0)),
    ((0.5, 0.2, 0.2, 0.2), (-0.25, 0)),
    ((0.2, 0.2, 0.1, 0.9), (0, 0.25)),
    ((0.1, 0.2, 0.9, 0.1), (0.25, -0.25)),
    ((0.4, 0.4, 0.4, 0.4), (0, 0)),
    ((0.0, -0.1, -0.3, -0.2), (-0.25, 0.25)),
]


@pytest.mark.parametrize(("neighbours", "offset"), QUARTERS)
def test_quarter_offset(neighbours, offset):
    maps = np.zeros((1, 64, 48), np.float32)
    maps[0, 20, 10] = 1
    maps[0, [20, 20, 19, 21], [9, 11, 10, 10]] = neighbours
    keypoints, scores = MSRA.decode(maps)
    np.testing.assert_allclose(keypoints[0], (np.array([10, 20]) + offset) * 4)
    assert scores[0] == 1


@pytest.mark.parametrize("codec", MAPS, ids=STYLES)
@pytest.mark.parametrize(("x", "y"), [(0, 0), (47, 0), (0, 63), (47, 63)])
def test_a_maximum_in_a_corner_stays_there(codec, x, y):
    maps = np.random.RandomState(0).random_sample((1, 64, 48)) * 0.5
    maps[0, y, x] = 1
    keypoints, _ = codec.decode(maps)
    np.testing.assert_allclose(keypoints[0], (x, y) * codec.cell, rtol=1e-6)


def test_at_an_edge_the_other_axis_is_still_refined():
    maps = np.zeros((1, 64, 48), np.float32)
    maps[0, 20:22, 0] = 1, 0.5
    maps[0, 20, 1] = 0.7
    np.testing.assert_allclose(MSRA.decode(maps)[0][0], (0, 81))


@pytest.mark.parametrize("codec", MAPS, ids=STYLES)
def test_flat_maps_have_no_point_or_any(codec):
    keypoints, scores = codec.decode(np.stack([np.zeros((64, 48)), np.full((64, 48), -3.0), np.full((64, 48), 0.2)]))
    np.testing.assert_allclose(keypoints[:2], [-codec.cell] * 2, rtol=1e-6)
    np.testing.assert_allclose(scores, [0, -3, 0.2], rtol=1e-6)
    np.testing.assert_array_equal(keypoints[2], 0)


@pytest.mark.parametrize("codec", MAPS, ids=STYLES)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1e-6, 1.0, 255.0, 1e6]), st.integers(1, 8))
def test_wild_maps_give_finite_points_near_their_maxima(codec, seed, scale, power):
    maps = ((np.random.RandomState(seed).random_sample((3, 64, 48)) * 2 - 1) ** power * scale).astype(np.float32)
    keypoints, scores = codec.decode(maps)
    peaks = maps.reshape(3, -1).argmax(axis=1)
    at = np.stack([peaks % 48, peaks // 48], axis=1) * codec.cell
    assert np.abs(keypoints - at).max() <= 2 * codec.cell.max() + 1e-3
    np.testing.assert_array_equal(scores, maps.max(axis=(1, 2)))


@pytest.mark.parametrize("codec", MAPS, ids=STYLES)
@given(INNER, st.floats(1e-4, 1e4))
def test_the_height_of_a_map_does_not_move_its_point(codec, points, height):
    maps, _ = codec.encode(points, np.ones(len(points)))
    one, other = codec.decode(maps), codec.decode(maps * np.float32(height))
    np.testing.assert_allclose(other[0], one[0], atol=1e-3)
    np.testing.assert_allclose(other[1], one[1] * height, rtol=1e-5)


@pytest.mark.parametrize("lead", [(), (5,), (2, 3), (0,)], ids=str)
@pytest.mark.parametrize("codec", MAPS, ids=STYLES)
def test_maps_come_in_any_batch(codec, lead):
    keypoints = np.random.RandomState(0).uniform(40, 150, (*lead, 17, 2))
    maps, weight = codec.encode(keypoints, np.ones((*lead, 17)))
    assert maps.shape == (*lead, 17, 64, 48) and weight.shape == (*lead, 17)
    decoded, scores = codec.decode(maps)
    assert decoded.shape == keypoints.shape and scores.shape == weight.shape
    assert decoded.dtype == scores.dtype == np.float32
    # Each map by itself gives the same.
    alone = [codec.decode(each[None])[0][0] for each in maps.reshape(-1, 64, 48)]
    np.testing.assert_allclose(decoded.reshape(-1, 2), np.reshape(alone, (-1, 2)), atol=1e-4)


@EXACT
@given(st.integers(0, 2**32 - 1))
def test_a_mirrored_map_comes_back(codec, seed):
    """Exactly with UDP. Otherwise cell i of the mirror image shows pixel w - 1 - 4 i: shifted, a pixel remains of 3."""
    w, h = codec.input_size
    keypoints = np.random.RandomState(seed).uniform((60, 60), (w - 61, h - 61), (17, 2))
    mirrored = (keypoints * (-1, 1) + (w - 1, 0))[COCO_BODY.flip]
    maps, flipped = (codec.encode(points, np.ones(17))[0] for points in (keypoints, mirrored))
    (back,) = codec.mirror(COCO_BODY.flip, flipped)
    if codec.udp:
        np.testing.assert_allclose(back, maps, atol=0.012)  # the height at which Gaussians are cut off
    off = codec.decode(back)[0] - keypoints
    np.testing.assert_allclose(off, np.broadcast_to((0 if codec.udp else 1, 0), off.shape), atol=0.05)
    merged = codec.decode(*merge_flipped(codec, [maps], [flipped], COCO_BODY.flip))[0] - keypoints
    np.testing.assert_allclose(merged, off / 2, atol=0.05)


def test_the_shift_repeats_the_first_column():
    maps = np.arange(48, dtype=np.float32) * np.ones((17, 64, 1), np.float32)
    np.testing.assert_array_equal(MSRA.mirror(COCO_BODY.flip, maps)[0][3, 5], [47, *range(47, 0, -1)])
    np.testing.assert_array_equal(UDP.mirror(COCO_BODY.flip, maps)[0][3, 5], range(47, -1, -1))


def test_heatmaps_that_cannot_be():
    with pytest.raises(WholebodyError, match=r"'hrnet' is unknown\. Choose one of msra, dark, udp"):
        Heatmap((192, 256), style="hrnet")
    with pytest.raises(WholebodyError, match="24 x 32, expected 48 x 64"):
        MSRA.decode(np.zeros((17, 32, 24)))


# --- Coordinates -----------------------------------------------------------------------------------------------------

COORDINATES = Regression((192, 256))


@given(st.lists(st.tuples(st.floats(-300, 500), st.floats(-300, 500)), min_size=1, max_size=5).map(np.array))
def test_coordinates_and_back(points):
    coordinates, weight = COORDINATES.encode(points, np.ones(len(points)))
    decoded, scores = COORDINATES.decode(coordinates)
    np.testing.assert_allclose(decoded, points, atol=1e-4)
    np.testing.assert_array_equal(scores, 1)
    inside = ((points >= 0) & (points <= (191, 255))).all(axis=1)
    np.testing.assert_array_equal(weight, inside)
    mirrored, _ = COORDINATES.encode((points * (-1, 1) + (191, 0))[::-1], np.ones(len(points)))
    (back,) = COORDINATES.mirror(np.arange(len(points))[::-1], mirrored)
    np.testing.assert_allclose(back, coordinates, atol=1e-5)


def test_coordinates_without_a_point():
    coordinates, weight = COORDINATES.encode(np.array([[96, 64], [np.nan, 1], [1, np.inf], [5, 5]]), [0.5, 1, 1, 0.4])
    np.testing.assert_array_equal(coordinates[:3], [[0.5, 0.25], [0, 0], [0, 0]])
    np.testing.assert_array_equal(weight, [1, 0, 0, 0])


@pytest.mark.parametrize("lead", [(), (0,), (2, 3)], ids=str)
@pytest.mark.parametrize(
    ("columns", "sigmoid", "score"),
    [
        ((), True, 1),
        ((0.7,), True, 0.7),
        ((0.0, 0.0), True, 0.5),
        ((-np.log(3), np.log(3)), True, 0.5),
        ((-1000, -1000), True, 1),
        ((1000, -1000), True, 0.5),
        ((0.1, 0.3), False, 0.8),
        ((2, 2), False, 0),
    ],
)
def test_scores_of_coordinates(columns, sigmoid, score, lead):
    coordinates = np.broadcast_to(np.float32([0.5, 0.25, *columns]), (*lead, 17, 2 + len(columns)))
    keypoints, scores = Regression((192, 256), sigmoid).decode(coordinates)
    np.testing.assert_allclose(keypoints, np.broadcast_to((96, 64), (*lead, 17, 2)))
    np.testing.assert_allclose(scores, np.full((*lead, 17), score), rtol=1e-6)
    assert keypoints.dtype == scores.dtype == np.float32


def test_mirrored_coordinates_keep_their_other_columns():
    coordinates = np.random.RandomState(0).random_sample((2, 17, 4)).astype(np.float32)
    (back,) = COORDINATES.mirror(COCO_BODY.flip, coordinates)
    np.testing.assert_array_equal(back[..., 1:], coordinates[:, COCO_BODY.flip, 1:])
    with pytest.raises(WholebodyError, match="5 columns"):
        COORDINATES.decode(np.zeros((17, 5)))
