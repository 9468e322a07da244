"""The pictures of docs/gallery.md: `make gallery`. All are of freely licensed media, credited in examples/README.md.

The sheet of failures shows one photo, changed in ways that are known to be hard. So the right result is known: the
points of the original photo, transformed in the same way. A point is right if it is within a twentieth of the person's
height of that position; only points with a score above 0.3 in the original count.
"""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from wholebody import Poses, WholeBody, draw, follow, read_image, read_video
from wholebody.align import align
from wholebody.arrays import Image

ROOT = Path(__file__).parents[1]
MEDIA, OUT = ROOT / "examples", ROOT / "docs" / "gallery"
HEIGHT = 480
# Of parkour.jpg what is around the passer-by: x, y, and where it ends.
AROUND = (100, 250, 660, 716)
# A change gives the new picture and how points move: (2, 3), of pixels.
Change = Callable[[Image], tuple[Image, np.ndarray]]


def photo(name: str) -> Image:
    """One of the examples' photos."""
    image = read_image(MEDIA / f"{name}.jpg")
    x0, y0, x1, y1 = AROUND if name == "parkour" else (0, 0, *image.shape[1::-1])
    return np.ascontiguousarray(image[y0:y1, x0:x1])


def save(name: str, image: Image) -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(f"{OUT / name}", image, [cv2.IMWRITE_JPEG_QUALITY, 84, cv2.IMWRITE_JPEG_OPTIMIZE, 1])


def row(*images: Image, height: int = HEIGHT) -> Image:
    """Pictures of one height side by side, separated by white lines."""
    scaled = [
        cv2.resize(i, (round(i.shape[1] * height / i.shape[0]), height), interpolation=cv2.INTER_AREA) for i in images
    ]
    line = np.full((height, 6, 3), 255, np.uint8)
    return cv2.hconcat([part for one in scaled for part in (line, one)][1:])


def captioned(image: Image, text: str, width: int, height: int) -> Image:
    """A tile with the picture fitted into it, and a line of text below."""
    ratio = min(width / image.shape[1], (height - 30) / image.shape[0])
    small = cv2.resize(image, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA)
    tile = np.full((height, width, 3), 255, np.uint8)
    x = (width - small.shape[1]) // 2
    tile[: small.shape[0], x : x + small.shape[1]] = small
    cv2.putText(tile, text, (6, height - 10), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (40, 40, 40), 1, cv2.LINE_AA)
    return tile


def photos(model: WholeBody) -> None:
    """Photo, skeleton and map of each, and one person with another's proportions."""
    found = {}
    for name in ("parkour", "astronaut"):
        image = photo(name)
        poses = found[name] = model(image)[:1]  # the surest person
        save(f"{name}.jpg", row(image, draw.skeleton(image, poses), draw.openpose(np.zeros_like(image), poses)))
    dancer, size = found["parkour"], photo("parkour").shape[1::-1]
    character = read_image(ROOT / "src" / "wholebody" / "sample.jpg")
    reference = model(character)[:1]
    black = np.zeros_like(character)
    both = [
        draw.openpose(black, align(dancer, reference, mode, size=size, reference_size=character.shape[1::-1]))
        for mode in ("linear", "muse")
    ]
    save("aligned.jpg", row(draw.skeleton(character, reference), *both, height=360))


def video(model: WholeBody) -> None:
    """Five frames of the clip with ids, and their maps below."""
    frames = [(f.image, p) for f, p in follow(read_video(MEDIA / "clip.mp4"), model)][::12]
    overlays = row(*(draw.skeleton(image, poses, boxes=True) for image, poses in frames), height=400)
    save(
        "video.jpg", cv2.vconcat([overlays, row(*(draw.openpose(np.zeros_like(i), p) for i, p in frames), height=400)])
    )


# --- What goes wrong --------------------------------------------------------------------------------------------------


def _affine(matrix: np.ndarray, size: tuple[int, int] | None = None) -> Change:
    def change(image: Image) -> tuple[Image, np.ndarray]:
        new = size or image.shape[1::-1]
        return cv2.warpAffine(image, matrix, new, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE), matrix

    return change


def _levels(function: Callable[[Image], Image]) -> Change:
    return lambda image: (function(image).astype(np.uint8), np.eye(2, 3))


def _small(image: Image) -> tuple[Image, np.ndarray]:
    matrix = np.array([[0.12, 0, 0], [0, 0.12, 0]])
    small = cv2.resize(image, None, fx=0.12, fy=0.12, interpolation=cv2.INTER_AREA)
    canvas = np.full_like(image, small.mean(axis=(0, 1)).astype(np.uint8))
    y, x = (image.shape[0] - small.shape[0]) // 2, (image.shape[1] - small.shape[1]) // 2
    canvas[y : y + small.shape[0], x : x + small.shape[1]] = small
    matrix[:, 2] = x, y
    return canvas, matrix


def _covered(box: np.ndarray) -> Change:
    def change(image: Image) -> tuple[Image, np.ndarray]:
        covered = image.copy()
        x0, y0, x1, y1 = box.astype(int)
        covered[(y0 + y1) // 2 - (y1 - y0) // 8 : y1, x0:x1] = (90, 90, 90)
        return covered, np.eye(2, 3)

    return change


def _edges(image: Image) -> Image:
    lines = 255 - cv2.dilate(cv2.Canny(cv2.GaussianBlur(image, (5, 5), 0), 40, 90), np.ones((2, 2)))
    return cv2.cvtColor(lines, cv2.COLOR_GRAY2BGR)


def changes(box: np.ndarray, size: tuple[int, int]) -> dict[str, Change]:
    """The hard versions of a photo of `size` (w, h) with one person in `box`."""
    width, height = size
    noise = np.random.default_rng(0).normal(0, 60, (height, width, 3))
    motion = np.zeros((31, 31), np.float32)
    motion[15] = 1 / 31
    head = box[1] + 0.3 * (box[3] - box[1])
    return {
        "original": _levels(lambda image: image),
        "upside down": _affine(np.array([[-1.0, 0, width - 1], [0, -1, height - 1]])),
        "on her side": _affine(np.array([[0.0, -1, height - 1], [1, 0, 0]]), (height, width)),
        "an eighth of the size": _small,
        "dark": _levels(lambda image: image * 0.06),
        "motion blur": _levels(lambda image: cv2.filter2D(image, -1, motion)),
        "noise": _levels(lambda image: np.clip(image + noise, 0, 255)),
        "lower half hidden": _covered(box),
        "only the upper third": _affine(np.array([[1.0, 0, 0], [0, 1, 0]]), (width, int(head))),
        "line drawing": _levels(_edges),
    }


def right(truth: Poses, found: Poses, matrix: np.ndarray, size: tuple[int, int]) -> str:
    """The number of points still in the picture that were found again, of the best-matching person."""
    sure = truth.scores[0] > 0.3
    expected = truth.keypoints[0] @ matrix[:, :2].T + matrix[:, 2]
    sure &= ((expected >= 0) & (expected < size)).all(axis=1)
    reach = 0.05 * (truth.boxes[0, 3] - truth.boxes[0, 1]) * np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    hits = [
        (sure & (np.linalg.norm(person.keypoints[0] - expected, axis=1) < reach) & (person.scores[0] > 0.3)).sum()
        for person in found
    ]
    return f"{max(hits, default=0)} of {sure.sum()}" if hits else "nobody found"


def hard(model: WholeBody) -> None:
    """The sheet of failures."""
    image = photo("parkour")
    truth = model(image)[:1]
    tiles = []
    for name, change in changes(truth.boxes[0], image.shape[1::-1]).items():
        changed, matrix = change(image)
        found = model(changed)
        text = f"{name}: {right(truth, found, matrix, changed.shape[1::-1])}"
        tiles.append(captioned(draw.skeleton(changed, found), text, 300, 280))
        print(text)
    save("hard.jpg", cv2.vconcat([cv2.hconcat(tiles[start : start + 5]) for start in (0, 5)]))


if __name__ == "__main__":
    both = WholeBody()
    photos(both)
    video(both)
    hard(both)
