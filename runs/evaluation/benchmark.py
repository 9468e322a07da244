"""Time and memory of an evaluation, compared with pycocotools on the same people.

    python runs/evaluation/benchmark.py                               # ours alone, 10,000 people
    python runs/evaluation/benchmark.py --people 1000 --beside pycocotools
    python runs/evaluation/benchmark.py --people 1000 --beside hotcoco          # needs pip install hotcoco

Random people, two per picture, with two predictions each. In a comparison both run without intervals, and without NMS,
which the other library does not have. Both start from arrays, and their figures must agree. Seconds are CPU time (one
thread), so that other load changes little.
"""

import argparse
import os
import resource
import time

# Before numpy reads them: on a busy machine the threads of its matrix products wait for each other by spinning.
for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402

from wholebody.evaluate.metric import evaluate  # noqa: E402
from wholebody.evaluate.report import Settings  # noqa: E402


def timed(what, work):
    clock, cpu = time.perf_counter(), time.process_time()
    result = work()
    seconds, cpu = time.perf_counter() - clock, time.process_time() - cpu
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{what:<42} {cpu:8.2f} s of the processor, {seconds:8.2f} s by the clock, {most:.2f} GB at most so far")
    return result, cpu


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=10_000)
    parser.add_argument("--beside", choices=("pycocotools", "hotcoco"))
    args = parser.parse_args()
    if args.beside == "hotcoco":
        import hotcoco

        hotcoco.init_as_pycocotools()
    # After hotcoco, which takes the place of pycocotools.
    from wholebody.evaluate.official import random_set, reference

    labels, predictions = random_set(np.random.default_rng(0), args.people // 2, args.people, spare=1)
    count = sum(map(len, predictions.values()))
    print(f"{args.people} people, {count} predictions, {len(labels.images)} pictures")
    timed("the arrays alone", lambda: None)
    if args.beside:
        plain = Settings(score="box", nms="none")
        ours, seconds = timed("wholebody", lambda: evaluate(labels, predictions, plain, resamples=0))
        theirs, longer = timed(args.beside, lambda: reference(labels, predictions))
        apart = max(abs(ours.coco()[part][name] - value) for part in theirs for name, value in theirs[part].items())
        print(f"{longer / seconds:.0f} times as long; figures differ by {apart:.1g} at most")
    else:
        timed("figures", lambda: evaluate(labels, predictions, resamples=0))
        timed("figures and intervals, 1000 resamplings", lambda: evaluate(labels, predictions))


if __name__ == "__main__":
    main()
