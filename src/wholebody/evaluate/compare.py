"""Several estimators on the same pictures, boxes and threads, in one run: accuracy with intervals, and time.

    wholebody compare --annotations labels.json --images photos --models wholebody-133 --rtmlib rtmpose-m.onnx
        --run "MediaPipe=peer/bin/python holistic.py {annotations} {images} {out}" --results "HRNet=hrnet.json"

Our networks and rtmlib take turns picture by picture, so that other load on the machine affects all equally. Other
systems are given as a command that reads the labelled boxes and writes COCO-WholeBody results, or as a file of results.
A command may print a last line of JSON with "seconds" and "processor" (CPU seconds) on standard error; otherwise its
whole run is timed, loading included.

Labelled people are few, and the same people are hard for all systems. So besides the interval of each figure there is
that of the difference from the first row, taken person by person, which is narrower.

`--output` receives compare.md, with the published figures of the systems in the paper's table below the measured ones,
compare.json and compare.svg.
"""

import json
import os
import shlex
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from wholebody.arrays import Doubles, Floats, Image
from wholebody.console import ProgressBar
from wholebody.data.coco import write_labels
from wholebody.data.labels import Labels, picture_path
from wholebody.errors import WholebodyError
from wholebody.evaluate.entrant import COMPARED_PARTS, CompareOptions, Entrant
from wholebody.evaluate.metric import evaluate, match, settings_for
from wholebody.evaluate.page import as_json, markdown, plot
from wholebody.evaluate.report import Figure
from wholebody.evaluate.rtmlib import Rtmlib
from wholebody.evaluate.run import (
    Boxes,
    as_wholebody,
    check_comparable,
    labelled_boxes,
    parts_of,
    read_boxes,
    read_set,
)
from wholebody.files import replacing
from wholebody.formats.coco import is_ranked, read_coco
from wholebody.images import read_image
from wholebody.pose.load import onnx_file, open_estimator
from wholebody.poses import Poses


def compare(options: CompareOptions, progress: ProgressBar) -> int:
    """Run everything, print the table, write the files.

    Raises:
        WholebodyError: a network or a file cannot be used, or a command fails.
    """
    from rich.console import Console

    labels = read_set(options.annotations, options.images, options.mapping)
    boxes = labelled_boxes(labels) if options.boxes == "gt" else read_boxes(options.boxes)
    entrants = []
    ours, rtmlib = _titles(options.models), _titles(options.rtmlib)
    for name, device, precision in product(options.models, options.devices, options.precisions):
        # On CPUs only OpenVINO supports half precision.
        where = "openvino" if precision == "bf16" and device == "cpu" else device
        network = open_estimator(name, where, options.threads, precision)
        check_comparable(name, network.schema)
        if network.session.fallback:  # a row labelled cuda must not have run on the CPU
            raise WholebodyError(f"{network.session.fallback}. Leave {device} out of --devices.")
        told = [ours[name]]
        told += [where] if len(options.devices) > 1 else []
        told += [network.session.precision] if len(options.precisions) > 1 else []
        entrants.append(Entrant(", ".join(told), parts_of(network.schema), network))
    for name in options.rtmlib:
        theirs = Rtmlib.open(onnx_file(name, "pose"), options.threads)
        check_comparable(name, theirs.schema)
        for other, title in ((theirs, "rtmlib"), (replace(theirs, rgb=True), "rtmlib given RGB")):
            entrants.append(Entrant(f"{title} on {rtmlib[name]}", parts_of(theirs.schema), other))
    # Check everything before hours are spent.
    commands = [_pair(text) for text in options.runs]
    made = [
        Entrant(name, predictions=_read(file, labels), ranked=not is_ranked(file))
        for name, file in map(_pair, options.results)
    ]
    names = [*(entrant.name for entrant in entrants), *(name for name, _ in commands), *(each.name for each in made)]
    if not names:
        raise WholebodyError("nothing to compare: give --models, --rtmlib, --run or --results.")
    if len(set(names)) < len(names):
        raise WholebodyError("two estimators have the same name. Rename a file, or the NAME of a --run or --results.")
    try:
        options.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WholebodyError(f"{options.output}: cannot make a folder ({error.strerror}). Choose another.") from error
    with progress("estimators", len(boxes) + len(commands)) as advance:
        side_by_side(entrants, labels, options.images, boxes, advance, options.threads)
        for name, command in commands:
            entrants.append(run(name, command, labels, options))
            advance()
    entrants += made
    reports, similar = {}, {}
    for entrant in entrants:
        predictions = {n: as_wholebody(poses) for n, poses in entrant.predictions.items()}
        settings = settings_for(labels)
        if entrant.ranked:  # a file's score already includes the keypoints', as in official tools
            settings = replace(settings, score="box")
        reports[entrant.name] = evaluate(labels, predictions, settings)
        similar[entrant.name] = match(labels, predictions, settings).oks
    differences = {
        entrant.name: {
            part: difference(similar[entrant.name][part], similar[entrants[0].name][part], labels.image_ids)
            for part in COMPARED_PARTS
            if part in entrant.parts and part in entrants[0].parts
        }
        for entrant in entrants[1:]
    }
    page = markdown(entrants, reports, differences, labels, options)
    with replacing(options.output / "compare.md") as path:
        path.write_text(page, encoding="utf-8")
    with replacing(options.output / "compare.json") as path:
        path.write_text(json.dumps(as_json(entrants, reports, differences), indent=1) + "\n")
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
    """Run every estimator on every picture, taking turns; the order changes from picture to picture.

    `threads` is for OpenCV, which makes the crops for all of them; the sessions have their own setting.
    """
    warm, before = False, cv2.getNumThreads()
    cv2.setNumThreads(threads)
    try:
        for turn, number in enumerate(sorted(set(boxes) & set(labels.images))):
            image = read_image(picture_path(images, labels.images[number].file_name))
            rows, scores = boxes[number]
            if not warm:  # a network's first run allocates memory
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
    finally:
        cv2.setNumThreads(before)


def _estimate(entrant: Entrant, image: Image, rows: Floats, scores: Floats) -> Poses:
    assert entrant.estimator is not None
    return entrant.estimator.images([image], [rows], [scores])[0]


def run(name: str, command: str, labels: Labels, options: CompareOptions) -> Entrant:
    """Run an entrant given as a command with the placeholders {annotations}, {images}, {out} and {threads}.

    Raises:
        WholebodyError: it fails or writes no results.
    """
    folder = options.output / "work"
    stem = "".join(c if c.isalnum() else "_" for c in name)
    annotations, out = folder / "people.json", folder / f"{stem}.json"
    # Only people with a box, in the order of the pictures.
    known = (labels.visible > 0).any(axis=1) & ~labels.iscrowd
    write_labels(annotations, labels[np.flatnonzero(known)[np.argsort(labels.image_ids[known], kind="stable")]])
    out.unlink(missing_ok=True)  # so that an earlier run's file is not mistaken for this one's
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
    except (OSError, ValueError, LookupError, AttributeError, TypeError) as error:
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
    """CPU seconds of our finished child processes; 0 on Windows, which does not report them."""
    spent = os.times()
    return spent.children_user + spent.children_system


def _own_times(text: str) -> dict[str, float] | None:
    """The times reported by a command: "seconds" and optionally "processor"."""
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


def _titles(names: Sequence[str]) -> dict[str, str]:
    """Each network's name in the table: a file's name, with as many parent folders as needed to distinguish it."""
    titles: dict[str, str] = {}
    for name in names:
        parts = Path(name).with_suffix("").parts if Path(name).suffix else (name,)
        others = [Path(other).with_suffix("").parts for other in names if other != name and Path(other).suffix]
        depth = next((d for d in range(1, len(parts)) if all(parts[-d:] != other[-d:] for other in others)), len(parts))
        titles[name] = "/".join(parts[-depth:])
    return titles


def difference(ours: Doubles, theirs: Doubles, image_ids: npt.NDArray[np.int64]) -> Figure:
    """Mean of `ours` - `theirs` over the people for whom both have a value, with its 95 % interval over pictures.

    Args:
        ours, theirs: (M,) OKS of the same people, NaN where a part has no label.
        image_ids: (M,) the picture of each person: people in one picture are resampled together.
    """
    there = np.isfinite(ours) & np.isfinite(theirs)
    if not there.any():
        return Figure(np.nan, np.nan, np.nan)
    _, place = np.unique(image_ids[there], return_inverse=True)
    totals, counts = np.bincount(place, (ours - theirs)[there]), np.bincount(place)
    draws = np.random.default_rng(0).multinomial(len(counts), np.full(len(counts), 1 / len(counts)), 1000)
    low, high = np.percentile((draws @ totals) / (draws @ counts), (2.5, 97.5))
    return Figure(float(totals.sum() / counts.sum()), float(low), float(high))
