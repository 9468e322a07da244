"""Person detectors of several families behind one interface, recognised by their output shapes.

    find = detector(open_session("yolox_nano.onnx"))
    boxes, scores = find(image)

YOLOX is the package's own (`wholebody.pose.detect`). The others are released networks that complement it: NanoDet finds
more small people, MoveNet MultiPose rarely has false positives, and CenterNet is a third opinion.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from wholebody.arrays import Floats, Image
from wholebody.errors import WholebodyError
from wholebody.pose.detect import YOLOX, PersonFinder, nms
from wholebody.runtime.session import Session

# Lower scores are noise in all of them.
LEAST = 0.05
_OVERLAP = 0.5


@dataclass(frozen=True, eq=False)
class NanoDet:
    """NanoDet (Apache-2.0): each side of a box is a distribution over 0..10 strides from the cell's centre.

    The input is BGR, minus ImageNet's means over its deviations, the picture in the top left corner.

    Attributes:
        session: (1, 3, h, w) float32 in; class scores (1, n, 80) and distances (1, n, 44) of each stride out.
    """

    session: Session
    least: float = LEAST
    _STRIDES = (8, 16, 32)
    _MEAN = np.array([103.53, 116.28, 123.675], np.float32)
    _STD = np.array([57.375, 57.12, 58.395], np.float32)

    def __call__(self, image: Image) -> tuple[Floats, Floats]:
        h, w = (int(n or 416) for n in self.session.inputs[0].shape[2:])
        canvas, ratio = _fit(image, (w, h), 0)
        batch = ((canvas.astype(np.float32) - self._MEAN) / self._STD).transpose(2, 0, 1)[None]
        outputs = self.session(np.ascontiguousarray(batch))
        classes = {o.shape[1]: o[0] for o in outputs if o.shape[2] != 44}
        distances = {o.shape[1]: o[0] for o in outputs if o.shape[2] == 44}
        boxes, scores = [], []
        for stride in self._STRIDES:
            columns, rows = w // stride, h // stride
            score = classes[columns * rows][:, 0]
            at = np.flatnonzero(score > self.least)
            logits = distances[columns * rows][at].reshape(-1, 4, 11)
            weights = np.exp(logits - logits.max(axis=2, keepdims=True))
            sides = (weights @ np.arange(11, dtype=np.float32)) / weights.sum(axis=2) * stride
            x, y = (at % columns + 0.5) * stride, (at // columns + 0.5) * stride
            boxes.append(np.stack([x - sides[:, 0], y - sides[:, 1], x + sides[:, 2], y + sides[:, 3]], axis=1))
            scores.append(score[at])
        return _best(np.concatenate(boxes), np.concatenate(scores), ratio, image)


@dataclass(frozen=True, eq=False)
class MultiPose:
    """MoveNet MultiPose Lightning (Apache-2.0): up to six people with their 17 points and boxes.

    Attributes:
        session: (1, h, w, 3) int32 RGB in, sides multiples of 32; (1, 6, 56) out: 17 times y, x, score, then ymin,
            xmin, ymax, xmax, score, all in 0..1.
    """

    session: Session
    least: float = LEAST
    side: int = 416

    def __call__(self, image: Image) -> tuple[Floats, Floats]:
        h, w = (int(n or self.side) for n in self.session.inputs[0].shape[1:3])
        canvas, ratio = _fit(image, (w, h), 0)
        rows = self.session(canvas[None, :, :, ::-1].astype(self.session.inputs[0].dtype))[0][0]
        boxes = rows[:, [52, 51, 54, 53]] * np.array([w, h, w, h], np.float32)
        return _best(boxes, rows[:, 55], ratio, image, self.least)


@dataclass(frozen=True, eq=False)
class CenterNet:
    """A CenterNet of COCO's 80 classes whose peaks are decoded inside.

    Attributes:
        session: (1, h, w, 3) float32 RGB 0..255 in; (1, n, 6) out: x0, y0, x1, y1, score, class in input pixels.
    """

    session: Session
    least: float = LEAST

    def __call__(self, image: Image) -> tuple[Floats, Floats]:
        h, w = (int(n or 512) for n in self.session.inputs[0].shape[1:3])
        canvas, ratio = _fit(image, (w, h), 0)
        rows = self.session(canvas[None, :, :, ::-1].astype(self.session.inputs[0].dtype))[0][0]
        rows = rows[rows[:, 5] == 0]
        return _best(rows[:, :4], rows[:, 4], ratio, image, self.least)


def detector(session: Session) -> PersonFinder:
    """The detector, recognised by the network's outputs.

    Raises:
        WholebodyError: none that is known.
    """
    shapes = [tensor.shape for tensor in session.outputs]
    last = [shape[-1] for shape in shapes if shape]
    if len(shapes) == 6 and last.count(44) == 3:
        return NanoDet(session)
    if len(shapes) == 1 and last == [56]:
        return MultiPose(session)
    if len(shapes) == 1 and last == [6] and session.inputs[0].shape[-1] == 3 and session.inputs[0].dtype == "float32":
        return CenterNet(session)
    try:
        return YOLOX(session, threshold=LEAST)
    except WholebodyError as error:
        raise WholebodyError(
            f"not a detector that is known here (YOLOX, NanoDet, MultiPose, CenterNet): {error}"
        ) from None


def _fit(image: Image, size: tuple[int, int], fill: int) -> tuple[Image, float]:
    """The picture in the top left of a canvas (w, h), and the scale in canvas pixels per picture pixel."""
    height, width = image.shape[:2]
    ratio = min(size[0] / width, size[1] / height)
    w, h = max(round(width * ratio), 1), max(round(height * ratio), 1)
    canvas: Image = np.full((size[1], size[0], 3), fill, np.uint8)
    canvas[:h, :w] = cv2.resize(image, (w, h), interpolation=cv2.INTER_AREA if ratio < 1 else cv2.INTER_LINEAR)
    return canvas, ratio


def _best(
    boxes: npt.NDArray[np.floating], scores: npt.NDArray[np.floating], ratio: float, image: Image, least: float = LEAST
) -> tuple[Floats, Floats]:
    """Boxes in pixels of the picture and clipped to it, after NMS, highest score first."""
    height, width = image.shape[:2]
    boxes = np.clip(boxes / ratio, 0, [width, height, width, height]).astype(np.float32)
    good = (scores > least) & (boxes[:, 2:] - boxes[:, :2] >= 1).all(axis=1)
    boxes, scores = boxes[good], scores[good].astype(np.float32)
    kept = nms(boxes, scores, _OVERLAP)
    return boxes[kept], scores[kept]
