"""AReAM's equations against loops over pixels and pairs, by hand and on random maps."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from seedbed.errors import DataError, ParameterError
from seedbed.models.attention_layers import layer_indices, patch_part
from seedbed.refine import (
    attention_affinity_labels,
    fuse_layers,
    inverted_sum,
    layer_losses,
    layer_weights,
    pixel_adaptive_refinement,
    present_maps,
    reliable_labels,
)

SEEDS = st.integers(0, 10**6)

torch.set_num_threads(1)


def random_case(seed, batch=2, slots=2, grid=(3, 4), layers=3):
    """Maps [B, K, h, w] in 0..1 and attention whose rows sum to less than 1, as without class tokens."""
    generator = torch.Generator().manual_seed(seed)
    patches = grid[0] * grid[1]
    maps = torch.rand(batch, slots, *grid, generator=generator)
    logits = 3 * torch.randn(layers, batch, patches, patches + 2, generator=generator)
    return maps, [layer.softmax(dim=-1)[:, :, 2:] for layer in logits]


def looped_weight(maps, matrix, rule):
    """Equations 7 and 8 for one image and layer, written out."""
    flat = maps.sum(0).flatten().tolist()
    propagated = [sum(float(a) * m for a, m in zip(row, flat, strict=True)) for row in matrix]
    total = sum(math.exp(value) for value in propagated)
    shares = [math.exp(value) / total for value in propagated]
    plogp = sum(p * math.log(p) for p in shares)
    return 1 - plogp if rule == "literal" else 1 + plogp / math.log(len(shares))


def test_present_maps_by_hand():
    maps = torch.tensor([[[[1.0, 3.0]], [[9.0, 9.0]], [[-2.0, 4.0]]], [[[-1.0, -2.0]], [[5.0, 5.0]], [[0.0, 2.0]]]])
    found = present_maps(maps, torch.tensor([[1.0, 0.0, 1.0], [1.0, 0.0, 0.0]]))
    assert found.classes.tolist() == [[0, 2], [0, -1]]
    # A map without a positive value is flat after the cut, and flat maps are 0; so is an empty slot.
    assert found.maps.tolist() == [[[[0.0, 1.0]], [[0.0, 1.0]]], [[[0.0, 0.0]], [[0.0, 0.0]]]]
    nothing = present_maps(maps, torch.zeros(2, 3))
    assert nothing.classes.tolist() == [[-1], [-1]]
    assert not nothing.maps.any()


@given(SEEDS)
def test_present_maps_are_those_of_the_labels(seed):
    generator = torch.Generator().manual_seed(seed)
    maps, labels = torch.randn(4, 6, 2, 3, generator=generator), torch.rand(4, 6, generator=generator) < 0.4
    found = present_maps(maps, labels)
    slots = max(1, int(labels.sum(1).max()))
    for b in range(4):
        own = [c for c in range(6) if labels[b, c]]
        assert found.classes[b].tolist() == own + [-1] * (slots - len(own))
        for slot, c in enumerate(own):
            cut = maps[b, c].relu()
            span = cut.max() - cut.min()
            torch.testing.assert_close(found.maps[b, slot], (cut - cut.min()) / span if span > 0 else 0 * cut)
        assert not found.maps[b, len(own) :].any()


@pytest.mark.parametrize("kind", ["entropy", "literal"])
@given(SEEDS)
def test_weights_equal_loops(kind, seed):
    maps, affinities = random_case(seed)
    weights = layer_weights(maps, affinities, kind)
    for b in range(2):
        for layer, matrix in enumerate(affinities):
            assert float(weights[b, layer]) == pytest.approx(looped_weight(maps[b], matrix[b], kind), abs=2e-6)


def test_weights_by_hand():
    """One patch holds all of the map. The identity keeps it there; equal attention spreads it evenly."""
    maps = torch.tensor([[[[1.0, 0.0]]]])
    weights = layer_weights(maps, [torch.eye(2)[None], torch.full((1, 2, 2), 0.5)])
    share = math.e / (math.e + 1)
    entropy = -(share * math.log(share) + (1 - share) * math.log(1 - share))
    torch.testing.assert_close(weights, torch.tensor([[1 - entropy / math.log(2), 0.0]]))
    literal = layer_weights(maps, [torch.eye(2)[None], torch.full((1, 2, 2), 0.5)], "literal")
    torch.testing.assert_close(literal, torch.tensor([[1 + entropy, 1 + math.log(2)]]))


def test_nearly_equal_attention_still_has_a_weight():
    """Deviations d of a flat map give a weight of about var(d) / (2 log N), far below single precision."""
    deviation = torch.tensor([1.0, -1.0, 1.0, -1.0])
    affinity = torch.full((1, 4, 4), 0.25) + 1e-5 * deviation[:, None]
    weight = layer_weights(torch.ones(1, 1, 2, 2), [affinity])
    assert float(weight) == pytest.approx((4e-5) ** 2 / (2 * math.log(4)), rel=0.02)


@given(SEEDS)
def test_entropy_weights_lie_in_0_to_1_and_literal_ones_do_not(seed):
    maps, affinities = random_case(seed)
    weights = layer_weights(maps, affinities)
    assert ((weights >= 0) & (weights <= 1)).all()
    assert (layer_weights(maps, affinities, "literal") >= 1).all()


def test_scales_of_the_weights():
    maps, affinities = random_case(0)
    plain = layer_weights(maps, affinities)
    torch.testing.assert_close(layer_weights(maps, affinities, scale="sum").sum(1), torch.ones(2))
    largest = layer_weights(maps, affinities, scale="max")
    torch.testing.assert_close(largest.amax(1), torch.ones(2))
    torch.testing.assert_close(largest * plain.amax(1, keepdim=True), plain)
    assert layer_weights(maps, affinities, "uniform").tolist() == [[pytest.approx(1 / 3)] * 3] * 2
    assert not layer_weights(torch.zeros_like(maps), affinities, scale="max").any()


@given(SEEDS)
def test_fusion_equals_loops(seed):
    maps, affinities = random_case(seed)
    weights = torch.rand(2, 3, generator=torch.Generator().manual_seed(seed))
    fused = fuse_layers(maps, affinities, weights).flatten(2)
    for b in range(2):
        for k in range(2):
            flat = maps[b, k].flatten()
            expected = sum(weights[b, layer] * (matrix[b] @ flat) for layer, matrix in enumerate(affinities))
            torch.testing.assert_close(fused[b, k], expected)


def labelled(maps, classes, images=None, **options):
    images = torch.full((len(maps), 3, *(16 * side for side in maps.shape[-2:])), 0.5) if images is None else images
    return reliable_labels(images, maps, torch.tensor(classes), **options)


def test_labels_without_refinement_by_hand():
    """Two classes in a row of patches, thresholds between their values; the rules differ in the middle."""
    maps = torch.tensor([[[[0.0, 0.2, 0.5, 1.0, 0.0]], [[0.0, 0.1, 0.1, 0.5, 1.0]]]])
    given = {"iterations": 0, "thresholds": (0.25, 0.6)}
    assert labelled(maps, [[3, 7]], **given).tolist() == [[[0, 0, 255, 4, 8]]]
    assert labelled(maps, [[3, 7]], rule="literal", **given).tolist() == [[[0, 0, 4, 4, 8]]]
    # The second slot is empty: its map does not count.
    assert labelled(maps, [[3, -1]], **given).tolist() == [[[0, 0, 255, 4, 0]]]


def test_labels_do_not_depend_on_the_scale_of_the_maps():
    maps = random_case(3)[0]
    assert torch.equal(labelled(maps, [[0, 1]] * 2), labelled(0.01 * maps, [[0, 1]] * 2))


def test_a_picture_without_classes_is_background():
    maps = torch.zeros(1, 1, 2, 2)
    assert labelled(maps, [[-1]]).tolist() == [[[0, 0], [0, 0]]]


@pytest.mark.parametrize("downscale", [1, 2, 4])
@pytest.mark.parametrize("sampling", ["nearest", "mean"])
def test_refined_labels_equal_the_steps(downscale, sampling):
    """Equations 10 to 13 one by one: enlarge, refine without the gain, one value a patch, two thresholds."""
    maps = random_case(1, batch=1)[0]
    images = F.interpolate(torch.rand(1, 3, 2, 3, generator=torch.Generator().manual_seed(1)), (48, 64))
    size = (48 // downscale, 64 // downscale)
    low, high = maps.amin((2, 3), keepdim=True), maps.amax((2, 3), keepdim=True)
    enlarged = F.interpolate((maps - low) / (high - low), size, mode="bilinear")
    refined = pixel_adaptive_refinement(F.interpolate(images, size, mode="bilinear"), enlarged) / 1.01**10
    cell = 16 // downscale
    patches = (refined[..., ::cell, ::cell] if sampling == "nearest" else F.avg_pool2d(refined, cell))[0]
    peaks = patches.amax(0).flatten().sort().values
    thresholds = tuple(float(peaks[k : k + 2].mean()) for k in (3, 7))  # four patches below, four between, four above
    ours = labelled(maps, [[4, 6]], images, downscale=downscale, sampling=sampling, thresholds=thresholds)[0]
    for y in range(3):
        for x in range(4):
            peak, winner = float(patches[:, y, x].max()), int(patches[:, y, x].argmax())
            expected = [4, 6][winner] + 1 if peak > thresholds[1] else 255 if peak > thresholds[0] else 0
            assert int(ours[y, x]) == expected
    assert (int((ours == 0).sum()), int((ours == 255).sum())) == (4, 4)


def test_padding_is_uncertain():
    maps, images = random_case(2, batch=1)[0], torch.rand(1, 3, 48, 64) + 0.1
    images[:, :, 32:] = 0
    padded = labelled(maps, [[0, 1]], images)
    assert (padded[0, 2] == 255).all()
    assert torch.equal(padded[0, :2], labelled(maps, [[0, 1]], images, ignore_padding=False)[0, :2])
    assert not (labelled(maps, [[0, 1]], images, ignore_padding=False, rule="literal") == 255).any()


@given(SEEDS)
def test_losses_equal_loops(seed):
    generator = torch.Generator().manual_seed(seed)
    scores = [4 * torch.randn(2, 5, 5, generator=generator) for _ in range(2)]
    labels = torch.tensor([0, 1, 255])[torch.randint(0, 3, (2, 1, 5), generator=generator)]
    pairs = attention_affinity_labels(labels, radius=None, cell=1)
    losses = layer_losses(scores, pairs)
    for b in range(2):
        for layer in range(2):
            gates = [[1 / (1 + math.exp(-float(s))) for s in row] for row in scores[layer][b]]
            same, different = [], []
            for i, one in enumerate(labels[b, 0].tolist()):
                for j, other in enumerate(labels[b, 0].tolist()):
                    if 255 not in (one, other):
                        (same if one == other else different).append(gates[i][j])
            expected = sum(1 - g for g in same) / max(1, len(same)) + sum(different) / max(1, len(different))
            assert float(losses[b, layer]) == pytest.approx(expected, abs=1e-5)


def test_losses_by_hand():
    """Scores that agree with the pairs cost nothing, opposite ones 2, zero ones a half for each kind of pair."""
    pairs = torch.tensor([[[1, 0, 255], [0, 1, 255], [255, 255, 255]]])
    right = torch.where(pairs == 1, 50.0, -50.0)
    losses = layer_losses([right, -right, 0 * right], pairs)
    torch.testing.assert_close(losses, torch.tensor([[0.0, 2.0, 1.0]]))
    torch.testing.assert_close(layer_losses([0 * right], torch.ones(1, 3, 3)), torch.tensor([[0.5]]))
    torch.testing.assert_close(layer_losses([0 * right], torch.full((1, 3, 3), 255)), torch.tensor([[0.0]]))


def test_gradient_of_the_loss_equals_finite_differences():
    generator = torch.Generator().manual_seed(0)
    pairs = attention_affinity_labels(torch.tensor([[[0, 2, 255, 2]]]), radius=None, cell=1)
    scores = torch.randn(2, 1, 4, 4, generator=generator, dtype=torch.float64).requires_grad_()
    weights = torch.tensor([[0.2, 0.7]])

    def loss(values):
        return inverted_sum(layer_losses(list(values), pairs), weights).sum()

    loss(scores).backward()
    step = 1e-2  # the loss is computed in float32
    for index in torch.cartesian_prod(*(torch.arange(n) for n in scores.shape)).tolist():
        moved = scores.detach().clone()
        moved[tuple(index)] += step
        above = float(loss(moved))
        moved[tuple(index)] -= 2 * step
        slope = (above - float(loss(moved))) / (2 * step)
        assert float(scores.grad[tuple(index)]) == pytest.approx(slope, abs=1e-4)
    ignored = (pairs == 255).expand(2, 1, 4, 4)
    assert not scores.grad[ignored].any()
    assert scores.grad[~ignored].all()


def test_inverted_sum_by_hand():
    losses, weights = torch.tensor([[1.0, 2.0, 4.0]]), torch.tensor([[0.5, 0.75, 0.0]])
    assert inverted_sum(losses, weights).tolist() == [5.0]
    assert inverted_sum(losses, weights, layers=[-1, 1]).tolist() == [4.5]


def test_pictures_do_not_influence_each_other():
    """Also where another image has more classes, so that slots are empty."""
    generator = torch.Generator().manual_seed(5)
    raw = torch.randn(3, 5, 3, 4, generator=generator)
    labels = torch.tensor([[1, 0, 0, 0, 0], [1, 1, 1, 0, 1], [0, 0, 0, 0, 0]])
    images, affinities = torch.randn(3, 3, 48, 64, generator=generator), random_case(6, batch=3)[1]
    scores = [torch.randn(3, 12, 12, generator=generator) for _ in range(3)]

    def run(pictures):
        maps, classes = present_maps(raw[pictures], labels[pictures])
        matrices = [matrix[pictures] for matrix in affinities]
        weights = layer_weights(maps, matrices)
        cells = reliable_labels(images[pictures], fuse_layers(maps, matrices, weights), classes)
        pairs = attention_affinity_labels(cells, radius=None, cell=1)
        return weights, cells, inverted_sum(layer_losses([layer[pictures] for layer in scores], pairs), weights)

    together = run([0, 1, 2])
    for picture in range(3):
        for whole, alone in zip(together, run([picture]), strict=True):
            torch.testing.assert_close(whole[picture : picture + 1], alone, rtol=1e-6, atol=1e-7)


def test_labels_and_weights_carry_no_gradient():
    maps, affinities = random_case(0)
    maps.requires_grad_()
    matrices = [matrix.clone().requires_grad_() for matrix in affinities]
    chosen = present_maps(maps, torch.ones(2, 2)).maps
    weights = layer_weights(chosen, matrices)
    assert not any(t.requires_grad for t in (chosen, weights, fuse_layers(chosen, matrices, weights)))


def test_layers_are_chosen_by_number():
    assert layer_indices(None, 3) == layer_indices("all", 3) == [0, 1, 2]
    assert layer_indices([2, 0], 3) == [0, 2]
    assert layer_indices([-1], 3) == [2]
    for wrong in ([], [3], [-4], [0, 0], [2, -1], "last", [0.5]):
        with pytest.raises(ParameterError, match="layers="):
            layer_indices(wrong, 3)


def test_patch_part_is_a_view_of_the_last_tokens():
    attention = torch.arange(32.0).reshape(2, 4, 4)
    (block,) = patch_part([attention], 2)
    assert block.tolist() == [[[10, 11], [14, 15]], [[26, 27], [30, 31]]]
    assert block.untyped_storage().data_ptr() == attention.untyped_storage().data_ptr()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"rule": "literl"}, ParameterError, "Unknown threshold rule 'literl'. Did you mean 'literal'"),
        ({"sampling": "max"}, ParameterError, "Unknown sampling 'max'"),
        ({"thresholds": (0.6, 0.4)}, ParameterError, r"low <= high <= 1, got \(0.6, 0.4\)"),
        ({"thresholds": (0.6, 1.4)}, ParameterError, r"got \(0.6, 1.4\)"),
        ({"downscale": 0}, ParameterError, "downscale 0 leaves .* choose 1 to 16"),
        ({"downscale": 17}, ParameterError, "downscale 17 leaves 2 x 3 pixels for 3 x 4 patches; choose 1 to 16"),
        ({"images": torch.rand(1, 3, 48, 64)}, DataError, "Need images"),
    ],
)
def test_wrong_labelling_is_named(options, error, message):
    with pytest.raises(error, match=message):
        labelled(random_case(0)[0], [[0, 1]] * 2, **options)


def test_wrong_shapes_and_names_are_named():
    maps, affinities = random_case(0)
    with pytest.raises(DataError, match="Need maps"):
        present_maps(maps, torch.ones(2, 3))
    with pytest.raises(ParameterError, match=r"Unknown layer weighting 'entropie'. Did you mean 'entropy'"):
        layer_weights(maps, affinities, "entropie")
    with pytest.raises(ParameterError, match="Unknown scale of layer weights 'mean'"):
        layer_weights(maps, affinities, scale="mean")
    with pytest.raises(DataError, match="do not fit 2 images and 3 layers"):
        fuse_layers(maps, affinities, torch.ones(2, 2))
    with pytest.raises(DataError, match="do not fit pairs"):
        layer_losses([torch.zeros(2, 4, 4)], torch.ones(2, 5, 5))
