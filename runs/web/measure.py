"""Bytes and times of the page: its downloads, the cost of the first result, and a comparison with native code.

    python runs/web/measure.py          # needs Node, playwright and Chromium; prints Markdown

It measures CPU time, which still means something on a shared machine. Wall-clock times with one and two threads are
measured if the machine is idle.
"""

import contextlib
import http.server
import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import sync_playwright

from wholebody.runtime.choose import open_session

PACKAGE = Path(__file__).parents[2] / "src/wholebody"
BENCH = Path(__file__).parents[2] / "web/bench.mjs"
PHOTO = Path(__file__).parents[2] / "examples/parkour.jpg"
DETECTOR = (352, 576, 3)  # the input for the photo, here and in the browser
RUNS = 12
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]


class Host(http.server.SimpleHTTPRequestHandler):
    """The page at / and the networks under /models."""

    protocol_version = "HTTP/1.1"

    def translate_path(self, path: str) -> str:
        name = path.split("?")[0].lstrip("/")
        return str(PACKAGE / (name if name.startswith("models/") else f"serve/page/{name}"))

    def end_headers(self) -> None:
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        super().end_headers()

    def log_message(self, *_: Any) -> None:
        pass


# In the page: a worker of our own, asked what the page asks, each answer timed.
THREADS = """async ([pose, threads, runs]) => {
  const url = performance.getEntriesByType("resource").map((e) => e.name).find((n) => n.includes("/worker-"));
  const worker = new Worker(url, { type: "module" });
  const ask = (job) => new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => data.progress || (data.error ? reject(data.error) : resolve(data.result));
    worker.postMessage({ id: 1, job });
  });
  const timed = async (job) => { const t = performance.now(); await ask(job); return performance.now() - t; };
  await ask({ kind: "open", pose, base: document.baseURI, threads });
  const data = new Uint8ClampedArray(416 * 416 * 4).map((_, i) => i % 251);
  await ask({ kind: "look", image: { width: 416, height: 416, data } });
  const box = (n) => ({ box: Float32Array.of(n, n, 200 + n, 300 + n), score: 1 });
  const jobs = {
    detector: { kind: "detect", least: 1 },
    [pose]: { kind: "estimate", boxes: [box(1)] },
    [`${pose} x4`]: { kind: "estimate", boxes: [1, 2, 3, 4].map(box) },
  };
  const times = {};
  for (const [name, job] of Object.entries(jobs)) {
    const all = [];
    for (let n = 0; n < runs; n++) all.push(await timed(job));
    times[name] = Math.min(...all);
  }
  worker.terminate();
  return times;
}"""


def native() -> dict[str, float]:
    """CPU milliseconds of a run on one thread of ONNX Runtime, the best of RUNS."""
    jobs: dict[str, Any] = {}
    for name, batches in (("detector", (1,)), ("fast", (1, 4)), ("dwpose-t", (1, 4)), ("pose", (1, 4))):
        session = open_session(PACKAGE / f"models/{name}.onnx", "cpu", 1)
        outputs = ["raw"] if name == "detector" else ["keypoints", "scores"]
        for batch in batches:
            sides = DETECTOR if name == "detector" else session.inputs[0].shape[1:]
            shape = (batch, *sides)
            data = (np.arange(np.prod(shape)) % 251).astype(np.uint8).reshape(shape)
            jobs[f"{name} x{batch}"] = lambda session=session, data=data, outputs=outputs: session(data, outputs)
    return {name: min(_timed(job) for _ in range(RUNS)) for name, job in jobs.items()}


def _timed(job: Any) -> float:
    started = time.process_time()
    job()
    return 1000 * (time.process_time() - started)


def processor_seconds(profile: str) -> float:
    """Of all processes of the browser with that profile."""
    ticks, parents = {}, {}
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = (folder / "stat").read_text().rsplit(") ", 1)[1].split()
            ticks[int(folder.name)] = int(fields[11]) + int(fields[12])
            parents[int(folder.name)] = int(fields[1])
            if profile in (folder / "cmdline").read_text():
                parents[int(folder.name)] = 0
    ours = {process for process, parent in parents.items() if parent == 0 and process > 1}
    while grown := {process for process, parent in parents.items() if parent in ours} - ours:
        ours |= grown
    return sum(ticks[process] for process in ours) / os.sysconf("SC_CLK_TCK")


def visit(context: Any, address: str, profile: str) -> tuple[list[tuple[float, float]], dict[str, int]]:
    """(CPU, wall-clock) seconds until the networks are ready and until the first photo's result; the files' bytes."""
    page = context.pages[0]
    page.set_default_timeout(300_000)
    before, started, spent = processor_seconds(profile), time.monotonic(), []
    page.goto(address)
    page.wait_for_function("document.documentElement.dataset.ready")
    spent.append((processor_seconds(profile) - before, time.monotonic() - started))
    page.set_input_files("#file", PHOTO)
    page.wait_for_function(f"document.documentElement.dataset.done === '{PHOTO.name}'")
    spent.append((processor_seconds(profile) - before, time.monotonic() - started))
    # What the worker loads is not among the page's own entries.
    names = {Path(name).name for name in page.evaluate("performance.getEntriesByType('resource').map((e) => e.name)")}
    files = [*(PACKAGE / "serve/page").rglob("*"), *(PACKAGE / "models").glob("*.onnx")]
    wanted = {*names, "index.html", "detector.onnx", "pose.onnx"} | {path.name for path in files if "ort-" in path.name}
    return spent, {path.name: path.stat().st_size for path in files if path.name in wanted}


def main() -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Host)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/"
    load = os.getloadavg()[0]  # later it is the measurement's own
    print(f"{os.cpu_count()} processors, load {load:.1f} when it began\n")
    web = json.loads(subprocess.check_output(["node", str(BENCH), str(RUNS)]))
    beside = native()
    print("| crops or pictures | native, ms | wasm, ms | ratio | wasm, first run |\n|---|---|---|---|---|")
    for name, batches in web.items():
        for batch in (key for key in batches if key != "open"):
            own, best, first = beside[f"{name} x{batch}"], batches[batch]["best"], batches[batch]["first"]
            print(f"| {name}, {batch} | {own:.0f} | {best:.0f} | {best / own:.1f} | {first:.0f} |")
    with sync_playwright() as playwright, tempfile.TemporaryDirectory(prefix="wholebody-page-") as profile:
        for number in ("First", "Second"):
            context = playwright.chromium.launch_persistent_context(
                profile, executable_path=shutil.which("chromium"), headless=True, args=FLAGS
            )
            (ready, done), sizes = visit(context, address, profile)
            print(f"\n{number} visit, CPU and wall-clock seconds: ready {ready[0]:.1f}, {ready[1]:.1f};", end=" ")
            print(f"first result {done[0]:.1f}, {done[1]:.1f}.")
            if number == "Second" and load < 0.5 * (os.cpu_count() or 1):
                for pose in ("fast", "dwpose-t", "pose"):
                    for threads in (1, 2):
                        print(pose, threads, "threads:", context.pages[0].evaluate(THREADS, [pose, threads, RUNS]))
            context.close()
    print("\n| file | bytes |\n|---|---|")
    for name, size in sorted(sizes.items(), key=lambda item: -item[1]):
        print(f"| {name} | {size:,} |")
    print(f"| all | {sum(sizes.values()):,} |")
    server.shutdown()


if __name__ == "__main__":
    main()
