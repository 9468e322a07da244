"""Estimators of several families, and "looks": the same person cropped in several ways, each giving an opinion.

    see = estimator(open_session("pose.onnx"))
    opinion = look(see, image, boxes, Cut(turn=90, mirrored=True))

An opinion has all 133 points of COCO_WHOLEBODY, with score 0 for points that the estimator does not have. Opinions are
fused in `wholebody.label.keypoints`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from wholebody.arrays import Doubles, Image
from wholebody.errors import WholebodyError
from wholebody.geometry import Crop
from wholebody.pose.topdown import TopDown
from wholebody.runtime.session import Session
from wholebody.schema import COCO_BODY, COCO_WHOLEBODY

K = len(COCO_WHOLEBODY)


class Opinion(NamedTuple):
    """The result of one look at N people: keypoints (N, 133, 2) in pixels of the picture and scores (N, 133) in
    0..1."""

    keypoints: Doubles
    scores: Doubles


class CropEstimator(Protocol):
    """A network for one person in a crop.

    Attributes:
        size: (w, h) of the crop.
        predict: (N, h, w, 3) uint8 BGR -> keypoints (N, 133, 2) in pixels of the crop and scores (N, 133).
    """

    @property
    def size(self) -> tuple[int, int]: ...

    def predict(self, crops: Image) -> Opinion: ...


@dataclass(frozen=True)
class Cut:
    """How a person is cropped.

    Attributes:
        padding: scale factor of the box.
        turn: degrees by which the content is rotated counter-clockwise in the crop.
        mirrored: flip the crop, and the result back.
    """

    padding: float = 1.25
    turn: float = 0.0
    mirrored: bool = False


@dataclass(frozen=True, eq=False)
class TopDownCrops:
    """Any pose network that `TopDown` supports, with 133 points or COCO's 17."""

    top_down: TopDown

    @property
    def size(self) -> tuple[int, int]:
        return self.top_down.codec.input_size

    def predict(self, crops: Image) -> Opinion:
        keypoints, scores = self.top_down.predict(crops)
        return _padded(keypoints, np.clip(scores, 0, 1))


@dataclass(frozen=True, eq=False)
class MoveNet:
    """MoveNet Lightning or Thunder (Google, Apache-2.0): COCO's 17 points of the person in the middle.

    Attributes:
        session: (1, s, s, 3) int32 RGB 0..255 in; (1, 1, 17, 3) out: y, x, score in 0..1.
    """

    session: Session

    @property
    def size(self) -> tuple[int, int]:
        h, w = (int(n or 256) for n in self.session.inputs[0].shape[1:3])
        return w, h

    def predict(self, crops: Image) -> Opinion:
        rows = self.session(crops[..., ::-1].astype(self.session.inputs[0].dtype))[0][:, 0]
        return _padded(rows[..., 1::-1] * np.array(self.size), rows[..., 2])


def estimator(session: Session) -> CropEstimator:
    """The estimator, recognised by the network's outputs.

    Raises:
        WholebodyError: none that is known.
    """
    shapes = [tensor.shape for tensor in session.outputs]
    if len(shapes) == 1 and len(shapes[0]) == 4 and shapes[0][-2:] == (17, 3):
        return MoveNet(session)
    found = TopDown(session)
    if found.schema not in (COCO_WHOLEBODY, COCO_BODY):
        raise WholebodyError(f"a network of {found.schema.name}: give one of COCO-WholeBody's points or COCO's 17.")
    return TopDownCrops(found)


def look(see: CropEstimator, image: Image, boxes: Doubles, cuts: Sequence[Cut] | Cut, batch: int = 8) -> Opinion:
    """An estimator's result for the people in some boxes (N, 4), cropped in one way."""
    each = [cuts] * len(boxes) if isinstance(cuts, Cut) else list(cuts)
    crops = [Crop.from_box(box, see.size, cut.padding, cut.turn) for box, cut in zip(boxes, each, strict=True)]
    keypoints, scores = np.zeros((len(boxes), K, 2)), np.zeros((len(boxes), K))
    for start in range(0, len(boxes), batch):
        rows = range(start, min(start + batch, len(boxes)))
        pictures = np.stack([crops[n].cut(image)[:, :: -1 if each[n].mirrored else 1] for n in rows])
        said = see.predict(pictures)
        for n, points, score in zip(rows, said.keypoints, said.scores, strict=True):
            if each[n].mirrored:
                points, score = points[COCO_WHOLEBODY.flip], score[COCO_WHOLEBODY.flip]
                points = np.column_stack([see.size[0] - 1 - points[:, 0], points[:, 1]])
            keypoints[n], scores[n] = crops[n].to_image(points), score
    return Opinion(keypoints, scores)


def _padded(keypoints: npt.NDArray[np.floating], scores: npt.NDArray[np.floating]) -> Opinion:
    """Extend body points to the whole body; the rest has score 0."""
    missing = K - keypoints.shape[1]
    return Opinion(
        np.pad(keypoints.astype(np.float64), ((0, 0), (0, missing), (0, 0))),
        np.pad(scores.astype(np.float64), ((0, 0), (0, missing))),
    )
