"""A run's averaged weights as the bundled ONNX file.

python runs/detector/export.py RUN OUT.onnx
"""

import argparse
import json
from pathlib import Path

from wholebody.export.convert import export_detector
from wholebody.train.detector.fit import load

# What the inference uses unless told otherwise: from the table of `evaluate.py`.
THRESHOLD = 0.3
# Half of the encoder's weights are in its last blocks.
EIGHT_BITS = tuple(f"backbone.backbone.blocks.{i}" for i in (13, 14, 15))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("out")
    options = parser.parse_args()
    network = json.loads((options.run / "recipe.json").read_text())["network"]
    notes = {"network": f"yolox-{network}", "classes": ["person"], "threshold": THRESHOLD, "licence": "Apache-2.0"}
    error = export_detector(
        load(options.run / "model.safetensors"),
        options.out,
        input_size=(416, 416),
        storage="float16",
        int8=EIGHT_BITS if network == "thunder" else (),
        notes=notes,
    )
    print(f"{options.out}: {Path(options.out).stat().st_size / 1e6:.2f} MB, differs from torch by {error:.2g}")


if __name__ == "__main__":
    main()
