#!/bin/sh
# What the ablations start from, in work/grid: a teacher at 128x96, views of it, a student's start, a second teacher.
set -eu
export OMP_NUM_THREADS=1
size="--input-size 96 128"
wholebody train small-teacher --out work/grid/teacher
python runs/distill/views.py warm-t work/grid/views --teacher work/grid/teacher/model.safetensors --count 12000
cached="--data views:work/grid/views --workers 0 --steps 800"
wholebody train warm-t --out work/grid/warm $size $cached
cp work/grid/warm/model.safetensors work/grid/start.safetensors
# The second teacher has batch norms, which Thunder's encoder has not.
wholebody train warm-s --out work/grid/s $size $cached --distill.ori 1 --distill.beta 0.1 --distill.decay linear
for mode in "" "-train"; do
    python runs/distill/views.py warm-t "work/grid/views-s$mode" --teacher work/grid/s/model.safetensors --count 12000 \
        ${mode:+--trains}
done
