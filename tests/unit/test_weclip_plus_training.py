"""WeCLIP+ on its small network: both towers, labels and losses by hand, steps of training, where it starts from."""

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from seedbed.errors import ParameterError
from seedbed.io.weights import read_weights
from seedbed.models import create_model, load_weights
from seedbed.models.clip import run_block
from seedbed.models.dino import VIT_S_14, DinoTower
from seedbed.models.weclip import affinities
from seedbed.params.classifiers import Classifier
from seedbed.train.classifier import load_into
from seedbed.train.dice import dice_loss
from seedbed.train.objectives import build_objective
from seedbed.train.pixel_losses import balanced_cross_entropy
from seedbed.train.weclip_labels import LabelSettings, pixel_labels, present_classes
from seedbed.train.weclip_plus_labels import enlarged, self_labels, weighted_maps

torch.set_num_threads(1)
LABELS = torch.tensor([[1.0, 0, 1], [0, 0, 0]])
SHIPPED = Path(__file__).parents[2] / "pretrained/vit_tiny_patch8_96.safetensors"


@pytest.fixture
def network():
    torch.manual_seed(0)
    return create_model("weclip_plus_vit_tiny_8", 3, depth=3).eval()


@pytest.fixture
def images():
    return torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(1))


def objective(**options):
    small = {"self_labels_from": 1, "chosen_from": 2, "iterations": 1, "dilations": [1]}
    return build_objective("weclip_plus", **{**small, **options})


def certain(labels):
    """Scores [1, 3, 1, n] whose softmax is nearly 1 at each pixel's label."""
    return 40 * F.one_hot(torch.tensor([[labels]]), 3).permute(0, 3, 1, 2).float()


def test_each_tower_has_its_own_grid(network, images):
    seen = network.look(images)
    assert seen.clip.levels[0].shape == (2, 96, 12, 12) and len(seen.clip.levels) == 1
    assert seen.dino.shape == (2, 96, 13, 13)
    decoded = network.decode(seen)
    assert decoded.clip.shape == decoded.dino.shape == (2, 4, 12, 12)
    assert decoded.features.shape == (2, 128, 12, 12)
    torch.testing.assert_close(network.logits(images), (decoded.clip + decoded.dino) / 2)
    assert network.pixel_scores(images).shape == (2, 4, 96, 96)
    assert network(images).logits.shape == (2, 3)


def test_a_skipped_block_changes_what_labels_see_alone(network, images):
    outputs = [step.tokens for step in network.tower.steps(network.tower.embed(images)[0])]
    usual, skipping = network.look(images).clip, network.look(images, skip_block=True).clip
    assert torch.equal(usual.before, outputs[1]) and torch.equal(skipping.before, outputs[0])
    attention = run_block(network.tower.blocks[-1], outputs[0]).attention[:, :, 1:, 1:].mean(1)
    assert torch.equal(skipping.attention[-1], attention)
    assert torch.equal(skipping.attention[1], usual.attention[1])
    assert torch.equal(skipping.levels[0], usual.levels[0]) and torch.equal(skipping.logits, usual.logits)


def test_dino_is_timms_where_the_picture_has_its_size():
    torch.manual_seed(0)
    tower = DinoTower(img_size=28, patch_size=7, embed_dim=16, depth=2, num_heads=2, init_values=1e-5).eval()
    images = torch.randn(1, 3, 28, 28)
    whole = tower.forward_features(images)[:, 1:].mT.unflatten(2, (4, 4))
    torch.testing.assert_close(tower(images), whole)
    assert tower(torch.randn(1, 3, 27, 36)).shape == (1, 16, 3, 5)
    assert tower(torch.randn(1, 3, 5, 9)).shape == (1, 16, 1, 1)


def test_timms_dinov2_fills_it_by_its_own_names():
    """What `parts` of the preset `paper` load: the same names and shapes, and nothing left over."""
    torch.manual_seed(0)
    published = create_model("vit_small_patch14_dinov2.lvd142m")
    tower = DinoTower(**VIT_S_14)
    load_weights(tower, published.state_dict())
    assert torch.equal(tower.blocks[11].ls2.gamma, published.blocks[11].ls2.gamma)
    assert tower.norm.eps == published.norm.eps and tower.blocks[0].norm1.eps == published.blocks[0].norm1.eps


def test_positions_are_the_same_function_of_place_on_a_finer_grid():
    tower = DinoTower(img_size=28, patch_size=7, embed_dim=4, depth=1, num_heads=1)
    with torch.no_grad():
        tower.pos_embed[:, 1:] = 3.0
    moved = tower.positions((5, 9))
    assert moved.shape == (1, 46, 4)
    assert torch.equal(moved[:, :1], tower.pos_embed[:, :1])
    torch.testing.assert_close(moved[:, 1:], torch.full((1, 45, 4), 3.0))


def test_dice_by_hand():
    """Of 4 pixels labelled 0 0 1 1 one of each class is found: each overlaps by 2 * 1 / (2 + 2)."""
    labels, found = torch.tensor([[[0, 0, 1, 1]]]), certain([0, 1, 1, 0])
    assert float(dice_loss(found, labels)) == pytest.approx(0.5)
    assert float(dice_loss(found, labels, classes="all")) == pytest.approx(1 - (0.5 + 0.5 + 0) / 3)


def test_dice_of_void_pixels_by_hand():
    """Labelled 0 void 1 1, found 0 0 1 1: all is right, but for what is predicted on the void pixel."""
    labels, found = torch.tensor([[[0, 255, 1, 1]]]), certain([0, 0, 1, 1])
    assert float(dice_loss(found, labels)) == pytest.approx(0, abs=1e-6)
    assert float(dice_loss(found, labels, void="counted")) == pytest.approx(1 - (2 / 3 + 1) / 2)
    assert labels.tolist() == [[[0, 255, 1, 1]]]
    assert float(dice_loss(found, torch.full_like(labels, 255))) == 0
    with pytest.raises(ParameterError, match="dice_void"):
        dice_loss(found, labels, void="ignored")


def test_mutual_cross_entropy_by_hand():
    """Two pixels; one branch says 0 and 1 with odds of 3 to 1 and 1 to 1, the other with 1 to 4 and 1 to 4."""
    one = torch.tensor([[[math.log(3), 0.0]], [[0.0, 1e-6]]])[None]
    other = torch.tensor([[[0.0, 0.0]], [[math.log(4), math.log(4)]]])[None]
    # The other says 1 twice, so background is empty; the one says 0, then, just so, 1.
    of_one = (-math.log(1 / 4) - math.log(1 / 2)) / 2 / 2
    of_other = (-math.log(1 / 5) - math.log(4 / 5)) / 2
    assert float(objective().mutual(one, other)) == pytest.approx(of_one + of_other, rel=1e-5)
    assert objective(empty_is_nan=True).mutual(one, other).isnan()


def test_self_labels_by_hand():
    """Probabilities 0.8 and 0.7 of class 1, and 0.76 of class 0, at a threshold of 0.75."""
    shares = torch.tensor([[[[0.2, 0.3, 0.76]], [[0.8, 0.7, 0.24]]]])
    assert self_labels(shares.log(), torch.tensor([[[0, 0, 255]]]), 0.75).tolist() == [[[1, 0, 0]]]


def test_maps_are_weighted_by_what_the_decoder_says(network, images):
    """A class that the decoder gives no probability vanishes, whatever CLIP says; one that it gives 1 stays."""
    seen, targets = network.look(images), present_classes(LABELS)
    settings = LabelSettings(chosen_from=2, threshold=None, dilations=(1,), iterations=1)
    affinity = affinities(network.decode(seen).features)
    shares = torch.ones(2, 4, 12, 12)
    maps = weighted_maps(network, seen.clip, targets, affinity, shares, settings)
    shares[:, 3] = 0
    without = weighted_maps(network, seen.clip, targets, affinity, shares, settings)
    assert maps.shape == (2, 2, 12, 12) and maps[0].amax((1, 2)).tolist() == pytest.approx([1, 1], abs=0.02)
    assert torch.equal(without[0, 0], maps[0, 0]) and not without[0, 1].any()
    assert not pixel_labels(images, without, targets, settings)[1].any()


def test_both_phases_train_branches_and_decoder_alone(network, images):
    frozen = {n: each.clone() for n, each in network.state_dict().items() if n.startswith(("tower", "dino."))}
    loss = objective(self_labels_above=0.3)
    loss.bind(network)
    optimizer = torch.optim.SGD([each for each in network.parameters() if each.requires_grad], lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        total, parts = loss(network.train(), (images, LABELS))
        total.backward()
        assert all(each.grad is not None for n, each in network.named_parameters() if n not in frozen)
        optimizer.step()
        assert total.isfinite() and set(parts) == {"pixels", "dice", "affinity", "mutual"}
    assert int(loss.steps) == 2
    assert all(torch.equal(frozen[n], network.state_dict()[n]) for n in frozen)


def test_own_labels_count_from_their_step_on(network, images):
    """They replace what cross entropy and dice learn, and not what affinities do."""
    seen = network.look(images)
    decoded = network.decode(seen)
    affinity, labels = affinities(decoded.features), torch.ones(2, 96, 96, dtype=torch.long)
    early, late = (objective(self_labels_above=0).losses(decoded, affinity, labels, own) for own in (False, True))
    scores = enlarged(decoded.scores, (96, 96))
    assert torch.equal(early["pixels"], balanced_cross_entropy(scores, labels))
    torch.testing.assert_close(late["pixels"], balanced_cross_entropy(scores, scores.argmax(1)))
    assert torch.equal(late["affinity"], early["affinity"]) and torch.equal(late["mutual"], early["mutual"])


def test_it_starts_from_a_trained_classifier_and_shipped_weights(network):
    """As `parts` of the network that it starts from are filled; other patches and positions are resampled."""
    torch.manual_seed(1)
    trained = create_model("clip_vit_tiny_8", 3, depth=3)
    fresh = [*network.new_layers, "dino"]
    load_weights(network, trained.state_dict(), fresh=fresh)
    whole = create_model("weclip_plus_vit_tiny_8", 3)
    load_into(whole, SHIPPED, "dino", layout="weaktr_encoder")
    assert torch.equal(network.tower.head.weight, trained.tower.head.weight)
    assert torch.equal(whole.dino.blocks[0].attn.qkv.weight, read_weights(SHIPPED)["blocks.0.attn.qkv.weight"])
    assert whole.dino.pos_embed.shape == (1, 1 + 13 * 13, 96)


def test_parts_are_of_a_network_that_is_put_together():
    given = {"architecture": "weclip_plus_vit_tiny_8", "input": {"normalize": "clip"}, "texts": "words"}
    given["parts"] = {"dino": {"weights": "dinov2_small"}}
    assert Classifier(**given, weights="clip").parts["dino"].layout == "native"
    train = {"loss": "weclip_plus", "augment": [], "batch_size": 1, "lr": 0.1, "iterations": 1}
    for wrong in ({**given, "train": train}, {**given, "texts": None}):
        with pytest.raises(ValueError, match="starts_from"):
            Classifier(**wrong, weights="clip")


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"layer_choice": "near"}, "layer_choice"),
        ({"radius": 0}, "radius"),
        ({"chosen_from": 0}, "chosen_from"),
        ({"self_labels_from": -1}, "self_labels_from"),
        ({"self_labels_above": 1.5}, "self_labels_above"),
    ],
)
def test_options_out_of_range(options, word):
    with pytest.raises(ParameterError, match=word):
        objective(**options)
