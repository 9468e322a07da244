"""Everything that a recipe needs and that is missing, listed at once before anything is read. No torch here."""

from collections.abc import Iterator
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

from wholebody.data.ubody import TEST_LIST, ubody_files
from wholebody.files import cache_folder
from wholebody.train.config import DataSource, TrainConfig
from wholebody.weights.download import is_here
from wholebody.weights.lookup import entry, trainable

# What the train extra installs.
PACKAGES = ("torch", "safetensors", "onnx", "onnxscript", "tensorboard")

# Where the published sets come from.
_FROM = {
    "coco_wholebody_train_v1.0.json": "the COCO-WholeBody page, github.com/jin-s13/COCO-WholeBody",
    "coco_wholebody_val_v1.0.json": "the COCO-WholeBody page, github.com/jin-s13/COCO-WholeBody",
    "train2017": "images.cocodataset.org/zips/train2017.zip",
    "val2017": "images.cocodataset.org/zips/val2017.zip",
    "COCO_val2017_detections_AP_H_56_person.json": "the person detections of HRNet's authors",
    "keypoint_annotation.json": "the UBody page, github.com/IDEA-Research/OSX",
    TEST_LIST: "the UBody page, github.com/IDEA-Research/OSX",
}


def missing(recipe: TrainConfig) -> list[str]:
    """A line for each missing thing: packages, networks, data files."""
    lines = [f"package {name}: pip install 'wholebody[train]'" for name in PACKAGES if not find_spec(name)]
    teachers = recipe.distill.teachers if recipe.distill else ()
    named = {recipe.init: "the initial weights", **dict.fromkeys(teachers, "a teacher")}
    if any(name.endswith(".tflite") for name in named) and not find_spec("ai_edge_litert"):
        lines.append("package ai-edge-litert: pip install 'wholebody[thunder]'")
    for name, role in named.items():
        lines += _network(name, role)
    for source in (*recipe.sources, *recipe.validation):
        lines += _data(source)
    return list(dict.fromkeys(lines))


def _network(name: str, role: str) -> Iterator[str]:
    """A network by name or file. One that can be downloaded counts as missing until it has been."""
    if not name:
        return
    weights = entry(trainable(name))
    if weights is None:
        if not Path(name).exists():
            yield f"{name}: {role}, a file that does not exist; a name from `wholebody models` works too"
    elif not weights.bundled and not is_here(cache_folder() / weights.file, weights):
        trust = "" if weights.verifiable else " with --trust"
        yield (
            f"{name}: {role}, {weights.file}; will be downloaded to {cache_folder()} when the training starts{trust} "
            f"({weights.urls[-1]})"
        )


def _data(source: DataSource) -> Iterator[str]:
    path = Path(source.path)
    if source.kind == "ubody":
        files = [*ubody_files(path), path / "splits" / TEST_LIST]
        images = Path(source.images or path / "images")
    elif source.kind in ("coco", "pseudo"):
        files, images = [path], Path(source.images or path.parent)
    else:
        files, images = [path / "index.json"] if source.kind == "pool" else [], path
    for file in (*files, *([Path(source.boxes)] if source.boxes else [])):
        if not file.is_file():
            yield f"{file}: missing{_origin(file.name)}"
    if not images.is_dir() or not next(islice(images.iterdir(), 1), None):
        how = "; `wholebody data frames` extracts them from videos" if source.kind == "ubody" else _origin(images.name)
        yield f"{images}: no pictures{how}"


def _origin(name: str) -> str:
    return f"; from {_FROM[name]}" if name in _FROM else ""
