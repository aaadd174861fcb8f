"""Which source files an artifact depends on: the imports of a script or module, followed through the library.

Imports are read from the source text, without importing anything. A package's ``__init__`` counts only where the
package itself is imported: it holds no logic, and what it enters into a registry is chosen by name and passed as an
entry.
"""

import ast
import functools
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

PACKAGE = "seedbed"
_ROOT = Path(__file__).resolve().parents[1]


def source_closure(*entries: str | Path) -> list[str]:
    """Return the files that ``entries`` (script files or dotted module names) need, themselves included, sorted."""
    todo = [_file_of(entry) if isinstance(entry, str) and _is_module(entry) else Path(entry) for entry in entries]
    found: set[Path] = set()
    while todo:
        path = todo.pop()
        if path not in found:
            found.add(path)
            todo.extend(_imports(path))
    return sorted(str(path) for path in found)


def modules_registering(package: str, function: str, *names: Any) -> list[str]:
    """Return the modules of ``package`` that enter ``names`` into its registry by ``function("name", ...)``.

    Names that such a call mentions in turn (a head's backbone) are followed; names of other libraries are nobody's.
    """
    homes = _registrations(package, function)
    todo, seen = [name for name in names if isinstance(name, str)], set()
    while todo:
        name = todo.pop()
        if name in homes and name not in seen:
            seen.add(name)
            todo.extend(mentioned for _, texts in homes[name] for mentioned in texts)
    return sorted({module for name in seen for module, _ in homes[name]})


def registered_names(package: str, function: str) -> tuple[str, ...]:
    """Names that the modules of ``package`` enter into its registry, sorted."""
    return tuple(sorted(_registrations(package, function)))


@functools.cache
def _registrations(package: str, function: str) -> Mapping[str, list[tuple[str, list[str]]]]:
    """Registered name -> each module that enters it, and every other string in that call."""
    homes = defaultdict(list)
    for path in sorted(_file_of(package).parent.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(), str(path))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", None) == function and node.args:
                strings = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant)]
                texts = [text for text in strings if isinstance(text, str)]
                if isinstance(node.args[0], ast.Constant):
                    homes[node.args[0].value].append((f"{package}.{path.stem}", texts))
    return dict(homes)


def _is_module(entry: str) -> bool:
    return entry == PACKAGE or entry.startswith(f"{PACKAGE}.")


@functools.cache
def _imports(path: Path) -> frozenset[Path]:
    """Files that ``path`` imports: the library's, and for a script what lies beside it."""
    imported: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        imported.update(_imported(node))
    files = {_file_of(name) for name in imported if _is_module(name)}
    if not path.resolve().is_relative_to(_ROOT):
        files |= {path.parent / f"{name}.py" for name in imported if (path.parent / f"{name}.py").is_file()}
    return frozenset(files)


def _imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        inside = [f"{node.module}.{alias.name}" for alias in node.names]
        modules = [name for name in inside if _is_module(name) and _exists(name)]
        yield from modules
        if len(modules) < len(inside):
            yield node.module


def _exists(module: str) -> bool:
    return any(path.is_file() for path in _candidates(module))


def _file_of(module: str) -> Path:
    for path in _candidates(module):
        if path.is_file():
            return path
    raise ModuleNotFoundError(f"{module} is no module of the library")


def _candidates(module: str) -> tuple[Path, Path]:
    base = _ROOT.joinpath(*module.split(".")[1:])
    return base / "__init__.py", base.with_suffix(".py") if module != PACKAGE else base / "__init__.py"
