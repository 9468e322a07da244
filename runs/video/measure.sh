#!/bin/sh
# Everything of docs/video.md, on an idle machine: about an hour on two cores.
#
#     sh runs/video/measure.sh POOL SYNTHETIC BODY OUT [--assets ASSETS --backgrounds PAPERS]
#
# Needs rtmlib, onnx, openvino, scipy, chromium. POOL is the folder of real photos, with the clips in POOL/demo;
# SYNTHETIC a folder of held-out synthetic people, BODY and the rest what they are made from.
set -e
pool=$1 synthetic=$2 body=$3 out=$4
shift 4
export OMP_NUM_THREADS=1
mkdir -p "$out"
python runs/precision/evaluate.py "$pool" "$synthetic" --out "$out/precision.md"
python runs/video/speed.py "$pool"/demo/juggle.mp4 "$pool"/demo/sports2d_demo.mp4 "$pool"/demo/pose2sim_multi_cam02.mp4 \
    --threads 1 2 --clock wall --out "$out/speed.md"
python runs/video/identities.py --clips "$pool"/demo/pose2sim_multi_cam02.mp4=3 "$pool"/demo/sports2d_demo.mp4=2 \
    > "$out/identities.md"
python runs/video/rendered.py "$body" "$@" > "$out/rendered.md"
python runs/video/jitter.py "$synthetic" > "$out/jitter.md"
python runs/video/hour.py > "$out/hour.txt"
for clip in juggle pose2sim_multi_cam02; do
    python -m wholebody.cli predict "$pool/demo/$clip.mp4" --output "$out/clips"
    python runs/video/browser.py "$out/clips/${clip}_pose.mp4" "$out/clips/$clip.png" >> "$out/browser.txt"
done
