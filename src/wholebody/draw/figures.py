"""Drawing: functions (image, Poses) -> image. Every image here is (H, W, 3) uint8 BGR, and none is changed in place.

openpose  the map that ControlNet, T2I-Adapter and their descendants were trained on, to the pixel
skeleton  coloured bones and dots over a picture, for people to look at

The map is BGR too, so `cv2.imwrite` stores the right colours; PIL and diffusers need RGB, `drawn[..., ::-1]`.
"""

import colorsys
import math
from dataclasses import dataclass
from functools import cache
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from wholebody.arrays import Floats, Image
from wholebody.draw.canvas import Sizing
from wholebody.poses import Poses
from wholebody.schema import HAND_EDGES, OPENPOSE, OPENPOSE_25, OPENPOSE_COLORS, Schema

Color = tuple[int, int, int]

# A point farther away than this many pixels is noise, and OpenCV's fixed-point coordinates would overflow.
_FAR = 1e6


def drawable(keypoints: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
    """(...,) whether a point is finite and not too far away."""
    near: npt.NDArray[np.bool_] = np.abs(keypoints) < _FAR
    return np.logical_and(near[..., 0], near[..., 1])


# --- OpenPose map -----------------------------------------------------------------------------------------------------

_LIMBS = tuple((edge.a, edge.b) for edge in OPENPOSE.edges if edge.b < 18)
JOINT_COLORS = tuple(color[::-1] for color in OPENPOSE_COLORS)
FINGER_COLORS = tuple(
    tuple(round(channel * 255) for channel in colorsys.hsv_to_rgb(i / 20, 1, 1))[::-1] for i in range(20)
)
_WHITE, _BLUE = (255, 255, 255), (255, 0, 0)


def dark(color: Color) -> Color:
    """The colour of a stick: the official code draws sticks at 0.6 of the brightness of their dots."""
    b, g, r = (int(channel * 0.6) for channel in color)
    return b, g, r


def _foot_bones() -> tuple[tuple[int, int, Color], ...]:
    """(ankle or big toe, toe or heel, the ankle's colour in the 18-point map), rows of OPENPOSE_25."""
    row, row18 = OPENPOSE_25.names.index, OPENPOSE.names.index
    return tuple(
        (row(f"{side}_{a}"), row(f"{side}_{b}"), JOINT_COLORS[row18(f"{side}_ankle")])
        for side in ("right", "left")
        for a, b in (("ankle", "big_toe"), ("big_toe", "small_toe"), ("ankle", "heel"))
    )


_FOOT_BONES = _foot_bones()


def openpose(
    canvas: Image,
    poses: Poses,
    *,
    body: bool = True,
    hands: bool = True,
    face: bool = True,
    feet: bool = False,
    stick_scale: Literal["official", "xinsir"] = "official",
    threshold: float = 0.3,
    size: tuple[int, int] | None = None,
) -> Image:
    """The OpenPose map of the people, drawn as the official DWPose annotator draws it.

    On a black canvas the result is the official one pixel for pixel, quirks included: a body point needs a score
    above the threshold, a hand or face point one not below it, and hand and face points in column 0 or row 0 are
    left out. As there, sticks are also drawn to joints outside the canvas (`skeleton` leaves such points out). The
    official code darkens the whole canvas to 0.6 between sticks and dots; here the sticks are drawn darker instead,
    which is the same on black and keeps the brightness of a photo underneath.

    Args:
        canvas: (H, W, 3) uint8 BGR; black for ControlNet: `np.zeros((height, width, 3), np.uint8)`.
        poses: people in pixels of the canvas, in any schema that converts to OPENPOSE.
        body: 17 sticks and 18 dots.
        hands: 2 x 21 points.
        face: 68 white dots.
        feet: sticks to toes and heel in the colour of the ankle. The official drawing has no feet; this is for models
            trained with them.
        stick_scale: "xinsir" widens the body's sticks, not the dots, as the xinsir SDXL ControlNets expect: 2x from
            500 pixels of the longer side on, 3x from 1000, one more for each further 1000, at most 7x.
        threshold: lowest score of a drawn point.
        size: (width, height) of the map, if it differs from the canvas: canvas and points are scaled and padded first
            (`Sizing` has the other ways), and the sticks keep their width.

    Returns:
        (H, W, 3) uint8 BGR, a new array.

    Raises:
        ValueError: the canvas is not (H, W, 3) uint8, the schema cannot be converted to OPENPOSE, or it has no feet
            although `feet` is set.
    """
    if canvas.ndim != 3 or canvas.shape[2] != 3 or canvas.dtype != np.uint8:
        raise ValueError(f"the canvas is {canvas.shape} of {canvas.dtype}, not (height, width, 3) of uint8")
    if size is not None:
        placed = Sizing(size=size).canvas((canvas.shape[1], canvas.shape[0]))
        canvas, poses = placed.image(canvas), placed.poses(poses)
    drawn = np.array(canvas, order="C")
    height, width = drawn.shape[:2]
    people = poses.to(OPENPOSE)
    at, pixels = _official_pixels(people.keypoints, (width, height))
    there = drawable(at)
    sure = there & (people.scores > threshold)
    shown = there & (people.scores >= threshold) & (pixels >= 1).all(axis=-1)
    stick = 4 * (_xinsir_scale(max(height, width)) if stick_scale == "xinsir" else 1)

    if body:
        for (a, b), color in zip(_LIMBS, JOINT_COLORS, strict=False):
            sticks(drawn, at[:, (a, b)], sure[:, a] & sure[:, b], dark(color), stick)
    if feet:
        _feet(drawn, poses.to(OPENPOSE_25), threshold, stick)
    if body:
        for row, color in enumerate(JOINT_COLORS):
            dots(drawn, pixels[sure[:, row], row], color, 4)
    if hands:
        for part in ("left_hand", "right_hand"):
            rows = OPENPOSE.parts[part]
            for hand, seen in zip(pixels[:, rows], shown[:, rows], strict=True):
                _hand(drawn, hand, seen)
    if face:
        rows = slice(OPENPOSE.parts["face"].start, OPENPOSE.parts["face"].start + 68)
        dots(drawn, pixels[:, rows][shown[:, rows]], _WHITE, 3)
    return drawn


def _xinsir_scale(longer_side: int) -> int:
    return 1 if longer_side < 500 else min(2 + longer_side // 1000, 7)


def _official_pixels(keypoints: Floats, size: tuple[int, int]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Positions (..., 2) as the official code computes them for drawing, exact and truncated to pixels.

    It stores points as fractions of the picture; the round trip leaves some whole numbers slightly smaller.
    """
    there_and_back = keypoints.astype(np.float64) / size * size
    return there_and_back, np.where(drawable(there_and_back)[..., None], there_and_back, -1).astype(np.int64)


def sticks(canvas: Image, ends: npt.NDArray[np.float64], seen: npt.NDArray[np.bool_], color: Color, width: int) -> None:
    """Filled ellipses between `ends` (N, 2 points, xy) for the people `seen`."""
    for (x0, y0), (x1, y1) in ends[seen].tolist():
        center = int((x0 + x1) / 2), int((y0 + y1) / 2)
        half_length = int(math.hypot(x0 - x1, y0 - y1) / 2)
        angle = int(math.degrees(math.atan2(y0 - y1, x0 - x1)))
        outline = np.asarray(cv2.ellipse2Poly(center, (half_length, width), angle, 0, 360, 1))
        cv2.fillConvexPoly(canvas, outline, color)


def dots(canvas: Image, pixels: npt.NDArray[np.int64], color: Color, radius: int) -> None:
    """Discs at `pixels` (N, xy)."""
    for center in pixels.tolist():
        cv2.circle(canvas, center, radius, color, cv2.FILLED)


def _hand(canvas: Image, pixels: npt.NDArray[np.int64], shown: npt.NDArray[np.bool_]) -> None:
    for (a, b), color in zip(HAND_EDGES, FINGER_COLORS, strict=True):
        if shown[a] and shown[b]:
            cv2.line(canvas, pixels[a].tolist(), pixels[b].tolist(), color, 2)
    dots(canvas, pixels[shown], _BLUE, 4)


def _feet(canvas: Image, people: Poses, threshold: float, stick: int) -> None:
    height, width = canvas.shape[:2]
    at, pixels = _official_pixels(people.keypoints, (width, height))
    sure = drawable(at) & (people.scores > threshold)
    for a, b, color in _FOOT_BONES:
        sticks(canvas, at[:, (a, b)], sure[:, a] & sure[:, b], dark(color), stick)
    for _, b, color in _FOOT_BONES:
        dots(canvas, pixels[sure[:, b], b], color, 4)


# --- Overlay for people -----------------------------------------------------------------------------------------------

_RIM = (28, 22, 22)
_SMALLEST_DOTTED = 2.4  # width of a finger in pixels
_SHIFT = 4  # fractional bits in OpenCV's coordinates
_HALF_TURN = np.stack([f(np.linspace(-np.pi / 2, np.pi / 2, 5)) for f in (np.cos, np.sin)], axis=-1)


@dataclass(frozen=True)
class _Plan:
    """What drawing needs from a schema: E bones, K points."""

    bones: npt.NDArray[np.int64]  # (E, 2)
    incident: npt.NDArray[np.int64]  # (K, most bones of a point) the bones that end at it, padded with E
    bone_colors: list[Color]
    point_colors: list[Color]
    body: npt.NDArray[np.bool_]  # (K,) body and feet
    details: tuple[slice, ...]  # face and hands


@cache
def _plan(schema: Schema) -> _Plan:
    point_colors = [_WHITE] * len(schema)
    for edge in schema.edges:
        point_colors[edge.a] = point_colors[edge.b] = _bgr(edge.color)
    details = tuple(schema.parts.get(part, slice(0, 0)) for part in ("face", "left_hand", "right_hand"))
    body = np.ones(len(schema), bool)
    for rows in details:
        body[rows] = False
    bones = np.array([(edge.a, edge.b) for edge in schema.edges])
    ending = [np.flatnonzero((bones == row).any(axis=1)) for row in range(len(schema))]
    incident = np.full((len(schema), max(map(len, ending))), len(bones))
    for row, found in enumerate(ending):
        incident[row, : len(found)] = found
    return _Plan(bones, incident, [_bgr(edge.color) for edge in schema.edges], point_colors, body, details)


def _bgr(color: Color) -> Color:
    return color[::-1]


def skeleton(image: Image, poses: Poses, threshold: float = 0.3, *, boxes: bool = False) -> Image:
    """The picture with every person's bones and keypoints drawn over it.

    Left limbs are green and right ones orange, as defined by the schema's edges; a dark outline keeps them visible on
    any background. Line widths scale with the size of the person, those of hands and face with the size of that part.
    Smaller people are drawn first, so that people in front usually end up in front.

    Args:
        image: (H, W, 3) uint8 BGR.
        poses: people in pixels of the image, any schema.
        threshold: points with a lower score are left out, and so are their bones. Points outside the picture are always
            left out, because nobody can see whether they are right.
        boxes: draw the boxes too, with the track id if there is one.

    Returns:
        (H, W, 3) uint8 BGR, a new array.
    """
    drawn = np.array(image, order="C")
    sure = drawable(poses.keypoints) & (poses.scores >= threshold)
    points = np.where(sure[..., None], poses.keypoints, 0).astype(np.float64)
    extents = _extents(points, sure)
    people = _strokes(points, sure, extents, _plan(poses.schema), (drawn.shape[1], drawn.shape[0]))
    for n in np.argsort(extents, kind="stable"):
        if boxes:
            _box(drawn, poses.boxes[n], None if poses.ids is None else int(poses.ids[n]))
        people[n].draw(drawn)
    return drawn


def _extents(points: npt.NDArray[np.float64], seen: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """The diagonals (N,) of the bounding boxes of the visible points (N, K, 2), 0 if there are none."""
    low = np.where(seen[..., None], points, np.inf).min(axis=1, initial=np.inf)
    high = np.where(seen[..., None], points, -np.inf).max(axis=1, initial=-np.inf)
    extents: npt.NDArray[np.float64] = np.hypot(*np.maximum(high - low, 0).T)
    return extents


@dataclass(frozen=True)
class _Strokes:
    """One person's bones, E of them, and dots, P of them, in OpenCV's fixed-point coordinates.

    Each exists twice: slightly enlarged for the outline, and at its size for the fill.
    """

    bones: npt.NDArray[np.int32]  # (2, E, corners, 2) outlines
    centers: list[list[int]]  # (P, 2)
    radii: list[list[int]]  # (2, P)
    bone_colors: list[Color]
    dot_colors: list[Color]
    bone_rims: list[int]  # (E,) OpenCV's line type for the outline
    dot_rims: list[int]  # (P,)

    def draw(self, canvas: Image) -> None:
        """All outlines first, then all fills."""
        for outline, edge in zip(self.bones[0], self.bone_rims, strict=True):
            cv2.fillConvexPoly(canvas, outline, _RIM, edge, _SHIFT)
        for center, radius, edge in zip(self.centers, self.radii[0], self.dot_rims, strict=True):
            cv2.circle(canvas, center, radius, _RIM, cv2.FILLED, edge, _SHIFT)
        for outline, color in zip(self.bones[1], self.bone_colors, strict=True):
            cv2.fillConvexPoly(canvas, outline, color, cv2.LINE_AA, _SHIFT)
        for center, radius, color in zip(self.centers, self.radii[1], self.dot_colors, strict=True):
            cv2.circle(canvas, center, radius, color, cv2.FILLED, cv2.LINE_AA, _SHIFT)


def _strokes(
    points: npt.NDArray[np.float64],
    sure: npt.NDArray[np.bool_],
    extents: npt.NDArray[np.float64],
    plan: _Plan,
    picture: tuple[int, int],
) -> list[_Strokes]:
    """What to draw of each of N people on a picture of (width, height).

    Computed for all people at once, because numpy's cost is mostly per operation.
    """
    # Widths depend on the whole person, including what is outside the picture.
    # In a close-up of a face or a hand, the person is larger than what is visible.
    details = [_extents(points[:, part], sure[:, part]) for part in plan.details]
    size = np.maximum(extents, 3 * np.max(details, axis=0))
    base = np.minimum(np.maximum(size / 85, 1.2), max(max(picture) / 130, 1.2))
    width = np.repeat(base[:, None], points.shape[1], axis=1)
    for part, extent, share in zip(plan.details, details, (1 / 55, 1 / 26, 1 / 26), strict=True):
        width[:, part] = np.minimum(np.maximum(extent * share, 0.5), 0.6 * base)[:, None]

    # The first pixel spans -0.5 to 0.5.
    inside = np.logical_and(points >= -0.5, points < np.array(picture) - 0.5)
    seen = sure & inside[..., 0] & inside[..., 1]
    a, b = plan.bones.T
    drawn = seen[:, a] & seen[:, b]
    bone_width = np.minimum(width[:, a], width[:, b])
    # Short bones of the body (eyes, ears, toes) are thinner, or they would cover a small face.
    along = points[:, b] - points[:, a]
    length = np.hypot(along[..., 0], along[..., 1])
    short = np.minimum(np.maximum(length / 5, 0.45 * bone_width), bone_width)
    bone_width = np.where(plan.body[a], short, bone_width)
    # No dot is wider than the thinnest bone at it.
    thinnest = np.full((len(points), len(a) + 1), np.inf)
    thinnest[:, :-1][drawn] = bone_width[drawn]
    thinnest = thinnest[:, plan.incident].min(axis=2)
    width = np.minimum(width, thinnest)
    # On small hands, dots would only hide the fingers, whose bends already show the points.
    dotted = seen & ~((thinnest < np.inf) & (width < _SMALLEST_DOTTED) & ~plan.body)

    bone_rows, dot_rows = (np.nonzero(mask)[1].tolist() for mask in (drawn, dotted))
    bones = _capsules(points[:, a][drawn], points[:, b][drawn], _rimmed(bone_width[drawn], 0.5, 0.7))
    centers, radii = _fixed(points[dotted]), np.maximum(_fixed(_rimmed(width[dotted], 0.83, 0.4)), 1)
    # Anti-aliasing takes twice the time, and is invisible on the thin outlines of fingers and faces.
    edges = np.where(plan.body, cv2.LINE_AA, cv2.LINE_8).tolist()
    people = []
    for bone, dot in zip(_spans(drawn), _spans(dotted), strict=True):
        people.append(
            _Strokes(
                bones[:, bone],
                centers[dot].tolist(),
                radii[:, dot].tolist(),
                [plan.bone_colors[row] for row in bone_rows[bone]],
                [plan.point_colors[row] for row in dot_rows[dot]],
                [edges[row] for row in plan.bones[bone_rows[bone], 0]],
                [edges[row] for row in dot_rows[dot]],
            )
        )
    return people


def _spans(chosen: npt.NDArray[np.bool_]) -> list[slice]:
    """The positions of each person's rows among all selected rows (N, rows)."""
    ends = chosen.sum(axis=1).cumsum().tolist()
    return [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]


def _rimmed(width: npt.NDArray[np.float64], share: float, thinnest: float) -> npt.NDArray[np.float64]:
    """(2, M) the radius with and without outline, minus half a pixel for OpenCV's anti-aliased edge."""
    radius = share * width - 0.5
    return np.maximum(np.stack([radius + np.minimum(np.maximum(0.3 * width, thinnest), 2.5), radius]), 0)


def _capsules(
    a: npt.NDArray[np.float64], b: npt.NDArray[np.float64], radius: npt.NDArray[np.float64]
) -> npt.NDArray[np.int32]:
    """(2, M, 10, 2) outlines of lines with round ends from a to b (M, 2), in OpenCV's fixed-point coordinates."""
    along = b - a
    length = np.hypot(along[:, 0], along[:, 1])[:, None]
    along = np.where(length > 0, along / np.maximum(length, 1e-9), (1.0, 0.0))
    across = along[:, ::-1] * (-1, 1)
    cap = (_HALF_TURN[:, :1] * along[:, None] + _HALF_TURN[:, 1:] * across[:, None]) * radius[..., None, None]
    return _fixed(np.concatenate([b[:, None] + cap, a[:, None] - cap], axis=2))


def _fixed(pixels: npt.NDArray[np.float64]) -> npt.NDArray[np.int32]:
    return np.rint(pixels * (1 << _SHIFT)).astype(np.int32)


def _box(canvas: Image, box: Floats, track_id: int | None) -> None:
    if not (np.abs(box) < _FAR).all():
        return
    x0, y0, x1, y1 = np.rint(box).astype(int).tolist()
    scale = max(canvas.shape[:2]) / 1000
    thin = max(1, round(1.5 * scale))
    for shift, color in ((thin, _RIM), (0, _WHITE)):
        cv2.rectangle(canvas, (x0 + shift, y0 + shift), (x1 + shift, y1 + shift), color, thin)
    if track_id is None:
        return
    size = max(0.45, 0.7 * scale)
    corner = (x0 + 3 + thin, y0 + round(26 * size) + thin)
    for color, thickness in ((_RIM, thin + 3), (_WHITE, thin)):
        cv2.putText(canvas, str(track_id), corner, cv2.FONT_HERSHEY_SIMPLEX, size, color, thickness, cv2.LINE_AA)
