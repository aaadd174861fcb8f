import pytest
import torch
import torch.nn.functional as F

from seedbed.errors import ParameterError
from seedbed.models import create_model
from seedbed.models.conformer_maps import conformer_maps

torch.set_num_threads(1)
SIZE = {"width": 8, "embed_dim": 12, "depth": 3, "num_heads": 3, "patch_size": 8, "stem_width": 8, "stem_pool": False}


@pytest.fixture
def model():
    torch.manual_seed(0)
    return create_model("conformer_tiny_demo", 5, **SIZE).eval()


def test_rectangles_give_rectangular_maps(model):
    output = model(torch.randn(2, 3, 24, 40), attention="heads", scores="mean")
    assert output.conv_maps.shape == (2, 5, 3, 5)
    assert [a.shape for a in output.attention] == [(2, 3, 16, 16)] * 3
    assert [s.shape for s in output.scores] == [(2, 16, 16)] * 3


def test_a_transposed_network_sees_the_transposed_image(model):
    """No position embedding: transposing every kernel and the image transposes the maps, on a rectangle too."""
    images = torch.randn(1, 3, 16, 32)
    expected = model(images)
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.weight.data = module.weight.data.transpose(2, 3).contiguous()
    transposed = model(images.transpose(2, 3))
    torch.testing.assert_close(transposed.conv_maps.transpose(2, 3), expected.conv_maps, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(transposed.trans_logits, expected.trans_logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("size", [(20, 24), (24, 4), (500, 375)])
def test_sides_that_the_patch_does_not_divide_are_refused(model, size):
    with pytest.raises(ParameterError, match=f"multiples of 8, not {size[0]} x {size[1]}"):
        model(torch.zeros(1, 3, *size))


def test_logits_are_the_mean_map_and_the_normalised_class_token(model):
    images = torch.randn(2, 3, 16, 24)
    output, (features, tokens) = model(images), model.features(images)
    torch.testing.assert_close(output.conv_maps, model.conv_cls_head(features))
    torch.testing.assert_close(output.conv_logits, output.conv_maps.mean(dim=(2, 3)))
    class_token = F.layer_norm(tokens[:, 0], (12,), model.trans_norm.weight, model.trans_norm.bias, eps=1e-5)
    torch.testing.assert_close(output.trans_logits, model.trans_cls_head(class_token))


def test_the_class_token_is_doubled_between_blocks(model):
    block = model.conv_trans_2
    x, tokens = torch.randn(1, 8, 8, 8), torch.randn(1, 5, 12)
    seen = []
    block.trans_block.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    block(x, tokens, (2, 2))
    torch.testing.assert_close(seen[0][:, 0], 2 * tokens[:, 0])


def test_strides_and_widths_of_the_three_stages():
    model = create_model("conformer_tiny_demo", 5, **{**SIZE, "depth": 6, "stem_pool": True, "patch_size": 16}).eval()
    shapes = {}
    for i in range(2, 7):
        model.get_submodule(f"conv_trans_{i}").register_forward_hook(
            lambda module, inputs, output, i=i: shapes.update({i: tuple(output[0].shape[1:])})
        )
    model(torch.randn(1, 3, 32, 64))
    assert shapes == {2: (8, 8, 16), 3: (16, 4, 8), 4: (16, 4, 8), 5: (32, 2, 4), 6: (32, 2, 4)}


def test_maps_by_explicit_loops(model):
    images = torch.randn(1, 3, 16, 24)
    output, maps = model(images, attention="heads"), conformer_maps(model, images)
    summed = sum(a[0].mean(dim=0) for a in output.attention)
    for c in range(5):
        m = output.conv_maps[0, c].flatten()
        for i in range(6):
            forward = sum(summed[1 + i, 1 + j] * m[j] for j in range(6))
            backward = sum(summed[1 + j, 1 + i] * m[j] for j in range(6))
            torch.testing.assert_close(maps.trans_cam[0, c].flatten()[i], forward)
            torch.testing.assert_close(maps.aggregated_cam[0, c].flatten()[i], backward)
            torch.testing.assert_close(maps.class_attention_cam[0, c].flatten()[i], summed[0, 1 + i] * m[i])
    torch.testing.assert_close(maps.affinity.sum(dim=1)[0], summed[1:, 1:])
    assert torch.equal(maps.conv_cam, output.conv_maps)


def test_wrong_sizes_of_the_network_are_refused():
    for wrong in ({"depth": 4}, {"patch_size": 12}, {"width": 6}):
        with pytest.raises(ParameterError, match="Conformer needs"):
            create_model("conformer_tiny_demo", 5, **{**SIZE, **wrong})
