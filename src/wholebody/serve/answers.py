"""The body of a response: people in one of the file formats, or a drawing of them."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

import numpy as np

from wholebody import draw
from wholebody.arrays import Image
from wholebody.errors import WholebodyError
from wholebody.formats import to_bytes, write_coco, write_comfy, write_csv, write_npz, write_openpose
from wholebody.images import encode_image
from wholebody.poses import Poses
from wholebody.serve.engine import Found

Format = Literal["wholebody", "coco", "openpose", "comfy", "csv", "npz", "png", "jpg"]
AnswerDrawing = Literal["openpose", "skeleton"]
# Requested name -> parts of a schema.
PARTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"body": ("body",), "hands": ("left_hand", "right_hand"), "face": ("face",), "feet": ("feet",)}
)


@dataclass(frozen=True)
class Answer:
    """The requested form of a response.

    Attributes:
        format: see ANSWERS.
        name: the picture's name, in formats that store it.
        parts: some of PARTS; None for all in numbers, and all but the feet in an openpose map.
        draw: the kind of drawing: an openpose map on black, or skeletons over the photo.
        draw_threshold: lowest score of a keypoint that is drawn.
    """

    format: Format = "wholebody"
    name: str = "image"
    parts: tuple[str, ...] | None = None
    draw: AnswerDrawing = "openpose"
    draw_threshold: float = 0.3

    @property
    def media_type(self) -> str:
        return ANSWERS[self.format][0]

    def __call__(self, found: Found) -> bytes:
        """The body of the response.

        Raises:
            WholebodyError: the network's keypoints do not fit the format.
        """
        return ANSWERS[self.format][1](found.image, self._shown(found.poses), self)

    def _shown(self, poses: Poses) -> Poses:
        """The people, with zeros for the points of parts that were not requested."""
        if self.parts is None:
            return poses
        kept = np.zeros(len(poses.schema), bool)
        for part in (name for asked in self.parts for name in PARTS[asked]):
            kept[poses.schema.parts.get(part, slice(0, 0))] = True
        return replace(
            poses, keypoints=np.where(kept[:, None], poses.keypoints, 0), scores=np.where(kept, poses.scores, 0)
        )


def _size(image: Image) -> tuple[int, int]:
    return image.shape[1], image.shape[0]


def _wholebody(image: Image, poses: Poses, answer: Answer) -> bytes:
    width, height = _size(image)
    content = {"width": width, "height": height, **poses.to_dict()}
    return json.dumps(content, allow_nan=False, separators=(",", ":")).encode()


def _drawn(image: Image, poses: Poses, answer: Answer) -> bytes:
    if answer.draw == "skeleton":
        drawn = draw.skeleton(image, poses, answer.draw_threshold)
    else:
        body, hands, face, feet = (part in (answer.parts or ("body", "hands", "face")) for part in PARTS)
        black, least = np.zeros_like(image), answer.draw_threshold
        try:
            drawn = draw.openpose(black, poses, body=body, hands=hands, face=face, feet=feet, threshold=least)
        except ValueError as error:
            raise WholebodyError(f"{error}. Ask for draw=skeleton.") from error
    return encode_image(drawn, f".{answer.format}")


_Body = Callable[[Image, Poses, Answer], bytes]
# Format -> its media type, and the body.
ANSWERS: Mapping[Format, tuple[str, _Body]] = MappingProxyType(
    {
        "wholebody": ("application/json", _wholebody),
        "coco": ("application/json", lambda _, poses, how: to_bytes(write_coco, {how.name: poses})),
        "openpose": ("application/json", lambda _, poses, __: to_bytes(write_openpose, poses)),
        "comfy": ("application/json", lambda image, poses, _: to_bytes(write_comfy, poses, _size(image))),
        "csv": ("text/csv; charset=utf-8", lambda _, poses, how: to_bytes(write_csv, {how.name: poses})),
        "npz": ("application/octet-stream", lambda _, poses, __: to_bytes(write_npz, poses)),
        "png": ("image/png", _drawn),
        "jpg": ("image/jpeg", _drawn),
    }
)
