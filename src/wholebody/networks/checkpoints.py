"""Weights from files: released RTMPose and DWPose checkpoints, and our own safetensors, without executing any of it.

A .pth file is a pickle, and a pickle may call any function. `torch.load(weights_only=True)` calls only functions that
build tensors, but released files also contain metadata of the training framework: numpy arrays, logs, dates. The names
of such metadata are replaced by empty objects; a file with any other name is refused.
"""

import json
import os
import pickletools
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from torch import Tensor, nn

from wholebody.codec import SimCC
from wholebody.errors import WholebodyError
from wholebody.files import replacing
from wholebody.networks.exported import is_exported, read_exported, unfolded
from wholebody.networks.kinds import name_of, new_network
from wholebody.networks.rtmpose import RTMPose, RTMPoseHead
from wholebody.networks.two_scale import Presence, TwoScaleHead
from wholebody.reading import DAMAGED, in_line, in_short, open_archive, parse_json
from wholebody.schema import schema_named

StateDict = dict[str, Tensor]

# More than any published network has: a tensor without data may have any shape.
MOST_KEYPOINTS, MOST_BINS = 10_000, 2**14

# Modules whose metadata are tolerated, and the built-in names that such metadata use.
_NOTES = re.compile(
    r"(numpy|mmengine|mmcv|mmpose|mmdet|datetime|pathlib)\.[\w.]+|builtins\.getattr|copyreg\._reconstructor"
)


def load_pose(path: str | os.PathLike[str], stage: Literal[1, 2] | None = None) -> RTMPose:
    """A pose network with the weights of a file; its size and input size are read from their shapes.

    Args:
        path: a released RTMPose or DWPose .pth, a checkpoint of such a training, .safetensors, or an .onnx file from
            `export_pose`, such as all bundled ones (call `exported.measure_norms` before training). If a file has
            averaged (EMA) weights, they are used.
        stage: the distillation stage of a checkpoint with a teacher and a student: 1 takes the student, 2 the teacher's
            backbone with the student's head. None: decided by the file's metadata or its shapes.

    Returns:
        The network in eval mode, float32, on the CPU.

    Raises:
        WholebodyError: the file is missing, damaged, holds anything but weights, or other weights.
    """
    if is_exported(path):
        stored = read_exported(_there(path))
        model = _build(stored, path)
        _load(model, unfolded(model, stored), path)
        return model.eval()
    weights, notes = _read(path)
    weights = _undistil(weights, notes, stage)
    model = _build(weights, path)
    _load(model, weights, path)
    if "wholebody" in notes:
        try:
            _take_notes(model, parse_json(notes["wholebody"]))
        except DAMAGED as error:
            raise WholebodyError(f"{path}: its notes cannot be used ({in_short(error)}). Save it again.") from error
    return model.eval()


def _take_notes(model: RTMPose, own: Mapping[str, Any]) -> None:
    """The metadata of our own files; raises one of DAMAGED if it is inconsistent."""
    mean, std, sigma = (tuple(float(number) for number in own[name]) for name in ("mean", "std", "sigma"))
    size, ratio = tuple(own["input_size"]), float(own["split_ratio"])
    if not np.isfinite([*mean, *std, *sigma, ratio]).all() or (len(mean), len(std), len(sigma)) != (3, 3, 2):
        raise ValueError("mean, std, sigma and split_ratio are 3, 3, 2 and 1 numbers")
    if (size, ratio) != (model.codec.input_size, model.codec.split_ratio) or min(*std, *sigma) <= 0:
        raise ValueError(f"an input of {size} and {ratio} bins per pixel do not fit the weights")
    model.mean, model.std = (mean[0], mean[1], mean[2]), (std[0], std[1], std[2])
    model.codec = SimCC(model.codec.input_size, ratio, (sigma[0], sigma[1]))
    if own.get("schema"):
        schema = schema_named(own["schema"])
        if len(schema) != cast(RTMPoseHead, model.head).keypoints:
            raise ValueError(f"{schema.name} does not fit the weights")
        model.schema = schema


def load_backbone(path: str | os.PathLike[str]) -> nn.Module:
    """Only the backbone of a checkpoint, whatever its head: the initial weights of the published students.

    Raises:
        WholebodyError: as `load_pose`.
    """
    if is_exported(path):
        return load_pose(path).backbone
    weights, _ = _read(path)
    if not any(name.startswith("backbone.") for name in weights):
        weights = {f"backbone.{name}": value for name, value in weights.items()}
    weights = {name: value for name, value in weights.items() if name.startswith("backbone.")}
    # A backbone does not depend on the input's size or on the keypoints.
    size, keypoints = (64, 64), 1
    backbone = new_network(name_of(weights, size, keypoints), size, keypoints).backbone
    _load(nn.ModuleDict({"backbone": backbone}), weights, path)
    return backbone.eval()


def save_pose(model: RTMPose, path: str | os.PathLike[str]) -> None:
    """Write a network as .safetensors, to be read by `load_pose`.

    Raises:
        WholebodyError: the file cannot be written.
    """
    from safetensors.torch import save_file

    codec = model.codec
    own = {
        "mean": model.mean,
        "std": model.std,
        "input_size": codec.input_size,
        "split_ratio": codec.split_ratio,
        "sigma": codec.sigma,
        "schema": model.schema.name if model.schema else None,
    }
    weights = {name: value.detach().contiguous().cpu() for name, value in model.state_dict().items()}
    with replacing(path) as partial:
        save_file(weights, partial, metadata={"wholebody": json.dumps(own)})


def read_weights(path: str | os.PathLike[str]) -> StateDict:
    """The named tensors of a checkpoint (.pth, .pt, .safetensors), without executing anything in it.

    Raises:
        WholebodyError: the file is missing, damaged, or contains anything but weights and harmless metadata.
    """
    return read_exported(_there(path)) if is_exported(path) else _read(path)[0]


def _there(path: str | os.PathLike[str]) -> Path:
    if not Path(path).is_file():
        raise WholebodyError(f"{path}: no such file. Check the path.")
    return Path(path)


def _read(path: str | os.PathLike[str]) -> tuple[StateDict, Mapping[str, str]]:
    """The weights and the accompanying metadata."""
    path = _there(path)
    try:
        if path.suffix == ".safetensors":
            from safetensors import safe_open

            with safe_open(path, framework="pt") as file:
                return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
        _check_archive(path)
        with torch.serialization.safe_globals([_stand_in(name) for name in _names(path) if _NOTES.fullmatch(name)]):
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise WholebodyError(f"{path}: cannot be read ({error.strerror or error}).") from error
    except Exception as error:  # a damaged or hostile file may fail anywhere in the reader
        if named := re.search(r"GLOBAL (\S+)", str(error)):
            raise WholebodyError(
                f"{path}: refused, because it names {named[1]}, which is not weights and might run code. "
                "Ask its author for a .safetensors file."
            ) from error
        raise WholebodyError(f"{path}: damaged, cut short or not a checkpoint. Download it again.") from error
    # mmengine swaps the two when it saves: `state_dict` then holds the averaged weights, and `ema_state_dict` the last
    # ones. So the average is under its own name only if it comes alone.
    weights, notes = loaded, {}
    if isinstance(loaded, dict):
        weights = next((loaded[key] for key in ("state_dict", "ema_state_dict", "model") if key in loaded), loaded)
        meta = loaded.get("meta")
        notes = {k: v for k, v in meta.items() if isinstance(v, str)} if isinstance(meta, dict) else {}
    if not isinstance(weights, dict):
        raise WholebodyError(f"{path}: holds no named weights. Give a checkpoint with a `state_dict`.")
    tensors = {str(name).removeprefix("module."): value for name, value in weights.items() if isinstance(value, Tensor)}
    for name, value in tensors.items():
        # A few bytes can pose as a tensor of any size until it is copied.
        if value.is_sparse or value.is_meta or value.nbytes > value.untyped_storage().nbytes():
            raise WholebodyError(f"{path}: {in_line(name)} is larger than what is stored of it. Download it again.")
    tensors.pop("steps", None)  # the averaging's own counter
    return {name: value for name, value in tensors.items() if "data_preprocessor." not in name}, notes


def _check_archive(path: Path) -> None:
    """Refuse a pickle that unpacks into much more than its file."""
    if zipfile.is_zipfile(path):
        with open_archive(path):
            pass


class _Nothing:
    def __init__(self, *_: object, **__: object) -> None: ...

    def __new__(cls, *_: object, **__: object) -> "_Nothing":
        return object.__new__(cls)

    def __setstate__(self, state: object) -> None: ...


def _stand_in(name: str) -> Callable[..., object]:
    # torch looks up allowed classes by their module and name.
    module, _, qualname = name.rpartition(".")
    return type(qualname, (_Nothing,), {"__module__": module, "__qualname__": qualname})


def _names(path: Path) -> set[str]:
    """Every class or function named by the pickles in a checkpoint, without unpickling."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            member = next(name for name in archive.namelist() if name.rpartition("/")[2] == "data.pkl")
            with archive.open(member) as file:
                return set(_globals(pickletools.genops(file.read())))
    names: set[str] = set()
    with path.open("rb") as file:
        # The older format: magic number, version, platform, the objects, the storages' keys; then the raw numbers.
        for _ in range(5):
            names.update(_globals(pickletools.genops(file)))
    return names


def _globals(operations: Iterable[tuple[pickletools.OpcodeInfo, Any, int | None]]) -> Iterator[str]:
    for operation, argument, _ in operations:
        if operation.name in ("GLOBAL", "INST"):
            module, name = argument.split(" ", 1)
            # Checkpoints use Python 2's pickle protocol, and with it that version's module names.
            yield f"{ {'__builtin__': 'builtins', 'copy_reg': 'copyreg'}.get(module, module) }.{name}"


def _undistil(weights: StateDict, notes: Mapping[str, str], stage: int | None) -> StateDict:
    """The student network of a distillation; other checkpoints are unchanged."""
    if not any(name.startswith("student.") for name in weights):
        return weights
    if stage is None:
        said = re.search(r"^two_dis\s*=\s*(True|False)", notes.get("cfg", ""), re.MULTILINE)
        stage = (2 if said[1] == "True" else 1) if said else _guess_stage(weights)
    prefixes = ("student.",) if stage == 1 else ("teacher.backbone.", "student.head.")
    return {name.partition(".")[2]: value for name, value in weights.items() if name.startswith(prefixes)}


def _guess_stage(weights: StateDict) -> int:
    """Whether it is stage 2, where the network teaches its own head, and no features are compared."""
    shapes = {
        who: {name.partition(".")[2]: w.shape for name, w in weights.items() if name.startswith(f"{who}.backbone.")}
        for who in ("teacher", "student")
    }
    compares_features = any(name.startswith("distill_losses.loss_fea") for name in weights)
    return 1 if compares_features or shapes["teacher"] != shapes["student"] else 2


def _build(weights: StateDict, path: str | os.PathLike[str]) -> RTMPose:
    """An untrained network with the shapes found."""
    layer, rank = "head.final_layer", 0
    if f"{layer}.0.weight" in weights:
        rank, layer = _shape(weights, f"{layer}.0.weight", 4, path)[0], f"{layer}.1"
    keypoints = _shape(weights, f"{layer}.weight", 4, path)[0]
    area = _shape(weights, "head.mlp.1.weight", 2, path)[1]
    x, y = (_shape(weights, f"head.{name}.weight", 2, path)[0] for name in ("cls_x", "cls_y"))
    if not (0 < keypoints <= MOST_KEYPOINTS and 0 < x <= MOST_BINS and 0 < y <= MOST_BINS):
        raise WholebodyError(f"{path}: a head for {keypoints} keypoints and {x}x{y} bins. Check the file.")
    if (x // 64) * (y // 64) != area:
        raise WholebodyError(
            f"{path}: a head for {area} positions and {x}x{y} bins does not follow a published RTMPose. Only networks "
            "with two bins per pixel are supported."
        )
    size = (x // 2, y // 2)
    network = new_network(name_of(weights, size, keypoints), size, keypoints)
    if rank:
        cast(RTMPoseHead, network.head).narrow(rank)
    if "head.presence.read.weight" in weights and isinstance(network.head, TwoScaleHead):
        network.head.presence = Presence(_shape(weights, "head.presence.read.weight", 2, path)[1] // 2)
    return network


def _shape(weights: StateDict, name: str, dimensions: int, path: str | os.PathLike[str]) -> torch.Size:
    if name not in weights or weights[name].ndim != dimensions:
        raise WholebodyError(f"{path}: not an RTMPose: no {name}; it has {_few(weights)}. Check the file.")
    return weights[name].shape


def _load(model: nn.Module, weights: StateDict, path: str | os.PathLike[str]) -> None:
    """Load strictly: every name once, with its shape."""
    wanted = {name: value.shape for name, value in model.state_dict().items()}
    problems = {
        "missing": [name for name in wanted if name not in weights],
        "unexpected": [name for name in weights if name not in wanted],
        "of another shape": [n for n, shape in wanted.items() if n in weights and weights[n].shape != shape],
    }
    if any(problems.values()):
        found = "; ".join(f"{what}: {_few(names)}" for what, names in problems.items() if names)
        raise WholebodyError(f"{path}: does not fit the network ({found}). Check that it is an RTMPose checkpoint.")
    model.load_state_dict(weights)


def _few(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more if names else "nothing"
