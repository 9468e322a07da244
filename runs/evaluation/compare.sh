#!/bin/sh
# The whole of docs/compare.md, from the root of the repository: sh runs/evaluation/compare.sh [options of compare]
# What must be there, and what the options are good for, is in README.md beside this file.
set -eu
wholebody=${WHOLEBODY:-wholebody} python=${PYTHON:-python} shared=${SHARED:-../shared}
out=work/compare people=runs/evaluation/peers/mediapipe_people.py
files="--map $shared/mediapipe/to_wholebody133.json --complexity 2 --threads {threads}"
thunder="--thunder $shared/mediapipe/models/movenet_thunder_fp16.tflite"
peer="work/peer/bin/python $people"
# On a busy machine the threads of numpy's matrix products wait for each other by spinning.
export OPENBLAS_NUM_THREADS=1

mkdir -p "$out"
[ -f work/sets/synthetic.json ] || $python runs/evaluation/sets.py "$shared/real" work/synth/held_out work/sets
# rtmlib knows only the official layout; the same network in it.
$wholebody export wholebody-133 "$out/wholebody-133.onnx" --plain

compare() { # set, folder of its pictures, more options
    set_name=$1 images=$2
    shift 2
    $wholebody compare --annotations "work/sets/$set_name.json" --images "$images" --output "$out/$set_name" \
        --models ${MODELS:-wholebody-133 fast dwpose-t} \
        --rtmlib "$out/wholebody-133.onnx" "$@" \
        --run "MediaPipe Holistic 0.10.21=$peer holistic {annotations} {images} {out} $files" \
        --run "Thunder composite=$peer composite {annotations} {images} {out} $files $thunder"
}

compare coco "$shared/real" "$@"
compare teachers "$shared/real" "$@"
compare synthetic work/sets "$@"
$python runs/evaluation/page.py "$out" docs
