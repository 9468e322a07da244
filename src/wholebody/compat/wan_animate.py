"""Inputs of Wan2.2-Animate and its ComfyUI nodes: POSEDATA, face pictures of 512 pixels, key points.

    data = pose_data(frames, size)                       # POSEDATA, one person
    faces = [face_crop(image, box) for image, box in zip(images, face_boxes(frames, size))]

Only one person is animated: the first row of every frame; choose them first (`wholebody.pose.choose`). A frame without
people repeats the previous one, as in the published preprocessing; its scores show whether it was seen.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from wholebody.arrays import Doubles, Image, Size
from wholebody.compat.aapose import joints
from wholebody.poses import Poses

Box = tuple[int, int, int, int]

FACE_SIZE = 512
# Nose, neck, shoulders, hips, ankles: the prompts for segmenting the character.
_KEY_POINTS = (0, 1, 2, 5, 8, 11, 10, 13)


@dataclass(eq=False)
class AAPoseMeta:
    """One frame with the names used in Wan-Animate's code: points in pixels and, in *_p, their scores.

    Attributes:
        width, height: of the picture.
        kps_body: (20, 2) see `align.joints.JOINTS`. kps_lhand, kps_rhand: (21, 2). kps_face: (69, 2), the first of
            which is the right heel: the published code slices the 133 points one too early, and its consumers drop it.
        kps_body_p, kps_lhand_p, kps_rhand_p, kps_face_p: (20,), (21,), (21,), (69,).
    """

    width: int
    height: int
    kps_body: Doubles
    kps_lhand: Doubles
    kps_rhand: Doubles
    kps_face: Doubles
    kps_body_p: Doubles
    kps_lhand_p: Doubles
    kps_rhand_p: Doubles
    kps_face_p: Doubles
    image_id: str = field(default="")


def pose_meta(person: Poses, size: Size) -> AAPoseMeta:
    """`AAPoseMeta` of the first person; zeros for points that the schema lacks, or if there is nobody."""
    person = person[:1] if len(person) else _nobody(person)
    body, body_scores = joints(person)
    parts = {}
    for name, count in (("left_hand", 21), ("right_hand", 21), ("face", 68)):
        points, scores = np.zeros((count, 2)), np.zeros(count)
        if name in person.schema.parts:
            found, sure = person.part(name)
            points[:], scores[:] = found[0, :count], sure[0, :count]
        parts[name] = (points, scores)
    heel, heel_score = np.zeros((1, 2)), np.zeros(1)
    if "right_heel" in person.schema.names:
        row = person.schema.names.index("right_heel")
        heel, heel_score = person.keypoints[:, row].astype(np.float64), person.scores[:, row].astype(np.float64)
    face, face_scores = parts["face"]
    return AAPoseMeta(
        width=size[0],
        height=size[1],
        kps_body=body,
        kps_lhand=parts["left_hand"][0],
        kps_rhand=parts["right_hand"][0],
        kps_face=np.concatenate([heel, face]),
        kps_body_p=body_scores,
        kps_lhand_p=parts["left_hand"][1],
        kps_rhand_p=parts["right_hand"][1],
        kps_face_p=np.concatenate([heel_score, face_scores]),
    )


def meta_dict(meta: AAPoseMeta) -> dict[str, Any]:
    """The same as a dict of (K, 3) arrays: x and y in fractions of the picture, and score."""
    names = {
        "keypoints_body": "kps_body",
        "keypoints_left_hand": "kps_lhand",
        "keypoints_right_hand": "kps_rhand",
        "keypoints_face": "kps_face",
    }
    arrays = {
        key: np.column_stack([getattr(meta, name) / (meta.width, meta.height), getattr(meta, f"{name}_p")])
        for key, name in names.items()
    }
    return {"width": meta.width, "height": meta.height, **arrays}


def pose_data(
    frames: Sequence[Poses],
    size: Size,
    *,
    aligned: Sequence[Poses] | None = None,
    aligned_size: Size | None = None,
    reference: Poses | None = None,
    reference_size: Size | None = None,
    reference_image: Any = None,
) -> dict[str, Any]:
    """POSEDATA, the dict that the drawing and editing nodes for Wan-Animate take.

    Args:
        frames: the people of each frame; the first of each is used. size: (width, height) of the pictures.
        aligned, aligned_size: the same frames after `align`, and the size of the reference's picture.
        reference, reference_size, reference_image: the character that they were aligned to.
    """
    original = [pose_meta(poses, size) for poses in held(frames)]
    metas = original
    if aligned is not None:
        metas = [pose_meta(poses, aligned_size or size) for poses in held(aligned)]
    return {
        "retarget_image": reference_image,
        "pose_metas": metas,
        "refer_pose_meta": None if reference is None else meta_dict(pose_meta(reference, reference_size or size)),
        "pose_metas_original": [meta_dict(meta) for meta in original],
    }


def held(frames: Sequence[Poses]) -> list[Poses]:
    """The frames; one without people is replaced by the last one before it that has a person, or by the first that
    has."""
    some = [poses for poses in frames if len(poses)]
    last = some[0] if some else None
    found = []
    for poses in frames:
        last = poses if len(poses) or last is None else last
        found.append(last)
    return found


def key_points(frames: Sequence[Poses]) -> str:
    """JSON [{"x": ..., "y": ...}, ...]: eight body points of some frames, for segmentation.

    Of four frames or more it is every (n // 4)-th, which are four to seven; of fewer only the first.
    """
    kept = held(frames)
    every = max(len(kept) // 4, 1) if len(kept) >= 4 else max(len(kept), 1)
    points = []
    for poses in kept[::every]:
        if len(poses):
            at, _ = joints(poses[0])
            points += [{"x": int(x), "y": int(y)} for x, y in at[list(_KEY_POINTS)]]
    return json.dumps(points)


# --- Faces ------------------------------------------------------------------------------------------------------------


def face_boxes(frames: Sequence[Poses], size: Size, *, area: float = 1.3, threshold: float = 0.3) -> list[Box]:
    """x0, y0, x1, y1 of the face of the first person in each frame, in whole pixels inside the picture.

    The box of the 68 points, w x h, grows to `area` times its area with the same aspect ratio, w' x h'. Three quarters
    of the added height go above and one quarter below, because the points end at the brows: x0 - (w'-w)/2, x1 +
    (w'-w)/2, y0 - 3 (h'-h)/4, y1 + (h'-h)/4. A frame without a face has the box of the last frame with one, or of the
    first; (0, 0, 0, 0) if there is none.
    """
    width, height = size
    boxes: list[Box | None] = []
    for poses in frames:
        box = None
        if len(poses) and "face" in poses.schema.parts:
            points, scores = (array[0, :68] for array in poses.part("face"))
            points = points[(scores >= threshold) & np.isfinite(points).all(axis=1)]
            if len(points) > 1:
                (x0, y0), (x1, y1) = points.min(axis=0).astype(float), points.max(axis=0).astype(float)
                dx, dy = (x1 - x0) * (area**0.5 - 1) / 2, (y1 - y0) * (area**0.5 - 1) / 4
                box = (
                    int(max(x0 - dx, 0)),
                    int(max(y0 - 3 * dy, 0)),
                    int(min(x1 + dx, width)),
                    int(min(y1 + dy, height)),
                )
                box = box if box[0] < box[2] and box[1] < box[3] else None
        boxes.append(box)
    last = next((box for box in boxes if box is not None), (0, 0, 0, 0))
    found = []
    for box in boxes:
        last = last if box is None else box
        found.append(last)
    return found


def face_crop(image: Image, box: Box, side: int = FACE_SIZE) -> Image:
    """The crop of a picture (H, W, 3) in `box` as (side, side, 3), stretched as the model expects; black if empty."""
    x0, y0, x1, y1 = box
    if x1 <= x0 or y1 <= y0:
        return np.zeros((side, side, 3), np.uint8)
    cut = image[y0:y1, x0:x1]
    shrunk = cut.shape[0] * cut.shape[1] > side * side
    return np.asarray(cv2.resize(cut, (side, side), interpolation=cv2.INTER_AREA if shrunk else cv2.INTER_LINEAR))


def _nobody(poses: Poses) -> Poses:
    k = len(poses.schema)
    keypoints, scores, boxes, box_scores = (np.zeros(shape, np.float32) for shape in ((1, k, 2), (1, k), (1, 4), (1,)))
    return Poses(keypoints, scores, boxes, box_scores, poses.schema)
