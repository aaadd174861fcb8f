"""The order of the library: a module imports only what stands above it, and no two import each other."""

import ast
import graphlib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
LIBRARY = REPOSITORY / "src/seedbed"
ORDER = (
    *("errors", "io", "settings", "devices", "params", "papers", "data", "models", "explain", "refine", "train"),
    *("evaluate", "report", "tracking", "plan", "clean"),
)
"""Of docs/architecture.md: each may import those before it. The package itself holds the version alone."""
NEVER = {"snakemake"}
"""What no module of the library imports."""
NOT_IN_A_PLAN = {"torch", "timm", "torchvision", "matplotlib", "mlflow", "sklearn"}


def modules(folder: Path, package: str) -> dict[str, Path]:
    """Every module of a package by its dotted name."""
    found = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        found[".".join((package, *(part for part in parts if part != "__init__")))] = path
    return found


def imported(path: Path, known: dict[str, Path]) -> set[str]:
    """What a module imports, anywhere in it: modules that are known by their full name, others as they are written."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: an import by dots"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found.add(full if full in known else node.module)
    return found


def layer(module: str) -> str:
    """The part of the library that a module belongs to."""
    return module.split(".")[1] if "." in module else ""


def upward(graph: dict[str, set[str]]) -> list[str]:
    """Imports that go against the order."""
    place = {"": -1, **{name: number for number, name in enumerate(ORDER)}}
    return [
        f"{module} imports {other}"
        for module, others in sorted(graph.items())
        for other in sorted(others)
        if place[layer(other)] > place[layer(module)]
    ]


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Modules that import each other in a circle, the first one that is found; none if there is none."""
    try:
        graphlib.TopologicalSorter({module: others - {module} for module, others in graph.items()}).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


MODULES = modules(LIBRARY, "seedbed")
IMPORTS = {module: imported(path, MODULES) for module, path in MODULES.items()}
GRAPH = {module: {name for name in names if name in MODULES} for module, names in IMPORTS.items()}


def test_every_part_has_a_place():
    assert {layer(module) for module in MODULES} == {"", *ORDER}


def test_no_arrow_upward():
    assert upward(GRAPH) == []


def test_no_circle():
    assert circle(GRAPH) == []


def test_the_library_knows_nothing_of_snakemake():
    assert [module for module, names in IMPORTS.items() if {name.split(".")[0] for name in names} & NEVER] == []


@pytest.mark.parametrize("part", ["plan", "papers", "params", "settings", "errors"])
def test_a_plan_needs_no_torch_at_its_modules_heads(part):
    """What `seedbed.plan` imports on the way is measured in test_plan_checks; here are the files themselves."""
    for module, path in MODULES.items():
        if layer(module) == part:
            heads = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)]
            named = {alias.name for node in heads if isinstance(node, ast.Import) for alias in node.names}
            named |= {node.module for node in heads if isinstance(node, ast.ImportFrom)}
            assert not {name.split(".")[0] for name in named} & NOT_IN_A_PLAN, module


def test_the_page_of_the_order_tells_this_order():
    """The table of docs/architecture.md, from top to bottom."""
    text = (REPOSITORY / "docs/architecture.md").read_text()
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    told = [name.strip(" `") for row in rows for name in row.split(",")]
    assert [name for name in told if name in ORDER] == list(ORDER)


def test_what_these_tests_find(tmp_path):
    """Wrong libraries are told from right ones."""
    for name, text in {
        "io/files.py": "def late():\n    from seedbed.data import index\n",
        "data/index.py": "from seedbed.data import card\n",
        "data/card.py": "import seedbed.data.index\nimport snakemake.io\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    known = modules(tmp_path, "seedbed")
    graph = {module: imported(path, known) for module, path in known.items()}
    assert graph["seedbed.data.card"] == {"seedbed.data.index", "snakemake.io"}
    graph = {module: {name for name in names if name in known} for module, names in graph.items()}
    assert upward(graph) == ["seedbed.io.files imports seedbed.data.index"]
    assert set(circle(graph)) == {"seedbed.data.index", "seedbed.data.card"}
