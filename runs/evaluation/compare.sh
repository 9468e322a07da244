#!/bin/sh
# The tables of docs/compare.md: see README.md beside this file for what must be there.
set -eu
peer="work/peer/bin/python runs/evaluation/peers/mediapipe_people.py"
files="--map ../shared/mediapipe/to_wholebody133.json --complexity 2"
thunder="--thunder ../shared/mediapipe/models/movenet_thunder_fp16.tflite"

compare() { # set, folder of its pictures, output, more options
    set_name=$1 images=$2 output=$3
    shift 3
    wholebody compare --annotations "work/sets/$set_name.json" --images "$images" --output "$output" "$@" \
        --run "MediaPipe Holistic 0.10.21=$peer holistic {annotations} {images} {out} $files" \
        --run "Thunder composite=$peer composite {annotations} {images} {out} $files $thunder"
}

compare coco ../shared/real work/compare/coco "$@"
compare synthetic work/sets work/compare/synthetic "$@"
python runs/evaluation/page.py work/compare docs
