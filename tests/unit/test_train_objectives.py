"""Losses against their formulas, written out."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seedbed.errors import ParameterError
from seedbed.models import create_model
from seedbed.train.objectives import build_objective


def loss_of(name, logits, labels, **options):
    loss, parts = build_objective(name, **options)(lambda _: logits, (None, labels))
    assert parts == {}
    return float(loss)


def test_multilabel_soft_margin_by_hand():
    """The mean over classes of -y log s(x) - (1 - y) log(1 - s(x))."""
    logits, labels = torch.tensor([[2.0, -1.0], [0.0, 3.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    softplus = lambda x: math.log1p(math.exp(x))  # noqa: E731
    expected = (softplus(-2) + softplus(-1) + softplus(0) + softplus(-3)) / 4
    assert loss_of("multilabel_soft_margin", logits, labels) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_by_hand(smoothing):
    logits, labels = torch.tensor([[2.0, -1.0, 0.5]]), torch.tensor([[0.0, 0.0, 1.0]])
    total = math.log(sum(math.exp(x) for x in (2.0, -1.0, 0.5)))
    target = [smoothing / 3, smoothing / 3, 1 - smoothing + smoothing / 3]
    expected = sum(weight * (total - x) for weight, x in zip(target, (2.0, -1.0, 0.5), strict=True))
    assert loss_of("cross_entropy", logits, labels, label_smoothing=smoothing) == pytest.approx(expected, rel=1e-6)


def pixel_loss(logits, labels):
    """Mean of -log softmax over the pixels that are not void."""
    counted = [
        math.log(sum(math.exp(x) for x in logits[b, :, i, j].tolist())) - float(logits[b, label, i, j])
        for b, picture in enumerate(labels.tolist())
        for i, row in enumerate(picture)
        for j, label in enumerate(row)
        if label != 255
    ]
    return sum(counted) / len(counted)


def test_pixel_cross_entropy_leaves_void_out():
    logits = torch.randn(2, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[[0, 255], [2, 1]], [[255, 255], [255, 0]]])
    assert loss_of("pixel_cross_entropy", logits, labels) == pytest.approx(pixel_loss(logits, labels), rel=1e-5)


@given(st.integers(0, 10**6))
def test_void_pixels_have_no_gradient(seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(1, 3, 4, 4, generator=generator).requires_grad_()
    labels = torch.randint(0, 3, (1, 4, 4), generator=generator)
    labels[torch.rand(1, 4, 4, generator=generator) < 0.4] = 255
    loss, _ = build_objective("pixel_cross_entropy")(lambda _: logits, (None, labels))
    loss.backward()
    moved = logits.grad.abs().sum(1) > 0
    assert torch.equal(moved, labels != 255)


def test_a_picture_of_void_costs_nothing():
    assert loss_of("pixel_cross_entropy", torch.randn(1, 3, 2, 2), torch.full((1, 2, 2), 255)) == 0


def test_balanced_background_and_foreground():
    """Each weighs half, however many pixels it has; one without pixels is 0."""
    logits = torch.randn(2, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[[0, 255], [2, 1]], [[255, 255], [255, 2]]])
    only = lambda chosen: torch.where(chosen, labels, 255)  # noqa: E731
    background, foreground = pixel_loss(logits, only(labels == 0)), pixel_loss(logits, only(labels != 0))
    balanced = lambda labels: loss_of("pixel_cross_entropy", logits, labels, balanced=True)  # noqa: E731
    assert balanced(labels) == pytest.approx((background + foreground) / 2, rel=1e-5)
    assert balanced(only(labels == 0)) == pytest.approx(background / 2, rel=1e-5)
    assert balanced(only(labels != 0)) == pytest.approx(foreground / 2, rel=1e-5)
    assert balanced(torch.full_like(labels, 255)) == 0


@pytest.mark.parametrize(("align_corners", "middle"), [(True, 0.5), (False, 0.25)])
def test_logits_are_enlarged_to_the_labels(align_corners, middle):
    """Two cells to three and to four pixels: corners on corners, or centres at a quarter of a cell."""
    size = 3 if align_corners else 4
    logits = torch.tensor([[[[0.0, 1.0]], [[0.0, 0.0]]]])
    labels = torch.full((1, 1, size), 255)
    labels[0, 0, 1] = 1
    expected = math.log(math.exp(middle) + 1)
    assert loss_of("pixel_cross_entropy", logits, labels, align_corners=align_corners) == pytest.approx(
        expected, rel=1e-6
    )


def test_half_precision_logits_are_summed_in_single():
    logits = torch.full((1, 2, 1, 1), 300.0, dtype=torch.bfloat16)
    assert loss_of("pixel_cross_entropy", logits, torch.zeros(1, 1, 1, dtype=torch.long)) == pytest.approx(math.log(2))


def test_mistakes_are_named():
    with pytest.raises(ParameterError, match=r"Unknown loss 'cross_entrpy'. Did you mean 'cross_entropy'"):
        build_objective("cross_entrpy")
    with pytest.raises(ParameterError, match=r"loss 'cross_entropy': .*'smoothing'"):
        build_objective("cross_entropy", smoothing=0.1)


def test_cross_entropy_of_two_heads_is_their_sum():
    """Conformer and MCTformer pay for each head; every head's part is told."""
    truth = torch.eye(3)[[2, 0]]
    for name, options in (
        ("mctformerv2_tiny", {"img_size": 16, "embed_dim": 16, "depth": 1, "num_heads": 2}),
        ("conformer_tiny_demo", {"width": 8, "stem_width": 8, "embed_dim": 16, "depth": 3, "num_heads": 2}),
    ):
        torch.manual_seed(0)
        model, pictures = create_model(name, 3, **options).eval(), torch.randn(2, 3, 16, 16)
        loss, parts = build_objective("cross_entropy")(model, (pictures, truth))
        heads = model(pictures).heads
        expected = {key: -logits.log_softmax(1)[[0, 1], [2, 0]].mean() for key, logits in heads.items()}
        assert parts == {key: pytest.approx(float(value), rel=1e-5) for key, value in expected.items()}
        assert float(loss) == pytest.approx(float(sum(expected.values())), rel=1e-5)
