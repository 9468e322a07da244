"""Training on labels alone, without a teacher."""

from typing import Protocol, cast

from torch import Tensor, nn

from wholebody.networks.rtmpose import RTMPose, RTMPoseHead
from wholebody.networks.thunder import Pyramid
from wholebody.networks.two_scale import TwoScale
from wholebody.train.distill import label_loss
from wholebody.train.heatmaps import HeatmapHead, axes_loss, heatmap_loss
from wholebody.train.lesson import Batch
from wholebody.train.targets import drawn


class HasPyramid(Protocol):
    """A backbone with finer maps than its final feature map."""

    def pyramid(self, images: Tensor) -> Pyramid: ...


class Supervised(nn.Module):
    """Labels alone: L_ori, and a heatmap loss if there are finer maps. Independent of the batch size.

    Args:
        scale: factor on L_ori, which is a mean over people. The released code sums over a process's batch instead.
    """

    def __init__(self, network: RTMPose, heatmap: float = 0.0, scale: float = 1.0) -> None:
        super().__init__()
        self.network = network
        self.scale = scale
        self.factor = heatmap
        own = isinstance(network, TwoScale)
        self.heatmap = HeatmapHead(24, cast(RTMPoseHead, network.head).keypoints) if heatmap and not own else None

    def forward(self, batch: Batch, done: float = 0.0) -> dict[str, Tensor]:
        network, images = self.network, self.network.normalise(batch.images)
        heat = None
        if isinstance(network, TwoScale):
            x, y, axes = network.both(images)
            heat = axes_loss(axes.x, axes.y, batch.keypoints, batch.weight, network.stride)
        elif self.heatmap is None:
            x, y = network(images)
        else:
            maps = cast(HasPyramid, network.backbone).pyramid(images)
            x, y = network.head(maps.stride32)
            heat = heatmap_loss(self.heatmap(maps.stride8).float(), batch.keypoints, batch.weight, stride=8)
        terms = {
            "ori": self.scale * label_loss(x.float(), y.float(), *drawn(batch.keypoints, network.codec), batch.weight)
        }
        if heat is not None and self.factor:
            terms["heatmap"] = self.factor * heat
        return terms
