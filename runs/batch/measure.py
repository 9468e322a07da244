"""The figures of docs/batch.md: kills, workers and cost.

    pip install '.[ray]' 'moto[server]' s3fs
    python runs/batch/measure.py killed      # SIGKILL ten times; are the rows those of an uninterrupted run?
    python runs/batch/measure.py workers     # Ray with one and two workers: the same rows, and how many per second?
    python runs/batch/measure.py cost        # CPU time of each step for a picture

The pictures are small parts of examples/parkour.jpg, the same in each run; one in a hundred is truncated. They are in a
bucket of an S3-compatible server (moto) on the loopback interface, and the results go there too. The exit status of
`killed` and `workers` is 1 unless every id occurs once and the rows are equal: bit-identical after kills, and within a
hundredth of a pixel between engines.
"""

import argparse
import os
import random
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from wholebody.batch import Settings, Tally, run

PHOTO = Path(__file__).parents[2] / "examples" / "parkour.jpg"
PART = 100


# --- A bucket ---------------------------------------------------------------------------------------------------------


def pictures(count: int, size: tuple[int, int] = (192, 256)) -> Iterator[tuple[str, bytes]]:
    """Names and JPEG files: pieces of the photo, at least six tenths of its height."""
    photo = cv2.imread(str(PHOTO))
    height, width = photo.shape[:2]
    rng = np.random.default_rng(0)
    for number in range(count):
        h = int(height * rng.uniform(0.6, 1))
        w = h * size[0] // size[1]
        x, y = (int(rng.uniform(0, room)) for room in (width - w, height - h))
        piece = cv2.resize(photo[y : y + h, x : x + w], size, interpolation=cv2.INTER_AREA)
        data = cv2.imencode(".jpg", piece, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
        yield f"{number // 500:02}/{number:06}.jpg", data[:-200] if number % 100 == 99 else data


@contextmanager
def bucket(count: int) -> Iterator[str]:
    """The address of a bucket with that many pictures below photos/."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    os.environ |= {"AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nothing"}
    os.environ |= {"AWS_DEFAULT_REGION": "us-east-1"}
    words = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 120
        while not answers(url) and time.monotonic() < until:
            time.sleep(0.2)
        fs = fsspec.filesystem("s3")
        fs.mkdir("wholebody")
        fs.pipe({f"wholebody/photos/{name}": data for name, data in pictures(count)})
        yield "s3://wholebody"
    finally:
        server.kill()
        server.wait()


def answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except (urllib.error.URLError, ConnectionError):
        return False
    return True


def rows(output: str) -> pa.Table | None:
    """All rows, sorted; None before there are any."""
    fs = fsspec.filesystem("s3")
    fs.invalidate_cache()
    files = fs.glob(f"{output}/*.parquet")
    if not files:
        return None
    return pq.read_table(files, filesystem=fs).sort_by([("id", "ascending"), ("person", "ascending")])


def each_once(address: str, table: pa.Table) -> bool:
    """Whether every picture of the bucket is there, and no row twice."""
    names = {path.partition("/photos/")[2] for path in fsspec.filesystem("s3").find(f"{address}/photos")}
    people = list(zip(table["id"].to_pylist(), table["person"].to_pylist(), strict=True))
    return {name for name, _ in people} == names and len(people) == len(set(people))


# --- Kills ------------------------------------------------------------------------------------------------------------


def child(source: str, output: str, detector: str) -> None:
    """One life: says how many pictures are done in it."""

    def tell(tally: Tally) -> None:
        print(tally.done, flush=True)

    run(source, output, Settings("fast", detector, threads=1), part=PART, watch=tell)


def life(source: str, output: str, detector: str, count: int | None, delay: float = 0) -> int:
    """A run in a process of its own, killed `delay` seconds after that many pictures; its exit status."""
    words = [sys.executable, __file__, "child", source, output, "--detector", detector]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if count is not None and int(line) >= count:
                time.sleep(delay)
                process.kill()
                break
    return process.returncode


def killed(count: int, kills: int, detector: str) -> bool:
    with bucket(count) as address:
        source, whole, broken = (f"{address}/{name}" for name in ("photos", "whole", "broken"))
        started = time.perf_counter()
        assert life(source, whole, detector, None) == 0
        print(f"without a break: {time.perf_counter() - started:.0f} s", flush=True)
        rng = random.Random(0)
        for number in range(kills):
            # Half of the kills are close to the moment when a part is written.
            share = int(1.5 * count / (kills + 1))
            at = PART * rng.randint(1, 2) if number % 2 else rng.randint(8, max(share, 8))
            status = life(source, broken, detector, at, rng.uniform(0, 0.3))
            there = rows(broken)
            done = 0 if there is None else len(set(there["id"].to_pylist()))
            print(f"life {number + 1}: killed after {at} pictures ({status}); {done} ids are there", flush=True)
        assert life(source, broken, detector, None) == 0
        expected, found = rows(whole), rows(broken)
        assert expected is not None and found is not None
        once, same = each_once(address, found), found.equals(expected)
        errors = found.num_rows - found["error"].null_count
    print(f"{found.num_rows} rows, {errors} of them errors; each id once: {once}; rows equal: {same}")
    return once and same


# --- Workers ----------------------------------------------------------------------------------------------------------


def workers(count: int, detector: str) -> bool:
    import ray

    from wholebody.batch.ray import run as run_on_ray

    settings = Settings("fast", detector, threads=1, precision="fp32")
    tables, lines = [], []
    with bucket(count) as address:
        source = f"{address}/photos"
        for name, number in (("one process", 0), ("Ray", 1), ("Ray", 2)):
            output = f"{address}/{name.replace(' ', '-')}-{number}"
            before = os.times()
            if number:
                tally = run_on_ray(source, output, settings, workers=number, part=PART)
                ray.shutdown()
            else:
                tally = run(source, output, settings, readers=1, part=PART)
            load = os.getloadavg()[0]
            table = rows(output)
            assert table is not None
            tables.append(table)
            own = sum(os.times()[:4]) - sum(before[:4])
            speed = tally.done / tally.seconds
            lines.append(f"| {name} | {max(number, 1)} | {tally.seconds:.0f} | {speed:.1f} | {load:.1f} |")
            print(lines[-1], f"{own:.0f} s of processor in this process and its own", flush=True)
        once = all(each_once(address, table) for table in tables)
    same = all(apart(tables[0], table) for table in tables[1:])
    print("| engine | workers | s | pictures/s | load |\n|---|---:|---:|---:|---:|", *lines, sep="\n")
    print(f"each id once: {once}; the same rows: {same}")
    return once and same


def apart(one: pa.Table, other: pa.Table) -> bool:
    """Whether two tables have the same rows; prints how far apart points and scores are at most."""
    names = ["id", "error", "width", "height", "people", "person"]
    if not one.select(names).equals(other.select(names)):
        return False
    points, others = (
        np.stack([row for row in table["keypoints"].to_pylist() if row is not None]).reshape(-1, 133, 3)
        for table in (one, other)
    )
    pixels, scores = (np.abs(points - others)[..., part].max() for part in (slice(2), 2))
    print(f"points at most {pixels:.2g} px apart, scores {scores:.2g}")
    return bool(pixels < 1e-2 and scores < 1e-3)


# --- Cost -------------------------------------------------------------------------------------------------------------


def cost(rounds: int = 5) -> bool:
    """Processor time of a picture on one thread, in ms; the least of the rounds."""
    from wholebody.batch.decode import GROUP, decode
    from wholebody.batch.estimate import BatchEstimator
    from wholebody.batch.sources import Item

    photo = cv2.imread(str(PHOTO))
    print("| step | picture | ms |\n|---|---|---:|")
    for size in ((photo.shape[1], photo.shape[0]), (192, 256)):
        data = cv2.imencode(".jpg", cv2.resize(photo, size), [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
        about = f"{size[0]} x {size[1]}, {len(data) / 1e3:.0f} kB, one person"
        group = [Item(f"{n}", data=data) for n in range(GROUP)]
        ready, _ = decode(group)
        steps = {"decode": lambda group=group: decode(group)}
        for pose in ("fast", "wholebody-133"):
            for detector, what in (("person", "detector and "), ("none", "")):
                estimator = BatchEstimator.open(Settings(pose, detector, threads=1))
                steps[f"{what}{pose}"] = lambda e=estimator, ready=ready: e(ready)
        for name, step in steps.items():
            times = []
            for _ in range(rounds + 1):
                before = time.process_time()
                step()
                times.append((time.process_time() - before) / GROUP * 1e3)
            print(f"| {name} | {about} | {min(times[1:]):.1f} |", flush=True)
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("killed", "workers", "cost", "child"))
    parser.add_argument("addresses", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--detector", default="person", help="none takes each picture as one person")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    match options.what:
        case "child":
            child(*options.addresses, options.detector)
            return 0
        case "killed":
            good = killed(options.pictures, options.kills, options.detector)
        case "workers":
            good = workers(options.pictures, options.detector)
        case _:
            good = cost()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
