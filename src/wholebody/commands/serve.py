"""`wholebody serve`."""

import os
from typing import Literal

from wholebody.choices import Device, Precision
from wholebody.commands.models import need
from wholebody.commands.options import check_port


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
    """Answer pictures over HTTP with the people in them, and show a page that does the same in the browser.

    "wholebody serve" then "curl -F image=@photo.jpg http://127.0.0.1:8000/v1/pose"; /docs says more.

    WHOLEBODY_API_KEYS=one,another lets in only those who send a key. Ctrl-C and SIGTERM end it, when what was begun is
    answered. Needs the serve extra.

    Args:
        host: The address to listen at; 0.0.0.0 lets other machines in.
        port: 0 takes a free one.
        workers: Processes, each with its own networks. Limits are those of one.
        pose: Pose network: a name from `wholebody models`, or an .onnx file.
        detector: Person detector: the same, or none.
        device: What to compute on.
        precision: On a processor: fp32, bf16 (OpenVINO), int8, or the fastest here.
        threads: CPU threads of a worker; all cores, shared by the workers, by default.
        max_mb: Largest file of a picture, in MB.
        max_megapixels: Most pixels of a picture, in millions.
        max_people: Most people in a picture; the largest stay.
        seconds: Longest time for an answer.
        queue: Requests that wait or are worked on; one more is told when to come again.
        batch_pictures: Most pictures of several requests in one run of the detector.
        batch_people: Most people of several requests in one run of the pose network.
        batch_wait: Milliseconds to wait for other requests at most; who is alone never waits.
        log: What is written to stderr, as lines of JSON.
    """
    need("fastapi", "serve")
    check_port(port)
    from wholebody.serve.engine import Batching
    from wholebody.serve.limits import Limits
    from wholebody.serve.run import Networks
    from wholebody.serve.run import serve as run

    if threads is None and workers > 1:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        threads = max(cores // workers, 1)
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
