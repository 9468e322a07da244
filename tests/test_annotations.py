"""Annotation files: what each layout means, and what is said about files that lie."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wholebody.data import coco, stream
from wholebody.data.coco import read_labels, write_labels
from wholebody.data.labels import HALPE_136, POINT_FIELDS, Labels, PictureFile, Problem, picture_path
from wholebody.data.names import read_mapping
from wholebody.data.ubody import read_ubody
from wholebody.errors import WholebodyError
from wholebody.schema import COCO_WHOLEBODY

PICTURE = {"id": 7, "file_name": "a.jpg", "width": 640, "height": 480}
COUNTS = {name: part.stop - part.start for name, part in zip(POINT_FIELDS, COCO_WHOLEBODY.parts.values(), strict=True)}


def points(n, first=0, flag=2):
    """n triplets; point k is at (first + k, 10)."""
    return [value for k in range(n) for value in (first + k, 10, flag)]


def person(number=1, **changes):
    """A row with COCO's 17 points; a field changed to ... is left out."""
    row = {"id": number, "image_id": 7, "category_id": 1, "iscrowd": 0, "bbox": [10, 20, 30, 40], "area": 700.0}
    row |= {"keypoints": points(17), **changes}
    return {name: value for name, value in row.items() if value is not ...}


def whole(number=1, **changes):
    """A row of COCO-WholeBody v1.0."""
    fields = {name: points(count, COCO_WHOLEBODY.parts[POINT_FIELDS[name]].start) for name, count in COUNTS.items()}
    valid = {"foot_valid": True, "face_valid": False, "lefthand_valid": True, "righthand_valid": False}
    return person(number, **{**fields, **valid, "face_box": [0, 0, 1, 1], **changes})


@pytest.fixture
def write(tmp_path):
    def write(rows, images=(PICTURE,), name="labels.json", **more):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"info": {"year": 2026}, "images": images, "annotations": rows, **more}))
        return path

    return write


# --- Layouts ----------------------------------------------------------------------------------------------------------


def test_coco_wholebody(write):
    labels = read_labels(write([whole(5), whole(6, iscrowd=1, area=...)]))
    np.testing.assert_array_equal(labels.ids, [5, 6])
    np.testing.assert_array_equal(labels.image_ids, [7, 7])
    np.testing.assert_array_equal(labels.keypoints[0], [(k, 10) for k in range(133)])
    assert (labels.visible == 2).all() and labels.visible.shape == (2, 133)
    np.testing.assert_array_equal(labels.boxes[0], [10, 20, 40, 60])
    np.testing.assert_array_equal(labels.areas, [700, 1200])
    np.testing.assert_array_equal(labels.iscrowd, [False, True])
    np.testing.assert_array_equal(labels.valid[0], [True, False, True, False])
    assert labels.images == {7: PictureFile("a.jpg", 640, 480)} and labels.dropped == ()


def test_coco_17_leaves_the_rest_unlabelled(write):
    rows = [person(), person(2, foot_kpts=None, face_kpts=[], lefthand_kpts=points(21, flag=0.25))]
    labels = read_labels(write(rows, categories=[{"id": 1, "name": "person"}]))
    np.testing.assert_array_equal((labels.visible > 0).sum(axis=1), [17, 38])
    np.testing.assert_array_equal(labels.visible[1, 91:112], 0.25)
    np.testing.assert_array_equal(labels.valid[1], [False, False, True, False])


def test_all_133_points_in_one_field(write):
    labels = read_labels(write([person(keypoints=points(133))]))
    np.testing.assert_array_equal(labels.keypoints[0, :, 0], np.arange(133))


HALPE_BODY = [
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle", "head", "neck", "hip", "left_big_toe", "right_big_toe", "left_small_toe", "right_small_toe",
    "left_heel", "right_heel",
]  # fmt: skip
# Which rows of Halpe are each other's mirror images, as its training code lists them.
HALPE_PAIRS = [
    *((a, a + 1) for a in (*range(1, 16, 2), 20, 22, 24)),
    (26, 42), (27, 41), (28, 40), (29, 39), (30, 38), (31, 37), (32, 36), (33, 35), (43, 52), (44, 51), (45, 50),
    (46, 49), (47, 48), (62, 71), (63, 70), (64, 69), (65, 68), (66, 73), (67, 72), (57, 61), (58, 60), (74, 80),
    (75, 79), (76, 78), (87, 89), (93, 91), (86, 90), (85, 81), (84, 82),
    *((a, a + 21) for a in range(94, 115)),
]  # fmt: skip


def test_halpe_by_names_and_mirror_images():
    for row, name in enumerate(HALPE_BODY):
        ours = HALPE_136[row]
        assert COCO_WHOLEBODY.names[ours] == name if ours >= 0 else name in ("head", "neck", "hip")
    for a, b in HALPE_PAIRS:
        assert COCO_WHOLEBODY.flip[HALPE_136[a]] == HALPE_136[b], (a, b)
    unpaired = set(range(136)) - {row for pair in HALPE_PAIRS for row in pair}
    assert all(COCO_WHOLEBODY.flip[HALPE_136[row]] == HALPE_136[row] for row in unpaired if HALPE_136[row] >= 0)
    assert sorted(HALPE_136[HALPE_136 >= 0]) == list(range(133))


def test_halpe_people_may_have_no_points(write):
    labels = read_labels(write([person(keypoints=...), person(2, keypoints=points(136)), person(3, keypoints=None)]))
    np.testing.assert_array_equal(labels.keypoints[1, 17:23, 0], [20, 22, 24, 21, 23, 25])
    np.testing.assert_array_equal(labels.keypoints[1, [0, 23, 91, 112, 132], 0], [0, 26, 94, 115, 135])
    assert (labels.visible[[0, 2]] == 0).all()


@pytest.mark.parametrize("names", [["Nose", "REye", "LEye"], ["nose", "right eye", "left-eye"]])
def test_points_named_by_the_file(write, names):
    category = {"id": 1, "name": "person", "keypoints": names}
    labels = read_labels(write([person(keypoints=points(3))], categories=[category]))
    np.testing.assert_array_equal(labels.keypoints[0, :3, 0], [0, 2, 1])
    assert labels.visible[0].sum() == 6


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize(
    "table", ["# ours on the right\nTop ->\nBeak -> nose  # theirs\nLW->left_wrist\n", None], ids=["text", "json"]
)
def test_mapping_table(write, tmp_path, table, named):
    path = tmp_path / "table"
    path.write_text(table or json.dumps({"Top": None, "Beak": "nose", "LW": "left_wrist"}))
    mapping = read_mapping(path)
    assert mapping == {"Top": "", "Beak": "nose", "LW": "left_wrist"}
    theirs = ["LW", "Extra", "Beak", "Top"] if named else list(mapping)
    category = {"id": 1, "name": "person", **({"keypoints": theirs} if named else {})}
    labels = read_labels(write([person(keypoints=points(len(theirs)))], categories=[category]), mapping)
    nose, wrist = theirs.index("Beak"), theirs.index("LW")
    np.testing.assert_array_equal(labels.keypoints[0, [0, 9], 0], [nose, wrist])
    assert (labels.visible[0] > 0).sum() == 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not valid JSON"),
        ('["nose"]', "not a mapping table"),
        ('{"Beak": 3}', "not a mapping table"),
        ("Beak nose", "line 1"),
        ("Beak -> nose\nBeak -> left_eye", "line 2: Beak occurs twice"),
        ("Beak -> nosy", "Did you mean 'nose'"),
        ("Beak -> nose\nBill -> nose", "both Beak and Bill"),
    ],
)
def test_wrong_mapping_tables(tmp_path, text, says):
    path = tmp_path / "table.txt"
    path.write_text(text)
    with pytest.raises(WholebodyError, match=says) as error:
        read_mapping(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("count", "names", "mapping", "says"),
    [
        (21, [], None, "21 points. Say which"),
        (17, [f"h{k}" for k in range(17)], None, "17 points named h0, h1, h2"),
        (3, ["nose", "nose", "neck"], None, "named neck"),
        (3, [], {"a": "nose"}, "table names 1"),
        (2, ["a", "b"], {"c": "nose"}, "no keypoint 'c'"),
    ],
)
def test_points_that_nobody_names(write, count, names, mapping, says):
    path = write([person(keypoints=points(count))], categories=[{"id": 1, "name": "person", "keypoints": names}])
    with pytest.raises(WholebodyError, match=says) as error:
        read_labels(path, mapping)
    assert str(path) in str(error.value)


def test_other_categories_are_not_people(write):
    categories = [{"id": 1, "name": "Person"}, {"id": 18, "name": "dog"}]
    labels = read_labels(
        write([person(), person(2, category_id=18), person(3, category_id=...)], categories=categories)
    )
    np.testing.assert_array_equal(labels.ids, [1, 3])
    assert labels.dropped == ()


@pytest.mark.parametrize("images_first", [True, False])
def test_keep_chooses_images(tmp_path, images_first):
    images = [{"id": n, "file_name": f"{n}.jpg"} for n in range(1, 5)]
    content = {"images": images, "annotations": [person(n, image_id=n) for n in range(1, 5)]}
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(content if images_first else dict(reversed(content.items()))))
    labels = read_labels(path, keep=lambda image: image["file_name"] in ("2.jpg", "4.jpg"))
    np.testing.assert_array_equal(labels.ids, [2, 4])
    assert set(labels.images) == {2, 4} and labels.dropped == ()


# --- UBody ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def ubody(tmp_path, write):
    names = ("/Movie_S1_Trim2/000001.png", "Movie_S1_Trim2/000002.png", "/Movie_S22_Trim1/000011.png")
    for scene in ("Movie", "Speech"):
        images = [{**PICTURE, "id": n, "file_name": name.replace("Movie", scene)} for n, name in enumerate(names)]
        write([whole(n, image_id=n) for n in range(3)], images, f"annotations/{scene}/keypoint_annotation.json")
    (tmp_path / "splits").mkdir()
    np.save(tmp_path / "splits" / "intra_scene_test_list.npy", np.array(["Movie_S1", "Speech_S22"]))
    return tmp_path


def test_ubody_scenes_become_one_set(ubody):
    labels = read_ubody(ubody, ("Speech", "Movie"))
    assert len(labels) == 6 and len(set(labels.ids)) == 6
    names = [labels.images[number].file_name for number in labels.image_ids.tolist()]
    assert names[0] == "Speech/Speech_S1_Trim2/000001.jpg" and names[5] == "Movie/Movie_S22_Trim1/000011.jpg"
    np.testing.assert_array_equal(labels.keypoints[5, :, 0], np.arange(133))


def test_ubody_splits_and_frames(ubody):
    scenes = ("Movie", "Speech")
    assert len(read_ubody(ubody, scenes, split="train")) == 3 == len(read_ubody(ubody, scenes, split="test"))
    test = read_ubody(ubody, scenes, split="test", every=10)
    assert sorted(picture.file_name for picture in test.images.values()) == [
        "Movie/Movie_S1_Trim2/000001.jpg",
        "Speech/Speech_S22_Trim1/000011.jpg",
    ]
    with pytest.raises(WholebodyError, match="no split"):
        read_ubody(ubody, scenes, split="val")
    (ubody / "splits" / "intra_scene_test_list.npy").write_bytes(b"not numpy")
    with pytest.raises(WholebodyError, match="test videos"):
        read_ubody(ubody, scenes, split="test")


def test_a_missing_scene_is_named(ubody):
    with pytest.raises(WholebodyError, match="Magic_show"):
        read_ubody(ubody)


def test_pictures_are_found_with_another_suffix(tmp_path):
    (tmp_path / "a.jpg").touch()
    (tmp_path / "b.png").touch()
    assert picture_path(tmp_path, "/a.png") == tmp_path / "a.jpg"
    assert picture_path(tmp_path, "b.png") == tmp_path / "b.png"
    assert picture_path(tmp_path, "/c.png") == tmp_path / "c.png"


# --- Labels -----------------------------------------------------------------------------------------------------------


@st.composite
def any_labels(draw):
    m = draw(st.integers(0, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    numbers = st.integers(-(2**40), 2**40)
    images = {
        number: PictureFile(f"{number}.jpg", 640, 480) for number in draw(st.sets(numbers, min_size=1, max_size=4))
    }
    scale = 10.0 ** draw(st.integers(-3, 5))
    return Labels(
        ids=np.array(draw(st.lists(numbers, min_size=m, max_size=m, unique=True)), dtype=np.int64),
        image_ids=rng.choice(sorted(images), m),
        keypoints=rng.normal(0, scale, (m, 133, 2)),
        visible=rng.choice(np.array([0, 1, 2, 0.3], dtype=np.float32), (m, 133)),
        boxes=rng.normal(0, scale, (m, 4)),
        areas=rng.normal(0, scale, m),
        iscrowd=rng.random(m) < 0.5,
        valid=rng.random((m, 4)) < 0.5,
        images=images,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("labels")


@settings(max_examples=25)
@given(labels=any_labels())
def test_written_labels_are_read_back(folder, labels):
    path = folder / "labels.json"
    write_labels(path, labels)
    got = read_labels(path)
    for name in ("ids", "image_ids", "keypoints", "visible", "areas", "iscrowd", "valid"):
        np.testing.assert_array_equal(getattr(got, name), getattr(labels, name), err_msg=name)
    np.testing.assert_allclose(got.boxes, labels.boxes, rtol=1e-9, atol=1e-9)
    assert got.images == labels.images


def test_rows_can_be_chosen_and_joined(write):
    labels = read_labels(write([whole(n) for n in range(4)]))
    assert labels[labels.ids > 1].ids.tolist() == [2, 3] == labels[[2, 3]].ids.tolist() == labels[2:].ids.tolist()
    both = Labels.concatenate([labels[:1], labels[2:]])
    assert both.ids.tolist() == [1, 2, 3] and both.image_ids.tolist() == [1, 2, 2]
    assert both.images == {1: labels.images[7], 2: labels.images[7]}
    assert len(Labels.concatenate([])) == 0
    with pytest.raises(ValueError, match="boxes"):
        Labels(**{**vars(labels), "boxes": labels.boxes[:2]})


# --- Files that lie ---------------------------------------------------------------------------------------------------


def changed(name, value, row=whole):
    numbers = row(12)[name]
    return row(12, **{name: [*numbers[:-1], value]})


LIES = [
    (whole(12, id=...), "annotations[1]: id is missing"),
    (
        whole(12, id="12"),
        "annotations[1]: id is a name, not a whole number: number the pictures and people, as pycocotools requires",
    ),
    ([1, 2], "annotations[1]: is not an object"),
    (whole(12, image_id=...), "annotation 12: image_id is missing"),
    (whole(12, image_id=8), "annotation 12: image_id 8 is not the id of an image"),
    (whole(12, category_id=5), "annotation 12: category_id 5 is not the id of a category"),
    (whole(1), "annotation 1: id is used by another annotation too"),
    (whole(12, bbox=...), "annotation 12: bbox is missing"),
    (whole(12, bbox=[1, 2, 3]), "annotation 12: bbox has 3 numbers instead of 4"),
    (whole(12, bbox=[1, 2, 3, float("nan")]), "annotation 12: bbox holds NaN or an infinite number"),
    (whole(12, bbox=[1, 2, 3, None]), "annotation 12: bbox holds something that is not a number"),
    (whole(12, area=float("inf")), "annotation 12: area holds NaN or an infinite number"),
    (whole(12, area="large"), "annotation 12: area holds something that is not a number"),
    (changed("keypoints", float("nan")), "annotation 12: keypoints holds NaN or an infinite number"),
    (changed("foot_kpts", None), "annotation 12: foot_kpts holds something that is not a number"),
    (changed("face_kpts", [1]), "annotation 12: face_kpts holds something that is not a number"),
    (changed("face_kpts", -1), "annotation 12: face_kpts has a point whose third number is negative"),
    (whole(12, keypoints=points(16)), "annotation 12: keypoints has 48 numbers instead of 51"),
    (whole(12, lefthand_kpts=points(20)), "annotation 12: lefthand_kpts has 60 numbers instead of 63"),
    (whole(12, righthand_kpts=[1]), "annotation 12: righthand_kpts has 1 numbers instead of 63"),
    (whole(12, righthand_kpts="1,2,3"), "annotation 12: righthand_kpts is not a list of numbers"),
    (whole(12, face_valid="yes"), "annotation 12: face_valid is neither true nor false"),
    (whole(12, iscrowd=[1]), "annotation 12: iscrowd is neither true nor false"),
]


@pytest.mark.parametrize(("row", "says"), LIES, ids=[says for _, says in LIES])
def test_a_lying_row_is_refused_or_counted(write, row, says):
    path = write([whole(1), row, whole(3)], categories=[{"id": 1, "name": "person"}])
    with pytest.raises(WholebodyError) as error:
        read_labels(path)
    assert str(error.value).startswith(f"{path}: {says}.") and "\n" not in str(error.value)
    labels = read_labels(path, strict=False)
    np.testing.assert_array_equal(labels.ids, [1, 3])
    assert [str(problem) for problem in labels.dropped] == [says]


@pytest.mark.parametrize(
    ("image", "says"),
    [
        ({**PICTURE, "id": None}, "images[1]: id is not a whole number"),
        ({"id": 8}, "image 8: file_name is missing"),
        ({"id": 8, "file_name": 3}, "image 8: file_name is not a name"),
        ({**PICTURE, "id": 8, "width": "wide"}, "image 8: width is not a whole number"),
        ({**PICTURE, "id": 8, "height": -1}, "image 8: height is negative"),
        (PICTURE, "image 7: id is used by another image too"),
        ("b.jpg", "images[1]: is not an object"),
    ],
)
def test_a_lying_picture_is_refused_or_counted(write, image, says):
    path = write([whole(1)], [PICTURE, image])
    with pytest.raises(WholebodyError) as error:
        read_labels(path)
    assert f"{path}: {says}" in str(error.value)
    labels = read_labels(path, strict=False)
    assert len(labels) == 1 and [str(problem) for problem in labels.dropped] == [says]


def test_many_lies_are_counted_and_the_first_is_told(write):
    path = write([whole(n, bbox=[n, 2, 3]) for n in range(5)])
    with pytest.raises(WholebodyError, match=r"annotation 0: bbox .* 4 more"):
        read_labels(path)
    assert len(read_labels(path, strict=False).dropped) == 5


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "empty"),
        ("{", "not valid JSON"),
        ("[]", "not an object"),
        ("null", "not an object"),
        ("{}", "images is missing"),
        ('{"images": []}', "annotations is missing"),
        ('{"images": {}, "annotations": []}', "images is not a list"),
        ('{"images": [], "images": [], "annotations": []}', "images occurs twice"),
        ('{"images": [], "annotations": []} {}', "follows the end"),
        ('{"images": [], "annotations": [{"id": 1', "not valid JSON"),
        ('{"images": [], "annotations": [1 2]}', "'2' instead of ','"),
        ('{"images": [], 3: []}', "name is missing"),
        ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", "not valid JSON"),
        ("\xff\xfe", "not valid JSON"),
        ("<html>", "not an object"),
    ],
)
@pytest.mark.parametrize("strict", [True, False])
def test_a_file_that_is_something_else(tmp_path, content, says, strict):
    path = tmp_path / "labels.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(WholebodyError, match=says) as error:
        read_labels(path, strict=strict)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_file_that_is_not_there(tmp_path):
    for path in (tmp_path / "nowhere.json", tmp_path):
        with pytest.raises(WholebodyError, match="cannot read"):
            read_labels(path)


def test_any_size_of_chunk_gives_the_same(write, monkeypatch):
    rows = [whole(n, note="a ] } , \\ \u00e4", bbox=[1e-3, 2.5e1, -3, 12345]) for n in range(5)]
    path = write(rows, [{**PICTURE, "date": "x" * 200}], extra=12345678901234567890, more=[1.5, {"a": None}])
    path.write_text(json.dumps(json.loads(path.read_text()), indent=1), newline="\r\n")
    want, seen = read_labels(path), []
    for size in (1, 2, 7, 64):
        monkeypatch.setattr(stream, "_CHUNK", size)
        got = read_labels(path, progress=seen.append)
        np.testing.assert_array_equal(got.keypoints, want.keypoints)
        np.testing.assert_array_equal(got.boxes, want.boxes)
    assert max(seen) == path.stat().st_size


def test_problems_of_every_block_are_found(write, monkeypatch):
    monkeypatch.setattr(coco, "_BLOCK", 2)
    rows = [whole(n, keypoints=points(17 - n % 3)) for n in range(3, 12)]
    labels = read_labels(write(rows), strict=False)
    np.testing.assert_array_equal(labels.ids, [3, 6, 9])
    np.testing.assert_array_equal(labels.keypoints[:, :, 0], np.tile(np.arange(133), (3, 1)))
    assert sorted(problem.record for problem in labels.dropped) == sorted(
        f"annotation {n}" for n in (4, 5, 7, 8, 10, 11)
    )
    assert all(isinstance(problem, Problem) for problem in labels.dropped)
