"""Relevance rules against explicit sums, and what they promise: relevance is conserved."""

import pytest
import torch
from explain_models import FAMILIES, build, images_for
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from seedbed.errors import ParameterError
from seedbed.explain import explain
from seedbed.explain.forward import run_blocks
from seedbed.explain.layers import Linear
from seedbed.explain.relevance import logit_relevance, past_attention, past_mlp, to_attention
from seedbed.explain.relevance_rules import inverse, rules_named, through_copy, through_product, through_sum
from seedbed.explain.targets import Pairs
from seedbed.explain.vit import ViT

EPS = 1e-9


def same(x):
    return x


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def divide(a: float, b: float) -> float:
    return a / (b + EPS if b + EPS != 0 else EPS) if b != 0 else 0.0


@pytest.mark.parametrize("value", [2.0, -2.0, 0.0, -EPS, 1e-12, -3e-9])
def test_safe_division(value):
    found = inverse(torch.tensor([value], dtype=torch.float64))
    assert found.item() == pytest.approx(divide(1.0, value), rel=1e-12)


def test_safe_division_keeps_nan():
    assert inverse(torch.tensor([float("nan")])).isnan().all()


def test_linear_rule_by_hand():
    # One output, contributions w x = (2, -6, 4): positives share 6 in "ours"; 1 goes to inputs 0 and 2 as 2/6 and 4/6.
    layer = Linear(torch.tensor([[1.0, -2.0, -1.0]], dtype=torch.float64), torch.tensor([5.0], dtype=torch.float64))
    x = torch.tensor([[2.0, 3.0, -4.0]], dtype=torch.float64)
    one = torch.ones(1, 1, dtype=torch.float64)
    ours = rules_named("ours").linear(layer, x, layer(x), one.clone(), same)
    torch.testing.assert_close(ours, torch.tensor([[2 / 6, 0.0, 4 / 6]], dtype=torch.float64), rtol=1e-8, atol=1e-12)
    # "orig" gives the positive inputs' contribution (2) and the negative inputs' (4) a whole relevance each.
    orig = rules_named("orig").linear(layer, x, layer(x), one.clone(), same)
    torch.testing.assert_close(orig, torch.tensor([[1.0, 0.0, 1.0]], dtype=torch.float64), rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("rules", ["ours", "orig"])
def test_linear_rule_equals_explicit_sums(rules):
    layer, x, relevance = Linear(drawn(5, 7), drawn(5, seed=1)), drawn(3, 7, seed=2), drawn(3, 5, seed=3)
    expected = torch.zeros(3, 7, dtype=torch.float64)
    for n in range(3):
        for j in range(5):
            w = layer.weight[j]
            above = [max(w[i].item(), 0) * max(x[n, i].item(), 0) for i in range(7)]
            below = [min(w[i].item(), 0) * min(x[n, i].item(), 0) for i in range(7)]
            for i in range(7):
                r = relevance[n, j].item()
                if rules == "ours":
                    expected[n, i] += (above[i] + below[i]) * divide(r, sum(above) + sum(below))
                else:
                    expected[n, i] += above[i] * divide(r, sum(above)) + below[i] * divide(r, sum(below))
    found = rules_named(rules).linear(layer, x, layer(x), relevance.clone(), same)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def test_scratch_memory_is_safe_for_layers_of_different_sizes():
    rules = rules_named("ours")
    for size in (3, 40, 8):
        layer, x, relevance = Linear(drawn(5, size)), drawn(2, size, seed=1), drawn(2, 5, seed=2)
        found = rules.linear(layer, x, layer(x), relevance.clone(), same)
        fresh = rules_named("ours").linear(layer, x, layer(x), relevance.clone(), same)
        assert torch.equal(found, fresh)


def test_sum_rule_by_hand():
    a, b = torch.tensor([[3.0, -1.0]], dtype=torch.float64), torch.tensor([[1.0, 2.0]], dtype=torch.float64)
    relevance = torch.tensor([[4.0, 1.0]], dtype=torch.float64)
    # Proportional shares: a gets (3, -1), b gets (1, 2).
    of_a, of_b = through_sum(a, b, a + b, relevance.clone(), rules_named("orig"), same)
    torch.testing.assert_close(of_a, torch.tensor([[3.0, -1.0]], dtype=torch.float64), rtol=1e-8, atol=0)
    torch.testing.assert_close(of_b, torch.tensor([[1.0, 2.0]], dtype=torch.float64), rtol=1e-8, atol=0)
    # Sums 2 and 3 of the whole 5: normalising leaves them as they are, since they already add up.
    of_a, of_b = through_sum(a, b, a + b, relevance.clone(), rules_named("ours"), same)
    torch.testing.assert_close(of_a.sum(), torch.tensor(2.0, dtype=torch.float64), rtol=1e-7, atol=0)
    # Shares of opposite sums, 6 and -1 (whole 5): |6| and |-1| split the 5 as 30/7 and 5/7.
    b = torch.tensor([[-1.0, 0.0]], dtype=torch.float64)
    a = torch.tensor([[5.0, 1.0]], dtype=torch.float64)
    relevance = torch.tensor([[4.0, 1.0]], dtype=torch.float64)
    of_a, of_b = through_sum(a, b, a + b, relevance.clone(), rules_named("ours"), same)
    torch.testing.assert_close(of_a.sum().item(), 30 / 7, rtol=1e-7, atol=0)
    torch.testing.assert_close(of_b.sum().item(), 5 / 7, rtol=1e-7, atol=0)


def test_product_rule_by_hand():
    x = torch.tensor([[[1.0, 2.0]]], dtype=torch.float64)
    y = torch.tensor([[[3.0], [4.0]]], dtype=torch.float64)  # products 3 and 8 of 11
    of_x, of_y = through_product(x, y, x @ y, torch.full((1, 1, 1), 11.0, dtype=torch.float64), same)
    torch.testing.assert_close(of_x, torch.tensor([[[1.5, 4.0]]], dtype=torch.float64), rtol=1e-8, atol=0)
    torch.testing.assert_close(of_y, torch.tensor([[[1.5], [4.0]]], dtype=torch.float64), rtol=1e-8, atol=0)


def test_copy_rule_keeps_relevance_except_at_zero():
    x = torch.tensor([2.0, -3.0, 0.0], dtype=torch.float64)
    found = through_copy(x, torch.tensor([1.0, 4.0, 5.0], dtype=torch.float64), same)
    torch.testing.assert_close(found, torch.tensor([1.0, 4.0, 0.0], dtype=torch.float64), rtol=1e-8, atol=0)


def boundary_sums(model, images, label: int, name: str) -> list[tuple[float, float]]:
    """Return the sum of the tokens' relevance, and of its size, after each block from the top, and at the input."""
    vit, rules = ViT(model), rules_named(name)
    readout = vit.readout()
    tokens, _ = vit.embed(images)
    records = list(run_blocks(vit, tokens, readout))
    pairs = Pairs(torch.tensor([0]), torch.tensor([label]), len(images))
    relevance = logit_relevance(readout, records[-1], rules, pairs)
    sums = [(relevance.sum().item(), relevance.abs().sum().item())]
    for record in reversed(records):
        parts = to_attention(record, past_mlp(record, relevance, rules, pairs), rules, pairs)
        relevance = past_attention(record, *parts, rules, pairs)
        sums.append((relevance.sum().item(), relevance.abs().sum().item()))
    return sums


def bias_of_head(model):
    """Bias of the class scores; a distilled model averages those of its two heads."""
    heads = [getattr(model, name) for name in ("head", "head_dist") if hasattr(model, name)]
    return torch.stack([head.bias for head in heads if isinstance(head, torch.nn.Linear)]).mean(0)


@settings(max_examples=40, deadline=None)
@given(
    family=st.sampled_from([name for name in FAMILIES if name != "hybrid"]),
    seed=st.integers(0, 2**31),
    heads=st.sampled_from([2, 3, 6]),
    depth=st.integers(1, 4),
    label=st.integers(0, 4),
)
def test_relevance_is_conserved_at_every_block(family, seed, heads, depth, label):
    model = build(family, seed=seed, num_heads=heads, depth=depth)
    with torch.no_grad():
        # Where the class score nearly vanishes, the rule's guard against division by zero (1e-9) takes its share.
        assume((model(images_for(family, 1, seed)) - bias_of_head(model))[0, label].abs() > 1e-2)
        for total, size in boundary_sums(model, images_for(family, 1, seed), label, "ours"):
            assert abs(total - 1) < 1e-5 * max(1.0, size)


def test_original_rules_do_not_conserve():
    with torch.no_grad():
        sums = boundary_sums(build("class_token"), images_for("class_token", 1), 2, "orig")
    assert sums[0][0] == pytest.approx(2.0)  # the head alone doubles it
    assert abs(sums[-1][0]) > 10


@pytest.mark.parametrize("family", ["class_token", "rectangle", "dynamic_pad", "registers", "no_positions"])
def test_pixel_relevance_sums_to_what_the_patches_keep(family):
    # The z^B rule hands on all of it (its denominator is the sum it splits); padding keeps its share.
    model, images = build(family), images_for(family)
    pixels = explain(model, images, [0, 1], "lrp", rules="ours", down_to="pixels")
    tokens = explain(model, images, [0, 1], "lrp", rules="ours", down_to="tokens")
    if family == "dynamic_pad":
        assert pixels.shape == images.shape[:1] + images.shape[-2:]
        inside = tokens[:, :4, :3].sum((1, 2))
        torch.testing.assert_close(pixels[:, :16, :12].sum((1, 2)), inside, rtol=1e-6, atol=1e-9)
    else:
        torch.testing.assert_close(pixels.sum((1, 2)), tokens.sum((1, 2)), rtol=1e-6, atol=1e-9)
        patches = pixels.unfold(1, 4, 4).unfold(2, 4, 4).sum((3, 4))
        torch.testing.assert_close(patches, tokens, rtol=1e-6, atol=1e-9)


def test_pixels_of_a_hybrid_are_refused():
    with pytest.raises(ParameterError, match="one convolution; this VisionTransformer embeds with HybridEmbed"):
        explain(build("hybrid"), images_for("hybrid"), None, "lrp", down_to="pixels")


def test_partial_lrp_reads_the_layer_it_is_asked_for():
    model, images = build("class_token"), images_for("class_token")
    last = explain(model, images, [0, 1], "partial_lrp")
    torch.testing.assert_close(explain(model, images, [0, 1], "partial_lrp", layer=2), last)
    assert not torch.allclose(explain(model, images, [0, 1], "partial_lrp", layer=0), last)


def test_attribution_of_the_last_layer_alone_is_its_relevance_times_gradient():
    model, images = build("class_token"), images_for("class_token")
    last = explain(model, images, [0, 1], "transformer_attribution", start_layer=-1)
    partial = explain(model, images, [0, 1], "partial_lrp", rules="ours", ablation=True)
    torch.testing.assert_close(last, partial)
    last = explain(model, images, [0, 1], "transformer_attribution", start_layer=-1, gradient=False)
    torch.testing.assert_close(last, explain(model, images, [0, 1], "partial_lrp", rules="ours"))
