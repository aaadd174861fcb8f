"""Options of a function or class, read from its source: its arguments, and those of what it hands ``**more`` on to."""

import ast
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from seedbed.io.identity import module_file

Definition = ast.FunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Option:
    """An option of something registered: its annotation as text (None without), and whether it must be given."""

    annotation: str | None
    required: bool


@functools.cache
def parsed(path: Path) -> ast.Module:
    """The syntax tree of a source file."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def definitions(tree: ast.Module) -> dict[str, Definition]:
    """Functions and classes of a module, by name."""
    return {node.name: node for node in tree.body if isinstance(node, Definition)}


def options_of(node: Definition, tree: ast.Module, *, skip: int | None) -> dict[str, Option] | None:
    """Return the options by name, in their order; None where any is accepted.

    Args:
        node: a function, or a class: its ``__init__``, or its annotated fields, or what it inherits.
        tree: the module that defines it.
        skip: positional arguments in front that are no options; None if none of the positional ones is.
    """
    if isinstance(node, ast.FunctionDef):
        return _with_handed_on(node, (), tree, skip)
    initial = next((part for part in node.body if isinstance(part, ast.FunctionDef) and part.name == "__init__"), None)
    if initial is not None:
        return _with_handed_on(initial, node.bases, tree, None if skip is None else skip + 1)
    fields = [part for part in node.body if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name)]
    fields = [part for part in fields if "ClassVar" not in ast.unparse(part.annotation)]
    if fields or not node.bases:
        return {part.target.id: Option(ast.unparse(part.annotation), part.value is None) for part in fields}  # type: ignore[union-attr]
    return _inherited(node.bases, tree, skip)


def _with_handed_on(
    function: ast.FunctionDef, bases: Sequence[ast.expr], tree: ast.Module, skip: int | None
) -> dict[str, Option] | None:
    own = _arguments(function.args, skip)
    if function.args.kwarg is None:
        return own
    handed: dict[str, Option] = {}
    calls = list(_handing_on(function))
    for call in calls:
        skipped = len(call.args)
        found = _inherited(bases, tree, skipped) if _is_super(call) else _options_at(_called(call), tree, skipped)
        if found is None:
            return None
        given = {keyword.arg for keyword in call.keywords}
        handed |= {name: option for name, option in found.items() if name not in given}
    return {**handed, **own} if calls else None


def _inherited(bases: Sequence[ast.expr], tree: ast.Module, skip: int | None) -> dict[str, Option] | None:
    """Options of the first of these classes that has any of its own; None if the library defines none."""
    found = [_options_at(base.id, tree, skip) for base in bases if isinstance(base, ast.Name)]
    known = [options for options in found if options is not None]
    return next((options for options in known if options), {} if known else None)


def _handing_on(function: ast.FunctionDef) -> Iterator[ast.Call]:
    """Calls within a function that get its ``**more``."""
    more = function.args.kwarg.arg  # type: ignore[union-attr]
    for call in ast.walk(function):
        if isinstance(call, ast.Call) and any(
            k.arg is None and getattr(k.value, "id", None) == more for k in call.keywords
        ):
            yield call


def _is_super(call: ast.Call) -> bool:
    made = getattr(call.func, "value", None)
    return getattr(call.func, "attr", None) == "__init__" and isinstance(made, ast.Call) and _called(made) == "super"


def _called(call: ast.Call) -> str:
    return getattr(call.func, "id", "")


def _options_at(name: str, tree: ast.Module, skip: int | None) -> dict[str, Option] | None:
    found = _find(name, tree)
    return None if found is None else options_of(*found, skip=skip)


def _find(name: str, tree: ast.Module) -> tuple[Definition, ast.Module] | None:
    """A function or class of a module, or of the module of the library that it imports it from."""
    if name in definitions(tree):
        return definitions(tree)[name], tree
    for part in ast.walk(tree):  # heavy modules are imported where they are used
        module = (part.module or "") if isinstance(part, ast.ImportFrom) else ""
        if module.startswith("seedbed.") and name in [alias.name for alias in part.names]:  # type: ignore[attr-defined]
            return _find(name, parsed(module_file(module)))
    return None


def _arguments(arguments: ast.arguments, skip: int | None) -> dict[str, Option]:
    positional = [*arguments.posonlyargs, *arguments.args]
    required = len(positional) - len(arguments.defaults)
    named = [] if skip is None else [(arg, place < required) for place, arg in enumerate(positional)][skip:]
    named += [(arg, default is None) for arg, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
    return {arg.arg: Option(ast.unparse(arg.annotation) if arg.annotation else None, must) for arg, must in named}
