"""rtmlib 0.0.16: Wholebody, Body, BodyWithFeet, Custom, PoseTracker, YOLOX, RTMPose, draw_skeleton and draw_bbox.

    from wholebody.compat.rtmlib import PoseTracker, Wholebody, draw_skeleton

    wholebody = Wholebody(to_openpose=False, backend="onnxruntime", device="cpu")
    keypoints, scores = wholebody(frame)                # (N, 133, 2) float64 pixels, (N, 133) float32; BGR in
    tracker = PoseTracker(Wholebody, det_frequency=10)
    keypoints, scores = tracker(frame)                  # tracker.ids has the ids
    image = draw_skeleton(frame.copy(), keypoints, scores, kpt_thr=0.43)

All people in a picture go through the network as one batch, each network gets the channel order that it was trained on,
and if nobody is found the arrays are empty, (0, 133, 2) and (0, 133).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from wholebody import draw
from wholebody.arrays import Doubles, Floats, Image, PathLike
from wholebody.codec import SimCC
from wholebody.compat import names
from wholebody.compat.results import BodyResult, Keypoint
from wholebody.errors import WholebodyError
from wholebody.pose.load import open_detector, open_estimator
from wholebody.poses import Poses
from wholebody.runtime.session import notes
from wholebody.schema import COCO_BODY, COCO_WHOLEBODY, HALPE_26, OPENPOSE, Schema
from wholebody.tracking.track import Tracker
from wholebody.wholebody import DETECTOR, MODES, POSE, WholeBody

Points = tuple[Doubles, Floats]

# Assumed seconds between two frames of a PoseTracker, which gets no times.
_STEP = 1 / 30


# --- Networks ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MeanSimCC(SimCC):
    """SimCC whose score is the mean of both maxima, as in rtmlib; DWPose and mmpose use the smaller one."""

    def decode(self, x: npt.NDArray[np.floating], y: npt.NDArray[np.floating]) -> tuple[Floats, Floats]:
        """See `SimCC.decode`."""
        keypoints, _ = super().decode(x, y)
        mean = (x.max(axis=-1) + y.max(axis=-1)) / 2
        return keypoints, mean.astype(np.float32, copy=False)


def _on(backend: str, device: str) -> str:
    """Our device for rtmlib's backend and device. OpenCV's runtime is not used; the same files run in ONNX Runtime."""
    if backend not in ("onnxruntime", "opencv", "openvino"):
        raise WholebodyError(f"backend {backend!r} is unknown. Choose onnxruntime, opencv or openvino.")
    return "openvino" if backend == "openvino" else names.device(device)


class YOLOX:
    """A detector: BGR picture -> boxes (N, 4) float32 xyxy, highest score first.

    Args:
        onnx_model: a name of `wholebody models`, a path, or the address of a released file.
        model_input_size: accepted but not needed; it is read from the file.
        det_mode: "human" is the only one.
        nms_thr, score_thr: if the latter is None, what the file recommends, or 0.3.
    """

    def __init__(
        self,
        onnx_model: PathLike,
        model_input_size: tuple[int, int] = (640, 640),
        det_mode: str = "human",
        nms_thr: float = 0.45,
        score_thr: float | None = None,
        backend: str = "onnxruntime",
        device: str = "cpu",
    ) -> None:
        if det_mode != "human":
            raise WholebodyError(f"det_mode {det_mode!r}: only people are detected here. Leave it out.")
        finder = open_detector(names.network(onnx_model, DETECTOR), _on(backend, device), threshold=score_thr)
        self.finder = replace(finder, nms=nms_thr)
        self.det_mode = det_mode

    def __call__(self, image: Image) -> Floats:
        boxes, _ = self.finder(image)
        return boxes


class RTMPose:
    """A pose network: BGR picture and boxes -> keypoints (N, K, 2) and scores (N, K). Also RTMW and DWPose.

    Args:
        onnx_model: a name of `wholebody models`, a path, or the address of a released file.
        model_input_size, mean, std: accepted but not needed; they come from the file or the manifest.
        to_openpose: OpenPose's 18 (of 17) or rtmlib's 134 points (of 133).
    """

    def __init__(
        self,
        onnx_model: PathLike,
        model_input_size: tuple[int, int] = (192, 256),
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        to_openpose: bool = False,
        backend: str = "onnxruntime",
        device: str = "cpu",
    ) -> None:
        network = open_estimator(names.network(onnx_model, POSE), _on(backend, device))
        # Calibrated networks were measured with their own scores.
        if isinstance(network.codec, SimCC) and "calibration" not in notes(network.session):
            simcc = network.codec
            codec = MeanSimCC(simcc.input_size, simcc.split_ratio, tolerances=simcc.tolerances)
            network = replace(network, codec=codec)
        self.network = network
        self.to_openpose = to_openpose

    def __call__(self, image: Image, bboxes: npt.ArrayLike | None = None) -> Points:
        """The people in the boxes (N, 4) xyxy; without `bboxes` the whole picture is one person, and [] means
        nobody."""
        height, width = image.shape[:2]
        boxes = [[0, 0, width, height]] if bboxes is None else bboxes
        return points_of(self.network(image, boxes), self.to_openpose)


def points_of(poses: Poses, to_openpose: bool) -> Points:
    """keypoints (N, K, 2) float64 and scores (N, K) float32 in rtmlib's orders; 134 and 18 points for OpenPose's.

    134 points are OpenPose's 18, 6 feet in COCO's order, 68 face and 2 x 21 hands.
    """
    keypoints, scores = poses.keypoints.astype(np.float64), poses.scores
    if to_openpose:
        if poses.schema not in (COCO_WHOLEBODY, COCO_BODY):
            raise WholebodyError(f"{poses.schema.name} has no OpenPose order. Leave to_openpose out.")
        neck, neck_scores = keypoints[:, _SHOULDERS].mean(axis=1), scores[:, _SHOULDERS].min(axis=1)
        body, body_scores = keypoints[:, _BODY_18], scores[:, _BODY_18]
        body[:, 1], body_scores[:, 1] = neck, neck_scores
        keypoints = np.concatenate([body, keypoints[:, 17:]], axis=1)
        scores = np.concatenate([body_scores, scores[:, 17:]], axis=1)
    return keypoints, scores


_SHOULDERS = [COCO_BODY.names.index(f"{side}_shoulder") for side in ("left", "right")]
# Rows of COCO's body in OpenPose's order; the neck, at 1, is between the shoulders.
_BODY_18 = [0 if name == "neck" else COCO_BODY.names.index(name) for name in OPENPOSE.names[:18]]


# --- Solutions --------------------------------------------------------------------------------------------------------


class PoseResult(NamedTuple):
    """A person: 21 points a hand and 70 a face, None where all are missing."""

    body: BodyResult
    left_hand: list[Keypoint | None] | None
    right_hand: list[Keypoint | None] | None
    face: list[Keypoint | None] | None


class Wholebody:
    """133 points for everyone in a BGR picture.

    Args:
        det, pose: names of `wholebody models`, paths, or addresses of released files.
        det_input_size, pose_input_size: accepted but not needed.
        mode: a pair of networks, see `wholebody.wholebody.MODES`, used unless `det` and `pose` are given. rtmlib's own
            for "balanced" are pose="rtmw-l" and det="yolox-m-humanart".
        to_openpose: 134 points, see `points_of`.
        backend: "onnxruntime", "openvino"; "opencv" runs in ONNX Runtime.
    """

    schema: Schema = COCO_WHOLEBODY
    modes: Mapping[str, tuple[str, str]] = MODES

    def __init__(
        self,
        det: PathLike | None = None,
        det_input_size: tuple[int, int] = (640, 640),
        pose: PathLike | None = None,
        pose_input_size: tuple[int, int] = (288, 384),
        mode: str = "balanced",
        to_openpose: bool = False,
        backend: str = "onnxruntime",
        device: str = "cpu",
    ) -> None:
        if mode not in self.modes:
            raise WholebodyError(f"mode {mode!r} is unknown. Choose one of {', '.join(self.modes)}.")
        usual_pose, usual_det = self.modes[mode]
        self.det_model = YOLOX(usual_det if det is None else det, backend=backend, device=device)
        self.pose_model = RTMPose(
            usual_pose if pose is None else pose, to_openpose=to_openpose, backend=backend, device=device
        )
        self.model = WholeBody(self.pose_model.network, self.det_model.finder)

    def __call__(self, image: Image) -> Points:
        return self.points(self.poses(image))

    def poses(self, image: Image, boxes: npt.ArrayLike | None = None) -> Poses:
        """The people as `Poses`, with boxes and box scores."""
        return self.model(image, boxes)

    def points(self, poses: Poses) -> Points:
        """People as the arrays that a call returns."""
        if self.schema is COCO_BODY and len(poses.schema) > len(COCO_BODY):
            poses = poses.to(COCO_BODY)
        return points_of(poses, self.pose_model.to_openpose)

    @staticmethod
    def format_result(keypoints_info: npt.NDArray[np.floating]) -> list[PoseResult]:
        """(N, 134, 3) x, y and score in OpenPose's order -> a person each; a point needs a score of 0.3."""
        results = []
        for person in keypoints_info:
            body = _sure(person[:18]) or [None] * 18
            left, right, face = (_sure(person[a:b]) for a, b in ((92, 113), (113, 134), (24, 92)))
            total = sum(point.score for point in body if point is not None)
            face = None if face is None else [*face, body[14], body[15]]
            results.append(PoseResult(BodyResult(body, total, len(body)), left, right, face))
        return results


class Body(Wholebody):
    """17 points for everyone in a BGR picture; 18 with `to_openpose`. Arguments as for `Wholebody`."""

    schema = COCO_BODY


class BodyWithFeet(Wholebody):
    """26 points on everyone's body and feet (Halpe), with the released networks, which are downloaded once."""

    schema = HALPE_26
    modes = MappingProxyType(
        {
            "lightweight": ("rtmpose-body26-s", DETECTOR),
            "balanced": ("rtmpose-body26-m", DETECTOR),
            "performance": ("rtmpose-body26-x-384", "yolox-m-humanart"),
        }
    )


class Custom(Wholebody):
    """Custom networks; only files supported by RTMPose and YOLOX.

    Args:
        det_class: "YOLOX". pose_class: "RTMPose". The others: see `Wholebody`.
    """

    def __init__(
        self,
        det_class: str = "YOLOX",
        det: PathLike | None = None,
        det_input_size: tuple[int, int] = (640, 640),
        det_mode: str = "human",
        det_categories: Sequence[int] | None = None,
        pose_class: str = "RTMPose",
        pose: PathLike | None = None,
        pose_input_size: tuple[int, int] = (288, 384),
        mode: str = "balanced",
        to_openpose: bool = False,
        backend: str = "onnxruntime",
        device: str = "cpu",
    ) -> None:
        for kind, only in ((det_class, "YOLOX"), (pose_class, "RTMPose")):
            if kind != only:
                raise WholebodyError(f"{kind}: networks of this kind do not run here. Use {only}.")
        if det_mode != "human" or det_categories is not None:
            raise WholebodyError("only people are detected here. Leave det_mode and det_categories out.")
        super().__init__(det, pose=pose, mode=mode, to_openpose=to_openpose, backend=backend, device=device)
        self.schema = self.pose_model.network.schema


def _sure(part: npt.NDArray[np.floating]) -> list[Keypoint | None] | None:
    points = [Keypoint(x, y, s, i) if s >= 0.3 else None for i, (x, y, s) in enumerate(part.tolist())]
    return points if any(points) else None


# --- Video ------------------------------------------------------------------------------------------------------------


class PoseTracker:
    """People in a video, frame by frame, always in the order of their ids.

    Args:
        solution: `Wholebody`, `Body`, `Custom`, or a function of their keyword arguments.
        det_frequency: the detector runs on every n-th frame; in between, people are expected where they were moving to.
        tracking: False returns the people in the detector's order, without ids.
        tracking_thr: lowest similarity, 0..1, for matching a person with one in earlier frames.
        mode: passed on if given. to_openpose, backend, device: passed on.

    Attributes:
        ids: (N,) ids of the rows of the last call; None without tracking.
        poses: the people of the last call as `Poses`.
    """

    def __init__(
        self,
        solution: Callable[..., Wholebody],
        det_frequency: int = 1,
        tracking: bool = True,
        tracking_thr: float = 0.3,
        mode: str | None = None,
        to_openpose: bool = False,
        backend: str = "onnxruntime",
        device: str = "cpu",
    ) -> None:
        if det_frequency < 1:
            raise WholebodyError(f"det_frequency is {det_frequency}: give 1 or more.")
        chosen = {} if mode is None else {"mode": mode}
        self.solution = solution(to_openpose=to_openpose, backend=backend, device=device, **chosen)
        self.det_model, self.pose_model = self.solution.det_model, self.solution.pose_model
        self.det_frequency, self.tracking, self.tracking_thr = det_frequency, tracking, tracking_thr
        self.reset()

    def reset(self) -> None:
        """Drop all tracks: the next frame is the first of another video."""
        self.tracker = Tracker(least=self.tracking_thr)
        self.frame_cnt = 0
        self.poses = Poses.empty(self.pose_model.network.schema)
        self.ids: npt.NDArray[np.int64] | None = None

    def __call__(self, image: Image) -> Points:
        time = self.frame_cnt * _STEP
        search = self.frame_cnt % self.det_frequency == 0
        # A person is kept until the detector runs again, and expected at the predicted position in between.
        known = self.tracker.boxes(time, max(2, self.det_frequency) * _STEP)
        height, width = image.shape[:2]
        inside = (known[:, :2] < (width, height)).all(axis=1) & (known[:, 2:] > 0).all(axis=1)
        poses = self.solution.poses(image, None if search else known[inside])
        if search:
            self.tracker.searched = time
        named = self.tracker.update(poses, time, np.full(len(poses), search))
        assert named.ids is not None
        if self.tracking:
            self.poses = named[named.ids.argsort(kind="stable")]
            self.ids = self.poses.ids
        else:
            self.poses = poses
        self.frame_cnt += 1
        return self.solution.points(self.poses)


# --- Drawing ----------------------------------------------------------------------------------------------------------


def draw_bbox(img: Image, bboxes: npt.ArrayLike, color: tuple[int, int, int] = (0, 255, 0)) -> Image:
    """Boxes (N, 4) xyxy over a BGR picture, in place."""
    for x0, y0, x1, y1 in np.asarray(bboxes, np.float64).reshape(-1, 4).astype(int).tolist():
        cv2.rectangle(img, (x0, y0), (x1, y1), color, 2)
    return img


def draw_skeleton(
    img: Image,
    keypoints: npt.NDArray[np.floating],
    scores: npt.NDArray[np.floating],
    openpose_skeleton: bool = False,
    kpt_thr: float = 0.5,
    radius: int = 2,
    line_width: int = 2,
    *,
    to_openpose: bool | None = None,
) -> Image:
    """Draw people over a BGR picture, in place except in OpenPose's style.

    Args:
        keypoints, scores: (N, K, 2) and (N, K), or (K, 2) and (K,): 17, 26 or 133 points; for OpenPose 18 or 134.
        openpose_skeleton: the map for ControlNet, see `draw.openpose`; to_openpose is the same.
        kpt_thr: lowest score of a drawn point.
        radius, line_width: in pixels, for mmpose's style; OpenPose's has its own.

    Raises:
        WholebodyError: another number of points.
    """
    keypoints, scores = np.asarray(keypoints, np.float32), np.asarray(scores, np.float32)
    if not keypoints.size:
        return img
    if keypoints.ndim == 2:
        keypoints, scores = keypoints[None], scores[None]
    if openpose_skeleton if to_openpose is None else to_openpose:
        return draw.openpose(img, _openpose(keypoints, scores), threshold=kpt_thr)
    schema = {17: COCO_BODY, 26: HALPE_26, 133: COCO_WHOLEBODY}.get(keypoints.shape[1])
    if schema is None:
        raise WholebodyError(f"{keypoints.shape[1]} points: 17, 26 or 133 are drawn, 18 or 134 in OpenPose's style.")
    colors = _point_colors(schema)
    for points, seen in zip(keypoints.astype(int).tolist(), (scores >= kpt_thr).tolist(), strict=True):
        for at, color, shown in zip(points, colors, seen, strict=True):
            if shown:
                cv2.circle(img, at, radius, color, cv2.FILLED)
        for edge in schema.edges:
            if seen[edge.a] and seen[edge.b]:
                cv2.line(img, points[edge.a], points[edge.b], edge.color[::-1], line_width)
    return img


def _point_colors(schema: Schema) -> list[tuple[int, int, int]]:
    """BGR: the face white, fingers as their bones, the left green, the right and the feet orange, the head blue."""
    blue, green, orange, white = (255, 153, 51), (0, 255, 0), (0, 128, 255), (255, 255, 255)
    sides = {"left": green, "right": orange, "head": orange, "neck": orange, "mid": orange}
    colors = [sides.get(name.split("_")[0], white) for name in schema.names]
    colors[:5] = [blue] * 5
    for part in ("feet", "left_hand", "right_hand"):
        rows = schema.parts.get(part, slice(0, 0))
        colors[rows] = [orange if part == "feet" else white] * (rows.stop - rows.start)
    for edge in schema.edges:
        if edge.b > 90:
            colors[edge.b] = edge.color[::-1]
    return colors


def _openpose(keypoints: Floats, scores: Floats) -> Poses:
    """18 or 134 points in rtmlib's order as OPENPOSE's 130; missing parts have score 0."""
    n, k = scores.shape
    if k not in (18, 134):
        raise WholebodyError(f"{k} points: 18 or 134 are drawn in OpenPose's style. Ask for to_openpose=True.")
    rows = [*range(18), *range(24, 92), 14, 15, *range(92, 134)] if k == 134 else list(range(18))
    missing = len(OPENPOSE) - len(rows)
    points = np.concatenate([keypoints[:, rows], np.zeros((n, missing, 2), np.float32)], axis=1)
    sure = np.concatenate([scores[:, rows], np.zeros((n, missing), np.float32)], axis=1)
    extent = np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1)
    return Poses(points, sure, extent, np.ones(n, np.float32), OPENPOSE)
