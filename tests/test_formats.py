import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from wholebody import formats
from wholebody.errors import WholebodyError
from wholebody.poses import Poses
from wholebody.schema import COCO_WHOLEBODY, OPENPOSE, OPENPOSE_25, SCHEMAS

# Half of the last decimal, and float32's own rounding of the numbers below.
PIXEL, SCORE = 0.005 + 2e-4, 0.00005 + 1e-6


def people(n=2, schema=COCO_WHOLEBODY, ids=None, seed=0):
    """N people at random."""
    rng = np.random.default_rng(seed)
    k = len(schema)
    corners = rng.uniform(0, 300, (n, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(1, 300, (n, 2))], axis=1)
    return Poses(rng.uniform(-20, 700, (n, k, 2)), rng.uniform(0.01, 1, (n, k)), boxes, rng.random(n), schema, ids)


@st.composite
def any_poses(draw, schemas=SCHEMAS, special=False, max_people=3):
    """People of one schema; `special` lets NaN and infinity in."""
    schema = draw(st.sampled_from(schemas))
    n = draw(st.integers(0, max_people))
    ids = draw(st.none() | hnp.arrays(np.int64, n, elements=st.integers(0, 2**40)))

    def numbers(shape, low, high):
        values = draw(hnp.arrays(np.float32, shape, elements=st.floats(low, high, width=32), fill=st.just(low + 1)))
        if special and values.size:
            where = draw(st.lists(st.integers(0, values.size - 1), max_size=3))
            values.flat[where] = draw(st.sampled_from([np.nan, np.inf, -np.inf]))
        return values

    k = len(schema)
    return Poses(
        numbers((n, k, 2), -64, 2048), numbers((n, k), 0, 1.25), numbers((n, 4), 0, 2048), numbers(n, 0, 1), schema, ids
    )


def assert_close(got, want, boxes=False):
    assert got.schema is want.schema and len(got) == len(want)
    np.testing.assert_allclose(got.keypoints, want.keypoints, rtol=0, atol=PIXEL)
    np.testing.assert_allclose(got.scores, want.scores, rtol=0, atol=SCORE)
    if boxes:
        np.testing.assert_allclose(got.boxes, want.boxes, rtol=0, atol=2 * PIXEL)
        np.testing.assert_allclose(got.box_scores, want.box_scores, rtol=0, atol=SCORE)


def assert_same(got, want):
    assert got.schema is want.schema
    for name in ("keypoints", "scores", "boxes", "box_scores"):
        np.testing.assert_array_equal(getattr(got, name), getattr(want, name))
    assert_same_ids(got, want)


def assert_same_ids(got, want):
    # A text format has nobody to write an id on in a picture of nobody.
    assert (got.ids is None) == (want.ids is None) or not len(want)
    if len(want) and want.ids is not None:
        np.testing.assert_array_equal(got.ids, want.ids)


def finite(poses):
    """What a text format makes of numbers that are not finite."""
    gone = ~(np.isfinite(poses.keypoints).all(axis=-1) & np.isfinite(poses.scores))
    return replace(
        poses,
        keypoints=np.where(gone[..., None], 0, poses.keypoints),
        scores=np.where(gone, 0, poses.scores),
        boxes=np.where(np.isfinite(poses.boxes).all(axis=1, keepdims=True), poses.boxes, 0),
        box_scores=np.where(np.isfinite(poses.box_scores), poses.box_scores, 0),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("formats")


# --- Round trips ------------------------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(poses=any_poses([OPENPOSE_25], special=True))
def test_openpose_round_trip(folder, poses):
    formats.write_openpose(folder / "p.json", poses)
    got = formats.read_openpose(folder / "p.json")
    assert_close(got, finite(poses))
    assert_same_ids(got, poses)


def test_openpose_keeps_all_133_points(folder):
    poses = people(3, ids=[7, 1, 12])
    formats.write_openpose(folder / "p.json", poses)
    got = formats.read_openpose(folder / "p.json")
    assert_close(got.to(COCO_WHOLEBODY), poses)
    np.testing.assert_array_equal(got.ids, poses.ids)


@settings(max_examples=20, deadline=None)
@given(
    schema=st.sampled_from([OPENPOSE, COCO_WHOLEBODY, OPENPOSE_25]),
    data=st.data(),
    sizes=st.lists(st.tuples(st.integers(1, 4000), st.integers(1, 4000)), max_size=3),
)
def test_comfy_round_trip(folder, schema, data, sizes):
    # A point at (1000, 1000) tells the reader that these are pixels; a whole picture within 1 pixel reads as fractions.
    pictures = [finite(data.draw(any_poses([schema], special=True))) for _ in sizes]
    feet = [schema.names.index(name) for name in schema.names if name.endswith(("toe", "heel"))]
    for poses in pictures:
        poses.keypoints[:, 0], poses.scores[:, [0, *feet]] = 1000, 1
    formats.write_comfy(folder / "c.json", pictures, sizes, threshold=None)
    got, got_sizes = formats.read_comfy(folder / "c.json")
    assert got_sizes == sizes and len(got) == len(pictures)
    for one, want in zip(got, pictures, strict=True):
        assert one.schema is (OPENPOSE_25 if feet and any(map(len, pictures)) else OPENPOSE)
        assert_close(one.to(OPENPOSE), want.to(OPENPOSE))
        if one.schema is OPENPOSE_25:
            rows = [OPENPOSE_25.names.index(schema.names[row]) for row in feet]
            np.testing.assert_allclose(one.keypoints[:, rows], want.keypoints[:, feet], rtol=0, atol=PIXEL)
        if want.ids is not None and len(want):
            np.testing.assert_array_equal(one.ids, want.ids)


@settings(max_examples=20, deadline=None)
@given(
    images=st.dictionaries(
        st.integers(0, 10**9) | st.text(max_size=4), any_poses([COCO_WHOLEBODY], special=True, max_people=2), max_size=2
    )
)
def test_coco_round_trip(folder, images):
    formats.write_coco(folder / "r.json", images)
    got = formats.read_coco(folder / "r.json")
    assert list(got) == [image_id for image_id, poses in images.items() if len(poses)]
    for image_id, poses in got.items():
        assert_close(poses, finite(images[image_id]), boxes=True)
        assert_same_ids(poses, images[image_id])


@settings(max_examples=20, deadline=None)
@given(poses=any_poses(special=True))
def test_npz_round_trip_is_exact(folder, poses):
    formats.write_npz(folder / "p.npz", poses)
    got = formats.read_npz(folder / "p.npz")
    assert_same(got, poses)
    assert (got.ids is None) == (poses.ids is None)


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_npz_frames_round_trip_is_exact(folder, data):
    frames = data.draw(st.lists(any_poses([data.draw(st.sampled_from(SCHEMAS))]), max_size=4))
    formats.write_npz_frames(folder / "f.npz", frames)
    got = formats.read_npz_frames(folder / "f.npz")
    if any(poses.ids is None for poses in frames):
        frames = [replace(poses, ids=None) for poses in frames]
    assert len(got) == len(frames)
    for one, want in zip(got, frames, strict=True):
        assert_same(one, want)


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_csv_round_trip(folder, data):
    names = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=6)
    schema = data.draw(st.sampled_from(SCHEMAS))
    images = data.draw(st.dictionaries(names, any_poses([schema], special=True, max_people=2), max_size=3))
    formats.write_csv(folder / "p.csv", images)
    got = formats.read_csv(folder / "p.csv")
    assert list(got) == list(images)
    for name, poses in images.items():
        if any(map(len, images.values())):
            assert_close(got[name], finite(poses))
        assert len(got[name]) == len(poses)
        assert_same_ids(got[name], poses)


def test_csv_keeps_file_names_that_are_no_text(folder):
    images = {'caf\udce9, "1".jpg': people(1), "two\nlines.jpg": Poses.empty()}
    formats.write_csv(folder / "p.csv", images)
    assert list(formats.read_csv(folder / "p.csv")) == list(images)


WRITERS = {
    "openpose": lambda path, poses: formats.write_openpose(path, poses),
    "comfy": lambda path, poses: formats.write_comfy(path, poses, (640, 480)),
    "coco": lambda path, poses: formats.write_coco(path, {1: poses}),
    "npz": lambda path, poses: formats.write_npz(path, poses),
    "npz_frames": lambda path, poses: formats.write_npz_frames(path, [poses, poses]),
    "csv": lambda path, poses: formats.write_csv(path, {"a.jpg": poses}),
}
READERS = {name: getattr(formats, f"read_{name}") for name in WRITERS}


@pytest.mark.parametrize("name", WRITERS)
def test_bytes_depend_on_the_poses_alone(tmp_path, name):
    first, second, other = (tmp_path / part for part in "abc")
    WRITERS[name](first, people(ids=[4, 5]))
    second.write_text("what was here before")
    WRITERS[name](second, people(ids=[4, 5]))
    WRITERS[name](other, people(ids=[4, 5], seed=1))
    assert first.read_bytes() == second.read_bytes() != other.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c"]
    if name.startswith("npz"):
        assert {entry.date_time[0] for entry in zipfile.ZipFile(first).infolist()} == {1980}


@pytest.mark.parametrize("name", WRITERS)
def test_a_failed_write_leaves_the_old_file(tmp_path, name, monkeypatch):
    path = tmp_path / "file"
    path.write_text("old")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes" if name == "openpose" else "pathlib.Path.open", full)
    with pytest.raises(WholebodyError, match="No space left"):
        WRITERS[name](path, people())
    monkeypatch.undo()
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_empty_poses_stay_empty(tmp_path):
    nobody = Poses.empty()
    for name, write in WRITERS.items():
        write(tmp_path / name, nobody)
    assert_same(formats.read_openpose(tmp_path / "openpose"), Poses.empty(OPENPOSE_25))
    (comfy,), _ = formats.read_comfy(tmp_path / "comfy")
    assert_same(comfy, Poses.empty(OPENPOSE))
    assert formats.read_coco(tmp_path / "coco") == {}
    assert_same(formats.read_npz(tmp_path / "npz"), nobody)
    assert [len(poses) for poses in formats.read_npz_frames(tmp_path / "npz_frames")] == [0, 0]
    assert_same(formats.read_csv(tmp_path / "csv")["a.jpg"], nobody)


# --- What other programs read and write -------------------------------------------------------------------------------


def test_openpose_layout(tmp_path):
    poses = people(1)
    formats.write_openpose(tmp_path / "p.json", poses)
    content = json.loads((tmp_path / "p.json").read_text())
    assert list(content) == ["version", "people"] and content["version"] == 1.3
    (person,) = content["people"]
    assert person["person_id"] == [-1]
    lengths = {"pose": 75, "face": 210, "hand_left": 63, "hand_right": 63}
    assert {key: len(person[f"{key}_keypoints_2d"]) for key in lengths} == lengths
    assert all(person[f"{key}_keypoints_3d"] == [] for key in lengths)
    # BODY_25: 1 neck, 8 middle hip, 19 left big toe, 24 right heel; face 68 and 69 are the pupils.
    body = np.array(person["pose_keypoints_2d"]).reshape(25, 3)
    x, s = poses.keypoints[0], poses.scores[0]
    np.testing.assert_allclose(body[[1, 8], :2], [x[[5, 6]].mean(axis=0), x[[11, 12]].mean(axis=0)], atol=PIXEL)
    np.testing.assert_allclose(body[[19, 24], :2], x[[17, 22]], atol=PIXEL)
    np.testing.assert_allclose(body[[0, 1], 2], [s[0], s[[5, 6]].min()], atol=SCORE)
    np.testing.assert_allclose(np.array(person["face_keypoints_2d"]).reshape(70, 3)[68:, :2], x[[2, 1]], atol=PIXEL)
    np.testing.assert_allclose(np.array(person["hand_left_keypoints_2d"]).reshape(21, 3)[:, :2], x[91:112], atol=PIXEL)
    assert formats.openpose_name("dance", 12) == "dance_000000000012_keypoints.json"


def test_openpose_reads_what_openpose_writes(tmp_path):
    path = tmp_path / "p.json"
    body18 = [float(i) for i in range(54)]
    empty = {"face_keypoints_2d": [], "hand_left_keypoints_2d": None}
    path.write_text(json.dumps({"version": 1.1, "people": [{"pose_keypoints_2d": body18, **empty}]}))
    poses = formats.read_openpose(path)
    assert poses.schema is OPENPOSE and poses.ids is None
    np.testing.assert_array_equal(poses.part("body")[0].ravel()[:4], [0, 1, 3, 4])
    assert not poses.part("face")[1].any()
    np.testing.assert_array_equal(poses.boxes, [[0, 1, 51, 52]])


def test_comfy_layout(tmp_path):
    """Zeros, never null; 1 where our own map shows a point; the feet in a field of their own."""
    poses = people(2)
    poses.scores[0, 91:112] = 0.2
    poses.scores[0, [9, 50]] = (
        0.3  # the left wrist, drawn above the threshold, and a point of the face, drawn from it on
    )
    path = tmp_path / "c.json"
    formats.write_comfy(path, poses, (640, 480), threshold=0.3)
    (frame,) = json.loads(path.read_text())
    assert (frame["canvas_width"], frame["canvas_height"]) == (640, 480)
    first = frame["people"][0]
    lengths = {field: len(numbers) // 3 for field, numbers in first.items()}
    assert lengths == {
        "pose_keypoints_2d": 18,
        "face_keypoints_2d": 70,
        "hand_left_keypoints_2d": 21,
        "hand_right_keypoints_2d": 21,
        "foot_keypoints_2d": 6,
    }
    assert first["hand_left_keypoints_2d"] == [0] * 63
    scores = np.array(first["pose_keypoints_2d"]).reshape(18, 3)[:, 2]
    assert scores[7] == 0 and set(scores) <= {0, 1}  # row 7: the left wrist
    assert first["face_keypoints_2d"][3 * (50 - 23) + 2] == 1
    feet = np.array(first["foot_keypoints_2d"]).reshape(6, 3)
    np.testing.assert_allclose(feet[:, :2], np.where(feet[:, 2:] > 0, poses.keypoints[0, 17:23], 0), atol=PIXEL)
    ((got,), sizes) = formats.read_comfy(path)
    assert sizes == [(640, 480)] and got.schema is OPENPOSE_25
    want = poses.to(OPENPOSE)
    body = want.scores > np.float32(0.3)
    shown = np.where(np.arange(130) < 18, body, want.scores >= np.float32(0.3))
    got = got.to(OPENPOSE)
    np.testing.assert_array_equal(got.scores, shown)
    np.testing.assert_allclose(got.keypoints, np.where(shown[..., None], want.keypoints, 0), atol=PIXEL)


def test_comfy_in_memory_is_the_file(tmp_path):
    pictures = [people(2, ids=[3, 4]), Poses.empty()]
    formats.write_comfy(tmp_path / "c.json", pictures, [(640, 480), (10, 20)])
    content = list(formats.pose_keypoint(pictures, [(640, 480), (10, 20)]))
    assert json.loads((tmp_path / "c.json").read_text()) == content
    for one, other in zip(
        formats.from_pose_keypoint(content)[0], formats.read_comfy(tmp_path / "c.json")[0], strict=True
    ):
        assert_same(one, other)
    with pytest.raises(WholebodyError, match="POSE_KEYPOINT"):
        formats.from_pose_keypoint("nothing")
    nulls = [{"people": [dict.fromkeys(content[0]["people"][0]) | {"pose_keypoints_2d": [1] * 54}], **CANVAS}]
    assert formats.from_pose_keypoint(nulls)[0][0].schema is OPENPOSE


def test_comfy_reads_fractions_of_the_canvas(tmp_path):
    path = tmp_path / "c.json"
    body = [0.5, 0.25, 1.0] * 17 + [0, 0, 0]
    frame = {"people": [{"pose_keypoints_2d": body}], "canvas_height": 400.0, "canvas_width": 200}
    animals = {"version": "ap10k", "animals": [[1, 2, 3]], "canvas_height": 4, "canvas_width": 4}
    path.write_text(json.dumps([frame, animals]))
    (poses, nobody), sizes = formats.read_comfy(path)
    assert sizes == [(200, 400), (4, 4)] and len(nobody) == 0
    np.testing.assert_array_equal(poses.keypoints[0, :18], [[100, 100]] * 17 + [[0, 0]])
    path.write_text(json.dumps(frame))
    assert_same(formats.read_comfy(path)[0][0], poses)


def test_coco_layout_and_flat_keypoints(tmp_path):
    poses = people(2, ids=[3, 9])
    path = tmp_path / "r.json"
    formats.write_coco(path, {np.int64(785): poses})
    results = json.loads(path.read_text())
    lengths = {"keypoints": 51, "foot_kpts": 18, "face_kpts": 204, "lefthand_kpts": 63, "righthand_kpts": 63, "bbox": 4}
    for result, track_id in zip(results, (3, 9), strict=True):
        assert {key: len(result[key]) for key in lengths} == lengths
        assert (result["image_id"], result["category_id"], result["track_id"]) == (785, 1, track_id)
    x0, y0, x1, y1 = poses.boxes[0]
    np.testing.assert_allclose(results[0]["bbox"], [x0, y0, x1 - x0, y1 - y0], atol=PIXEL)

    flat = [[number for key in list(lengths)[:5] for number in result[key]] for result in results]
    path.write_text(json.dumps([{"image_id": "a", "keypoints": row, "score": 0.5} for row in flat]))
    got = formats.read_coco(path)["a"]
    assert_close(got, poses)
    assert got.ids is None and got.box_scores.tolist() == [0.5, 0.5]
    np.testing.assert_allclose(got.boxes[:, :2], poses.keypoints.min(axis=1), atol=PIXEL)

    path.write_text(json.dumps([{"image_id": 1, "keypoints": flat[0][:51]}]))
    got = formats.read_coco(path)[1]
    assert got.scores[0, :17].all() and not got.scores[0, 17:].any()


def test_csv_layout(tmp_path):
    path = tmp_path / "p.csv"
    formats.write_csv(path, {"a,b.jpg": people(1, ids=[5]), "none.jpg": Poses.empty()})
    lines = path.read_text().splitlines()
    assert lines[0] == "image,person,id,keypoint,x,y,score"
    assert lines[1].startswith('"a,b.jpg",0,5,nose,')
    assert lines[-1] == "none.jpg,,,,,," and len(lines) == 1 + 133 + 1


@pytest.mark.parametrize("index", range(3))
def test_pose_dict_golden(oracle, index):
    golden = np.load(oracle / f"08_draw_set{index}.npz")
    keypoints, scores = golden["keypoints133"], golden["scores133"]
    height, width = golden["canvas_hw"].tolist()
    n = len(keypoints)
    got = formats.pose_dict(Poses(keypoints, scores, np.zeros((n, 4)), np.ones(n)), (width, height))
    np.testing.assert_allclose(got["bodies"]["candidate"], golden["body_candidate"], atol=1e-6)
    np.testing.assert_array_equal(got["bodies"]["subset"], golden["body_subset"])
    np.testing.assert_allclose(got["hands"], golden["hands"], atol=1e-6)
    np.testing.assert_allclose(got["faces"], golden["faces"], atol=1e-6)


def test_pose_dict_of_nobody():
    got = formats.pose_dict(Poses.empty(), (640, 480))
    shapes = [got["bodies"]["candidate"].shape, got["bodies"]["subset"].shape, got["hands"].shape, got["faces"].shape]
    assert shapes == [(0, 2), (0, 18), (0, 21, 2), (0, 68, 2)]


# --- Bad files --------------------------------------------------------------------------------------------------------

PERSON = {"pose_keypoints_2d": [1.0] * 75}
RESULT = {"image_id": 1, "keypoints": [1.0] * 51}
CANVAS = {"canvas_width": 4, "canvas_height": 4}
HEADER = "image,person,id,keypoint,x,y,score\n"


@pytest.mark.parametrize(
    ("name", "content", "field"),
    [
        ("openpose", b"", "JSON"),
        ("openpose", b"\xff\xd8\xff\xe0 a photo", "JSON"),
        ("openpose", b"[" * 100_000, "JSON"),
        ("openpose", [], "top level"),
        ("openpose", {"version": 1.3}, "people"),
        ("openpose", {"people": {}}, "people"),
        ("openpose", {"people": [3]}, r"people\[0\]"),
        ("openpose", {"people": [PERSON, {"pose_keypoints_2d": [1.0] * 74}]}, r"people\[1\].pose_keypoints_2d"),
        ("openpose", {"people": [PERSON | {"face_keypoints_2d": "x"}]}, r"people\[0\].face_keypoints_2d"),
        ("openpose", {"people": [PERSON | {"hand_left_keypoints_2d": ["1"] * 63}]}, "hand_left_keypoints_2d"),
        ("openpose", {"people": [{"pose_keypoints_2d": [float("nan")] * 75}]}, "pose_keypoints_2d"),
        ("openpose", {"people": [{"pose_keypoints_2d": [1e300] * 75}]}, "pose_keypoints_2d"),
        ("openpose", {"people": [{"pose_keypoints_2d": [10**400] * 75}]}, "pose_keypoints_2d"),
        ("openpose", {"people": [PERSON | {"person_id": ["x"]}]}, "person_id"),
        ("openpose", {"people": [PERSON | {"person_id": [2**63]}]}, "person_id"),
        ("comfy", 3, "top level"),
        ("comfy", ["x"], r"\[0\]"),
        ("comfy", [{"people": [], "canvas_width": 4}], r"\[0\].canvas_height"),
        ("comfy", [{"people": [], "canvas_width": "4", "canvas_height": 4}], r"\[0\].canvas_width"),
        ("comfy", [CANVAS], r"\[0\].people"),
        ("comfy", [CANVAS | {"people": [PERSON]}], r"\[0\].people\[0\].pose_keypoints_2d"),
        ("coco", {"annotations": []}, "top level"),
        ("coco", [[]], r"\[0\]"),
        ("coco", [{"keypoints": []}], r"\[0\].image_id"),
        ("coco", [{"image_id": 1}], r"\[0\].keypoints"),
        ("coco", [RESULT, RESULT | {"image_id": None}], r"\[1\].image_id"),
        ("coco", [RESULT | {"face_kpts": [0.0] * 9}], r"\[0\].face_kpts"),
        ("coco", [RESULT | {"bbox": [1, 2, 3]}], r"\[0\].bbox"),
        ("coco", [RESULT | {"score": None}], r"\[0\].score"),
        ("coco", [RESULT | {"track_id": 0.5}], r"\[0\].track_id"),
        ("csv", b"", "line 1"),
        ("csv", b"image,x\n", "line 1"),
        ("csv", HEADER + "a.jpg,0\n", "line 2"),
        ("csv", HEADER + "a.jpg,0,,nose,1,two,3\n", "line 2: y"),
        ("csv", HEADER + "a.jpg,0,,nose,1,2,inf\n", "line 2: score"),
        ("csv", HEADER + "a.jpg,0,x,nose,1,2,3\n", "line 2: id"),
        ("csv", HEADER + "a.jpg,0,,nose,1,2,3\n" * 2, "line 3"),
        ("csv", HEADER + "a.jpg,0,,nose,1,2,3\n", "keypoint"),
        ("csv", HEADER + '"a.jpg,0', "CSV"),
        ("npz", b"", "NPZ"),
        ("npz", b"PK\x03\x04 cut off", "NPZ"),
        ("npz_frames", b"text", "NPZ"),
    ],
)
def test_bad_files_are_named(tmp_path, name, content, field):
    path = tmp_path / "bad"
    if not isinstance(content, bytes):
        content = (content if isinstance(content, str) else json.dumps(content)).encode()
    path.write_bytes(content)
    with pytest.raises(WholebodyError, match=field) as error:
        READERS[name](path)
    assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"scores": None}, "scores is missing"),
        ({"schema": None}, "schema is missing"),
        ({"schema": np.array("halpe")}, "halpe"),
        ({"scores": np.zeros((2, 5))}, "scores"),
        ({"keypoints": np.array(3.0)}, "keypoints is not"),
        ({"boxes": np.array([["a"] * 4] * 2)}, "boxes is not"),
        ({"ids": np.array([{}, {}], dtype=object)}, "NPZ"),
        ({"ids": np.array([0.5, 1.5])}, "ids is not"),
        ({"ids": np.array([1])}, "ids"),
        ({"counts": np.array([1, 2])}, "counts"),
        ({"counts": np.array([-1, 3])}, "counts"),
        ({"counts": np.array([2.0])}, "counts"),
    ],
)
@pytest.mark.parametrize("name", ["npz", "npz_frames"])
def test_bad_npz_arrays_are_named(tmp_path, name, change, field):
    path = tmp_path / "bad.npz"
    formats.write_npz(path, people(2))
    arrays = dict(np.load(path)) | change
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
    with pytest.raises(WholebodyError, match=field) as error:
        READERS[name](path)
    assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)


def test_cut_npz_is_an_error_at_any_length(tmp_path):
    path = tmp_path / "p.npz"
    formats.write_npz(path, people(1))
    whole = path.read_bytes()
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        with pytest.raises(WholebodyError, match="NPZ"):
            formats.read_npz(path)


@pytest.mark.parametrize("name", READERS)
def test_missing_files_and_folders(tmp_path, name):
    for path in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(WholebodyError, match="cannot read"):
            READERS[name](path)


def test_schemas_that_lack_points(tmp_path):
    with pytest.raises(WholebodyError, match=r"p\.json: openpose has no left_big_toe"):
        formats.write_openpose(tmp_path / "p.json", people(1, OPENPOSE))
    with pytest.raises(WholebodyError, match="openpose has no"):
        formats.write_coco(tmp_path / "p.json", {1: people(1, OPENPOSE)})
    assert not list(tmp_path.iterdir())
