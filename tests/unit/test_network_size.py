"""How large a network is, counted by hand and against what is known of ViT-Base."""

import pytest
import torch
from torch import nn

from seedbed.data.views import InputView
from seedbed.errors import DataError, ParameterError
from seedbed.evaluate.measurements import build_measurement
from seedbed.evaluate.merged_counts import merge_protocol
from seedbed.evaluate.network_size import network_size
from seedbed.evaluate.protocols.shown_network import ShownNetwork
from seedbed.models import create_model

CPU = torch.device("cpu")


def test_convolutions_and_matrix_products_are_counted_by_hand():
    """3 x 3 weights from 3 to 4 channels at 6 x 6 places, then 4 to 5 numbers."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))
    found = network_size(model, (6, 6), CPU)
    assert found["multiply_adds"] == 3 * 9 * 4 * 36 + 4 * 5
    assert found["parameters"] == 3 * 9 * 4 + 4 + 4 * 5 + 5
    assert [found[name] for name in ("layers", "heads", "hidden_size", "mlp_size")] == [None] * 4


def test_attention_is_two_matrix_products_whatever_kernel_runs():
    """exvit_tiny, width 96 and 12 x 12 patches, against the same with twice the patches a side."""
    model = create_model("vit_tiny_patch8_96", 3).eval()
    found = network_size(model, (96, 96), CPU)
    layers, tokens, width, mlp = found["layers"], 145, found["hidden_size"], found["mlp_size"]
    products = tokens * (4 * width**2 + 2 * width * mlp) + 2 * tokens**2 * width
    patches = 144 * 3 * 64 * width
    assert found["multiply_adds"] == layers * products + patches + 3 * width
    assert found["heads"] == model.blocks[0].attn.num_heads
    with pytest.raises(ParameterError, match="does not take images of 80 x 80 pixels"):
        network_size(model, (80, 80), CPU)


def test_vit_base_is_as_the_paper_prints_it():
    with torch.device("meta"):
        model = create_model("vit_base_patch16_224", 1000).eval()
    found = network_size(model, (224, 224), torch.device("meta"))
    assert [found[name] for name in ("layers", "hidden_size", "mlp_size", "heads")] == [12, 768, 3072, 12]
    assert (found["parameters"], round(found["multiply_adds"] / 1e9, 2)) == (86567656, 17.56)


def test_shards_agree():
    measured = build_measurement("network_size", {})
    model = create_model("vit_tiny_patch8_96", 3).eval()
    view = InputView(size=(96, 96), normalize="half")
    counts = measured.count_network(ShownNetwork(model, None, [], view, CPU))
    assert merge_protocol("network_size", [counts, counts]) == counts == network_size(model, (96, 96), CPU)
    with pytest.raises(DataError, match="found different sizes"):
        merge_protocol("network_size", [counts, {**counts, "parameters": 1}])
    with pytest.raises(ParameterError, match=r"set models\.\*\.input\.size"):
        measured.count_network(ShownNetwork(model, None, [], InputView(size=None, normalize="half"), CPU))
