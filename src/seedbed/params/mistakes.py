"""What pydantic finds wrong, in words: the key as it stands in the file, and the nearest known word."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from seedbed.errors import nearest

Place = tuple[Any, ...]


def mistakes(error: ValidationError, model: type[BaseModel], values: Any) -> list[tuple[Place, str]]:
    """Return one pair a problem: the path in the file, and what is wrong with what stands there.

    Args:
        error: what was found.
        model: what the values were to be.
        values: the values as they were read.
    """
    found = []
    for problem in error.errors():
        path = _without_kinds(problem["loc"], values)
        found.append((path, _text(problem, known_keys(path[:-1], model, values) if path else [])))
    return found


def known_keys(path: Sequence[Any], model: type[BaseModel], values: Any) -> list[str]:
    """Names that a model gives to the fields of the section at ``path``; none if it has free ones."""
    schema = model.model_json_schema()
    node: dict[str, Any] = schema
    for part in path:
        values = _inside(values, part)
        child = node.get("properties", {}).get(part) or node.get("items") or node.get("additionalProperties")
        node = _chosen(schema, child if isinstance(child, dict) else {}, values)
    return list(node.get("properties", {}))


def named_path(path: Iterable[Any], values: Any) -> str:
    """A path with dots; an item of a list by its id or label, where it has one."""
    parts = []
    for part in path:
        values = _inside(values, part)
        named = values if isinstance(part, int) and isinstance(values, Mapping) else {}
        parts.append(str(named.get("id") or named.get("label") or part))
    return ".".join(parts)


def _text(problem: Mapping[str, Any], keys: Iterable[str]) -> str:
    text, given = problem["msg"].removeprefix("Value error, "), problem["input"]
    if problem["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return "unknown key." + nearest(str(problem["loc"][-1]), keys)
    if isinstance(given, Mapping):
        return text
    words = re.findall(r"'([^']*)'", text) if problem["type"] in ("literal_error", "union_tag_invalid") else ()
    return f"{text} (it is {given!r})" + (f".{nearest(given, words)}" if nearest(given, words) else "")


def _without_kinds(location: Sequence[Any], values: Any) -> Place:
    """A problem's path in the file: pydantic also names the ``kind`` that chose a section's fields."""
    path = []
    for part in location:
        if isinstance(values, Mapping) and part not in values and values.get("kind") == part:
            continue
        path.append(part)
        values = _inside(values, part)
    return tuple(path)


def _inside(values: Any, part: Any) -> Any:
    if isinstance(values, Mapping):
        return values.get(part)
    return values[part] if isinstance(values, list) and isinstance(part, int) and part < len(values) else None


def _chosen(schema: dict[str, Any], node: dict[str, Any], value: Any) -> dict[str, Any]:
    """The section that a node of the schema stands for: through ``| None``, a choice by ``kind``, and references."""
    options = [option for option in node.get("anyOf", ()) if option.get("type") != "null"]
    if len(options) == 1:
        node = options[0]
    if "discriminator" in node:
        kind = value.get("kind") if isinstance(value, Mapping) else None
        node = {"$ref": node["discriminator"]["mapping"].get(kind)}
    reference = node.get("$ref", "")
    return schema["$defs"][reference.split("/")[-1]] if reference else ({} if "$ref" in node else node)
