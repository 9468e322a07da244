"""RTMPose with a second look: a head that also reads fine maps, and MoveNet's own answer for the body.

A feature of 32 pixels a cell loses small hands and faces, and 133 points learned from few photos lose some of what
MoveNet knows of bodies. So the encoder stays as released, under

* the RTMPose head on the coarse feature,
* a pyramid of its own up to a stride of 4, which gives a heat map per keypoint; the distribution of each along x and
  along y joins the keypoint's token before the attention. The coarse map is added before, so that it says which of
  several hands is meant,
* MoveNet's answer (`thunder.Bodies`), encoded as SimCC encodes labels: it joins the tokens of the body, and is added to
  their logits, so that training starts from MoveNet's body and learns where to leave it.

The heat maps carry the auxiliary loss of training. What distillation compares, the coarse feature and the logits, is
what every RTMPose has. The teacher of the bundled models is such a network.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wholebody.codec import SimCC
from wholebody.train.rtmpose import RTMPose, RTMPoseHead
from wholebody.train.thunder import Answer, Bodies, Stages, Thunder

# The height of an answer in the logits, where labels have theirs after training.
_BUMP = 0.5


class Fine(nn.Module):
    """A pyramid over the encoder's stages: `Stages` -> (B, width, h / 4, w / 4)."""

    def __init__(self, channels: tuple[int, int, int, int] = (40, 56, 112, 1280), width: int = 64) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(nn.Conv2d(c, width, 1) for c in channels)
        self.merges = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1, groups=width) for _ in channels[1:])
        self.mixes = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in channels[1:])

    def forward(self, stages: Stages) -> Tensor:
        maps = [lateral(stage) for lateral, stage in zip(self.laterals, stages, strict=True)]
        x: Tensor = maps.pop()
        for merge, mix in zip(self.merges, self.mixes, strict=True):
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False) + maps.pop()
            x = x + F.relu(mix(merge(x)))
        return x


class TwoScaleHead(RTMPoseHead):
    """`RTMPoseHead` with fine maps and an answer for the first keypoints.

    Args:
        codec: input size and bins.
        keypoints, hidden: as `RTMPoseHead`.
        answered: how many of the first keypoints the answer has.
        width: channels of the fine maps.
    """

    stride = 4

    def __init__(
        self, codec: SimCC, keypoints: int = 133, hidden: int = 256, answered: int = 17, width: int = 64
    ) -> None:
        w, h = codec.input_size
        super().__init__(Thunder.channels, (w // 32, h // 32), codec.bins, keypoints, hidden)
        self.codec = codec
        self.fine = Fine(width=width)
        self.heat = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(width, keypoints, 1)
        )
        self.prior = nn.Conv2d(keypoints, keypoints, 1)
        self.places = nn.Linear(w // self.stride + h // self.stride, hidden, bias=False)
        self.answers = nn.Linear(sum(codec.bins), hidden, bias=False)
        self.trust = nn.Parameter(torch.full((answered, 1), _BUMP))
        for layer in (self.places, self.answers):
            nn.init.normal_(layer.weight, std=0.05)

    def both(self, stages: Stages, answer: Answer) -> tuple[Tensor, Tensor, Tensor]:
        """The encoder's maps and an answer for some keypoints -> logits x (B, K, X), y (B, K, Y), and heat maps
        (B, K, h / 4, w / 4)."""
        coarse = self.final_layer(stages.stride32)
        prior = F.interpolate(self.prior(coarse), scale_factor=8, mode="bilinear", align_corners=False)
        heat: Tensor = self.heat(self.fine(stages)) + prior
        where = heat.float().flatten(2).softmax(dim=-1).reshape(heat.shape)
        places = torch.cat((where.sum(dim=2), where.sum(dim=3)), dim=2)
        x, y = (axis.to(heat.dtype) for axis in self.encode(answer))
        known = self.answers(torch.cat((x, y), dim=2))
        tokens = self.mlp(coarse.flatten(2)) + self.places(places)
        tokens = self.gau(tokens + F.pad(known, (0, 0, 0, tokens.shape[1] - known.shape[1])))
        rest = tokens.shape[1] - x.shape[1]
        return (
            self.cls_x(tokens) + F.pad(self.trust * x, (0, 0, 0, rest)),
            self.cls_y(tokens) + F.pad(self.trust * y, (0, 0, 0, rest)),
            heat,
        )

    def encode(self, answer: Answer) -> tuple[Tensor, Tensor]:
        """An answer as SimCC's distributions along x (B, k, X) and y (B, k, Y), of the height of its scores."""
        axes = []
        for at, bins, sigma in zip(answer.keypoints.unbind(-1), self.codec.bins, self.codec.sigma, strict=True):
            away = torch.arange(bins, device=at.device) - at[..., None] * self.codec.split_ratio
            axes.append(answer.scores[..., None] * torch.exp(-away.square() / (2 * sigma**2)))
        x, y = axes
        return x, y


class TwoScale(RTMPose):
    """Thunder's encoder and heads, kept as they are, under a `TwoScaleHead`; elsewhere it is used as any `RTMPose`."""

    # Pixels a cell of the heat maps.
    stride = TwoScaleHead.stride

    def __init__(self, backbone: Thunder, bodies: Bodies, head: TwoScaleHead) -> None:
        super().__init__(backbone, head, head.codec, backbone.mean, backbone.std)
        self.bodies = bodies.requires_grad_(False)

    def both(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 3, h, w) -> logits x, y and heat maps (B, K, h / 4, w / 4)."""
        return self._look(images)[1:]

    def outputs(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See `RTMPose.outputs`."""
        return self._look(images)[:3]

    def _look(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        assert isinstance(self.backbone, Thunder) and isinstance(self.head, TwoScaleHead)
        stages = self.backbone.stages(images)
        with torch.no_grad():
            answer = self.bodies(self.backbone.mix(stages).stride4)
        return stages.stride32, *self.head.both(stages, answer)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        x, y, _ = self.both(images)
        return x, y
