"""A procedural sampler of poses, hand shapes, head turns and expressions, within the limits of joints.

Angles are degrees. Every rotation is about a bone's head in the axes of the rest pose (the person faces -y, z up, left
is +x), so flexing both hips by 90 is the same rotation on either side. The right side is sampled as a mirrored left.
A pose whose arms or legs enter the body (ellipsoids around the bones of trunk, head and legs) is drawn again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from wholebody.synth.body import Body, Floats, Ints, bone_transforms

Array = npt.NDArray[np.float64]
# Stores a bone's rotation.
_Put = Callable[[str, Array], None]

STANCES = {
    "stand": 0.30, "walk": 0.14, "run": 0.06, "sit": 0.15, "floor": 0.05, "squat": 0.06, "kneel": 0.06, "lie": 0.06,
    "jump": 0.05, "free": 0.07,
}  # fmt: skip
ARMS = {
    "down": 0.17, "hips": 0.07, "crossed": 0.06, "face": 0.14, "raised": 0.12, "forward": 0.12, "front": 0.10,
    "side": 0.08, "free": 0.14,
}  # fmt: skip
# Curls of thumb, index, middle, ring, little finger (0 straight, 1 closed), and spread.
HANDS: dict[str, tuple[float, float, float, float, float, float]] = {
    "relaxed": (0.15, 0.22, 0.28, 0.32, 0.35, 0.1),
    "flat": (0.0, 0.0, 0.0, 0.0, 0.0, 0.1),
    "spread": (-0.2, -0.05, -0.05, -0.05, -0.05, 1.0),
    "fist": (0.75, 0.95, 0.95, 0.95, 0.95, 0.0),
    "point": (0.6, 0.0, 0.9, 0.92, 0.92, 0.0),
    "peace": (0.75, 0.0, 0.0, 0.92, 0.92, 0.8),
    "thumb": (-0.25, 0.95, 0.95, 0.95, 0.95, 0.0),
    "grip": (0.45, 0.55, 0.58, 0.6, 0.62, 0.1),
    "pinch": (0.45, 0.55, 0.25, 0.2, 0.15, 0.3),
    "three": (0.7, 0.0, 0.0, 0.0, 0.9, 0.8),
    "horns": (0.6, 0.0, 0.92, 0.92, 0.0, 0.4),
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


def sample_pose(rng: np.random.Generator, body: Body, rest: Floats, heads: Floats, attempts: int = 8) -> Pose:
    """A pose for the person with rest vertices (V, 3) and bone heads (J, 3)."""
    solids = _solids(body, rest)
    stance = _choice(rng, STANCES)
    best: tuple[float, Pose] | None = None
    for _ in range(attempts):
        pose = _draw(rng, body, heads, stance)
        depth = _overlap(body, heads, pose.rotations, solids)
        if best is None or depth < best[0]:
            best = depth, pose
        if depth < 0.05:
            break
    assert best is not None
    return best[1]


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


def turn(axis: npt.ArrayLike, degrees: float) -> Array:
    """(3, 3) rotation about an axis, right handed."""
    x, y, z = np.asarray(axis, float) / (np.linalg.norm(axis) + 1e-12)
    angle = np.deg2rad(degrees)
    c, s, t = np.cos(angle), np.sin(angle), 1 - np.cos(angle)
    return np.array(
        [
            [c + x * x * t, x * y * t - z * s, x * z * t + y * s],
            [y * x * t + z * s, c + y * y * t, y * z * t - x * s],
            [z * x * t - y * s, z * y * t + x * s, c + z * z * t],
        ]
    )


_X, _Y, _Z = np.eye(3)


def _unit(v: Array) -> Array:
    return np.asarray(v / (np.linalg.norm(v) + 1e-12))


def _across(v: Array, u: Array) -> Array:
    """The part of v at right angles to the unit vector u, as a unit vector."""
    rest = v - (v @ u) * u
    if np.linalg.norm(rest) < 1e-6:
        rest = np.cross(u, [0.31, 0.53, 0.79])
    return _unit(rest)


def _between(from_axis: Array, from_side: Array, to_axis: Array, to_side: Array) -> Array:
    """The rotation that takes one axis and its side vector to others."""
    start = np.column_stack([from_axis, from_side, np.cross(from_axis, from_side)])
    goal = np.column_stack([to_axis, to_side, np.cross(to_axis, to_side)])
    return np.asarray(goal @ start.T)


def _choice(rng: np.random.Generator, table: Mapping[str, float]) -> str:
    weights = np.array(list(table.values()))
    return str(rng.choice(list(table), p=weights / weights.sum()))


# --- one draw ------------------------------------------------------------


def _draw(rng: np.random.Generator, body: Body, heads: Floats, stance: str) -> Pose:
    rotations = np.tile(np.eye(3), (len(body.bones), 1, 1))

    def put(bone: str, rotation: Array) -> None:
        if bone in body.bone:
            rotations[body.bone[bone]] = rotation

    kinds = {"stance": stance}
    put("root", _root(rng, stance))
    _trunk(rng, put, stance)
    _legs(rng, put, stance)
    arms = [_choice(rng, ARMS)]
    same = arms[0] == "crossed" or rng.random() < 0.45
    arms.append(arms[0] if same else _choice(rng, {k: v for k, v in ARMS.items() if k != "crossed"}))
    if stance in ("walk", "run") and rng.random() < 0.6:
        arms = ["swing", "swing"]
    phase = rng.choice([-1, 1])
    hands = []
    for side, sign, kind in (("L", 1, arms[0]), ("R", -1, arms[1])):
        if f"upperarm01.{side}" not in body.bone:
            continue
        _arm(rng, put, body, heads, side, kind, phase * sign, stance)
        hands.append(str(rng.choice([*HANDS, "relaxed", "relaxed", "free", "free"])))
        _hand(rng, put, body, heads, side, hands[-1])
    kinds |= {"left_arm": arms[0], "right_arm": arms[1], "hands_shape": "/".join(hands)}
    return Pose(rotations.astype(np.float32), kinds)


def _root(rng: np.random.Generator, stance: str) -> Array:
    if stance == "lie":
        # On the back, the front or a side, with the head to any side of the picture.
        return np.asarray(
            turn(_X, -90 + rng.normal(0, 8)) @ turn(_Z, rng.choice([0, 180, 90, -90]) + rng.normal(0, 20))
        )
    if stance == "jump":
        return np.asarray(turn(_X, rng.normal(0, 12)) @ turn(_Y, rng.normal(0, 10)))
    if stance == "free" and rng.random() < 0.4:
        return turn(rng.normal(size=3), rng.uniform(0, 180))
    return np.asarray(turn(_X, rng.normal(0, 2)) @ turn(_Y, rng.normal(0, 2)))


def _trunk(rng: np.random.Generator, put: _Put, stance: str) -> None:
    lean = {"run": 8, "sit": 4, "floor": 12, "squat": 25, "kneel": 5, "jump": 5}.get(stance, 2)
    flex = np.clip(rng.normal(lean, 9 if stance != "free" else 22), -28, 70)
    if stance == "stand" and rng.random() < 0.08:
        flex = rng.uniform(30, 75)
    wide = 1.8 if stance == "free" else 1.0
    twist, bend = np.clip(rng.normal(0, 9 * wide), -35, 35), np.clip(rng.normal(0, 5 * wide), -25, 25)
    for i in range(1, 6):
        put(f"spine0{i}", turn(_X, flex / 5) @ turn(_Y, bend / 5) @ turn(_Z, twist / 5))
    yaw = np.clip(rng.normal(0, 24), -75, 75)
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
        toes = float(np.clip(rng.normal(0, 8) - (25 if stance in ("kneel", "run") else 0), -45, 25))
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
    elif stance == "lie":
        bent = rng.random() < 0.4
        for side in "LR":
            flex = rng.uniform(0, 80) if bent else abs(n(0, 8))
            leg(side, flex, rng.uniform(-8, 18), n(12, 12), flex * rng.uniform(0.9, 1.5), n(25, 12))
    else:
        for side in "LR":
            leg(side, rng.uniform(-25, 110), rng.uniform(-10, 45), n(12, 15), rng.uniform(0, 125), n(10, 18))


def _arm(
    rng: np.random.Generator, put: _Put, body: Body, heads: Floats, side: str, kind: str, phase: int, stance: str
) -> None:
    sign = 1 if side == "L" else -1
    mirror = np.array([sign, 1, 1.0])

    def head(name: str) -> Array:
        """A bone's head, mirrored so that this arm is a left one."""
        return np.asarray(heads[body.bone[name.replace("*", side)]] * mirror, dtype=np.float64)

    shoulder, elbow, wrist = head("upperarm01.*"), head("lowerarm01.*"), head("wrist.*")
    upper, fore = float(np.linalg.norm(elbow - shoulder)), float(np.linalg.norm(wrist - elbow))
    u0, f0 = _unit(elbow - shoulder), _unit(wrist - elbow)
    n0 = _across(np.cross(u0, f0), u0)

    skull = head("head")
    size = upper + fore
    hip = head("upperleg01.*")
    n = rng.normal
    target: Array | None = None
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
            "free": (rng.uniform(-85, 75), rng.uniform(-35, 115), rng.uniform(0, 140)),
        }[kind]
        if kind == "swing" and stance == "run":
            bend = rng.uniform(60, 110)
        e, a = np.deg2rad(elevation), np.deg2rad(azimuth)
        u = np.array([np.cos(e) * np.cos(a), -np.cos(e) * np.sin(a), np.sin(e)])
        # Elbows bend forwards, upwards when the arm is out, and inwards.
        to = np.array([-0.35, -1.0, 0.4 if kind in ("side", "raised") else 0.1]) + n(0, 0.35, 3)
        bend = float(np.clip(bend, 0, 142))
        f = np.cos(np.deg2rad(bend)) * u + np.sin(np.deg2rad(bend)) * _across(to, u)
        if bend < 3:
            f = _unit(u + 0.05 * _across(to, u))
    normal = _unit(np.cross(u, f))

    lift = float(np.clip(np.rad2deg(np.arcsin(u[2])) + 35, 0, 120))
    clavicle, blade = turn(_Y, -0.12 * lift), turn(_Y, -0.14 * lift)
    chest = clavicle @ blade
    upper_goal = _between(u0, n0, u, normal)
    fore_goal = _between(f0, _across(np.cross(u0, f0), f0), f, normal)
    roll = float(np.clip(n(0, 45), -85, 80))
    palm = _palm(body, heads, side)[1] * mirror
    sideways = _unit(np.cross(f0, palm))
    local = {
        f"clavicle.{side}": clavicle,
        f"shoulder01.{side}": blade,
        f"upperarm01.{side}": chest.T @ upper_goal,
        f"lowerarm01.{side}": upper_goal.T @ fore_goal,
        f"lowerarm02.{side}": turn(f0, roll / 2),
        f"wrist.{side}": turn(f0, roll / 2)
        @ turn(sideways, float(np.clip(n(0, 22), -60, 60)))
        @ turn(palm, float(np.clip(n(0, 9), -20, 25))),
    }
    flip = np.diag(mirror)
    for bone, rotation in local.items():
        put(bone, flip @ rotation @ flip)


def _reach(shoulder: Array, target: Array, pole: Array, upper: float, fore: float) -> tuple[Array, Array]:
    """Directions of upper arm and forearm that bring the wrist to the target, the elbow towards the pole."""
    line = target - shoulder
    distance = float(np.clip(np.linalg.norm(line), 1.02 * abs(upper - fore) + 0.25 * upper, 0.995 * (upper + fore)))
    line = _unit(line)
    along = (distance**2 + upper**2 - fore**2) / (2 * distance)
    elbow = along * line + np.sqrt(max(upper**2 - along**2, 0)) * _across(pole, line)
    return _unit(elbow), _unit(distance * line - elbow)


def _palm(body: Body, heads: Floats, side: str) -> tuple[Array, Array]:
    """Direction from wrist to knuckles, and the unit vector out of the palm (fingers rest slightly curled)."""
    wrist = heads[body.bone[f"wrist.{side}"]].astype(np.float64)
    knuckles = np.array([heads[body.bone[f"finger{i}-1.{side}"]] for i in (2, 3, 4, 5)], np.float64)
    tips = np.array([heads[body.bone[f"finger{i}-3.{side}"]] for i in (2, 3, 4, 5)], np.float64)
    along = _unit(knuckles.mean(0) - wrist)
    lateral = _unit(knuckles[0] - knuckles[3])
    normal = np.cross(along, lateral)
    curled = (tips - knuckles).mean(0)
    return along, _unit(normal) * (1 if normal @ curled > 0 else -1)


def _hand(rng: np.random.Generator, put: _Put, body: Body, heads: Floats, side: str, kind: str) -> None:
    """Curl the fingers into one of HANDS, or freely."""
    if kind == "free":
        common = rng.uniform(0, 0.8)
        curls = [*np.clip(common + rng.normal(0, 0.28, 5), -0.1, 0.95), rng.uniform(0, 1)]
        curls[0] *= 0.6
    else:
        curls = [c + rng.normal(0, 0.06) for c in HANDS[kind]]
    _, palm = _palm(body, heads, side)
    at = {i: [heads[body.bone[f"finger{i}-{j}.{side}"]].astype(np.float64) for j in (1, 2, 3)] for i in range(1, 6)}
    for finger in range(1, 6):
        along = _unit(at[finger][2] - at[finger][0])
        if finger == 1:
            inward = at[5][0] - at[1][0]
            axis = _unit(np.cross(along, _unit(inward) + 0.4 * palm))
            angles = (35 * curls[0], 50 * curls[0], 70 * curls[0])
        else:
            axis = _unit(np.cross(along, palm))
            curl = curls[finger - 1]
            angles = (82 * curl - 8, 98 * curl - 6, 68 * curl - 4)
        for joint, angle in enumerate(angles, start=1):
            rotation = turn(axis, float(angle + rng.normal(0, 3)))
            if joint == 1:
                fan = (0, 9, 2, -5, -12)[finger - 1] * curls[5] + rng.normal(0, 1.5)
                # Spreading turns about the palm's normal; its sense follows the side.
                rotation = turn(palm, _fan_sign(at, palm) * fan) @ rotation
            put(f"finger{finger}-{joint}.{side}", rotation)


def _fan_sign(at: dict[int, list[Array]], palm: Array) -> float:
    """+1 where a positive turn about the palm's normal moves the index finger away from the little finger."""
    along = _unit(at[3][2] - at[3][0])
    return float(np.sign(np.cross(palm, along) @ (at[2][0] - at[5][0])))


# --- self-collision ------------------------------------------------------------

_SOLID_BONES = (
    ("spine05", "pelvis.L", "pelvis.R"), ("spine04", "spine03"), ("spine02",), ("spine01",), ("head",),
    ("upperleg01.L", "upperleg02.L"), ("upperleg01.R", "upperleg02.R"),
    ("lowerleg01.L", "lowerleg02.L"), ("lowerleg01.R", "lowerleg02.R"),
)  # fmt: skip
# What may not enter which solids: arms none of them, a leg only those of the other.
_PROBES = {
    **{f"{bone}.{s}": tuple(range(9)) for s in "LR" for bone in ("lowerarm02", "wrist", "finger3-1", "finger3-3")},
    **{f"lowerarm01.{s}": (0, 1, 2) for s in "LR"},
    **{f"{bone}.L": (3, 6, 8) for bone in ("lowerleg01", "lowerleg02", "foot", "toe1-1")},
    **{f"{bone}.R": (3, 5, 7) for bone in ("lowerleg01", "lowerleg02", "foot", "toe1-1")},
}


@lru_cache(maxsize=2)
def _solid_vertices(body: Body) -> list[tuple[int, Ints] | None]:
    """The first bone and the skin vertices of each row of _SOLID_BONES."""
    main = body.main_bone[body.skin]
    found: list[tuple[int, Ints] | None] = []
    for names in _SOLID_BONES:
        rows = [body.bone[name] for name in names if name in body.bone]
        inside = body.skin[np.isin(main, rows)]
        found.append((rows[0], inside) if len(inside) >= 4 else None)
    return found


def _solids(body: Body, rest: Floats) -> list[tuple[int, Array, Array] | None]:
    """Bone, centre and half axes of an ellipsoid in the rest pose for each row of _SOLID_BONES."""
    solids: list[tuple[int, Array, Array] | None] = []
    for found in _solid_vertices(body):
        if found is None:
            solids.append(None)
            continue
        bone, rows = found
        inside = rest[rows].astype(np.float64)
        low, high = inside.min(axis=0), inside.max(axis=0)
        solids.append((bone, (low + high) / 2, (high - low) * 0.48 + 1e-6))
    return solids


def _overlap(body: Body, heads: Floats, rotations: Floats, solids: list[tuple[int, Array, Array] | None]) -> float:
    """How deep the probes are inside the solids, summed: 0 free, 1 a probe at a centre."""
    transforms = bone_transforms(body.parents, heads, rotations).astype(np.float64)
    total = 0.0
    for name, targets in _PROBES.items():
        if name not in body.bone:
            continue
        row = body.bone[name]
        point = transforms[row, :, :3] @ heads[row] + transforms[row, :, 3]
        for i in targets:
            solid = solids[i]
            if solid is not None:
                bone, center, axes = solid
                local = transforms[bone, :, :3].T @ (point - transforms[bone, :, 3])
                total += max(0.0, 1 - float((((local - center) / axes) ** 2).sum()))
    wrists = [body.bone[f"finger3-1.{s}"] for s in "LR" if f"finger3-1.{s}" in body.bone]
    if len(wrists) == 2:
        a, b = (transforms[row, :, :3] @ heads[row] + transforms[row, :, 3] for row in wrists)
        gap = 0.045 * float(np.linalg.norm(heads[body.bone["head"]] - heads[body.bone["root"]])) / 0.6
        total += max(0.0, 1 - float(np.linalg.norm(a - b)) / gap)
    return total
