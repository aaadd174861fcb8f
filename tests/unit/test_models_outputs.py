"""The logits that a classifier decides by, whatever else it returns."""

import torch

from seedbed.models.conformer import ConformerOutput
from seedbed.models.mctformer import MCTformerOutput
from seedbed.models.outputs import heads_of, logits_of

ONE, TWO, MAPS = torch.tensor([[1.0, 2.0]]), torch.tensor([[10.0, -5.0]]), torch.zeros(1, 2, 3, 3)


def test_plain_logits_are_taken_as_they_are():
    assert logits_of(ONE) is ONE
    assert heads_of(ONE) == {"class": ONE}


def test_conformer_decides_by_the_sum_of_its_heads():
    output = ConformerOutput(ONE, TWO, MAPS, None, None)
    assert torch.equal(logits_of(output), torch.tensor([[11.0, -3.0]]))
    assert heads_of(output) == {"conv": ONE, "trans": TWO}


def test_mctformer_decides_by_its_class_tokens():
    output = MCTformerOutput(ONE, TWO, MAPS, None, None)
    assert logits_of(output) is ONE
    assert heads_of(output) == {"class": ONE, "patch": TWO}
