"""IDF1 and id switches of our tracker, rtmlib's, and a ByteTrack-style one, on walks with known ids.

    python runs/video/identities.py [--clips CLIP=PEOPLE ...] [--seeds 20]      # needs rtmlib and scipy; two minutes

Stick figures with 133 keypoints walk, cross, stop and turn. People covered by a nearer person are not detected, nor is
one in thirty of all others. Detections have noise of one pixel in a hundred of the person's height. All trackers get
the same keypoints and boxes in each frame. The person of every detection is known, so nothing has to be matched by
position: an id is right if the assignment with the most hits gives it to that person (Ristani et al. 2016). A switch is
a change of a person's id from one frame that shows them to the next.

rtmlib 0.0.16 indexes the people of a frame by their ids; once an id is larger than their number, it forgets everybody
after each frame. "mended" is the same code with this fault fixed.

Real clips have no known ids; PEOPLE is the number of different people in one, counted by a human. The bundled networks
process every frame, and all trackers get the same people. The table has the number of ids that each has assigned: more
than PEOPLE are people who were lost and found again, or false positives. In brackets, ids that lasted at least half a
second.
"""

import argparse
import contextlib
import io
from pathlib import Path

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from scipy.optimize import linear_sum_assignment

from wholebody.geometry import iou
from wholebody.synth.walkers import person, seen
from wholebody.tracking.track import Tracker

FPS, SECONDS = 25, 8


def crossing(rs, count):
    """People who walk across the picture at steady speeds, in both directions."""
    speeds = rs.uniform(50, 150, count) * rs.choice([-1, 1], count)
    starts = np.where(speeds > 0, rs.uniform(0, 350, count), rs.uniform(650, 1000, count))
    return lambda n, t: starts[n] + speeds[n] * t


def stopping(rs, count):
    """The same, but everybody stands still for a while."""
    walk, begin, pause = crossing(rs, count), rs.uniform(1, 4, count), rs.uniform(0.5, 2, count)
    return lambda n, t: walk(n, t - np.clip(t - begin[n], 0, pause[n]))


def turning(rs, count):
    """People who stroll about and turn at random."""
    centers, widths = rs.uniform(250, 750, count), rs.uniform(80, 300, count)
    periods, phases = rs.uniform(3, 8, count), rs.uniform(0, 2 * np.pi, count)
    return lambda n, t: centers[n] + widths[n] * np.sin(2 * np.pi * t / periods[n] + phases[n])


def sequence(paths, count, seed):
    """For each frame its time, the people seen (their numbers), and their keypoints (N, 133, 2)."""
    rs = np.random.RandomState(seed)
    path, heights, strides = paths(rs, count), rs.uniform(160, 300, count), rs.uniform(4, 8, count)
    for frame in range(FPS * SECONDS):
        t = frame / FPS
        # Who is larger is nearer; feet stand on the ground of the camera's perspective.
        people = [person(path(n, t), 420 - heights[n] * 0.9, heights[n], strides[n] * t + n) for n in range(count)]
        boxes = np.array([[*p.min(axis=0), *p.max(axis=0)] for p in people])
        there = []
        for n in range(count):
            nearer = [m for m in range(count) if heights[m] > heights[n]]
            covered = max((_covered(boxes[n], boxes[m]) for m in nearer), default=0.0)
            if covered < 0.7 and rs.random_sample() > 1 / 30:
                there.append(n)
        rs.shuffle(there)
        noisy = [people[n] + rs.normal(0, heights[n] / 100, (133, 2)) for n in there]
        yield t, there, np.array(noisy).reshape(-1, 133, 2)


def _covered(box, other):
    overlap = np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])
    return np.clip(overlap, 0, None).prod() / (box[2:] - box[:2]).prod()


def ours():
    tracker = Tracker()

    def update(t, points, poses=None):
        poses = seen(points) if poses is None else poses
        named = tracker.update(poses, t)
        # Whom neither network believes in gets no id: -1.
        ids = dict(zip(map(bytes, named.boxes), named.ids.tolist(), strict=True))
        return [ids.get(bytes(box), -1) for box in poses.boxes]

    return update


def mended():
    return rtmlib(mend=True)


def rtmlib(mend=False):
    """rtmlib's PoseTracker with networks that answer with the given people."""
    from rtmlib import PoseTracker
    from rtmlib.tools.solution.pose_tracker import pose_to_bbox

    class Given:
        det_mode, points = "human", None

        def __call__(self, image, bboxes=None):
            return [0] * len(self.points) if bboxes is None else (self.points, np.ones(self.points.shape[:2]))

    given = Given()

    class Solution:
        det_model = pose_model = given

        def __init__(self, **_):
            pass

    with contextlib.redirect_stdout(io.StringIO()):
        tracker = PoseTracker(Solution, det_frequency=1)
    ask, given_out = tracker.track_by_iou, []

    def noted(bbox):
        answer = ask(bbox)
        given_out.append(answer[0])  # -1 for people who are too small for it
        return answer

    tracker.track_by_iou = noted

    def update(t, points, poses=None):
        given.points = points
        given_out.clear()
        if not len(points):
            tracker.bboxes_last_frame, tracker.track_ids_last_frame = [], []
            return []
        tracker(np.zeros((4, 4, 3), np.uint8))
        if mend:
            known = [person for person, number in zip(points, given_out, strict=True) if number >= 0]
            tracker.bboxes_last_frame = [pose_to_bbox(person) for person in known]
        return list(given_out)

    return update


def bytetrack(memory=2.0, least=0.2):
    """IoU between boxes predicted by a constant-velocity Kalman filter, assigned for the best sum; `memory` seconds."""
    tracks, state = {}, {"next": 0, "time": None}
    move = np.eye(8)

    def update(t, points, poses=None):
        if not len(points):
            return []
        low, high = points.min(axis=1), points.max(axis=1)
        boxes = np.concatenate([low, high], axis=1)
        measured = np.concatenate([(low + high) / 2, high - low], axis=1)
        step = 0 if state["time"] is None else t - state["time"]
        state["time"] = t
        move[:4, 4:] = np.eye(4) * step
        for track in tracks.values():
            size = track["mean"][3]
            noise = np.diag([(size / 20) ** 2 * step * FPS] * 4 + [(size / 160 * FPS) ** 2] * 4)
            track["mean"], track["cov"] = move @ track["mean"], move @ track["cov"] @ move.T + noise
        keys = list(tracks)
        expected = np.array([[*(m[:2] - m[2:4] / 2), *(m[:2] + m[2:4] / 2)] for m in (tracks[k]["mean"] for k in keys)])
        overlap = iou(expected.reshape(-1, 4), boxes)
        ids = [-1] * len(points)
        for row, column in zip(*linear_sum_assignment(-overlap), strict=True):
            if overlap[row, column] >= least:
                ids[column] = keys[row]
                track = tracks[keys[row]]
                spread = track["cov"][:4, :4] + np.eye(4) * (measured[column, 3] / 20) ** 2
                gain = track["cov"][:, :4] @ np.linalg.inv(spread)
                track["mean"] = track["mean"] + gain @ (measured[column] - track["mean"][:4])
                track["cov"] = track["cov"] - gain @ track["cov"][:4]
                track["seen"] = t
        for column, value in enumerate(measured):
            if ids[column] < 0:
                ids[column] = state["next"]
                state["next"] += 1
                cov = np.diag([(value[3] / 10) ** 2] * 4 + [(value[3] / 16 * FPS) ** 2] * 4)
                tracks[ids[column]] = {"mean": np.concatenate([value, np.zeros(4)]), "cov": cov, "seen": t}
        for key in [key for key, track in tracks.items() if t - track["seen"] > memory]:
            del tracks[key]
        return ids

    return update


TRACKERS = {"ours": ours, "ByteTrack-style": bytetrack, "rtmlib mended": mended, "rtmlib": rtmlib}


def identity(truth, found):
    """IDF1 and the number of switches, from lists of true and found ids in each frame, -1 for none."""
    pairs = np.array([(a, b) for row, ids in zip(truth, found, strict=True) for a, b in zip(row, ids, strict=True)])
    real, named = np.unique(pairs[:, 0]), np.unique(pairs[pairs[:, 1] >= 0, 1])
    hits = (pairs[:, 0] == real[:, None, None]) & (pairs[:, 1] == named[None, :, None])
    hits = hits.sum(axis=2)
    best = hits[linear_sum_assignment(-hits)].sum()
    switches = 0
    for person_id in real:
        ids = pairs[(pairs[:, 0] == person_id) & (pairs[:, 1] >= 0), 1]
        switches += int((np.diff(ids) != 0).sum())
    return 2 * best / (len(pairs) + (pairs[:, 1] >= 0).sum()), switches


def on_clips(clips):
    """A table of the ids given out on real clips."""
    from wholebody import WholeBody, video

    model = WholeBody(device="auto", precision="auto")
    table = Table("clip", "people", "frames", *(f"{name} ids" for name in TRACKERS), box=box.MARKDOWN)
    for clip in clips:
        path, people = clip.rsplit("=", 1)
        found = [(frame.time, model(frame.image)) for frame in video.read(path)]
        cells = []
        for make in TRACKERS.values():
            update, given = make(), []
            for t, poses in found:
                given += [i for i in update(t, poses.keypoints.astype(np.float64), poses) if i >= 0]
            counts = np.unique(given, return_counts=True)[1]
            long = 0.5 * len(found) / max(found[-1][0], 1e-9)
            cells.append(f"{len(counts)} ({int((counts >= long).sum())})")
        table.add_row(Path(path).name, people, str(len(found)), *cells)
    return table


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", nargs="*", default=[])
    parser.add_argument("--seeds", type=int, default=20)
    options = parser.parse_args()
    seeds = options.seeds
    assert identity([[1, 2], [1, 2]], [[5, 6], [5, 6]]) == (1.0, 0)
    assert identity([[1, 2], [1, 2]], [[5, 6], [6, 5]]) == (0.5, 2)
    table = Table("walk", "people", box=box.MARKDOWN)
    for name in TRACKERS:
        table.add_column(f"{name} IDF1", justify="right")
        table.add_column("switches", justify="right")
    for paths in (crossing, stopping, turning):
        for count in (2, 4, 9):
            scores = {name: [] for name in TRACKERS}
            for seed in range(seeds):
                frames = list(sequence(paths, count, seed))
                for name, make in TRACKERS.items():
                    update = make()
                    found = []
                    for t, there, points in frames:
                        ids = update(t, points)
                        # rtmlib leaves out people whose box is small, without saying whom: none is here.
                        assert len(ids) == len(there)
                        found.append(ids)
                    scores[name].append(identity([there for _, there, _ in frames], found))
            means = [np.mean(rows, axis=0) for rows in scores.values()]
            cells = [cell for idf1, switches in means for cell in (f"{idf1:.3f}", f"{switches:.1f}")]
            table.add_row(paths.__name__, str(count), *cells)
    console = Console(width=140)
    console.print(table)
    if options.clips:
        console.print(on_clips(options.clips))


if __name__ == "__main__":
    main()
