"""Dataclasses from plain values: how a job's parameters become what a function of the library takes."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

Settings = TypeVar("Settings")


def from_plain(kind: type[Settings], values: Mapping[str, Any]) -> Settings:
    """Build a dataclass, and those among its fields, from plain values as JSON and YAML have them.

    Keys that the dataclass does not have are somebody else's and left out; lists become tuples where it has tuples.

    Raises:
        TypeError: a field that has no default is missing.
    """
    hints = get_type_hints(kind)
    own = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: _as(hints[name], value) for name, value in values.items() if name in own})


def _as(hint: Any, value: Any) -> Any:
    """A value of what a field is annotated with, perhaps ``... | None``."""
    options = (hint, *get_args(hint))
    nested = next((option for option in options if is_dataclass(option)), None)
    if isinstance(value, Mapping) and nested is not None:
        return from_plain(nested, value)  # type: ignore[arg-type]
    if isinstance(value, list) and any(get_origin(option) is tuple for option in options):
        return tuple(value)
    return value
