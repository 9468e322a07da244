"""Videos beside rtmlib's PoseTracker: decode, detect, estimate, track and draw, with the same networks, in one run.

    python runs/video/speed.py ../shared/real/demo/*.mp4 --threads 1 2 [--out FILE]      # needs rtmlib, onnx, openvino

Both packages run the bundled networks; rtmlib gets them with its own input in front (a transposition and a cast in the
graph). With one thread the process is bound to one core. Contestants take turns, on the first `--frames` frames of each
clip and of a crowd: one to nine copies of the sample photo's passer-by who walk.

  rtmlib               PoseTracker as it comes: detector on every frame, default session options but for the threads
  rtmlib, k = 8        detector on every 8th frame
  rtmlib OV            both on OpenVINO, with the options rtmlib gives it, under which it computes in bf16 where it can
  ours fp32            `wholebody predict` in float32: at least every 8th frame, short chunks of frames together
  ours fp32, low       frame by frame
  ours fp32, k = 1     detector on every frame
  ours bf16            on OpenVINO
  ours, default        precision auto, which is what `wholebody predict` does unless told otherwise

Ratios are rtmlib's time over ours, the same precision and k = 8 on both sides, or the defaults of both. They are of
medians, by processor time unless `--clock wall` is given, as it should be on an idle machine; in brackets, for a person
found: rtmlib loses some between two detections, and their time with them. "people" is how many rtmlib finds in a frame
as it comes, with k = 8, and ours. "rest" is the processor
time of ours fp32 outside its networks: the same run with their recorded answers in their place. "floor" is the time
that the multiplications of the networks would take at the measured float32 peak of one core (numpy's matrix product)
times the threads, for the runs of the networks that ours made.

A second table times the pose network alone, both given the same boxes.
"""

import argparse
import contextlib
import io
import os
import sys
import tempfile
import time
from contextlib import closing
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime as ort
import openvino
from onnx import TensorProto, helper, shape_inference
from rich import box
from rich.console import Console
from rich.table import Table
from rtmlib import YOLOX as TheirYOLOX
from rtmlib import PoseTracker, RTMPose, draw_skeleton

import wholebody
from wholebody import WholeBody, draw, read_image, video, weights
from wholebody.pose.detect import YOLOX
from wholebody.pose.topdown import TopDown
from wholebody.runtime.choose import open_session
from wholebody.runtime.ov import computes_bf16
from wholebody.tracking.pipeline import Follower, follow
from wholebody.video.frame import Frame


def twin(path, target, outputs=None):
    """The same network with an input (N, 3, h, w) float32, as rtmlib gives it."""
    model = onnx.load(str(path))
    given = model.graph.input[0]
    n, h, w, c = (d.dim_param or d.dim_value for d in given.type.tensor_type.shape.dim)
    new = helper.make_tensor_value_info("input", TensorProto.FLOAT, [n, c, h, w])
    front = [
        helper.make_node("Transpose", ["input"], ["input_nhwc"], perm=[0, 2, 3, 1]),
        helper.make_node("Cast", ["input_nhwc"], [given.name], to=TensorProto.UINT8),
    ]
    nodes = [*front, *model.graph.node]
    del model.graph.node[:], model.graph.input[:]
    model.graph.node.extend(nodes)
    model.graph.input.append(new)
    if outputs:
        kept = [output for name in outputs for output in model.graph.output if output.name == name]
        del model.graph.output[:]
        model.graph.output.extend(kept)
    onnx.save(model, str(target))
    return str(target)


WIDE = (352, 576)  # the input of a detector that takes any size, for a picture of 16:9


def macs(path):
    """Multiplications of one picture or crop in convolutions and matrix products."""
    model = onnx.load(str(path))
    dims = model.graph.input[0].type.tensor_type.shape.dim
    for dim, side in zip(dims, (1, *WIDE, 3), strict=True):
        if not dim.dim_value:
            dim.dim_value = side
    graph = shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in (*graph.value_info, *graph.output)}
    shapes |= {i.name: list(i.dims) for i in graph.initializer}
    made = {output: node for node in graph.node for output in node.output}

    def weight(name):
        """The shape of a constant, also behind casts and the like."""
        while name in made and name not in shapes:
            name = made[name].input[0]
        return shapes.get(name, [])

    total = 0
    for node in graph.node:
        out = shapes.get(node.output[0], [])
        if node.op_type == "Conv":
            total += int(np.prod(out) * np.prod(weight(node.input[1])[1:]))
        elif node.op_type in ("MatMul", "Gemm") and weight(node.input[0]):
            total += int(np.prod(out) * weight(node.input[0])[-1])
    return total


def peak():
    """Multiplications with addition a second on one core, by processor time."""
    a = np.random.default_rng(0).random((1024, 1024), np.float32)
    best = np.inf
    for _ in range(10):
        started = time.process_time()
        a @ a
        best = min(best, time.process_time() - started)
    return 1024**3 / best


class Watched:
    """A session whose crops are counted and whose answers are noted; `replay` gives them again without computing."""

    def __init__(self, session):
        self.session, self.items, self.noted, self.replay = session, 0, [], None

    def __getattr__(self, name):
        return getattr(self.session, name)

    def __call__(self, batch, outputs=None):
        if self.replay is not None:
            return next(self.replay)
        result = self.session(batch, outputs)
        self.items += len(batch)
        self.noted.append(result)
        return result


def rtmlib_networks(pose, detector, threads, backend):
    """rtmlib's own classes with as many threads as we have; it has no option for that."""
    made = TopDown(open_session(weights.find("wholebody-133", kind="pose"), "cpu")).codec.input_size
    finder = YOLOX(open_session(weights.find("person", kind="detector"), "cpu"))
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    with contextlib.redirect_stdout(io.StringIO()):
        pose_model = RTMPose(pose, model_input_size=made, mean=None, std=None)
        det_model = TheirYOLOX(detector, model_input_size=finder.size[::-1], score_thr=finder.least)
    for model, path in ((pose_model, pose), (det_model, detector)):
        model.backend = backend
        if backend == "onnxruntime":
            model.session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
            continue
        how = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
        model.compiled_model = openvino.Core().compile_model(path, "CPU", how)
        model.input_layer = model.compiled_model.input(0)
        model._ov_outputs = list(model.compiled_model.outputs)
    return pose_model, det_model


def theirs(files, threads, every, backend="onnxruntime"):
    pose_model, det_model = rtmlib_networks(*files, threads, backend)
    solution = type(
        "Solution", (), {"det_model": det_model, "pose_model": pose_model, "__init__": lambda self, **_: None}
    )
    with contextlib.redirect_stdout(io.StringIO()):
        tracker = PoseTracker(solution, det_frequency=every)

    def run(path, frames):
        tracker.reset()
        capture, people = cv2.VideoCapture(str(path)), 0
        for _ in range(frames):
            there, image = capture.read()
            if not there:
                break
            keypoints, scores = tracker(image)
            people += len(keypoints)
            if len(keypoints):
                draw_skeleton(image.copy(), keypoints, scores, kpt_thr=0.3)
        return people

    return run


class Ours:
    """`wholebody predict` but for the encoding."""

    def __init__(self, threads, device, precision, every=8, latency="high"):
        self.pose, self.found = (
            Watched(open_session(weights.find(name, kind=kind), device, threads, precision))
            for name, kind in (("wholebody-133", "pose"), ("person", "detector"))
        )
        self.model = WholeBody(TopDown(self.pose), YOLOX(self.found))
        self.every, self.latency = every, latency

    def __call__(self, path, frames):
        for each in (self.pose, self.found):
            each.items, each.noted = 0, []
        people = 0
        # Cut off before the pipeline, which would otherwise have worked on frames that nobody counts.
        frames_in = islice(video.read(path), frames)
        with closing(follow(frames_in, Follower(self.model, self.every, latency=self.latency))) as followed:
            for frame, poses in followed:
                draw.skeleton(frame.image, poses)
                people += len(poses)
        return people

    def rest(self, path, frames):
        """Processor seconds of the last run without its networks."""
        noted = [(each, each.noted) for each in (self.pose, self.found)]
        for each, answers in noted:
            each.replay = iter(answers)
        started = time.process_time()
        self(path, frames)
        for each, _ in noted:
            each.replay = None
        return time.process_time() - started


REPEATS = 3


def pose_alone(files, threads, counts, rounds):
    """Rows: people, then for float32 and for OpenVINO both sides' milliseconds and the ratio."""
    image = np.random.default_rng(0).integers(0, 256, (720, 1280, 3), np.uint8)
    path = weights.find("wholebody-133", kind="pose")
    sides = {
        "rtmlib": rtmlib_networks(*files, threads, "onnxruntime")[0],
        "ours fp32": TopDown(open_session(path, "cpu", threads)),
        "rtmlib OV": rtmlib_networks(*files, threads, "openvino")[0],
        "ours OV": TopDown(open_session(path, "openvino", threads, "auto" if not computes_bf16() else "bf16")),
        "ours, default": TopDown(open_session(path, "auto", threads, "auto")),
    }
    for n in counts:
        boxes = np.array([[100 * i + 20, 60, 100 * i + 180, 600] for i in range(n)], np.float32)
        times = {side: [] for side in sides}
        for turn in range(-1, rounds * 3):
            for side in (*list(sides)[turn % 5 :], *list(sides)[: turn % 5]):
                # Threads of rtmlib's session look out for work for a while after it, on the cores of whoever is next.
                sides[side](image, boxes)
                started = clocks()
                for _ in range(REPEATS):
                    sides[side](image, boxes)
                if turn >= 0:
                    times[side].append((clocks() - started) / REPEATS)
        yield n, {side: np.median(rows, axis=0) * 1e3 for side, rows in times.items()}


def clocks():
    """Seconds by the clock and of the processor."""
    return np.array([time.perf_counter(), time.process_time()])


def crowd(path, count, frames):
    """A clip of copies of the sample photo's passer-by, who walk to and fro."""
    photo = read_image(Path(wholebody.__file__).with_name("sample.jpg"))
    x0, y0, x1, y1 = WholeBody()(photo).boxes[0].round().astype(int)
    margin = (y1 - y0) // 8
    cut = photo[max(y0 - margin, 0) : y1 + margin, max(x0 - margin, 0) : x1 + margin]
    columns = min(count, 5)
    height = 640 if count == 1 else 500 if count < 6 else 340
    tile = cv2.resize(cut, (min(cut.shape[1] * height // cut.shape[0], 1280 // columns - 20), height))

    def images():
        for n in range(frames):
            image = np.full((720, 1280, 3), 110, np.uint8)
            for i in range(count):
                row, column = divmod(i, columns)
                x = column * 1280 // columns + round(10 * (1 + np.sin(n / 8 + i)))
                image[row * 360 + 10 : row * 360 + 10 + height, x : x + tile.shape[1]] = tile
            yield Frame(n / 25, image)

    video.write(path, images(), 25)
    return path


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="*", type=Path)
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--people", nargs="*", type=int, default=[1, 4, 9])
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clock", choices=("wall", "processor"), default="processor", help="what ratios are of")
    parser.add_argument("--out", type=Path, help="a file for the tables in Markdown")
    options = parser.parse_args()
    column = ("wall", "processor").index(options.clock)
    folder = Path(tempfile.mkdtemp())
    paths = {kind: weights.find(name, kind=kind) for kind, name in (("pose", "wholebody-133"), ("detector", "person"))}
    twins = (
        twin(paths["pose"], folder / "pose.onnx", ("simcc_x", "simcc_y")),
        twin(paths["detector"], folder / "det.onnx"),
    )
    work = [macs(paths["pose"]), macs(paths["detector"])]
    clips = {path.stem: path for path in options.clips}
    clips |= {f"crowd of {n}": crowd(folder / f"crowd{n}.mp4", n, options.frames) for n in options.people}
    console = Console(width=400, record=True)
    console.print(f"pose {work[0] / 1e9:.2f}, detector {work[1] / 1e9:.2f} thousand million multiplications\n")
    cores = sorted(os.sched_getaffinity(0))
    for threads in options.threads:
        os.sched_setaffinity(0, cores[:threads])
        cv2.setNumThreads(threads)
        sides = {
            "rtmlib": theirs(twins, threads, 1),
            "rtmlib, k = 8": theirs(twins, threads, 8),
            "rtmlib OV": theirs(twins, threads, 1, "openvino"),
            "rtmlib OV, k = 8": theirs(twins, threads, 8, "openvino"),
            "ours fp32": Ours(threads, "cpu", "fp32"),
            "ours fp32, low": Ours(threads, "cpu", "fp32", latency="low"),
            "ours fp32, k = 1": Ours(threads, "cpu", "fp32", every=1),
            "ours bf16": Ours(threads, "openvino", "bf16" if computes_bf16() else "fp32"),
            "ours, default": Ours(threads, "auto", "auto"),
        }
        ratios = {
            "k = 8, fp32": ("rtmlib, k = 8", "ours fp32"),
            "k = 1, fp32": ("rtmlib", "ours fp32, k = 1"),
            "k = 8, OpenVINO": ("rtmlib OV, k = 8", "ours bf16"),
            "defaults": ("rtmlib", "ours, default"),
            "defaults, OpenVINO": ("rtmlib OV", "ours, default"),
        }
        title = f"{threads} threads: {options.clock} milliseconds a frame; x: rtmlib's over ours"
        table = Table("clip", "people", *sides, *(f"{name} x" for name in ratios), "rest", "floor", title=title)
        table.box = box.MARKDOWN
        fastest = peak() * threads
        for name, path in clips.items():
            times, seen = {side: [] for side in sides}, {}
            frames = min(options.frames, sum(1 for _ in video.read(path)))
            for turn in range(-1, options.rounds):  # the first only warms up
                shift = turn * 4 % len(sides)
                for side in (*list(sides)[shift:], *list(sides)[:shift]):
                    started = clocks()
                    seen[side] = sides[side](path, frames)
                    if turn >= 0:
                        times[side].append((clocks() - started) * 1e3 / frames)
            ours = sides["ours fp32"]
            floor = float(np.dot((ours.pose.items, ours.found.items), work)) / fastest * 1e3 / frames
            rest = ours.rest(path, frames) * 1e3 / frames
            middle = {side: float(np.median(rows, axis=0)[column]) for side, rows in times.items()}
            print(threads, name, {s: np.round(rows, 1).tolist() for s, rows in times.items()}, file=sys.stderr)
            compared = [(middle[a] / middle[b], a, b) for a, b in ratios.values()]
            table.add_row(
                name,
                " / ".join(f"{seen[side] / frames:.1f}" for side in ("rtmlib", "rtmlib, k = 8", "ours fp32")),
                *(f"{value:.1f}" for value in middle.values()),
                *(f"{x:.2f} ({x * seen[b] / max(seen[a], 1):.2f})" for x, a, b in compared),
                f"{rest:.1f}",
                f"{floor:.1f}",
            )
        console.print(table)
        title = f"{threads} threads, the pose network alone: {options.clock} milliseconds for all people"
        names = ("rtmlib", "ours fp32", "fp32 x", "rtmlib OV", "ours OV", "OpenVINO x", "ours, default")
        alone = Table("people", *names, title=title, box=box.MARKDOWN)
        for n, rows in pose_alone(twins, threads, options.people, options.rounds):
            ms = {side: float(row[column]) for side, row in rows.items()}
            first, second = ms["rtmlib"] / ms["ours fp32"], ms["rtmlib OV"] / ms["ours OV"]
            shown = (ms["rtmlib"], ms["ours fp32"], first, ms["rtmlib OV"], ms["ours OV"], second, ms["ours, default"])
            alone.add_row(str(n), *(f"{value:.2f}" for value in shown))
        console.print(alone)
    if options.out:
        options.out.write_text("\n".join(line.rstrip() for line in console.export_text().splitlines()) + "\n")


if __name__ == "__main__":
    main()
