"""Full-size networks forward and backward on one image of the published crop size."""

import pytest
import torch
from torch import Tensor

from seedbed.models import create_model

torch.set_num_threads(1)


def total(output: Tensor | tuple) -> Tensor:
    """A scalar that depends on every output, attention and scores included."""
    if isinstance(output, Tensor):
        return output.square().mean()
    if isinstance(output, list | tuple):
        return sum(total(x) for x in output if x is not None)
    raise TypeError(type(output))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "classes", "side", "overrides", "asked"),
    [
        ("mctformerv2_small", 20, 224, {}, {}),
        ("mctformerv2_small", 20, 384, {}, {"attention": "mean", "scores": "heads"}),
        ("mctformer_plus_small", 20, 448, {}, {"attention": "mean"}),
        ("conformer_small", 21, 384, {}, {"attention": "mean", "scores": "heads"}),
        ("resnet38", 20, 448, {}, {}),
        ("seam_resnet38", 20, 448, {}, {}),
        ("recam_resnet50", 20, 512, {"output_stride": 16}, {}),
        ("sipe_resnet50", 20, 512, {}, {}),
        ("afa_mit_b1", 20, 512, {}, {}),
        ("affinitynet_resnet38", None, 448, {}, {}),
        ("irn_resnet50", None, 512, {}, {}),
        ("deeplab_v1_resnet38_mctformer", 21, 321, {}, {}),
        ("deeplab_v1_resnet38", 21, 448, {}, {}),
        ("deeplab_v2_resnet101", 21, 321, {}, {}),
        ("affinitynet_hybrid", None, 448, {}, {}),
        ("clip_vit_base_16", 20, 320, {}, {}),
        ("weclip_vit_base_16", 20, 320, {}, {}),
        ("weclip_plus_vit_base_16", 20, 320, {}, {}),
    ],
)
def test_forward_and_backward(name, classes, side, overrides, asked):
    torch.manual_seed(0)
    model = create_model(name, classes, **overrides).train()
    # Two images where batch statistics need them, one elsewhere.
    images = torch.randn(2 if name == "deeplab_v1_resnet38" else 1, 3, side, side)
    output = model(images, **asked)
    loss = total(output)
    loss.backward()
    assert torch.isfinite(loss)
    for key, parameter in model.named_parameters():
        assert parameter.requires_grad == (parameter.grad is not None), key
        assert parameter.grad is None or torch.isfinite(parameter.grad).all(), key
