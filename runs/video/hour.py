"""An hour of video through `wholebody predict`: does memory stay constant?

    python runs/video/hour.py [--fps 25] [--networks bundled|tiny] [--precision auto]

A low-resolution video of people who walk to and fro is generated first. It is then processed, drawn, encoded and
written as arrays, as the command does, while another thread reads the resident memory ten times per second. With "tiny"
the networks are functions that find blue rectangles, so that an hour of video takes minutes. With "bundled" they are
the real ones, on the sample photo's passer-by.

Prints the median memory in each tenth of the run. The exit status is 1 if the ninth tenth is more than a tenth above
the second, or if the end, when results are joined and written, takes more than 100 MB in addition.
"""

import argparse
import json
import sys
import tempfile
import threading
import time
from pathlib import Path

import cv2
import numpy as np

import wholebody
from wholebody import read_image, video
from wholebody.pose.topdown import TopDown
from wholebody.predict.job import Job, Look
from wholebody.predict.run import run_job
from wholebody.runtime.session import Tensor
from wholebody.synth.walkers import UNIT
from wholebody.video.frame import Frame
from wholebody.wholebody import WholeBody

SIZE = (256, 144)


def walk(path, fps, seconds, real):
    """Two people who walk to and fro: blue rectangles, or the sample photo's passer-by."""
    photo = read_image(Path(wholebody.__file__).with_name("sample.jpg"))
    tile = cv2.resize(photo, (SIZE[0] * 3 // 4, SIZE[1]), interpolation=cv2.INTER_AREA)

    def images():
        for n in range(round(seconds * fps)):
            t = n / fps
            if real:
                image = np.full((SIZE[1], SIZE[0], 3), 110, np.uint8)
                x = round(30 * (1 + np.sin(t / 3)))
                image[:, x : x + tile.shape[1]] = tile
            else:
                xs = 60 + 50 * np.sin(t / 2), 190 + 50 * np.sin(t / 3)
                image = np.full((SIZE[1], SIZE[0], 3), 20, np.uint8)
                for x in np.rint(xs).astype(int):
                    image[40:120, x - 14 : x + 14] = (255, 0, 0)
            yield Frame(t, image)

    video.write(path, images(), fps, quality=28)


class BlueRectangles:
    """A detector that finds what is blue."""

    def images(self, images):
        found = []
        for image in images:
            blue = (image[..., 0] > 150) & (image[..., 1:].max(axis=2) < 110)
            _, _, stats, _ = cv2.connectedComponentsWithStats(blue.astype(np.uint8), connectivity=4)
            x, y, w, h, area = stats[1:].T
            boxes = np.stack([x, y, x + w, y + h], axis=1)[area > 200].astype(np.float32)
            found.append((boxes, np.full(len(boxes), 0.9, np.float32)))
        return found


class StandingPerson:
    """The session of a pose network that sees a standing person in what is blue."""

    inputs = (Tensor("crops", (None, 64, 48, 3), "uint8"),)
    outputs = (Tensor("keypoints", (None, len(UNIT), 2), "float32"), Tensor("scores", (None, len(UNIT)), "float32"))
    metadata = {"wholebody": json.dumps({"input_size": [48, 64], "schema": "coco_wholebody", "split_ratio": 2.0})}  # noqa: RUF012
    provider, precision, fallback = "none", "fp32", None

    def __call__(self, batch, outputs=None):
        keypoints, scores = (
            np.zeros((len(batch), len(UNIT), 2), np.float32),
            np.zeros((len(batch), len(UNIT)), np.float32),
        )
        for n, crop in enumerate(batch):
            y, x = np.nonzero((crop[..., 0] > 150) & (crop[..., 1:].max(axis=2) < 110))
            if len(x):
                keypoints[n], scores[n] = UNIT * (np.ptp(x) + 1, np.ptp(y) + 1) + (x.min(), y.min()), 0.9
        found = {"keypoints": keypoints, "scores": scores}
        return [found[name] for name in outputs or found]


def tiny():
    return WholeBody(TopDown(StandingPerson()), BlueRectangles())


def resident():
    """Megabytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fps", type=float, default=25)
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--networks", choices=("tiny", "bundled"), default="tiny")
    parser.add_argument("--precision", default="auto")
    options = parser.parse_args()
    real = options.networks == "bundled"
    cv2.setNumThreads(1)
    seen, stop = [], threading.Event()
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "hour.mp4"
        walk(clip, options.fps, options.seconds, real)

        def watch():
            while not stop.wait(0.1):
                seen.append(resident())

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        started = time.perf_counter()
        look = Look("skeleton", ("body", "hands", "face"), 0.3, False)
        made = (lambda: WholeBody(threads=1, precision=options.precision)) if real else tiny
        status = run_job([clip], Path(folder) / "out", made, Job(look, ("npz",)))
        took = time.perf_counter() - started
        stop.set()
        thread.join()
    tenths = [float(np.median(rows)) for rows in np.array_split(np.array(seen), 10)]
    frames = round(options.seconds * options.fps)
    print(f"{frames} frames of {options.seconds / 60:.0f} minutes in {took:.0f} s; megabytes resident in each tenth:")
    print("  " + "  ".join(f"{value:.0f}" for value in tenths) + f"; most {max(seen):.0f}")
    flat = tenths[8] <= 1.1 * tenths[1] and max(seen) <= tenths[8] + 100
    print("flat" if flat else "NOT FLAT")
    sys.exit(status or not flat)


if __name__ == "__main__":
    main()
