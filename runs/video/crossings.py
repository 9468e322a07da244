"""Two people who cross: how often ids change, at the default settings and with a search on every frame.

    python runs/video/crossings.py make WORK [BODY] [--photos POOL] [--assets ASSETS] [--rendered 40] [--cut 20]
    python runs/video/crossings.py count WORK [--pose fast] [--detector FILE]

With the src folder of an older version as PYTHONPATH, and the same networks given as files, `count` counts what that
version does.

`make` writes films of 36 frames, 640 x 360 pixels, 25 a second. In each, two people walk past each other at 6 pixels a
frame, the nearer in front of the other: people of the generator with bodies, clothes and gaits of their own; and people
cut out of photos with soft edges, who slide over the picture. Beside a film stand the boxes of both in each frame.

`count` follows both and says in how many films the ids after the meeting are those before it (kept), each other's
(swapped), or somebody has a new one or is not found (lost). A person's id is the one that their box has most often in
the first and in the last ten frames.
"""

import argparse
from collections import Counter
from contextlib import closing
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from wholebody import WholeBody, video
from wholebody.geometry import iou
from wholebody.images import find_images, read_image
from wholebody.tracking.pipeline import Follower, follow
from wholebody.video.frame import Frame

FPS, FRAMES, SPEED, SIZE, ENDS = 25, 36, 6.0, (640, 360), 10


def places(n: int, frame: float) -> float:
    """Where person n of two is, in pixels from the left."""
    return SIZE[0] / 2 + (1 if n else -1) * SPEED * (FRAMES / 2 - frame)


def rendered(body: str, assets: str | None, count: int):
    """(frames, boxes (FRAMES, 2, 4)) of generated people."""
    from rendered import walk

    from wholebody.synth.assets import load_assets
    from wholebody.synth.body import load_body
    from wholebody.synth.layers import Assets
    from wholebody.synth.material import open_backgrounds

    figure, given = load_body(body), load_assets(assets)
    known = Assets(given.pieces, given.skins, open_backgrounds(None, True))

    def path(n, t):
        return 1000 / SIZE[0] * places(n, t * FPS)

    for seed in range(count):
        found = list(islice(walk(lambda *_: path, 2, seed, figure, known), FRAMES))
        boxes = np.full((FRAMES, 2, 4), np.nan)
        for frame, (_, _, there, around) in enumerate(found):
            boxes[frame, there] = around
        yield [image for _, image, _, _ in found], boxes


def cut_out(photos: str, pose: str, count: int):
    """The same of people cut out of photos."""
    model = WholeBody(pose, threads=1)
    people = []
    for file in find_images([photos]):
        if len(people) == 2 * count:
            break
        image = read_image(file)
        if max(image.shape) > 1600:
            continue
        found = model(image)
        if len(found) != 1 or (found.scores[0, :17] < 0.5).any():
            continue
        points = found.keypoints[0]
        x0, y0 = np.maximum(points.min(axis=0) - 12, 0).astype(int)
        x1, y1 = (points.max(axis=0) + 12).astype(int)
        patch = image[y0:y1, x0:x1]
        if patch.shape[0] < 150 or patch.shape[0] < 1.5 * patch.shape[1]:
            continue
        hull = cv2.convexHull((points[:23] - (x0, y0)).astype(np.int32))
        mask = cv2.fillConvexPoly(np.zeros(patch.shape[:2], np.uint8), hull, 255)
        mask = cv2.GaussianBlur(cv2.dilate(mask, np.ones((15, 15), np.uint8)), (9, 9), 0)
        people.append((patch, mask))
    rng = np.random.default_rng(0)
    for n in range(len(people) // 2):
        ground = cv2.resize(rng.integers(60, 200, (3, 5, 3), np.uint8), SIZE, interpolation=cv2.INTER_CUBIC)
        cast = []
        for (patch, mask), height in zip(people[2 * n : 2 * n + 2], rng.uniform(190, 260, 2), strict=True):
            scale = height / patch.shape[0]
            size = (max(round(patch.shape[1] * scale), 1), round(height))
            cast.append((cv2.resize(patch, size), cv2.resize(mask, size)[..., None] / 255.0))
        images, boxes = [], np.zeros((FRAMES, 2, 4))
        for frame in range(FRAMES):
            image = ground.astype(np.float64)
            for person, (patch, mask) in enumerate(cast):
                h, w = patch.shape[:2]
                x, y = round(places(person, frame) - w / 2), 340 - h
                image[y : y + h, x : x + w] += mask * (patch - image[y : y + h, x : x + w])
                boxes[frame, person] = x, y, x + w, y + h
            images.append(image.astype(np.uint8))
        yield images, boxes


def make(options) -> None:
    options.work.mkdir(parents=True, exist_ok=True)
    kinds = {}
    if options.body:
        kinds["rendered"] = rendered(options.body, options.assets, options.rendered)
    if options.photos:
        kinds["cut"] = cut_out(options.photos, options.pose, options.cut)
    for kind, films in kinds.items():
        for n, (images, boxes) in enumerate(films):
            frames = (Frame(t / FPS, image) for t, image in enumerate(images))
            video.write(options.work / f"{kind}{n:02d}.mp4", frames, FPS, quality=14)
            np.save(options.work / f"{kind}{n:02d}.npy", boxes)


def outcome(named, boxes) -> str:
    """kept, swapped or lost, from the people of each frame."""
    seen = [[Counter(), Counter()], [Counter(), Counter()]]
    for frame, people in enumerate(named):
        end = 0 if frame < ENDS else 1 if frame >= FRAMES - ENDS else None
        if end is None or not len(people):
            continue
        around = np.concatenate([people.keypoints.min(axis=1), people.keypoints.max(axis=1)], axis=1)
        overlap = iou(np.nan_to_num(boxes[frame]), around)
        for person in range(2):
            if overlap[person].max() > 0.4:
                seen[end][person][int(people.ids[overlap[person].argmax()])] += 1
    before, after = ([each.most_common(1)[0][0] if each else None for each in end] for end in seen)
    if None in (*before, *after) or before[0] == before[1]:
        return "lost"
    return "kept" if before == after else "swapped" if before == after[::-1] else "lost"


def count(options) -> None:
    model = WholeBody(options.pose, options.detector, device="cpu", threads=1)
    table = Table("films", "every", "kept", "swapped", "lost", "searches a frame", box=box.MARKDOWN)
    for kind in ("rendered", "cut"):
        films = sorted(options.work.glob(f"{kind}*.mp4"))
        for every in options.every:
            found, searches = Counter(), 0
            for film in films:
                follower = Follower(model, every)
                with closing(follow(video.read(film), follower)) as followed:
                    named = [people for _, people in followed]
                found[outcome(named, np.load(film.with_suffix(".npy")))] += 1
                searches += follower.searches
            counts = [str(found[word]) for word in ("kept", "swapped", "lost")]
            table.add_row(f"{len(films)} {kind}", str(every), *counts, f"{searches / max(len(films) * FRAMES, 1):.2f}")
    Console(width=120).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("act", choices=["make", "count"])
    parser.add_argument("work", type=Path)
    parser.add_argument("body", nargs="?")
    parser.add_argument("--assets")
    parser.add_argument("--photos")
    parser.add_argument("--pose", default="fast")
    parser.add_argument("--detector", default="person")
    parser.add_argument("--rendered", type=int, default=40)
    parser.add_argument("--cut", type=int, default=20)
    parser.add_argument("--every", type=int, nargs="*", default=[8, 1])
    options = parser.parse_args()
    cv2.setNumThreads(1)
    (make if options.act == "make" else count)(options)


if __name__ == "__main__":
    main()
