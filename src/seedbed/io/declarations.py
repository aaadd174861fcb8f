"""Fields of a registered dataclass, read from its source, so that a schema is made of it without importing it."""

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from seedbed.io.annotations import annotated_type
from seedbed.io.identity import module_file
from seedbed.io.registrations import Registration


@dataclass(frozen=True)
class DeclaredField:
    """A field: its annotation as an object, whether it must be given, else its default, and what is said of it."""

    annotation: Any
    required: bool
    default: Any
    description: str | None


def declared_fields(
    registration: Registration, names: Mapping[str, Any]
) -> tuple[str | None, dict[str, DeclaredField]]:
    """Return the docstring and the fields of the dataclass that a registration decorates.

    Args:
        registration: how it is entered.
        names: what its annotations may use. Defaults are literals.
    """
    node = _decorated(registration)
    text = ast.get_docstring(node)
    said = {name: about for names_, about in _attributes(text or "") for name in names_}
    found = {}
    for part in node.body:
        if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
            name, required = part.target.id, part.value is None
            annotation = annotated_type(part.annotation, names)
            default = None if part.value is None else ast.literal_eval(part.value)
            found[name] = DeclaredField(annotation, required, default, said.get(name))
    return (text or "").split("\n\n")[0] or None, found


def _decorated(registration: Registration) -> ast.ClassDef:
    tree = ast.parse(module_file(registration.module).read_text(encoding="utf-8"))
    for node in tree.body:
        for call in node.decorator_list if isinstance(node, ast.ClassDef) else ():
            if isinstance(call, ast.Call) and [getattr(arg, "value", None) for arg in call.args] == [registration.name]:
                return node  # type: ignore[return-value]
    raise LookupError(f"{registration.module} decorates no class for '{registration.name}'")


def _attributes(text: str) -> list[tuple[list[str], str]]:
    """Names and descriptions under ``Attributes:`` of a docstring."""
    _, _, listed = text.partition("\nAttributes:\n")
    entries = re.findall(r"^    (\w+(?:, \w+)*): (.+(?:\n {8,}.+)*)", listed, re.MULTILINE)
    return [(names.split(", "), " ".join(about.split())) for names, about in entries]
