import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seedbed.errors import ParameterError
from seedbed.models.transformer import (
    Attention,
    AttentionRecord,
    Block,
    drop_path_rates,
    position_waves,
    start_by_similarity,
)

torch.set_num_threads(1)


def attention_by_hand(module: Attention, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Output, probabilities and scores of one image, head by head, with the textbook formula."""
    dim, width = x.shape[-1], x.shape[-1] // module.heads
    rows = x @ module.qkv.weight.T + module.qkv.bias
    outputs, probabilities, scores = [], [], []
    for head in range(module.heads):
        q, k, v = (rows[:, part * dim + head * width : part * dim + (head + 1) * width] for part in range(3))
        scores.append(q @ k.T / math.sqrt(width))
        exponent = scores[-1].exp()
        probabilities.append(exponent / exponent.sum(dim=1, keepdim=True))
        outputs.append(probabilities[-1] @ v)
    output = torch.cat(outputs, dim=1) @ module.proj.weight.T + module.proj.bias
    return output, torch.stack(probabilities), torch.stack(scores)


@settings(max_examples=20, deadline=None)
@given(heads=st.integers(1, 4), width=st.integers(1, 5), tokens=st.integers(1, 7), seed=st.integers(0, 99))
def test_attention_equals_the_textbook_formula(heads, width, tokens, seed):
    torch.manual_seed(seed)
    module = Attention(heads * width, heads).double()
    x = torch.randn(2, tokens, heads * width, dtype=torch.float64)
    record = AttentionRecord(attention="heads", scores="heads")
    recorded, fused = module(x, record), module(x)
    for i in range(2):
        output, probabilities, scores = attention_by_hand(module, x[i])
        torch.testing.assert_close(recorded[i], output)
        torch.testing.assert_close(fused[i], output)
        torch.testing.assert_close(record.attention[0][i], probabilities)
        torch.testing.assert_close(record.scores[0][i], scores)


def test_the_mean_record_is_the_mean_of_the_heads():
    torch.manual_seed(0)
    module, x = Attention(12, 3), torch.randn(1, 5, 12)
    heads, mean = AttentionRecord("heads", "heads"), AttentionRecord("mean", "mean")
    module(x, heads)
    module(x, mean)
    torch.testing.assert_close(mean.attention[0], heads.attention[0].mean(dim=1))
    torch.testing.assert_close(mean.scores[0], heads.scores[0].mean(dim=1))


def test_only_what_is_asked_for_is_kept():
    module, x = Attention(4, 2), torch.randn(1, 3, 4)
    record = AttentionRecord(scores="mean")
    module(x, record)
    assert record.attention is None
    assert len(record.scores) == 1
    assert not AttentionRecord().wanted
    with pytest.raises(ParameterError, match="'head'"):
        AttentionRecord(attention="head")


def test_scores_carry_gradients_to_the_weights():
    module, record = Attention(4, 2), AttentionRecord(scores="heads")
    module(torch.randn(1, 3, 4), record)
    record.scores[0].sigmoid().sum().backward()
    gradient = module.qkv.weight.grad
    assert gradient[:8].abs().sum() > 0
    assert gradient[8:].abs().sum() == 0  # the values take no part in the scores


def test_a_block_is_two_residual_branches():
    torch.manual_seed(0)
    block, x = Block(8, 2), torch.randn(2, 3, 8)
    middle = x + block.attn(block.norm1(x))
    hidden = block.norm2(middle) @ block.mlp.fc1.weight.T + block.mlp.fc1.bias
    gelu = hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2)))
    torch.testing.assert_close(block(x), middle + gelu @ block.mlp.fc2.weight.T + block.mlp.fc2.bias)


def test_drop_path_drops_whole_branches_in_training_only():
    torch.manual_seed(0)
    block, x = Block(8, 2, drop_path=0.5), torch.randn(64, 3, 8)
    unchanged = (block.train()(x) == x).flatten(1).all(dim=1)
    assert 0 < unchanged.sum() < 64  # both branches are dropped for about a quarter
    assert not (block.eval()(x) == x).all()


def test_drop_path_rates_rise_linearly():
    assert drop_path_rates(0.3, 4) == pytest.approx([0, 0.1, 0.2, 0.3])


@pytest.mark.parametrize("gain", [0.5, 2.0])
def test_attention_by_similarity_has_equal_orthonormal_queries_and_keys(gain):
    block, untouched = Block(12, 3), Attention(12, 3)
    before = {name: value.clone() for name, value in untouched.state_dict().items()}
    start_by_similarity(block, gain)
    queries, keys, _ = block.attn.qkv.weight.split(12)
    assert torch.equal(queries, keys)
    for rows in queries.split(4):
        torch.testing.assert_close(rows @ rows.T, gain**2 * torch.eye(4), atol=1e-5, rtol=0)
    start_by_similarity(untouched, 0.0)
    assert all(torch.equal(value, before[name]) for name, value in untouched.state_dict().items())


def test_attention_by_similarity_falls_with_the_distance_of_position_waves():
    """Waves alone: a cell attends to itself most, to its neighbours next, and hardly to the far corner."""
    torch.manual_seed(0)
    attention, record = Attention(48, 2), AttentionRecord(attention="mean")
    start_by_similarity(attention, 1.5)
    torch.nn.init.zeros_(attention.qkv.bias)
    attention(position_waves(6, 48)[None], record)
    first = record.attention[0][0, 0].view(6, 6)
    assert first[0, 0] > first[0, 1] > first[0, 3] and first[0, 0] > first[1, 0] > first[3, 0]
    assert first[0, 0] > 10 * first[5, 5]


def test_position_waves_by_hand():
    """Width 4 has one wavelength, 4 cells: sine and cosine of a quarter turn a cell, down first, then along."""
    waves = position_waves(2, 4)
    expected = [[0, 1, 0, 1], [0, 1, 1, 0], [1, 0, 0, 1], [1, 0, 1, 0]]
    torch.testing.assert_close(waves, torch.tensor(expected, dtype=torch.float), atol=1e-6, rtol=0)
    with pytest.raises(ParameterError, match="multiple of 4"):
        position_waves(3, 6)
