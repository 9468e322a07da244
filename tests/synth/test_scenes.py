import json
from dataclasses import dataclass

import cv2
import numpy as np
import pytest
from toy_body import Toys, toy_body

from wholebody.data.shards import read_shards
from wholebody.synth.clutter import _MAKERS, image_of, make_thing
from wholebody.synth.layers import Assets
from wholebody.synth.people import make_person
from wholebody.synth.render import Camera
from wholebody.synth.scenes import CROWD, SceneGenerator, detector_row, owner_boxes, place, sample_camera, shares
from wholebody.synth.shards import write_shards

AHEAD = Camera(np.array([[1, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0]], np.float32), 20.0, (19.5, 14.5), (40, 30))


@dataclass(frozen=True)
class ToyScenes:
    def __call__(self):
        return SceneGenerator(Toys(64)(), size=160)


@pytest.fixture(scope="module")
def records():
    scenes = ToyScenes()()
    return [scenes(5, index) for index in range(60)]


def test_a_scene_says_what_a_detector_needs(records):
    counts = []
    for sample in records:
        record = json.loads(json.dumps(sample.record))
        image = cv2.imdecode(np.frombuffer(sample.jpeg, np.uint8), cv2.IMREAD_COLOR)
        size = np.array([record["width"], record["height"]])
        assert image.shape == (size[1], size[0], 3) and max(size) == 160
        counts.append(len(record["people"]))
        for person in record["people"]:
            points, box = np.array(person["keypoints"]), np.array(person["box"])
            assert points.shape == (133, 3)
            depth = np.minimum(points[:, :2] + 0.5, size - 0.5 - points[:, :2]).min(axis=1)
            sure = np.abs(depth) > 0.02  # points are rounded
            np.testing.assert_array_equal(points[sure, 2] > 0, depth[sure] > 0)
            assert (box[2:] > box[:2]).all() and (box >= -0.5).all() and (box <= [*size - 0.5, *size - 0.5]).all()
            assert 0 <= person["inside"] <= 1 and 0 <= person["seen"] <= 1
            # The toy's points lie in its cubes: what is seen of them is in the box of what is seen.
            seen = points[points[:, 2] == 2, :2]
            margin = 0.12 * max(box[2:] - box[:2]) + 2
            assert ((seen > box[:2] - margin) & (seen < box[2:] + margin)).all()
    assert counts.count(0) >= 5 and max(counts) >= 5
    assert len({tuple(np.array(s.record["people"][0]["box"]).tolist()) for s in records if s.record["people"]}) > 20


def test_pictures_without_people_show_clutter(records):
    without = [sample.record for sample in records if not sample.record["people"]]
    assert sum(bool(record["clutter"]) for record in without) >= len(without) / 3
    assert {thing["kind"] for sample in records for thing in sample.record["clutter"]} >= {"statue", "pole"}


def test_the_same_numbers_give_the_same_scene(records):
    scenes = ToyScenes()()
    for index in (17, 3, 40):
        assert scenes(5, index).jpeg == records[index].jpeg and scenes(5, index).record == records[index].record
    assert scenes(6, 3).jpeg != records[3].jpeg


def test_shards_of_scenes_are_rows_of_people(records, tmp_path):
    write_shards(tmp_path, count=20, seed=5, people=ToyScenes(), per_shard=8)
    shards = read_shards(tmp_path)
    counts = [len(sample.record["people"]) for sample in records[:20]]
    assert len(shards) == 20 and sum(counts) == len(shards.keypoints) == len(shards.boxes)
    np.testing.assert_array_equal(np.bincount(shards.pictures, minlength=20), counts)
    first = next(i for i, count in enumerate(counts) if count)
    np.testing.assert_allclose(shards.boxes[0], records[first].record["people"][0]["box"])


@pytest.mark.parametrize("kind", _MAKERS)
def test_things_stand_on_the_floor(kind):
    mesh = _MAKERS[kind](np.random.default_rng(1), toy_body(), [np.full((9, 9, 3), 200, np.uint8)])
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    assert (-0.02 < low[2] < 0.7 or kind == "hanging") and 0.5 < high[2] < 3
    assert np.abs(mesh.vertices[:, :2]).max() < 1.5
    assert len(mesh.faces) == len(mesh.uvs) == len(mesh.face_textures) and mesh.faces.max() < len(mesh.vertices)
    assert mesh.face_textures.max() < len(mesh.textures)
    np.testing.assert_allclose(np.linalg.norm(mesh.normals, axis=1).max(), 1, atol=1e-3)


def test_images_of_people_are_doubtful():
    person = make_person(np.random.default_rng(1), toy_body(), Assets())
    found = [image_of(np.random.default_rng(i), person.mesh) for i in range(12)]
    assert all(thing.doubtful for thing in found) and {thing.kind for thing in found} == {"statue", "cutout"}
    things = [make_thing(np.random.default_rng(i), toy_body(), ()) for i in range(60)]
    assert {thing.kind for thing in things if thing.doubtful} == {"bust"}


def test_everybody_is_placed_before_the_camera_and_mostly_in_the_picture():
    person = make_person(np.random.default_rng(3), toy_body(), Assets())
    inside = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        camera = sample_camera(rng, 640)
        assert max(camera.size) == 640 and min(camera.size) >= 64
        for mesh, (turn, shift) in place(rng, camera, [person.mesh] * 4):
            np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-6)
            at = camera.project((mesh.vertices @ turn.T + shift).astype(np.float32))
            inside.append(((at[:, :2] > 0) & (at[:, :2] < camera.size) & (at[:, 2:] > 0)).all(axis=1).any())
    assert np.mean(inside) > 0.85


def test_boxes_and_shares_in_a_known_picture():
    owner = np.full((60, 80), -1, np.int32)
    owner[20:40, 20:60] = 0
    owner[20:40, 40:60] = 1  # the right half is covered by the other
    boxes = owner_boxes(owner, 3)
    np.testing.assert_allclose(boxes[0], [9.5, 9.5, 19.5, 19.5])
    np.testing.assert_allclose(boxes[1], [19.5, 9.5, 29.5, 19.5])
    assert np.isnan(boxes[2]).all()
    # Depth 20: a metre is a pixel. Four points of owner 0: seen, covered, covered, outside.
    points = np.array([[-5, 20, 0], [5, 20, 0], [8, 20, 0], [50, 20, 0]], np.float32)
    assert shares(points, AHEAD, owner, 0) == pytest.approx((0.75, 1 / 3))
    assert shares(points[3:], AHEAD, owner, 0) == (0.0, 0.0)


def person(box, inside=1.0, seen=1.0):
    return {"box": box, "inside": inside, "seen": seen}


@pytest.mark.parametrize(
    ("content", "boxes", "ignore"),
    [
        ({"people": [person([9.5, 9.5, 49.5, 49.5])]}, [[10, 10, 50, 50]], []),
        ({"people": [person([-0.5, 9.5, 99.5, 79.5])]}, [[0, 10, 100, 80]], []),
        ({"people": [person([9.5, 9.5, 49.5, 49.5], seen=0.1)]}, [], [[10, 10, 50, 50]]),
        ({"people": [person([9.5, 9.5, 49.5, 49.5], inside=0.01)]}, [], [[10, 10, 50, 50]]),
        ({"people": [person([9.5, 9.5, 12.5, 49.5])]}, [], [[10, 10, 13, 50]]),
        ({"clutter": [{"kind": "pole", "box": [0, 0, 9, 9], "doubtful": False}]}, [], []),
        ({"clutter": [{"kind": "statue", "box": [0, 0, 9, 9], "doubtful": True}]}, [], [[0.5, 0.5, 9.5, 9.5]]),
        ({"box": [9.5, 9.5, 49.5, 49.5], "sampled": {"others": 0, "framing": "full"}}, [[10, 10, 50, 50]], []),
        ({"box": [9.5, 9.5, 49.5, 49.5], "sampled": {"others": 1, "framing": "full"}}, [], [[0, 0, 100, 80]]),
        ({"box": [9.5, 9.5, 49.5, 49.5], "sampled": {"others": 0, "framing": "hand"}}, [], [[0, 0, 100, 80]]),
    ],
)  # fmt: skip
def test_what_a_detector_learns_from_a_label(content, boxes, ignore):
    record = {"width": 100, "height": 80, "clutter": []} | content
    record |= {} if "box" in record else {"people": content.get("people", [])}
    assert detector_row(record) == (boxes, ignore)


def test_half_of_the_pictures_show_one_or_two_or_nobody():
    share = CROWD / CROWD.sum()
    assert len(CROWD) == 13 and 0.15 < share[0] < 0.25 and share[:3].sum() > 0.5
