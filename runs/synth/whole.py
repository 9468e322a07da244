"""Check that a set is complete: count pictures, compare every shard's SHA-256 with the manifest, and find duplicates.

    python runs/synth/whole.py SET COUNT

A duplicate is a picture whose JPEG bytes, or whose number, occurred before. The exit status is 1 if anything is wrong.
"""

import hashlib
import sys
from pathlib import Path

from wholebody.data.shards import read_manifest, read_shards
from wholebody.synth.shards import sha256


def main(folder: Path, count: int) -> int:
    manifest, wrong = read_manifest(folder), []
    files = sorted(path.name for path in folder.iterdir())
    if files != sorted([*manifest["shards"], "manifest.json"]):
        wrong.append(f"files: {set(files) ^ {*manifest['shards'], 'manifest.json'}} are too many or missing")
    wrong += [f"{name}: bytes differ from the manifest" for name, shard in manifest["shards"].items()
              if sha256(folder / name) != shard["sha256"]]  # fmt: skip
    shards = read_shards(folder)
    numbers = [record["index"] for record in shards.records]
    if numbers != list(range(count)):
        wrong.append(f"numbers: {len(numbers)} pictures, {len(set(numbers))} numbers, {count} expected")
    pictures = len({hashlib.sha256(shards.jpeg(i)).digest() for i in range(len(shards))})
    if pictures != count:
        wrong.append(f"pictures: {pictures} different ones of {count}")
    print("\n".join(wrong) or f"{folder}: {count} pictures, all different, {len(manifest['shards'])} shards as noted")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
