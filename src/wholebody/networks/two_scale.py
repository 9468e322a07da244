"""A two-scale RTMPose: a head that also reads fine maps, and MoveNet's own prediction for the body.

A feature map at stride 32 loses small hands and faces, and learning 133 points from few photos loses some of MoveNet's
accuracy on bodies. So the encoder stays as released until the head is trained, under

* the RTMPose head on the coarse feature,
* a pyramid up to stride 4, which gives a heatmap per keypoint. The coarse map is added first, to determine which of
  several hands is meant. The heatmap's distributions along x and y are added to the keypoint's token before the
  attention, and to its logits, so that fine detail does not have to pass through the token,
* MoveNet's prediction (`thunder.MoveNetHeads`), encoded like SimCC labels: it is added to the tokens of the body and to
  their logits, so that training starts from MoveNet's body and learns where to deviate from it.

A heatmap always has a highest cell, even that of a hand outside the picture. So a network may have a `Presence`: a
factor on the logits of each hand. It is trained last, with everything else fixed (runs/people/presence.py).

The heatmaps' distributions have an auxiliary training loss. Distillation compares the coarse feature and the logits, as
with every RTMPose. The teacher of the bundled models is such a network.
"""

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wholebody.codec import SimCC
from wholebody.networks.rtmpose import RTMPose, RTMPoseHead
from wholebody.networks.thunder import MoveNetHeads, MoveNetOutput, Stages, Thunder
from wholebody.schema import COCO_WHOLEBODY, schema_with

# The height of a prediction in the logits, similar to that of trained logits.
_BUMP = 0.5


class Marginals(NamedTuple):
    """The distributions of heatmaps along x and y, in cells."""

    x: Tensor  # (B, K, w / 4)
    y: Tensor  # (B, K, h / 4)


class _Mix(nn.Module):
    """A residual block of two convolutions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )
        nn.init.zeros_(cast(nn.BatchNorm2d, self.layers[-1]).weight)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.layers(x))


class Fine(nn.Module):
    """A pyramid over the encoder's stages: `Stages` -> (B, width, h / 4, w / 4)."""

    def __init__(self, channels: tuple[int, int, int, int] = (40, 56, 112, 1280), width: int = 64) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(
            nn.Sequential(nn.Conv2d(c, width, 1, bias=False), nn.BatchNorm2d(width)) for c in channels
        )
        self.mixes = nn.ModuleList(_Mix(width) for _ in channels[1:])

    def forward(self, stages: Stages) -> Tensor:
        maps = [lateral(stage) for lateral, stage in zip(self.laterals, stages, strict=True)]
        x: Tensor = maps.pop()
        for mix in self.mixes:
            x = mix(F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False) + maps.pop())
        return x


class Presence(nn.Module):
    """The probability that each hand is in the picture, from the tokens of its keypoints.

    All logits of a hand are multiplied by it, so scores change and keypoints do not.
    """

    hands = (COCO_WHOLEBODY.parts["left_hand"], COCO_WHOLEBODY.parts["right_hand"])

    def __init__(self, hidden: int = 256) -> None:
        super().__init__()
        self.read = nn.Linear(2 * hidden, 1)

    def pooled(self, tokens: Tensor) -> Tensor:
        """Tokens (B, 133, hidden) -> what is read of the left and the right hand (B, 2, 2 hidden)."""
        return torch.stack([torch.cat((t.mean(1), t.amax(1)), -1) for t in (tokens[:, part] for part in self.hands)], 1)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (B, 133, hidden) -> a factor for each keypoint (B, 133, 1), 1 except on the hands."""
        chances = self.read(self.pooled(tokens)).sigmoid()
        rest = torch.ones_like(tokens[:, : self.hands[0].start, :1])
        # 21 points each.
        return torch.cat((rest, chances.repeat_interleave(21, dim=1)), 1)


class TwoScaleHead(RTMPoseHead):
    """`RTMPoseHead` with fine maps and a prediction for the first keypoints.

    Args:
        codec: input size and bins.
        keypoints, hidden: as `RTMPoseHead`.
        answered: number of keypoints in the prediction.
        width: channels of the fine maps.
    """

    stride = 4

    def __init__(
        self,
        codec: SimCC,
        keypoints: int = 133,
        hidden: int = 256,
        answered: int = 17,
        width: int = 64,
    ) -> None:
        w, h = codec.input_size
        super().__init__(Thunder.channels, (w // 32, h // 32), codec.bins, keypoints, hidden)
        self.codec = codec
        self.fine = Fine(width=width)
        self.heat = nn.Linear(width, keypoints, bias=False)
        self.prior = nn.Conv2d(keypoints, keypoints, 1)
        self.places = nn.Linear(w // self.stride + h // self.stride, hidden, bias=False)
        self.answers = nn.Linear(sum(codec.bins), hidden, bias=False)
        self.trust = nn.Parameter(torch.full((answered, 1), _BUMP))
        self.sight = nn.Parameter(torch.full((keypoints, 1), 2.0))
        self.presence: Presence | None = None
        for layer in (self.places, self.answers):
            nn.init.normal_(layer.weight, std=0.05)

    def both(self, stages: Stages, answer: MoveNetOutput) -> tuple[Tensor, Tensor, Marginals]:
        """The encoder's maps and a prediction for some keypoints -> logits x (B, K, X), y (B, K, Y), and the axes."""
        coarse = self.final_layer(stages.stride32)
        seen = self.see(stages, coarse)
        x, y = self.logits(coarse, seen, self.encode(answer))
        return x, y, seen

    def logits(self, coarse: Tensor, seen: Marginals, answers: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """The coarse map after its convolution, the axes of the fine maps and the encoded prediction -> logits x, y."""
        answers = (answers[0].to(coarse.dtype), answers[1].to(coarse.dtype))
        known = self.answers(torch.cat(answers, dim=2))
        tokens = self.mlp(coarse.flatten(2)) + self.places(torch.cat(seen, dim=2))
        rest = tokens.shape[1] - known.shape[1]
        tokens = self.gau(tokens + F.pad(known, (0, 0, 0, rest)))
        x, y = (
            classify(tokens) + F.pad(self.trust * told, (0, 0, 0, rest)) + self.sight * enlarged(axis, told.shape[-1])
            for classify, told, axis in zip((self.cls_x, self.cls_y), answers, seen, strict=True)
        )
        if self.presence is not None:
            factor = self.presence(tokens)
            x, y = x * factor, y * factor
        return x, y

    def see(self, stages: Stages, coarse: Tensor) -> Marginals:
        """The heatmaps' distributions along x and y."""
        fine = self.fine(stages)
        n, _, h, w = fine.shape
        prior = F.interpolate(self.prior(coarse), size=(h, w), mode="bilinear", align_corners=False)
        # As (B, K, cells): the softmax then runs along memory.
        heat = torch.baddbmm(prior.flatten(2), self.heat.weight.expand(n, -1, -1), fine.flatten(2))
        hot = heat.softmax(dim=-1, dtype=torch.float32).reshape(n, -1, h, w)
        return Marginals(hot.sum(dim=2), hot.sum(dim=3))

    def encode(self, answer: MoveNetOutput) -> tuple[Tensor, Tensor]:
        """A prediction as SimCC distributions along x (B, k, X) and y (B, k, Y), with the height of its scores."""
        axes = []
        for at, bins, sigma in zip(answer.keypoints.unbind(-1), self.codec.bins, self.codec.sigma, strict=True):
            away = torch.arange(bins, device=at.device) - at[..., None] * self.codec.split_ratio
            axes.append(answer.scores[..., None] * torch.exp(-away.square() / (2 * sigma**2)))
        x, y = axes
        return x, y


def enlarged(distribution: Tensor, bins: int) -> Tensor:
    """Resample a distribution over cells (B, K, n) to bins, linearly between the cells' centres: (B, K, bins)."""
    return F.interpolate(distribution, size=bins, mode="linear", align_corners=False)


class TwoScale(RTMPose):
    """Thunder's frozen encoder and heads under a `TwoScaleHead`; used like any `RTMPose`."""

    # Pixels per heatmap cell.
    stride = TwoScaleHead.stride

    def __init__(self, backbone: Thunder, bodies: MoveNetHeads, head: TwoScaleHead) -> None:
        schema = schema_with(head.keypoints)
        super().__init__(backbone, head, head.codec, backbone.mean, backbone.std, schema)
        self.bodies = bodies.requires_grad_(False)

    def both(self, images: Tensor) -> tuple[Tensor, Tensor, Marginals]:
        """(B, 3, h, w) -> logits x, y and the heatmaps' distributions."""
        return self._look(images)[1:]

    def outputs(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See `RTMPose.outputs`."""
        return self._look(images)[:3]

    def _look(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Marginals]:
        assert isinstance(self.backbone, Thunder) and isinstance(self.head, TwoScaleHead)
        stages = self.backbone.stages(images)
        with torch.no_grad():
            answer = self.bodies(self.backbone.mix(stages).stride4)
        return stages.stride32, *self.head.both(stages, answer)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        x, y, _ = self.both(images)
        return x, y
