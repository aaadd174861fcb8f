"""The parameters of a rule: what its script receives, and what of them a result depends on.

Snakemake runs a job again when the text of its parameters changes. An option that is younger than a result stood for
something when that result was made: as long as it still says so, it is left out of the text, so that a new option at
its default reruns nothing. What its absence stands for is written beside its default in the schema of the parameters
(``x-absent-means``), and stays as it is when the default changes.
"""

import dataclasses
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from seedbed.io.atomic import read_json

ABSENT = "x-absent-means"


class Parameters(dict[str, Any]):
    """Plain values for a script; as text, and in ``identity``, only what a result depends on."""

    def __init__(self, values: Mapping[str, Any], identity: Any) -> None:
        super().__init__(values)
        self.identity = identity
        self._text = json.dumps(identity, sort_keys=True)  # Snakemake asks for it once a job

    def __repr__(self) -> str:
        return self._text

    def __reduce__(self) -> tuple[Any, ...]:
        return Parameters, (dict(self), self.identity)


class AbsentValues:
    """For each option of each section: the value that results made before it existed stand for.

    Args:
        schema: a JSON schema of the parameters, with ``x-absent-means`` beside each default. An option that it does not
            hold yet stands for its default.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        definitions = schema.get("$defs", {})
        self._known = {
            (section, name): entry[ABSENT]
            for section, content in definitions.items()
            for name, entry in content.get("properties", {}).items()
            if ABSENT in entry
        }

    @classmethod
    def read(cls, path: Path) -> "AbsentValues":
        """Those of a schema file."""
        return cls(read_json(path))

    def identity(self, value: Any) -> Any:
        """A section, or anything that holds sections, as plain values without the options that say nothing new."""
        fields = _fields(value)
        if fields is not None:
            kept = (name for name in fields if not self.says_nothing(value, name))
            return {name: self.identity(getattr(value, name)) for name in kept}
        if isinstance(value, Mapping):
            return {str(key): self.identity(item) for key, item in value.items()}
        return [self.identity(item) for item in value] if isinstance(value, list | tuple) else value

    def says_nothing(self, section: object, name: str) -> bool:
        """Whether an option of a section has the value that results without it were made with."""
        if name in getattr(type(section), "NEUTRAL", ()):
            return True
        given, key = plain(getattr(section, name)), (type(section).__name__, name)
        if key in self._known:
            return given == self._known[key]
        kind: Any = type(section)
        return given == _default(kind, name)


def plain(value: Any) -> Any:
    """A section, or anything that holds sections, as values that JSON knows."""
    fields = _fields(value)
    if fields is not None:
        return {name: plain(getattr(value, name)) for name in fields}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def _fields(section: Any) -> list[str] | None:
    """Names of a section's fields; None if it is none."""
    if isinstance(section, BaseModel):
        return list(type(section).model_fields)
    return [field.name for field in dataclasses.fields(section)] if dataclasses.is_dataclass(section) else None


@cache
def _default(section: Any, name: str) -> Any:
    """A field's default as plain values; ``...`` if it must be given."""
    if issubclass(section, BaseModel):
        field = section.model_fields[name]
        return ... if field.is_required() else plain(field.get_default(call_default_factory=True))
    own = next(field for field in dataclasses.fields(section) if field.name == name)
    if own.default_factory is not dataclasses.MISSING:
        return plain(own.default_factory())
    return ... if own.default is dataclasses.MISSING else plain(own.default)
