"""TopDown: runs the people of one or several pictures through the network in batches; crops in, Poses out.

Every person is cropped from the BGR picture with the matrix of `geometry.Crop`. All crops form one batch, and the
keypoints are mapped back with the inverse matrix. Files of this package swap the channels and normalise inside the
graph; for all others this is done here.

RTMPose and DWPose need nothing but the session. The same is true for other families whose outputs can be recognised:
heatmaps (SimpleBaseline, HRNet, ViTPose) or coordinates (DeepPose). The style of heatmaps cannot be recognised, so
either you give it:

    vitpose = TopDown(session, codec=Heatmap((192, 256), style="udp"))

or the file states it in JSON under the metadata key `wholebody`: `style` and `sigma` of `Heatmap`, `sigmoid` of
`Regression`, `split_ratio` and `tolerances` of `SimCC`, `color`, `mean` and `std` of `Preprocessing`, `schema`,
`input_size`. Bundled networks also have a `calibration`, which converts their scores to probabilities.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from wholebody.arrays import Floats, Image
from wholebody.codec import Codec, Heatmap, Regression, SimCC, merge_flipped
from wholebody.errors import WholebodyError
from wholebody.geometry import Crop
from wholebody.images import as_image
from wholebody.pose.heads import calibration_of, codec_of, heads_of, schema_of, unreadable
from wholebody.poses import Poses
from wholebody.runtime.session import Session, input_size, notes
from wholebody.schema import Schema
from wholebody.weights.preprocess import Preprocessing, normalize, preprocessing_of

# Crops per run. On a CPU larger batches save no time, and 32 crops of 384x288 take 43 MB as float32 before the
# network's own feature maps.
BATCH = 32

# If omitted, these come from the network's shapes and metadata, or else from what most networks use.
_TOLD: Any = None


@dataclass(frozen=True, eq=False)
class TopDown:
    """A network for the keypoints of a person in a crop.

    Attributes:
        session: takes uint8 (N, h, w, 3) BGR, or float32 (N, 3, h, w) as `preprocessing` says; returns SimCC's two (N,
            K, bins), x first; or heatmaps (N, K, h, w); or coordinates (N, K, 2 to 4). Files of this package also
            return `keypoints` (N, K, 2) in input pixels and `scores` (N, K).
        flip: flip test: average the outputs for each crop and its mirror image. A little more accurate, twice the time.
        batch: most crops per run; with `flip` the mirror images count too.
        codec: how to decode the outputs, and how to crop (`Codec.udp`). By default heatmaps have style "msra". A custom
            codec gets all outputs, in the order of the file.
        schema: the keypoints. By default it follows from their number: 133 for COCO_WHOLEBODY, 17 for COCO_BODY, 26 for
            HALPE_26, 21 for HAND_21 and 106 for FACE_106.
        preprocessing: what a float32 input expects; by default ImageNet's mean and standard deviation in RGB.

    Raises:
        WholebodyError: the session is not such a network, cannot do a flip test, or contradicts an argument.
    """

    session: Session
    flip: bool = False
    batch: int = BATCH
    codec: Codec = _TOLD
    schema: Schema = _TOLD
    preprocessing: Preprocessing = _TOLD
    _calibration: Floats | None = field(init=False, repr=False)
    _decoded: bool = field(init=False, repr=False)
    _outputs: tuple[str, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        about = notes(self.session)
        if about.get("kind", "pose") != "pose":
            raise WholebodyError(f"a {about['kind']} network, not a pose network. Choose a pose network's file.")
        # Already decoded by a file of this package; only those use both names.
        named = {tensor.name: tensor for tensor in self.session.outputs}
        points = tuple(named[name] for name in ("keypoints", "scores") if name in named)
        decoded = len(points) == 2 and self.codec is None
        heads = heads_of([tensor for tensor in self.session.outputs if not (decoded and tensor in points)])
        if isinstance(self.codec, (SimCC, Heatmap, Regression)):
            heads = {kind: head for kind, head in heads.items() if isinstance(self.codec, kind)}
        elif self.codec is not None:
            heads = {type(self.codec): self.session.outputs}
        if decoded and not self.flip:
            outputs = points
        elif heads:
            outputs = next(iter(heads.values()))
        else:
            raise unreadable(self.session, "no flip test with this network" if decoded else self.codec)
        try:
            codec = self.codec or codec_of(heads, input_size(self.session), about)
            preprocessing = self.preprocessing or preprocessing_of(about)
        except (TypeError, ValueError) as error:
            raise WholebodyError(f"the metadata of the file cannot be used ({error}). Export it again.") from error
        size = input_size(self.session, codec.input_size)
        if size != codec.input_size:
            raise WholebodyError(f"the codec is for an input of {codec.input_size}, the network takes {size}.")
        keypoints = outputs[0].shape[1] if len(outputs[0].shape) > 1 else None
        object.__setattr__(self, "codec", codec)
        object.__setattr__(self, "preprocessing", preprocessing)
        schema = schema_of(self.schema, about.get("schema"), keypoints)
        object.__setattr__(self, "schema", schema)
        object.__setattr__(self, "_calibration", calibration_of(about.get("calibration"), schema))
        object.__setattr__(self, "_decoded", decoded and not self.flip)
        object.__setattr__(self, "_outputs", tuple(tensor.name for tensor in outputs))

    def __call__(self, image: Image, boxes: npt.ArrayLike, box_scores: npt.ArrayLike | None = None) -> Poses:
        """The poses of the people in the boxes of one picture.

        Args:
            image: (H, W, 3) uint8 BGR.
            boxes: (N, 4) xyxy in pixels of the picture; they may extend beyond its border.
            box_scores: (N,), copied to the result; 1 by default.

        Raises:
            WholebodyError: see `check_boxes`.
        """
        return self.images([image], [boxes], [box_scores])[0]

    def images(
        self,
        images: Sequence[Image],
        boxes: Sequence[npt.ArrayLike],
        box_scores: Sequence[npt.ArrayLike | None] | None = None,
    ) -> list[Poses]:
        """The poses of the people in the boxes of several pictures; all crops share batches, `batch` at a time."""
        images = [as_image(image) for image in images]
        checked = [check_boxes(rows, image) for image, rows in zip(images, boxes, strict=True)]
        given = [None] * len(checked) if box_scores is None else box_scores
        scores = [np.ones(len(rows)) if s is None else s for rows, s in zip(checked, given, strict=True)]
        size, udp = self.codec.input_size, self.codec.udp
        crops = [[Crop.from_box(box, size, udp=udp) for box in rows] for rows in checked]
        work = ((image, crop) for image, people in zip(images, crops, strict=True) for crop in people)
        found = self._run(work)
        return [
            self._poses(rows, score, list(islice(found, len(rows))))
            for rows, score in zip(checked, scores, strict=True)
        ]

    def _run(self, work: Iterator[tuple[Image, Crop]]) -> Iterator[tuple[Floats, Floats]]:
        """Keypoints (K, 2) in image pixels and scores (K,) of each person, in order, a batch of crops at a time."""
        for chunk, crops in self._cut(work, max(self.batch // 2 if self.flip else self.batch, 1)):
            keypoints, scores = self.predict(crops)
            for (_, crop), points, score in zip(chunk, keypoints, scores, strict=True):
                yield crop.to_image(points).astype(np.float32), score

    def _cut(self, work: Iterator[tuple[Image, Crop]], room: int) -> Iterator[tuple[list[tuple[Image, Crop]], Image]]:
        """The work in chunks of at most `room`, each with its crops (n, h, w, 3)."""
        w, h = self.codec.input_size
        while chunk := list(islice(work, room)):
            crops = np.empty((len(chunk), h, w, 3), np.uint8)
            for row, (image, crop) in zip(crops, chunk, strict=True):
                row[:] = crop.cut(image)
            yield chunk, crops

    def predict(self, crops: Image) -> tuple[Floats, Floats]:
        """(N, h, w, 3) uint8 BGR crops -> keypoints (N, K, 2) in input pixels and scores (N, K).

        If the file has a calibration, a score is the probability that the keypoint has an OKS of 0.5 or more, which
        means that it is at most 1.18 standard deviations of human annotators from the label.
        """
        keypoints, scores = self._predict(crops)
        if self._calibration is None:
            return keypoints, scores
        slope, offset = self._calibration
        chances = 1 / (1 + np.exp(-(slope * scores + offset)))
        return keypoints, np.where(scores > 0, chances, 0).astype(np.float32)

    def logits(self, crops: Image) -> list[Floats]:
        """(N, h, w, 3) uint8 BGR crops -> the raw outputs that `codec.decode` takes, for instance for distillation.

        Raises:
            WholebodyError: the file only returns decoded keypoints.
        """
        head = next((h for kind, h in heads_of(self.session.outputs).items() if isinstance(self.codec, kind)), None)
        if head is None:
            raise unreadable(self.session, "the file gives decoded keypoints alone")
        batch = crops if self.session.inputs[0].dtype == "uint8" else normalize(crops, self.preprocessing)
        return self.session(batch, [tensor.name for tensor in head])

    def deviations(self, image: Image, boxes: npt.ArrayLike) -> Floats:
        """The estimated error of the keypoints for the same picture and boxes; takes another network run.

        Returns:
            (N, K, 2) pixels of the picture, along x and y: half the width of the middle 68 % of the distribution that
            the network gives for the keypoint (`SimCC.deviation`).

        Raises:
            WholebodyError: the network has no such distributions, or as for `__call__`.
        """
        if not isinstance(self.codec, SimCC):
            raise WholebodyError("this network gives no distributions along x and y. Take one with a SimCC head.")
        image = as_image(image)
        work = ((image, Crop.from_box(box, self.codec.input_size)) for box in check_boxes(boxes, image))
        found = [np.zeros((0, len(self.schema), 2), np.float32)]
        for chunk, crops in self._cut(work, self.batch):
            pixels = np.array([np.abs(np.linalg.det(crop.matrix[:, :2])) ** -0.5 for _, crop in chunk], np.float32)
            x, y = self.logits(crops)
            found.append(self.codec.deviation(x, y) * pixels[:, None, None])
        return np.concatenate(found)

    def _predict(self, crops: Image) -> tuple[Floats, Floats]:
        """The same with the network's raw scores."""
        batch = np.concatenate([crops, crops[:, :, ::-1]]) if self.flip else crops
        if self.session.inputs[0].dtype != "uint8":
            batch = normalize(batch, self.preprocessing)
        outputs = self.session(batch, self._outputs)
        if self._decoded:
            keypoints, scores = outputs
            return keypoints, scores
        if self.flip:
            n = len(crops)
            there, mirrored = [each[:n] for each in outputs], [each[n:] for each in outputs]
            outputs = list(merge_flipped(self.codec, there, mirrored, self.schema.flip))
        return self.codec.decode(*outputs)

    def _poses(self, boxes: Floats, box_scores: npt.ArrayLike, people: list[tuple[Floats, Floats]]) -> Poses:
        if not people:
            return Poses.empty(self.schema)
        keypoints, scores = (np.stack(arrays) for arrays in zip(*people, strict=True))
        return Poses(keypoints, scores, boxes, np.asarray(box_scores, np.float32), self.schema)


def check_boxes(boxes: npt.ArrayLike, image: Image) -> Floats:
    """Boxes of people in `image` as (N, 4) float32, or an error that names the row.

    Raises:
        WholebodyError: the shape is not (N, 4); or a box has a coordinate that is not a finite number of pixels, has
            its corners reversed, is in fractions of the picture, has no area, or lies wholly outside the picture.
    """
    try:
        rows = np.asarray(boxes, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise WholebodyError("boxes must be numbers, four for each person: x0, y0, x1, y1.") from error
    if rows.size == 0:
        return np.zeros((0, 4), np.float32)
    if rows.ndim != 2 or rows.shape[1] != 4:
        raise WholebodyError(f"boxes have shape {rows.shape}, expected (N, 4): a list of x0, y0, x1, y1.")
    height, width = image.shape[:2]
    x0, y0, x1, y1 = rows.T
    with np.errstate(invalid="ignore"):
        # Beyond 1e7 pixels the arithmetic of a crop breaks down; no picture is a hundredth as wide.
        wrong = {
            "has a coordinate that is not a finite number of pixels": ~(np.abs(rows) < 1e7).all(axis=1),
            "has its corners reversed, or is x, y, width, height: give x0, y0, x1, y1 with x0 < x1 and y0 < y1": (
                x1 < x0
            )
            | (y1 < y0),
            "has no area": (x1 - x0 < 1e-3) | (y1 - y0 < 1e-3),
            f"lies outside the picture of {width} x {height}": (x0 >= width) | (y0 >= height) | (x1 <= 0) | (y1 <= 0),
        }
    if min(height, width) > 2 and (np.abs(rows) <= 1).all():
        wrong["is in fractions, not in pixels: multiply by width and height"] = np.ones(len(rows), bool)
    for what, bad in wrong.items():
        if bad.any():
            row = int(bad.argmax())
            shown = ", ".join(f"{value:g}" for value in rows[row])
            raise WholebodyError(f"box {row} ({shown}) {what}.")
    return rows.astype(np.float32)
