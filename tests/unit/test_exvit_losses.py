"""The losses of eX-ViT against equations 12-15, and their switches."""

import math

import pytest
import torch
from exvit_toys import a_batch, tiny
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from seedbed.errors import ParameterError
from seedbed.models.exvit_attributes import attribute_features
from seedbed.train.exvit_losses import discriminability, diversity, normalised_distance, pooled_attributes
from seedbed.train.exvit_objective import ExViTObjective
from seedbed.train.objectives import build_objective

torch.set_num_threads(1)


def random_maps(seed=0, batch=2, attributes=3, channels=4, height=2, width=3):
    generator = torch.Generator().manual_seed(seed)
    make = lambda *shape: torch.randn(shape, generator=generator, dtype=torch.float64)  # noqa: E731
    return make(batch, attributes, height, width), make(batch, channels, height, width)


# -- generalised mean pooling and equation 13 ------------------------------------------------------------------------


def pooled_by_hand(values, power):
    """The generalised mean of the positive part of a list."""
    return (sum(max(value, 0.0) ** power for value in values) / len(values)) ** (1 / power)


@given(seed=st.integers(0, 999), power=st.sampled_from([1.0, 2.0, 3.0, 4.5]), places=st.integers(1, 4))
def test_pooling_is_the_generalised_mean_of_every_channel_of_g(seed, power, places):
    weights, features = random_maps(seed, height=places)
    pooled, given_features = pooled_attributes(weights, features, power), attribute_features(weights, features)
    assert pooled.shape == (2, 3, 4)
    for image in range(2):
        for s in range(3):
            for channel in range(4):
                values = given_features[image, s, channel].flatten().tolist()
                expected = pooled_by_hand(values, power)
                floor = 1e-6 * float(weights[image].abs().max() * features[image].abs().max())
                assert float(pooled[image, s, channel]) == pytest.approx(max(expected, floor), rel=1e-9)


def test_pooling_by_hand():
    """G = 2 * (1, 2) at two places: ((8 + 64) / 2)^(1/3)."""
    weights, features = torch.full((1, 1, 1, 2), -2.0), torch.tensor([[[[-1.0, -2.0]]]])
    assert float(pooled_attributes(weights, features)) == pytest.approx(36 ** (1 / 3))


@given(seed=st.integers(0, 999), scale=st.sampled_from([1e-12, 1e-3, 1e4, 1e12]))
def test_pooling_scales_with_its_input_and_stays_within_float32(seed, scale):
    weights, features = (x.float() for x in random_maps(seed))
    features.requires_grad_()
    pooled = pooled_attributes(weights, scale * features)
    torch.testing.assert_close(pooled, scale * pooled_attributes(weights, features), rtol=1e-5, atol=0)
    (pooled / scale).sum().backward()
    assert features.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_pooling_and_diversity_survive_half_precision(dtype):
    """Features near float16's end: their cubes are 1e14, and the sum of their squares does not fit either."""
    weights, features = random_maps(3, channels=64, height=8)
    large = (6e4 * features / features.abs().max()).to(dtype)
    exact = pooled_attributes(weights.to(dtype).double(), large.double())
    with torch.autocast("cpu", dtype):
        rough = pooled_attributes(weights.to(dtype), large)
        assert float(diversity(weights.to(dtype), large)) == pytest.approx(
            float(diversity(weights.to(dtype).double(), large.double())), rel=1e-4
        )
    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough.double(), exact, rtol=1e-4, atol=0)


def test_pooling_of_nothing_positive_has_finite_gradients():
    weights, features = -torch.ones(1, 2, 2, 2, requires_grad=True), torch.ones(1, 3, 2, 2, requires_grad=True)
    pooled = pooled_attributes(weights, features)
    pooled.sum().backward()
    assert float(pooled.detach().max()) <= 1e-6
    assert features.grad.isfinite().all()
    dark = pooled_attributes(torch.zeros(1, 2, 2, 2), torch.zeros(1, 3, 2, 2))
    assert dark.isfinite().all()


@given(seed=st.integers(0, 999), length=st.integers(1, 6))
def test_the_distance_is_byols_normalised_squared_error(seed, length):
    u, v = torch.randn(2, 3, length, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    for row, (x, y) in enumerate(zip(u.tolist(), v.tolist(), strict=True)):
        lengths = [math.sqrt(sum(value**2 for value in vector)) for vector in (x, y)]
        expected = sum((a / lengths[0] - b / lengths[1]) ** 2 for a, b in zip(x, y, strict=True))
        assert float(normalised_distance(u, v)[row]) == pytest.approx(expected, abs=1e-9)
    torch.testing.assert_close(normalised_distance(u, 1e3 * v), normalised_distance(u, v))


@given(seed=st.integers(0, 999))
def test_discriminability_is_equation_13(seed):
    one, other = torch.rand(2, 2, 3, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    losses = []
    for image in range(2):
        whole = float(normalised_distance(one[image].flatten(), other[image].flatten()))
        single = [float(normalised_distance(one[image, s], other[image, s])) for s in range(3)]
        losses.append(abs(whole - sum(single)))
    assert float(discriminability(one, other)) == pytest.approx(sum(losses) / 2, rel=1e-9)


def test_discriminability_by_hand():
    """Attributes (1, 0), (0, 1) against (1, 0), (1, 0): d = 2 - 2 * 1/2 = 1, d_1 = 0, d_2 = 2."""
    one, other = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]), torch.tensor([[[1.0, 0.0], [1.0, 0.0]]])
    assert float(discriminability(one, other)) == pytest.approx(1.0)
    assert float(discriminability(one, one)) == pytest.approx(0.0, abs=1e-6)


# -- equation 14 -----------------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 999), attributes=st.integers(2, 5))
def test_diversity_is_equation_14(seed, attributes):
    weights, features = random_maps(seed, attributes=attributes)
    given_features = attribute_features(weights, features)
    total = 0.0
    for image in range(2):
        vectors = [given_features[image, s].flatten().tolist() for s in range(attributes)]
        for i, first in enumerate(vectors):
            for j, second in enumerate(vectors):
                if i != j:
                    lengths = [math.sqrt(sum(value**2 for value in vector)) for vector in (first, second)]
                    total += sum(a * b for a, b in zip(first, second, strict=True)) / lengths[0] / lengths[1]
    expected = total / (attributes * (attributes - 1)) / 2
    assert float(diversity(weights, features)) == pytest.approx(expected, abs=1e-9)
    assert -1 / (attributes - 1) - 1e-9 <= expected <= 1


def test_diversity_by_hand():
    """Attributes that look at different places do not overlap; equal ones do whole; opposite ones are at -1."""
    features = torch.tensor([[[[1.0, 2.0]], [[3.0, -1.0]]]])
    apart, equal = torch.tensor([[[[1.0, 0.0]], [[0.0, 1.0]]]]), torch.ones(1, 2, 1, 2)
    assert float(diversity(apart, features)) == pytest.approx(0.0, abs=1e-6)
    assert float(diversity(equal, features)) == pytest.approx(1.0)
    assert float(diversity(torch.tensor([[[[1.0, 1.0]], [[-1.0, -1.0]]]]), features)) == pytest.approx(-1.0)


# -- gradients -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("power", [1.5, 3.0])
def test_gradients_of_equation_13_by_finite_differences(power):
    weights, features = (x.requires_grad_() for x in random_maps(1))
    target = pooled_attributes(*random_maps(2), power).detach()
    loss = lambda w, f: discriminability(pooled_attributes(w, f, power), target)  # noqa: E731
    assert torch.autograd.gradcheck(loss, (weights, features))


def test_gradients_of_equation_14_by_finite_differences():
    weights, features = (x.requires_grad_() for x in random_maps(1))
    assert torch.autograd.gradcheck(diversity, (weights, features))


def test_gradients_of_the_whole_loss_by_finite_differences():
    """Equation 15 with respect to a few weights of every layer of a network in float64."""
    model, objective = tiny().double(), ExViTObjective()
    objective.bind(model)
    with torch.no_grad():
        for parameter in objective.branch.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    batch = tuple(part.double() for part in a_batch())
    objective(model, batch)[0].backward()
    for name, parameter in model.named_parameters():
        with torch.no_grad():
            flat, place, step = parameter.view(-1), parameter.numel() // 2, 1e-6
            values = []
            for sign in (1, -1):
                flat[place] += sign * step
                values.append(float(objective(model, batch)[0]))
                flat[place] -= sign * step
        slope = (values[0] - values[1]) / (2 * step)
        assert float(parameter.grad.view(-1)[place]) == pytest.approx(slope, rel=2e-4, abs=2e-7), name


# -- equations 12 and 15, switches -----------------------------------------------------------------------------------


def test_the_loss_is_equation_15_and_its_parts_are_12_to_14():
    model, objective, batch = tiny(), ExViTObjective(alpha=0.3, beta=0.7), a_batch()
    objective.bind(model)
    with torch.no_grad():
        for parameter in objective.branch.parameters():
            parameter.add_(0.1)
    output, other = model(batch[0], full=True), objective.branch.module(batch[1], full=True)
    classification = 0.0
    for logits, labels in zip(output.logits.tolist(), batch[2].tolist(), strict=True):
        for x, y in zip(logits, labels, strict=True):
            probability = 1 / (1 + math.exp(-x))
            classification -= (y * math.log(probability) + (1 - y) * math.log(1 - probability)) / 3 / 2
    pooled = [pooled_attributes(o.attribute_weights, o.features) for o in (output, other)]
    dis, div = discriminability(*pooled), diversity(output.attribute_weights, output.features)
    loss, parts = objective(model, batch)
    assert {name: float(value) for name, value in parts.items()} == pytest.approx(
        {"global": classification, "dis": float(dis.detach()), "div": float(div.detach())}, rel=1e-5
    )
    expected = classification + 0.3 * float(parts["dis"]) + 0.7 * float(parts["div"])
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-5)
    assert not any(value.requires_grad for value in parts.values())


ROWS = [  # table 6
    ([], "cam", {"cam"}),
    (["global"], "attributes", {"global"}),
    (["dis"], "cam", {"cam", "dis"}),
    (["div"], "cam", {"cam", "div"}),
    (["global", "dis"], "attributes", {"global", "dis"}),
    (["global", "div"], "attributes", {"global", "div"}),
    (["global", "dis", "div"], "attributes", {"global", "dis", "div"}),
]


@pytest.mark.parametrize(("losses", "head", "names"), ROWS)
def test_every_row_of_table_6_can_be_trained(losses, head, names):
    model, objective = tiny(head=head), build_objective("exvit", losses=losses)
    objective.bind(model)
    assert objective.views == (2 if "dis" in losses else 1)
    assert (objective.branch is not None) == ("dis" in losses)
    first, second, labels = a_batch()
    loss, parts = objective(model, (first, second, labels) if objective.views == 2 else (first, labels))
    assert parts.keys() == names
    loss.backward()
    touched = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    uses_attributes = head == "attributes" or bool({"dis", "div"} & set(losses))
    assert any(name.startswith("attributes.") for name in touched) == uses_attributes
    assert {"head.weight", "blocks.0.attn.alignment", "pos_embed"} <= touched


@pytest.mark.parametrize(
    ("losses", "overrides", "message"),
    [
        (["global"], {"head": "cam"}, r"\['global'\] needs the network's option head: attributes; it is cam"),
        (["dis"], {}, "head: cam; it is attributes"),
        (["dis"], {"head": "cam", "num_attributes": 0}, "need attributes"),
        (["div"], {"head": "cam", "num_attributes": 1}, "num_attributes to 2 or more"),
    ],
)
def test_losses_and_network_must_fit(losses, overrides, message):
    with pytest.raises(ParameterError, match=message):
        ExViTObjective(losses=losses).bind(tiny(**overrides))


def test_mistakes_are_named():
    with pytest.raises(ParameterError, match="Did you mean 'global'"):
        build_objective("exvit", losses=["globl"])
    with pytest.raises(ParameterError, match=r"momentum=1.5 must lie in 0\.\.1"):
        build_objective("exvit", momentum=1.5)
    with pytest.raises(ParameterError, match=r"power=0\.5"):
        build_objective("exvit", power=0.5)
    with pytest.raises(ParameterError, match=r"loss 'exvit': .*'gamma'"):
        build_objective("exvit", gamma=1)
    with pytest.raises(ParameterError, match="trains an eX-ViT, not a Linear"):
        build_objective("exvit").bind(nn.Linear(2, 2))
