"""E-MHA against equations 1-5 of eX-ViT, in full and in half precision."""

import pytest
import torch
import torch.nn.functional as F
from exvit_toys import emha_by_hand
from hypothesis import given
from hypothesis import strategies as st

from seedbed.models.emha import ExplainableAttention, attend, unit_rows
from seedbed.models.transformer import AttentionRecord

torch.set_num_threads(1)


@given(heads=st.integers(1, 3), width=st.integers(1, 4), tokens=st.integers(1, 5), seed=st.integers(0, 99))
def test_emha_equals_equations_1_to_4(heads, width, tokens, seed):
    torch.manual_seed(seed)
    module = ExplainableAttention(heads * width, heads, alignment=0.5).double()
    x = torch.randn(2, tokens, heads * width, dtype=torch.float64)
    record = AttentionRecord(attention="heads", scores="heads")
    recorded, plain = module(x, record), module(x)
    for image in range(2):
        output, attention, scores = emha_by_hand(module, x[image])
        torch.testing.assert_close(plain[image], output)
        torch.testing.assert_close(recorded[image], output)
        torch.testing.assert_close(record.attention[0][image], attention)
        torch.testing.assert_close(record.scores[0][image], scores)


numbers = st.floats(-1e3, 1e3, allow_nan=False, allow_subnormal=False)


@given(
    scale=st.sampled_from([1e-3, 1.0, 1e4]), b=numbers, tokens=st.integers(1, 40), width=st.integers(1, 8),
    seed=st.integers(0, 999),
)  # fmt: skip
def test_rows_have_unit_length_and_equation_5_bounds_the_output(scale, b, tokens, width, seed):
    generator = torch.Generator().manual_seed(seed)
    q, k, v = torch.randn(3, 2, tokens, width, generator=generator, dtype=torch.float64)
    b = torch.tensor(b, dtype=torch.float64)
    attention, scores = unit_rows(scale * q, k, b)
    expected = (scores.norm(dim=-1) / 1e-6).clamp(max=1)  # shorter rows shrink
    torch.testing.assert_close(attention.norm(dim=-1), expected)
    out = attend(scale * q, k, v, b)
    assert (out.norm(dim=-1) <= v.flatten(1).norm(dim=1, keepdim=True) * (1 + 1e-9)).all()


@given(seed=st.integers(0, 999))
def test_the_bound_is_reached_where_attention_aligns_with_the_values(seed):
    """Values u_j w with keys along u: the row is proportional to u, and S = ||V|| in w's direction."""
    generator = torch.Generator().manual_seed(seed)
    u = torch.randn(7, 1, generator=generator, dtype=torch.float64)
    w = F.normalize(torch.randn(1, 3, generator=generator, dtype=torch.float64), dim=1)
    q, none = torch.ones(7, 1, dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    out = attend(q, u, u @ w, none)
    torch.testing.assert_close(out, (u.norm() * w).expand(7, 3))


@pytest.mark.parametrize(("outlier", "tolerance"), [(1, 3e-6), (100, 3e-5), (1000, 1e-3)])
def test_the_factored_product_in_float32(outlier, tolerance):
    """Keys with one channel larger than the others, rotated into all of them: the square of the ratio counts."""
    torch.manual_seed(0)
    rotation = torch.linalg.qr(torch.randn(16, 16, dtype=torch.float64))[0]
    q, k, v = torch.randn(3, 200, 16, dtype=torch.float64)
    k[:, 0] *= outlier
    q, k, b = q @ rotation / 4, k @ rotation, torch.tensor(0.7, dtype=torch.float64)
    exact = unit_rows(q, k, b)[0] @ v
    factored = attend(q.float(), k.float(), v.float(), b.float())
    assert (factored - exact).abs().max() < tolerance * exact.abs().max()


def test_rows_of_zeros_stay_zero_with_finite_gradients():
    q = torch.zeros(1, 4, 2, requires_grad=True)
    k, v = torch.randn(2, 1, 4, 2)
    out = attend(q, k, v, torch.zeros(()))
    out.sum().backward()
    assert torch.equal(out, torch.zeros_like(out))
    assert q.grad.isfinite().all()


def test_gradients_of_emha_by_finite_differences():
    torch.manual_seed(0)
    inputs = [torch.randn(2, 4, 3, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    b = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(attend, (*inputs, b))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_survives_large_activations(dtype):
    """Queries and keys near the end of float16: scores of 1e9, squares of 1e19, and rows still of length 1."""
    torch.manual_seed(0)
    module = ExplainableAttention(8, 2, alignment=1.0)
    with torch.no_grad():
        module.qkv.weight[:16] *= 3e4
    x = torch.randn(1, 9, 8, requires_grad=True)
    exact = module(x)
    record = AttentionRecord(attention="heads")
    with torch.autocast("cpu", dtype):
        rough = module(x, record)
    rough.float().sum().backward()
    assert record.attention[0].dtype == torch.float32
    torch.testing.assert_close(record.attention[0].norm(dim=-1), torch.ones(1, 2, 9))
    assert x.grad.isfinite().all()
    assert (rough.float() - exact).abs().max() < 0.05 * exact.abs().max()
