"""TRC marker files, one per person, for OpenSim and Sports2D.

Markers have the names of the OpenSim models of Pose2Sim and Sports2D: RHip, LBigToe, and so on for all 133 points.
"""

import math
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from wholebody.arrays import Doubles, PathLike
from wholebody.choices import TrcUnit
from wholebody.errors import WholebodyError
from wholebody.files import replacing
from wholebody.formats.common import Timed, mean_rate, row_ids, triplets_of, video_index
from wholebody.reading import reading
from wholebody.schema import COCO_WHOLEBODY, HALPE_26, Schema

# Number of marker files written at a time: systems allow a few hundred open files.
_TRC_OPEN = 100


@dataclass(frozen=True)
class Axes:
    """How pixels are converted to marker coordinates. Z is 0.

    Attributes:
        unit: the unit stated in the file; the format knows only millimetres and metres.
        pixel: the size of a pixel in this unit.
        up: Y points up from the lower edge of the picture, otherwise down from its upper edge. X points right.
    """

    unit: TrcUnit = "mm"
    pixel: float = 1.0
    up: bool = True

    @property
    def decimals(self) -> int:
        """Enough decimals to keep a hundredth of a pixel."""
        return min(max(2 - math.floor(math.log10(self.pixel)), 0), 12)


# Sports2D's files in pixels: they state metres, with Y down.
SPORTS2D = Axes("m", 1.0, up=False)


def axes_of(unit: TrcUnit, metres_per_pixel: float) -> Axes:
    """Axes with Y up and a scale.

    Raises:
        WholebodyError: the scale is not a positive number.
    """
    if not 0 < metres_per_pixel < math.inf:
        raise WholebodyError(f"metres per pixel are {metres_per_pixel:g}: give a positive number.")
    return Axes(unit, metres_per_pixel * (1000 if unit == "mm" else 1))


def _named() -> dict[str, str]:
    """Keypoint -> marker."""
    names = {name: "".join(word.capitalize() for word in name.split("_")) for name in HALPE_26.names}
    names["mid_hip"] = "Hip"
    fingers = {"thumb": "Thumb", "forefinger": "Index", "middle_finger": "Middle"}
    fingers |= {"ring_finger": "Ring", "pinky_finger": "Pinky"}
    # These represent a whole finger in the body models, and have no number.
    plain = {"Thumb2": "Thumb", "Index1": "Index", "Pinky1": "Pinky"}
    joints = {f"{finger}{n}": f"{short}{n}" for finger, short in fingers.items() for n in range(1, 5)}
    for side in ("left", "right"):
        names |= {f"{side}_{joint}": side.capitalize() + plain.get(short, short) for joint, short in joints.items()}
        names[f"{side}_hand_root"] = f"{side.capitalize()}Hand"
    names = {name: marker.replace("Left", "L").replace("Right", "R") for name, marker in names.items()}
    lines = {"Jaw": 17, "EyebrowR": 5, "EyebrowL": 5, "Nose": 9, "REye": 6, "LEye": 6, "Mouth": 20}
    face = [f"{line}{n}" for line, count in lines.items() for n in range(1, count + 1)]
    return names | dict(zip(COCO_WHOLEBODY.names[COCO_WHOLEBODY.parts["face"]], face, strict=True))


_MARKERS = _named()


def marker_names(schema: Schema) -> tuple[str, ...]:
    """The markers of a schema; a point without a marker keeps its name."""
    return tuple(_MARKERS.get(name, name) for name in schema.names)


def write_trc(path: PathLike, frames: Iterable[Timed], person: int, height: int, axes: Axes = Axes()) -> None:
    """Write one person of a video as a marker file, a marker for each keypoint.

    Frames without the person and points without a score are blank. By default a pixel counts as a millimetre.

    Args:
        path: the .trc file.
        frames: the video.
        person: the id.
        height: of the picture in pixels.

    Raises:
        WholebodyError: the file cannot be written.
    """
    write_trcs({person: path}, frames, height, axes=axes)


def write_trcs(
    paths: Mapping[int, PathLike],
    frames: Iterable[Timed],
    height: int,
    fps: float | None = None,
    axes: Axes = Axes(),
) -> None:
    """`write_trc` for many people (ids and their files), in one pass per hundred.

    Args:
        fps: the video's own frame rate. It is written if the times, which some files round, agree within 1 %.
    """
    if not paths:
        return
    times, _, schema = video_index(next(iter(paths.values())), frames)
    rate = mean_rate(times, fps)
    counts = f"{len(times)}\t{len(schema)}\t{axes.unit}\t{rate:.6g}\t1\t{len(times)}"
    nobody = ["\t\t"] * len(schema)
    decimals, scale = axes.decimals, axes.pixel
    sign, zero = (-scale, height * scale) if axes.up else (scale, 0.0)
    for first in range(0, len(paths), _TRC_OPEN):
        some = dict(islice(paths.items(), first, first + _TRC_OPEN))
        with ExitStack() as opened:
            files = {}
            for person, path in some.items():
                partial = opened.enter_context(replacing(path))
                file = files[person] = opened.enter_context(partial.open("w", encoding="utf-8", newline=""))
                file.write(f"PathFileType\t4\t(X/Y/Z)\t{Path(path).name}\n")
                file.write("DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\t")
                file.write(f"OrigNumFrames\n{rate:.6g}\t{rate:.6g}\t{counts}\n")
                file.write("Frame#\tTime\t" + "\t\t\t".join(marker_names(schema)) + "\t\t\n\t\t")
                file.write("\t".join(f"{axis}{n}" for n in range(1, len(schema) + 1) for axis in "XYZ") + "\n\n")
            for number, (time, poses) in enumerate(frames, 1):
                rows = {track_id: row for row, track_id in enumerate(row_ids(poses))}
                for person, file in files.items():
                    cells = nobody
                    if person in rows:
                        points = triplets_of(poses[[rows[person]]], schema, some[person])[0].tolist()
                        cells = [
                            f"{x * scale:.{decimals}f}\t{zero + sign * y:.{decimals}f}\t0" if score > 0 else "\t\t"
                            for x, y, score in points
                        ]
                    file.write("\t".join([str(number), f"{time:.6f}", *cells]) + "\n")


def read_trc(path: PathLike, height: int, axes: Axes = Axes()) -> tuple[Doubles, tuple[str, ...], Doubles]:
    """Read what `write_trc` wrote: times (T,), the markers' names, and pixels (T, K, 2), NaN where blank.

    Raises:
        WholebodyError: the file cannot be read, or is something else.
    """
    with reading(path, "a TRC file", "Write it again"):
        lines = Path(path).read_text(encoding="utf-8").splitlines()
        names = tuple(name for name in lines[3].split("\t")[2:] if name)
        rows = [line.split("\t") for line in lines[5:] if line.strip()]
        values = np.array([[float(cell) if cell else np.nan for cell in row[1:]] for row in rows])
        points = values[:, 1:].reshape(len(rows), len(names), 3)[..., :2] / axes.pixel
    y = height - points[..., 1] if axes.up else points[..., 1]
    return values[:, 0], names, np.stack([points[..., 0], y], axis=-1)
