"""Equation 5 of eX-ViT: how far a row of attention reaches its bound."""

import math

import pytest
import torch
from exvit_toys import pictures, small
from hypothesis import given
from hypothesis import strategies as st

from seedbed.errors import DataError, ParameterError
from seedbed.evaluate.value_alignment import alignment, greatest_alignment, image_alignments
from seedbed.models import create_model


def test_alignment_by_hand():
    values = torch.tensor([[3.0, 0.0], [4.0, 0.0], [0.0, 12.0]])  # of Frobenius norm 13
    rows = torch.tensor([[0.6, 0.8, 0.0], [0.0, 0.0, -2.0], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
    expected = [5 / 13, 12 / 13, math.hypot(7, 12) / 13 / math.sqrt(3), 0]
    torch.testing.assert_close(alignment(rows, values), torch.tensor(expected, dtype=torch.float64))
    assert float(greatest_alignment(values)) == pytest.approx(12 / 13)
    assert float(greatest_alignment(torch.zeros(3, 2))) == 0


@given(places=st.integers(1, 9), width=st.integers(1, 5), seed=st.integers(0, 999))
def test_no_row_is_better_than_the_best_which_the_singular_vector_is(places, width, seed):
    generator = torch.Generator().manual_seed(seed)
    rows, values = torch.randn(6, places, generator=generator), torch.randn(places, width, generator=generator)
    best = greatest_alignment(values)
    assert (alignment(rows, values) <= best + 1e-12).all() and best <= 1
    left = torch.linalg.svd(values.double()).U[:, :1].T
    torch.testing.assert_close(alignment(left, values)[0], best)
    torch.testing.assert_close(alignment(-5 * rows, values), alignment(rows, values))  # a row's length is no part of it


@given(seed=st.integers(0, 99))
def test_values_along_one_vector_allow_the_bound_itself(seed):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(7, 1, generator=generator) * torch.randn(1, 3, generator=generator)
    assert float(greatest_alignment(values)) == pytest.approx(1)
    assert float(alignment(values[:, :1].T, values)) == pytest.approx(1)


def test_chance_is_the_root_mean_square_of_random_rows():
    generator = torch.Generator().manual_seed(0)
    rows, values = torch.randn(20_000, 16, generator=generator), torch.randn(16, 4, generator=generator)
    assert float(alignment(rows, values).square().mean().sqrt()) == pytest.approx(1 / 4, rel=0.02)


@pytest.mark.parametrize("kind", ["emha", "softmax"])
@torch.no_grad()
def test_every_layer_of_a_network_is_measured_as_it_computes(kind):
    """From what a layer's projection is given, which is S, and from its queries, keys and values."""
    model, image, seen = small(attention=kind), pictures(24, 32, count=1), {}
    for number, block in enumerate(model.blocks):
        block.attn.qkv.register_forward_hook(lambda _, __, out, n=number: seen.update({("qkv", n): out}))
        block.attn.proj.register_forward_pre_hook(lambda _, given, n=number: seen.update({("s", n): given[0]}))
    attention = model(image, full=True, attention="heads").attention
    found = image_alignments(model, image)
    assert found["alignment_chance"] == pytest.approx(1 / math.sqrt(12))
    for number in range(3):
        values = seen["qkv", number][0, :, 24:]
        shares, uniform = [], []
        for head in range(3):
            own = slice(4 * head, 4 * head + 4)
            length = values[:, own].norm()
            lengths = attention[number][0, head].norm(dim=-1)
            shares += (seen["s", number][0, :, own].norm(dim=-1) / lengths / length).tolist()
            uniform.append(float(values[:, own].sum(0).norm() / length / math.sqrt(12)))
        assert found["alignment_per_layer"][number] == pytest.approx(sum(shares) / 36)
        assert found["uniform_per_layer"][number] == pytest.approx(sum(uniform) / 3)
        assert found["alignment_per_layer"][number] < found["greatest_per_layer"][number] < 1


def test_mistakes_are_named():
    with pytest.raises(DataError, match="do not fit each other"):
        alignment(torch.ones(2, 3), torch.ones(4, 2))
    vit = create_model("vit_tiny_patch16_224", 3, img_size=32, patch_size=8, depth=1)
    with pytest.raises(ParameterError, match="it is no eX-ViT"):
        image_alignments(vit, pictures(32, 32, count=1))
