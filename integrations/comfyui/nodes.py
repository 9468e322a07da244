"""The nodes. All functions here also run without ComfyUI, whose progress bar and folders are used if it is installed.

POSE_KEYPOINT is a list of frames {people, canvas_width, canvas_height}; `wholebody.formats` writes and reads it. Ids of
people are in `person_id`, which other nodes ignore.
"""

import json
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from wholebody import draw
from wholebody.align import align
from wholebody.compat.aapose import aapose
from wholebody.compat.scail import dwposes
from wholebody.compat.wan_animate import face_boxes, face_crop, held, key_points, pose_data
from wholebody.draw.canvas import Sizing
from wholebody.errors import WholebodyError
from wholebody.formats import from_pose_keypoint, pose_keypoint, read_comfy
from wholebody.images import from_rgb, to_rgb
from wholebody.pose.choose import ORDERS, Choice
from wholebody.poses import Poses
from wholebody.predict.turn import TURNS, Turned
from wholebody.weights import MANIFEST

from .ports import Node, Port, Shown

Keypoints = list[dict[str, Any]]

# Pictures per batch.
BATCH = 8
_SCORES = ("1 or 0", "true scores")
_MODES = ("linear", "muse", "uni", "wan", "none")
_HOWS = ("pad", "crop", "fit", "stretch")
_ANY_ORDER = "as found"


# --- Estimating -------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=2)
def _model(pose: str, detector: str, threshold: float) -> Any:
    """The networks, which stay loaded between runs."""
    from wholebody import WholeBody

    return WholeBody(pose, detector, threshold=threshold or None)


def estimate(
    image: Any,
    pose: str,
    detector: str,
    threshold: float,
    box_threshold: float,
    body: bool,
    hands: bool,
    face: bool,
    feet: bool,
    stick_scale: str,
    people: int,
    order: str,
    region: str,
    ids: str,
    clip: bool,
    rotate: str,
    short_side: int,
    multiple: int,
    scores: str,
) -> Shown:
    """Pictures -> maps and POSE_KEYPOINT."""
    model = Turned(_model(pose, detector, box_threshold), "auto" if rotate == "auto" else int(rotate))  # type: ignore[arg-type]
    frames, size = _people(image, model, clip), _size(image)
    frames = _chosen(frames, size, people, order, region, ids)
    canvas = Sizing(short_side=short_side or None, multiple=multiple).canvas(size)
    parts = {"body": body, "hands": hands, "face": face, "feet": feet}
    maps = [
        draw.openpose(canvas.black(), canvas.poses(poses), **parts, stick_scale=stick_scale, threshold=threshold)
        for poses in frames
    ]
    keypoints = list(pose_keypoint(frames, size, threshold=threshold if scores == _SCORES[0] else None))
    return Shown((_images(maps), keypoints), {"openpose_json": [json.dumps(keypoints)]})


def _people(image: Any, model: Turned, clip: bool) -> list[Poses]:
    """The people of each picture; tracked if the pictures are a clip."""
    from wholebody.tracking.track import Tracker

    tracker = Tracker() if clip else None
    frames: list[Poses] = []
    with_progress = _progress(len(image))
    pictures = (from_rgb(one) for one in image)
    while batch := list(islice(pictures, BATCH)):
        for poses in model.images(batch):
            if tracker is not None:
                # ComfyUI's batches have no timestamps. 30 frames per second is close enough for tracking.
                poses = tracker.update(poses, len(frames) / 30)
            frames.append(poses)
        with_progress(len(batch))
    return frames


def _chosen(frames: list[Poses], size: tuple[int, int], people: int, order: str, region: str, ids: str) -> list[Poses]:
    choice = Choice(
        people=people or None,
        order=None if order == _ANY_ORDER else order,  # type: ignore[arg-type]
        region=_numbers(region, 4) if region.strip() else None,  # type: ignore[arg-type]
        keep=tuple(int(one) for one in _numbers(ids)) if ids.strip() else (),
    )
    if choice.is_all:
        return frames
    # Of a clip the same people throughout; otherwise picture by picture.
    if any(len(poses) for poses in frames) and all(poses.ids is not None for poses in frames if len(poses)):
        kept = Choice(keep=tuple(choice.ids(frames, size)) or (-1,))
        return [kept(poses) for poses in frames]
    return [choice(poses, size) for poses in frames]


def _numbers(text: str, count: int | None = None) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in text.replace(",", " ").split())
    except ValueError as error:
        raise WholebodyError(f"{text!r}: give numbers separated by commas.") from error
    if count is not None and len(numbers) != count:
        raise WholebodyError(f"{text!r}: give {count} numbers separated by commas.")
    return numbers


# --- POSE_KEYPOINT in and out -----------------------------------------------------------------------------------------


def render(
    keypoints: Keypoints,
    style: str,
    width: int,
    height: int,
    how: str,
    body: bool,
    hands: bool,
    face: bool,
    feet: bool,
    stick_scale: str,
    threshold: float,
) -> tuple[Any]:
    """POSE_KEYPOINT -> maps of one size."""
    frames, sizes = from_pose_keypoint(keypoints)
    wanted = (width, height) if width and height else sizes[0] if sizes else (512, 512)
    drawn = []
    for poses, size in zip(frames, sizes, strict=True):
        canvas = Sizing(size=wanted, how="stretch" if how == "fit" else how).canvas(size)  # type: ignore[arg-type]
        placed = canvas.poses(poses)
        if style == "aapose":
            drawn.append(aapose(canvas.black(), placed, hands=hands, head=body, threshold=threshold))
            continue
        parts = {"body": body, "hands": hands, "face": face, "feet": feet and "left_heel" in poses.schema.names}
        drawn.append(draw.openpose(canvas.black(), placed, **parts, stick_scale=stick_scale, threshold=threshold))
    return (_images(drawn or [np.zeros((wanted[1], wanted[0], 3), np.uint8)]),)


def save(keypoints: Keypoints, prefix: str) -> Shown:
    """POSE_KEYPOINT -> output/<prefix>_00001.json, the next free number."""
    folder = _folder("output")
    place = (folder / prefix).resolve()
    if not place.is_relative_to(folder.resolve()):
        raise WholebodyError(f"{prefix!r} is outside the output folder. Name a file inside it.")
    place.parent.mkdir(parents=True, exist_ok=True)
    taken = {path.name for path in place.parent.glob("*.json")}
    name = next(name for n in range(1, 10**6) if (name := f"{place.name}_{n:05d}.json") not in taken)
    (place.parent / name).write_text(json.dumps(keypoints) + "\n", encoding="utf-8")
    return Shown((keypoints,), {"text": [str(place.parent.relative_to(folder.resolve()) / name)]})


def load(file: str) -> tuple[Keypoints]:
    """A JSON file of the input or output folder, or one named with its whole path -> POSE_KEYPOINT."""
    frames, sizes = read_comfy(_find(file))
    return (list(pose_keypoint(frames, sizes, threshold=None)),)


def _find(file: str) -> Path:
    named = Path(file).expanduser()
    places = [named] if named.is_absolute() else [_folder(kind) / named for kind in ("input", "output")]
    for place in places:
        if place.is_file():
            return place
    raise WholebodyError(f"{file}: no such file in the input or output folder. Give its name, or its full path.")


def _age(file: str) -> float:
    return _find(file).stat().st_mtime


def choose(keypoints: Keypoints, people: int, order: str, region: str, ids: str) -> tuple[Keypoints]:
    """Some of the people, in order."""
    frames, sizes = from_pose_keypoint(keypoints)
    chosen = _chosen(frames, sizes[0] if sizes else (1, 1), people, order, region, ids)
    return (list(pose_keypoint(chosen, sizes, threshold=None)),)


def aligned(keypoints: Keypoints, reference: Keypoints, mode: str) -> tuple[Keypoints]:
    """The clip's people with the reference's proportions, on the reference's canvas."""
    frames, sizes = from_pose_keypoint(keypoints)
    models, model_sizes = from_pose_keypoint(reference)
    if not models or mode == "none":
        return (keypoints,)
    size = sizes[0] if sizes else None
    fitted = align(frames, models[0], mode, size=size, reference_size=model_sizes[0])  # type: ignore[arg-type, call-overload]
    return (list(pose_keypoint(fitted, model_sizes[0], threshold=None)),)


# --- Wan-Animate and SCAIL --------------------------------------------------------------------------------------------


def wan_animate(
    image: Any,
    keypoints: Keypoints,
    width: int,
    height: int,
    hands: bool,
    head: bool,
    threshold: float,
    face_area: float,
    mode: str,
    reference_image: Any,
    reference: Keypoints | None,
) -> tuple[Any, ...]:
    """Pictures and their POSE_KEYPOINT -> POSEDATA, pose video, face video, key points and boxes."""
    frames, sizes = from_pose_keypoint(keypoints)
    size = _size(image)
    if len(frames) != len(image):
        raise WholebodyError(f"{len(image)} pictures and keypoints of {len(frames)}: connect both from the same clip.")
    models, model_sizes = from_pose_keypoint(reference) if reference else ([], [])
    target, target_size = frames, size
    if models and mode != "none":
        target = align(frames, models[0], mode, size=sizes[0], reference_size=model_sizes[0])  # type: ignore[arg-type, call-overload]
        target_size = model_sizes[0]
    data = pose_data(
        frames,
        size,
        aligned=target if models else None,
        aligned_size=target_size,
        reference=models[0] if models else None,
        reference_size=model_sizes[0] if models else None,
        reference_image=None if reference_image is None else np.asarray(reference_image[0].cpu()),
    )
    # The model's sides are multiples of 16.
    wanted = (width, height) if width and height else target_size
    canvas = Sizing(size=wanted, multiple=16).canvas(target_size)
    maps = [
        aapose(canvas.black(), canvas.poses(poses[:1]), hands=hands, head=head, threshold=threshold)
        for poses in held(target)
    ]
    faces = face_boxes(frames, size, area=face_area)
    crops = [face_crop(from_rgb(one), box) for one, box in zip(image, faces, strict=True)]
    boxes = [tuple(int(side) for side in poses.boxes[0]) if len(poses) else (0, 0, 0, 0) for poses in held(frames)]
    return data, _images(maps), _images(crops), key_points(frames), boxes, faces


def scail(keypoints: Keypoints, people: int, threshold: float) -> tuple[dict[str, Any]]:
    """POSE_KEYPOINT -> DWPOSES."""
    frames, sizes = from_pose_keypoint(keypoints)
    return (dwposes([poses[: people or None] for poses in frames], sizes, threshold=threshold),)


# --- ComfyUI's own ----------------------------------------------------------------------------------------------------


def _size(image: Any) -> tuple[int, int]:
    return int(image.shape[2]), int(image.shape[1])


def _images(pictures: list[Any]) -> Any:
    """BGR pictures of one size -> IMAGE."""
    import torch

    return torch.from_numpy(to_rgb(np.stack(pictures)))


def _folder(kind: str) -> Path:
    """ComfyUI's input or output folder; outside ComfyUI, a folder of that name in the working directory."""
    try:
        import folder_paths
    except ImportError:
        return Path(kind)
    return Path(folder_paths.get_output_directory() if kind == "output" else folder_paths.get_input_directory())


def _progress(total: int) -> Callable[[int], None]:
    """A function that advances ComfyUI's progress bar, and stops if the user has asked for it."""
    try:
        from comfy import model_management
        from comfy.utils import ProgressBar
    except ImportError:
        return lambda _: None
    bar = ProgressBar(total)

    def advance(steps: int) -> None:
        model_management.throw_exception_if_processing_interrupted()
        bar.update(steps)

    return advance


# --- The table --------------------------------------------------------------------------------------------------------


def _names(kind: str) -> list[str]:
    return [name for name, weights in MANIFEST.items() if weights.kind == kind]


def _parts(feet: bool = False) -> Iterator[Port]:
    for name, about in (
        ("body", "17 sticks and 18 dots"),
        ("hands", "2 x 21 points"),
        ("face", "68 white dots"),
    ):
        yield Port(name, "BOOLEAN", True, about=about)
    yield Port("feet", "BOOLEAN", feet, about="toes and heels, for models that were trained with them")
    yield Port(
        "stick_scale", "COMBO", "official", ("official", "xinsir"), about="xinsir's SDXL ControlNets need wider sticks"
    )


_PEOPLE = (
    Port("people", "INT", 0, low=0, high=100, step=1, about="at most this many; 0 for all"),
    Port("order", "COMBO", _ANY_ORDER, (_ANY_ORDER, *ORDERS), about="which people come first, and are kept"),
    Port("region", "STRING", "", about="x, y, width, height in pixels, or in fractions of the picture; empty for all"),
    Port("ids", "STRING", "", about="ids of people in a clip, comma-separated; empty for all"),
)
_THRESHOLD = Port("threshold", "FLOAT", 0.3, low=0.0, high=1.0, step=0.01, about="lowest score of a drawn point")
_KEYPOINTS = Port("keypoints", "POSE_KEYPOINT")
_WIDTH, _HEIGHT = (
    Port(name, "INT", 0, low=0, high=16384, step=8, about="of the map; 0 for that of the canvas")
    for name in ("width", "height")
)

NODES = (
    Node(
        "WholebodyEstimator",
        "Whole-Body Pose Estimator",
        "Finds the body, hands, face and feet of everyone in the pictures, and draws the OpenPose map.",
        (
            Port("image", "IMAGE"),
            Port("pose", "COMBO", "wholebody-133", _names("pose"), about="the network for the 133 keypoints"),
            Port(
                "detector", "COMBO", "person", [*_names("detector"), "none"], about="none: each picture is one person"
            ),
            _THRESHOLD,
            Port(
                "box_threshold",
                "FLOAT",
                0.0,
                low=0.0,
                high=1.0,
                step=0.01,
                about="lowest score of a person; 0: the detector's",
            ),
            *_parts(),
            *_PEOPLE,
            Port("clip", "BOOLEAN", False, about="the pictures are frames of one clip: people are tracked by id"),
            Port("rotate", "COMBO", "0", [*map(str, TURNS), "auto"], about="for handstands and ceiling cameras"),
            Port("short_side", "INT", 0, low=0, high=16384, step=8, about="of the map; 0 for that of the picture"),
            Port(
                "multiple",
                "INT",
                1,
                low=1,
                high=256,
                step=1,
                about="round width and height of the map to multiples of this",
            ),
            Port("scores", "COMBO", _SCORES[0], _SCORES, about="most nodes draw only points with a score of 1"),
        ),
        (("image", "IMAGE"), ("keypoints", "POSE_KEYPOINT")),
        estimate,
    ),
    Node(
        "WholebodyRender",
        "Render Pose Keypoints",
        "Draws POSE_KEYPOINT from any node at any size. The points are scaled, not the drawing.",
        (
            _KEYPOINTS,
            Port("style", "COMBO", "openpose", ("openpose", "aapose"), about="aapose is Wan-Animate's"),
            _WIDTH,
            _HEIGHT,
            Port("how", "COMBO", "pad", _HOWS, about="what to do if the aspect ratio differs from the canvas's"),
            *_parts(),
            _THRESHOLD,
        ),
        (("image", "IMAGE"),),
        render,
    ),
    Node(
        "WholebodySaveKeypoints",
        "Save Pose Keypoints",
        "Writes POSE_KEYPOINT as JSON into the output folder.",
        (_KEYPOINTS, Port("prefix", "STRING", "poses/pose", about="folder and start of the name")),
        (("keypoints", "POSE_KEYPOINT"),),
        save,
        end=True,
    ),
    Node(
        "WholebodyLoadKeypoints",
        "Load Pose Keypoints",
        "Reads POSE_KEYPOINT from JSON: ours, or that of other nodes.",
        (Port("file", "STRING", "pose_00001.json", about="a name in the input or output folder, or a full path"),),
        (("keypoints", "POSE_KEYPOINT"),),
        load,
        fresh=_age,
    ),
    Node(
        "WholebodyChoosePeople",
        "Choose People",
        "Keeps some of the people: by size, position, region or id.",
        (_KEYPOINTS, *_PEOPLE),
        (("keypoints", "POSE_KEYPOINT"),),
        choose,
    ),
    Node(
        "WholebodyAlign",
        "Align Pose to Reference",
        "Gives the people of a clip the proportions and the position of a reference character.",
        (
            _KEYPOINTS,
            Port("reference", "POSE_KEYPOINT", about="of the character's picture; the first frame is used"),
            Port("mode", "COMBO", "linear", _MODES, about="linear: size and position only; others: limb by limb"),
        ),
        (("keypoints", "POSE_KEYPOINT"),),
        aligned,
    ),
    Node(
        "WholebodyWanAnimate",
        "Wan-Animate Pose and Face",
        "Produces the inputs of Wan2.2-Animate: POSEDATA, the pose video and the face video of 512 pixels.",
        (
            Port("image", "IMAGE", about="the frames"),
            Port("keypoints", "POSE_KEYPOINT", about="of the same frames; the first person of each is used"),
            _WIDTH,
            _HEIGHT,
            Port("hands", "BOOLEAN", True),
            Port("head", "BOOLEAN", True, about="nose, eyes and ears"),
            Port("threshold", "FLOAT", 0.5, low=0.0, high=1.0, step=0.01, about="lowest score of a drawn point"),
            Port(
                "face_area",
                "FLOAT",
                1.3,
                low=1.0,
                high=4.0,
                step=0.05,
                about="area of the face crop, relative to the face",
            ),
            Port("mode", "COMBO", "wan", _MODES, about="how to align to the reference, if there is one"),
            Port("reference_image", "IMAGE", optional=True, about="the character"),
            Port("reference", "POSE_KEYPOINT", optional=True, about="of the character's picture"),
        ),
        (
            ("pose_data", "POSEDATA"),
            ("pose_video", "IMAGE"),
            ("face_video", "IMAGE"),
            ("key_points", "STRING"),
            ("boxes", "BBOX"),
            ("face_boxes", "BBOX"),
        ),
        wan_animate,
    ),
    Node(
        "WholebodyScail",
        "Pose Keypoints to DWPoses",
        "Produces the input from which the SCAIL nodes draw faces and hands.",
        (
            _KEYPOINTS,
            Port("people", "INT", 0, low=0, high=100, step=1, about="at most this many; 0 for all"),
            _THRESHOLD,
        ),
        (("dw_poses", "DWPOSES"),),
        scail,
    ),
)
