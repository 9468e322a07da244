"""rtmlib, for comparisons: its classes on our files, and as an entrant."""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wholebody.arrays import Image
from wholebody.errors import WholebodyError
from wholebody.poses import Poses
from wholebody.runtime.choose import open_session
from wholebody.runtime.session import input_size, notes
from wholebody.schema import COCO_BODY, COCO_WHOLEBODY, Schema
from wholebody.weights.preprocess import IMAGENET_RGB


def library() -> Any:
    """The package.

    Raises:
        WholebodyError: it is not installed.
    """
    try:
        import rtmlib
    except ImportError as error:
        raise WholebodyError(
            f"rtmlib, the package to compare with, cannot be imported ({error}). "
            "Run: pip install --no-deps rtmlib tqdm (its own dependencies install a second OpenCV)."
        ) from error
    return rtmlib


def pose_network(path: Path) -> Any:
    """Its RTMPose on a file in the released layout, with the mean and standard deviation from the file's metadata."""
    session = open_session(path, "cpu")
    about = notes(session)
    mean, std = (about.get(name, getattr(IMAGENET_RGB, name)) for name in ("mean", "std"))
    return _quietly(library().RTMPose, path, model_input_size=input_size(session), mean=mean, std=std)


def detector(path: Path) -> Any:
    """Its YOLOX on a file in the released layout, with our box threshold."""
    w, h = input_size(open_session(path, "cpu"))
    return _quietly(library().YOLOX, path, model_input_size=(h, w), score_thr=0.3, nms_thr=0.45)


def _quietly(tool: Any, path: Path, **options: Any) -> Any:
    with contextlib.redirect_stdout(io.StringIO()):  # it prints that it loads
        return tool(str(path), backend="onnxruntime", device="cpu", **options)


def default_session(path: Path, threads: int) -> Any:
    """ONNX Runtime's session as rtmlib opens it, but with a given number of threads: rtmlib has no option for that."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


@dataclass(frozen=True, eq=False)
class Rtmlib:
    """rtmlib's own RTMPose class on a file in the released layout; it processes one person at a time.

    rtmlib passes OpenCV's BGR pictures on unchanged, although RTMPose and its relatives were trained on RGB. `rgb`
    swaps red and blue beforehand, to separate this effect from other differences.
    """

    network: Any
    schema: Schema
    rgb: bool = False

    @classmethod
    def open(cls, path: Path, threads: int) -> "Rtmlib":
        library()
        session = open_session(path, "cpu", threads)
        if session.inputs[0].dtype != "float32":
            raise WholebodyError(f"{path}: rtmlib needs the released layout: wholebody export --plain.")
        network = pose_network(path)
        network.session = default_session(path, threads)
        keypoints = session.outputs[0].shape[1]
        return cls(network, COCO_BODY if keypoints == len(COCO_BODY) else COCO_WHOLEBODY)

    def images(
        self, images: Sequence[Image], boxes: Sequence[npt.ArrayLike], box_scores: Sequence[npt.ArrayLike | None]
    ) -> list[Poses]:
        found = []
        for image, rows, scores in zip(images, boxes, box_scores, strict=True):
            given = np.asarray(rows, np.float32)
            if len(given):
                shown = np.ascontiguousarray(image[..., ::-1]) if self.rgb else image
                keypoints, keypoint_scores = self.network(shown, bboxes=given)
                kept = np.ones(len(given), np.float32) if scores is None else np.asarray(scores, np.float32)
                found.append(Poses(keypoints, keypoint_scores, given, kept, self.schema))
            else:
                found.append(Poses.empty(self.schema))
        return found
