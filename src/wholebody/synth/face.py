"""Expressions and gaze."""

import numpy as np

from wholebody.synth.body import Body

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
    """Facial actions of a gaze in any direction: they rotate the eyes (25 degrees at 1 sideways) and move the lids."""
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
