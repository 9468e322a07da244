"""rtmlib as an entrant of a comparison."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wholebody.arrays import Image
from wholebody.errors import WholebodyError
from wholebody.poses import Poses
from wholebody.preprocess import IMAGENET_RGB
from wholebody.runtime.choose import open_session
from wholebody.runtime.session import input_size, notes
from wholebody.schema import COCO_BODY, COCO_WHOLEBODY, Schema


@dataclass(frozen=True, eq=False)
class Rtmlib:
    """rtmlib's own RTMPose class on a file in the released layout, which it feeds one person at a time.

    It hands the network the colours of OpenCV's pictures as they are, blue first, while RTMPose and its kin were
    trained on red first. `rgb` exchanges them in the picture, to tell that from other differences.
    """

    network: Any
    schema: Schema
    rgb: bool = False

    @classmethod
    def open(cls, path: Path, threads: int) -> "Rtmlib":
        import contextlib
        import io

        try:
            import onnxruntime as ort
            import rtmlib
        except ImportError as error:
            raise WholebodyError(f"no rtmlib ({error}): pip install --no-deps rtmlib tqdm") from error
        session = open_session(path, "cpu", threads)
        if session.inputs[0].dtype != "float32":
            raise WholebodyError(f"{path}: rtmlib needs the released layout: wholebody export --plain.")
        about = notes(session)
        mean, std = (about.get(name, getattr(IMAGENET_RGB, name)) for name in ("mean", "std"))
        with contextlib.redirect_stdout(io.StringIO()):  # it says that it loads
            network = rtmlib.RTMPose(
                str(path), input_size(session), mean=mean, std=std, backend="onnxruntime", device="cpu"
            )
        # It has no option for the number of threads.
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        network.session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
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
