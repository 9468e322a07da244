"""The speed of rendering crops: on one core, on several, and whether memory stays constant.

    python runs/synth/benchmark.py BODY [--assets ASSETS] [--backgrounds PAPERS] [--count 600] [--cores 1 2]

The longer side of a crop is 256 pixels. Times include everything that a shard holds: 2 x 2 supersampling, shadows,
image degradation and the JPEG. The width varies with the person; the mean area is printed in units of 256 x 192. "of
CPU" divides by CPU seconds, which is the speed of an idle core even on a busy machine; "of wall" divides by wall-clock
time.
"""

import argparse
import multiprocessing
import os
import resource
import tempfile
import time
from pathlib import Path

from wholebody.synth.shards import GeneratorFactory, write_shards

STAGES = ("make_person", "aim", "render", "visibility", "photograph")


def one_core(factory: GeneratorFactory, count: int) -> None:
    """Time `count` crops in this process, then the stages of some more."""
    from wholebody.synth import people

    maker = factory()
    for index in range(30):
        maker(0, index)
    area, wall, cpu = 0, time.perf_counter(), time.process_time()
    print("  crops  of CPU/s  of wall/s  MB in memory")
    for index in range(count):
        record = maker(1, index).record
        area += record["width"] * record["height"]
        if (index + 1) % max(count // 6, 1) == 0:
            n = index + 1
            rates = n / (time.process_time() - cpu), n / (time.perf_counter() - wall)
            print(f"  {n:5}  {rates[0]:8.1f}  {rates[1]:9.1f}  {resident():12.0f}", flush=True)
    print(f"  mean area {area / count / (256 * 192):.2f} x (256 x 192)")

    spent = dict.fromkeys(STAGES, 0.0)

    def timed(name: str) -> None:
        function = getattr(people, name)

        def wrapper(*args, **kwargs):
            start = time.process_time()
            result = function(*args, **kwargs)
            spent[name] += time.process_time() - start
            return result

        setattr(people, name, wrapper)

    for name in STAGES:
        timed(name)
    start, some = time.process_time(), max(count // 3, 3)
    for index in range(count, count + some):
        maker(1, index)
    total = time.process_time() - start
    spent["the rest, JPEG among it"] = total - sum(spent.values())
    print("  CPU ms a crop: " + ", ".join(f"{name} {1000 * value / some:.1f}" for name, value in spent.items()))


def resident() -> float:
    """MB of this process in memory now; the most so far where that cannot be told."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def many_cores(factory: GeneratorFactory, count: int, workers: int) -> float:
    """Crops a second of the clock when `workers` processes write a set, loading aside."""
    moments: list[tuple[int, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        write_shards(folder, count, 1, workers, factory, progress=lambda n: moments.append((n, time.perf_counter())))
    # The first group of each worker stands for loading and warming up.
    skipped = [moment for moment in moments if moment[0] >= 24 * workers]
    return (skipped[-1][0] - skipped[0][0]) / (skipped[-1][1] - skipped[0][1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("body")
    parser.add_argument("--assets")
    parser.add_argument("--backgrounds")
    parser.add_argument("--count", type=int, default=600)
    parser.add_argument("--cores", type=int, nargs="*", default=[1, os.cpu_count() or 1])
    options = parser.parse_args()
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ[variable] = "1"  # of the processes below
    for size in (256, 320):
        print(f"one core, {size} pixels" + (" (what --size 256x192 makes)" if size == 320 else ""), flush=True)
        factory = GeneratorFactory(options.body, options.assets, options.backgrounds, size=size)
        process = multiprocessing.get_context("spawn").Process(target=one_core, args=(factory, options.count))
        process.start()
        process.join()
        if process.exitcode:
            raise SystemExit(process.exitcode)
    factory = GeneratorFactory(options.body, options.assets, options.backgrounds, size=256)
    for workers in options.cores:
        rate = many_cores(factory, options.count + 24 * workers, workers)
        load = os.getloadavg()[0]
        print(f"{workers} workers, 256 pixels: {rate:.1f} crops a second of the clock (load of the machine {load:.1f})")


if __name__ == "__main__":
    main()
