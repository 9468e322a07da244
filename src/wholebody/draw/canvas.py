"""Drawings of a requested size: the keypoints are scaled before drawing, not the drawing afterwards.

    canvas = Sizing(size=(768, 1344)).canvas((1920, 1080))     # of a picture of 1920 x 1080
    draw.openpose(canvas.black(), canvas.poses(poses))
    draw.skeleton(canvas.image(photo), canvas.poses(poses))

| how      | if the requested size has another aspect ratio than the picture | size of the map               |
|----------|-----------------------------------------------------------------|-------------------------------|
| pad      | the whole picture in the middle, with two black bars            | as requested                  |
| crop     | the picture fills the map, and two sides are cropped            | as requested                  |
| fit      | the whole picture, as large as possible                         | one side as requested         |
| stretch  | width and height are scaled separately                          | as requested                  |
"""

from dataclasses import dataclass

import cv2
import numpy as np

from wholebody.arrays import Image, Size
from wholebody.choices import Resizing
from wholebody.errors import WholebodyError
from wholebody.poses import Poses

LONGEST = 2**15 - 2


@dataclass(frozen=True)
class Canvas:
    """The placement of a picture on a canvas of `size`: its pixels times `scale`, then moved by `shift`.

    Attributes:
        size: (width, height).
        scale, shift: x and y.
    """

    size: Size
    scale: tuple[float, float] = (1.0, 1.0)
    shift: tuple[float, float] = (0.0, 0.0)

    def black(self) -> Image:
        """A black (H, W, 3) uint8 canvas."""
        return np.zeros((self.size[1], self.size[0], 3), np.uint8)

    def poses(self, poses: Poses) -> Poses:
        """The people, in pixels of the canvas."""
        return poses if self.scale == (1, 1) and self.shift == (0, 0) else poses.scaled(*self.scale, shift=self.shift)

    def image(self, picture: Image) -> Image:
        """The picture (H, W, 3) on the canvas, black around it."""
        height, width = picture.shape[:2]
        wide, high = max(round(width * self.scale[0]), 1), max(round(height * self.scale[1]), 1)
        if (wide, high) != (width, height):
            shrunk = wide * high < width * height
            way = cv2.INTER_AREA if shrunk else cv2.INTER_CUBIC
            picture = cv2.resize(picture, (wide, high), interpolation=way).astype(np.uint8, copy=False)
        if (wide, high) == self.size and self.shift == (0, 0):
            return picture
        left, top = round(self.shift[0]), round(self.shift[1])
        drawn = self.black()
        x0, y0 = max(left, 0), max(top, 0)
        x1, y1 = min(left + wide, self.size[0]), min(top + high, self.size[1])
        drawn[y0:y1, x0:x1] = picture[y0 - top : y1 - top, x0 - left : x1 - left]
        return drawn


@dataclass(frozen=True)
class Sizing:
    """The requested size.

    Attributes:
        size: (width, height).
        short_side: instead, the length of the shorter side; the other follows.
        multiple: both sides are rounded to the nearest multiple of this, as image generators require: 8, 16, 64.
        how: see the table above; only for `size`. Rounding stretches by less than half of `multiple`.

    Raises:
        WholebodyError: both a size and a short side, or a side below 1 or beyond LONGEST.
    """

    size: Size | None = None
    short_side: int | None = None
    multiple: int = 1
    how: Resizing = "pad"

    def __post_init__(self) -> None:
        if self.size is not None and self.short_side is not None:
            raise WholebodyError("size and short side were both given: choose one.")
        for side in (*(self.size or ()), *([self.short_side] if self.short_side is not None else [])):
            if not 1 <= side <= LONGEST:
                raise WholebodyError(f"a side of {side} pixels: give 1 to {LONGEST}.")
        if not 1 <= self.multiple <= 1024:
            raise WholebodyError(f"multiple is {self.multiple}: give 1 to 1024.")

    @property
    def is_same(self) -> bool:
        """Whether pictures keep their size."""
        return self.size is None and self.short_side is None and self.multiple == 1

    def canvas(self, picture: Size) -> Canvas:
        """The canvas for a picture of (width, height)."""
        width, height = picture
        if self.size is None or self.how in ("fit", "stretch"):
            if self.size is not None and self.how == "stretch":
                size = self._rounded(*self.size)
            else:
                ratio = 1.0 if self.short_side is None else self.short_side / min(picture)
                ratio = ratio if self.size is None else min(self.size[0] / width, self.size[1] / height)
                size = self._rounded(width * ratio, height * ratio)
            return Canvas(size, (size[0] / width, size[1] / height))
        size = self._rounded(*self.size)
        ratios = size[0] / width, size[1] / height
        ratio = min(ratios) if self.how == "pad" else max(ratios)
        # Whole pixels, so that a photo lies where its points do.
        wide, high = max(round(width * ratio), 1), max(round(height * ratio), 1)
        shift = float((size[0] - wide) // 2), float((size[1] - high) // 2)
        return Canvas(size, (wide / width, high / height), shift)

    def _rounded(self, width: float, height: float) -> Size:
        """Nearest multiples; halves round to even, as in the annotators around ControlNet."""
        wide, high = (max(round(side / self.multiple), 1) * self.multiple for side in (width, height))
        return min(wide, LONGEST), min(high, LONGEST)


def parsed_size(text: str) -> Size:
    """(768, 1344) of "768x1344".

    Raises:
        WholebodyError: it is not two numbers joined by an x.
    """
    sides = text.lower().split("x")
    if len(sides) != 2 or not all(side.strip().isdecimal() for side in sides):
        raise WholebodyError(f"size is {text!r}: give width and height in pixels, as 768x1344.")
    return int(sides[0]), int(sides[1])
