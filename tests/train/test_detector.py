import json
import re
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wholebody import cli
from wholebody.errors import WholebodyError
from wholebody.networks.yolox import load_yolox, yolox
from wholebody.train.detector import fit as fitting
from wholebody.train.detector import losses as loss
from wholebody.train.detector import scenes
from wholebody.train.detector.fit import fit
from wholebody.train.detector.losses import assign, decode, encode, losses, maps
from wholebody.train.detector.recipe import DetectorConfig
from wholebody.train.detector.scenes import Example, cut, draw
from wholebody.train.engine import run as engine
from wholebody.train.engine.step import start, step

TINY = DetectorConfig(
    steps=3,
    batch=2,
    sizes=((0.0, 64), (0.5, 96)),
    checkpoint_minutes=1e9,
    optim=replace(DetectorConfig().optim, warmup=2),
)


def example(rng, boxes=((20, 10, 60, 90),), ignore=(), size=(120, 100)):
    """A noisy picture of `size` (w, h) whose people are flat blue rectangles."""
    image = rng.integers(0, 60, (size[1], size[0], 3), dtype=np.uint8)
    for x0, y0, x1, y1 in boxes:
        image[y0:y1, x0:x1] = (250, 20, 20)
    return Example(image, *(np.array(b, np.float32).reshape(-1, 4) for b in (boxes, ignore)))


@pytest.fixture
def labels(tmp_path):
    rng = np.random.default_rng(0)
    rows = []
    for i, boxes in enumerate([[(20, 10, 60, 90)], [(5, 5, 40, 60), (60, 30, 110, 95)], []]):
        cv2.imwrite(str(tmp_path / f"{i}.png"), example(rng, boxes).image)
        rows.append({"file": f"{i}.png", "boxes": boxes, "ignore": [(0, 0, 9, 9)] if i == 0 else []})
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(rows))
    return str(path)


def perfect(box, size):
    """Logits (1, A, 6) in which the anchors that SimOTA gives the person, and they alone, are sure of it."""
    anchors, truth = maps(size), torch.tensor([box], dtype=torch.float32)
    logits = torch.full((1, len(anchors.cells), 6), -12.0)
    logits[0, :, :4] = encode(truth.expand(len(anchors.cells), 4), anchors)
    rows, _, _ = assign(decode(logits[0, :, :4], anchors), torch.ones(len(anchors.cells)), truth, anchors)
    logits[0, rows, 4:] = 12
    return logits, rows, truth, anchors


NOBODY = torch.zeros(0, 4)
EVERYWHERE = torch.tensor([[0.0, 0.0, 160.0, 160.0]])
BOX = (40, 40, 120, 140)


# Losses


@given(
    st.lists(
        st.tuples(st.floats(-4, 4), st.floats(-4, 4), st.floats(-3, 3), st.floats(-3, 3)), min_size=21, max_size=21
    )
)
def test_encode_inverts_decode(numbers):
    anchors = maps((32, 32))
    reg = torch.tensor(numbers)
    torch.testing.assert_close(encode(decode(reg, anchors), anchors), reg, atol=2e-4, rtol=1e-4)


def test_the_anchors_are_those_of_the_network_in_its_order():
    anchors = maps((96, 64))
    with torch.inference_mode():
        assert yolox("nano", 1).eval()(torch.zeros(1, 3, 64, 96)).shape[1] == len(anchors.cells)
    assert anchors.cells[:2].tolist() == [[0, 0], [1, 0]]
    assert anchors.cells[12].tolist() == [0, 1]
    assert anchors.strides[[0, 96, 120]].flatten().tolist() == [8, 16, 32]


def test_perfect_predictions_cost_next_to_nothing():
    logits, rows, truth, anchors = perfect(BOX, (160, 160))
    assert len(rows) == 10
    # 525 anchors, each of which adds softplus(-12) = 6e-6.
    assert max(losses(logits, [truth], [NOBODY], anchors)) < 1e-3


@pytest.mark.parametrize(
    ("change", "term"),
    [
        (lambda logits, rows: logits[0].index_add_(0, rows, torch.tensor([[0.7, 0, 0, 0, 0, 0]] * 10)), "iou"),
        (lambda logits, rows: logits[0].index_add_(0, rows, torch.tensor([[0, 0, 0.7, 0, 0, 0]] * 10)), "l1"),
        (lambda logits, rows: logits[0, :, 4].index_fill_(0, rows, -9), "objectness"),
        (lambda logits, rows: logits[0, :5, 4].fill_(3), "objectness"),
        (lambda logits, rows: logits[0, :, 5].index_fill_(0, rows, -9), "classes"),
    ],
)
def test_each_mistake_raises_its_own_term(change, term):
    logits, rows, truth, anchors = perfect(BOX, (160, 160))
    before = losses(logits, [truth], [NOBODY], anchors)
    change(logits, rows)
    after = losses(logits, [truth], [NOBODY], anchors)
    assert getattr(after, term) > getattr(before, term) + 0.05


def test_ignored_regions_neither_cost_nor_teach():
    logits, _, _, anchors = perfect(BOX, (160, 160))
    logits.requires_grad_()
    ignored = losses(logits, [NOBODY], [EVERYWHERE], anchors)
    assert not torch.stack(list(ignored)).any()
    ignored.objectness.backward()
    assert not logits.grad.any()
    assert losses(logits, [NOBODY], [NOBODY], anchors).objectness > 10


def test_a_person_inside_an_ignored_region_still_counts():
    logits, rows, truth, anchors = perfect(BOX, (160, 160))
    logits[0, rows, 4:] = -12
    assert losses(logits, [truth], [EVERYWHERE], anchors).objectness > 5


def test_two_people_share_no_anchor_and_the_nearer_level_wins():
    boxes = torch.tensor([[8.0, 8.0, 40.0, 40.0], [16.0, 8.0, 48.0, 40.0], [0.0, 0.0, 256.0, 256.0]])
    anchors = maps((256, 256))
    # Every anchor predicts a box of four strides around itself, as a network does that learned scale only.
    reg = torch.zeros(len(anchors.cells), 4)
    reg[:, :2], reg[:, 2:] = 0.5, float(np.log(4))
    rows, person, _ = assign(decode(reg, anchors), torch.full((len(reg),), 0.5), boxes, anchors)
    assert len(rows.unique()) == len(rows)
    assert set(person.tolist()) == {0, 1, 2}
    strides = anchors.strides[:, 0]
    assert strides[rows[person == 0]].mode().values == 8
    assert (strides[rows[person == 2]] == 32).all()
    centers = (anchors.cells + 0.5) * anchors.strides
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    assert ((centers[rows] - middle[person]).abs() < 1.5 * anchors.strides[rows]).all()


# Data


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_boxes_stay_on_their_people(seed, plain):
    rng = np.random.default_rng(seed)
    pool = [example(rng), example(rng, [(5, 5, 40, 60), (60, 30, 110, 95)]), example(rng, [])]
    canvas = draw(pool, 96, np.random.default_rng(seed), plain)
    assert canvas.image.shape == (96, 96, 3) and canvas.image.dtype == np.uint8
    for boxes in (canvas.boxes, canvas.ignore):
        assert boxes.dtype == np.float32 and boxes.shape[1:] == (4,)
        assert (boxes[:, 2:] > boxes[:, :2]).all() and boxes.min(initial=0) >= 0 and boxes.max(initial=0) <= 96


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 4, 9]))
def test_composed_boxes_show_the_colour_of_their_people(seed, cells):
    rng = np.random.default_rng(seed)
    canvas = scenes.compose([example(rng) for _ in range(cells)], 192, rng, (0.7, 1.5))
    canvas = scenes.flip(canvas)
    for x0, y0, x1, y1 in canvas.boxes:
        inside = canvas.image[int(np.ceil(y0)) : int(y1), int(np.ceil(x0)) : int(x1)]
        assert inside[..., 0].mean() > 200
    blue = (canvas.image[..., 0] > 200) & (canvas.image[..., 2] < 60)
    for x0, y0, x1, y1 in np.concatenate([canvas.boxes, canvas.ignore]).round().astype(int):
        blue[max(y0 - 1, 0) : y1 + 1, max(x0 - 1, 0) : x1 + 1] = False
    assert not blue.any()


def test_a_pasted_person_is_under_its_box():
    rng = np.random.default_rng(3)
    canvas = scenes.paste(example(rng, [], size=(128, 128)), example(rng), rng)
    (x0, y0, x1, y1), *rest = canvas.boxes.round().astype(int)
    assert not rest
    assert canvas.image[y0 + 2 : y1 - 2, x0 + 2 : x1 - 2, 0].mean() > 180
    assert canvas.image[..., 0].mean() < canvas.image[y0:y1, x0:x1, 0].mean()


@pytest.mark.parametrize(
    ("box", "kept", "ignored"),
    [
        ((10, 10, 50, 50), [(10, 10, 50, 50)], []),
        ((-10, 10, 30, 50), [(0, 10, 30, 50)], []),
        ((-90, 0, 10, 50), [], [(0, 0, 10, 50)]),  # a tenth is left
        ((10, 10, 13, 50), [], [(10, 10, 13, 50)]),  # too thin
        ((-50, 0, -10, 50), [], []),
    ],
)
def test_cut(box, kept, ignored):
    got = cut(np.array([box], np.float32), np.zeros((0, 4), np.float32), (100, 80), least=5)
    for boxes, want in zip(got, (kept, ignored), strict=True):
        np.testing.assert_array_equal(boxes, np.array(want).reshape(-1, 4))


def test_a_sample_depends_on_its_number_only(labels):
    pool = scenes.read_examples(labels, 64)
    first, again = (draw(pool, 64, np.random.default_rng([0, 5])) for _ in range(2))
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.boxes, again.boxes)


def test_large_pictures_shrink_with_their_boxes(labels):
    whole, shrunk = (scenes.read_examples(labels, longest)[0] for longest in (640, 60))
    assert whole.image.shape == (100, 120, 3) and shrunk.image.shape == (50, 60, 3)
    np.testing.assert_allclose(shrunk.boxes, whole.boxes / 2)
    np.testing.assert_allclose(shrunk.ignore, whole.ignore / 2)


@pytest.mark.parametrize(
    "content",
    [
        None,
        "{",
        '{"a": 1}',
        '[{"file": "0.png"}]',
        '[{"file": "0.png", "boxes": [[5, 5, 5, 9]]}]',
        '[{"file": "absent.png", "boxes": []}]',
    ],
)
def test_bad_labels_are_one_line(tmp_path, labels, content):
    path = tmp_path / "other.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(WholebodyError) as error:
        scenes.read_examples(path, 640)
    assert "\n" not in str(error.value)


# The run


@pytest.mark.slow
def test_a_killed_run_resumes_where_its_state_was_saved(tmp_path, labels, monkeypatch):
    recipe = replace(TINY, labels=(labels,))
    torch.set_num_threads(1)
    whole = fit(recipe, tmp_path / "whole")

    # The second run saves after every step and dies in its third.
    step, calls = engine.step, []

    def dying(*args):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return step(*args)

    with monkeypatch.context() as patched:
        patched.setattr(engine, "step", dying)
        with pytest.raises(KeyboardInterrupt):
            fit(replace(recipe, checkpoint_minutes=0), tmp_path / "stopped")
    resumed = fit(recipe, tmp_path / "stopped")
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], value)

    loaded = load_yolox(tmp_path / "stopped" / "model.safetensors")
    images = torch.rand(1, 3, 64, 64) * 255
    with torch.inference_mode():
        torch.testing.assert_close(loaded(images), whole(images))
    left = {path.name for path in (tmp_path / "stopped").iterdir()}
    assert left > {"first_batch.jpg", "metrics.jsonl", "model.safetensors", "recipe.json", "state.pt"}
    whole, broken = (
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("whole", "stopped")
    )
    assert [row["iou"] for row in whole] == [row["iou"] for row in broken]
    assert [("l1" in row) for row in whole] == [False, False, False]


@pytest.mark.slow
def test_a_few_steps_lower_the_loss(labels):
    torch.manual_seed(0)
    pool = scenes.read_examples(labels, 96)
    config = replace(TINY, sizes=((0.0, 64),), plain_from=0.0, batch=4, seed=1)
    batch = fitting.SceneDraws(pool, config).draw(range(4))
    optim = replace(config.optim, warmup=0, lr_end=2e-3)
    training = start(fitting.FindPeople(yolox("nano", 1)), optim, config.batch)
    rows = [step(training, n, 30, [batch]) for n in range(30)]
    losses = [float(row["iou"] / 5 + row["objectness"] + row["classes"] + row["l1"]) for row in rows]
    # It goes up and down, on every processor differently, because a step changes which cells count.
    assert min(losses[-10:]) < 0.85 * np.mean(losses[:5])


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_state(tmp_path, labels, monkeypatch):
    monkeypatch.setattr(
        fitting, "losses", lambda *_: loss.Losses(*[torch.tensor(float("nan"), requires_grad=True)] * 4)
    )
    with pytest.raises(WholebodyError, match="not finite at step 0"):
        fit(replace(TINY, labels=(labels,)), tmp_path / "run")
    assert not (tmp_path / "run" / "state.pt").exists()


def test_a_state_of_another_network_is_refused(tmp_path, labels):
    recipe = replace(TINY, labels=(labels,), steps=1)
    fit(recipe, tmp_path)
    with pytest.raises(WholebodyError, match="network nano"):
        fit(replace(recipe, network="tiny"), tmp_path)


def test_the_schedule_grows_the_canvas_and_ends_with_whole_pictures():
    config = DetectorConfig()
    assert [fitting.at_share(config, share) for share in (0, 0.49, 0.5, 0.84, 0.9)] == [
        (256, False),
        (256, False),
        (320, False),
        (416, False),
        (416, True),
    ]


def test_the_encoder_that_knows_people_has_its_own_rate(labels, tmp_path, monkeypatch):
    seen = []

    def looks(job, *_):
        seen.append(start(job.lesson, job.recipe.optim, job.recipe.batch, encoder=job.encoder).optimizer.param_groups)

    monkeypatch.setattr(fitting, "run", looks)
    optim = replace(TINY.optim, backbone=0.15, freeze=6)
    fit(replace(TINY, labels=(labels,), network="thunder", optim=optim), tmp_path)
    (groups,) = seen
    assert {group["factor"] for group in groups} == {0.15, 1.0}
    known = sum(p.numel() for group in groups for p in group["params"] if group["factor"] == 0.15)
    trunk = yolox("thunder", 1).backbone.backbone
    assert known == sum(p.numel() for p in trunk.blocks[6:].parameters())


def test_a_run_goes_on_from_a_trained_detector_with_its_norms_and_first_stages_kept(labels, tmp_path):
    torch.manual_seed(3)
    before = yolox("nano", 1)
    for norm in (module for module in before.modules() if isinstance(module, torch.nn.BatchNorm2d)):
        norm.running_mean.uniform_(-0.1, 0.1)
    fitting.save(before, tmp_path / "nano.safetensors")
    recipe = replace(
        TINY,
        labels=(labels,),
        init=str(tmp_path / "nano.safetensors"),
        keep_norms=True,
        optim=replace(TINY.optim, freeze=2),
    )
    after = fit(recipe, tmp_path / "run").state_dict()
    same = {name: torch.equal(value, after[name]) for name, value in before.state_dict().items()}
    assert all(kept for name, kept in same.items() if "running" in name)
    assert all(kept for name, kept in same.items() if re.match(r"backbone\.backbone\.(stem|dark2|dark3)\.", name))
    assert not same["backbone.backbone.dark4.0.pconv.conv.weight"] and not same["head.obj_preds.0.weight"]
    with pytest.raises(WholebodyError, match=r"nano\.safetensors: not a YOLOX-tiny"):
        fit(replace(recipe, network="tiny"), tmp_path / "tiny")


def test_the_command(labels, tmp_path, capsys):
    words = ["train", "detector", "--out", str(tmp_path / "run"), "--labels", labels, "--steps", "1", "--batch", "2"]
    with pytest.raises(SystemExit) as done:
        cli.main([*words, "--sizes", "0", "64", "--optim.lr", "1e-3"])
    assert done.value.code == 0
    saved = json.loads((tmp_path / "run" / "recipe.json").read_text())
    assert saved["optim"]["lr"] == 1e-3 and saved["optim"]["clip"] == 10 and saved["sizes"] == [[0.0, 64]]
    load_yolox(tmp_path / "run" / "model.safetensors")
