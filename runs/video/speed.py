"""Videos beside rtmlib's PoseTracker: decode, detect, estimate, track and draw, with the same networks, in one run.

    python runs/video/speed.py ../shared/real/demo/*.mp4 --threads 1 2      # needs rtmlib, onnx

Both packages run the bundled networks with ONNX Runtime in float32; rtmlib gets them with its own input in front (a
transposition and a cast in the graph). With one thread the process is bound to one core. Contestants take turns, on
the first `--frames` frames of each clip and of a crowd: one to nine copies of the sample photo's passer-by who walk.

  rtmlib            PoseTracker as it comes: detector on every frame, default session options but for the threads
  rtmlib, k = 8     detector on every 8th frame
  ours              `wholebody predict`'s defaults: at least every 8th frame, short chunks of frames together
  ours, low         frame by frame
  ours, k = 1       detector on every frame

"floor" is the time that the multiplications of the networks would take at the measured peak of one core (numpy's
float32 matrix product) times the threads, for the runs of the networks that "ours" made.
"""

import argparse
import contextlib
import io
import os
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, shape_inference
from rich import box
from rich.console import Console
from rich.table import Table
from rtmlib import YOLOX as TheirYOLOX
from rtmlib import PoseTracker, RTMPose, draw_skeleton

from wholebody import WholeBody, draw, read_image, video, weights
from wholebody.detect import YOLOX
from wholebody.estimate import TopDown
from wholebody.pipeline import Follower, follow
from wholebody.runtime import open_session
from wholebody.video import Frame


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


def macs(path):
    """Multiplications of one picture or crop in convolutions and matrix products."""
    model = onnx.load(str(path))
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
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
    """Multiplications with addition a second on one core."""
    a = np.random.default_rng(0).random((1024, 1024), np.float32)
    best = np.inf
    for _ in range(10):
        started = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - started)
    return 1024**3 / best


class Watched:
    """A session whose runs and crops are counted and timed."""

    def __init__(self, session):
        self.session, self.seconds, self.items = session, 0.0, 0

    def __getattr__(self, name):
        return getattr(self.session, name)

    def __call__(self, batch, outputs=None):
        started = time.perf_counter()
        result = self.session(batch, outputs)
        self.seconds += time.perf_counter() - started
        self.items += len(batch)
        return result


def theirs(pose, detector, threads, every):
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    made = TopDown(open_session(weights.find("wholebody-133", kind="pose"), "cpu")).codec.input_size
    finder = YOLOX(open_session(weights.find("person", kind="detector"), "cpu"))
    with contextlib.redirect_stdout(io.StringIO()):
        pose_model = RTMPose(pose, model_input_size=made, mean=None, std=None)
        det_model = TheirYOLOX(detector, model_input_size=finder.size[::-1], score_thr=finder.least)
        for model, path in ((pose_model, pose), (det_model, detector)):
            model.session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        solution = type(
            "Solution", (), {"det_model": det_model, "pose_model": pose_model, "__init__": lambda self, **_: None}
        )
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
        return people, 0.0, (0, 0)

    return run


def ours(threads, every=8, latency="high"):
    pose = Watched(open_session(weights.find("wholebody-133", kind="pose"), "cpu", threads))
    found = Watched(open_session(weights.find("person", kind="detector"), "cpu", threads))
    model = WholeBody(TopDown(pose), YOLOX(found))

    def run(path, frames):
        for each in (pose, found):
            each.seconds, each.items = 0.0, 0
        people = 0
        with closing(follow(video.read(path), Follower(model, every, latency=latency))) as followed:
            for n, (frame, poses) in enumerate(followed, 1):
                draw.skeleton(frame.image, poses)
                people += len(poses)
                if n == frames:
                    break
        return people, pose.seconds + found.seconds, (pose.items, found.items)

    return run


def crowd(path, count, frames):
    """A clip of copies of the sample photo's passer-by, who walk to and fro."""
    photo = read_image(Path(draw.__file__).parent / "sample.jpg")
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
    parser = argparse.ArgumentParser()
    parser.add_argument("clips", nargs="*", type=Path)
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--people", nargs="*", type=int, default=[1, 4, 9])
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    paths = {kind: weights.find(name, kind=kind) for kind, name in (("pose", "wholebody-133"), ("detector", "person"))}
    twins = (
        twin(paths["pose"], folder / "pose.onnx", ("simcc_x", "simcc_y")),
        twin(paths["detector"], folder / "det.onnx"),
    )
    work = [macs(paths["pose"]), macs(paths["detector"])]
    clips = {path.stem: path for path in options.clips}
    clips |= {f"crowd of {n}": crowd(folder / f"crowd{n}.mp4", n, options.frames) for n in options.people}
    console = Console(width=170)
    console.print(f"pose {work[0] / 1e9:.2f}, detector {work[1] / 1e9:.2f} thousand million multiplications")
    cores = sorted(os.sched_getaffinity(0))
    for threads in options.threads:
        os.sched_setaffinity(0, cores[:threads])
        cv2.setNumThreads(threads)
        sides = {
            "rtmlib": theirs(*twins, threads, 1),
            "rtmlib, k = 8": theirs(*twins, threads, 8),
            "ours": ours(threads),
            "ours, low": ours(threads, latency="low"),
            "ours, k = 1": ours(threads, every=1),
        }
        columns = ("clip", "people", *sides, "default x", "k = 8 x", "network", "floor")
        table = Table(
            *columns, title=f"{threads} threads: milliseconds a frame; x: rtmlib's over ours", box=box.MARKDOWN
        )
        fastest = peak() * threads
        for name, path in clips.items():
            times, seen = {side: [] for side in sides}, {}
            inside, floor = 0.0, 0.0
            frames = min(options.frames, sum(1 for _ in video.read(path)))
            for turn in range(options.rounds):
                for side in (*list(sides)[turn % 5 :], *list(sides)[: turn % 5]):
                    started = time.perf_counter()
                    seen[side], network, items = sides[side](path, frames)
                    times[side].append((time.perf_counter() - started) * 1e3 / frames)
                    if side == "ours":
                        inside = network * 1e3 / frames
                        floor = float(np.dot(items, work)) / fastest * 1e3 / frames
            middle = {side: float(np.median(rows)) for side, rows in times.items()}
            print(threads, name, {side: [round(t, 1) for t in rows] for side, rows in times.items()}, file=sys.stderr)
            table.add_row(
                name,
                " / ".join(f"{seen[side] / frames:.1f}" for side in ("rtmlib", "rtmlib, k = 8", "ours")),
                *(f"{value:.1f}" for value in middle.values()),
                f"{middle['rtmlib'] / middle['ours']:.2f}",
                f"{middle['rtmlib, k = 8'] / middle['ours']:.2f}",
                f"{inside:.1f}",
                f"{floor:.1f}",
            )
        console.print(table)


if __name__ == "__main__":
    main()
