"""The bundled person detector's training run. Start it again after a stop and it resumes.

python runs/detector/train.py LABELS.json [LABELS.json ...] OUT --thunder movenet_thunder_fp16.tflite
"""

import argparse
from dataclasses import replace

import cv2
import torch

from wholebody.train.detector.fit import fit
from wholebody.train.detector.recipe import DetectorConfig


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("labels", nargs="+")
    parser.add_argument("out")
    parser.add_argument("--thunder", required=True)
    parser.add_argument("--samples", type=int, default=40_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(1)
    recipe = DetectorConfig(
        labels=tuple(options.labels),
        network="thunder",
        init=options.thunder,
        steps=options.samples // 8,
        batch=8,
        optim=replace(DetectorConfig().optim, lr=1e-3, backbone=0.15, freeze=6),
        sizes=((0.0, 256), (0.35, 320), (0.7, 416)),
        checkpoint_minutes=3,
        precision=options.precision,
    )
    fit(recipe, options.out)


if __name__ == "__main__":
    main()
