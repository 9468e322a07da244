"""`wholebody evaluate`, `wholebody compare` and `wholebody bench`."""

from pathlib import Path
from typing import Annotated

import tyro

from wholebody.choices import Device, Precision
from wholebody.console import progress


def evaluate(
    model: Annotated[str, tyro.conf.Positional],
    /,
    annotations: Path,
    images: Path,
    boxes: str = "gt",
    output: Path = Path("evaluation"),
    detector: str = "person",
    flip: bool = False,
    batch: int = 32,
    mapping: Path | None = None,
    device: Device = "auto",
    precision: Precision = "fp32",
    threads: int | None = None,
) -> int:
    """Measure a pose network on a labelled set: AP and AR of COCO-WholeBody, OKS and PCK, each with its interval.

    "wholebody evaluate wholebody-133 --annotations val.json --images photos" takes the labelled boxes.

    "wholebody evaluate dwpose-l-384 --annotations coco_wholebody_val_v1.0.json --images val2017 --flip
    --boxes COCO_val2017_detections_AP_H_56_person.json" is the protocol of the papers.

    Writes results.json, predictions.json and report.html, with the worst people and some at random. A run that was
    killed goes on when started again.

    Args:
        model: A name from `wholebody models`, or an .onnx, .pth or .safetensors file; 17 or 133 keypoints.
        annotations: COCO-WholeBody, COCO, Halpe or the like as JSON; or UBody's folder, for its test videos.
        images: Folder of the pictures.
        boxes: gt for the labelled boxes, detect for a detector's, or a file of COCO detections.
        output: Folder for the results.
        detector: The detector of --boxes detect.
        flip: Average with the mirror image.
        batch: Most people in one run of the network.
        mapping: For keypoints of another order: a table of lines "their name -> our name", or the same as JSON.
        device: What to compute on.
        precision: On a processor: fp32, bf16 (OpenVINO), int8, or the fastest here.
        threads: CPU threads; all cores by default.
    """
    from wholebody.evaluate.run import Options, evaluate_model

    options = Options(
        model, annotations, images, output, boxes, detector, flip, batch, mapping, device, precision, threads
    )
    return evaluate_model(options, lambda total: progress("pictures", total))


def compare(
    annotations: Path,
    images: Path,
    output: Path = Path("comparison"),
    models: tuple[str, ...] = ("wholebody-133",),
    devices: tuple[str, ...] = ("cpu",),
    rtmlib: tuple[str, ...] = (),
    run: tyro.conf.UseAppendAction[tuple[str, ...]] = (),
    results: tyro.conf.UseAppendAction[tuple[str, ...]] = (),
    boxes: str = "gt",
    threads: int = 1,
    precisions: tuple[Precision, ...] = ("fp32",),
    mapping: Path | None = None,
) -> int:
    """Measure several estimators on the same pictures, boxes and threads, in one run: accuracy and time.

    "wholebody compare --annotations labels.json --images photos --models wholebody-133 other.onnx
    --run 'MediaPipe=python holistic.py {annotations} {images} {out}' --results HRNet=hrnet.json"

    Writes compare.md, compare.json and compare.svg. The published figures of the systems of the paper's table stand
    beside what was measured.

    Args:
        annotations: Labels as `wholebody evaluate` reads them.
        images: Folder of the pictures.
        output: Folder for the results.
        models: Networks of ours: names, or .onnx, .pth or .safetensors files.
        devices: What to compute ours on, each a row: cpu, cuda and the like, as `wholebody doctor` lists them.
        rtmlib: The same for rtmlib's own code: .onnx files in the released layout.
        run: NAME=COMMAND, may be repeated. The command reads the boxes from {annotations} (COCO's layout) and the
            pictures from {images}, and writes COCO-WholeBody results to {out}; {threads} is their number.
        results: NAME=FILE, may be repeated: COCO-WholeBody results made elsewhere.
        boxes: gt for the labelled boxes, or a file of COCO detections (for models and rtmlib).
        threads: CPU threads of the networks.
        precisions: What each of ours computes in, fp32, bf16 (OpenVINO) or int8: each of them takes part.
        mapping: For keypoints of another order: a table of lines "their name -> our name", or the same as JSON.
    """
    from wholebody.evaluate.compare import compare as measure
    from wholebody.evaluate.entrant import Options

    options = Options(
        annotations, images, output, models, devices, rtmlib, run, results, boxes, threads, precisions, mapping
    )
    return measure(options, lambda total: progress("estimators", total))


def bench_image(
    pose: str = "t",
    detector: str = "nano",
    people: tuple[int, ...] = (1, 4, 9),
    threads: tuple[int, ...] = (1, 2),
    rounds: int = 15,
    starts: int = 5,
    plot: Path | None = None,
) -> int:
    """Time one picture beside rtmlib, with the same networks and threads, in turns within one run.

    Needs rtmlib ("pip install --no-deps rtmlib"), and the train extra to make networks with random weights.

    Args:
        pose: A size (t, s, m, l, x) with random weights, or a name or an .onnx file in the released layout.
        detector: The same: nano, tiny, s, m, l, x.
        people: Numbers of people.
        threads: Numbers of CPU threads.
        rounds: How often each is timed; medians are printed.
        starts: How often a fresh process is timed to its first result.
        plot: An SVG of the time against the number of people, for the last number of threads.
    """
    from wholebody.evaluate.speed import image, tables
    from wholebody.files import replacing

    report = image.bench_image(pose, detector, people=people, threads=threads, rounds=rounds, starts=starts)
    tables.print_report(report)
    if plot:
        with replacing(plot) as path:
            path.write_text(tables.plot(report, threads[-1]), encoding="utf-8")
    return 0


def bench_precision(
    models: tuple[str, ...] = ("wholebody-133", "person"),
    batches: tuple[int, ...] = (1, 4),
    threads: tuple[int, ...] = (1, 2),
    rounds: int = 20,
) -> int:
    """Time networks in each precision and runtime that is here, in turns within one run, and say which is fastest.

    Args:
        models: Names from `wholebody models`, or .onnx files.
        batches: How many crops or pictures at once.
        threads: Numbers of CPU threads.
        rounds: How often each is timed; medians are printed.
    """
    from wholebody.console import stdout_console
    from wholebody.evaluate.speed.precision import table, time_precisions
    from wholebody.pose.load import onnx_file
    from wholebody.weights.manifest import MANIFEST

    console = stdout_console()
    for name in models:
        path = onnx_file(name, MANIFEST[name].kind if name in MANIFEST else "pose")
        for count in threads:
            console.print(table(f"{name}, {count} threads", time_precisions(path, count, batches, rounds)))
    return 0
