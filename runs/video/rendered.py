"""IDF1 and id switches on rendered people who walk, cross, stop and turn in front of a camera, with known ids.

    python runs/video/rendered.py BODY [--assets ASSETS] [--backgrounds PAPERS] [--seeds 2] [--clips OUT]

Walks of 8 seconds at 25 frames per second, 640 x 360 pixels, with two to nine people. Each has their own body, clothes
and gait; nearer people cover others; all enter and leave. The bundled networks find the people in every frame, and all
trackers get the same people. "k = 8" is the pipeline of `wholebody predict`, with the detector on every eighth frame.
People of whom less than three tenths are visible do not count. A person found is a true person in a frame if the boxes
around their keypoints have an IoU of 0.5; IDF1 also counts missed people and false positives (Ristani et al. 2016).
--clips writes the walks as videos, for inspection.
"""

import argparse
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
from identities import FPS, SECONDS, TRACKERS, crossing, stopping, turning
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.optimize import linear_sum_assignment

from wholebody import WholeBody, video
from wholebody.draw import skeleton
from wholebody.geometry import iou
from wholebody.synth import posture, rotations
from wholebody.synth.assets import load_assets
from wholebody.synth.body import load_body
from wholebody.synth.layers import Assets
from wholebody.synth.material import open_backgrounds
from wholebody.synth.people import make_person, photograph, sample_light
from wholebody.synth.posture import Posture
from wholebody.synth.render import Camera, join, render
from wholebody.synth.scenes import moved, seen_from, shares
from wholebody.tracking.pipeline import Follower, follow

PHASES, SIZE = 12, (640, 360)
# At the height of the eyes, looking level along +y.
CAMERA = Camera(
    np.array([[1, 0, 0, 0], [0, 0, -1, 1.4], [0, 1, 0, 0]], np.float32), 520.0, (319.5, 150.0), SIZE
)  # fmt: skip
LEAST_SEEN = 0.3


def gait(rng, body) -> list[Posture]:
    """A step of each leg in PHASES poses: from a stride with one leg in front to its mirror image and back."""
    while (stride := posture.sample_pose(rng, body, body.template, body.heads)).kinds["stance"] != "walk":
        pass
    swap = [body.bone[name[:-1] + {"L": "R", "R": "L"}.get(name[-1], name[-1])] if name[-2:-1] == "." else row
            for name, row in body.bone.items()]  # fmt: skip
    mirror = np.diag([-1.0, 1, 1])
    other = mirror @ stride.rotations[swap] @ mirror
    steps = []
    for phase in range(PHASES):
        share = (1 + np.cos(2 * np.pi * phase / PHASES)) / 2
        u, _, vt = np.linalg.svd(share * stride.rotations + (1 - share) * other)
        steps.append(Posture((u @ vt).astype(np.float32), {**stride.kinds, "stance": "bvh"}))
    return steps


def walk(paths, count: int, seed: int, body, assets: Assets) -> Iterator[tuple[float, np.ndarray, list, np.ndarray]]:
    """For each frame its time, the picture, the numbers of the people in it and the boxes (N, 4) of their keypoints."""
    rng, rs = np.random.default_rng(seed), np.random.RandomState(seed)
    cast = []
    for n in range(count):
        # Whoever is drawn from the same state is the same, in another pose.
        steps = gait(rng, body)
        cast.append([make_person(np.random.default_rng([seed, n]), body, assets, bvh=(step,), bvh_share=1.0)
                     for step in steps])  # fmt: skip
    path, depths = paths(rs, count), np.sort(rs.uniform(4.5, 9.0, count))
    light, cadence = sample_light(rng), rs.uniform(0.8, 1.1, count)
    for frame in range(FPS * SECONDS):
        t = frame / FPS
        placed, meshes = [], []
        for n, steps in enumerate(cast):
            ahead, behind = path(n, t + 0.06), path(n, t - 0.06)
            # The rest pose faces the camera; who stands still keeps looking there.
            yaw = 90 * np.clip((ahead - behind) / 4, -1, 1)
            x = (path(n, t) / 1000 - 0.5) * SIZE[0] / CAMERA.focal * depths[n]
            going = abs(ahead - behind) > 1
            person = steps[int(t * cadence[n] * PHASES) % PHASES if going else PHASES // 4]
            spot = rotations.turn((0, 0, 1), yaw), np.array([x, depths[n], 0.0])
            placed.append((person, spot))
            meshes.append(moved(person.mesh, *spot, owner=n))
        picture = render(join(meshes), CAMERA, light)
        image = photograph(np.random.default_rng([seed, 9]), picture, None, None, assets)
        there, boxes = [], []
        for n, (person, spot) in enumerate(placed):
            inside, seen = shares(meshes[n].vertices[::16], CAMERA, picture.owner, n)
            if inside * seen < LEAST_SEEN:
                continue
            near = seen_from(CAMERA, *spot)
            points = near.project(person.keypoints_from(near.eye))[:, :2]
            there.append(n)
            boxes.append([*points.min(axis=0), *points.max(axis=0)])
        yield t, image, there, np.array(boxes).reshape(-1, 4)


def score(truth: list[tuple[list, np.ndarray]], found: list[tuple[list, np.ndarray]]) -> tuple[float, int]:
    """IDF1 and switches, from the ids and boxes of each frame."""
    names = sorted({name for ids, _ in found for name in ids})
    people = sorted({n for there, _ in truth for n in there})
    hits, switches, last = np.zeros((len(people), max(len(names), 1))), 0, {}
    for (there, boxes), (ids, theirs) in zip(truth, found, strict=True):
        overlap = iou(boxes, theirs)
        for row, column in zip(*np.nonzero(overlap >= 0.5), strict=True):
            hits[people.index(there[row]), names.index(ids[column])] += 1
        for row, column in zip(*linear_sum_assignment(-overlap), strict=True):
            if overlap[row, column] >= 0.5:
                switches += last.get(there[row], ids[column]) != ids[column]
                last[there[row]] = ids[column]
    best = hits[linear_sum_assignment(-hits)].sum()
    return float(2 * best / (sum(len(t) for t, _ in truth) + sum(len(f) for f, _ in found))), switches


def around(people) -> np.ndarray:
    """Boxes (N, 4) of the keypoints of Poses."""
    return np.concatenate([people.keypoints.min(axis=1), people.keypoints.max(axis=1)], axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("body")
    parser.add_argument("--assets")
    parser.add_argument("--backgrounds")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--clips", type=Path)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    body, given = load_body(options.body), load_assets(options.assets)
    assets = Assets(given.pieces, given.skins, open_backgrounds(options.backgrounds, True))
    table = Table("walk", "people", "found", box=box.MARKDOWN)
    for name in ("ours, k = 8", *TRACKERS):
        table.add_column(f"{name} IDF1", justify="right")
        table.add_column("switches", justify="right")
    model = WholeBody(threads=1)
    for paths in (crossing, stopping, turning):
        for count in (2, 4, 9):
            rows, shares_found = {name: [] for name in ("ours, k = 8", *TRACKERS)}, []
            for seed in range(options.seeds):
                frames = list(track(walk(paths, count, seed, body, assets), f"{paths.__name__} {count}", FPS * SECONDS))
                truth = [(there, boxes) for _, _, there, boxes in frames]
                seen = [model(image) for _, image, _, _ in frames]
                overlaps = [iou(boxes, around(people)) for (_, boxes), people in zip(truth, seen, strict=True)]
                got = sum((o.max(axis=1, initial=0) >= 0.5).sum() for o in overlaps)
                shares_found.append(got / max(sum(len(t) for t, _ in truth), 1))
                stream = (video.Frame(t, image) for t, image, _, _ in frames)
                with closing(follow(stream, Follower(model))) as followed:
                    named = [(people.ids.tolist(), around(people)) for _, people in followed]
                rows["ours, k = 8"].append(score(truth, named))
                for name, make in TRACKERS.items():
                    update = make()
                    named = []
                    for (t, _, _, _), people in zip(frames, seen, strict=True):
                        ids = np.array(update(t, people.keypoints.astype(np.float64), people), np.int64)
                        named.append((ids[ids >= 0].tolist(), around(people)[ids >= 0]))
                    rows[name].append(score(truth, named))
                if options.clips and seed == 0:
                    options.clips.mkdir(parents=True, exist_ok=True)
                    shown = (
                        video.Frame(t, skeleton(image, people))
                        for (t, image, _, _), people in zip(frames, seen, strict=True)
                    )
                    video.write(options.clips / f"{paths.__name__}_{count}.mp4", shown, FPS)
            means = [np.mean(each, axis=0) for each in rows.values()]
            cells = [cell for idf1, switches in means for cell in (f"{idf1:.3f}", f"{switches:.1f}")]
            table.add_row(paths.__name__, str(count), f"{np.mean(shares_found):.2f}", *cells)
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
