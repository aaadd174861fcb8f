"""The JSON schema of params.yaml, for editors, and what a result stands for that was made before an option existed.

Each option with a default also carries ``x-absent-means``: the value that a result's record stands for where the record
lacks the option. It is the default at the time the option was added, and stays when the default changes later.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from seedbed.io.atomic import write_text
from seedbed.params.inheritance import LIKE
from seedbed.params.load import RESERVED
from seedbed.params.preset import NAMED, Preset

ABSENT = "x-absent-means"
DRAFT = "https://json-schema.org/draft/2020-12/schema"
Schema = dict[str, Any]
_VARIATIONS = ("per_dataset", "per_model", "per_network")
_LIKE_PRESET = {"type": "string", "description": "preset that lies under this one; the rest is its own"}
_LIKE = {"type": "string", "description": "entry of the section that this one is a variant of; the rest is its own"}


def params_schema(before: Mapping[str, Any] | None = None) -> Schema:
    """Return the schema of params.yaml.

    Sections stand under ``$defs``, by the name of their class. Any part of a section may be left out, since presets,
    bases and overrides are merged before all is checked.

    Args:
        before: the schema as it was, whose ``x-absent-means`` are kept.
    """
    whole = without_titles(Preset.model_json_schema())
    sections = whole.pop("$defs")
    sections["Preset"] = whole
    del whole["properties"]["name"]
    for section in sections.values():
        section.pop("required", None)
    for node in _nodes(sections):
        node.pop("discriminator", None)
        if "oneOf" in node:  # a variant need not repeat its base's `kind`, so several may fit
            node["anyOf"] = node.pop("oneOf")
    whole["properties"][LIKE] = _LIKE_PRESET
    for key in NAMED:
        for name in _referred(whole["properties"][key]["additionalProperties"]):
            sections[name]["properties"][LIKE] = _LIKE
    for name, section in sections.items():
        for key in _VARIATIONS:
            if key in section.get("properties", {}):
                section["properties"][key]["additionalProperties"] = {"anyOf": [_reference(name), {"type": "null"}]}
    _say_what_absence_means(sections, (before or {}).get("$defs", {}))
    return {
        "$schema": DRAFT,
        "title": "params.yaml",
        "type": "object",
        "properties": {
            **{key: {} for key in RESERVED},
            **{key: {"$ref": f"#/$defs/Preset/properties/{key}"} for key in whole["properties"] if key != LIKE},
            "common": _reference("Preset"),
            "presets": {"type": "object", "additionalProperties": _reference("Preset")},
        },
        "patternProperties": {"__": {}},
        "additionalProperties": False,
        "$defs": dict(sorted(sections.items())),
    }


def _say_what_absence_means(sections: Mapping[str, Schema], before: Mapping[str, Schema]) -> None:
    for name, section in sections.items():
        known = before.get(name, {}).get("properties", {})
        for key, option in section.get("properties", {}).items():
            if "default" in option:
                option[ABSENT] = known.get(key, {}).get(ABSENT, option["default"])


def without_titles(schema: Schema) -> Schema:
    """The schema without pydantic's titles, which are the names in other letters."""
    for node in _nodes(schema):
        if isinstance(node.get("title"), str):
            del node["title"]
    return schema


def write_schema(path: str | Path, make: Callable[[Mapping[str, Any] | None], Schema]) -> None:
    """Write a schema that ``make`` makes of the one that is there, or of None."""
    path = Path(path)
    before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, schema_text(make(before)))


def schema_text(schema: Schema) -> str:
    """A schema as it stands in its file."""
    return json.dumps(schema, indent=1) + "\n"


def _nodes(node: Any) -> Iterator[Schema]:
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, Mapping) else node if isinstance(node, list) else ():
        yield from _nodes(child)


def _referred(node: Schema) -> Iterator[str]:
    """Names of the sections that a node refers to."""
    for part in _nodes(node):
        if "$ref" in part:
            yield part["$ref"].split("/")[-1]


def _reference(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}
