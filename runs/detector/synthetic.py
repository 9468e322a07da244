"""Synthetic people as training examples for the detector: shards of `wholebody synth` -> pictures and a list of boxes.

    python runs/detector/synthetic.py SHARDS OUT [--count 500]

It uses scenes (`--size scenes`), with and without people, and crops that show one person and more of them than a hand.
It writes OUT/*.jpg and OUT/labels.json, which `wholebody train detector` reads.
"""

import argparse
import json
from pathlib import Path

from wholebody.data.shards import read_shards
from wholebody.synth.scenes import detector_row


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("shards", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=500)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    shards = read_shards(options.shards)
    found = [(n, *detector_row(record)) for n, record in enumerate(shards.records)]
    # A scene without people teaches what is none; a crop without a sure box only fills the list.
    found = [row for row in found if row[1] or "people" in shards.records[row[0]]]
    rows = []
    # A person is shown several times in a row: spread the choice over all.
    for n, boxes, ignore in found[:: max(len(found) // options.count, 1)][: options.count]:
        file = f"{shards.records[n]['index']:06d}.jpg"
        (options.out / file).write_bytes(shards.jpeg(n))
        rows.append({"file": file, "boxes": boxes, "ignore": ignore})
    (options.out / "labels.json").write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n")
    print(len(rows), "pictures,", sum(len(row["boxes"]) for row in rows), "boxes ->", options.out / "labels.json")


if __name__ == "__main__":
    main()
