"""TRC marker files of OpenSim, one for each person."""

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

import numpy as np

from wholebody.arrays import Doubles, PathLike
from wholebody.errors import WholebodyError
from wholebody.files import replacing
from wholebody.formats.common import Timed, row_ids, triplets_of, unreadable, video_index

# Marker files that are written at a time: systems allow a few hundred open files.
_TRC_OPEN = 100


def write_trc(path: PathLike, frames: Iterable[Timed], person: int, height: int) -> None:
    """Write one person of a video as OpenSim's marker file, a marker for each keypoint.

    X is to the right and Y up, from the lower left corner of the picture, Z is 0. The format knows millimetres and
    metres only: a pixel stands as a millimetre. A frame without the person, and a point without a score, is blank.

    Args:
        path: the .trc file. frames: the video. person: the id. height: of the picture in pixels.

    Raises:
        WholebodyError: the file cannot be written.
    """
    write_trcs({person: path}, frames, height)


def write_trcs(paths: Mapping[int, PathLike], frames: Iterable[Timed], height: int, fps: float | None = None) -> None:
    """`write_trc` of many people, ids and their files, in one pass for a hundred of them.

    Args:
        fps: what the video says of its rate. It is written where times, which some files round, agree within 1 %.
    """
    if not paths:
        return
    times, _, schema = video_index(next(iter(paths.values())), frames)
    rate = (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else fps or 1.0
    rate = fps if fps is not None and abs(rate / fps - 1) < 0.01 else rate
    counts = f"{len(times)}\t{len(schema)}\tmm\t{rate:.6g}\t1\t{len(times)}"
    nobody = ["\t\t"] * len(schema)
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
                file.write("Frame#\tTime\t" + "\t\t\t".join(schema.names) + "\t\t\n\t\t")
                file.write("\t".join(f"{axis}{n}" for n in range(1, len(schema) + 1) for axis in "XYZ") + "\n\n")
            for number, (time, poses) in enumerate(frames, 1):
                rows = {track_id: row for row, track_id in enumerate(row_ids(poses))}
                for person, file in files.items():
                    cells = nobody
                    if person in rows:
                        points = triplets_of(poses[[rows[person]]], schema, some[person])[0].tolist()
                        cells = [f"{x:.2f}\t{height - y:.2f}\t0.00" if score > 0 else "\t\t" for x, y, score in points]
                    file.write("\t".join([str(number), f"{time:.6f}", *cells]) + "\n")


def read_trc(path: PathLike, height: int) -> tuple[Doubles, tuple[str, ...], Doubles]:
    """Read what `write_trc` wrote: times (T,), the markers' names, and pixels (T, K, 2), NaN where blank.

    Raises:
        WholebodyError: the file cannot be read, or is something else.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
        names = tuple(name for name in lines[3].split("\t")[2:] if name)
        rows = [line.split("\t") for line in lines[5:] if line.strip()]
        values = np.array([[float(cell) if cell else np.nan for cell in row[1:]] for row in rows])
        points = values[:, 1:].reshape(len(rows), len(names), 3)[..., :2]
    except OSError as error:
        raise unreadable(path, error) from error
    except (ValueError, IndexError) as error:
        raise WholebodyError(f"{path}: not a TRC file, or a damaged one. Write it again.") from error
    return values[:, 0], names, np.stack([points[..., 0], height - points[..., 1]], axis=-1)
