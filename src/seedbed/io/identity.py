"""What a result depends on: the code that computes it, as one digest of syntax trees.

The code of a result is its script and the modules that this imports, followed through the library, and modules chosen
by name (`seedbed.io.registrations`). A package's ``__init__`` counts only where the package itself is imported: it
holds no logic, and what it enters into a registry is chosen by name and passed as an entry.

Two sources that differ in nothing that can change a number have one digest: comments, docstrings, layout, the order of
imports, annotations of functions, messages of errors and of the log are left out, and so are whole modules that only
carry a result (`NEUTRAL`). Everything is read from the source text, without importing anything.
"""

import ast
import functools
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

PACKAGE = "seedbed"
_ROOT = Path(__file__).resolve().parents[1]

NEUTRAL = (
    "seedbed",  # the version
    "seedbed.errors",
    "seedbed.devices",
    "seedbed.params",  # values reach a rule as its parameters, defaults included
    "seedbed.settings",  # so do these
    "seedbed.io.annotations",
    "seedbed.io.atomic",
    "seedbed.io.catalogue",  # what it looks up is chosen by name, and passed as an entry
    "seedbed.io.filelock",
    "seedbed.io.fingerprint",
    "seedbed.io.declarations",
    "seedbed.io.identity",
    "seedbed.io.notice",
    "seedbed.io.partial",  # what is taken up again is as it was computed
    "seedbed.io.partial_counts",
    "seedbed.io.partial_items",
    "seedbed.io.plain",
    "seedbed.io.progress",
    "seedbed.io.provenance",
    "seedbed.io.registrations",
    "seedbed.io.signatures",
    "seedbed.train.resume_identity",
    "seedbed.train.state",  # so is a resume state
    "job",  # the frame of the scripts
)
"""Modules, with all that lies in them, which never change a number: a test computes artifacts with each one changed."""


def code_digest(*entries: str | Path, texts: Iterable[Path] = ()) -> str:
    """Return one sha256, 64 hex digits, of the code that a result depends on.

    Args:
        entries: script files, and dotted names of modules beside what those import.
        texts: further files whose every byte matters, such as templates of pages.
    """
    lines = [f"{_name_of(path)} {_digest_of(path)}" for path in deciding_files(*entries)]
    lines += [f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}" for path in sorted(texts)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def deciding_files(*entries: str | Path) -> list[Path]:
    """Those of the files that ``entries`` need which can change a number."""
    return [path for path in source_closure(*entries) if not _neutral(path)]


def source_closure(*entries: str | Path) -> list[Path]:
    """Return the files that ``entries`` (script files or dotted module names) need, themselves included, sorted.

    What only neutral modules import is not needed: nothing of it reaches a number.
    """
    todo = [module_file(entry) if isinstance(entry, str) and _is_module(entry) else Path(entry) for entry in entries]
    found: set[Path] = set()
    while todo:
        path = todo.pop()
        if path not in found:
            found.add(path)
            if not _neutral(path):
                todo.extend(_imports(path))
    return sorted(found, key=_name_of)


def module_file(module: str) -> Path:
    """Return the source file of a module of the library; a package's is its ``__init__``."""
    for path in _candidates(module):
        if path.is_file():
            return path
    raise ModuleNotFoundError(f"{module} is no module of the library")


def module_name(path: Path) -> str:
    """Return the dotted name of a source file of the library."""
    parts = path.relative_to(_ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _name_of(path: Path) -> str:
    return module_name(path) if path.is_relative_to(_ROOT) else path.stem


def _neutral(path: Path) -> bool:
    name = _name_of(path)
    return name in NEUTRAL or any(name.startswith(f"{module}.") for module in NEUTRAL if module != PACKAGE)


@functools.cache
def _digest_of(path: Path) -> str:
    text: list[str] = []
    _shape(_bare(path)[0], text)
    return hashlib.sha256("".join(text).encode()).hexdigest()


@functools.cache
def _bare(path: Path) -> tuple[ast.Module, frozenset[str]]:
    """The syntax tree of a file without what cannot change a number, and the modules that the rest of it imports."""
    strip = _Bare()
    tree = strip.visit(ast.parse(path.read_text(encoding="utf-8"), str(path)))
    return tree, frozenset(strip.imported)


class _Bare(ast.NodeTransformer):
    """Takes out of a tree what tells people something and the computer nothing, and notes what is imported."""

    def __init__(self) -> None:
        self.imported: set[str] = set()

    def visit_Import(self, node: ast.Import) -> ast.Import:
        self.imported.update(alias.name for alias in node.names)
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.ImportFrom:
        if node.module and not node.level:
            inside = [f"{node.module}.{alias.name}" for alias in node.names]
            modules = [name for name in inside if _is_module(name) and _exists(name)]
            self.imported.update(modules if len(modules) == len(inside) else [*modules, node.module])
        return node

    def visit_Module(self, node: ast.Module) -> ast.Module:
        self.generic_visit(node)
        imports = [part for part in node.body if isinstance(part, ast.Import | ast.ImportFrom)]
        others = [self._untyped(part) for part in node.body if part not in imports]
        named = [part for part in _single(imports) if not _for_people(part)]
        node.body = [*sorted(named, key=ast.dump), *others]
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        self.generic_visit(node)
        node.returns = None
        node.body = [self._untyped(part) for part in node.body]
        return node

    visit_AsyncFunctionDef = visit_FunctionDef  # type: ignore[assignment]

    def visit_arguments(self, node: ast.arguments) -> ast.arguments:
        self.generic_visit(node)
        for argument in (*node.posonlyargs, *node.args, *node.kwonlyargs, node.vararg, node.kwarg):
            if argument is not None:
                argument.annotation = None
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        """Docstrings, wherever they stand, and lines for the log."""
        return None if isinstance(node.value, ast.Constant) or _is_report(node.value) else self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> ast.Raise:
        """Whether and what is raised matters, not what it says."""
        raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        return ast.Raise(exc=raised, cause=None)

    def visit_If(self, node: ast.If) -> ast.AST | None:
        checked = getattr(node.test, "id", getattr(node.test, "attr", None))
        return None if checked == "TYPE_CHECKING" else self.generic_visit(node)

    @staticmethod
    def _untyped(node: ast.stmt) -> ast.stmt:
        if isinstance(node, ast.AnnAssign) and node.value is not None:
            return ast.Assign(targets=[node.target], value=node.value)
        return node


def _is_report(node: ast.AST) -> bool:
    """Whether a call writes to the log or warns."""
    place = node.func if isinstance(node, ast.Call) else None
    return isinstance(place, ast.Attribute) and getattr(place.value, "id", None) in ("logging", "warnings")


def _for_people(node: ast.stmt) -> bool:
    """Whether an import brings only types and the log."""
    name = node.module if isinstance(node, ast.ImportFrom) else node.names[0].name  # type: ignore[attr-defined]
    return name in ("collections.abc", "logging", "typing", "warnings")


def _single(imports: Iterable[ast.Import | ast.ImportFrom]) -> Iterator[ast.stmt]:
    """Each imported name by itself, so that neither order nor grouping matters."""
    for node in imports:
        for alias in node.names:
            if isinstance(node, ast.Import):
                yield ast.Import(names=[alias])
            else:
                yield ast.ImportFrom(module=node.module, names=[alias], level=node.level)


def _shape(node: Any, out: list[str]) -> None:
    """Append a tree as text that is the same in every version of Python: fields that are empty are left out."""
    if isinstance(node, ast.AST):
        out.append(f"{type(node).__name__}(")
        for name in node._fields:
            value = getattr(node, name, None)
            if value is not None and value != [] and name not in ("ctx", "type_comment", "kind"):
                out.append(f"{name}=")
                _shape(value, out)
        out.append(")")
    elif isinstance(node, list):
        out.append("[")
        for item in node:
            _shape(item, out)
        out.append("]")
    else:
        out.append(f"{node!r},")


def _is_module(entry: str) -> bool:
    return entry == PACKAGE or entry.startswith(f"{PACKAGE}.")


@functools.cache
def _imports(path: Path) -> frozenset[Path]:
    """Files that ``path`` imports: the library's, and for a script what lies beside it."""
    _, imported = _bare(path)
    files = {module_file(name) for name in imported if _is_module(name)}
    if not path.resolve().is_relative_to(_ROOT):
        files |= {path.parent / f"{name}.py" for name in imported if (path.parent / f"{name}.py").is_file()}
    return frozenset(files)


@functools.cache
def _exists(module: str) -> bool:
    return any(path.is_file() for path in _candidates(module))


def _candidates(module: str) -> tuple[Path, Path]:
    base = _ROOT.joinpath(*module.split(".")[1:])
    return base / "__init__.py", base.with_suffix(".py") if module != PACKAGE else base / "__init__.py"
