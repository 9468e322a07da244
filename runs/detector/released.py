"""The released YOLOX-nano as a network with one class, person, as initial weights for training.

    python runs/detector/released.py yolox_nano.onnx OUT.safetensors

In Megvii's ONNX release (Apache-2.0), batch norms are folded into the convolutions, whose weights have no names; they
come in the order in which the official code runs them. Nothing is written unless our network gives the same outputs as
the file.
"""

import argparse
from collections.abc import Sequence

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx import numpy_helper
from safetensors.torch import save_file
from torch import Tensor, nn

from wholebody.networks import yolox as networks
from wholebody.networks.yolox import YOLOXNetwork, yolox

CLASSES = 80


def _layer(self: nn.Module, x: Tensor) -> Tensor:
    """A CSP layer as the official code runs it: the way around before the blocks."""
    first, around = self.conv1(x), self.conv2(x)
    return self.conv3(torch.cat((self.m(first), around), dim=1))


def _head(self: nn.Module, maps: Sequence[Tensor]) -> Tensor:
    """The head as the official code runs it: the class before box and objectness."""
    for level, x in enumerate(maps):
        x = self.stems[level](x)
        self.cls_preds[level](self.cls_convs[level](x))
        box = self.reg_convs[level](x)
        self.reg_preds[level](box), self.obj_preds[level](box)
    return torch.zeros(1, 1, 5 + CLASSES)


def official_order(model: YOLOXNetwork) -> list[nn.Conv2d]:
    """The convolutions of a network in the order in which the official code runs them."""
    order: list[nn.Conv2d] = []
    hooks = [
        conv.register_forward_hook(lambda module, *_: order.append(module))
        for conv in model.modules()
        if isinstance(conv, nn.Conv2d)
    ]
    ours = networks._CSPLayer.forward, networks._Head.forward
    networks._CSPLayer.forward, networks._Head.forward = _layer, _head
    try:
        with torch.no_grad():
            model(torch.zeros(1, 3, 64, 64))
    finally:
        networks._CSPLayer.forward, networks._Head.forward = ours
        for hook in hooks:
            hook.remove()
    return order


@torch.no_grad()
def read_released(path: str) -> YOLOXNetwork:
    """The network of the ONNX file, with all of its classes."""
    graph = onnx.load(path).graph
    stored = {array.name: torch.from_numpy(numpy_helper.to_array(array).copy()) for array in graph.initializer}
    model = yolox("nano", CLASSES).eval()
    norms = {module.conv: module.bn for module in model.modules() if hasattr(module, "bn")}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    for conv, node in zip(official_order(model), convolutions, strict=True):
        weight, bias = (stored[name] for name in node.input[1:])
        assert weight.shape == conv.weight.shape
        conv.weight.copy_(weight)
        if norm := norms.get(conv):
            # A batch norm that only adds.
            norm.running_mean.zero_(), norm.running_var.fill_(1 - norm.eps), norm.weight.fill_(1)
            norm.bias.copy_(bias)
        else:
            conv.bias.copy_(bias)
    picture = np.random.default_rng(0).integers(0, 256, (1, 3, 416, 416)).astype(np.float32)
    (wanted,) = ort.InferenceSession(path).run(None, {graph.input[0].name: picture})
    error = np.abs(model(torch.from_numpy(picture)).numpy() - wanted).max()
    if not error < 1e-4:
        raise SystemExit(f"{path}: our network differs from it by {error:.2g}, so these are not its weights.")
    return model


def person_only(model: YOLOXNetwork) -> YOLOXNetwork:
    """The same network with its first class alone."""
    weights = {name: value[:1] if "cls_preds" in name else value for name, value in model.state_dict().items()}
    person = yolox("nano", 1).eval()
    person.load_state_dict(weights)
    return person


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("released")
    parser.add_argument("out")
    options = parser.parse_args()
    weights = person_only(read_released(options.released)).state_dict()
    save_file({name: value.contiguous() for name, value in weights.items()}, options.out)
    print(f"{options.out}: {sum(value.numel() for value in weights.values()):,} numbers")


if __name__ == "__main__":
    main()
