"""The main class: a picture in, the whole-body poses of everyone in it out.

model = WholeBody()
poses = model("photo.jpg")          # detector, then pose network
poses = model(jpeg)                 # the bytes of a file, or an open one
poses = model(tensor, rgb=True)     # RGB, uint8 or floats of 0..1, numpy or torch
poses = model(frame)                # (H, W, 3) uint8 BGR, as OpenCV reads it
poses = model(frame, boxes)         # with your own boxes, no detector runs
several = model.images([a, b, c])   # people of all pictures share batches
"""

import os
import pickle
from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from wholebody.arrays import Image
from wholebody.choices import Precision
from wholebody.errors import WholebodyError
from wholebody.files import expanded
from wholebody.images import as_image
from wholebody.pose.detect import YOLOX, Detections
from wholebody.pose.load import open_detector, open_estimator
from wholebody.pose.topdown import TopDown
from wholebody.poses import Poses
from wholebody.weights.manifest import MANIFEST

POSE = "wholebody-133"
DETECTOR = "person"
# Mode -> pose network and detector. Those of "performance" are downloaded once; the others are bundled.
MODES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "lightweight": ("fast", DETECTOR),
        "balanced": (POSE, DETECTOR),
        "performance": ("rtmw-l-384", "yolox-m-humanart"),
    }
)


class Detector(Protocol):
    """A person detector: `detect.YOLOX`, or your own."""

    def images(self, images: Sequence[Image], /) -> list[Detections]:
        """(H, W, 3) uint8 BGR pictures -> for each boxes (N, 4) xyxy in its pixels, inside it, and box_scores (N,)."""
        ...


class WholeBody:
    """A detector and a pose network. Can be shared between threads, because calls do not change it.

    It pickles as the names, paths and options it was created with, and loads its networks again when unpickled, in a
    worker process or on another machine. A `TopDown` or `YOLOX` object cannot be pickled; give its file instead.

    Attributes:
        pose: the pose network.
        detector: finds the people; None treats the whole picture as one person.
    """

    pose: TopDown
    detector: Detector | None

    def __init__(
        self,
        pose: str | os.PathLike[str] | TopDown = POSE,
        detector: str | os.PathLike[str] | Detector | None = DETECTOR,
        *,
        mode: str | None = None,
        device: str = "auto",
        threads: int | None = None,
        precision: Precision = "fp32",
        threshold: float | None = None,
        flip: bool = False,
    ) -> None:
        """Load both networks.

        Args:
            pose: a name or path, as for `pose.load.onnx_file` ("fast" is bundled too), or a `TopDown`.
            detector: likewise, or any `Detector`. None or "none": every picture is one person who fills it. This only
                happens on request: if a detector finds nobody, the result is empty.
            mode: "lightweight", "balanced" or "performance" instead of both, see `MODES`.
            device, threads, precision: as for `runtime.open_session`, for both networks. "auto" is the fastest
                available precision that keeps the accuracy; "fp32" gives the same results on every machine. With
                "int8", a detector without an int8 file uses "auto".
            threshold: lowest score of a person's box, for a detector given by name or path. None uses what the file
                recommends, or 0.3.
            flip: flip test (see `TopDown`), for a pose network given by name or path.

        Raises:
            WholebodyError: a network cannot be found, downloaded or loaded, or is of the wrong kind.
        """
        if mode is not None:
            if mode not in MODES:
                raise WholebodyError(f"mode {mode!r} is unknown. Choose one of {', '.join(MODES)}.")
            if (pose, detector) != (POSE, DETECTOR):
                raise WholebodyError("a mode chooses both networks: give either a mode, or pose and detector.")
            pose, detector = MODES[mode]

        self._options: dict[str, Any] = {
            "pose": _rooted(pose),
            "detector": _rooted(detector),
            "device": device,
            "threads": threads,
            "precision": precision,
            "threshold": threshold,
            "flip": flip,
        }
        if isinstance(pose, (str, os.PathLike)):
            pose = open_estimator(pose, device, threads, precision, flip=flip)
        if detector == "none":
            detector = None
        if isinstance(detector, (str, os.PathLike)):
            detector = open_detector(detector, device, threads, precision, threshold=threshold)
        self.pose = pose
        self.detector = detector

    def __reduce__(self) -> tuple[Any, ...]:
        for name in ("pose", "detector"):
            if isinstance(self._options[name], (TopDown, YOLOX)):
                raise pickle.PicklingError(
                    f"an open {name} network cannot be pickled. Create WholeBody from its file's path."
                )
        return partial(type(self), **self._options), ()

    def __repr__(self) -> str:
        return f"WholeBody(pose={self.pose!r}, detector={self.detector!r})"

    def __call__(self, image: Any, boxes: npt.ArrayLike | None = None, *, rgb: bool = False) -> Poses:
        """Everyone in one picture.

        Args:
            image: a path, the bytes of a file or an open file, a uint8 array (H, W, 3) BGR, (H, W, 4) BGRA or (H, W)
                grey, or a PIL image (see `images.as_image`).
            boxes: (N, 4) xyxy in pixels of the picture, used instead of the detector's; [] means nobody.
            rgb: whether an array's channels are R, G, B; it may then also be a tensor, or hold floats of 0..1.

        Returns:
            Poses in pixels of the picture, highest box score first, or in the order of `boxes`; empty for zero people.

        Raises:
            WholebodyError: the picture cannot be read or is not a picture, a box is invalid, or a network fails.
        """
        return self.images([image], None if boxes is None else [boxes], rgb=rgb)[0]

    def images(
        self, images: Sequence[Any], boxes: Sequence[npt.ArrayLike | None] | None = None, *, rgb: bool = False
    ) -> list[Poses]:
        """Everyone in each of several pictures; people of all of them share batches.

        All pictures are held in memory at once, so process a folder of thousands in parts.

        Args:
            images: see `__call__`; an array (B, H, W, 3) is a batch of B pictures.
            boxes: the boxes of each picture, or None to run the detector.
            rgb: see `__call__`.
        """
        shape = getattr(images, "shape", (0, 0, 0, 3))
        if len(shape) == 2 or (len(shape) == 3 and shape[-1] in (1, 3, 4)):  # its rows would be mistaken for pictures
            raise WholebodyError(f"one picture {tuple(shape)} where several are expected. Pass [image].")
        pictures = [as_image(image, rgb=rgb) for image in images]
        given = [None] * len(pictures) if boxes is None else list(boxes)
        if len(given) != len(pictures):
            raise WholebodyError(f"{len(pictures)} images and {len(given)} lists of boxes: give one for each image.")
        searched = iter(self.detect([image for image, known in zip(pictures, given, strict=True) if known is None]))
        people = [next(searched) if known is None else (known, None) for known in given]
        return self.pose.images(pictures, [rows for rows, _ in people], [scores for _, scores in people])

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        """The people in each (H, W, 3) uint8 BGR picture: boxes (N, 4) xyxy, and box_scores (N,), highest first."""
        if self.detector is not None:
            return self.detector.images(images) if images else []
        whole = (np.array([[0, 0, image.shape[1], image.shape[0]]], np.float32) for image in images)
        return [(box, np.ones(1, np.float32)) for box in whole]


def _rooted(name: Any) -> Any:
    """A file's path made absolute; names and networks are unchanged."""
    if isinstance(name, (str, os.PathLike)) and os.fspath(name) not in MANIFEST:
        path = expanded(name)
        return str(path.absolute()) if path.is_file() else name
    return name
