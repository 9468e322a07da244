"""The body of an answer: people in the formats that files have too, or a picture of them."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Literal

import numpy as np

from wholebody import draw, formats
from wholebody.arrays import Image
from wholebody.errors import WholebodyError
from wholebody.images import encode_image
from wholebody.poses import Poses
from wholebody.serve.engine import Found

Format = Literal["wholebody", "coco", "openpose", "comfy", "csv", "npz", "png", "jpg"]
Drawing = Literal["openpose", "skeleton"]
# As asked for -> parts of a schema.
PARTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"body": ("body",), "hands": ("left_hand", "right_hand"), "face": ("face",), "feet": ("feet",)}
)


@dataclass(frozen=True)
class Answer:
    """How a request wants to be answered.

    Attributes:
        format: see ANSWERS.
        name: what the picture is called in formats that name it.
        parts: some of PARTS; None for all in numbers, and all but the feet in an openpose map.
        draw: what a picture shows: an openpose map on black, or skeletons over the photo.
        draw_threshold: lowest score of a keypoint that is drawn.
    """

    format: Format = "wholebody"
    name: str = "image"
    parts: tuple[str, ...] | None = None
    draw: Drawing = "openpose"
    draw_threshold: float = 0.3

    @property
    def media_type(self) -> str:
        return ANSWERS[self.format][0]

    def __call__(self, found: Found) -> bytes:
        """The body of the answer.

        Raises:
            WholebodyError: the network's keypoints do not fit the format.
        """
        return ANSWERS[self.format][1](found.image, self._shown(found.poses), self)

    def _shown(self, poses: Poses) -> Poses:
        """The people, with zeros for the points of parts that are not asked for."""
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


def _filed(write: Callable[[Path, Image, Poses, Answer], None]) -> Callable[[Image, Poses, Answer], bytes]:
    """What a writer of files writes."""

    def body(image: Image, poses: Poses, answer: Answer) -> bytes:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "answer"
            write(path, image, poses, answer)
            return path.read_bytes()

    return body


_Body = Callable[[Image, Poses, Answer], bytes]
ANSWERS: Mapping[Format, tuple[str, _Body]] = MappingProxyType(
    {
        "wholebody": ("application/json", _wholebody),
        "coco": (
            "application/json",
            _filed(lambda path, _, poses, answer: formats.write_coco(path, {answer.name: poses})),
        ),
        "openpose": ("application/json", _filed(lambda path, _, poses, __: formats.write_openpose(path, poses))),
        "comfy": (
            "application/json",
            _filed(lambda path, image, poses, _: formats.write_comfy(path, poses, _size(image))),
        ),
        "csv": (
            "text/csv; charset=utf-8",
            _filed(lambda path, _, poses, answer: formats.write_csv(path, {answer.name: poses})),
        ),
        "npz": ("application/octet-stream", _filed(lambda path, _, poses, __: formats.write_npz(path, poses))),
        "png": ("image/png", _drawn),
        "jpg": ("image/jpeg", _drawn),
    }
)
