"""The speed of each person's wrists in a video, as a table in body heights per second.

python examples/wrist_speed.py clip.mp4 speeds.csv
"""

import csv
import sys
from pathlib import Path

import numpy as np

from wholebody import WholeBody, follow, read_video
from wholebody.tracking.smooth import smooth_track

if len(sys.argv) != 3:
    sys.exit(f"usage: {__doc__.splitlines()[2]}")
if not Path(sys.argv[1]).exists():
    sys.exit(f"{sys.argv[1]}: no such file")
clip, table = sys.argv[1:3]
times, people = [], {}
for frame, poses in follow(read_video(clip), WholeBody("fast")):
    times.append(frame.time)
    for row, person in enumerate(poses.ids.tolist()):
        people.setdefault(person, []).append((frame.time, poses[row]))

with Path(table).open("w", newline="") as file:
    rows = csv.writer(file)
    rows.writerow(["id", "time", "left", "right"])
    for person, seen in people.items():
        if len(seen) < 5:
            continue
        when = np.array([time for time, _ in seen])
        points = np.stack([poses.keypoints[0] for _, poses in seen])
        scores = np.stack([poses.scores[0] for _, poses in seen])
        steady = smooth_track(when, points, scores)  # in both directions, without lag
        wrists = steady[:, [poses.schema.names.index(f"{side}_wrist") for side in ("left", "right")]]
        height = np.median([poses.boxes[0, 3] - poses.boxes[0, 1] for _, poses in seen])
        speed = np.linalg.norm(np.gradient(wrists, when, axis=0), axis=-1) / height
        rows.writerows([person, f"{t:.3f}", *np.round(v, 3)] for t, v in zip(when, speed, strict=True))
        print(f"person {person}: up to {speed.max():.1f} body heights a second")
