"""`wholebody serve`."""

import math
from typing import Literal

from wholebody.choices import Device, Precision
from wholebody.commands.models import need
from wholebody.commands.options import check_port, usable_cores
from wholebody.errors import WholebodyError


def serve(
    host: str = "127.0.0.1",
    port: int = 8000,
    workers: int = 1,
    pose: str = "wholebody-133",
    detector: str = "person",
    device: Device = "auto",
    precision: Precision = "auto",
    threads: int | None = None,
    max_mb: float = 20,
    max_megapixels: float = 50,
    max_people: int = 64,
    seconds: float = 30,
    queue: int = 64,
    batch_pictures: int = 8,
    batch_people: int = 16,
    batch_wait: float = 5,
    log: Literal["debug", "info", "warning", "error"] = "info",
) -> int:
    """Serve pose estimation over HTTP, and a page that runs it in the browser (needs the serve extra).

    "wholebody serve", then "curl -F image=@photo.jpg http://127.0.0.1:8000/v1/pose". /docs has all routes.

    With WHOLEBODY_API_KEYS=one,another requests must send one of the keys. Ctrl-C and SIGTERM end it once the requests
    in progress are answered.

    Args:
        host: Address to listen on; 0.0.0.0 accepts connections from other machines.
        port: Port to listen on; 0 takes a free one.
        workers: Processes, each with its own networks. The limits are per process.
        pose: Pose network: a name from `wholebody models`, or an .onnx file.
        detector: Person detector: likewise, or none.
        device: What to compute on.
        precision: On the CPU: fp32, bf16 (OpenVINO), int8, or auto for the fastest available.
        threads: CPU threads per worker; by default the workers share all cores.
        max_mb: Largest picture file, in MiB (2^20 bytes).
        max_megapixels: Most pixels in a picture, in millions.
        max_people: Most people in a picture; the largest are kept.
        seconds: Longest time for a response.
        queue: Most requests waiting or in progress; further ones are told when to retry.
        batch_pictures: Most pictures, from any requests, in one run of the detector.
        batch_people: Most people, from any requests, in one run of the pose network.
        batch_wait: Longest wait for other requests, in milliseconds; a single request never waits.
        log: Level of the log, JSON lines on stderr.
    """
    need("fastapi", "serve")
    check_port(port)
    from wholebody.serve.engine import Batching
    from wholebody.serve.limits import Limits
    from wholebody.serve.run import Networks
    from wholebody.serve.run import serve as run

    if threads is None and workers > 1:
        threads = max(usable_cores() // workers, 1)
    for option, number, unit in (("--max-mb", max_mb, 2**20), ("--max-megapixels", max_megapixels, 1e6)):
        if not math.isfinite(number * unit):
            raise WholebodyError(f"{option} {number:g}: give a finite number above 0.")
    usual = Limits()
    size, pixels = round(max_mb * 2**20), round(max_megapixels * 1e6)
    limits = Limits(
        bytes=size,
        pixels=pixels,
        people=max_people,
        seconds=seconds,
        queue=queue,
        held_bytes=max(usual.held_bytes, 4 * size),
        held_pixels=max(usual.held_pixels, 2 * pixels),
    )
    batching = Batching(batch_pictures, batch_people, batch_wait / 1000)
    networks = Networks(pose, detector, device, precision, threads)
    run(networks, limits, batching, host, port, workers, log, lambda line: print(line, flush=True))
    return 0
