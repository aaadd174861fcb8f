"""SEAM by hand: the pixel correlation module, both regularisations, maps, published weights, a few steps."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from training_toys import trained_on_pictures

from seedbed.errors import DataError, ParameterError, UserError
from seedbed.explain import explain
from seedbed.models import create_model, load_weights
from seedbed.models.seam import PixelCorrelation, alone, correlated
from seedbed.train.objectives import build_objective
from seedbed.train.seam import cross, least, stretched

torch.set_num_threads(1)
NETWORK = "seam_resnet38_tiny"
LABELS = torch.tensor([[1.0, 0, 1, 0], [0, 1, 0, 0]])


def network(seed=0, name=NETWORK, **options):
    torch.manual_seed(seed)
    return create_model(name, 4, **options)


def images(height=40, width=56, count=2):
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(1))


def objective(**options):
    return build_objective("seam", **options)


def test_background_and_the_strongest_class_of_each_place():
    scores = torch.tensor([[[[0.9, 0.2, 0.0]], [[0.5, 0.3, 0.0]]]])
    expected = [[[0.1, 0.7, 1.0]], [[0.9, 0.0, 0.0]], [[0.0, 0.3, 0.0]]]
    torch.testing.assert_close(alone(scores), torch.tensor([expected]))


def test_correlated_scores_by_hand():
    """Directions of 0, 45 and 180 degrees: cosines 0.7071, -1 and -0.7071, of which the last two count as 0."""
    features = torch.tensor([[[[2.0, 3.0, -5.0]], [[0.0, 3.0, 0.0]]]])
    scores = torch.tensor([[[[0.0, 1.0, 0.5]], [[1.0, 0.0, 0.25]]]])
    near = 0.5**0.5
    first, second = near / (1 + near), 1 / (1 + near)
    expected = [[[first, second, 0.5]], [[second, first, 0.25]]]
    torch.testing.assert_close(correlated(scores, features), torch.tensor([expected]))


def test_places_without_features_are_alike_to_none():
    assert not correlated(torch.ones(1, 2, 2, 2), torch.zeros(1, 3, 2, 2)).any()


@given(st.integers(0, 1000))
def test_correlated_scores_stay_within_their_range(seed):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.rand(2, 3, 2, 3, generator=generator)
    features = torch.randn(2, 4, 2, 3, generator=generator)
    found = correlated(scores, features)
    low, high = scores.amin((2, 3), keepdim=True), scores.amax((2, 3), keepdim=True)
    assert (found >= low - 1e-6).all() and (found <= high + 1e-6).all()


def test_the_module_by_loops():
    """Colours and both levels, each through its convolution, mixed; maps cut at 0 and divided by their maxima."""
    torch.manual_seed(0)
    module = PixelCorrelation(3, 2, (2, 1))
    pictures, low, high = torch.randn(1, 3, 2, 2), torch.randn(1, 3, 2, 2), torch.randn(1, 2, 2, 2)
    maps = torch.tensor([[[[-1.0, 2.0], [4.0, 1.0]], [[3.0, 0.0], [1.5, -2.0]]]])
    with torch.no_grad():
        found = module(maps, pictures, low, high)[0].flatten(1).numpy()
    weights = {name: layer.weight.detach().double().numpy()[:, :, 0, 0] for name, layer in module.named_children()}
    places = []
    for y, x in ((0, 0), (0, 1), (1, 0), (1, 1)):
        taken = [np.maximum(weights[name] @ level[0, :, y, x].numpy(), 0) for name, level in
                 (("low", low), ("high", high))]  # fmt: skip
        mixed = weights["mix"] @ np.concatenate([pictures[0, :, y, x].numpy(), *taken])
        places.append(mixed / np.linalg.norm(mixed))
    # Of (0, 0.5, 1, 0.25) and (1, 0, 0.5, 0) the larger of each place, and 1 less that.
    scores = np.array([[0, 0.5, 0, 0.75], [0, 0.5, 1, 0.25], [1, 0, 0, 0]])
    expected = np.zeros((3, 4))
    for i in range(4):
        likeness = [max(0, places[i] @ places[j]) for j in range(4)]
        expected[:, i] = sum(likeness[j] * scores[:, j] for j in range(4)) / sum(likeness)
    np.testing.assert_allclose(found, expected, atol=2e-5)


@pytest.mark.parametrize(("name", "options"), [(NETWORK, {}), ("seam_resnet50", {"architecture": "resnet18"})])
def test_what_the_network_gives(name, options):
    model = network(name=name, **options).eval()
    with torch.no_grad():
        output = model(images())
    assert output.logits.shape == (2, 4) and output.maps.shape == (2, 4, 5, 7) and output.refined.shape == (2, 5, 5, 7)
    torch.testing.assert_close(output.logits, output.maps.mean((2, 3)))
    assert output.refined.min() >= 0 and output.refined.max() <= 1
    assert all(len(group["params"]) for group in model.parameter_groups(0.1)[::2])


def test_no_gradient_leaves_the_module():
    model = network().train()
    model(images()).refined[:, 1:].square().sum().backward()
    learnt = {name.split(".")[0] for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert learnt == {"correlation"}
    assert all(layer.weight.grad.abs().sum() > 0 for layer in model.correlation.children())


def test_stretched_by_hand():
    maps = torch.tensor([[[-1.0, 1.0, 4.0]], [[2.0, 3.0, 4.0]], [[-2.0, -1.0, -3.0]], [[5.0, 5.0, 5.0]]])
    expected = torch.tensor([[[0.0, 0.25, 1.0]], [[0.0, 0.5, 1.0]], [[0.0, 0.0, 0.0]], [[0.0, 0.0, 0.0]]])
    torch.testing.assert_close(stretched(maps), expected, atol=2e-5, rtol=0)
    constant = torch.zeros(1, 2, 2, requires_grad=True)
    stretched(constant).sum().backward()
    assert constant.grad.isfinite().all()


def test_cross_regularisation_by_hand():
    """One class, two places: what is learnt is (0.2, 1.0) of background and (0.8, 0.0) of the class."""
    other = torch.tensor([[[[0.8, 0.0]]]])
    refined = torch.tensor([[[[0.5, 0.9]], [[0.2, 0.1]]]])
    # Differences 0.3, 0.1, 0.6, 0.1.
    for hardest, expected in ((1.0, 0.275), (0.5, 0.45), (0.3, 0.6), (0.1, 0.6)):
        assert float(cross(refined, other, hardest)) == pytest.approx(expected)


def test_what_the_cross_regularisation_learns_carries_no_gradient():
    other, refined = torch.rand(2, 3, 2, 2, requires_grad=True), torch.rand(2, 4, 2, 2, requires_grad=True)
    cross(refined, other, 0.5).backward()
    assert other.grad is None and int((refined.grad != 0).sum()) == 2 * 8  # half of 16, of each image


def test_the_hardest_are_kept_of_each_image():
    refined = torch.tensor([[0.0, 0.0], [1.0, 0.5]])[:, :, None, None]  # differences 1, 0 and 0, 0.5
    assert float(cross(refined, torch.zeros(2, 1, 1, 1), 0.5)) == pytest.approx((1.0 + 0.5) / 2)


def test_the_least_quarter_by_hand():
    """Of eight places the two whose stronger class is weakest: 0.1 and 0.2."""
    scores = torch.tensor([[[0.1, 0.9, 0.0, 0.3, 0.4, 0.5, 0.6, 0.7], [0.0, 0.1, 0.2, 0.8, 0.8, 0.8, 0.8, 0.8]]])
    assert float(least(scores.unflatten(2, (2, 4)))) == pytest.approx(0.15)


def test_the_loss_is_the_weighted_sum_of_its_parts():
    model = network().eval()
    weights = {"equivariance_weight": 2.0, "cross_weight": 0.5, "background_weight": 3.0}
    total, parts = objective(scale=0.5, **weights)(model, (images(), LABELS))
    expected = parts["class"] + 2 * parts["equivariance"] + 0.5 * parts["cross"] + 3 * parts["background"]
    torch.testing.assert_close(total.detach(), expected)
    small = F.interpolate(images(), (20, 28), mode="bilinear", align_corners=True)
    classes = [F.multilabel_soft_margin_loss(model(view).logits, LABELS) for view in (images(), small)]
    torch.testing.assert_close(parts["class"], sum(classes).detach() / 2)
    plain, _ = objective(scale=0.5)(model, (images(), LABELS))
    torch.testing.assert_close(plain.detach(), parts["class"] + parts["equivariance"] + parts["cross"])


@settings(max_examples=5)
@given(st.integers(0, 1000))
def test_equal_views_are_equivariant(seed):
    _, parts = objective(scale=1.0)(network(seed).eval(), (images(), LABELS))
    assert float(parts["equivariance"]) == 0 and float(parts["cross"]) > 0


def test_absent_classes_have_no_map():
    model = network().eval()
    _, before = objective()(model, (images(80, 80), LABELS))
    with torch.no_grad():
        model.fc8.weight[3].mul_(-5)
    _, after = objective()(model, (images(80, 80), LABELS))
    assert before["class"] != after["class"] and before["equivariance"] == after["equivariance"] > 0


def test_the_regularisation_of_one_view_reaches_the_backbone():
    model = network().eval()
    torch.manual_seed(0)
    losses = [objective(scale=0.5, equivariance_weight=w)(model, (images(), LABELS))[0] for w in (1.0, 0.0)]
    (losses[0] - losses[1]).backward()
    assert model.conv1a.weight.grad.abs().sum() > 0
    torch.testing.assert_close(
        model.correlation.mix.weight.grad, torch.zeros_like(model.correlation.mix.weight), atol=1e-7, rtol=0
    )


def test_maps_of_the_asked_classes():
    model, targets = network().eval(), torch.tensor([[2, 0], [1, -1]])
    with torch.no_grad():
        output = model(images())
    refined, classes = (explain(model, images(), targets, "seam", maps=maps) for maps in ("refined", "class"))
    for found, expected in ((refined, output.refined[:, 1:]), (classes, output.maps)):
        torch.testing.assert_close(found[0], expected[0, [2, 0]])
        torch.testing.assert_close(found[1, 0], expected[1, 1])
        assert not found[1, 1].any()
    predicted = explain(model, images(), None, "seam")
    torch.testing.assert_close(predicted[0], output.refined[0, 1 + int(output.logits[0].argmax())])


def test_other_networks_have_no_such_maps():
    other = create_model("resnet38_tiny", 4)
    with pytest.raises(UserError, match="it is not SEAM's classifier"):
        explain(other, images(), None, "seam")
    with pytest.raises(ParameterError, match="SEAM; the network is a ResNet38Classifier"):
        objective().bind(other)


def test_published_names_and_the_output_that_nothing_reads():
    model, theirs = network(), {}
    names = {"correlation.low": "f8_3", "correlation.high": "f8_4", "correlation.mix": "f9"}
    for name, tensor in network(seed=1).state_dict().items():
        layer = next((layer for layer in names if name.startswith(layer)), "")
        theirs[names.get(layer, "") + name.removeprefix(layer)] = tensor
    wanted = dict(theirs)
    theirs["fc8.weight"] = torch.cat([torch.full_like(theirs["fc8.weight"][:1], 7.0), theirs["fc8.weight"]])
    load_weights(model, theirs, layout="seam")
    assert torch.equal(model.fc8.weight, wanted["fc8.weight"])
    assert torch.equal(model.correlation.low.weight, wanted["f8_3.weight"])
    assert torch.equal(model.correlation.mix.weight, wanted["f9.weight"])
    with pytest.raises(DataError, match="5 rows"):
        load_weights(model, wanted, layout="seam")
    with pytest.raises(ParameterError, match="SEAMResNet38"):
        load_weights(create_model("resnet38_tiny", 4), theirs, layout="seam")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"scale": 0.0}, "scale=0.0"),
        ({"scale": 1.5}, "scale=1.5"),
        ({"hardest": 0.0}, "hardest=0.0"),
        ({"cross_weight": -1.0}, "Weights must be 0 or more"),
    ],
)
def test_numbers_out_of_range(options, problem):
    with pytest.raises(ParameterError, match=problem):
        objective(**options)


def test_a_few_steps_on_the_built_in_images(shapes, tmp_path):
    torch.manual_seed(0)
    model, both = create_model(NETWORK, len(shapes.classes)), objective(scale=0.5, background_weight=1.0)
    trained, history, before = trained_on_pictures(shapes, model, both, tmp_path / "state.pt")
    assert set(history.rows[0]) >= {"loss", "class", "equivariance", "cross", "background"}
    assert history.rows[-1]["class"] < history.rows[0]["class"]
    assert all(not torch.equal(tensor, before[name]) for name, tensor in trained.named_parameters())
