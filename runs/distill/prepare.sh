#!/bin/sh
# What the ablations start from, in work/grid: a teacher at 128x96, views of it, a student's start, a second teacher.
set -eu
export OMP_NUM_THREADS=1
size="--input-size 96 128"
wholebody train small-teacher --out work/grid/teacher
python runs/distill/views.py warm-t work/grid/views --teacher work/grid/teacher/model.safetensors --count 12000
cached="--data views:work/grid/views --workers 0"
from="--distill.teachers work/grid/teacher/model.safetensors"
wholebody train warm-t --out work/grid/warm $size $cached --steps 1000 --optim.lr 3e-3 $from
cp work/grid/warm/model.safetensors work/grid/start.safetensors
# The second teacher has batch norms, which Thunder's encoder has not.
wholebody train warm-s --out work/grid/warm-s $size $cached --steps 500 --optim.lr 3e-3 $from
wholebody train warm-s --name s --out work/grid/s $size $cached --steps 400 --distill.stage 1 --distill.teachers \
    --init work/grid/warm-s/model.safetensors
for mode in "" "-train"; do
    python runs/distill/views.py warm-t "work/grid/views-s$mode" --teacher work/grid/s/model.safetensors --count 6000 \
        ${mode:+--trains}
done
