"""The .pose files of sign language research (pose-format 0.2): COCO-WholeBody's 133 points in four components.

Little endian throughout. The header has the version, the size of the picture and the components, each with its name,
its dimensions (X, Y and the confidence C), points, lines and colours. The body has the frame rate, the numbers of
frames and of people, then all coordinates and all confidences as 32-bit floats.
"""

import struct
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np

from wholebody.arrays import PathLike, Size
from wholebody.errors import WholebodyError
from wholebody.files import replacing
from wholebody.formats.common import Timed, mean_rate, poses_of, row_ids, video_index
from wholebody.reading import check_room, reading, unreadable
from wholebody.schema import COCO_WHOLEBODY, HAND_EDGES

_VERSION = 0.2
_FORMAT = "XYC"
# First and last point of each line of a face, and whether it is closed.
_FACE_LINES = (
    (0, 16, False), (17, 21, False), (22, 26, False), (27, 30, False), (31, 35, False), (36, 41, True), (42, 47, True),
    (48, 59, True), (60, 67, True),
)  # fmt: skip


def _components() -> list[tuple[str, tuple[str, ...], list[tuple[int, int]], tuple[int, int, int]]]:
    """Name, points, lines and colour of each component, in the order of the 133 points."""
    body = slice(0, COCO_WHOLEBODY.parts["feet"].stop)
    face = COCO_WHOLEBODY.names[COCO_WHOLEBODY.parts["face"]]
    outline = [
        edge for a, b, closed in _FACE_LINES for edge in (*pairwise(range(a, b + 1)), *([(b, a)] if closed else []))
    ]
    limbs = [(edge.a, edge.b) for edge in COCO_WHOLEBODY.edges if max(edge.a, edge.b) < body.stop]
    hand = tuple(f"hand_{n}" for n in range(21))
    return [
        ("BODY", COCO_WHOLEBODY.names[body], limbs, (0, 255, 0)),
        ("FACE", face, outline, (255, 255, 255)),
        ("LEFT_HAND", hand, list(HAND_EDGES), (0, 255, 0)),
        ("RIGHT_HAND", hand, list(HAND_EDGES), (255, 128, 0)),
    ]


def _text(text: str) -> bytes:
    return struct.pack("<H", len(text.encode())) + text.encode()


def _header(size: Size) -> bytes:
    parts = [struct.pack("<f", _VERSION), struct.pack("<HHH", *size, 0), struct.pack("<H", len(_components()))]
    for name, points, lines, color in _components():
        parts += [_text(name), _text(_FORMAT), struct.pack("<HHH", len(points), len(lines), 1)]
        parts += [_text(point) for point in points]
        parts += [struct.pack("<HH", *line) for line in lines]
        parts.append(struct.pack("<HHH", *color))
    return b"".join(parts)


def write_sign(path: PathLike, frames: Iterable[Timed], size: Size, fps: float | None = None) -> None:
    """Write a video as a .pose file. The format has a constant frame rate and no ids: people are columns in the order
    of their ids, with confidence 0 in frames where they are absent.

    Args:
        size: (width, height) of the pictures. fps: the video's own frame rate.

    Raises:
        WholebodyError: a person has no id, the schema cannot be converted to COCO_WHOLEBODY, the picture's sides or the
            number of people exceed 65,535, or the file cannot be written.
    """
    times, rows, _ = video_index(path, frames)
    ids = sorted(set().union(*rows))
    if max(*size, len(ids)) > 0xFFFF:
        raise WholebodyError(f"{path}: .pose files are limited to 65535. Choose another format.")
    columns = {track_id: column for column, track_id in enumerate(ids)}
    points = np.zeros((len(times), len(ids), len(COCO_WHOLEBODY), 2), "<f4")
    confidence = np.zeros(points.shape[:3], "<f4")
    for n, (_, poses) in enumerate(frames):
        if not len(poses):
            continue
        try:
            people = poses.to(COCO_WHOLEBODY)
        except ValueError as error:
            raise WholebodyError(f"{path}: {error}. Choose another format.") from error
        finite = np.isfinite(people.keypoints).all(axis=-1) & np.isfinite(people.scores) & (people.scores > 0)
        here = [columns[track_id] for track_id in row_ids(people)]
        points[n, here] = np.where(finite[..., None], people.keypoints, 0)
        confidence[n, here] = np.where(finite, people.scores, 0)
    with replacing(path) as partial, partial.open("wb") as file:
        file.write(_header(size))
        file.write(struct.pack("<fIH", mean_rate(times, fps), len(times), len(ids)))
        file.write(points.tobytes())
        file.write(confidence.tobytes())


def read_sign(path: PathLike) -> list[Timed]:
    """Read what `write_sign` wrote: times from the frame rate, and people with ids 1, 2, ... from their columns, in
    frames where any of their points has a confidence.

    Raises:
        WholebodyError: the file cannot be read, or has other components.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error
    size = struct.unpack_from("<HH", data, 4) if len(data) >= 8 else (0, 0)
    header = _header((size[0], size[1]))
    if not data.startswith(header):
        raise WholebodyError(f"{path}: not a .pose file of COCO-WholeBody's 133 points. Convert it with pose-format.")
    with reading(path, "a whole .pose file", "Write it again"):
        fps, frames, people = struct.unpack_from("<fIH", data, len(header))
        if not 0 < fps < np.inf:
            raise ValueError(f"a rate of {fps:g}")
        check_room(path, frames * 1000)  # also frames without people
        body = np.frombuffer(data, "<f4", offset=len(header) + 10)
        k = len(COCO_WHOLEBODY)
        triplets = np.concatenate(
            [
                body[: frames * people * k * 2].reshape(frames, people, k, 2),
                body[frames * people * k * 2 :].reshape(frames, people, k, 1),
            ],
            axis=-1,
        )
    back = []
    for n, frame in enumerate(triplets):
        seen = np.flatnonzero((frame[..., 2] > 0).any(axis=1))
        back.append((n / fps, poses_of(frame[seen], COCO_WHOLEBODY, ids=(seen + 1).tolist())))
    return back
