"""Annotations read as types, without running anything."""

import typing
from collections.abc import Sequence
from typing import Literal

import pytest

from seedbed.io.annotations import annotated_type

NAMES = {"Sequence": Sequence, "Literal": Literal, "Optional": typing.Optional}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("int", int),
        ("float | None", float | None),
        ("None", None),
        ("Sequence[str]", Sequence[str]),
        ("tuple[int, int] | None", tuple[int, int] | None),
        ("dict[str, list[float]]", dict[str, list[float]]),
        ("Literal['a', 'b']", Literal["a", "b"]),
        ("Literal[-1, 1]", Literal[-1, 1]),
        ("Optional[bool]", bool | None),
    ],
)
def test_types(text, expected):
    assert annotated_type(text, NAMES) == expected


@pytest.mark.parametrize(
    ("text", "error"), [("Tensor", NameError), ("np.ndarray", TypeError), ("[x for x in y]", TypeError)]
)
def test_what_is_no_simple_annotation(text, error):
    with pytest.raises(error):
        annotated_type(text, NAMES)
