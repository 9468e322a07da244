"""The architectures by name; the only place that lists them.

A new one is a file in this package and a line in NETWORKS, which training (`train.build`), checkpoints and exports use:

    NETWORKS["mine"] = lambda input_size, keypoints: RTMPose(Mine(), RTMPoseHead(...), simcc(input_size))
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import cast

import torch
from torch import Tensor

from wholebody.errors import WholebodyError
from wholebody.networks.rtmpose import SIZES, RTMPose, RTMPoseHead, rtmpose, simcc
from wholebody.networks.thunder import MoveNetHeads, Thunder
from wholebody.networks.two_scale import TwoScale, TwoScaleHead
from wholebody.schema import schema_with

# Input size (w, h), multiples of 32, and number of keypoints -> a network with random weights.
Builder = Callable[[tuple[int, int], int], RTMPose]


def _thunder(input_size: tuple[int, int], keypoints: int) -> RTMPose:
    backbone, codec, (w, h) = Thunder(), simcc(input_size), input_size
    head = RTMPoseHead(backbone.channels, (w // 32, h // 32), codec.bins, keypoints)
    return RTMPose(backbone, head, codec, backbone.mean, backbone.std, schema_with(keypoints))


def _thunder_fine(input_size: tuple[int, int], keypoints: int) -> RTMPose:
    return TwoScale(Thunder(), MoveNetHeads(), TwoScaleHead(simcc(input_size), keypoints))


# "thunder" is MoveNet Thunder's encoder with an RTMPose head, "thunder-fine" the same with fine maps; the letters are
# RTMPose's sizes.
NETWORKS: dict[str, Builder] = {
    "thunder": _thunder,
    "thunder-fine": _thunder_fine,
    **{size: partial(rtmpose, size) for size in SIZES},
}


def new_network(name: str, input_size: tuple[int, int], keypoints: int = 133) -> RTMPose:
    """A network of NETWORKS with random weights.

    Raises:
        WholebodyError: there is none of that name.
    """
    if name not in NETWORKS:
        raise WholebodyError(f"no network {name!r}. There are {', '.join(NETWORKS)}.")
    return NETWORKS[name](input_size, keypoints)


def name_of(weights: Mapping[str, Tensor], input_size: tuple[int, int], keypoints: int) -> str:
    """The network that shares the most names and shapes with a state dict, and among equals lacks the fewest.

    Strict loading then checks the weights. Weights of a backbone alone ("backbone.") are compared with backbones.
    """
    found = {(name, value.shape) for name, value in weights.items()}
    alone = all(name.startswith("backbone.") for name in weights)

    def shared(name: str) -> tuple[int, int]:
        with torch.device("meta"):
            state = NETWORKS[name](input_size, keypoints).state_dict()
        wanted = {(n, v.shape) for n, v in state.items() if not alone or n.startswith("backbone.")}
        return len(wanted & found), -len(wanted - found)

    return max(NETWORKS, key=shared)


def kind_of(network: RTMPose) -> str:
    """A network's name in NETWORKS."""
    return name_of(network.state_dict(), network.codec.input_size, cast(RTMPoseHead, network.head).keypoints)
