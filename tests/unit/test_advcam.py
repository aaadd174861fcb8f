"""AdvCAM by hand: a step of a linear network, what holds it back, and what no step is."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from seedbed.errors import ParameterError, UserError
from seedbed.explain import explain
from seedbed.explain.advcam import Climb, climbed, divided
from seedbed.models import create_model

torch.set_num_threads(1)
CLIMB = {"steps": 1, "step_size": 0.5, "others": True, "penalty": 0.0, "above": 0.5}
# Two classes that read one channel of a row of two pixels: maps 2 x and -x.
LINEAR = torch.tensor([2.0, -1.0])[:, None, None, None]
IMAGE = torch.tensor([[[[1.0, 3.0]]]])


def linear(images):
    return F.conv2d(images, LINEAR)


def network(seed=0):
    torch.manual_seed(seed)
    return create_model("resnet50", 3, layers=[1, 1, 1, 1], channels=[8, 8, 8, 8], stem_width=8, output_stride=8).eval()


def images(count=2, height=32, width=40):
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(1))


def climb(**changes):
    return Climb(**{**CLIMB, **changes})


@pytest.mark.parametrize(
    ("changes", "moved"),
    [
        ({"others": False}, 0.5 * 1.0),  # the logit 2 (x1 + x2) / 2 grows by 1 a pixel
        ({}, 0.5 * 1.5),  # less the other one, -(x1 + x2) / 2
        ({"steps": 3}, 3 * 0.5 * 1.5),  # a linear network climbs on as it began
    ],
)
def test_a_linear_networks_steps_by_hand(changes, moved):
    """Maps are 2 x over their maximum: (1/3, 1) first, (1 + d) / (3 + d) and 1 where both pixels have grown by d."""
    steps = changes.get("steps", 1)
    found = climbed(linear, IMAGE, torch.tensor([0]), climb(**changes))
    weak = sum((1 + moved * k / steps) / (3 + moved * k / steps) for k in range(steps + 1))
    torch.testing.assert_close(found, torch.tensor([[[weak, steps + 1.0]]]))


def test_what_holds_back_by_hand():
    """From (1, 3), as if it had begun at maps (0.2, 1): of the places above 0.3 the first has moved by 1/3 - 0.2."""
    seen = IMAGE.clone().requires_grad_()
    maps = divided(linear(seen)[:, 0])
    first = torch.tensor([[[0.2, 1.0]]])
    given = (linear(seen).mean((2, 3)), torch.tensor([0]), maps, first)
    for above, moved in ((0.3, 1 / 3 - 0.2), (0.5, 0.0)):
        score = climb(penalty=6.0, above=above).score(*given)
        assert score.item() == pytest.approx(4.0 + 2.0 - 6 * moved)  # logits 4 and -2
    mean = climb(penalty=6.0, above=0.3, norm="mean").score(*given)
    assert mean.item() == pytest.approx(6.0 - 6 * (1 / 3 - 0.2) / 2)
    held = climb(penalty=6.0, above=0.3).score(*given)
    # Map x1 / x2: its gradient is (1/3, -1/9), the logits' difference's 1.5 a pixel.
    (gradient,) = torch.autograd.grad(held.sum(), seen)
    torch.testing.assert_close(gradient, torch.tensor([[[[1.5 - 6 / 3, 1.5 + 6 / 9]]]]))


def test_maps_without_evidence_are_nothing():
    assert not divided(-torch.rand(2, 3, 3)).any()
    found = climbed(linear, IMAGE, torch.tensor([1]), climb())
    assert not found.any() and found.isfinite().all()


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 1000))
def test_no_step_is_the_class_activation_map(seed):
    model, targets = network(seed), torch.tensor([[2, 0], [1, -1]])
    cams = explain(model, images(), targets, "cam").relu()
    expected = cams / cams.amax((2, 3), keepdim=True).clamp(min=1e-5)
    torch.testing.assert_close(explain(model, images(), targets, "advcam", steps=0), expected)


def test_a_step_raises_what_it_climbs():
    """Half a step to each side of the image: what is summed at the end is larger, by the gradient's square."""
    model, labels = network(), torch.tensor([0, 2])
    weight = model.fc.weight.detach()[..., None, None]
    seen = []

    def maps_of(pixels):
        maps = F.conv2d(model.forward_features(pixels), weight)
        seen.append((pixels.detach().clone(), maps.mean((2, 3)).detach()))
        return maps

    climbed(maps_of, images(), labels, climb(step_size=1e-2))
    (before, low), (after, high) = seen
    value = [2 * logits.gather(1, labels[:, None])[:, 0] - logits.sum(1) for logits in (low, high)]
    gradient = (after - before) / 1e-2
    torch.testing.assert_close(value[1] - value[0], 1e-2 * gradient.square().sum((1, 2, 3)), rtol=0.1, atol=0)


def test_classes_and_images_climb_alone():
    model, options = network(), {"steps": 2, "step_size": 5.0}
    together = explain(model, images(), torch.tensor([[2, 0], [1, -1]]), "advcam", **options)
    assert together.shape == (2, 2, 4, 5) and not together[1, 1].any()
    for image, label, slot in ((0, 2, 0), (0, 0, 1), (1, 1, 0)):
        alone = explain(model, images()[image : image + 1], [label], "advcam", **options)
        torch.testing.assert_close(alone[0], together[image, slot], rtol=1e-3, atol=1e-4)
    predicted = int(model(images()[:1]).argmax())
    torch.testing.assert_close(
        explain(model, images()[:1], None, "advcam", **options),
        explain(model, images()[:1], [predicted], "advcam", **options),
    )


def test_the_network_stays_as_it_is():
    model = network().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.inference_mode():
        found = explain(model, images(1), [0], "advcam", steps=2)
    assert found.max() <= 3 and not found.requires_grad
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("name", ["resnet38_tiny", "vit_tiny_patch8_96"])
def test_other_networks_are_refused(name):
    with pytest.raises(UserError, match="'advcam' cannot explain this"):
        explain(create_model(name, 3), torch.randn(1, 3, 96, 96), [0], "advcam")


@pytest.mark.parametrize("option", [{"steps": -1}, {"step_size": 0.0}, {"penalty": -1.0}])
def test_numbers_out_of_range(option):
    with pytest.raises(ParameterError, match=next(iter(option))):
        explain(network(), images(1), [0], "advcam", **option)
