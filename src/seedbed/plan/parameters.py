"""The parameters of a rule: what its script receives, and what of them a result depends on.

Snakemake runs a job again when the text of its parameters changes. An option that is younger than a result stood for
something when that result was made: as long as it still says so, it is left out of the text, so that a new option at
its default reruns nothing. What its absence stands for is written beside its default in the schema of the parameters
(``x-absent-means``), and stays as it is when the default changes.
"""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from seedbed.io.atomic import read_json

ABSENT = "x-absent-means"


class Parameters(dict[str, Any]):
    """Plain values for a script; as text only what a result depends on. A script receives a plain ``dict``."""

    def __init__(self, values: Mapping[str, Any], identity: Any) -> None:
        super().__init__(values)
        self.identity = identity

    def __repr__(self) -> str:
        return json.dumps(self.identity, sort_keys=True)

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)


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
        if isinstance(value, BaseModel):
            names = type(value).model_fields
            return {name: self.identity(getattr(value, name)) for name in names if not self._says_nothing(value, name)}
        if isinstance(value, Mapping):
            return {str(key): self.identity(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.identity(item) for item in value]
        return value

    def _says_nothing(self, section: BaseModel, name: str) -> bool:
        given = _plain(getattr(section, name))
        key = (type(section).__name__, name)
        if key in self._known:
            return given == self._known[key]
        field = type(section).model_fields[name]
        return not field.is_required() and given == _default(type(section), name)


@cache
def _default(section: type[BaseModel], name: str) -> Any:
    return _plain(section.model_fields[name].get_default(call_default_factory=True))


def _plain(value: Any) -> Any:
    """A value as JSON knows it."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
