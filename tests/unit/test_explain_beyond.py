"""AttnLRP against autograd with the rules' factors held constant, and its gamma rule by loops."""

import pytest
import torch
from explain_models import FAMILIES, build, images_for, prefix_tokens
from timm.layers import Attention, LayerNorm, Mlp, RmsNorm

from seedbed.explain import explain, methods
from seedbed.explain.attnlrp import past_linear
from seedbed.explain.layers import Linear
from seedbed.explain.targets import Pairs

LABEL = 3


def hold_deviation(module, x):
    """Replace a norm by itself with its deviation held constant."""
    centred = x - x.mean(-1, keepdim=True) if isinstance(module, LayerNorm) else x
    deviation = (centred.square().mean(-1, keepdim=True) + module.eps).sqrt().detach()
    result = centred / deviation * module.weight
    return result + module.bias if getattr(module, "bias", None) is not None else result


def halve(x):
    """The value of x, half its gradient."""
    return x / 2 + (x / 2).detach()


def halved_attention(module, x):
    q, k, v = module.qkv(x).unflatten(-1, (3, module.num_heads, -1)).permute(2, 0, 3, 1, 4)
    q, k = halve(module.q_norm(q)), halve(module.k_norm(k))
    attention = halve((q @ k.mT * module.scale).softmax(-1))
    return module.proj((attention @ halve(v)).transpose(1, 2).flatten(2))


def held_mlp(module, x):
    hidden = module.fc1(x)
    return module.fc2(hidden * (module.act(hidden) / hidden).detach())


def gradient_times_input(model, images) -> torch.Tensor:
    """AttnLRP with gamma 0 as input times the gradient of a forward pass with constants held."""
    replaced = {LayerNorm: hold_deviation, RmsNorm: hold_deviation, Attention: halved_attention, Mlp: held_mlp}
    for module in model.modules():
        if type(module) in replaced:
            step = replaced[type(module)]
            module.forward = lambda x, module=module, step=step, **_: step(module, x)
    kept = []
    model.patch_embed.register_forward_hook(lambda _, __, output: kept.append(output))
    logit = model(images)[0, LABEL]
    (gradient,) = torch.autograd.grad(logit, kept[0])
    return (gradient * kept[0]).sum(-1)[0].flatten().detach()


@pytest.mark.parametrize("family", FAMILIES)
def test_attnlrp_without_gamma_is_input_times_modified_gradient(family):
    model, images = build(family), images_for(family, count=1)
    found = explain(model, images, [LABEL], "attnlrp", gamma=0.0)[0].flatten()
    expected = gradient_times_input(build(family), images)
    assert len(found) == len(expected) and prefix_tokens(model) >= 0
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("bias", [True, False])
def test_gamma_rule_equals_loops(bias):
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(4, 6, generator=generator, dtype=torch.float64)
    layer = Linear(weight, torch.randn(4, generator=generator, dtype=torch.float64) if bias else None)
    x = torch.randn(3, 6, generator=generator, dtype=torch.float64)
    relevance = torch.randn(3, 4, generator=generator, dtype=torch.float64)
    y, gamma = layer(x), 0.3
    expected = torch.zeros(3, 6, dtype=torch.float64)
    for n in range(3):
        for j in range(4):
            side = 1.0 if y[n, j] > 0 else -1.0
            parts = [*(weight[j] * x[n]).tolist(), *([layer.bias[j].item()] if bias else [])]
            parts = [c + gamma * (c if c * side > 0 else 0.0) for c in parts]
            for i in range(6):
                expected[n, i] += parts[i] / sum(parts) * relevance[n, j]
    pairs = Pairs(torch.arange(3), torch.zeros(3, dtype=torch.long), 3)
    found = x * past_linear(layer, x, y, relevance / y, gamma, pairs)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_gamma_rule_tends_to_the_epsilon_rule():
    model, images = build("class_token"), images_for("class_token")
    limit = explain(model, images, [0, 1], "attnlrp", gamma=0.0)
    near = explain(model, images, [0, 1], "attnlrp", gamma=1e-9)
    torch.testing.assert_close(near, limit, rtol=1e-5, atol=1e-7)
    assert not torch.allclose(explain(model, images, [0, 1], "attnlrp", gamma=0.5), limit, rtol=0.01)


def test_outputs_of_exactly_zero_pass_nothing_on():
    layer = Linear(torch.tensor([[1.0, 1.0], [1.0, 2.0]]))
    x = torch.tensor([[2.0, -2.0]])
    pairs = Pairs(torch.tensor([0]), torch.tensor([0]), 1)
    found = past_linear(layer, x, layer(x), torch.ones(1, 2), 0.1, pairs)
    assert found.isfinite().all()
    only_second = past_linear(Linear(layer.weight[1:]), x, layer(x)[:, 1:], torch.ones(1, 1), 0.1, pairs)
    torch.testing.assert_close(found, only_second)


def test_beyond_the_papers_is_marked():
    beyond = {method.name for method in methods() if method.beyond_papers}
    assert {"attnlrp", "legrad"} <= beyond and not {"rollout", "lrp", "cam", "gradcam", "mct_refined"} & beyond
