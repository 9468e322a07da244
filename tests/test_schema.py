import json
import pickle

import numpy as np
import pytest

from wholebody.schema import (
    COCO_BODY,
    COCO_WHOLEBODY,
    OPENPOSE,
    OPENPOSE_25,
    SCHEMAS,
    Edge,
    Schema,
    conversion,
    schema_named,
)


@pytest.fixture
def golden(oracle):
    return json.loads((oracle / "00_wholebody133_meta.json").read_text())


def test_coco_wholebody_golden(golden):
    schema = COCO_WHOLEBODY
    assert len(schema) == golden["num_keypoints"]
    assert list(schema.flip) == golden["flip_indices"]
    np.testing.assert_array_equal(schema.sigmas, golden["sigmas"])
    names = {"foot": "feet"}
    parts = {names.get(part, part): tuple(rows) for part, rows in golden["parts"].items()}
    ours = {part: (rows.start, rows.stop) for part, rows in schema.parts.items()}
    assert {part: rows for part, rows in parts.items() if part in ours} == ours
    assert {(edge.a, edge.b): edge.color for edge in schema.edges} == {
        tuple(link): tuple(color)
        for link, color in zip(golden["skeleton_links"], golden["skeleton_link_colors_RGB"], strict=True)
    }
    # Body and feet are named alike; face and hands are numbered differently in the official list.
    assert list(schema.names[:23]) == golden["keypoint_names"][:23]


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.name)
def test_every_schema_is_whole(schema):
    k = len(schema)
    assert len(set(schema.names)) == k
    np.testing.assert_array_equal(np.concatenate([np.arange(k)[rows] for rows in schema.parts.values()]), np.arange(k))
    assert all(0 <= end < k for edge in schema.edges for end in (edge.a, edge.b))
    assert all(0 <= value <= 255 for edge in schema.edges for value in edge.color)
    for name, row in zip(schema.names, schema.flip, strict=True):
        sides = {"left_": "right_", "right_": "left_", "face_left_": "face_right_", "face_right_": "face_left_"}
        side = next((side for side in sides if name.startswith(side)), None)
        if side:
            assert schema.names[row] == sides[side] + name.removeprefix(side)
    # A bone's mirror image is a bone.
    bones = {frozenset((edge.a, edge.b)) for edge in schema.edges}
    assert {frozenset(int(schema.flip[end]) for end in bone) for bone in bones} == bones


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.name)
def test_a_schema_stays_the_same_object(schema):
    assert schema_named(schema.name) is schema
    assert pickle.loads(pickle.dumps(schema)) is schema
    assert schema.name in repr(schema) and str(len(schema)) in repr(schema)


def test_unknown_names_are_listed():
    with pytest.raises(ValueError, match="coco_wholebody, coco_body, openpose, openpose_25"):
        schema_named("coco")


@pytest.mark.parametrize("target", [OPENPOSE, OPENPOSE_25], ids=lambda schema: schema.name)
def test_conversion_from_the_networks_points(target):
    rows = dict(zip(target.names, conversion(COCO_WHOLEBODY, target), strict=True))
    name = COCO_WHOLEBODY.names.index
    assert rows["neck"] == (name("left_shoulder"), name("right_shoulder"))
    assert rows["face_left_eye"] == rows["left_eye"] == (name("left_eye"),)
    assert rows["right_pinky_finger4"] == (132,) and rows["face-67"] == (90,)
    if target is OPENPOSE_25:
        assert rows["mid_hip"] == (name("left_hip"), name("right_hip"))
        assert rows["left_heel"] == (name("left_heel"),)


def test_the_body_is_the_first_rows_of_the_whole():
    assert conversion(COCO_WHOLEBODY, COCO_BODY) == tuple((row,) for row in range(17))
    assert COCO_BODY.names[16] == "right_ankle"
    for name in ("flip", "sigmas"):
        np.testing.assert_array_equal(getattr(COCO_BODY, name), getattr(COCO_WHOLEBODY, name)[:17])
    assert set(COCO_BODY.edges) == {edge for edge in COCO_WHOLEBODY.edges if {edge.a, edge.b} <= set(range(17))}
    with pytest.raises(ValueError, match="coco_body has no"):
        conversion(COCO_BODY, OPENPOSE)


def test_conversion_that_cannot_be():
    with pytest.raises(ValueError, match="openpose has no left_big_toe"):
        conversion(OPENPOSE, COCO_WHOLEBODY)


@pytest.mark.parametrize(("flip", "sigmas"), [([1, 2, 0], [1, 1, 1]), ([0, 1], [1, 1, 1]), ([0, 1, 2], [1, 1])])
def test_contradictions_are_refused(flip, sigmas):
    with pytest.raises(ValueError, match="schema odd"):
        Schema("odd", ("a", "b", "c"), np.array(flip), np.array(sigmas, float), {}, (Edge(0, 1, (0, 0, 0)),))


def test_halpe_and_coco_share_their_body():
    from wholebody.schema import HALPE_26

    assert HALPE_26.names[:17] == COCO_BODY.names
    assert conversion(HALPE_26, COCO_BODY) == tuple((row,) for row in range(17))
    rows = {name: row for row, name in enumerate(HALPE_26.names)}
    assert [rows[name] for name in COCO_WHOLEBODY.names[17:23]] == [20, 22, 24, 21, 23, 25]
    with pytest.raises(ValueError, match="no head"):
        conversion(COCO_WHOLEBODY, HALPE_26)
