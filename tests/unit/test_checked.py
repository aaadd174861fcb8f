"""Arguments against their annotations: what is taken, what is refused, and how that is said."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from seedbed.errors import DataError, ParameterError
from seedbed.settings.checked import check_fields, check_options, checked, taken
from seedbed.settings.kinds import AboveZero, Fraction, Positive

IMAGE = np.zeros((2, 2))


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (int, np.int64(3)),
        (float, 3),
        (float, np.float32(0.5)),
        (bool, np.True_),
        (float | None, None),
        (AboveZero, 1e-9),
        (Fraction, 1),
        (Sequence[float], np.array([1.0, 2.0])),
        (Sequence[float], torch.tensor([1.0, 2.0])),
        (Sequence[Sequence[int]], np.array([[1, 2], [3, 4]])),
        (Sequence[Tensor], torch.zeros(2, 3)),
        (tuple[int, int], [1, 2]),
        (tuple[int, ...], ()),
        (Iterable[Tensor], iter([])),
        (Tensor, torch.zeros(1)),
        (np.ndarray, IMAGE),
        (Callable[[int], int], len),
        (nn.Module, nn.Identity()),
        (Mapping[str, int], {"a": 1}),
        (Any, object()),
        (Literal["a", "b"], "a"),
    ],
)
def test_what_is_taken(hint, value):
    assert taken("x", value, hint) is value


@pytest.mark.parametrize(
    ("hint", "value", "message"),
    [
        (int, 2.5, "x must be a whole number, not 2.5"),
        (int, True, "x must be a whole number, not True"),
        (int, "3", "not '3'"),
        (float, float("nan"), "a finite number, not nan"),
        (float, np.inf, "a finite number"),
        (float | None, "a", "a finite number or None"),
        (bool, 1, "true or false"),
        (str, 2012, "a word"),
        (AboveZero, 0, "a finite number above 0, not 0"),
        (Fraction, 1.5, "at least 0 and at most 1"),
        (Sequence[float], [1.0, float("nan")], "a list, each a finite number"),
        (Sequence[float], np.array([np.nan]), "each a finite number"),
        (Sequence[str], "abc", "a list, each a word"),
        (tuple[int, int], (1, 2, 3), "2 values"),
        (tuple[int, int], 3, "2 values"),
        (nn.Module, len, "a Module"),
        (Callable[[int], int], 3, "a Callable"),
        (Literal["a", "b"], None, "one of 'a', 'b'"),
    ],
)
def test_what_is_refused(hint, value, message):
    with pytest.raises(ParameterError, match=message):
        taken("x", value, hint)


@pytest.mark.parametrize("value", [None, "cat", [[1, 2], [3]], np.array(["a"]), np.array([None]), 3.0])
def test_no_array(value):
    with pytest.raises(DataError, match="maps must be a numpy array"):
        taken("maps", value, np.ndarray)


def test_lists_and_tensors_become_arrays_and_tensors_are_tensors():
    assert taken("maps", [[1, 2], [3, 4]], np.ndarray).tolist() == [[1, 2], [3, 4]]
    assert isinstance(taken("maps", torch.zeros(2), np.ndarray), np.ndarray)
    with pytest.raises(DataError, match=r"maps must be a torch\.Tensor, not ndarray of shape \(2, 2\)"):
        taken("maps", IMAGE, Tensor)


def test_functions_and_their_options():
    @checked
    def scaled(maps: np.ndarray, factor: float = 1.0, *rest: int, **more: int) -> np.ndarray:
        """Scale."""
        return maps * factor

    assert scaled([[1.0]], factor=2).tolist() == [[2.0]]
    assert scaled.__doc__ == "Scale."
    with pytest.raises(ParameterError, match="factor"):
        scaled(IMAGE, float("nan"))
    with pytest.raises(TypeError):
        scaled(IMAGE, 1.0, factor=1.0)
    check_options(scaled, {"factor": 3, "unknown": None})
    with pytest.raises(ParameterError, match="factor"):
        check_options(scaled, {"factor": "3"})


def test_an_iterator_is_not_used_up():
    @checked
    def total(numbers: Iterable[int]) -> int:
        return sum(numbers)

    assert total(iter([1, 2])) == 3


def test_fields():
    @dataclass
    class Settings:
        steps: Positive
        kind: Literal["fast", "exact"] = "fast"

    check_fields(Settings(3))
    with pytest.raises(ParameterError, match="steps must be a whole number above 0, not 0"):
        check_fields(Settings(0))
    with pytest.raises(ParameterError, match=r"Unknown kind 'exakt'\. Did you mean 'exact'"):
        check_fields(Settings(3, "exakt"))
