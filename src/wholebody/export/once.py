"""A checkpoint's ONNX file, exported on first use and cached."""

import importlib.util
import logging
from pathlib import Path

from wholebody.errors import WholebodyError
from wholebody.files import cache_folder, replacing
from wholebody.weights.download import sha256
from wholebody.weights.manifest import NetworkKind


def exported(path: Path, kind: NetworkKind) -> Path:
    """A checkpoint as ONNX, exported on first use, and again if the cached file was modified."""
    if importlib.util.find_spec("torch") is None or importlib.util.find_spec("onnx") is None:
        raise WholebodyError(f"{path}: a checkpoint needs an extra: pip install 'wholebody[train]', or give an .onnx.")
    target = cache_folder() / f"{path.stem}-{kind}-{sha256(path)[:16]}.onnx"
    note = target.with_suffix(".sha256")
    if target.is_file() and note.is_file() and note.read_text(errors="replace") == sha256(target):
        return target
    logging.getLogger("wholebody").warning("exporting %s to ONNX, once", path.name)
    # Imported here, because torch takes seconds.
    if kind == "pose":
        from wholebody.export.convert import export_pose
        from wholebody.networks.checkpoints import load_pose

        export_pose(load_pose(path), target)
    else:
        from wholebody.export.convert import export_detector
        from wholebody.networks.yolox import load_yolox

        model = load_yolox(path)
        # The weights do not determine the input size: nano and tiny were released for 416 pixels, the rest for 640.
        side = 416 if sum(weights.numel() for weights in model.parameters()) < 7e6 else 640
        export_detector(model, target, input_size=(side, side))
    with replacing(note) as partial:
        partial.write_text(sha256(target))
    return target
