"""A procedural sampler of poses, hand shapes, head turns and expressions, within the limits of joints.

Angles are degrees. Every rotation is about a bone's head in the axes of the rest pose (the person faces -y, z up, left
is +x), so flexing both hips by 90 is the same rotation on either side. The right side is sampled as a mirrored left.
A pose whose arms or legs intersect the body (ellipsoids around the bones of trunk, head and legs) is rejected and
sampled again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from wholebody.arrays import Doubles, Floats
from wholebody.synth.body import Body
from wholebody.synth.collide import body_solids, overlap
from wholebody.synth.hands import GRIPS, HANDS, LETTERS, curled_fingers
from wholebody.synth.rotations import X, Y, Z, across_of, between, cross_product, limited, turn, twist_of, unit_vector

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


@dataclass(frozen=True, eq=False)
class Posture:
    """Rotations (J, 3, 3) about every bone's head in rest axes, and the names of the sampled choices."""

    rotations: Floats
    kinds: dict[str, str]


def sample_pose(
    rng: np.random.Generator, body: Body, rest: Floats, heads: Floats, attempts: int = 8,
    grips: tuple[str, str] = ("", ""), given: Posture | None = None,
) -> Posture:  # fmt: skip
    """A pose for the person with rest vertices (V, 3) and bone heads (J, 3).

    Args:
        grips: rows of GRIPS for the left and right hand; "" for a hand that holds nothing.
        given: a pose to use instead of sampling one; hands whose fingers it leaves straight get a shape.
    """
    if given is not None:
        return _completed(rng, body, heads, given, grips)
    solids = body_solids(body, rest)
    stance = _choice(rng, STANCES)
    best: tuple[float, Posture] | None = None
    for _ in range(attempts):
        pose = _draw(rng, body, heads, stance, grips)
        depth = overlap(body, heads, pose.rotations, solids)
        if best is None or depth < best[0]:
            best = depth, pose
        if depth < 0.05:
            break
    assert best is not None
    return best[1]


def _choice(rng: np.random.Generator, table: Mapping[str, float]) -> str:
    weights = np.array(list(table.values()))
    return str(rng.choice(list(table), p=weights / weights.sum()))


def _completed(rng: np.random.Generator, body: Body, heads: Floats, given: Posture, grips: tuple[str, str]) -> Posture:
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
    return Posture(rotations.astype(np.float32), {**given.kinds, "hands_shape": "/".join(shapes)})


def _hand_kind(rng: np.random.Generator) -> str:
    """A letter in 3 of 10 cases, otherwise one of HANDS; often relaxed, and often no named shape."""
    if rng.random() < 0.3:
        return str(rng.choice(list(LETTERS)))
    return str(rng.choice([*HANDS, "relaxed", "relaxed", "free", "free"]))


def _draw(rng: np.random.Generator, body: Body, heads: Floats, stance: str, grips: tuple[str, str]) -> Posture:
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
    return Posture(rotations.astype(np.float32), kinds)


def _root(rng: np.random.Generator, stance: str) -> Doubles:
    if stance == "lie":
        # On the back, the front or a side, with the head to any side of the picture.
        return np.asarray(turn(X, -90 + rng.normal(0, 8)) @ turn(Z, rng.choice([0, 180, 90, -90]) + rng.normal(0, 20)))
    if stance == "plank":
        return np.asarray(turn(X, 80 + rng.normal(0, 6)) @ turn(Y, rng.normal(0, 3)))
    if stance == "swim":
        return np.asarray(turn(X, rng.choice([85, 85, -85]) + rng.normal(0, 12)) @ turn(Z, rng.normal(0, 25)))
    if stance in ("dance", "kick"):
        return np.asarray(turn(X, rng.normal(-3, 10)) @ turn(Y, rng.normal(0, 10)))
    if stance == "jump":
        return np.asarray(turn(X, rng.normal(0, 12)) @ turn(Y, rng.normal(0, 10)))
    if stance == "free" and rng.random() < 0.4:
        return turn(rng.normal(size=3), rng.uniform(0, 180))
    return np.asarray(turn(X, rng.normal(0, 2)) @ turn(Y, rng.normal(0, 2)))


def _trunk(rng: np.random.Generator, put: _Put, stance: str) -> None:
    lean = {"run": 8, "sit": 4, "floor": 12, "squat": 25, "kneel": 5, "jump": 5, "lunge": 8, "throw": 6, "serve": -10,
            "plank": -2, "swim": -4}.get(stance, 2)  # fmt: skip
    flex = np.clip(rng.normal(lean, 9 if stance != "free" else 22), -28, 70)
    if stance == "stand" and rng.random() < 0.08:
        flex = rng.uniform(30, 75)
    wide = {"free": 1.8, "dance": 1.8, "throw": 1.6, "serve": 1.4, "swim": 1.4}.get(stance, 1.0)
    twist, bend = np.clip(rng.normal(0, 9 * wide), -35, 35), np.clip(rng.normal(0, 5 * wide), -25, 25)
    for i in range(1, 6):
        put(f"spine0{i}", turn(X, flex / 5) @ turn(Y, bend / 5) @ turn(Z, twist / 5))
    yaw = np.clip(rng.normal(0, 24), -75, 75)
    if stance in ("plank", "swim", "serve"):
        yaw, flex = 0.5 * yaw, flex + 30  # they look ahead
    pitch = np.clip(rng.normal(1 - 0.6 * flex * (stance != "free"), 13), -40, 40)
    roll = np.clip(rng.normal(0, 8), -28, 28)
    for bone, share in (("neck01", 0.15), ("neck02", 0.15), ("neck03", 0.2), ("head", 0.5)):
        put(bone, turn(Z, yaw * share) @ turn(X, pitch * share) @ turn(Y, roll * share))


def _legs(rng: np.random.Generator, put: _Put, stance: str) -> None:
    """Hip: flexion (forward), abduction (out), turn (toes out). Knee: flexion. The rest pose stands 8 degrees wide."""

    def leg(side: str, flex: float, wide: float, out: float, knee: float, ankle: float | None = None) -> None:
        sign = 1 if side == "L" else -1
        flex, wide = float(np.clip(flex, -30, 125)), float(np.clip(wide, -14, 60))
        out, knee = float(np.clip(out, -30, 65)), float(np.clip(knee, -3, 150))
        level = flex - knee if ankle is None else ankle
        put(f"upperleg01.{side}", turn(X, -flex) @ turn(Y, -wide * sign) @ turn(Z, out * sign))
        put(f"lowerleg01.{side}", turn(X, knee))
        put(f"foot.{side}", turn(X, -float(np.clip(-level, -50, 28))) @ turn(Y, rng.normal(0, 4)))
        toes = float(np.clip(rng.normal(0, 8) - (25 if stance in ("kneel", "run", "plank", "lunge") else 0), -45, 25))
        for toe in range(1, 6):
            put(f"toe{toe}-1.{side}", turn(X, toes))

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
    """An arm, computed as a left one and mirrored for the right. `shared` (3,): random numbers that both arms use."""
    sign = 1 if side == "L" else -1
    mirror = np.array([sign, 1, 1.0])

    def head(name: str) -> Doubles:
        """A bone's head, mirrored so that this arm is a left one."""
        return np.asarray(heads[body.bone[name.replace("*", side)]] * mirror, dtype=np.float64)

    shoulder, elbow, wrist = head("upperarm01.*"), head("lowerarm01.*"), head("wrist.*")
    upper, fore = float(np.linalg.norm(elbow - shoulder)), float(np.linalg.norm(wrist - elbow))
    u0, f0 = unit_vector(elbow - shoulder), unit_vector(wrist - elbow)
    n0 = across_of(cross_product(u0, f0), u0)

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
        f = np.cos(np.deg2rad(bend)) * u + np.sin(np.deg2rad(bend)) * across_of(to, u)
        if bend < 3:
            f = unit_vector(u + 0.05 * across_of(to, u))
    normal = unit_vector(cross_product(u, f))

    lift = float(np.clip(np.rad2deg(np.arcsin(u[2])) + 35, 0, 120))
    clavicle, blade = turn(Y, -0.12 * lift), turn(Y, -0.14 * lift)
    chest = clavicle @ blade
    upper_goal = between(u0, n0, u, normal)
    fore_goal = between(f0, across_of(cross_product(u0, f0), f0), f, normal)
    along, palm = (vector * mirror for vector in _palm(body, heads, side))
    if hand is None:
        sideways = unit_vector(cross_product(f0, palm))
        roll = float(np.clip(n(0, 45), -85, 80))
        bend, tilt = float(np.clip(n(0, 22), -60, 60)), float(np.clip(n(0, 9), -20, 25))
        wrist_turn = turn(sideways, bend) @ turn(palm, tilt)
    else:
        goal = between(along, across_of(palm, along), unit_vector(hand[0]), across_of(hand[1], unit_vector(hand[0])))
        roll, wrist_turn = twist_of(fore_goal.T @ goal, f0)
        roll, wrist_turn = float(np.clip(roll, -95, 95)), limited(wrist_turn, 75)
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
    line = unit_vector(line)
    along = (distance**2 + upper**2 - fore**2) / (2 * distance)
    elbow = along * line + np.sqrt(max(upper**2 - along**2, 0)) * across_of(pole, line)
    return unit_vector(elbow), unit_vector(distance * line - elbow)


def _palm(body: Body, heads: Floats, side: str) -> tuple[Doubles, Doubles]:
    """Direction from wrist to knuckles, and the unit vector out of the palm (fingers rest slightly curled)."""
    wrist = heads[body.bone[f"wrist.{side}"]].astype(np.float64)
    knuckles = np.array([heads[body.bone[f"finger{i}-1.{side}"]] for i in (2, 3, 4, 5)], np.float64)
    tips = np.array([heads[body.bone[f"finger{i}-3.{side}"]] for i in (2, 3, 4, 5)], np.float64)
    along = unit_vector(knuckles.mean(0) - wrist)
    lateral = unit_vector(knuckles[0] - knuckles[3])
    normal = cross_product(along, lateral)
    curled = (tips - knuckles).mean(0)
    return along, unit_vector(normal) * (1 if normal @ curled > 0 else -1)


def _hand(rng: np.random.Generator, put: _Put, body: Body, heads: Floats, side: str, kind: str) -> None:
    """Shape the fingers as a row of HANDS, GRIPS or LETTERS, or freely."""
    if kind == "free":
        curls = np.clip(rng.uniform(0, 0.8) + rng.normal(0, 0.28, 5), -0.1, 0.95)
        thumb, index, middle, ring, little = (float(curl) for curl in curls)
        shape = curled_fingers(0.6 * thumb, index, middle, ring, little, float(rng.uniform(0, 1)))
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
        along = unit_vector(at[finger][2] - at[finger][0])
        noise = rng.normal(0, 3, 3)
        if finger == 1:
            inward = unit_vector(at[5][0] - at[1][0])
            towards, over, bend = np.array(shape.thumb) + rng.normal(0, 0.06, 3)
            axis = unit_vector(cross_product(along, inward + 0.4 * palm))
            root = turn(cross_product(along, inward), 40 * towards) @ turn(cross_product(along, palm), 45 * over)
            rotations = [root, turn(axis, 50 * bend + noise[1]), turn(axis, 70 * bend + noise[2])]
        else:
            axis = unit_vector(cross_product(along, palm))
            knuckle, middle = shape.knuckles[finger - 2], shape.middles[finger - 2]
            common = rng.normal(0, 0.05)
            angles = np.array([82 * (knuckle + common) - 8, 98 * (middle + common) - 6, 68 * (middle + common) - 4])
            rotations = [turn(axis, float(angle)) for angle in angles + noise]
            rotations[0] = turn(palm, sense * (fans[finger - 2] + rng.normal(0, 1.5))) @ rotations[0]
        for joint, rotation in enumerate(rotations, start=1):
            put(f"finger{finger}-{joint}.{side}", rotation)


def _fan_sign(at: dict[int, list[Doubles]], palm: Doubles) -> float:
    """+1 where a positive turn about the palm's normal moves the index finger away from the little finger."""
    along = unit_vector(at[3][2] - at[3][0])
    return float(np.sign(cross_product(palm, along) @ (at[2][0] - at[5][0])))


def _fans(at: dict[int, list[Doubles]], palm: Doubles) -> Doubles:
    """(4,) degrees from the middle finger to each of the four fingers at rest, the index finger's side positive."""
    middle = across_of(at[3][2] - at[3][0], palm)
    beside = cross_product(palm, middle) * _fan_sign(at, palm)
    flat = [across_of(at[finger][2] - at[finger][0], palm) for finger in range(2, 6)]
    return np.array([np.rad2deg(np.arctan2(direction @ beside, direction @ middle)) for direction in flat])
