"""Fine-tuning a two-scale network: what learns, what stays, and what a teacher is not asked."""

import pytest
import torch

from wholebody.networks.rtmpose import simcc
from wholebody.networks.thunder import MoveNetHeads, Thunder
from wholebody.networks.two_scale import Presence, TwoScale, TwoScaleHead
from wholebody.train.config import Optim
from wholebody.train.data.people import NOWHERE
from wholebody.train.engine.step import start, step
from wholebody.train.fine_tuning import FineTuning
from wholebody.train.lesson import Batch

SIZE, FROZEN, CUT_OFF = (64, 64), 6, 40
OPTIM = Optim(lr=1e-3, warmup=0, backbone=0.5)


@pytest.fixture
def network():
    torch.manual_seed(0)
    network = TwoScale(Thunder(), MoveNetHeads(), TwoScaleHead(simcc(SIZE)))
    network.head.presence = Presence()
    return network


@pytest.fixture
def batch():
    torch.manual_seed(1)
    keypoints = torch.rand(2, 133, 2) * 60
    weight = (torch.rand(2, 133) < 0.7).float()
    keypoints[:, CUT_OFF], weight[:, CUT_OFF] = NOWHERE, 0.3
    return Batch(torch.randint(256, (2, *SIZE, 3), dtype=torch.uint8), keypoints, weight)


@pytest.mark.parametrize("count", (0, 3, 6, 17))
def test_an_encoder_that_stops_after_some_blocks_goes_on_to_the_same_stages(network, count):
    encoder, images = network.backbone.eval(), torch.randn(1, 3, *SIZE)
    with torch.no_grad():
        for one, other in zip(encoder.resume(encoder.begin(images, count)), encoder.stages(images), strict=True):
            assert torch.equal(one, other)


def test_it_starts_as_it_was_and_only_the_last_blocks_and_the_head_learn(network, batch):
    network.presence = None
    lesson = FineTuning(network, FROZEN)
    assert network.head.presence is None
    training = start(lesson, OPTIM, batch=2)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    first = step(training, 0, 10, [batch])
    assert first["ori"] > 0 and first["keep"] == 0 and first["stay"] == pytest.approx(0, abs=1e-7)
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    learning = ("head.", "backbone.top.", *(f"backbone.blocks.{n}." for n in range(FROZEN, 17)))
    assert changed and all(name.startswith(learning) for name in changed)
    assert {name.split(".")[2] for name in changed if "blocks" in name} == {str(n) for n in range(FROZEN, 17)}
    # The batch norms of the head keep their statistics.
    assert not any("running" in name for name in changed)
    second = step(training, 1, 10, [batch])
    assert second["stay"] > 0 and second["keep"] > 0


def test_a_teacher_is_not_asked_about_what_is_cut_off(network, batch):
    lesson = FineTuning(network, FROZEN)
    said = [torch.randn(2, 133, 128) for _ in range(2)]
    other = [each.clone() for each in said]
    for each in other:
        each[:, CUT_OFF] += torch.randn(128)
    with torch.no_grad():
        one, two = (lesson(batch._replace(teacher_x=x, teacher_y=y))["stay"] for x, y in (said, other))
        other[0][:, 0] += torch.randn(128)
        three = lesson(batch._replace(teacher_x=other[0], teacher_y=other[1]))["stay"]
    assert torch.equal(one, two) and not torch.equal(one, three)
