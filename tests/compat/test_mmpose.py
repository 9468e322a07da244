import json
import logging

import cv2
import numpy as np
import pytest
from PIL import Image

from wholebody import COCO_WHOLEBODY, WholeBody, video
from wholebody.compat.mmpose import MMPoseInferencer
from wholebody.errors import WholebodyError
from wholebody.images import read_image, write_image
from wholebody.schema import COCO_BODY


@pytest.fixture(scope="module")
def photo(sample):
    return read_image(sample)


@pytest.fixture(scope="module")
def inferencer():
    return MMPoseInferencer("wholebody", device="cpu")


@pytest.fixture(scope="module")
def poses(photo):
    return WholeBody(device="cpu")(photo)


def test_a_generator_of_plain_people(inferencer, sample, poses):
    generator = inferencer(str(sample))
    result = next(generator)
    assert set(result) == {"visualization", "predictions"} and result["visualization"] is None
    ((person,),) = result["predictions"]
    assert set(person) == {"keypoints", "keypoint_scores", "bbox", "bbox_score"}
    assert type(person["keypoints"][0][0]) is float and len(person["keypoint_scores"]) == 133
    np.testing.assert_allclose(person["keypoints"], poses.keypoints[0], atol=1e-3)
    np.testing.assert_allclose(person["keypoint_scores"], poses.scores[0], atol=1e-5)
    assert type(person["bbox"]) is tuple
    np.testing.assert_allclose(person["bbox"], poses.boxes, atol=1e-3)
    assert person["bbox_score"] == pytest.approx(float(poses.box_scores[0]), abs=1e-5)
    with pytest.raises(StopIteration):
        next(generator)


@pytest.mark.parametrize(
    ("pose2d", "points", "side"),
    [("human", 17, 192), ("body17", 17, 192), ("fast", None, 96), (None, None, 192), ("wholebody", None, 192)],
)
def test_words_for_networks(pose2d, points, side):
    inferencer = MMPoseInferencer(pose2d, device="cpu")
    assert inferencer.model.pose.codec.input_size[0] == side
    assert (inferencer.schema and len(inferencer.schema)) == points


def test_seventeen_points(photo):
    (result,) = MMPoseInferencer("human", pose2d_weights="fast", device="cpu")(photo)
    assert len(result["predictions"][0][0]["keypoints"]) == 17


def test_batches(inferencer, photo, sample, tmp_path):
    black = np.zeros_like(photo)
    results = list(inferencer([photo, black, str(sample)], batch_size=2))
    assert [[len(people) for people in result["predictions"]] for result in results] == [[1, 0], [1]]
    for name in ("b.png", "a.png"):
        write_image(tmp_path / name, photo)
    (tmp_path / "notes.txt").write_text("no picture")
    assert len(list(inferencer(tmp_path))) == 2


def test_given_boxes_and_thresholds(inferencer, photo):
    (result,) = inferencer(photo, bboxes=[[100, 100, 300, 400], [10, 20, 200, 300]])
    people = result["predictions"][0]
    assert [person["bbox"][0] for person in people] == [[100, 100, 300, 400], [10, 20, 200, 300]]
    assert [person["bbox_score"] for person in people] == [1, 1]
    (result,) = inferencer(photo, bbox_thr=0.9999)
    assert result["predictions"] == [[]]
    (whole,) = MMPoseInferencer("human", "fast", det_model="whole_image", device="cpu")(photo)
    assert whole["predictions"][0][0]["bbox"] == ([0, 0, 640, 480],)


def test_pictures_and_files(inferencer, photo, sample, tmp_path):
    (result,) = inferencer(str(sample), out_dir=str(tmp_path), return_vis=True, draw_bbox=True, thickness=2, radius=4)
    stored = json.loads((tmp_path / "predictions" / "sample.json").read_text())
    assert json.loads(json.dumps(result["predictions"][0])) == stored and isinstance(stored[0]["bbox"][0], list)
    (drawn,) = result["visualization"]
    assert drawn.shape == photo.shape and (drawn != photo[..., ::-1]).any()
    saved = read_image(tmp_path / "visualizations" / "sample.jpg")
    assert np.abs(saved.astype(int) - drawn[..., ::-1]).mean() < 3  # JPEG
    (result,) = inferencer(photo, vis_out_dir=tmp_path / "v", pred_out_dir=tmp_path / "p")
    assert result["visualization"] == []
    assert [path.name for path in (tmp_path / "v").iterdir()] == ["000000.jpg"]
    assert [path.name for path in (tmp_path / "p").iterdir()] == ["000000.json"]


def test_pictures_of_kinds_that_cannot_be_written_become_png(inferencer, photo, tmp_path):
    Image.fromarray(photo[:40, :40, ::-1]).save(tmp_path / "x.gif")
    list(inferencer(tmp_path / "x.gif", out_dir=str(tmp_path / "out")))
    assert read_image(tmp_path / "out" / "visualizations" / "x.png").shape == (40, 40, 3)


def test_an_overlap_of_nothing_is_not_the_usual_one(inferencer):
    assert inferencer._with(None, 0).detector.nms == 0
    assert inferencer._with(0.5, None).detector.nms == inferencer.model.detector.nms > 0


@pytest.mark.parametrize("style", ["mmpose", "openpose"])
def test_styles(inferencer, photo, style):
    (result,) = inferencer(photo, return_vis=True, skeleton_style=style, black_background=True)
    drawn = result["visualization"][0]
    assert 0 < drawn.any(axis=2).mean() < 0.2


@pytest.fixture(scope="module")
def clip(photo, tmp_path_factory):
    path = tmp_path_factory.mktemp("clips") / "walk.mp4"
    small = cv2.resize(photo, (320, 240))
    video.write(path, [video.Frame(n / 25, small) for n in range(4)], 25)
    return path


def test_a_video(inferencer, clip, tmp_path):
    results = list(inferencer(str(clip), out_dir=tmp_path, batch_size=3))
    assert [len(result["predictions"]) for result in results] == [3, 1]
    rows = json.loads((tmp_path / "predictions" / "walk.json").read_text())
    assert [row["frame_id"] for row in rows] == [0, 1, 2, 3]
    assert [len(row["instances"]) for row in rows] == [1, 1, 1, 1]
    drawn = [frame.time for frame in video.read(tmp_path / "visualizations" / "walk.mp4")]
    np.testing.assert_allclose(drawn, np.arange(4) / 25, atol=1e-3)


def test_a_video_that_is_given_up_leaves_nothing(inferencer, clip, tmp_path):
    generator = inferencer(str(clip), out_dir=tmp_path)
    next(generator)
    generator.close()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_window_is_shown_or_its_absence_said(inferencer, photo, monkeypatch, caplog):
    shown = []
    monkeypatch.setattr(cv2, "imshow", lambda title, image: shown.append((title, image.shape)))
    monkeypatch.setattr(cv2, "waitKey", lambda wait: shown.append(wait))
    next(inferencer(photo, show=True, wait_time=0.5))
    assert shown == [("000000.jpg", photo.shape), 500]

    def absent(title, image):
        raise cv2.error("no window")

    monkeypatch.setattr(cv2, "imshow", absent)
    with caplog.at_level(logging.WARNING, "wholebody"):
        result = next(inferencer(photo, show=True))
    assert "no window" in caplog.text and result["visualization"] == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: MMPoseInferencer(pose3d="human3d"), "3D"),
        (lambda: MMPoseInferencer("human", det_cat_ids=[16]), "only people"),
        (lambda: MMPoseInferencer("animal"), "no network is called 'animal'"),
        (lambda: next(MMPoseInferencer("fast")("https://example.org/a.jpg")), "Download it"),
        (lambda: next(MMPoseInferencer("fast")("nowhere.jpg")), "no such file"),
        (lambda: next(MMPoseInferencer("fast")("x", return_datasamples=True)), "data samples"),
        (lambda: next(MMPoseInferencer("fast")("x", batch_size=0)), "batch_size is 0"),
        (lambda: next(MMPoseInferencer("fast")("x", skeleton_style="coco")), "skeleton_style 'coco'"),
        (lambda: next(MMPoseInferencer("fast")("webcam:none")), "camera none"),
        (lambda: next(MMPoseInferencer("fast")("webcam:²")), "camera ²"),
    ],
)
def test_what_does_not_run_is_said(call, message):
    with pytest.raises(WholebodyError, match=message):
        call()


def test_a_misspelt_option_is_an_error(inferencer, photo):
    with pytest.raises(TypeError, match="kpt_threshold"):
        inferencer(photo, kpt_threshold=0.5)


def test_the_first_example_of_the_guide(sample, monkeypatch, caplog):
    """As in mmpose's guide to inference, but for the import."""
    monkeypatch.setattr(cv2, "imshow", lambda *_: None)
    monkeypatch.setattr(cv2, "waitKey", lambda _: -1)
    img_path = str(sample)
    inferencer = MMPoseInferencer("human")
    result_generator = inferencer(img_path, show=True)
    result = next(result_generator)
    assert len(result["predictions"][0][0]["keypoints"]) == 17


def test_schemas_are_what_the_points_are(inferencer):
    assert inferencer.schema is None and inferencer.model.pose.schema is COCO_WHOLEBODY
    assert MMPoseInferencer("body").schema is COCO_BODY
