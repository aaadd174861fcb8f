"""WeCLIP on its small network: what is trained, what labels are made of, both phases of its loss."""

import pytest
import torch

from seedbed.errors import DataError, ParameterError
from seedbed.io.weights import write_weights
from seedbed.models import create_model, load_weights
from seedbed.models.checkpoints import PublishedNetwork, PublishedWeights, adopt_checkpoint
from seedbed.models.prompts import make_texts
from seedbed.models.weclip import affinities
from seedbed.train.objectives import build_objective
from seedbed.train.weclip_labels import LabelSettings, chosen_attention, pixel_labels, present_classes, refined_maps

LABELS = torch.tensor([[1.0, 0, 1], [0, 0, 0]])
SETTINGS = LabelSettings(layers=2, chosen_from=2, dilations=(1, 2), iterations=2)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return create_model("weclip_vit_tiny_8", 3, depth=3).eval()


@pytest.fixture
def images():
    return torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(1))


def objective(**options):
    return build_objective("weclip", **{"decoder_from": 1, "layers": 2, "iterations": 1, "dilations": [1], **options})


def test_scores_of_patches_and_pixels(network, images):
    with torch.no_grad():
        output = network(images)
        assert output.logits.shape == (2, 3) and output.scores.shape == (2, 4, 12, 12)
        assert network.pixel_scores(images).shape == (2, 4, 96, 96)
        torch.testing.assert_close(network.logits(images), output.scores)
        assert affinities(output.features).shape == (2, 144, 144)


def test_present_classes_in_ascending_order():
    assert present_classes(LABELS).tolist() == [[0, 2], [-1, -1]]
    assert present_classes(torch.zeros(1, 3)).tolist() == [[-1]]


def test_an_image_without_classes_is_background(network, images):
    seen, targets = network.look(images), present_classes(LABELS)
    maps = refined_maps(network, seen, targets, None, SETTINGS)
    labels = pixel_labels(images, maps, targets, SETTINGS)
    assert labels.shape == (2, 96, 96) and not labels[1].any()
    assert set(labels[0].unique().tolist()) <= {0, 1, 3}


def test_the_decoder_has_a_say_in_the_absolute_choice():
    attention = torch.stack([torch.full((1, 4, 4), 0.2), torch.eye(4)[None]])
    near_first, near_second = torch.full((1, 4, 4), 0.2), torch.eye(4)[None]
    kept = [chosen_attention(attention, each, "absolute")[1][:, 0].tolist() for each in (near_first, near_second)]
    assert kept == [[True, False], [False, True]]
    signed = [chosen_attention(attention, each, "signed")[1][:, 0].tolist() for each in (near_first, near_second)]
    assert signed[0] == signed[1]


def test_both_phases_train_the_decoder_alone(network, images):
    loss, tower = objective(), {name: each.clone() for name, each in network.tower.state_dict().items()}
    loss.bind(network)
    optimizer = torch.optim.SGD([each for each in network.parameters() if each.requires_grad], lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        total, parts = loss(network.train(), (images, LABELS))
        total.backward()
        assert all(each.grad is not None for name, each in network.named_parameters() if not name.startswith("tower"))
        optimizer.step()
        assert total.isfinite() and set(parts) == {"pixels", "affinity"}
    assert int(loss.steps) == 2
    assert all(torch.equal(tower[name], each) for name, each in network.tower.state_dict().items())


def test_it_starts_from_a_trained_classifier(network):
    torch.manual_seed(1)
    trained = create_model("clip_vit_tiny_8", 3, depth=3)
    found = load_weights(network, trained.state_dict(), fresh=["levels", "fuse", "decoder", "predict"])
    assert torch.equal(network.tower.head.weight, trained.tower.head.weight)
    assert not found.dropped
    with pytest.raises(DataError, match="missing"):
        load_weights(network, trained.state_dict())


@pytest.mark.parametrize(
    ("options", "word"),
    [({"layer_choice": "near"}, "layer_choice"), ({"radius": 0}, "radius"), ({"layers": 0}, "layers")],
)
def test_options_out_of_range(options, word):
    with pytest.raises(ParameterError, match=word):
        objective(**options)


def test_a_network_of_others_is_given_its_texts(network, tmp_path):
    """A file of somebody's training, which holds no texts, or others."""
    texts = make_texts({"kind": "unit_vectors", "dim": 64, "background": 8}, ["a", "b", "c"], "")
    write_weights(tmp_path / "texts.safetensors", texts._asdict(), {})
    write_weights(tmp_path / "published.safetensors", network.state_dict(), {})
    weights = PublishedWeights(str(tmp_path / "published.safetensors"))
    asked = PublishedNetwork("weclip_vit_tiny_8", weights, {"depth": 3})
    model, _ = adopt_checkpoint(asked, "weclip", "shapes", 3, tmp_path / "texts.safetensors")
    assert torch.equal(model.classes, texts.classes)
    assert torch.equal(model.predict.weight, network.predict.weight)
    with pytest.raises(ParameterError, match="prompts"):
        adopt_checkpoint(asked, "weclip", "shapes", 3)
