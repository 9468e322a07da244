"""Interpreting the outputs of an ONNX file: which codec decodes them, and which schema they have."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from wholebody.arrays import Floats
from wholebody.codec import Codec, Heatmap, Regression, SimCC
from wholebody.errors import WholebodyError
from wholebody.runtime.session import Session, Tensor
from wholebody.schema import COCO_WHOLEBODY, Schema, schema_named, schema_with


def calibration_of(parts: Mapping[str, Sequence[float]] | None, schema: Schema) -> Floats | None:
    """Slope and offset (2, K) of the logistic curve from score to probability; the metadata has them by part."""
    if parts is None:
        return None
    rows = np.full((2, len(schema)), np.nan, np.float32)
    try:
        for part, curve in parts.items():
            rows[:, schema.parts[part]] = np.array(curve, np.float32)[:, None]
    except (AttributeError, TypeError, ValueError, KeyError, IndexError):
        rows[:] = np.nan
    if not np.isfinite(rows).all():
        raise WholebodyError("the file's calibration is not a slope and an offset for every part. Export it again.")
    return rows


def heads_of(outputs: Sequence[Tensor]) -> dict[type, tuple[Tensor, ...]]:
    """The codecs that can decode the outputs, and the outputs each needs: two for SimCC, x first, one for the others.

    Additional outputs of other shapes are ignored; two heatmaps are ambiguous.
    """
    coordinates = tuple(tensor for tensor in outputs if len(tensor.shape) == 3 and tensor.shape[2] in (2, 3, 4))
    bins = tuple(tensor for tensor in outputs if len(tensor.shape) == 3 and tensor not in coordinates)
    bins = tuple(tensor for tensor in outputs if tensor.name in ("simcc_x", "simcc_y")) or bins
    maps = tuple(tensor for tensor in outputs if len(tensor.shape) == 4)
    kinds = (
        (SimCC, tuple(sorted(bins, key=lambda tensor: tensor.name.endswith("y"))), 2),
        (Heatmap, maps, 1),
        (Regression, coordinates, 1),
    )
    return {kind: head for kind, head, count in kinds if len(head) == count}


def unreadable(session: Session, why: str | Codec | None) -> WholebodyError:
    fault = why if isinstance(why, str) else "not a pose network" if why is None else f"not a network for {why}"
    shown = ", ".join(f"{tensor.name} {tensor.shape}" for tensor in session.outputs).replace("None", "any")
    return WholebodyError(
        f"{fault}: it needs the outputs simcc_x and simcc_y (N, K, bins), heatmaps (N, K, h, w) or coordinates (N, K, "
        f"2 to 4), but the file has {shown}. Choose another file."
    )


def codec_of(heads: Mapping[type, tuple[Tensor, ...]], size: tuple[int, int], about: Mapping[str, Any]) -> Codec:
    """The codec, from the outputs and the metadata; a network whose keypoints are already decoded was SimCC."""
    kind, head = next(iter(heads.items()), (SimCC, ()))
    last = head[0].shape[-1] if head and head[0].shape else None
    if kind is Regression:
        return Regression(size, bool(about.get("sigmoid", True)))
    if kind is Heatmap:
        # The released recipes use 2 cells for an input height of 256, and 3 for 384.
        sigma = float(about.get("sigma") or size[1] / 128)
        return Heatmap(size, size[0] / last if last else 4.0, sigma, about.get("style", "msra"))
    ratio = float(about.get("split_ratio") or (last / size[0] if last else 2.0))
    tolerances = tuple(float(tolerance) for tolerance in about.get("tolerances", ()))
    if head and tolerances and len(tolerances) != (head[0].shape[1] or len(tolerances)):
        raise ValueError(f"{len(tolerances)} tolerances for {head[0].shape[1]} keypoints")
    return SimCC(size, ratio, tolerances=tolerances)


def schema_of(given: Schema | None, name: str | None, keypoints: int | None) -> Schema:
    """The given schema, the one named in the file, or the one with this number of keypoints."""
    by_number = COCO_WHOLEBODY if keypoints is None else schema_with(keypoints)
    try:
        schema = given or (by_number if name is None else schema_named(name))
    except ValueError as error:
        raise WholebodyError(f"the network has the {error}. Install a newer version of this package.") from error
    if schema is None:
        raise WholebodyError(f"the network has {keypoints} keypoints, and nothing says which. Give their schema.")
    if keypoints not in (None, len(schema)):
        raise WholebodyError(f"the network has {keypoints} keypoints, {schema.name} has {len(schema)}. Choose another.")
    return schema
