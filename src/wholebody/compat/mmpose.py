"""mmpose 1.3.2: MMPoseInferencer, without mmpose, mmcv, mmdet and torch.

    from wholebody.compat.mmpose import MMPoseInferencer

    inferencer = MMPoseInferencer("wholebody")
    for result in inferencer("photo.jpg", pred_out_dir="predictions"):
        for person in result["predictions"][0]:
            person["keypoints"], person["keypoint_scores"], person["bbox"], person["bbox_score"]

A call returns a generator with a dict per batch. `predictions` has a list per picture, with a dict per person:
`keypoints` [[x, y], ...], `keypoint_scores` [...], `bbox` ([x0, y0, x1, y1],) and `bbox_score`, in Python's own types.
`visualization` is None, [] if pictures were only shown or saved, or a list of RGB arrays with `return_vis`.
"""

import json
import logging
import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from wholebody import draw, video
from wholebody.arrays import Image
from wholebody.compat import names
from wholebody.compat.rtmlib import draw_bbox, draw_skeleton
from wholebody.errors import WholebodyError
from wholebody.files import replacing
from wholebody.images import WRITE_SUFFIXES, as_image, find_images, read_image, write_image
from wholebody.pose.detect import YOLOX
from wholebody.poses import Poses
from wholebody.schema import COCO_BODY, Schema
from wholebody.wholebody import DETECTOR, POSE, WholeBody

# mmpose's alias for a kind of network -> our network, and the requested points.
_ALIASES: dict[str, tuple[str, Schema | None]] = {
    "wholebody": (POSE, None),
    "rtmw": ("rtmw-l-384", None),
    "human": (POSE, COCO_BODY),
    "body": (POSE, COCO_BODY),
    "body17": (POSE, COCO_BODY),
    "body26": ("rtmpose-body26-m", None),
}


@dataclass(frozen=True, eq=False)
class _Picture:
    """One input: its file name, the picture, and the time of a frame."""

    name: str
    image: Image
    time: float = 0.0


@dataclass(frozen=True)
class _Look:
    """How people are drawn, in mmpose's terms."""

    draw_bbox: bool
    radius: int
    thickness: int
    kpt_thr: float
    skeleton_style: str
    black_background: bool

    def draw(self, image: Image, poses: Poses) -> Image:
        drawn = np.zeros_like(image) if self.black_background else image.copy()
        if self.draw_bbox:
            drawn = draw_bbox(drawn, poses.boxes)
        if self.skeleton_style == "openpose":
            return draw.openpose(drawn, poses, threshold=self.kpt_thr)
        return draw_skeleton(
            drawn,
            poses.keypoints,
            poses.scores,
            kpt_thr=self.kpt_thr,
            radius=self.radius,
            line_width=self.thickness,
        )


class MMPoseInferencer:
    """People in pictures, folders, videos and cameras.

    Args:
        pose2d: "wholebody", "human" (17 points), a name from `wholebody models`, or a path. Configurations are not
            read.
        pose2d_weights: a path or the URL of a released file, instead of `pose2d`.
        pose3d, pose3d_weights: not supported.
        device: "cpu", "cuda"; None takes the fastest.
        det_model: a name from `wholebody models` or a path; "whole_image" treats each picture as one person.
        det_weights: used instead of `det_model`.
        det_cat_ids: None or 0, which means people.
        scope, show_progress: accepted but ignored.

    Raises:
        WholebodyError: 3D, anything other than people, or an unknown network.
    """

    def __init__(
        self,
        pose2d: str | None = None,
        pose2d_weights: str | None = None,
        pose3d: str | None = None,
        pose3d_weights: str | None = None,
        device: Any = None,
        scope: str = "mmpose",
        det_model: str | None = None,
        det_weights: str | None = None,
        det_cat_ids: int | Sequence[int] | None = None,
        show_progress: bool = False,
    ) -> None:
        if pose3d is not None or pose3d_weights is not None:
            raise WholebodyError("3D networks are not supported. Leave pose3d out.")
        if det_cat_ids not in (None, 0, [0], (0,)):
            raise WholebodyError(f"det_cat_ids {det_cat_ids}: only people, 0, are detected here.")
        pose, schema = _ALIASES.get(pose2d or "wholebody", (pose2d, None))
        self.schema: Schema | None = schema
        detector = None if det_model == "whole_image" else names.network(det_weights or det_model, DETECTOR)
        self.model = WholeBody(names.network(pose2d_weights or pose, POSE), detector, device=names.device(device))

    def __call__(
        self,
        inputs: Any,
        return_datasamples: bool = False,
        batch_size: int = 1,
        out_dir: str | os.PathLike[str] | None = None,
        *,
        bbox_thr: float | None = None,
        nms_thr: float | None = None,
        bboxes: npt.ArrayLike | None = None,
        return_vis: bool = False,
        show: bool = False,
        wait_time: float = 0,
        draw_bbox: bool = False,
        radius: int = 3,
        thickness: int = 1,
        kpt_thr: float = 0.3,
        skeleton_style: Literal["mmpose", "openpose"] = "mmpose",
        black_background: bool = False,
        vis_out_dir: str | os.PathLike[str] = "",
        pred_out_dir: str | os.PathLike[str] = "",
    ) -> Generator[dict[str, Any]]:
        """A generator of one dict per batch.

        Args:
            inputs: a path of a picture, a folder or a video, a BGR array, a list of pictures, or "webcam:0".
            return_datasamples: not supported.
            batch_size: pictures per batch; 1 for a camera.
            out_dir: `vis_out_dir` and `pred_out_dir` are its folders visualizations and predictions.
            bbox_thr: lowest score of a box; None takes what the detector's file recommends. nms_thr: IoU threshold of
                the NMS; None means 0.45.
            bboxes: (N, 4) xyxy, the people in every picture, instead of the detector.
            show: show in a window for `wait_time` seconds (0: until a key is pressed, except for videos).
            vis_out_dir: folder for drawings: pictures under their names, a video as .mp4. pred_out_dir: folder for
                JSON, one file per picture or video.

        Raises:
            WholebodyError: an input cannot be read, or a folder cannot be written.
        """
        if return_datasamples:
            raise WholebodyError("data samples are mmpose's own type. Leave return_datasamples out.")
        if batch_size < 1:
            raise WholebodyError(f"batch_size is {batch_size}: give 1 or more.")
        if skeleton_style not in ("mmpose", "openpose"):
            raise WholebodyError(f"skeleton_style {skeleton_style!r} is unknown. Choose mmpose or openpose.")
        vis_to, pred_to = (
            Path(given) if given else Path(out_dir) / own if out_dir else None
            for given, own in ((vis_out_dir, "visualizations"), (pred_out_dir, "predictions"))
        )
        look = _Look(draw_bbox, radius, thickness, kpt_thr, skeleton_style, black_background)
        model = self._with(bbox_thr, nms_thr)
        clip, pictures = _pictures(inputs)
        camera = isinstance(inputs, str) and inputs.startswith("webcam")
        with ExitStack() as opened:
            clip_files = _ClipFiles(clip, vis_to, pred_to, opened) if clip else None
            while batch := list(islice(pictures, 1 if camera else batch_size)):
                given = None if bboxes is None else [bboxes] * len(batch)
                found = model.images([picture.image for picture in batch], given)
                found = [poses if self.schema is None else poses.to(self.schema) for poses in found]
                instances = [_instances(poses) for poses in found]
                drawn = None
                if return_vis or show or camera or vis_to:
                    drawn = [look.draw(p.image, poses) for p, poses in zip(batch, found, strict=True)]
                if clip_files:
                    clip_files.add(batch, drawn, instances)
                else:
                    _write(batch, drawn, instances, vis_to, pred_to)
                if (show or camera) and drawn:
                    for picture, image in zip(batch, drawn, strict=True):
                        _show(clip or picture.name, image, 1 if clip else round(1000 * wait_time))
                shown = None if drawn is None else [image[..., ::-1] for image in drawn] if return_vis else []
                yield {"visualization": shown, "predictions": instances}

    def _with(self, bbox_thr: float | None, nms_thr: float | None) -> WholeBody:
        """The model, with the detector's thresholds replaced if given."""
        detector = self.model.detector
        if not isinstance(detector, YOLOX) or (bbox_thr is None and nms_thr is None):
            return self.model
        score = detector.threshold if bbox_thr is None else bbox_thr
        overlap = detector.nms if nms_thr is None else nms_thr
        return WholeBody(self.model.pose, replace(detector, threshold=score, nms=overlap))


def _instances(poses: Poses) -> list[dict[str, Any]]:
    """The people in a picture, as from mmpose's `split_instances`."""
    return [
        {
            "keypoints": poses.keypoints[n].tolist(),
            "keypoint_scores": poses.scores[n].tolist(),
            "bbox": (poses.boxes[n].tolist(),),
            "bbox_score": float(poses.box_scores[n]),
        }
        for n in range(len(poses))
    ]


# --- In ---------------------------------------------------------------------------------------------------------------


def _pictures(inputs: Any) -> tuple[str, Iterator[_Picture]]:
    """The pictures of an input, and the name of their video or camera, or ""."""
    if isinstance(inputs, str) and inputs.startswith("webcam"):
        return "webcam.mp4", _camera(inputs.partition(":")[2] or "0")
    if isinstance(inputs, (str, os.PathLike)):
        path = Path(inputs)
        if "://" in os.fspath(inputs):
            raise WholebodyError(f"{inputs}: URLs are not opened. Download it and give the path.")
        if path.is_file() and video.is_video(path):
            return path.name, (_Picture(path.name, frame.image, frame.time) for frame in video.read(path))
        return "", (_Picture(file.name, read_image(file)) for file in find_images([path]))
    several = [inputs] if isinstance(inputs, np.ndarray) and inputs.ndim == 3 else inputs
    return "", (_picture(number, one) for number, one in enumerate(several))


def _picture(number: int, source: Any) -> _Picture:
    if isinstance(source, (str, os.PathLike)):
        return _Picture(Path(source).name, read_image(source))
    return _Picture(f"{number}.jpg".rjust(10, "0"), as_image(source))


def _camera(number: str) -> Iterator[_Picture]:
    capture = cv2.VideoCapture(int(number)) if number.isdecimal() else None
    if capture is None or not capture.isOpened():
        raise WholebodyError(f"camera {number}: cannot be opened. Is it plugged in, allowed, and not in use elsewhere?")
    try:
        for n in range(2**62):
            there, image = capture.read()
            if not there:
                return
            yield _Picture(f"{n}.jpg", np.asarray(image, np.uint8), n / 30)
    finally:
        capture.release()


# --- Out --------------------------------------------------------------------------------------------------------------


def _write(
    batch: Sequence[_Picture],
    drawn: Sequence[Image] | None,
    instances: Sequence[list[dict[str, Any]]],
    vis_to: Path | None,
    pred_to: Path | None,
) -> None:
    for n, picture in enumerate(batch):
        if vis_to and drawn:
            place = vis_to / picture.name
            write_image(place if place.suffix.lower() in WRITE_SUFFIXES else place.with_suffix(".png"), drawn[n])
        if pred_to:
            with replacing((pred_to / picture.name).with_suffix(".json")) as partial:
                partial.write_text(json.dumps(instances[n], indent=2))


class _ClipFiles:
    """The files of a video: the drawing, and a JSON list with an object per frame; written atomically."""

    def __init__(self, clip: str, vis_to: Path | None, pred_to: Path | None, opened: ExitStack) -> None:
        self._opened = opened
        self._vis = (vis_to / clip).with_suffix(".mp4") if vis_to else None
        self._encode: Any = None
        self._frames = 0
        self._json: Any = None
        if pred_to:
            partial = opened.enter_context(replacing((pred_to / clip).with_suffix(".json")))
            self._json = opened.enter_context(partial.open("w"))
            opened.push(self._end)

    def add(
        self, batch: Sequence[_Picture], drawn: Sequence[Image] | None, instances: Sequence[list[dict[str, Any]]]
    ) -> None:
        for n, picture in enumerate(batch):
            if self._vis and drawn:
                if self._encode is None:
                    size = (drawn[n].shape[1], drawn[n].shape[0])
                    self._encode = self._opened.enter_context(video.encoder(self._vis, size, 30))
                self._encode(video.Frame(picture.time, drawn[n]))
            if self._json:
                row = json.dumps({"frame_id": self._frames, "instances": instances[n]}, allow_nan=False)
                self._json.write(("[\n" if self._frames == 0 else ",\n") + row)
            self._frames += 1

    def _end(self, *error: Any) -> None:
        self._json.write("[]\n" if self._frames == 0 else "\n]\n")


def _show(title: str, image: Image, wait: int) -> None:
    try:
        cv2.imshow(title, image)
        cv2.waitKey(wait)
    except cv2.error:
        line = "no window: this OpenCV has none (opencv-python-headless), or there is no screen"
        logging.getLogger("wholebody").warning(line)
