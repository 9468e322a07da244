"""A run's averaged weights as the bundled ONNX file.

    python runs/pose/export.py work/teacher/model.safetensors src/wholebody/models/pose.onnx [--calibration CURVES.json]

Weights are stored in 16 bits, those of the largest layers in eight, with one scale per output channel. On Thunder's
encoder, the convolution over its 1280 channels is split into two (`low_rank`). The graph returns the positions of the
highest expected OKS (`wholebody.codec.oks_tolerances`).
"""

import argparse
import json
from pathlib import Path
from typing import NamedTuple

from torch import nn

from wholebody.export.convert import export_pose, tolerant
from wholebody.export.narrow import low_rank
from wholebody.networks.checkpoints import load_pose
from wholebody.networks.kinds import kind_of


class Stored(NamedTuple):
    """Prefixes of weights in eight bits, and the rank of the convolution over Thunder's 1280 channels (0: as it is)."""

    int8: tuple[str, ...]
    rank: int = 0


_CSPNEXT = Stored(("head.", "backbone.stage2.", "backbone.stage3.", "backbone.stage4."))
_LAST_BLOCKS = tuple(f"backbone.blocks.{block}.{layer}" for block in range(13, 17) for layer in ("expand", "project"))
# By network and width of the crop.
STORED = {
    ("thunder-fine", 192): Stored(("head.final_layer", "backbone.top.", *_LAST_BLOCKS), rank=256),
    ("thunder-fine", 96): Stored(("head.final_layer", "head.fine", "backbone."), rank=128),
    ("t", 192): _CSPNEXT,
    ("s", 192): _CSPNEXT,
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("weights", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--calibration", type=Path, help="what calibrate.py wrote")
    options = parser.parse_args()
    network = load_pose(options.weights)
    network.codec = tolerant(network)
    size = kind_of(network)
    stored = STORED.get((size, network.codec.input_size[0]), Stored(()))
    if not stored.int8:
        print("Nothing is known of what this network can store in eight bits: all of it is stored in 16.")
    # A network that began from a bundled one has two convolutions there already.
    if stored.rank and isinstance(network.head.final_layer, nn.Conv2d):
        network.head.final_layer = low_rank(network.head.final_layer, stored.rank)
    name = {"thunder-fine": "thunder-two-scale", "thunder": "thunder"}.get(size, f"rtmpose-{size}")
    notes: dict[str, object] = {"network": name, "licence": "Apache-2.0"}
    if options.calibration:
        notes["calibration"] = json.loads(options.calibration.read_text())
    error = export_pose(network, options.out, storage="float16", int8=stored.int8, notes=notes)
    megabytes = options.out.stat().st_size / 1e6
    print(f"{options.out}: {megabytes:.2f} MB, differs from the network in torch (of low rank, too) by {error:.2g}")


if __name__ == "__main__":
    main()
