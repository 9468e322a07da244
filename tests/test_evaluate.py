import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wholebody import evaluate as room
from wholebody.data.coco import read_labels
from wholebody.data.labels import Labels, PictureFile
from wholebody.errors import WholebodyError
from wholebody.evaluate import intervals
from wholebody.evaluate.metric import evaluate, match, rank
from wholebody.evaluate.official import random_set, reference
from wholebody.evaluate.oks import part_oks
from wholebody.evaluate.report import FIGURES, PARTS, ROWS, Report, Settings
from wholebody.poses import Poses
from wholebody.schema import COCO_WHOLEBODY, OPENPOSE

# How the official class names what we set.
SETTINGS = {
    "nms_mode": ("nms", {"oks_nms": "oks", "soft_oks_nms": "soft", "none": "none"}),
    "score_mode": ("score", {"bbox_keypoint": "box_keypoint", "bbox": "box"}),
    "keypoint_score_thr": ("keypoint_threshold", {}),
    "nms_thr": ("nms_threshold", {}),
    "use_area": ("use_area", {}),
}
PLAIN = Settings(score="box", nms="none")


@pytest.fixture(scope="module")
def golden(oracle):
    return json.loads((oracle / "06_eval.json").read_text())


@pytest.fixture(scope="module")
def labels(oracle):
    return read_labels(oracle / "06_eval_gt_reduced.json")


def official_predictions(rows):
    """The official class takes each prediction once and sorts by number."""
    images = {}
    for row in sorted({row["id"]: row for row in rows}.values(), key=lambda row: row["id"]):
        images.setdefault(row["img_id"], []).append(row)
    names = ("keypoints", "keypoint_scores", "bbox_xyxy", "bbox_score")
    return {image: Poses(*(np.array([row[name] for row in rows]) for name in names)) for image, rows in images.items()}


def runs(golden):
    for case in golden.values():
        predictions = official_predictions(case["predictions"])
        for run in case["runs"].values():
            changes = {}
            for theirs, value in run["settings"].items():
                ours, values = SETTINGS[theirs]
                changes[ours] = values.get(value, value)
            yield predictions, Settings(**changes), run


def test_figures_golden(golden, labels):
    for predictions, how, run in runs(golden):
        report = evaluate(labels, predictions, how, resamples=0)
        assert report.predictions == run["n_after"]
        got = report.coco()
        assert set(got) == set(run["metrics"])
        for part, figures in run["metrics"].items():
            assert got[part] == pytest.approx(figures, abs=1e-6), (how, part)


def test_kept_scores_golden(golden):
    for predictions, how, run in runs(golden):
        ranking = rank(predictions, how)
        got = np.column_stack([ranking.images, ranking.keypoints[:, 0], ranking.scores])
        want = np.array([[row["image_id"], *row["first_xy"], row["score"]] for row in run["kept_scores"]])
        got, want = (array[np.lexsort(array.T[2::-1])] for array in (got, want))
        np.testing.assert_allclose(got[:, :3], want[:, :3], atol=1e-3)
        np.testing.assert_allclose(got[:, 3], want[:, 3], atol=1e-6)


def test_constants_golden(oracle):
    facts = json.loads((oracle / "06_eval_facts.json").read_text())
    assert list(facts["areaRng"].values()) == room.AREAS.tolist()
    assert facts["maxDets"] == room.MOST
    assert facts["parts"] == {room.COCO_NAMES[part]: rows.stop - rows.start for part, rows in ROWS.items()}


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 40), st.floats(0, 4), st.booleans())
def test_figures_equal_pycocotools(seed, images, people, spare, ties):
    labels, predictions = random_set(np.random.default_rng(seed), images, people, spare, ties)
    got = evaluate(labels, predictions, PLAIN, resamples=0).coco()
    for part, figures in reference(labels, predictions).items():
        assert got[part] == pytest.approx(figures, abs=1e-12), part


def test_more_than_twenty_predictions_of_an_image():
    labels, predictions = random_set(np.random.default_rng(1), 1, 30, 2.0)
    assert len(predictions[7]) > 2 * room.MOST
    got = evaluate(labels, predictions, PLAIN, resamples=0).coco()
    assert got["wholebody"] == pytest.approx(reference(labels, predictions)["wholebody"], abs=1e-12)


def test_hands_are_the_mean_of_both():
    report = evaluate(*random_set(np.random.default_rng(2), 20, 60))
    for name in FIGURES:
        left, right = (report.figures[f"{side}_hand"][name].value for side in ("left", "right"))
        assert report.figures["hands"][name].value == pytest.approx((left + right) / 2)


def crowd_of(*people, images=(1,)):
    """Labels of people given as (image, x, changes); each fills a box of 100 x 200 at x."""
    m, k = len(people), len(COCO_WHOLEBODY)
    grid = np.stack(np.meshgrid(np.linspace(0, 100, 19), np.linspace(0, 200, 7)), axis=-1).reshape(k, 2)
    x = np.array([[x, 0.0] for _, x in people]).reshape(m, 2)
    return Labels(
        ids=np.arange(1, m + 1),
        image_ids=np.array([image for image, _ in people], dtype=np.int64),
        keypoints=grid + x[:, None],
        visible=np.full((m, k), 2, dtype=np.float32),
        boxes=np.hstack([x, x + np.array([100, 200])]),
        areas=np.full(m, 12000.0),
        iscrowd=np.zeros(m, dtype=bool),
        valid=np.ones((m, 4), dtype=bool),
        images={image: PictureFile(f"{image}.jpg") for image in images},
    )


def as_poses(labels, rows, score=0.9, move=0.0):
    n = len(rows)
    points, scores = labels.keypoints[rows] + move, np.full((n, len(COCO_WHOLEBODY)), score)
    return Poses(points, scores, labels.boxes[rows], np.full(n, score))


def test_perfect_predictions():
    labels = crowd_of((1, 0), (1, 300), (2, 0), images=(1, 2, 3))
    report = evaluate(labels, {1: as_poses(labels, [1, 0]), 2: as_poses(labels, [2])})
    for part in PARTS:
        for name, figure in report.figures[part].items():
            if not name.endswith("_M"):
                assert (figure.value, figure.low, figure.high) == pytest.approx((1, 1, 1), abs=1e-6), (part, name)
    assert report.people == dict.fromkeys(PARTS, 3) and report.images == 3
    assert np.isnan(report.figures["body"]["AP_M"].value) and report.coco()["body"]["AP_M"] == -1


def test_each_person_has_the_nearest_prediction_once():
    labels = crowd_of((2, 0), (1, 0), (1, 4), (1, 900), images=(1, 2))
    people = match(labels, {1: as_poses(labels, [2, 1])}, PLAIN)
    np.testing.assert_array_equal(people.rows, [-1, 1, 0, -1])
    np.testing.assert_allclose(people.oks["whole"], [0, 1, 1, 0])
    np.testing.assert_allclose(people.errors[:, 5], [np.inf, 0, 0, np.inf], atol=1e-4)


def test_people_who_do_not_count():
    labels = crowd_of((1, 0), (1, 300), (1, 600))
    labels.visible[0, ROWS["face"]] = 0
    labels.visible[1] = 0
    labels.iscrowd[2] = True
    people = match(labels, {1: as_poses(labels, [0, 2, 1])})
    np.testing.assert_array_equal(people.rows, [0, -1, -1])
    np.testing.assert_allclose(people.oks["body"], [1, np.nan, np.nan])
    np.testing.assert_allclose(people.oks["face"], [np.nan] * 3)
    assert np.isnan(people.errors[0, ROWS["face"]]).all() and np.isnan(people.errors[1:]).all()
    report = evaluate(labels, {1: as_poses(labels, [0, 2, 1])})
    assert report.figures["body"]["AP"].value == pytest.approx(1)  # what is found there is not wrong either
    assert report.people["face"] == 0 and str(report.figures["face"]["AP"]) == "-"


@pytest.mark.parametrize(("move", "body", "hand"), [(6, 1, 1), (9, 1, 0), (12, 0, 0)])
def test_pck(move, body, hand):
    """A box of 100 x 200 has a diagonal of 223.6 and a reach of 11.2; a hand that is about 70 x 35 one of 7 to 8."""
    labels = crowd_of((1, 0))
    labels.keypoints[0, ROWS["left_hand"]] = np.linspace((0, 0), (70, 35), 21)
    figures = evaluate(labels, {1: as_poses(labels, [0], move=np.array([move, 0]))}).figures
    assert figures["body"]["PCK"].value == body and figures["left_hand"]["PCK"].value == hand
    labels.visible[0, ROWS["left_hand"].start : ROWS["left_hand"].start + 11] = 0  # less than half: it has no size
    figures = evaluate(labels, {1: as_poses(labels, [0])}).figures
    assert np.isnan(figures["left_hand"]["PCK"].value) and figures["left_hand"]["OKS"].value == 1


@pytest.mark.parametrize(
    ("nms", "kept"),
    [("oks", [0, 2]), ("soft", [0, 1, 2]), ("none", [0, 1, 2])],
)
def test_nms_drops_the_worse_of_two_alike(nms, kept):
    labels = crowd_of((1, 0), (1, 1), (1, 300))
    poses = Poses.concatenate([as_poses(labels, [i], score) for i, score in ((0, 0.9), (1, 0.8), (2, 0.7))])
    ranking = rank({1: poses}, Settings(nms=nms))
    np.testing.assert_array_equal(ranking.rows, kept)
    np.testing.assert_allclose(ranking.scores, np.array([0.81, 0.64, 0.49])[kept], atol=1e-6)


def test_a_score_at_the_threshold_is_not_above_it():
    labels = crowd_of((1, 0))
    poses = as_poses(labels, [0])
    poses.scores[0, :100] = 0.2
    assert rank({1: poses}).scores == pytest.approx(0.81, abs=1e-6)
    poses.scores[:] = 0.2
    assert rank({1: poses}).scores == 0


def test_nobody_found_and_nobody_there():
    labels = crowd_of((1, 0), (2, 0), images=(1, 2))
    for predictions in ({}, {1: Poses.empty()}):
        report = evaluate(labels, predictions)
        assert all(f.value == f.low == f.high == 0 for n, f in report.figures["whole"].items() if not n.endswith("_M"))
        np.testing.assert_array_equal(match(labels, predictions).rows, [-1, -1])
    empty = crowd_of(images=(1,))
    for predictions in ({}, {1: as_poses(labels, [0])}):
        report = evaluate(empty, predictions)
        assert all(np.isnan(figure.value) for row in report.figures.values() for figure in row.values())
        assert set(report.coco()["wholebody"].values()) == {-1}
    assert evaluate(crowd_of(images=()), {}).images == 0


def test_a_false_alarm_in_a_picture_without_people_counts():
    labels = crowd_of((1, 0), images=(1, 2))
    right, wrong = as_poses(labels, [0], 0.5), as_poses(labels, [0], 0.9)
    assert evaluate(labels, {1: right, 2: wrong}).figures["body"]["AP"].value == pytest.approx(0.5)


def test_bad_predictions_in_one_line():
    labels = crowd_of((1, 0))
    poses = as_poses(labels, [0, 0])
    with pytest.raises(WholebodyError, match="image 8, which the labels do not have"):
        evaluate(labels, {8: poses})
    poses.keypoints[1, 3, 0] = np.nan
    with pytest.raises(WholebodyError, match="image 1, prediction 1: keypoints hold NaN"):
        evaluate(labels, {1: poses})
    with pytest.raises(ValueError, match="openpose"):
        evaluate(labels, {1: Poses.empty(OPENPOSE)})


# --- Intervals --------------------------------------------------------------------------------------------------------


def drawn_again(labels, predictions, images, times):
    """The set with each image as often as it was drawn."""
    people, parts, pictures, found = [], [], {}, {}
    for n, image in enumerate(np.repeat(images, times)):
        rows = np.flatnonzero(labels.image_ids == image)
        people.append(rows)
        parts.append(np.full(len(rows), n + 1))
        pictures[n + 1] = PictureFile(f"{n}.jpg")
        if int(image) in predictions:
            found[n + 1] = predictions[int(image)]
    rows = np.concatenate(people)
    return replace(labels[rows], image_ids=np.concatenate(parts), ids=np.arange(len(rows)), images=pictures), found


def test_intervals_are_those_of_a_bootstrap():
    labels, predictions = random_set(np.random.default_rng(3), 30, 80)
    report = evaluate(labels, predictions, PLAIN, resamples=40, seed=5)
    draws = intervals.drawn_people(30, 40, 5)
    images = np.array(sorted(labels.images))
    values = []
    for weights in draws.weights[1:]:
        again = drawn_again(labels, predictions, images, weights[draws.block].astype(int))
        values.append(evaluate(*again, PLAIN, resamples=0).figures)
    for part in PARTS:
        for name in FIGURES:
            spread = [figures[part][name].value for figures in values]
            low, high = np.nanpercentile(spread, [2.5, 97.5])
            figure = report.figures[part][name]
            # Equal, but for the rounding of a recall that meets a level exactly.
            assert (figure.low, figure.high) == pytest.approx((low, high), abs=0.006), (part, name)


@pytest.mark.slow
def test_intervals_of_a_large_set_are_drawn_in_blocks():
    labels, predictions = random_set(np.random.default_rng(4), 200, 400)
    widths = {}
    for blocks, places in ((200, 1000), (100, 1000), (200, 100)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(intervals, "BLOCKS", blocks)
            patch.setattr(intervals, "PLACES", places)
            figures = evaluate(labels, predictions, PLAIN, resamples=200).figures["whole"]
        widths[blocks, places] = {name: figure.high - figure.low for name, figure in figures.items()}
    exact = widths.pop((200, 1000))
    for coarse in widths.values():
        for name, width in coarse.items():
            assert width == pytest.approx(exact[name], rel=0.35), name


def test_interval_of_a_mean():
    """Of one person to an image, the interval is the mean's 1.96 standard errors."""
    rng = np.random.default_rng(6)
    labels = crowd_of(*((i, 0) for i in range(1, 201)), images=range(1, 201))
    predictions = {i: as_poses(labels, [i - 1], move=rng.normal(0, 8, 2)) for i in labels.images}
    values = match(labels, predictions, PLAIN).oks["body"]
    figure = evaluate(labels, predictions, PLAIN, resamples=1000).figures["body"]["OKS"]
    error = 1.96 * values.std() / np.sqrt(len(values))
    assert figure.value == pytest.approx(values.mean())
    assert (figure.low, figure.high) == pytest.approx((values.mean() - error, values.mean() + error), abs=error / 5)


def test_the_same_seed_gives_the_same_report():
    case = random_set(np.random.default_rng(7), 10, 30)
    first, again, other = (evaluate(*case, seed=seed, resamples=50).to_json() for seed in (1, 1, 2))
    assert first == again != other
    assert all(np.isnan(f.low) for f in evaluate(*case, resamples=0).figures["body"].values())


def test_report_round_trip():
    report = evaluate(*random_set(np.random.default_rng(8), 3, 6), Settings(nms="soft", input_size=(288, 384)))
    again = Report.from_json(report.to_json())
    assert again.to_json() == report.to_json() and again.settings == report.settings
    head, *rows = report.rows(("AP", "OKS"))
    assert head == ("part", "people", "AP", "OKS") and [row[0] for row in rows] == list(PARTS)
    assert report.table().row_count == len(PARTS) and "right_hand" in str(report)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"figures": 3}', '{"figures": {"body": {"AP": [1, 2]}}}'])
def test_not_a_report(text):
    with pytest.raises(WholebodyError, match="not a report"):
        Report.from_json(text)


# --- What trainings look at -------------------------------------------------------------------------------------------


def test_part_oks():
    class Person:
        def __init__(self, labels, row):
            self.keypoints, self.visible, self.area = labels.keypoints[row], labels.visible[row], labels.areas[row]

    labels = crowd_of((1, 0), (1, 300))
    labels.visible[1, ROWS["face"]][4:] = 0  # too few to say anything
    people = [Person(labels, row) for row in range(2)]
    figures = part_oks(people, [labels.keypoints[0], labels.keypoints[1] + 1e6])
    assert figures["body"] == pytest.approx(0.5) and figures["body_people"] == 2
    assert figures["face"] == pytest.approx(1) and figures["face_people"] == 1
    assert figures["all"] == pytest.approx(0.5)
