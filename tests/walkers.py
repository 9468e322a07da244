"""Pictures of people who walk, blue rectangles each, and networks that see them."""

import cv2
import numpy as np

from networks import BLUE, Stub, blue_detector, notes, tensor
from wholebody.pose.detect import YOLOX
from wholebody.pose.topdown import TopDown
from wholebody.synth.walkers import UNIT
from wholebody.wholebody import WholeBody


def picture(boxes, size=(320, 240), shade=20):
    """A dark BGR picture of size (w, h) with a blue rectangle for each box."""
    image = np.full((size[1], size[0], 3), shade, np.uint8)
    for x0, y0, x1, y1 in np.rint(np.asarray(boxes)).astype(int).reshape(-1, 4):
        image[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] = BLUE
    return image


def unit_pose(size=(48, 64)):
    """A pose network that sees a person standing in the blue of its crop's middle; scores are low where none is."""
    w, h = size

    def estimate(batch):
        keypoints, scores = np.zeros((len(batch), 133, 2), np.float32), np.full((len(batch), 133), 0.05, np.float32)
        for n, crop in enumerate(batch):
            blue = (crop[..., 0] > 150) & (crop[..., 1:].max(axis=2) < 110)
            count, labels = cv2.connectedComponents(blue.astype(np.uint8), connectivity=4)
            middle = labels[h // 4 : 3 * h // 4, w // 4 : 3 * w // 4]
            if count > 1 and (middle > 0).any():
                y, x = np.nonzero(labels == np.bincount(middle[middle > 0]).argmax())
                corner, sides = (x.min(), y.min()), (np.ptp(x) + 1, np.ptp(y) + 1)
                keypoints[n], scores[n] = UNIT * sides + corner, 0.9
        return {"keypoints": keypoints, "scores": scores}

    points = (tensor("keypoints", None, 133, 2), tensor("scores", None, 133))
    taken = (tensor("crops", None, h, w, 3, dtype="uint8"),)
    about = notes(kind="pose", input_size=size, schema="coco_wholebody", split_ratio=2.0)
    return Stub(taken, points, estimate, about)


def model(**options):
    """`WholeBody` of both: it finds blue rectangles, each a standing person."""
    return WholeBody(TopDown(unit_pose()), YOLOX(blue_detector()), **options)
