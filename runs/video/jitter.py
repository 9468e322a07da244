"""Jitter and lag with and without smoothing, compared with a known truth.

    python runs/video/jitter.py [SYNTHETIC]

Walks: stick figures of 133 points, 200 pixels tall, that walk to and fro and swing arms and legs, at 30 frames per
second, with noise of 1.5 pixels. Rendered: people of the synthetic shards whose picture moves along a smooth path,
rotates and grows a little, found by the bundled pose network in each frame; the truth moves with the picture.

acceleration   mean length of the second difference of the error, pixels per frame^2: what the eye sees as jitter
error          mean distance from the truth, pixels; for rendered people, from the mean of each point's own error,
               because smoothing cannot remove the network's bias
lag            the shift of the truth, in milliseconds, that fits best; only for the walks, which move fast enough
"""

import argparse
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from wholebody.pose.topdown import TopDown
from wholebody.runtime.choose import open_session
from wholebody.synth.walkers import person, seen
from wholebody.tracking.smooth import LIGHT, STRONG, Smoother, smooth_track
from wholebody.weights.lookup import find

FPS = 30


def live(strength):
    def smooth(times, frames):
        smoother = Smoother(strength)
        return np.array([smoother(poses, t).keypoints[0] for poses, t in zip(frames, times, strict=True)])

    return smooth


def two_pass(strength):
    def smooth(times, frames):
        points = np.array([poses.keypoints[0] for poses in frames])
        return smooth_track(times, points, np.array([poses.scores[0] for poses in frames]), strength)

    return smooth


WAYS = {
    "off": live(None),
    "light": live(LIGHT),
    "strong": live(STRONG),
    "light, two passes": two_pass(LIGHT),
    "strong, two passes": two_pass(STRONG),
}


def walk(seed):
    """times, truth (T, 133, 2) and what is found."""
    times = np.arange(0, 4, 1 / FPS)
    rs = np.random.RandomState(seed)
    width, period, stride = rs.uniform(80, 200), rs.uniform(2.5, 5), rs.uniform(4, 8)
    truth = np.array([person(400 + width * np.sin(2 * np.pi * t / period), stride=stride * t) for t in times])
    found = [replace(seen([p], noise=1.5, seed=1000 * seed + n), ids=np.array([1])) for n, p in enumerate(truth)]
    return times, truth, found


def rendered(folder, network, count):
    """The same of synthetic people in moving pictures; points that are hidden or outside are left out of the truth."""
    from wholebody.train.data.people import ShardedPeople

    shards = ShardedPeople(folder)
    for number in range(0, len(shards), max(len(shards) // count, 1)):
        sample = shards[number]
        picture = sample.pixels()
        height, width = picture.shape[:2]
        times = np.arange(0, 2, 1 / FPS)
        truth, found = [], []
        for t in times:
            angle, scale = 0.08 * np.sin(2.1 * t), 1 + 0.1 * np.sin(1.3 * t)
            c, s = scale * np.cos(angle), scale * np.sin(angle)
            turn = np.array([[c, -s], [s, c]])
            middle = np.array([width / 2, height / 2])
            shift = middle - turn @ middle + np.array([0.15 * width * np.sin(1.7 * t), 0.05 * height * np.sin(2.9 * t)])
            image = cv2.warpAffine(picture, np.column_stack([turn, shift]), (width, height), borderValue=(110,) * 3)
            points = sample.keypoints @ turn.T + shift
            corners = sample.box[[[0, 1], [0, 3], [2, 1], [2, 3]]] @ turn.T + shift
            rows = np.concatenate([corners.min(axis=0), corners.max(axis=0)])[None]
            found.append(replace(network(image, rows), ids=np.array([1])))
            truth.append(points)
        yield times, np.array(truth), found, sample.visible > 0


def acceleration(points, truth):
    return np.hypot(*np.moveaxis(np.diff(points - truth, n=2, axis=0)[8:-8], -1, 0)).mean()


def lag(points, truth, times):
    """Milliseconds, from each point's way along x; only points that move say anything."""
    shifts = np.arange(-0.05, 0.2, 0.0025)
    costs = []
    for s in shifts:
        shifted = np.stack([np.interp(times - s, times, truth[:, k, 0]) for k in range(truth.shape[1])], axis=1)
        costs.append(np.square(points[15:-15, :, 0] - shifted[15:-15]).mean())
    return 1e3 * shifts[int(np.argmin(costs))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("synthetic", nargs="?", type=Path)
    parser.add_argument("--people", type=int, default=20)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    console = Console(width=140)
    table = Table("walks", "acceleration", "x", "error", "lag, ms", box=box.MARKDOWN)
    walks = [walk(seed) for seed in range(10)]
    base = None
    for name, smooth in WAYS.items():
        rows = []
        for times, truth, found in walks:
            points = smooth(times, found)
            error = np.hypot(*np.moveaxis((points - truth)[15:-15], -1, 0)).mean()
            rows.append((acceleration(points, truth), error, lag(points, truth, times)))
        a, e, late = np.mean(rows, axis=0)
        base = base or a
        table.add_row(name, f"{a:.2f}", f"{a / base:.2f}", f"{e:.2f}", f"{late:.0f}")
    console.print(table)
    if options.synthetic is None:
        return
    network = TopDown(open_session(find("wholebody-133", kind="pose"), "auto", 1, "auto"))
    table = Table("rendered", "acceleration", "x", "error about its mean", box=box.MARKDOWN)
    people = list(rendered(options.synthetic, network, options.people))
    base = None
    for name, smooth in WAYS.items():
        rows = []
        for times, truth, found, visible in people:
            points = smooth(times, found)[:, visible]
            error = (points - truth[:, visible])[8:-8]
            about = np.hypot(*np.moveaxis(error - error.mean(axis=0), -1, 0)).mean()
            rows.append((acceleration(points, truth[:, visible]), about))
        a, e = np.mean(rows, axis=0)
        base = base or a
        table.add_row(name, f"{a:.2f}", f"{a / base:.2f}", f"{e:.2f}")
    console.print(table)
    console.print(f"{len(people)} rendered people, {sum(len(found) for _, _, found, _ in people)} frames")


if __name__ == "__main__":
    main()
