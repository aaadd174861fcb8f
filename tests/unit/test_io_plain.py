"""Plain values of a job become the dataclass that a function takes."""

from dataclasses import dataclass

import pytest

from seedbed.io.plain import from_plain


@dataclass(frozen=True)
class Inner:
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner
    scales: list[float]
    other: Inner | None = None


def test_nested_values_lists_and_strangers():
    values = {"name": "a", "inner": {"size": [4, 6], "stranger": 1}, "scales": [1, 2], "other": None, "more": {}}
    assert from_plain(Outer, values) == Outer("a", Inner((4, 6)), [1, 2], None)
    assert from_plain(Outer, {**values, "other": {}}).other == Inner()


def test_what_is_missing_is_an_error():
    with pytest.raises(TypeError, match="inner"):
        from_plain(Outer, {"name": "a", "scales": []})
