import json

import numpy as np
import pytest
import torch

from wholebody.train.distill import decay, divergence, feature_loss, label_loss, logit_loss
from wholebody.train.heatmaps import axes_loss, heatmap_loss


@pytest.fixture(scope="module")
def golden(oracle):
    return np.load(oracle / "05_losses.npz"), json.loads((oracle / "05_losses.json").read_text())["values"]


def tensors(arrays, *names):
    return [torch.from_numpy(arrays[name]) for name in names]


@pytest.mark.parametrize(
    ("weights", "value"), [("weights", "kld_b10_softmax_w"), ("weights_frac", "kld_b10_softmax_wfrac")]
)
def test_label_loss_golden(golden, weights, value):
    arrays, values = golden
    x, y, label_x, label_y, weight = tensors(arrays, "student_x", "student_y", "gt_x", "gt_y", weights)
    x.requires_grad_()
    y.requires_grad_()
    # The released loss is the sum over people.
    loss = len(x) * label_loss(x, y, label_x, label_y, weight)
    assert loss.item() == pytest.approx(values[value], rel=1e-5)
    loss.backward()
    if weights == "weights":
        np.testing.assert_allclose(x.grad, arrays["kld_b10_softmax_w_grad_x"], atol=1e-6)
        np.testing.assert_allclose(y.grad, arrays["kld_b10_softmax_w_grad_y"], atol=1e-6)


@pytest.mark.parametrize("beta", [0.1, 1.0])
def test_logit_loss_golden(golden, beta):
    arrays, values = golden
    x, y, teacher_x, teacher_y = tensors(arrays, "student_x", "student_y", "teacher_x", "teacher_y")
    x.requires_grad_()
    y.requires_grad_()
    loss = beta * logit_loss(x, y, teacher_x, teacher_y)
    assert loss.item() == pytest.approx(values[f"kd_weight{beta}"], rel=1e-5)
    loss.backward()
    if beta == 0.1:
        np.testing.assert_allclose(x.grad, arrays["kd_weight0.1_grad_x"], atol=1e-6)
        np.testing.assert_allclose(y.grad, arrays["kd_weight0.1_grad_y"], atol=1e-6)


def test_logit_loss_of_a_weight_counts_the_weighted(golden):
    arrays, _ = golden
    logits = tensors(arrays, "student_x", "student_y", "teacher_x", "teacher_y")
    weight = torch.zeros(logits[0].shape[:2])
    assert logit_loss(*logits, weight) == 0
    weight[:, 0] = 1.0
    alone = logit_loss(*(each[:, :1] for each in logits))
    assert logit_loss(*logits, weight).item() == pytest.approx(alone.item() / weight.shape[1], rel=1e-5)


def test_feature_loss_golden(golden):
    arrays, values = golden
    student, same, teacher, weight, bias = tensors(
        arrays, "fea_student", "fea_student_same", "fea_teacher", "fea_align_weight", "fea_align_bias"
    )
    student.requires_grad_()
    loss = 7e-5 * feature_loss(torch.nn.functional.conv2d(student, weight, bias), teacher)
    assert loss.item() == pytest.approx(values["fea_adaptor"], rel=1e-5)
    loss.backward()
    np.testing.assert_allclose(student.grad, arrays["fea_grad_student"], rtol=1e-4, atol=1e-8)
    assert (7e-5 * feature_loss(same, teacher)).item() == pytest.approx(values["fea_same_channels"], rel=1e-5)


def test_decay_golden(golden):
    for row in golden[1]["decay"]:
        assert decay(row["epoch0"] + 1, row["max_epochs"]) == pytest.approx(row["factor"])


def test_divergence_of_equals_is_zero_and_otherwise_positive():
    logits = torch.randn(3, 4, 20, generator=torch.Generator().manual_seed(0))
    assert divergence(logits, logits).abs().max() < 1e-5
    assert (divergence(logits, logits.flip(-1)) > 0.1).all()


def test_heatmap_loss_is_least_at_the_right_place():
    keypoints = torch.tensor([[[43.5, 91.5]]])  # the centre of cell (5, 11) at stride 8
    weight = torch.ones(1, 1)
    losses = {}
    for x, y in ((5, 11), (6, 11), (5, 10), (11, 5)):
        logits = torch.zeros(1, 1, 32, 24)
        logits[0, 0, y, x] = 8
        losses[x, y] = heatmap_loss(logits, keypoints, weight, stride=8).item()
    assert min(losses, key=losses.get) == (5, 11)


def test_points_outside_the_map_or_without_weight_do_not_count():
    logits = torch.randn(1, 2, 32, 24, generator=torch.Generator().manual_seed(0))
    keypoints = torch.tensor([[[-50.0, 20.0], [30.0, 40.0]]])
    assert heatmap_loss(logits, keypoints, torch.tensor([[1.0, 0.0]]), stride=8) == 0
    assert heatmap_loss(logits, keypoints, torch.tensor([[1.0, 1.0]]), stride=8) > 0


def test_axes_loss_is_least_for_the_labels_own_distributions():
    keypoints, weight = torch.tensor([[[43.5, 91.5], [200.0, 3.0]]]), torch.ones(1, 2)
    columns, rows = torch.arange(48.0), torch.arange(64.0)
    losses = {}
    for x, y in ((10.5, 22.5), (11.5, 22.5), (10.5, 21.5), (22.5, 10.5)):
        across, down = ((-((cells - at) ** 2) / 2).softmax(dim=0) for cells, at in ((columns, x), (rows, y)))
        axes = across.expand(1, 2, -1), down.expand(1, 2, -1)
        losses[x, y] = axes_loss(*axes, keypoints, weight, stride=4).item()
        # The second keypoint lies outside.
        assert losses[x, y] == axes_loss(*axes, keypoints, torch.tensor([[1.0, 0.0]]), stride=4).item()
    assert min(losses, key=losses.get) == (10.5, 22.5)
