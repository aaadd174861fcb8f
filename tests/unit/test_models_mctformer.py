import pytest
import torch
import torch.nn.functional as F

from seedbed.errors import ParameterError
from seedbed.models import create_model
from seedbed.models.mctformer_maps import class_to_patch_attention, mctformer_maps

torch.set_num_threads(1)
SIZE = {"img_size": 24, "patch_size": 8, "embed_dim": 12, "depth": 2, "num_heads": 3}


@pytest.fixture
def model():
    torch.manual_seed(0)
    return create_model("mctformerv2_tiny", 4, **SIZE).eval()


def test_logits_are_means_of_tokens_and_maps(model):
    images = torch.randn(2, 3, 24, 24)
    output, (class_tokens, patch_tokens) = model(images), model.tokens(images)
    maps = F.conv2d(patch_tokens, model.head.weight, model.head.bias, padding=1)
    torch.testing.assert_close(output.class_logits, class_tokens.mean(dim=2))
    torch.testing.assert_close(output.patch_maps, maps)
    torch.testing.assert_close(output.patch_logits, maps.mean(dim=(2, 3)))
    assert output.attention is None
    assert output.scores is None


def test_recording_attention_does_not_change_the_logits(model):
    images = torch.randn(2, 3, 40, 24)
    plain, recorded = model(images), model(images, attention="heads", scores="mean")
    torch.testing.assert_close(plain.class_logits, recorded.class_logits)
    torch.testing.assert_close(plain.patch_maps, recorded.patch_maps)
    tokens = 4 + 5 * 3
    assert [a.shape for a in recorded.attention] == [(2, 3, tokens, tokens)] * 2
    assert [s.shape for s in recorded.scores] == [(2, tokens, tokens)] * 2
    torch.testing.assert_close(recorded.attention[0].sum(dim=-1), torch.ones(2, 3, tokens))


def test_an_image_does_not_depend_on_its_batch_mates(model):
    images = torch.randn(3, 3, 24, 24)
    torch.testing.assert_close(model(images).class_logits[1:2], model(images[1:2]).class_logits)


def test_pixels_that_fill_no_patch_are_left_out(model):
    images = torch.randn(1, 3, 29, 29)
    changed = images.clone()
    changed[:, :, 24:] = 9
    changed[:, :, :, 24:] = 9
    torch.testing.assert_close(model(images).patch_maps, model(changed).patch_maps)


def test_positions_are_the_table_only_for_the_square_training_grid(model):
    assert model.positions((24, 24)) is model.pos_embed
    assert model.positions((31, 31)) is model.pos_embed  # as many patches, still square
    assert not torch.equal(model.positions((24, 25)), model.pos_embed)  # as many patches, not square: resampled
    assert model.positions((16, 56)).shape == (1, 4 + 2 * 7, 12)


def test_resampled_positions_follow_the_factor_with_a_tenth(model):
    """The coordinate of output i is (i + 0.5) * side / (n + 0.1) - 0.5: sampled here point by point."""
    table = torch.arange(9.0).reshape(3, 3)
    with torch.no_grad():
        model.pos_embed[0, 4:] = table.reshape(9, 1)
    ours = model.positions((40, 24))[0, 4:, 0].reshape(5, 3).detach()

    def cubic(distance: float) -> float:
        d = abs(distance)
        if d <= 1:
            return 1.25 * d**3 - 2.25 * d**2 + 1
        return -0.75 * (d**3 - 5 * d**2 + 8 * d - 4) if d < 2 else 0.0

    def row_weights(index: int, patches: int) -> torch.Tensor:
        centre = (index + 0.5) * 3 / (patches + 0.1) - 0.5
        weights = torch.zeros(3)
        base = int(centre // 1)
        for k in range(base - 1, base + 3):
            weights[min(max(k, 0), 2)] += cubic(centre - k)
        return weights

    expected = torch.stack(
        [torch.stack([row_weights(i, 5) @ table @ row_weights(j, 3) for j in range(3)]) for i in range(5)]
    )
    torch.testing.assert_close(ours, expected)


def test_maps_by_explicit_loops(model):
    images = torch.randn(1, 3, 24, 32)
    output, maps = model(images, attention="heads"), mctformer_maps(model, images, class_attention_layers=1)
    mean = [a[0].mean(dim=0) for a in output.attention]
    for c in range(4):
        for i in range(12):
            fused = [mean[1][c, 4 + j] * output.patch_maps[0, c].flatten()[j].clamp(min=0) for j in range(12)]
            refined = sum((mean[0] + mean[1])[4 + i, 4 + j] * fused[j] for j in range(12))
            torch.testing.assert_close(maps.fused[0, c].flatten()[i], fused[i])
            torch.testing.assert_close(maps.refined[0, c].flatten()[i], refined)
    torch.testing.assert_close(maps.affinity[0, 1], mean[1][4:, 4:])
    assert maps.affinity.sum(dim=-1).max() < 1


def test_class_attention_sums_the_last_layers():
    attention = [torch.full((1, 6, 6), float(layer)) for layer in (1, 10, 100)]
    summed = class_to_patch_attention(attention, (2, 2), num_layers=2)
    assert summed.shape == (1, 2, 2, 2)
    assert (summed == 110).all()
    for wrong in (0, 4):
        with pytest.raises(ParameterError, match=f"num_layers={wrong}"):
            class_to_patch_attention(attention, (2, 2), num_layers=wrong)


def test_the_last_norm_is_loaded_but_never_trained(model):
    assert {key for key, p in model.named_parameters() if not p.requires_grad} == {"norm.weight", "norm.bias"}
    before = model(x := torch.randn(1, 3, 24, 24)).class_logits
    with torch.no_grad():
        model.norm.weight.fill_(7)
    assert torch.equal(before, model(x).class_logits)


def test_an_image_smaller_than_a_patch_is_refused(model):
    with pytest.raises(ParameterError, match="7 x 24"):
        model(torch.randn(1, 3, 7, 24))
