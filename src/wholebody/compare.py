"""Several estimators on the same pictures, boxes and threads, in one run: accuracy with intervals, and time.

    wholebody compare --annotations labels.json --images photos --models wholebody-133 --rtmlib rtmpose-m.onnx
        --run "MediaPipe=peer/bin/python holistic.py {annotations} {images} {out}" --results "HRNet=hrnet.json"

Ours and rtmlib take turns picture by picture, so that what else the machine does hits all alike. Others come as a
command, which reads the labelled boxes and writes COCO-WholeBody results, or as such a file. A command may print a last
line of JSON with "seconds" on standard error; otherwise its whole run is timed, loading included.

`--output` gets compare.md, with the published figures of the systems of the paper's table beside what was measured
here, compare.json and compare.svg.
"""

import json
import shlex
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wholebody.annotations import Labels, picture_path, write_labels
from wholebody.errors import WholebodyError
from wholebody.estimate import TopDown
from wholebody.evaluate import Report, evaluate
from wholebody.files import replacing
from wholebody.formats import read_coco
from wholebody.geometry import Image
from wholebody.images import read_image
from wholebody.measure import Boxes, Estimator, Progress, as_wholebody, labelled_boxes, parts_of, read_boxes, read_set
from wholebody.plots import COLORS, Axes, text
from wholebody.poses import Floats, Poses
from wholebody.runtime import Precision, input_size, notes, open_session
from wholebody.schema import COCO_BODY, COCO_WHOLEBODY, Schema
from wholebody.weights import IMAGENET_RGB, find

PARTS = ("body", "feet", "face", "left_hand", "right_hand", "whole")


@dataclass(frozen=True)
class Published:
    """AP / AR in per cent on COCO-WholeBody v1.0 val, with detections of human AP 56.4 and flip test where top-down."""

    name: str
    size: str
    body: str = "-"
    feet: str = "-"
    face: str = "-"
    hands: str = "-"
    whole: str = "-"


# As printed in the tables of the RTMPose and DWPose papers, ViTPose+ and newer AR as in their model zoos.
PUBLISHED = (
    Published("SN", "-", "42.7 / 58.3", "9.9 / 36.9", "64.9 / 69.7", "40.8 / 58.0", "32.7 / 45.6"),
    Published("OpenPose", "-", "56.3 / 61.2", "53.2 / 64.5", "76.5 / 84.0", "38.6 / 43.3", "44.2 / 52.3"),
    Published("PAF", "512x512", "38.1 / 52.6", "5.3 / 27.8", "65.5 / 70.1", "35.9 / 52.8", "29.5 / 40.5"),
    Published("AE", "512x512", "40.5 / 46.4", "7.7 / 16.0", "47.7 / 58.0", "34.1 / 43.5", "27.4 / 35.0"),
    Published("DeepPose", "384x288", "44.4 / 56.8", "36.8 / 53.7", "49.3 / 66.3", "23.5 / 41.0", "33.5 / 48.4"),
    Published("SimpleBaseline", "384x288", "66.6 / 74.7", "63.5 / 76.3", "73.2 / 81.2", "53.7 / 64.7", "57.3 / 67.1"),
    Published("HRNet", "384x288", "70.1 / 77.3", "58.6 / 69.2", "72.7 / 78.3", "51.6 / 60.4", "58.6 / 67.4"),
    Published("PVT", "384x288", "67.3 / 76.1", "66.0 / 79.4", "74.5 / 82.2", "54.5 / 65.4", "58.9 / 68.9"),
    Published(
        "FastPose50-dcn-si", "256x192", "70.6 / 75.6", "70.2 / 77.5", "77.5 / 82.5", "45.7 / 53.9", "59.2 / 66.5"
    ),
    Published("ZoomNet", "384x288", "74.5 / 81.0", "60.9 / 70.8", "88.0 / 92.4", "57.9 / 73.4", "63.0 / 74.2"),
    Published("ZoomNAS", "384x288", "74.0 / 80.7", "61.7 / 71.8", "88.9 / 93.0", "62.5 / 74.0", "65.4 / 74.4"),
    Published("ViTPose+-S", "256x192", whole="54.4 / -"),
    Published("ViTPose+-H", "256x192", "75.9 / -", "77.9 / -", "63.6 / -", "54.7 / -", "61.2 / -"),
    Published("RTMPose-m", "256x192", "67.3 / 75.0", "61.5 / 75.2", "81.3 / 87.1", "47.5 / 58.9", "58.2 / 67.4"),
    Published("RTMPose-l", "256x192", "69.5 / 76.9", "65.8 / 78.5", "83.3 / 88.7", "51.9 / 62.8", "61.1 / 70.0"),
    Published("RTMPose-l", "384x288", "71.2 / 78.1", "69.3 / 81.1", "88.2 / 91.9", "57.9 / 67.7", "64.8 / 73.0"),
    Published("RTMPose-x", "384x288", "71.4 / -", "69.2 / -", "88.8 / -", "59.0 / -", "65.3 / 73.3"),
    Published("DWPose-t", "256x192", "58.5 / -", "46.5 / -", "73.5 / -", "35.7 / -", "48.5 / 58.4"),
    Published("DWPose-s", "256x192", "63.3 / -", "53.3 / -", "77.6 / -", "42.7 / -", "53.8 / 63.2"),
    Published("DWPose-m", "256x192", "68.5 / -", "63.6 / -", "82.8 / -", "52.7 / -", "60.6 / 69.5"),
    Published("DWPose-l", "256x192", "70.4 / -", "66.2 / -", "84.3 / -", "56.6 / -", "63.1 / 71.7"),
    Published("DWPose-l", "384x288", "72.2 / 78.9", "70.4 / 81.7", "88.7 / 92.1", "62.1 / 71.0", "66.5 / 74.3"),
)


@dataclass(eq=False)
class Entrant:
    """One estimator and what became of it.

    Attributes:
        name: in the table.
        parts: those it has points of.
        estimator: None for one that runs elsewhere.
        predictions: image id -> people.
        seconds: of each picture, for `people`; or one number for all.
        loading: whether the seconds have the start of a program in them.
    """

    name: str
    parts: tuple[str, ...] = PARTS
    estimator: Estimator | None = None
    predictions: dict[int, Poses] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    people: int = 0
    loading: bool = False

    @property
    def milliseconds(self) -> float | None:
        """For a person, all pictures together; None if nobody timed it."""
        return 1000 * sum(self.seconds) / self.people if self.people and self.seconds else None


@dataclass(frozen=True, eq=False)
class Rtmlib:
    """rtmlib's own RTMPose class on a file in the released layout, which it feeds one person at a time."""

    network: Any
    schema: Schema

    @classmethod
    def open(cls, path: Path, threads: int) -> "Rtmlib":
        import contextlib
        import io

        try:
            import onnxruntime as ort
            import rtmlib
        except ImportError as error:
            raise WholebodyError(f"no rtmlib ({error}): pip install --no-deps rtmlib tqdm") from error
        session = open_session(path, "cpu", threads)
        if session.inputs[0].dtype != "float32":
            raise WholebodyError(f"{path}: rtmlib needs the released layout: wholebody export --plain.")
        about = notes(session)
        mean, std = (about.get(name, getattr(IMAGENET_RGB, name)) for name in ("mean", "std"))
        with contextlib.redirect_stdout(io.StringIO()):  # it says that it loads
            network = rtmlib.RTMPose(
                str(path), input_size(session), mean=mean, std=std, backend="onnxruntime", device="cpu"
            )
        # It has no option for the number of threads.
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        network.session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        keypoints = session.outputs[0].shape[1]
        return cls(network, COCO_BODY if keypoints == len(COCO_BODY) else COCO_WHOLEBODY)

    def images(
        self, images: Sequence[Image], boxes: Sequence[npt.ArrayLike], box_scores: Sequence[npt.ArrayLike | None]
    ) -> list[Poses]:
        found = []
        for image, rows, scores in zip(images, boxes, box_scores, strict=True):
            given = np.asarray(rows, np.float32)
            if len(given):
                keypoints, keypoint_scores = self.network(image, bboxes=given)
                kept = np.ones(len(given), np.float32) if scores is None else np.asarray(scores, np.float32)
                found.append(Poses(keypoints, keypoint_scores, given, kept, self.schema))
            else:
                found.append(Poses.empty(self.schema))
        return found


@dataclass(frozen=True)
class Options:
    """What `wholebody compare` was asked for; `runs` and `results` are "name=value"."""

    annotations: Path
    images: Path
    output: Path
    models: tuple[str, ...] = ("wholebody-133",)
    rtmlib: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    results: tuple[str, ...] = ()
    boxes: str = "gt"
    threads: int = 1
    precisions: Sequence[Precision] = ("fp32",)
    mapping: Path | None = None


def compare(options: Options, progress: Progress) -> int:
    """Run everything, print the table, write the files.

    Raises:
        WholebodyError: a network or a file cannot be used, or a command fails.
    """
    from rich.console import Console

    labels = read_set(options.annotations, options.mapping)
    boxes = labelled_boxes(labels) if options.boxes == "gt" else read_boxes(options.boxes)
    entrants = []
    for name, precision in product(options.models, options.precisions):
        device = "openvino" if precision == "bf16" else "cpu"
        session = open_session(find(name, kind="pose"), device, options.threads, precision)
        network = TopDown(session)
        title = _title(name) if session.precision == "fp32" else f"{_title(name)}, {session.precision}"
        entrants.append(Entrant(title, parts_of(network.schema), network))
    for name in options.rtmlib:
        theirs = Rtmlib.open(find(name, kind="pose"), options.threads)
        entrants.append(Entrant(f"rtmlib, {_title(name)}", parts_of(theirs.schema), theirs))
    named = [(_pair(text), True) for text in options.runs] + [(_pair(text), False) for text in options.results]
    with progress(len(boxes) + len(options.runs)) as advance:
        side_by_side(entrants, labels, options.images, boxes, advance)
        for (name, value), is_command in named:
            entrants.append(
                run(name, value, labels, options) if is_command else Entrant(name, predictions=_read(value, labels))
            )
            advance()
    reports = {
        entrant.name: evaluate(labels, {n: as_wholebody(poses) for n, poses in entrant.predictions.items()})
        for entrant in entrants
    }
    options.output.mkdir(parents=True, exist_ok=True)
    page = markdown(entrants, reports, labels, options)
    with replacing(options.output / "compare.md") as path:
        path.write_text(page, encoding="utf-8")
    with replacing(options.output / "compare.json") as path:
        path.write_text(json.dumps(_as_json(entrants, reports), indent=1) + "\n")
    with replacing(options.output / "compare.svg") as path:
        path.write_text(plot(entrants, reports), encoding="utf-8")
    Console(width=200, soft_wrap=True).print(page.split("\n## ")[0], markup=False, highlight=False)
    return 0


def side_by_side(
    entrants: Sequence[Entrant],
    labels: Labels,
    images: str | Path,
    boxes: Boxes,
    advance: Callable[[], None] = lambda: None,
) -> None:
    """Every estimator on every picture, in turns; who begins changes from picture to picture."""
    warm = False
    for turn, number in enumerate(sorted(set(boxes) & set(labels.images))):
        image = read_image(picture_path(images, labels.images[number].file_name))
        rows, scores = boxes[number]
        if not warm:  # the first run of a network allocates its memory
            for entrant in entrants:
                _estimate(entrant, image, rows, scores)
            warm = True
        shift = turn % max(len(entrants), 1)
        for entrant in [*entrants[shift:], *entrants[:shift]]:
            started = time.perf_counter()
            entrant.predictions[number] = _estimate(entrant, image, rows, scores)
            entrant.seconds.append(time.perf_counter() - started)
            entrant.people += len(rows)
        advance()


def _estimate(entrant: Entrant, image: Image, rows: Floats, scores: Floats) -> Poses:
    assert entrant.estimator is not None
    return entrant.estimator.images([image], [rows], [scores])[0]


def run(name: str, command: str, labels: Labels, options: Options) -> Entrant:
    """An entrant that is a command with the places {annotations}, {images} and {out}.

    Raises:
        WholebodyError: it fails or writes no results.
    """
    folder = options.output / "work"
    folder.mkdir(parents=True, exist_ok=True)
    stem = "".join(c if c.isalnum() else "_" for c in name)
    annotations, out = folder / "people.json", folder / f"{stem}.json"
    # Only who has a box, in the order of the pictures.
    known = (labels.visible > 0).any(axis=1) & ~labels.iscrowd
    write_labels(annotations, labels[np.flatnonzero(known)[np.argsort(labels.image_ids[known], kind="stable")]])
    places = {"annotations": str(annotations), "images": str(options.images), "out": str(out)}
    try:
        words = [word.format(**places) for word in shlex.split(command)]
        started = time.perf_counter()
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise WholebodyError(f"{name}: cannot run {command!r} ({error}). Check the command.") from error
    seconds = time.perf_counter() - started
    if done.returncode or not out.exists():
        said = (done.stderr.strip() or done.stdout.strip() or "it wrote nothing").splitlines()[-1][:200]
        raise WholebodyError(f"{name}: the command failed with status {done.returncode}: {said}")
    own = _own_seconds(done.stderr)
    return Entrant(
        name, predictions=_read(out, labels), seconds=[own or seconds], people=int(known.sum()), loading=own is None
    )


def _own_seconds(text: str) -> float | None:
    try:
        return float(json.loads(text.strip().splitlines()[-1])["seconds"])
    except (ValueError, KeyError, TypeError, IndexError):
        return None


def _read(path: str | Path, labels: Labels) -> dict[int, Poses]:
    found = read_coco(path)
    by_name = {Path(picture.file_name).name: number for number, picture in labels.images.items()}
    predictions = {by_name.get(key, -1) if isinstance(key, str) else key: poses for key, poses in found.items()}
    return {number: poses for number, poses in predictions.items() if number in labels.images}


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise WholebodyError(f"{text!r} is not NAME=VALUE. Write it as in `wholebody compare --help`.")
    return name, value


def _title(name: str) -> str:
    return Path(name).stem if Path(name).suffix else name


# --- What is written --------------------------------------------------------------------------------------------------


def markdown(entrants: Sequence[Entrant], reports: Mapping[str, Report], labels: Labels, options: Options) -> str:
    """The page: measured figures, and below them the published ones of the paper's table."""
    first = next((entrant.milliseconds for entrant in entrants if entrant.milliseconds), None)
    shown = [part for part in PARTS if any(report.people[part] for report in reports.values())]
    people = max((report.people["whole"] for report in reports.values()), default=0)
    boxes = "the labelled boxes" if options.boxes == "gt" else f"the boxes of {Path(options.boxes).name}"
    lines = [
        f"Measured on {people} people of {len(labels.images)} pictures ({options.annotations.name}), in {boxes}, with "
        f"{options.threads} thread{'s' * (options.threads > 1)}, in one run. Mean OKS in per cent, with 95 % intervals "
        "over pictures; AP of the body as COCO computes it. Time is for a person, without reading pictures; `x` says "
        "how many times that of the first line it is.",
        "",
        "| measured | "
        + " | ".join(f"{part} ({next(iter(reports.values())).people[part]})" for part in shown)
        + " | body AP | ms | x |",
        "|---|" + "---:|" * (len(shown) + 3),
    ]
    for entrant in entrants:
        figures = reports[entrant.name].figures
        cells = [str(figures[part]["OKS"]) if part in entrant.parts else "-" for part in shown]
        spent = entrant.milliseconds
        timing = ("-", "-")
        if spent is not None:
            timing = (f"{spent:.1f}{' with loading' * entrant.loading}", f"{spent / first:.2f}" if first else "-")
        lines.append(f"| {entrant.name} | " + " | ".join([*cells, f"{figures['body']['AP']}", *timing]) + " |")
    lines += [
        "",
        "![Accuracy and time](compare.svg)",
        "",
        "## Published",
        "",
        "AP / AR in per cent on COCO-WholeBody v1.0 val as their authors print them, with detections of human AP 56.4 "
        "and flip test where the method is top-down. Another set, other labels: not to be read across.",
        "",
        "| published | input | body | feet | face | hands | whole | measured above |",
        "|---|---|---:|---:|---:|---:|---:|---|",
    ]
    names = [entrant.name.lower() for entrant in entrants]
    for row in PUBLISHED:
        here = any(row.name.lower() in name for name in names)
        figures_as_printed = (row.body, row.feet, row.face, row.hands, row.whole)
        lines.append("| " + " | ".join((row.name, row.size, *figures_as_printed, "yes" if here else "no")) + " |")
    return "\n".join(lines) + "\n"


def _as_json(entrants: Sequence[Entrant], reports: Mapping[str, Report]) -> dict[str, object]:
    return {
        entrant.name: {
            "milliseconds_per_person": entrant.milliseconds,
            "loading_included": entrant.loading,
            "parts": entrant.parts,
            **json.loads(reports[entrant.name].to_json()),
        }
        for entrant in entrants
    }


def plot(entrants: Sequence[Entrant], reports: Mapping[str, Report], part: str = "body") -> str:
    """An SVG: OKS of a part with its interval against the time for a person."""
    timed = [
        (entrant.name, entrant.milliseconds, reports[entrant.name].figures[part]["OKS"])
        for entrant in entrants
        if entrant.milliseconds and part in entrant.parts
    ]
    timed = [row for row in timed if np.isfinite(row[2].value)]
    times = [milliseconds for _, milliseconds, _ in timed] or [1.0]
    span = (min(times) / 1.5, max(times) * 3)
    axes = Axes(span, (0, 1), log=True, size=(860, 420))
    ticks = [value for value in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000) if span[0] < value < span[1]]
    shares, label, title = (0, 0.2, 0.4, 0.6, 0.8, 1), "milliseconds for a person", f"mean OKS of the {part}, per cent"
    shapes = [axes.lines(shares, ticks, lambda value: f"{100 * value:.0f}", label, title)]
    for n, (name, milliseconds, figure) in enumerate(timed):
        color = COLORS[n % len(COLORS)]
        if np.isfinite(figure.low):
            shapes.append(axes.line([(milliseconds, figure.low), (milliseconds, figure.high)], color))
        shapes.append(axes.dot(milliseconds, figure.value, color, 5))
        shapes.append(text(axes.across(milliseconds) + 9, axes.up(figure.value) + 4, name))
    return axes.picture(shapes)
