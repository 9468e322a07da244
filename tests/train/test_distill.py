import dataclasses
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import oracle as reference
from wholebody.errors import WholebodyError
from wholebody.networks.rtmpose import rtmpose
from wholebody.schema import COCO_WHOLEBODY
from wholebody.train import build as building
from wholebody.train import released
from wholebody.train.config import RELEASED_PEOPLE, DataSource, Distill, Optim, TrainConfig
from wholebody.train.distill import StageOne, StageTwo, said
from wholebody.train.engine.optim import average, learning_rate
from wholebody.train.lesson import Batch
from wholebody.train.recipes import DISTILLATIONS, RECIPES
from wholebody.train.teachers import Checkpoint
from wholebody.train.warm import WarmStart, unexplained

# Run of the golden file: sizes of teacher and student, stage, feature channels.
RUNS = {"s1_l_to_t": ("l", "t", 1), "s1_x_to_l_small_batch": ("x", "l", 1), "s2_t_t": ("t", "t", 2)}
MODES = ("official_train_mode", "teacher_eval_mode", "all_eval_mode")


def cases():
    """The large pair in one mode only: its networks take seconds."""
    return [(run, mode) for run in RUNS for mode in MODES if run != "s1_x_to_l_small_batch" or mode == MODES[0]]


def filled(module: nn.Module, prefix: str) -> nn.Module:
    shapes = {prefix + name: value.shape for name, value in module.state_dict().items()}
    values = reference.state_dict(shapes)
    module.load_state_dict({name.removeprefix(prefix): torch.from_numpy(v) for name, v in values.items()})
    return module


@pytest.fixture(scope="module")
def golden(oracle):
    return json.loads((oracle / "05_distiller.json").read_text()), np.load(oracle / "05_distiller.npz")


def build(run, mode, epochs, n):
    """The lesson of a golden run, and the official names of what it trains."""
    teacher_size, student_size, stage = RUNS[run]
    faithful = mode == "official_train_mode"
    teacher, student = filled(rtmpose(teacher_size), "teacher."), filled(rtmpose(student_size), "student.")
    if stage == 2:
        stage = released.DriftingStageTwo if faithful else StageTwo
        lesson = stage(teacher, student.head, Distill(stage=2))
    else:
        ask = Checkpoint(teacher, student.codec)
        ask = released.in_train_mode(ask) if faithful else ask
        weights = released.summed(Distill(), n)
        r = building.fading(weights, epochs)
        lesson = StageOne(student, ask, weights, teacher.backbone.channels, r)
        filled(lesson.align, "distill_losses.loss_fea.align.")
    lesson.train(mode != "all_eval_mode")
    named = {}
    for name, parameter in lesson.named_parameters():
        official = name.replace("network.", "student.").replace("align.", "distill_losses.loss_fea.align.")
        named[official] = parameter
    return lesson, named, teacher


@pytest.mark.slow
@pytest.mark.parametrize(("run", "mode"), cases())
def test_a_distillers_step_golden(golden, run, mode):
    facts, arrays = golden
    expected = facts["runs"][f"{run}/{mode}"]
    n, epoch, epochs = expected["N"], expected["epoch0"], expected["max_epochs"]
    lesson, named, teacher = build(run, mode, epochs, n)
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    keypoints, visible = arrays[f"{run}|keypoints"], arrays[f"{run}|visible"]
    weight = lesson.network.codec.weight(keypoints, visible)
    images = np.stack([reference.image(256, 192, i, facts["image_salt"]) for i in range(n)])
    batch = Batch(*map(torch.from_numpy, (images, keypoints.astype(np.float32), weight * visible)))
    terms = lesson(batch, epoch / epochs)
    names = {"loss_kpt": "ori", "loss_fea": "fea", "loss_logit": "logit"}
    for official, ours in names.items():
        if official in expected["losses"]:
            assert terms[ours].item() == pytest.approx(expected["losses"][official], rel=2e-4), official
    assert terms.keys() == {names[each] for each in expected["losses"] if each in names}
    loss = torch.stack(list(terms.values())).sum()
    assert loss.item() == pytest.approx(expected["loss_total"], rel=2e-4)
    loss.backward()
    norms = {name: float(p.grad.norm()) for name, p in named.items() if p.grad is not None}
    assert norms.keys() == expected["grad_norms"].keys()
    largest = max(expected["grad_norms"].values())
    for name, norm in expected["grad_norms"].items():
        assert norms[name] == pytest.approx(norm, rel=5e-3, abs=1e-5 * largest), name
    for key in arrays.files:
        where, _, name = key.rpartition("|")
        if where == f"{run}|{mode}|grad":
            grad = named[name].grad.numpy()[:64]
            np.testing.assert_allclose(
                grad.reshape(arrays[key].shape), arrays[key], atol=2e-3 * np.abs(arrays[key]).max()
            )
    changed = [
        name
        for name, value in teacher.state_dict().items()
        if "running" in name or "num_batches" in name
        if not torch.equal(value, before[name])
    ]
    assert len(changed) == expected["teacher_bn_buffers_changed"]


def test_schedules_golden(oracle):
    facts = json.loads((oracle / "05_schedules.json").read_text())
    published = DISTILLATIONS["dwpose-t"]()
    for key, rates in facts.items():
        if not key.startswith("s"):
            continue
        epochs, per_epoch = int(key.split("_")[1]), int(key.rpartition("L")[2])
        optim = (published.first if key.startswith("s1") else published.second).optim
        for step, rate in rates.items():
            found = learning_rate(int(step), epochs * per_epoch, optim)
            assert found == pytest.approx(rate, rel=1e-6), (key, step)


def test_average_golden(oracle):
    records = {
        row["update_index"]: row for row in json.loads((oracle / "05_schedules.json").read_text())["ema"]["records"]
    }
    draws, source, kept = np.random.RandomState(4), nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    for step in range(max(records) + 1):
        with torch.no_grad():
            source.weight.copy_(torch.from_numpy(draws.standard_normal(2)).float())
            source.running_mean.copy_(2 * source.weight)
        average(kept, source, step, Optim())
        if step in records:
            np.testing.assert_allclose(kept.weight.detach(), records[step]["param"], atol=2e-6)
            np.testing.assert_allclose(kept.running_mean, records[step]["running_mean"], atol=4e-6)


# --- beyond the golden numbers ----------------------------------------------------------------------------------------

SIZE = (64, 64)
THUNDER = TrainConfig("teacher", "thunder", (DataSource("shards", ""),), input_size=SIZE)


@pytest.fixture(scope="module")
def networks():
    return filled(rtmpose("s", SIZE), "teacher.").eval(), filled(rtmpose("t", SIZE), "student.")


def batch_of(network, n, seed=0):
    rng = np.random.default_rng(seed)
    keypoints = rng.uniform(0, 64, (n, len(COCO_WHOLEBODY), 2)).astype(np.float32)
    visible = (rng.random(keypoints.shape[:2]) > 0.3).astype(np.float32)
    weight = network.codec.weight(keypoints, visible)
    images = rng.integers(0, 256, (n, 64, 64, 3), dtype=np.uint8)
    return Batch(*map(torch.from_numpy, (images, keypoints, weight * visible)))


def stage_one(networks, **changes):
    teacher, student = networks
    weights, stage = replace(Distill(), **changes), released.MaskedStageOne if changes.get("masked") else StageOne
    channels = teacher.backbone.channels
    return stage(student, Checkpoint(teacher, student.codec), weights, channels, building.fading(weights, 0)).eval()


def test_the_balance_does_not_depend_on_the_batch(networks):
    lesson = stage_one(networks)
    batch = batch_of(lesson.network, 2)
    twice = Batch(*(torch.cat([each, each]) for each in batch[:3]))
    once, doubled = lesson(batch, 0.2), lesson(twice, 0.2)
    for name in once:
        assert doubled[name].item() == pytest.approx(once[name].item(), rel=1e-4)
    for people in (2, 4):
        summed = stage_one(networks, people=released.summed(Distill(), people).people)
        expected = people / RELEASED_PEOPLE * once["ori"].item()
        assert summed(twice, 0.2)["ori"].item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({}, {"ori", "fea", "logit"}),
        ({"alpha": 0.0}, {"ori", "logit"}),
        ({"ori": 0.0, "beta": 0.0}, {"fea"}),
        ({"ori": 0.0, "alpha": 0.0}, {"logit"}),
    ],
)
def test_terms_are_left_out_by_a_factor_of_zero(networks, changes, names):
    lesson = stage_one(networks, **changes)
    assert lesson(batch_of(lesson.network, 1), 0.0).keys() == names


@pytest.mark.parametrize(
    ("falls", "epochs", "done", "r"),
    [
        (True, 0, 0.0, 1.0),
        (True, 0, 0.25, 0.75),
        (True, 10, 0.29, 0.8),
        (True, 270, 27 / 270, 0.9),
        (False, 10, 0.9, 1.0),
    ],
)
def test_decay(falls, epochs, done, r):
    assert building.fading(Distill(decay=falls), epochs)(done) == pytest.approx(r)


def test_labels_do_not_reach_the_logit_loss_unless_masked(networks):
    free, masked = stage_one(networks), stage_one(networks, masked=True)
    batch = batch_of(free.network, 2)
    unlabelled = batch._replace(weight=torch.zeros_like(batch.weight))
    assert free(unlabelled, 0.0)["logit"].item() == pytest.approx(free(batch, 0.0)["logit"].item(), rel=1e-5)
    assert masked(unlabelled, 0.0)["logit"].item() == 0
    assert 0 < masked(batch, 0.0)["logit"].item() < free(batch, 0.0)["logit"].item()


def test_what_a_teacher_said_beforehand_is_what_it_says_now(networks):
    lesson = stage_one(networks)
    batch = batch_of(lesson.network, 2)
    taught = lesson.teacher(batch.images)
    known = batch._replace(teacher_x=taught.x, teacher_y=taught.y, teacher_feature=taught.feature)
    live, lesson.teacher = lesson(batch, 0.1), None
    for name, term in lesson(known, 0.1).items():
        assert term.item() == pytest.approx(live[name].item(), rel=1e-6)


def test_a_teacher_is_neither_trained_nor_saved(networks):
    lesson = stage_one(networks)
    assert all(name.startswith(("network.", "align.")) for name in lesson.state_dict())
    assert not any(p.requires_grad for p in lesson.teacher.network.parameters())


@pytest.mark.parametrize("faithful", [False, True])
def test_stage_two_keeps_the_backbone_unless_faithful(faithful):
    trained, fresh = filled(rtmpose("t", SIZE), "teacher."), filled(rtmpose("t", SIZE), "student.")
    before = {name: value.clone() for name, value in trained.backbone.state_dict().items()}
    stage = released.DriftingStageTwo if faithful else StageTwo
    lesson = stage(trained, fresh.head, Distill(stage=2))
    optimizer = torch.optim.Adam([p for p in lesson.parameters() if p.requires_grad], 1e-3)
    lesson.train()
    losses = []
    for _ in range(3):
        optimizer.zero_grad()
        loss = lesson(batch_of(trained, 2))["logit"]
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
    assert losses[-1] < losses[0]
    after = lesson.network.backbone.state_dict()
    parameters = {name for name, _ in lesson.network.backbone.named_parameters()}
    same = {name for name, value in after.items() if torch.equal(value, before[name])}
    assert parameters <= same
    assert (same == set(after)) != faithful
    assert lesson.network.head is not trained.head


@pytest.mark.slow
def test_a_warm_start_explains_the_maps_of_every_stride():
    torch.manual_seed(2)
    teacher, student = building.build(THUNDER), rtmpose("t", SIZE)
    head = {name: value.clone() for name, value in student.head.state_dict().items()}
    lesson = WarmStart(student, teacher)
    optimizer = torch.optim.AdamW([p for p in lesson.parameters() if p.requires_grad], 3e-3)
    curve = []
    for _ in range(30):
        terms = lesson(batch_of(student, 4))
        optimizer.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        optimizer.step()
        curve.append({name: term.item() for name, term in terms.items()})
    assert curve[0].keys() == {"stride4", "stride8", "stride16", "stride32"}
    assert all(curve[-1][name] < 0.9 * curve[0][name] for name in curve[0])
    assert all(torch.equal(value, head[name]) for name, value in student.head.state_dict().items())
    assert all(name.startswith(("network.", "aligns.")) for name in lesson.state_dict())


def test_a_warm_start_needs_thunders_maps(networks):
    with pytest.raises(WholebodyError, match="Thunder's encoder"):
        WarmStart(networks[1], networks[0])


def test_the_unexplained_share():
    target = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    mean = target.mean(dim=(0, 2, 3), keepdim=True).expand_as(target)
    assert unexplained(target, target) == 0
    assert unexplained(mean, target).item() == pytest.approx(1, rel=1e-5)
    assert unexplained((mean + target) / 2, target).item() == pytest.approx(0.25, rel=1e-4)


def test_every_published_pair_has_a_recipe(oracle):
    facts = json.loads((oracle / "05_hyperparameters.json").read_text())
    first, second = facts["stage1"], facts["stage2"]
    for name, recipe in DISTILLATIONS.items():
        if not name.startswith("dwpose"):
            continue
        one, two = recipe().first, recipe().second
        assert (one.epochs, one.distill.alpha, one.distill.beta) == (
            first["epochs"], first["alpha_fea_code"], first["beta_kd_weight_code"]
        )  # fmt: skip
        # The released code sums the label loss over the batch of one of eight processes.
        assert one.distill.people == one.batch / 8 == (32 if name.endswith("384") else 64)
        assert (two.epochs, two.distill.gamma) == (second["epochs"], second["gamma_kd_weight"])
        assert one.augment.late == first["pipeline_switch_epoch"] / first["epochs"]
    published = {(p["teacher"], p["student"]) for p in facts["summary_pairs_coco_ubody"] if p["stage"] == 1}
    assert len(published) == sum(name.startswith("dwpose") for name in DISTILLATIONS)


def test_recipes_build_without_torch_objects():
    for make in RECIPES.values():
        json.dumps(dataclasses.asdict(make()))
    for make in DISTILLATIONS.values():
        json.dumps(dataclasses.asdict(make()))


def test_said_needs_somebody_who_says_it(networks):
    with pytest.raises(ValueError, match="no stored teacher output"):
        said(None, batch_of(networks[1], 1))
