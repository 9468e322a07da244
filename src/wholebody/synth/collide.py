"""Self-collision: solids around the bones, and the depth of a point inside them."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from wholebody.arrays import Doubles, Floats, Ints32
from wholebody.synth.body import Body, bone_transforms

_SOLID_BONES = (
    ("spine05", "pelvis.L", "pelvis.R"), ("spine04", "spine03"), ("spine02",), ("spine01",), ("head",),
    ("upperleg01.L", "upperleg02.L"), ("upperleg01.R", "upperleg02.R"),
    ("lowerleg01.L", "lowerleg02.L"), ("lowerleg01.R", "lowerleg02.R"),
)  # fmt: skip


# What may not enter which solids: arms none of them, a leg only those of the other. "+" is the tip of a last bone.
_PROBES = {
    **{f"{bone}.{s}": tuple(range(9)) for s in "LR" for bone in ("lowerarm02", "wrist", "finger3-1", "finger3-3")},
    **{f"{bone}.{s}+": tuple(range(9)) for s in "LR" for bone in ("finger1-3", "finger2-3", "finger3-3", "finger5-3")},
    **{f"lowerarm01.{s}": (0, 1, 2) for s in "LR"},
    **{f"{bone}.L": (3, 6, 8) for bone in ("lowerleg01", "lowerleg02", "foot", "toe1-1")},
    **{f"{bone}.R": (3, 5, 7) for bone in ("lowerleg01", "lowerleg02", "foot", "toe1-1")},
}


@lru_cache(maxsize=2)
def _solid_vertices(body: Body) -> list[tuple[int, int, Ints32]]:
    """Number, first bone and skin vertices of each row of _SOLID_BONES that the body has."""
    main = body.main_bone[body.skin]
    found: list[tuple[int, int, Ints32]] = []
    for number, names in enumerate(_SOLID_BONES):
        rows = [body.bone[name] for name in names if name in body.bone]
        inside = body.skin[np.isin(main, rows)]
        if len(inside) >= 4:
            found.append((number, rows[0], inside))
    return found


@lru_cache(maxsize=2)
def _probes(body: Body) -> tuple[Ints32, Ints32, npt.NDArray[np.bool_]]:
    """Each probe's bone and the one before it (P, 2), whether it is a tip (P,), and the solids to avoid (P, S)."""
    numbers = [number for number, _, _ in _solid_vertices(body)]
    bones, tips, forbidden = [], [], []
    for name, targets in _PROBES.items():
        tip = name.endswith("+")
        bone = name.rstrip("+")
        if bone in body.bone:
            row = body.bone[bone]
            bones.append((row, int(body.parents[row])))
            tips.append(int(tip))
            forbidden.append([number in targets for number in numbers])
    return np.array(bones, np.int32), np.array(tips, np.int32), np.array(forbidden, bool)


@dataclass(frozen=True, eq=False)
class _Solids:
    """S ellipsoids at rest: bones (S,), centres (S, 3), half axes (S, 3)."""

    bones: Ints32
    centers: Doubles
    axes: Doubles


def body_solids(body: Body, rest: Floats) -> _Solids:
    boxes = [(rest[rows].min(axis=0), rest[rows].max(axis=0)) for _, _, rows in _solid_vertices(body)]
    low, high = (np.array(side, np.float64).reshape(-1, 3) for side in zip(*boxes, strict=True))
    bones = np.array([bone for _, bone, _ in _solid_vertices(body)], np.int32)
    return _Solids(bones, (low + high) / 2, (high - low) * 0.48 + 1e-6)


def overlap(body: Body, heads: Floats, rotations: Floats, solids: _Solids) -> float:
    """The total depth of the probes inside the solids: 0 if free, 1 for a probe at a centre."""
    transforms = bone_transforms(body.parents, heads, rotations).astype(np.float64)
    bones, tips, forbidden = _probes(body)
    # A finger's last bone extends about as far as the one before it.
    points = heads[bones[:, 0]] + 0.9 * tips[:, None] * (heads[bones[:, 0]] - heads[bones[:, 1]])
    of = transforms[bones[:, 0]]
    points = np.einsum("pij,pj->pi", of[:, :, :3], points) + of[:, :, 3]
    at = transforms[solids.bones]
    local = np.einsum("sji,psj->psi", at[:, :, :3], points[:, None] - at[None, :, :, 3])
    depth = 1 - (((local - solids.centers) / solids.axes) ** 2).sum(axis=2)
    total = float(np.maximum(depth, 0)[forbidden].sum())
    knuckles = [body.bone[f"finger3-1.{s}"] for s in "LR" if f"finger3-1.{s}" in body.bone]
    if len(knuckles) == 2:
        a, b = (transforms[row, :, :3] @ heads[row] + transforms[row, :, 3] for row in knuckles)
        gap = 0.03 * float(np.linalg.norm(heads[body.bone["head"]] - heads[body.bone["root"]])) / 0.6
        total += max(0.0, 1 - float(np.linalg.norm(a - b)) / gap)
    return total
