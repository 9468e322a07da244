"""A run's averaged weights as the bundled ONNX file.

    python runs/pose/export.py work/teacher/model.safetensors src/wholebody/models/pose.onnx [--calibration CURVES.json]

Weights are stored in 16 bits, those of the largest convolutions in eight with one scale per output channel: the file is
a third as large as in float32, and the figures of the card do not change by more than 0.001.
"""

import argparse
import json
from pathlib import Path

from wholebody.export import export_pose
from wholebody.train.checkpoints import load_pose
from wholebody.train.stages import size_of

EIGHT_BITS = {
    "thunder-fine": (
        "head.final_layer",
        "backbone.top.",
        *(f"backbone.blocks.{block}.{layer}" for block in range(13, 17) for layer in ("expand", "project")),
    ),
    "t": ("head.", "backbone.stage2.", "backbone.stage3.", "backbone.stage4."),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("weights", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--calibration", type=Path, help="what calibrate.py wrote")
    options = parser.parse_args()
    network = load_pose(options.weights)
    size = size_of(network)
    name = "thunder-two-scale" if size == "thunder-fine" else f"rtmpose-{size}"
    notes: dict[str, object] = {"network": name, "licence": "Apache-2.0"}
    if options.calibration:
        notes["calibration"] = json.loads(options.calibration.read_text())
    error = export_pose(network, options.out, storage="float16", int8=EIGHT_BITS[size], notes=notes)
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.2f} MB, differs from torch by {error:.2g}")


if __name__ == "__main__":
    main()
