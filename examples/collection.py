"""A folder or a bucket to one Parquet file, and a query: which pictures show hands?

    pip install 'wholebody[batch]'
    python examples/collection.py PHOTOS poses.parquet

You can stop it at any time and start it again: finished work is not repeated.
"""

import sys

from wholebody import WholebodyError
from wholebody.batch import Settings, Tally, read, run


def progress(tally: Tally) -> None:
    print(f"\r{tally.before + tally.done} done, {tally.people} people, {tally.failed} failed", end="")


def main(photos: str, output: str) -> None:
    tally = run(photos, output, Settings(pose="fast"), watch=progress)
    print(f"\n{tally.seconds:.0f} s")
    for error, (count, first) in tally.errors.items():
        print(f"{count} x {error} First: {first}")
    for result in read(output):
        for person in result.poses or ():
            for hand in ("left_hand", "right_hand"):
                keypoints, scores = person.part(hand)
                if scores.mean() > 0.5:
                    (x0, y0), (x1, y1) = keypoints[0].min(axis=0), keypoints[0].max(axis=0)
                    print(f"{result.id}: {hand}, {scores.mean():.2f} sure, {x1 - x0:.0f} x {y1 - y0:.0f} pixels")


# Worker processes decode the pictures, and each of them imports this file first.
if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python examples/collection.py PHOTOS poses.parquet")
    try:
        main(*sys.argv[1:])
    except WholebodyError as error:
        sys.exit(str(error))
