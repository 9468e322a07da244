"""A one-class network as an ONNX file whose input has the aspect ratio of each picture.

python runs/detector/export.py WEIGHTS.safetensors OUT.onnx [--crowd | --plain]
"""

import argparse
from pathlib import Path

from wholebody.export.convert import export_detector
from wholebody.networks.yolox import load_yolox
from wholebody.pose.detect import aspect_size

# Every photo gets an input of its own aspect with about as many pixels: 512 x 384 for one of 4 by 3.
PIXELS = 512 * 416
# 736 x 544: for small people.
CROWD = 640 * 640
# From `calibrate.py`.
CALIBRATION = (1.211, 0.581)
# A box that is as likely a person as not.
THRESHOLD = 0.5


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("weights", type=Path)
    parser.add_argument("out")
    parser.add_argument("--plain", action="store_true", help="without calibration, for `calibrate.py`")
    parser.add_argument("--crowd", action="store_true", help="on larger inputs")
    options = parser.parse_args()
    pixels = CROWD if options.crowd else PIXELS
    error = export_detector(
        load_yolox(options.weights),
        options.out,
        input_size=aspect_size((640, 480), pixels),
        pixels=pixels,
        calibration=None if options.plain else CALIBRATION,
        storage="float16",
        notes={"network": "yolox-nano", "classes": ["person"], "threshold": THRESHOLD, "licence": "Apache-2.0"},
    )
    print(f"{options.out}: {Path(options.out).stat().st_size / 1e6:.2f} MB, differs from torch by {error:.2g}")


if __name__ == "__main__":
    main()
