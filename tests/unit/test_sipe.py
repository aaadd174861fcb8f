"""SIPE by hand: regions, prototypes, both kinds of maps, the consistency loss, published weights, a few steps."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from training_toys import trained_on_pictures

from seedbed.errors import ParameterError, UserError
from seedbed.explain import explain
from seedbed.models import create_model, load_weights
from seedbed.models.peaked import peaked
from seedbed.models.sipe import general_maps, seed_regions, specific_maps
from seedbed.train.objectives import build_objective
from seedbed.train.sipe import inside

torch.set_num_threads(1)
NETWORK = "sipe_resnet38_tiny"
LABELS = torch.tensor([[1.0, 0, 1, 0], [0, 1, 0, 0]])


def network(seed=0, name=NETWORK, **options):
    torch.manual_seed(seed)
    return create_model(name, 4, **options)


def images(height=40, width=56, count=2):
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(1))


def objective(**options):
    return build_objective("sipe", **options)


def test_general_maps_by_hand():
    maps = torch.tensor([[[[4.0, 1.0, -2.0]], [[-1.0, -3.0, -5.0]]]])
    expected = [[[0.0, 0.75, 1.0]], [[1.0, 0.25, 0.0]], [[0.0, 0.0, 0.0]]]
    torch.testing.assert_close(general_maps(maps), torch.tensor([expected]), atol=1e-5, rtol=0)


def test_regions_by_hand():
    """Places 0 and 1 look alike, place 2 like neither: the class claims place 1, although its map is weak there.

    Overlaps with likeness (1, 1, 0) of places 0 and 1: background 1 / 3 times a half, class 1 / 2; of place 2: 1 / 2
    times a half, nothing.
    """
    features = torch.tensor([[[[1.0, 2.0, 0.0]], [[0.0, 0.0, 3.0]]]])
    scores = torch.tensor([[[[0.0, 1.0, 1.0]], [[1.0, 0.0, 0.0]]]])
    found = seed_regions(scores, features)
    assert found.tolist() == [[[[0.0, 0.0, 1.0]], [[1.0, 1.0, 0.0]]]]
    assert seed_regions(scores, features, 2.0).tolist() == [[[[1.0, 1.0, 1.0]], [[0.0, 0.0, 0.0]]]]


@given(st.integers(0, 1000))
def test_regions_and_maps_by_loops(seed):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(1, 5, 2, 3, generator=generator)
    scores = torch.rand(1, 3, 2, 3, generator=generator)
    places, weights = features[0].flatten(1).T, scores[0].flatten(1)
    overlap = torch.zeros(3, 6)
    for i in range(6):
        alike = torch.stack([F.cosine_similarity(places[i], other, dim=0).relu() for other in places])
        for k in range(3):
            shared = (alike * weights[k]).sum()
            overlap[k, i] = shared / (alike.sum() + weights[k].sum() - shared) * (0.5 if k == 0 else 1)
    seeds = seed_regions(scores, features)
    assert torch.equal(seeds[0].argmax(0).flatten(), overlap.argmax(0)) and torch.equal(
        seeds.sum(1), torch.ones(1, 2, 3)
    )
    expected = torch.zeros(3, 6)
    for k in range(3):
        own = places[seeds[0, k].flatten() == 1]
        for i in range(6):
            if len(own):
                expected[k, i] = F.cosine_similarity(places[i], own.mean(0), dim=0).relu()
    torch.testing.assert_close(specific_maps(features, seeds)[0].flatten(1), expected, atol=1e-5, rtol=1e-4)


def test_an_empty_region_has_no_map():
    seeds = torch.stack([torch.ones(2, 2), torch.zeros(2, 2)])[None]
    found = specific_maps(torch.rand(1, 3, 2, 2), seeds)
    assert found[0, 0].all() and not found[0, 1].any()


@pytest.mark.parametrize(
    ("name", "options", "size"), [(NETWORK, {}, (5, 7)), ("sipe_resnet50", {"architecture": "resnet18"}, (3, 4))]
)
def test_what_the_network_gives(name, options, size):
    model = network(name=name, **options).eval()
    with torch.no_grad():
        output = model(images())
    assert output.logits.shape == (2, 4) and output.maps.shape == (2, 4, *size)
    assert output.hierarchical.shape[-2:] == output.semantic.shape[-2:] == size
    torch.testing.assert_close(output.logits, output.maps.mean((2, 3)))
    last = output.hierarchical[:, -model.sides[-1].out_channels :]  # not resized
    torch.testing.assert_close(last.norm(dim=1), torch.ones(2, *size), atol=1e-3, rtol=0)
    assert model.sides[0].out_channels + last.shape[1] < output.hierarchical.shape[1]


def test_what_of_the_published_network_is_trained():
    model = network(name="sipe_resnet50", architecture="resnet18").train()
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert not any(name.startswith(("backbone.conv1", "backbone.layer1", "backbone.layer2")) for name in trained)
    assert {"backbone.layer3.0.bn1.weight", "backbone.layer4.0.conv1.weight", "sides.0.weight"} <= trained
    assert not model.backbone.layer4[0].bn1.training
    assert model.backbone.layer4[0].conv1.stride == (1, 1) and model.backbone.layer4[1].conv1.dilation == (1, 1)


def test_the_loss_by_its_parts():
    """Absent classes and padding have no general map; the consistency is a mean over all maps, absent ones too."""
    model, pictures = network().eval(), images()
    pictures[1, :, :, 28:] = 0
    total, parts = objective(consistency_weight=3.0)(model, (pictures, LABELS))
    output = model(pictures)
    allowed = torch.cat([torch.ones(2, 1), LABELS], 1)[:, :, None, None].repeat(1, 1, 5, 7)
    allowed[1, :, :, 4:] = 0  # of places at pixels 0, 8, .. 48 those from 32
    general = general_maps(output.maps) * allowed
    seeds = seed_regions(general, output.semantic) * allowed
    expected = (general - peaked(specific_maps(output.hierarchical, seeds))).abs().sum() / general.numel()
    torch.testing.assert_close(parts["consistency"], expected.detach())
    torch.testing.assert_close(parts["class"], F.multilabel_soft_margin_loss(output.logits, LABELS).detach())
    torch.testing.assert_close(total.detach(), parts["class"] + 3 * parts["consistency"])
    assert not seeds[1, 1].any() and not seeds[1, 3:].any() and not seeds[1, :, :, 4:].any()


def test_where_an_image_shows_its_picture():
    pictures = torch.zeros(1, 3, 4, 4)
    pictures[0, 1, :2] = -0.5
    assert inside(pictures, (2, 2)).tolist() == [[[[1.0, 1.0], [0.0, 0.0]]]]


def test_what_the_consistency_teaches():
    """The classifier and the backbone by the general maps, the side convolutions by the specific ones."""
    model = network().eval()
    losses = [objective(consistency_weight=w)(model, (images(), LABELS))[0] for w in (1.0, 0.0)]
    (losses[0] - losses[1]).backward()
    for weight in (model.classifier.weight, model.conv1a.weight, *(side.weight for side in model.sides)):
        assert weight.grad.abs().sum() > 0
    model.zero_grad()
    model(images()).hierarchical.square().mul(torch.arange(80.0)[:, None, None]).sum().backward()
    assert model.conv1a.weight.grad is None and model.sides[0].weight.grad.abs().sum() > 0


def by_hand(model, pictures, present, *, mirrored=True, left_out=False):
    """Specific maps of one image, background first, and its general ones."""
    with torch.no_grad():
        plain, turned = model(pictures), model(pictures.flip(-1))
    maps, features = plain.maps, plain.hierarchical
    if mirrored:
        maps, features = maps + turned.maps.flip(-1), features + turned.hierarchical.flip(-1)
    general = general_maps(maps)
    absent = [k for k in range(5) if k not in (0, *(label + 1 for label in present))]
    if left_out:
        general[:, absent] = 0
    seeds = seed_regions(general, features)
    seeds[:, absent] = 0
    return peaked(specific_maps(features, seeds)), general


@pytest.mark.parametrize("mirrored", [True, False])
def test_maps_of_the_asked_classes(mirrored):
    model, pictures, targets = network().eval(), images(), torch.tensor([[2, 0], [1, -1]])
    for place, labels in ((0, [2, 0]), (1, [1])):
        specific, general = by_hand(model, pictures[place : place + 1], labels, mirrored=mirrored)
        chosen = [label + 1 for label in labels]
        wanted = {
            "specific": specific[0, chosen],
            "class": general[0, chosen],
            "margin": (1 + specific[0, chosen] - specific[0, :1]) / 2,
        }
        for maps, expected in wanted.items():
            found = explain(model, pictures, targets, "sipe", maps=maps, mirrored=mirrored)[place]
            torch.testing.assert_close(found[: len(labels)], expected, atol=1e-5, rtol=1e-4)
            assert not found[len(labels) :].any()


def test_a_margin_of_a_half_is_where_class_and_background_are_equal():
    model = network(13).eval()  # one whose second image goes to two classes
    margin = explain(model, images(), torch.tensor([[2, 0], [1, 3]]), "sipe")
    assert margin.min() >= 0 and margin.max() <= 1
    specific, _ = by_hand(model, images()[1:], [1, 3])
    winners = torch.cat([torch.full((1, 5, 7), 0.5), margin[1]]).argmax(0)
    assert torch.equal(winners, specific[0, [0, 2, 4]].argmax(0)) and len(winners.unique()) > 1


def test_absent_classes_may_be_left_out_before_places_are_given():
    model, targets = network(13).eval(), torch.tensor([[2], [1]])
    found = {
        absent: explain(model, images(), targets, "sipe", maps="specific", absent=absent)[1]
        for absent in ("left_out", "compete")
    }
    for absent, maps in found.items():
        expected, _ = by_hand(model, images()[1:], [1], left_out=absent == "left_out")
        torch.testing.assert_close(maps, expected[0, [2]], atol=1e-5, rtol=1e-4)
    assert not torch.allclose(*found.values(), atol=1e-3)


def test_regions_may_be_made_by_the_last_features():
    model = network(13).eval()
    with torch.no_grad():
        output = model(images()[1:])
    seeds = seed_regions(general_maps(output.maps), output.semantic)
    seeds[:, [1, 3]] = 0
    found = explain(
        model, images()[1:], torch.tensor([[1, 3]]), "sipe", maps="specific", mirrored=False, features="semantic"
    )
    torch.testing.assert_close(
        found, peaked(specific_maps(output.hierarchical, seeds))[:, [2, 4]], atol=1e-5, rtol=1e-4
    )


def test_other_networks_have_no_such_maps():
    other = create_model("resnet38_tiny", 4)
    with pytest.raises(UserError, match="it is not SIPE's classifier"):
        explain(other, images(), None, "sipe")
    with pytest.raises(ParameterError, match="SIPE; the network is a ResNet38Classifier"):
        objective().bind(other)
    with pytest.raises(ParameterError, match="no ResNet of timm's"):
        network(name="sipe_resnet50", architecture="vit_tiny_patch16_224")


def test_published_names():
    model, theirs = network(name="sipe_resnet50", architecture="resnet18"), {}
    for name, tensor in network(1, "sipe_resnet50", architecture="resnet18").state_dict().items():
        layer, _, rest = name.partition(".")
        if layer == "backbone":
            theirs |= {f"resnet50.{rest}": tensor, f"backbone.0.{rest}": tensor, f"stage0.{rest}": tensor}
        elif layer == "sides":
            theirs |= {f"side{int(rest[0]) + 1}.weight": tensor, f"newly_added.{int(rest[0]) + 1}.weight": tensor}
        else:
            theirs |= {name: tensor, "newly_added.0.weight": tensor}
    load_weights(model, theirs, layout="sipe")
    assert torch.equal(model.sides[2].weight, theirs["side3.weight"])
    assert torch.equal(model.backbone.layer3[0].conv1.weight, theirs["resnet50.layer3.0.conv1.weight"])
    assert torch.equal(model.classifier.weight, theirs["classifier.weight"])
    with pytest.raises(ParameterError, match="SIPEResNet"):
        load_weights(network(), theirs, layout="sipe")


@pytest.mark.parametrize("options", [{"consistency_weight": -1.0}, {"background_factor": -0.5}])
def test_numbers_out_of_range(options):
    with pytest.raises(ParameterError, match="must be 0 or more"):
        objective(**options)


def test_a_few_steps_on_the_built_in_images(shapes, tmp_path):
    torch.manual_seed(0)
    model = create_model(NETWORK, len(shapes.classes))
    trained, history, before = trained_on_pictures(shapes, model, objective(), tmp_path / "state.pt")
    assert set(history.rows[0]) >= {"loss", "class", "consistency"}
    assert history.rows[-1]["class"] < history.rows[0]["class"]
    assert all(not torch.equal(tensor, before[name]) for name, tensor in trained.named_parameters())
