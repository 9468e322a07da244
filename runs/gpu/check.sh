#!/usr/bin/env bash
# A few minutes on a machine with a graphics card: docs/gpu.md.
#   bash runs/gpu/check.sh work/gpu
set -euo pipefail
out=${1:?a folder for the results} python=${PYTHON:-python}
mkdir -p "$out"
$python runs/gpu/shards.py "$out/shards" 2000
nvidia-smi --query-gpu=name,driver_version --format=csv,noheader | tee "$out/card.txt"

train() { # name, processes, options
  local name=$1 processes=$2
  shift 2
  $python -m torch.distributed.run --standalone --nproc-per-node "$processes" -m wholebody.cli \
    distill example --out "$out/$name" --data "shards:$out/shards" --validate-on none \
    --first.input-size 192 256 --second.input-size 192 256 --first.steps 60 --second.steps 30 \
    --first.batch 64 --second.batch 64 --first.workers 8 --second.workers 8 "$@"
  tail -n 1 "$out/$name/stage1/metrics.jsonl"
}
train fp32 1 --first.precision fp32 --second.precision fp32
train half 1 --first.precision auto --second.precision auto
train fp16 1 --first.precision fp16 --second.precision fp16
train compiled 1 --first.compile --second.compile
# NCCL refuses two processes on one card; gloo does not.
WHOLEBODY_BACKEND=gloo train two 2

$python runs/gpu/loader.py "$out/shards" 8
for device in cuda tensorrt; do
  $python -m wholebody bench image examples/*.jpg --device "$device" || echo "$device: not here"
done
