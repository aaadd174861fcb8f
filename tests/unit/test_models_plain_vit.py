"""Dense networks on a plain ViT: their grids, their weights and what they refuse."""

import pytest
import torch
import torch.nn.functional as F

from seedbed.errors import ParameterError
from seedbed.models import create_model, load_weights
from seedbed.models.pair_affinity import pair_affinities
from seedbed.models.parameter_groups import four_parameter_groups
from seedbed.models.plain_vit import block_maps, plain_vit

torch.set_num_threads(1)
SMALL = {"embed_dim": 32, "depth": 3, "num_heads": 2, "img_size": 64}


def test_tokens_of_blocks_are_timms():
    torch.manual_seed(0)
    vit, images = plain_vit("vit_tiny_patch16_224", **SMALL).eval(), torch.randn(2, 3, 64, 64)
    last, first = block_maps(vit, images, (-1, 0))
    tokens = vit.forward_features(images)[:, 1:]
    torch.testing.assert_close(last, tokens.transpose(1, 2).unflatten(2, (4, 4)))
    assert first.shape == (2, 32, 4, 4) and not torch.equal(first, last)


def test_the_grid_covers_an_image_from_edge_to_edge():
    torch.manual_seed(0)
    vit, images = plain_vit("vit_tiny_patch16_224", **SMALL).eval(), torch.randn(1, 3, 70, 90)
    resized = F.interpolate(images, (64, 96), mode="bilinear", align_corners=False, antialias=True)
    (found,), (expected,) = block_maps(vit, images, (1,)), block_maps(vit, resized, (1,))
    assert found.shape[2:] == (4, 6)
    torch.testing.assert_close(found, expected)


def test_scores_and_affinities():
    torch.manual_seed(0)
    segmenter = create_model("deeplab_v2_vit", 7, **SMALL).eval()
    scores = segmenter(torch.randn(1, 3, 70, 90))
    assert scores.shape == (1, 7, 70, 90) and segmenter.logits(torch.randn(1, 3, 64, 64)).shape == (1, 7, 4, 4)
    affinity = create_model("affinitynet_vit", blocks=(0, 2), level_width=8, head_width=16, head_norm_groups=2, **SMALL)
    output = affinity(torch.randn(2, 3, 80, 80))
    assert output.features.shape == (2, 16, 10, 10)
    torch.testing.assert_close(output.pairs, pair_affinities(output.features))
    output.pairs.sum().backward()
    assert len(four_parameter_groups(affinity, 0.1)[2]["params"]) > 0


def test_a_classifiers_weights_fill_the_transformer():
    given = create_model("vit_tiny_patch16_224", 9, **SMALL).state_dict()
    for name, into in (("deeplab_v2_vit", "backbone"), ("affinitynet_vit", "vit")):
        options = {"blocks": (0, 2)} if into == "vit" else {}
        network = create_model(name, 7, **SMALL, **options).get_submodule(into)
        assert len(load_weights(network, given, drop=["head"]).loaded) == len(given) - 2


def test_what_is_no_plain_transformer_and_blocks_that_are_none():
    with pytest.raises(ParameterError, match="'resnet18'"):
        create_model("deeplab_v2_vit", 7, architecture="resnet18")
    with pytest.raises(ParameterError, match="blocks: 3 is none of the transformer's 3"):
        create_model("affinitynet_vit", blocks=(3,), **SMALL)
