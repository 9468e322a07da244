"""Labels alone: what a training without a teacher follows."""

from typing import Protocol, cast

from torch import Tensor, nn

from wholebody.networks.rtmpose import RTMPose
from wholebody.networks.thunder import Pyramid
from wholebody.networks.two_scale import TwoScale
from wholebody.schema import COCO_WHOLEBODY
from wholebody.train.lesson import Batch
from wholebody.train.losses import axes_loss, heatmap_loss, label_loss


class HasPyramid(Protocol):
    """A backbone with finer maps than its feature."""

    def pyramid(self, images: Tensor) -> Pyramid: ...


class HeatmapHead(nn.Module):
    """A map of stride 8 to one heat map per keypoint. Used in training only."""

    def __init__(self, channels: int, keypoints: int, hidden: int = 64) -> None:
        super().__init__()
        self.mix = nn.Conv2d(channels, hidden, 3, padding=1)
        self.out = nn.Conv2d(hidden, keypoints, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.out(nn.functional.relu(self.mix(x)))
        return out


class Labels(nn.Module):
    """Labels alone: L_ori, and a heat-map loss where there are finer maps. Independent of the batch size."""

    def __init__(self, network: RTMPose, heatmap: float = 0.0) -> None:
        super().__init__()
        self.network = network
        self.factor = heatmap
        own = isinstance(network, TwoScale)
        self.heatmap = HeatmapHead(24, len(COCO_WHOLEBODY)) if heatmap and not own else None

    def forward(self, batch: Batch, done: float = 0.0) -> dict[str, Tensor]:
        network, images, n = self.network, self.network.normalise(batch.images), len(batch.images)
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
        terms = {"ori": label_loss(x.float(), y.float(), batch.x, batch.y, batch.weight) / n}
        if heat is not None and self.factor:
            terms["heatmap"] = self.factor * heat / n
        return terms
