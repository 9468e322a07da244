"""The nodes for ComfyUI, without ComfyUI."""

import asyncio
import colorsys
import importlib.util
import json
import math
import sys
import tomllib
from pathlib import Path
from types import ModuleType, SimpleNamespace

import cv2
import numpy as np
import pytest

import wholebody
from walkers import model, picture
from wholebody import WholebodyError, draw, formats
from wholebody.schema import HAND_EDGES, OPENPOSE
from wholebody.synth.walkers import person, seen

torch = pytest.importorskip("torch")
PACKAGE = Path(__file__).parents[2] / "integrations" / "comfyui"
SIZE = (320, 240)


def loaded(name="comfyui_wholebody"):
    spec = importlib.util.spec_from_file_location(
        name, PACKAGE / "__init__.py", submodule_search_locations=[str(PACKAGE)]
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


package = loaded()
nodes = sys.modules["comfyui_wholebody.nodes"]


def run(key, **inputs):
    """What a node gives, with the defaults of its widgets."""
    cls = package.NODE_CLASS_MAPPINGS[key]
    types = cls.INPUT_TYPES()
    defaults = {
        name: options["default"]
        for name, (_, options) in (types["required"] | types["optional"]).items()
        if "default" in options
    }
    assert set(inputs) <= set(types["required"]) | set(types["optional"])
    done = getattr(cls(), cls.FUNCTION)(**defaults | inputs)
    return done["result"] if isinstance(done, dict) else done


@pytest.fixture
def clip(monkeypatch):
    """IMAGE of four frames in which a small person walks past a large one, and a network that sees both."""
    monkeypatch.setattr(nodes, "_model", lambda *_: model())
    frames = [picture([(30 + 10 * n, 60, 70 + 10 * n, 160), (200, 20, 290, 230)], SIZE) for n in range(4)]
    return torch.from_numpy(np.stack(frames)[..., ::-1].astype(np.float32) / 255)


def keypoints_of(*frames, size=SIZE, threshold=0.3):
    return list(formats.pose_keypoint(frames, size, threshold=threshold))


def as_bgr(image):
    return (image.numpy()[..., ::-1] * 255).round().astype(np.uint8)


# --- Both interfaces --------------------------------------------------------------------------------------------------


def test_both_interfaces_offer_the_same_nodes(monkeypatch):
    """V3 with a stand-in for ComfyUI's `io`, which keeps what it is given."""

    def kind(name):
        return SimpleNamespace(
            Input=lambda port, **options: SimpleNamespace(kind=name, name=port, **options),
            Output=lambda port, **options: SimpleNamespace(kind=name, name=port, **options),
        )

    io = SimpleNamespace(
        **{name.title(): kind(name.upper()) for name in ("int", "float", "string", "boolean", "image", "combo")},
        Custom=kind,
        Schema=lambda **fields: SimpleNamespace(**fields),
        NodeOutput=lambda *values, ui=None: SimpleNamespace(values=values, ui=ui),
        ComfyNode=object,
    )
    latest = ModuleType("comfy_api.latest")
    latest.io, latest.ComfyExtension = io, object
    monkeypatch.setitem(sys.modules, "comfy_api", ModuleType("comfy_api"))
    monkeypatch.setitem(sys.modules, "comfy_api.latest", latest)
    latest.__spec__ = importlib.util.spec_from_loader("comfy_api.latest", None)
    with_v3 = loaded("comfyui_wholebody_v3")
    assert not hasattr(with_v3, "NODE_CLASS_MAPPINGS"), "ComfyUI would take these and leave V3"

    async def listed():
        return await (await with_v3.comfy_entrypoint()).get_node_list()

    classes = asyncio.run(listed())
    assert {cls.define_schema().node_id for cls in classes} == set(package.NODE_CLASS_MAPPINGS)
    for cls in classes:
        schema, old = cls.define_schema(), package.NODE_CLASS_MAPPINGS[cls.__name__]
        types = old.INPUT_TYPES()
        for port in schema.inputs:
            group = types["optional" if port.optional else "required"]
            assert port.name in group and getattr(port, "default", None) == group[port.name][1].get("default")
        assert tuple(port.kind for port in schema.outputs) == old.RETURN_TYPES
        names = [port.name for port in (*schema.inputs, *schema.outputs)]
        assert len(set(names)) == len(names)
        assert schema.display_name == package.NODE_DISPLAY_NAME_MAPPINGS[cls.__name__]
    align = next(cls for cls in classes if cls.__name__ == "WholebodyAlign")
    people = keypoints_of(seen([person(100)]))
    assert align.execute(keypoints=people, reference=people, mode="none").values == (people,)


def test_defaults_are_among_the_choices():
    for cls in package.NODE_CLASS_MAPPINGS.values():
        types = cls.INPUT_TYPES()
        for kind, options in (types["required"] | types["optional"]).values():
            if isinstance(kind, list):
                assert options["default"] in kind
            elif kind in ("INT", "FLOAT"):
                assert options["min"] <= options["default"] <= options["max"]


def test_metadata():
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text())
    assert project["project"]["name"] and project["project"]["version"]
    assert any(name.startswith("wholebody") for name in project["project"]["dependencies"])
    assert {"PublisherId", "DisplayName"} <= set(project["tool"]["comfy"])


@pytest.mark.parametrize("file", sorted((PACKAGE / "example_workflows").glob("*.json")), ids=lambda path: path.name)
def test_example_workflows_fit_the_nodes(file):
    workflow = json.loads(file.read_text())
    ours = {number: node for number, node in workflow.items() if node["class_type"] in package.NODE_CLASS_MAPPINGS}
    assert ours
    for node in ours.values():
        types = package.NODE_CLASS_MAPPINGS[node["class_type"]].INPUT_TYPES()
        assert set(types["required"]) <= set(node["inputs"]) <= set(types["required"]) | set(types["optional"])
        for value in node["inputs"].values():
            if isinstance(value, list) and workflow[value[0]]["class_type"] in package.NODE_CLASS_MAPPINGS:
                source = package.NODE_CLASS_MAPPINGS[workflow[value[0]]["class_type"]]
                assert value[1] < len(source.RETURN_TYPES)


# --- Estimating and drawing -------------------------------------------------------------------------------------------


def test_estimator(clip):
    image, keypoints = run("WholebodyEstimator", image=clip)
    assert image.shape == (4, 240, 320, 3) and image.dtype == torch.float32
    assert float(image.min()) >= 0 and float(image.max()) == 1
    frames, sizes = formats.from_pose_keypoint(keypoints)
    assert sizes == [SIZE] * 4 and [len(poses) for poses in frames] == [2] * 4
    assert {float(score) for poses in frames for score in poses.scores.ravel()} <= {0.0, 1.0}
    _, true = run("WholebodyEstimator", image=clip, scores="true scores")
    assert formats.from_pose_keypoint(true)[0][0].part("body")[1].max() == pytest.approx(0.9, abs=1e-3)


def test_size_of_the_map_and_turning(clip):
    image, keypoints = run("WholebodyEstimator", image=clip, short_side=512, multiple=64, rotate="180")
    assert image.shape == (4, 512, 704, 3) and keypoints[0]["canvas_width"] == 320
    # Turned by half, the network finds heads where feet are.
    upright, turned = (
        formats.from_pose_keypoint(run("WholebodyEstimator", image=clip, rotate=turn)[1])[0][0] for turn in ("0", "180")
    )
    assert upright.keypoints[0, 0, 1] < upright.keypoints[0, 10, 1]
    assert turned.keypoints[0, 0, 1] > turned.keypoints[0, 10, 1]


def test_people_of_a_clip(clip):
    _, keypoints = run("WholebodyEstimator", image=clip, clip=True, people=1, order="left-to-right")
    frames, _ = formats.from_pose_keypoint(keypoints)
    assert [len(poses) for poses in frames] == [1] * 4 and len({poses.ids[0] for poses in frames}) == 1
    assert all(poses.keypoints[0, 0, 0] < 150 for poses in frames)
    _, all_of_them = run("WholebodyEstimator", image=clip, clip=True)
    ids = [formats.from_pose_keypoint(all_of_them)[0][0].ids.tolist()]
    (chosen,) = run("WholebodyChoosePeople", keypoints=all_of_them, ids=str(max(ids[0])))
    assert all(poses.ids.tolist() == [max(ids[0])] for poses in formats.from_pose_keypoint(chosen)[0])
    (region,) = run("WholebodyChoosePeople", keypoints=all_of_them, region="0.5, 0, 0.5, 1")
    assert all(poses.keypoints[0, 0, 0] > 160 for poses in formats.from_pose_keypoint(region)[0])
    with pytest.raises(WholebodyError, match="4 numbers"):
        run("WholebodyChoosePeople", keypoints=all_of_them, region="1,2")


def test_render_draws_the_map(clip):
    image, keypoints = run("WholebodyEstimator", image=clip)
    (rendered,) = run("WholebodyRender", keypoints=keypoints)
    assert (as_bgr(image) != as_bgr(rendered)).any(axis=3).mean() < 0.001  # points are written with two decimals
    (large,) = run("WholebodyRender", keypoints=keypoints, width=640, height=640)
    assert large.shape == (4, 640, 640, 3)
    # Padded: nothing in the bars above and below, and sticks of the same width.
    assert not large[:, :75].any() and not large[:, 565:].any()
    (thin,) = run("WholebodyRender", keypoints=keypoints, style="aapose")
    assert 0 < (thin > 0).any(dim=3).sum() < (rendered > 0).any(dim=3).sum()


def common_render(frame):
    """The map as the usual node draws it: points with c < 1 dropped, people one after another."""
    width, height = frame["canvas_width"], frame["canvas_height"]
    canvas = np.zeros((height, width, 3), np.uint8)
    colors = [
        (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0), (0, 255, 0), (0, 255, 85),
        (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255), (0, 0, 255), (85, 0, 255), (170, 0, 255),
        (255, 0, 255), (255, 0, 170), (255, 0, 85),
    ]  # fmt: skip
    limbs = [(edge.a, edge.b) for edge in OPENPOSE.edges if edge.b < 18]

    def points(person, field):
        triplets = np.array(person[field]).reshape(-1, 3)
        return [None if c < 1 else (x / width, y / height) for x, y, c in triplets]

    for one in frame["people"]:
        body = points(one, "pose_keypoints_2d")
        for (a, b), color in zip(limbs, colors, strict=False):
            if body[a] and body[b]:
                (x0, y0), (x1, y1) = ((x * width, y * height) for x, y in (body[a], body[b]))
                axes = (int(math.hypot(x0 - x1, y0 - y1) / 2), 4)
                angle = int(math.degrees(math.atan2(y0 - y1, x0 - x1)))
                shape = cv2.ellipse2Poly((int((x0 + x1) / 2), int((y0 + y1) / 2)), axes, angle, 0, 360, 1)
                cv2.fillConvexPoly(canvas, shape, [int(channel * 0.6) for channel in color])
        for point, color in zip(body, colors, strict=True):
            if point:
                cv2.circle(canvas, (int(point[0] * width), int(point[1] * height)), 4, color, -1)
        for field in ("hand_left_keypoints_2d", "hand_right_keypoints_2d"):
            hand = points(one, field)
            for n, (a, b) in enumerate(HAND_EDGES):
                if hand[a] and hand[b]:
                    ends = [(int(x * width), int(y * height)) for x, y in (hand[a], hand[b])]
                    if min(map(min, ends)) > 0:
                        color = [channel * 255 for channel in colorsys.hsv_to_rgb(n / 20, 1, 1)]
                        cv2.line(canvas, *ends, color, 2)
            for x, y in filter(None, hand):
                if min(int(x * width), int(y * height)) > 0:
                    cv2.circle(canvas, (int(x * width), int(y * height)), 4, (0, 0, 255), -1)
        for x, y in filter(None, points(one, "face_keypoints_2d")):
            if min(int(x * width), int(y * height)) > 0:
                cv2.circle(canvas, (int(x * width), int(y * height)), 3, (255, 255, 255), -1)
    return canvas[..., ::-1]


def test_a_photo_looks_alike_in_the_usual_render_node():
    """Bundled networks, a photo of several people: at most 1 % of the pixels of the picture apart."""
    from wholebody import WholeBody, read_image

    photo = read_image(Path(wholebody.__file__).parent / "sample.jpg")
    poses = WholeBody("fast")(photo)
    assert len(poses)
    own = draw.openpose(np.zeros_like(photo), poses)
    (frame,) = keypoints_of(poses, size=photo.shape[1::-1])
    theirs = common_render(json.loads(json.dumps(frame)))
    assert (theirs > 0).any(axis=2).mean() > 0.01
    assert (own != theirs).any(axis=2).mean() < 0.01


# --- Files, alignment, video models -----------------------------------------------------------------------------------


def test_save_and_load(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    keypoints = keypoints_of(seen([person(100)]), seen([]))
    for number in (1, 2):
        run("WholebodySaveKeypoints", keypoints=keypoints, prefix="dance/take")
        assert (tmp_path / "output" / "dance" / f"take_0000{number}.json").is_file()
    (again,) = run("WholebodyLoadKeypoints", file="dance/take_00002.json")
    assert again == keypoints
    assert package.NODE_CLASS_MAPPINGS["WholebodyLoadKeypoints"].IS_CHANGED(file="dance/take_00002.json") > 0
    with pytest.raises(WholebodyError, match="output folder"):
        run("WholebodySaveKeypoints", keypoints=keypoints, prefix="../../elsewhere")
    with pytest.raises(WholebodyError, match="no such file"):
        run("WholebodyLoadKeypoints", file="nothing.json")


def test_align(clip):
    _, keypoints = run("WholebodyEstimator", image=clip, clip=True, people=1, order="left-to-right")
    character = keypoints_of(seen([person(200, 60, 500)]), size=(400, 600))
    (aligned,) = run("WholebodyAlign", keypoints=keypoints, reference=character, mode="muse")
    frames, sizes = formats.from_pose_keypoint(aligned)
    assert sizes == [(400, 600)] * 4
    heights = [np.ptp(poses.part("body")[0][0, :, 1]) for poses in frames]
    assert heights == pytest.approx([np.ptp(seen([person(200, 60, 500)]).keypoints[0, :17, 1])] * 4, rel=0.15)


def test_wan_animate(clip):
    _, keypoints = run("WholebodyEstimator", image=clip, clip=True, people=1, order="size")
    data, poses, faces, points, boxes, face_boxes = run("WholebodyWanAnimate", image=clip, keypoints=keypoints)
    assert poses.shape == (4, 240, 320, 3) and faces.shape == (4, 512, 512, 3) and float(poses.max()) > 0
    assert len(data["pose_metas"]) == 4 and data["retarget_image"] is None
    assert len(json.loads(points)) == 32 and len(boxes) == len(face_boxes) == 4
    character = keypoints_of(seen([person(200, 60, 500)]), size=(400, 610))
    data, poses, *_ = run(
        "WholebodyWanAnimate",
        image=clip,
        keypoints=keypoints,
        reference=character,
        reference_image=torch.zeros(1, 8, 8, 3),
    )
    assert poses.shape == (4, 608, 400, 3) and data["retarget_image"].shape == (8, 8, 3)
    assert data["pose_metas"][0].height == 610 and data["refer_pose_meta"]["height"] == 610
    with pytest.raises(WholebodyError, match="same clip"):
        run("WholebodyWanAnimate", image=clip[:2], keypoints=keypoints)


def test_scail(clip):
    _, keypoints = run("WholebodyEstimator", image=clip)
    (found,) = run("WholebodyScail", keypoints=keypoints, people=1)
    assert found["swap_hands"] is False and len(found["poses"]) == 4
    assert found["poses"][0]["bodies"]["candidate"].shape == (1, 18, 2) and found["poses"][0]["hands"].shape == (
        2,
        21,
        2,
    )
