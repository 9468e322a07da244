"""Check that a set is the held-out synthetic benchmark on which the published figures were measured.

    python runs/synth/held_out.py SET            # the same as --check
    python runs/synth/held_out.py SET --write    # record SET as the benchmark, in held_out.json

--check reads every byte. It compares the SHA-256 of each shard, and the manifest's seed, options and hashes of the
input files, with held_out.json. The exit status is 1 if anything differs, with a line for each difference.
"""

import argparse
import json
import sys
from pathlib import Path

from wholebody.data.shards import read_manifest, read_shards
from wholebody.files import replacing
from wholebody.synth.shards import sha256

FIXED = Path(__file__).with_name("held_out.json")
COUNT = 2000


def described(folder: Path) -> dict:
    """Seed, options and versions as the manifest says, and the hashes as the files are."""
    manifest = read_manifest(folder)
    names = ("seed", "count", "per_shard", "generator", "versions", "options")
    shards = {name: sha256(folder / name) for name in manifest["shards"]}
    return {name: manifest[name] for name in names} | {"shards": shards}


def differences(found: dict, fixed: dict) -> list[str]:
    """One line for each thing that is not as fixed. Versions and the generator matter only through the bytes."""
    lines = []
    for name in ("seed", "count", "per_shard", "options", "shards"):
        if not isinstance(fixed[name], dict):
            if found[name] != fixed[name]:
                lines.append(f"{name}: {found[name]}, not {fixed[name]}")
            continue
        for key in sorted({*fixed[name], *found[name]}):
            here, there = found[name].get(key), fixed[name].get(key)
            if here != there:
                lines.append(f"{name}: {key} is {here}, not {there}")
    if lines:
        for name in ("generator", "versions"):
            if found[name] != fixed[name]:
                lines.append(f"note: made with {name} {found[name]}, the fixed set with {fixed[name]}")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", type=Path)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--check", action="store_true", help="what is done without --write")
    options = parser.parse_args()
    found = described(options.set)
    people = read_shards(options.set).records
    shapes = {json.dumps(record["sampled"]["phenotype"]) for record in people}
    if len(people) != COUNT or len(shapes) != COUNT or not found["options"].get("held_out"):
        held = found["options"].get("held_out")
        print(f"{options.set}: {len(people)} pictures of {len(shapes)} people, held out: {held}", file=sys.stderr)
        print(f"the benchmark is {COUNT} held-out people, each once", file=sys.stderr)
        return 1
    if options.write:
        with replacing(FIXED) as partial:
            partial.write_text(json.dumps(found, indent=1) + "\n")
        print(f"{FIXED.name}: {len(found['shards'])} shards fixed")
        return 0
    if not FIXED.exists():
        print(f"{FIXED} is missing: nothing is fixed yet", file=sys.stderr)
        return 1
    lines = differences(found, json.loads(FIXED.read_text()))
    print("\n".join(lines) or f"{options.set}: the fixed set, {len(found['shards'])} shards, byte for byte")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
