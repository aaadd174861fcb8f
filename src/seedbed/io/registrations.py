"""What is registered where, read from the source text: names, the modules that enter them, and their options.

A method, a loss, a network enters itself into its registry beside its code, by a decorator or a call whose first
argument is its name:

    @explainer("rollout", needs=...)           register("mctformer", MCTformer, "one line", task="classifier")
    def rollout(model, *, start_layer=0): ...

Its options are the keyword-only arguments of the decorated function or class, or every argument but the first of what a
call names in second place. A decorated function that hands ``**options`` on takes those of the class it returns, too.
Nothing is imported, so that parameters are checked without torch.
"""

import ast
import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seedbed.io.identity import module_file, module_name


@dataclass(frozen=True)
class Option:
    """An option of something registered: its annotation as text (None without), and whether it must be given."""

    annotation: str | None
    required: bool


@dataclass(frozen=True)
class Registration:
    """One entry into a registry.

    Attributes:
        name: the registered name.
        module: dotted name of the module that enters it.
        options: name -> option; None where any is accepted and checked later.
        keywords: literal keyword arguments of the entering call, such as ``task``.
        mentions: other strings in that call: names that it builds on.
    """

    name: str
    module: str
    options: Mapping[str, Option] | None = None
    keywords: Mapping[str, Any] = field(default_factory=dict)
    mentions: tuple[str, ...] = ()


def modules_registering(package: str, function: str, *names: Any) -> list[str]:
    """Return the modules of ``package`` that enter ``names`` into its registry by ``function("name", ...)``.

    Names that such a call mentions in turn (a head's backbone) are followed; names of other libraries are nobody's.
    """
    homes = registrations(package, function)
    todo, seen = [name for name in names if isinstance(name, str)], set()
    while todo:
        name = todo.pop()
        if name in homes and name not in seen:
            seen.add(name)
            todo.extend(mentioned for entry in homes[name] for mentioned in entry.mentions)
    return sorted({entry.module for name in seen for entry in homes[name]})


def registered_names(package: str, function: str) -> tuple[str, ...]:
    """Names that the modules of ``package`` enter into its registry, sorted."""
    return tuple(sorted(registrations(package, function)))


@functools.cache
def registrations(package: str, function: str) -> Mapping[str, tuple[Registration, ...]]:
    """Registered name -> each entry of it by ``function`` in the modules of ``package``, sub-packages included."""
    found: dict[str, tuple[Registration, ...]] = {}
    for path in sorted(module_file(package).parent.rglob("*.py")):
        for entry in _entries(path, function):
            found[entry.name] = (*found.get(entry.name, ()), entry)
    return found


def _entries(path: Path, function: str) -> Iterator[Registration]:
    text = path.read_text(encoding="utf-8")
    if f"{function}(" not in text:  # parsing a package takes a tenth of a second
        return
    tree = ast.parse(text, str(path))
    defined = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    decorated = {call: node for node in defined.values() for call in node.decorator_list}
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        if getattr(call.func, "id", None) != function or not call.args or not isinstance(call.args[0], ast.Constant):
            continue
        if call in decorated:
            options = _handed_on(decorated[call], tree) or _options(decorated[call], keyword_only=True)
        else:
            built = getattr(call.args[1], "id", None) if len(call.args) > 1 else None
            options = _options(defined[built], keyword_only=False) if built in defined else None
        strings = [part.value for part in ast.walk(call) if isinstance(part, ast.Constant)]
        yield Registration(
            name=call.args[0].value,
            module=module_name(path),
            options=options,
            keywords={k.arg: k.value.value for k in call.keywords if k.arg and isinstance(k.value, ast.Constant)},
            mentions=tuple(text for text in strings if isinstance(text, str)),
        )


def _handed_on(node: ast.FunctionDef | ast.ClassDef, tree: ast.Module) -> dict[str, Option] | None:
    """Options of a function that returns an imported class of the library and hands ``**options`` on to it."""
    if not isinstance(node, ast.FunctionDef) or node.args.kwarg is None or not isinstance(node.returns, ast.Name):
        return None
    for part in tree.body:
        names = [alias.name for alias in part.names] if isinstance(part, ast.ImportFrom) else []
        if node.returns.id in names and part.module.startswith("seedbed."):  # type: ignore[union-attr]
            home = ast.parse(module_file(part.module).read_text(encoding="utf-8"))  # type: ignore[union-attr]
            returned = next(item for item in home.body if getattr(item, "name", None) == node.returns.id)
            node.args.kwarg = None  # what it stands for is known
            return {**(_options(returned, True) or {}), **(_options(node, True) or {})}  # type: ignore[arg-type]
    return None


def _options(node: ast.FunctionDef | ast.ClassDef, keyword_only: bool) -> dict[str, Option] | None:
    """Options of a function, or of a class by its ``__init__`` or, where it has none, its annotated fields."""
    if isinstance(node, ast.FunctionDef):
        return _arguments(node.args, keyword_only, skip=0 if keyword_only else 1)
    initial = next((part for part in node.body if isinstance(part, ast.FunctionDef) and part.name == "__init__"), None)
    if initial is not None:
        return _arguments(initial.args, keyword_only, skip=1 if keyword_only else 2)
    if node.bases and not any(isinstance(part, ast.AnnAssign) for part in node.body):
        return None
    fields = [part for part in node.body if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name)]
    return {part.target.id: Option(ast.unparse(part.annotation), part.value is None) for part in fields}  # type: ignore[union-attr]


def _arguments(arguments: ast.arguments, keyword_only: bool, skip: int) -> dict[str, Option] | None:
    if arguments.kwarg is not None:
        return None
    positional = [*arguments.posonlyargs, *arguments.args]
    required = len(positional) - len(arguments.defaults)
    named = [] if keyword_only else [(arg, place < required) for place, arg in enumerate(positional)][skip:]
    named += [(arg, default is None) for arg, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
    return {arg.arg: Option(ast.unparse(arg.annotation) if arg.annotation else None, must) for arg, must in named}
