"""A folder of pictures becomes labels, goes on after a stop, and keeps what people labelled."""

import json

import numpy as np
import pytest

from wholebody.data.coco import read_labels
from wholebody.errors import WholebodyError
from wholebody.images import read_image, write_image
from wholebody.label.looks import K, Opinion
from wholebody.label.run import Human, Labeller, label

BODY = np.array([[10.0, 10, 60, 110]])


class Sure:
    """Sees the same points with the same score in every crop."""

    size = (48, 64)

    def __init__(self, score=0.9):
        self.score, self.asked = score, 0

    def predict(self, crops):
        self.asked += len(crops)
        points = np.random.default_rng(0).uniform(8, 40, (K, 2))
        # The mirrored crop sees the mirror image.
        return Opinion(
            np.tile(np.array([23.5, 32.0]), (len(crops), K, 1)) + 0 * points, np.full((len(crops), K), self.score)
        )


def finds(box, score):
    return lambda image: (np.array(box, np.float32).reshape(-1, 4), np.array([score], np.float32)[: len(box)])


@pytest.fixture
def photos(tmp_path):
    paths = []
    for n in range(3):
        path = tmp_path / "photos" / f"{n}.png"
        path.parent.mkdir(exist_ok=True)
        write_image(path, np.full((120, 80, 3), 40 * n, np.uint8))
        paths.append(path)
    return paths


def test_labels_are_written_in_a_layout_that_is_read_back(photos, tmp_path):
    labeller = Labeller([finds(BODY, 0.9), finds(BODY + 2, 0.7)], [Sure()])
    count, failed = label(photos, tmp_path / "out", labeller)
    labels = read_labels(tmp_path / "out" / "labels.json")
    assert (count, failed) == (3, [])
    assert len(labels.ids) == 3 and [picture.file_name for picture in labels.images.values()] == [
        "0.png",
        "1.png",
        "2.png",
    ]
    assert labels.visible == pytest.approx(0.9, abs=0.01)
    assert read_image(tmp_path / "out" / "least_certain.png").size


def test_a_run_that_was_stopped_goes_on_where_it_was(photos, tmp_path):
    see = Sure()
    labeller = Labeller([finds(BODY, 0.9)], [see])
    label(photos[:2], tmp_path / "out", labeller)
    journal = tmp_path / "out" / "people.jsonl"
    journal.write_text(journal.read_text() + '{"file": "cut o')
    asked = see.asked
    count, _ = label(photos, tmp_path / "out", labeller)
    assert count == 3 and see.asked == asked * 1.5
    assert all(json.loads(line) for line in journal.read_text().splitlines())


def test_a_doubtful_box_is_judged_by_the_pose_in_it():
    image = np.zeros((120, 80, 3), np.uint8)
    seen = Labeller([finds(BODY, 0.3)], [Sure(0.8)])(image)
    unseen = Labeller([finds(BODY, 0.3)], [Sure(0.1)])(image)
    assert len(seen.boxes) == 1 and len(seen.doubtful) == 0
    assert len(unseen.boxes) == 0 and len(unseen.doubtful) == 1


def test_boxes_and_points_of_people_are_kept():
    keypoints, visible = np.zeros((1, K, 2)), np.zeros((1, K))
    keypoints[0, 9], visible[0, 9] = [35, 62], 1
    found = Labeller([finds(BODY + 3, 0.9)], [Sure()])(
        np.zeros((120, 80, 3), np.uint8), Human(BODY, keypoints, visible)
    )
    np.testing.assert_allclose(found.boxes, BODY)
    assert found.box_scores.tolist() == [1.0]
    np.testing.assert_allclose(found.keypoints[0, 9], [35, 62])


def test_a_picture_that_cannot_be_read_does_not_stop_the_others(photos, tmp_path):
    photos[1].write_bytes(b"not a picture")
    count, failed = label(photos, tmp_path / "out", Labeller([finds(BODY, 0.9)], [Sure()]))
    assert count == 2 and len(failed) == 1 and "1.png" in failed[0]


def test_nothing_to_label_is_an_error(tmp_path):
    with pytest.raises(WholebodyError, match="no pictures"):
        label([], tmp_path / "out", Labeller([finds(BODY, 0.9)], [Sure()]))
    with pytest.raises(WholebodyError, match="at least"):
        Labeller.of(detectors=())


def test_a_part_of_somebody_found_a_second_time_is_no_second_person():
    class Same:
        """Sees the same places of the picture whatever the crop."""

        size = (48, 64)

        def predict(self, crops):
            lit = crops[..., 0] > 0
            at = np.array([np.argwhere(each)[:, ::-1].mean(axis=0) for each in lit])
            return Opinion(np.repeat(at[:, None], K, axis=1), np.full((len(crops), K), 0.9))

    image = np.zeros((240, 160, 3), np.uint8)
    image[58:62, 48:52] = 255
    two = np.array([[20.0, 20, 80, 200], [25.0, 20, 75, 100]])
    found = Labeller([lambda image: (two, np.array([0.9, 0.7]))], [Same()])(image)
    np.testing.assert_allclose(found.boxes, two[:1])
    assert len(found.doubtful) == 0
