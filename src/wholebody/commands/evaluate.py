"""`wholebody evaluate`, `wholebody compare` and `wholebody bench`."""

from pathlib import Path
from typing import Annotated

import tyro

from wholebody.choices import Device, Precision
from wholebody.console import progress
from wholebody.files import check_folder

# What a report may be expected to be written to.
_REPORTS = (".json", ".html", ".csv", ".md", ".txt")


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
    strict: bool = False,
    device: Device = "auto",
    precision: Precision = "fp32",
    threads: int | None = None,
) -> int:
    """Evaluate a pose network on a labelled set: COCO-WholeBody AP and AR, OKS and PCK, with confidence intervals.

    "wholebody evaluate wholebody-133 --annotations val.json --images photos" uses the labelled boxes and no flip test,
    so its figures are not comparable with those of papers.

    "wholebody evaluate dwpose-l-384 --annotations coco_wholebody_val_v1.0.json --images val2017 --flip
    --boxes COCO_val2017_detections_AP_H_56_person.json" follows the protocol of the papers.

    Writes results.json, predictions.json and report.html, which shows the worst people and a random sample. Run it
    again to resume after an interruption.

    Args:
        model: A name from `wholebody models`, or an .onnx, .pth or .safetensors file; 17 or 133 keypoints.
        annotations: COCO-WholeBody, COCO or Halpe JSON, or similar; or UBody's folder, for its test videos.
        images: Folder of the pictures.
        boxes: "gt" for the labelled boxes, "detect" to run a detector, or a file of COCO detections.
        output: Folder for the results.
        detector: The detector for --boxes detect.
        flip: Flip test: average with the mirror image.
        batch: Largest batch, in people.
        mapping: For keypoints in a different order: a file of lines "their name -> our name", or the same as JSON.
        strict: Leave out partly damaged JPEGs, with an error, instead of warning.
        device: What to compute on.
        precision: On the CPU: fp32, bf16 (OpenVINO), int8, or auto for the fastest available.
        threads: CPU threads; all cores by default.
    """
    from wholebody.evaluate.run import EvaluateOptions, evaluate_model

    check_folder(output, _REPORTS)
    options = EvaluateOptions(
        model, annotations, images, output, boxes, detector, flip, batch, mapping, device, precision, threads, strict
    )
    return evaluate_model(options, progress)


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
    """Compare several estimators on the same pictures, boxes and threads, in one run: accuracy and speed.

    "wholebody compare --annotations labels.json --images photos --models wholebody-133 other.onnx
    --run 'MediaPipe=python holistic.py {annotations} {images} {out}' --results HRNet=hrnet.json"

    Writes compare.md, compare.json and compare.svg. Published results are listed after the measured ones.

    Args:
        annotations: Labels as `wholebody evaluate` reads them.
        images: Folder of the pictures.
        output: Folder for the results.
        models: Networks to run with this package: names, or .onnx, .pth or .safetensors files.
        devices: Devices for these, a row each: cpu, cuda and so on, as `wholebody doctor` lists them.
        rtmlib: Networks to run with rtmlib: .onnx files in the released layout.
        run: NAME=COMMAND, may be repeated. The command reads boxes from {annotations} (COCO layout) and pictures from
            {images}, and writes COCO-WholeBody results to {out}; {threads} is the number of threads.
        results: NAME=FILE, may be repeated: COCO-WholeBody results made elsewhere.
        boxes: "gt" for the labelled boxes, or a file of COCO detections (for models and rtmlib).
        threads: CPU threads per network.
        precisions: Precisions for the models, a row each: fp32, bf16 (OpenVINO), int8.
        mapping: For keypoints in a different order: a file of lines "their name -> our name", or the same as JSON.
    """
    from wholebody.evaluate.compare import compare as measure
    from wholebody.evaluate.entrant import CompareOptions

    check_folder(output, _REPORTS)
    options = CompareOptions(
        annotations, images, output, models, devices, rtmlib, run, results, boxes, threads, precisions, mapping
    )
    return measure(options, progress)


def bench_image(
    pose: str = "t",
    detector: str = "nano",
    people: tuple[int, ...] = (1, 4, 9),
    threads: tuple[int, ...] = (1, 2),
    rounds: int = 15,
    starts: int = 5,
    plot: Path | None = None,
) -> int:
    """Benchmark one picture against rtmlib: the same networks and threads, interleaved in one run.

    Needs rtmlib ("pip install --no-deps rtmlib tqdm"), and the train extra to create networks with random weights.

    Args:
        pose: A size (t, s, m, l, x) with random weights, or a name or an .onnx file in the released layout.
        detector: Likewise: nano, tiny, s, m, l, x.
        people: Numbers of people.
        threads: Numbers of CPU threads.
        rounds: Repetitions; medians are printed.
        starts: Repetitions of a cold start: a new process to its first result.
        plot: SVG file for a plot of time against the number of people, at the last number of threads.
    """
    from wholebody.evaluate.speed import image, tables
    from wholebody.files import replacing

    report = image.bench_image(pose, detector, people=people, threads=threads, rounds=rounds, starts=starts)
    tables.print_timings(report)
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
    """Benchmark networks in every precision and runtime available here, interleaved in one run.

    Args:
        models: Names from `wholebody models`, or .onnx files.
        batches: Batch sizes.
        threads: Numbers of CPU threads.
        rounds: Repetitions; medians are printed.
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
