"""Both stages of a distillation one after the other, and the same without labels on your own pictures.

    wholebody distill student-t --out work/student-t
    wholebody distill --images clip.mp4 --teacher work/teacher/model.safetensors --student work/t.safetensors --out mine

It writes folders `stage1` and `stage2`, each with the files of `loop.fit`, and next to them the result:
`model.safetensors` and `model.onnx`. Finished stages are not repeated.
"""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from wholebody.choices import Changes
from wholebody.errors import WholebodyError
from wholebody.files import replacing
from wholebody.networks.checkpoints import load_pose
from wholebody.train.config import TwoStages
from wholebody.train.engine.parallel import is_first
from wholebody.train.loop import fit


def distil(recipe: TwoStages, out: Path, stages: Sequence[int] = (1, 2), changes: Changes = "refuse") -> Path:
    """Run the stages and export the result; `changes` as for `loop.fit`.

    Returns:
        the exported ONNX file.

    Raises:
        WholebodyError: stage 2 alone without a stage 1 in `out`; or as for `loop.fit`.
    """
    from wholebody.export.convert import export_pose

    result = out / "stage1" / "model.safetensors"
    if 1 in stages:
        fit(recipe.first, out / "stage1", changes=changes)
    elif not result.exists():
        raise WholebodyError(f"{result}: does not exist. Run stage 1 first, or give the --out of a run that has it.")
    if 2 in stages and recipe.second.distill:
        second = replace(recipe.second, distill=replace(recipe.second.distill, teachers=(str(result),)))
        fit(second, out / "stage2", changes=changes)
        result = out / "stage2" / "model.safetensors"
    if is_first():
        with replacing(out / "model.safetensors") as path:
            shutil.copyfile(result, path)
        export_pose(load_pose(result), out / "model.onnx", storage="float16")
    return out / "model.onnx"
