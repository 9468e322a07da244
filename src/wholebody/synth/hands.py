"""Hand shapes: grips, gestures and the letters of the manual alphabet."""

from dataclasses import dataclass


@dataclass(frozen=True)
class HandShape:
    """A static configuration of a hand.

    Attributes:
        thumb: three numbers, 0 at rest to 1: its root towards the index finger in the plane of the palm (below 0:
            away), its root over the palm, and the bend of its outer joints.
        knuckles, middles: curl of index, middle, ring and little finger at the knuckle and at the middle joint; 0
            straight to 1 closed. The outermost joint follows the middle one, as tendons make it.
        spread: 0 fingers side by side, 1 fanned out; below 0 index and middle finger cross.
    """

    thumb: tuple[float, float, float]
    knuckles: tuple[float, float, float, float]
    middles: tuple[float, float, float, float]
    spread: float


def curled_fingers(thumb: float, index: float, middle: float, ring: float, little: float, spread: float) -> HandShape:
    """A hand shape in which each finger bends equally at all its joints."""
    fingers = (index, middle, ring, little)
    return HandShape((0.8 * thumb, 0.3 * thumb, thumb), fingers, fingers, spread)


HANDS: dict[str, HandShape] = {
    "relaxed": curled_fingers(0.15, 0.22, 0.28, 0.32, 0.35, 0.1),
    "flat": curled_fingers(0.0, 0.0, 0.0, 0.0, 0.0, 0.1),
    "spread": curled_fingers(-0.2, -0.05, -0.05, -0.05, -0.05, 1.0),
    "fist": curled_fingers(0.75, 0.95, 0.95, 0.95, 0.95, 0.0),
    "point": curled_fingers(0.6, 0.0, 0.9, 0.92, 0.92, 0.0),
    "peace": curled_fingers(0.75, 0.0, 0.0, 0.92, 0.92, 0.8),
    "thumb": curled_fingers(-0.25, 0.95, 0.95, 0.95, 0.95, 0.0),
    "grip": curled_fingers(0.45, 0.55, 0.58, 0.6, 0.62, 0.1),
    "pinch": curled_fingers(0.45, 0.55, 0.25, 0.2, 0.15, 0.3),
    "three": curled_fingers(0.7, 0.0, 0.0, 0.0, 0.9, 0.8),
    "horns": curled_fingers(0.6, 0.0, 0.92, 0.92, 0.0, 0.4),
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
