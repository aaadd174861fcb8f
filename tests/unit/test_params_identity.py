"""What of a section a result depends on: an option that says what its absence says is left out."""

import json
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedbed.params import read_params, resolve
from seedbed.params.absent_values import AbsentValues, Parameters, plain
from seedbed.params.base import Section

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Inner:
    NEUTRAL: ClassVar[tuple[str, ...]] = ("workers",)
    rate: float
    decay: float = 0.5
    workers: int = 0
    steps: list = field(default_factory=list)


class Outer(Section):
    name: str
    flip: bool = False
    inner: Inner | None = None


SCHEMA = {"$defs": {"Outer": {"properties": {"flip": {"x-absent-means": False}, "name": {}}}}}


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        (Outer(name="a"), {"name": "a"}),
        (Outer(name="a", flip=True), {"name": "a", "flip": True}),
        (Outer(name="a", inner=Inner(1.0)), {"name": "a", "inner": {"rate": 1.0}}),
        (Outer(name="a", inner=Inner(1.0, 0.25, 7)), {"name": "a", "inner": {"rate": 1.0, "decay": 0.25}}),
        (Outer(name="a", inner=Inner(1.0, steps=[1])), {"name": "a", "inner": {"rate": 1.0, "steps": [1]}}),
    ],
)
def test_defaults_and_neutral_fields_are_left_out(section, expected):
    assert AbsentValues(SCHEMA).identity(section) == expected


def test_a_default_that_changed_counts_where_it_is_used():
    """The schema says that a missing ``flip`` stands for true: false is news, and the new default is not."""
    changed = AbsentValues({"$defs": {"Outer": {"properties": {"flip": {"x-absent-means": True}}}}})
    assert changed.identity(Outer(name="a")) == {"name": "a", "flip": False}
    assert changed.identity(Outer(name="a", flip=True)) == {"name": "a"}


def test_parameters_are_compared_by_their_identity_and_reach_a_script_whole():
    given = Parameters({"b": 1, "a": 2}, {"a": 2})
    assert repr(given) == '{"a": 2}' and dict(given) == {"b": 1, "a": 2}
    sent = pickle.loads(pickle.dumps(given))
    assert sent == given and sent.identity == {"a": 2}


@given(st.booleans(), st.floats(0, 1), st.integers(0, 5))
def test_sections_that_differ_in_what_counts_have_other_identities(flip, decay, workers):
    absent = AbsentValues(SCHEMA)
    base = absent.identity(Outer(name="a", inner=Inner(1.0)))
    other = absent.identity(Outer(name="a", flip=flip, inner=Inner(1.0, decay, workers)))
    assert (base == other) == (not flip and decay == 0.5)


@pytest.mark.parametrize("preset", ["demo", "paper"])
def test_the_shipped_schema_knows_every_default(preset):
    """Nothing of a preset is left out or kept by its default alone: the schema is in step."""
    schema = json.loads((ROOT / "schemas/params.schema.json").read_text())
    given = resolve({**read_params(ROOT / "params.yaml"), "preset": preset})
    assert AbsentValues(schema).identity(given) == AbsentValues({}).identity(given)
    assert plain(given)["models"].keys() == AbsentValues(schema).identity(given)["models"].keys()
