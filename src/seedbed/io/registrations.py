"""What is registered where, read from the source text: names, the modules that enter them, and their options.

A method, a loss, a network enters itself into its registry beside its code, by a decorator or a call whose first
argument is its name:

    @explainer("rollout", needs=...)           register("mctformer", MCTformer, "one line", task="classifier")
    def rollout(model, *, start_layer=0): ...

Its options are the keyword-only arguments of the decorated function or class, or every argument but the first of what a
call names in second place, see `seedbed.io.signatures`.
Nothing is imported, so that parameters are checked without torch.
"""

import ast
import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seedbed.io.identity import module_file, module_name
from seedbed.io.signatures import Option, definitions, options_of, parsed


@dataclass(frozen=True)
class Registration:
    """One entry into a registry.

    Attributes:
        name: the registered name.
        module: dotted name of the module that enters it.
        options: name -> option; None where any is accepted and checked later.
        keywords: literal keyword arguments of the entering call, such as ``task``.
        mentions: other strings in that call: names that it builds on.
        takes: module of the class that a decorated function's first argument is annotated with, where it is imported.
    """

    name: str
    module: str
    options: Mapping[str, Option] | None = None
    keywords: Mapping[str, Any] = field(default_factory=dict)
    mentions: tuple[str, ...] = ()
    takes: str | None = None


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
    tree = parsed(path)
    defined = definitions(tree)
    decorated = {call: node for node in defined.values() for call in node.decorator_list}
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        if getattr(call.func, "id", None) != function or not call.args or not isinstance(call.args[0], ast.Constant):
            continue
        if call in decorated:
            options = options_of(decorated[call], tree, skip=None)
        else:
            built = getattr(call.args[1], "id", None) if len(call.args) > 1 else None
            options = options_of(defined[built], tree, skip=1) if built in defined else None
        strings = [part.value for part in ast.walk(call) if isinstance(part, ast.Constant)]
        yield Registration(
            name=str(call.args[0].value),
            module=module_name(path),
            options=options,
            keywords={k.arg: k.value.value for k in call.keywords if k.arg and isinstance(k.value, ast.Constant)},
            mentions=tuple(text for text in strings if isinstance(text, str)),
            takes=_taken(decorated[call], tree) if call in decorated else None,
        )


def _taken(node: ast.AST, tree: ast.Module) -> str | None:
    """The module that the class of a function's first argument is imported from."""
    if not isinstance(node, ast.FunctionDef) or not node.args.args:
        return None
    named = getattr(node.args.args[0].annotation, "id", None)
    imports = (one for one in tree.body if isinstance(one, ast.ImportFrom))
    return next((one.module for one in imports for alias in one.names if (alias.asname or alias.name) == named), None)
