"""A larger RTMPose that starts where a smaller one ended (Chen et al. 2016, "Net2Net", arXiv:1511.05641).

It computes the same as the smaller one. Channels that it has besides read all others with random weights, and nothing
of the smaller network reads them yet; blocks that it has besides add zero. So training goes on from the smaller
network's error instead of from chance.
"""

import torch
from torch import Tensor

from wholebody.networks.cspnext import CSPNeXt
from wholebody.networks.rtmpose import RTMPose

# Layers of equal halves or quarters, which grow apart: the end of a name -> how many parts are written and read.
_PARTS = {
    ".attention.fc.weight": (2, 2),
    ".attention.fc.bias": (2, 1),
    ".final_conv.conv.weight": (1, 2),
    "stage4.1.conv2.conv.weight": (1, 4),  # the spatial pyramid
}
_LAST_SCALE = ".conv2.pointwise_conv.bn.weight"


@torch.no_grad()
def widen(small: RTMPose, large: RTMPose) -> None:
    """Make `large`, a network with random weights, compute what `small` does.

    Both have the same input size and keypoints. Each stage of `large` is at least as wide and as deep; only stages
    whose blocks have shortcuts may be deeper, as from "t" to "s".

    Raises:
        ValueError: one cannot become the other. `large` is then unchanged.
    """
    old, new = small.state_dict(), large.state_dict()
    added = _added(large, set(new) - set(old))
    if added is None or not set(old) <= set(new) or any(_shrinks(old[name], new[name]) for name in old):
        raise ValueError("one network does not extend the other")
    for name, weight in old.items():
        _extend(new[name], weight, *next((parts for end, parts in _PARTS.items() if name.endswith(end)), (1, 1)))
    for name in added:
        new[name].zero_()


def _added(large: RTMPose, names: set[str]) -> list[str] | None:
    """The last scales of the blocks with these weights, the only ones to be zero; None if any is not of a block with a
    shortcut."""
    if not isinstance(large.backbone, CSPNeXt):
        return None
    blocks = {
        f"backbone.stage{n}.{len(stage) - 1}.blocks.{i}."  # type: ignore[arg-type]
        for n, stage in enumerate(large.backbone.blocks, 1)
        for i, block in enumerate(stage[-1].blocks)  # type: ignore[index]
        if block.add
    }
    if not all(any(name.startswith(block) for block in blocks) for name in names):
        return None
    return [name for name in names if name.endswith(_LAST_SCALE)]


def _shrinks(old: Tensor, new: Tensor) -> bool:
    return old.ndim != new.ndim or any(before > after for before, after in zip(old.shape, new.shape, strict=True))


def _extend(new: Tensor, old: Tensor, written: int, read: int) -> None:
    """Put a layer's weights into those of a larger one, in place: its rows are outputs, its columns inputs."""
    if old.ndim == 0:
        new.copy_(old)
        return
    rows = _places(old.shape[0], new.shape[0], written)
    if old.ndim == 1 or old.shape[1] == new.shape[1]:
        new[rows] = old
        return
    new[rows] = 0
    new[rows[:, None], _places(old.shape[1], new.shape[1], read)] = old


def _places(old: int, new: int, parts: int) -> Tensor:
    """Where the channels of `old` are among `new` ones, if both consist of equal parts."""
    return (torch.arange(parts)[:, None] * (new // parts) + torch.arange(old // parts)).flatten()
