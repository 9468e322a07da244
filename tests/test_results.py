"""The results file of an evaluation says what the evaluation says: to pycocotools, and to `wholebody compare`."""

import contextlib
import io
import json
from dataclasses import replace

import numpy as np
import pytest

from wholebody.data.coco import read_labels, write_labels
from wholebody.data.labels import Labels, PictureFile
from wholebody.errors import WholebodyError
from wholebody.evaluate.compare import _titles
from wholebody.evaluate.html import keypoint_table
from wholebody.evaluate.metric import evaluate, rank, settings_for
from wholebody.evaluate.report import COVERED, Settings
from wholebody.evaluate.run import read_set
from wholebody.formats.coco import is_ranked, read_coco, write_coco, write_ranked
from wholebody.poses import Poses
from wholebody.schema import COCO_WHOLEBODY


def made_up(people=60, images=20, seed=0):
    """Labels of people, and predictions near them: some doubled, some missed, with scores below the threshold."""
    rng = np.random.default_rng(seed)
    image_ids = rng.integers(1, images + 1, people)
    low = rng.uniform(0, 200, (people, 2))
    boxes = np.column_stack([low, low + rng.uniform(60, 200, (people, 2))])
    keypoints = low[:, None] + rng.random((people, 133, 2)) * (boxes[:, 2:] - low)[:, None]
    labels = Labels(
        ids=np.arange(1, people + 1), image_ids=image_ids, keypoints=keypoints,
        visible=rng.choice([0, 1, 2], (people, 133)).astype(np.float32), boxes=boxes,
        areas=0.6 * (boxes[:, 2:] - boxes[:, :2]).prod(axis=1), iscrowd=np.zeros(people, bool),
        valid=np.ones((people, 4), bool), images={i: PictureFile(f"{i}.jpg") for i in range(1, images + 1)},
    )  # fmt: skip
    who = np.concatenate([rng.permutation(people)[: people - 8], rng.integers(0, people, 12)])
    points = (keypoints[who] + rng.normal(0, 6, (len(who), 133, 2))).astype(np.float32)
    scores = rng.uniform(0.05, 1, (len(who), 133)).astype(np.float32)
    ranks = rng.uniform(0.1, 1, len(who)).astype(np.float32)
    found = {}
    for image in np.unique(image_ids[who]):
        mine = image_ids[who] == image
        found[int(image)] = Poses(points[mine], scores[mine], boxes[who[mine]].astype(np.float32), ranks[mine])
    return labels, found


def written(path, found):
    judged = {}
    ranking = rank(found)
    for number, row, score in zip(ranking.images, ranking.rows, ranking.scores, strict=True):
        judged.setdefault(int(number), {})[int(row)] = float(score)
    write_ranked(path, found, judged)


@pytest.mark.parametrize("seed", range(3))
def test_pycocotools_prints_our_figures_from_our_file(tmp_path, seed):
    coco, cocoeval = pytest.importorskip("pycocotools.coco"), pytest.importorskip("pycocotools.cocoeval")
    labels, found = made_up(seed=seed)
    write_labels(tmp_path / "labels.json", labels)
    written(tmp_path / "predictions.json", found)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco.COCO(str(tmp_path / "labels.json"))
        judge = cocoeval.COCOeval(truth, truth.loadRes(str(tmp_path / "predictions.json")), "keypoints")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    body = evaluate(labels, found, resamples=0).figures["body"]
    names = ("AP", "AP50", "AP75", "AP_M", "AP_L", "AR", "AR50", "AR75", "AR_M", "AR_L")
    assert 0.05 < body["AP"].value < 0.95
    for name, theirs in zip(names, judge.stats, strict=True):
        ours = -1.0 if np.isnan(body[name].value) else body[name].value
        assert f"{ours:.6f}" == f"{theirs:.6f}", name


def test_our_file_is_not_rescored_twice(tmp_path):
    labels, found = made_up()
    written(tmp_path / "ranked.json", found)
    assert is_ranked(tmp_path / "ranked.json")
    again = read_coco(tmp_path / "ranked.json")
    first, second = (evaluate(labels, each, resamples=0) for each in (found, again))
    for part in first.figures:
        for name, figure in first.figures[part].items():
            assert second.figures[part][name].value == pytest.approx(figure.value, abs=1e-12, nan_ok=True)
    # Without the box's score, the score of others' files is taken as it is.
    write_coco(tmp_path / "plain.json", found)
    assert not is_ranked(tmp_path / "plain.json")


def test_a_set_without_areas_is_measured_by_boxes(tmp_path):
    labels, found = made_up()
    content = {
        "images": [{"id": i, "file_name": f"{i}.jpg"} for i in labels.images],
        "annotations": [
            {"id": int(labels.ids[m]), "image_id": int(labels.image_ids[m]), "category_id": 1,
             "bbox": [*labels.boxes[m, :2].tolist(), *(labels.boxes[m, 2:] - labels.boxes[m, :2]).tolist()],
             "keypoints": np.column_stack([labels.keypoints[m], labels.visible[m]]).ravel().tolist()}
            for m in range(len(labels))
        ],
    }  # fmt: skip
    (tmp_path / "labels.json").write_text(json.dumps(content))
    bare = read_labels(tmp_path / "labels.json")
    assert not bare.outlined and labels.outlined and settings_for(bare) == Settings(use_area=False)
    size = (bare.boxes[:, 2:] - bare.boxes[:, :2]).prod(axis=1)
    expected = evaluate(replace(bare, areas=COVERED * size, outlined=True), found, resamples=0)
    assert evaluate(bare, found, resamples=0).figures["body"]["AP"] == expected.figures["body"]["AP"]
    write_labels(tmp_path / "again.json", bare)
    assert not read_labels(tmp_path / "again.json").outlined


def test_boxes_without_points_are_one_line_before_anything_runs(tmp_path):
    row = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 30, 40], "area": 9.0}
    (tmp_path / "labels.json").write_text(
        json.dumps({"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [row]})
    )
    with pytest.raises(WholebodyError, match="only boxes, no labelled keypoints") as error:
        read_set(tmp_path / "labels.json", tmp_path)
    assert "\n" not in str(error.value)


def test_two_files_of_one_name_are_told_apart_by_their_folders():
    assert _titles(["runs/a/model.onnx", "runs/b/model.onnx", "fast"]) == {
        "runs/a/model.onnx": "a/model", "runs/b/model.onnx": "b/model", "fast": "fast",
    }  # fmt: skip
    assert _titles(["a/x/m.onnx", "b/x/m.onnx"]) == {"a/x/m.onnx": "a/x/m", "b/x/m.onnx": "b/x/m"}
    assert _titles(["deep/one.onnx"]) == {"deep/one.onnx": "one"}


def test_every_keypoint_has_a_row_with_its_name():
    errors = np.full((4, 133), np.nan)
    errors[:, :17] = np.linspace(0, 0.1, 4)[:, None]
    table = keypoint_table(errors, [("body", COCO_WHOLEBODY.parts["body"]), ("feet", COCO_WHOLEBODY.parts["feet"])])
    assert table.count("<tr>") == 18 and "left_wrist</td><td>body</td><td>4</td>" in table
    assert "<td>5.00</td>" in table and "left_heel" not in table
