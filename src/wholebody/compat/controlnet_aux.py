"""controlnet_aux 0.0.10: DWposeDetector, OpenposeDetector and Processor, without mmpose, mmdet and torch.

    from wholebody.compat.controlnet_aux import DWposeDetector

    dwpose = DWposeDetector(device="cuda")
    control = dwpose(image)                                     # PIL in, PIL out, RGB
    control = dwpose(image, detect_resolution=768, image_resolution=1024, include_face=False, output_type="np")

People are detected on the picture scaled to `detect_resolution`, with both sides multiples of 64. The map is drawn
there and scaled to `image_resolution`, as in the package. Unlike there, OpenposeDetector uses one network for bodies,
faces and hands, and a picture without people gives a black map.
"""

import io
import logging
import os
import warnings
from functools import cache
from typing import Any, NamedTuple, Self

import cv2
import numpy as np
import numpy.typing as npt

from wholebody import draw
from wholebody.arrays import Image
from wholebody.compat import names
from wholebody.compat.results import BodyResult, Keypoint
from wholebody.errors import WholebodyError
from wholebody.images import decode_image, from_rgb
from wholebody.poses import Poses
from wholebody.schema import OPENPOSE
from wholebody.wholebody import DETECTOR, POSE, WholeBody

# Lowest score of a point.
SURE = 0.3


class PoseResult(NamedTuple):
    """A person. 21 points per hand, 70 per face; (-1, -1) if a point is missing, None if all are."""

    body: BodyResult
    left_hand: list[Keypoint] | None
    right_hand: list[Keypoint] | None
    face: list[Keypoint] | None


def HWC3(x: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """(H, W), (H, W, 1), (H, W, 3) or (H, W, 4) -> (H, W, 3), alpha composited onto white. Keeps the channel order.

    Raises:
        WholebodyError: not uint8, or another shape.
    """
    return np.ascontiguousarray(from_rgb(_bytes(x))[..., ::-1])


def size_at(size: tuple[int, int], resolution: int) -> tuple[int, int]:
    """(width, height) with the shorter side at `resolution`, both rounded to multiples of 64 (halves to even)."""
    k = float(resolution) / min(size)
    width, height = (max(int(np.round(side * k / 64)), 1) * 64 for side in size)
    return width, height


def resize_image(input_image: npt.NDArray[np.uint8], resolution: int) -> npt.NDArray[np.uint8]:
    """(H, W, C) scaled to `size_at` the resolution."""
    height, width = input_image.shape[:2]
    how = cv2.INTER_LANCZOS4 if resolution > min(height, width) else cv2.INTER_AREA
    return np.asarray(cv2.resize(input_image, size_at((width, height), resolution), interpolation=how), np.uint8)


class _Detector:
    """Base of both detectors: runs `model` on a picture of a given size, and draws a map."""

    def __init__(self, pose: str, detector: str, device: Any) -> None:
        self._names = (pose, detector)
        self._device = names.device(device)
        self.model = WholeBody(pose, detector, device=self._device)

    def to(self, device: Any) -> Self:
        """Move to another device: "cpu", "cuda", or a torch.device."""
        if names.device(device) != self._device:
            _Detector.__init__(self, *self._names, device)
        return self

    def poses(self, input_image: Any, detect_resolution: int = 512) -> tuple[Poses, tuple[int, int]]:
        """The people, in pixels of the picture used for detection, and its (width, height)."""
        image = resize_image(bgr_of(input_image), detect_resolution)
        height, width = image.shape[:2]
        return self.model(image), (width, height)

    def _map(
        self,
        input_image: Any,
        detect_resolution: int,
        image_resolution: int,
        parts: tuple[bool, bool, bool],
        output_type: Any,
        options: dict[str, Any],
    ) -> Any:
        if "return_pil" in options:
            _deprecated("return_pil is deprecated: use output_type.")
            output_type = "pil" if options["return_pil"] else "np"
        body, hands, face = parts
        poses, size = self.poses(input_image, detect_resolution)
        canvas = np.zeros((size[1], size[0], 3), np.uint8)
        drawn = draw.openpose(canvas, poses, body=body, hands=hands, face=face, threshold=SURE)
        scaled = cv2.resize(drawn, size_at(size, image_resolution), interpolation=cv2.INTER_LINEAR)
        return as_rgb(np.asarray(scaled, np.uint8), "pil" if output_type is True else output_type)


class DWposeDetector(_Detector):
    """DWPose maps: body, hands and face.

    Args:
        det_config, pose_config: accepted but not needed.
        det_ckpt, pose_ckpt: one of our names ("yolox-l", "dwpose-l-384"), a path (.onnx, .pth), or the URL of a
            released file. By default the bundled networks.
        device: "cpu", "cuda", or a torch.device.
    """

    def __init__(
        self,
        det_config: str | None = None,
        det_ckpt: str | os.PathLike[str] | None = None,
        pose_config: str | None = None,
        pose_ckpt: str | os.PathLike[str] | None = None,
        device: Any = "cpu",
    ) -> None:
        super().__init__(names.network(pose_ckpt, POSE), names.network(det_ckpt, DETECTOR), device)

    @classmethod
    def from_pretrained(
        cls, pretrained_model_or_path: str | os.PathLike[str] | None = None, *, device: Any = "cpu", **kwargs: Any
    ) -> Self:
        """The bundled networks, whatever the repository; called by `Processor`."""
        _not_theirs(None if pretrained_model_or_path is None else os.fspath(pretrained_model_or_path))
        return cls(device=device)

    def __call__(
        self,
        input_image: Any,
        detect_resolution: int = 512,
        image_resolution: int = 512,
        output_type: str = "pil",
        *,
        include_body: bool = True,
        include_hand: bool = True,
        include_face: bool = True,
        **kwargs: Any,
    ) -> Any:
        """The map of a picture, PIL or (H, W, 3) uint8 RGB, as PIL ("pil") or as such an array (anything else)."""
        parts = (include_body, include_hand, include_face)
        return self._map(input_image, detect_resolution, image_resolution, parts, output_type, kwargs)


class OpenposeDetector(_Detector):
    """OpenPose maps, with the same networks as DWPose's: bodies, and hands and faces if requested.

    Args:
        body_estimation, hand_estimation, face_estimation: accepted but ignored.
    """

    def __init__(
        self,
        body_estimation: Any = None,
        hand_estimation: Any = None,
        face_estimation: Any = None,
        *,
        pose: str = POSE,
        detector: str = DETECTOR,
        device: Any = "cpu",
    ) -> None:
        super().__init__(names.network(pose, POSE), names.network(detector, DETECTOR), device)

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_or_path: str | os.PathLike[str] | None = None,
        filename: str | None = None,
        hand_filename: str | None = None,
        face_filename: str | None = None,
        cache_dir: str | None = None,
        local_files_only: bool = False,
        **kwargs: Any,
    ) -> Self:
        """The bundled networks, whatever the repository: OpenPose's own are not supported."""
        _not_theirs(None if pretrained_model_or_path is None else os.fspath(pretrained_model_or_path))
        return cls(**kwargs)

    def detect_poses(
        self, oriImg: npt.NDArray[np.uint8], include_hand: bool = False, include_face: bool = False
    ) -> list[PoseResult]:
        """The people in a picture (H, W, 3) uint8 RGB at its own size, with relative coordinates."""
        image = bgr_of(oriImg)
        height, width = image.shape[:2]
        people = self.model(image).to(OPENPOSE)
        results = []
        for n in range(len(people)):
            at = people.keypoints[n].astype(np.float64) / (width, height)
            rows = [
                Keypoint(float(x), float(y), float(score), i) if score >= SURE else None
                for i, ((x, y), score) in enumerate(zip(at, people.scores[n], strict=True))
            ]
            body = [None if p is None or not p.score > SURE else p for p in rows[OPENPOSE.parts["body"]]]
            there = [p.score for p in body if p is not None]
            hands = [_part(rows, part) if include_hand else None for part in ("left_hand", "right_hand")]
            face = _part(rows, "face") if include_face else None
            results.append(PoseResult(BodyResult(body, sum(there), len(there)), hands[0], hands[1], face))
        return results

    def __call__(
        self,
        input_image: Any,
        detect_resolution: int = 512,
        image_resolution: int = 512,
        include_body: bool = True,
        include_hand: bool = False,
        include_face: bool = False,
        hand_and_face: bool | None = None,
        output_type: Any = "pil",
        **kwargs: Any,
    ) -> Any:
        """As `DWposeDetector.__call__`."""
        if hand_and_face is not None:
            _deprecated("hand_and_face is deprecated: use include_hand and include_face.")
            include_hand = include_face = hand_and_face
        parts = (include_body, include_hand, include_face)
        return self._map(input_image, detect_resolution, image_resolution, parts, output_type, kwargs)


_PROCESSORS: dict[str, tuple[type[_Detector], dict[str, Any]]] = {
    "dwpose": (DWposeDetector, {}),
    "openpose": (OpenposeDetector, {"include_body": True, "include_hand": False, "include_face": False}),
    "openpose_face": (OpenposeDetector, {"include_body": True, "include_hand": False, "include_face": True}),
    "openpose_faceonly": (OpenposeDetector, {"include_body": False, "include_hand": False, "include_face": True}),
    "openpose_full": (OpenposeDetector, {"include_body": True, "include_hand": True, "include_face": True}),
    "openpose_hand": (OpenposeDetector, {"include_body": False, "include_hand": True, "include_face": False}),
}


class Processor:
    """A detector by name.

    Args:
        processor_id: "dwpose", "openpose", "openpose_face", "openpose_faceonly", "openpose_full" or "openpose_hand".
        params: arguments for every call.

    Raises:
        ValueError: another name; for depth, edges and so on use controlnet_aux.
    """

    def __init__(self, processor_id: str, params: dict[str, Any] | None = None) -> None:
        if processor_id not in _PROCESSORS:
            raise ValueError(f"{processor_id} is not a pose processor: use one of {', '.join(_PROCESSORS)}.")
        kind, usual = _PROCESSORS[processor_id]
        self.processor_id = processor_id
        self.processor: Any = kind.from_pretrained(None)  # type: ignore[attr-defined]
        self.params = {**usual, **(params or {})}

    def __call__(self, image: Any, to_pil: bool = True) -> Any:
        """The map of a picture (PIL, RGB array, or a file's bytes) as PIL, or as the bytes of a JPEG."""
        if isinstance(image, bytes):
            image = np.ascontiguousarray(decode_image(image)[..., ::-1])
        drawn = self.processor(image, **self.params)
        if to_pil:
            return drawn
        buffer = io.BytesIO()
        drawn.save(buffer, format="JPEG")
        return buffer.getvalue()


def bgr_of(picture: Any) -> Image:
    """A PIL image of any mode, or a uint8 array (H, W, 3) RGB, (H, W, 4) RGBA or (H, W) grey -> (H, W, 3) uint8 BGR.

    The EXIF orientation of a PIL image is not applied, because the caller already knows its size.

    Raises:
        WholebodyError: it is neither.
    """
    if not isinstance(picture, np.ndarray):
        if not hasattr(picture, "convert"):
            raise WholebodyError(f"a picture is a PIL image or a uint8 RGB array, not {type(picture).__name__}.")
        picture = np.asarray(picture.convert("RGBA" if "A" in picture.getbands() or picture.mode == "P" else "RGB"))
    return from_rgb(_bytes(picture))


def as_rgb(drawn: Image, output_type: Any) -> Any:
    """(H, W, 3) BGR -> PIL ("pil"), or an RGB array."""
    rgb = np.ascontiguousarray(drawn[..., ::-1])
    if output_type != "pil":
        return rgb
    try:
        from PIL import Image as pil
    except ImportError as error:
        raise WholebodyError("PIL is not installed: pip install pillow, or ask for output_type='np'.") from error
    return pil.fromarray(rgb)


def _bytes(array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    if array.dtype != np.uint8:
        raise WholebodyError(f"the image has {array.dtype} values. Scale it to 0..255 and convert it to uint8.")
    return array


def _part(rows: list[Keypoint | None], part: str) -> list[Keypoint] | None:
    points = rows[OPENPOSE.parts[part]]
    missing = Keypoint(-1.0, -1.0, 0.0)
    return [missing if p is None else p._replace(id=-1) for p in points] if any(points) else None


def _deprecated(message: str) -> None:
    warnings.warn(message, DeprecationWarning, stacklevel=4)


@cache
def _not_theirs(repository: str | None) -> None:
    if repository is not None:
        logging.getLogger("wholebody").warning("%s is not loaded: the bundled networks run here", repository)
