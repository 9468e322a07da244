"""easy_dwpose 1.0.2: DWposeDetector, without torch and without files in the working directory.

    from wholebody.compat.easy_dwpose import DWposeDetector

    detector = DWposeDetector(device="cuda:0")
    skeleton = detector(image, output_type="pil", include_hands=True, include_face=True)    # of the picture's own size
    pose = detector(image, draw_pose=None)                                                  # a dict, in fractions

People are detected on the picture scaled to `detect_resolution`, with both sides multiples of 64, and drawn there; then
the map is scaled back, as in the package.
"""

import os
from collections.abc import Callable
from typing import Any, TypedDict

import cv2
import numpy as np
import numpy.typing as npt

from wholebody import draw
from wholebody.arrays import Doubles
from wholebody.compat import names
from wholebody.compat.controlnet_aux import SURE, as_rgb, bgr_of, resize_image
from wholebody.poses import Poses
from wholebody.schema import OPENPOSE
from wholebody.wholebody import DETECTOR, POSE, WholeBody


class Pose(TypedDict):
    """N people, x and y in fractions of the picture.

    bodies: (18 N, 2). body_scores: (N, 18) the row of a point in `bodies`, -1 if its score is too low.
    hands: (2 N, 21, 2), all left hands, then all right hands. hands_scores: (2 N, 21).
    faces: (N, 68, 2). faces_scores: (N, 68).
    """

    bodies: Doubles
    body_scores: Doubles
    hands: Doubles
    hands_scores: Doubles
    faces: Doubles
    faces_scores: Doubles


def pose_of(poses: Poses, size: tuple[int, int]) -> Pose:
    """The people of a picture of `size` (width, height) as the package's dict."""
    people = poses.to(OPENPOSE)
    at = people.keypoints.astype(np.float64) / size
    scores = people.scores.astype(np.float64)
    body, left, right = (OPENPOSE.parts[part] for part in ("body", "left_hand", "right_hand"))
    face = slice(OPENPOSE.parts["face"].start, OPENPOSE.parts["face"].start + 68)
    numbers = np.arange(18.0 * len(people)).reshape(len(people), 18)
    return {
        "bodies": at[:, body].reshape(-1, 2),
        "body_scores": np.where(scores[:, body] > SURE, numbers, -1),
        "hands": np.concatenate([at[:, left], at[:, right]]),
        "hands_scores": np.concatenate([scores[:, left], scores[:, right]]),
        "faces": at[:, face],
        "faces_scores": scores[:, face],
    }


def poses_of(pose: Pose, size: tuple[int, int]) -> Poses:
    """The inverse: OPENPOSE in pixels of a picture of `size` (width, height). A body point's score is 1 or 0."""
    n = len(pose["body_scores"])
    left, right = np.split(np.asarray(pose["hands"]), 2)
    left_scores, right_scores = np.split(np.asarray(pose["hands_scores"]), 2)
    body = np.asarray(pose["bodies"]).reshape(n, 18, 2)
    sure = (np.asarray(pose["body_scores"]) >= 0).astype(np.float64)
    # OpenPose's face has the eyes of the body as its last two points.
    points = np.concatenate([body, pose["faces"], body[:, 14:16], left, right], axis=1) * size
    scores = np.concatenate([sure, pose["faces_scores"], sure[:, 14:16], left_scores, right_scores], axis=1)
    keypoints = points.astype(np.float32)
    extent = np.concatenate([keypoints.min(axis=1), keypoints.max(axis=1)], axis=1)
    return Poses(keypoints, scores.astype(np.float32), extent, np.ones(n, np.float32), OPENPOSE)


def draw_openpose(
    pose: Pose, height: int, width: int, include_face: bool = True, include_hands: bool = True
) -> npt.NDArray[np.uint8]:
    """The map (height, width, 3), uint8 RGB. Hand and face points with a low score are left out."""
    people = poses_of(pose, (width, height))
    canvas = np.zeros((height, width, 3), np.uint8)
    drawn = draw.openpose(canvas, people, hands=include_hands, face=include_face, threshold=SURE)
    return np.ascontiguousarray(drawn[..., ::-1])


class DWposeDetector:
    """DWPose maps.

    Args:
        device: "cpu", "cuda", "cuda:0", or a torch.device.
        pose, detector: our names or paths; the package's own are "dwpose-l-384" and "yolox-l".
    """

    def __init__(
        self,
        device: Any = "cpu",
        *,
        pose: str | os.PathLike[str] | None = None,
        detector: str | os.PathLike[str] | None = None,
    ) -> None:
        found = names.network(pose, POSE), names.network(detector, DETECTOR)
        self.model = WholeBody(*found, device=names.device(device))

    def __call__(
        self,
        image: Any,
        detect_resolution: int = 512,
        draw_pose: Callable[..., npt.NDArray[np.uint8]] | None = draw_openpose,
        output_type: str = "pil",
        **kwargs: Any,
    ) -> Any:
        """The map of a picture, PIL or (H, W, 3) uint8 RGB, at its size.

        Args:
            draw_pose: called with the `Pose`, `height`, `width` and all further arguments, returns RGB; with None, the
                dict itself is returned.
            output_type: "pil" or "np".

        Raises:
            ValueError: another output_type.
        """
        if output_type not in ("pil", "np"):
            raise ValueError("output_type should be 'pil' or 'np'")
        original = bgr_of(image)
        scaled = resize_image(original, detect_resolution)
        height, width = scaled.shape[:2]
        pose = pose_of(self.model(scaled), (width, height))
        if not draw_pose:
            return pose
        drawn = draw_pose(pose, height=height, width=width, **kwargs)
        # Linear, as in the package, where LANCZOS4 is passed as the wrong argument.
        back = cv2.resize(drawn, (original.shape[1], original.shape[0]), interpolation=cv2.INTER_LINEAR)
        return as_rgb(np.asarray(back, np.uint8)[..., ::-1], output_type)
