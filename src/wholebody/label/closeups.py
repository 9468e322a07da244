"""Close-ups: faces and hands in their own crops, with MediaPipe's landmark networks on LiteRT.

A crop is placed upright from earlier keypoints, and then again from the network's own output, which is how MediaPipe
tracks a hand through a video (Zhang et al. 2020, arXiv:2006.10214; Kartynnik et al. 2019, arXiv:1907.06724).
"""

from dataclasses import dataclass

import cv2
import numpy as np

from wholebody.arrays import Doubles, Image
from wholebody.errors import WholebodyError
from wholebody.geometry import Crop, crop_matrix
from wholebody.label.looks import K, Opinion
from wholebody.runtime.session import Session
from wholebody.schema import COCO_WHOLEBODY

FACE, HANDS = COCO_WHOLEBODY.parts["face"], (COCO_WHOLEBODY.parts["left_hand"], COCO_WHOLEBODY.parts["right_hand"])
# Landmarks of the face mesh whose mean is a point of the 68, in order. Jaw points lie on a 3D oval rather than the
# contour, and brow points between two rows; both have less weight.
MESH_68 = (
    (127,), (234,), (93,), (132, 58), (58, 172), (136,), (150,), (176,), (152,), (400,), (379,), (365,), (397, 288),
    (361,), (323,), (454,), (356,), (70, 46), (63, 53), (105, 52), (66, 65), (107, 55), (336, 285), (296, 295),
    (334, 282), (293, 283), (300, 276), (168, 6), (197, 195), (5,), (4,), (75,), (97,), (2,), (326,), (305,), (33,),
    (160,), (158,), (133,), (153,), (144,), (362,), (385,), (387,), (263,), (373,), (380,), (61,), (39,), (37,), (0,),
    (267,), (269,), (291,), (321,), (314,), (17,), (84,), (91,), (78,), (82,), (13,), (312,), (308,), (317,), (14,),
    (87,),
)  # fmt: skip
_ABOUT = np.array([0.5] * 27 + [1.0] * 41)
# The hand points from which MediaPipe places the next crop: wrist and knuckles, without the tips.
_PALM = np.array([0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18])
# Smaller faces and hands are only a few pixels.
LEAST_FACE, LEAST_HAND = 20.0, 14.0
# Least confidence that there is a face or hand at all.
LEAST_PRESENCE = 0.4


@dataclass(frozen=True, eq=False)
class CloseUp:
    """A landmark network for faces or hands.

    Attributes:
        session: takes (1, s, s, 3) float32 RGB 0..1; returns landmarks (x, y, z) in pixels of the crop, and the
            confidence that there is a face or hand.
        part: "face" or "hand".
        looks: number of crops, each placed by the previous result.
    """

    session: Session
    part: str
    looks: int = 2

    def __call__(self, image: Image, people: Opinion) -> Opinion:
        """Refined faces or hands of the people (N, 133), where they are visible; score 0 elsewhere."""
        n = len(people.keypoints)
        out = Opinion(np.zeros((n, K, 2)), np.zeros((n, K)))
        for row in range(n):
            for rows in (FACE,) if self.part == "face" else HANDS:
                found = self._one(image, people.keypoints[row], people.scores[row], rows)
                if found is not None:
                    out.keypoints[row, rows], out.scores[row, rows] = found
        return out

    def _one(self, image: Image, points: Doubles, scores: Doubles, rows: slice) -> tuple[Doubles, Doubles] | None:
        place = _face_place(points, scores) if self.part == "face" else _hand_place(points, scores, rows)
        answers, presence = [], 0.0
        for _ in range(self.looks):
            if place is None:
                return None
            landmarks, presence = self._see(image, *place)
            answers.append(_from_mesh(landmarks) if self.part == "face" else landmarks)
            place = (_around_face if self.part == "face" else _around_hand)(answers[-1])
        if presence < LEAST_PRESENCE:
            return None
        # Reject a result that moves away in the second crop, and a hand far from its arm.
        found, before = answers[-1], answers[max(len(answers) - 2, 0)]
        size = float(np.linalg.norm(np.ptp(found, axis=0))) + 1e-6
        sure = presence * np.exp(-((np.linalg.norm(found - before, axis=1) / (0.1 * size)) ** 2))
        if self.part == "face":
            return found, sure * _ABOUT
        wrist = 9 if rows == HANDS[0] else 10
        away = float(np.linalg.norm(found[0] - points[wrist])) / size if scores[wrist] > 0.3 else 0.3
        return found, sure * np.exp(-((away / 0.7) ** 2))

    def _see(self, image: Image, center: Doubles, side: float, turn: float) -> tuple[Doubles, float]:
        s = int(self.session.inputs[0].shape[1] or 224)
        crop = Crop(crop_matrix(center, (side, side), (s, s), turn), (s, s))
        picture = cv2.cvtColor(crop.cut(image), cv2.COLOR_BGR2RGB).astype(np.float32) / 255
        outputs = [np.ravel(each) for each in self.session(picture[None])]
        landmarks = next(each for each in outputs if each.size in (63, 1404)).reshape(-1, 3)[:, :2]
        presence = float(next(each for each in outputs if each.size == 1)[0])
        if self.part == "face":
            presence = 1 / (1 + np.exp(-presence))
        return crop.to_image(landmarks.astype(np.float64)), presence


def close_up(session: Session) -> CloseUp:
    """The close-up network, recognised by its outputs: 468 landmarks of a face, or 21 of a hand.

    Raises:
        WholebodyError: neither.
    """
    sizes = {int(np.prod([n or 1 for n in tensor.shape])) for tensor in session.outputs}
    if 1404 in sizes:
        return CloseUp(session, "face")
    if 63 in sizes:
        return CloseUp(session, "hand")
    raise WholebodyError("not a landmark network of faces (468 points) or hands (21 points).")


Place = tuple[Doubles, float, float]


def _upright(points: Doubles, up: Doubles, factor: float, shift: float = 0.0) -> Place:
    """The square around points, rotated so that `up` points upwards: centre, side, and degrees for `crop_matrix`."""
    turn = float(np.degrees(np.arctan2(up[0], -up[1])))
    cos, sin = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    frame = np.array([[cos, sin], [-sin, cos]])  # as crop_matrix turns
    there = points @ frame.T
    low, high = there.min(axis=0), there.max(axis=0)
    side = float((high - low).max()) * factor
    middle = (low + high) / 2 + np.array([0, shift * (high - low).max()])
    return middle @ frame, side, turn


def _around_hand(hand: Doubles) -> Place | None:
    knuckles = 0.25 * (hand[5] + hand[13]) + 0.5 * hand[9]
    up = knuckles - hand[0]
    return _upright(hand[_PALM], up, 2.0, -0.1) if np.linalg.norm(up) > 2 else None


def _hand_place(points: Doubles, scores: Doubles, rows: slice) -> Place | None:
    """From the hand's own points if visible, otherwise from the forearm."""
    hand, sure = points[rows], scores[rows]
    left = rows == HANDS[0]
    elbow, wrist = points[7 if left else 8], points[9 if left else 10]
    forearm = wrist - elbow
    length = float(np.linalg.norm(forearm))
    if sure.mean() > 0.35 and np.linalg.norm(np.ptp(hand, axis=0)) > LEAST_HAND:
        return _around_hand(hand)
    if min(scores[7 if left else 8], scores[9 if left else 10]) < 0.4 or length < 1.5 * LEAST_HAND:
        return None
    return wrist + 0.35 * forearm, 1.3 * length, float(np.degrees(np.arctan2(forearm[0], -forearm[1])))


def _from_mesh(mesh: Doubles) -> Doubles:
    return np.stack([mesh[list(rows)].mean(axis=0) for rows in MESH_68])


def _around_face(face: Doubles) -> Place | None:
    eyes = face[42:48].mean(axis=0) - face[36:42].mean(axis=0)
    # In the picture the person's right eye is on the left, so it comes first.
    up = np.array([eyes[1], -eyes[0]])
    return _upright(face, up, 1.6) if np.linalg.norm(up) > 2 else None


def _face_place(points: Doubles, scores: Doubles) -> Place | None:
    """From the face's own points; a face turned away has few confident ones."""
    face = points[FACE]
    if scores[FACE].mean() < 0.3 or np.linalg.norm(np.ptp(face, axis=0)) < LEAST_FACE:
        return None
    return _around_face(face)
