"""Synthetic people as examples for the detector: shards of `wholebody.synth` -> pictures and a list of boxes.

    python runs/detector/synthetic.py SHARDS OUT [--count 500]

Takes the pictures that show one person, with more of it than a hand; writes OUT/*.jpg and OUT/labels.json.
"""

import argparse
import json
import tarfile
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("shards", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=500)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    found = []
    for shard in sorted(options.shards.glob("[0-9]*.tar")):
        with tarfile.open(shard) as archive:
            files = {entry.name: archive.extractfile(entry).read() for entry in archive}
        for name in (name for name in files if name.endswith(".json")):
            record = json.loads(files[name])
            if not record["sampled"]["others"] and record["sampled"]["framing"] != "hand":
                found.append((record, name.replace(".json", ".jpg"), files[name.replace(".json", ".jpg")]))
    rows = []
    # A person is shown two or three times in a row: spread the choice over all.
    for record, file, jpeg in found[:: max(len(found) // options.count, 1)][: options.count]:
        (options.out / file).write_bytes(jpeg)
        x0, y0, x1, y1 = record["box"]
        box = [max(x0, 0), max(y0, 0), min(x1, record["width"]), min(y1, record["height"])]
        rows.append({"file": file, "boxes": [box], "ignore": []})
    (options.out / "labels.json").write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n")
    print(len(rows), "pictures ->", options.out / "labels.json")


if __name__ == "__main__":
    main()
