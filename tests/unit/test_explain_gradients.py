"""Gradient methods and rollout against timm's own forward pass with autograd and hooks."""

import pytest
import torch
from explain_models import FAMILIES, Watched, build, images_for, prefix_tokens, read_row

from seedbed.errors import ParameterError
from seedbed.explain import explain

LABEL = 3
CLOSE = {"rtol": 1e-8, "atol": 1e-12}


def reference(family: str, **watch) -> tuple:
    model, images = build(family), images_for(family, count=1)
    watched = Watched(model, images, **watch)
    length = watched.attention[0].shape[-1]
    return model, images, watched, read_row(model, length)


@pytest.mark.parametrize("family", FAMILIES)
def test_raw_attention(family):
    model, images, watched, row = reference(family)
    expected = (row @ watched.attention[-1][0].mean(0))[prefix_tokens(model) :]
    torch.testing.assert_close(explain(model, images, None, "raw_attention")[0].flatten(), expected, **CLOSE)


@pytest.mark.parametrize("start", [0, 1, -1])
@pytest.mark.parametrize("family", FAMILIES)
def test_rollout_is_the_product_of_matrices(family, start):
    model, images, watched, row = reference(family)
    product = torch.eye(len(row), dtype=torch.float64)
    for attention in watched.attention[start:] if start >= 0 else watched.attention[-1:]:
        matrix = attention[0].mean(0) + torch.eye(len(row))
        product = matrix / matrix.sum(-1, keepdim=True) @ product
    expected = (row @ product)[prefix_tokens(model) :]
    found = explain(model, images, None, "rollout", start_layer=start)[0].flatten()
    torch.testing.assert_close(found, expected, **CLOSE)


@pytest.mark.parametrize("fusion", ["mean", "max", "min"])
@pytest.mark.parametrize("normalisation", ["rows", "agcam"])
def test_rollout_variants(fusion, normalisation):
    model, images, watched, row = reference("class_token")
    size = len(row)
    product = torch.eye(size, dtype=torch.float64)
    for attention in watched.attention:
        fused = {"mean": attention[0].mean(0), "max": attention[0].amax(0), "min": attention[0].amin(0)}[fusion]
        order = fused.flatten().argsort()[: int(size * size * 0.4)]
        fused = fused.flatten().index_fill(0, order[order != 0], 0.0).view(size, size)
        matrix = (fused + torch.eye(size)) / 2
        sums = matrix.sum(-1)
        product = (matrix / (sums[:, None] if normalisation == "rows" else sums[None, :])) @ product
    found = explain(model, images, None, "rollout", fusion=fusion, discard_ratio=0.4, normalisation=normalisation)
    torch.testing.assert_close(found[0].flatten(), product[0, 1:], **CLOSE)


def test_rollout_discards_within_each_image():
    model, images = build("class_token"), images_for("class_token", count=3)
    together = explain(model, images, None, "rollout", discard_ratio=0.7)
    single = explain(model, images[2:], None, "rollout", discard_ratio=0.7)
    torch.testing.assert_close(together[2:], single)


@pytest.mark.parametrize("family", FAMILIES)
def test_gradcam(family):
    model, images, watched, row = reference(family)
    prefix = prefix_tokens(model)
    gradient, attention = watched.gradients(LABEL)[-1][0], watched.attention[-1][0]
    weight = gradient.sum(1)[:, prefix:].mean(1)
    expected = (weight[:, None] * (row @ attention)[:, prefix:]).mean(0).clamp(min=0)
    found = explain(model, images, [LABEL], "gradcam", normalise=False)[0].flatten()
    torch.testing.assert_close(found, expected, **CLOSE)
    scaled = (expected - expected.min()) / (expected.max() - expected.min())
    found = explain(model, images, [LABEL], "gradcam")[0].flatten()
    torch.testing.assert_close(found, scaled, equal_nan=True, **CLOSE)


def test_gradcam_without_a_positive_patch_is_undefined():
    model, images = build("class_token"), images_for("class_token", count=8)
    raw = explain(model, images, None, "gradcam", normalise=False)
    for label in range(5):
        raw = explain(model, images, [label] * 8, "gradcam", normalise=False).flatten(1)
        maps = explain(model, images, [label] * 8, "gradcam").flatten(1)
        assert torch.equal(maps.isnan().all(1), raw.amax(1) == 0)
        assert torch.equal(maps.isnan().any(1), raw.amax(1) == 0)


@pytest.mark.parametrize("start", [0, 2, -1])
@pytest.mark.parametrize("family", FAMILIES)
def test_generic_attribution(family, start):
    model, images, watched, row = reference(family)
    product = torch.eye(len(row), dtype=torch.float64)
    for index in range(start % 3, 3):
        relevant = (watched.gradients(LABEL)[index][0] * watched.attention[index][0]).clamp(min=0).mean(0)
        product = product + relevant @ product
    expected = (row @ product)[prefix_tokens(model) :]
    found = explain(model, images, [LABEL], "generic_attribution", start_layer=start)[0].flatten()
    torch.testing.assert_close(found, expected, **CLOSE)


@pytest.mark.parametrize("family", FAMILIES)
def test_attention_guided_cam(family):
    model, images, _, _ = reference(family)
    watched = Watched(model, images, detach_attention_branch=True)
    expected = 0.0
    for gradient, scores in zip(watched.gradients(LABEL), scores_of(model, images), strict=True):
        expected = expected + (gradient.clamp(min=0) * scores.sigmoid()).sum((0, 1, 2))
    found = explain(model, images, [LABEL], "attention_guided_cam")[0].flatten()
    torch.testing.assert_close(found, expected[prefix_tokens(model) :], **CLOSE)


@pytest.mark.parametrize("family", FAMILIES)
def test_attention_guided_cam_at_the_sigmoid(family):
    """Equation 6, from its parts: the softmax's derivative by autograd, the sigmoid's inverse by its derivative."""
    model, images, _, row = reference(family)
    watched = Watched(model, images, detach_attention_branch=True)
    expected, read = 0.0, row > 0
    for gradient, scores in zip(watched.gradients(LABEL), scores_of(model, images), strict=True):
        scores.requires_grad_()
        (at_scores,) = torch.autograd.grad((scores.softmax(-1) * gradient).sum(), scores)
        at_sigmoid = at_scores / (scores.sigmoid() * (1 - scores.sigmoid()))
        expected = expected + (at_sigmoid.clamp(min=0) * scores.sigmoid()).detach()[0, :, read].sum((0, 1))
    found = explain(model, images, [LABEL], "attention_guided_cam", gradient="sigmoid")[0].flatten()
    torch.testing.assert_close(found, expected[prefix_tokens(model) :], **CLOSE)


@pytest.mark.parametrize("family", FAMILIES)
def test_attention_guided_cam_of_the_whole_network(family):
    model, images, watched, row = reference(family)
    expected, read = 0.0, row > 0
    for gradient, scores in zip(watched.gradients(LABEL), scores_of(model, images), strict=True):
        expected = expected + (gradient.clamp(min=0) * scores.sigmoid())[0, :, read].sum((0, 1))
    found = explain(model, images, [LABEL], "attention_guided_cam", gradient="full")[0].flatten()
    torch.testing.assert_close(found, expected[prefix_tokens(model) :], **CLOSE)


@pytest.mark.parametrize("features", ["softmax", "scores", "none"])
def test_attention_guided_cam_with_other_features(features):
    model, images, _, _ = reference("class_token", detach_attention_branch=True)
    watched, expected = Watched(model, images, detach_attention_branch=True), 0.0
    for gradient, scores in zip(watched.gradients(LABEL), scores_of(model, images), strict=True):
        factor = {"softmax": scores.softmax(-1), "scores": scores, "none": torch.ones_like(scores)}[features]
        expected = expected + (gradient.clamp(min=0) * factor)[0, :, 0].sum(0)
    found = explain(model, images, [LABEL], "attention_guided_cam", features=features)[0].flatten()
    torch.testing.assert_close(found, expected[1:], **CLOSE)


def test_equation_6_stays_finite_where_the_sigmoid_is_saturated():
    model, images = build("class_token").float(), images_for("class_token").float()
    with torch.no_grad():
        for block in model.blocks:
            block.attn.qkv.weight[:48] *= 2  # queries and keys
    assert 20 < max(scores.max() for scores in scores_of(model, images)) < 80  # 1 - G is 0 above 17
    assert explain(model, images, [LABEL] * 2, "attention_guided_cam", gradient="sigmoid").isfinite().all()


def test_unknown_ingredients_are_refused():
    model, images = build("class_token"), images_for("class_token")
    for name, value in (("gradient", "softmax"), ("features", "sigmod")):
        with pytest.raises(ParameterError, match=name):
            explain(model, images, None, "attention_guided_cam", **{name: value})


def scores_of(model, images) -> list[torch.Tensor]:
    """Return q k^T / sqrt(d) of every block, worked out from the output of qkv."""
    scores, handles = [], []
    for block in model.blocks:

        def keep(_module, _inputs, output, attention=block.attn):
            q, k, _ = output.unflatten(-1, (3, attention.num_heads, -1)).permute(2, 0, 3, 1, 4)
            scores.append(attention.q_norm(q) @ attention.k_norm(k).mT * q.shape[-1] ** -0.5)

        handles.append(block.attn.qkv.register_forward_hook(keep))
    with torch.no_grad():
        model(images)
    for handle in handles:
        handle.remove()
    return scores


def test_attention_guided_cam_gradient_stays_in_the_read_row():
    _, _, watched, _ = reference("class_token", detach_attention_branch=True)
    for gradient in watched.gradients(LABEL):
        assert gradient[0, :, 1:].abs().max() == 0


@pytest.mark.parametrize("family", FAMILIES)
def test_legrad(family):
    model, images, _, _ = reference(family)
    tokens = watched_outputs(model, images)
    expected = 0.0
    for output, attention in zip(*tokens, strict=True):
        logit = model.forward_head(model.norm(output))[0, LABEL]
        (gradient,) = torch.autograd.grad(logit, attention, retain_graph=True)
        expected = expected + gradient[0].clamp(min=0).mean((0, 1)) / 3
    found = explain(model, images, [LABEL], "legrad")[0].flatten()
    torch.testing.assert_close(found, expected[prefix_tokens(model) :], **CLOSE)


def watched_outputs(model, images) -> tuple[list, list]:
    outputs, attention = [], []
    handles = [b.register_forward_hook(lambda _, __, output: outputs.append(output)) for b in model.blocks]
    handles += [
        b.attn.attn_drop.register_forward_hook(lambda _, __, output: attention.append(output)) for b in model.blocks
    ]
    model(images)
    for handle in handles:
        handle.remove()
    return outputs, attention


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("rollout", {"fusion": "median"}, "fusion must be one of mean, max, min"),
        ("rollout", {"normalisation": "columns"}, "normalisation must be"),
        ("rollout", {"discard_ratio": 1.0}, r"discard_ratio must lie in \[0, 1\)"),
        ("rollout", {"start_layer": 3}, r"start_layer must lie in \[-3, 2\] for 3 blocks, not 3"),
        ("generic_attribution", {"start_layer": -4}, "start_layer must lie in"),
        ("partial_lrp", {"rules": "theirs"}, "Unknown set of relevance rules 'theirs'"),
        ("lrp", {"down_to": "colours"}, "down_to must be"),
        ("attnlrp", {"gamma": -0.1}, "gamma must be at least 0"),
    ],
)
def test_options_out_of_range(method, options, message):
    with pytest.raises(ParameterError, match=message):
        explain(build("class_token"), images_for("class_token"), None, method, **options)
