"""A procedural sampler of poses, hand shapes, head turns and expressions, within the limits of joints.

Angles are degrees. Every rotation is about a bone's head in the axes of the rest pose (the person faces -y, z up, left
is +x), so flexing both hips by 90 is the same rotation on either side. The right side is sampled as a mirrored left.
A pose whose arms or legs enter the body (ellipsoids around the bones of trunk, head and legs) is drawn again.
"""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numba
import numpy as np
import numpy.typing as npt

from wholebody.arrays import Doubles, Floats, Ints32
from wholebody.errors import WholebodyError
from wholebody.synth import bvh
from wholebody.synth.body import Body, bone_transforms

# Stores a bone's rotation.
_Put = Callable[[str, Doubles], None]

STANCES = {
    "stand": 0.25, "walk": 0.11, "run": 0.06, "sit": 0.15, "floor": 0.05, "squat": 0.05, "kneel": 0.05, "lie": 0.05,
    "jump": 0.04, "free": 0.06, "dance": 0.05, "lunge": 0.02, "kick": 0.02, "throw": 0.025, "serve": 0.02,
    "plank": 0.015, "swim": 0.02,
}  # fmt: skip
ARMS = {
    "down": 0.15, "hips": 0.07, "crossed": 0.06, "face": 0.12, "raised": 0.11, "forward": 0.11, "front": 0.09,
    "side": 0.07, "free": 0.12, "together": 0.06, "nape": 0.03, "back": 0.03,
}  # fmt: skip
# Stances whose arms do something of their own: their kinds of ARMS, or of the kinds that only they have.
_STANCE_ARMS: dict[str, dict[str, float]] = {
    "sit": {**ARMS, "lap": 0.4},
    "dance": {"raised": 0.25, "side": 0.25, "overhead": 0.2, "free": 0.15, "hips": 0.1, "front": 0.05},
    "lunge": {"forward": 0.3, "side": 0.2, "overhead": 0.15, "hips": 0.2, "together": 0.15},
    "kick": {"side": 0.4, "free": 0.3, "forward": 0.2, "front": 0.1},
    "plank": {"support": 1.0},
    "swim": {"overhead": 0.5, "side": 0.15, "free": 0.2, "forward": 0.15},
}
_BOTH = ("crossed", "together", "support", "back")  # kinds that one arm alone cannot do


@dataclass(frozen=True)
class HandShape:
    """A static configuration of a hand.

    Attributes:
        thumb: of its root, towards the index finger in the palm's plane (below 0: away) and over the palm; and the
            bend of its outer joints; 0 at rest to 1.
        knuckles, middles: curl of index, middle, ring and little finger at the knuckle and at the middle joint; 0
            straight to 1 closed. The outermost joint follows the middle one, as tendons make it.
        spread: 0 fingers side by side, 1 fanned out; below 0 index and middle finger cross.
    """

    thumb: tuple[float, float, float]
    knuckles: tuple[float, float, float, float]
    middles: tuple[float, float, float, float]
    spread: float


def _curled(thumb: float, index: float, middle: float, ring: float, little: float, spread: float) -> HandShape:
    """Every finger closes in all its joints alike."""
    fingers = (index, middle, ring, little)
    return HandShape((0.8 * thumb, 0.3 * thumb, thumb), fingers, fingers, spread)


HANDS: dict[str, HandShape] = {
    "relaxed": _curled(0.15, 0.22, 0.28, 0.32, 0.35, 0.1),
    "flat": _curled(0.0, 0.0, 0.0, 0.0, 0.0, 0.1),
    "spread": _curled(-0.2, -0.05, -0.05, -0.05, -0.05, 1.0),
    "fist": _curled(0.75, 0.95, 0.95, 0.95, 0.95, 0.0),
    "point": _curled(0.6, 0.0, 0.9, 0.92, 0.92, 0.0),
    "peace": _curled(0.75, 0.0, 0.0, 0.92, 0.92, 0.8),
    "thumb": _curled(-0.25, 0.95, 0.95, 0.95, 0.95, 0.0),
    "grip": _curled(0.45, 0.55, 0.58, 0.6, 0.62, 0.1),
    "pinch": _curled(0.45, 0.55, 0.25, 0.2, 0.15, 0.3),
    "three": _curled(0.7, 0.0, 0.0, 0.0, 0.9, 0.8),
    "horns": _curled(0.6, 0.0, 0.92, 0.92, 0.0, 0.4),
}
# Shapes that hold something.
GRIPS: dict[str, HandShape] = {
    "rod": HandShape((0.5, 0.75, 0.5), (0.72, 0.75, 0.78, 0.8), (0.72, 0.72, 0.74, 0.76), 0.0),
    "wrap": HandShape((0.0, 0.8, 0.3), (0.4, 0.42, 0.44, 0.48), (0.5, 0.5, 0.5, 0.5), 0.1),
    "hold": HandShape((-0.1, 0.55, 0.25), (0.35, 0.4, 0.42, 0.45), (0.45, 0.5, 0.5, 0.5), 0.1),
    "bowl": HandShape((-0.3, 0.45, 0.2), (0.1, 0.1, 0.1, 0.1), (0.3, 0.3, 0.3, 0.3), 0.7),
    "clamp": HandShape((0.1, 0.8, 0.15), (0.35, 0.35, 0.35, 0.35), (0.1, 0.1, 0.1, 0.1), 0.1),
    "hook": HandShape((0.2, 0.2, 0.3), (0.35, 0.35, 0.38, 0.4), (0.95, 0.95, 0.95, 0.95), 0.0),
}
# The manual alphabet of American Sign Language but for J and Z, which are movements. Wrists turn freely, so letters
# that differ by where the hand points only (as K and P do) get their usual small differences of the fingers.
LETTERS: dict[str, HandShape] = {
    "A": HandShape((0.35, 0.0, 0.0), (1, 1, 1, 1), (1, 1, 1, 1), 0.0),
    "B": HandShape((0.8, 0.9, 0.6), (0, 0, 0, 0), (0, 0, 0, 0), 0.0),
    "C": HandShape((-0.1, 0.8, 0.35), (0.35, 0.35, 0.35, 0.35), (0.5, 0.5, 0.5, 0.5), 0.1),
    "D": HandShape((0.4, 0.9, 0.5), (0, 0.6, 0.65, 0.7), (0, 0.7, 0.7, 0.75), 0.0),
    "E": HandShape((0.8, 0.8, 0.9), (0.45, 0.45, 0.45, 0.45), (1, 1, 1, 1), 0.0),
    "F": HandShape((0.3, 0.75, 0.5), (0.6, 0, 0, 0), (0.6, 0, 0, 0), 0.6),
    "G": HandShape((0.2, 0.45, 0.0), (0.15, 1, 1, 1), (0, 1, 1, 1), 0.0),
    "H": HandShape((0.4, 0.45, 0.35), (0.15, 0.15, 1, 1), (0, 0, 1, 1), 0.0),
    "I": HandShape((0.8, 0.65, 0.5), (1, 1, 1, 0), (1, 1, 1, 0), 0.0),
    "K": HandShape((0.3, 0.65, 0.1), (0, 0.5, 1, 1), (0, 0, 1, 1), 0.5),
    "L": HandShape((-0.6, 0.0, 0.0), (0, 1, 1, 1), (0, 1, 1, 1), 0.0),
    "M": HandShape((1.0, 0.6, 0.3), (0.85, 0.85, 0.85, 1), (0.65, 0.65, 0.65, 1), 0.0),
    "N": HandShape((0.8, 0.5, 0.3), (0.85, 0.85, 1, 1), (0.65, 0.65, 1, 1), 0.0),
    "O": HandShape((0.2, 0.9, 0.5), (0.55, 0.55, 0.55, 0.55), (0.65, 0.65, 0.65, 0.65), 0.0),
    "P": HandShape((0.3, 0.65, 0.1), (0.1, 0.75, 1, 1), (0, 0.1, 1, 1), 0.2),
    "Q": HandShape((0.1, 0.75, 0.1), (0.45, 1, 1, 1), (0, 1, 1, 1), 0.0),
    "R": HandShape((0.7, 0.7, 0.7), (0, 0.1, 1, 1), (0, 0.05, 1, 1), -1.0),
    "S": HandShape((0.9, 0.65, 0.7), (1, 1, 1, 1), (1, 1, 1, 1), 0.0),
    "T": HandShape((0.5, 0.45, 0.3), (0.75, 1, 1, 1), (0.85, 1, 1, 1), 0.0),
    "U": HandShape((0.75, 0.75, 0.7), (0, 0, 1, 1), (0, 0, 1, 1), 0.0),
    "V": HandShape((0.75, 0.75, 0.7), (0, 0, 1, 1), (0, 0, 1, 1), 1.0),
    "W": HandShape((0.85, 0.85, 0.7), (0, 0, 0, 1), (0, 0, 0, 1), 1.0),
    "X": HandShape((0.7, 0.6, 0.6), (0.15, 1, 1, 1), (0.9, 1, 1, 1), 0.0),
    "Y": HandShape((-0.6, 0.0, -0.1), (1, 1, 1, 0), (1, 1, 1, 0), 0.7),
}
EXPRESSIONS: dict[str, dict[str, float]] = {
    "smile": {"mouthSmile": 1.0, "cheekSquint": 0.6, "eyeSquint": 0.3},
    "laugh": {"mouthSmile": 0.9, "jawOpen": 0.5, "cheekSquint": 0.8, "eyeSquint": 0.5, "mouthUpperUp": 0.4},
    "surprise": {"browInnerUp": 0.9, "browOuterUp": 0.9, "eyeWide": 0.9, "jawOpen": 0.5},
    "anger": {"browDown": 1.0, "eyeSquint": 0.5, "noseSneer": 0.5, "mouthPress": 0.6},
    "sadness": {"browInnerUp": 0.8, "mouthFrown": 0.9, "mouthShrugLower": 0.5},
    "talk": {"jawOpen": 0.35, "mouthFunnel": 0.4},
    "shout": {"jawOpen": 1.0, "mouthStretch": 0.5, "browDown": 0.5},
    "kiss": {"mouthPucker": 1.0},
    "closed": {"eyeBlink": 1.0},
    "disgust": {"noseSneer": 1.0, "mouthUpperUp": 0.6, "browDown": 0.4},
}


@dataclass(frozen=True, eq=False)
class Pose:
    """Rotations (J, 3, 3) about every bone's head in rest axes, and what they were sampled as."""

    rotations: Floats
    kinds: dict[str, str]


def sample_pose(
    rng: np.random.Generator, body: Body, rest: Floats, heads: Floats, attempts: int = 8,
    grips: tuple[str, str] = ("", ""), given: Pose | None = None,
) -> Pose:  # fmt: skip
    """A pose for the person with rest vertices (V, 3) and bone heads (J, 3).

    Args:
        grips: rows of GRIPS for the left and right hand; "" for a hand that holds nothing.
        given: a pose to take instead of drawing one; hands whose fingers it leaves straight get a shape.
    """
    if given is not None:
        return _completed(rng, body, heads, given, grips)
    solids = _solids(body, rest)
    stance = _choice(rng, STANCES)
    best: tuple[float, Pose] | None = None
    for _ in range(attempts):
        pose = _draw(rng, body, heads, stance, grips)
        depth = _overlap(body, heads, pose.rotations, solids)
        if best is None or depth < best[0]:
            best = depth, pose
        if depth < 0.05:
            break
    assert best is not None
    return best[1]


# Names that motion files give to the bones of our rig, "*" a side's prefix. Files of this rig use its own names.
_BVH_NAMES: dict[str, tuple[str, ...]] = {
    "root": ("hips", "hip", "pelvis"),
    "spine05": ("spine", "abdomen", "lowerback"),
    "spine03": ("spine1", "chest"),
    "spine01": ("spine2", "spine3", "chest2", "upperchest"),
    "neck01": ("neck", "neck1"),
    "head": ("head",),
    "clavicle.*": ("*shoulder", "*collar"),
    "upperarm01.*": ("*arm", "*shldr", "*uparm", "*upperarm"),
    "lowerarm01.*": ("*forearm", "*lowarm", "*lowerarm"),
    "wrist.*": ("*hand", "*wrist"),
    "upperleg01.*": ("*upleg", "*thigh", "*upperleg"),
    "lowerleg01.*": ("*leg", "*shin", "*lowleg", "*lowerleg"),
    "foot.*": ("*foot", "*ankle"),
    **{
        f"finger{i}-{j}.*": (f"*hand{finger}{j}", f"*{finger}{j}")
        for i, finger in enumerate(("thumb", "index", "middle", "ring", "pinky"), start=1)
        for j in (1, 2, 3)
    },
}
# The bone whose place shows where a bone points; the others take over how their parent differs.
_POINTS_TO = {
    "clavicle": "upperarm01", "upperarm01": "lowerarm01", "lowerarm01": "wrist", "wrist": "finger3-1",
    "upperleg01": "lowerleg01", "lowerleg01": "foot",
    **{f"finger{i}-{j}": f"finger{i}-{j + 1}" for i in range(1, 6) for j in (1, 2)},
}  # fmt: skip


def read_bvh(path: str | os.PathLike[str], body: Body) -> tuple[Pose, ...]:
    """The poses of a BVH file on this body's rig, one a frame.

    Joints are found by their names: those of this rig (MakeHuman's default), of CMU's and Mixamo's files, and of
    Poser's. Up and left are read from the skeleton itself; where its rest pose differs (a T-pose), limbs are brought
    to the same direction first. Bones that the file does not move stay at rest.

    Raises:
        WholebodyError: the file is missing, is not BVH, or lacks hips, head or legs that we know.
    """
    try:
        motion = bvh.parse(Path(path).read_text(encoding="utf-8", errors="replace"))
    except OSError as error:
        raise WholebodyError(f"{path}: cannot read this file ({error}).") from error
    except WholebodyError as error:
        raise WholebodyError(f"{path}: {error}.") from error
    joints = _bvh_joints(motion.names, body)
    needed = ("root", "head", "upperleg01.L", "upperleg01.R")
    if missing := [name for name in needed if name not in joints]:
        raise WholebodyError(
            f"{path}: no joint is known as {', '.join(missing)} (found {', '.join(motion.names[:8])})."
        )
    places = motion.places()
    thighs = [places[joints[f"upperleg01.{side}"]] for side in "LR"]
    up = _snapped(places[joints["head"]] - (thighs[0] + thighs[1]) / 2)
    left = _snapped(_across(thighs[0] - thighs[1], up))
    axes = np.stack([left, _cross(up, left), up])  # the file's axes to ours: x to the left, y to the back, z up
    places = places @ axes.T
    turned = np.einsum("ij,tnjk,lk->tnil", axes, motion.global_rotations(), axes)
    corrections = _corrections(body, joints, places)
    frames = np.tile(np.eye(3), (len(turned), len(body.bones), 1, 1))
    globals_ = frames.copy()
    for row, name in enumerate(body.bones):
        parent = int(body.parents[row])
        above = globals_[:, parent] if parent >= 0 else np.eye(3)
        if name in joints:
            globals_[:, row] = turned[:, joints[name]] @ corrections[row]
            frames[:, row] = np.swapaxes(above, -1, -2) @ globals_[:, row]
        else:
            globals_[:, row] = above
    kinds = {"stance": "bvh", "motion": Path(path).stem, "left_arm": "bvh", "right_arm": "bvh"}
    return tuple(Pose(frame.astype(np.float32), kinds) for frame in frames)


def _bvh_joints(names: Sequence[str], body: Body) -> dict[str, int]:
    """Our bones -> rows of a motion file's joints."""
    plain = [re.sub(r"[^a-z0-9]", "", name.split(":")[-1].lower()) for name in names]
    found = {name: row for row, name in enumerate(names) if name in body.bone}
    if len(found) > len(names) / 2:
        return found
    found = {}
    for bone, others in _BVH_NAMES.items():
        for side, prefixes in (("L", ("left", "l")), ("R", ("right", "r"))) if "*" in bone else (("", ("",)),):
            wanted = [other.replace("*", prefix) for prefix in prefixes for other in others]
            row = next((plain.index(name) for name in wanted if name in plain), None)
            if row is not None and bone.replace("*", side) in body.bone:
                found[bone.replace("*", side)] = row
    return found


def _corrections(body: Body, joints: Mapping[str, int], places: Doubles) -> Doubles:
    """(J, 3, 3) turns of our rest pose's bones to where the motion's rest pose has them."""
    turns = np.tile(np.eye(3), (len(body.bones), 1, 1))
    for row, name in enumerate(body.bones):
        base, _, side = name.partition(".")
        target = f"{_POINTS_TO.get(base, '')}.{side}"
        if name in joints and target in joints:
            ours = _unit((body.heads[body.bone[target]] - body.heads[row]).astype(np.float64))
            theirs = _unit(places[joints[target]] - places[joints[name]])
            cross = _cross(ours, theirs)
            turns[row] = turn(cross, float(np.rad2deg(np.arctan2(np.linalg.norm(cross), ours @ theirs))))
        elif body.parents[row] >= 0 and (name not in joints or base.startswith(("finger", "wrist"))):
            turns[row] = turns[body.parents[row]]
    return turns


def _snapped(v: Doubles) -> Doubles:
    """The axis, with its sign, that a vector is nearest to."""
    axis = np.zeros(3)
    largest = int(np.abs(v).argmax())
    axis[largest] = np.sign(v[largest])
    return axis


def sample_expression(rng: np.random.Generator, body: Body) -> tuple[str, dict[str, float]]:
    """A name and weights of facial actions; neutral (almost no action) in 3 of 10."""
    weights: dict[str, float] = {}

    def add(name: str, weight: float) -> None:
        skew = rng.normal(0, 0.1)
        for key, side in ((name, 1.0), (name + "Left", 1 + skew), (name + "Right", 1 - skew)):
            if key in body.shape_row:
                weights[key] = float(np.clip(weights.get(key, 0.0) + weight * side, 0, 1))

    kind = "neutral" if rng.random() < 0.3 else str(rng.choice([*EXPRESSIONS, "mixed", "wink"]))
    strength = rng.uniform(0.4, 1.0)
    for name, weight in EXPRESSIONS.get(kind, {}).items():
        add(name, weight * strength)
    if kind == "wink":
        weights["eyeBlink" + str(rng.choice(["Left", "Right"]))] = 1.0
    if kind == "mixed":
        actions = [name for name in body.shapes if name in _ACTIONS]
        for name in rng.choice(actions, size=min(5, len(actions)), replace=False):
            weights[str(name)] = float(rng.uniform(0.2, 0.9))
    elif kind != "neutral" and rng.random() < 0.3:
        add("jawOpen", float(rng.uniform(0.0, 0.5)))
    if "tongueOut" in weights and weights.get("jawOpen", 0) < 0.3:
        del weights["tongueOut"]
    return kind, {name: weight for name, weight in weights.items() if name in body.shape_row}


def sample_gaze(rng: np.random.Generator) -> dict[str, float]:
    """Facial actions of a look to any side. They turn the eyes (25 degrees at 1 sideways) and move the lids along."""
    left, down = np.clip(rng.normal(0, 0.4), -1, 1), np.clip(rng.normal(0.1, 0.4), -1, 1)
    actions = {}
    for side, sign in (("Left", 1), ("Right", -1)):
        actions["eyeLook" + ("Out" if left * sign > 0 else "In") + side] = abs(float(left))
        actions["eyeLook" + ("Down" if down > 0 else "Up") + side] = abs(float(down))
    return actions


_ACTIONS = frozenset(
    [
        f"{name}{side}"
        for name in (
            "browDown", "browOuterUp", "cheekSquint", "eyeBlink", "eyeSquint", "eyeWide", "mouthDimple", "mouthFrown",
            "mouthLowerDown", "mouthPress", "mouthSmile", "mouthStretch", "mouthUpperUp", "noseSneer",
        )
        for side in ("Left", "Right")
    ]
    + [
        "browInnerUp", "cheekPuff", "jawForward", "jawLeft", "jawOpen", "jawRight", "mouthFunnel", "mouthLeft",
        "mouthPucker", "mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper",
        "tongueOut",
    ]
)  # fmt: skip


# --- rotations ------------------------------------------------------------


def turn(axis: npt.ArrayLike, degrees: float) -> Doubles:
    """(3, 3) rotation about an axis, right handed."""
    return np.asarray(_turn(np.asarray(axis, np.float64), float(degrees)))


# A pose takes hundreds of these products of three numbers; NumPy's general ones cost more than all the rest.


@numba.njit(cache=True)
def _turn(axis: Doubles, degrees: float) -> Doubles:
    axis = _unit(axis)
    x, y, z = axis[0], axis[1], axis[2]
    angle = np.deg2rad(degrees)
    c, s, t = np.cos(angle), np.sin(angle), 1 - np.cos(angle)
    return np.array(
        [
            [c + x * x * t, x * y * t - z * s, x * z * t + y * s],
            [y * x * t + z * s, c + y * y * t, y * z * t - x * s],
            [z * x * t - y * s, z * y * t + x * s, c + z * z * t],
        ]
    )


@numba.njit(cache=True)
def _cross(u: Doubles, v: Doubles) -> Doubles:
    return np.array([u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]])


@numba.njit(cache=True)
def _unit(v: Doubles) -> Doubles:
    unit: Doubles = v / (np.sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]) + 1e-12)
    return unit


@numba.njit(cache=True)
def _across(v: Doubles, u: Doubles) -> Doubles:
    """The part of v at right angles to the unit vector u, as a unit vector."""
    rest = v - (v[0] * u[0] + v[1] * u[1] + v[2] * u[2]) * u
    if rest[0] * rest[0] + rest[1] * rest[1] + rest[2] * rest[2] < 1e-12:
        rest = _cross(u, np.array([0.31, 0.53, 0.79]))
    return _unit(rest)


@numba.njit(cache=True)
def _between(from_axis: Doubles, from_side: Doubles, to_axis: Doubles, to_side: Doubles) -> Doubles:
    """The rotation that takes one axis and its side vector to others."""
    from_third, to_third = _cross(from_axis, from_side), _cross(to_axis, to_side)
    rotation = np.empty((3, 3))
    for i in range(3):
        for j in range(3):
            rotation[i, j] = to_axis[i] * from_axis[j] + to_side[i] * from_side[j] + to_third[i] * from_third[j]
    return rotation


_X, _Y, _Z = np.eye(3)


def _angle(rotation: Doubles) -> float:
    """Degrees a rotation turns by, 0 to 180."""
    return float(np.rad2deg(np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1))))


def _twist(rotation: Doubles, axis: Doubles) -> tuple[float, Doubles]:
    """A rotation as a turn about an axis (degrees) after a turn about axes at right angles to it."""
    bent = rotation @ axis
    cross, cosine = _cross(axis, bent), float(axis @ bent)
    swing = turn(cross, np.rad2deg(np.arctan2(np.linalg.norm(cross), cosine)))
    rest = swing.T @ rotation  # keeps the axis
    side = _across(np.array([0.31, 0.53, 0.79]), axis)
    angle = float(np.rad2deg(np.arctan2(_cross(side, rest @ side) @ axis, side @ rest @ side)))
    twist = turn(axis, angle)
    return angle, np.asarray(twist.T @ swing @ twist)


def _limited(rotation: Doubles, limit: float) -> Doubles:
    """The same turn, by no more than `limit` degrees."""
    angle = _angle(rotation)
    if angle <= limit:
        return rotation
    axis = np.array([rotation[2, 1] - rotation[1, 2], rotation[0, 2] - rotation[2, 0], rotation[1, 0] - rotation[0, 1]])
    return turn(axis, limit)


def _choice(rng: np.random.Generator, table: Mapping[str, float]) -> str:
    weights = np.array(list(table.values()))
    return str(rng.choice(list(table), p=weights / weights.sum()))


# --- one draw ------------------------------------------------------------


def _completed(rng: np.random.Generator, body: Body, heads: Floats, given: Pose, grips: tuple[str, str]) -> Pose:
    rotations = given.rotations.astype(np.float64)

    def put(bone: str, rotation: Doubles) -> None:
        if bone in body.bone:
            rotations[body.bone[bone]] = rotation

    shapes = []
    for side, grip in zip("LR", grips, strict=True):
        fingers = [row for name, row in body.bone.items() if name.startswith("finger") and name.endswith(side)]
        moved = bool(len(fingers)) and float(np.abs(rotations[fingers] - np.eye(3)).max()) > 0.02
        if fingers and (grip or not moved):
            shapes.append(grip or _hand_kind(rng))
            _hand(rng, put, body, heads, side, shapes[-1])
        else:
            shapes.append("given")
    return Pose(rotations.astype(np.float32), {**given.kinds, "hands_shape": "/".join(shapes)})


def _hand_kind(rng: np.random.Generator) -> str:
    """A letter in 3 of 10, else one of HANDS; often relaxed, often no named shape at all."""
    if rng.random() < 0.3:
        return str(rng.choice(list(LETTERS)))
    return str(rng.choice([*HANDS, "relaxed", "relaxed", "free", "free"]))


def _draw(rng: np.random.Generator, body: Body, heads: Floats, stance: str, grips: tuple[str, str]) -> Pose:
    rotations = np.tile(np.eye(3), (len(body.bones), 1, 1))

    def put(bone: str, rotation: Doubles) -> None:
        if bone in body.bone:
            rotations[body.bone[bone]] = rotation

    kinds = {"stance": stance}
    put("root", _root(rng, stance))
    _trunk(rng, put, stance)
    _legs(rng, put, stance)
    table = _STANCE_ARMS.get(stance, ARMS)
    arms = [_choice(rng, table)]
    same = arms[0] in _BOTH or rng.random() < 0.45
    arms.append(arms[0] if same else _choice(rng, {k: v for k, v in table.items() if k not in _BOTH}))
    if stance in ("walk", "run") and rng.random() < 0.6:
        arms = ["swing", "swing"]
    if stance in ("throw", "serve"):
        arms = ["throw", str(rng.choice(["forward", "side"] if stance == "throw" else ["overhead", "raised"]))]
        arms = arms if rng.random() < 0.5 else arms[::-1]
    for i, grip in enumerate(grips):
        if grip == "hold" and stance not in ("plank", "swim") and rng.random() < 0.75:
            arms[i] = str(rng.choice(["ear", "front", "front", "face"]))
    phase = rng.choice([-1, 1])
    shared = rng.uniform(size=3)
    hands = []
    for side, sign, kind, grip in (("L", 1, arms[0], grips[0]), ("R", -1, arms[1], grips[1])):
        if f"upperarm01.{side}" not in body.bone:
            continue
        _arm(rng, put, body, heads, side, kind, phase * sign, stance, shared)
        shape = grip or ("flat" if kind in ("support", "together") and rng.random() < 0.7 else _hand_kind(rng))
        hands.append(shape)
        _hand(rng, put, body, heads, side, shape)
    kinds |= {"left_arm": arms[0], "right_arm": arms[1], "hands_shape": "/".join(hands)}
    return Pose(rotations.astype(np.float32), kinds)


def _root(rng: np.random.Generator, stance: str) -> Doubles:
    if stance == "lie":
        # On the back, the front or a side, with the head to any side of the picture.
        return np.asarray(
            turn(_X, -90 + rng.normal(0, 8)) @ turn(_Z, rng.choice([0, 180, 90, -90]) + rng.normal(0, 20))
        )
    if stance == "plank":
        return np.asarray(turn(_X, 80 + rng.normal(0, 6)) @ turn(_Y, rng.normal(0, 3)))
    if stance == "swim":
        return np.asarray(turn(_X, rng.choice([85, 85, -85]) + rng.normal(0, 12)) @ turn(_Z, rng.normal(0, 25)))
    if stance in ("dance", "kick"):
        return np.asarray(turn(_X, rng.normal(-3, 10)) @ turn(_Y, rng.normal(0, 10)))
    if stance == "jump":
        return np.asarray(turn(_X, rng.normal(0, 12)) @ turn(_Y, rng.normal(0, 10)))
    if stance == "free" and rng.random() < 0.4:
        return turn(rng.normal(size=3), rng.uniform(0, 180))
    return np.asarray(turn(_X, rng.normal(0, 2)) @ turn(_Y, rng.normal(0, 2)))


def _trunk(rng: np.random.Generator, put: _Put, stance: str) -> None:
    lean = {"run": 8, "sit": 4, "floor": 12, "squat": 25, "kneel": 5, "jump": 5, "lunge": 8, "throw": 6, "serve": -10,
            "plank": -2, "swim": -4}.get(stance, 2)  # fmt: skip
    flex = np.clip(rng.normal(lean, 9 if stance != "free" else 22), -28, 70)
    if stance == "stand" and rng.random() < 0.08:
        flex = rng.uniform(30, 75)
    wide = {"free": 1.8, "dance": 1.8, "throw": 1.6, "serve": 1.4, "swim": 1.4}.get(stance, 1.0)
    twist, bend = np.clip(rng.normal(0, 9 * wide), -35, 35), np.clip(rng.normal(0, 5 * wide), -25, 25)
    for i in range(1, 6):
        put(f"spine0{i}", turn(_X, flex / 5) @ turn(_Y, bend / 5) @ turn(_Z, twist / 5))
    yaw = np.clip(rng.normal(0, 24), -75, 75)
    if stance in ("plank", "swim", "serve"):
        yaw, flex = 0.5 * yaw, flex + 30  # they look ahead
    pitch = np.clip(rng.normal(1 - 0.6 * flex * (stance != "free"), 13), -40, 40)
    roll = np.clip(rng.normal(0, 8), -28, 28)
    for bone, share in (("neck01", 0.15), ("neck02", 0.15), ("neck03", 0.2), ("head", 0.5)):
        put(bone, turn(_Z, yaw * share) @ turn(_X, pitch * share) @ turn(_Y, roll * share))


def _legs(rng: np.random.Generator, put: _Put, stance: str) -> None:
    """Hip: flexion (forward), abduction (out), turn (toes out). Knee: flexion. The rest pose stands 8 degrees wide."""

    def leg(side: str, flex: float, wide: float, out: float, knee: float, ankle: float | None = None) -> None:
        sign = 1 if side == "L" else -1
        flex, wide = float(np.clip(flex, -30, 125)), float(np.clip(wide, -14, 60))
        out, knee = float(np.clip(out, -30, 65)), float(np.clip(knee, -3, 150))
        level = flex - knee if ankle is None else ankle
        put(f"upperleg01.{side}", turn(_X, -flex) @ turn(_Y, -wide * sign) @ turn(_Z, out * sign))
        put(f"lowerleg01.{side}", turn(_X, knee))
        put(f"foot.{side}", turn(_X, -float(np.clip(-level, -50, 28))) @ turn(_Y, rng.normal(0, 4)))
        toes = float(np.clip(rng.normal(0, 8) - (25 if stance in ("kneel", "run", "plank", "lunge") else 0), -45, 25))
        for toe in range(1, 6):
            put(f"toe{toe}-1.{side}", turn(_X, toes))

    n = rng.normal
    # `ankle` below is the pitch of the sole against the shin: plantar flexion positive.
    if stance == "stand":
        stride = n(0, 5)
        width = rng.uniform(-7, 6) if rng.random() < 0.8 else rng.uniform(6, 25)
        relaxed = rng.random() < 0.4
        for side, sign in (("L", 1), ("R", -1)):
            knee = abs(n(0, 4)) + (rng.uniform(5, 30) if relaxed and sign > 0 else 0)
            leg(side, sign * stride + knee / 2, width + n(0, 2), n(8, 8), knee)
    elif stance in ("walk", "run"):
        reach, sign = (rng.uniform(8, 28), rng.choice([-1, 1])) if stance == "walk" else (rng.uniform(20, 55), 1)
        sign = rng.choice([-1, 1])
        lift = rng.uniform(5, 30) if stance == "walk" else rng.uniform(25, 110)
        front = {"L": sign > 0, "R": sign < 0}
        for side in "LR":
            if front[side]:
                leg(side, reach + n(0, 4), n(-5, 3), n(4, 5), rng.uniform(0, 25 if stance == "walk" else 80), n(0, 8))
            else:
                leg(side, -0.6 * reach + n(0, 4) + 0.2 * lift, n(-5, 3), n(4, 5), lift, rng.uniform(0, 30))
    elif stance == "sit":
        flex, knee, spread = rng.uniform(70, 98), rng.uniform(55, 112), rng.uniform(-9, 18)
        crossed = rng.random() < 0.2
        for side, sign in (("L", 1), ("R", -1)):
            over = crossed and sign > 0
            leg(side, flex + n(0, 4) + (14 if over else 0), -14 if over else spread + n(0, 3), n(3, 8), knee + n(0, 12),
                n(5, 10))  # fmt: skip
    elif stance == "floor":
        kind = rng.choice(["tailor", "long", "hugging"])
        for side in "LR":
            if kind == "tailor":
                leg(side, n(92, 8), n(38, 8), n(48, 8), n(122, 10), n(25, 10))
            elif kind == "long":
                leg(side, n(88, 6), rng.uniform(-8, 22), n(8, 8), abs(n(0, 14)), n(15, 12))
            else:
                leg(side, n(112, 7), n(0, 8), n(5, 8), n(118, 12), n(10, 10))
    elif stance == "squat":
        flex, knee, wide = rng.uniform(80, 122), rng.uniform(95, 145), rng.uniform(-2, 35)
        for side in "LR":
            leg(side, flex + n(0, 4), wide + n(0, 3), n(15, 8), knee + n(0, 4), n(-20, 6))
    elif stance == "kneel":
        kind = rng.choice(["up", "heels", "one"])
        first = rng.choice(["L", "R"])
        for side in "LR":
            if kind == "one" and side == first:
                leg(side, n(90, 8), n(0, 6), n(5, 6), n(92, 10))
            elif kind == "heels":
                leg(side, n(70, 6), n(4, 6), n(0, 6), n(142, 5), n(45, 6))
            else:
                leg(side, n(0, 8), n(0, 6), n(0, 6), n(95, 10), n(40, 12))
    elif stance == "jump":
        wide = rng.uniform(-5, 35)
        for side in "LR":
            leg(side, rng.uniform(-15, 70), wide + n(0, 6), n(10, 8), rng.uniform(0, 110), rng.uniform(0, 40))
    elif stance == "dance":
        support = rng.choice(["L", "R"])
        figure = rng.choice(["step", "passe", "arabesque", "side", "plie"])
        plie = rng.uniform(40, 85)
        for side in "LR":
            if figure == "plie":
                leg(side, plie * 0.6 + n(0, 4), rng.uniform(15, 40), n(40, 10), plie + n(0, 5), n(-15, 6))
            elif side == support:
                knee = abs(n(0, 18))
                leg(side, knee / 2 + n(0, 5), n(-5, 4), n(15, 12), knee, rng.choice([0, 40]) + n(0, 6))
            elif figure == "passe":
                leg(side, n(65, 12), n(20, 10), n(35, 15), n(110, 15), n(35, 10))
            elif figure == "arabesque":
                leg(side, n(-28, 6), n(5, 8), n(15, 10), abs(n(0, 25)), n(40, 8))
            elif figure == "side":
                leg(side, n(15, 15), rng.uniform(25, 60), n(20, 10), abs(n(0, 20)), n(35, 10))
            else:
                leg(side, n(20, 20), n(5, 12), n(15, 15), rng.uniform(0, 70), n(15, 18))
    elif stance in ("lunge", "throw", "serve"):
        front = rng.choice(["L", "R"])
        deep = rng.uniform(55, 95) if stance == "lunge" else rng.uniform(10, 50)
        for side in "LR":
            if side == front:
                leg(side, deep + n(0, 5), n(-4, 5), n(5, 6), 0.95 * deep + n(0, 8), n(0, 6))
            else:
                knee = rng.uniform(5, 80 if stance == "lunge" else 40)
                leg(side, -rng.uniform(5, 28), n(-2, 6), n(15, 12), knee, rng.uniform(-10, 35))
    elif stance == "kick":
        kicking = rng.choice(["L", "R"])
        for side in "LR":
            if side == kicking:
                leg(side, rng.uniform(-25, 115), n(5, 12), n(8, 12), rng.uniform(0, 90), n(25, 15))
            else:
                knee = rng.uniform(5, 35)
                leg(side, knee / 2 + n(0, 5), n(-6, 4), n(10, 10), knee, n(5, 8))
    elif stance == "plank":
        for side in "LR":
            leg(side, n(4, 6), n(-5, 4), n(0, 5), abs(n(0, 5)), n(-10, 8))
    elif stance == "swim":
        frog = rng.random() < 0.35
        for side in "LR":
            if frog:
                leg(side, n(55, 12), n(30, 8), n(30, 10), n(100, 15), n(10, 15))
            else:
                leg(side, n(0, 16), n(-4, 5), n(5, 6), abs(n(0, 25)), n(40, 10))
    elif stance == "lie":
        bent = rng.random() < 0.4
        for side in "LR":
            flex = rng.uniform(0, 80) if bent else abs(n(0, 8))
            leg(side, flex, rng.uniform(-8, 18), n(12, 12), flex * rng.uniform(0.9, 1.5), n(25, 12))
    else:
        for side in "LR":
            leg(side, rng.uniform(-25, 110), rng.uniform(-10, 45), n(12, 15), rng.uniform(0, 125), n(10, 18))


def _arm(
    rng: np.random.Generator, put: _Put, body: Body, heads: Floats, side: str, kind: str, phase: int, stance: str,
    shared: Doubles,
) -> None:  # fmt: skip
    """Everything below is done for a left arm and mirrored for a right one. `shared` (3,): draws both arms have."""
    sign = 1 if side == "L" else -1
    mirror = np.array([sign, 1, 1.0])

    def head(name: str) -> Doubles:
        """A bone's head, mirrored so that this arm is a left one."""
        return np.asarray(heads[body.bone[name.replace("*", side)]] * mirror, dtype=np.float64)

    shoulder, elbow, wrist = head("upperarm01.*"), head("lowerarm01.*"), head("wrist.*")
    upper, fore = float(np.linalg.norm(elbow - shoulder)), float(np.linalg.norm(wrist - elbow))
    u0, f0 = _unit(elbow - shoulder), _unit(wrist - elbow)
    n0 = _across(_cross(u0, f0), u0)

    skull = head("head")
    size = upper + fore
    hip = head("upperleg01.*")
    n = rng.normal
    target: Doubles | None = None
    pole = np.array([0.5, 0.6, -0.6]) + n(0, 0.25, 3)
    if kind == "hips":
        target = hip + size * np.array([0.27, -0.02, 0.25]) + n(0, 0.03, 3) * size
        pole = np.array([1.0, 0.5, 0.0]) + n(0, 0.15, 3)
    elif kind == "crossed":
        level = shoulder[2] - size * rng.uniform(0.42, 0.55)
        target = np.array([-size * rng.uniform(0.05, 0.22), shoulder[1] - size * rng.uniform(0.42, 0.52), level])
        target[1] -= 0.04 * size * sign
        pole = np.array([0.9, 0.1, -0.7])
    elif kind == "face":
        across = rng.uniform(-0.12, 0.3)
        target = skull + size * np.array([across, -0.30 - 0.1 * rng.random(), rng.uniform(-0.15, 0.35)])
        if across > 0.17:
            target[1] += 0.2 * size
        pole = np.array([0.6, -0.1, -1.0]) + n(0, 0.3, 3)
    elif kind == "front":
        target = np.array([size * rng.uniform(-0.1, 0.25), shoulder[1] - size * rng.uniform(0.35, 0.75), 0])
        target[2] = rng.uniform(hip[2], shoulder[2] + 0.1)
        pole = np.array([0.7, 0.3, -0.8]) + n(0, 0.2, 3)
    # Where the hand points and where its palm looks, when the kind asks for it.
    hand: tuple[Doubles, Doubles] | None = None
    if kind == "together":
        figure = int(shared[0] * 3)
        level = hip[2] + (0.1 + 0.9 * shared[1]) * (skull[2] - hip[2])
        ahead = size * (0.35 + 0.3 * shared[2])
        target = np.array([0.03 * size, shoulder[1] - ahead, level])
        if figure == 0:  # folded, one over the other
            target = np.array([0.13 * size, shoulder[1] - ahead - 0.03 * size * sign, hip[2] + 0.3 * size * shared[1]])
            hand = np.array([-1, -0.2, -0.4]), np.array([-0.2, 1.0, 0])
        else:  # palm to palm, pointing up or ahead
            hand = np.array([-0.1, -0.4, 1.0] if figure == 1 else [-0.1, -1, 0.2]), np.array([-1.0, 0, 0])
        pole = np.array([0.9, 0.2, -0.8]) + n(0, 0.1, 3)
    elif kind == "ear":
        target = skull + size * np.array([0.22, -0.12, -0.06]) + n(0, 0.02, 3) * size
        hand = np.array([-0.15, 0.25, 1.0]) + n(0, 0.1, 3), np.array([-1.0, -0.3, 0.1])
        pole = np.array([0.7, -0.3, -1.0]) + n(0, 0.2, 3)
    elif kind == "nape":
        target = skull + size * np.array([rng.uniform(0.1, 0.2), 0.14, rng.uniform(0.0, 0.2)])
        hand = np.array([-1, 0.1, 0.2]), np.array([0, -1.0, 0])
        pole = np.array([1.0, -0.2, 0.2]) + n(0, 0.15, 3)
    elif kind == "back":
        target = hip + size * np.array([-0.1, 0.36 + 0.03 * sign, 0.05 + 0.3 * shared[0]])
        hand = np.array([-1, 0.1, -0.3]), np.array([0.1, 1.0, 0])
        pole = np.array([0.7, 0.9, 0.0]) + n(0, 0.15, 3)
    elif kind == "lap":
        target = hip + size * np.array([rng.uniform(-0.12, 0.14), -rng.uniform(0.3, 0.62), rng.uniform(0.15, 0.24)])
        hand = np.array([-0.35, -1.0, -0.15]) + n(0, 0.2, 3), np.array([0, -0.1, -1.0]) + n(0, 0.2, 3)
        pole = np.array([0.8, 0.5, -0.3]) + n(0, 0.2, 3)
    elif kind == "support":
        down = 0.99 if shared[0] < 0.5 else 0.55 + 0.4 * shared[1]
        target = shoulder + size * np.array([0.05 + 0.2 * shared[2], -down, -0.05])
        hand = np.array([0.05, -0.1, 1.0]), np.array([0, -1.0, 0])
        pole = np.array([0.8, 0.3, -0.7])
    if target is not None:
        u, f = _reach(shoulder, target, pole, upper, fore)
    else:
        # Elevation above the horizontal, and azimuth: 0 out to the side, 90 to the front.
        elevation, azimuth, bend = {
            "down": (rng.uniform(-86, -62), rng.uniform(-20, 70), abs(n(12, 14))),
            "swing": (rng.uniform(-80, -35), 90.0 if phase > 0 else -70.0, rng.uniform(10, 40)),
            "raised": (rng.uniform(20, 82), rng.uniform(-10, 80), rng.uniform(0, 100)),
            "forward": (rng.uniform(-35, 30), rng.uniform(55, 105), rng.uniform(0, 80)),
            "side": (rng.uniform(-30, 25), rng.uniform(-20, 35), rng.uniform(0, 110)),
            "overhead": (rng.uniform(55, 86), rng.uniform(-20, 60), rng.uniform(0, 70)),
            "throw": (rng.uniform(-10, 40), rng.uniform(-35, 5), rng.uniform(60, 120)),
            "free": (rng.uniform(-85, 75), rng.uniform(-35, 115), rng.uniform(0, 140)),
        }[kind]
        if kind == "swing" and stance == "run":
            bend = rng.uniform(60, 110)
        e, a = np.deg2rad(elevation), np.deg2rad(azimuth)
        u = np.array([np.cos(e) * np.cos(a), -np.cos(e) * np.sin(a), np.sin(e)])
        # Elbows bend forwards, upwards when the arm is out, and inwards.
        to = np.array([-0.35, -1.0, 0.4 if kind in ("side", "raised", "overhead") else 0.1]) + n(0, 0.35, 3)
        if kind == "throw":
            to = np.array([-0.1, 0.1, 1.0]) + n(0, 0.2, 3)
        bend = float(np.clip(bend, 0, 142))
        f = np.cos(np.deg2rad(bend)) * u + np.sin(np.deg2rad(bend)) * _across(to, u)
        if bend < 3:
            f = _unit(u + 0.05 * _across(to, u))
    normal = _unit(_cross(u, f))

    lift = float(np.clip(np.rad2deg(np.arcsin(u[2])) + 35, 0, 120))
    clavicle, blade = turn(_Y, -0.12 * lift), turn(_Y, -0.14 * lift)
    chest = clavicle @ blade
    upper_goal = _between(u0, n0, u, normal)
    fore_goal = _between(f0, _across(_cross(u0, f0), f0), f, normal)
    along, palm = (vector * mirror for vector in _palm(body, heads, side))
    if hand is None:
        sideways = _unit(_cross(f0, palm))
        roll = float(np.clip(n(0, 45), -85, 80))
        bend, tilt = float(np.clip(n(0, 22), -60, 60)), float(np.clip(n(0, 9), -20, 25))
        wrist_turn = turn(sideways, bend) @ turn(palm, tilt)
    else:
        goal = _between(along, _across(palm, along), _unit(hand[0]), _across(hand[1], _unit(hand[0])))
        roll, wrist_turn = _twist(fore_goal.T @ goal, f0)
        roll, wrist_turn = float(np.clip(roll, -95, 95)), _limited(wrist_turn, 75)
    local = {
        f"clavicle.{side}": clavicle,
        f"shoulder01.{side}": blade,
        f"upperarm01.{side}": chest.T @ upper_goal,
        f"lowerarm01.{side}": upper_goal.T @ fore_goal,
        f"lowerarm02.{side}": turn(f0, roll / 2),
        f"wrist.{side}": turn(f0, roll / 2) @ wrist_turn,
    }
    flip = np.diag(mirror)
    for bone, rotation in local.items():
        put(bone, flip @ rotation @ flip)


def _reach(shoulder: Doubles, target: Doubles, pole: Doubles, upper: float, fore: float) -> tuple[Doubles, Doubles]:
    """Directions of upper arm and forearm that bring the wrist to the target, the elbow towards the pole."""
    line = target - shoulder
    distance = float(np.clip(np.linalg.norm(line), 1.02 * abs(upper - fore) + 0.25 * upper, 0.995 * (upper + fore)))
    line = _unit(line)
    along = (distance**2 + upper**2 - fore**2) / (2 * distance)
    elbow = along * line + np.sqrt(max(upper**2 - along**2, 0)) * _across(pole, line)
    return _unit(elbow), _unit(distance * line - elbow)


def _palm(body: Body, heads: Floats, side: str) -> tuple[Doubles, Doubles]:
    """Direction from wrist to knuckles, and the unit vector out of the palm (fingers rest slightly curled)."""
    wrist = heads[body.bone[f"wrist.{side}"]].astype(np.float64)
    knuckles = np.array([heads[body.bone[f"finger{i}-1.{side}"]] for i in (2, 3, 4, 5)], np.float64)
    tips = np.array([heads[body.bone[f"finger{i}-3.{side}"]] for i in (2, 3, 4, 5)], np.float64)
    along = _unit(knuckles.mean(0) - wrist)
    lateral = _unit(knuckles[0] - knuckles[3])
    normal = _cross(along, lateral)
    curled = (tips - knuckles).mean(0)
    return along, _unit(normal) * (1 if normal @ curled > 0 else -1)


def _hand(rng: np.random.Generator, put: _Put, body: Body, heads: Floats, side: str, kind: str) -> None:
    """Shape the fingers as a row of HANDS, GRIPS or LETTERS, or freely."""
    if kind == "free":
        curls = np.clip(rng.uniform(0, 0.8) + rng.normal(0, 0.28, 5), -0.1, 0.95)
        thumb, index, middle, ring, little = (float(curl) for curl in curls)
        shape = _curled(0.6 * thumb, index, middle, ring, little, float(rng.uniform(0, 1)))
    else:
        shape = {**HANDS, **GRIPS, **LETTERS}[kind]
    _, palm = _palm(body, heads, side)
    at = {i: [heads[body.bone[f"finger{i}-{j}.{side}"]].astype(np.float64) for j in (1, 2, 3)] for i in range(1, 6)}
    # Fans turn about the palm's normal, in a sense that follows the side, and start from fingers side by side.
    sense = _fan_sign(at, palm)
    spread = shape.spread + (rng.normal(0, 0.12) if shape.spread >= 0 else 0)
    wide = max(spread, 0.0)
    fans = np.array([2 + 14 * spread, spread, -2 - 10 * wide, -5 - 22 * wide]) - _fans(at, palm)
    for finger in range(1, 6):
        along = _unit(at[finger][2] - at[finger][0])
        noise = rng.normal(0, 3, 3)
        if finger == 1:
            inward = _unit(at[5][0] - at[1][0])
            towards, over, bend = np.array(shape.thumb) + rng.normal(0, 0.06, 3)
            axis = _unit(_cross(along, inward + 0.4 * palm))
            root = turn(_cross(along, inward), 40 * towards) @ turn(_cross(along, palm), 45 * over)
            rotations = [root, turn(axis, 50 * bend + noise[1]), turn(axis, 70 * bend + noise[2])]
        else:
            axis = _unit(_cross(along, palm))
            knuckle, middle = shape.knuckles[finger - 2], shape.middles[finger - 2]
            common = rng.normal(0, 0.05)
            angles = np.array([82 * (knuckle + common) - 8, 98 * (middle + common) - 6, 68 * (middle + common) - 4])
            rotations = [turn(axis, float(angle)) for angle in angles + noise]
            rotations[0] = turn(palm, sense * (fans[finger - 2] + rng.normal(0, 1.5))) @ rotations[0]
        for joint, rotation in enumerate(rotations, start=1):
            put(f"finger{finger}-{joint}.{side}", rotation)


def _fan_sign(at: dict[int, list[Doubles]], palm: Doubles) -> float:
    """+1 where a positive turn about the palm's normal moves the index finger away from the little finger."""
    along = _unit(at[3][2] - at[3][0])
    return float(np.sign(_cross(palm, along) @ (at[2][0] - at[5][0])))


def _fans(at: dict[int, list[Doubles]], palm: Doubles) -> Doubles:
    """(4,) degrees from the middle finger to each of the four fingers at rest, the index finger's side positive."""
    middle = _across(at[3][2] - at[3][0], palm)
    beside = _cross(palm, middle) * _fan_sign(at, palm)
    flat = [_across(at[finger][2] - at[finger][0], palm) for finger in range(2, 6)]
    return np.array([np.rad2deg(np.arctan2(direction @ beside, direction @ middle)) for direction in flat])


# --- self-collision ------------------------------------------------------------

_SOLID_BONES = (
    ("spine05", "pelvis.L", "pelvis.R"), ("spine04", "spine03"), ("spine02",), ("spine01",), ("head",),
    ("upperleg01.L", "upperleg02.L"), ("upperleg01.R", "upperleg02.R"),
    ("lowerleg01.L", "lowerleg02.L"), ("lowerleg01.R", "lowerleg02.R"),
)  # fmt: skip
# What may not enter which solids: arms none of them, a leg only those of the other. "+" is the tip of a last bone.
_PROBES = {
    **{f"{bone}.{s}": tuple(range(9)) for s in "LR" for bone in ("lowerarm02", "wrist", "finger3-1", "finger3-3")},
    **{f"{bone}.{s}+": tuple(range(9)) for s in "LR" for bone in ("finger1-3", "finger2-3", "finger3-3", "finger5-3")},
    **{f"lowerarm01.{s}": (0, 1, 2) for s in "LR"},
    **{f"{bone}.L": (3, 6, 8) for bone in ("lowerleg01", "lowerleg02", "foot", "toe1-1")},
    **{f"{bone}.R": (3, 5, 7) for bone in ("lowerleg01", "lowerleg02", "foot", "toe1-1")},
}


@lru_cache(maxsize=2)
def _solid_vertices(body: Body) -> list[tuple[int, int, Ints32]]:
    """Number, first bone and skin vertices of each row of _SOLID_BONES that the body has."""
    main = body.main_bone[body.skin]
    found: list[tuple[int, int, Ints32]] = []
    for number, names in enumerate(_SOLID_BONES):
        rows = [body.bone[name] for name in names if name in body.bone]
        inside = body.skin[np.isin(main, rows)]
        if len(inside) >= 4:
            found.append((number, rows[0], inside))
    return found


@lru_cache(maxsize=2)
def _probes(body: Body) -> tuple[Ints32, Ints32, npt.NDArray[np.bool_]]:
    """Each probe's bone and the one before it (P, 2), whether it is a tip (P,), and what it must keep out of (P, S)."""
    numbers = [number for number, _, _ in _solid_vertices(body)]
    bones, tips, forbidden = [], [], []
    for name, targets in _PROBES.items():
        tip = name.endswith("+")
        bone = name.rstrip("+")
        if bone in body.bone:
            row = body.bone[bone]
            bones.append((row, int(body.parents[row])))
            tips.append(int(tip))
            forbidden.append([number in targets for number in numbers])
    return np.array(bones, np.int32), np.array(tips, np.int32), np.array(forbidden, bool)


@dataclass(frozen=True, eq=False)
class _Solids:
    """S ellipsoids at rest: bones (S,), centres (S, 3), half axes (S, 3)."""

    bones: Ints32
    centers: Doubles
    axes: Doubles


def _solids(body: Body, rest: Floats) -> _Solids:
    boxes = [(rest[rows].min(axis=0), rest[rows].max(axis=0)) for _, _, rows in _solid_vertices(body)]
    low, high = (np.array(side, np.float64).reshape(-1, 3) for side in zip(*boxes, strict=True))
    bones = np.array([bone for _, bone, _ in _solid_vertices(body)], np.int32)
    return _Solids(bones, (low + high) / 2, (high - low) * 0.48 + 1e-6)


def _overlap(body: Body, heads: Floats, rotations: Floats, solids: _Solids) -> float:
    """How deep the probes are inside the solids, summed: 0 free, 1 a probe at a centre."""
    transforms = bone_transforms(body.parents, heads, rotations).astype(np.float64)
    bones, tips, forbidden = _probes(body)
    # A finger's last bone goes on about as far as the one before it.
    points = heads[bones[:, 0]] + 0.9 * tips[:, None] * (heads[bones[:, 0]] - heads[bones[:, 1]])
    of = transforms[bones[:, 0]]
    points = np.einsum("pij,pj->pi", of[:, :, :3], points) + of[:, :, 3]
    at = transforms[solids.bones]
    local = np.einsum("sji,psj->psi", at[:, :, :3], points[:, None] - at[None, :, :, 3])
    depth = 1 - (((local - solids.centers) / solids.axes) ** 2).sum(axis=2)
    total = float(np.maximum(depth, 0)[forbidden].sum())
    knuckles = [body.bone[f"finger3-1.{s}"] for s in "LR" if f"finger3-1.{s}" in body.bone]
    if len(knuckles) == 2:
        a, b = (transforms[row, :, :3] @ heads[row] + transforms[row, :, 3] for row in knuckles)
        gap = 0.03 * float(np.linalg.norm(heads[body.bone["head"]] - heads[body.bone["root"]])) / 0.6
        total += max(0.0, 1 - float(np.linalg.norm(a - b)) / gap)
    return total
