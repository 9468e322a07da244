"""Several estimators on the same pictures, boxes and threads, in one run: accuracy with intervals, and time.

    wholebody compare --annotations labels.json --images photos --models wholebody-133 --rtmlib rtmpose-m.onnx
        --run "MediaPipe=peer/bin/python holistic.py {annotations} {images} {out}" --results "HRNet=hrnet.json"

Ours and rtmlib take turns picture by picture, so that what else the machine does hits all alike. Others come as a
command, which reads the labelled boxes and writes COCO-WholeBody results, or as such a file. A command may print a last
line of JSON with "seconds" and "processor" (seconds of it) on standard error; otherwise its whole run is timed, loading
included.

People are few where labels are, and the same people are hard for everyone: so beside the interval of each figure stands
that of the difference from the first line, person by person, which is narrower.

`--output` gets compare.md, with the published figures of the systems of the paper's table beside what was measured
here, compare.json and compare.svg.
"""

import json
import os
import re
import shlex
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from wholebody.arrays import Doubles, Floats, Image
from wholebody.data.coco import write_labels
from wholebody.data.labels import Labels, picture_path
from wholebody.errors import WholebodyError
from wholebody.evaluate import Figure, Report, evaluate, match
from wholebody.files import replacing
from wholebody.formats.coco import read_coco
from wholebody.images import read_image
from wholebody.measure import Boxes, Estimator, Progress, as_wholebody, labelled_boxes, parts_of, read_boxes, read_set
from wholebody.plots import COLORS, GRID, Axes, text
from wholebody.pose.load import onnx_file, open_estimator
from wholebody.poses import Poses
from wholebody.preprocess import IMAGENET_RGB
from wholebody.runtime.choose import open_session
from wholebody.runtime.session import Precision, input_size, notes
from wholebody.schema import COCO_BODY, COCO_WHOLEBODY, Schema
from wholebody.weights.manifest import MANIFEST

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
        processor: the same of the processor, all threads together, which other work on the machine disturbs less.
        loading: whether the seconds have the start of a program in them.
    """

    name: str
    parts: tuple[str, ...] = PARTS
    estimator: Estimator | None = None
    predictions: dict[int, Poses] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    people: int = 0
    loading: bool = False

    @property
    def milliseconds(self) -> float | None:
        """For a person, all pictures together; None if nobody timed it."""
        return 1000 * sum(self.seconds) / self.people if self.people and self.seconds else None

    @property
    def processor_milliseconds(self) -> float | None:
        """The same of the processor."""
        return 1000 * sum(self.processor) / self.people if self.people and self.processor else None


@dataclass(frozen=True, eq=False)
class Rtmlib:
    """rtmlib's own RTMPose class on a file in the released layout, which it feeds one person at a time.

    It hands the network the colours of OpenCV's pictures as they are, blue first, while RTMPose and its kin were
    trained on red first. `rgb` exchanges them in the picture, to tell that from other differences.
    """

    network: Any
    schema: Schema
    rgb: bool = False

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
                shown = np.ascontiguousarray(image[..., ::-1]) if self.rgb else image
                keypoints, keypoint_scores = self.network(shown, bboxes=given)
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
    devices: tuple[str, ...] = ("cpu",)
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

    labels = read_set(options.annotations, options.images, options.mapping)
    boxes = labelled_boxes(labels) if options.boxes == "gt" else read_boxes(options.boxes)
    entrants = []
    for name, device, precision in product(options.models, options.devices, options.precisions):
        # Half precision is OpenVINO's on processors.
        where = "openvino" if precision == "bf16" and device == "cpu" else device
        network = open_estimator(name, where, options.threads, precision)
        if network.session.fallback:  # a row that says cuda and means the CPU would be a lie
            raise WholebodyError(f"{network.session.fallback}. Leave {device} out of --devices.")
        told = [_title(name)]
        told += [where] if len(options.devices) > 1 else []
        told += [network.session.precision] if len(options.precisions) > 1 else []
        entrants.append(Entrant(", ".join(told), parts_of(network.schema), network))
    for name in options.rtmlib:
        theirs = Rtmlib.open(onnx_file(name, "pose"), options.threads)
        for other, title in ((theirs, "rtmlib"), (replace(theirs, rgb=True), "rtmlib given RGB")):
            entrants.append(Entrant(f"{title} on {_title(name)}", parts_of(theirs.schema), other))
    # Whatever can be wrong is found out before hours are spent.
    commands = [_pair(text) for text in options.runs]
    made = [Entrant(name, predictions=_read(file, labels)) for name, file in map(_pair, options.results)]
    names = [*(entrant.name for entrant in entrants), *(name for name, _ in commands), *(each.name for each in made)]
    if not names:
        raise WholebodyError("nothing to compare: give --models, --rtmlib, --run or --results.")
    if len(set(names)) < len(names):
        raise WholebodyError("two estimators have the same name. Rename a file, or the NAME of a --run or --results.")
    try:
        options.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WholebodyError(f"{options.output}: no folder can be here ({error.strerror}). Choose another.") from error
    with progress(len(boxes) + len(commands)) as advance:
        side_by_side(entrants, labels, options.images, boxes, advance, options.threads)
        for name, command in commands:
            entrants.append(run(name, command, labels, options))
            advance()
    entrants += made
    reports, similar = {}, {}
    for entrant in entrants:
        predictions = {n: as_wholebody(poses) for n, poses in entrant.predictions.items()}
        reports[entrant.name] = evaluate(labels, predictions)
        similar[entrant.name] = match(labels, predictions).oks
    differences = {
        entrant.name: {
            part: difference(similar[entrant.name][part], similar[entrants[0].name][part], labels.image_ids)
            for part in PARTS
            if part in entrant.parts and part in entrants[0].parts
        }
        for entrant in entrants[1:]
    }
    page = markdown(entrants, reports, differences, labels, options)
    with replacing(options.output / "compare.md") as path:
        path.write_text(page, encoding="utf-8")
    with replacing(options.output / "compare.json") as path:
        path.write_text(json.dumps(_as_json(entrants, reports, differences), indent=1) + "\n")
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
    threads: int = 1,
) -> None:
    """Every estimator on every picture, in turns; who begins changes from picture to picture.

    `threads` is OpenCV's, which cuts the crops of all of them; the sessions have their own.
    """
    warm, before = False, cv2.getNumThreads()
    cv2.setNumThreads(threads)
    for turn, number in enumerate(sorted(set(boxes) & set(labels.images))):
        image = read_image(picture_path(images, labels.images[number].file_name))
        rows, scores = boxes[number]
        if not warm:  # the first run of a network allocates its memory
            for entrant in entrants:
                _estimate(entrant, image, rows, scores)
            warm = True
        shift = turn % max(len(entrants), 1)
        for entrant in [*entrants[shift:], *entrants[:shift]]:
            wall, cpu = time.perf_counter(), time.process_time()
            entrant.predictions[number] = _estimate(entrant, image, rows, scores)
            entrant.seconds.append(time.perf_counter() - wall)
            entrant.processor.append(time.process_time() - cpu)
            entrant.people += len(rows)
        advance()
    cv2.setNumThreads(before)


def _estimate(entrant: Entrant, image: Image, rows: Floats, scores: Floats) -> Poses:
    assert entrant.estimator is not None
    return entrant.estimator.images([image], [rows], [scores])[0]


def run(name: str, command: str, labels: Labels, options: Options) -> Entrant:
    """An entrant that is a command with the places {annotations}, {images}, {out} and {threads}.

    Raises:
        WholebodyError: it fails or writes no results.
    """
    folder = options.output / "work"
    stem = "".join(c if c.isalnum() else "_" for c in name)
    annotations, out = folder / "people.json", folder / f"{stem}.json"
    # Only who has a box, in the order of the pictures.
    known = (labels.visible > 0).any(axis=1) & ~labels.iscrowd
    write_labels(annotations, labels[np.flatnonzero(known)[np.argsort(labels.image_ids[known], kind="stable")]])
    out.unlink(missing_ok=True)  # an earlier run's would pass for this one's
    places = {
        "annotations": str(annotations),
        "images": str(options.images),
        "out": str(out),
        "threads": str(options.threads),
    }
    try:
        words = [word.format(**places) for word in shlex.split(command)]
        wall, cpu = time.perf_counter(), _children()
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise WholebodyError(f"{name}: cannot run {command!r} ({error}). Check the command.") from error
    whole = {"seconds": time.perf_counter() - wall, "processor": _children() - cpu}
    if done.returncode or not out.exists():
        said = (done.stderr.strip() or done.stdout.strip() or "it wrote nothing").splitlines()[-1][:200]
        raise WholebodyError(f"{name}: the command failed with status {done.returncode}: {said}")
    own = _own_times(done.stderr)
    entrant = Entrant(name, predictions=_read(out, labels), people=int(known.sum()), loading=own is None)
    times = whole if own is None else own
    entrant.seconds = [times["seconds"]]
    entrant.processor = [times["processor"]] if "processor" in times else []
    return entrant


def _children() -> float:
    """Seconds of the processor that finished commands of ours took; 0 on Windows, which does not tell."""
    spent = os.times()
    return spent.children_user + spent.children_system


def _own_times(text: str) -> dict[str, float] | None:
    """What a command says that it took: "seconds" and, if it likes, "processor"."""
    try:
        said = json.loads(text.strip().splitlines()[-1])
        return {name: float(said[name]) for name in ("seconds", "processor") if name != "processor" or name in said}
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


def difference(ours: Doubles, theirs: Doubles, image_ids: npt.NDArray[np.int64], resamples: int = 1000) -> Figure:
    """Mean of `ours` - `theirs` over the people both have a number for, with its 95 % interval over pictures.

    Args:
        ours, theirs: (M,) OKS of the same people, NaN where a part has no label.
        image_ids: (M,) which picture each is in: people of one picture are drawn together.
        resamples: of the pictures.
    """
    there = np.isfinite(ours) & np.isfinite(theirs)
    if not there.any():
        return Figure(np.nan, np.nan, np.nan)
    _, place = np.unique(image_ids[there], return_inverse=True)
    totals, counts = np.bincount(place, (ours - theirs)[there]), np.bincount(place)
    draws = np.random.default_rng(0).multinomial(len(counts), np.full(len(counts), 1 / len(counts)), resamples)
    low, high = np.percentile((draws @ totals) / (draws @ counts), (2.5, 97.5))
    return Figure(float(totals.sum() / counts.sum()), float(low), float(high))


# --- What is written --------------------------------------------------------------------------------------------------

Differences = Mapping[str, Mapping[str, Figure]]  # entrant -> part -> from the first entrant


def markdown(
    entrants: Sequence[Entrant],
    reports: Mapping[str, Report],
    differences: Differences,
    labels: Labels,
    options: Options,
) -> str:
    """The page: measured figures, how they differ, and below them the published ones of the paper's table."""
    shown = _shown(reports)
    people = max((report.people["whole"] for report in reports.values()), default=0)
    boxes = "the labelled boxes" if options.boxes == "gt" else f"the boxes of {Path(options.boxes).name}"
    lines = [
        f"Measured on {people} people of {len(labels.images)} pictures ({options.annotations.name}), in {boxes}, with "
        f"{options.threads} thread{'s' * (options.threads > 1)}, in one run. Mean OKS in per cent, with 95 % intervals "
        "over pictures, and how many people have the part; AP and AR of the body as COCO computes them. Milliseconds "
        "are for a person, without reading pictures, by the clock and of the processor; `x` says how many times the "
        "processor's time of the first line it is.",
        "",
        "| measured | "
        + " | ".join(f"{_words(part)} ({next(iter(reports.values())).people[part]})" for part in shown)
        + " | body AP | body AR | ms | processor ms | x |",
        "|---|" + "---:|" * (len(shown) + 5),
    ]
    first = entrants[0].processor_milliseconds if entrants else None
    for entrant in entrants:
        figures = reports[entrant.name].figures
        cells = [str(figures[part]["OKS"]) if part in entrant.parts else "-" for part in shown]
        cells += [str(figures["body"][name]) for name in ("AP", "AR")]
        cells += _timing(entrant, first)
        lines.append(f"| {entrant.name} | " + " | ".join(cells) + " |")
    if len(entrants) > 1:
        lines += [
            "",
            f"Difference from {entrants[0].name} on the same people, in points of OKS. An interval without 0 is a "
            "difference that another draw of such pictures would hardly turn around.",
            "",
            "| measured | " + " | ".join(map(_words, shown)) + " |",
            "|---|" + "---:|" * len(shown),
        ]
    for entrant in entrants[1:]:
        apart = differences[entrant.name]
        lines.append(f"| {entrant.name} | " + " | ".join(_signed(apart.get(part)) for part in shown) + " |")
    lines += [
        "",
        "![Accuracy and time](compare.svg)",
        "",
        "## Published",
        "",
        "AP / AR in per cent on COCO-WholeBody v1.0 val as their authors print them, with detections of human AP 56.4 "
        "and flip test where the method is top-down. Another set, other labels: not to be read across. The last column "
        "is AP / AR measured above, where that system was there.",
        "",
        "| published | input | body | feet | face | hands | whole | measured |",
        "|---|---|---:|---:|---:|---:|---:|---|",
    ]
    for row in PUBLISHED:
        figures_as_printed = (row.body, row.feet, row.face, row.hands, row.whole)
        lines.append("| " + " | ".join((row.name, row.size, *figures_as_printed, _here(row, entrants, reports))) + " |")
    return "\n".join(lines) + "\n"


def _shown(reports: Mapping[str, Report]) -> list[str]:
    """The parts that somebody is labelled with: the same in every report."""
    return [part for part in next(iter(reports.values())).parts if part in PARTS]


def _words(part: str) -> str:
    return part.replace("_", " ")


def _timing(entrant: Entrant, first: float | None) -> tuple[str, str, str]:
    """Milliseconds by the clock, of the processor, and how many times `first`."""
    loading = " with loading" * entrant.loading
    wall, cpu = entrant.milliseconds, entrant.processor_milliseconds
    return (
        "-" if wall is None else f"{wall:.1f}{loading}",
        "-" if cpu is None else f"{cpu:.1f}{loading}",
        f"{cpu / first:.2f}" if cpu and first else "-",
    )


def _signed(figure: Figure | None) -> str:
    if figure is None or np.isnan(figure.value):
        return "-"
    return f"{100 * figure.value:+.1f} [{100 * figure.low:+.1f}, {100 * figure.high:+.1f}]"


def _here(row: Published, entrants: Sequence[Entrant], reports: Mapping[str, Report]) -> str:
    """What was measured of a published system, by its name as a word of an entrant's. Bundled networks are our own,
    though the student bears the name of what it does."""
    word = re.compile(rf"(?<![a-z0-9]){re.escape(row.name.lower())}(?![a-z0-9])")
    said = []
    for entrant in entrants:
        known = MANIFEST.get(entrant.name.split(" ")[0])
        if word.search(entrant.name.lower()) and not (known and known.bundled):
            part = "whole" if "whole" in entrant.parts and "whole" in _shown(reports) else "body"
            figures = reports[entrant.name].figures[part]
            ap, ar = (100 * figures[name].value for name in ("AP", "AR"))
            said.append(f"{entrant.name}: {part} {ap:.1f} / {ar:.1f}")
    return "; ".join(said) or "no"


def _as_json(entrants: Sequence[Entrant], reports: Mapping[str, Report], differences: Differences) -> dict[str, object]:
    return {
        entrant.name: {
            "milliseconds_per_person": entrant.milliseconds,
            "processor_milliseconds_per_person": entrant.processor_milliseconds,
            "loading_included": entrant.loading,
            "parts": entrant.parts,
            **json.loads(reports[entrant.name].to_json()),
            "OKS_minus_first": {
                part: None if np.isnan(figure.value) else [figure.value, figure.low, figure.high]
                for part, figure in differences.get(entrant.name, {}).items()
            },
        }
        for entrant in entrants
    }


# --- The plot ---------------------------------------------------------------------------------------------------------

_LEGEND = 22  # pixels a line


def plot(entrants: Sequence[Entrant], reports: Mapping[str, Report]) -> str:
    """An SVG: OKS of the body against the processor's time; left of it OKS of all parts, where there are others."""
    shown = _shown(reports)
    colors = {entrant.name: COLORS[n % len(COLORS)] for n, entrant in enumerate(entrants)}
    figures = {
        (entrant.name, part): reports[entrant.name].figures[part]["OKS"]
        for entrant in entrants
        for part in shown
        if part in entrant.parts and np.isfinite(reports[entrant.name].figures[part]["OKS"].value)
    }
    ends = [end for f in figures.values() for end in (f.value, f.low, f.high) if np.isfinite(end)] or [0, 1]
    # Whole tenths around everything: dots are compared, not lengths, so that nothing has to begin at 0.
    low, high = int(10 * min(ends)), min(int(10 * max(ends)) + 1, 10)
    shares = [share / 10 for share in range(low, high + 1)]
    top = 48 + _LEGEND * -(-len(entrants) // 2)
    middle = 30 + 90 * len(shown) if len(shown) > 1 else 0
    size = (middle + 60 + (400 if middle else 600), top + 326)
    shapes = _legend(colors, size[0])
    if middle:
        left = Axes((0, len(shown)), (shares[0], shares[-1]), size=size, margins=(56, top, size[0] - middle, 46))
        shapes += [left.lines(shares, name=_percent), text(56, top - 12, "mean OKS of each part, per cent")]
        for at, part in enumerate(shown):
            shapes.append(text(left.across(at + 0.5), size[1] - 28, _words(part), "middle"))
            for n, entrant in enumerate(entrants):
                if (entrant.name, part) in figures:
                    x = at + 0.5 + 0.7 * ((n + 0.5) / len(entrants) - 0.5)
                    shapes += _mark(left, x, figures[entrant.name, part], colors[entrant.name])
            if at:
                shapes.append(f'<path d="M{left.across(at):.1f} {top}V{left.up(shares[0]):.1f}" stroke="{GRID}"/>')
    timed = {entrant.name: entrant.processor_milliseconds or 0.0 for entrant in entrants}
    timed = {name: cpu for name, cpu in timed.items() if cpu and (name, "body") in figures}
    reach = (min(timed.values(), default=1) / 1.6, max(timed.values(), default=10) * 1.6)
    right = Axes(reach, (shares[0], shares[-1]), log=True, size=size, margins=(middle + 56, top, 16, 46))
    ticks = [step * 10**power for power in range(5) for step in (1, 2, 3, 5)]
    ticks = [tick for tick in ticks if reach[0] < tick < reach[1]]
    shapes.append(right.lines(shares, ticks, _percent, "processor milliseconds for a person"))
    shapes.append(text(middle + 56, top - 12, "mean OKS of the body, per cent"))
    # The first on top and smaller, so that one that does the very same is seen around it.
    for name, cpu in reversed(timed.items()):
        shapes += _mark(right, cpu, figures[name, "body"], colors[name], 4.5 if name == entrants[0].name else 7)
    return right.picture(shapes)


def _percent(share: float) -> str:
    return f"{100 * share:.0f}"


def _mark(axes: Axes, x: float, figure: Figure, color: str, radius: float = 5) -> list[str]:
    ends = [axes.line([(x, figure.low), (x, figure.high)], color)] if np.isfinite(figure.low) else []
    return [*ends, axes.dot(x, figure.value, color, radius)]


def _legend(colors: Mapping[str, str], width: int) -> list[str]:
    """Names in two columns, from the top left."""
    shapes = []
    for n, (name, color) in enumerate(colors.items()):
        x, y = 64 + (n % 2) * width // 2, 20 + _LEGEND * (n // 2)
        shapes.append(f'<circle cx="{x}" cy="{y}" r="5" fill="{color}"/>')
        shapes.append(text(x + 12, y + 4, name))
    return shapes
