"""ExCEL on its small network: two paths, what is trained, what labels are made of, three phases of its loss."""

import pytest
import torch

from seedbed.data.grey_levels import whole_grey_levels
from seedbed.data.views import InputView
from seedbed.errors import ParameterError
from seedbed.explain.text_likeness import text_likeness
from seedbed.models import create_model, load_weights
from seedbed.train.excel_labels import of_present, spread_by_attention
from seedbed.train.objectives import build_objective
from seedbed.train.segmentation import PredictionSettings, scaled_view, views_of

LABELS = torch.tensor([[1.0, 0, 1], [0, 0, 0]])


@pytest.fixture
def network():
    torch.manual_seed(0)
    return create_model("excel_vit_tiny_8", 3).eval()


@pytest.fixture
def images():
    return torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(1))


def objective(**options):
    return build_objective("excel", **{"second_from": 1, "par_iterations": 1, "par_dilations": [1], **options})


def test_scores_of_patches_and_pixels(network, images):
    with torch.no_grad():
        output = network(images)
        assert output.logits.shape == (2, 3) and output.scores.shape == (2, 4, 12, 12)
        assert network.pixel_scores(images).shape == (2, 4, 96, 96)
        torch.testing.assert_close(network.logits(images), output.scores)
        assert network.likeness(output.features).shape == (2, 144, 144)


def test_an_oblong_image(network):
    with torch.no_grad():
        assert network.logits(torch.randn(1, 3, 64, 101)).shape == (1, 4, 8, 12)


def test_the_class_token_stays_on_the_original_path(network, images):
    tokens, _ = network.tower.embed(images)
    *_, last = network.tower.steps(tokens)
    paths = network.read(images)
    torch.testing.assert_close(paths.embeddings[:, 0], network.tower.project(last.tokens[:, 0]), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(paths.embeddings[:, 1:], network.tower.project(last.tokens[:, 1:]), atol=1e-3)
    assert len(paths.outputs) == len(paths.attention) == 4


def test_attention_of_own_heads_is_their_mean(images):
    for heads, total in (("own", 1.0), ("sum", 4.0)):
        torch.manual_seed(0)
        attention = create_model("excel_vit_tiny_8", 3, heads=heads).read(images).attention
        sums = [each.sum(-1).mean() for each in attention]
        torch.testing.assert_close(torch.stack(sums), torch.tensor([1.0, 1.0, total, total]))


def test_likeness_changes_patches_alone(network, images):
    likeness = torch.eye(144).expand(2, -1, -1)
    plain, moved = network.read(images).embeddings, network.read(images, likeness).embeddings
    torch.testing.assert_close(plain[:, 0], moved[:, 0])
    assert (plain[:, 1:] - moved[:, 1:]).abs().max() > 1e-3


def test_maps_are_stretched_over_all_tokens(network, images):
    embeddings = network.read(images).embeddings
    maps = text_likeness(embeddings, network.texts)
    assert maps.shape == (2, 144, 3) and maps.min() >= 0 and maps.max() <= 1
    torch.testing.assert_close(text_likeness(5 * embeddings, network.texts), maps, rtol=1e-3, atol=1e-5)


def test_empty_slots_hold_nothing():
    maps = torch.rand(1, 4, 3)
    found = of_present(maps, torch.tensor([[2, -1]]))
    torch.testing.assert_close(found[0, 0], maps[0, :, 2])
    assert not found[0, 1].any()
    spread = spread_by_attention(found, torch.ones(1, 4, 4), (2, 2), 0.5)
    assert spread.shape == (1, 2, 2, 2) and not spread[0, 1].any()


def test_grey_levels_are_cut_or_rounded():
    grey = torch.tensor([99.9, 100.2, 300.0]).view(1, 3, 1, 1)
    shown = (grey / 255 - 0.5) / 0.25
    given = ((0.5,) * 3, (0.25,) * 3)
    assert whole_grey_levels(shown, *given, "rounded").flatten().tolist() == [100, 100, 255]
    assert whole_grey_levels(shown, *given, "cut").flatten().tolist() == [99, 100, 255]


def test_all_phases_train_the_decoder_alone(network, images):
    loss, tower = objective(third_from=2), {name: each.clone() for name, each in network.tower.state_dict().items()}
    loss.bind(network)
    optimizer = torch.optim.SGD([each for each in network.parameters() if each.requires_grad], lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        total, parts = loss(network.train(), (images, LABELS))
        total.backward()
        assert all(each.grad is not None for name, each in network.named_parameters() if not name.startswith("tower"))
        optimizer.step()
        assert total.isfinite() and set(parts) == {"pixels", "affinity"}
    assert all(torch.equal(tower[name], each) for name, each in network.tower.state_dict().items())


def test_a_resumed_run_knows_its_phase(network, images):
    loss, resumed = objective(), objective()
    loss(network, (images, LABELS))
    resumed.load_state_dict(loss.state_dict())
    assert int(resumed.steps) == 1


def test_it_starts_from_a_trained_classifier(network):
    torch.manual_seed(1)
    trained = create_model("clip_vit_tiny_8", 3)
    load_weights(network, trained.state_dict(), fresh=["levels", "fuse", "decoder", "predict"])
    assert torch.equal(network.tower.head.weight, trained.tower.head.weight)


@pytest.mark.parametrize(
    ("options", "word"),
    [({"box": 1.5}, "box"), ({"layers": 0}, "layers"), ({"radius": -1}, "radius"), ({"norm": "rows"}, "norm")],
)
def test_options_out_of_range(options, word):
    with pytest.raises(ParameterError, match=word):
        objective(**options)


def test_a_scale_without_mirrored_view_counts_as_much_as_others():
    settings = PredictionSettings(
        input=InputView("imagenet", (32, 32)),
        fusion="mean_pixel_logits",
        scales=[1.0, 0.7],
        flip=True,
        unmirrored=[1.0],
        scaling="squeezed",
        rounding="down",
    )
    assert views_of(settings) == [(1.0, False), (1.0, False), (0.7, False), (0.7, True)]
    picture = torch.randint(0, 256, (40, 60, 3), dtype=torch.uint8).numpy()
    assert scaled_view(picture, settings, 0.7, False).shape == (3, 22, 22)
